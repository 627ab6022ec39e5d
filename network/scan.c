/* SPDX-License-Identifier: Apache-2.0 */
/* Link, address and route dumps. The kernel filters links by kind where asked, so that a machine with thousands of veths costs nothing
 * when only bridges matter; statistics are left out. Routes come from every table: VPNs live in policy tables. */
#include "network/scan.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

struct scan {
	void *items;
	size_t n, cap;
};

static void scan_copy_text(char *to, size_t size, const struct nlattr *a)
{
	const char *s = nl_str(a);
	snprintf(to, size, "%s", s ? s : "");
}

static void scan_parse_link(const struct nlmsghdr *m, struct scan_link *ret)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(m);
	const struct nlattr *tb[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	*ret = (struct scan_link){ .ifindex = ifi->ifi_index, .flags = ifi->ifi_flags };
	nl_attrs(m, sizeof(*ifi), tb, IFLA_MAX);
	nl_attrs_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_MAX);
	ret->master = nl_u32(tb[IFLA_MASTER]);
	ret->mtu = nl_u32(tb[IFLA_MTU]);
	scan_copy_text(ret->name, sizeof(ret->name), tb[IFLA_IFNAME]);
	scan_copy_text(ret->alias, sizeof(ret->alias), tb[IFLA_IFALIAS]);
	scan_copy_text(ret->kind, sizeof(ret->kind), info[IFLA_INFO_KIND]);
	if (tb[IFLA_ADDRESS] && nl_len(tb[IFLA_ADDRESS]) == sizeof(ret->mac))
		memcpy(ret->mac, nl_data(tb[IFLA_ADDRESS]), sizeof(ret->mac));
}

static int scan_got_link(void *arg, const struct nlmsghdr *m, struct err *err)
{
	struct scan *s = arg;
	(void)err;
	if (!m) {
		s->n = 0;
		return 0;
	}
	if (m->nlmsg_type != RTM_NEWLINK || NLMSG_PAYLOAD(m, 0) < sizeof(struct ifinfomsg))
		return 0;
	s->items = vec_grow(s->items, s->n, &s->cap, sizeof(struct scan_link));
	scan_parse_link(m, (struct scan_link *)s->items + s->n++);
	return 0;
}

/* Runs the one request of b; hands the array over, or frees it on failure. */
static int scan_run(struct nl *rt, struct nl_batch *b, nl_answer_fn *fn, struct scan *s, const char *what, struct err *err)
{
	if (nl_ask(rt, b, fn, s, err) == 0)
		return 0;
	free(s->items);
	*s = (struct scan){ 0 };
	return err_wrap(err, "list %s", what);
}

