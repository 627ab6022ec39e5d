/* SPDX-License-Identifier: Apache-2.0 */
/* FIPS 180-4 by the x86 SHA extensions. A state is kept as those want it, in two registers: A B E F and C D G H. Four rounds take the sum of
 * four schedule words and four constants; the schedule is computed four words at a time, in a ring of four registers.
 * tests/unit/images_sha256.c holds it against libcrypto. */
#include "images/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { BLOCK = 64 };

struct sha256 {
	EVP_MD_CTX *md;              /* NULL: done here */
	uint32_t state[8];           /* A B E F, C D G H, each from the lowest lane up: F E B A, H G D C */
	unsigned char tail[2 * BLOCK];
	size_t n_tail;               /* below BLOCK between two calls */
	uint64_t n_bytes;
};

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1")))

static const uint32_t constants[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* A stream within a block: its state and the ring of schedule words. */
struct rounds {
	__m128i abef, cdgh, w[4];
};

WITH_SHA static inline __attribute__((always_inline)) void load(struct rounds *r, const unsigned char *p)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	for (int i = 0; i < 4; i++)
		r->w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), big_endian);
}

/* Rounds 4g to 4g + 3; up to g = 11 the words of four rounds of later take the place of those that were used. */
WITH_SHA static inline __attribute__((always_inline)) void four_rounds(struct rounds *r, int g)
{
	__m128i *w = &r->w[g % 4], next = r->w[(g + 3) % 4];
	__m128i sum = _mm_add_epi32(*w, _mm_load_si128((const __m128i *)(const void *)(constants + (size_t)(4 * g))));
	r->cdgh = _mm_sha256rnds2_epu32(r->cdgh, r->abef, sum);
	r->abef = _mm_sha256rnds2_epu32(r->abef, r->cdgh, _mm_shuffle_epi32(sum, 0x0e));
	if (g < 12) {
		__m128i mixed = _mm_add_epi32(_mm_sha256msg1_epu32(*w, r->w[(g + 1) % 4]), _mm_alignr_epi8(next, r->w[(g + 2) % 4], 4));
		*w = _mm_sha256msg2_epu32(mixed, next);
	}
}

WITH_SHA static void blocks(struct sha256 *s, const unsigned char *p, size_t n)
{
	__m128i *state = (__m128i *)(void *)s->state;
	struct rounds r = { .abef = _mm_loadu_si128(state), .cdgh = _mm_loadu_si128(state + 1) };
	for (; n; n--, p += BLOCK) {
		const __m128i abef = r.abef, cdgh = r.cdgh;
		load(&r, p);
#pragma GCC unroll 16
		for (int g = 0; g < 16; g++)
			four_rounds(&r, g);
		r.abef = _mm_add_epi32(r.abef, abef);
		r.cdgh = _mm_add_epi32(r.cdgh, cdgh);
	}
	_mm_storeu_si128(state, r.abef);
	_mm_storeu_si128(state + 1, r.cdgh);
}

/* n blocks of each of two streams. */
WITH_SHA static void blocks_of_both(struct sha256 *a, const unsigned char *p, struct sha256 *b, const unsigned char *q, size_t n)
{
	__m128i *x = (__m128i *)(void *)a->state, *y = (__m128i *)(void *)b->state;
	struct rounds r = { .abef = _mm_loadu_si128(x), .cdgh = _mm_loadu_si128(x + 1) };
	struct rounds t = { .abef = _mm_loadu_si128(y), .cdgh = _mm_loadu_si128(y + 1) };
	for (; n; n--, p += BLOCK, q += BLOCK) {
		const __m128i r_abef = r.abef, r_cdgh = r.cdgh, t_abef = t.abef, t_cdgh = t.cdgh;
		load(&r, p);
		load(&t, q);
#pragma GCC unroll 16
		for (int g = 0; g < 16; g++) {
			four_rounds(&r, g);
			four_rounds(&t, g);
		}
		r.abef = _mm_add_epi32(r.abef, r_abef);
		r.cdgh = _mm_add_epi32(r.cdgh, r_cdgh);
		t.abef = _mm_add_epi32(t.abef, t_abef);
		t.cdgh = _mm_add_epi32(t.cdgh, t_cdgh);
	}
	_mm_storeu_si128(x, r.abef);
	_mm_storeu_si128(x + 1, r.cdgh);
	_mm_storeu_si128(y, t.abef);
	_mm_storeu_si128(y + 1, t.cdgh);
}

static bool have_sha(void)
{
	unsigned a, b, c, d;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1);
}

