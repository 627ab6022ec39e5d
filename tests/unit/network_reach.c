/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: a packet gets through exactly where a user of published ports, project networks and internal networks expects it, and
 * nowhere else. Every way is walked with real connections between namespaces: host, world, containers of two networks and of an
 * internal one; and when all is taken down, the namespace is as it was before, to the last line of `nft list ruleset`. */
#include "network_lab.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include "network/attach.h"
#include "network/bridge.h"
#include "network/forward.h"
#include "network/nft.h"
#include "network/ports.h"

enum { YES_MS = 2000, NO_MS = 250, N_CONTAINERS = 5 };

static const uint32_t host_ip = IP4(192, 0, 2, 2), world_ip = IP4(192, 0, 2, 1);

struct container {
	int ns;
	uint32_t ip;
	int tcp, udp;  /* servers on port 80 and 53 */
};

struct lab {
	struct net net;
	int host, world;
	int world_tcp, world_udp;
	char uplink[NET_IFNAME_SIZE];    /* the world's side */
	struct bridge nets[3];           /* a, b, internal */
	struct container c[N_CONTAINERS]; /* a1 a2 b1 i1 i2 */
	struct nft_network rules[3];
	struct err err;
};

enum { A1, A2, B1, I1, I2 };

/* The uplink: world (192.0.2.1) ─ veth of MTU 1400 ─ host (192.0.2.2), default route by the world. Made by our own attach code, turned
 * round: a bridge in the world, the host's end called eth0. */
static void make_uplink(struct lab *l)
{
	struct net w;
	struct netns inside;
	struct bridge br;
	const struct bridge_spec spec = { .project = "world", .network = "uplink", .subnet = { IP4(192, 0, 2, 0), 24 }, .mtu = 1400 };
	struct attach_link link = { .bridge = br.name, .ifname = "eth0", .ip = host_ip, .prefix_len = 24, .gateway = world_ip,
		.mtu = 1400 };
	lab_enter(l->world);
	lab_lo_up();
	CHECK(net_open(&w, "00000001", &l->err) == 0, &l->err);
	CHECK(bridge_ensure(&w, &spec, &br, &l->err) == 0, &l->err);
	CHECK(br.gateway == world_ip, NULL);
	CHECK(netns_open(&inside, &w, l->host, 0, &l->err) == 0, &l->err);
	CHECK(attach_links(&w, &inside, "host", &link, 1, &l->err) == 0, &l->err);
	netns_close(&inside);
	net_close(&w);
	memcpy(l->uplink, br.name, sizeof(l->uplink));
	l->world_tcp = lab_serve(l->world, l->host, SOCK_STREAM, 0, 7000);
	l->world_udp = lab_serve(l->world, l->host, SOCK_DGRAM, 0, 7000);
	lab_enter(l->host);
}

static void make_network(struct lab *l, int i, const char *name, bool internal)
{
	const struct bridge_spec spec = { .project = "p", .network = name };
	struct nft_network *r = &l->rules[i];
	CHECK(bridge_ensure(&l->net, &spec, &l->nets[i], &l->err) == 0, &l->err);
	CHECK(l->nets[i].mtu == 1400, NULL); /* from the default route */
	*r = (struct nft_network){ .subnet = l->nets[i].subnet, .internal = internal, .owner = "p" };
	memcpy(r->bridge, l->nets[i].name, sizeof(r->bridge));
}

static void make_container(struct lab *l, int i, int net, uint32_t host_part, bool internal)
{
	const struct bridge *br = &l->nets[net];
	struct container *c = &l->c[i];
	struct netns ns;
	struct attach_link link = { .bridge = br->name, .ifname = "eth0", .ip = br->subnet.ip + host_part,
		.prefix_len = br->subnet.prefix_len,
		.gateway = internal ? 0 : br->gateway, .mtu = br->mtu };
	*c = (struct container){ .ns = lab_new_ns(), .ip = link.ip };
	CHECK(netns_open(&ns, &l->net, c->ns, 0, &l->err) == 0, &l->err);
	CHECK(attach_links(&l->net, &ns, "0123456789ab", &link, 1, &l->err) == 0, &l->err);
	netns_close(&ns);
	c->tcp = lab_serve(c->ns, l->host, SOCK_STREAM, 0, 80);
	c->udp = lab_serve(c->ns, l->host, SOCK_DGRAM, 0, 53);
}

static struct nft_port port(uint32_t ip, uint16_t host_port, enum port_protocol protocol, uint32_t to, uint16_t to_port)
{
	return (struct nft_port){ .host_ip = ip, .host_port = host_port, .protocol = protocol, .ip = to, .port = to_port, .owner = "p/c" };
}

