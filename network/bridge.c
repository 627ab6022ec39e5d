/* SPDX-License-Identifier: Apache-2.0 */
/* Bridges. Two batches make one: create + alias + route_localnet, then address + up, with IPv6 turned off between the two (a container
 * must not be able to speak router advertisements to the host). The subnet is claimed by adding it and looking at all addresses and
 * routes again: who finds another's overlapping claim withdraws his own and takes the next candidate, so two roots, a VPN or docker
 * starting in the same moment never end up on the same addresses. */
#include "network/bridge.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "network/scan.h"

static const struct ipam_pool bridge_pools[] = {
	{ .range = { .ip = 0xac100000, .prefix_len = 12 }, .prefix_len = 24 }, /* 172.16.0.0/12 */
	{ .range = { .ip = 0xc0a80000, .prefix_len = 16 }, .prefix_len = 24 }, /* 192.168.0.0/16 */
};

/* What others have: subnets that no new one may overlap, with the link they are on for the message. */
struct bridge_used {
	struct ipam_subnet *subnets;
	unsigned *ifindexes;
	size_t n, cap, cap_ifindexes;
};

static void bridge_used_done(struct bridge_used *u)
{
	free(u->subnets);
	free(u->ifindexes);
	*u = (struct bridge_used){ 0 };
}

static void bridge_used_add(struct bridge_used *u, uint32_t ip, unsigned prefix_len, unsigned ifindex)
{
	prefix_len = MIN(prefix_len, 32u);
	u->subnets = vec_grow(u->subnets, u->n, &u->cap, sizeof(*u->subnets));
	u->ifindexes = vec_grow(u->ifindexes, u->n, &u->cap_ifindexes, sizeof(*u->ifindexes));
	u->subnets[u->n] = (struct ipam_subnet){ ip & ipam_netmask(prefix_len), prefix_len };
	u->ifindexes[u->n++] = ifindex;
}

/* Collects addresses and unicast routes of every link but own_ifindex. A blackhole is no claim: our more specific route wins. */
static int bridge_used_read(struct net *n, unsigned own_ifindex, struct bridge_used *u, struct err *err)
{
	AUTO_FREE struct scan_addr *addrs = NULL;
	AUTO_FREE struct scan_route *routes = NULL;
	size_t n_addrs, n_routes;
	u->n = 0;
	if (scan_addrs(n, &addrs, &n_addrs, err) < 0 || scan_routes(n, &routes, &n_routes, err) < 0)
		return -1;
	for (size_t i = 0; i < n_addrs; i++)
		if (addrs[i].ifindex != own_ifindex)
			bridge_used_add(u, addrs[i].ip, addrs[i].prefix_len, addrs[i].ifindex);
	for (size_t i = 0; i < n_routes; i++)
		if (routes[i].type == RTN_UNICAST && (!own_ifindex || routes[i].oif != own_ifindex))
			bridge_used_add(u, routes[i].dst.ip, routes[i].dst.prefix_len, routes[i].oif);
	return 0;
}

/* Index of the first claim that s overlaps, u->n when none does. */
static size_t bridge_used_find(const struct bridge_used *u, struct ipam_subnet s)
{
	size_t i = 0;
	while (i < u->n && (u->subnets[i].prefix_len <= 1 || !ipam_overlap(u->subnets[i], s)))
		i++;
	return i;
}

static int bridge_alias(const struct net *n, const char *project, const char *network, char *ret, struct err *err)
{
	if (strchr(project, '/') || strchr(network, '/') || !*project || !*network)
		return err_set(err, ERR_INVALID, "project or network name is empty or has a slash");
	if ((size_t)snprintf(ret, NET_ALIAS_SIZE, "%s/%s/%s", n->rootid, project, network) >= NET_ALIAS_SIZE)
		return err_set(err, ERR_INVALID, "project and network name are too long together");
	return 0;
}

void bridge_name(const char *rootid, const char *project, const char *network, char ret[static NET_IFNAME_SIZE])
{
	char *key = xasprintf("%s/%s/%s", rootid, project, network);
	char hex[65];
	sha256_hex(key, strlen(key), hex);
	snprintf(ret, NET_IFNAME_SIZE, "mu%.12s", hex);
	free(key);
}

/* Locally administered, from the name's hash: a bridge without a fixed address takes its smallest port's, and ARP entries break. */
static void bridge_mac(const char *name, uint8_t ret[static 6])
{
	ret[0] = 0x06;
	for (size_t i = 0; i < 5; i++)
		sscanf(name + strlen("mu") + 2 * i, "%2hhx", &ret[i + 1]);
}

