/* SPDX-License-Identifier: Apache-2.0 */
/* The network of build steps that ask for none in particular: one bridge with a way out, shared by all builds of a state root. Below
 * <run>/.build three empty files hold it together, by locks alone, so that nothing has to be put right after a kill:
 *   mutex   exclusive while the bridge is made or removed
 *   net     shared by each executor that uses it; whoever gets it exclusively under the mutex is the last one and removes the bridge
 *   leases  an executor owns the address whose last byte is the offset of a byte that it has locked */
#ifndef COMPOSE_BUILD_NET_H
#define COMPOSE_BUILD_NET_H

#include "network/bridge.h"
#include "network/net.h"
#include "network/netns.h"

/* Its directory below the run root; the name cannot be a project's. */
#define BUILD_RUN_DIR ".build"

struct build_net {
	struct net net;
	bool open, used;         /* the sockets; the bridge */
	int dir_fd;              /* <run>/.build; borrowed */
	int net_fd, leases_fd;
	char rootid[NET_ROOTID_LEN + 1];
	struct bridge bridge;
	uint64_t held[4];        /* our leases, by the address's last byte */
	unsigned next;           /* where the search for an address goes on */
	struct strv ids;         /* whose links must not stay when we go */
	char warning[512];       /* what else is in the way of its packets; "" */
};

/* Nothing is made before a step needs it. */
void build_net_init(struct build_net *n, int dir_fd, const char *rootid);
/* Brings lo up in the namespace, for `network: none`. */
int build_net_none(struct build_net *n, int netns_fd, struct err *err);
/* Links the namespace to the bridge, which is made when it is not there. id: 12 digits. *ret_host: the lease, for build_net_release(). */
int build_net_join(struct build_net *n, int netns_fd, const char *id, unsigned *ret_host, struct err *err);
/* The host's address on the bridge, which is made when it is not there. */
int build_net_gateway(struct build_net *n, uint32_t *ret_ip, struct err *err);
void build_net_release(struct build_net *n, unsigned host);
/* A step of an executor that was killed: build_net_done() sees to its link, too. */
void build_net_left(struct build_net *n, const char *id);
/* Gives the bridge up; the last one removes it. May take 30 ms; 200 more when the link of a step stays, see attach_sweep(). */
void build_net_done(struct build_net *n);
/* Removes a bridge that a killed executor left; without effect while somebody uses it. */
void build_net_sweep(struct build_net *n);

/* The text of a step's /etc/resolv.conf: the host's. A resolver on the host's loopback cannot be reached from a step's own namespace: systemd's
 * upstream servers are taken instead, else, as docker does, public ones. own_net false: the host's file as it is. */
void build_net_resolv(bool own_net, struct str *ret);

#endif
