/* SPDX-License-Identifier: Apache-2.0 */
/* The two libraries behind one function. Both refuse the same members (tests/unit/images_gunzip.c): a wrong sum or length, a broken header or
 * code, a distance beyond what there is. (Some codes that leave bit patterns unused zlib refuses and ISA-L takes; the sums hold all the same.) The
 * header is read here for ISA-L: its own reader refuses one with a check sum that comes in pieces. */
#include "images/gunzip.h"

#ifdef HAVE_ISAL

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

/* RFC 1952: ten bytes, then what their flags say, in this order. */
enum part { PART_FIXED, PART_EXTRA_LENGTH, PART_EXTRA, PART_NAME, PART_COMMENT, PART_SUM, PART_BODY };
enum { FLAG_SUM = 0x02, FLAG_EXTRA = 0x04, FLAG_NAME = 0x08, FLAG_COMMENT = 0x10, FLAGS_UNKNOWN = 0xe0 };

struct gunzip {
	enum part part;
	unsigned n;              /* bytes of the part that have come; of PART_EXTRA those that are missing */
	unsigned flags, value;   /* value: of the two bytes of a length or a sum */
	uint32_t sum;
	struct inflate_state s;
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *g = xcalloc(1, sizeof(*g));
	isal_inflate_init(&g->s);
	gunzip_reset(g);
	return g;
}

struct gunzip *gunzip_free(struct gunzip *g)
{
	free(g);
	return NULL;
}

void gunzip_reset(struct gunzip *g)
{
	isal_inflate_reset(&g->s);
	g->s.crc_flag = ISAL_GZIP_NO_HDR_VER;
	g->part = PART_FIXED;
	g->n = g->flags = g->value = g->sum = 0;
}

/* The next part that the header has. */
static void next_part(struct gunzip *g)
{
	static const unsigned wants[] = { [PART_EXTRA_LENGTH] = FLAG_EXTRA, [PART_EXTRA] = FLAG_EXTRA, [PART_NAME] = FLAG_NAME, [PART_COMMENT] = FLAG_COMMENT,
		[PART_SUM] = FLAG_SUM };
	do
		g->part++;
	while (g->part != PART_BODY && !(g->flags & wants[g->part]));
	g->n = g->part == PART_EXTRA ? g->value : 0;
	g->value = 0;
	if (g->part == PART_EXTRA && g->n == 0)
		next_part(g);
}

/* One byte of the header. 0 or -1: *ret_why. */
static int take_header(struct gunzip *g, unsigned char c, const char **ret_why)
{
	static const unsigned char magic[] = { 0x1f, 0x8b, 8 };
	const enum part part = g->part;
	if (part != PART_SUM)
		g->sum = crc32_gzip_refl(g->sum, &c, 1);
	if ((part == PART_FIXED && g->n < 3 && c != magic[g->n]) || (part == PART_FIXED && g->n == 3 && (c & FLAGS_UNKNOWN))) {
		*ret_why = "incorrect header check";
		return -1;
	}
	if (part == PART_FIXED && g->n == 3)
		g->flags = c;
	if (part == PART_EXTRA_LENGTH || part == PART_SUM)
		g->value |= (unsigned)c << (8 * g->n);
	g->n += part == PART_EXTRA ? -1U : 1;
	if (part == PART_SUM && g->n == 2 && g->value != (g->sum & 0xffff)) {
		*ret_why = "header crc mismatch";
		return -1;
	}
	if ((part == PART_FIXED && g->n == 10) || ((part == PART_EXTRA_LENGTH || part == PART_SUM) && g->n == 2) || (part == PART_EXTRA && g->n == 0) ||
	    ((part == PART_NAME || part == PART_COMMENT) && c == 0))
		next_part(g);
	return 0;
}

static const char *why(int rc)
{
	switch (rc) {
	case ISAL_INVALID_BLOCK:
		return "invalid block type";
	case ISAL_INVALID_SYMBOL:
		return "invalid code";
	case ISAL_INVALID_LOOKBACK:
		return "invalid distance too far back";
	case ISAL_INCORRECT_CHECKSUM:
		return "incorrect data check";
	default:
		return "damaged data";
	}
}

int gunzip_some(struct gunzip *g, const unsigned char **in, size_t *n_in, void *out, size_t room, size_t *ret_made, const char **ret_why)
{
	const uint32_t m = (uint32_t)MIN(room, (size_t)1 << 30);
	uint32_t n;
	int rc;
	*ret_made = 0;
	for (; g->part != PART_BODY; ++*in, --*n_in)
		if (*n_in == 0)
			return 0;
		else if (take_header(g, **in, ret_why) < 0)
			return -1;
	n = (uint32_t)MIN(*n_in, (size_t)1 << 30);
	g->s.next_in = (uint8_t *)(uintptr_t)*in;
	g->s.avail_in = n;
	g->s.next_out = out;
	g->s.avail_out = m;
	rc = isal_inflate(&g->s);
	*in += n - g->s.avail_in;
	*n_in -= n - g->s.avail_in;
	*ret_made = m - g->s.avail_out;
	if (rc == ISAL_DECOMP_OK || rc == ISAL_END_INPUT || rc == ISAL_OUT_OVERFLOW)
		return g->s.block_state == ISAL_BLOCK_FINISH;
	*ret_why = why(rc);
	return -1;
}

#else

#include <zlib.h>

struct gunzip {
	z_stream z;
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *g = xcalloc(1, sizeof(*g));
	if (inflateInit2(&g->z, 16 + MAX_WBITS) != Z_OK)
		util_oom();
	return g;
}

struct gunzip *gunzip_free(struct gunzip *g)
{
	if (g)
		inflateEnd(&g->z);
	free(g);
	return NULL;
}

void gunzip_reset(struct gunzip *g)
{
	inflateReset(&g->z);
}

int gunzip_some(struct gunzip *g, const unsigned char **in, size_t *n_in, void *out, size_t room, size_t *ret_made, const char **ret_why)
{
	const uInt n = (uInt)MIN(*n_in, (size_t)1 << 30), m = (uInt)MIN(room, (size_t)1 << 30);
	int rc;
	g->z.next_in = (Bytef *)(uintptr_t)*in;
	g->z.avail_in = n;
	g->z.next_out = out;
	g->z.avail_out = m;
	rc = inflate(&g->z, Z_NO_FLUSH);
	*in += n - g->z.avail_in;
	*n_in -= n - g->z.avail_in;
	*ret_made = m - g->z.avail_out;
	if (rc == Z_STREAM_END || rc == Z_OK || rc == Z_BUF_ERROR)
		return rc == Z_STREAM_END;
	*ret_why = g->z.msg ? g->z.msg : "damaged data";
	return -1;
}

#endif
