/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the lengths and however they are cut into pieces, alone or beside another stream: the digest is libcrypto's. The standard's own two
 * examples, as libcrypto could be wrong with us. */
#include <openssl/sha.h>

#include "images/sha256.h"
#include "tests/unit/images_rig.h"

enum { MAX = 300000 };

static unsigned char bytes[2][MAX];
static uint64_t seed = 88172645463325252ULL;

static size_t below(size_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return n ? (size_t)(seed % n) : 0;
}

static void expect(struct sha256 *s, const void *p, size_t n, const char *what)
{
	unsigned char raw[SHA256_DIGEST_LENGTH];
	char hex[65], want[65];
	SHA256(p, n, raw);
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(want + 2 * i, 3, "%02x", raw[i]);
	sha256_end(s, hex);
	EXPECT(strcmp(hex, want) == 0, "%s, %zu bytes: %s, not %s", what, n, hex, want);
	sha256_free(s);
}

static void test_examples(void)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sha256 *s = sha256_new();
		char hex[65];
		sha256_add(s, cases[i].text, strlen(cases[i].text));
		sha256_end(s, hex);
		EXPECT(strcmp(hex, cases[i].want) == 0, "%s: %s", cases[i].text, hex);
		sha256_free(s);
	}
}

/* Every length around the block's and the padding's borders. */
static void test_lengths(void)
{
	for (size_t n = 0; n <= 260; n++) {
		struct sha256 *s = sha256_new(), *t = sha256_new();
		sha256_add(s, bytes[0], n);
		expect(s, bytes[0], n, "at once");
		for (size_t i = 0; i < n; i++)
			sha256_add(t, bytes[0] + i, 1);
		expect(t, bytes[0], n, "one by one");
	}
}

/* A piece: often short, often none, sometimes all that is left. */
static size_t piece(size_t left)
{
	const size_t few = below(200);
	switch (below(4)) {
	case 0:
		return 0;
	case 1:
		return MIN(left, few);
	case 2:
		return below(left + 1);
	default:
		return MIN(left, (size_t)65536);
	}
}

static void test_both(void)
{
	for (int round = 0; round < 300; round++) {
		struct sha256 *s[2] = { sha256_new(), sha256_new() };
		size_t n[2] = { below(MAX), round % 3 ? below(MAX) : below(500) }, at[2] = {0};
		while (at[0] < n[0] || at[1] < n[1]) {
			size_t x = piece(n[0] - at[0]), y = piece(n[1] - at[1]);
			sha256_add_both(s[0], bytes[0] + at[0], x, s[1], bytes[1] + at[1], y);
			at[0] += x;
			at[1] += y;
		}
		expect(s[0], bytes[0], n[0], "the first of two");
		expect(s[1], bytes[1], n[1], "the second of two");
	}
}

int main(void)
{
	for (size_t i = 0; i < MAX; i++) {
		bytes[0][i] = (unsigned char)below(256);
		bytes[1][i] = (unsigned char)below(256);
	}
	test_examples();
	test_lengths();
	test_both();
	printf(failures ? "failed\n" : "ok\n");
	return failures ? 1 : 0;
}
