/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS process, in a network namespace of its own with an upstream server made here. Invariants: - nothing is answered
 * before the first full set is in force, and a half-told set never answers, whoever is killed meanwhile; - what is ours is
 * answered over UDP and TCP to the client that owns the socket; what is not is forwarded byte for byte (EDNS included) with
 * another id, from a new port, and the reply comes back byte for byte with the client's id; - a reply that does not match is
 * ignored; dead, refusing and lying servers cost what network/dns_forward.c says and end in SERVFAIL; - garbage and floods of
 * one client leave the others their answers; a client with the same sockets lives through a new set; - the jail holds: the
 * process has no capability and a filter. Throughput is printed, not judged. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "network/dns_control.h"
#include "network/dns_server.h"
#include "network/dns_wire.h"

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

struct client {
	const char *id;
	int udp_fd, tcp_fd; /* the server's sockets */
	struct sockaddr_in at;
};

struct bench {
	int pair[2];
	struct loop loop;
	struct dns_control control;
	pid_t server;
	unsigned n_hello;
	unsigned acked;
	bool answer;
	struct client front, back;
	struct resolv_server upstreams[RESOLV_MAX_SERVERS];
	size_t n_upstreams;
};

static struct bench bench;

static struct in_addr ip(const char *s)
{
	return (struct in_addr){ inet_addr(s) };
}

static void tell_all(struct bench *b)
{
	const char *front[] = { "p_front" }, *back[] = { "p_back" };
	dns_control_reset(&b->control);
	dns_control_upstreams_set(&b->control, b->upstreams, b->n_upstreams, false);
	dns_control_network_set(&b->control, "p_front", ip("10.1.0.0"), 24);
	dns_control_client_set(&b->control, b->front.id, front, 1, true, b->front.udp_fd, b->front.tcp_fd);
	dns_control_client_set(&b->control, b->back.id, back, 1, false, b->back.udp_fd, b->back.tcp_fd);
	dns_control_names_set(&b->control, "w1", "p_front", ip("10.1.0.2"), (const char *[]){ "web", "web-1" }, 2);
	dns_control_names_set(&b->control, "d1", "p_back", ip("10.2.0.2"), (const char *[]){ "db" }, 1);
	for (int i = 0; i < 200; i++) { /* too many for 512 bytes, and for one UDP reply of 1232 */
		char owner[16];
		snprintf(owner, sizeof(owner), "m%d", i);
		dns_control_names_set(&b->control, owner, "p_front", (struct in_addr){ htonl(0x0a010100u + (unsigned)i) },
				      (const char *[]){ "many" }, 1);
	}
}

static void on_event(struct dns_control *c, enum dns_op op, uint32_t serial)
{
	struct bench *b = CONTAINER_OF(c, struct bench, control);
	if (op == DNS_OP_HELLO) {
		b->n_hello++;
		if (b->answer) {
			tell_all(b);
			dns_control_sync(c);
		}
	} else if (op == DNS_OP_ACK) {
		b->acked = serial;
	}
}

static bool wait_change(struct bench *b, const unsigned *v, unsigned was)
{
	uint64_t end = clock_mono_ns() + 5000000000ULL;
	struct err err;
	while (*v == was && clock_mono_ns() < end)
		loop_run_once(&b->loop, 100, &err);
	return *v != was;
}

static void start_server(struct bench *b)
{
	fflush(stdout);
	b->server = fork();
	if (b->server == 0) {
		close(b->pair[0]);
		exit(dns_main(b->pair[1]));
	}
}

static void kill_server(struct bench *b)
{
	int status;
	kill(b->server, SIGKILL);
	waitpid(b->server, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it died before: %x", status);
}

/* Everything told and in force. */
static void sync_all(struct bench *b)
{
	unsigned was = b->acked;
	tell_all(b);
	dns_control_sync(&b->control);
	CHECK(wait_change(b, &b->acked, was) && b->acked == b->control.serial, "no receipt");
}

static int bound(int type, struct sockaddr_in *ret)
{
	socklen_t n = sizeof(*ret);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	*ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = ip("127.0.0.11") };
	CHECK(bind(fd, (struct sockaddr *)ret, sizeof(*ret)) == 0 && getsockname(fd, (struct sockaddr *)ret, &n) == 0, "bind");
	return fd;
}

