/* SPDX-License-Identifier: Apache-2.0 */
/* Clients over TCP: queries with a length in front, several in a row, answered in the order in which answers come (RFC 7766).
 * A connection is closed when it is idle, sends what is no query, or doesn't read its answers; input is taken only while its
 * answers and questions under way are few.
 *
 * dns_tcp_reply() never closes or frees: it is called while others walk the questions under way. A broken connection is marked
 * and goes at its next event or tick. */
#include "network/dns_core.h"

#include <sys/socket.h>

#include "base/clock.h"

struct dns_conn {
	struct dns_conn *next, **link;
	struct dns_peer *peer;
	struct loop_source source;
	int fd;
	uint32_t events;
	unsigned n_flights;
	bool eof, broken;
	uint64_t active_ns;
	size_t n_in;
	size_t out_at;
	struct str out;
	unsigned char in[2 + DNS_QUERY_MAX];
};

static void conn_close(struct dns_conn *conn)
{
	struct dns_peer *p = conn->peer;
	dns_forward_cancel(p, conn);
	loop_remove(&conn->source);
	util_close(&conn->fd);
	*conn->link = conn->next;
	if (conn->next)
		conn->next->link = conn->link;
	p->n_conns--;
	p->core->n_conns--;
	str_done(&conn->out);
	free(conn);
}

static size_t conn_unsent(const struct dns_conn *conn)
{
	return conn->out.len - conn->out_at;
}

static bool conn_may_read(const struct dns_conn *conn)
{
	return !conn->eof && conn->n_flights < DNS_MAX_CONN_FLIGHTS && conn_unsent(conn) < DNS_MAX_CONN_OUT;
}

static void conn_watch(struct dns_conn *conn)
{
	uint32_t events = (conn_may_read(conn) ? EPOLLIN : 0) | (conn_unsent(conn) ? EPOLLOUT : 0);
	if (events != conn->events && loop_change(&conn->source, events, NULL) < 0)
		conn->broken = true;
	conn->events = events;
}

static void conn_send(struct dns_conn *conn)
{
	while (conn_unsent(conn) && !conn->broken) {
		ssize_t n = send(conn->fd, conn->out.p + conn->out_at, conn_unsent(conn), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			conn->broken = true;
		else
			conn->out_at += (size_t)n;
	}
	str_clear(&conn->out);
	conn->out_at = 0;
}

void dns_tcp_reply(struct dns_conn *conn, const void *reply, size_t n)
{
	unsigned char len[2] = { (unsigned char)(n >> 8), (unsigned char)n };
	bool idle = conn_unsent(conn) == 0;
	str_addn(&conn->out, len, sizeof(len));
	str_addn(&conn->out, reply, n);
	if (idle)
		conn_send(conn);
	conn_watch(conn);
}

void dns_tcp_count(struct dns_conn *conn, int change)
{
	conn->n_flights = (unsigned)((int)conn->n_flights + change);
	conn->active_ns = clock_mono_ns();
}

/* Answers the whole queries in conn->in; what is left moves to the front. */
static void conn_queries(struct dns_conn *conn)
{
	struct dns_core *c = conn->peer->core;
	size_t at = 0;
	while (conn->n_in - at >= 2 && !conn->broken) {
		size_t len = (size_t)(conn->in[at] << 8 | conn->in[at + 1]), n;
		if (len < DNS_HEADER || len > DNS_QUERY_MAX) {
			conn->broken = true;
			return;
		}
		if (conn->n_in - at - 2 < len)
			break;
		n = dns_core_answer(conn->peer, conn, NULL, conn->in + at + 2, len, c->message, DNS_TCP_MAX);
		if (n)
			dns_tcp_reply(conn, c->message, n);
		at += 2 + len;
	}
	conn->n_in -= at;
	memmove(conn->in, conn->in + at, conn->n_in);
}

static void conn_ready(struct loop_source *s, uint32_t events)
{
	struct dns_conn *conn = CONTAINER_OF(s, struct dns_conn, source);
	if (events & EPOLLOUT)
		conn_send(conn);
	if (conn_may_read(conn) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		ssize_t n = recv(conn->fd, conn->in + conn->n_in, sizeof(conn->in) - conn->n_in, MSG_DONTWAIT);
		if (n > 0) {
			conn->n_in += (size_t)n;
			conn->active_ns = clock_mono_ns();
			conn_queries(conn);
		} else if (n == 0) {
			conn->eof = true; /* it may still wait for answers */
		} else if (errno != EAGAIN && errno != EINTR) {
			conn->broken = true;
		}
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		conn->broken = true;
	}
	conn_watch(conn);
	if (conn->broken || (conn->eof && conn->n_flights == 0 && conn_unsent(conn) == 0))
		conn_close(conn);
}

static void peer_accept(struct loop_source *s, uint32_t events)
{
	struct dns_peer *p = CONTAINER_OF(s, struct dns_peer, tcp);
	struct dns_core *c = p->core;
	(void)events;
	for (int i = 0; i < 16; i++) {
		struct dns_conn *conn;
		int fd = accept4(p->tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
			loop_remove(&p->tcp);
			p->tcp_paused = true;
			dns_core_wake(c);
		}
		if (fd < 0)
			return;
		if (c->n_conns >= DNS_MAX_CONNS || p->n_conns >= DNS_MAX_PEER_CONNS) {
			close(fd);
			continue;
		}
		conn = xcalloc(1, sizeof(*conn));
		conn->peer = p;
		conn->fd = fd;
		conn->events = EPOLLIN;
		conn->active_ns = clock_mono_ns();
		if (loop_add(&c->loop, &conn->source, fd, EPOLLIN, conn_ready, NULL) < 0) {
			close(fd);
			free(conn);
			continue;
		}
		conn->next = c->conns;
		conn->link = &c->conns;
		if (conn->next)
			conn->next->link = &conn->next;
		c->conns = conn;
		c->n_conns++;
		p->n_conns++;
		dns_core_wake(c);
	}
}

void dns_tcp_listen(struct dns_peer *p)
{
	p->tcp_paused = loop_add(&p->core->loop, &p->tcp, p->tcp_fd, EPOLLIN, peer_accept, NULL) < 0;
}

void dns_tcp_close_peer(struct dns_peer *p)
{
	struct dns_conn *conn, *next;
	for (conn = p->n_conns ? p->core->conns : NULL; conn; conn = next) {
		next = conn->next;
		if (conn->peer == p)
			conn_close(conn);
	}
}

void dns_tcp_tick(struct dns_core *c, uint64_t now_ns)
{
	struct dns_conn *conn, *next;
	for (conn = c->conns; conn; conn = next) {
		bool idle = now_ns - conn->active_ns > DNS_CONN_IDLE_MS * 1000000ULL && conn->n_flights == 0;
		next = conn->next;
		if (conn->broken || idle || (conn->eof && conn->n_flights == 0 && conn_unsent(conn) == 0))
			conn_close(conn);
		else
			conn_watch(conn); /* questions that ended may have made room for reading */
	}
	for (struct map_entry *e = map_next(&c->live.peers, NULL); e; e = map_next(&c->live.peers, e)) {
		struct dns_peer *p = e->value;
		if (p->tcp_paused)
			dns_tcp_listen(p);
	}
}
