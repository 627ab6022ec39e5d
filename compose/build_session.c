/* SPDX-License-Identifier: Apache-2.0 */
/* See build_session.h. A session is alive exactly while its lock is held; the executor's children close it before they do anything else. */
#include "compose/build_session.h"

#include <stdio.h>
#include <sys/file.h>

#include "base/fs.h"
#include "runtime/cgroup.h"

enum { DYING_TRIES = 400, DYING_US = 5000 };

static void cgroup_path(const char *rootid, const char *step, char buf[static BUILD_CGROUP_BYTES])
{
	snprintf(buf, BUILD_CGROUP_BYTES, "muster-%s/.build/c/%s", rootid, step);
}

void build_session_cgroup(const struct build_session *s, const char *step, char buf[static BUILD_CGROUP_BYTES])
{
	cgroup_path(s->rootid, step, buf);
}

struct sweep {
	struct build_session *s;
	struct build_net net;
	int fd;                    /* of the dead session's directory */
};

static bool is_id(const char *name)
{
	return strlen(name) == BUILD_SESSION_ID && strspn(name, "0123456789abcdef") == BUILD_SESSION_ID;
}

/* Kills and removes the cgroup of a dead executor's step; its link goes with the network. */
static int sweep_step(void *arg, const char *name)
{
	struct sweep *w = arg;
	struct cgroup *cg = NULL;
	char path[BUILD_CGROUP_BYTES];
	struct err ignored;
	if (strcmp(name, "lock") == 0)
		return 0;
	if (!is_id(name)) { /* an agent's socket */
		unlinkat(w->fd, name, 0);
		return 0;
	}
	cgroup_path(w->s->rootid, name, path);
	if (cgroup_open(w->s->cgroups, path, &cg, &ignored) == 0)
		cgroup_kill(cg, &ignored);
	cgroup_free(cg);
	for (int i = 0; i < DYING_TRIES && cgroup_remove(w->s->cgroups, path, &ignored) == 1; i++)
		usleep(DYING_US);
	build_net_left(&w->net, name);
	unlinkat(w->fd, name, 0);
	return 0;
}

static void remove_scratch(int root_fd, const char *session)
{
	char path[64];
	struct err ignored;
	snprintf(path, sizeof(path), "buildcache/.exec-%s", session);
	fs_remove_tree(root_fd, path, &ignored);
}