static void expect_at(struct lab *l, int line, bool want, int from_ns, int type, uint32_t ip, uint16_t to_port, int server,
	uint32_t want_from)
{
	uint32_t from = 0;
	const bool got = lab_reach(from_ns, l->host, type, ip, to_port, server, want ? YES_MS : NO_MS, &from);
	char a[16], b[16];
	if (got == want && (!want || !want_from || want_from == from))
		return;
	fprintf(stderr, "%s:%d: to %s:%u: %s, expected %s (seen from %s)\n", __FILE__, line, net_ip_text(ip, a), to_port,
		got ? "reached" : "not reached", want ? "reached" : "not reached", net_ip_text(from, b));
	exit(1);
}
#define YES(...) expect_at(l, __LINE__, true, __VA_ARGS__)
#define NO(...) expect_at(l, __LINE__, false, __VA_ARGS__)

static void test_published(struct lab *l)
{
	const struct container *a1 = &l->c[A1];
	const struct nft_port ports[] = { port(0, 8080, PORT_TCP, a1->ip, 80), port(host_ip, 8081, PORT_TCP, a1->ip, 80),
		port(INADDR_LOOPBACK, 8082, PORT_TCP, a1->ip, 80), port(0, 8053, PORT_UDP, a1->ip, 53) };
	const struct nft_change add = { .add_ports = ports, .n_add_ports = ARRAY_SIZE(ports) };
	const struct nft_change del = { .del_ports = ports, .n_del_ports = ARRAY_SIZE(ports) };
	AUTO_CLOSE int held = -1, held_udp = -1;
	uint16_t got;
	/* as in real life the port is held by a socket that drops everything */
	CHECK(ports_reserve(0, 8080, 8080, PORT_TCP, &held, &got, &l->err) == 0, &l->err);
	CHECK(ports_reserve(0, 8053, 8053, PORT_UDP, &held_udp, &got, &l->err) == 0, &l->err);
	NO(l->host, SOCK_STREAM, INADDR_LOOPBACK, 8080, a1->tcp, 0);
	CHECK(nft_apply(&l->net, &add, &l->err) == 0, &l->err);
	CHECK(ports_flush_udp(&l->net, 0, 8053, &l->err) == 0, &l->err);

	YES(l->host, SOCK_STREAM, INADDR_LOOPBACK, 8080, a1->tcp, l->nets[0].gateway);
	YES(l->host, SOCK_STREAM, host_ip, 8080, a1->tcp, 0);
	YES(l->host, SOCK_DGRAM, INADDR_LOOPBACK, 8053, a1->udp, 0);
	YES(l->world, SOCK_STREAM, host_ip, 8080, a1->tcp, world_ip); /* the client's address is kept */
	YES(l->world, SOCK_DGRAM, host_ip, 8053, a1->udp, world_ip);
	YES(l->c[A2].ns, SOCK_STREAM, host_ip, 8080, a1->tcp, 0);
	YES(l->c[A2].ns, SOCK_STREAM, l->nets[0].gateway, 8080, a1->tcp, 0);
	YES(a1->ns, SOCK_STREAM, host_ip, 8080, a1->tcp, 0); /* itself, by hairpin */
	YES(a1->ns, SOCK_DGRAM, host_ip, 8053, a1->udp, 0);
	YES(l->c[B1].ns, SOCK_STREAM, host_ip, 8080, a1->tcp, 0); /* published means published, for other networks too */

	YES(l->world, SOCK_STREAM, host_ip, 8081, a1->tcp, world_ip);
	NO(l->host, SOCK_STREAM, INADDR_LOOPBACK, 8081, a1->tcp, 0); /* bound to one address */
	YES(l->host, SOCK_STREAM, INADDR_LOOPBACK, 8082, a1->tcp, 0);
	NO(l->world, SOCK_STREAM, host_ip, 8082, a1->tcp, 0);

	CHECK(nft_apply(&l->net, &del, &l->err) == 0, &l->err);
	NO(l->world, SOCK_STREAM, host_ip, 8080, a1->tcp, 0);
	NO(l->host, SOCK_STREAM, INADDR_LOOPBACK, 8080, a1->tcp, 0);
}