static void bridge_put_create(struct nl_batch *b, const struct bridge *br)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	uint8_t mac[6];
	size_t info, data;
	bridge_mac(br->name, mac);
	nl_msg(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &ifi, sizeof(ifi));
	nl_put_str(b, IFLA_IFNAME, br->name);
	nl_put(b, IFLA_ADDRESS, mac, sizeof(mac));
	nl_put_u32(b, IFLA_MTU, br->mtu);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_put_str(b, IFLA_INFO_KIND, "bridge");
	data = nl_nest(b, IFLA_INFO_DATA);
	nl_put_u32(b, IFLA_BR_FORWARD_DELAY, 0);
	nl_put_u32(b, IFLA_BR_STP_STATE, 0);
	nl_put_u8(b, IFLA_BR_MCAST_SNOOPING, 0);
	nl_nest_end(b, data);
	nl_nest_end(b, info);
}

/* Alias and route_localnet (DNAT from 127.0.0.1 leaves by this link with a loopback source until it is masqueraded). */
static void bridge_put_settings(struct nl_batch *b, const struct bridge *br)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	size_t spec, inet, conf;
	nl_msg(b, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	nl_put_str(b, IFLA_IFNAME, br->name);
	nl_put(b, IFLA_IFALIAS, br->alias, strlen(br->alias));
	spec = nl_nest(b, IFLA_AF_SPEC | NLA_F_NESTED);
	inet = nl_nest(b, AF_INET | NLA_F_NESTED);
	conf = nl_nest(b, IFLA_INET_CONF | NLA_F_NESTED);
	nl_put_u32(b, IPV4_DEVCONF_ROUTE_LOCALNET, 1);
	nl_nest_end(b, conf);
	nl_nest_end(b, inet);
	nl_nest_end(b, spec);
}

static void bridge_put_address(struct nl_batch *b, const struct bridge *br, uint16_t type)
{
	const struct ifaddrmsg ifa = { .ifa_family = AF_INET, .ifa_prefixlen = br->subnet.prefix_len, .ifa_index = br->ifindex };
	nl_msg(b, type, NLM_F_ACK | (type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0), &ifa, sizeof(ifa));
	nl_put_be32(b, IFA_LOCAL, br->gateway);
	nl_put_be32(b, IFA_ADDRESS, br->gateway);
	if (type == RTM_NEWADDR)
		nl_put_be32(b, IFA_BROADCAST, br->subnet.ip | ~ipam_netmask(br->subnet.prefix_len));
}

static void bridge_put_up(struct nl_batch *b, const struct bridge *br)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = br->ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	nl_msg(b, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
}

/* Creates the link when it is not there; sets what it needs before it may be up. Fills ifindex. */
static int bridge_make_link(struct net *n, struct bridge *br, bool exists, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	struct scan_link link;
	char path[64];
	int rc;
	if (!exists)
		bridge_put_create(&b, br);
	bridge_put_settings(&b, br);
	if (failpoint_err("net.bridge", err) < 0 || nl_talk(&n->rt, &b, NULL, err) < 0)
		return -1;
	if (!exists) {
		rc = scan_link_by_name(&n->rt, br->name, &link, err);
		if (rc)
			return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "link vanished while it was made");
		br->ifindex = link.ifindex;
	}
	if (failpoint_err("net.bridge.created", err) < 0)
		return -1;
	snprintf(path, sizeof(path), "ipv6/conf/%s/disable_ipv6", br->name);
	return n->has_ipv6 && net_sysctl_write(path, "1", err) < 0 ? -1 : 0;
}

/* The next candidate of spec's pool, or of the built-in ones in turn. *pool counts the pools that are used up. */
static int bridge_next_subnet(const struct bridge_spec *spec, const char *key, const struct bridge_used *u, size_t *pool,
			      uint32_t *cursor, struct ipam_subnet *ret, struct err *err)
{
	if (spec->pool)
		return ipam_pick_subnet(spec->pool, key, u->subnets, u->n, cursor, ret, err);
	for (;; ++*pool, *cursor = 0) {
		const struct ipam_pool *p = *pool ? &bridge_pools[*pool - 1] : &ipam_pool_default;
		struct err last = { 0 };
		if (ipam_pick_subnet(p, key, u->subnets, u->n, cursor, ret, &last) == 0)
			return 0;
		if (last.code != ERR_CONFLICT || *pool == ARRAY_SIZE(bridge_pools)) {
			*err = last;
			return -1;
		}
	}
}