static void scan_link_request(struct nl_batch *b, uint16_t flags)
{
	const struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	nl_msg(b, RTM_GETLINK, flags, &ifi, sizeof(ifi));
	nl_put_u32(b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

int scan_links(struct net *n, const char *kind, struct scan_link **ret, size_t *ret_n, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	struct scan s = { 0 };
	scan_link_request(&b, NLM_F_DUMP);
	if (kind) {
		const size_t info = nl_nest(&b, IFLA_LINKINFO);
		nl_put_str(&b, IFLA_INFO_KIND, kind);
		nl_nest_end(&b, info);
	}
	if (scan_run(&n->rt, &b, scan_got_link, &s, "links", err) < 0)
		return -1;
	*ret = s.items;
	*ret_n = s.n;
	if (kind) { /* a kernel that does not filter sends all */
		*ret_n = 0;
		for (size_t i = 0; i < s.n; i++)
			if (str_eq((*ret)[i].kind, kind))
				(*ret)[(*ret_n)++] = (*ret)[i];
	}
	return 0;
}

int scan_link_by_name(struct nl *rt, const char *name, struct scan_link *ret, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	AUTO_FREE struct scan_link *items = NULL;
	struct scan s = { 0 };
	struct err got = { 0 };
	scan_link_request(&b, 0);
	nl_put_str(&b, IFLA_IFNAME, name);
	if (scan_run(rt, &b, scan_got_link, &s, "links", &got) < 0) {
		if (got.sys == ENODEV)
			return 1;
		*err = got;
		return err_wrap(err, "link %s", name);
	}
	items = s.items;
	if (!s.n)
		return 1;
	*ret = items[0];
	return 0;
}

static int scan_got_addr(void *arg, const struct nlmsghdr *m, struct err *err)
{
	struct scan *s = arg;
	const struct ifaddrmsg *ifa;
	const struct nlattr *tb[IFA_MAX + 1];
	(void)err;
	if (!m) {
		s->n = 0;
		return 0;
	}
	ifa = NLMSG_DATA(m);
	if (m->nlmsg_type != RTM_NEWADDR || NLMSG_PAYLOAD(m, 0) < sizeof(*ifa) || ifa->ifa_family != AF_INET)
		return 0;
	nl_attrs(m, sizeof(*ifa), tb, IFA_MAX);
	s->items = vec_grow(s->items, s->n, &s->cap, sizeof(struct scan_addr));
	/* the peer of a point-to-point link is IFA_ADDRESS; it is the one whose prefix counts */
	((struct scan_addr *)s->items)[s->n++] = (struct scan_addr){ .ifindex = ifa->ifa_index, .prefix_len = ifa->ifa_prefixlen,
		.ip = nl_be32(tb[IFA_ADDRESS] ? tb[IFA_ADDRESS] : tb[IFA_LOCAL]) };
	return 0;
}

int scan_addrs(struct net *n, struct scan_addr **ret, size_t *ret_n, struct err *err)
{
	const struct ifaddrmsg ifa = { .ifa_family = AF_INET };
	AUTO_BATCH struct nl_batch b = { 0 };
	struct scan s = { 0 };
	nl_msg(&b, RTM_GETADDR, NLM_F_DUMP, &ifa, sizeof(ifa));
	if (scan_run(&n->rt, &b, scan_got_addr, &s, "addresses", err) < 0)
		return -1;
	*ret = s.items;
	*ret_n = s.n;
	return 0;
}

static void scan_add_route(struct scan *s, const struct scan_route *r)
{
	s->items = vec_grow(s->items, s->n, &s->cap, sizeof(*r));
	((struct scan_route *)s->items)[s->n++] = *r;
}

/* One entry per next hop of a multipath route. */
static void scan_add_hops(struct scan *s, struct scan_route *r, const struct nlattr *hops)
{
	const char *p = nl_data(hops);
	size_t left = nl_len(hops);
	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop h;
		memcpy(&h, p, sizeof(h));
		if (h.rtnh_len < sizeof(h) || h.rtnh_len > left)
			return;
		r->oif = h.rtnh_ifindex;
		scan_add_route(s, r);
		const size_t step = MIN((size_t)RTNH_ALIGN(h.rtnh_len), left);
		p += step;
		left -= step;
	}
}

static int scan_got_route(void *arg, const struct nlmsghdr *m, struct err *err)
{
	struct scan *s = arg;
	const struct rtmsg *rtm;
	const struct nlattr *tb[RTA_MAX + 1];
	struct scan_route r;
	(void)err;
	if (!m) {
		s->n = 0;
		return 0;
	}
	rtm = NLMSG_DATA(m);
	if (m->nlmsg_type != RTM_NEWROUTE || NLMSG_PAYLOAD(m, 0) < sizeof(*rtm) || rtm->rtm_family != AF_INET || rtm->rtm_dst_len > 32)
		return 0;
	nl_attrs(m, sizeof(*rtm), tb, RTA_MAX);
	r = (struct scan_route){ .dst = { nl_be32(tb[RTA_DST]), rtm->rtm_dst_len }, .oif = nl_u32(tb[RTA_OIF]), .type = rtm->rtm_type,
		.table = tb[RTA_TABLE] ? nl_u32(tb[RTA_TABLE]) : rtm->rtm_table };
	if (r.table == RT_TABLE_LOCAL || (rtm->rtm_flags & RTM_F_CLONED))
		return 0;
	if (tb[RTA_MULTIPATH])
		scan_add_hops(s, &r, tb[RTA_MULTIPATH]);
	else
		scan_add_route(s, &r);
	return 0;
}

int scan_routes(struct net *n, struct scan_route **ret, size_t *ret_n, struct err *err)
{
	const struct rtmsg rtm = { .rtm_family = AF_INET };
	AUTO_BATCH struct nl_batch b = { 0 };
	struct scan s = { 0 };
	nl_msg(&b, RTM_GETROUTE, NLM_F_DUMP, &rtm, sizeof(rtm));
	if (scan_run(&n->rt, &b, scan_got_route, &s, "routes", err) < 0)
		return -1;
	*ret = s.items;
	*ret_n = s.n;
	return 0;
}
