/* SPDX-License-Identifier: Apache-2.0 */
/* See mounts.h. Detached clones are made private at once: a clone of a shared mount is its peer, and what is mounted below it later
 * would appear on the host. After mount(2) the target has to be opened again by name, because a descriptor from before shows what is
 * underneath. */
#include "runtime/mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/fs.h"
#include "runtime/mountpoints.h"

enum { LINKS_MAX = 16 };

static bool refused(int e)
{
	return e == ENOSYS || e == EPERM;
}

int mounts_source_prepare(struct mounts_source *s, struct err *err)
{
	unsigned recursive = s->recursive ? AT_RECURSIVE : 0;
	struct mount_attr attr = { .attr_set = s->read_only ? MOUNT_ATTR_RDONLY : 0, .propagation = MS_PRIVATE };
	s->plain = false;
	s->tree = open_tree(s->fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
	if (s->tree < 0)
		return refused(errno) ? 0 : err_sys(err, errno, "clone the mount");
	if (mount_setattr(s->tree, "", AT_EMPTY_PATH | recursive, &attr, sizeof(attr)) < 0) {
		if (!refused(errno))
			return err_sys(err, errno, "set the attributes of the mount");
		s->plain = true;
	}
	return 0;
}

void mounts_source_done(struct mounts_source *s)
{
	util_close(&s->tree);
}

int mounts_leave_chroot(struct err *err)
{
	AUTO_CLOSE int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return err_sys(err, errno, "open /proc/self/ns/mnt");
	if (setns(ns, CLONE_NEWNS) < 0)
		return err_sys(err, errno, "enter the root of the mount namespace");
	return 0;
}

int mounts_reopen(int fd, struct err *err)
{
	char link[32], path[PATH_MAX];
	AUTO_CLOSE int again = -1;
	struct stat was, is;
	ssize_t n = readlink(fs_fd_path(fd, link), path, sizeof(path) - 1);
	if (n < 0)
		return err_sys(err, errno, "find the path of a descriptor");
	path[n] = '\0';
	again = open(path, O_PATH | O_CLOEXEC);
	if (again < 0)
		return err_sys(err, errno, "open %s again", path);
	if (fstat(fd, &was) < 0 || fstat(again, &is) < 0 || was.st_dev != is.st_dev || was.st_ino != is.st_ino)
		return err_set(err, ERR_CONFLICT, "%s has changed meanwhile", path);
	return TAKE_FD(again);
}

int mounts_make_read_only(int root_fd, const char *path, struct err *err)
{
	AUTO_CLOSE int fd = fs_open_in_root(root_fd, path, O_PATH, 0);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
	struct statvfs v;
	char link[32];
	if (fd < 0)
		return err_sys(err, -fd, "open %s", path);
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		return 0;
	if (!refused(errno) || fstatvfs(fd, &v) < 0)
		return err_sys(err, errno, "make %s read-only", path);
	flags |= (v.f_flag & ST_NOSUID ? MS_NOSUID : 0UL) | (v.f_flag & ST_NODEV ? MS_NODEV : 0UL) |
		(v.f_flag & ST_NOEXEC ? MS_NOEXEC : 0UL);
	if (mount(NULL, fs_fd_path(fd, link), NULL, flags, NULL) < 0)
		return err_sys(err, errno, "make %s read-only", path);
	return 0;
}

/* The part that a plain clone or mount(2) leaves undone. */
static int finish_plain(const struct mounts_source *s, int root_fd, const char *path, struct err *err)
{
	AUTO_CLOSE int fd = fs_open_in_root(root_fd, path, O_PATH, 0);
	char link[32];
	if (fd < 0)
		return err_sys(err, -fd, "open %s", path);
	if (mount(NULL, fs_fd_path(fd, link), NULL, MS_PRIVATE | (s->recursive ? MS_REC : 0), NULL) < 0)
		return err_sys(err, errno, "make %s private", path);
	return s->read_only ? mounts_make_read_only(root_fd, path, err) : 0;
}

int mounts_source_attach(struct mounts_source *s, int root_fd, const char *path, int target_fd, struct err *err)
{
	AUTO_CLOSE int again = -1;
	char from[32], to[32];
	if (s->tree >= 0) {
		if (move_mount(s->tree, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0)
			return s->plain ? finish_plain(s, root_fd, path, err) : 0;
		if (!refused(errno))
			return err_sys(err, errno, "mount %s", path);
	}
	if (s->foreign) {
		again = mounts_reopen(s->fd, err);
		if (again < 0)
			return -1;
	}
	if (mount(fs_fd_path(s->foreign ? again : s->fd, from), fs_fd_path(target_fd, to), NULL, MS_BIND | (s->recursive ? MS_REC : 0),
		    NULL) < 0)
		return err_sys(err, errno, "mount %s", path);
	return finish_plain(s, root_fd, path, err);
}

int mounts_fs(const char *type, int target_fd, unsigned long flags, const char *data, struct err *err)
{
	char to[32];
	if (mount(type, fs_fd_path(target_fd, to), type, flags, data) < 0)
		return err_sys(err, errno, "mount a %s", type);
	return 0;
}

/* Where and for whom something is being made. */
struct making {
	int root_fd;
	int depth; /* of dangling symlinks */
	struct mountpoints *made;
};

static int make(const struct making *m, const char *path, bool directory, struct err *err);

/* The name exists but leads nowhere: a dangling symlink. What it points to is made, inside the root. */
static int make_link_target(const struct making *m, int parent_fd, const char *prefix, const char *name, bool directory, struct err *err)
{
	const struct making further = { m->root_fd, m->depth + 1, m->made };
	size_t parent_len = (size_t)(strrchr(prefix, '/') - prefix);
	char link[PATH_MAX], quoted[256];
	AUTO_FREE char *to = NULL;
	ssize_t n = readlinkat(parent_fd, name, link, sizeof(link) - 1);
	if (n < 0 || m->depth == LINKS_MAX)
		return err_sys(err, n < 0 ? errno : ELOOP, "create %s", err_quote(quoted, sizeof(quoted), prefix));
	link[n] = '\0';
	to = link[0] == '/' ? xstrdup(link) : xasprintf("%.*s/%s", (int)parent_len, prefix, link);
	return make(&further, to, directory, err);
}

/* Makes one component below parent_fd; existing ones are fine. */
static int make_component(const struct making *m, int parent_fd, const char *prefix, const char *name, bool directory, struct err *err)
{
	char quoted[256];
	struct stat before;
	int rc;
	if (fstat(parent_fd, &before) < 0)
		return err_sys(err, errno, "create %s", err_quote(quoted, sizeof(quoted), prefix));
	rc = directory ? mkdirat(parent_fd, name, 0755) :
			     openat(parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (rc >= 0) {
		if (!directory)
			close(rc);
		mountpoints_note(m->made, parent_fd, name, &before);
		return 0;
	}
	if (errno == EEXIST)
		return make_link_target(m, parent_fd, prefix, name, directory, err);
	return err_sys(err, errno, "create %s", err_quote(quoted, sizeof(quoted), prefix));
}

/* Makes path inside root_fd with everything above it, one component at a time. */
static int make(const struct making *m, const char *path, bool directory, struct err *err)
{
	AUTO_FREE char *prefix = xasprintf("%s%s", path[0] == '/' ? "" : "/", path);
	AUTO_CLOSE int parent = fcntl(m->root_fd, F_DUPFD_CLOEXEC, 3);
	char quoted[256];
	if (parent < 0)
		return err_sys(err, errno, "duplicate a descriptor");
	for (char *at = prefix; *at;) {
		char name[NAME_MAX + 1], *start = at + strspn(at, "/"), *end = start + strcspn(start, "/"), kept = *end;
		bool last = end[strspn(end, "/")] == '\0', dir = !last || directory;
		int next;
		if (end == start)
			break;
		if (end - start > NAME_MAX)
			return err_sys(err, ENAMETOOLONG, "create %s", err_quote(quoted, sizeof(quoted), path));
		memcpy(name, start, (size_t)(end - start));
		name[end - start] = '\0';
		*end = '\0';
		next = fs_open_in_root(m->root_fd, prefix, O_PATH | (dir ? O_DIRECTORY : 0), 0);
		if (next == -ENOENT) {
			if (make_component(m, parent, prefix, name, dir, err) < 0)
				return -1;
			next = fs_open_in_root(m->root_fd, prefix, O_PATH | (dir ? O_DIRECTORY : 0), 0);
		}
		if (next < 0)
			return err_sys(err, -next, "open %s", err_quote(quoted, sizeof(quoted), prefix));
		util_close(&parent);
		parent = next;
		*end = kept;
		at = end;
	}
	return 0;
}

int mounts_target(int root_fd, const char *path, bool directory, struct err *err)
{
	return mounts_target_noted(root_fd, path, directory, NULL, err);
}

int mounts_target_noted(int root_fd, const char *path, bool directory, struct mountpoints *made, struct err *err)
{
	const struct making m = { root_fd, 0, made };
	char quoted[256];
	AUTO_CLOSE int fd = fs_open_in_root(root_fd, path, O_PATH | (directory ? O_DIRECTORY : 0), 0);
	struct stat st;
	if (fd == -ENOENT) {
		if (make(&m, path, directory, err) < 0)
			return -1;
		fd = fs_open_in_root(root_fd, path, O_PATH | (directory ? O_DIRECTORY : 0), 0);
	}
	err_quote(quoted, sizeof(quoted), path);
	if (fd == -ENOTDIR && directory)
		return err_set(err, ERR_INVALID, "mount target %s is not a directory", quoted);
	if (fd < 0)
		return err_sys(err, -fd, "open mount target %s", quoted);
	if (!directory && (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)))
		return err_set(err, ERR_INVALID, "mount target %s is a directory, but what is mounted is a file", quoted);
	return TAKE_FD(fd);
}
