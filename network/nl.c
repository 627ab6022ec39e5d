/* SPDX-License-Identifier: Apache-2.0 */
/* Raw netlink. rtnetlink and nfnetlink handle a request inside sendmsg(2), in the sender's context: when it returns, every answer of a
 * batch is in the receive queue already. So nl_talk() reads without waiting until the queue is empty, and a batch that the kernel
 * refuses as a whole (it then answers its first message only) needs no special case and no timeout. Dumps are produced as they are
 * read; those wait, at most for the receive timeout. */
#include "network/nl.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { NL_RECV_SIZE = 64 << 10, NL_MAX_BATCH = 24 << 20, NL_DUMP_TRIES = 10 };

int nl_open(struct nl *s, int protocol, struct err *err)
{
	const int on = 1, send_bytes = 32 << 20, recv_bytes = 4 << 20;
	const struct timeval timeout = { .tv_sec = 10 };
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	*s = (struct nl){ .fd = -1 };
	if (fd < 0)
		return err_sys(err, errno, "netlink socket");
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(err, errno, "bind netlink socket");
	/* the forcing ones need CAP_NET_ADMIN, which whoever changes anything has; without it the defaults do for reading */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &recv_bytes, sizeof(recv_bytes));
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
		return err_sys(err, errno, "netlink socket: SO_RCVTIMEO");
	s->fd = TAKE_FD(fd);
	s->open = true;
	return 0;
}

void nl_close(struct nl *s)
{
	if (s->open)
		util_close(&s->fd);
	*s = (struct nl){ .fd = -1 };
}

static struct nlmsghdr *nl_header(struct nl_batch *b)
{
	return (struct nlmsghdr *)(b->buf.p + b->msg);
}

/* Appends n bytes and zeroes up to the next multiple of four; the message grows by them. */
static void nl_append(struct nl_batch *b, const void *data, size_t n)
{
	const size_t padded = NLMSG_ALIGN(n);
	char *p = str_reserve(&b->buf, padded);
	memset(p + n, 0, padded - n);
	if (n)
		memcpy(p, data, n);
	b->buf.len += padded;
	nl_header(b)->nlmsg_len = b->buf.len - b->msg;
}

void nl_msg(struct nl_batch *b, uint16_t type, uint16_t flags, const void *head, size_t size)
{
	const struct nlmsghdr m = { .nlmsg_type = type, .nlmsg_flags = flags | NLM_F_REQUEST };
	b->n++;
	b->msg = b->buf.len;
	memcpy(str_reserve(&b->buf, sizeof(m)), &m, sizeof(m));
	b->buf.len += sizeof(m);
	nl_append(b, head, size);
}

void nl_put(struct nl_batch *b, uint16_t type, const void *data, size_t n)
{
	const struct nlattr a = { .nla_type = type, .nla_len = NLA_HDRLEN + n };
	assert(n <= UINT16_MAX - NLA_HDRLEN);
	nl_append(b, &a, sizeof(a));
	nl_append(b, data, n);
}

void nl_put_str(struct nl_batch *b, uint16_t type, const char *s)
{
	nl_put(b, type, s, strlen(s) + 1);
}

void nl_put_u8(struct nl_batch *b, uint16_t type, uint8_t v)
{
	nl_put(b, type, &v, sizeof(v));
}

void nl_put_u32(struct nl_batch *b, uint16_t type, uint32_t v)
{
	nl_put(b, type, &v, sizeof(v));
}

void nl_put_be32(struct nl_batch *b, uint16_t type, uint32_t v)
{
	nl_put_u32(b, type, __builtin_bswap32(v));
}

void nl_put_raw(struct nl_batch *b, const void *data, size_t n)
{
	nl_append(b, data, n);
}

size_t nl_nest(struct nl_batch *b, uint16_t type)
{
	const size_t at = b->buf.len;
	nl_put(b, type, NULL, 0);
	return at;
}

void nl_nest_end(struct nl_batch *b, size_t at)
{
	struct nlattr *a = (struct nlattr *)(b->buf.p + at);
	assert(b->buf.len - at <= UINT16_MAX);
	a->nla_len = b->buf.len - at;
}

void nl_batch_clear(struct nl_batch *b)
{
	str_clear(&b->buf);
	b->msg = 0;
	b->n = 0;
}

void nl_batch_done(struct nl_batch *b)
{
	str_done(&b->buf);
	*b = (struct nl_batch){ 0 };
}

const void *nl_data(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}

