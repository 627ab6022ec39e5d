/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants: a container's links come up numbered, with the network's MTU, a MAC that follows from the address, and one default
 * route; a failure
 * leaves no link behind; a container that starts again while its old namespace is still dying gets its links, and the old one's can be swept away;
 * one network can be added to a running container. Prints what a link costs. */
#include "network_lab.h"

#include <time.h>

#include "network/attach.h"
#include "network/bridge.h"
#include "network/scan.h"

enum { MANY = 50 };

static struct err err;
static struct bridge a, b;

static struct bridge make_bridge(struct net *n, const char *name)
{
	struct bridge br;
	CHECK(bridge_ensure(n, &(struct bridge_spec){ .project = "p", .network = name, .mtu = 1400 }, &br, &err) == 0, &err);
	return br;
}

static struct attach_link link_of(const struct bridge *br, const char *ifname, uint32_t host_part, bool gateway)
{
	struct attach_link l = { .bridge = br->name, .ip = br->subnet.ip + host_part, .prefix_len = br->subnet.prefix_len,
		.gateway = gateway ? br->gateway : 0, .mtu = br->mtu };
	snprintf(l.ifname, sizeof(l.ifname), "%s", ifname);
	return l;
}

static int attach(struct net *n, int ns, const char *id, const struct attach_link *links, size_t n_links)
{
	struct netns inside;
	CHECK(netns_open(&inside, n, ns, 0, &err) == 0, &err);
	const int rc = attach_links(n, &inside, id, links, n_links, &err);
	netns_close(&inside);
	return rc;
}

/* Ports on our bridges, by what the kernel lists. */
static size_t count_ports(struct net *n)
{
	AUTO_FREE struct scan_link *links = NULL;
	size_t n_links, count = 0;
	CHECK(scan_links(n, "veth", &links, &n_links, &err) == 0, &err);
	for (size_t i = 0; i < n_links; i++)
		count += links[i].master == a.ifindex || links[i].master == b.ifindex;
	return count;
}

/* By the end of its alias. */
static struct scan_link near_link(struct net *n, const char *end)
{
	AUTO_FREE struct scan_link *links = NULL;
	size_t n_links;
	CHECK(scan_links(n, "veth", &links, &n_links, &err) == 0, &err);
	for (size_t i = 0; i < n_links; i++)
		if (str_ends(links[i].alias, end))
			return links[i];
	CHECK(false, NULL);
	return (struct scan_link){ 0 };
}

static struct scan_link inside_link(struct net *n, int ns, const char *ifname)
{
	struct scan_link l;
	struct netns inside;
	CHECK(netns_open(&inside, n, ns, 0, &err) == 0, &err);
	CHECK(scan_link_by_name(&inside.rt, ifname, &l, &err) == 0, &err);
	netns_close(&inside);
	return l;
}

static void test_two_networks(struct net *n, int ns)
{
	const struct attach_link links[] = { link_of(&a, "eth0", 2, true), link_of(&b, "eth1", 2, false) };
	const uint8_t want[] = { 0x02, 0x42, links[0].ip >> 24, links[0].ip >> 16, links[0].ip >> 8, links[0].ip };
	struct attach_link third = link_of(&b, "eth2", 3, false);
	struct scan_link l;
	struct scan_route *routes;
	size_t n_routes, n_default = 0;
	struct net in;
	AUTO_STR struct str text = { 0 };
	CHECK(attach(n, ns, "c1", links, 2) == 0, &err);
	l = inside_link(n, ns, "eth0");
	CHECK((l.flags & IFF_UP) && l.mtu == 1400 && memcmp(l.mac, want, 6) == 0, NULL);
	CHECK(inside_link(n, ns, "lo").flags & IFF_UP, NULL);
	lab_enter(ns);
	CHECK(net_open(&in, LAB_ROOTID, &err) == 0 && scan_routes(&in, &routes, &n_routes, &err) == 0, &err);
	for (size_t i = 0; i < n_routes; i++)
		n_default += !routes[i].dst.prefix_len && routes[i].oif == l.ifindex;
	CHECK(n_default == 1 && n_routes == 3, NULL);
	CHECK(fs_read(AT_FDCWD, "/proc/sys/net/ipv6/conf/eth0/disable_ipv6", 8, &text, &err) != 0 || *str_get(&text) == '1', NULL);
	lab_enter(n->ns_fd);
	free(routes);
	net_close(&in);
	CHECK(count_ports(n) == 2, NULL);

	CHECK(attach(n, ns, "c1", &third, 1) == 0 && count_ports(n) == 3, &err);
	l = near_link(n, "c1/eth2");
	CHECK(attach_delete(n, &l.ifindex, 1, &err) == 0 && count_ports(n) == 2, &err);
}

