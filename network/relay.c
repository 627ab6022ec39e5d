/* SPDX-License-Identifier: Apache-2.0 */
/* The relay. A TCP connection is two sockets and, for each direction, a pipe through which splice(2) moves the bytes: they are never copied into
 * this process. A direction reads only when its pipe is empty, so a slow reader slows its sender and nobody else. The end of one
 * direction is passed on as such (half-closed connections work); a connection goes when both have ended or one has failed.
 *
 * UDP: a session per peer, with a socket of its own towards the container, so that answers find back; it ends after 90 s of silence, which
 * is what docker's proxy grants it, or for a newer one when there are too many. The address on which a datagram came is the one from which
 * the answer goes. */
#include "network/relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	RELAY_MAX_CONNS = 8192, RELAY_MAX_SESSIONS = 1024, RELAY_BATCH = 64, RELAY_CHUNK = 1 << 16, RELAY_DATAGRAM = 1 << 16, RELAY_TICK_MS = 5000,
	RELAY_PAUSE_MS = 100, RELAY_CONN_FDS = 6, RELAY_KEEPALIVE_S = 15,
};
#define RELAY_IDLE_NS (90 * 1000000000ull)

struct relay_port;

struct relay_conn;

struct relay_side {
	struct loop_source source;
	struct relay_conn *conn;
	int fd;
	int pipe[2];            /* holds what was read from fd and not written to the other side yet */
	size_t n_piped;
	bool eof, shut;         /* eof: fd has no more to say; shut: the other side was told */
};

struct relay_conn {
	struct relay_conn *next, **link;
	struct relay_port *port;
	bool connecting;
	struct relay_side side[2]; /* the client's, the container's */
};

struct relay_session {
	struct relay_session *next, **link;
	struct relay_port *port;
	struct loop_source source;
	int fd;
	struct sockaddr_in6 peer;
	struct in6_pktinfo local;
	uint64_t active_ns;
};

struct relay_port {
	struct relay_port *next;
	struct relay *relay;
	char *key;
	int fd;
	bool udp, stale, paused;
	struct sockaddr_in to;
	struct loop_source source;
	struct relay_conn *conns;
	struct relay_session *sessions;
	unsigned n_sessions;
};

struct relay {
	struct loop *loop;
	struct loop_timer tick, pause;
	struct relay_port *ports;
	unsigned n_conns, max_conns;
	unsigned char buf[RELAY_DATAGRAM];
};

/* ---- TCP ---- */

static void conn_close(struct relay_conn *c)
{
	for (int i = 0; i < 2; i++) {
		struct relay_side *s = &c->side[i];
		loop_remove(&s->source);
		util_close(&s->fd);
		util_close(&s->pipe[0]);
		util_close(&s->pipe[1]);
	}
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->port->relay->n_conns--;
	free(c);
}

