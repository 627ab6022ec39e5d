/* SPDX-License-Identifier: Apache-2.0 */
/* Questions under way. A query travels verbatim but for its id, which is random, from a socket of its own that is connected to
 * the server: the kernel picks a random port, drops what comes from elsewhere, and tells at once when nobody listens there.
 *
 * Over UDP all servers are asked one after the other, DNS_STAGGER_MS apart, and once more DNS_ROUND_MS after the start; the
 * first good answer wins. SERVFAIL, REFUSED and NOTIMP count as "this server can't" and are handed on only when no other one
 * can. Over TCP (the client had asked over TCP) the servers are tried in turn. A dead first server costs a client 300 ms, all
 * dead ones 4 s. */
#include "network/dns_core.h"

#include <sys/socket.h>

#include "base/clock.h"

struct dns_try {
	struct loop_source source;
	struct dns_flight *flight;
	int fd;
	bool failed;
};

struct dns_flight {
	struct dns_flight *next, **link;
	struct dns_peer *peer;
	struct dns_conn *conn;        /* NULL: UDP */
	struct sockaddr_in from;
	uint16_t client_id, limit;
	bool local;
	unsigned step;                /* tries begun */
	unsigned n_servers;
	uint64_t due_ns, round_end_ns;
	struct resolv_server servers[RESOLV_MAX_SERVERS];
	struct dns_try tries[RESOLV_MAX_SERVERS];
	unsigned char *spare;         /* a failure that a server answered with */
	size_t n_spare;
	unsigned char *stream;        /* TCP: what came so far, length prefix included */
	size_t n_stream, sent;
	size_t query_len;
	unsigned char query[];        /* 2 bytes of length (for TCP), then the query with our id */
};

static void flight_advance(struct dns_flight *f);

static const unsigned char *flight_query(const struct dns_flight *f)
{
	return f->query + 2;
}

static void try_close(struct dns_try *t)
{
	loop_remove(&t->source);
	util_close(&t->fd);
}

static void flight_free(struct dns_flight *f)
{
	struct dns_core *c = f->peer->core;
	for (unsigned i = 0; i < f->n_servers; i++)
		try_close(&f->tries[i]);
	if (f->conn)
		dns_tcp_count(f->conn, -1);
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	c->n_flights--;
	if (--f->peer->n_flights == 0)
		c->n_busy_peers--;
	free(f->spare);
	free(f->stream);
	free(f);
}

/* Hands the reply (n <= DNS_TCP_MAX bytes, modified) to the client; the flight is over. */
static void flight_finish(struct dns_flight *f, unsigned char *reply, size_t n)
{
	struct dns_conn *conn = f->conn;
	dns_wire_set_id(reply, f->client_id);
	if (!conn) {
		n = dns_wire_truncate(reply, n, f->limit);
		sendto(f->peer->udp_fd, reply, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&f->from, sizeof(f->from));
		flight_free(f);
		return;
	}
	dns_tcp_count(conn, 1); /* keeps it from being closed as idle in between */
	flight_free(f);
	dns_tcp_reply(conn, reply, n);
	dns_tcp_count(conn, -1);
}

/* No server can tell. */
static void flight_fail(struct dns_flight *f)
{
	unsigned char reply[DNS_REPLY_MIN];
	struct dns_query q;
	if (f->spare && !f->local) {
		unsigned char *spare = TAKE_PTR(f->spare);
		flight_finish(f, spare, f->n_spare);
		free(spare);
		return;
	}
	dns_wire_parse(flight_query(f), f->query_len, &q);
	flight_finish(f, reply, dns_wire_reply(&q, flight_query(f), f->local ? DNS_NXDOMAIN : DNS_SERVFAIL, reply, sizeof(reply)));
}

static bool flight_all_failed(const struct dns_flight *f)
{
	for (unsigned i = 0; i < f->n_servers; i++)
		if (!f->tries[i].failed)
			return false;
	return true;
}

static void flight_try_failed(struct dns_flight *f, struct dns_try *t)
{
	try_close(t);
	t->failed = true;
	if (flight_all_failed(f))
		flight_fail(f);
	else if (f->conn || f->step % f->n_servers)
		flight_advance(f);
}

