/* SPDX-License-Identifier: Apache-2.0 */
/* Names of rotated pieces, and finding the one that holds an offset. A reader takes no lock: it opens the current file first and lists the
 * pieces afterwards. When the file that it has is one of them by then, or is gone, a rotation came in between and it looks again. */
#include "runtime/logs_segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"

enum { DIGITS = 16, MAX_SEGMENTS = 100000, TRIES = 100 };

char *logs_segment_name(enum logs_stream stream, uint64_t end, char buf[static LOGS_SEGMENT_NAME])
{
	snprintf(buf, LOGS_SEGMENT_NAME, "%s.%016llx", logs_stream_files[stream], (unsigned long long)end);
	return buf;
}

struct listing {
	int dir_fd;
	enum logs_stream stream;
	struct logs_segments *list;
};

static int list_one(void *arg, const char *name)
{
	struct listing *l = arg;
	const char *stem = logs_stream_files[l->stream], *digits;
	size_t len = strlen(stem);
	struct stat st;
	if (!str_starts(name, stem) || name[len] != '.')
		return 0;
	digits = name + len + 1;
	if (strlen(digits) != DIGITS || strspn(digits, "0123456789abcdef") != DIGITS || l->list->n == MAX_SEGMENTS)
		return 0;
	if (fstatat(l->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0; /* removed meanwhile */
	l->list->v = vec_grow(l->list->v, l->list->n, &l->list->cap, sizeof(*l->list->v));
	l->list->v[l->list->n++] = (struct logs_segment){ .end = strtoull(digits, NULL, 16), .size = (uint64_t)st.st_size, .inode = st.st_ino,
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct logs_segment *x = a, *y = b;
	return x->end < y->end ? -1 : x->end > y->end;
}

int logs_segments_list(int dir_fd, enum logs_stream stream, struct logs_segments *ret, struct err *err)
{
	struct listing l = { .dir_fd = dir_fd, .stream = stream, .list = ret };
	ret->n = 0;
	if (fs_each(dir_fd, ".", list_one, &l, err) < 0)
		return -1;
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare);
	for (size_t i = 0; i < ret->n; i++) /* what somebody has made longer by hand must not reach into its neighbour */
		ret->v[i].size = MIN(ret->v[i].size, ret->v[i].end - (i ? ret->v[i - 1].end : 0));
	return 0;
}

void logs_segments_done(struct logs_segments *s)
{
	free(s->v);
	*s = (struct logs_segments){0};
}

uint64_t logs_segments_end(const struct logs_segments *s)
{
	return s->n ? s->v[s->n - 1].end : 0;
}

uint64_t logs_segments_first(const struct logs_segments *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].size)
			return s->v[i].end - s->v[i].size;
	return logs_segments_end(s);
}

/* The piece that holds `at`. Descriptor, or -1 + errno: EAGAIN when it has just gone, ENOENT when at is gone, 0 when none holds it yet. */
static int open_piece(int dir_fd, enum logs_stream stream, const struct logs_segments *list, uint64_t at, uint64_t *ret_base)
{
	char name[LOGS_SEGMENT_NAME];
	size_t i = 0;
	int fd;
	while (i < list->n && list->v[i].end <= at)
		i++;
	errno = i == list->n ? 0 : ENOENT;
	if (i == list->n || list->v[i].end - list->v[i].size > at)
		return -1;
	*ret_base = list->v[i].end - list->v[i].size;
	fd = openat(dir_fd, logs_segment_name(stream, list->v[i].end, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		errno = EAGAIN;
	return fd;
}

int logs_segment_open(int dir_fd, enum logs_stream stream, uint64_t at, uint64_t *ret_base, bool *ret_current, struct err *err)
{
	const char *name = logs_stream_files[stream];
	CLEANUP(logs_segments_done) struct logs_segments list = {0};
	for (int tries = 0; tries < TRIES; tries++) {
		AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		struct stat st;
		int piece;
		if (fd < 0 && errno != ENOENT)
			return err_sys(err, errno, "open %s", name);
		if (logs_segments_list(dir_fd, stream, &list, err) < 0)
			return -1;
		piece = open_piece(dir_fd, stream, &list, at, ret_base);
		if (piece >= 0) {
			*ret_current = false;
			return piece;
		}
		if (errno == EAGAIN)
			continue;
		if (errno)
			return err_sys(err, errno, "open %s at %llu", name, (unsigned long long)at);
		if (fd < 0 && !list.n)
			return err_sys(err, ENOENT, "open %s", name);
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0 || (list.n && list.v[list.n - 1].inode == st.st_ino)) {
			usleep(fd < 0 ? 200 : 0);
			continue;
		}
		*ret_base = logs_segments_end(&list);
		*ret_current = true;
		return TAKE_FD(fd);
	}
	return err_sys(err, ENOENT, "open %s", name); /* killed between two renames: the next log process makes it */
}
