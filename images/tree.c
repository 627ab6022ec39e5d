/* SPDX-License-Identifier: Apache-2.0 */
/* The fast way is one openat2(RESOLVE_IN_ROOT). Where that says ENOENT (a parent the archive never mentioned) or ENOTDIR (a
 * whiteout that an entry below now contradicts), make_dirs() walks by components: at each step only one name is looked up,
 * symlinks are expanded by hand against the root, and what is missing becomes a directory. */
#include "images/tree.h"

#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"

enum { MAX_LINKS = 40 };

void tree_init(struct tree *t, int root_fd)
{
	t->root_fd = root_fd;
	t->dir_fd = -1;
	t->dir[0] = '\0';
	t->made = (struct strv){0};
}

void tree_done(struct tree *t)
{
	util_close(&t->dir_fd);
	strv_done(&t->made);
}

bool tree_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int tree_set_opaque(int dir_fd, const char *base, struct err *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "open directory");
	if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return err_sys(err, errno, "mark a directory opaque");
	return 0;
}

/* A walk in progress: the real path so far (no symlinks in it), and what is left to look up. */
struct walk {
	struct str at, rest;
	int fd;     /* of `at`, O_PATH */
	int links;
};

static int walk_open(struct tree *t, struct walk *w, struct err *err)
{
	util_close(&w->fd);
	w->fd = fs_open_in_root(t->root_fd, w->at.len ? str_get(&w->at) : ".", O_PATH | O_DIRECTORY, 0);
	return w->fd < 0 ? err_sys(err, -w->fd, "open a parent directory") : 0;
}

/* Takes one component of a path: moves to it, makes it, or puts a symlink's target in front of the rest. */
static int walk_step(struct tree *t, struct walk *w, const char *name, struct err *err)
{
	char link[4096];
	struct stat st;
	ssize_t n;
	if (strcmp(name, "..") == 0) {
		while (w->at.len && w->at.p[--w->at.len] != '/')
			;
		str_reserve(&w->at, 0)[0] = '\0';
		return walk_open(t, w, err);
	}
	if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT || mkdirat(w->fd, name, 0755) < 0)
			return err_sys(err, errno, "create a parent directory");
		strv_pushf(&t->made, w->at.len ? "%s/%s" : "%s%s", str_get(&w->at), name);
	} else if (S_ISLNK(st.st_mode)) {
		AUTO_FREE char *rest = str_take(&w->rest);
		n = readlinkat(w->fd, name, link, sizeof(link) - 1);
		if (n < 0 || ++w->links > MAX_LINKS)
			return err_sys(err, n < 0 ? errno : ELOOP, "follow a symlink");
		link[n] = '\0';
		str_addf(&w->rest, "%s/%s", link, rest);
		if (link[0] != '/')
			return 0;
		str_clear(&w->at);
		return walk_open(t, w, err);
	} else if (tree_is_whiteout(&st)) {
		if (unlinkat(w->fd, name, 0) < 0 || mkdirat(w->fd, name, 0755) < 0)
			return err_sys(err, errno, "replace a whiteout");
		if (tree_set_opaque(w->fd, name, err) < 0)
			return -1;
		strv_pushf(&t->made, w->at.len ? "%s/%s" : "%s%s", str_get(&w->at), name);
	} else if (!S_ISDIR(st.st_mode)) {
		return err_sys(err, ENOTDIR, "a parent");
	}
	str_addf(&w->at, w->at.len ? "/%s" : "%s", name);
	return walk_open(t, w, err);
}

/* As mkdir -p inside the root. Returns an O_PATH descriptor of the caller's, -1 + err. */
static int make_dirs(struct tree *t, const char *dir, struct err *err)
{
	struct walk w = { .fd = -1 };
	int rc = walk_open(t, &w, err);
	str_add(&w.rest, dir);
	while (rc == 0) {
		char name[256];
		size_t skip = strspn(str_get(&w.rest), "/"), n = strcspn(str_get(&w.rest) + skip, "/");
		if (n == 0)
			break;
		if (n >= sizeof(name) || w.at.len + w.rest.len > 8192) {
			rc = err_sys(err, ENAMETOOLONG, "a parent directory");
			break;
		}
		memcpy(name, w.rest.p + skip, n);
		name[n] = '\0';
		w.rest.len -= skip + n;
		memmove(w.rest.p, w.rest.p + skip + n, w.rest.len + 1);
		if (strcmp(name, ".") != 0)
			rc = walk_step(t, &w, name, err);
	}
	str_done(&w.at);
	str_done(&w.rest);
	if (rc < 0)
		util_close(&w.fd);
	return w.fd;
}

int tree_dir(struct tree *t, const char *dir, struct err *err)
{
	if (t->dir_fd >= 0 && strcmp(t->dir, dir) == 0)
		return t->dir_fd;
	util_close(&t->dir_fd);
	t->dir_fd = fs_open_in_root(t->root_fd, dir[0] ? dir : ".", O_PATH | O_DIRECTORY, 0);
	if (t->dir_fd == -ENOENT || t->dir_fd == -ENOTDIR)
		t->dir_fd = make_dirs(t, dir, err);
	else if (t->dir_fd < 0)
		err_sys(err, -t->dir_fd, "open the parent directory");
	if (t->dir_fd < 0) {
		t->dir_fd = -1;
		return -1;
	}
	snprintf(t->dir, sizeof(t->dir), "%s", dir);
	return t->dir_fd;
}

int tree_parent(struct tree *t, const char *path, const char **ret_base, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(t->dir)];
	*ret_base = slash ? slash + 1 : path;
	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path);
	return tree_dir(t, dir, err);
}
