/* SPDX-License-Identifier: Apache-2.0 */
/* One trip into a container's namespace for everything that must be created there: sockets keep the namespace they were born in.
 * lo comes up before the DNS sockets are bound: in a namespace that never had an address a bound 127.0.0.11 counts as a broadcast address
 * and answers would leave from another one. The rewrite of port 53 uses neither connection tracking nor NAT, so a container's
 * namespace carries no state for it. */
#include "network/netns.h"

#include <netinet/in.h> /* before linux/in.h, which then stands back */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <sched.h>

#include "base/failpoint.h"
#include "network/nft_expr.h"

enum { NETNS_LO_IFINDEX = 1, NETNS_DNS_BACKLOG = 64 };

int netns_lo_up(struct netns *ns, struct err *err)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = NETNS_LO_IFINDEX, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	AUTO_BATCH struct nl_batch b = { 0 };
	nl_msg(&b, RTM_SETLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	return nl_talk(&ns->rt, &b, NULL, err) < 0 ? err_wrap(err, "link lo") : 0;
}

static int netns_bind_dns(int type, struct err *err)
{
	const struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(NETNS_DNS_IP) }, .sin_port = htons(NETNS_DNS_PORT) };
	AUTO_CLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, errno, "socket for dns");
	if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_sys(err, errno, "bind 127.0.0.11:%d", NETNS_DNS_PORT);
	if (type == SOCK_STREAM && listen(fd, NETNS_DNS_BACKLOG) < 0)
		return err_sys(err, errno, "listen on 127.0.0.11:%d", NETNS_DNS_PORT);
	return TAKE_FD(fd);
}

/* What happens inside. */
static int netns_visit(struct netns *ns, bool has_ipv6, unsigned want, struct err *err)
{
	if (nl_open(&ns->rt, NETLINK_ROUTE, err) < 0)
		return -1;
	if (has_ipv6 && !(want & NETNS_WANT_IPV6) && net_sysctl_write("ipv6/conf/default/disable_ipv6", "1", err) < 0)
		return -1;
	if (want & NETNS_WANT_DNS) {
		if (nl_open(&ns->nf, NETLINK_NETFILTER, err) < 0 || netns_lo_up(ns, err) < 0)
			return -1;
		ns->dns_udp = netns_bind_dns(SOCK_DGRAM, err);
		ns->dns_tcp = ns->dns_udp < 0 ? -1 : netns_bind_dns(SOCK_STREAM, err);
		if (ns->dns_tcp < 0)
			return -1;
	}
	return failpoint_err("net.ns.visited", err);
}

int netns_open(struct netns *ns, const struct net *n, int netns_fd, unsigned want, struct err *err)
{
	int rc;
	*ns = (struct netns){ .fd = netns_fd, .dns_udp = -1, .dns_tcp = -1 };
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "enter the container's network namespace");
	rc = netns_visit(ns, n->has_ipv6, want, err);
	if (setns(n->ns_fd, CLONE_NEWNET) < 0)
		abort(); /* nowhere to go on from here */
	if (rc < 0)
		netns_close(ns);
	return rc;
}