/* One directory of <run>/.build: when nobody holds its lock, all that its executor left goes. */
static int sweep_session(void *arg, const char *name)
{
	struct sweep *w = arg;
	struct build_session *s = w->s;
	AUTO_CLOSE int fd = -1;
	AUTO_CLOSE int lock = -1;
	struct err ignored;
	if (!is_id(name) || strcmp(name, s->id) == 0)
		return 0;
	fd = openat(s->all_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	lock = fd < 0 ? -1 : openat(fd, "lock", O_RDWR | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
		if (lock < 0 && errno == ENOENT) /* just made, or never finished; when empty it goes, and a living maker tries again */
			unlinkat(s->all_fd, name, AT_REMOVEDIR);
		return 0;
	}
	w->fd = fd;
	fs_each(fd, ".", sweep_step, w, &ignored);
	remove_scratch(s->root_fd, name);
	unlinkat(fd, "lock", 0);
	unlinkat(s->all_fd, name, AT_REMOVEDIR);
	return 0;
}

static void remove_parents(struct build_session *s)
{
	char path[BUILD_CGROUP_BYTES];
	cgroup_path(s->rootid, "none", path);
	cgroup_remove_parents(s->cgroups, path);
	unlinkat(s->run_fd, BUILD_RUN_DIR, AT_REMOVEDIR); /* unless somebody builds */
}

static void sweep_all(struct build_session *s)
{
	struct sweep w = { .s = s };
	struct err ignored;
	build_net_init(&w.net, s->all_fd, s->rootid);
	fs_each(s->all_fd, ".", sweep_session, &w, &ignored);
	build_net_sweep(&w.net);
	build_net_done(&w.net);
}

static void session_init(struct build_session *s, int root_fd, int run_fd, const char *rootid, struct cgroup_host *cgroups)
{
	*s = (struct build_session){ .root_fd = root_fd, .run_fd = run_fd, .all_fd = -1, .fd = -1, .lock_fd = -1, .cgroups = cgroups };
	snprintf(s->rootid, sizeof(s->rootid), "%s", rootid);
}

/* One try: 0; 1 when somebody's sweep came in between. */
static int try_session(struct build_session *s, struct err *err)
{
	util_close(&s->all_fd);
	util_close(&s->fd);
	util_close(&s->lock_fd);
	random_hex(s->id, BUILD_SESSION_ID);
	s->all_fd = fs_make_dir(s->run_fd, BUILD_RUN_DIR, 0700, err);
	if (s->all_fd < 0)
		return err->sys == ENOENT ? 1 : -1;
	if (mkdirat(s->all_fd, s->id, 0700) == 0)
		s->fd = openat(s->all_fd, s->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->lock_fd = s->fd < 0 ? -1 : openat(s->fd, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->lock_fd >= 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0 && faccessat(s->fd, "lock", F_OK, 0) == 0)
		return 0;
	return errno == ENOENT || errno == EAGAIN ? 1 : err_sys(err, errno, "make the session of the build");
}

static int make_session(struct build_session *s, struct err *err)
{
	int rc = 1;
	for (int tries = 0; rc == 1 && tries < 1000; tries++)
		rc = try_session(s, err);
	return rc == 1 ? err_set(err, ERR_CONFLICT, "make the session of the build: others are in the way") : rc;
}

int build_session_open(struct build_session *s, int root_fd, int run_fd, const char *rootid, struct cgroup_host *cgroups, struct err *err)
{
	session_init(s, root_fd, run_fd, rootid, cgroups);
	if (make_session(s, err) < 0) {
		build_session_close(s);
		return -1;
	}
	sweep_all(s);
	return 0;
}

void build_session_close(struct build_session *s)
{
	if (s->fd >= 0) {
		remove_scratch(s->root_fd, s->id);
		unlinkat(s->fd, "lock", 0);
		unlinkat(s->all_fd, s->id, AT_REMOVEDIR);
	}
	if (s->all_fd >= 0)
		remove_parents(s);
	util_close(&s->lock_fd);
	util_close(&s->fd);
	util_close(&s->all_fd);
}

void build_session_sweep(int root_fd, int run_fd, const char *rootid, struct cgroup_host *cgroups)
{
	struct build_session s;
	session_init(&s, root_fd, run_fd, rootid, cgroups);
	s.all_fd = openat(run_fd, BUILD_RUN_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s.all_fd < 0)
		return;
	sweep_all(&s);
	remove_parents(&s);
	close(s.all_fd);
}

int build_session_step(struct build_session *s, const char *step, struct err *err)
{
	AUTO_CLOSE int fd = openat(s->fd, step, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(err, errno, "note the step") : 0;
}

void build_session_step_done(struct build_session *s, const char *step)
{
	unlinkat(s->fd, step, 0);
}

int build_session_scratch(struct build_session *s, const char *name, struct err *err)
{
	char path[128];
	int fd;
	snprintf(s->scratch, sizeof(s->scratch), "buildcache/.exec-%s", s->id);
	snprintf(path, sizeof(path), "%s/%s", s->scratch, name);
	fd = fs_make_dir(s->root_fd, s->scratch, 0700, err);
	if (fd < 0)
		return -1;
	close(fd);
	return fs_make_dir(s->root_fd, path, 0755, err);
}

void build_session_scratch_remove(struct build_session *s, const char *name)
{
	char path[128];
	struct err ignored;
	if (!*s->scratch)
		return;
	snprintf(path, sizeof(path), "%s/%s", s->scratch, name);
	fs_remove_tree(s->root_fd, path, &ignored);
}
