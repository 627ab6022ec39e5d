/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a query: replies stay within their limit, are responses to the same id and question, and matching, cutting and
 * reverse names never read beyond the message. The input is query, then (after its first 0xff 0xff) a reply from upstream. */
#include "network/dns_wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_reply(const struct dns_query *q, const uint8_t *reply, size_t len, size_t limit)
{
	assert(len >= DNS_HEADER && len <= limit);
	assert(reply[2] & 0x80);
	assert((reply[0] << 8 | reply[1]) == q->id);
	assert(len >= (size_t)DNS_HEADER + q->question_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct in_addr addresses[300];
	const uint8_t *split = n ? memmem(data, n, "\xff\xff", 2) : NULL;
	size_t query_n = split ? (size_t)(split - data) : n, reply_n = split ? n - query_n - 2 : 0;
	uint8_t *query = malloc(query_n + 1), *reply = malloc(reply_n + 1), *out = malloc(DNS_TCP_MAX);
	struct in_addr reverse;
	struct dns_query q;
	int rc;
	memcpy(query, data, query_n);
	if (reply_n)
		memcpy(reply, split + 2, reply_n);
	rc = dns_wire_parse(query, query_n, &q);
	if (rc >= 0) {
		size_t limit = q.udp_limit >= DNS_UDP_MIN ? q.udp_limit : DNS_UDP_MIN;
		check_reply(&q, out, dns_wire_reply(&q, query, rc ? (enum dns_rcode)rc : DNS_NXDOMAIN, out, limit), limit);
		if (rc == 0) {
			check_reply(&q, out, dns_wire_reply_a(&q, query, addresses, 300, 5, out, limit), limit);
			check_reply(&q, out, dns_wire_reply_a(&q, query, addresses, 300, 5, out, DNS_TCP_MAX), DNS_TCP_MAX);
			check_reply(&q, out, dns_wire_reply_ptr(&q, query, q.name, 5, out, limit), limit);
			(void)dns_wire_reverse(q.name, &reverse);
			assert(strlen(q.name) <= q.name_len);
		}
	}
	if (reply_n >= DNS_HEADER && dns_wire_matches(reply, reply_n, query, query_n)) {
		size_t cut = dns_wire_truncate(reply, reply_n, DNS_UDP_MIN);
		assert(cut <= reply_n);
		(void)dns_wire_rcode(reply);
	}
	free(query);
	free(reply);
	free(out);
	return 0;
}
