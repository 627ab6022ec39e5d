/* SPDX-License-Identifier: Apache-2.0 */
/* Subnet choice and address leases. No system call: what is in use comes in, what is chosen goes out, so the whole of it is tested in
 * microseconds. Leases rotate: an address that was just given back is the last to be handed out again, since neighbours' ARP entries,
 * resolvers' caches and connection tracking remember it for a while. */
#include "network/ipam.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { IPAM_MIN_PREFIX = 16, IPAM_MAX_PREFIX = 30, IPAM_WORD_BITS = 64 };

const struct ipam_pool ipam_pool_default = { .range = { .ip = 0x0a800000, .prefix_len = 9 }, .prefix_len = 24 };

uint32_t ipam_netmask(unsigned prefix_len)
{
	return prefix_len ? UINT32_MAX << (32 - prefix_len) : 0;
}

bool ipam_subnet_parse(const char *text, struct ipam_subnet *ret)
{
	const char *slash = strchr(text, '/');
	char ip[16];
	struct in_addr a;
	uint64_t prefix_len;
	if (!slash || (size_t)(slash - text) >= sizeof(ip) || !parse_u64(slash + 1, 0, 32, &prefix_len))
		return false;
	memcpy(ip, text, slash - text);
	ip[slash - text] = '\0';
	if (inet_pton(AF_INET, ip, &a) != 1 || (ntohl(a.s_addr) & ~ipam_netmask(prefix_len)))
		return false;
	*ret = (struct ipam_subnet){ .ip = ntohl(a.s_addr), .prefix_len = prefix_len };
	return true;
}

char *ipam_subnet_text(struct ipam_subnet s, char buf[static 20])
{
	const struct in_addr a = { htonl(s.ip) };
	inet_ntop(AF_INET, &a, buf, 16);
	snprintf(buf + strlen(buf), 4, "/%u", MIN(s.prefix_len, 32u));
	return buf;
}

bool ipam_overlap(struct ipam_subnet a, struct ipam_subnet b)
{
	const uint32_t mask = ipam_netmask(MIN(a.prefix_len, b.prefix_len));
	return (a.ip & mask) == (b.ip & mask);
}

/* A default route is no claim on addresses, whole or in the two halves that VPNs make of it. */
static bool ipam_is_claim(struct ipam_subnet s)
{
	return s.prefix_len > 1;
}

static uint32_t ipam_hash(const char *key)
{
	char hex[65];
	sha256_hex(key, strlen(key), hex);
	hex[8] = '\0';
	return strtoul(hex, NULL, 16);
}

int ipam_pick_subnet(const struct ipam_pool *pool, const char *key, const struct ipam_subnet *used, size_t n_used,
		     uint32_t *cursor, struct ipam_subnet *ret, struct err *err)
{
	const unsigned bits = pool->prefix_len - pool->range.prefix_len;
	char text[20];
	uint32_t n, start;
	if (pool->prefix_len < pool->range.prefix_len || pool->prefix_len > IPAM_MAX_PREFIX || pool->prefix_len < IPAM_MIN_PREFIX ||
	    bits > 24)
		return err_set(err, ERR_INVALID, "pool %s in /%u: unusable", ipam_subnet_text(pool->range, text), pool->prefix_len);
	n = 1u << bits;
	start = ipam_hash(key) % n;
	for (uint32_t i = *cursor; i < n; i++) {
		const uint32_t at = (start + i) % n;
		const struct ipam_subnet s = { .ip = pool->range.ip + (at << (32 - pool->prefix_len)), .prefix_len = pool->prefix_len };
		size_t j = 0;
		while (j < n_used && !(ipam_is_claim(used[j]) && ipam_overlap(used[j], s)))
			j++;
		if (j < n_used)
			continue;
		*cursor = i + 1;
		*ret = s;
		return 0;
	}
	return err_set(err, ERR_CONFLICT, "no free /%u subnet left in %s", pool->prefix_len, ipam_subnet_text(pool->range, text));
}

static uint32_t ipam_size(const struct ipam *m)
{
	return 1u << (32 - m->subnet.prefix_len);
}

static bool ipam_test(const struct ipam *m, uint32_t offset)
{
	return m->used[offset / IPAM_WORD_BITS] >> (offset % IPAM_WORD_BITS) & 1;
}

