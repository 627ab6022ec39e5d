/* SPDX-License-Identifier: Apache-2.0 */
/* See mountpoints.h. Reverse order, so that a directory that was made for a mount point goes after it, and that several mount points of
 * one directory hand its time back from one to the next. A mount point that cannot be taken away stays: an empty file in a layer does no
 * harm. */
#include "runtime/mountpoints.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "runtime/mounts.h"

int mountpoints_make(struct mountpoints *s, int root_fd, const char *path, bool directory, struct err *err)
{
	int fd = mounts_target_noted(root_fd, path, directory, s, err);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Where a directory is in its mount; NULL when that is not known. */
static char *path_of(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t n = readlink(fs_fd_path(fd, link), path, sizeof(path) - 1);
	return n > 0 && path[0] == '/' ? xstrndup(path, (size_t)n) : NULL;
}

void mountpoints_note(struct mountpoints *s, int parent_fd, const char *name, const struct stat *before)
{
	struct stat st, after;
	AUTO_CLOSE int fd = !s || s->n == MOUNTPOINTS_MAX ? -1 : openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int parent = fd < 0 ? -1 : fcntl(parent_fd, F_DUPFD_CLOEXEC, 3);
	if (parent < 0 || fstat(fd, &st) < 0 || fstat(parent_fd, &after) < 0)
		return;
	s->v = vec_grow(s->v, s->n, &s->cap, sizeof(*s->v));
	s->v[s->n++] = (struct mountpoint){
		.parent_fd = TAKE_FD(parent),
		.fd = TAKE_FD(fd),
		.name = xstrdup(name),
		.dev = st.st_dev,
		.ino = st.st_ino,
		.directory = S_ISDIR(st.st_mode),
		.parent = path_of(parent_fd),
		.before = *before,
		.made = after.st_mtim,
	};
}

static void remove_one(const struct mountpoint *s)
{
	struct timespec times[2];
	struct stat st, parent;
	char path[32];
	if (fstatat(s->parent_fd, s->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != s->dev || st.st_ino != s->ino ||
		S_ISDIR(st.st_mode) != s->directory || fstat(s->parent_fd, &parent) < 0)
		return;
	if (!s->directory && (!S_ISREG(st.st_mode) || st.st_size != 0))
		return;
	times[0] = s->before.st_atim;
	times[1] = same_time(&parent.st_mtim, &s->made) ? s->before.st_mtim : parent.st_mtim;
	if (unlinkat(s->parent_fd, s->name, s->directory ? AT_REMOVEDIR : 0) == 0) /* of a directory: only when it is empty */
		utimensat(AT_FDCWD, fs_fd_path(s->parent_fd, path), times, 0);
}

void mountpoints_remove(struct mountpoints *s)
{
	for (size_t i = s->n; i > 0; i--)
		remove_one(&s->v[i - 1]);
	for (size_t i = 0; i < s->n; i++) {
		util_close(&s->v[i].parent_fd);
		util_close(&s->v[i].fd);
	}
}

/* Removes an empty directory that says nothing: it is as the layers below have it. */
static void tidy_one(const struct mountpoint *s, int upper_fd)
{
	AUTO_CLOSE int dir = fs_open_in_root(upper_fd, s->parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	AUTO_CLOSE int above = dir < 0 ? -1 : openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *slash = strrchr(s->parent, '/');
	struct stat st, outer;
	char value;
	if (above < 0 || !slash[1] || fstat(dir, &st) < 0 || fstat(above, &outer) < 0 || st.st_mode != s->before.st_mode || st.st_uid != s->before.st_uid ||
		st.st_gid != s->before.st_gid || !same_time(&st.st_mtim, &s->before.st_mtim))
		return;
	if (fgetxattr(dir, "trusted.overlay.opaque", &value, sizeof(value)) >= 0)
		return;
	if (unlinkat(above, slash + 1, AT_REMOVEDIR) == 0) {
		struct timespec times[2] = { outer.st_atim, outer.st_mtim };
		futimens(above, times);
	}
}

void mountpoints_tidy(struct mountpoints *s, int upper_fd)
{
	for (size_t i = s->n; i > 0; i--)
		if (s->v[i - 1].parent)
			tidy_one(&s->v[i - 1], upper_fd);
	mountpoints_done(s);
}

void mountpoints_done(struct mountpoints *s)
{
	for (size_t i = 0; i < s->n; i++) {
		util_close(&s->v[i].parent_fd);
		util_close(&s->v[i].fd);
		free(s->v[i].name);
		free(s->v[i].parent);
	}
	free(s->v);
	*s = (struct mountpoints){ 0 };
}
