/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants: with dockerd's FORWARD policy drop, our containers still reach the world and the world our published ports, once
 * admitted and not
 * before; docker's unpublished ports stay out of our reach; withdrawing leaves docker's rules as they were, to the letter; a firewall
 * that is not ours to change is named; turning ip_forward on does not turn the machine into a router between its links. */
#include "network_lab.h"

#include "network/attach.h"
#include "network/bridge.h"
#include "network/forward.h"
#include "network/nft.h"

static struct err err;

static const uint32_t host_ip = IP4(192, 0, 2, 2), world_ip = IP4(192, 0, 2, 1), far_ip = IP4(198, 51, 100, 1);

/* What dockerd leaves in ip filter when it has turned forwarding on: policy drop, DOCKER-USER first, its own bridge's accepts. */
static const char docker_rules[] =
	"nft -f - <<'E'\n"
	"table ip filter {\n"
	" chain DOCKER-USER { counter return; }\n"
	" chain DOCKER { ip daddr 172.17.0.2 iifname != \"docker0\" oifname \"docker0\" tcp dport 80 accept; }\n"
	" chain FORWARD { type filter hook forward priority filter; policy drop;\n"
	"  counter jump DOCKER-USER\n"
	"  oifname \"docker0\" ct state established,related accept\n"
	"  oifname \"docker0\" jump DOCKER\n"
	"  iifname \"docker0\" oifname != \"docker0\" accept\n"
	" }\n"
	"}\nE";

struct lab {
	struct net n;
	int host, world, far, c, docker;
	int world_tcp, far_tcp, c_tcp, docker_published, docker_hidden;
	struct bridge br;
	uint32_t c_ip;
};

static void run(const char *command)
{
	CHECK(system(command) == 0, NULL);
}

/* ns gets `ifname` on a bridge made in the namespace `at`. */
static void wire(int at, int ns, int home, const char *network, struct ipam_subnet subnet, struct attach_link link)
{
	struct net w;
	struct netns inside;
	struct bridge br;
	lab_enter(at);
	CHECK(net_open(&w, "00000001", &err) == 0, &err);
	CHECK(bridge_ensure(&w, &(struct bridge_spec){ .project = "w", .network = network, .subnet = subnet }, &br, &err) == 0, &err);
	link.bridge = br.name;
	link.prefix_len = subnet.prefix_len;
	link.mtu = 1500;
	CHECK(netns_open(&inside, &w, ns, 0, &err) == 0 && attach_links(&w, &inside, "h", &link, 1, &err) == 0, &err);
	netns_close(&inside);
	net_close(&w);
	lab_enter(home);
}

static void make_lab(struct lab *l)
{
	struct netns inside;
	struct attach_link eth0 = { .ifname = "eth0" };
	l->host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	l->world = lab_new_ns();
	l->far = lab_new_ns();
	l->docker = lab_new_ns();
	l->c = lab_new_ns();
	wire(l->world, l->host, l->host, "up", (struct ipam_subnet){ IP4(192, 0, 2, 0), 24 },
	     (struct attach_link){ .ifname = "eth0", .ip = host_ip, .gateway = world_ip });
	wire(l->far, l->host, l->host, "far", (struct ipam_subnet){ IP4(198, 51, 100, 0), 24 },
	     (struct attach_link){ .ifname = "eth1", .ip = IP4(198, 51, 100, 2) });
	l->world_tcp = lab_serve(l->world, l->host, SOCK_STREAM, 0, 7000);
	l->far_tcp = lab_serve(l->far, l->host, SOCK_STREAM, 0, 7000);
	CHECK(net_open(&l->n, LAB_ROOTID, &err) == 0, &err);
	CHECK(bridge_ensure(&l->n, &(struct bridge_spec){ .project = "p", .network = "n" }, &l->br, &err) == 0, &err);
	eth0.bridge = l->br.name;
	eth0.ip = l->c_ip = l->br.subnet.ip + 2;
	eth0.prefix_len = l->br.subnet.prefix_len;
	eth0.gateway = l->br.gateway;
	eth0.mtu = l->br.mtu;
	CHECK(netns_open(&inside, &l->n, l->c, 0, &err) == 0 && attach_links(&l->n, &inside, "c", &eth0, 1, &err) == 0, &err);
	netns_close(&inside);
	l->c_tcp = lab_serve(l->c, l->host, SOCK_STREAM, 0, 80);
}

/* docker0 with a container that has one published and one unpublished port. */
static void make_docker(struct lab *l)
{
	struct netns inside;
	const struct attach_link eth0 = { .bridge = "docker0", .ifname = "eth0", .ip = IP4(172, 17, 0, 2), .prefix_len = 16,
		.gateway = IP4(172, 17, 0, 1), .mtu = 1500 };
	run("ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up");
	CHECK(netns_open(&inside, &l->n, l->docker, 0, &err) == 0 && attach_links(&l->n, &inside, "d", &eth0, 1, &err) == 0, &err);
	netns_close(&inside);
	l->docker_published = lab_serve(l->docker, l->host, SOCK_STREAM, 0, 80);
	l->docker_hidden = lab_serve(l->docker, l->host, SOCK_STREAM, 0, 81);
	run(docker_rules);
}

static bool reach(struct lab *l, int from, uint32_t ip, uint16_t port, int server, bool want)
{
	return lab_reach(from, l->host, SOCK_STREAM, ip, port, server, want ? 2000 : 250, NULL);
}