int netns_make(struct netns *ns, const struct net *n, struct net *ret_out, unsigned want, struct err *err)
{
	*ns = (struct netns){ .fd = -1, .dns_udp = -1, .dns_tcp = -1 };
	*ret_out = *n;
	ret_out->rt = ret_out->nf = (struct nl){ 0 };
	if (nl_open(&ret_out->rt, NETLINK_ROUTE, err) < 0)
		return -1;
	if (unshare(CLONE_NEWNET) < 0)
		err_sys(err, errno, "make a network namespace");
	else if ((ns->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
		err_sys(err, errno, "open the container's network namespace");
	else if (netns_visit(ns, n->has_ipv6, want, err) == 0)
		return 0;
	netns_made_close(ns, ret_out);
	return -1;
}

void netns_made_close(struct netns *ns, struct net *out)
{
	netns_close(ns);
	util_close(&ns->fd);
	nl_close(&out->rt);
}

void netns_close(struct netns *ns)
{
	nl_close(&ns->rt);
	nl_close(&ns->nf);
	util_close(&ns->dns_udp);
	util_close(&ns->dns_tcp);
}

struct netns_rewrite {
	const char *chain;
	uint8_t protocol;
	uint32_t address_offset, port_offset;  /* in the IP and in the transport header */
	uint16_t from, to;
	uint32_t checksum_offset;
};

static const struct netns_rewrite netns_rewrites[] = {
	{ "out", IPPROTO_UDP, 16, 2, 53, NETNS_DNS_PORT, 6 },
	{ "out", IPPROTO_TCP, 16, 2, 53, NETNS_DNS_PORT, 16 },
	{ "back", IPPROTO_UDP, 12, 0, NETNS_DNS_PORT, 53, 6 },
	{ "back", IPPROTO_TCP, 12, 0, NETNS_DNS_PORT, 53, 16 },
};

/* e.g. ip daddr 127.0.0.11 udp dport 53 udp dport set 35353 */
static void netns_put_rewrite(struct nl_batch *b, const char *table, const struct netns_rewrite *w)
{
	const uint32_t ip = htonl(NETNS_DNS_IP);
	const uint16_t from = htons(w->from), to = htons(w->to);
	const size_t rule = nft_expr_rule(b, NLM_F_CREATE | NLM_F_APPEND, NFPROTO_IPV4, table, w->chain);
	nft_expr_payload(b, NFT_PAYLOAD_NETWORK_HEADER, w->address_offset, sizeof(ip), NFT_REG_1);
	nft_expr_cmp(b, NFT_CMP_EQ, NFT_REG_1, &ip, sizeof(ip));
	nft_expr_meta(b, NFT_META_L4PROTO, NFT_REG_1);
	nft_expr_cmp(b, NFT_CMP_EQ, NFT_REG_1, &w->protocol, sizeof(w->protocol));
	nft_expr_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, w->port_offset, sizeof(from), NFT_REG_1);
	nft_expr_cmp(b, NFT_CMP_EQ, NFT_REG_1, &from, sizeof(from));
	nft_expr_immediate(b, NFT_REG_1, &to, sizeof(to));
	nft_expr_payload_set(b, NFT_PAYLOAD_TRANSPORT_HEADER, w->port_offset, NFT_REG_1, w->checksum_offset);
	nft_expr_rule_end(b, rule, NULL);
}

static int netns_load_rewrites(struct nl *nf, struct err *err)
{
	static const char table[] = "muster_dns";
	AUTO_BATCH struct nl_batch b = { 0 };
	nft_expr_begin(&b, 0);
	nft_expr_msg(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_IPV4);
	nl_put_str(&b, NFTA_TABLE_NAME, table);
	nft_expr_chain(&b, NFPROTO_IPV4, table, "out", "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_RAW);
	nft_expr_chain(&b, NFPROTO_IPV4, table, "back", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW);
	for (size_t i = 0; i < ARRAY_SIZE(netns_rewrites); i++)
		netns_put_rewrite(&b, table, &netns_rewrites[i]);
	nft_expr_end(&b);
	return nl_talk(nf, &b, NULL, err);
}

int netns_take_dns(struct netns *ns, int *ret_udp_fd, int *ret_tcp_fd, struct err *err)
{
	if (ns->dns_udp < 0 || ns->dns_tcp < 0)
		return err_set(err, ERR_INVALID, "the namespace was opened without dns sockets");
	if (failpoint_err("net.ns.dns", err) < 0 || netns_load_rewrites(&ns->nf, err) < 0) {
		if (err->sys == EOPNOTSUPP || err->sys == EPROTONOSUPPORT)
			err->code = ERR_UNSUPPORTED;
		return err_wrap(err, "dns rules of the container");
	}
	*ret_udp_fd = TAKE_FD(ns->dns_udp);
	*ret_tcp_fd = TAKE_FD(ns->dns_tcp);
	return 0;
}