static bool is_arg(void *arg, const char *id)
{
	return strcmp(arg, id) == 0;
}

/* Links whose namespaces stay: of an id that runs again only the older goes, of one that doesn't all, of another none. */
static void test_sweep(struct net *n)
{
	char c1[] = "c1", c[] = "c", c7[] = "c7", other[] = "other";
	char *ids[] = { c, c7, other };
	const struct attach_link link = link_of(&a, "eth0", 7, false), second = link_of(&b, "eth2", 7, false);
	const int old = lab_new_ns(), now = lab_new_ns();
	const size_t before = count_ports(n);
	CHECK(attach(n, old, "c7", &link, 1) == 0 && attach(n, old, "c7", &second, 1) == 0 && attach(n, now, "c7", &link, 1) == 0, &err);
	CHECK(attach_sweep(n, ids, 1, is_arg, c1, &err) == 0 && count_ports(n) == before + 3, &err);
	CHECK(attach_sweep(n, ids, 3, is_arg, c7, &err) == 0 && count_ports(n) == before + 2, &err);
	CHECK(inside_link(n, now, "eth0").ifindex && inside_link(n, old, "eth2").ifindex, NULL);
	CHECK(attach_sweep(n, ids, 3, is_arg, other, &err) == 0 && count_ports(n) == before, &err);
	CHECK(attach_sweep(n, ids, 3, is_arg, other, &err) == 0 && attach_delete(n, &(unsigned){ 1U << 20 }, 1, &err) == 0, &err);
	close(old);
	close(now);
}

static void test_failures(struct net *n, int ns)
{
	/* eth0 is there already; a bridge that is not; the second of two fails and takes the first with it */
	struct attach_link links[] = { link_of(&a, "eth5", 9, false), link_of(&b, "eth0", 9, false) };
	CHECK(attach(n, ns, "c1", links, 2) < 0 && strstr(err.msg, "link eth0 on bridge"), &err);
	CHECK(count_ports(n) == 2, NULL);
	links[1] = link_of(&b, "eth6", 9, false);
	links[1].bridge = "mu000000000000";
	CHECK(attach(n, ns, "c1", links, 2) < 0 && err.code == ERR_NOT_FOUND, &err);
	links[1] = link_of(&b, "eth6", 9, false);
	links[0].gateway = 1 << 24; /* not reachable: fails inside */
	CHECK(attach(n, ns, "c1", links, 2) < 0, &err);
	CHECK(count_ports(n) == 2, &err);
	links[0] = link_of(&a, "eth5", 9, true);
	links[1].gateway = b.gateway;
	CHECK(attach(n, ns, "c1", links, 2) < 0 && err.code == ERR_INVALID, &err);
	links[1].gateway = 0;
	links[1].mtu = 0;
	CHECK(attach(n, ns, "c1", links, 2) < 0 && err.code == ERR_INVALID && count_ports(n) == 2, &err);
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* The same containers, again and again, without waiting for the old namespaces. */
static void test_restart(struct net *n)
{
	for (int round = 0; round < 3; round++) {
		int ns[MANY];
		double start, spent;
		char id[16];
		for (int i = 0; i < MANY; i++)
			ns[i] = lab_new_ns();
		start = now_ms();
		for (int i = 0; i < MANY; i++) {
			const struct attach_link l = link_of(&a, "eth0", 20 + i, true);
			snprintf(id, sizeof(id), "r%d", i);
			CHECK(attach(n, ns[i], id, &l, 1) == 0, &err);
		}
		spent = now_ms() - start;
		printf("%d links: %.2f ms each\n", MANY, spent / MANY);
		for (int i = 0; i < MANY; i++)
			close(ns[i]);
	}
}

static void wait_for_ports(struct net *n, size_t want)
{
	for (int i = 0; i < 100 && count_ports(n) != want; i++)
		usleep(50 * 1000);
	CHECK(count_ports(n) == want, NULL);
}

int main(void)
{
	struct net n;
	int ns;
	lab_start();
	CHECK(net_open(&n, LAB_ROOTID, &err) == 0, &err);
	ns = lab_new_ns();
	a = make_bridge(&n, "a");
	b = make_bridge(&n, "b");
	test_two_networks(&n, ns);
	test_failures(&n, ns);
	test_sweep(&n);
	test_restart(&n);
	wait_for_ports(&n, 2);
	close(ns);
	wait_for_ports(&n, 0);
	CHECK(bridge_delete(&n, a.name, &err) == 0 && bridge_delete(&n, b.name, &err) == 0, &err);
	net_close(&n);
	return 0;
}