static void client_open(struct client *c, const char *id)
{
	c->id = id;
	c->udp_fd = bound(SOCK_DGRAM, &c->at);
	c->tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(c->tcp_fd, (struct sockaddr *)&c->at, sizeof(c->at)) == 0 && listen(c->tcp_fd, 128) == 0, "listen");
}

/* A query with that id; edns_size < 0: without EDNS. Returns its length. */
static size_t make_query(unsigned char *p, uint16_t id, const char *name, uint16_t type, int edns_size)
{
	unsigned char *start = p;
	memcpy(p, "\0\0\1\0\0\1\0\0\0\0\0\0", 12);
	dns_wire_set_id(p, id);
	p[11] = edns_size >= 0;
	p += 12;
	while (*name) {
		size_t len = strcspn(name, ".");
		*p++ = (unsigned char)len;
		memcpy(p, name, len);
		p += len;
		name += len + (name[len] == '.');
	}
	*p++ = 0;
	*p++ = (unsigned char)(type >> 8);
	*p++ = (unsigned char)type;
	*p++ = 0;
	*p++ = 1;
	if (edns_size >= 0) {
		/* with an option (a cookie) that must travel */
		memcpy(p, "\0\0\x29\0\0\0\0\0\0\0\x0c\0\x0a\0\x08" "cookie!!", 23);
		p[3] = (unsigned char)(edns_size >> 8);
		p[4] = (unsigned char)edns_size;
		p += 23;
	}
	return (size_t)(p - start);
}

static int connected(const struct client *c, int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	CHECK(connect(fd, (const struct sockaddr *)&c->at, sizeof(c->at)) == 0, "connect: %s", strerror(errno));
	return fd;
}

/* Waits for one datagram; 0 when none comes. */
static size_t receive(int fd, unsigned char *buf, size_t size, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;
	if (poll(&p, 1, timeout_ms) != 1)
		return 0;
	n = recv(fd, buf, size, 0);
	return n > 0 ? (size_t)n : 0;
}

/* "NOERROR 2 10.1.0.2", "NXDOMAIN 0", "silence"; TC as " TC". */
static void describe(const unsigned char *p, size_t n, char *buf, size_t size)
{
	static const char *const names[16] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };
	const char *name = n >= 12 ? names[p[3] & 15] : NULL;
	int at;
	if (n < 12) {
		snprintf(buf, size, "silence");
		return;
	}
	at = snprintf(buf, size, "%s %d%s", name ? name : "?", p[6] << 8 | p[7], p[2] & 2 ? " TC" : "");
	if ((p[6] << 8 | p[7]) == 1 && n >= 28 && p[11] == 0)
		snprintf(buf + at, size - (size_t)at, " %d.%d.%d.%d", p[n - 4], p[n - 3], p[n - 2], p[n - 1]);
}

static void expect_udp_at(const struct client *c, const char *name, uint16_t type, int edns_size, const char *expect, int line)
{
	unsigned char query[600], reply[5000];
	char got[80];
	size_t n = make_query(query, 0x5a5a, name, type, edns_size), m;
	AUTO_CLOSE int fd = connected(c, SOCK_DGRAM);
	CHECK(send(fd, query, n, 0) == (ssize_t)n, "send");
	m = receive(fd, reply, sizeof(reply), str_eq(expect, "silence") ? 200 : 6000);
	describe(reply, m, got, sizeof(got));
	if (!str_eq(got, expect)) {
		failures++;
		printf("%s:%d: %s type %u: %s, expected %s\n", __FILE__, line, name, type, got, expect);
	}
	if (m >= 12)
		CHECK(dns_wire_matches(reply, m, query, n), "line %d", line);
}
#define EXPECT_UDP(c, name, type, expect) expect_udp_at(c, name, type, -1, expect, __LINE__)

