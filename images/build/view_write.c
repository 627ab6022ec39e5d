/* SPDX-License-Identifier: Apache-2.0 */
/* Changing a stack of layers through its top one. What the kernel's overlay does when a program writes, done for files whose whole content is
 * known: a new name simply appears in the upper directory, a directory that lies below is made there first. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "images/build/view.h"
#include "images/tree.h"

enum { DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

int view_copy_xattrs(int from_fd, int to_fd, struct err *err)
{
	char names[4096], value[65536];
	ssize_t n = flistxattr(from_fd, names, sizeof(names));
	for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		ssize_t len;
		if (strcmp(name, "security.capability") != 0 && (!str_starts(name, "user.") || str_starts(name, "user.overlay.")))
			continue;
		len = fgetxattr(from_fd, name, value, sizeof(value));
		if (len >= 0 && fsetxattr(to_fd, name, value, (size_t)len, 0) < 0 && errno != EOPNOTSUPP && errno != EPERM)
			return err_sys(err, errno, "set attribute %s", name);
	}
	return 0;
}

/* A directory like the one `like_fd` in parent_fd. Returns its descriptor, -1 + err. */
static int copy_up(int parent_fd, const char *name, int like_fd, struct err *err)
{
	struct stat st;
	AUTO_CLOSE int fd = -1;
	if (failpoint_err("view.copy_up", err) < 0)
		return -1;
	if (fstat(like_fd, &st) < 0 || mkdirat(parent_fd, name, 0700) < 0 || (fd = openat(parent_fd, name, DIR_FLAGS)) < 0)
		return err_sys(err, errno, "create directory %s", name);
	if (fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		return err_sys(err, errno, "directory %s", name);
	if (view_copy_xattrs(like_fd, fd, err) < 0)
		return -1;
	if (futimens(fd, (struct timespec[2]){ st.st_atim, st.st_mtim }) < 0)
		return err_sys(err, errno, "directory %s", name);
	return TAKE_FD(fd);
}

int view_upper(struct view_walk *w, struct err *err)
{
	assert(w->view->writable);
	for (size_t i = 1; i < w->n; i++) {
		struct view_level *l = &w->levels[i];
		int fd;
		if (l->upper)
			continue;
		fd = copy_up(w->levels[i - 1].fds[0], l->name, l->fds[0], err);
		if (fd < 0)
			return -1;
		l->fds = xrealloc(l->fds, l->n + 1, sizeof(*l->fds));
		memmove(l->fds + 1, l->fds, l->n * sizeof(*l->fds));
		l->fds[0] = fd;
		l->n++;
		l->upper = true;
	}
	return w->levels[w->n - 1].fds[0];
}

/* A whiteout at name in the upper directory goes; *ret_was says that there was one. */
static int remove_whiteout(int upper, const char *name, bool *ret_was, struct err *err)
{
	struct stat st;
	*ret_was = fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && tree_is_whiteout(&st);
	return *ret_was && unlinkat(upper, name, 0) < 0 ? err_sys(err, errno, "replace %s", name) : 0;
}

int view_mkdir(struct view_walk *w, const char *name, const struct view_owner *owner, struct err *err)
{
	const int upper = view_upper(w, err);
	AUTO_CLOSE int fd = -1;
	bool was_whiteout;
	if (upper < 0 || remove_whiteout(upper, name, &was_whiteout, err) < 0)
		return -1;
	if (mkdirat(upper, name, 0700) < 0 || (fd = openat(upper, name, DIR_FLAGS)) < 0 || fchown(fd, owner->uid, owner->gid) < 0 ||
	    fchmod(fd, owner->mode & 07777) < 0)
		return err_sys(err, errno, "create directory %s", name);
	if (was_whiteout && tree_set_opaque(upper, name, err) < 0)
		return -1;
	if (owner->has_time && futimens(fd, (struct timespec[2]){ owner->time, owner->time }) < 0)
		return err_sys(err, errno, "create directory %s", name);
	return 0;
}

/* Is the directory name, as the view shows it, empty? 1: yes; 0; -1 + err. */
static int is_empty(struct view_walk *w, const char *name, struct err *err)
{
	AUTO_STRV struct strv names = {0};
	int rc;
	if (view_down(w, name, err) < 0)
		return -1;
	rc = view_list(w, &names, err);
	view_up(w);
	return rc < 0 ? -1 : names.n == 0;
}

int view_clear(struct view_walk *w, const char *name, bool all, struct err *err)
{
	const int upper = view_upper(w, err);
	struct stat st, here;
	bool was_whiteout;
	int found;
	if (upper < 0)
		return -1;
	if (w->levels[w->n - 1].n == 1 && fstatat(upper, name, &here, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return upper; /* in a directory that only this layer has: what most files of a big COPY go into */
	found = view_find(w, name, &st, err);
	if (found < 0)
		return -1;
	if (found == 0 && S_ISDIR(st.st_mode) && !all) {
		int empty = is_empty(w, name, err);
		if (empty <= 0)
			return empty < 0 ? -1 : err_sys(err, ENOTEMPTY, "replace directory %s", name);
	}
	if (remove_whiteout(upper, name, &was_whiteout, err) < 0)
		return -1;
	if (fstatat(upper, name, &here, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(here.st_mode) ? fs_remove_tree(upper, name, err) < 0 : unlinkat(upper, name, 0) < 0)
			return S_ISDIR(here.st_mode) ? -1 : err_sys(err, errno, "replace %s", name);
	}
	return upper;
}
