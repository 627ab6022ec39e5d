/* SPDX-License-Identifier: Apache-2.0 */
/* The codec. Reading goes through one cursor that can't pass the end; a query's own name is never compressed (RFC 1035 4.1.4
 * allows pointers only to what came before, and nothing did), so pointers appear only in records that are skipped. Answers
 * point to the question at offset 12. */
#include "network/dns_wire.h"

enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080, FLAG_CD = 0x0010, OPCODE = 0x7800 };
enum { OPT_LEN = 11, A_LEN = 16 };

struct cursor {
	const unsigned char *p;
	size_t at, n;
	bool bad;
};

static uint16_t get16(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static unsigned char *put16(unsigned char *p, unsigned v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
	return p + 2;
}

static unsigned char *put32(unsigned char *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v & 0xffff);
}

static const unsigned char *take(struct cursor *c, size_t n)
{
	const unsigned char *p = c->p + c->at;
	if (c->bad || c->n - c->at < n) {
		c->bad = true;
		return NULL;
	}
	c->at += n;
	return p;
}

static uint16_t take16(struct cursor *c)
{
	const unsigned char *p = take(c, 2);
	return p ? get16(p) : 0;
}

static unsigned char lower(unsigned char ch)
{
	return ch >= 'A' && ch <= 'Z' ? (unsigned char)(ch + ('a' - 'A')) : ch;
}

/* Adds one label to q->name; false when the name grows too long. */
static bool name_add(struct dns_query *q, const unsigned char *label, size_t len)
{
	if (q->name_len + len + 1 > sizeof(q->name) - 2)
		return false;
	if (q->n_labels++)
		q->name[q->name_len++] = '.';
	for (size_t i = 0; i < len; i++) {
		if (label[i] == '.' || label[i] == 0 || label[i] >= 0x80)
			q->plain = false;
		q->name[q->name_len++] = (char)lower(label[i]);
	}
	q->name[q->name_len] = '\0';
	return true;
}

static bool parse_question(struct cursor *c, struct dns_query *q)
{
	size_t start = c->at;
	q->plain = true;
	for (;;) {
		const unsigned char *len = take(c, 1), *label;
		if (!len || *len > 63)
			return false;
		if (*len == 0)
			break;
		label = take(c, *len);
		if (!label || c->at - start >= 255 || !name_add(q, label, *len))
			return false;
	}
	q->type = take16(c);
	q->class = take16(c);
	if (c->bad)
		return false;
	q->question_len = (uint16_t)(c->at - start);
	return true;
}

/* Skips a record's name: labels, ended by a zero or a pointer (which is not followed). */
static bool skip_name(struct cursor *c, bool *ret_root)
{
	*ret_root = false;
	for (unsigned n = 0; n < 128; n++) {
		const unsigned char *len = take(c, 1);
		if (!len)
			return false;
		if (*len == 0) {
			*ret_root = n == 0;
			return true;
		}
		if ((*len & 0xc0) == 0xc0)
			return take(c, 1) != NULL;
		if (*len > 63 || !take(c, *len))
			return false;
	}
	return false;
}

/* Reads the records after the question for an OPT; false when they are malformed. */
static bool parse_records(struct cursor *c, unsigned n_before, unsigned n_additional, struct dns_query *q)
{
	for (unsigned i = 0; i < n_before + n_additional; i++) {
		const unsigned char *fixed;
		bool root;
		if (!skip_name(c, &root))
			return false;
		fixed = take(c, 10);
		if (!fixed || !take(c, get16(fixed + 8)))
			return false;
		if (get16(fixed) != DNS_TYPE_OPT)
			continue;
		if (i < n_before || !root || q->edns)
			return false;
		q->edns = true;
		q->udp_limit = (uint16_t)MAX(DNS_UDP_MIN, MIN(get16(fixed + 2), DNS_UDP_MAX));
		q->edns_version = fixed[5];
		q->dnssec_ok = fixed[6] & 0x80;
	}
	return true;
}

