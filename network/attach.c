/* SPDX-License-Identifier: Apache-2.0 */
/* Veth pairs: one batch creates all links of a container and makes them ports of their bridges, a second one, inside the container's
 * namespace, numbers them and brings them up. Hairpin is on because a container may reach its own published port, and with br_netfilter
 * the frame then leaves by the port it came in. The near end has no IPv6 address: the bridge has none, and duplicate address detection
 * on hundreds of ports is noise. */
#include "network/attach.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "network/scan.h"

enum { ATTACH_MIN_MTU = 68, ATTACH_MAX_MTU = 65535, ATTACH_LOOK_US = 5000 };

/* Everything known about one link while it is made. */
struct attach_work {
	const struct attach_link *link;
	char port[NET_IFNAME_SIZE];
	char alias[NET_ALIAS_SIZE];
	unsigned bridge_ifindex, ifindex;   /* of the bridge outside, of the link inside */
};

static int attach_check(const struct attach_link *links, size_t n_links, struct err *err)
{
	size_t n_gateways = 0;
	if (n_links > ATTACH_MAX_LINKS)
		return err_set(err, ERR_INVALID, "more than %d networks", ATTACH_MAX_LINKS);
	for (size_t i = 0; i < n_links; i++) {
		const struct attach_link *l = &links[i];
		n_gateways += l->gateway != 0;
		if (!*l->ifname || l->prefix_len < 1 || l->prefix_len > 32 || l->mtu < ATTACH_MIN_MTU || l->mtu > ATTACH_MAX_MTU)
			return err_set(err, ERR_INVALID, "link %s: bad name, address or mtu", l->ifname);
	}
	return n_gateways > 1 ? err_set(err, ERR_INVALID, "more than one default route") : 0;
}

static int attach_prepare(struct net *n, const char *id, const struct attach_link *links, size_t n_links, struct attach_work *works,
			  struct err *err)
{
	for (size_t i = 0; i < n_links; i++) {
		struct attach_work *w = &works[i];
		struct scan_link bridge;
		int rc = scan_link_by_name(&n->rt, links[i].bridge, &bridge, err);
		if (rc)
			return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "no bridge %s", links[i].bridge);
		*w = (struct attach_work){ .link = &links[i], .bridge_ifindex = bridge.ifindex };
		memcpy(w->port, "mv", 2);
		random_hex(w->port + 2, 12);
		if ((size_t)snprintf(w->alias, sizeof(w->alias), "%s/%s/%s", n->rootid, id, links[i].ifname) >= sizeof(w->alias))
			return err_set(err, ERR_INVALID, "container id is too long");
	}
	return 0;
}

static void attach_put_queues(struct nl_batch *b)
{
	nl_put_u32(b, IFLA_NUM_TX_QUEUES, 1);
	nl_put_u32(b, IFLA_NUM_RX_QUEUES, 1);
}

static void attach_put_mac(struct nl_batch *b, const struct attach_link *l)
{
	static const uint8_t none[6];
	const uint8_t from_ip[6] = { 0x02, 0x42, l->ip >> 24, l->ip >> 16, l->ip >> 8, l->ip };
	nl_put(b, IFLA_ADDRESS, memcmp(l->mac, none, sizeof(none)) == 0 ? from_ip : l->mac, 6);
}

static void attach_put_pair(struct nl_batch *b, const struct attach_work *w, int netns_fd)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	size_t info, data, peer;
	nl_msg(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &ifi, sizeof(ifi));
	nl_put_str(b, IFLA_IFNAME, w->port);
	nl_put_u32(b, IFLA_MTU, w->link->mtu);
	nl_put_u32(b, IFLA_MASTER, w->bridge_ifindex);
	attach_put_queues(b);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_put_str(b, IFLA_INFO_KIND, "veth");
	data = nl_nest(b, IFLA_INFO_DATA);
	peer = nl_nest(b, VETH_INFO_PEER);
	nl_put_raw(b, &ifi, sizeof(ifi));
	nl_put_str(b, IFLA_IFNAME, w->link->ifname);
	nl_put_u32(b, IFLA_MTU, w->link->mtu);
	nl_put_u32(b, IFLA_NET_NS_FD, netns_fd);
	attach_put_mac(b, w->link);
	attach_put_queues(b);
	nl_nest_end(b, peer);
	nl_nest_end(b, data);
	nl_nest_end(b, info);
}