static bool read_all(int fd, unsigned char *p, size_t n)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	while (n) {
		ssize_t got = poll(&ready, 1, 6000) == 1 ? recv(fd, p, n, 0) : -1;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

/* One framed reply; its length, 0 when none comes. */
static size_t receive_tcp(int fd, unsigned char *buf)
{
	unsigned char len[2];
	size_t n;
	if (!read_all(fd, len, 2))
		return 0;
	n = (size_t)(len[0] << 8 | len[1]);
	return read_all(fd, buf, n) ? n : 0;
}

static void send_tcp(int fd, const unsigned char *query, size_t n)
{
	unsigned char frame[700] = { (unsigned char)(n >> 8), (unsigned char)n };
	memcpy(frame + 2, query, n);
	CHECK(send(fd, frame, n + 2, MSG_NOSIGNAL) == (ssize_t)n + 2, "send");
}

/* The first set comes as a whole. */
static void test_start(struct bench *b)
{
	unsigned char query[600], reply[600];
	size_t n = make_query(query, 1, "web", 1, -1);
	AUTO_CLOSE int fd = connected(&b->front, SOCK_DGRAM);
	start_server(b);
	CHECK(wait_change(b, &b->n_hello, 0), "no HELLO");
	CHECK(send(fd, query, n, 0) == (ssize_t)n, "send");
	CHECK(receive(fd, reply, sizeof(reply), 100) == 0, "answered without a set");
	tell_all(b);
	CHECK(receive(fd, reply, sizeof(reply), 100) == 0, "answered from half a set");
	/* the supervisor dies in the middle, the next one begins anew */
	sync_all(b);
	n = receive(fd, reply, sizeof(reply), 1000);
	CHECK(n > 12 && dns_wire_rcode(reply) == DNS_NOERROR, "the question was kept for the answer");
}

static void test_ours(struct bench *b)
{
	EXPECT_UDP(&b->front, "web", 1, "NOERROR 1 10.1.0.2");
	EXPECT_UDP(&b->front, "WEB.P_Front", 1, "NOERROR 1 10.1.0.2");
	EXPECT_UDP(&b->front, "web", 28, "NOERROR 0");
	EXPECT_UDP(&b->front, "db", 1, "NXDOMAIN 0");
	EXPECT_UDP(&b->back, "db", 1, "NOERROR 1 10.2.0.2");
	EXPECT_UDP(&b->back, "web", 1, "NXDOMAIN 0");
	EXPECT_UDP(&b->back, "example.com", 1, "NXDOMAIN 0");
	EXPECT_UDP(&b->front, "2.0.1.10.in-addr.arpa", 12, "NOERROR 1 111.110.116.0"); /* "…ont\0" */
	EXPECT_UDP(&b->front, "many", 1, "NOERROR 30 TC");
	expect_udp_at(&b->front, "many", 1, 1232, "NOERROR 74 TC", __LINE__);
	expect_udp_at(&b->front, "many", 1, 4096, "NOERROR 200", __LINE__);
	EXPECT_UDP(&b->front, "web", DNS_TYPE_AXFR, "NOTIMP 0");
}

static void test_tcp(struct bench *b)
{
	unsigned char query[600], reply[70000];
	size_t n;
	int fd = connected(&b->front, SOCK_STREAM);
	n = make_query(query, 7, "many", 1, -1);
	send_tcp(fd, query, n);
	CHECK(receive_tcp(fd, reply) == n + 200 * 16 && !(reply[2] & 2), "all of them");
	/* several at once, and one byte at a time */
	for (uint16_t i = 0; i < 50; i++)
		send_tcp(fd, query, make_query(query, i, "web", 1, -1));
	for (uint16_t i = 0; i < 50; i++)
		CHECK(receive_tcp(fd, reply) > 12 && dns_wire_id(reply) == i, "reply %u is %u", i, dns_wire_id(reply));
	n = make_query(query, 9, "web", 1, -1);
	send(fd, (unsigned char[]){ 0 }, 1, 0);
	send(fd, (unsigned char[]){ (unsigned char)n }, 1, 0);
	for (size_t i = 0; i < n; i++) {
		struct timespec ms = { .tv_nsec = 300000 };
		send(fd, query + i, 1, 0);
		nanosleep(&ms, NULL);
	}
	shutdown(fd, SHUT_WR); /* half closed: the answer still comes, then the end */
	CHECK(receive_tcp(fd, reply) > 12 && dns_wire_id(reply) == 9, "slow");
	CHECK(receive_tcp(fd, reply) == 0, "closed after the last answer");
	close(fd);
	fd = connected(&b->front, SOCK_STREAM);
	CHECK(send(fd, "\0\3abc", 5, 0) == 5 && receive_tcp(fd, reply) == 0, "no query: closed");
	close(fd);
}

/* An upstream server whose behaviour the name says; runs as a process. */
struct upstream {
	pid_t pid;
	struct resolv_server server;
};

static size_t upstream_reply(unsigned char *p, size_t n)
{
	struct dns_query q;
	p[2] |= 0x80;
	dns_wire_parse(p, n, &q);
	p[2] |= 0x80;
	if (memcmp(p + 12, "\4fail", 5) == 0)
		p[3] = (unsigned char)((p[3] & 0xf0) | DNS_SERVFAIL);
	if (memcmp(p + 12, "\4none", 5) == 0)
		p[3] = (unsigned char)((p[3] & 0xf0) | DNS_NXDOMAIN);
	/* every other reply carries the query back with a mark in the flags: it must arrive byte for byte */
	p[3] |= 0x20;
	return n;
}

static void upstream_udp(int fd)
{
	unsigned char p[5000];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, p, sizeof(p), 0, (struct sockaddr *)&from, &len);
	size_t m;
	if (n < 13 || memcmp(p + 12, "\6silent", 7) == 0)
		return;
	if (memcmp(p + 12, "\5spoof", 6) == 0) { /* wrong id, wrong question, no response; then the right one */
		unsigned char bad[5000];
		m = upstream_reply(p, (size_t)n);
		memcpy(bad, p, m);
		bad[0] ^= 1;
		sendto(fd, bad, m, 0, (struct sockaddr *)&from, len);
		memcpy(bad, p, m);
		bad[14] ^= 1;
		sendto(fd, bad, m, 0, (struct sockaddr *)&from, len);
		memcpy(bad, p, m);
		bad[2] &= 0x7f;
		sendto(fd, bad, m, 0, (struct sockaddr *)&from, len);
		sendto(fd, "x", 1, 0, (struct sockaddr *)&from, len);
		sendto(fd, p, m, 0, (struct sockaddr *)&from, len);
		return;
	}
	m = upstream_reply(p, (size_t)n);
	if (memcmp(p + 12, "\3big", 4) == 0) { /* more than the client takes */
		memset(p + m, 0, 2000);
		m += 2000;
	}
	sendto(fd, p, m, 0, (struct sockaddr *)&from, len);
}

