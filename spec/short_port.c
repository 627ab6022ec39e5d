/* SPDX-License-Identifier: Apache-2.0 */
/* The short port syntax (docker's go-connections). Ranges of the same length map pairwise; a range of host ports for one
 * container port stays a range from which one is chosen when the container starts. */
#include "spec/short_port.h"

#include <arpa/inet.h>

static bool parse_range(const char *s, size_t n, uint64_t *lo, uint64_t *hi)
{
	char buf[24];
	char *dash;
	if (n == 0 || n >= sizeof(buf))
		return false;
	memcpy(buf, s, n);
	buf[n] = '\0';
	dash = strchr(buf, '-');
	if (dash)
		*dash = '\0';
	if (!parse_u64(buf, 0, 65535, lo))
		return false;
	*hi = *lo;
	return !dash || (parse_u64(dash + 1, *lo, 65535, hi));
}

/* The address in s (brackets removed), "" for none, NULL when it is none. */
static const char *parse_ip(struct arena *a, const char *s, size_t n)
{
	unsigned char buf[sizeof(struct in6_addr)];
	const char *ip;
	bool bracket = n >= 2 && s[0] == '[' && s[n - 1] == ']';
	ip = bracket ? arena_strndup(a, s + 1, n - 2) : arena_strndup(a, s, n);
	if (!*ip)
		return ip;
	if (inet_pton(AF_INET, ip, buf) == 1 || inet_pton(AF_INET6, ip, buf) == 1)
		return ip;
	return NULL;
}

struct ranges {
	uint64_t target_lo, target_hi, host_lo, host_hi;
	bool has_host;
};

/* Five digits from the left and then the length: numbers in this order are in the order of their text, 10 before 9. */
static unsigned text_rank(unsigned port)
{
	unsigned length = 1, value = port;
	for (unsigned rest = port; rest > 9; rest /= 10)
		length++;
	for (unsigned i = length; i < 5; i++)
		value *= 10;
	return value * 8 + length;
}

static int compare_ports(const void *x, const void *y)
{
	unsigned a = text_rank(((const struct short_port *)x)->target), b = text_rank(((const struct short_port *)y)->target);
	return (a > b) - (a < b);
}

static void expand(const struct ranges *r, const char *ip, const char *protocol, struct arena *a, struct short_port **ret, size_t *ret_n)
{
	size_t n = (size_t)(r->target_hi - r->target_lo + 1);
	struct short_port *v = arena_alloc(a, n * sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct short_port){ .host_ip = ip, .target = (uint16_t)(r->target_lo + i), .protocol = protocol, .published = "" };
		if (r->has_host && n == 1 && r->host_lo != r->host_hi)
			v[i].published = arena_printf(a, "%u-%u", (unsigned)r->host_lo, (unsigned)r->host_hi);
		else if (r->has_host)
			v[i].published = arena_printf(a, "%u", (unsigned)(r->host_lo + i));
	}
	qsort(v, n, sizeof(*v), compare_ports);
	*ret = v;
	*ret_n = n;
}

static const char *parse_protocol(const char *s, const char *end)
{
	static const char *const known[] = { "tcp", "udp", "sctp" };
	const char *stop = memchr(s, '/', (size_t)(end - s));
	size_t n = (size_t)((stop ? stop : end) - s);
	if (n == 0)
		return "tcp";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strlen(known[i]) == n && strncasecmp(known[i], s, n) == 0)
			return known[i];
	return NULL;
}

int short_port_parse(const char *s, struct arena *a, struct short_port **ret, size_t *ret_n, struct err *err)
{
	const char *end = s + strlen(s), *container = memrchr(s, ':', (size_t)(end - s)), *host = NULL, *host_end = NULL, *slash;
	const char *ip = "", *protocol = "tcp";
	struct ranges r = { 0 };
	char shown[80];
	err_quote(shown, sizeof(shown), s);
	if (container) {
		const char *colon;
		host_end = container++;
		colon = memrchr(s, ':', (size_t)(host_end - s));
		host = colon ? colon + 1 : s;
		ip = parse_ip(a, s, colon ? (size_t)(colon - s) : 0);
		if (!ip)
			return err_set(err, ERR_INVALID, "\"%s\": \"%.*s\" is not an IP address", shown, (int)MIN(colon - s, 40), s);
	} else {
		container = s;
	}
	slash = memchr(container, '/', (size_t)(end - container));
	if (slash)
		protocol = parse_protocol(slash + 1, end);
	if (!protocol)
		return err_set(err, ERR_INVALID, "\"%s\": the protocol is none of tcp, udp and sctp", shown);
	if (container == (slash ? slash : end))
		return err_set(err, ERR_INVALID, "\"%s\": the container port is missing", shown);
	if (!parse_range(container, (size_t)((slash ? slash : end) - container), &r.target_lo, &r.target_hi))
		return err_set(err, ERR_INVALID, "\"%s\": the container port is no number or range from 0 to 65535", shown);
	r.has_host = host && host != host_end;
	if (r.has_host && !parse_range(host, (size_t)(host_end - host), &r.host_lo, &r.host_hi))
		return err_set(err, ERR_INVALID, "\"%s\": the host port is no number or range from 0 to 65535", shown);
	if (r.has_host && r.target_lo != r.target_hi && r.target_hi - r.target_lo != r.host_hi - r.host_lo)
		return err_set(err, ERR_INVALID, "\"%s\": the ranges of host and container ports differ in length", shown);
	expand(&r, ip, protocol, a, ret, ret_n);
	return 0;
}