#else

static void blocks(struct sha256 *s, const unsigned char *p, size_t n)
{
	(void)s, (void)p, (void)n;
	abort();
}

static void blocks_of_both(struct sha256 *a, const unsigned char *p, struct sha256 *b, const unsigned char *q, size_t n)
{
	blocks(a, p, n);
	blocks(b, q, n);
}

static bool have_sha(void)
{
	return false;
}

#endif

struct sha256 *sha256_new(void)
{
	/* the initial A … H of the standard, in our order */
	static const uint32_t first[8] = { 0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667, 0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372 };
	struct sha256 *s;
	if (!have_sha())
		return sha256_new_libcrypto();
	s = xcalloc(1, sizeof(*s));
	memcpy(s->state, first, sizeof(first));
	return s;
}

struct sha256 *sha256_new_libcrypto(void)
{
	struct sha256 *s = xcalloc(1, sizeof(*s));
	s->md = EVP_MD_CTX_new();
	if (!s->md || EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) != 1)
		util_oom();
	return s;
}

struct sha256 *sha256_free(struct sha256 *s)
{
	if (s)
		EVP_MD_CTX_free(s->md);
	free(s);
	return NULL;
}

/* Counts n bytes and completes a block that was begun. Returns how many of them it took. */
static size_t top_up(struct sha256 *s, const unsigned char *p, size_t n)
{
	size_t now = s->n_tail ? MIN(n, BLOCK - s->n_tail) : 0;
	s->n_bytes += n;
	if (now)
		memcpy(s->tail + s->n_tail, p, now);
	s->n_tail += now;
	if (s->n_tail == BLOCK) {
		blocks(s, s->tail, 1);
		s->n_tail = 0;
	}
	return now;
}

/* What is left over below a block; nothing when a block is being filled still. */
static void keep_rest(struct sha256 *s, const unsigned char *p, size_t n)
{
	if (n)
		memcpy(s->tail + s->n_tail, p, n);
	s->n_tail += n;
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	size_t now;
	if (n == 0) /* then p may be NULL, which has no offsets */
		return;
	if (s->md) {
		EVP_DigestUpdate(s->md, p, n);
		return;
	}
	now = top_up(s, p, n);
	p += now;
	n -= now;
	blocks(s, p, n / BLOCK);
	keep_rest(s, p + n / BLOCK * BLOCK, n % BLOCK);
}

void sha256_add_both(struct sha256 *a, const void *bytes, size_t n, struct sha256 *b, const void *others, size_t m)
{
	const unsigned char *p = bytes, *q = others;
	size_t from_p, from_q, both;
	if (a->md || b->md || n == 0 || m == 0) {
		sha256_add(a, p, n);
		sha256_add(b, q, m);
		return;
	}
	from_p = top_up(a, p, n);
	from_q = top_up(b, q, m);
	both = MIN((n - from_p) / BLOCK, (m - from_q) / BLOCK);
	blocks_of_both(a, p + from_p, b, q + from_q, both);
	from_p += both * BLOCK;
	from_q += both * BLOCK;
	blocks(a, p + from_p, (n - from_p) / BLOCK);
	blocks(b, q + from_q, (m - from_q) / BLOCK);
	keep_rest(a, p + n - (n - from_p) % BLOCK, (n - from_p) % BLOCK);
	keep_rest(b, q + m - (m - from_q) % BLOCK, (m - from_q) % BLOCK);
}

/* The last block or two: a bit, zeros, the length in bits. */
static void pad(struct sha256 *s)
{
	const uint64_t bits = s->n_bytes * 8;
	const size_t n = s->n_tail < BLOCK - 8 ? BLOCK : 2 * BLOCK;
	memset(s->tail + s->n_tail, 0, n - s->n_tail);
	s->tail[s->n_tail] = 0x80;
	for (size_t i = 0; i < 8; i++)
		s->tail[n - 1 - i] = (unsigned char)(bits >> (8 * i));
	blocks(s, s->tail, n / BLOCK);
}

void sha256_end(struct sha256 *s, char ret_hex[static 65])
{
	static const unsigned char at[8] = { 3, 2, 7, 6, 1, 0, 5, 4 }; /* where A … H are */
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	if (!s->md) {
		pad(s);
		for (size_t i = 0; i < 8; i++)
			snprintf(ret_hex + 8 * i, 9, "%08x", s->state[at[i]]);
		return;
	}
	EVP_DigestFinal_ex(s->md, raw, &n);
	for (size_t i = 0; i < 32 && i < n; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", raw[i]);
}
