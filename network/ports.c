/* SPDX-License-Identifier: Apache-2.0 */
/* Port reservations. A bound TCP socket is exclusive only once it listens (two that reuse the address may both bind), so it does; the
 * filter that drops everything is attached before it is bound, so that no connection is ever answered by it in the moment before the
 * DNAT element exists. UDP sockets are bound without address reuse, which is exclusive by itself. */
#include "network/ports.h"

#include <netinet/in.h> /* before linux/in.h, which then stands back */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/fs.h"

enum { PORTS_MAX_TABLE = 64 << 20, PORTS_BACKLOG = 1, PORTS_TCP_LISTEN = 0x0a, PORTS_MAX_FLUSH = 1 << 16 };

static const char *const ports_protocol_names[] = { [PORT_TCP] = "tcp", [PORT_UDP] = "udp" };
static_assert(ARRAY_SIZE(ports_protocol_names) == PORT_PROTOCOL_N_, "a name for every protocol");

const char *ports_protocol_name(enum port_protocol protocol)
{
	return ports_protocol_names[protocol];
}

static int ports_drop_all(int fd)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	const struct sock_fprog prog = { .len = ARRAY_SIZE(code), .filter = code };
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/* Tries one port (0: the kernel's choice). Returns the socket, or -errno. */
static int ports_try(uint32_t host_ip, uint16_t port, enum port_protocol protocol)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(host_ip) }, .sin_port = htons(port) };
	const int on = 1;
	const bool tcp = protocol == PORT_TCP;
	AUTO_CLOSE int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || ports_drop_all(fd) < 0 || (tcp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
	    bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 || (tcp && listen(fd, PORTS_BACKLOG) < 0))
		return -errno;
	return TAKE_FD(fd);
}

static int ports_conflict(uint32_t host_ip, uint16_t lo, uint16_t hi, enum port_protocol protocol, struct err *err)
{
	struct ports_holder h;
	char ip[16];
	net_ip_text(host_ip, ip);
	if (lo != hi)
		return err_set(err, ERR_CONFLICT, "%s:%u-%u/%s: every port of the range is already allocated", ip, lo, hi,
			       ports_protocol_name(protocol));
	if (!ports_find_holder(host_ip, lo, protocol, &h) || !h.pid)
		return err_set(err, ERR_CONFLICT, "%s:%u/%s: port is already allocated", ip, lo, ports_protocol_name(protocol));
	return err_set(err, ERR_CONFLICT, "%s:%u/%s: port is already allocated (held by %s, pid %d)", ip, lo, ports_protocol_name(protocol),
		       h.name, (int)h.pid);
}

int ports_reserve(uint32_t host_ip, uint16_t lo, uint16_t hi, enum port_protocol protocol, int *ret_fd, uint16_t *ret_port,
		  struct err *err)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	AUTO_CLOSE int fd = -1;
	char ip[16];
	int rc = -EADDRINUSE;
	if (hi < lo || (!lo && hi))
		return err_set(err, ERR_INVALID, "port range %u-%u", lo, hi);
	for (uint32_t port = lo; port <= hi && rc == -EADDRINUSE; port++)
		rc = ports_try(host_ip, port, protocol);
	if (rc == -EADDRINUSE)
		return ports_conflict(host_ip, lo, hi, protocol, err);
	if (rc == -EADDRNOTAVAIL)
		return err_set(err, ERR_NOT_FOUND, "%s is no address of this machine", net_ip_text(host_ip, ip));
	if (rc < 0)
		return err_sys(err, -rc, "reserve %s:%u/%s", net_ip_text(host_ip, ip), lo, ports_protocol_name(protocol));
	fd = rc;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return err_sys(err, errno, "getsockname");
	*ret_port = ntohs(sa.sin_port);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* As ports_try(). */
static int ports_try6(const struct in6_addr *host_ip, uint16_t port, enum port_protocol protocol)
{
	const struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_addr = *host_ip, .sin6_port = htons(port) };
	const int on = 1;
	const bool tcp = protocol == PORT_TCP;
	AUTO_CLOSE int fd = socket(AF_INET6, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0 ||
	    (tcp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) || bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    (tcp && listen(fd, SOMAXCONN) < 0))
		return -errno;
	return TAKE_FD(fd);
}

