/* SPDX-License-Identifier: Apache-2.0 */
/* Work in a container's network namespace from the single-threaded supervisor: one trip (setns, sockets, setns back), after which the
 * sockets act there for ever. A trip that cannot come home aborts the process: going on in a stranger's namespace would be worse. The
 * DNS sockets of a container sit at 127.0.0.11:35353; a small stateless nft table in its namespace rewrites port 53, so that an image
 * which itself serves 0.0.0.0:53 still starts. */
#ifndef NETWORK_NETNS_H
#define NETWORK_NETNS_H

#include "network/net.h"

enum { NETNS_DNS_IP = 0x7f00000b /* 127.0.0.11 */, NETNS_DNS_PORT = 35353 };

struct netns {
	int fd;                 /* the namespace, not owned */
	struct nl rt;           /* NETLINK_ROUTE inside it */
	struct nl nf;           /* NETLINK_NETFILTER inside it; open only when asked for */
	int dns_udp, dns_tcp;   /* -1 until netns_take_dns() wants them or when not asked for */
};

enum netns_want {
	NETNS_WANT_DNS = 1,     /* bring lo up and bind the DNS sockets (once per namespace: a second bind is EADDRINUSE; keep the descriptors) */
	NETNS_WANT_IPV6 = 2,    /* leave IPv6 on for links that are made later */
};

/* Enters netns_fd, opens what is wanted, comes back to n->ns_fd. -1 + err. netns_close() closes all but what was taken. */
int netns_open(struct netns *ns, const struct net *n, int netns_fd, unsigned want, struct err *err);
void netns_close(struct netns *ns);

/* For a process that is to live there: makes a namespace and moves into it. *ret_out is like n, a way to talk to the namespace it leaves, with a socket of
 * this process (a parent's may not be shared). ns->fd is owned, too: netns_made_close() closes both. -1 + err. */
int netns_make(struct netns *ns, const struct net *n, struct net *ret_out, unsigned want, struct err *err);
void netns_made_close(struct netns *ns, struct net *out);

/* Brings lo up. attach_links() does it too; for containers without a network (network_mode: none). */
int netns_lo_up(struct netns *ns, struct err *err);

/* Loads the table that turns 127.0.0.11:53 into the sockets' port and hands both sockets over (non-blocking, the TCP one listens).
 * ns was opened with NETNS_WANT_DNS. ERR_UNSUPPORTED when the kernel has no nf_tables. */
int netns_take_dns(struct netns *ns, int *ret_udp_fd, int *ret_tcp_fd, struct err *err);

#endif
