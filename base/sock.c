/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets. sun_path holds 108 bytes, so the directory is always named by descriptor. */
#include "base/sock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int sock_address(int dirfd, const char *name, struct sockaddr_un *ret, struct err *err)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", dirfd, name) >= sizeof(ret->sun_path))
		return err_set(err, ERR_INVALID, "socket name %s is too long", name);
	return 0;
}

int sock_listen(int dirfd, const char *name, int type, struct err *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	mode_t old;
	int rc;
	if (fd < 0)
		return err_sys(err, errno, "socket");
	if (sock_address(dirfd, name, &sa, err) < 0)
		return -1;
	unlinkat(dirfd, name, 0);
	old = umask(0177);
	rc = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	if (rc < 0)
		return err_sys(err, errno, "bind %s", name);
	if (listen(fd, 64) < 0)
		return err_sys(err, errno, "listen on %s", name);
	return TAKE_FD(fd);
}

int sock_connect(int dirfd, const char *name, int type, struct err *err)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	if (fd < 0)
		return err_sys(err, errno, "socket");
	if (sock_address(dirfd, name, &sa, err) < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(err, errno, "connect to %s", name);
	return TAKE_FD(fd);
}

int sock_pair(int type, int ret[static 2], struct err *err)
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret) < 0)
		return err_sys(err, errno, "socketpair");
	return 0;
}

static ssize_t send_with_fds(int fd, const void *p, size_t n, const int *fds, size_t n_fds)
{
	char control[CMSG_SPACE(SOCK_MAX_FDS * sizeof(int))] = {0};
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t rc;
	assert(n_fds <= SOCK_MAX_FDS);
	if (n_fds) {
		struct cmsghdr *c;
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do
		rc = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (rc < 0 && errno == EINTR);
	return rc;
}

int sock_send(int fd, const void *p, size_t n, const int *fds, size_t n_fds, struct err *err)
{
	ssize_t rc = send_with_fds(fd, p, n, fds, n_fds);
	if (rc < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 1;
	if (rc < 0)
		return err_sys(err, errno, "send");
	return 0;
}

static ssize_t recv_with_fds(int fd, void *buf, size_t size, int *fds, size_t *n_fds)
{
	char control[CMSG_SPACE(SOCK_MAX_FDS * sizeof(int))];
	struct iovec iov = { buf, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	size_t room = n_fds ? *n_fds : 0, got = 0;
	ssize_t rc;
	if (n_fds)
		*n_fds = 0;
	do
		rc = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int one;
			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
			if (got < room)
				fds[got++] = one;
			else
				close(one);
		}
	}
	if (m.msg_flags & MSG_TRUNC) { /* half a packet is no packet */
		while (got > 0)
			close(fds[--got]);
		rc = -EMSGSIZE;
	}
	if (n_fds)
		*n_fds = got;
	return rc;
}

ssize_t sock_recv(int fd, void *buf, size_t size, int *fds, size_t *n_fds, struct err *err)
{
	ssize_t rc = recv_with_fds(fd, buf, size, fds, n_fds);
	if (rc < 0 && rc != -EAGAIN)
		err_sys(err, (int)-rc, "receive");
	return rc;
}

static int sock_wait(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

int sock_send_frame(int fd, const void *p, size_t n, const int *fds, size_t n_fds, struct err *err)
{
	AUTO_STR struct str frame = {0};
	unsigned char head[4] = { (unsigned char)n, (unsigned char)(n >> 8), (unsigned char)(n >> 16), (unsigned char)(n >> 24) };
	size_t at = 0;
	str_addn(&frame, head, sizeof(head));
	str_addn(&frame, p, n);
	while (at < frame.len) {
		ssize_t rc = send_with_fds(fd, frame.p + at, frame.len - at, at ? NULL : fds, at ? 0 : n_fds);
		if (rc < 0 && errno == EAGAIN && sock_wait(fd, POLLOUT) == 0)
			continue;
		if (rc < 0)
			return err_sys(err, errno, "send");
		at += (size_t)rc;
	}
	return 0;
}

/* Reads exactly n bytes; 1 when done, 0 at the end before the first byte, -1 + err. */
static int recv_exact(int fd, void *buf, size_t n, int *fds, size_t *n_fds, struct err *err)
{
	size_t at = 0, room = n_fds ? *n_fds : 0;
	if (n_fds)
		*n_fds = 0;
	while (at < n) {
		size_t more = n_fds ? room - *n_fds : 0;
		ssize_t rc = recv_with_fds(fd, (char *)buf + at, n - at, n_fds ? fds + *n_fds : NULL, n_fds ? &more : NULL);
		if (n_fds)
			*n_fds += more;
		if (rc == -EAGAIN && sock_wait(fd, POLLIN) == 0)
			continue;
		if (rc < 0)
			return err_sys(err, (int)-rc, "receive");
		if (rc == 0)
			return at == 0 ? 0 : err_set(err, ERR_CORRUPT, "receive: the peer went away inside a message");
		at += (size_t)rc;
	}
	return 1;
}

int sock_recv_frame(int fd, struct str *ret, int *fds, size_t *n_fds, struct err *err)
{
	unsigned char head[4];
	size_t n;
	int rc = recv_exact(fd, head, sizeof(head), fds, n_fds, err);
	if (rc <= 0)
		return rc;
	n = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
	if (n > SOCK_MAX_FRAME)
		return err_set(err, ERR_INVALID, "receive: a message of %zu bytes", n);
	str_clear(ret);
	rc = recv_exact(fd, str_reserve(ret, n), n, NULL, NULL, err);
	if (rc == 0 && n)
		return err_set(err, ERR_CORRUPT, "receive: the peer went away inside a message");
	if (rc < 0)
		return -1;
	ret->len = n;
	ret->p[n] = '\0';
	return 1;
}

unsigned sock_peer_uid(int fd)
{
	struct ucred c;
	socklen_t n = sizeof(c);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) < 0 ? (unsigned)-1 : c.uid;
}

bool sock_is_loopback(const char *host)
{
	char name[64];
	struct in_addr v4;
	struct in6_addr v6;
	size_t n = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	if (host[0] == '[')
		host++, n--;
	if (n >= sizeof(name))
		return false;
	memcpy(name, host, n);
	name[n] = '\0';
	if (strcasecmp(name, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, name, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}