size_t nl_len(const struct nlattr *a)
{
	return a->nla_len - NLA_HDRLEN;
}

/* The attribute at p when a whole one fits into `left` bytes, else NULL. */
static const struct nlattr *nl_attr_at(const void *p, size_t left)
{
	const struct nlattr *a = p;
	return left >= NLA_HDRLEN && a->nla_len >= NLA_HDRLEN && a->nla_len <= left ? a : NULL;
}

static void nl_attrs_range(const char *p, size_t left, const struct nlattr **tb, unsigned max)
{
	const struct nlattr *a;
	memset(tb, 0, (max + 1) * sizeof(*tb));
	while ((a = nl_attr_at(p, left))) {
		const size_t step = MIN((size_t)NLA_ALIGN(a->nla_len), left);
		const unsigned type = a->nla_type & NLA_TYPE_MASK;
		if (type <= max)
			tb[type] = a;
		p += step;
		left -= step;
	}
}

void nl_attrs(const struct nlmsghdr *m, size_t head_size, const struct nlattr **tb, unsigned max)
{
	const size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(head_size);
	nl_attrs_range((const char *)m + skip, m->nlmsg_len > skip ? m->nlmsg_len - skip : 0, tb, max);
}

void nl_attrs_nested(const struct nlattr *nest, const struct nlattr **tb, unsigned max)
{
	nl_attrs_range(nest ? nl_data(nest) : NULL, nest ? nl_len(nest) : 0, tb, max);
}

const struct nlattr *nl_nest_next(const struct nlattr *nest, const struct nlattr *prev)
{
	const char *start = nl_data(nest), *end = start + nl_len(nest);
	const char *p = prev ? (const char *)prev + NLA_ALIGN(prev->nla_len) : start;
	return p < end ? nl_attr_at(p, end - p) : NULL;
}

uint32_t nl_u32(const struct nlattr *a)
{
	uint32_t v = 0;
	if (a && nl_len(a) >= sizeof(v))
		memcpy(&v, nl_data(a), sizeof(v));
	return v;
}

uint32_t nl_be32(const struct nlattr *a)
{
	return __builtin_bswap32(nl_u32(a));
}

const char *nl_str(const struct nlattr *a)
{
	return a && memchr(nl_data(a), 0, nl_len(a)) ? nl_data(a) : NULL;
}

/* Sets *err from a failed acknowledgement; the kernel's own explanation goes in front of errno's text. */
static int nl_refused(const struct nlmsghdr *m, const struct nlmsgerr *e, struct err *err)
{
	const struct nlattr *tb[NLMSGERR_ATTR_MSG + 1] = { NULL };
	const bool capped = m->nlmsg_flags & NLM_F_CAPPED;
	const size_t skip = sizeof(*e) + (capped || e->msg.nlmsg_len < sizeof(e->msg) ? 0 : e->msg.nlmsg_len - sizeof(e->msg));
	const char *text;
	char quoted[128];
	if (m->nlmsg_flags & NLM_F_ACK_TLVS)
		nl_attrs(m, skip, tb, NLMSGERR_ATTR_MSG);
	text = nl_str(tb[NLMSGERR_ATTR_MSG]);
	if (text && *text)
		return err_sys(err, -e->error, "kernel says \"%s\"", err_quote(quoted, sizeof(quoted), text));
	return err_sys(err, -e->error, "netlink");
}

static int nl_send(struct nl *s, struct nl_batch *b, struct err *err)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	ssize_t sent;
	if (b->buf.len > NL_MAX_BATCH)
		return err_set(err, ERR_INVALID, "netlink batch of %zu bytes is too large", b->buf.len);
	do
		sent = sendto(s->fd, b->buf.p, b->buf.len, 0, (struct sockaddr *)&sa, sizeof(sa));
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? err_sys(err, errno, "send to netlink") : 0;
}

/* One datagram of the kernel's. Returns its length; 0 when nothing waits (flags has MSG_DONTWAIT); -1 + err. */
static ssize_t nl_recv(struct nl *s, void *buf, int flags, struct err *err)
{
	for (;;) {
		struct sockaddr_nl from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t got = recvfrom(s->fd, buf, NL_RECV_SIZE, flags | MSG_TRUNC, (struct sockaddr *)&from, &from_len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN && (flags & MSG_DONTWAIT))
			return 0;
		if (got < 0)
			return err_sys(err, errno, "receive from netlink");
		if (from.nl_pid)
			continue; /* not the kernel */
		if (got > NL_RECV_SIZE)
			return err_set(err, ERR_SYS, "netlink answer of %zd bytes is too large", got);
		return got;
	}
}