static void upstream_tcp(int listen_fd)
{
	unsigned char p[5000];
	AUTO_CLOSE int fd = accept(listen_fd, NULL, NULL);
	size_t n = receive_tcp(fd, p + 2);
	if (n < 13)
		return;
	n = upstream_reply(p + 2, n);
	if (memcmp(p + 14, "\3big", 4) == 0) {
		memset(p + 2 + n, 'b', 2000);
		n += 2000;
	}
	p[0] = (unsigned char)(n >> 8);
	p[1] = (unsigned char)n;
	for (size_t i = 0; i < n + 2; i += 700) /* in pieces */
		send(fd, p + i, MIN(n + 2 - i, (size_t)700), MSG_NOSIGNAL);
}

static void upstream_start(struct upstream *u)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct pollfd p[2];
	int on = 1;
	p[0] = (struct pollfd){ .fd = bound(SOCK_DGRAM, &at), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .events = POLLIN };
	setsockopt(p[1].fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CHECK(bind(p[1].fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(p[1].fd, 100) == 0, "listen");
	u->server = (struct resolv_server){ .family = AF_INET, .port = ntohs(at.sin_port) };
	memcpy(u->server.address, &at.sin_addr, 4);
	fflush(stdout);
	u->pid = fork();
	while (u->pid == 0) {
		poll(p, 2, -1);
		if (p[0].revents)
			upstream_udp(p[0].fd);
		if (p[1].revents)
			upstream_tcp(p[1].fd);
	}
	close(p[0].fd);
	close(p[1].fd);
}

static void upstream_stop(struct upstream *u)
{
	kill(u->pid, SIGKILL);
	waitpid(u->pid, NULL, 0);
}

static void test_forward(struct bench *b)
{
	unsigned char query[600], reply[70000];
	struct sockaddr_in dead;
	size_t n, m;
	uint64_t start;
	int fd = connected(&b->front, SOCK_DGRAM);
	/* byte for byte, EDNS and its options included */
	n = make_query(query, 0xabcd, "echo.example", 1, 1232);
	CHECK(send(fd, query, n, 0) == (ssize_t)n, "send");
	m = receive(fd, reply, sizeof(reply), 2000);
	query[2] |= 0x80;
	query[3] |= 0x20;
	CHECK(m == n && memcmp(query, reply, n) == 0, "%zu of %zu bytes", m, n);
	close(fd);
	EXPECT_UDP(&b->front, "spoof.example", 1, "NOERROR 0");
	EXPECT_UDP(&b->front, "none.example", 1, "NXDOMAIN 0");
	EXPECT_UDP(&b->front, "fail.example", 1, "SERVFAIL 0");
	EXPECT_UDP(&b->front, "big.example", 1, "NOERROR 0 TC");
	EXPECT_UDP(&b->front, "8.8.8.8.in-addr.arpa", 12, "NOERROR 0");
	EXPECT_UDP(&b->front, "9.0.1.10.in-addr.arpa", 12, "NXDOMAIN 0");
	EXPECT_UDP(&b->front, "nosuch", 1, "NXDOMAIN 0");
	EXPECT_UDP(&b->front, "com", DNS_TYPE_NS, "NOERROR 0");
	/* over TCP */
	fd = connected(&b->front, SOCK_STREAM);
	n = make_query(query, 0x77, "big.example", 1, -1);
	send_tcp(fd, query, n);
	m = receive_tcp(fd, reply);
	CHECK(m == n + 2000 && reply[m - 1] == 'b' && dns_wire_id(reply) == 0x77, "%zu", m);
	close(fd);
	/* a server that does not exist, then the real one: at once over UDP and TCP, since the kernel says so */
	close(bound(SOCK_DGRAM, &dead));
	b->upstreams[1] = b->upstreams[0];
	b->upstreams[0].port = ntohs(dead.sin_port);
	b->n_upstreams = 2;
	sync_all(b);
	start = clock_mono_ns();
	EXPECT_UDP(&b->front, "second.example", 1, "NOERROR 0");
	fd = connected(&b->front, SOCK_STREAM);
	send_tcp(fd, query, make_query(query, 3, "echo.example", 1, -1));
	CHECK(receive_tcp(fd, reply) > 12 && dns_wire_id(reply) == 3, "tcp");
	close(fd);
	CHECK(clock_mono_ns() - start < 250000000ULL, "took %.0f ms", (double)(clock_mono_ns() - start) / 1e6);
	/* only dead ones: the end comes at once too */
	b->n_upstreams = 1;
	sync_all(b);
	EXPECT_UDP(&b->front, "gone.example", 1, "SERVFAIL 0");
	EXPECT_UDP(&b->front, "com", DNS_TYPE_NS, "NXDOMAIN 0"); /* a single label never fails */
	fd = connected(&b->front, SOCK_STREAM);
	send_tcp(fd, query, make_query(query, 4, "gone.example", 1, -1));
	CHECK(receive_tcp(fd, reply) > 12 && dns_wire_rcode(reply) == DNS_SERVFAIL, "tcp");
	close(fd);
	b->n_upstreams = 0;
	sync_all(b);
	EXPECT_UDP(&b->front, "gone.example", 1, "SERVFAIL 0");
	b->upstreams[0] = b->upstreams[1];
	b->n_upstreams = 1;
	sync_all(b);
}

/* A silent server costs the next one 300 ms, and a question without any answer ends after two rounds. A set that comes
 * meanwhile changes nothing. */
static void test_silence(struct bench *b)
{
	struct sockaddr_in quiet_at;
	AUTO_CLOSE int quiet = bound(SOCK_DGRAM, &quiet_at); /* takes everything, says nothing */
	unsigned char query[600], reply[600];
	size_t n = make_query(query, 5, "silent.example", 1, -1);
	int fd = connected(&b->front, SOCK_DGRAM);
	uint64_t start = clock_mono_ns(), took;
	CHECK(send(fd, query, n, 0) == (ssize_t)n, "send");
	CHECK(receive(fd, reply, sizeof(reply), 1000) == 0, "early");
	sync_all(b);
	CHECK(receive(fd, reply, sizeof(reply), 5000) > 12 && dns_wire_rcode(reply) == DNS_SERVFAIL, "SERVFAIL");
	took = clock_mono_ns() - start;
	CHECK(took > 3900000000ULL && took < 4600000000ULL, "took %.0f ms", (double)took / 1e6);
	close(fd);
	b->upstreams[1] = b->upstreams[0];
	b->upstreams[0].port = ntohs(quiet_at.sin_port);
	b->n_upstreams = 2;
	sync_all(b);
	start = clock_mono_ns();
	EXPECT_UDP(&b->front, "echo.example", 1, "NOERROR 0");
	took = clock_mono_ns() - start;
	CHECK(took > 250000000ULL && took < 600000000ULL, "took %.0f ms", (double)took / 1e6);
	b->upstreams[0] = b->upstreams[1];
	b->n_upstreams = 1;
	sync_all(b);
}

static void test_changes(struct bench *b)
{
	const char *front[] = { "p_front" };
	struct client other;
	unsigned was = b->acked;
	dns_control_names_set(&b->control, "w1", "p_front", ip("10.1.0.9"), (const char *[]){ "web" }, 1);
	dns_control_client_remove(&b->control, b->back.id);
	client_open(&other, "other");
	dns_control_client_set(&b->control, other.id, front, 1, true, other.udp_fd, other.tcp_fd);
	dns_control_sync(&b->control);
	CHECK(wait_change(b, &b->acked, was), "no receipt");
	EXPECT_UDP(&b->front, "web", 1, "NOERROR 1 10.1.0.9");
	EXPECT_UDP(&other, "web", 1, "NOERROR 1 10.1.0.9");
	EXPECT_UDP(&b->back, "db", 1, "silence");
	sync_all(b); /* a full set without it */
	EXPECT_UDP(&other, "web", 1, "silence");
	EXPECT_UDP(&b->back, "db", 1, "NOERROR 1 10.2.0.2");
	close(other.udp_fd);
	close(other.tcp_fd);
}

/* kill -9 while a client asks all the time: questions wait in the socket for the next process; each gets its answer. */
static void test_kill(struct bench *b)
{
	unsigned char query[600], reply[600];
	AUTO_CLOSE int fd = connected(&b->front, SOCK_DGRAM);
	unsigned answered = 0;
	b->answer = true;
	for (uint16_t i = 0; i < 20; i++) {
		unsigned was = b->acked;
		size_t n = make_query(query, i, "web", 1, -1);
		kill_server(b);
		CHECK(send(fd, query, n, 0) == (ssize_t)n, "send");
		if (i % 2) /* something meant for the dead one: must not make half a set */
			dns_control_names_set(&b->control, "stale", "p_front", ip("10.1.0.66"), (const char *[]){ "web" }, 1);
		start_server(b);
		CHECK(wait_change(b, &b->acked, was), "no receipt");
		n = receive(fd, reply, sizeof(reply), 2000);
		answered += n > 12 && dns_wire_id(reply) == i && dns_wire_rcode(reply) == DNS_NOERROR;
	}
	CHECK(answered == 20, "%u of 20", answered);
	b->answer = false;
	EXPECT_UDP(&b->front, "web", 1, "NOERROR 1 10.1.0.2");
}

static void flood(const struct client *c, const char *name, bool garbage, unsigned ms)
{
	uint64_t end = clock_mono_ns() + ms * 1000000ULL;
	unsigned seed = (unsigned)getpid();
	int fd = connected(c, SOCK_DGRAM);
	unsigned char query[600];
	size_t n = make_query(query, 1, name, 1, 1232);
	while (clock_mono_ns() < end) {
		unsigned char p[600];
		memcpy(p, query, n);
		for (int i = 0; garbage && i < 4; i++)
			p[(unsigned)rand_r(&seed) % n] = (unsigned char)rand_r(&seed);
		send(fd, p, garbage ? (unsigned)rand_r(&seed) % n + 1 : n, MSG_DONTWAIT);
	}
	close(fd);
}

/* One client sends without end, of what is forwarded to a silent server, and garbage; another one asks meanwhile. */
static void test_flood(struct bench *b)
{
	pid_t pids[2];
	uint64_t worst = 0;
	unsigned n = 0;
	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			flood(&b->front, "silent.example", i == 1, 1500);
			_exit(0);
		}
	}
	for (uint64_t end = clock_mono_ns() + 1200000000ULL, start; (start = clock_mono_ns()) < end; n++) {
		EXPECT_UDP(&b->back, "db", 1, "NOERROR 1 10.2.0.2");
		worst = MAX(worst, clock_mono_ns() - start);
	}
	for (int i = 0; i < 2; i++)
		waitpid(pids[i], NULL, 0);
	printf("under a flood: %u answers to another client, the slowest in %.1f ms\n", n, (double)worst / 1e6);
	CHECK(n > 100, "only %u answers", n);
	usleep(200000); /* its own socket was full: what it sent then was dropped by the kernel */
	EXPECT_UDP(&b->front, "web", 1, "NOERROR 1 10.1.0.2");
}

