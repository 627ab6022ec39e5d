/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of images/ share: a scratch folder that is gone afterwards, a source of bytes in memory, the way into a layer. */
#ifndef TESTS_UNIT_IMAGES_RIG_H
#define TESTS_UNIT_IMAGES_RIG_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/str.h"
#include "images/work.h"
#include "tests/unit/images_tar.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

/* Ends the program at a failure after which nothing makes sense. */
#define NEED(cond) \
	do { if (!(cond)) { printf("%s:%d: %s: errno %s\n", __FILE__, __LINE__, #cond, strerror(errno)); exit(1); } } while (0)

/* ---- scratch ---- */

struct scratch {
	char path[64];
	int fd;
};

static inline void scratch_init(struct scratch *s)
{
	snprintf(s->path, sizeof(s->path), "/tmp/muster-test-XXXXXX");
	NEED(mkdtemp(s->path));
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	NEED(s->fd >= 0);
}

static inline void scratch_done(struct scratch *s)
{
	struct err err = {0};
	close(s->fd);
	if (fs_remove_tree(AT_FDCWD, s->path, &err) < 0)
		printf("%s\n", err.msg);
}

/* ---- sources ---- */

struct memory {
	const char *p;
	size_t n, at, step; /* step: bytes given at most at once; 0 = all */
};

static inline ssize_t memory_read(void *arg, void *buf, size_t n, struct err *err)
{
	struct memory *m = arg;
	(void)err;
	n = MIN(n, m->n - m->at);
	if (m->step)
		n = MIN(n, m->step);
	memcpy(buf, m->p + m->at, n);
	m->at += n;
	return (ssize_t)n;
}

static inline struct stream_source memory_source(struct memory *m)
{
	return (struct stream_source){ .read = memory_read, .arg = m, .wait_fd = -1 };
}

/* Unpacks an archive into dir_fd with these limits (NULL: the default ones). */
static inline int unpack(const struct str *tar, int dir_fd, const struct layer_limits *limits, struct layer_result *result, struct err *err)
{
	struct memory m = { .p = tar->p, .n = tar->len };
	const struct stream_source src = memory_source(&m);
	const struct stream_limits none = {0};
	AUTO_STREAM struct stream *s = NULL;
	*err = (struct err){0};
	if (stream_open(&src, &none, &s, err) < 0)
		return -1;
	return layer_unpack(s, dir_fd, limits ? limits : &layer_default_limits, NULL, NULL, result, err);
}

#endif
