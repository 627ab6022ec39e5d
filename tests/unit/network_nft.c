/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants of the rule table's elements: a change is applied as a whole or not at all; what one project does never touches
 * another's elements;
 * removing what is gone and adding what is there are fine; what was listed is what was added; thousands fit one transaction. */
#include "network_lab.h"

#include <pthread.h>

#include "network/nft.h"

static struct err err;

static struct nft_port port(uint16_t host_port, uint32_t ip, const char *owner)
{
	struct nft_port p = { .host_port = host_port, .protocol = PORT_TCP, .ip = ip, .port = 80 };
	snprintf(p.owner, sizeof(p.owner), "%s", owner);
	return p;
}

static struct nft_network network(const char *bridge, uint32_t ip, unsigned prefix_len, bool internal, const char *owner)
{
	struct nft_network w = { .subnet = { ip, prefix_len }, .internal = internal };
	snprintf(w.bridge, sizeof(w.bridge), "%s", bridge);
	snprintf(w.owner, sizeof(w.owner), "%s", owner);
	return w;
}

static size_t count_ports(struct net *n, const char *owner)
{
	struct nft_state s;
	CHECK(nft_list(n, owner, &s, &err) == 0, &err);
	const size_t n_ports = s.n_ports;
	nft_state_done(&s);
	return n_ports;
}

static void add_ports(struct net *n, const struct nft_port *p, size_t n_ports)
{
	CHECK(nft_apply(n, &(struct nft_change){ .add_ports = p, .n_add_ports = n_ports }, &err) == 0, &err);
}

static void del_ports(struct net *n, const struct nft_port *p, size_t n_ports)
{
	CHECK(nft_apply(n, &(struct nft_change){ .del_ports = p, .n_del_ports = n_ports }, &err) == 0, &err);
}

static void test_networks(struct net *n)
{
	/* neighbours: one's end is the other's start; and the last subnet there is, which has no end */
	const struct nft_network w[] = { network("mua", IP4(10, 1, 0, 0), 24, false, "p"), network("mub", IP4(10, 1, 1, 0), 24, true, "p"),
		network("muc", IP4(10, 1, 2, 0), 28, false, "p/x"), network("mud", IP4(255, 255, 255, 0), 24, false, "q") };
	struct nft_state s;
	CHECK(nft_apply(n, &(struct nft_change){ .add_networks = w, .n_add_networks = 4 }, &err) == 0, &err);
	CHECK(nft_apply(n, &(struct nft_change){ .add_networks = w, .n_add_networks = 4 }, &err) == 0, &err);
	CHECK(nft_list(n, NULL, &s, &err) == 0 && s.n_networks == 4, &err);
	for (size_t i = 0; i < s.n_networks; i++) {
		const struct nft_network *got = &s.networks[i], *want = NULL;
		for (size_t j = 0; j < ARRAY_SIZE(w); j++)
			if (str_eq(w[j].bridge, got->bridge))
				want = &w[j];
		CHECK(want && want->subnet.ip == got->subnet.ip && want->subnet.prefix_len == got->subnet.prefix_len &&
		      want->internal == got->internal && str_eq(want->owner, got->owner), NULL);
	}
	nft_state_done(&s);
	CHECK(nft_list(n, "p", &s, &err) == 0 && s.n_networks == 3, &err);
	nft_state_done(&s);
	/* one goes, by name alone; its neighbours stay whole */
	CHECK(nft_apply(n, &(struct nft_change){ .del_networks = &(struct nft_network){ .bridge = "mub" }, .n_del_networks = 1 },
		&err) == 0,
	      &err);
	CHECK(nft_list(n, NULL, &s, &err) == 0 && s.n_networks == 3 && s.networks[0].subnet.prefix_len, &err);
	nft_state_done(&s);
	/* moved to another subnet in one step */
	const struct nft_network moved = network("mua", IP4(10, 9, 0, 0), 24, true, "p");
	CHECK(nft_apply(n, &(struct nft_change){ .del_networks = w, .n_del_networks = 1, .add_networks = &moved, .n_add_networks = 1 },
			&err) == 0, &err);
	CHECK(nft_list(n, "p", &s, &err) == 0 && s.n_networks == 2, &err);
	for (size_t i = 0; i < s.n_networks; i++)
		CHECK(!str_eq(s.networks[i].bridge, "mua") || (s.networks[i].subnet.ip == moved.subnet.ip && s.networks[i].internal), NULL);
	nft_state_done(&s);
	CHECK(nft_release(n, &err) == 1, &err);
	CHECK(nft_apply(n, &(struct nft_change){ .del_networks = w, .n_del_networks = 4 }, &err) == 0, &err);
}

