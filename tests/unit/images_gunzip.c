/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever library was built in: what zlib packed comes out again, in pieces of any size; what follows a member is left alone; a member that is
 * cut off or damaged is never complete with other bytes than zlib gives for it; nothing is written beyond the room. */
#include <sys/mman.h>
#include <zlib.h>

#include "images/gunzip.h"
#include "tests/unit/images_rig.h"

enum { MAX = 200000, GUARD = 4096, N_DAMAGED = 4000 };

static uint64_t seed = 88172645463325252ULL;
static unsigned char *in_end, *out_end; /* the first byte that nobody may touch */

static size_t below(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (size_t)(seed % n);
}

/* MAX bytes of memory with a page after it that cannot be touched. */
static unsigned char *guarded(void)
{
	const size_t n = (MAX + 2 * GUARD) & ~(size_t)(GUARD - 1);
	unsigned char *p = mmap(NULL, n + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(p != MAP_FAILED && mprotect(p + n, GUARD, PROT_NONE) == 0);
	return p + n;
}

/* Text, noise, or both in turns. */
static void make(unsigned char *p, size_t n, int kind)
{
	static const char words[] = "the same words again and again ";
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(kind == 0 || (kind == 2 && i / 5000 % 2) ? (unsigned char)words[(i + i / 700) % 31] : below(256));
}

static size_t pack_with(const unsigned char *p, size_t n, int level, int strategy, gz_header *header, unsigned char *out, size_t room)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)room };
	NEED(deflateInit2(&z, level, Z_DEFLATED, 16 + MAX_WBITS, 8, strategy) == Z_OK);
	if (header)
		NEED(deflateSetHeader(&z, header) == Z_OK);
	NEED(deflate(&z, Z_FINISH) == Z_STREAM_END);
	n = z.total_out;
	deflateEnd(&z);
	return n;
}

static size_t pack(const unsigned char *p, size_t n, int level, int strategy, unsigned char *out, size_t room)
{
	return pack_with(p, n, level, strategy, NULL, out, room);
}

/* zlib's answer: the bytes that it gives, or -1. */
static ssize_t reference(const unsigned char *p, size_t n, unsigned char *out, size_t room)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)p, .avail_in = (uInt)n, .next_out = out, .avail_out = (uInt)room };
	int rc;
	NEED(inflateInit2(&z, 16 + MAX_WBITS) == Z_OK);
	rc = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return rc == Z_STREAM_END ? (ssize_t)z.total_out : -1;
}

/* All of a member, from the end of guarded memory, in pieces of at most step bytes each way, into the end of guarded memory: what came, or -1;
 * *ret_left: of p. */
static ssize_t gunzip_all(struct gunzip *g, const unsigned char *p, size_t n, size_t step, unsigned char *out, size_t room, size_t *ret_left)
{
	size_t at = 0, total = 0;
	gunzip_reset(g);
	for (;;) {
		size_t piece = MIN(step, n - at), left = piece, space = MIN(step, room - total), made = 0;
		unsigned char *from = in_end - piece, *to = out_end - MAX(space, (size_t)1);
		const unsigned char *in = from;
		const char *why = NULL;
		int rc;
		memcpy(from, p + at, piece);
		rc = gunzip_some(g, &in, &left, to, MAX(space, (size_t)1), &made, &why);
		EXPECT(in == from + piece - left && (rc >= 0 || why), "pointers");
		if (rc < 0 || total + made > room)
			return -1;
		memcpy(out + total, to, made);
		at += piece - left;
		total += made;
		*ret_left = n - at;
		if (rc == 1)
			return (ssize_t)total;
		if (made == 0 && left == piece)
			return -1;
	}
}

static void test_whole(struct gunzip *g, unsigned char *text, unsigned char *packed, unsigned char *out)
{
	static const size_t steps[] = { 1, 7, 1000, 65536, MAX };
	static const size_t sizes[] = { 0, 1, 300, 33000, 150000 };
	for (size_t i = 0; i < 3 * ARRAY_SIZE(sizes) * ARRAY_SIZE(steps); i++) {
		const size_t n = sizes[i % ARRAY_SIZE(sizes)], step = steps[i / ARRAY_SIZE(sizes) % ARRAY_SIZE(steps)];
		size_t len, left = 0;
		ssize_t got;
		make(text, n, (int)(i / (ARRAY_SIZE(sizes) * ARRAY_SIZE(steps))));
		len = pack(text, n, (int)(i % 10), i % 7 ? Z_DEFAULT_STRATEGY : Z_FIXED, packed, MAX);
		memset(packed + len, 0x5a, 9);
		got = gunzip_all(g, packed, len + 9, step, out, MAX, &left);
		EXPECT(got == (ssize_t)n && left == 9 && memcmp(out, text, n) == 0, "%zu bytes by %zu: %zd, %zu left", n, step, got, left);
	}
}

