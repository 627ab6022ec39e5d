/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel has now: links, IPv4 addresses and routes as plain arrays (malloc'd, free() them). Dumps, so a change while reading
 * is noticed and the dump done again. */
#ifndef NETWORK_SCAN_H
#define NETWORK_SCAN_H

#include "network/ipam.h"
#include "network/net.h"

struct scan_link {
	unsigned ifindex, master, mtu;
	unsigned flags;                   /* IFF_* */
	char name[NET_IFNAME_SIZE];
	char alias[NET_ALIAS_SIZE];       /* "" when none */
	char kind[16];                    /* "bridge", "veth" …; "" for hardware */
	uint8_t mac[6];
};

struct scan_addr {
	unsigned ifindex, prefix_len;
	uint32_t ip;
};

struct scan_route {
	struct ipam_subnet dst;           /* prefix_len 0: a default route */
	unsigned oif;                     /* 0: none, or several next hops (one entry each then) */
	unsigned table;                   /* RT_TABLE_* or a policy table */
	uint8_t type;                     /* RTN_* */
};

/* kind NULL: every link. */
int scan_links(struct net *n, const char *kind, struct scan_link **ret, size_t *ret_n, struct err *err);
/* One link by name, on any NETLINK_ROUTE socket. Returns 0; 1 when there is none; -1 + err. */
int scan_link_by_name(struct nl *rt, const char *name, struct scan_link *ret, struct err *err);
int scan_addrs(struct net *n, struct scan_addr **ret, size_t *ret_n, struct err *err);
/* Unicast and other routes of all tables but `local`. */
int scan_routes(struct net *n, struct scan_route **ret, size_t *ret_n, struct err *err);

#endif