/* A reply that matches. */
static void flight_reply(struct dns_flight *f, struct dns_try *t, unsigned char *reply, size_t n)
{
	enum dns_rcode rcode = dns_wire_rcode(reply);
	if (rcode != DNS_SERVFAIL && rcode != DNS_REFUSED && rcode != DNS_NOTIMP) {
		flight_finish(f, reply, n);
		return;
	}
	if (!f->spare) {
		f->spare = xcalloc(1, n);
		memcpy(f->spare, reply, n);
		f->n_spare = n;
	}
	flight_try_failed(f, t);
}

static void flight_udp_ready(struct loop_source *s, uint32_t events)
{
	struct dns_try *t = CONTAINER_OF(s, struct dns_try, source);
	struct dns_flight *f = t->flight;
	unsigned char *buf = f->peer->core->message;
	ssize_t n = recv(t->fd, buf, DNS_TCP_MAX, MSG_DONTWAIT);
	(void)events;
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			flight_try_failed(f, t); /* ECONNREFUSED and its like */
		return;
	}
	if (dns_wire_matches(buf, (size_t)n, flight_query(f), f->query_len))
		flight_reply(f, t, buf, (size_t)n);
}

/* One step of sending the query or reading the reply over TCP: 1 when the whole reply is in f->stream, 0 to wait, -1 when the
 * server failed. */
