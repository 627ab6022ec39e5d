/* SPDX-License-Identifier: Apache-2.0 */
/* See stubs.h. Reverse order, so that a directory that was made for a stub goes after it, and that several stubs of one directory hand its
 * time back from one to the next. A stub that cannot be taken away stays: an empty file in a layer does no harm. */
#include "runtime/stubs.h"

#include <fcntl.h>

#include "base/fs.h"
#include "runtime/mounts.h"

int stubs_make(struct stubs *s, int root_fd, const char *path, bool directory, struct err *err)
{
	int fd = mounts_target_noted(root_fd, path, directory, s, err);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

void stubs_note(struct stubs *s, int parent_fd, const char *name, const struct stat *before)
{
	struct stat st, after;
	AUTO_CLOSE int fd = !s || s->n == STUBS_MAX ? -1 : openat(parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int parent = fd < 0 ? -1 : fcntl(parent_fd, F_DUPFD_CLOEXEC, 3);
	if (parent < 0 || fstat(fd, &st) < 0 || fstat(parent_fd, &after) < 0)
		return;
	s->v = vec_grow(s->v, s->n, &s->cap, sizeof(*s->v));
	s->v[s->n++] = (struct stub){
		.parent_fd = TAKE_FD(parent),
		.fd = TAKE_FD(fd),
		.name = xstrdup(name),
		.dev = st.st_dev,
		.ino = st.st_ino,
		.directory = S_ISDIR(st.st_mode),
		.atime = before->st_atim,
		.mtime = before->st_mtim,
		.made = after.st_mtim,
	};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void remove_one(const struct stub *s)
{
	struct timespec times[2];
	struct stat st, parent;
	char path[32];
	if (fstatat(s->parent_fd, s->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != s->dev || st.st_ino != s->ino ||
		S_ISDIR(st.st_mode) != s->directory || fstat(s->parent_fd, &parent) < 0)
		return;
	if (!s->directory && (!S_ISREG(st.st_mode) || st.st_size != 0))
		return;
	times[0] = s->atime;
	times[1] = same_time(&parent.st_mtim, &s->made) ? s->mtime : parent.st_mtim;
	if (unlinkat(s->parent_fd, s->name, s->directory ? AT_REMOVEDIR : 0) == 0) /* of a directory: only when it is empty */
		utimensat(AT_FDCWD, fs_fd_path(s->parent_fd, path), times, 0);
}

void stubs_remove(struct stubs *s)
{
	for (size_t i = s->n; i > 0; i--)
		remove_one(&s->v[i - 1]);
	stubs_done(s);
}

void stubs_done(struct stubs *s)
{
	for (size_t i = 0; i < s->n; i++) {
		close(s->v[i].parent_fd);
		close(s->v[i].fd);
		free(s->v[i].name);
	}
	free(s->v);
	*s = (struct stubs){ 0 };
}