static void test_ports(struct net *n)
{
	const struct nft_port p[] = { port(80, IP4(10, 1, 0, 2), "p/aaa"), port(81, IP4(10, 1, 0, 3), "p/bbb"),
		port(82, IP4(10, 1, 0, 4), "pp/ccc") };
	struct nft_port udp = port(80, IP4(10, 1, 0, 2), "p/aaa"), own = port(80, IP4(10, 1, 0, 9), "p/ddd"), other;
	struct nft_state s;
	udp.protocol = PORT_UDP;
	own.host_ip = IP4(192, 0, 2, 2);
	add_ports(n, p, 3);
	add_ports(n, &udp, 1);
	add_ports(n, &own, 1);
	add_ports(n, p, 3); /* again */
	CHECK(count_ports(n, NULL) == 5 && count_ports(n, "p") == 4 && count_ports(n, "pp") == 1, NULL);
	CHECK(count_ports(n, "p/aaa") == 2 && count_ports(n, "p/a") == 0, NULL);
	CHECK(nft_list(n, "p/ddd", &s, &err) == 0 && s.n_ports == 1 && s.ports[0].host_ip == own.host_ip && s.ports[0].ip == own.ip &&
	      s.ports[0].host_port == 80 && s.ports[0].port == 80 && s.ports[0].protocol == PORT_TCP, &err);
	nft_state_done(&s);
	/* leads elsewhere now */
	other = port(80, IP4(10, 1, 0, 7), "p/eee");
	add_ports(n, &other, 1);
	CHECK(nft_list(n, "p/eee", &s, &err) == 0 && s.n_ports == 1 && s.ports[0].ip == other.ip, &err);
	nft_state_done(&s);
	CHECK(count_ports(n, NULL) == 5, NULL);
	/* of three removals one is gone already: the others happen */
	del_ports(n, &p[1], 1);
	del_ports(n, p, 3);
	CHECK(count_ports(n, NULL) == 2 && count_ports(n, "p/aaa") == 1 && count_ports(n, "p/ddd") == 1, NULL);
	del_ports(n, &udp, 1);
	del_ports(n, &own, 1);
	CHECK(count_ports(n, NULL) == 0, NULL);
}

/* One bad element: nothing of the transaction happens. */
static void test_all_or_nothing(struct net *n)
{
	const struct nft_port p[] = { port(90, IP4(10, 1, 0, 2), "p"), port(0, IP4(10, 1, 0, 3), "p") };
	const struct nft_network clash[] = { network("mux", IP4(10, 3, 0, 0), 24, false, "p"), network("muy", IP4(10, 3, 0, 0), 16, false,
		"p") };
	struct nft_state s;
	CHECK(nft_apply(n, &(struct nft_change){ .add_ports = p, .n_add_ports = 2 }, &err) < 0 && err.code == ERR_INVALID, &err);
	CHECK(count_ports(n, NULL) == 0, NULL);
	CHECK(nft_apply(n, &(struct nft_change){ .add_networks = clash, .n_add_networks = 2 }, &err) < 0, NULL);
	CHECK(nft_list(n, NULL, &s, &err) == 0 && s.n_networks == 0, &err);
	nft_state_done(&s);
}

static void test_many(struct net *n)
{
	enum { MANY = 5000 };
	struct nft_port *p = xcalloc(MANY, sizeof(*p));
	for (size_t i = 0; i < MANY; i++)
		p[i] = port(10000 + i, IP4(10, 1, 0, 0) + i, i % 2 ? "odd/c" : "even/c");
	add_ports(n, p, MANY);
	CHECK(count_ports(n, NULL) == MANY && count_ports(n, "odd") == MANY / 2, NULL);
	del_ports(n, p, MANY);
	CHECK(count_ports(n, NULL) == 0, NULL);
	free(p);
}

