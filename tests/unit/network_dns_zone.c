/* SPDX-License-Identifier: Apache-2.0 */
/* Who is told what. Invariants: a client sees the names on its own networks only; each replica has the same weight, whatever
 * it shares with the client; a known name never leaves the machine, whatever the type; what is unknown is NXDOMAIN or
 * forwarded by the rules in network/dns_zone.c; setting is idempotent and removing leaves nothing behind. One line a case:
 * "client name type" and what follows. */
#include "network/dns_zone.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/str.h"

static int failures;

static void question(const char *name, uint16_t type, struct dns_query *q)
{
	*q = (struct dns_query){ .type = type, .class = DNS_CLASS_IN, .plain = true, .udp_limit = 512, .name_len = strlen(name) };
	strcpy(q->name, name);
	q->n_labels = *name ? 1 : 0;
	for (const char *p = name; *p; p++)
		q->n_labels += *p == '.';
}

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct in_addr));
}

/* "A 10.0.0.1 10.0.0.2" (sorted), "PTR web.net", "NODATA", "NXDOMAIN", "FORWARD", "FORWARD local" … */
static void ask(const struct dns_zone *z, const char *client, const char *name, uint16_t type, struct str *ret)
{
	static struct dns_answer a;
	struct dns_query q;
	static uint64_t random;
	question(name, type, &q);
	switch (dns_zone_lookup(z, dns_zone_client(z, client), &q, ++random, &a)) {
	case DNS_SAY_ADDRESSES:
		qsort(a.addresses, a.n_addresses, sizeof(a.addresses[0]), by_address);
		str_add(ret, "A");
		for (size_t i = 0; i < a.n_addresses; i++)
			str_addf(ret, " %s", inet_ntoa(a.addresses[i]));
		break;
	case DNS_SAY_NAME:
		str_addf(ret, "PTR %s", a.name);
		break;
	case DNS_SAY_NODATA:
		str_add(ret, "NODATA");
		break;
	case DNS_SAY_NXDOMAIN:
		str_add(ret, "NXDOMAIN");
		break;
	case DNS_SAY_NOTIMP:
		str_add(ret, "NOTIMP");
		break;
	case DNS_SAY_FORWARD:
		str_addf(ret, "FORWARD%s", a.local ? " local" : "");
		break;
	}
}

static void expect_at(const struct dns_zone *z, const char *client, const char *name, uint16_t type, const char *expect, int line)
{
	AUTO_STR struct str got = {0};
	ask(z, client, name, type, &got);
	if (str_eq(str_get(&got), expect))
		return;
	failures++;
	printf("%s:%d: %s asks for %s, type %u: %s, expected %s\n", __FILE__, line, client, name, type, str_get(&got), expect);
}
#define EXPECT(client, name, type, what) expect_at(z, client, name, DNS_TYPE_##type, what, __LINE__)

static void names(struct dns_zone *z, const char *owner, const char *network, const char *address, const char *list)
{
	AUTO_FREE char *copy = xstrdup(list);
	const char *v[32];
	size_t n = 0;
	char *save = NULL;
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		v[n++] = w;
	dns_zone_names_set(z, owner, network, (struct in_addr){ inet_addr(address) }, v, n, false);
}

static void client(struct dns_zone *z, const char *id, const char *n1, const char *n2, bool forward)
{
	dns_zone_client_set(z, id, (const char *[]){ n1, n2 }, n2 ? 2 : 1, forward);
}

static struct dns_zone *sample(void)
{
	struct dns_zone *z = dns_zone_new();
	client(z, "front", "p_front", NULL, true);
	client(z, "both", "p_front", "p_back", true);
	client(z, "back", "p_back", NULL, false);
	dns_zone_network_set(z, "p_front", (struct in_addr){ inet_addr("10.1.0.0") }, 24);
	names(z, "w1", "p_front", "10.1.0.2", "web-1 web abc Alias.Example");
	names(z, "w2", "p_front", "10.1.0.3", "web-2 web");
	names(z, "both", "p_front", "10.1.0.4", "api-1 api");
	names(z, "both", "p_back", "10.2.0.4", "api-1 api");
	names(z, "d1", "p_back", "10.2.0.5", "db-1 db");
	names(z, "down", "p_back", "0.0.0.0", "cache");
	return z;
}

static void test_names(void)
{
	struct dns_zone *z = sample();
	EXPECT("front", "web", A, "A 10.1.0.2 10.1.0.3");
	EXPECT("front", "web", ANY, "A 10.1.0.2 10.1.0.3");
	EXPECT("front", "web-1", A, "A 10.1.0.2");
	EXPECT("front", "web.p_front", A, "A 10.1.0.2 10.1.0.3");
	EXPECT("front", "alias.example", A, "A 10.1.0.2");
	EXPECT("front", "alias.example.p_front", A, "A 10.1.0.2");
	EXPECT("front", "web", AAAA, "NODATA");
	EXPECT("front", "web", SOA, "NODATA");
	EXPECT("both", "api", A, "A 10.1.0.4"); /* once, though it shares two networks with itself */
	EXPECT("both", "api.p_back", A, "A 10.2.0.4");
	EXPECT("both", "db", A, "A 10.2.0.5");
	EXPECT("back", "api", A, "A 10.2.0.4");
	/* not on its networks */
	EXPECT("front", "db", A, "NXDOMAIN");
	EXPECT("front", "db.p_back", A, "FORWARD");
	EXPECT("back", "web", A, "NXDOMAIN");
	EXPECT("back", "web.p_front", A, "NXDOMAIN");
	/* known, but nothing runs there */
	EXPECT("back", "cache", A, "NXDOMAIN");
	EXPECT("back", "cache", AAAA, "NXDOMAIN");
	dns_zone_free(z);
}

