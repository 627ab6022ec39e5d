/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS codec. Invariants: well-formed questions are read to the letter, everything malformed is answered with the right
 * code or not at all; a reply echoes the question byte for byte, never exceeds its limit and says so (TC) when something was
 * left out; no bytes of any kind make it read or write out of bounds (seeded mutations, under the sanitizers).
 * "network_dns_wire FILE…" runs single inputs. */
#include "network/dns_wire.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/fs.h"

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

struct packet {
	unsigned char p[70000];
	size_t n;
};

static void add(struct packet *k, const void *p, size_t n)
{
	memcpy(k->p + k->n, p, n);
	k->n += n;
}

static void add16(struct packet *k, unsigned v)
{
	add(k, (unsigned char[]){ (unsigned char)(v >> 8), (unsigned char)v }, 2);
}

static void add_name(struct packet *k, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");
		add(k, (unsigned char[]){ (unsigned char)len }, 1);
		add(k, name, len);
		name += len + (name[len] == '.');
	}
	add(k, "", 1);
}

static void header(struct packet *k, unsigned flags, unsigned qd, unsigned ar)
{
	k->n = 0;
	add16(k, 0x1234);
	add16(k, flags);
	add16(k, qd);
	add16(k, 0);
	add16(k, 0);
	add16(k, ar);
}

static void question(struct packet *k, const char *name, unsigned type, int edns_size)
{
	header(k, 0x0100, 1, edns_size >= 0);
	add_name(k, name);
	add16(k, type);
	add16(k, DNS_CLASS_IN);
	if (edns_size < 0)
		return;
	add(k, "", 1);
	add16(k, DNS_TYPE_OPT);
	add16(k, (unsigned)edns_size);
	add(k, "\0\0\x80\0\0\0", 6);
}

static unsigned get16(const unsigned char *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

static void test_parse(void)
{
	static struct packet k;
	struct dns_query q;
	question(&k, "WeB.My_Net", DNS_TYPE_A, -1);
	CHECK(dns_wire_parse(k.p, k.n, &q) == 0, "plain");
	CHECK(str_eq(q.name, "web.my_net") && q.name_len == 10 && q.n_labels == 2 && q.plain && q.id == 0x1234 && q.type == 1 && q.class == 1 &&
	      q.question_len == k.n - 12 && !q.edns && q.udp_limit == 512, "%s %zu", q.name, q.name_len);
	question(&k, "a", DNS_TYPE_AAAA, 100);
	CHECK(dns_wire_parse(k.p, k.n, &q) == 0 && q.edns && q.dnssec_ok && q.udp_limit == 512, "%u", q.udp_limit);
	question(&k, "a", DNS_TYPE_AAAA, 65535);
	CHECK(dns_wire_parse(k.p, k.n, &q) == 0 && q.udp_limit == DNS_UDP_MAX, "%u", q.udp_limit);
	question(&k, "", DNS_TYPE_NS, -1);
	CHECK(dns_wire_parse(k.p, k.n, &q) == 0 && q.n_labels == 0 && q.name_len == 0, "root");
	question(&k, "a", DNS_TYPE_A, 1232);
	k.p[k.n - 5] = 1; /* EDNS version */
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_BADVERS && q.edns, "version 1");
	header(&k, 0x0100, 1, 0);
	add(&k, "\3a.b\2c\0\0\0\1\0\1", 12);
	CHECK(dns_wire_parse(k.p, k.n, &q) == 0 && !q.plain && q.n_labels == 2, "a point or NUL inside a label");
}

static void test_refuse(void)
{
	static struct packet k;
	struct dns_query q;
	char longest[300], label64[70];
	CHECK(dns_wire_parse("", 0, &q) == -1 && dns_wire_parse("12345678901", 11, &q) == -1, "no header");
	question(&k, "a", DNS_TYPE_A, -1);
	k.p[2] |= 0x80;
	CHECK(dns_wire_parse(k.p, k.n, &q) == -1, "a response is never answered");
	k.p[2] = 0x28;
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_NOTIMP, "update");
	question(&k, "a", DNS_TYPE_A, -1);
	k.p[5] = 2;
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_FORMERR && q.question_len == 0, "two questions");
	k.p[5] = 0;
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_FORMERR, "no question");
	question(&k, "abc", DNS_TYPE_A, 1232);
	for (size_t n = 12; n < k.n; n++)
		CHECK(dns_wire_parse(k.p, n, &q) == DNS_FORMERR, "cut at %zu", n);
	header(&k, 0x0100, 1, 0);
	add(&k, "\xc0\x0c\0\1\0\1", 6);
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_FORMERR, "a pointer in a question");
	/* 253 characters are a name, 254 are none */
	memset(longest, 'x', sizeof(longest));
	longest[63] = longest[127] = longest[191] = '.';
	longest[253] = '\0';
	question(&k, longest, DNS_TYPE_A, -1);
	CHECK(dns_wire_parse(k.p, k.n, &q) == 0 && q.name_len == 253, "%zu", q.name_len);
	longest[253] = 'x';
	longest[254] = '\0';
	question(&k, longest, DNS_TYPE_A, -1);
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_FORMERR, "254");
	memset(label64, 'y', 64);
	label64[64] = '\0';
	question(&k, label64, DNS_TYPE_A, -1);
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_FORMERR, "label of 64");
	question(&k, "a", DNS_TYPE_A, 1232);
	add(&k, k.p + k.n - 11, 11);
	k.p[11] = 2;
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_FORMERR && !q.edns, "two OPT records");
}

