/* SPDX-License-Identifier: Apache-2.0 */
/* A container's links: a veth pair per network, the far end born inside the container's namespace (never moved), the near end a port
 * of the network's bridge under a random name `mv…` (the last incarnation's may still be dying) with alias `rootid/container id/ifname`.
 * Links are not deleted one by one when a container goes: its namespace dies, the kernel batches the rest; see attach_sweep() for those that stay. */
#ifndef NETWORK_ATTACH_H
#define NETWORK_ATTACH_H

#include "network/net.h"
#include "network/netns.h"

enum { ATTACH_MAX_LINKS = 64 };

struct attach_link {
	const char *bridge;                 /* struct bridge.name */
	char ifname[NET_IFNAME_SIZE];       /* inside: eth0, eth1 … */
	uint32_t ip;
	unsigned prefix_len;
	uint32_t gateway;                   /* default route by it; 0: none. At most one link has one: the first that is not internal */
	unsigned mtu;                       /* struct bridge.mtu */
	uint8_t mac[6];                     /* all zero: 02:42 + the address, so that neighbours' ARP entries stay true */
};

/* Makes lo and the links up and complete inside ns. id: the container's id. Also used to add a network to a running container.
 * On failure the links made by this call are gone again (those named, at once; -1 + err names bridge or link). About 0.5 ms each. */
int attach_links(struct net *n, struct netns *ns, const char *id, const struct attach_link *links, size_t n_links, struct err *err);

/* Sees to it that the links of a running container are there and are ports of their bridges, as attach_links() made them; makes those again that
 * are gone. pid: its first process. veths: what scan_links() found just now. Returns how many it had to mend; -1 + err. */
struct scan_link;
int attach_repair(struct net *n, pid_t pid, const char *id, const struct attach_link *links, size_t n_links, const struct scan_link *veths,
		  size_t n_veths, struct err *err);

/* Deletes links by their numbers; one that is gone already is success. All together wait for one grace period of the kernel (20-60 ms, for one as for
 * fifty): they are made a group first, and a group goes at once. */
int attach_delete(struct net *n, const unsigned *ifindexes, size_t count, struct err *err);

/* Deletes the links that the ended containers `ids` left behind. As a rule there are none: a link goes with its namespace. But a TCP socket whose peer does
 * not take the rest of its data outlives its process by minutes, and so do its namespace, address and link. One of which lives(arg, id) is true (it was
 * started again) keeps its newest links. Without anything to delete, a dump of the links. */
int attach_sweep(struct net *n, char *const *ids, size_t n_ids, bool (*lives)(void *arg, const char *id), void *arg, struct err *err);

/* Waits until they have none, then does the same: after ms, without anything that lives. */
int attach_await(struct net *n, char *const *ids, size_t n_ids, unsigned ms, struct err *err);

#endif
