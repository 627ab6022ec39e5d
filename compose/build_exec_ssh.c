/* SPDX-License-Identifier: Apache-2.0 */
/* RUN --mount=type=ssh: a socket that is the step's own, with the owner and mode it asked for, and behind it the user's agent. Only two questions
 * of the agent protocol (draft-ietf-sshm-ssh-agent) get through, "which keys are there" and "sign this": a step cannot add, remove or lock
 * keys. Questions are passed one at a time, whole; everything else is answered by a failure. */
#include "compose/build_exec.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fs.h"

enum { MAX_FRAME = 256 << 10, MAX_UNREAD = 2 * MAX_FRAME, MAX_CONNECTIONS = 64, AGENT_FAILURE = 5, AGENT_LIST = 11, AGENT_SIGN = 13, HEADER = 4, SIDES = 2 };

struct ssh_side {              /* 0: the step; 1: the agent */
	struct loop_source source;
	struct ssh_connection *connection;
	int fd;
	struct str in, out;        /* what came and is not passed on; what is to be written */
};

struct ssh_connection {
	struct ssh_connection *next;
	struct ssh_proxy *proxy;
	struct ssh_side side[SIDES];
	bool asked;                /* the agent owes an answer */
};

struct ssh_proxy {
	struct ssh_proxy *next;
	struct step *step;
	struct loop_source source;
	int fd, agent_fd;          /* listens; borrowed */
	char name[32];
	struct ssh_connection *connections;
	size_t n_connections;
};

static void connection_free(struct ssh_connection *c)
{
	struct ssh_connection **p = &c->proxy->connections;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	c->proxy->n_connections--;
	for (int i = 0; i < SIDES; i++) {
		loop_remove(&c->side[i].source);
		util_close(&c->side[i].fd);
		str_done(&c->side[i].in);
		str_done(&c->side[i].out);
	}
	free(c);
}

/* Length of the whole frame at the start of text; 0: not all of it is there; -1: too long to be one. */
static ssize_t frame_length(const struct str *text)
{
	const unsigned char *p = (const unsigned char *)text->p;
	size_t n;
	if (text->len < HEADER)
		return 0;
	n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	if (n < 1 || n > MAX_FRAME)
		return -1;
	return text->len >= HEADER + n ? (ssize_t)(HEADER + n) : 0;
}

static void move_frame(struct str *from, struct str *to, size_t n)
{
	if (to)
		str_addn(to, from->p, n);
	from->len -= n;
	memmove(from->p, from->p + n, from->len);
}

/* Passes on what is whole. False: the connection makes no sense, or one asks and asks and does not listen. */
static bool pass(struct ssh_connection *c)
{
	static const char failure[] = { 0, 0, 0, 1, AGENT_FAILURE };
	struct ssh_side *step = &c->side[0], *agent = &c->side[1];
	ssize_t n = frame_length(&agent->in);
	if (n > 0) {
		move_frame(&agent->in, &step->out, (size_t)n);
		c->asked = false;
	}
	while (n >= 0 && !c->asked && (n = frame_length(&step->in)) > 0) {
		unsigned char type = (unsigned char)step->in.p[HEADER];
		c->asked = type == AGENT_LIST || type == AGENT_SIGN;
		move_frame(&step->in, c->asked ? &agent->out : NULL, (size_t)n);
		if (!c->asked)
			str_addn(&step->out, failure, sizeof(failure));
	}
	return n >= 0 && step->out.len <= MAX_UNREAD;
}

static bool flush(struct ssh_side *s)
{
	struct err ignored;
	while (s->out.len) {
		ssize_t n = send(s->fd, s->out.p, s->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			return false;
		move_frame(&s->out, NULL, (size_t)n);
	}
	return loop_change(&s->source, EPOLLIN | (s->out.len ? EPOLLOUT : 0), &ignored) == 0;
}

static void side_ready(struct loop_source *src, uint32_t events)
{
	struct ssh_side *s = CONTAINER_OF(src, struct ssh_side, source);
	struct ssh_connection *c = s->connection;
	bool good = true;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		ssize_t n = recv(s->fd, str_reserve(&s->in, 16384), 16384, MSG_DONTWAIT);
		if (n > 0)
			s->in.len += (size_t)n;
		good = (n > 0 || (n < 0 && errno == EAGAIN)) && s->in.len <= MAX_UNREAD;
	}
	if (!good || !pass(c) || !flush(&c->side[0]) || !flush(&c->side[1]))
		connection_free(c);
}

/* A connection to the agent, by the descriptor of its socket. */
static int connect_agent(int agent_fd)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[32];
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", fs_fd_path(agent_fd, path));
	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	return TAKE_FD(fd);
}

static void proxy_accept(struct loop_source *src, uint32_t events)
{
	struct ssh_proxy *p = CONTAINER_OF(src, struct ssh_proxy, source);
	AUTO_CLOSE int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	AUTO_CLOSE int agent = fd < 0 || p->n_connections >= MAX_CONNECTIONS ? -1 : connect_agent(p->agent_fd);
	struct ssh_connection *c;
	struct err err;
	(void)events;
	if (agent < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	*c = (struct ssh_connection){ .next = p->connections, .proxy = p };
	p->connections = c;
	p->n_connections++;
	c->side[0] = (struct ssh_side){ .connection = c, .fd = TAKE_FD(fd) };
	c->side[1] = (struct ssh_side){ .connection = c, .fd = TAKE_FD(agent) };
	for (int i = 0; i < SIDES; i++)
		if (loop_add(&p->step->exec->loop, &c->side[i].source, c->side[i].fd, EPOLLIN, side_ready, &err) < 0) {
			connection_free(c);
			return;
		}
}

int step_ssh_open(struct step *s, int agent_fd, unsigned mode, uid_t uid, gid_t gid, int *ret_fd, struct err *err)
{
	struct ssh_proxy *p = xcalloc(1, sizeof(*p));
	size_t n = 0;
	int dir_fd = s->exec->session.fd;
	for (const struct ssh_proxy *o = s->proxies; o; o = o->next)
		n++;
	*p = (struct ssh_proxy){ .next = s->proxies, .step = s, .agent_fd = agent_fd };
	s->proxies = p;
	snprintf(p->name, sizeof(p->name), "%s.ssh%zu", s->name, n);
	p->fd = sock_listen(dir_fd, p->name, SOCK_STREAM, err);
	if (p->fd < 0)
		return -1;
	if (fchownat(dir_fd, p->name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 || fchmodat(dir_fd, p->name, mode & 0777, 0) < 0)
		return err_sys(err, errno, "set owner and mode of the agent's socket");
	*ret_fd = openat(dir_fd, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (*ret_fd < 0)
		return err_sys(err, errno, "open the agent's socket");
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
	return loop_add(&s->exec->loop, &p->source, p->fd, EPOLLIN, proxy_accept, err);
}

void step_ssh_done(struct step *s)
{
	while (s->proxies) {
		struct ssh_proxy *p = s->proxies;
		s->proxies = p->next;
		while (p->connections)
			connection_free(p->connections);
		loop_remove(&p->source);
		util_close(&p->fd);
		unlinkat(s->exec->session.fd, p->name, 0);
		free(p);
	}
}