static void test_reply(void)
{
	static struct packet k;
	static const unsigned char expect[] = "\x12\x34\x85\x80\0\1\0\2\0\0\0\1\3WeB\0\0\1\0\1"
					      "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x0a\0\0\1"
					      "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x0a\0\0\2"
					      "\0\0\x29\x10\0\0\0\x80\0\0\0";
	unsigned char buf[4096];
	struct in_addr a[300];
	struct dns_query q;
	size_t n;
	for (unsigned i = 0; i < 300; i++)
		a[i].s_addr = htonl(0x0a000001 + i);
	question(&k, "WeB", DNS_TYPE_A, 1232);
	dns_wire_parse(k.p, k.n, &q);
	n = dns_wire_reply_a(&q, k.p, a, 2, 5, buf, q.udp_limit);
	CHECK(n == sizeof(expect) - 1 && memcmp(buf, expect, n) == 0, "%zu bytes", n);
	CHECK(dns_wire_matches(buf, n, k.p, k.n) && dns_wire_rcode(buf) == DNS_NOERROR, "our own reply");
	for (size_t limit = DNS_REPLY_MIN; limit <= 4096; limit += 13) {
		n = dns_wire_reply_a(&q, k.p, a, 300, 5, buf, limit);
		CHECK(n <= limit && n + 16 > MIN(limit, (size_t)(12 + 9 + 300 * 16 + 11)), "%zu of %zu", n, limit);
		CHECK((buf[2] & 2) && get16(buf + 6) * 16 + 12 + 9 + 11 == n && get16(buf + 10) == 1, "TC, %u answers", get16(buf + 6));
	}
	n = dns_wire_reply(&q, k.p, DNS_NXDOMAIN, buf, 512);
	CHECK(n == 12 + 9 + 11 && (buf[3] & 15) == 3 && (buf[2] & 4) && get16(buf + 6) == 0, "NXDOMAIN");
	n = dns_wire_reply(&q, k.p, DNS_BADVERS, buf, 512);
	CHECK((buf[3] & 15) == 0 && buf[n - 6] == 1, "extended code");
	n = dns_wire_reply(&q, k.p, DNS_SERVFAIL, buf, 512);
	CHECK((buf[3] & 15) == 2 && !(buf[2] & 4), "not authoritative for a failure");
	question(&k, "1.0.0.10.in-addr.arpa", DNS_TYPE_PTR, -1);
	dns_wire_parse(k.p, k.n, &q);
	n = dns_wire_reply_ptr(&q, k.p, "web-1.net", 5, buf, 512);
	CHECK(n == k.n + 12 + 11 && memcmp(buf + n - 11, "\5web-1\3net\0", 11) == 0 && get16(buf + 6) == 1, "%zu", n);
	n = dns_wire_reply_ptr(&q, k.p, "bad..name", 5, buf, 512);
	CHECK(dns_wire_rcode(buf) == DNS_SERVFAIL, "no name");
	header(&k, 0, 3, 0);
	CHECK(dns_wire_parse(k.p, k.n, &q) == DNS_FORMERR, "three questions");
	CHECK(dns_wire_reply(&q, k.p, DNS_FORMERR, buf, 512) == 12 && get16(buf + 4) == 0, "bare");
}

