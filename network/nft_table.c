/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that never change: whatever does is an element of a set. Each rule carries a hash of its own expressions as its comment, so
 * "are they all there, as this version wants them?" is one dump and a comparison; if not, chains are emptied and filled again in one
 * transaction that keeps all elements: no packet meets half a rule set. The chains (tests/unit/network_reach.c walks every way):
 *   c_pre, c_out  DNAT of published ports; c_out is for the host's own connections, 127.0.0.1 included
 *   c_post        masquerade: loopback publishing; a container to its own published port (matched by source address: on the path of
 *                 a bridged, DNATed frame postrouting has no input device); egress
 *   c_raw         nobody from outside speaks to 127/8 (route_localnet is on for the bridges)
 *   c_fwd         a network meets itself; internal ones nobody else; published ports are open; nothing else comes in, from anywhere */
#include "network/nft_table.h"

#include <netinet/in.h> /* before linux/in.h, which then stands back */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

#include "network/nft_expr.h"

/* Data types as nft names them, and the byte order of names: only for listing, the kernel ignores them. Concatenated: 6 bits each. */
enum { NFT_UDATA_KEY_BYTEORDER = 0, NFT_UDATA_HOST_ENDIAN = 1, NFT_TYPE_IPV4 = 7, NFT_TYPE_PROTO = 12, NFT_TYPE_SERVICE = 13,
	NFT_TYPE_IFNAME = 41, NFT_TYPE_BITS = 6 };

/* Registers of four bytes: what follows NFT_REG_1's first, second and third four bytes. */
enum { REG_AT_4 = NFT_REG32_01, REG_AT_8 = NFT_REG32_02 };

struct nft_table_set {
	const char *name;
	uint32_t flags, key_type, key_len, data_type, data_len;
};

static const struct nft_table_set nft_sets[] = {
	{ "pub4", NFT_SET_MAP, NFT_TYPE_PROTO << NFT_TYPE_BITS | NFT_TYPE_SERVICE, 8,
	  NFT_TYPE_IPV4 << NFT_TYPE_BITS | NFT_TYPE_SERVICE, 8 },
	{ "pub4ip", NFT_SET_MAP, NFT_TYPE_IPV4 << 2 * NFT_TYPE_BITS | NFT_TYPE_PROTO << NFT_TYPE_BITS | NFT_TYPE_SERVICE, 12,
	  NFT_TYPE_IPV4 << NFT_TYPE_BITS | NFT_TYPE_SERVICE, 8 },
	{ "brs", 0, NFT_TYPE_IFNAME, NET_IFNAME_SIZE, 0, 0 },
	{ "same", 0, NFT_TYPE_IFNAME << NFT_TYPE_BITS | NFT_TYPE_IFNAME, 2 * NET_IFNAME_SIZE, 0, 0 },
	{ "internal", 0, NFT_TYPE_IFNAME, NET_IFNAME_SIZE, 0, 0 },
	{ "subnets4", NFT_SET_INTERVAL, NFT_TYPE_IPV4, 4, 0, 0 },
	{ "guard", 0, NFT_TYPE_IFNAME, NET_IFNAME_SIZE, 0, 0 },
};

const char *const nft_table_sets[] = { "pub4", "pub4ip", "brs", "same", "internal", "subnets4", NULL };

struct nft_table_chain {
	const char *name, *type;
	uint32_t hook;
	int32_t priority;
};

static const struct nft_table_chain nft_chains[] = {
	{ "c_pre", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST },
	{ "c_out", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST },
	{ "c_post", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC },
	{ "c_raw", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW },
	{ "c_fwd", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER },
};

static void nft_match_u8(struct nl_batch *b, uint32_t meta_key, uint8_t value)
{
	nft_expr_meta(b, meta_key, NFT_REG_1);
	nft_expr_cmp(b, NFT_CMP_EQ, NFT_REG_1, &value, sizeof(value));
}

static void nft_match_ipv4(struct nl_batch *b)
{
	nft_match_u8(b, NFT_META_NFPROTO, NFPROTO_IPV4);
}

/* meta iifname/oifname (not) in a set. */
static void nft_match_link(struct nl_batch *b, uint32_t meta_key, const char *set, bool invert)
{
	nft_expr_meta(b, meta_key, NFT_REG_1);
	nft_expr_lookup(b, set, NFT_REG_1, 0, invert);
}

