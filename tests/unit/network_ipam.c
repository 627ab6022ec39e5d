/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants: a picked subnet overlaps nothing in use and is the same again next time; addresses are handed out once, in
 * rotating order, never the
 * gateway's; leases rebuilt from records are never handed out. */
#include <arpa/inet.h>
#include <stdio.h>

#include "network/ipam.h"

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static struct err err;

static void check(bool ok, int line, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "network_ipam.c:%d: %s: %s\n", line, what, err.msg);
	exit(1);
}
#define CHECK(cond) check(cond, __LINE__, #cond)

static void test_subnet_text(void)
{
	static const char *const bad[] = { "", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/24", "10.0.0.0/ 24", "010.0.0.0/8",
		"10.0.0/24", "10.0.0.0/24x", "1234567890123456/8", "10.0.0.0/-1", "10.0.0.0/99999999999999999999" };
	struct ipam_subnet s;
	char text[20];
	CHECK(ipam_subnet_parse("10.1.2.0/24", &s) && s.ip == IP4(10, 1, 2, 0) && s.prefix_len == 24);
	CHECK(str_eq(ipam_subnet_text(s, text), "10.1.2.0/24"));
	CHECK(ipam_subnet_parse("0.0.0.0/0", &s) && s.prefix_len == 0);
	CHECK(ipam_subnet_parse("255.255.255.255/32", &s) && str_eq(ipam_subnet_text(s, text), "255.255.255.255/32"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!ipam_subnet_parse(bad[i], &s));
}

static void test_overlap(void)
{
	const struct ipam_subnet all = { 0, 0 }, ten = { IP4(10, 0, 0, 0), 8 }, a = { IP4(10, 1, 0, 0), 16 }, b = { IP4(10, 2, 0, 0), 16 };
	const struct ipam_subnet host = { IP4(10, 1, 255, 255), 32 };
	CHECK(ipam_overlap(all, a) && ipam_overlap(a, ten) && ipam_overlap(ten, a) && !ipam_overlap(a, b));
	CHECK(ipam_overlap(a, host) && !ipam_overlap(b, host));
}

static void test_pick(void)
{
	struct ipam_subnet first, again, next, other;
	/* the default route and a VPN's two halves claim nothing */
	struct ipam_subnet used[4] = { { 0, 0 }, { 0, 1 }, { IP4(128, 0, 0, 0), 1 }, { 0, 0 } };
	uint32_t cursor = 0, c2 = 0, c3 = 0;
	CHECK(ipam_pick_subnet(&ipam_pool_default, "r/p/n", used, 4, &cursor, &first, &err) == 0);
	CHECK(first.prefix_len == 24 && ipam_overlap(first, ipam_pool_default.range));
	CHECK(ipam_pick_subnet(&ipam_pool_default, "r/p/n", used, 4, &c2, &again, &err) == 0 && again.ip == first.ip);
	CHECK(ipam_pick_subnet(&ipam_pool_default, "r/p/m", used, 4, &c3, &other, &err) == 0 && other.ip != first.ip);
	used[3] = (struct ipam_subnet){ first.ip + 77, 32 }; /* one address of it is enough */
	c2 = 0;
	CHECK(ipam_pick_subnet(&ipam_pool_default, "r/p/n", used, 4, &c2, &next, &err) == 0 && !ipam_overlap(next, used[3]));
	CHECK(ipam_pick_subnet(&ipam_pool_default, "r/p/n", used, 3, &cursor, &again, &err) == 0 && again.ip == next.ip);
	used[3] = (struct ipam_subnet){ IP4(10, 0, 0, 0), 8 };
	c2 = 0;
	CHECK(ipam_pick_subnet(&ipam_pool_default, "r/p/n", used, 4, &c2, &next, &err) < 0 && err.code == ERR_CONFLICT);
}

/* Every subnet of a pool can be had, each once, and then it is full. */
static void test_pool_to_the_last(void)
{
	static const struct ipam_pool pool = { .range = { IP4(10, 9, 0, 0), 16 }, .prefix_len = 24 };
	static struct ipam_subnet used[256];
	bool seen[256] = { false };
	for (size_t n = 0; n < 256; n++) {
		uint32_t cursor = 0;
		char key[16];
		snprintf(key, sizeof(key), "r/p/%zu", n);
		CHECK(ipam_pick_subnet(&pool, key, used, n, &cursor, &used[n], &err) == 0);
		CHECK(!seen[used[n].ip >> 8 & 0xff]);
		seen[used[n].ip >> 8 & 0xff] = true;
	}
	uint32_t cursor = 0;
	CHECK(ipam_pick_subnet(&pool, "x", used, 256, &cursor, &used[0], &err) < 0 && err.code == ERR_CONFLICT);
}

static void test_leases(void)
{
	const struct ipam_subnet net = { IP4(10, 0, 0, 0), 29 }; /* .1 gateway, .2 to .6 */
	struct ipam m;
	uint32_t ip;
	CHECK(ipam_init(&m, net, &err) == 0 && m.gateway == net.ip + 1);
	for (uint32_t want = 2; want <= 6; want++)
		CHECK(ipam_alloc(&m, &ip, &err) == 0 && ip == net.ip + want);
	CHECK(ipam_alloc(&m, &ip, &err) < 0 && err.code == ERR_CONFLICT);
	ipam_release(&m, net.ip + 3);
	ipam_release(&m, net.ip + 5);
	CHECK(ipam_alloc(&m, &ip, &err) == 0 && ip == net.ip + 3);
	ipam_release(&m, net.ip + 3);
	CHECK(ipam_alloc(&m, &ip, &err) == 0 && ip == net.ip + 5); /* what was given back last comes last */
	for (uint32_t never = 0; never < 2; never++)
		ipam_release(&m, net.ip + never);
	ipam_release(&m, net.ip + 7);
	ipam_release(&m, net.ip + 8);
	ipam_release(&m, 0);
	CHECK(ipam_alloc(&m, &ip, &err) == 0 && ip == net.ip + 3);
	CHECK(ipam_alloc(&m, &ip, &err) < 0);
	ipam_done(&m);
	ipam_done(&m);
}

static void test_rebuild(void)
{
	const struct ipam_subnet net = { IP4(10, 0, 1, 0), 24 };
	struct ipam m;
	uint32_t ip;
	CHECK(ipam_init(&m, net, &err) == 0);
	CHECK(ipam_take(&m, net.ip + 9, &err) == 0);
	CHECK(ipam_take(&m, net.ip + 9, &err) == 1);
	CHECK(ipam_take(&m, net.ip + 2, &err) == 0);
	CHECK(ipam_take(&m, net.ip, &err) < 0 && ipam_take(&m, net.ip + 255, &err) < 0 && ipam_take(&m, net.ip + 256, &err) < 0);
	CHECK(ipam_take(&m, net.ip - 1, &err) < 0 && strstr(err.msg, "10.0.0.255"));
	CHECK(ipam_alloc(&m, &ip, &err) == 0 && ip == net.ip + 10); /* goes on behind the highest known */
	ipam_done(&m);
	CHECK(ipam_init(&m, (struct ipam_subnet){ IP4(10, 0, 0, 0), 8 }, &err) < 0);
	CHECK(ipam_init(&m, (struct ipam_subnet){ IP4(10, 0, 0, 0), 31 }, &err) < 0);
	CHECK(ipam_init(&m, (struct ipam_subnet){ IP4(10, 0, 0, 1), 24 }, &err) < 0);
	CHECK(ipam_init(&m, (struct ipam_subnet){ IP4(10, 0, 0, 0), 16 }, &err) == 0);
	for (uint32_t n = 0; n < 65536 - 3; n++)
		CHECK(ipam_alloc(&m, &ip, &err) == 0);
	CHECK(ipam_alloc(&m, &ip, &err) < 0);
	ipam_done(&m);
}

/* Another gateway and a range are kept to; what is given back inside of the range comes again. */
static void test_narrow(void)
{
	const struct ipam_subnet net = { IP4(10, 3, 0, 0), 16 }, range = { IP4(10, 3, 7, 0), 30 }, all = { 0, 0 };
	struct ipam m;
	uint32_t ip, seen = 0;
	CHECK(ipam_init(&m, net, &err) == 0);
	CHECK(ipam_narrow(&m, net.ip, all, &err) < 0 && ipam_narrow(&m, net.ip + 65535, all, &err) < 0 && ipam_narrow(&m, net.ip - 1, all, &err) < 0);
	CHECK(ipam_narrow(&m, 0, (struct ipam_subnet){ IP4(10, 4, 0, 0), 24 }, &err) < 0);
	CHECK(ipam_narrow(&m, 0, (struct ipam_subnet){ IP4(10, 0, 0, 0), 8 }, &err) < 0);
	CHECK(ipam_narrow(&m, range.ip + 2, range, &err) == 0 && m.gateway == range.ip + 2);
	for (int i = 0; i < 3; i++) {
		CHECK(ipam_alloc(&m, &ip, &err) == 0 && ip - range.ip < 4 && ip != range.ip + 2);
		seen |= 1u << (ip - range.ip);
	}
	CHECK(seen == 11 && ipam_alloc(&m, &ip, &err) < 0 && strstr(err.msg, "10.3.7.0/30"));
	ipam_release(&m, m.gateway);
	CHECK(ipam_alloc(&m, &ip, &err) < 0);
	ipam_release(&m, range.ip + 1);
	CHECK(ipam_alloc(&m, &ip, &err) == 0 && ip == range.ip + 1);
	CHECK(ipam_take(&m, net.ip + 1, &err) == 0); /* the first address is nobody's now */
	ipam_release(&m, net.ip + 1);
	CHECK(ipam_take(&m, net.ip + 1, &err) == 0);
	ipam_done(&m);
}

int main(void)
{
	test_subnet_text();
	test_overlap();
	test_pick();
	test_pool_to_the_last();
	test_leases();
	test_rebuild();
	test_narrow();
	return 0;
}