static void test_match(void)
{
	static struct packet query, k;
	size_t n;
	question(&query, "example.com", DNS_TYPE_A, -1);
	question(&k, "EXAMPLE.com", DNS_TYPE_A, -1);
	CHECK(!dns_wire_matches(k.p, k.n, query.p, query.n), "a query is no response");
	k.p[2] |= 0x80;
	CHECK(dns_wire_matches(k.p, k.n, query.p, query.n), "any case");
	dns_wire_set_id(k.p, 0x4321);
	CHECK(dns_wire_id(k.p) == 0x4321 && !dns_wire_matches(k.p, k.n, query.p, query.n), "another id");
	dns_wire_set_id(k.p, 0x1234);
	k.p[k.n - 3] = 33;
	CHECK(!dns_wire_matches(k.p, k.n, query.p, query.n), "another type");
	question(&k, "example.org", DNS_TYPE_A, -1);
	k.p[2] |= 0x80;
	CHECK(!dns_wire_matches(k.p, k.n, query.p, query.n), "another name");
	for (n = 0; n < k.n; n++)
		CHECK(!dns_wire_matches(k.p, n, query.p, query.n), "cut at %zu", n);
	question(&k, "example.com", DNS_TYPE_A, -1);
	k.p[7] = 200;
	k.n += 5000;
	n = dns_wire_truncate(k.p, k.n, 512);
	CHECK(n == query.n && (k.p[2] & 2) && k.p[7] == 0, "%zu", n);
	CHECK(dns_wire_truncate(k.p, n, 512) == n, "fits");
}

static void test_reverse(void)
{
	static const char *const bad[] = { "in-addr.arpa", "1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "256.2.3.4.in-addr.arpa",
					   "a.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arp", "1.2.3.4.in-addr.arpa.x", "0001.2.3.4.in-addr.arpa", "" };
	struct in_addr a;
	CHECK(dns_wire_reverse("4.3.2.10.in-addr.arpa", &a) && a.s_addr == inet_addr("10.2.3.4"), "%x", a.s_addr);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!dns_wire_reverse(bad[i], &a), "%s", bad[i]);
}

/* Whatever comes in, what goes out is bounded and is itself well-formed. */
static void try_input(const unsigned char *p, size_t n)
{
	unsigned char buf[4096];
	struct in_addr a[100] = {{0}};
	struct dns_query q, back;
	unsigned char *exact = malloc(n + 1); /* the sanitizers watch its end */
	int rc;
	size_t m;
	memcpy(exact, p, n);
	rc = dns_wire_parse(exact, n, &q);
	dns_wire_matches(exact, n, p, n);
	dns_wire_matches(p, n, exact, n);
	dns_wire_reverse(rc == 0 ? q.name : "", a);
	if (rc > 0) {
		m = dns_wire_reply(&q, exact, (enum dns_rcode)rc, buf, DNS_REPLY_MIN);
		CHECK(m >= 12 && m <= DNS_REPLY_MIN, "%zu", m);
	} else if (rc == 0) {
		CHECK(strlen(q.name) <= q.name_len && q.question_len <= DNS_QUESTION_MAX, "%zu", q.name_len);
		m = dns_wire_reply_a(&q, exact, a, 100, 5, buf, 512);
		CHECK(m <= 512, "%zu", m);
		buf[2] &= 0x7f;
		CHECK(dns_wire_parse(buf, m, &back) == 0 && back.type == q.type && str_eq(back.name, q.name), "our reply reads back");
		CHECK(dns_wire_reply_ptr(&q, exact, "a.b", 5, buf, DNS_REPLY_MIN) <= DNS_REPLY_MIN, "ptr");
	}
	if (n > 4)
		CHECK(dns_wire_truncate(exact, n, n / 2) <= n, "truncate");
	free(exact);
}

static void test_garbage(void)
{
	static struct packet k;
	unsigned seed = 7;
	for (int i = 0; i < 300000; i++) {
		unsigned r = (unsigned)rand_r(&seed);
		switch (r % 4) {
		case 0:
			k.n = (unsigned)rand_r(&seed) % 80;
			for (size_t b = 0; b < k.n; b++)
				k.p[b] = (unsigned char)rand_r(&seed);
			break;
		default:
			question(&k, r % 8 < 4 ? "web.some-net_work.example" : "4.3.2.1.in-addr.arpa", r % 16 < 8 ? 1 : 12, r % 2 ? 1232 : -1);
			for (unsigned edits = (unsigned)rand_r(&seed) % 4; edits--;)
				k.p[(unsigned)rand_r(&seed) % k.n] = (unsigned char)rand_r(&seed);
			if (r % 3 == 0)
				k.n = (unsigned)rand_r(&seed) % (k.n + 1);
		}
		try_input(k.p, k.n);
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		AUTO_STR struct str input = {0};
		struct err err;
		if (fs_read(AT_FDCWD, argv[i], 1 << 20, &input, &err) == 0)
			try_input((const unsigned char *)str_get(&input), input.len);
	}
	if (argc == 1) {
		test_parse();
		test_refuse();
		test_reply();
		test_match();
		test_reverse();
		test_garbage();
	}
	printf("%s\n", failures ? "FAILED" : "passed");
	return failures != 0;
}
