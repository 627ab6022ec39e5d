/* SPDX-License-Identifier: Apache-2.0 */
/* The host's packet rules: one table `inet muster_<rootid>` whose rules are constant; bridges, subnets and published ports are
 * elements of its sets and maps, changed in atomic transactions (some 5 µs an element) and tagged with their owner. The table is
 * shared by all projects of a root: nobody flushes it, each adds and removes its own elements. What it does: published ports (DNAT)
 * from outside, from the host (127.0.0.1 too), from other containers and from the container itself; masquerade on egress; no way
 * between networks or from outside to what is not published; nothing at all out of or into internal networks. */
#ifndef NETWORK_NFT_H
#define NETWORK_NFT_H

#include "network/ipam.h"
#include "network/net.h"
#include "spec/model.h"

enum { NFT_OWNER_MAX = 200 };

struct nft_network {
	char bridge[NET_IFNAME_SIZE];
	struct ipam_subnet subnet;
	bool internal;
	char owner[NFT_OWNER_MAX + 1];      /* project, or project/anything */
};

struct nft_port {
	uint32_t host_ip;                   /* 0: every local address */
	uint16_t host_port;
	enum port_protocol protocol;
	uint32_t ip;                        /* the container's address, on a network that is not internal */
	uint16_t port;
	char owner[NFT_OWNER_MAX + 1];      /* project/container id, so that observe can tell whose it is */
};

/* One transaction: removals first, then additions; all or nothing. Removing what is not there and adding what is there already are
 * fine; adding a host port that leads elsewhere replaces it (the owner of one that leads to the same place stays). Arrays may be NULL
 * when their count is 0. */
struct nft_change {
	const struct nft_network *del_networks, *add_networks;   /* del: only the bridge is looked at; all that the table has of it goes */
	size_t n_del_networks, n_add_networks;
	const struct nft_port *del_ports, *add_ports;   /* del: host_ip, host_port, protocol are looked at */
	size_t n_del_ports, n_add_ports;
};

/* What the table holds now; arrays malloc'd, nft_state_done() frees them. */
struct nft_state {
	struct nft_network *networks;
	size_t n_networks;
	struct nft_port *ports;
	size_t n_ports;
};

/* Makes the table, its sets, chains and rules be there as this version wants them; right ones are left alone, elements are kept. Costs a
 * dump (0.1 ms) when all is right. ERR_UNSUPPORTED when the kernel has no nf_tables. */
int nft_ensure(struct net *n, struct err *err);
/* Applies one change; makes the table first when it is not there. */
int nft_apply(struct net *n, const struct nft_change *change, struct err *err);
/* Lists elements (both state arrays empty when the table is not there). owner: NULL for all, else only "owner" and "owner/…". */
int nft_list(struct net *n, const char *owner, struct nft_state *ret, struct err *err);
void nft_state_done(struct nft_state *s);
/* Deletes the table when no network is left in it (also safe against another project adding one meanwhile).
 * 0: it is gone (or was); 1: still in use; -1 + err. Up to 15 ms. */
int nft_release(struct net *n, struct err *err);

#endif
