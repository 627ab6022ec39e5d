/* SPDX-License-Identifier: Apache-2.0 */
/* The network context of one state root in one network namespace: the two netlink sockets that live as long as the process and the
 * root's id, which is part of every name that we leave in the kernel (two roots on one machine never meet).
 * All of network/ works in the namespace in which net_open() was called, whatever that is; container namespaces come as descriptors.
 * IPv4 addresses are uint32_t in host byte order everywhere in network/: arithmetic on them is plain, only the wire turns them. */
#ifndef NETWORK_NET_H
#define NETWORK_NET_H

#include "base/err.h"
#include "network/nl.h"

enum { NET_ROOTID_LEN = 8, NET_IFNAME_SIZE = 16, NET_ALIAS_SIZE = 256 };

struct net {
	char rootid[NET_ROOTID_LEN + 1];
	int ns_fd;        /* the namespace net_open() was called in; where netns_* come back to */
	struct nl rt;     /* NETLINK_ROUTE */
	struct nl nf;     /* NETLINK_NETFILTER */
	bool has_ipv6;    /* the kernel knows IPv6 at all */
};

/* Opens both sockets in the calling thread's network namespace. rootid: exactly 8 lower-case hexadecimal digits.
 * A zeroed or failed struct net may be closed. -1 + err. */
int net_open(struct net *n, const char *rootid, struct err *err);
void net_close(struct net *n);

/* Smallest MTU of the links that a default route (any table, IPv4) leaves by; 1500 when there is none. Never below 576. -1 + err. */
int net_default_mtu(struct net *n, unsigned *ret_mtu, struct err *err);

/* Sockets that become readable when links, addresses or nf_tables change in this namespace; close-on-exec, non-blocking, caller owns
 * them. */
int net_watch_open(int *ret_rtnl_fd, int *ret_nfnl_fd, struct err *err);
/* Reads everything that waits on a socket of net_watch_open(). Returns 1 when it may concern this root (a link `mu…`, `mv…` or one of unknown
 * name, an address, forwarding, the table of this root, chains of others, or events were lost), 0 when not; never blocks. */
int net_watch_drain(const struct net *n, int fd);

/* Writes one value below /proc/sys/net of the calling thread's namespace (path: "ipv4/ip_forward"). Returns 0; 1 when there is no such
 * sysctl; -1 + err. */
int net_sysctl_write(const char *path, const char *value, struct err *err);

/* "a.b.c.d" in buf; returns buf. */
char *net_ip_text(uint32_t ip, char buf[static 16]);
/* Parses exactly "a.b.c.d" (no leading zeros, no spaces); false on anything else. */
bool net_ip_parse(const char *text, uint32_t *ret_ip);

#endif
