/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the lengths and however they are cut into pieces, alone or beside another stream, by the processor's instructions or by libcrypto: the
 * digest is libcrypto's. The standard's own examples, as libcrypto could be wrong with us. */
#include <openssl/sha.h>
#include <pthread.h>

#include "images/sha256.h"
#include "tests/unit/images_rig.h"

enum { MAX = 300000 };

static struct sha256 *(*const makers[])(void) = { sha256_new, sha256_new_libcrypto };
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

static void expect_hex(struct sha256 *s, const char *want, const char *what)
{
	char hex[65];
	sha256_end(s, hex);
	EXPECT(strcmp(hex, want) == 0, "%s: %s", what, hex);
	sha256_free(s);
}

static void test_examples(struct sha256 *(*make)(void))
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
		{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
		  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	};
	struct sha256 *million = make();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sha256 *s = make();
		sha256_add(s, cases[i].text, strlen(cases[i].text));
		expect_hex(s, cases[i].want, cases[i].text);
	}
	for (int i = 0; i < 100000; i++)
		sha256_add(million, "aaaaaaaaaa", 10);
	expect_hex(million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", "a million times a");
}

/* Every length around the block's and the padding's borders. */
static void test_lengths(struct sha256 *(*make)(void))
{
	for (size_t n = 0; n <= 300; n++) {
		struct sha256 *s = make(), *t = make();
		sha256_add(s, bytes[0], n);
		expect(s, bytes[0], n, "at once");
		for (size_t i = 0; i < n; i++)
			sha256_add(t, bytes[0] + i, 1);
		expect(t, bytes[0], n, "one by one");
	}
}

/* Every length in every two pieces, beside a stream that is cut elsewhere, of the same kind and of the other. */
static void test_splits(void)
{
	for (size_t n = 0; n <= 300; n++)
		for (size_t cut = 0; cut <= n; cut++) {
			const size_t m = 300 - n, other = (cut * 7) % (m + 1), kind = (n + cut) % 4;
			struct sha256 *s = makers[kind & 1](), *t = makers[kind >> 1]();
			sha256_add_both(s, bytes[0], cut, t, bytes[1], other);
			sha256_add_both(s, bytes[0] + cut, n - cut, t, bytes[1] + other, m - other);
			expect(s, bytes[0], n, "in two pieces");
			expect(t, bytes[1], m, "beside two pieces");
		}
}

/* States have nothing in common: several threads at once, each with two of them. */
static void *one_thread(void *arg)
{
	const size_t from = (size_t)(uintptr_t)arg;
	for (int round = 0; round < 40; round++) {
		struct sha256 *s = sha256_new(), *t = sha256_new();
		for (size_t at = 0; at < 70000; at += 700)
			sha256_add_both(s, bytes[0] + from + at, 700, t, bytes[1] + from + at, 699);
		for (size_t at = 0; at < 70000; at += 700)
			sha256_add(t, bytes[1] + from + at, 1);
		sha256_add(s, "", 0);
		expect(s, bytes[0] + from, 70000, "in a thread");
		sha256_free(t);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t threads[4];
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_create(&threads[i], NULL, one_thread, (void *)(uintptr_t)(i * 1009));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
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
	for (size_t i = 0; i < ARRAY_SIZE(makers); i++) {
		test_examples(makers[i]);
		test_lengths(makers[i]);
	}
	test_splits();
	test_both();
	test_threads();
	printf(failures ? "failed\n" : "ok\n");
	return failures ? 1 : 0;
}