/* Connections that are opened and left: at most DNS_MAX_PEER_CONNS live, the others are closed, and UDP goes on. */
static void test_connections(struct bench *b)
{
	int fds[200], closed = 0;
	unsigned char reply[600];
	for (int i = 0; i < 200; i++)
		fds[i] = connected(&b->front, SOCK_STREAM);
	EXPECT_UDP(&b->front, "web", 1, "NOERROR 1 10.1.0.2");
	/* a datagram may be answered before the last connections are accepted: they are closed in their turn */
	for (uint64_t end = clock_mono_ns() + 5000000000ULL; closed < 200 - 64 && clock_mono_ns() < end; usleep(2000)) {
		closed = 0;
		for (int i = 0; i < 200; i++) {
			struct pollfd p = { .fd = fds[i], .events = POLLIN };
			closed += poll(&p, 1, 0) == 1 && recv(fds[i], reply, 1, MSG_PEEK) <= 0;
		}
	}
	CHECK(closed == 200 - 64, "%d closed", closed);
	for (int i = 0; i < 200; i++)
		close(fds[i]);
}

static void test_jail(struct bench *b)
{
	AUTO_FREE char *path = xasprintf("/proc/%d/status", (int)b->server);
	AUTO_STR struct str text = {0};
	struct err err;
	CHECK(fs_read(AT_FDCWD, path, 65536, &text, &err) == 0, "%s", path);
	CHECK(strstr(str_get(&text), "CapEff:\t0000000000000000\n") && strstr(str_get(&text), "CapPrm:\t0000000000000000\n") &&
	      strstr(str_get(&text), "Seccomp:\t2\n") && strstr(str_get(&text), "NoNewPrivs:\t1\n"), "%s", str_get(&text));
}

