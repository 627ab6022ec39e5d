/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS process: one thread, one loop, which also carries published ports on IPv6
 * (network/relay.h). Each client (container) is known by the sockets on which it asks, never by its source
 * address. Datagrams are taken and answered in batches with two system calls a batch; a client gets one batch at a time, so a
 * flood waits behind the others.
 *
 * Messages after a reset build a second, staged set; the sync swaps it in whole. A client whose sockets are the same ones
 * (same socket cookie) lives through the swap with its questions under way. The process starts without a set and leaves
 * questions in the sockets until it has one. */
#include "network/dns_server.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/jail.h"
#include "base/log.h"
#include "network/dns_core.h"
#include "network/relay.h"

uint64_t dns_core_random(struct dns_core *c, size_t n)
{
	uint64_t v = 0;
	if (c->n_random < n) {
		if (getrandom(c->random, sizeof(c->random), 0) != (ssize_t)sizeof(c->random))
			abort();
		c->n_random = sizeof(c->random);
	}
	c->n_random -= n;
	memcpy(&v, c->random + c->n_random, n);
	return v;
}

static void core_tick(struct loop_timer *t)
{
	struct dns_core *c = CONTAINER_OF(t, struct dns_core, tick);
	uint64_t now = clock_mono_ns();
	dns_forward_tick(c, now);
	dns_tcp_tick(c, now);
	if (c->n_flights || c->n_conns)
		dns_core_wake(c);
}

void dns_core_wake(struct dns_core *c)
{
	if (!c->tick.loop)
		loop_timer_set(&c->loop, &c->tick, DNS_TICK_MS, core_tick);
}

size_t dns_core_answer(struct dns_peer *p, struct dns_conn *conn, const struct sockaddr_in *from, const void *query, size_t n, void *buf,
		       size_t limit)
{
	struct dns_core *c = p->core;
	struct dns_answer *a = &c->answer;
	struct dns_query q;
	int rc = dns_wire_parse(query, n, &q);
	if (rc < 0)
		return 0;
	limit = conn ? limit : MIN(limit, q.udp_limit);
	if (rc > 0)
		return dns_wire_reply(&q, query, (enum dns_rcode)rc, buf, limit);
	switch (dns_zone_lookup(c->live.zone, p->client, &q, dns_core_random(c, sizeof(uint64_t)), a)) {
	case DNS_SAY_ADDRESSES:
		return dns_wire_reply_a(&q, query, a->addresses, a->n_addresses, DNS_TTL_S, buf, limit);
	case DNS_SAY_NAME:
		return dns_wire_reply_ptr(&q, query, a->name, DNS_TTL_S, buf, limit);
	case DNS_SAY_NODATA:
		return dns_wire_reply(&q, query, DNS_NOERROR, buf, limit);
	case DNS_SAY_NOTIMP:
		return dns_wire_reply(&q, query, DNS_NOTIMP, buf, limit);
	case DNS_SAY_FORWARD:
		if (dns_forward_start(p, conn, from, query, n, &q, a->local))
			return 0;
		if (!conn && c->live.n_upstreams)
			return 0; /* too many under way: the client asks again */
		return dns_wire_reply(&q, query, a->local ? DNS_NXDOMAIN : DNS_SERVFAIL, buf, limit);
	case DNS_SAY_NXDOMAIN:
		break;
	}
	return dns_wire_reply(&q, query, DNS_NXDOMAIN, buf, limit);
}

static void peer_send(const struct dns_peer *p, struct mmsghdr *out, unsigned n)
{
	unsigned at = 0;
	while (at < n) {
		int rc = sendmmsg(p->udp_fd, out + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (rc < 0 && (errno == EAGAIN || errno == ENOBUFS))
			return; /* the client does not read: its loss */
		at += rc > 0 ? (unsigned)rc : 1;
	}
}

static void peer_datagrams(struct loop_source *s, uint32_t events)
{
	struct dns_peer *p = CONTAINER_OF(s, struct dns_peer, udp);
	struct dns_core *c = p->core;
	struct mmsghdr in[DNS_BATCH] = {0}, out[DNS_BATCH] = {0};
	struct iovec in_iov[DNS_BATCH], out_iov[DNS_BATCH];
	struct sockaddr_in from[DNS_BATCH];
	unsigned n_out = 0;
	size_t at = 0;
	int n;
	(void)events;
	for (int i = 0; i < DNS_BATCH; i++) {
		in_iov[i] = (struct iovec){ c->in[i], sizeof(c->in[i]) };
		in[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &in_iov[i], .msg_iovlen = 1 };
	}
	n = recvmmsg(p->udp_fd, in, DNS_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		size_t len;
		if ((in[i].msg_hdr.msg_flags & MSG_TRUNC) || in[i].msg_hdr.msg_namelen != sizeof(from[i]))
			continue;
		if (sizeof(c->out) - at < DNS_UDP_MAX) {
			peer_send(p, out, n_out);
			n_out = 0;
			at = 0;
		}
		len = dns_core_answer(p, NULL, &from[i], c->in[i], in[i].msg_len, c->out + at, DNS_UDP_MAX);
		if (!len)
			continue;
		out_iov[n_out] = (struct iovec){ c->out + at, len };
		out[n_out].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &out_iov[n_out],
						      .msg_iovlen = 1 };
		n_out++;
		at += len;
	}
	if (n_out)
		peer_send(p, out, n_out);
}