/* Two roots: each has its table, each lets go of its own only. */
static void test_two_roots(struct net *n)
{
	const struct nft_network w = network("mua", IP4(10, 1, 0, 0), 24, false, "p");
	const struct nft_change add = { .add_networks = &w, .n_add_networks = 1 }, del = { .del_networks = &w, .n_del_networks = 1 };
	struct net other;
	struct nft_state s;
	CHECK(net_open(&other, "11111111", &err) == 0, &err);
	CHECK(nft_apply(n, &add, &err) == 0 && nft_apply(&other, &add, &err) == 0, &err);
	CHECK(nft_apply(&other, &del, &err) == 0 && nft_release(&other, &err) == 0, &err);
	CHECK(nft_list(n, NULL, &s, &err) == 0 && s.n_networks == 1, &err);
	nft_state_done(&s);
	CHECK(nft_apply(n, &del, &err) == 0, &err);
	net_close(&other);
}

/* The table goes away under us between two changes (nft flush ruleset): the next change brings it back. */
static void test_flushed(struct net *n)
{
	const struct nft_port p = port(80, IP4(10, 1, 0, 2), "p");
	char *have;
	CHECK(nft_ensure(n, &err) == 0, &err);
	have = lab_output("nft list tables");
	if (!strstr(have, "muster_" LAB_ROOTID)) {
		printf("note: nft is not installed, flush is not tried\n");
		free(have);
		return;
	}
	free(have);
	free(lab_output("nft flush ruleset"));
	CHECK(count_ports(n, NULL) == 0, NULL);
	add_ports(n, &p, 1);
	CHECK(count_ports(n, NULL) == 1, NULL);
	free(lab_output("nft flush ruleset"));
	del_ports(n, &p, 1);
}

/* Two projects come and go at once: what one has added is there until it removes it, though the other lets go of the table all the time. */
static void *come_and_go(void *arg)
{
	const char *owner = arg;
	struct nft_network w = network(owner, *owner == 'a' ? IP4(10, 1, 0, 0) : IP4(10, 2, 0, 0), 24, false, owner);
	struct nft_port p[3];
	const struct nft_change add = { .add_networks = &w, .n_add_networks = 1, .add_ports = p, .n_add_ports = 3 };
	const struct nft_change del = { .del_networks = &w, .n_del_networks = 1, .del_ports = p, .n_del_ports = 3 };
	struct err e = { 0 };
	struct net n;
	for (uint16_t i = 0; i < 3; i++)
		p[i] = port((*owner == 'a' ? 100 : 200) + i, w.subnet.ip + 2 + i, owner);
	CHECK(net_open(&n, LAB_ROOTID, &e) == 0, &e);
	for (int i = 0; i < 100; i++) {
		struct nft_state s;
		CHECK(nft_apply(&n, &add, &e) == 0, &e);
		CHECK(nft_list(&n, owner, &s, &e) == 0, &e);
		if (s.n_networks != 1 || !s.networks[0].subnet.prefix_len || s.n_ports != 3) {
			fprintf(stderr, "round %d of %s: %zu networks, prefix %u, %zu ports\n", i, owner, s.n_networks,
				s.n_networks ? s.networks[0].subnet.prefix_len : 0, s.n_ports);
			exit(1);
		}
		nft_state_done(&s);
		CHECK(nft_apply(&n, &del, &e) == 0, &e);
		CHECK(nft_release(&n, &e) >= 0, &e);
	}
	net_close(&n);
	return NULL;
}

static void test_two_projects(void)
{
	char a[] = "a", b[] = "b";
	pthread_t t;
	CHECK(pthread_create(&t, NULL, come_and_go, a) == 0, NULL);
	come_and_go(b);
	CHECK(pthread_join(t, NULL) == 0, NULL);
}

int main(void)
{
	struct net n;
	lab_start();
	CHECK(net_open(&n, LAB_ROOTID, &err) == 0, &err);
	CHECK(nft_release(&n, &err) == 0, &err); /* none there */
	CHECK(nft_ensure(&n, &err) == 0 && nft_ensure(&n, &err) == 0, &err);
	test_networks(&n);
	test_ports(&n);
	test_all_or_nothing(&n);
	test_many(&n);
	test_two_roots(&n);
	test_two_projects();
	test_flushed(&n);
	CHECK(nft_release(&n, &err) == 0, &err);
	net_close(&n);
	return 0;
}
