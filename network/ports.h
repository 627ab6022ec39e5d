/* SPDX-License-Identifier: Apache-2.0 */
/* Host ports: held by a bound socket that never receives anything (a filter drops all, set before it is bound) while nft sends the
 * traffic to the container. A conflict is thus an honest error before anything starts, and an ephemeral port cannot be lost to
 * another. On IPv6 the socket does receive: network/relay.h carries it on. */
#ifndef NETWORK_PORTS_H
#define NETWORK_PORTS_H

#include <netinet/in.h>
#include <sys/types.h>

#include "network/net.h"
#include "spec/model.h"

struct ports_holder {
	pid_t pid;          /* 0: unknown (another pid namespace, or the kernel) */
	char name[32];      /* its comm, made safe to print; "" when unknown */
};

/* Binds host_ip (0 = every address): lo = hi = 0: a port of the kernel's choice; else the first free one of lo..hi, in order. Returns
 * 0 with the socket (caller keeps it as long as the port is published: the anchor) and the port. -1 + err ERR_CONFLICT
 * "0.0.0.0:8080/tcp: port is already allocated (held by nginx, pid 42)"; ERR_NOT_FOUND when host_ip is no address of this machine.
 * Works in the calling thread's namespace. */
int ports_reserve(uint32_t host_ip, uint16_t lo, uint16_t hi, enum port_protocol protocol, int *ret_fd, uint16_t *ret_port,
		  struct err *err);

/* The same on an IPv6 address ("::" = every one), IPv6 only: a socket that listens. 1: this machine has no IPv6. */
int ports_listen6(const struct in6_addr *host_ip, uint16_t lo, uint16_t hi, enum port_protocol protocol, int *ret_fd, uint16_t *ret_port,
		  struct err *err);

/* Who holds a port in the calling thread's namespace: /proc/net/{tcp,udp}{,6} → inode → /proc/PID/fd. false: nobody bound it. */
bool ports_find_holder(uint32_t host_ip, uint16_t port, enum port_protocol protocol, struct ports_holder *ret);

/* Forgets the kernel's UDP connection entries that lead to a published port: an entry made before the DNAT (or with the old container
 * as target) would keep it from being used. Call after nft_apply() for UDP ports. host_ip 0: any address. */
int ports_flush_udp(struct net *n, uint32_t host_ip, uint16_t host_port, struct err *err);

/* What is allowed to have the socket: "tcp", "udp". */
const char *ports_protocol_name(enum port_protocol protocol);

#endif
