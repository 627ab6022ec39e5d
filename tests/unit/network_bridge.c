/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants: a bridge never gets a subnet that anything else of the machine has, whichever table a route is in and whoever was
 * faster; what is
 * there and right is adopted, not made anew; what was broken behind our back is mended; a stranger's link is not touched. */
#include "network_lab.h"

#include <pthread.h>
#include <stdarg.h>

#include "network/bridge.h"
#include "network/scan.h"

static struct err err;

static bool scan_gone(struct net *n, const char *name)
{
	struct scan_link l;
	return scan_link_by_name(&n->rt, name, &l, &err) == 1;
}

static struct bridge ensure(struct net *n, const struct bridge_spec *spec)
{
	struct bridge br;
	CHECK(bridge_ensure(n, spec, &br, &err) == 0, &err);
	return br;
}

static void run(const char *fmt, ...) PRINTF(1, 2);
static void run(const char *fmt, ...)
{
	char command[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	CHECK(system(command) == 0, NULL);
}

static void test_make(struct net *n)
{
	const struct bridge_spec spec = { .project = "p", .network = "default" };
	struct bridge br = ensure(n, &spec), again = ensure(n, &spec), *list;
	size_t n_list;
	char path[64], name[NET_IFNAME_SIZE];
	AUTO_STR struct str text = { 0 };
	bridge_name(LAB_ROOTID, "p", "default", name);
	CHECK(str_eq(br.name, name) && strlen(name) == 14 && str_eq(br.alias, LAB_ROOTID "/p/default"), NULL);
	CHECK(br.up && br.mtu == 1500 && br.gateway == br.subnet.ip + 1 && br.subnet.prefix_len == 24, NULL);
	CHECK(again.ifindex == br.ifindex && again.subnet.ip == br.subnet.ip, NULL);
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", br.name);
	CHECK(fs_read(AT_FDCWD, path, 8, &text, &err) != 0 || str_eq(str_get(&text), "1\n"), &err);
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", br.name);
	CHECK(fs_read(AT_FDCWD, path, 8, &text, &err) == 0 && str_eq(str_get(&text), "1\n"), &err);

	ensure(n, &(struct bridge_spec){ .project = "p2", .network = "default" });
	CHECK(bridge_list(n, "p", &list, &n_list, &err) == 0 && n_list == 1 && str_eq(list[0].name, br.name) && list[0].up, &err);
	free(list);
	CHECK(bridge_list(n, NULL, &list, &n_list, &err) == 0 && n_list == 2, &err);
	for (size_t i = 0; i < n_list; i++)
		CHECK(bridge_delete(n, list[i].name, &err) == 0, &err);
	free(list);
	CHECK(bridge_delete(n, br.name, &err) == 0, &err); /* absent is success */
	again = ensure(n, &spec);
	CHECK(again.subnet.ip == br.subnet.ip, NULL); /* the same network gets the same subnet */
	CHECK(bridge_delete(n, br.name, &err) == 0, &err);
}

static void test_mend(struct net *n)
{
	const struct bridge_spec spec = { .project = "p", .network = "m" };
	struct bridge br = ensure(n, &spec), got, *list;
	struct bridge_spec fixed = { .project = "p", .network = "m", .subnet = br.subnet };
	size_t n_list;
	run("ip link set %s down", br.name);
	CHECK(bridge_list(n, "p", &list, &n_list, &err) == 0 && n_list == 1 && !list[0].up, &err);
	free(list);
	CHECK(ensure(n, &spec).up, NULL);
	run("ip addr flush dev %s", br.name);
	got = ensure(n, &fixed);
	CHECK(got.subnet.ip == br.subnet.ip && got.ifindex == br.ifindex, NULL);
	run("ip link set %s alias ''", br.name); /* as when killed between creation and alias */
	ensure(n, &spec);
	CHECK(bridge_list(n, "p", &list, &n_list, &err) == 0 && n_list == 1, &err);
	free(list);
	fixed.subnet.ip += 1 << 8;
	CHECK(bridge_ensure(n, &fixed, &got, &err) < 0 && err.code == ERR_CONFLICT, &err);
	CHECK(bridge_delete(n, br.name, &err) == 0, &err);
	run("ip link add %s type bridge && ip link set %s alias somebody", br.name, br.name);
	CHECK(bridge_ensure(n, &spec, &got, &err) < 0 && err.code == ERR_CONFLICT && strstr(err.msg, "somebody"), &err);
	run("ip link del %s", br.name);
}

/* Each way in which a machine can have the first candidate already. */
static void test_overlap(struct net *n)
{
	const struct bridge_spec spec = { .project = "p", .network = "o" };
	const struct bridge first = ensure(n, &spec);
	char subnet[20], ip[16];
	uint32_t avoid = first.subnet.ip + 53;
	struct bridge br;
	ipam_subnet_text(first.subnet, subnet);
	net_ip_text(first.subnet.ip + 9, ip);
	CHECK(bridge_delete(n, first.name, &err) == 0, &err);
	static const char *const ways[][2] = {
		{ "ip addr add %s/16 dev up0", "ip addr del %s/16 dev up0" },
		{ "ip route add %s/32 dev up0", "ip route del %s/32 dev up0" },
		{ "ip route add %s/32 dev up0 table 4242", "ip route del %s/32 dev up0 table 4242" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		run(ways[i][0], ip);
		br = ensure(n, &spec);
		CHECK(!ipam_overlap(br.subnet, first.subnet), NULL);
		CHECK(bridge_delete(n, br.name, &err) == 0, &err);
		CHECK(bridge_ensure(n, &(struct bridge_spec){ .project = "p", .network = "o", .subnet = first.subnet }, &br, &err) < 0 &&
		      err.code == ERR_CONFLICT && strstr(err.msg, "up0"), &err);
		CHECK(scan_gone(n, first.name), NULL);
		run(ways[i][1], ip);
	}
	br = ensure(n, &(struct bridge_spec){ .project = "p", .network = "o", .avoid = &avoid, .n_avoid = 1 });
	CHECK(br.subnet.ip != first.subnet.ip, NULL);
	CHECK(bridge_delete(n, br.name, &err) == 0, &err);
	/* a default route and a VPN's halves claim nothing; a company's 10.0.0.0/8 sends us to the next pool */
	run("ip route add 0.0.0.0/1 dev up0 && ip route add 128.0.0.0/1 dev up0 && ip route add default dev up0");
	br = ensure(n, &spec);
	CHECK(br.subnet.ip == first.subnet.ip, NULL);
	CHECK(bridge_delete(n, br.name, &err) == 0, &err);
	run("ip route add 10.0.0.0/8 dev up0");
	br = ensure(n, &spec);
	CHECK(br.subnet.ip >> 20 == 0xac1, NULL);
	CHECK(bridge_delete(n, br.name, &err) == 0, &err);
	run("ip route flush dev up0");
}

struct racer {
	const char *rootid;
	struct bridge br;
};

static void *race(void *arg)
{
	static const struct ipam_pool tiny = { .range = { IP4(10, 77, 0, 0), 23 }, .prefix_len = 24 }; /* two subnets for two */
	struct racer *r = arg;
	struct net n;
	struct err e = { 0 };
	CHECK(net_open(&n, r->rootid, &e) == 0, &e);
	/* both may lose against each other on both candidates: then it is said, and tried again */
	for (int i = 0; i < 50; i++)
		if (bridge_ensure(&n, &(struct bridge_spec){ .project = "p", .network = "n", .pool = &tiny }, &r->br, &e) == 0)
			break;
	CHECK(r->br.subnet.prefix_len, &e);
	net_close(&n);
	return NULL;
}

static void test_race(struct net *n)
{
	for (int round = 0; round < 20; round++) {
		struct racer a = { .rootid = "0000000a" }, b = { .rootid = "0000000b" };
		pthread_t t;
		CHECK(pthread_create(&t, NULL, race, &a) == 0, NULL);
		race(&b);
		CHECK(pthread_join(t, NULL) == 0, NULL);
		CHECK(!ipam_overlap(a.br.subnet, b.br.subnet), NULL);
		CHECK(bridge_delete(n, a.br.name, &err) == 0 && bridge_delete(n, b.br.name, &err) == 0, &err);
	}
}

static void test_mtu(struct net *n)
{
	struct bridge br;
	run("ip link set up0 mtu 1350 && ip route add default dev up0");
	br = ensure(n, &(struct bridge_spec){ .project = "p", .network = "t" });
	CHECK(br.mtu == 1350, NULL);
	CHECK(bridge_ensure(n, &(struct bridge_spec){ .project = "p", .network = "t", .mtu = 9000 }, &br, &err) < 0, &err);
	CHECK(bridge_delete(n, br.name, &err) == 0, &err);
	br = ensure(n, &(struct bridge_spec){ .project = "p", .network = "t", .mtu = 9000 });
	CHECK(br.mtu == 9000, NULL);
	CHECK(bridge_delete(n, br.name, &err) == 0, &err);
}

static void test_bad_input(struct net *n)
{
	struct bridge br;
	struct net bad;
	CHECK(bridge_ensure(n, &(struct bridge_spec){ .project = "a/b", .network = "n" }, &br, &err) < 0, NULL);
	CHECK(bridge_ensure(n, &(struct bridge_spec){ .project = "", .network = "n" }, &br, &err) < 0, NULL);
	CHECK(bridge_ensure(n, &(struct bridge_spec){ .project = "p", .network = "n", .subnet = { 1, 24 } }, &br, &err) < 0, NULL);
	CHECK(net_open(&bad, "0BADC0DE", &err) < 0 && net_open(&bad, "0bad", &err) < 0, NULL);
	net_close(&bad);
}

/* A change of ours or of anybody's to our links and our table wakes the watcher; a stranger's veth does not. */
static void test_watch(struct net *n)
{
	int rtnl, nfnl;
	struct bridge br;
	CHECK(net_watch_open(&rtnl, &nfnl, &err) == 0, &err);
	CHECK(net_watch_drain(n, rtnl) == 0 && net_watch_drain(n, nfnl) == 0, NULL);
	run("ip link add x0 type veth peer name x1 && ip link del x0");
	CHECK(lab_wait(rtnl, POLLIN, 1000) && net_watch_drain(n, rtnl) == 0, NULL);
	br = ensure(n, &(struct bridge_spec){ .project = "p", .network = "w" });
	CHECK(net_watch_drain(n, rtnl) == 1 && net_watch_drain(n, rtnl) == 0, NULL);
	CHECK(bridge_delete(n, br.name, &err) == 0, &err);
	CHECK(net_watch_drain(n, rtnl) == 1, NULL);
	close(rtnl);
	close(nfnl);
}

int main(void)
{
	struct net n;
	char *before, *after;
	lab_start();
	run("ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up && sleep 0.1");
	CHECK(net_open(&n, LAB_ROOTID, &err) == 0, &err);
	before = lab_output("ip -d link; ip -4 addr; ip -4 route show table all");
	CHECK(*before, NULL);
	test_make(&n);
	test_mend(&n);
	test_overlap(&n);
	test_race(&n);
	test_bad_input(&n);
	test_watch(&n);
	after = lab_output("ip -d link; ip -4 addr; ip -4 route show table all");
	CHECK(str_eq(before, after), NULL);
	test_mtu(&n);
	net_close(&n);
	free(before);
	free(after);
	return 0;
}