static void nft_match_not_lo(struct nl_batch *b)
{
	static const char lo[NET_IFNAME_SIZE] = "lo";
	nft_expr_meta(b, NFT_META_IIFNAME, NFT_REG_1);
	nft_expr_cmp(b, NFT_CMP_NEQ, NFT_REG_1, lo, sizeof(lo));
}

/* ip saddr/daddr 127.0.0.0/8: the first byte decides. */
static void nft_match_loopback(struct nl_batch *b, uint32_t offset)
{
	const uint8_t net = IN_LOOPBACKNET;
	nft_match_ipv4(b);
	nft_expr_payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset, sizeof(net), NFT_REG_1);
	nft_expr_cmp(b, NFT_CMP_EQ, NFT_REG_1, &net, sizeof(net));
}

/* Any of the bits of a conntrack field. */
static void nft_match_ct(struct nl_batch *b, uint32_t key, uint32_t bits)
{
	const uint32_t zero = 0;
	nft_expr_ct(b, key, NFT_REG_1);
	nft_expr_mask(b, NFT_REG_1, bits);
	nft_expr_cmp(b, NFT_CMP_NEQ, NFT_REG_1, &zero, sizeof(zero));
}

/* fib daddr type local */
static void nft_match_local(struct nl_batch *b)
{
	const uint32_t local = RTN_LOCAL;
	nft_match_ipv4(b);
	nft_expr_fib_type(b, NFT_REG_1);
	nft_expr_cmp(b, NFT_CMP_EQ, NFT_REG_1, &local, sizeof(local));
}

static void nft_rule_dnat_address(struct nl_batch *b)
{
	nft_match_local(b);
	nft_expr_payload(b, NFT_PAYLOAD_NETWORK_HEADER, 16, 4, NFT_REG_1);
	nft_expr_meta(b, NFT_META_L4PROTO, REG_AT_4);
	nft_expr_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, REG_AT_8);
	nft_expr_lookup(b, "pub4ip", NFT_REG_1, NFT_REG_1, false);
	nft_expr_dnat4(b, NFT_REG_1, REG_AT_4);
}

static void nft_rule_dnat_any(struct nl_batch *b)
{
	nft_match_local(b);
	nft_expr_meta(b, NFT_META_L4PROTO, NFT_REG_1);
	nft_expr_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, REG_AT_4);
	nft_expr_lookup(b, "pub4", NFT_REG_1, NFT_REG_1, false);
	nft_expr_dnat4(b, NFT_REG_1, REG_AT_4);
}

static void nft_rule_masquerade_loopback(struct nl_batch *b)
{
	nft_match_link(b, NFT_META_OIFNAME, "brs", false);
	nft_match_ct(b, NFT_CT_STATUS, IPS_DST_NAT);
	nft_match_loopback(b, 12);
	nft_expr_masquerade(b);
}

static void nft_rule_masquerade_hairpin(struct nl_batch *b)
{
	nft_match_link(b, NFT_META_OIFNAME, "brs", false);
	nft_match_ct(b, NFT_CT_STATUS, IPS_DST_NAT);
	nft_match_ipv4(b);
	nft_expr_payload(b, NFT_PAYLOAD_NETWORK_HEADER, 12, 4, NFT_REG_1);
	nft_expr_lookup(b, "subnets4", NFT_REG_1, 0, false);
	nft_expr_masquerade(b);
}

static void nft_rule_masquerade_egress(struct nl_batch *b)
{
	nft_match_link(b, NFT_META_IIFNAME, "brs", false);
	nft_match_link(b, NFT_META_OIFNAME, "brs", true);
	nft_expr_masquerade(b);
}

static void nft_rule_drop_foreign_loopback(struct nl_batch *b)
{
	nft_match_not_lo(b);
	nft_match_loopback(b, 16);
	nft_expr_verdict(b, NF_DROP);
}

static void nft_rule_accept_established(struct nl_batch *b)
{
	nft_match_ct(b, NFT_CT_STATE, NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED));
	nft_expr_verdict(b, NF_ACCEPT);
}

static void nft_rule_accept_published(struct nl_batch *b)
{
	nft_match_link(b, NFT_META_OIFNAME, "brs", false);
	nft_match_ct(b, NFT_CT_STATUS, IPS_DST_NAT);
	nft_expr_verdict(b, NF_ACCEPT);
}

