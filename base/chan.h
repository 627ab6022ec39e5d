/* SPDX-License-Identifier: Apache-2.0 */
/* A channel of packets with descriptors over one end of a SOCK_SEQPACKET pair, for a process that must never block on its
 * peer: what the kernel does not take at once waits in a queue here and goes out when the socket is writable again. The pair
 * may outlive either process (a third one keeps both ends open); then a dead peer looks like a slow one, and what was sent to
 * it waits for its successor. */
#ifndef BASE_CHAN_H
#define BASE_CHAN_H

#include <sys/types.h>

#include "base/loop.h"
#include "base/sock.h"

enum { CHAN_MAX_PACKET = 8192, CHAN_MAX_QUEUE = 64 << 20 };

struct chan_packet;

struct chan {
	struct loop_source source;
	/* Called for each packet. fds[0..n_fds) belong to the channel and are closed after the call: take one over with TAKE_FD().
	 * p == NULL, n == 0: the channel is closed (all copies of the other end are, or it failed); it was removed from the loop before. */
	void (*fn)(struct chan *c, const void *p, size_t n, int *fds, size_t n_fds);
	struct chan_packet *first, **last;
	size_t queued_bytes;
	int fd;
	bool closed;
};

/* Starts to receive on fd (not owned, made non-blocking) in loop l. */
int chan_open(struct chan *c, struct loop *l, int fd, void (*fn)(struct chan *, const void *, size_t, int *, size_t), struct err *err);
/* Removes it from the loop and drops the queue; takes a zeroed one, may be called twice. */
void chan_done(struct chan *c);

/* Sends or queues one packet of n <= CHAN_MAX_PACKET bytes; descriptors that have to wait are duplicated, so the caller may
 * close its own. Never blocks. Returns 0; 1 when the packet was dropped (the channel is closed, or more than CHAN_MAX_QUEUE
 * bytes wait). */
int chan_send(struct chan *c, const void *p, size_t n, const int *fds, size_t n_fds);
/* Forgets what waits here (what the kernel already holds will still arrive). */
void chan_drop(struct chan *c);

#endif
