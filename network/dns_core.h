/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the DNS process, shared by its files only: dns_server.c (control channel, clients, UDP), dns_tcp.c (clients
 * over TCP), dns_forward.c (questions under way to upstream servers). One heap object holds all state; everything is bounded:
 * - a client may have its share of DNS_MAX_FLIGHTS under way, so that one container's flood leaves the others their answers; -
 * TCP connections, their input and output are capped per connection, per client and in all; - what exceeds a cap is dropped or
 * closed, never queued. */
#ifndef NETWORK_DNS_CORE_H
#define NETWORK_DNS_CORE_H

#include "base/chan.h"
#include "base/map.h"
#include "network/dns_control.h"
#include "network/dns_zone.h"

enum {
	DNS_BATCH = 32,
	DNS_MAX_FLIGHTS = 4096,
	DNS_RESERVED_FLIGHTS = 1024,   /* only for clients with few under way */
	DNS_FEW_FLIGHTS = 16,
	DNS_MAX_CONNS = 1024,
	DNS_MAX_PEER_CONNS = 64,
	DNS_MAX_CONN_FLIGHTS = 64,
	DNS_MAX_CONN_OUT = 256 << 10,
	DNS_CONN_IDLE_MS = 10000,
	DNS_TICK_MS = 50,
	DNS_STAGGER_MS = 300,          /* the next server is asked too when the last one took so long */
	DNS_ROUND_MS = 2000,           /* then all are asked once more */
	DNS_ROUNDS = 2,
};

struct dns_core;
struct dns_conn;
struct dns_flight;

/* A client's sockets. */
struct dns_peer {
	struct dns_core *core;
	const struct dns_client *client; /* of the zone in force; NULL while staged */
	char *id;
	int udp_fd, tcp_fd;
	struct loop_source udp, tcp;
	unsigned n_flights, n_conns;
	bool tcp_paused;                 /* out of descriptors: tried again at the next tick */
};

/* Everything that a full set from the supervisor replaces. */
struct dns_set {
	struct dns_zone *zone;           /* NULL: there is no such set */
	struct map peers;                /* id → struct dns_peer */
	struct resolv_server upstreams[RESOLV_MAX_SERVERS];
	size_t n_upstreams;
};

struct dns_core {
	struct loop loop;
	struct chan control;
	struct loop_timer tick;
	struct dns_set live, staged;
	struct relay *relay;
	struct dns_flight *flights;
	struct dns_conn *conns;
	unsigned n_flights, n_busy_peers, n_conns;
	size_t n_random;                 /* unused bytes of random[] */
	unsigned char random[512];
	struct dns_answer answer;
	unsigned char in[DNS_BATCH][DNS_QUERY_MAX];
	unsigned char out[DNS_BATCH / 2 * DNS_UDP_MAX];
	unsigned char message[2 + DNS_TCP_MAX];
};

/* n <= 8 random bits-worth of bytes as a number. */
uint64_t dns_core_random(struct dns_core *c, size_t n);
/* Makes sure that the tick comes while there is something to time. */
void dns_core_wake(struct dns_core *c);
/* Answers one query of a peer into buf (limit bytes, cut to what UDP clients take); conn: it came over that connection, else
 * from `from` over UDP. Returns the reply's length; 0: nothing to say now (forwarded or dropped). */
size_t dns_core_answer(struct dns_peer *p, struct dns_conn *conn, const struct sockaddr_in *from, const void *query, size_t n, void *buf,
		       size_t limit);

/* Sends a query upstream; the reply goes to conn or, when it is NULL, to `from`. False: there is no room, or nobody to ask. */
bool dns_forward_start(struct dns_peer *p, struct dns_conn *conn, const struct sockaddr_in *from, const void *query, size_t n,
		       const struct dns_query *q, bool local);
/* Forgets what is under way for that peer (conn NULL) or that connection. */
void dns_forward_cancel(struct dns_peer *p, const struct dns_conn *conn);
void dns_forward_tick(struct dns_core *c, uint64_t now_ns);

/* Starts to accept; pauses when descriptors are short. */
void dns_tcp_listen(struct dns_peer *p);
/* Queues a reply of n <= DNS_TCP_MAX bytes. */
void dns_tcp_reply(struct dns_conn *conn, const void *reply, size_t n);
/* A forwarded question of conn has ended (+1: begun). */
void dns_tcp_count(struct dns_conn *conn, int change);
void dns_tcp_close_peer(struct dns_peer *p);
void dns_tcp_tick(struct dns_core *c, uint64_t now_ns);

#endif
