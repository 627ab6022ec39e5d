/* SPDX-License-Identifier: Apache-2.0 */
/* Two looks. The histogram: with bytes that are not equally frequent, an entropy below 7.985 bits, a code alone would save something. Then, as
 * a table of all numbers has a flat histogram too, a quick trial on a piece out of the middle: it may save 1 in 64 at most. */
#include "images/noise.h"

#include <zlib.h>

enum { LEAST_BYTES = 64 << 10, TRIAL_BYTES = 16 << 10, TRIAL_LEVEL = 1 };

struct noise {
	z_stream z;
	unsigned char out[TRIAL_BYTES + 1024];
};

struct noise *noise_new(void)
{
	struct noise *n = xcalloc(1, sizeof(*n));
	if (deflateInit2(&n->z, TRIAL_LEVEL, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		util_oom();
	return n;
}

struct noise *noise_free(struct noise *n)
{
	if (n)
		deflateEnd(&n->z);
	free(n);
	return NULL;
}

/* The sum of the squares of the counts is len²/256 when all are alike, and a little more by chance: up to 1.02 of it passes. */
static bool is_flat(const unsigned char *p, size_t len)
{
	uint32_t counts[4][256] = {0}; /* four, since one that was just written cannot be read at once */
	uint64_t squares = 0;
	for (size_t i = 0; i + 4 <= len; i += 4) {
		counts[0][p[i]]++;
		counts[1][p[i + 1]]++;
		counts[2][p[i + 2]]++;
		counts[3][p[i + 3]]++;
	}
	len -= len % 4;
	for (size_t i = 0; i < 256; i++) {
		uint64_t c = (uint64_t)counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];
		squares += c * c;
	}
	return squares <= (uint64_t)len * len / 256 / 50 * 51;
}

static bool resists(struct noise *n, const unsigned char *p)
{
	deflateReset(&n->z);
	n->z.next_in = (Bytef *)(uintptr_t)p;
	n->z.avail_in = TRIAL_BYTES;
	n->z.next_out = n->out;
	n->z.avail_out = sizeof(n->out);
	return deflate(&n->z, Z_FINISH) != Z_STREAM_END || n->z.total_out > TRIAL_BYTES - TRIAL_BYTES / 64;
}

bool noise_is(struct noise *n, const void *p, size_t len)
{
	return len >= LEAST_BYTES && len <= 1U << 30 && is_flat(p, len) && resists(n, (const unsigned char *)p + (len - TRIAL_BYTES) / 2);
}
