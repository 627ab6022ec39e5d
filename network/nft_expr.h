/* SPDX-License-Identifier: Apache-2.0 */
/* nf_tables messages: a batch is one transaction; a rule is a list of expressions that pass values on in registers. One function per
 * expression, as `nft --debug=netlink` prints them. Internal to network/. */
#ifndef NETWORK_NFT_EXPR_H
#define NETWORK_NFT_EXPR_H

#include <linux/netfilter/nf_tables.h>

#include "network/nl.h"

enum { NFT_EXPR_COMMENT_MAX = 240 };

/* First and last message of a transaction; generation 0: any (else it fails with ERESTART when the rule set changed since). */
void nft_expr_begin(struct nl_batch *b, uint32_t generation);
void nft_expr_end(struct nl_batch *b);
/* One nf_tables message (NFT_MSG_*), family NFPROTO_*. Put the attributes after it. */
void nft_expr_msg(struct nl_batch *b, uint8_t type, uint16_t flags, uint8_t family);

/* Base chain: type "filter" or "nat", hook NF_INET_*; policy accept. */
void nft_expr_chain(struct nl_batch *b, uint8_t family, const char *table, const char *chain, const char *type,
		    uint32_t hook, int32_t priority);

/* Opens a rule (flags: NLM_F_CREATE | NLM_F_APPEND, or NLM_F_CREATE to put it first) ... */
size_t nft_expr_rule(struct nl_batch *b, uint16_t flags, uint8_t family, const char *table, const char *chain);
/* ... and closes it with a comment; NULL: a hash of its expressions, to know it again. */
void nft_expr_rule_end(struct nl_batch *b, size_t at, const char *comment);

void nft_expr_meta(struct nl_batch *b, uint32_t key, uint32_t reg);
void nft_expr_ct(struct nl_batch *b, uint32_t key, uint32_t reg);
void nft_expr_payload(struct nl_batch *b, uint32_t base, uint32_t offset, uint32_t n_bytes, uint32_t reg);
/* Writes a 16-bit field back, with the transport checksum at checksum_offset kept right. */
void nft_expr_payload_set(struct nl_batch *b, uint32_t base, uint32_t offset, uint32_t reg, uint32_t checksum_offset);
void nft_expr_cmp(struct nl_batch *b, uint32_t op, uint32_t reg, const void *data, size_t n);
/* 32 bits of reg and-ed with mask (both as they lie in memory). */
void nft_expr_mask(struct nl_batch *b, uint32_t reg, uint32_t mask);
/* dreg 0: a set; else the register that gets the map's value. */
void nft_expr_lookup(struct nl_batch *b, const char *set, uint32_t reg, uint32_t dreg, bool invert);
/* Type (RTN_*) of the destination address. */
void nft_expr_fib_type(struct nl_batch *b, uint32_t reg);
void nft_expr_immediate(struct nl_batch *b, uint32_t reg, const void *data, size_t n);
/* verdict: NF_ACCEPT, NF_DROP, NFT_RETURN. */
void nft_expr_verdict(struct nl_batch *b, int32_t verdict);
void nft_expr_dnat4(struct nl_batch *b, uint32_t address_reg, uint32_t port_reg);
void nft_expr_masquerade(struct nl_batch *b);

/* A comment in an object's user data, as nft shows it. type: NFTA_RULE_USERDATA or NFTA_SET_ELEM_USERDATA. */
void nft_expr_comment(struct nl_batch *b, uint16_t type, const char *comment);
/* Reads one; false when there is none (a NULL). ret gets at most NFT_EXPR_COMMENT_MAX bytes and NUL. */
bool nft_expr_comment_read(const struct nlattr *userdata, char ret[static NFT_EXPR_COMMENT_MAX + 1]);

#endif