int ports_listen6(const struct in6_addr *host_ip, uint16_t lo, uint16_t hi, enum port_protocol protocol, int *ret_fd, uint16_t *ret_port,
		  struct err *err)
{
	struct sockaddr_in6 sa;
	socklen_t len = sizeof(sa);
	AUTO_CLOSE int fd = -1;
	char ip[INET6_ADDRSTRLEN];
	int rc = -EADDRINUSE;
	inet_ntop(AF_INET6, host_ip, ip, sizeof(ip));
	if (hi < lo || (!lo && hi))
		return err_set(err, ERR_INVALID, "port range %u-%u", lo, hi);
	for (uint32_t port = lo; port <= hi && rc == -EADDRINUSE; port++)
		rc = ports_try6(host_ip, port, protocol);
	if (rc == -EAFNOSUPPORT)
		return 1;
	if (rc == -EADDRINUSE)
		return err_set(err, ERR_CONFLICT, "[%s]:%u/%s: port is already allocated", ip, lo, ports_protocol_name(protocol));
	if (rc == -EADDRNOTAVAIL)
		return err_set(err, ERR_NOT_FOUND, "%s is no address of this machine", ip);
	if (rc < 0)
		return err_sys(err, -rc, "listen on [%s]:%u/%s", ip, lo, ports_protocol_name(protocol));
	fd = rc;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return err_sys(err, errno, "getsockname");
	*ret_port = ntohs(sa.sin6_port);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* The inode in one line of /proc/net/{tcp,udp}{,6} when it holds the port on an overlapping address; 0 when not. */
static uint64_t ports_line_inode(const char *line, uint32_t host_ip, uint16_t port, bool tcp, bool v6)
{
	char local[33];
	unsigned local_port, state;
	unsigned long long inode;
	uint32_t ip = 0;
	if (sscanf(line, " %*d: %32[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %llu", local, &local_port, &state,
		   &inode) != 4 || local_port != port || (tcp && state != PORTS_TCP_LISTEN))
		return 0;
	if (v6)
		return strspn(local, "0") == 32 ? inode : 0; /* [::] holds IPv4 too, unless it is IPv6 only */
	ip = ntohl(strtoul(local, NULL, 16));
	return !ip || !host_ip || ip == host_ip ? inode : 0;
}

static uint64_t ports_find_inode(const char *file, uint32_t host_ip, uint16_t port, bool tcp, bool v6)
{
	AUTO_STR struct str text = { 0 };
	struct err ignored;
	char *save = NULL;
	if (fs_read(AT_FDCWD, file, PORTS_MAX_TABLE, &text, &ignored) || !text.len)
		return 0;
	for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const uint64_t inode = ports_line_inode(line, host_ip, port, tcp, v6);
		if (inode)
			return inode;
	}
	return 0;
}

struct ports_search {
	char link[32];  /* "socket:[inode]" */
	int proc_fd;
	pid_t pid;
};

static int ports_check_fd(void *arg, const char *name)
{
	struct ports_search *s = arg;
	char path[64], target[32];
	ssize_t n;
	if ((size_t)snprintf(path, sizeof(path), "%d/fd/%s", (int)s->pid, name) >= sizeof(path))
		return 0;
	n = readlinkat(s->proc_fd, path, target, sizeof(target) - 1);
	if (n < 0)
		return 0;
	target[n] = '\0';
	return str_eq(target, s->link);
}

static int ports_check_pid(void *arg, const char *name)
{
	struct ports_search *s = arg;
	struct err ignored;
	uint64_t pid;
	char path[32];
	if (!parse_u64(name, 1, INT32_MAX, &pid))
		return 0;
	s->pid = pid;
	snprintf(path, sizeof(path), "%d/fd", (int)s->pid);
	return fs_each(s->proc_fd, path, ports_check_fd, s, &ignored) == 1;
}