static void ipam_mark(struct ipam *m, uint32_t offset)
{
	m->used[offset / IPAM_WORD_BITS] |= 1ULL << (offset % IPAM_WORD_BITS);
}

int ipam_init(struct ipam *m, struct ipam_subnet subnet, struct err *err)
{
	char text[20];
	*m = (struct ipam){ 0 };
	if (subnet.prefix_len < IPAM_MIN_PREFIX || subnet.prefix_len > IPAM_MAX_PREFIX || (subnet.ip & ~ipam_netmask(subnet.prefix_len)))
		return err_set(err, ERR_INVALID, "subnet %s: not between /16 and /30", ipam_subnet_text(subnet, text));
	m->subnet = subnet;
	m->gateway = subnet.ip + 1;
	m->next = 2;
	m->used = xcalloc((ipam_size(m) + IPAM_WORD_BITS - 1) / IPAM_WORD_BITS, sizeof(*m->used));
	ipam_mark(m, 0);
	ipam_mark(m, 1);
	ipam_mark(m, ipam_size(m) - 1);
	return 0;
}

void ipam_done(struct ipam *m)
{
	free(m->used);
	*m = (struct ipam){ 0 };
}

int ipam_narrow(struct ipam *m, uint32_t gateway, struct ipam_subnet range, struct err *err)
{
	const uint32_t offset = gateway - m->subnet.ip;
	char text[20], inner[20];
	if (gateway && (gateway <= m->subnet.ip || offset >= ipam_size(m) - 1))
		return err_set(err, ERR_INVALID, "gateway %.*s is none of subnet %s",
			       (int)strcspn(ipam_subnet_text((struct ipam_subnet){ gateway, 32 }, inner), "/"), inner, ipam_subnet_text(m->subnet, text));
	if (range.prefix_len && (range.prefix_len < m->subnet.prefix_len || !ipam_overlap(range, m->subnet)))
		return err_set(err, ERR_INVALID, "range %s is not in subnet %s", ipam_subnet_text(range, inner), ipam_subnet_text(m->subnet, text));
	if (gateway && gateway != m->gateway) {
		m->used[0] &= ~2ULL;
		ipam_mark(m, offset);
		m->gateway = gateway;
		m->next = 1;
	}
	m->range = range;
	return 0;
}

int ipam_alloc(struct ipam *m, uint32_t *ret_ip, struct err *err)
{
	const uint32_t lo = m->range.prefix_len ? m->range.ip - m->subnet.ip : 0;
	const uint32_t n = m->range.prefix_len ? 1u << (32 - m->range.prefix_len) : ipam_size(m), first = m->next >= lo ? m->next - lo : 0;
	char text[20];
	for (uint32_t i = 0; i < n; i++) {
		const uint32_t offset = lo + (first + i) % n;
		if (ipam_test(m, offset))
			continue;
		ipam_mark(m, offset);
		m->next = (offset + 1) % ipam_size(m);
		*ret_ip = m->subnet.ip + offset;
		return 0;
	}
	return err_set(err, ERR_CONFLICT, "no free address left in %s", ipam_subnet_text(m->range.prefix_len ? m->range : m->subnet, text));
}

int ipam_take(struct ipam *m, uint32_t ip, struct err *err)
{
	const uint32_t offset = ip - m->subnet.ip;
	char text[20], ip_text[20];
	if (ip < m->subnet.ip || offset >= ipam_size(m) || offset == 0 || offset == ipam_size(m) - 1)
		return err_set(err, ERR_INVALID, "address %.*s is none of subnet %s", (int)strcspn(
			ipam_subnet_text((struct ipam_subnet){ ip, 32 }, ip_text), "/"), ip_text, ipam_subnet_text(m->subnet, text));
	if (ipam_test(m, offset))
		return 1;
	ipam_mark(m, offset);
	m->next = MAX(m->next, offset + 1) % ipam_size(m); /* rebuilt from records: go on behind the highest */
	return 0;
}

void ipam_release(struct ipam *m, uint32_t ip)
{
	const uint32_t offset = ip - m->subnet.ip;
	if (offset == 0 || ip == m->gateway || offset >= ipam_size(m) - 1)
		return; /* never the gateway, network or broadcast address */
	m->used[offset / IPAM_WORD_BITS] &= ~(1ULL << (offset % IPAM_WORD_BITS));
}
