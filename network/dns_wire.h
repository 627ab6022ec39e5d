/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS wire format, as much as a resolver at a container's side needs: one question in, an answer out; what is forwarded
 * stays opaque. Pure: no system calls, no allocation, no state; safe for any bytes. Rules: RFC 1035 section 4, RFC 6891
 * (EDNS), RFC 2181, RFC 8020. */
#ifndef NETWORK_DNS_WIRE_H
#define NETWORK_DNS_WIRE_H

#include <netinet/in.h>

#include "base/util.h"

enum {
	DNS_TYPE_A = 1,
	DNS_TYPE_NS = 2,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_DS = 43,
	DNS_TYPE_DNSKEY = 48,
	DNS_TYPE_IXFR = 251,
	DNS_TYPE_AXFR = 252,
	DNS_TYPE_ANY = 255,
	DNS_CLASS_IN = 1,
	DNS_CLASS_ANY = 255,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16, /* travels in the OPT record */
};

enum {
	DNS_HEADER = 12,
	DNS_UDP_MIN = 512,      /* what every client takes */
	DNS_UDP_MAX = 4096,     /* the most we send in one datagram; it never leaves the machine's loopback */
	DNS_TCP_MAX = 65535,
	DNS_QUERY_MAX = 2048,   /* longer queries are not looked at */
	DNS_QUESTION_MAX = 259, /* name of 255 bytes, type, class */
	DNS_REPLY_MIN = DNS_HEADER + DNS_QUESTION_MAX + 11, /* room for any reply without records */
};

struct dns_query {
	char name[256];         /* lower case, dotted, no final dot; "" is the root */
	size_t name_len;
	unsigned n_labels;
	bool plain;             /* false: a label holds '.', NUL or a non-ASCII byte, so `name` must not be compared */
	uint16_t id, type, class;
	uint16_t question_len;  /* bytes of the question after the header; 0: could not be read */
	bool edns, dnssec_ok;
	uint8_t edns_version;
	uint16_t udp_limit;     /* the longest datagram that this client takes, in [DNS_UDP_MIN, DNS_UDP_MAX] */
};

/* Reads a query of n bytes. 0: *ret is whole. Positive: the rcode to answer with (FORMERR, NOTIMP, BADVERS) by
 * dns_wire_reply(). -1: say nothing (no header, or itself a response: answering could make a loop). */
int dns_wire_parse(const void *query, size_t n, struct dns_query *ret);

/* These write a reply of at most `limit` bytes (>= DNS_REPLY_MIN; DNS_TCP_MAX for TCP) to buf and return its length. The
 * question is echoed byte for byte, EDNS answered with EDNS; answers are authoritative. What does not fit is left out and TC
 * set. */
/* No records: NODATA (DNS_NOERROR) or an error. */
size_t dns_wire_reply(const struct dns_query *q, const void *query, enum dns_rcode rcode, void *buf, size_t limit);
size_t dns_wire_reply_a(const struct dns_query *q, const void *query, const struct in_addr *addresses, size_t n_addresses, uint32_t ttl_s,
			void *buf, size_t limit);
/* name: dotted, labels of 1-63 bytes, 253 at most; one that is not answers SERVFAIL. */
size_t dns_wire_reply_ptr(const struct dns_query *q, const void *query, const char *name, uint32_t ttl_s, void *buf, size_t limit);

/* True when reply (from an upstream server) answers that query: response bit, id, opcode, the same one question (names in any
 * case). */
bool dns_wire_matches(const void *reply, size_t n, const void *query, size_t query_n);
enum dns_rcode dns_wire_rcode(const void *reply);
uint16_t dns_wire_id(const void *message);
void dns_wire_set_id(void *message, uint16_t id);
/* Cuts a forwarded reply of n bytes that is longer than limit to header and question, with TC; returns the new length (n when
 * it fits). */
size_t dns_wire_truncate(void *reply, size_t n, size_t limit);

/* The IPv4 address of d.c.b.a.in-addr.arpa; false when name is not one. */
bool dns_wire_reverse(const char *name, struct in_addr *ret);

#endif
