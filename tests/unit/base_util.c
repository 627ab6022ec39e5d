/* SPDX-License-Identifier: Apache-2.0 */
/* The containers that everything stands on: strings, lists, arena, map, numbers and digests. */
#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/str.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

/* Always NUL-terminated, empty when zeroed, bytes of any value. */
static void test_str(void)
{
	AUTO_STR struct str s = { 0 };
	AUTO_FREE char *taken = NULL;
	EXPECT(strcmp(str_get(&s), "") == 0, "a zeroed string is empty");
	str_addn(&s, "a\0b", 3);
	EXPECT(s.len == 3 && memcmp(s.p, "a\0b", 4) == 0, "bytes are kept and the end is NUL");
	str_clear(&s);
	for (int i = 0; i < 1000; i++)
		str_addf(&s, "%d,", i);
	EXPECT(s.len == 3890 && strlen(s.p) == s.len && strncmp(s.p, "0,1,2,", 6) == 0, "%zu bytes", s.len);
	memcpy(str_reserve(&s, 3), "xyz", 3);
	s.len += 3;
	str_addc(&s, '!');
	EXPECT(str_ends(s.p, "999,xyz!"), "reserved room is used as is");
	taken = str_take(&s);
	EXPECT(str_ends(taken, "xyz!") && s.len == 0 && s.p == NULL, "taken over");
	free(taken);
	taken = str_take(&s);
	EXPECT(taken && *taken == '\0', "an empty string is taken as one");
	str_done(&s);
	str_done(&s);
}

static void test_strv(void)
{
	AUTO_STRV struct strv v = { 0 };
	EXPECT(!strv_has(&v, "a"), "empty");
	for (int i = 0; i < 100; i++)
		strv_pushf(&v, "%d", i);
	strv_push(&v, "");
	EXPECT(v.n == 101 && v.v[101] == NULL && strv_has(&v, "99") && strv_has(&v, "") && !strv_has(&v, "100"), "%zu entries", v.n);
}

