/* SPDX-License-Identifier: Apache-2.0 */
/* The two libraries behind one function. Both refuse the same members (tests/unit/images_gunzip.c): a wrong sum or length, a broken header or
 * code, a distance beyond what there is. Only header flags without a meaning, which zlib refuses, ISA-L passes over. */
#include "images/gunzip.h"

#ifdef HAVE_ISAL

#include <isa-l/igzip_lib.h>

struct gunzip {
	struct isal_gzip_header header; /* not looked at; the library wants to put it somewhere */
	struct inflate_state s;
};

struct gunzip *gunzip_new(void)
{
	struct gunzip *g = xcalloc(1, sizeof(*g));
	isal_inflate_init(&g->s);
	g->s.crc_flag = ISAL_GZIP;
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
	g->s.crc_flag = ISAL_GZIP;
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
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return "incorrect header check";
	case ISAL_INCORRECT_CHECKSUM:
		return "incorrect data check";
	default:
		return "damaged data";
	}
}

int gunzip_some(struct gunzip *g, const unsigned char **in, size_t *n_in, void *out, size_t room, size_t *ret_made, const char **ret_why)
{
	const uint32_t n = (uint32_t)MIN(*n_in, (size_t)1 << 30), m = (uint32_t)MIN(room, (size_t)1 << 30);
	int rc;
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
