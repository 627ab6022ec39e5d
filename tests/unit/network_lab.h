/* SPDX-License-Identifier: Apache-2.0 */
/* A laboratory for the network tests: namespaces that this process makes and holds by descriptor only, so that everything is
 * gone with it. The
 * machine's own namespace is left at once. A "world" reaches the "host" by a veth of MTU 1400; sockets of any namespace are used from
 * one process, so a connection is a connect here and an accept there. */
#ifndef TESTS_NETWORK_LAB_H
#define TESTS_NETWORK_LAB_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "network/net.h"

#define LAB_ROOTID "0badc0de"
#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* Ends the test when ok is false; says where, what, and the error's text. */
static inline void lab_check(bool ok, const char *file, int line, const char *what, const struct err *e)
{
	if (ok)
		return;
	fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, e ? e->msg : "");
	exit(1);
}
#define CHECK(cond, e) lab_check(cond, __FILE__, __LINE__, #cond, e)

static inline void lab_enter(int ns_fd)
{
	CHECK(setns(ns_fd, CLONE_NEWNET) == 0, NULL);
}

/* A new network namespace, held by the descriptor; the caller's stays current. */
static inline int lab_new_ns(void)
{
	const int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd;
	CHECK(home >= 0 && unshare(CLONE_NEWNET) == 0, NULL);
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0, NULL);
	lab_enter(home);
	close(home);
	return fd;
}

static inline void lab_lo_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &ifr) == 0, NULL);
	close(fd);
}

/* Leaves the machine's namespace for a fresh one with lo up. Skips the test where that is not allowed. */
static inline void lab_start(void)
{
	if (unshare(CLONE_NEWNET) < 0) {
		printf("skipped: needs root for network namespaces\n");
		exit(77);
	}
	lab_lo_up();
}

/* What a command prints in the current namespace; "" when it is not installed. Caller frees. */
static inline char *lab_output(const char *command)
{
	struct str text = { 0 };
	char buf[4096];
	size_t n;
	FILE *f = popen(command, "re");
	CHECK(f, NULL);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		str_addn(&text, buf, n);
	pclose(f);
	return str_take(&text);
}

static inline int lab_socket(int ns_fd, int home_fd, int type)
{
	int fd;
	lab_enter(ns_fd);
	fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	lab_enter(home_fd);
	CHECK(fd >= 0, NULL);
	return fd;
}

/* A listening TCP or a UDP socket at ip:port inside ns_fd. */
static inline int lab_serve(int ns_fd, int home_fd, int type, uint32_t ip, uint16_t port)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(ip) }, .sin_port = htons(port) };
	const int fd = lab_socket(ns_fd, home_fd, type);
	CHECK(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0, NULL);
	CHECK(type != SOCK_STREAM || listen(fd, 16) == 0, NULL);
	return fd;
}

static inline bool lab_wait(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, timeout_ms) == 1 && (p.revents & events);
}

/* One TCP connection or UDP round trip from client_ns to ip:port. True when `server` got it and the answer came back;
 * *ret_from (may be NULL) is the client's address as the server saw it. */
static inline bool lab_reach(int client_ns, int home_fd, int type, uint32_t ip, uint16_t port, int server, int timeout_ms,
			     uint32_t *ret_from)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(ip) }, .sin_port = htons(port) };
	AUTO_CLOSE int client = lab_socket(client_ns, home_fd, type), peer = -1;
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof(from);
	char byte = 'x';
	if (connect(client, (const struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		return false;
	if (type == SOCK_DGRAM && send(client, &byte, 1, 0) != 1)
		return false;
	if (!lab_wait(server, POLLIN, timeout_ms))
		return false;
	if (type == SOCK_STREAM) {
		peer = accept4(server, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
		if (peer < 0 || send(peer, &byte, 1, MSG_NOSIGNAL) != 1)
			return false;
	} else if (recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &len) != 1 ||
		   sendto(server, &byte, 1, 0, (const struct sockaddr *)&from, len) != 1) {
		return false;
	}
	if (ret_from)
		*ret_from = ntohl(from.sin_addr.s_addr);
	return lab_wait(client, POLLIN, timeout_ms) && recv(client, &byte, 1, 0) == 1;
}

#endif