static void peer_free(struct dns_peer *p)
{
	if (!p)
		return;
	dns_forward_cancel(p, NULL);
	dns_tcp_close_peer(p);
	loop_remove(&p->udp);
	loop_remove(&p->tcp);
	util_close(&p->udp_fd);
	util_close(&p->tcp_fd);
	free(p->id);
	free(p);
}

static void peer_start(struct dns_peer *p)
{
	struct err err;
	if (loop_add(&p->core->loop, &p->udp, p->udp_fd, EPOLLIN, peer_datagrams, &err) < 0)
		log_warn("client %s: %s", p->id, err.msg);
	dns_tcp_listen(p);
}

static uint64_t socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t n = sizeof(cookie);
	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) < 0 ? 0 : cookie;
}

static bool same_sockets(const struct dns_peer *a, const struct dns_peer *b)
{
	uint64_t udp = socket_cookie(a->udp_fd), tcp = socket_cookie(a->tcp_fd);
	return udp && tcp && udp == socket_cookie(b->udp_fd) && tcp == socket_cookie(b->tcp_fd);
}

/* Puts p into the live set in the place of an older one of its id, which goes on when it has the same sockets. */
static void core_admit(struct dns_core *c, struct dns_peer *p)
{
	struct dns_peer *old = map_get(&c->live.peers, p->id);
	if (old && same_sockets(old, p)) {
		peer_free(p);
		p = old;
	} else {
		peer_free(old);
		map_put(&c->live.peers, p->id, p);
		peer_start(p);
	}
	p->client = dns_zone_client(c->live.zone, p->id);
}

static void set_drop(struct dns_set *s)
{
	for (struct map_entry *e = map_next(&s->peers, NULL); e; e = map_next(&s->peers, e))
		peer_free(e->value);
	map_done(&s->peers);
	dns_zone_free(s->zone);
	*s = (struct dns_set){0};
}

/* The staged set comes into force. */
static void core_commit(struct dns_core *c)
{
	struct dns_set staged = c->staged;
	struct dns_zone *old = c->live.zone;
	c->staged = (struct dns_set){0};
	for (struct map_entry *e = map_next(&c->live.peers, NULL); e; e = map_next(&c->live.peers, e)) {
		struct dns_peer *p = e->value;
		if (map_get(&staged.peers, p->id))
			continue;
		map_del(&c->live.peers, p->id);
		peer_free(p);
	}
	c->live.zone = staged.zone;
	memcpy(c->live.upstreams, staged.upstreams, sizeof(staged.upstreams));
	c->live.n_upstreams = staged.n_upstreams;
	for (struct map_entry *e = map_next(&staged.peers, NULL); e; e = map_next(&staged.peers, e))
		core_admit(c, e->value);
	map_done(&staged.peers);
	dns_zone_free(old);
}

static void core_client_set(struct dns_core *c, struct dns_set *set, const struct dns_message *m, int *fds)
{
	struct dns_peer *p = xcalloc(1, sizeof(*p));
	p->core = c;
	p->id = xstrdup(m->strings[0]);
	p->udp_fd = TAKE_FD(fds[0]);
	p->tcp_fd = TAKE_FD(fds[1]);
	/* the listener's flag: accept must not wait when the client has gone again */
	fcntl(p->tcp_fd, F_SETFL, fcntl(p->tcp_fd, F_GETFL) | O_NONBLOCK);
	dns_zone_client_set(set->zone, p->id, m->strings + 1, m->n_strings - 1, m->flag);
	if (set == &c->live) {
		core_admit(c, p);
		return;
	}
	peer_free(map_get(&set->peers, p->id));
	map_put(&set->peers, p->id, p);
}

