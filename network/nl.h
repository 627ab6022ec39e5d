/* SPDX-License-Identifier: Apache-2.0 */
/* Raw netlink, as little as we need: batches of requests in one sendmsg(2), attribute building with nesting, dumps, acknowledgements
 * with the kernel's own words (NETLINK_EXT_ACK). One socket per protocol for the life of a process: closing one may wait for RCU. */
#ifndef NETWORK_NL_H
#define NETWORK_NL_H

#include <linux/netlink.h>

#include "base/err.h"
#include "base/str.h"

struct nl {
	int fd;          /* -1 or zeroed struct: closed */
	bool open;
	uint32_t seq;    /* the last one used */
};

/* Requests under construction; zeroed = empty. Offsets, not pointers: the buffer moves while it grows. */
struct nl_batch {
	struct str buf;
	size_t msg;          /* offset of the last message's header */
	unsigned n;
};

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER. Close-on-exec, receive timeout 10 s: no call on it blocks for ever. -1 + err. */
int nl_open(struct nl *s, int protocol, struct err *err);
void nl_close(struct nl *s);

/* Starts a message: header + `size` bytes of family header copied from `head`. flags without NLM_F_REQUEST, which is always added. */
void nl_msg(struct nl_batch *b, uint16_t type, uint16_t flags, const void *head, size_t size);
void nl_put(struct nl_batch *b, uint16_t type, const void *data, size_t n);
void nl_put_str(struct nl_batch *b, uint16_t type, const char *s);     /* with its NUL */
void nl_put_u8(struct nl_batch *b, uint16_t type, uint8_t v);
void nl_put_u32(struct nl_batch *b, uint16_t type, uint32_t v);        /* host order */
void nl_put_be32(struct nl_batch *b, uint16_t type, uint32_t v);       /* turned to network order */
/* Raw bytes, padded to 4 (a family header inside a nest, as VETH_INFO_PEER has it). */
void nl_put_raw(struct nl_batch *b, const void *data, size_t n);
/* Opens a nest (type with or without NLA_F_NESTED as the kernel's reader wants it); nl_nest_end() with what it returned closes it. */
size_t nl_nest(struct nl_batch *b, uint16_t type);
void nl_nest_end(struct nl_batch *b, size_t at);
void nl_batch_clear(struct nl_batch *b);
void nl_batch_done(struct nl_batch *b);
#define AUTO_BATCH CLEANUP(nl_batch_done)

/* Sends the batch and collects its answers. Every message is acknowledged when it carries NLM_F_ACK; failures always are.
 * Returns 0, or -1 + err for the first failure: err->sys is its errno, *ret_failed (may be NULL) the index of the message that failed.
 * The batch is emptied. */
int nl_talk(struct nl *s, struct nl_batch *b, unsigned *ret_failed, struct err *err);

/* Sends the batch's one request (a dump, NLM_F_DUMP, or a get) and calls fn for every answer: payload p of n bytes after the family
 * header check is the callee's. fn returning < 0 stops the calls (the rest is read and dropped). An interrupted dump is
 * done again from the start, at most 10 times, after fn was told with m == NULL. Returns 0, or -1 + err (err->sys). */
typedef int nl_answer_fn(void *arg, const struct nlmsghdr *m, struct err *err);
int nl_ask(struct nl *s, struct nl_batch *b, nl_answer_fn *fn, void *arg, struct err *err);

/* Attributes of a message (after a family header of head_size bytes) or of a nest, by type into tb[0..max]; later ones win, unknown
 * ones are skipped, lengths are checked. tb entries are NULL when absent. */
void nl_attrs(const struct nlmsghdr *m, size_t head_size, const struct nlattr **tb, unsigned max);
void nl_attrs_nested(const struct nlattr *nest, const struct nlattr **tb, unsigned max);
/* First and next attribute of a nest; NULL at the end. */
const struct nlattr *nl_nest_next(const struct nlattr *nest, const struct nlattr *prev);
const void *nl_data(const struct nlattr *a);
size_t nl_len(const struct nlattr *a);
uint32_t nl_u32(const struct nlattr *a);     /* 0 when absent or short */
uint32_t nl_be32(const struct nlattr *a);    /* the same, from network order */
const char *nl_str(const struct nlattr *a);  /* NULL when absent or not NUL-terminated */

#endif
