/* SPDX-License-Identifier: Apache-2.0 */
/* The packet channel. The queue is a plain list: it is empty unless the peer is dead or slow, and it goes out in order. */
#include "base/chan.h"

#include <fcntl.h>
#include <sys/socket.h>

struct chan_packet {
	struct chan_packet *next;
	size_t n, n_fds;
	int fds[SOCK_MAX_FDS];
	unsigned char bytes[];
};

static struct chan_packet *chan_packet_free(struct chan_packet *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n_fds; i++)
		util_close(&p->fds[i]);
	free(p);
	return NULL;
}

static void chan_pop(struct chan *c)
{
	struct chan_packet *p = c->first;
	c->first = p->next;
	if (!c->first)
		c->last = &c->first;
	c->queued_bytes -= sizeof(*p) + p->n;
	chan_packet_free(p);
}

void chan_drop(struct chan *c)
{
	while (c->first)
		chan_pop(c);
	if (c->source.loop)
		loop_change(&c->source, EPOLLIN, NULL);
}

static void chan_close(struct chan *c)
{
	chan_done(c);
	c->closed = true;
	c->fn(c, NULL, 0, NULL, 0);
}

/* Sends what waits, until the socket is full again. */
static int chan_flush(struct chan *c)
{
	while (c->first) {
		struct chan_packet *p = c->first;
		int rc = sock_send(c->fd, p->bytes, p->n, p->fds, p->n_fds, NULL);
		if (rc > 0)
			return 0;
		if (rc < 0)
			return -1;
		chan_pop(c);
	}
	return loop_change(&c->source, EPOLLIN, NULL);
}

/* One packet; 0 when there was one, 1 when there is none, -1 when the channel is gone. */
static int chan_receive(struct chan *c)
{
	unsigned char buf[CHAN_MAX_PACKET];
	int fds[SOCK_MAX_FDS];
	size_t n_fds = ARRAY_SIZE(fds);
	ssize_t n = sock_recv(c->fd, buf, sizeof(buf), fds, &n_fds, NULL);
	if (n == -EAGAIN)
		return 1;
	if (n <= 0)
		return -1;
	c->fn(c, buf, (size_t)n, fds, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		util_close(&fds[i]);
	return 0;
}

static void chan_ready(struct loop_source *s, uint32_t events)
{
	struct chan *c = CONTAINER_OF(s, struct chan, source);
	if ((events & EPOLLOUT) && chan_flush(c) < 0) {
		chan_close(c);
		return;
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	/* a bounded number at once: whoever sends much must not keep the loop from its other sources */
	for (int i = 0; i < 64 && c->source.loop; i++) {
		int rc = chan_receive(c);
		if (rc < 0)
			chan_close(c);
		if (rc)
			return;
	}
}

int chan_open(struct chan *c, struct loop *l, int fd, void (*fn)(struct chan *, const void *, size_t, int *, size_t), struct err *err)
{
	int flags = fcntl(fd, F_GETFL);
	*c = (struct chan){ .fd = fd, .fn = fn };
	c->last = &c->first;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(err, errno, "control channel");
	return loop_add(l, &c->source, fd, EPOLLIN, chan_ready, err);
}

void chan_done(struct chan *c)
{
	loop_remove(&c->source);
	while (c->first)
		chan_pop(c);
}

/* A copy that waits; descriptors are duplicated. NULL + errno when that fails. */
static struct chan_packet *chan_packet_new(const void *p, size_t n, const int *fds, size_t n_fds)
{
	struct chan_packet *packet = xcalloc(1, sizeof(*packet) + n);
	memcpy(packet->bytes, p, n);
	packet->n = n;
	for (; packet->n_fds < n_fds; packet->n_fds++) {
		int copy = fcntl(fds[packet->n_fds], F_DUPFD_CLOEXEC, 3);
		if (copy < 0)
			return chan_packet_free(packet);
		packet->fds[packet->n_fds] = copy;
	}
	return packet;
}

int chan_send(struct chan *c, const void *p, size_t n, const int *fds, size_t n_fds)
{
	struct chan_packet *packet;
	assert(n && n <= CHAN_MAX_PACKET && n_fds <= SOCK_MAX_FDS);
	if (c->closed || !c->source.loop)
		return 1;
	if (!c->first) {
		int rc = sock_send(c->fd, p, n, fds, n_fds, NULL);
		if (rc == 0)
			return 0;
		if (rc < 0)
			return 1; /* the loop sees the same failure and closes */
	}
	if (c->queued_bytes + sizeof(*packet) + n > CHAN_MAX_QUEUE)
		return 1;
	packet = chan_packet_new(p, n, fds, n_fds);
	if (!packet)
		return 1;
	if (!c->first)
		loop_change(&c->source, EPOLLIN | EPOLLOUT, NULL);
	*c->last = packet;
	c->last = &packet->next;
	c->queued_bytes += sizeof(*packet) + n;
	return 0;
}