static void core_apply(struct dns_core *c, struct dns_set *set, const struct dns_message *m, int *fds, size_t n_fds)
{
	switch (m->op) {
	case DNS_OP_CLIENT_SET:
		if (n_fds == 2)
			core_client_set(c, set, m, fds);
		else
			log_warn("client %s came without its sockets", m->strings[0]);
		break;
	case DNS_OP_CLIENT_REMOVE:
		peer_free(map_del(&set->peers, m->strings[0]));
		dns_zone_client_remove(set->zone, m->strings[0]);
		break;
	case DNS_OP_NETWORK_SET:
		dns_zone_network_set(set->zone, m->strings[0], m->address, m->number);
		break;
	case DNS_OP_NAMES_SET:
	case DNS_OP_NAMES_ADD:
		dns_zone_names_set(set->zone, m->strings[0], m->strings[1], m->address, m->strings + 2, m->n_strings - 2,
				   m->op == DNS_OP_NAMES_ADD);
		break;
	case DNS_OP_NAMES_REMOVE:
		dns_zone_names_remove(set->zone, m->strings[0]);
		break;
	case DNS_OP_RELAY_SET:
		if (n_fds == 1)
			relay_set(c->relay, m->strings[0], TAKE_FD(fds[0]), m->address, (uint16_t)m->number);
		break;
	case DNS_OP_RELAY_REMOVE:
		relay_remove(c->relay, m->strings[0]);
		break;
	case DNS_OP_UPSTREAMS_SET:
		memcpy(set->upstreams, m->servers, sizeof(set->upstreams));
		set->n_upstreams = m->n_servers;
		dns_zone_search_set(set->zone, m->flag);
		break;
	default:
		break;
	}
}

static void core_say(struct dns_core *c, enum dns_op op, uint32_t number)
{
	unsigned char buf[64];
	size_t n = dns_control_encode(&(struct dns_message){ .op = op, .number = number }, buf, sizeof(buf));
	chan_send(&c->control, buf, n, NULL, 0);
}

static void core_control(struct chan *chan, const void *p, size_t n, int *fds, size_t n_fds)
{
	struct dns_core *c = CONTAINER_OF(chan, struct dns_core, control);
	struct dns_message m;
	struct dns_set *set;
	struct err err;
	if (!p) {
		c->loop.quit = true;
		return;
	}
	if (dns_control_decode(p, n, &m, &err) < 0) {
		log_warn("%s", err.msg);
		return;
	}
	if (m.op == DNS_OP_RESET) {
		set_drop(&c->staged);
		c->staged.zone = dns_zone_new();
		relay_begin(c->relay);
		return;
	}
	if (m.op == DNS_OP_SYNC) {
		failpoint("dns.sync");
		if (c->staged.zone) {
			core_commit(c);
			relay_commit(c->relay);
		}
		if (c->live.zone)
			core_say(c, DNS_OP_ACK, m.number);
		return;
	}
	set = c->staged.zone ? &c->staged : &c->live;
	failpoint("dns.control");
	if (set->zone) /* else: meant for a predecessor */
		core_apply(c, set, &m, fds, n_fds);
}

static int core_run(struct dns_core *c, int control_fd, struct err *err)
{
	struct rlimit files;
	if (loop_init(&c->loop, err) < 0)
		return -1;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	c->relay = relay_new(&c->loop);
	if (jail_enter(JAIL_SOCKETS | JAIL_RELAY, err) < 0 || chan_open(&c->control, &c->loop, control_fd, core_control, err) < 0)
		return -1;
	failpoint("dns.hello");
	core_say(c, DNS_OP_HELLO, 0);
	return loop_run(&c->loop, err);
}

int dns_main(int control_fd)
{
	struct dns_core *c = xcalloc(1, sizeof(*c));
	struct err err;
	int rc;
	log_init("muster-dns", 2);
	c->loop.epoll_fd = -1;
	rc = core_run(c, control_fd, &err);
	if (rc < 0)
		log_warn("%s", err.msg);
	set_drop(&c->staged);
	set_drop(&c->live);
	relay_free(c->relay);
	loop_timer_cancel(&c->tick);
	chan_done(&c->control);
	loop_done(&c->loop);
	free(c);
	return rc < 0 ? 1 : 0;
}
