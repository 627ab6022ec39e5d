/* SPDX-License-Identifier: Apache-2.0 */
/* nf_tables on the wire. Numbers are big endian, register contents as they lie in memory. User data is a list of (type, length, value)
 * with byte-sized type and length; type 0 is a comment in rules and elements alike. */
#include "network/nft_expr.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>

enum { NFT_EXPR_UDATA_COMMENT = 0 };

static void nft_expr_batch_mark(struct nl_batch *b, uint16_t type)
{
	const struct nfgenmsg g = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(NFNL_SUBSYS_NFTABLES) };
	nl_msg(b, type, 0, &g, sizeof(g));
}

void nft_expr_begin(struct nl_batch *b, uint32_t generation)
{
	nft_expr_batch_mark(b, NFNL_MSG_BATCH_BEGIN);
	if (generation)
		nl_put_be32(b, NFNL_BATCH_GENID, generation);
}

void nft_expr_end(struct nl_batch *b)
{
	nft_expr_batch_mark(b, NFNL_MSG_BATCH_END);
}

void nft_expr_msg(struct nl_batch *b, uint8_t type, uint16_t flags, uint8_t family)
{
	const struct nfgenmsg g = { .nfgen_family = family, .version = NFNETLINK_V0 };
	nl_msg(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags, &g, sizeof(g));
}

void nft_expr_chain(struct nl_batch *b, uint8_t family, const char *table, const char *chain, const char *type,
		    uint32_t hook, int32_t priority)
{
	size_t nest;
	nft_expr_msg(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, family);
	nl_put_str(b, NFTA_CHAIN_TABLE, table);
	nl_put_str(b, NFTA_CHAIN_NAME, chain);
	nest = nl_nest(b, NFTA_CHAIN_HOOK | NLA_F_NESTED);
	nl_put_be32(b, NFTA_HOOK_HOOKNUM, hook);
	nl_put_be32(b, NFTA_HOOK_PRIORITY, priority);
	nl_nest_end(b, nest);
	nl_put_be32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
	nl_put_str(b, NFTA_CHAIN_TYPE, type);
}

size_t nft_expr_rule(struct nl_batch *b, uint16_t flags, uint8_t family, const char *table, const char *chain)
{
	nft_expr_msg(b, NFT_MSG_NEWRULE, flags, family);
	nl_put_str(b, NFTA_RULE_TABLE, table);
	nl_put_str(b, NFTA_RULE_CHAIN, chain);
	return nl_nest(b, NFTA_RULE_EXPRESSIONS | NLA_F_NESTED);
}

void nft_expr_rule_end(struct nl_batch *b, size_t at, const char *comment)
{
	char hash[32];
	nl_nest_end(b, at);
	if (!comment) {
		snprintf(hash, sizeof(hash), "muster %016llx",
			 (unsigned long long)hash_bytes(HASH_SEED, b->buf.p + at, b->buf.len - at));
		comment = hash;
	}
	nft_expr_comment(b, NFTA_RULE_USERDATA, comment);
}

/* Where an expression's two nests began. */
struct nft_expr_open {
	size_t elem, data;
};

static struct nft_expr_open nft_expr_start(struct nl_batch *b, const char *name)
{
	struct nft_expr_open o;
	o.elem = nl_nest(b, NFTA_LIST_ELEM | NLA_F_NESTED);
	nl_put_str(b, NFTA_EXPR_NAME, name);
	o.data = nl_nest(b, NFTA_EXPR_DATA | NLA_F_NESTED);
	return o;
}

static void nft_expr_finish(struct nl_batch *b, struct nft_expr_open o)
{
	nl_nest_end(b, o.data);
	nl_nest_end(b, o.elem);
}

static void nft_expr_value(struct nl_batch *b, uint16_t type, const void *data, size_t n)
{
	const size_t nest = nl_nest(b, type | NLA_F_NESTED);
	nl_put(b, NFTA_DATA_VALUE, data, n);
	nl_nest_end(b, nest);
}

void nft_expr_meta(struct nl_batch *b, uint32_t key, uint32_t reg)
{
	const struct nft_expr_open o = nft_expr_start(b, "meta");
	nl_put_be32(b, NFTA_META_KEY, key);
	nl_put_be32(b, NFTA_META_DREG, reg);
	nft_expr_finish(b, o);
}

void nft_expr_ct(struct nl_batch *b, uint32_t key, uint32_t reg)
{
	const struct nft_expr_open o = nft_expr_start(b, "ct");
	nl_put_be32(b, NFTA_CT_KEY, key);
	nl_put_be32(b, NFTA_CT_DREG, reg);
	nft_expr_finish(b, o);
}

void nft_expr_payload(struct nl_batch *b, uint32_t base, uint32_t offset, uint32_t n_bytes, uint32_t reg)
{
	const struct nft_expr_open o = nft_expr_start(b, "payload");
	nl_put_be32(b, NFTA_PAYLOAD_DREG, reg);
	nl_put_be32(b, NFTA_PAYLOAD_BASE, base);
	nl_put_be32(b, NFTA_PAYLOAD_OFFSET, offset);
	nl_put_be32(b, NFTA_PAYLOAD_LEN, n_bytes);
	nft_expr_finish(b, o);
}

