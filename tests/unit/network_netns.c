/* SPDX-License-Identifier: Apache-2.0 */
/* Invariant: inside a container 127.0.0.11:53 is the project's DNS by UDP and TCP, even when the container's own program serves
 * 0.0.0.0:53, and
 * that program still gets what is its own. The process that looked in is at home again. */
#include "network_lab.h"

#include "network/netns.h"

static struct err err;

static ino_t current_ns(void)
{
	struct stat st;
	CHECK(stat("/proc/self/ns/net", &st) == 0, NULL);
	return st.st_ino;
}

static void test_dns(struct net *n, int ns, bool app_first)
{
	AUTO_CLOSE int app_udp = -1, app_tcp = -1, dns_udp = -1, dns_tcp = -1;
	const ino_t home = current_ns();
	struct netns inside;
	int never_udp, never_tcp;
	if (app_first) {
		app_udp = lab_serve(ns, n->ns_fd, SOCK_DGRAM, 0, 53);
		app_tcp = lab_serve(ns, n->ns_fd, SOCK_STREAM, 0, 53);
	}
	CHECK(netns_open(&inside, n, ns, NETNS_WANT_DNS, &err) == 0, &err);
	CHECK(current_ns() == home, NULL);
	CHECK(netns_take_dns(&inside, &dns_udp, &dns_tcp, &err) == 0 && dns_udp >= 0 && dns_tcp >= 0, &err);
	CHECK(netns_take_dns(&inside, &never_udp, &never_tcp, &err) < 0, NULL); /* handed over once */
	netns_close(&inside);
	if (!app_first) {
		app_udp = lab_serve(ns, n->ns_fd, SOCK_DGRAM, 0, 53);
		app_tcp = lab_serve(ns, n->ns_fd, SOCK_STREAM, 0, 53);
	}
	for (int i = 0; i < 3; i++) {
		CHECK(lab_reach(ns, n->ns_fd, SOCK_DGRAM, NETNS_DNS_IP, 53, dns_udp, 2000, NULL), NULL);
		CHECK(lab_reach(ns, n->ns_fd, SOCK_STREAM, NETNS_DNS_IP, 53, dns_tcp, 2000, NULL), NULL);
		CHECK(lab_reach(ns, n->ns_fd, SOCK_DGRAM, INADDR_LOOPBACK, 53, app_udp, 2000, NULL), NULL);
		CHECK(lab_reach(ns, n->ns_fd, SOCK_STREAM, INADDR_LOOPBACK, 53, app_tcp, 2000, NULL), NULL);
	}
	CHECK(!lab_wait(app_udp, POLLIN, 0) && !lab_wait(dns_udp, POLLIN, 0), NULL);
}

/* An answer to an unconnected socket comes from port 53, which is what resolvers check. */
static void test_unconnected(struct net *n, int ns)
{
	const struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(NETNS_DNS_IP) }, .sin_port = htons(53) };
	AUTO_CLOSE int client = lab_socket(ns, n->ns_fd, SOCK_DGRAM), dns_udp = -1, dns_tcp = -1;
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof(from);
	struct netns inside;
	char byte = 'q';
	CHECK(netns_open(&inside, n, ns, NETNS_WANT_DNS, &err) == 0, &err);
	CHECK(netns_take_dns(&inside, &dns_udp, &dns_tcp, &err) == 0, &err);
	netns_close(&inside);
	CHECK(sendto(client, &byte, 1, 0, (const struct sockaddr *)&to, sizeof(to)) == 1 && lab_wait(dns_udp, POLLIN, 2000), NULL);
	CHECK(recvfrom(dns_udp, &byte, 1, 0, (struct sockaddr *)&from, &len) == 1, NULL);
	CHECK(sendto(dns_udp, &byte, 1, 0, (struct sockaddr *)&from, len) == 1 && lab_wait(client, POLLIN, 2000), NULL);
	CHECK(recvfrom(client, &byte, 1, 0, (struct sockaddr *)&from, &len) == 1, NULL);
	CHECK(from.sin_addr.s_addr == to.sin_addr.s_addr && from.sin_port == to.sin_port, NULL);
	/* bound already: once per namespace */
	CHECK(netns_open(&inside, n, ns, NETNS_WANT_DNS, &err) < 0 && err.sys == EADDRINUSE, &err);
}

static void test_plain(struct net *n, int ns)
{
	const ino_t home = current_ns();
	struct netns inside;
	int udp, tcp, null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(netns_open(&inside, n, ns, 0, &err) == 0 && inside.dns_udp == -1 && !inside.nf.open, &err);
	CHECK(netns_take_dns(&inside, &udp, &tcp, &err) < 0 && err.code == ERR_INVALID, NULL);
	netns_close(&inside);
	netns_close(&inside);
	CHECK(netns_open(&inside, n, null_fd, 0, &err) < 0 && current_ns() == home, NULL);
	close(null_fd);
}

int main(void)
{
	struct net n;
	lab_start();
	CHECK(net_open(&n, LAB_ROOTID, &err) == 0, &err);
	for (int i = 0; i < 4; i++) {
		const int ns = lab_new_ns();
		if (i < 2)
			test_dns(&n, ns, i == 1);
		else if (i == 2)
			test_unconnected(&n, ns);
		else
			test_plain(&n, ns);
		close(ns);
	}
	net_close(&n);
	return 0;
}
