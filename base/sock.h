/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets by directory descriptor (a path of any length), framed messages with descriptors. */
#ifndef BASE_SOCK_H
#define BASE_SOCK_H

#include "base/err.h"
#include "base/str.h"

enum { SOCK_MAX_FDS = 16, SOCK_MAX_FRAME = 64 << 20 };

/* Binds and listens as /proc/self/fd/<dirfd>/name, mode 0600, replacing a stale one. type: SOCK_STREAM or SOCK_SEQPACKET. -1 + err. */
int sock_listen(int dirfd, const char *name, int type, struct err *err);
/* Connects; returns the descriptor (blocking), -1 + err; err->sys is ENOENT or ECONNREFUSED when nobody listens. */
int sock_connect(int dirfd, const char *name, int type, struct err *err);
/* A close-on-exec pair of SOCK_SEQPACKET or SOCK_STREAM sockets. */
int sock_pair(int type, int ret[static 2], struct err *err);

/* One datagram/packet with descriptors (n_fds <= SOCK_MAX_FDS), no SIGPIPE. Returns 0; 1 when it would block; -1 + err. */
int sock_send(int fd, const void *p, size_t n, const int *fds, size_t n_fds, struct err *err);
/* One packet into buf. Returns its length; 0 at the end; -EAGAIN when nothing is there; other negative + err (EMSGSIZE: it was longer than buf).
 * Descriptors that came are close-on-exec in fds[*n_fds]; *n_fds is their room on entry, their count on return; more than that are closed. */
ssize_t sock_recv(int fd, void *buf, size_t size, int *fds, size_t *n_fds, struct err *err);

/* A frame on a SOCK_STREAM: u32 length (little endian) + bytes, descriptors with its first byte. Blocking (polls when the socket is not). */
int sock_send_frame(int fd, const void *p, size_t n, const int *fds, size_t n_fds, struct err *err);
/* Blocking read of one whole frame. Returns 1, 0 at a clean end, -1 + err. */
int sock_recv_frame(int fd, struct str *ret, int *fds, size_t *n_fds, struct err *err);

/* True for the names of this machine itself: localhost, 127.0.0.0/8 and ::1 (in brackets or not), with or without a port. */
bool sock_is_loopback(const char *host);

/* Uid of the peer (SO_PEERCRED), (uid_t)-1 on failure. */
unsigned sock_peer_uid(int fd);

#endif