static void test_cut(struct gunzip *g, unsigned char *text, unsigned char *packed, unsigned char *out)
{
	size_t len, left;
	make(text, 3000, 2);
	len = pack(text, 3000, 6, Z_DEFAULT_STRATEGY, packed, MAX);
	for (size_t n = 0; n < len; n++)
		EXPECT(gunzip_all(g, packed, n, 64, out, MAX, &left) == -1, "complete with %zu of %zu bytes", n, len);
}

static void test_damaged(struct gunzip *g, unsigned char *text, unsigned char *packed, unsigned char *out)
{
	unsigned char *want = xcalloc(1, MAX);
	size_t n_accepted = 0, n_stricter = 0;
	for (int i = 0; i < N_DAMAGED; i++) {
		size_t n = 1 + below(4000), len, left, where = 0;
		ssize_t got, expected;
		make(text, n, i % 3);
		len = pack(text, n, i % 10, i % 5 ? Z_DEFAULT_STRATEGY : Z_FIXED, packed, MAX);
		for (size_t k = 1 + below(3); k; k--)
			packed[where = i % 2 ? below(len) : below(MIN(len, (size_t)60))] ^= (unsigned char)(1 << below(8));
		expected = reference(packed, len, want, MAX);
		got = gunzip_all(g, packed, len, i % 4 ? MAX : 1 + below(90), out, MAX, &left);
		n_accepted += got >= 0;
		n_stricter += got < 0 && expected >= 0;
		EXPECT(got < 0 || (got == expected && memcmp(out, want, (size_t)got) == 0), "case %d (byte %zu): %zd bytes, not %zd", i, where, got, expected);
	}
	EXPECT(n_stricter == 0, "%zu members refused that zlib takes", n_stricter);
	EXPECT(n_accepted < N_DAMAGED / 4, "%zu of %d damaged members are taken", n_accepted, N_DAMAGED); /* flags and times of the header may change */
	free(want);
}

/* Each kind of header, however it is cut; a header's own sum is looked at; flags without a meaning, another method and another magic are refused. */
static void test_headers(struct gunzip *g, unsigned char *text, unsigned char *packed, unsigned char *out)
{
	static const size_t steps[] = { 1, 2, 3, 9, 10, 11, 13, 40, MAX };
	unsigned char name[] = "layer.tar", comment[] = "", extra[300] = "\1\2\3";
	size_t len, left;
	make(text, 500, 0);
	for (size_t i = 0; i < 32 * ARRAY_SIZE(steps); i++) {
		const size_t kind = i % 32, step = steps[i / 32];
		gz_header h = { .extra = kind & 1 ? extra : NULL, .extra_len = kind & 2 ? sizeof(extra) : 0, .name = kind & 4 ? name : NULL,
			.comment = kind & 8 ? comment : NULL, .hcrc = (kind & 16) != 0 };
		size_t at = 10 + (h.extra ? 2 + h.extra_len : 0) + (h.name ? sizeof(name) : 0) + (h.comment ? 1 : 0);
		len = pack_with(text, 500, 6, Z_DEFAULT_STRATEGY, &h, packed, MAX);
		EXPECT(gunzip_all(g, packed, len, step, out, MAX, &left) == 500 && left == 0 && memcmp(out, text, 500) == 0, "header %zu by %zu", kind, step);
		for (size_t k = 0; k < at; k++)
			EXPECT(gunzip_all(g, packed, k, step, out, MAX, &left) == -1, "header %zu is complete with %zu bytes", kind, k);
		packed[4] ^= 1; /* the time: only the header's sum covers it */
		EXPECT((gunzip_all(g, packed, len, step, out, MAX, &left) == 500) == !h.hcrc, "header %zu by %zu with another time", kind, step);
	}
	len = pack(text, 500, 6, Z_DEFAULT_STRATEGY, packed, MAX);
	for (size_t i = 0; i < 4 * 8; i++) {
		packed[i / 8] ^= (unsigned char)(1 << i % 8);
		EXPECT(gunzip_all(g, packed, len, 5, out, MAX, &left) == reference(packed, len, text + 1000, 1000), "byte %zu is %02x", i / 8, packed[i / 8]);
		packed[i / 8] ^= (unsigned char)(1 << i % 8);
	}
}

int main(void)
{
	unsigned char *text = xcalloc(1, MAX), *packed = xcalloc(1, MAX + 16), *out = xcalloc(1, MAX);
	struct gunzip *g = gunzip_new();
	in_end = guarded();
	out_end = guarded();
	test_whole(g, text, packed, out);
	test_cut(g, text, packed, out);
	test_damaged(g, text, packed, out);
	test_headers(g, text, packed, out);
	gunzip_free(g);
	free(text);
	free(packed);
	free(out);
	printf(failures ? "failed\n" : "ok\n");
	return failures ? 1 : 0;
}