static int flight_tcp_step(struct dns_flight *f, struct dns_try *t, uint32_t events)
{
	ssize_t n;
	size_t want;
	if (f->sent < f->query_len + 2) {
		n = send(t->fd, f->query + f->sent, f->query_len + 2 - f->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN && !(events & (EPOLLERR | EPOLLHUP)) ? 0 : -1;
		f->sent += (size_t)n;
		if (f->sent == f->query_len + 2)
			loop_change(&t->source, EPOLLIN, NULL);
		return 0;
	}
	want = f->n_stream < 2 ? 2 : 2 + (size_t)(f->stream[0] << 8 | f->stream[1]);
	f->stream = xrealloc(f->stream, want, 1);
	n = recv(t->fd, f->stream + f->n_stream, want - f->n_stream, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (n == 0)
		return -1;
	f->n_stream += (size_t)n;
	return f->n_stream >= 2 && f->n_stream == 2 + (size_t)(f->stream[0] << 8 | f->stream[1]);
}

static void flight_tcp_ready(struct loop_source *s, uint32_t events)
{
	struct dns_try *t = CONTAINER_OF(s, struct dns_try, source);
	struct dns_flight *f = t->flight;
	int rc = flight_tcp_step(f, t, events);
	unsigned char *stream;
	if (rc == 0)
		return;
	if (rc < 0 || !dns_wire_matches(f->stream + 2, f->n_stream - 2, flight_query(f), f->query_len)) {
		flight_try_failed(f, t);
		return;
	}
	stream = TAKE_PTR(f->stream);
	flight_reply(f, t, stream + 2, f->n_stream - 2);
	free(stream);
}

/* Opens and connects the socket of try i; false when the server can't be asked. */
static bool flight_connect(struct dns_flight *f, unsigned i)
{
	struct dns_try *t = &f->tries[i];
	struct sockaddr_storage sa;
	socklen_t len = resolv_sockaddr(&f->servers[i], &sa);
	int type = f->conn ? SOCK_STREAM : SOCK_DGRAM;
	t->fd = socket(sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0)
		return false;
	if (connect(t->fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return false;
	return loop_add(&f->peer->core->loop, &t->source, t->fd, f->conn ? EPOLLOUT : EPOLLIN,
			f->conn ? flight_tcp_ready : flight_udp_ready, NULL) == 0;
}

/* Asks server i now. */
static bool flight_ask(struct dns_flight *f, unsigned i)
{
	if (f->tries[i].fd < 0 && !flight_connect(f, i))
		return false;
	if (f->conn) {
		f->sent = f->n_stream = 0;
		return true;
	}
	return send(f->tries[i].fd, flight_query(f), f->query_len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
}

/* The next try that is due, or the end. TCP: one server at a time, one round. */
static void flight_advance(struct dns_flight *f)
{
	uint64_t now = clock_mono_ns();
	unsigned n = f->n_servers, last = f->conn ? n : DNS_ROUNDS * n;
	for (;;) {
		unsigned i;
		if (!f->conn && f->step && f->step % n == 0 && now < f->round_end_ns) {
			f->due_ns = f->round_end_ns;
			return;
		}
		if (f->step == last) {
			flight_fail(f);
			return;
		}
		i = f->step % n;
		if (i == 0)
			f->round_end_ns = now + DNS_ROUND_MS * 1000000ULL;
		if (f->conn && f->step)
			try_close(&f->tries[i - 1]);
		f->step++;
		if (f->tries[i].failed)
			continue;
		if (!flight_ask(f, i)) {
			try_close(&f->tries[i]);
			f->tries[i].failed = true;
			if (flight_all_failed(f)) {
				flight_fail(f);
				return;
			}
			continue;
		}
		f->due_ns = now + (f->conn ? DNS_ROUND_MS : DNS_STAGGER_MS) * 1000000ULL;
		if (!f->conn && f->step % n == 0)
			f->due_ns = f->round_end_ns;
		return;
	}
}

/* Whether this peer may have one more under way: always a few, then an equal share of what is not reserved for the others'
 * few. */
static bool flight_room(const struct dns_peer *p)
{
	const struct dns_core *c = p->core;
	if (c->n_flights >= DNS_MAX_FLIGHTS)
		return false;
	if (p->n_flights < DNS_FEW_FLIGHTS)
		return true;
	return c->n_flights < DNS_MAX_FLIGHTS - DNS_RESERVED_FLIGHTS && p->n_flights < DNS_MAX_FLIGHTS / (c->n_busy_peers + 1);
}

bool dns_forward_start(struct dns_peer *p, struct dns_conn *conn, const struct sockaddr_in *from, const void *query, size_t n,
		       const struct dns_query *q, bool local)
{
	struct dns_core *c = p->core;
	struct dns_flight *f;
	if (c->live.n_upstreams == 0 || !flight_room(p))
		return false;
	f = xcalloc(1, sizeof(*f) + 2 + n);
	f->peer = p;
	f->conn = conn;
	if (from)
		f->from = *from;
	f->client_id = q->id;
	f->limit = q->udp_limit;
	f->local = local;
	f->n_servers = (unsigned)c->live.n_upstreams;
	memcpy(f->servers, c->live.upstreams, sizeof(f->servers));
	for (unsigned i = 0; i < f->n_servers; i++)
		f->tries[i] = (struct dns_try){ .flight = f, .fd = -1 };
	f->query_len = n;
	f->query[0] = (unsigned char)(n >> 8);
	f->query[1] = (unsigned char)n;
	memcpy(f->query + 2, query, n);
	dns_wire_set_id(f->query + 2, (uint16_t)dns_core_random(c, 2));
	f->next = c->flights;
	f->link = &c->flights;
	if (f->next)
		f->next->link = &f->next;
	c->flights = f;
	c->n_flights++;
	if (p->n_flights++ == 0)
		c->n_busy_peers++;
	if (conn)
		dns_tcp_count(conn, 1);
	dns_core_wake(c);
	flight_advance(f);
	return true;
}

void dns_forward_cancel(struct dns_peer *p, const struct dns_conn *conn)
{
	struct dns_flight *f, *next;
	for (f = p->n_flights ? p->core->flights : NULL; f; f = next) {
		next = f->next;
		if (f->peer == p && (!conn || f->conn == conn))
			flight_free(f);
	}
}

void dns_forward_tick(struct dns_core *c, uint64_t now_ns)
{
	struct dns_flight *f, *next;
	/* a flight that ends touches only itself and its connection's queue: `next` stays valid */
	for (f = c->flights; f; f = next) {
		next = f->next;
		if (f->due_ns <= now_ns)
			flight_advance(f);
	}
}