void nft_expr_payload_set(struct nl_batch *b, uint32_t base, uint32_t offset, uint32_t reg, uint32_t checksum_offset)
{
	const struct nft_expr_open o = nft_expr_start(b, "payload");
	nl_put_be32(b, NFTA_PAYLOAD_SREG, reg);
	nl_put_be32(b, NFTA_PAYLOAD_BASE, base);
	nl_put_be32(b, NFTA_PAYLOAD_OFFSET, offset);
	nl_put_be32(b, NFTA_PAYLOAD_LEN, 2);
	nl_put_be32(b, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
	nl_put_be32(b, NFTA_PAYLOAD_CSUM_OFFSET, checksum_offset);
	nft_expr_finish(b, o);
}

void nft_expr_cmp(struct nl_batch *b, uint32_t op, uint32_t reg, const void *data, size_t n)
{
	const struct nft_expr_open o = nft_expr_start(b, "cmp");
	nl_put_be32(b, NFTA_CMP_SREG, reg);
	nl_put_be32(b, NFTA_CMP_OP, op);
	nft_expr_value(b, NFTA_CMP_DATA, data, n);
	nft_expr_finish(b, o);
}

void nft_expr_mask(struct nl_batch *b, uint32_t reg, uint32_t mask)
{
	const struct nft_expr_open o = nft_expr_start(b, "bitwise");
	const uint32_t zero = 0;
	nl_put_be32(b, NFTA_BITWISE_SREG, reg);
	nl_put_be32(b, NFTA_BITWISE_DREG, reg);
	nl_put_be32(b, NFTA_BITWISE_LEN, sizeof(mask));
	nft_expr_value(b, NFTA_BITWISE_MASK, &mask, sizeof(mask));
	nft_expr_value(b, NFTA_BITWISE_XOR, &zero, sizeof(zero));
	nft_expr_finish(b, o);
}

void nft_expr_lookup(struct nl_batch *b, const char *set, uint32_t reg, uint32_t dreg, bool invert)
{
	const struct nft_expr_open o = nft_expr_start(b, "lookup");
	nl_put_str(b, NFTA_LOOKUP_SET, set);
	nl_put_be32(b, NFTA_LOOKUP_SREG, reg);
	if (dreg)
		nl_put_be32(b, NFTA_LOOKUP_DREG, dreg);
	if (invert)
		nl_put_be32(b, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	nft_expr_finish(b, o);
}

void nft_expr_fib_type(struct nl_batch *b, uint32_t reg)
{
	const struct nft_expr_open o = nft_expr_start(b, "fib");
	nl_put_be32(b, NFTA_FIB_DREG, reg);
	nl_put_be32(b, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nl_put_be32(b, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	nft_expr_finish(b, o);
}

void nft_expr_immediate(struct nl_batch *b, uint32_t reg, const void *data, size_t n)
{
	const struct nft_expr_open o = nft_expr_start(b, "immediate");
	nl_put_be32(b, NFTA_IMMEDIATE_DREG, reg);
	nft_expr_value(b, NFTA_IMMEDIATE_DATA, data, n);
	nft_expr_finish(b, o);
}

void nft_expr_verdict(struct nl_batch *b, int32_t verdict)
{
	const struct nft_expr_open o = nft_expr_start(b, "immediate");
	size_t data, inner;
	nl_put_be32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = nl_nest(b, NFTA_IMMEDIATE_DATA | NLA_F_NESTED);
	inner = nl_nest(b, NFTA_DATA_VERDICT | NLA_F_NESTED);
	nl_put_be32(b, NFTA_VERDICT_CODE, verdict);
	nl_nest_end(b, inner);
	nl_nest_end(b, data);
	nft_expr_finish(b, o);
}

void nft_expr_dnat4(struct nl_batch *b, uint32_t address_reg, uint32_t port_reg)
{
	const struct nft_expr_open o = nft_expr_start(b, "nat");
	nl_put_be32(b, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	nl_put_be32(b, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	nl_put_be32(b, NFTA_NAT_REG_ADDR_MIN, address_reg);
	nl_put_be32(b, NFTA_NAT_REG_PROTO_MIN, port_reg);
	nft_expr_finish(b, o);
}

void nft_expr_masquerade(struct nl_batch *b)
{
	nft_expr_finish(b, nft_expr_start(b, "masq"));
}

void nft_expr_comment(struct nl_batch *b, uint16_t type, const char *comment)
{
	uint8_t udata[2 + NFT_EXPR_COMMENT_MAX + 1];
	const size_t n = MIN(strlen(comment), (size_t)NFT_EXPR_COMMENT_MAX);
	udata[0] = NFT_EXPR_UDATA_COMMENT;
	udata[1] = n + 1;
	memcpy(udata + 2, comment, n);
	udata[2 + n] = '\0';
	nl_put(b, type, udata, n + 3);
}

bool nft_expr_comment_read(const struct nlattr *userdata, char ret[static NFT_EXPR_COMMENT_MAX + 1])
{
	const uint8_t *p = userdata ? nl_data(userdata) : NULL;
	size_t left = userdata ? nl_len(userdata) : 0;
	while (left >= 2 && left - 2 >= p[1]) {
		if (p[0] == NFT_EXPR_UDATA_COMMENT) {
			const size_t n = MIN(strnlen((const char *)p + 2, p[1]), (size_t)NFT_EXPR_COMMENT_MAX);
			memcpy(ret, p + 2, n);
			ret[n] = '\0';
			return true;
		}
		left -= 2 + p[1];
		p += 2 + p[1];
	}
	return false;
}