static void print_rate(struct bench *b)
{
	enum { WINDOW = 32, BATCH = 32 };
	unsigned char query[600], reply[WINDOW][600];
	struct mmsghdr out[WINDOW] = {0}, in[WINDOW] = {0};
	struct iovec out_iov, in_iov[WINDOW];
	size_t n = make_query(query, 1, "web", 1, -1);
	AUTO_CLOSE int fd = connected(&b->front, SOCK_DGRAM);
	unsigned done = 0, serial = 0;
	uint64_t start, took;
	out_iov = (struct iovec){ query, n };
	for (int i = 0; i < WINDOW; i++) {
		out[i].msg_hdr = (struct msghdr){ .msg_iov = &out_iov, .msg_iovlen = 1 };
		in_iov[i] = (struct iovec){ reply[i], sizeof(reply[i]) };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &in_iov[i], .msg_iovlen = 1 };
	}
	start = clock_mono_ns();
	sendmmsg(fd, out, WINDOW, 0);
	while ((took = clock_mono_ns() - start) < 500000000ULL) {
		struct timespec second = { .tv_sec = 1 };
		int got = recvmmsg(fd, in, WINDOW, MSG_WAITFORONE, &second);
		if (got <= 0)
			break;
		done += (unsigned)got;
		CHECK(in[got - 1].msg_len == n + 16, "reply of %u bytes", in[got - 1].msg_len);
		sendmmsg(fd, out, (unsigned)got, 0);
	}
	printf("throughput, %d in flight: %.0f answers/s\n", WINDOW, done / ((double)took / 1e9));
	while (receive(fd, reply[0], sizeof(reply[0]), 50))
		;
	start = clock_mono_ns();
	for (; (took = clock_mono_ns() - start) < 300000000ULL; serial++) {
		dns_wire_set_id(query, (uint16_t)serial);
		if (send(fd, query, n, 0) < 0 || !receive(fd, reply[0], sizeof(reply[0]), 1000) || dns_wire_id(reply[0]) != (uint16_t)serial)
			break;
	}
	CHECK(took >= 300000000ULL, "answer %u is missing or another one", serial);
	printf("throughput, one at a time: %.0f answers/s\n", serial / ((double)took / 1e9));
}

