/* SPDX-License-Identifier: Apache-2.0 */
/* The small languages inside of values: durations, sizes, command lines, ports. Each table holds what docker compose makes
 * of a text, odd corners included, and what nobody may accept. */
#include <stdio.h>

#include "base/str.h"
#include "spec/bytes.h"
#include "spec/duration.h"
#include "spec/shellwords.h"
#include "spec/short_port.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void test_durations(void)
{
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
		{ "0", "0s" }, { "0s", "0s" }, { "30s", "30s" }, { "90s", "1m30s" }, { "1m30s", "1m30s" }, { "1.5h", "1h30m0s" }, { "2h", "2h0m0s" },
		{ "500ms", "500ms" }, { "1500ms", "1.5s" }, { "100us", "100µs" }, { "100µs", "100µs" }, { "1ns", "1ns" }, { "1d", "24h0m0s" },
		{ "1w2d", "216h0m0s" }, { "-5s", "-5s" }, { "+5s", "5s" }, { ".5s", "500ms" }, { "1.s", "1s" }, { "1s1s", "2s" },
		{ "2562047h47m16.854775807s", "2562047h47m16.854775807s" },
		{ "", NULL }, { "5", NULL }, { "5x", NULL }, { "s", NULL }, { "-", NULL }, { "5 s", NULL }, { ".s", NULL }, { "1h ", NULL },
		{ "9223372036854775808ns", NULL }, { "99999999999999999999s", NULL }, { "2562048h", NULL }, { "1s-", NULL }, { "--1s", NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ns;
		const char *why;
		char buf[40] = "";
		bool ok = duration_parse(cases[i].in, &ns, &why);
		if (ok)
			duration_format(ns, buf);
		EXPECT(ok == (cases[i].out != NULL), "\"%s\" %s", cases[i].in, ok ? "must be refused" : why);
		EXPECT(!ok || !cases[i].out || str_eq(buf, cases[i].out), "\"%s\" is %s, want %s", cases[i].in, buf, cases[i].out);
	}
}

static void test_bytes(void)
{
	static const struct {
		const char *in;
		int64_t out; /* INT64_MIN: refused */
	} cases[] = {
		{ "0", 0 }, { "512", 512 }, { "-1", -1 }, { "64k", 65536 }, { "64K", 65536 }, { "64kb", 65536 }, { "64KiB", 65536 }, { "1m", 1048576 },
		{ "1.5m", 1572864 }, { "1g", 1073741824 }, { "2 GB", 2147483648 }, { "1t", 1099511627776 }, { "1p", 1125899906842624 }, { "10b", 10 },
		{ "0.5b", 0 }, { "9223372036854775807", INT64_MAX },
		{ "", INT64_MIN }, { "k", INT64_MIN }, { "1x", INT64_MIN }, { "1kx", INT64_MIN }, { "1bb", INT64_MIN }, { "1kib ", INT64_MIN },
		{ "-1k", INT64_MIN }, { "1 000", INT64_MIN }, { "0x10", INT64_MIN }, { "9999999999p", INT64_MIN }, { "1kibb", INT64_MIN },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t v = INT64_MIN;
		bool ok = bytes_parse(cases[i].in, &v);
		EXPECT(ok ? v == cases[i].out : cases[i].out == INT64_MIN, "\"%s\" is %lld", cases[i].in, ok ? (long long)v : -2LL);
	}
}