int dns_wire_parse(const void *query, size_t n, struct dns_query *ret)
{
	struct cursor c = { .p = query, .n = n };
	uint16_t flags, n_questions, n_answers, n_authority, n_additional;
	memset(ret, 0, sizeof(*ret));
	ret->udp_limit = DNS_UDP_MIN;
	ret->id = take16(&c);
	flags = take16(&c);
	n_questions = take16(&c);
	n_answers = take16(&c);
	n_authority = take16(&c);
	n_additional = take16(&c);
	if (c.bad || (flags & FLAG_QR))
		return -1;
	if (flags & OPCODE)
		return DNS_NOTIMP;
	if (n_questions != 1 || !parse_question(&c, ret))
		return DNS_FORMERR;
	if (!parse_records(&c, (unsigned)n_answers + n_authority, n_additional, ret)) {
		ret->edns = false;
		return DNS_FORMERR;
	}
	return ret->edns && ret->edns_version ? DNS_BADVERS : 0;
}

/* Writes header and question; returns where records go. */
static unsigned char *reply_start(const struct dns_query *q, const unsigned char *query, unsigned flags, unsigned char *p)
{
	unsigned from_query = get16(query + 2) & (OPCODE | FLAG_RD | FLAG_CD);
	put16(p, q->id);
	put16(p + 2, FLAG_QR | FLAG_RA | from_query | flags);
	put16(p + 4, q->question_len ? 1 : 0);
	memset(p + 6, 0, 6);
	memcpy(p + DNS_HEADER, query + DNS_HEADER, q->question_len);
	return p + DNS_HEADER + q->question_len;
}

static size_t reply_end(const struct dns_query *q, enum dns_rcode rcode, unsigned n_answers, unsigned char *start, unsigned char *p)
{
	put16(start + 6, n_answers);
	if (q->edns) {
		*p++ = 0;
		p = put16(p, DNS_TYPE_OPT);
		p = put16(p, DNS_UDP_MAX);
		*p++ = (unsigned char)(rcode >> 4);
		*p++ = 0;
		p = put16(p, q->dnssec_ok ? 0x8000 : 0);
		p = put16(p, 0);
		put16(start + 10, 1);
	}
	return (size_t)(p - start);
}

size_t dns_wire_reply(const struct dns_query *q, const void *query, enum dns_rcode rcode, void *buf, size_t limit)
{
	unsigned flags = (rcode & 0xf) | (rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN ? FLAG_AA : 0);
	assert(limit >= DNS_REPLY_MIN);
	return reply_end(q, rcode, 0, buf, reply_start(q, query, flags, buf));
}

size_t dns_wire_reply_a(const struct dns_query *q, const void *query, const struct in_addr *addresses, size_t n_addresses, uint32_t ttl_s,
			void *buf, size_t limit)
{
	size_t room, n;
	unsigned char *p;
	assert(limit >= DNS_REPLY_MIN);
	room = (limit - DNS_HEADER - q->question_len - (q->edns ? OPT_LEN : 0)) / A_LEN;
	n = MIN(n_addresses, room);
	p = reply_start(q, query, FLAG_AA | (n < n_addresses ? FLAG_TC : 0), buf);
	for (size_t i = 0; i < n; i++) {
		p = put16(p, 0xc000 | DNS_HEADER);
		p = put16(p, DNS_TYPE_A);
		p = put16(p, DNS_CLASS_IN);
		p = put32(p, ttl_s);
		p = put16(p, sizeof(addresses[i]));
		memcpy(p, &addresses[i], sizeof(addresses[i]));
		p += sizeof(addresses[i]);
	}
	return reply_end(q, DNS_NOERROR, (unsigned)n, buf, p);
}

/* Writes a dotted name as labels to at most 255 bytes; returns its length, 0 when it is not one. */
static size_t put_name(const char *name, unsigned char *p)
{
	size_t at = 0;
	if (strlen(name) > 253 || !*name)
		return 0;
	while (*name) {
		size_t len = strcspn(name, ".");
		if (len == 0 || len > 63)
			return 0;
		p[at++] = (unsigned char)len;
		memcpy(p + at, name, len);
		at += len;
		name += len;
		if (*name == '.')
			name++;
	}
	p[at++] = 0;
	return at;
}