static void test_rest(void)
{
	struct dns_zone *z = sample();
	EXPECT("front", "nosuch", A, "NXDOMAIN");
	EXPECT("front", "nosuch", AAAA, "NXDOMAIN");
	EXPECT("front", "com", NS, "FORWARD local");
	EXPECT("front", "", NS, "FORWARD");
	EXPECT("front", "example.com", A, "FORWARD");
	EXPECT("front", "nosuch.p_front", A, "NXDOMAIN");
	EXPECT("front", "xp_front", A, "NXDOMAIN");
	EXPECT("back", "example.com", A, "NXDOMAIN"); /* on internal networks only */
	EXPECT("back", "com", NS, "NXDOMAIN");
	EXPECT("front", "example.com", AXFR, "NOTIMP");
	EXPECT("front", "localhost", A, "A 127.0.0.1");
	EXPECT("front", "a.localhost", AAAA, "NODATA");
	dns_zone_search_set(z, true); /* the host knows how to complete a single label */
	EXPECT("front", "nosuch", A, "FORWARD local");
	EXPECT("back", "nosuch", A, "NXDOMAIN");
	EXPECT("front", "db", A, "NXDOMAIN"); /* ours, on another network: never asked upstream */
	dns_zone_free(z);
}

static void test_reverse(void)
{
	struct dns_zone *z = sample();
	EXPECT("front", "2.0.1.10.in-addr.arpa", PTR, "PTR web-1.p_front");
	EXPECT("front", "2.0.1.10.in-addr.arpa", A, "NODATA");
	EXPECT("both", "5.0.2.10.in-addr.arpa", PTR, "PTR db-1.p_back");
	EXPECT("front", "9.0.1.10.in-addr.arpa", PTR, "NXDOMAIN"); /* our subnet, nobody there */
	EXPECT("front", "5.0.2.10.in-addr.arpa", PTR, "FORWARD");  /* a subnet that we were not told */
	EXPECT("front", "8.8.8.8.in-addr.arpa", PTR, "FORWARD");
	EXPECT("back", "8.8.8.8.in-addr.arpa", PTR, "NXDOMAIN");
	EXPECT("back", "2.0.1.10.in-addr.arpa", PTR, "NXDOMAIN");
	dns_zone_free(z);
}

static void test_change(void)
{
	struct dns_zone *z = sample();
	for (int i = 0; i < 3; i++)
		names(z, "w2", "P_Front", "10.1.0.7", "web web-2b");
	EXPECT("front", "web", A, "A 10.1.0.2 10.1.0.7");
	EXPECT("front", "web-2", A, "NXDOMAIN");
	EXPECT("front", "web-2b", A, "A 10.1.0.7");
	EXPECT("front", "3.0.1.10.in-addr.arpa", PTR, "NXDOMAIN");
	dns_zone_names_set(z, "w2", "p_front", (struct in_addr){ inet_addr("10.1.0.8") }, (const char *[]){ "more" }, 1, true);
	EXPECT("front", "more", A, "A 10.1.0.8");
	EXPECT("front", "web-2b", A, "A 10.1.0.8");
	EXPECT("front", "7.0.1.10.in-addr.arpa", PTR, "NXDOMAIN");
	/* an address that goes to another owner before the old one is removed */
	names(z, "w3", "p_front", "10.1.0.8", "heir");
	dns_zone_names_remove(z, "w2");
	EXPECT("front", "8.0.1.10.in-addr.arpa", PTR, "PTR heir.p_front");
	EXPECT("front", "more", A, "NXDOMAIN");
	EXPECT("front", "web", A, "A 10.1.0.2");
	dns_zone_names_remove(z, "w2");
	dns_zone_names_remove(z, "w1");
	EXPECT("front", "web", A, "NXDOMAIN");
	dns_zone_names_remove(z, "both");
	EXPECT("both", "api", A, "NXDOMAIN");
	client(z, "front", "p_back", NULL, false);
	EXPECT("front", "db", A, "A 10.2.0.5");
	EXPECT("front", "example.com", A, "NXDOMAIN");
	dns_zone_client_remove(z, "front");
	if (dns_zone_client(z, "front"))
		failures++;
	dns_zone_client_remove(z, "front");
	dns_zone_free(z);
}

/* Each replica comes first about equally often. */
static void test_shuffle(void)
{
	static struct dns_answer a;
	struct dns_zone *z = dns_zone_new();
	struct dns_query q;
	unsigned first[10] = {0};
	uint64_t random = 0;
	client(z, "c", "net", NULL, true);
	for (int i = 0; i < 10; i++) {
		char owner[16], address[32];
		snprintf(owner, sizeof(owner), "o%d", i);
		snprintf(address, sizeof(address), "10.0.0.%d", i);
		names(z, owner, "net", address, "web");
	}
	question("web", DNS_TYPE_A, &q);
	for (int i = 0; i < 10000; i++) {
		dns_zone_lookup(z, dns_zone_client(z, "c"), &q, random += 0x123456789abcdefULL, &a);
		first[ntohl(a.addresses[0].s_addr) & 15]++;
	}
	for (int i = 0; i < 10; i++)
		if (first[i] < 850 || first[i] > 1150) {
			failures++;
			printf("%s:%d: replica %d came first %u times of 10000\n", __FILE__, __LINE__, i, first[i]);
		}
	dns_zone_free(z);
	dns_zone_free(NULL);
}

int main(void)
{
	test_names();
	test_rest();
	test_reverse();
	test_change();
	test_shuffle();
	printf("%s\n", failures ? "FAILED" : "passed");
	return failures != 0;
}