static void nft_rule_accept_same(struct nl_batch *b)
{
	nft_expr_meta(b, NFT_META_IIFNAME, NFT_REG_1);
	nft_expr_meta(b, NFT_META_OIFNAME, NFT_REG_2);
	nft_expr_lookup(b, "same", NFT_REG_1, 0, false);
	nft_expr_verdict(b, NF_ACCEPT);
}

/* Before published ports are accepted: neither does an internal network reach those of others, nor can one be opened by mistake. */
static void nft_rule_drop_from_internal(struct nl_batch *b)
{
	nft_match_link(b, NFT_META_IIFNAME, "internal", false);
	nft_expr_verdict(b, NF_DROP);
}

static void nft_rule_drop_to_internal(struct nl_batch *b)
{
	nft_match_link(b, NFT_META_OIFNAME, "internal", false);
	nft_expr_verdict(b, NF_DROP);
}

/* From other networks and from outside alike. */
static void nft_rule_drop_inbound(struct nl_batch *b)
{
	nft_match_link(b, NFT_META_OIFNAME, "brs", false);
	nft_expr_verdict(b, NF_DROP);
}

/* Links that were there when we turned forwarding on: see forward.c. */
static void nft_rule_drop_guarded(struct nl_batch *b)
{
	nft_match_link(b, NFT_META_IIFNAME, "guard", false);
	nft_match_link(b, NFT_META_OIFNAME, "guard", false);
	nft_expr_verdict(b, NF_DROP);
}

struct nft_table_rule {
	const char *chain;
	void (*build)(struct nl_batch *b);
};

/* In the order of nft_chains, so that a dump lists them in this order. */
static const struct nft_table_rule nft_rules[] = {
	{ "c_pre", nft_rule_dnat_address },
	{ "c_pre", nft_rule_dnat_any },
	{ "c_out", nft_rule_dnat_address },
	{ "c_out", nft_rule_dnat_any },
	{ "c_post", nft_rule_masquerade_loopback },
	{ "c_post", nft_rule_masquerade_hairpin },
	{ "c_post", nft_rule_masquerade_egress },
	{ "c_raw", nft_rule_drop_foreign_loopback },
	{ "c_fwd", nft_rule_accept_established },
	{ "c_fwd", nft_rule_accept_same },
	{ "c_fwd", nft_rule_drop_from_internal },
	{ "c_fwd", nft_rule_drop_to_internal },
	{ "c_fwd", nft_rule_accept_published },
	{ "c_fwd", nft_rule_drop_inbound },
	{ "c_fwd", nft_rule_drop_guarded },
};

void nft_table_name(const struct net *n, char ret[static NFT_TABLE_NAME_SIZE])
{
	snprintf(ret, NFT_TABLE_NAME_SIZE, "muster_%s", n->rootid);
}

static void nft_put_rules(struct nl_batch *b, const char *table)
{
	for (size_t i = 0; i < ARRAY_SIZE(nft_rules); i++) {
		const size_t at = nft_expr_rule(b, NLM_F_CREATE | NLM_F_APPEND, NFPROTO_INET, table, nft_rules[i].chain);
		nft_rules[i].build(b);
		nft_expr_rule_end(b, at, NULL);
	}
}

static void nft_put_set(struct nl_batch *b, const char *table, const struct nft_table_set *s, uint32_t id)
{
	nft_expr_msg(b, NFT_MSG_NEWSET, NLM_F_CREATE, NFPROTO_INET);
	nl_put_str(b, NFTA_SET_TABLE, table);
	nl_put_str(b, NFTA_SET_NAME, s->name);
	nl_put_be32(b, NFTA_SET_ID, id);
	if (s->flags)
		nl_put_be32(b, NFTA_SET_FLAGS, s->flags);
	nl_put_be32(b, NFTA_SET_KEY_TYPE, s->key_type);
	nl_put_be32(b, NFTA_SET_KEY_LEN, s->key_len);
	if (s->key_type == NFT_TYPE_IFNAME) { /* nft shows empty names without */
		uint8_t udata[2 + sizeof(uint32_t)] = { NFT_UDATA_KEY_BYTEORDER, sizeof(uint32_t) };
		memcpy(udata + 2, &(uint32_t){ NFT_UDATA_HOST_ENDIAN }, sizeof(uint32_t));
		nl_put(b, NFTA_SET_USERDATA, udata, sizeof(udata));
	}
	if (s->data_len) {
		nl_put_be32(b, NFTA_SET_DATA_TYPE, s->data_type);
		nl_put_be32(b, NFTA_SET_DATA_LEN, s->data_len);
	}
}

