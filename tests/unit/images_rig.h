/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of images/ share: tar archives built byte by byte (so that they can be as wrong as a hostile one), a scratch folder that
 * is gone afterwards, and a source of bytes in memory. */
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

/* ---- tar ---- */

/* What one header says; zero means the usual. */
struct entry {
	const char *name;
	char type;               /* '0' file (default), '1' hard link, '2' symlink, '3' chr, '4' blk, '5' dir, '6' fifo */
	unsigned mode;           /* default 0644, of directories 0755 */
	unsigned uid, gid;
	const char *data;        /* text of a file */
	const char *link;        /* target */
	unsigned major, minor;
	long long mtime;         /* default 1000000000 */
	long long size;          /* what the header claims instead of the data's length */
	bool bad_checksum;
	const char *xattr, *xattr_value;
	size_t xattr_n;          /* 0: the value is text */
};

static inline void tar_pad(struct str *out)
{
	static const char zeros[512];
	if (out->len % 512)
		str_addn(out, zeros, 512 - out->len % 512);
}

static inline void tar_octal(char *field, unsigned v)
{
	for (int i = 6; i >= 0; i--, v /= 8)
		field[i] = (char)('0' + v % 8);
}

static inline void tar_header(struct str *out, const struct entry *e, const char *name, char type, long long size)
{
	char h[512] = {0};
	unsigned sum = 0;
	bool is_dir = type == '5';
	memcpy(h, name, MIN(strlen(name), (size_t)100));
	tar_octal(h + 100, e->mode ? e->mode : is_dir ? 0755 : 0644);
	tar_octal(h + 108, e->uid);
	tar_octal(h + 116, e->gid);
	snprintf(h + 124, 12, "%011llo", size);
	if (size >= 1LL << 33) { /* base 256 */
		memset(h + 124, 0, 12);
		h[124] = (char)0x80;
		for (int i = 0; i < 8; i++)
			h[135 - i] = (char)(size >> 8 * i);
	}
	snprintf(h + 136, 12, "%011llo", e->mtime ? e->mtime : 1000000000);
	memset(h + 148, ' ', 8);
	h[156] = type;
	if (e->link)
		memcpy(h + 157, e->link, MIN(strlen(e->link), (size_t)100));
	memcpy(h + 257, "ustar\0" "00", 8);
	tar_octal(h + 329, e->major);
	tar_octal(h + 337, e->minor);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum + e->bad_checksum);
	h[155] = ' ';
	str_addn(out, h, sizeof(h));
}

/* "<length> key=value\n", the length counting itself. */
static inline void pax_record(struct str *out, const char *key, const char *value, size_t n_value)
{
	size_t n = strlen(key) + n_value + 3, digits = 1;
	while (snprintf(NULL, 0, "%zu", n + digits) > (int)digits)
		digits++;
	str_addf(out, "%zu %s=", n + digits, key);
	str_addn(out, value, n_value);
	str_addc(out, '\n');
}

static inline void tar_add(struct str *out, const struct entry *e)
{
	const char type = e->type ? e->type : '0';
	const size_t n = e->data ? strlen(e->data) : 0;
	AUTO_STR struct str pax = {0};
	if (strlen(e->name) > 100)
		pax_record(&pax, "path", e->name, strlen(e->name));
	if (e->link && strlen(e->link) > 100)
		pax_record(&pax, "linkpath", e->link, strlen(e->link));
	if (e->xattr) {
		AUTO_FREE char *key = xasprintf("SCHILY.xattr.%s", e->xattr);
		pax_record(&pax, key, e->xattr_value, e->xattr_n ? e->xattr_n : strlen(e->xattr_value));
	}
	if (pax.len) {
		tar_header(out, &(struct entry){ .name = "pax" }, "pax", 'x', (long long)pax.len);
		str_addn(out, pax.p, pax.len);
		tar_pad(out);
	}
	tar_header(out, e, e->name, type, e->size ? e->size : (long long)n);
	if (n)
		str_addn(out, e->data, n);
	tar_pad(out);
}

static inline void tar_end(struct str *out)
{
	static const char zeros[1024];
	str_addn(out, zeros, sizeof(zeros));
}

/* Builds an archive from a list that ends with a nameless entry. */
static inline void tar_build(struct str *out, const struct entry *list)
{
	for (; list->name; list++)
		tar_add(out, list);
	tar_end(out);
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