static void test_words(void)
{
	static const struct {
		const char *in, *out, *rest; /* words joined by |; out NULL: refused */
	} cases[] = {
		{ "", "", NULL }, { "a b  c", "a|b|c", NULL }, { "echo 'a b' \"c d\"", "echo|a b|c d", NULL }, { "a\\ b", "a b", NULL },
		{ "''", "<>", NULL }, { "a''b", "ab", NULL }, { "\"a'b\" 'c\"d'", "a'b|c\"d", NULL }, { "a\\tb", "a\tb", NULL },
		{ "sh -c 'x && y'", "sh|-c|x && y", NULL }, { "a && b", "a", "&& b" }, { "a; b", "a", "; b" }, { "a | b", "a", "| b" },
		{ "a > f", "a", "> f" }, { "a 2> f", "a", "> f" }, { "echo $(date +%s)", "echo|$(date +%s)", NULL }, { "`a b`", "`a b`", NULL },
		{ "'a", NULL, NULL }, { "\"a", NULL, NULL }, { "a\\", NULL, NULL }, { "f(x)", NULL, NULL }, { "a)", NULL, NULL }, { "$(a", NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STRV struct strv words = { 0 };
		AUTO_STR struct str joined = { 0 };
		const char *rest;
		bool ok = shellwords_split(cases[i].in, &words, &rest);
		for (size_t k = 0; k < words.n; k++)
			str_addf(&joined, "%s%s", k ? "|" : "", *words.v[k] ? words.v[k] : "<>");
		EXPECT(ok == (cases[i].out != NULL), "%s", cases[i].in);
		EXPECT(!ok || str_eq(str_get(&joined), cases[i].out), "%s: %s, want %s", cases[i].in, str_get(&joined), cases[i].out);
		EXPECT(!ok || str_eq(rest, cases[i].rest), "%s: dropped %s", cases[i].in, rest ? rest : "nothing");
	}
}

static void test_ports(struct arena *a)
{
	static const struct {
		const char *in, *out; /* ip:published:target/protocol joined by blanks; NULL: refused */
	} cases[] = {
		{ "80", ":80/tcp" },
		{ "8080:80", "8080:80/tcp" },
		{ "127.0.0.1:8080:80", "127.0.0.1;8080:80/tcp" },
		{ "127.0.0.1::80", "127.0.0.1;:80/tcp" },
		{ "[::1]:8080:80", "::1;8080:80/tcp" },
		{ "[::1]::80/udp", "::1;:80/udp" },
		{ "::1:8080:80", "::1;8080:80/tcp" },
		{ ":::8080:80", "::;8080:80/tcp" },
		{ "53:53/UDP", "53:53/udp" },
		{ "80/", ":80/tcp" },
		{ "8000-8001:80-81", "8000:80/tcp 8001:81/tcp" },
		{ "8000-8010:80", "8000-8010:80/tcp" },
		{ "8-11", ":10/tcp :11/tcp :8/tcp :9/tcp" },
		{ ":80", ":80/tcp" },
		{ "0:80", "0:80/tcp" },
		{ "1-2:3-4/sctp", "1:3/sctp 2:4/sctp" },
		{ "", NULL }, { ":", NULL }, { "a", NULL }, { "80:", NULL }, { "x:80", NULL }, { "80:x", NULL }, { "80/xyz", NULL }, { "65536", NULL },
		{ "65536:1", NULL }, { "81-80", NULL }, { "1-3:1-2", NULL }, { "1-3:1-4", NULL }, { "1.2.3:80:80", NULL },
		{ "1.2.3.4.5:80:80", NULL }, { "host:80:80", NULL }, { "01.2.3.4:80:80", NULL }, { "-80", NULL }, { "+80", NULL }, { " 80", NULL },
		{ "[::1:80:80", NULL }, { "99999999999999999999:80", NULL }, { "80/tcp:80", NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STR struct str all = { 0 };
		struct short_port *v;
		struct err err;
		size_t n;
		int r = short_port_parse(cases[i].in, a, &v, &n, &err);
		for (size_t k = 0; r == 0 && k < n; k++)
			str_addf(&all, "%s%s%s%s:%u/%s", k ? " " : "", v[k].host_ip, *v[k].host_ip ? ";" : "", v[k].published, v[k].target, v[k].protocol);
		EXPECT((r == 0) == (cases[i].out != NULL), "\"%s\": %s", cases[i].in, r ? err.msg : "must be refused");
		EXPECT(r < 0 || !cases[i].out || str_eq(str_get(&all), cases[i].out), "\"%s\" is %s, want %s", cases[i].in, str_get(&all), cases[i].out);
	}
}

int main(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	test_durations();
	test_bytes();
	test_words();
	test_ports(a);
	return failures ? 1 : 0;
}
