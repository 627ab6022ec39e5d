/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and opening the two state roots and our own binaries. */
#include "compose/paths.h"

#include <stdio.h>
#include <sys/file.h>

#include "base/fs.h"

/* Makes `path` absolute without resolving symlinks that do not exist yet. */
static char *absolute(const char *path)
{
	AUTO_FREE char *cwd = NULL;
	if (path[0] == '/')
		return xstrdup(path);
	cwd = getcwd(NULL, 0);
	return xasprintf("%s/%s", cwd ? cwd : "", path);
}

/* Opens one root; *path becomes its resolved name. */
static int open_root(char **path, bool create, mode_t mode, struct err *err)
{
	char link[32];
	char *real;
	int fd = create ? fs_make_dir(AT_FDCWD, *path, mode, err) : open(*path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return create ? -1 : errno == ENOENT ? -2 : err_sys(err, errno, "open directory %s", *path);
	real = realpath(fs_fd_path(fd, link), NULL);
	if (real) {
		free(*path);
		*path = real;
	}
	return fd;
}

/* Opens (and with create makes) the run directory, noting in it that it is ours when it was not there. Who may still put something into it
 * holds it with a shared lock; own_leave() removes it only with an exclusive one. */
static int open_run(struct paths *p, bool create, struct err *err)
{
	for (;;) {
		bool absent = create && access(p->run, F_OK) < 0 && errno == ENOENT;
		int fd = open_root(&p->run, create, 0700, err);
		struct stat st;
		if (fd < 0 || !create)
			return fd;
		if (flock(fd, LOCK_SH) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0) {
			close(fd); /* just removed */
			continue;
		}
		if (absent) {
			AUTO_CLOSE int mark = openat(fd, PATHS_MADE_BY_US, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			(void)mark;
		}
		return fd;
	}
}

int paths_open(const char *root, const char *run, bool create, struct paths *ret, struct err *err)
{
	struct paths p = { .root_fd = -1, .run_fd = -1, .held = create };
	const char *env_root = getenv("MUSTER_ROOT"), *env_run = getenv("MUSTER_RUN_ROOT");
	uint64_t h;
	p.root = absolute(root ? root : env_root && *env_root ? env_root : "/var/lib/muster");
	p.run = absolute(run ? run : env_run && *env_run ? env_run : "/run/muster");
	p.root_fd = open_root(&p.root, create, 0711, err);
	p.run_fd = p.root_fd == -1 ? -1 : open_run(&p, create, err);
	if (p.root_fd == -1 || p.run_fd == -1) {
		paths_done(&p);
		return -1;
	}
	p.root_fd = MAX(p.root_fd, -1);
	p.run_fd = MAX(p.run_fd, -1);
	h = hash_bytes(HASH_SEED, p.root, strlen(p.root) + 1);
	h = hash_bytes(h, p.run, strlen(p.run) + 1);
	snprintf(p.rootid, sizeof(p.rootid), "%08x", (unsigned)(h ^ h >> 32));
	*ret = p;
	return 0;
}

void paths_done(struct paths *p)
{
	if (!p)
		return;
	free(p->root);
	free(p->run);
	util_close(&p->root_fd);
	util_close(&p->run_fd);
	*p = (struct paths){ .root_fd = -1, .run_fd = -1 };
}

static int open_below(int base_fd, const char *path, bool create, mode_t mode, struct err *err)
{
	int fd;
	if (base_fd < 0)
		return err_sys(err, ENOENT, "open directory %s", path);
	if (!create)
		return fs_open_dir(base_fd, path, err);
	fd = fs_make_dir(base_fd, path, mode, err);
	return fd;
}

int paths_project(const struct paths *p, const char *project, bool create, struct err *err)
{
	AUTO_FREE char *rel = xasprintf("projects/%s", project);
	return open_below(p->root_fd, rel, create, 0700, err);
}

int paths_run(const struct paths *p, const char *project, bool create, struct err *err)
{
	return open_below(p->run_fd, project, create, 0700, err);
}

char *paths_binary(const char *name, struct err *err)
{
	static const char *const places[] = { "", "../libexec/muster/" }; /* run in place; installed under whatever prefix */
	char self[4096], *slash, *path;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	for (size_t i = 0; n > 0 && i < ARRAY_SIZE(places); i++) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		path = xasprintf("%.*s/%s%s", (int)(slash - self), self, places[i], name);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	path = xasprintf("%s/%s", MUSTER_LIBEXEC, name);
	if (access(path, X_OK) == 0)
		return path;
	err_set(err, ERR_NOT_FOUND, "%s: not found beside the muster binary nor in %s", name, MUSTER_LIBEXEC);
	free(path);
	return NULL;
}