static void test_parse_u64(void)
{
	static const struct {
		const char *s;
		uint64_t min, max;
		bool ok;
		uint64_t want;
	} table[] = {
		{ "0", 0, 9, true, 0 }, { "007", 0, 9, true, 7 }, { "10", 0, 9, false, 0 }, { "1", 2, 9, false, 0 }, { "", 0, 9, false, 0 },
		{ "-1", 0, 9, false, 0 }, { "+1", 0, 9, false, 0 }, { " 1", 0, 9, false, 0 }, { "1 ", 0, 9, false, 0 }, { "1x", 0, 9, false, 0 },
		{ "0x1", 0, 9, false, 0 }, { "18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX }, { "18446744073709551616", 0, UINT64_MAX, false, 0 },
		{ "99999999999999999999999", 0, UINT64_MAX, false, 0 }, { NULL, 0, 9, false, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint64_t v = 4711;
		bool ok = parse_u64(table[i].s, table[i].min, table[i].max, &v);
		EXPECT(ok == table[i].ok && v == (ok ? table[i].want : 4711), "case %zu", i);
	}
}

/* Aligned, zeroed, apart from each other; a grown array keeps its elements. */
static void test_arena(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	size_t cap = 0, sum = 0;
	int *numbers = NULL;
	for (size_t n = 0; n < 3000; n += 7) {
		unsigned char *p = arena_alloc(a, n);
		bool zero = true;
		for (size_t i = 0; i < n; i++)
			zero = zero && p[i] == 0;
		EXPECT(zero && (uintptr_t)p % 16 == 0, "%zu bytes", n);
		memset(p, 0xff, n);
	}
	memset(arena_alloc(a, 1 << 20), 0xff, 1 << 20);
	for (size_t i = 0; i < 1000; i++) {
		numbers = arena_grow(a, numbers, i, &cap, sizeof(*numbers));
		numbers[i] = (int)i;
	}
	for (size_t i = 0; i < 1000; i++)
		sum += (size_t)numbers[i];
	EXPECT(sum == 499500, "sum %zu", sum);
	EXPECT(strcmp(arena_strndup(a, "abcdef", 3), "abc") == 0 && strcmp(arena_strndup(a, "ab", 5), "ab") == 0, "a prefix");
	EXPECT(strcmp(arena_printf(a, "%s-%d", "web", 1), "web-1") == 0, "formatted");
	EXPECT(arena_free(NULL) == NULL, "nothing to free is fine");
}

/* Order of insertion through replacing, deleting and growing. */
static void test_map(void)
{
	AUTO_MAP struct map m = { 0 };
	static int values[2000];
	size_t seen = 0;
	int last = -1;
	EXPECT(!map_get(&m, "a") && !map_del(&m, "a") && !map_next(&m, NULL), "empty");
	for (int i = 0; i < 2000; i++) {
		AUTO_FREE char *key = xasprintf("key%d", i);
		values[i] = i;
		map_put(&m, key, &values[i]);
	}
	for (int i = 0; i < 2000; i += 2) {
		AUTO_FREE char *key = xasprintf("key%d", i);
		EXPECT(map_del(&m, key) == &values[i], "%s deleted", key);
		EXPECT(!map_del(&m, key) && !map_get(&m, key), "%s is gone", key);
	}
	map_put(&m, "key1", &values[1]);
	for (struct map_entry *e = map_next(&m, NULL); e; e = map_next(&m, e)) {
		int v = *(int *)e->value;
		EXPECT(v % 2 == 1 && v > last, "%d after %d", v, last);
		last = v;
		seen++;
		map_del(&m, e->key);
	}
	EXPECT(seen == 1000 && m.n == 0, "%zu seen, %zu left", seen, m.n);
	for (int i = 0; i < 100000; i++) { /* deleted entries do not pile up */
		map_put(&m, "same", &values[0]);
		map_del(&m, "same");
	}
	EXPECT(m.n_slots <= 64, "%zu slots for an empty map", m.n_slots);
}

static void test_digests(void)
{
	char hex[65], a[13], b[13];
	sha256_hex("abc", 3, hex);
	EXPECT(strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") == 0, "%s", hex);
	EXPECT(hash_bytes(HASH_SEED, "ab", 2) == hash_bytes(hash_bytes(HASH_SEED, "a", 1), "b", 1), "hashes chain");
	random_hex(a, 12);
	random_hex(b, 12);
	EXPECT(strspn(a, "0123456789abcdef") == 12 && strlen(a) == 12 && strcmp(a, b) != 0, "%s %s", a, b);
}

static void test_clock(void)
{
	char buf[40];
	uint64_t before = clock_mono_ns();
	EXPECT(strcmp(clock_rfc3339(1795236261748419480ULL, buf), "2026-11-21T04:44:21.748419480Z") == 0, "%s", buf);
	EXPECT(strcmp(clock_rfc3339(5, buf), "1970-01-01T00:00:00.000000005Z") == 0, "%s", buf);
	EXPECT(clock_mono_ns() >= before, "time goes on");
}

static void test_ownership(void)
{
	int fd = 5, taken = TAKE_FD(fd), none = -1;
	char *p = xstrdup("x"), *q = TAKE_PTR(p);
	EXPECT(fd == -1 && taken == 5 && p == NULL && q, "handed over");
	free(q);
	errno = EIO;
	util_close(&none);
	EXPECT(errno == EIO && none == -1, "nothing to close keeps errno");
	EXPECT(str_eq(NULL, NULL) && !str_eq("a", NULL) && !str_eq(NULL, "a") && str_eq("a", "a"), "str_eq takes NULL");
	EXPECT(str_ends("abc", "bc") && str_ends("abc", "") && !str_ends("c", "bc"), "str_ends");
}

int main(void)
{
	test_str();
	test_strv();
	test_parse_u64();
	test_arena();
	test_map();
	test_digests();
	test_clock();
	test_ownership();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