/* Consecutive numbers for the messages of a batch; returns the first. Given when it is sent: requests may have gone in between. */
static uint32_t nl_number(struct nl *s, struct nl_batch *b)
{
	const uint32_t first = s->seq + 1;
	for (size_t at = 0; at < b->buf.len;) {
		struct nlmsghdr *m = (void *)(b->buf.p + at);
		m->nlmsg_seq = ++s->seq;
		at += NLMSG_ALIGN(m->nlmsg_len);
	}
	return first;
}

int nl_talk(struct nl *s, struct nl_batch *b, unsigned *ret_failed, struct err *err)
{
	_Alignas(struct nlmsghdr) char buf[NL_RECV_SIZE];
	const uint32_t first = nl_number(s, b);
	const bool want_last = b->n && (nl_header(b)->nlmsg_flags & NLM_F_ACK);
	bool failed = false, answered = false;
	ssize_t got = 0;
	int rc = b->n ? nl_send(s, b, err) : 0;
	const unsigned n = b->n;
	nl_batch_clear(b);
	if (rc < 0 || !n)
		return rc;
	while ((got = nl_recv(s, buf, MSG_DONTWAIT, err)) > 0) {
		unsigned left = got;
		for (const struct nlmsghdr *m = (void *)buf; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
			const struct nlmsgerr *e = NLMSG_DATA(m);
			if (m->nlmsg_type != NLMSG_ERROR || NLMSG_PAYLOAD(m, 0) < sizeof(*e) || m->nlmsg_seq - first >= n)
				continue;
			answered |= m->nlmsg_seq - first == n - 1;
			if (!e->error || failed)
				continue;
			failed = true;
			nl_refused(m, e, err);
			if (ret_failed)
				*ret_failed = m->nlmsg_seq - first;
		}
	}
	if (got < 0)
		return -1;
	if (!failed && want_last && !answered)
		return err_set(err, ERR_SYS, "netlink: no answer");
	return failed ? -1 : 0;
}

/* Reads one dump or answer to its end. Returns 0; 1 when the dump was interrupted by a change; -1 + err. */
static int nl_ask_read(struct nl *s, uint32_t seq, nl_answer_fn *fn, void *arg, struct err *err)
{
	_Alignas(struct nlmsghdr) char buf[NL_RECV_SIZE];
	bool interrupted = false, stopped = false;
	for (;;) {
		ssize_t got = nl_recv(s, buf, 0, err);
		unsigned left = got;
		if (got <= 0)
			return -1;
		for (const struct nlmsghdr *m = (void *)buf; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
			const struct nlmsgerr *e = NLMSG_DATA(m);
			const bool has_error = NLMSG_PAYLOAD(m, 0) >= sizeof(int);
			if (m->nlmsg_seq != seq)
				continue;
			interrupted |= !!(m->nlmsg_flags & NLM_F_DUMP_INTR);
			if (m->nlmsg_type == NLMSG_ERROR && has_error && e->error)
				return stopped ? -1 : nl_refused(m, e, err);
			if (m->nlmsg_type == NLMSG_DONE && has_error && e->error < 0 && !stopped)
				return err_sys(err, -e->error, "netlink dump");
			if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR)
				return stopped ? -1 : interrupted;
			if (m->nlmsg_type >= NLMSG_MIN_TYPE && !stopped)
				stopped = fn(arg, m, err) < 0;
		}
	}
}

int nl_ask(struct nl *s, struct nl_batch *b, nl_answer_fn *fn, void *arg, struct err *err)
{
	struct nlmsghdr *m = nl_header(b);
	int rc = -1;
	assert(b->n == 1);
	if ((m->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		m->nlmsg_flags |= NLM_F_ACK; /* so that the answer has an end */
	for (int i = 0; i < NL_DUMP_TRIES; i++) {
		m->nlmsg_seq = ++s->seq;
		rc = nl_send(s, b, err);
		if (rc == 0)
			rc = nl_ask_read(s, m->nlmsg_seq, fn, arg, err);
		if (rc <= 0)
			break;
		if (fn(arg, NULL, err) < 0) {
			rc = -1;
			break;
		}
	}
	nl_batch_clear(b);
	return rc > 0 ? err_set(err, ERR_SYS, "netlink dump: it kept changing") : rc;
}