static uint16_t checksum(const uint16_t *p, size_t n)
{
	uint32_t sum = 0;
	while (n--)
		sum += *p++;
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

/* A UDP packet as no honest kernel sends it: from the world straight to the host's MAC, whatever the destination address. */
static void send_frame(struct lab *l, uint32_t dst, uint16_t dst_port)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char data[2];
	} __attribute__((packed)) f = {
		.ip = { .version = 4, .ihl = 5, .tot_len = htons(sizeof(f)), .ttl = 64, .protocol = IPPROTO_UDP,
			.saddr = htonl(world_ip), .daddr = htonl(dst) },
		.udp = { .source = htons(4242), .dest = htons(dst_port), .len = htons(sizeof(f.udp) + sizeof(f.data)) },
	};
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6,
		.sll_addr = { 0x02, 0x42, host_ip >> 24, (host_ip >> 16) & 0xff, (host_ip >> 8) & 0xff, host_ip & 0xff } };
	uint16_t header[sizeof(f.ip) / 2];
	AUTO_CLOSE int fd = -1;
	memcpy(header, &f.ip, sizeof(header));
	f.ip.check = checksum(header, ARRAY_SIZE(header));
	lab_enter(l->world);
	to.sll_ifindex = if_nametoindex(l->uplink);
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	lab_enter(l->host);
	CHECK(fd >= 0 && sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to, sizeof(to)) == sizeof(f), NULL);
}

/* A neighbour on the host's wire sends packets for the host's 127.0.0.1, or straight to a container. */
static void test_outsiders(struct lab *l)
{
	const struct nft_port p[] = { port(INADDR_LOOPBACK, 8083, PORT_UDP, l->c[A1].ip, 53), port(0, 8053, PORT_UDP, l->c[A1].ip, 53) };
	const struct nft_change add = { .add_ports = p, .n_add_ports = 2 }, del = { .del_ports = p, .n_del_ports = 2 };
	const int server = l->c[A1].udp;
	char byte[4];
	CHECK(nft_apply(&l->net, &add, &l->err) == 0, &l->err);
	send_frame(l, host_ip, 8053); /* such a frame arrives where it may */
	CHECK(lab_wait(server, POLLIN, YES_MS) && recv(server, byte, sizeof(byte), 0) == 2, NULL);
	send_frame(l, INADDR_LOOPBACK, 8083);
	send_frame(l, INADDR_LOOPBACK, 8053);
	send_frame(l, l->c[A1].ip, 53);
	CHECK(!lab_wait(server, POLLIN, NO_MS), NULL);
	send_frame(l, l->c[I1].ip, 53);
	CHECK(!lab_wait(l->c[I1].udp, POLLIN, NO_MS), NULL);
	CHECK(nft_apply(&l->net, &del, &l->err) == 0, &l->err);
}

static void test_ways(struct lab *l)
{
	struct container *c = l->c;
	YES(c[A2].ns, SOCK_STREAM, c[A1].ip, 80, c[A1].tcp, c[A2].ip);
	YES(c[A2].ns, SOCK_DGRAM, c[A1].ip, 53, c[A1].udp, c[A2].ip);
	YES(c[I1].ns, SOCK_STREAM, c[I2].ip, 80, c[I2].tcp, c[I1].ip);
	YES(l->host, SOCK_STREAM, c[A1].ip, 80, c[A1].tcp, 0);
	NO(c[B1].ns, SOCK_STREAM, c[A1].ip, 80, c[A1].tcp, 0);
	NO(c[A1].ns, SOCK_DGRAM, c[B1].ip, 53, c[B1].udp, 0);
	NO(c[A1].ns, SOCK_STREAM, c[I1].ip, 80, c[I1].tcp, 0);
	NO(c[I1].ns, SOCK_STREAM, c[A1].ip, 80, c[A1].tcp, 0);

	YES(c[A1].ns, SOCK_STREAM, world_ip, 7000, l->world_tcp, host_ip); /* egress wears the host's address */
	YES(c[B1].ns, SOCK_DGRAM, world_ip, 7000, l->world_udp, host_ip);
	NO(c[I1].ns, SOCK_STREAM, world_ip, 7000, l->world_tcp, 0);
}

/* An internal network stays shut even when its container gives itself a default route. */
static void test_internal_cannot_leave(struct lab *l)
{
	const struct nft_port p[] = { port(0, 8080, PORT_TCP, l->c[A1].ip, 80), port(0, 8084, PORT_TCP, l->c[I1].ip, 80) };
	const struct nft_change add = { .add_ports = p, .n_add_ports = 2 }, del = { .del_ports = p, .n_del_ports = 2 };
	char command[64], ip[16];
	CHECK(nft_apply(&l->net, &add, &l->err) == 0, &l->err);
	lab_enter(l->c[I1].ns);
	snprintf(command, sizeof(command), "ip route add default via %s", net_ip_text(l->nets[2].gateway, ip));
	CHECK(system(command) == 0, NULL);
	lab_enter(l->host);
	NO(l->c[I1].ns, SOCK_STREAM, world_ip, 7000, l->world_tcp, 0);
	NO(l->c[I1].ns, SOCK_STREAM, l->c[A1].ip, 80, l->c[A1].tcp, 0);
	NO(l->c[I1].ns, SOCK_STREAM, host_ip, 8080, l->c[A1].tcp, 0); /* not even what others publish */
	NO(l->world, SOCK_STREAM, host_ip, 8084, l->c[I1].tcp, 0);    /* and nobody may publish it */
	NO(l->c[A1].ns, SOCK_STREAM, host_ip, 8084, l->c[I1].tcp, 0);
	YES(l->host, SOCK_STREAM, INADDR_LOOPBACK, 8084, l->c[I1].tcp, 0); /* but to the host itself */
	CHECK(nft_apply(&l->net, &del, &l->err) == 0, &l->err);
}