bool ports_find_holder(uint32_t host_ip, uint16_t port, enum port_protocol protocol, struct ports_holder *ret)
{
	const bool tcp = protocol == PORT_TCP;
	struct ports_search s = { .proc_fd = -1 };
	AUTO_CLOSE int proc_fd = -1;
	AUTO_STR struct str comm = { 0 };
	struct err ignored;
	char path[32];
	uint64_t inode = ports_find_inode(tcp ? "/proc/net/tcp" : "/proc/net/udp", host_ip, port, tcp, false);
	*ret = (struct ports_holder){ 0 };
	if (!inode)
		inode = ports_find_inode(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", host_ip, port, tcp, true);
	if (!inode)
		return false;
	snprintf(s.link, sizeof(s.link), "socket:[%llu]", (unsigned long long)inode);
	proc_fd = s.proc_fd = fs_open_dir(AT_FDCWD, "/proc", &ignored);
	if (proc_fd < 0 || fs_each(proc_fd, ".", ports_check_pid, &s, &ignored) != 1)
		return true;
	ret->pid = s.pid;
	snprintf(path, sizeof(path), "%d/comm", (int)s.pid);
	if (fs_read(proc_fd, path, 64, &comm, &ignored) == 0 && comm.len) {
		comm.p[strcspn(comm.p, "\n")] = '\0';
		err_quote(ret->name, sizeof(ret->name), comm.p);
	}
	return true;
}

/* Connection entries that a published UDP port makes stale: their original destination, and the attributes that name each for
 * deletion. */
struct ports_flush {
	uint32_t host_ip;
	uint16_t port;
	struct nl *nf;
	struct nl_batch deletions;
};

/* Destination of a tuple attribute; false when it is not UDP over IPv4. */
static bool ports_tuple_dst(const struct nlattr *tuple, uint32_t *ret_ip, uint16_t *ret_port)
{
	const struct nlattr *tb[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];
	uint16_t port;
	nl_attrs_nested(tuple, tb, CTA_TUPLE_MAX);
	nl_attrs_nested(tb[CTA_TUPLE_IP], ip, CTA_IP_MAX);
	nl_attrs_nested(tb[CTA_TUPLE_PROTO], proto, CTA_PROTO_MAX);
	if (!ip[CTA_IP_V4_DST] || !proto[CTA_PROTO_NUM] || !proto[CTA_PROTO_DST_PORT] || nl_len(proto[CTA_PROTO_NUM]) < 1 ||
	    nl_len(proto[CTA_PROTO_DST_PORT]) < sizeof(port) || *(const uint8_t *)nl_data(proto[CTA_PROTO_NUM]) != IPPROTO_UDP)
		return false;
	*ret_ip = nl_be32(ip[CTA_IP_V4_DST]);
	memcpy(&port, nl_data(proto[CTA_PROTO_DST_PORT]), sizeof(port));
	*ret_port = ntohs(port);
	return true;
}

static int ports_got_entry(void *arg, const struct nlmsghdr *m, struct err *err)
{
	const struct nfgenmsg g = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
	struct ports_flush *f = arg;
	const struct nlattr *tb[CTA_ZONE + 1];
	uint32_t ip;
	uint16_t port;
	(void)err;
	if (!m) {
		nl_batch_clear(&f->deletions);
		return 0;
	}
	nl_attrs(m, sizeof(g), tb, CTA_ZONE);
	if (!tb[CTA_TUPLE_ORIG] || !tb[CTA_ID] || !ports_tuple_dst(tb[CTA_TUPLE_ORIG], &ip, &port) || port != f->port ||
	    (f->host_ip && ip != f->host_ip) || f->deletions.n >= PORTS_MAX_FLUSH)
		return 0;
	nl_msg(&f->deletions, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, NLM_F_ACK, &g, sizeof(g));
	nl_put(&f->deletions, CTA_TUPLE_ORIG | NLA_F_NESTED, nl_data(tb[CTA_TUPLE_ORIG]), nl_len(tb[CTA_TUPLE_ORIG]));
	nl_put(&f->deletions, CTA_ID, nl_data(tb[CTA_ID]), nl_len(tb[CTA_ID]));
	if (tb[CTA_ZONE])
		nl_put(&f->deletions, CTA_ZONE, nl_data(tb[CTA_ZONE]), nl_len(tb[CTA_ZONE]));
	return 0;
}

/* Asks for UDP entries with this original destination port only (CTA_FILTER, 5.8); a kernel that does not know it sends all. */
static void ports_put_filter(struct nl_batch *b, uint16_t host_port)
{
	const uint16_t port = htons(host_port);
	size_t tuple = nl_nest(b, CTA_TUPLE_ORIG | NLA_F_NESTED), proto = nl_nest(b, CTA_TUPLE_PROTO | NLA_F_NESTED), filter;
	nl_put_u8(b, CTA_PROTO_NUM, IPPROTO_UDP);
	nl_put(b, CTA_PROTO_DST_PORT, &port, sizeof(port));
	nl_nest_end(b, proto);
	nl_nest_end(b, tuple);
	filter = nl_nest(b, CTA_FILTER | NLA_F_NESTED);
	nl_put_u32(b, CTA_FILTER_ORIG_FLAGS, 1 << 3 | 1 << 5); /* CTA_PROTO_NUM and CTA_PROTO_DST_PORT, numbered as the kernel's filter does */
	nl_put_u32(b, CTA_FILTER_REPLY_FLAGS, 0);
	nl_nest_end(b, filter);
}

int ports_flush_udp(struct net *n, uint32_t host_ip, uint16_t host_port, struct err *err)
{
	const struct nfgenmsg g = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
	AUTO_BATCH struct nl_batch b = { 0 };
	struct ports_flush f = { .host_ip = host_ip, .port = host_port, .nf = &n->nf };
	int rc = -1;
	nl_msg(&b, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, NLM_F_DUMP, &g, sizeof(g));
	ports_put_filter(&b, host_port);
	if (nl_ask(&n->nf, &b, ports_got_entry, &f, err) == 0) {
		struct err got = { 0 };
		rc = nl_talk(&n->nf, &f.deletions, NULL, &got);
		if (rc < 0 && got.sys == ENOENT)
			rc = 0; /* it expired by itself */
		else if (rc < 0)
			*err = got;
	}
	nl_batch_done(&f.deletions);
	return rc < 0 ? err_wrap(err, "forget udp connections to port %u", host_port) : 0;
}
