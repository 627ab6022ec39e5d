/* SPDX-License-Identifier: Apache-2.0 */
/* The DNS channel on the wire: a head of fixed size, then strings, each a u16 length, its bytes and a NUL (so that a decoded
 * string can be used where it lies), then servers as they are in memory (both ends are the same binary on the same machine,
 * yet every length is checked). */
#include "network/dns_control.h"

#include <arpa/inet.h>

struct dns_head {
	uint8_t op, flag;
	uint16_t n_strings, n_servers, pad;
	uint32_t number, address;
};

size_t dns_control_encode(const struct dns_message *m, void *buf, size_t size)
{
	struct dns_head head = { .op = (uint8_t)m->op, .flag = m->flag, .n_strings = (uint16_t)m->n_strings,
				 .n_servers = (uint16_t)m->n_servers, .number = m->number, .address = m->address.s_addr };
	unsigned char *p = buf;
	size_t at = sizeof(head), servers = m->n_servers * sizeof(m->servers[0]);
	if (size < at)
		return 0;
	memcpy(p, &head, sizeof(head));
	for (size_t i = 0; i < m->n_strings; i++) {
		size_t n = strlen(m->strings[i]);
		uint16_t len = (uint16_t)n;
		if (n > UINT16_MAX || size - at < sizeof(len) + n + 1)
			return 0;
		memcpy(p + at, &len, sizeof(len));
		memcpy(p + at + sizeof(len), m->strings[i], n + 1);
		at += sizeof(len) + n + 1;
	}
	if (size - at < servers)
		return 0;
	memcpy(p + at, m->servers, servers);
	return at + servers;
}

static const size_t dns_min_strings[DNS_OP_N_] = {
	[DNS_OP_CLIENT_SET] = 1, [DNS_OP_CLIENT_REMOVE] = 1, [DNS_OP_NETWORK_SET] = 1,
	[DNS_OP_NAMES_SET] = 2, [DNS_OP_NAMES_ADD] = 2, [DNS_OP_NAMES_REMOVE] = 1,
	[DNS_OP_RELAY_SET] = 1, [DNS_OP_RELAY_REMOVE] = 1,
};

int dns_control_decode(const void *packet, size_t n, struct dns_message *ret, struct err *err)
{
	const unsigned char *p = packet;
	struct dns_head head;
	size_t at = sizeof(head);
	if (n < at)
		return err_set(err, ERR_CORRUPT, "dns control: a packet of %zu bytes", n);
	memcpy(&head, p, sizeof(head));
	if (head.op == DNS_OP_NONE || head.op >= DNS_OP_N_ || head.n_strings > DNS_MAX_STRINGS || head.n_servers > RESOLV_MAX_SERVERS ||
	    head.n_strings < dns_min_strings[head.op])
		return err_set(err, ERR_CORRUPT, "dns control: malformed packet of kind %u", head.op);
	ret->op = head.op;
	ret->flag = head.flag;
	ret->number = head.number;
	ret->address.s_addr = head.address;
	ret->n_strings = head.n_strings;
	ret->n_servers = head.n_servers;
	for (size_t i = 0; i < head.n_strings; i++) {
		uint16_t len;
		if (n - at < sizeof(len))
			return err_set(err, ERR_CORRUPT, "dns control: packet of kind %u is cut", head.op);
		memcpy(&len, p + at, sizeof(len));
		at += sizeof(len);
		if (n - at < (size_t)len + 1 || memchr(p + at, '\0', (size_t)len + 1) != p + at + len)
			return err_set(err, ERR_CORRUPT, "dns control: packet of kind %u is cut", head.op);
		ret->strings[i] = (const char *)p + at;
		at += (size_t)len + 1;
	}
	if (n - at != head.n_servers * sizeof(ret->servers[0]))
		return err_set(err, ERR_CORRUPT, "dns control: packet of kind %u is cut", head.op);
	memcpy(ret->servers, p + at, n - at);
	return 0;
}

static void dns_control_send(struct dns_control *c, const struct dns_message *m, const int *fds, size_t n_fds)
{
	unsigned char buf[CHAN_MAX_PACKET];
	size_t n = dns_control_encode(m, buf, sizeof(buf));
	if (n)
		chan_send(&c->chan, buf, n, fds, n_fds);
}

static void dns_control_receive(struct chan *chan, const void *p, size_t n, int *fds, size_t n_fds)
{
	struct dns_control *c = CONTAINER_OF(chan, struct dns_control, chan);
	struct dns_message m;
	(void)fds;
	(void)n_fds;
	if (!p)
		c->fn(c, DNS_OP_NONE, 0);
	else if (dns_control_decode(p, n, &m, NULL) == 0 && (m.op == DNS_OP_HELLO || m.op == DNS_OP_ACK))
		c->fn(c, m.op, m.number);
}

