/* SPDX-License-Identifier: Apache-2.0 */
/* The context: two sockets and the way home. The watch sockets are apart from them, since events must not mix with answers. */
#include "network/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netconf.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>

#include "network/scan.h"

enum { NET_MTU_DEFAULT = 1500, NET_MTU_MIN = 576, NET_WATCH_SIZE = 32 << 10 };

int net_open(struct net *n, const char *rootid, struct err *err)
{
	*n = (struct net){ .ns_fd = -1 };
	if (strlen(rootid) != NET_ROOTID_LEN || strspn(rootid, "0123456789abcdef") != NET_ROOTID_LEN)
		return err_set(err, ERR_INVALID, "root id is not 8 hexadecimal digits");
	memcpy(n->rootid, rootid, sizeof(n->rootid));
	n->has_ipv6 = access("/proc/sys/net/ipv6", F_OK) == 0;
	n->ns_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (n->ns_fd < 0) {
		n->ns_fd = 0; /* zeroed: nothing to close */
		return err_sys(err, errno, "open the network namespace");
	}
	if (nl_open(&n->rt, NETLINK_ROUTE, err) < 0 || nl_open(&n->nf, NETLINK_NETFILTER, err) < 0) {
		net_close(n);
		return -1;
	}
	return 0;
}

void net_close(struct net *n)
{
	nl_close(&n->rt);
	nl_close(&n->nf);
	if (n->ns_fd > 0)
		close(n->ns_fd);
	*n = (struct net){ 0 };
}

int net_default_mtu(struct net *n, unsigned *ret_mtu, struct err *err)
{
	AUTO_FREE struct scan_route *routes = NULL;
	AUTO_FREE struct scan_link *links = NULL;
	size_t n_routes, n_links;
	unsigned mtu = 0;
	if (scan_routes(n, &routes, &n_routes, err) < 0 || scan_links(n, NULL, &links, &n_links, err) < 0)
		return -1;
	for (size_t i = 0; i < n_routes; i++) {
		if (routes[i].dst.prefix_len || routes[i].type != RTN_UNICAST)
			continue;
		for (size_t j = 0; j < n_links; j++)
			if (links[j].ifindex == routes[i].oif && !(links[j].flags & IFF_LOOPBACK) && (!mtu || links[j].mtu < mtu))
				mtu = links[j].mtu;
	}
	*ret_mtu = mtu ? MAX(mtu, (unsigned)NET_MTU_MIN) : NET_MTU_DEFAULT;
	return 0;
}

static int net_watch_one(int protocol, const int *groups, size_t n_groups, int *ret_fd, struct err *err)
{
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	if (fd < 0)
		return err_sys(err, errno, "netlink socket");
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(err, errno, "bind netlink socket");
	for (size_t i = 0; i < n_groups; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
			return err_sys(err, errno, "join netlink group %d", groups[i]);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int net_watch_open(int *ret_rtnl_fd, int *ret_nfnl_fd, struct err *err)
{
	static const int links[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_NETCONF }, tables[] = { NFNLGRP_NFTABLES };
	AUTO_CLOSE int rtnl_fd = -1;
	int nfnl_fd = -1;
	if (net_watch_one(NETLINK_ROUTE, links, ARRAY_SIZE(links), &rtnl_fd, err) < 0 ||
	    net_watch_one(NETLINK_NETFILTER, tables, ARRAY_SIZE(tables), &nfnl_fd, err) < 0)
		return -1;
	*ret_rtnl_fd = TAKE_FD(rtnl_fd);
	*ret_nfnl_fd = nfnl_fd;
	return 0;
}

/* Every nf_tables object names its table in its first attribute. */
static bool net_concerns(const struct net *n, const struct nlmsghdr *m)
{
	const struct nlattr *tb[IFLA_IFNAME + 1], *conf[NETCONFA_IFINDEX + 1];
	const char *name;
	uint8_t type;
	if (m->nlmsg_type == RTM_NEWLINK || m->nlmsg_type == RTM_DELLINK) {
		nl_attrs(m, sizeof(struct ifinfomsg), tb, IFLA_IFNAME);
		name = nl_str(tb[IFLA_IFNAME]);
		return !name || str_starts(name, "mu") || str_starts(name, "mv");
	}
	if (m->nlmsg_type == RTM_NEWNETCONF) { /* of all interfaces together: ip_forward */
		nl_attrs(m, NLMSG_ALIGN(sizeof(struct netconfmsg)), conf, NETCONFA_IFINDEX);
		return conf[NETCONFA_IFINDEX] && (int)nl_u32(conf[NETCONFA_IFINDEX]) == NETCONFA_IFINDEX_ALL;
	}
	if (m->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return m->nlmsg_type == RTM_NEWADDR || m->nlmsg_type == RTM_DELADDR;
	if ((m->nlmsg_type & 0xff) == NFT_MSG_NEWGEN)
		return false;
	nl_attrs(m, sizeof(struct nfgenmsg), tb, NFTA_TABLE_NAME);
	name = nl_str(tb[NFTA_TABLE_NAME]);
	if (!name || (str_starts(name, "muster_") && str_eq(name + strlen("muster_"), n->rootid)))
		return true;
	type = m->nlmsg_type & 0xff; /* another's: what may put a drop in our way, or take our rules out of it */
	return type == NFT_MSG_NEWCHAIN || type == NFT_MSG_DELCHAIN || type == NFT_MSG_DELRULE || type == NFT_MSG_DELTABLE;
}

int net_watch_drain(const struct net *n, int fd)
{
	_Alignas(struct nlmsghdr) char buf[NET_WATCH_SIZE];
	int concerns = 0;
	for (;;) {
		ssize_t got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
		unsigned left = got;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == ENOBUFS) { /* events were lost */
			concerns = 1;
			continue;
		}
		if (got <= 0)
			return concerns;
		if ((size_t)got > sizeof(buf)) {
			concerns = 1;
			continue;
		}
		for (const struct nlmsghdr *m = (void *)buf; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left))
			if (net_concerns(n, m))
				concerns = 1;
	}
}

int net_sysctl_write(const char *path, const char *value, struct err *err)
{
	char full[160];
	AUTO_CLOSE int fd = -1;
	if ((size_t)snprintf(full, sizeof(full), "/proc/sys/net/%s", path) >= sizeof(full))
		return err_set(err, ERR_INVALID, "sysctl name net/%s is too long", path);
	fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 1 : err_sys(err, errno, "open %s", full);
	if (write(fd, value, strlen(value)) < 0)
		return err_sys(err, errno, "write %s", full);
	return 0;
}

char *net_ip_text(uint32_t ip, char buf[static 16])
{
	const struct in_addr a = { htonl(ip) };
	inet_ntop(AF_INET, &a, buf, 16);
	return buf;
}

bool net_ip_parse(const char *text, uint32_t *ret_ip)
{
	struct in_addr a;
	if (inet_pton(AF_INET, text, &a) != 1) /* rejects leading zeros, spaces, short forms */
		return false;
	*ret_ip = ntohl(a.s_addr);
	return true;
}
