/* SPDX-License-Identifier: Apache-2.0 */
/* Subnets and addresses, pure arithmetic: which subnet a network gets, which address a container. What is in use on the machine is
 * collected elsewhere (bridge.c: the kernel is the truth) and comes in as a list; what is leased is rebuilt from the containers'
 * records with ipam_take(). Docker's pool holds 31 networks; ours 32 768 by default. */
#ifndef NETWORK_IPAM_H
#define NETWORK_IPAM_H

#include "base/err.h"

struct ipam_subnet {
	uint32_t ip;          /* host byte order, host bits zero */
	unsigned prefix_len;  /* 0..32 */
};

/* Where subnets come from: the pool cut into subnets of prefix_len bits. */
struct ipam_pool {
	struct ipam_subnet range;
	unsigned prefix_len;
};
extern const struct ipam_pool ipam_pool_default; /* 10.128.0.0/9 in /24s */

/* "10.1.2.0/24": false unless exact (host bits must be zero). */
bool ipam_subnet_parse(const char *text, struct ipam_subnet *ret);
/* "10.1.2.0/24" in buf; returns buf. */
char *ipam_subnet_text(struct ipam_subnet s, char buf[static 20]);
bool ipam_overlap(struct ipam_subnet a, struct ipam_subnet b);
uint32_t ipam_netmask(unsigned prefix_len);

/* The first free subnet of the pool in the order that key (rootid/project/network) gives it: the same network gets the same subnet
 * again when it can. *cursor: 0 at first, pass it again for the next candidate. used: what it must not overlap (0.0.0.0/0, 0.0.0.0/1
 * and 128.0.0.0/1 are skipped: default routes, also VPNs' halves). Returns 0; -1 + err ERR_CONFLICT when the pool has no candidate
 * left. */
int ipam_pick_subnet(const struct ipam_pool *pool, const char *key, const struct ipam_subnet *used, size_t n_used,
		     uint32_t *cursor, struct ipam_subnet *ret, struct err *err);

/* Leases inside one subnet (prefix_len 16..30): network, broadcast and gateway (the first address) are never handed out. */
struct ipam {
	struct ipam_subnet subnet;
	uint32_t gateway;
	struct ipam_subnet range; /* what ipam_alloc() hands out; prefix_len 0: all of the subnet */
	uint32_t next;        /* offset where the next search starts: freed addresses rest as long as possible */
	uint64_t *used;       /* bitmap by offset */
};

/* -1 + err when the subnet is of another size. ipam_done() takes a zeroed one. */
int ipam_init(struct ipam *m, struct ipam_subnet subnet, struct err *err);
void ipam_done(struct ipam *m);
/* Another gateway than the first address (0: that one), and the part of the subnet that ipam_alloc() hands out (prefix_len 0: all). Right after
 * ipam_init(). -1 + err when one of them is not inside the subnet. */
int ipam_narrow(struct ipam *m, uint32_t gateway, struct ipam_subnet range, struct err *err);
/* Leases the next free address in rotating order. -1 + err ERR_CONFLICT when the subnet is full. */
int ipam_alloc(struct ipam *m, uint32_t *ret_ip, struct err *err);
/* Leases a given address (a record's, or a static one). 0; 1 when it is leased already; -1 + err when it is none of the subnet's. */
int ipam_take(struct ipam *m, uint32_t ip, struct err *err);
/* Gives an address back; one that is not leased is ignored. */
void ipam_release(struct ipam *m, uint32_t ip);

#endif
