/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants: a reserved port is nobody else's, answers nobody, and whoever holds one already is named; an ephemeral one is
 * never given twice; stale
 * UDP connection entries of a published port are forgotten, others are not. */
#include "network_lab.h"

#include "network/ports.h"

static struct err err;

static void test_exclusive(enum port_protocol protocol)
{
	AUTO_CLOSE int a = -1, b = -1;
	char want[64];
	uint16_t port;
	CHECK(ports_reserve(0, 8080, 8080, protocol, &a, &port, &err) == 0 && port == 8080 && a >= 0, &err);
	CHECK(ports_reserve(0, 8080, 8080, protocol, &b, &port, &err) < 0 && err.code == ERR_CONFLICT, &err);
	snprintf(want, sizeof(want), "pid %d)", (int)getpid());
	CHECK(strstr(err.msg, "port is already allocated") && strstr(err.msg, want) && strstr(err.msg, "network_ports"), &err);
	CHECK(ports_reserve(INADDR_LOOPBACK, 8080, 8080, protocol, &b, &port, &err) < 0 && err.code == ERR_CONFLICT, &err);
	close(TAKE_FD(a));
	CHECK(ports_reserve(INADDR_LOOPBACK, 8080, 8080, protocol, &a, &port, &err) == 0, &err);
	CHECK(ports_reserve(0, 8080, 8080, protocol, &b, &port, &err) < 0 && strstr(err.msg, want), &err);
	CHECK(ports_reserve(IP4(127, 0, 0, 2), 8080, 8080, protocol, &b, &port, &err) == 0, &err); /* another address: both may */
}

static void test_range(void)
{
	AUTO_CLOSE int a = -1, b = -1, c = -1;
	uint16_t port;
	CHECK(ports_reserve(0, 9000, 9001, PORT_TCP, &a, &port, &err) == 0 && port == 9000, &err);
	CHECK(ports_reserve(0, 9000, 9001, PORT_TCP, &b, &port, &err) == 0 && port == 9001, &err);
	CHECK(ports_reserve(0, 9000, 9001, PORT_TCP, &c, &port, &err) < 0 && err.code == ERR_CONFLICT && strstr(err.msg, "9000-9001"),
		&err);
	CHECK(ports_reserve(0, 65535, 65535, PORT_TCP, &c, &port, &err) == 0 && port == 65535, &err);
	CHECK(ports_reserve(0, 9001, 9000, PORT_TCP, &c, &port, &err) < 0 && err.code == ERR_INVALID, &err);
	CHECK(ports_reserve(IP4(203, 0, 113, 7), 80, 80, PORT_TCP, &c, &port, &err) < 0 && err.code == ERR_NOT_FOUND, &err);
}

static void test_ephemeral(void)
{
	enum { MANY = 200 };
	static bool seen[65536];
	int fds[MANY];
	for (size_t i = 0; i < MANY; i++) {
		uint16_t port = 0;
		CHECK(ports_reserve(0, 0, 0, PORT_TCP, &fds[i], &port, &err) == 0 && port && !seen[port], &err);
		seen[port] = true;
	}
	for (size_t i = 0; i < MANY; i++)
		close(fds[i]);
}

/* Nothing connects to a reservation, and it refuses nothing either: a client waits until the DNAT is there. */
static void test_silent(void)
{
	const int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) }, .sin_port = htons(8081) };
	AUTO_CLOSE int held = -1, udp = -1, client = lab_socket(home, home, SOCK_STREAM), sender = lab_socket(home, home, SOCK_DGRAM);
	uint16_t port;
	CHECK(ports_reserve(0, 8081, 8081, PORT_TCP, &held, &port, &err) == 0, &err);
	CHECK(ports_reserve(0, 8081, 8081, PORT_UDP, &udp, &port, &err) == 0, &err);
	CHECK(connect(client, (const struct sockaddr *)&sa, sizeof(sa)) < 0 && errno == EINPROGRESS, NULL);
	CHECK(sendto(sender, "x", 1, 0, (const struct sockaddr *)&sa, sizeof(sa)) == 1, NULL);
	CHECK(!lab_wait(client, POLLOUT, 200) && !lab_wait(held, POLLIN, 0) && !lab_wait(udp, POLLIN, 0), NULL);
	close(home);
}

/* Another's socket is named, over IPv6 too (a dual-stack listener holds the IPv4 port). */
static void test_foreign_holder(void)
{
	const struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(8083) };
	AUTO_CLOSE int v6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), got = -1;
	struct ports_holder h;
	uint16_t port;
	CHECK(!ports_find_holder(0, 8083, PORT_TCP, &h), NULL);
	if (v6 < 0 || bind(v6, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return;
	CHECK(listen(v6, 1) == 0, NULL);
	CHECK(ports_reserve(0, 8083, 8083, PORT_TCP, &got, &port, &err) < 0 && err.code == ERR_CONFLICT, &err);
	CHECK(ports_find_holder(0, 8083, PORT_TCP, &h) && h.pid == getpid() && strstr(h.name, "network_ports"), NULL);
	CHECK(!ports_find_holder(0, 8083, PORT_UDP, &h), NULL);
}

static size_t count_entries(const char *port)
{
	AUTO_STR struct str text = { 0 };
	AUTO_STR struct str want = { 0 };
	size_t n = 0;
	CHECK(fs_read(AT_FDCWD, "/proc/net/nf_conntrack", 1 << 20, &text, &err) == 0, &err);
	str_addf(&want, "dport=%s ", port);
	for (const char *p = str_get(&text); (p = strstr(p, str_get(&want))); p++)
		n++;
	return n;
}

static void test_flush(void)
{
	const int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct net n;
	if (access("/proc/net/nf_conntrack", R_OK) < 0) {
		printf("note: no /proc/net/nf_conntrack, flush is not tried\n");
		close(home);
		return;
	}
	CHECK(net_open(&n, LAB_ROOTID, &err) == 0, &err);
	/* a table with a ct rule turns connection tracking on in this namespace */
	free(lab_output("nft 'table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }'"));
	for (int i = 0; i < 3; i++) {
		AUTO_CLOSE int client = lab_socket(home, home, SOCK_DGRAM);
		for (uint16_t port = 5001; port <= 5002; port++) {
			const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK + i) },
				.sin_port = htons(port) };
			CHECK(sendto(client, "x", 1, 0, (const struct sockaddr *)&sa, sizeof(sa)) == 1 || errno == ECONNREFUSED, NULL);
		}
	}
	if (count_entries("5001") != 3) {
		printf("note: no connection tracking here, flush is not tried\n");
	} else {
		CHECK(ports_flush_udp(&n, INADDR_LOOPBACK, 5001, &err) == 0 && count_entries("5001") == 2, &err);
		CHECK(ports_flush_udp(&n, 0, 5001, &err) == 0 && count_entries("5001") == 0, &err);
		CHECK(ports_flush_udp(&n, 0, 5001, &err) == 0, &err);
		CHECK(count_entries("5002") == 3, NULL);
	}
	net_close(&n);
	close(home);
}

int main(void)
{
	lab_start();
	test_exclusive(PORT_TCP);
	test_exclusive(PORT_UDP);
	test_range();
	test_ephemeral();
	test_silent();
	test_foreign_holder();
	test_flush();
	return 0;
}