static void test_guard(struct lab *l)
{
	AUTO_STR struct str text = { 0 };
	/* as seen from the world: a way to the far side by this machine */
	lab_enter(l->world);
	run("ip route add 198.51.100.0/24 via 192.0.2.2");
	lab_enter(l->far);
	run("ip route add 192.0.2.0/24 via 198.51.100.2");
	lab_enter(l->host);
	CHECK(net_sysctl_write("ipv4/ip_forward", "0", &err) == 0, &err);
	CHECK(forward_enable(&l->n, &err) == 0 && forward_enable(&l->n, &err) == 0, &err);
	CHECK(fs_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 8, &text, &err) == 0 && *str_get(&text) == '1', &err);
	CHECK(!reach(l, l->world, far_ip, 7000, l->far_tcp, false), NULL);
	CHECK(reach(l, l->c, world_ip, 7000, l->world_tcp, true) && reach(l, l->c, far_ip, 7000, l->far_tcp, true), NULL);
	CHECK(reach(l, l->world, host_ip, 8080, l->c_tcp, true), NULL);
}

static void test_docker(struct lab *l)
{
	AUTO_STR struct str message = { 0 };
	char *before, *with, *after;
	make_docker(l);
	before = lab_output("nft list table ip filter | sed 's/packets [0-9]* bytes [0-9]*//'");
	CHECK(!reach(l, l->c, world_ip, 7000, l->world_tcp, false), NULL);
	CHECK(!reach(l, l->world, host_ip, 8080, l->c_tcp, false), NULL);
	CHECK(forward_admit(&l->n, &message, &err) == 0 && !message.len, &err);
	CHECK(reach(l, l->c, world_ip, 7000, l->world_tcp, true), NULL);
	CHECK(reach(l, l->world, host_ip, 8080, l->c_tcp, true), NULL);
	CHECK(reach(l, l->c, IP4(172, 17, 0, 2), 80, l->docker_published, true), NULL);
	CHECK(!reach(l, l->c, IP4(172, 17, 0, 2), 81, l->docker_hidden, false), NULL);
	CHECK(!reach(l, l->docker, l->c_ip, 80, l->c_tcp, false), NULL);

	with = lab_output("nft list table ip filter");
	CHECK(strstr(with, "muster_" LAB_ROOTID), NULL);
	CHECK(forward_admit(&l->n, &message, &err) == 0, &err); /* nothing twice */
	after = lab_output("nft list table ip filter | grep -c muster_" LAB_ROOTID);
	CHECK(str_eq(after, "4\n"), NULL);
	free(after);
	after = lab_output("iptables-nft -S DOCKER-USER 2>&1");
	CHECK(strstr(after, "not found") || (strstr(after, "-A DOCKER-USER -i mu+") && strstr(after, "muster_" LAB_ROOTID)), NULL);
	free(after);
	/* dockerd starts again and empties the chain: the next look puts them back */
	run("nft flush chain ip filter DOCKER-USER && nft add rule ip filter DOCKER-USER counter return");
	CHECK(!reach(l, l->c, world_ip, 7000, l->world_tcp, false), NULL);
	CHECK(forward_admit(&l->n, &message, &err) == 0 && reach(l, l->c, world_ip, 7000, l->world_tcp, true), &err);
	CHECK(forward_withdraw(&l->n, &err) == 0 && forward_withdraw(&l->n, &err) == 0, &err);
	after = lab_output("nft list table ip filter | sed 's/packets [0-9]* bytes [0-9]*//'");
	CHECK(str_eq(before, after), NULL);
	free(before);
	free(with);
	free(after);
	run("nft delete table ip filter");
}

/* A plain FORWARD drop without docker, and others' firewalls. */
static void test_others(struct lab *l)
{
	AUTO_STR struct str message = { 0 };
	run("nft 'table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }'");
	CHECK(forward_admit(&l->n, &message, &err) == 0 && reach(l, l->c, world_ip, 7000, l->world_tcp, true), &err);
	CHECK(reach(l, l->world, host_ip, 8080, l->c_tcp, true), NULL);
	CHECK(forward_withdraw(&l->n, &err) == 0, &err);
	run("nft delete table ip filter");
	CHECK(forward_withdraw(&l->n, &err) == 0, &err);

	run("nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority filter; policy drop; }; }'");
	CHECK(forward_admit(&l->n, &message, &err) == 1 && strstr(str_get(&message), "inet firewalld"), &err);
	run("nft delete table inet firewalld");
	CHECK(forward_admit(&l->n, &message, &err) == 0 && !message.len, &err);
	if (system("iptables-legacy -P FORWARD DROP 2>/dev/null") == 0) {
		CHECK(forward_admit(&l->n, &message, &err) == 1 && strstr(str_get(&message), "iptables-legacy"), &err);
		run("iptables-legacy -P FORWARD ACCEPT");
		CHECK(forward_admit(&l->n, &message, &err) == 0, &err);
	} else {
		printf("note: no iptables-legacy here, its policy is not tried\n");
	}
}

int main(void)
{
	struct lab lab = { 0 }, *l = &lab;
	struct nft_network w = { .owner = "p" };
	struct nft_port p = { .host_port = 8080, .protocol = PORT_TCP, .port = 80, .owner = "p/c" };
	const struct nft_change change = { .add_networks = &w, .n_add_networks = 1, .add_ports = &p, .n_add_ports = 1 };
	lab_start();
	if (system("nft list tables >/dev/null 2>&1 && ip link >/dev/null 2>&1") != 0) {
		printf("skipped: needs nft and ip to play docker\n");
		return 77;
	}
	make_lab(l);
	memcpy(w.bridge, l->br.name, sizeof(w.bridge));
	w.subnet = l->br.subnet;
	p.ip = l->c_ip;
	CHECK(nft_apply(&l->n, &change, &err) == 0, &err);
	test_guard(l);
	test_docker(l);
	test_others(l);
	net_close(&l->n);
	return 0;
}