/* Rules torn out by another are put back by ensure, with elements where the table still has them; a right table is left alone. */
static void test_repair(struct lab *l)
{
	char *before = lab_output("nft list ruleset"), *after;
	const struct nft_change add = { .add_networks = l->rules, .n_add_networks = 3 };
	struct nft_state s;
	free(lab_output("nft flush chain inet muster_" LAB_ROOTID " c_fwd"));
	CHECK(nft_ensure(&l->net, &l->err) == 0, &l->err);
	after = lab_output("nft list ruleset");
	CHECK(str_eq(before, after), NULL);
	free(after);
	free(lab_output("nft flush ruleset"));
	CHECK(nft_list(&l->net, NULL, &s, &l->err) == 0 && s.n_networks == 0, &l->err);
	nft_state_done(&s);
	CHECK(nft_apply(&l->net, &add, &l->err) == 0, &l->err);
	after = lab_output("nft list ruleset");
	CHECK(strstr(after, "elements"), NULL);
	free(after);
	CHECK(nft_list(&l->net, "p", &s, &l->err) == 0 && s.n_networks == 3 && s.networks[0].subnet.prefix_len == 24, &l->err);
	nft_state_done(&s);
	free(before);
}

static char *snapshot(void)
{
	return lab_output("ip -d link; ip addr; ip route show table all; ip rule; nft list ruleset");
}

int main(void)
{
	struct lab lab = { 0 }, *l = &lab;
	struct nft_change change = { .add_networks = l->rules, .n_add_networks = 3 };
	char *before, *after;
	lab_start();
	if (system("ip link >/dev/null 2>&1 && nft list tables >/dev/null 2>&1") != 0) {
		printf("skipped: needs ip and nft to look from outside\n");
		return 77;
	}
	l->host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	l->world = lab_new_ns();
	make_uplink(l);
	CHECK(net_open(&l->net, LAB_ROOTID, &l->err) == 0, &l->err);
	before = snapshot();
	for (int i = 0; i < 250 && (strstr(before, "NO-CARRIER") || strstr(before, "state DOWN")); i++) { /* the uplink is said to be up a little later */
		free(before);
		usleep(20 * 1000);
		before = snapshot();
	}
	make_network(l, 0, "a", false);
	make_network(l, 1, "b", false);
	make_network(l, 2, "i", true);
	CHECK(nft_apply(&l->net, &change, &l->err) == 0, &l->err);
	CHECK(forward_enable(&l->net, &l->err) == 0, &l->err);
	make_container(l, A1, 0, 2, false);
	make_container(l, A2, 0, 3, false);
	make_container(l, B1, 1, 2, false);
	make_container(l, I1, 2, 2, true);
	make_container(l, I2, 2, 3, true);
	test_ways(l);
	test_published(l);
	test_outsiders(l);
	test_internal_cannot_leave(l);
	test_repair(l);
	for (int i = 0; i < N_CONTAINERS; i++) {
		close(l->c[i].tcp);
		close(l->c[i].udp);
		close(l->c[i].ns);
	}
	CHECK(nft_release(&l->net, &l->err) == 1, &l->err); /* in use */
	change = (struct nft_change){ .del_networks = l->rules, .n_del_networks = 3 };
	CHECK(nft_apply(&l->net, &change, &l->err) == 0, &l->err);
	CHECK(nft_release(&l->net, &l->err) == 0, &l->err);
	CHECK(nft_release(&l->net, &l->err) == 0, &l->err); /* gone already */
	for (int i = 0; i < 3; i++)
		CHECK(bridge_delete(&l->net, l->nets[i].name, &l->err) == 0, &l->err);
	net_close(&l->net);
	for (int i = 0; i < 100; i++) { /* namespaces die asynchronously */
		const bool same = str_eq(before, after = snapshot());
		if (!same && i == 99)
			fprintf(stderr, "left behind:\n--- before\n%s--- after\n%s", before, after);
		free(after);
		if (same)
			break;
		if (i == 99)
			return 1;
		usleep(50 * 1000);
	}
	free(before);
	return 0;
}
