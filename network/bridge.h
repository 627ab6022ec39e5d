/* SPDX-License-Identifier: Apache-2.0 */
/* One bridge per network: name `mu<12 hex digits>` of a hash, alias `rootid/project/network`, gateway address, and nothing else to
 * remember: name, alias and address in the kernel are the only record, so that there is none to get out of step. Two bridges accept
 * the same subnet silently; the subnet is therefore claimed by adding it and looking again. */
#ifndef NETWORK_BRIDGE_H
#define NETWORK_BRIDGE_H

#include "network/ipam.h"
#include "network/net.h"

struct bridge_spec {
	const char *project, *network;      /* no '/' in either */
	struct ipam_subnet subnet;          /* prefix_len 0: pick one from the pool */
	uint32_t gateway;                   /* our address, with a subnet: 0 is its first */
	const struct ipam_pool *pool;       /* NULL: ipam_pool_default, then 172.16.0.0/12, 192.168.0.0/16 */
	const uint32_t *avoid;              /* addresses no picked subnet may hold (nameservers of resolv.conf) */
	size_t n_avoid;
	unsigned mtu;                       /* 0: net_default_mtu() */
};

struct bridge {
	char name[NET_IFNAME_SIZE];
	char alias[NET_ALIAS_SIZE];         /* rootid/project/network */
	unsigned ifindex;
	unsigned mtu;
	struct ipam_subnet subnet;          /* prefix_len 0: it has lost its address (bridge_ensure() mends it) */
	uint32_t gateway;                   /* our address on it */
	bool up;
};

/* The interface name of a network; 14 characters and NUL. */
void bridge_name(const char *rootid, const char *project, const char *network, char ret[static NET_IFNAME_SIZE]);

/* Makes the network's bridge be there, complete and up: creates it, or adopts and mends the one with our alias (address lost, down).
 * An existing bridge keeps its subnet when spec->subnet is unset. One that has another subnet or MTU than asked: ERR_CONFLICT.
 * spec->subnet that overlaps something of the machine: ERR_CONFLICT, naming it. No IPv6 on it, stp off, no forward delay, fixed MAC,
 * route_localnet on (published ports answer on 127.0.0.1). About 0.4 ms. Does not touch nft: see nft_apply(). */
int bridge_ensure(struct net *n, const struct bridge_spec *spec, struct bridge *ret, struct err *err);

/* Deletes it; absent is success. What is on it is only let go; see attach_sweep().
 * 20-60 ms (the kernel waits for RCU): not from an event loop. */
int bridge_delete(struct net *n, const char *name, struct err *err);

/* This root's bridges, of one project or (NULL) of all, into a malloc'd array: free() it. */
int bridge_list(struct net *n, const char *project, struct bridge **ret, size_t *ret_n, struct err *err);

#endif
