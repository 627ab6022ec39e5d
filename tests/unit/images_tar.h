/* SPDX-License-Identifier: Apache-2.0 */
/* Tar archives built byte by byte, so that they can be as wrong as a hostile one: ustar headers, pax records for long names and xattrs. */
#ifndef TESTS_UNIT_IMAGES_TAR_H
#define TESTS_UNIT_IMAGES_TAR_H

#include <stdio.h>

#include "base/str.h"

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

#endif