static void loopback_up(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(ioctl(fd, SIOCSIFFLAGS, &r) == 0, "lo: %s", strerror(errno));
}

int main(void)
{
	struct bench *b = &bench;
	struct upstream u;
	struct err err;
	int status;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (unshare(CLONE_NEWNET) < 0) {
		printf("skipped: no network namespace: %s\n", strerror(errno));
		return 77;
	}
	loopback_up();
	client_open(&b->front, "front");
	client_open(&b->back, "back");
	upstream_start(&u);
	b->upstreams[0] = u.server;
	b->n_upstreams = 1;
	CHECK(sock_pair(SOCK_SEQPACKET, b->pair, &err) == 0 && loop_init(&b->loop, &err) == 0, "%s", err.msg);
	CHECK(dns_control_open(&b->control, &b->loop, b->pair[0], on_event, &err) == 0, "%s", err.msg);
	test_start(b);
	test_jail(b);
	test_ours(b);
	test_tcp(b);
	test_forward(b);
	test_silence(b);
	test_changes(b);
	test_kill(b);
	test_flood(b);
	test_connections(b);
	print_rate(b);
	dns_control_done(&b->control);
	close(b->pair[0]);
	close(b->pair[1]);
	waitpid(b->server, &status, 0);
	CHECK(status == 0, "end: %x", status);
	upstream_stop(&u);
	loop_done(&b->loop);
	printf("%s\n", failures ? "FAILED" : "passed");
	return failures != 0;
}
