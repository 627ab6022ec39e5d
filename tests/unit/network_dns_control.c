/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS channel's packets. Invariants: what is encoded is decoded to the letter; a packet that is cut or changed is refused
 * or decodes to strings inside it, never beyond; any number of names goes through in packets that fit, the first of which
 * replaces; a reset drops what waited. */
#include "network/dns_control.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void test_codec(void)
{
	static struct dns_message back;
	struct dns_message m = { .op = DNS_OP_UPSTREAMS_SET, .flag = true, .number = 77, .address.s_addr = 0x01020304, .n_strings = 3,
				 .strings = { "one", "", "three" }, .n_servers = 2 };
	unsigned char buf[CHAN_MAX_PACKET], *exact;
	struct err err;
	unsigned seed = 3;
	size_t n;
	memset(m.servers, 7, sizeof(m.servers));
	n = dns_control_encode(&m, buf, sizeof(buf));
	CHECK(n && dns_control_decode(buf, n, &back, &err) == 0, "%zu", n);
	CHECK(back.op == m.op && back.flag && back.number == 77 && back.address.s_addr == m.address.s_addr && back.n_strings == 3 &&
	      str_eq(back.strings[0], "one") && str_eq(back.strings[1], "") && str_eq(back.strings[2], "three") && back.n_servers == 2 &&
	      memcmp(back.servers, m.servers, 2 * sizeof(m.servers[0])) == 0, "round trip");
	for (size_t size = 0; size < n; size++) {
		CHECK(dns_control_encode(&m, buf + 4096, size) == 0, "does not fit into %zu", size);
		exact = malloc(size + 1); /* the sanitizers watch its end */
		memcpy(exact, buf, size);
		CHECK(dns_control_decode(exact, size, &back, &err) < 0, "cut at %zu", size);
		free(exact);
	}
	for (int i = 0; i < 200000; i++) {
		exact = malloc(n);
		memcpy(exact, buf, n);
		for (unsigned edits = 1 + (unsigned)rand_r(&seed) % 4; edits--;)
			exact[(unsigned)rand_r(&seed) % n] = (unsigned char)rand_r(&seed);
		if (dns_control_decode(exact, n, &back, &err) == 0)
			for (size_t k = 0; k < back.n_strings; k++)
				CHECK(strlen(back.strings[k]) < n, "string %zu", k);
		free(exact);
	}
	m = (struct dns_message){ .op = DNS_OP_CLIENT_SET };
	n = dns_control_encode(&m, buf, sizeof(buf));
	CHECK(dns_control_decode(buf, n, &back, &err) < 0, "a client without an id");
}

static unsigned n_names, n_replacing, n_resets, n_packets;

static void on_packet(struct chan *c, const void *p, size_t n, int *fds, size_t n_fds)
{
	static struct dns_message m;
	struct err err;
	(void)c;
	(void)fds;
	if (!p)
		return;
	CHECK(dns_control_decode(p, n, &m, &err) == 0 && n_fds == 0, "%s", err.msg);
	n_packets++;
	n_resets += m.op == DNS_OP_RESET;
	if (m.op != DNS_OP_NAMES_SET && m.op != DNS_OP_NAMES_ADD)
		return;
	n_replacing += m.op == DNS_OP_NAMES_SET;
	CHECK(str_eq(m.strings[0], "owner") && str_eq(m.strings[1], "net") && m.address.s_addr == inet_addr("10.0.0.1"), "head");
	for (size_t i = 2; i < m.n_strings; i++, n_names++)
		CHECK(strtoul(m.strings[i] + 1, NULL, 10) == n_names, "name %s is number %u", m.strings[i], n_names);
}

static void ignore(struct dns_control *c, enum dns_op op, uint32_t serial)
{
	(void)c;
	(void)op;
	(void)serial;
}

static void test_names(void)
{
	enum { N = 3000 };
	struct dns_control control;
	struct chan peer;
	struct loop loop;
	struct err err;
	int pair[2];
	const char *names[N + 2];
	char longer[DNS_MAX_NAME + 2];
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	for (int i = 0; i < N; i++)
		names[i] = xasprintf("n%d", i);
	names[N] = longer; /* left out */
	names[N + 1] = xasprintf("n%d", N);
	CHECK(loop_init(&loop, &err) == 0 && sock_pair(SOCK_SEQPACKET, pair, &err) == 0, "%s", err.msg);
	CHECK(dns_control_open(&control, &loop, pair[0], ignore, &err) == 0, "%s", err.msg);
	CHECK(chan_open(&peer, &loop, pair[1], on_packet, &err) == 0, "%s", err.msg);
	dns_control_names_set(&control, "owner", "net", (struct in_addr){ inet_addr("10.0.0.1") }, names, N + 2);
	for (int i = 0; i < 20; i++)
		loop_run_once(&loop, 10, &err);
	CHECK(n_names == N + 1 && n_replacing == 1, "%u names, %u replacing", n_names, n_replacing);
	n_names = 0;
	dns_control_names_set(&control, "owner", "net", (struct in_addr){ inet_addr("10.0.0.1") }, names, 0);
	loop_run_once(&loop, 10, &err);
	CHECK(n_names == 0 && n_replacing == 2, "no names replace too");
	/* nobody reads: what waits here goes with a reset, and the reset itself arrives */
	loop_remove(&peer.source);
	for (int i = 0; i < 5000; i++)
		dns_control_names_remove(&control, "owner");
	CHECK(control.chan.queued_bytes > 0, "all of it went into the socket");
	n_packets = 0;
	dns_control_reset(&control);
	CHECK(chan_open(&peer, &loop, pair[1], on_packet, &err) == 0, "%s", err.msg);
	for (int i = 0; i < 200; i++)
		loop_run_once(&loop, 1, &err);
	CHECK(n_resets == 1 && n_packets < 5000, "%u resets, %u packets", n_resets, n_packets);
	dns_control_done(&control);
	chan_done(&peer);
	close(pair[0]);
	close(pair[1]);
	loop_done(&loop);
	for (int i = 0; i < N + 2; i++)
		if (names[i] != longer)
			free((char *)(uintptr_t)names[i]);
}

int main(void)
{
	test_codec();
	test_names();
	printf("%s\n", failures ? "FAILED" : "passed");
	return failures != 0;
}