/* Moves what can be moved from side i to the other. False: it is broken. */
static bool conn_move(struct relay_conn *c, int i)
{
	struct relay_side *from = &c->side[i], *to = &c->side[1 - i];
	for (int rounds = 0; rounds < RELAY_BATCH; rounds++) {
		ssize_t n;
		if (!from->n_piped && !from->eof) {
			n = splice(from->fd, NULL, from->pipe[1], NULL, RELAY_CHUNK, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
			if (n < 0)
				return errno == EAGAIN || errno == EINTR;
			from->n_piped = (size_t)n;
			from->eof = n == 0;
		}
		if (!from->n_piped)
			break;
		n = splice(from->pipe[0], NULL, to->fd, NULL, from->n_piped, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		from->n_piped -= (size_t)n;
	}
	if (from->eof && !from->n_piped && !from->shut) {
		from->shut = true;
		if (shutdown(to->fd, SHUT_WR) < 0 && errno != ENOTCONN)
			return false;
	}
	return true;
}

static void conn_event(struct loop_source *s, uint32_t events);

/* A side without anything to wait for is not watched: its hang-up would be told again and again. */
static bool conn_watch(struct relay_conn *c)
{
	struct relay *r = c->port->relay;
	for (int i = 0; i < 2; i++) {
		struct relay_side *s = &c->side[i], *other = &c->side[1 - i];
		uint32_t want = (!s->eof && !s->n_piped && !c->connecting ? EPOLLIN : 0) | (other->n_piped || (i == 1 && c->connecting) ? EPOLLOUT : 0);
		if (!want)
			loop_remove(&s->source);
		else if (!s->source.loop ? loop_add(r->loop, &s->source, s->fd, want, conn_event, NULL) < 0 :
					   s->source.events != want && loop_change(&s->source, want, NULL) < 0)
			return false;
	}
	return true;
}

static void conn_go_on(struct relay_conn *c)
{
	bool fine = (c->connecting || (conn_move(c, 0) && conn_move(c, 1))) && !(c->side[0].shut && c->side[1].shut);
	if (!fine || !conn_watch(c))
		conn_close(c);
}

static void conn_event(struct loop_source *s, uint32_t events)
{
	struct relay_side *side = CONTAINER_OF(s, struct relay_side, source);
	struct relay_conn *c = side->conn;
	if (c->connecting && side == &c->side[1]) {
		int error = 0;
		socklen_t n = sizeof(error);
		if (getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error) {
			conn_close(c);
			return;
		}
		c->connecting = false;
	} else if (c->connecting && (events & (EPOLLERR | EPOLLHUP))) {
		conn_close(c); /* the client went before there was anybody to talk to */
		return;
	}
	conn_go_on(c);
}

/* A peer that vanished without a word is noticed, and small pieces do not wait for each other. */
static void tune(int fd)
{
	const int on = 1, seconds = RELAY_KEEPALIVE_S;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(seconds));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Takes fd. */
static void conn_open(struct relay_port *p, int fd)
{
	struct relay_conn *c = xcalloc(1, sizeof(*c));
	bool fine = true;
	c->port = p;
	c->side[0].fd = fd;
	c->side[1].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	for (int i = 0; i < 2; i++) {
		c->side[i].conn = c;
		tune(c->side[i].fd);
		c->side[i].pipe[0] = c->side[i].pipe[1] = -1;
		fine = pipe2(c->side[i].pipe, O_NONBLOCK | O_CLOEXEC) == 0 && fine;
	}
	c->link = &p->conns;
	c->next = p->conns;
	if (c->next)
		c->next->link = &c->next;
	p->conns = c;
	p->relay->n_conns++;
	c->connecting = true;
	fine = fine && c->side[1].fd >= 0;
	if (!fine || (connect(c->side[1].fd, (const struct sockaddr *)&p->to, sizeof(p->to)) < 0 && errno != EINPROGRESS) || !conn_watch(c))
		conn_close(c);
}

static void port_event(struct loop_source *s, uint32_t events);

/* Out of descriptors, or of what is allowed: listens again a little later. */
static void pause_over(struct loop_timer *t)
{
	struct relay *r = CONTAINER_OF(t, struct relay, pause);
	bool again = false;
	for (struct relay_port *p = r->ports; p; p = p->next) {
		if (p->paused && loop_add(r->loop, &p->source, p->fd, EPOLLIN, port_event, NULL) == 0)
			p->paused = false;
		again |= p->paused;
	}
	if (again)
		loop_timer_set(r->loop, t, RELAY_PAUSE_MS, pause_over);
}

static void accept_all(struct relay_port *p)
{
	struct relay *r = p->relay;
	for (int i = 0; i < RELAY_BATCH; i++) {
		int fd = r->n_conns < r->max_conns ? accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
		if (fd >= 0) {
			conn_open(p, fd);
			continue;
		}
		if (r->n_conns < r->max_conns && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
			return;
		loop_remove(&p->source);
		p->paused = true;
		loop_timer_set(r->loop, &r->pause, RELAY_PAUSE_MS, pause_over);
		return;
	}
}

/* ---- UDP ---- */

static void session_close(struct relay_session *s)
{
	loop_remove(&s->source);
	util_close(&s->fd);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	s->port->n_sessions--;
	free(s);
}

static void relay_tick(struct loop_timer *t)
{
	struct relay *r = CONTAINER_OF(t, struct relay, tick);
	uint64_t now = clock_mono_ns();
	bool any = false;
	for (struct relay_port *p = r->ports; p; p = p->next)
		for (struct relay_session *s = p->sessions, *next; s; s = next) {
			next = s->next;
			if (now - s->active_ns > RELAY_IDLE_NS)
				session_close(s);
			else
				any = true;
		}
	if (any)
		loop_timer_set(r->loop, t, RELAY_TICK_MS, relay_tick);
}

/* Answers of the container go back from the address that was asked. */
static void session_event(struct loop_source *source, uint32_t events)
{
	struct relay_session *s = CONTAINER_OF(source, struct relay_session, source);
	unsigned char *buf = s->port->relay->buf;
	(void)events;
	for (int i = 0; i < RELAY_BATCH; i++) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
		ssize_t n = recv(s->fd, buf, RELAY_DATAGRAM, MSG_DONTWAIT);
		struct iovec iov = { buf, n > 0 ? (size_t)n : 0 };
		struct msghdr m = { .msg_name = &s->peer, .msg_namelen = sizeof(s->peer), .msg_iov = &iov, .msg_iovlen = 1,
				    .msg_control = control, .msg_controllen = sizeof(control) };
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		if (n < 0)
			return; /* nothing more, or refused: then there is no answer */
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo));
		memcpy(CMSG_DATA(c), &s->local, sizeof(s->local));
		sendmsg(s->port->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		s->active_ns = clock_mono_ns();
	}
}

/* Makes room for a new peer: the one that has been silent for longest goes. */
static void close_oldest(struct relay_port *p)
{
	struct relay_session *oldest = p->sessions;
	for (struct relay_session *s = p->sessions; s; s = s->next)
		if (s->active_ns < oldest->active_ns)
			oldest = s;
	session_close(oldest);
}

static struct relay_session *session_of(struct relay_port *p, const struct sockaddr_in6 *peer, const struct in6_pktinfo *local)
{
	struct relay_session *s;
	for (s = p->sessions; s; s = s->next)
		if (s->peer.sin6_port == peer->sin6_port && s->peer.sin6_scope_id == peer->sin6_scope_id &&
		    memcmp(&s->peer.sin6_addr, &peer->sin6_addr, 16) == 0 && memcmp(&s->local.ipi6_addr, &local->ipi6_addr, 16) == 0)
			return s;
	if (p->n_sessions >= RELAY_MAX_SESSIONS)
		close_oldest(p);
	s = xcalloc(1, sizeof(*s));
	s->port = p;
	s->peer = *peer;
	s->local = *local;
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	s->link = &p->sessions;
	s->next = p->sessions;
	if (s->next)
		s->next->link = &s->next;
	p->sessions = s;
	p->n_sessions++;
	if (s->fd < 0 || connect(s->fd, (const struct sockaddr *)&p->to, sizeof(p->to)) < 0 ||
	    loop_add(p->relay->loop, &s->source, s->fd, EPOLLIN, session_event, NULL) < 0) {
		session_close(s);
		return NULL;
	}
	if (!p->relay->tick.loop)
		loop_timer_set(p->relay->loop, &p->relay->tick, RELAY_TICK_MS, relay_tick);
	return s;
}

static void datagrams(struct relay_port *p)
{
	unsigned char *buf = p->relay->buf;
	for (int i = 0; i < RELAY_BATCH; i++) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct sockaddr_in6 peer;
		struct in6_pktinfo local = {0};
		struct iovec iov = { buf, RELAY_DATAGRAM };
		struct msghdr m = { .msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(p->fd, &m, MSG_DONTWAIT);
		struct relay_session *s;
		if (n < 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
				memcpy(&local, CMSG_DATA(c), sizeof(local));
		s = m.msg_namelen == sizeof(peer) ? session_of(p, &peer, &local) : NULL;
		if (!s)
			continue;
		s->active_ns = clock_mono_ns();
		send(s->fd, buf, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

/* ---- ports ---- */

static void port_event(struct loop_source *s, uint32_t events)
{
	struct relay_port *p = CONTAINER_OF(s, struct relay_port, source);
	(void)events;
	if (p->udp)
		datagrams(p);
	else
		accept_all(p);
}

static void port_free(struct relay_port *p)
{
	while (p->conns)
		conn_close(p->conns);
	while (p->sessions)
		session_close(p->sessions);
	loop_remove(&p->source);
	util_close(&p->fd);
	free(p->key);
	free(p);
}

static uint64_t cookie(int fd)
{
	uint64_t value = 0;
	socklen_t n = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &value, &n) < 0 ? 0 : value;
}

void relay_set(struct relay *r, const char *key, int fd, struct in_addr address, uint16_t port)
{
	struct relay_port **at = &r->ports, *p;
	int type = 0, on = 1;
	socklen_t n = sizeof(type);
	struct err err;
	while (*at && strcmp((*at)->key, key) != 0)
		at = &(*at)->next;
	p = *at;
	if (p && cookie(p->fd) == cookie(fd) && p->to.sin_addr.s_addr == address.s_addr && p->to.sin_port == htons(port)) {
		p->stale = false;
		close(fd);
		return;
	}
	if (p) {
		*at = p->next;
		port_free(p);
	}
	p = xcalloc(1, sizeof(*p));
	*p = (struct relay_port){ .next = r->ports, .relay = r, .key = xstrdup(key), .fd = fd,
				  .to = { .sin_family = AF_INET, .sin_addr = address, .sin_port = htons(port) } };
	r->ports = p;
	p->udp = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_DGRAM;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (p->udp)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	if (loop_add(r->loop, &p->source, fd, EPOLLIN, port_event, &err) < 0)
		log_warn("port %s: %s", key, err.msg);
}

/* Ends those that belong to the owner (NULL: anybody's) and, with stale_only, were not set again. */
static void drop(struct relay *r, const char *owner, bool stale_only)
{
	size_t n = owner ? strlen(owner) : 0;
	for (struct relay_port **at = &r->ports; *at;) {
		struct relay_port *p = *at;
		if ((stale_only && !p->stale) || (owner && (strncmp(p->key, owner, n) != 0 || p->key[n] != '/'))) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		port_free(p);
	}
}

void relay_remove(struct relay *r, const char *owner)
{
	drop(r, owner, false);
}

void relay_begin(struct relay *r)
{
	for (struct relay_port *p = r->ports; p; p = p->next)
		p->stale = true;
}

void relay_commit(struct relay *r)
{
	drop(r, NULL, true);
}

struct relay *relay_new(struct loop *l)
{
	struct relay *r = xcalloc(1, sizeof(*r));
	struct rlimit files;
	signal(SIGPIPE, SIG_IGN); /* splice(2) has no MSG_NOSIGNAL */
	r->loop = l;
	r->max_conns = RELAY_MAX_CONNS;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) /* who connects from outside must not take the descriptors that names are looked up with */
		r->max_conns = (unsigned)MIN((rlim_t)RELAY_MAX_CONNS, files.rlim_cur / 2 / RELAY_CONN_FDS);
	return r;
}

struct relay *relay_free(struct relay *r)
{
	if (!r)
		return NULL;
	drop(r, NULL, false);
	loop_timer_cancel(&r->tick);
	loop_timer_cancel(&r->pause);
	free(r);
	return NULL;
}