/* Adds br->subnet's address, brings the link up and looks whether anybody else has it. 0; 1: somebody has, withdrawn; -1 + err. */
static int bridge_claim(struct net *n, struct bridge *br, struct bridge_used *u, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	bridge_put_address(&b, br, RTM_NEWADDR);
	bridge_put_up(&b, br);
	if (nl_talk(&n->rt, &b, NULL, err) < 0 || failpoint_err("net.bridge.claimed", err) < 0 || bridge_used_read(n, br->ifindex, u, err) < 0)
		return -1;
	if (bridge_used_find(u, br->subnet) == u->n)
		return 0;
	bridge_put_address(&b, br, RTM_DELADDR);
	return nl_talk(&n->rt, &b, NULL, err) < 0 ? -1 : 1;
}

static int bridge_overlap_error(const struct bridge_used *u, struct ipam_subnet s, struct err *err)
{
	const size_t i = bridge_used_find(u, s);
	char want[20], other[20], name[IF_NAMESIZE] = "";
	ipam_subnet_text(s, want);
	if (i == u->n)
		return err_set(err, ERR_CONFLICT, "subnet %s is in use", want);
	if (!if_indextoname(u->ifindexes[i], name))
		snprintf(name, sizeof(name), "another link");
	return err_set(err, ERR_CONFLICT, "subnet %s overlaps %s of %s", want, ipam_subnet_text(u->subnets[i], other), name);
}

/* Gives br a subnet, given or picked, and the address in it. */
static int bridge_number(struct net *n, const struct bridge_spec *spec, struct bridge *br, struct err *err)
{
	CLEANUP(bridge_used_done) struct bridge_used u = { 0 };
	size_t pool = 0;
	uint32_t cursor = 0;
	int rc;
	if (bridge_used_read(n, br->ifindex, &u, err) < 0)
		return -1;
	if (spec->subnet.prefix_len) {
		br->subnet = spec->subnet;
		br->gateway = spec->gateway ? spec->gateway : br->subnet.ip + 1;
		if (bridge_used_find(&u, br->subnet) != u.n)
			return bridge_overlap_error(&u, br->subnet, err);
		rc = bridge_claim(n, br, &u, err);
		return rc > 0 ? bridge_overlap_error(&u, br->subnet, err) : rc;
	}
	do {
		for (size_t i = 0; i < spec->n_avoid; i++)
			bridge_used_add(&u, spec->avoid[i], 32, 0);
		if (bridge_next_subnet(spec, br->alias, &u, &pool, &cursor, &br->subnet, err) < 0)
			return -1;
		br->gateway = br->subnet.ip + 1;
		rc = bridge_claim(n, br, &u, err);
	} while (rc > 0);
	return rc;
}

/* The address of ifindex, if any, as subnet and gateway. */
static void bridge_set_address(struct bridge *br, const struct scan_addr *addrs, size_t n_addrs)
{
	for (size_t i = 0; i < n_addrs; i++) {
		if (addrs[i].ifindex != br->ifindex)
			continue;
		br->gateway = addrs[i].ip;
		br->subnet = (struct ipam_subnet){ addrs[i].ip & ipam_netmask(addrs[i].prefix_len), addrs[i].prefix_len };
		return;
	}
}

static struct bridge bridge_from_link(const struct scan_link *l, const struct scan_addr *addrs, size_t n_addrs)
{
	struct bridge br = { .ifindex = l->ifindex, .mtu = l->mtu, .up = l->flags & IFF_UP };
	memcpy(br.name, l->name, sizeof(br.name));
	memcpy(br.alias, l->alias, sizeof(br.alias));
	bridge_set_address(&br, addrs, n_addrs);
	return br;
}

/* Looks for br->name. 0: found, ours, *br filled; 1: not there; -1 + err: a stranger's or not as asked. */
static int bridge_find(struct net *n, const struct bridge_spec *spec, struct bridge *br, struct err *err)
{
	AUTO_FREE struct scan_addr *addrs = NULL;
	struct scan_link link;
	struct bridge found;
	size_t n_addrs;
	char have[20], want[20], quoted[NET_ALIAS_SIZE];
	int rc = scan_link_by_name(&n->rt, br->name, &link, err);
	if (rc)
		return rc;
	if (!str_eq(link.kind, "bridge") || (*link.alias && !str_eq(link.alias, br->alias)))
		return err_set(err, ERR_CONFLICT, "link %s exists and is not ours (alias \"%s\")", br->name,
			       err_quote(quoted, sizeof(quoted), link.alias));
	if (scan_addrs(n, &addrs, &n_addrs, err) < 0)
		return -1;
	found = bridge_from_link(&link, addrs, n_addrs);
	found.up &= *found.alias != '\0'; /* killed between creation and alias: goes the way of one that needs mending */
	memcpy(found.alias, br->alias, sizeof(found.alias));
	if (found.subnet.prefix_len && spec->subnet.prefix_len &&
	    (found.subnet.ip != spec->subnet.ip || found.subnet.prefix_len != spec->subnet.prefix_len))
		return err_set(err, ERR_CONFLICT, "it exists with subnet %s, not %s", ipam_subnet_text(found.subnet, have),
			       ipam_subnet_text(spec->subnet, want));
	if (spec->mtu && found.mtu != spec->mtu)
		return err_set(err, ERR_CONFLICT, "it exists with mtu %u, not %u", found.mtu, spec->mtu);
	*br = found;
	return 0;
}