/* Hashes the table's rules as they are listed: chain and comment, in order. */
struct nft_table_seen {
	uint64_t hash;
	size_t n;
};

static void nft_seen_add(struct nft_table_seen *seen, const char *chain, const char *comment)
{
	seen->hash = hash_bytes(seen->hash, chain, strlen(chain) + 1);
	seen->hash = hash_bytes(seen->hash, comment, strlen(comment) + 1);
	seen->n++;
}

static int nft_seen_rule(void *arg, const struct nlmsghdr *m, struct err *err)
{
	struct nft_table_seen *seen = arg;
	const struct nlattr *tb[NFTA_RULE_USERDATA + 1];
	char comment[NFT_EXPR_COMMENT_MAX + 1] = "";
	const char *chain;
	(void)err;
	if (!m) {
		*seen = (struct nft_table_seen){ .hash = HASH_SEED };
		return 0;
	}
	nl_attrs(m, sizeof(struct nfgenmsg), tb, NFTA_RULE_USERDATA);
	chain = nl_str(tb[NFTA_RULE_CHAIN]);
	if (!chain)
		return 0;
	nft_expr_comment_read(tb[NFTA_RULE_USERDATA], comment);
	nft_seen_add(seen, chain, comment);
	return 0;
}

/* The same hash over the rules of b, which holds nothing but NEWRULE messages. */
static void nft_seen_wanted(const struct nl_batch *b, struct nft_table_seen *seen)
{
	struct err none;
	size_t at = 0;
	while (at < b->buf.len) {
		const struct nlmsghdr *m = (const void *)(b->buf.p + at);
		nft_seen_rule(seen, m, &none);
		at += NLMSG_ALIGN(m->nlmsg_len);
	}
}

/* True when the table holds exactly the rules of this version. */
static int nft_table_is_right(struct net *n, const char *table, bool *ret, struct err *err)
{
	AUTO_BATCH struct nl_batch ask = { 0 }, rules = { 0 };
	struct nft_table_seen have = { .hash = HASH_SEED }, want = { .hash = HASH_SEED };
	nft_expr_msg(&ask, NFT_MSG_GETRULE, NLM_F_DUMP, NFPROTO_INET);
	nl_put_str(&ask, NFTA_RULE_TABLE, table);
	if (nl_ask(&n->nf, &ask, nft_seen_rule, &have, err) < 0 && err->sys != ENOENT)
		return -1;
	nft_put_rules(&rules, table);
	nft_seen_wanted(&rules, &want);
	*ret = have.n == want.n && have.hash == want.hash;
	return 0;
}

int nft_table_ensure(struct net *n, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	char table[NFT_TABLE_NAME_SIZE];
	bool right = false;
	nft_table_name(n, table);
	if (nft_table_is_right(n, table, &right, err) < 0)
		return -1;
	if (right)
		return 0;
	nft_expr_begin(&b, 0);
	nft_expr_msg(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET);
	nl_put_str(&b, NFTA_TABLE_NAME, table);
	for (size_t i = 0; i < ARRAY_SIZE(nft_sets); i++)
		nft_put_set(&b, table, &nft_sets[i], i + 1);
	for (size_t i = 0; i < ARRAY_SIZE(nft_chains); i++) {
		const struct nft_table_chain *c = &nft_chains[i];
		nft_expr_chain(&b, NFPROTO_INET, table, c->name, c->type, c->hook, c->priority);
		nft_expr_msg(&b, NFT_MSG_DELRULE, 0, NFPROTO_INET); /* empties it */
		nl_put_str(&b, NFTA_RULE_TABLE, table);
		nl_put_str(&b, NFTA_RULE_CHAIN, c->name);
	}
	nft_put_rules(&b, table);
	nft_expr_end(&b);
	if (nl_talk(&n->nf, &b, NULL, err) == 0)
		return 0;
	if (err->sys == EOPNOTSUPP || err->sys == EPROTONOSUPPORT)
		err->code = ERR_UNSUPPORTED;
	return -1;
}