/* Port settings, alias, up: only a change takes them, creation does not. */
static void attach_put_port(struct nl_batch *b, struct net *n, const struct attach_work *w)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	size_t info, data, spec, inet6;
	nl_msg(b, RTM_NEWLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	nl_put_str(b, IFLA_IFNAME, w->port);
	nl_put(b, IFLA_IFALIAS, w->alias, strlen(w->alias));
	info = nl_nest(b, IFLA_LINKINFO);
	nl_put_str(b, IFLA_INFO_SLAVE_KIND, "bridge");
	data = nl_nest(b, IFLA_INFO_SLAVE_DATA);
	nl_put_u8(b, IFLA_BRPORT_MODE, BRIDGE_MODE_HAIRPIN);
	nl_nest_end(b, data);
	nl_nest_end(b, info);
	if (!n->has_ipv6)
		return;
	spec = nl_nest(b, IFLA_AF_SPEC | NLA_F_NESTED);
	inet6 = nl_nest(b, AF_INET6 | NLA_F_NESTED);
	nl_put_u8(b, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	nl_nest_end(b, inet6);
	nl_nest_end(b, spec);
}

static void attach_put_address(struct nl_batch *b, const struct attach_work *w)
{
	const struct attach_link *l = w->link;
	const struct ifaddrmsg ifa = { .ifa_family = AF_INET, .ifa_prefixlen = l->prefix_len, .ifa_index = w->ifindex };
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = w->ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	nl_msg(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &ifa, sizeof(ifa));
	nl_put_be32(b, IFA_LOCAL, l->ip);
	nl_put_be32(b, IFA_ADDRESS, l->ip);
	nl_put_be32(b, IFA_BROADCAST, l->ip | ~ipam_netmask(l->prefix_len));
	nl_msg(b, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
}

static void attach_put_default_route(struct nl_batch *b, const struct attach_work *w)
{
	const struct rtmsg rtm = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST };
	nl_msg(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, &rtm, sizeof(rtm));
	nl_put_be32(b, RTA_GATEWAY, w->link->gateway);
	nl_put_u32(b, RTA_OIF, w->ifindex);
}

/* Inside: what the links are called there, then everything in one batch. */
static int attach_number(struct netns *ns, struct attach_work *works, size_t n, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	for (size_t i = 0; i < n; i++) {
		struct scan_link link;
		int rc = scan_link_by_name(&ns->rt, works[i].link->ifname, &link, err);
		if (rc)
			return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "link %s vanished while it was made", works[i].link->ifname);
		works[i].ifindex = link.ifindex;
		attach_put_address(&b, &works[i]);
	}
	for (size_t i = 0; i < n; i++)
		if (works[i].link->gateway)
			attach_put_default_route(&b, &works[i]);
	return nl_talk(&ns->rt, &b, NULL, err);
}

static void attach_undo(struct net *n, const struct attach_work *works, size_t n_made)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	AUTO_BATCH struct nl_batch b = { 0 };
	struct err ignored;
	for (size_t i = 0; i < n_made; i++) {
		nl_msg(&b, RTM_DELLINK, NLM_F_ACK, &ifi, sizeof(ifi));
		nl_put_str(&b, IFLA_IFNAME, works[i].port);
	}
	nl_talk(&n->rt, &b, NULL, &ignored);
}

int attach_links(struct net *n, struct netns *ns, const char *id, const struct attach_link *links, size_t n_links, struct err *err)
{
	AUTO_FREE struct attach_work *works = xcalloc(MAX(n_links, (size_t)1), sizeof(*works));
	AUTO_BATCH struct nl_batch b = { 0 };
	unsigned failed = 0;
	if (attach_check(links, n_links, err) < 0 || attach_prepare(n, id, links, n_links, works, err) < 0)
		return -1;
	if (netns_lo_up(ns, err) < 0)
		return -1;
	for (size_t i = 0; i < n_links; i++) {
		attach_put_pair(&b, &works[i], ns->fd);
		attach_put_port(&b, n, &works[i]);
	}
	if (failpoint_err("net.veth", err) < 0 || nl_talk(&n->rt, &b, &failed, err) < 0)
		err_wrap(err, "link %s on bridge %s", links[failed / 2].ifname, links[failed / 2].bridge);
	else if (failpoint_err("net.veth.created", err) == 0 && attach_number(ns, works, n_links, err) == 0)
		return 0;
	attach_undo(n, works, n_links); /* names are ours alone: those that were not made are not there */
	return -1;
}

/* The near end of a link, the newest when an earlier one is still there; NULL when it is gone. */
static const struct scan_link *attach_find(const struct net *n, const char *id, const char *ifname, const struct scan_link *veths, size_t n_veths)
{
	const struct scan_link *newest = NULL;
	char alias[NET_ALIAS_SIZE];
	if ((size_t)snprintf(alias, sizeof(alias), "%s/%s/%s", n->rootid, id, ifname) >= sizeof(alias))
		return NULL;
	for (size_t i = 0; i < n_veths; i++)
		if (str_eq(veths[i].alias, alias) && (!newest || veths[i].ifindex > newest->ifindex))
			newest = &veths[i];
	return newest;
}

/* Both ends are there, but the near one is no port of the bridge any more, or down. */
static int attach_enslave(struct net *n, const struct attach_work *w, struct err *err)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	AUTO_BATCH struct nl_batch b = { 0 };
	nl_msg(&b, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	nl_put_str(&b, IFLA_IFNAME, w->port);
	nl_put_u32(&b, IFLA_MASTER, w->bridge_ifindex);
	attach_put_port(&b, n, w);
	return nl_talk(&n->rt, &b, NULL, err);
}

