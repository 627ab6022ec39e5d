/* SPDX-License-Identifier: Apache-2.0 */
/* Invariants of the netlink helpers: what is built reads back the same; attributes that lie about their length end the walk instead of
 * leaving the message; a refusal names the message that failed and says it in the kernel's words; a failed one does not hide behind
 * requests that were made while the batch was built. */
#include "network_lab.h"

#include <linux/rtnetlink.h>

#include "network/scan.h"

static struct err err;

static void test_build_and_read(void)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	const struct ifinfomsg ifi = { .ifi_index = 7 };
	const struct nlattr *tb[8], *in[8];
	size_t nest;
	nl_msg(&b, RTM_NEWLINK, NLM_F_ACK, &ifi, sizeof(ifi));
	nl_put_str(&b, 1, "name");
	nl_put_u32(&b, 2, 0x01020304);
	nl_put_be32(&b, 3, 0x01020304);
	nest = nl_nest(&b, 4 | NLA_F_NESTED);
	nl_put_u8(&b, 1, 9);
	nl_put_raw(&b, "abcd", 4);
	nl_nest_end(&b, nest);
	nl_put(&b, 5, "xy", 2);
	const struct nlmsghdr *m = (void *)b.buf.p;
	CHECK(m->nlmsg_len == b.buf.len && b.n == 1, NULL);
	nl_attrs(m, sizeof(ifi), tb, 7);
	CHECK(str_eq(nl_str(tb[1]), "name") && nl_u32(tb[2]) == 0x01020304 && nl_be32(tb[3]) == 0x01020304, NULL);
	CHECK(nl_be32(tb[2]) == 0x04030201 && nl_len(tb[5]) == 2 && !nl_str(tb[5]) && !tb[6] && !tb[7], NULL);
	CHECK(nl_u32(tb[5]) == 0 && nl_u32(NULL) == 0 && !nl_str(NULL), NULL);
	nl_attrs_nested(tb[4], in, 7);
	CHECK(in[1] && nl_len(in[1]) == 1 && *(const uint8_t *)nl_data(in[1]) == 9, NULL);
	nl_attrs_nested(NULL, in, 7);
	CHECK(!in[1], NULL);
	CHECK(nl_nest_next(tb[4], NULL), NULL);
}

/* Every length an attribute can claim, in a buffer that ends right behind the message (a sanitizer sees a step outside). */
static void test_lying_lengths(void)
{
	for (uint32_t claim = 0; claim <= 64; claim++) {
		for (size_t room = 0; room <= 24; room++) {
			struct nlmsghdr *m = xcalloc(1, sizeof(*m) + sizeof(struct ifinfomsg) + room);
			const struct nlattr *tb[4];
			struct nlattr a = { .nla_len = claim, .nla_type = 1 };
			m->nlmsg_len = sizeof(*m) + sizeof(struct ifinfomsg) + room;
			memcpy((char *)m + sizeof(*m) + sizeof(struct ifinfomsg), &a, MIN(room, sizeof(a)));
			nl_attrs(m, sizeof(struct ifinfomsg), tb, 3);
			CHECK(!tb[1] || (claim >= NLA_HDRLEN && claim <= room), NULL);
			if (tb[1]) {
				const struct nlattr *in[4];
				nl_attrs_nested(tb[1], in, 3);
				nl_str(tb[1]);
				for (const struct nlattr *x = NULL; (x = nl_nest_next(tb[1], x));)
					CHECK(nl_len(x) <= claim, NULL);
			}
			free(m);
		}
	}
	/* a message shorter than its family header */
	struct nlmsghdr *m = xcalloc(1, sizeof(*m));
	const struct nlattr *tb[4];
	m->nlmsg_len = sizeof(*m);
	nl_attrs(m, sizeof(struct ifinfomsg), tb, 3);
	CHECK(!tb[1], NULL);
	free(m);
}

static void put_new_link(struct nl_batch *b, const char *name)
{
	const struct ifinfomsg ifi = { 0 };
	size_t info;
	nl_msg(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, &ifi, sizeof(ifi));
	nl_put_str(b, IFLA_IFNAME, name);
	info = nl_nest(b, IFLA_LINKINFO);
	nl_put_str(b, IFLA_INFO_KIND, "bridge");
	nl_nest_end(b, info);
}

static void test_talk(void)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	struct scan_link l;
	struct net n;
	unsigned failed = 99;
	CHECK(net_open(&n, LAB_ROOTID, &err) == 0, &err);
	CHECK(nl_talk(&n.rt, &b, &failed, &err) == 0 && failed == 99, &err); /* nothing to say */
	put_new_link(&b, "x0");
	CHECK(scan_link_by_name(&n.rt, "lo", &l, &err) == 0 && l.ifindex == 1, &err);
	put_new_link(&b, "x1");
	CHECK(scan_link_by_name(&n.rt, "x9", &l, &err) == 1, &err);
	put_new_link(&b, "x0"); /* a second time */
	put_new_link(&b, "x2");
	CHECK(nl_talk(&n.rt, &b, &failed, &err) < 0 && err.sys == EEXIST && failed == 2 && !b.n, &err);
	CHECK(scan_link_by_name(&n.rt, "x2", &l, &err) == 0 && str_eq(l.kind, "bridge"), &err); /* the others happened */
	put_new_link(&b, "bad/name");
	CHECK(nl_talk(&n.rt, &b, &failed, &err) < 0 && failed == 0 && err.sys == EINVAL, &err);
	net_close(&n);
	net_close(&n);
}

static void test_ip_text(void)
{
	static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", " 1.2.3.4", "1.2.3.4 ", "::1", "localhost" };
	uint32_t ip;
	char text[16];
	CHECK(net_ip_parse("255.255.255.255", &ip) && ip == UINT32_MAX && str_eq(net_ip_text(ip, text), "255.255.255.255"), NULL);
	CHECK(net_ip_parse("10.1.2.3", &ip) && ip == IP4(10, 1, 2, 3), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!net_ip_parse(bad[i], &ip), NULL);
}

int main(void)
{
	lab_start();
	test_build_and_read();
	test_lying_lengths();
	test_talk();
	test_ip_text();
	return 0;
}