size_t dns_wire_reply_ptr(const struct dns_query *q, const void *query, const char *name, uint32_t ttl_s, void *buf, size_t limit)
{
	unsigned char target[256], *p;
	size_t n = put_name(name, target);
	assert(limit >= DNS_REPLY_MIN);
	if (!n)
		return dns_wire_reply(q, query, DNS_SERVFAIL, buf, limit);
	if (DNS_HEADER + (size_t)q->question_len + 12 + n + (q->edns ? OPT_LEN : 0) > limit)
		return reply_end(q, DNS_NOERROR, 0, buf, reply_start(q, query, FLAG_AA | FLAG_TC, buf));
	p = reply_start(q, query, FLAG_AA, buf);
	p = put16(p, 0xc000 | DNS_HEADER);
	p = put16(p, DNS_TYPE_PTR);
	p = put16(p, DNS_CLASS_IN);
	p = put32(p, ttl_s);
	p = put16(p, (unsigned)n);
	memcpy(p, target, n);
	return reply_end(q, DNS_NOERROR, 1, buf, p + n);
}

/* The length of the one question after the header, 0 when there is not exactly one that can be read. */
static size_t question_length(const unsigned char *message, size_t n)
{
	struct cursor c = { .p = message, .n = n, .at = DNS_HEADER };
	struct dns_query q = {0};
	if (n < DNS_HEADER || get16(message + 4) != 1 || !parse_question(&c, &q))
		return 0;
	return q.question_len;
}

bool dns_wire_matches(const void *reply, size_t n, const void *query, size_t query_n)
{
	const unsigned char *r = reply, *q = query;
	size_t len = question_length(q, query_n);
	if (n < DNS_HEADER || len == 0 || get16(r) != get16(q))
		return false;
	if (!(get16(r + 2) & FLAG_QR) || ((get16(r + 2) ^ get16(q + 2)) & OPCODE))
		return false;
	/* FORMERR from a server that could not read the question may come without it */
	if (get16(r + 4) == 0)
		return (get16(r + 2) & 0xf) == DNS_FORMERR;
	if (question_length(r, n) != len)
		return false;
	for (size_t i = 0; i < len - 4; i++)
		if (lower(r[DNS_HEADER + i]) != lower(q[DNS_HEADER + i]))
			return false;
	return memcmp(r + DNS_HEADER + len - 4, q + DNS_HEADER + len - 4, 4) == 0; /* type and class */
}

enum dns_rcode dns_wire_rcode(const void *reply)
{
	return get16((const unsigned char *)reply + 2) & 0xf;
}

uint16_t dns_wire_id(const void *message)
{
	return get16(message);
}

void dns_wire_set_id(void *message, uint16_t id)
{
	put16(message, id);
}

size_t dns_wire_truncate(void *reply, size_t n, size_t limit)
{
	unsigned char *p = reply;
	size_t len;
	if (n <= limit || n < DNS_HEADER)
		return n;
	len = question_length(p, n);
	put16(p + 2, get16(p + 2) | FLAG_TC);
	put16(p + 4, len ? 1 : 0);
	memset(p + 6, 0, 6);
	return DNS_HEADER + len;
}

bool dns_wire_reverse(const char *name, struct in_addr *ret)
{
	uint32_t address = 0;
	for (unsigned i = 0; i < 4; i++) {
		unsigned v = 0, digits = 0;
		for (; *name >= '0' && *name <= '9' && digits < 3; digits++)
			v = v * 10 + (unsigned)(*name++ - '0');
		if (digits == 0 || v > 255 || *name++ != '.')
			return false;
		address |= (uint32_t)v << (8 * i);
	}
	if (strcmp(name, "in-addr.arpa") != 0)
		return false;
	ret->s_addr = htonl(address);
	return true;
}