static int attach_again(struct net *n, pid_t pid, const char *id, const struct attach_link *link, struct err *err)
{
	AUTO_CLOSE int ns_fd = -1;
	struct netns ns;
	char path[40];
	int rc;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	ns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ns_fd < 0)
		return err_sys(err, errno, "open %s", path);
	if (netns_open(&ns, n, ns_fd, 0, err) < 0)
		return -1;
	rc = attach_links(n, &ns, id, link, 1, err);
	netns_close(&ns);
	return rc;
}

int attach_repair(struct net *n, pid_t pid, const char *id, const struct attach_link *links, size_t n_links, const struct scan_link *veths,
		  size_t n_veths, struct err *err)
{
	struct attach_work work;
	int mended = 0;
	for (size_t i = 0; i < n_links; i++) {
		const struct scan_link *near = attach_find(n, id, links[i].ifname, veths, n_veths);
		if (attach_prepare(n, id, &links[i], 1, &work, err) < 0)
			return -1;
		if (near && near->master == work.bridge_ifindex && (near->flags & IFF_UP))
			continue;
		if (near)
			memcpy(work.port, near->name, sizeof(work.port));
		if ((near ? attach_enslave(n, &work, err) : attach_again(n, pid, id, &links[i], err)) < 0)
			return -1;
		mended++;
	}
	return mended;
}

int attach_delete(struct net *n, const unsigned *ifindexes, size_t count, struct err *err)
{
	const struct ifinfomsg none = { .ifi_family = AF_UNSPEC };
	AUTO_BATCH struct nl_batch b = { 0 };
	struct err got = { 0 };
	char hex[9];
	uint32_t group;
	if (!count)
		return 0;
	random_hex(hex, 8);
	group = (uint32_t)strtoul(hex, NULL, 16) | 1U << 30; /* far from the small numbers that people give */
	for (size_t i = 0; i < count; i++) {
		const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindexes[i] };
		AUTO_BATCH struct nl_batch one = { 0 };
		nl_msg(&one, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
		nl_put_u32(&one, IFLA_GROUP, group);
		if (nl_talk(&n->rt, &one, NULL, &got) < 0 && got.sys != ENODEV) {
			*err = got;
			return err_wrap(err, "remove link %u", ifindexes[i]);
		}
	}
	nl_msg(&b, RTM_DELLINK, NLM_F_ACK, &none, sizeof(none));
	nl_put_u32(&b, IFLA_GROUP, group);
	if (nl_talk(&n->rt, &b, NULL, &got) == 0 || got.sys == ENODEV || got.sys == ESRCH)
		return 0;
	*err = got;
	return err_wrap(err, "remove %zu links", count);
}

/* Is it a link of the container with this id? *ret_ifname: what it is called inside. */
static bool attach_belongs(const struct net *n, const struct scan_link *l, const char *id, const char **ret_ifname)
{
	const size_t root = strlen(n->rootid), len = strlen(id);
	if (strncmp(l->alias, n->rootid, root) != 0 || l->alias[root] != '/' || strncmp(l->alias + root + 1, id, len) != 0 || l->alias[root + 1 + len] != '/')
		return false;
	*ret_ifname = l->alias + root + 1 + len + 1;
	return true;
}

/* What of theirs is still there, as numbers, malloc'd. */
static int attach_stale(struct net *n, char *const *ids, size_t n_ids, bool (*lives)(void *arg, const char *id), void *arg, unsigned **ret, size_t *ret_n,
			struct err *err)
{
	AUTO_FREE struct scan_link *veths = NULL;
	size_t n_veths, cap = 0;
	*ret = NULL;
	*ret_n = 0;
	if (scan_links(n, "veth", &veths, &n_veths, err) < 0)
		return -1;
	for (size_t i = 0; n_veths && i < n_ids; i++) {
		bool again = lives && lives(arg, ids[i]);
		for (size_t k = 0; k < n_veths; k++) {
			const char *ifname;
			if (!attach_belongs(n, &veths[k], ids[i], &ifname) || (again && attach_find(n, ids[i], ifname, veths, n_veths) == &veths[k]))
				continue;
			*ret = vec_grow(*ret, *ret_n, &cap, sizeof(**ret));
			(*ret)[(*ret_n)++] = veths[k].ifindex;
		}
	}
	return 0;
}

int attach_sweep(struct net *n, char *const *ids, size_t n_ids, bool (*lives)(void *arg, const char *id), void *arg, struct err *err)
{
	AUTO_FREE unsigned *stale = NULL;
	size_t n_stale;
	return attach_stale(n, ids, n_ids, lives, arg, &stale, &n_stale, err) < 0 ? -1 : attach_delete(n, stale, n_stale, err);
}

int attach_await(struct net *n, char *const *ids, size_t n_ids, unsigned ms, struct err *err)
{
	const uint64_t deadline_ns = clock_mono_ns() + (uint64_t)ms * 1000000;
	for (;;) {
		AUTO_FREE unsigned *stale = NULL;
		size_t n_stale;
		if (attach_stale(n, ids, n_ids, NULL, NULL, &stale, &n_stale, err) < 0)
			return -1;
		if (!n_stale)
			return 0;
		if (clock_mono_ns() >= deadline_ns)
			return attach_delete(n, stale, n_stale, err);
		usleep(ATTACH_LOOK_US);
	}
}