static int bridge_ensure_steps(struct net *n, const struct bridge_spec *spec, struct bridge *br, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	struct err ignored;
	int rc = bridge_find(n, spec, br, err);
	const bool exists = rc == 0;
	if (rc < 0)
		return -1;
	if (exists && br->subnet.prefix_len && br->up)
		return 0;
	if (!exists) {
		br->mtu = spec->mtu;
		if (!br->mtu && net_default_mtu(n, &br->mtu, err) < 0)
			return -1;
	}
	rc = bridge_make_link(n, br, exists, err);
	if (rc == 0 && br->subnet.prefix_len) { /* it only went down */
		bridge_put_up(&b, br);
		rc = nl_talk(&n->rt, &b, NULL, err);
	} else if (rc == 0) {
		rc = bridge_number(n, spec, br, err);
	}
	if (rc < 0 && !exists && br->ifindex)
		bridge_delete(n, br->name, &ignored);
	br->up = rc == 0;
	return rc;
}

int bridge_ensure(struct net *n, const struct bridge_spec *spec, struct bridge *ret, struct err *err)
{
	struct bridge br = { 0 };
	if (bridge_alias(n, spec->project, spec->network, br.alias, err) < 0)
		return -1;
	if (spec->subnet.prefix_len > 30 || (spec->subnet.ip & ~ipam_netmask(spec->subnet.prefix_len)) ||
	    (spec->gateway && (spec->gateway & ipam_netmask(spec->subnet.prefix_len)) != spec->subnet.ip))
		return err_set(err, ERR_INVALID, "network %s: unusable subnet", spec->network);
	bridge_name(n->rootid, spec->project, spec->network, br.name);
	if (bridge_ensure_steps(n, spec, &br, err) < 0)
		return err_wrap(err, "network %s (bridge %s)", spec->network, br.name);
	*ret = br;
	return 0;
}

int bridge_delete(struct net *n, const char *name, struct err *err)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	AUTO_BATCH struct nl_batch b = { 0 };
	struct err got = { 0 };
	nl_msg(&b, RTM_DELLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	nl_put_str(&b, IFLA_IFNAME, name);
	if (nl_talk(&n->rt, &b, NULL, &got) == 0 || got.sys == ENODEV)
		return 0;
	*err = got;
	return err_wrap(err, "delete bridge %s", name);
}

/* True when alias is `rootid/project/…` (any project when NULL). */
static bool bridge_is_ours(const struct net *n, const char *project, const char *alias)
{
	const size_t len = project ? strlen(project) : 0;
	if (strncmp(alias, n->rootid, NET_ROOTID_LEN) != 0 || alias[NET_ROOTID_LEN] != '/')
		return false;
	alias += NET_ROOTID_LEN + 1;
	return strchr(alias, '/') && (!project || (strncmp(alias, project, len) == 0 && alias[len] == '/'));
}

int bridge_list(struct net *n, const char *project, struct bridge **ret, size_t *ret_n, struct err *err)
{
	AUTO_FREE struct scan_link *links = NULL;
	AUTO_FREE struct scan_addr *addrs = NULL;
	struct bridge *list = NULL;
	size_t n_links, n_addrs, n_list = 0, cap = 0;
	if (scan_links(n, "bridge", &links, &n_links, err) < 0 || scan_addrs(n, &addrs, &n_addrs, err) < 0)
		return -1;
	for (size_t i = 0; i < n_links; i++) {
		if (!str_starts(links[i].name, "mu") || !bridge_is_ours(n, project, links[i].alias))
			continue;
		list = vec_grow(list, n_list, &cap, sizeof(*list));
		list[n_list++] = bridge_from_link(&links[i], addrs, n_addrs);
	}
	*ret = list;
	*ret_n = n_list;
	return 0;
}