int dns_control_open(struct dns_control *c, struct loop *l, int fd, void (*fn)(struct dns_control *, enum dns_op, uint32_t),
		     struct err *err)
{
	char digits[9];
	*c = (struct dns_control){ .fn = fn };
	/* a random start: receipts for a predecessor may still be on their way */
	random_hex(digits, sizeof(digits) - 1);
	digits[8] = '\0';
	c->serial = (uint32_t)strtoul(digits, NULL, 16);
	return chan_open(&c->chan, l, fd, dns_control_receive, err);
}

void dns_control_done(struct dns_control *c)
{
	chan_done(&c->chan);
}

void dns_control_reset(struct dns_control *c)
{
	chan_drop(&c->chan);
	dns_control_send(c, &(struct dns_message){ .op = DNS_OP_RESET }, NULL, 0);
}

uint32_t dns_control_sync(struct dns_control *c)
{
	if (++c->serial == 0)
		c->serial = 1;
	dns_control_send(c, &(struct dns_message){ .op = DNS_OP_SYNC, .number = c->serial }, NULL, 0);
	return c->serial;
}

void dns_control_upstreams_set(struct dns_control *c, const struct resolv_server *servers, size_t n, bool has_search)
{
	struct dns_message m = { .op = DNS_OP_UPSTREAMS_SET, .flag = has_search, .n_servers = MIN(n, (size_t)RESOLV_MAX_SERVERS) };
	memcpy(m.servers, servers, m.n_servers * sizeof(m.servers[0]));
	dns_control_send(c, &m, NULL, 0);
}

void dns_control_network_set(struct dns_control *c, const char *network, struct in_addr subnet, unsigned prefix_len)
{
	struct dns_message m = { .op = DNS_OP_NETWORK_SET, .number = prefix_len, .address = subnet, .n_strings = 1, .strings = { network } };
	dns_control_send(c, &m, NULL, 0);
}

void dns_control_client_set(struct dns_control *c, const char *id, const char *const *networks, size_t n_networks, bool forward,
			    int udp_fd, int tcp_fd)
{
	struct dns_message m = { .op = DNS_OP_CLIENT_SET, .flag = forward, .n_strings = 1, .strings = { id } };
	for (size_t i = 0; i < n_networks && m.n_strings < DNS_MAX_STRINGS; i++)
		m.strings[m.n_strings++] = networks[i];
	dns_control_send(c, &m, (int[]){ udp_fd, tcp_fd }, 2);
}

void dns_control_client_remove(struct dns_control *c, const char *id)
{
	dns_control_send(c, &(struct dns_message){ .op = DNS_OP_CLIENT_REMOVE, .n_strings = 1, .strings = { id } }, NULL, 0);
}

void dns_control_names_set(struct dns_control *c, const char *owner, const char *network, struct in_addr address,
			   const char *const *names, size_t n_names)
{
	struct dns_message m = { .op = DNS_OP_NAMES_SET, .address = address };
	size_t i = 0;
	/* as many packets as it takes; the first one replaces */
	do {
		size_t bytes = 2 * sizeof(uint16_t) + strlen(owner) + strlen(network) + 64;
		m.n_strings = 2;
		m.strings[0] = owner;
		m.strings[1] = network;
		for (; i < n_names && m.n_strings < DNS_MAX_STRINGS; i++) {
			size_t len = strlen(names[i]);
			if (len > DNS_MAX_NAME)
				continue;
			if (bytes + len + 3 > CHAN_MAX_PACKET)
				break;
			bytes += len + 3;
			m.strings[m.n_strings++] = names[i];
		}
		dns_control_send(c, &m, NULL, 0);
		m.op = DNS_OP_NAMES_ADD;
	} while (i < n_names);
}

void dns_control_names_remove(struct dns_control *c, const char *owner)
{
	dns_control_send(c, &(struct dns_message){ .op = DNS_OP_NAMES_REMOVE, .n_strings = 1, .strings = { owner } }, NULL, 0);
}

void dns_control_relay_set(struct dns_control *c, const char *key, int fd, struct in_addr address, uint16_t port)
{
	struct dns_message m = { .op = DNS_OP_RELAY_SET, .number = port, .address = address, .n_strings = 1, .strings = { key } };
	dns_control_send(c, &m, &fd, 1);
}

void dns_control_relay_remove(struct dns_control *c, const char *owner)
{
	dns_control_send(c, &(struct dns_message){ .op = DNS_OP_RELAY_REMOVE, .n_strings = 1, .strings = { owner } }, NULL, 0);
}
