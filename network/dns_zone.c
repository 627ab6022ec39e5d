/* SPDX-License-Identifier: Apache-2.0 */
/* Who sees which name. A client sees the names on the networks that it is on, as `name` and as `name.network`; an owner that
 * shares several networks with it is answered once, with its address on the first of them in the client's order, so that each
 * replica has the same weight.
 *
 * What is not ours goes upstream, except where that could only be slow or leak: single labels (a typo, or a service that is
 * down) unless the host has search domains, reverse questions about our subnets, and everything for clients that sit on
 * internal networks only. An unknown name is NXDOMAIN, never SERVFAIL: musl's resolver gives up its search on SERVFAIL. */
#include "network/dns_zone.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/map.h"

/* The names of one owner on one network. */
struct zone_owner {
	unsigned number;          /* the same on all networks */
	struct in_addr address;   /* 0.0.0.0: known, but nothing runs there */
	struct strv names;
};

struct zone_name {
	struct zone_owner **owners;
	size_t n, cap;
};

struct zone_network {
	char *name;
	size_t name_len;
	struct in_addr subnet, mask; /* mask 0: unknown */
	struct map names;            /* lower-case name → struct zone_name */
	struct map owners;           /* owner id → struct zone_owner */
	struct map addresses;        /* dotted address → struct zone_owner */
};

struct dns_client {
	struct zone_network **networks;
	size_t n_networks;
	bool forward;
};

struct dns_zone {
	struct map networks;   /* lower-case name → struct zone_network */
	struct map numbers;    /* owner id → its number (as a pointer) */
	struct map clients;    /* id → struct dns_client */
	uintptr_t last_number;
	bool has_search;
};

struct dns_zone *dns_zone_new(void)
{
	return xcalloc(1, sizeof(struct dns_zone));
}

static void owner_free(struct zone_owner *o)
{
	strv_done(&o->names);
	free(o);
}

static void network_free(struct zone_network *n)
{
	for (struct map_entry *e = map_next(&n->names, NULL); e; e = map_next(&n->names, e)) {
		free(((struct zone_name *)e->value)->owners);
		free(e->value);
	}
	for (struct map_entry *e = map_next(&n->owners, NULL); e; e = map_next(&n->owners, e))
		owner_free(e->value);
	map_done(&n->names);
	map_done(&n->owners);
	map_done(&n->addresses);
	free(n->name);
	free(n);
}

static void client_free(struct dns_client *c)
{
	if (c)
		free(c->networks);
	free(c);
}

struct dns_zone *dns_zone_free(struct dns_zone *z)
{
	if (!z)
		return NULL;
	for (struct map_entry *e = map_next(&z->networks, NULL); e; e = map_next(&z->networks, e))
		network_free(e->value);
	for (struct map_entry *e = map_next(&z->clients, NULL); e; e = map_next(&z->clients, e))
		client_free(e->value);
	map_done(&z->networks);
	map_done(&z->numbers);
	map_done(&z->clients);
	free(z);
	return NULL;
}

static char *lower_copy(const char *s)
{
	char *copy = xstrdup(s);
	for (char *p = copy; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + ('a' - 'A'));
	return copy;
}

/* The network of that name, made when it is new: clients and names may be told in any order. */
static struct zone_network *zone_network(struct dns_zone *z, const char *name)
{
	AUTO_FREE char *key = lower_copy(name);
	struct zone_network *n = map_get(&z->networks, key);
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		n->name_len = strlen(key);
		n->name = TAKE_PTR(key);
		map_put(&z->networks, n->name, n);
	}
	return n;
}

void dns_zone_search_set(struct dns_zone *z, bool has_search)
{
	z->has_search = has_search;
}

void dns_zone_network_set(struct dns_zone *z, const char *network, struct in_addr subnet, unsigned prefix_len)
{
	struct zone_network *n = zone_network(z, network);
	n->mask.s_addr = prefix_len == 0 || prefix_len > 32 ? 0 : htonl(UINT32_MAX << (32 - prefix_len));
	n->subnet.s_addr = subnet.s_addr & n->mask.s_addr;
}

static const char *address_text(struct in_addr address, char buf[static INET_ADDRSTRLEN])
{
	return inet_ntop(AF_INET, &address, buf, INET_ADDRSTRLEN);
}

static void name_add(struct zone_network *n, const char *key, struct zone_owner *o)
{
	struct zone_name *name = map_get(&n->names, key);
	if (!name) {
		name = xcalloc(1, sizeof(*name));
		map_put(&n->names, key, name);
	}
	for (size_t i = 0; i < name->n; i++)
		if (name->owners[i] == o)
			return;
	name->owners = vec_grow(name->owners, name->n, &name->cap, sizeof(struct zone_owner *));
	name->owners[name->n++] = o;
}

static void name_remove(struct zone_network *n, const char *key, const struct zone_owner *o)
{
	struct zone_name *name = map_get(&n->names, key);
	for (size_t i = 0; name && i < name->n; i++)
		if (name->owners[i] == o) {
			name->owners[i] = name->owners[--name->n];
			break;
		}
	if (name && name->n == 0) {
		map_del(&n->names, key);
		free(name->owners);
		free(name);
	}
}

static void address_remove(struct zone_network *n, const struct zone_owner *o)
{
	char text[INET_ADDRSTRLEN];
	if (map_get(&n->addresses, address_text(o->address, text)) == o)
		map_del(&n->addresses, text);
}

static void network_owner_remove(struct zone_network *n, const char *owner)
{
	struct zone_owner *o = map_del(&n->owners, owner);
	if (!o)
		return;
	for (size_t i = 0; i < o->names.n; i++)
		name_remove(n, o->names.v[i], o);
	address_remove(n, o);
	owner_free(o);
}

static unsigned zone_number(struct dns_zone *z, const char *owner)
{
	void *number = map_get(&z->numbers, owner);
	if (!number) {
		number = (void *)++z->last_number;
		map_put(&z->numbers, owner, number);
	}
	return (unsigned)(uintptr_t)number;
}

void dns_zone_names_set(struct dns_zone *z, const char *owner, const char *network, struct in_addr address, const char *const *names,
			size_t n_names, bool add)
{
	struct zone_network *n = zone_network(z, network);
	struct zone_owner *o;
	char text[INET_ADDRSTRLEN];
	if (!add)
		network_owner_remove(n, owner);
	o = map_get(&n->owners, owner);
	if (!o) {
		if (n_names == 0)
			return;
		o = xcalloc(1, sizeof(*o));
		o->number = zone_number(z, owner);
		map_put(&n->owners, owner, o);
	}
	address_remove(n, o);
	o->address = address;
	if (address.s_addr)
		map_put(&n->addresses, address_text(address, text), o);
	for (size_t i = 0; i < n_names; i++) {
		AUTO_FREE char *key = lower_copy(names[i]);
		size_t len = strlen(key);
		if (len && key[len - 1] == '.')
			key[len - 1] = '\0';
		if (!*key || strv_has(&o->names, key))
			continue;
		strv_push(&o->names, key);
		name_add(n, key, o);
	}
}

void dns_zone_names_remove(struct dns_zone *z, const char *owner)
{
	for (struct map_entry *e = map_next(&z->networks, NULL); e; e = map_next(&z->networks, e))
		network_owner_remove(e->value, owner);
	map_del(&z->numbers, owner);
}

void dns_zone_client_set(struct dns_zone *z, const char *id, const char *const *networks, size_t n_networks, bool forward)
{
	struct dns_client *c = xcalloc(1, sizeof(*c));
	c->forward = forward;
	c->networks = xcalloc(n_networks + 1, sizeof(struct zone_network *));
	for (size_t i = 0; i < n_networks; i++)
		c->networks[c->n_networks++] = zone_network(z, networks[i]);
	client_free(map_get(&z->clients, id));
	map_put(&z->clients, id, c);
}

void dns_zone_client_remove(struct dns_zone *z, const char *id)
{
	client_free(map_del(&z->clients, id));
}

const struct dns_client *dns_zone_client(const struct dns_zone *z, const char *id)
{
	return map_get(&z->clients, id);
}

/* Collects the addresses of one name, one for each owner. A bit per owner number would do too, but names have few owners and
 * clients few networks. */
static void collect(const struct zone_name *name, bool first_network, unsigned *numbers, struct dns_answer *ret)
{
	size_t before = ret->n_addresses;
	for (size_t i = 0; i < name->n; i++) {
		const struct zone_owner *o = name->owners[i];
		bool known = o->address.s_addr == 0 || ret->n_addresses == DNS_MAX_ADDRESSES;
		for (size_t k = 0; !first_network && !known && k < before; k++)
			known = numbers[k] == o->number;
		if (known)
			continue;
		numbers[ret->n_addresses] = o->number;
		ret->addresses[ret->n_addresses++] = o->address;
	}
}

/* name.network: the name without the network, NULL when it does not end so. */
static const struct zone_name *qualified(const struct zone_network *n, const struct dns_query *q)
{
	char name[sizeof(q->name)];
	size_t len;
	if (q->name_len < n->name_len + 2 || q->name[q->name_len - n->name_len - 1] != '.')
		return NULL;
	len = q->name_len - n->name_len - 1;
	if (memcmp(q->name + len + 1, n->name, n->name_len) != 0)
		return NULL;
	memcpy(name, q->name, len);
	name[len] = '\0';
	return map_get(&n->names, name);
}

/* True when the name is one of ours on the client's networks; addresses may still be none. */
static bool find_names(const struct dns_client *c, const struct dns_query *q, struct dns_answer *ret)
{
	unsigned numbers[DNS_MAX_ADDRESSES];
	bool found = false;
	for (size_t i = 0; i < c->n_networks; i++) {
		const struct zone_name *name = map_get(&c->networks[i]->names, q->name);
		if (!name && q->n_labels > 1)
			name = qualified(c->networks[i], q);
		if (!name)
			continue;
		collect(name, ret->n_addresses == 0, numbers, ret);
		found = true;
	}
	return found;
}

/* Fisher–Yates, driven by splitmix64. */
static void shuffle(struct in_addr *a, size_t n, uint64_t random)
{
	for (size_t i = n; i > 1; i--) {
		uint64_t x = (random += 0x9e3779b97f4a7c15ULL);
		struct in_addr swap;
		size_t k;
		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
		x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
		k = (size_t)((x ^ (x >> 31)) % i);
		swap = a[i - 1];
		a[i - 1] = a[k];
		a[k] = swap;
	}
}

static enum dns_verdict reverse(const struct dns_zone *z, const struct dns_client *c, const struct dns_query *q, struct in_addr address,
				struct dns_answer *ret)
{
	char text[INET_ADDRSTRLEN];
	address_text(address, text);
	for (size_t i = 0; i < c->n_networks; i++) {
		const struct zone_network *n = c->networks[i];
		const struct zone_owner *o = map_get(&n->addresses, text);
		if (!o || o->names.n == 0)
			continue;
		if (q->type != DNS_TYPE_PTR && q->type != DNS_TYPE_ANY)
			return DNS_SAY_NODATA;
		snprintf(ret->name, sizeof(ret->name), "%s.%s", o->names.v[0], n->name);
		return DNS_SAY_NAME;
	}
	for (struct map_entry *e = map_next(&z->networks, NULL); e; e = map_next(&z->networks, e)) {
		const struct zone_network *n = e->value;
		if (n->mask.s_addr && (address.s_addr & n->mask.s_addr) == n->subnet.s_addr)
			return DNS_SAY_NXDOMAIN;
	}
	return c->forward ? DNS_SAY_FORWARD : DNS_SAY_NXDOMAIN;
}

/* `name.project_network` of a network of ours that has no such name: no public domain ends in a label with '_', so nobody
 * upstream knows it. */
static bool in_our_domain(const struct dns_client *c, const struct dns_query *q)
{
	for (size_t i = 0; i < c->n_networks; i++) {
		const struct zone_network *n = c->networks[i];
		if (q->name_len > n->name_len && strchr(n->name, '_') && !strchr(n->name, '.') &&
		    q->name[q->name_len - n->name_len - 1] == '.' && str_ends(q->name, n->name))
			return true;
	}
	return false;
}

/* A single label that is not on the client's networks: may it be asked upstream? */
static bool label_may_leave(const struct dns_zone *z, const struct dns_query *q)
{
	/* what validating resolvers ask about top-level domains */
	if (q->type == DNS_TYPE_NS || q->type == DNS_TYPE_SOA || q->type == DNS_TYPE_DS || q->type == DNS_TYPE_DNSKEY)
		return true;
	if (!z->has_search)
		return false;
	for (struct map_entry *e = map_next(&z->networks, NULL); e; e = map_next(&z->networks, e))
		if (map_get(&((const struct zone_network *)e->value)->names, q->name))
			return false;
	return true;
}

enum dns_verdict dns_zone_lookup(const struct dns_zone *z, const struct dns_client *c, const struct dns_query *q, uint64_t random,
				 struct dns_answer *ret)
{
	struct in_addr address;
	ret->local = false;
	ret->n_addresses = 0;
	if (q->type == DNS_TYPE_AXFR || q->type == DNS_TYPE_IXFR)
		return DNS_SAY_NOTIMP;
	if (!q->plain || (q->class != DNS_CLASS_IN && q->class != DNS_CLASS_ANY))
		return c->forward ? DNS_SAY_FORWARD : DNS_SAY_NXDOMAIN;
	if (q->n_labels == 6 && dns_wire_reverse(q->name, &address))
		return reverse(z, c, q, address, ret);
	if (find_names(c, q, ret)) {
		if (ret->n_addresses == 0)
			return DNS_SAY_NXDOMAIN;
		if (q->type != DNS_TYPE_A && q->type != DNS_TYPE_ANY)
			return DNS_SAY_NODATA;
		shuffle(ret->addresses, ret->n_addresses, random);
		return DNS_SAY_ADDRESSES;
	}
	if (strcmp(q->name, "localhost") == 0 || str_ends(q->name, ".localhost")) { /* RFC 6761 6.3 */
		ret->addresses[0].s_addr = htonl(INADDR_LOOPBACK);
		ret->n_addresses = 1;
		return q->type == DNS_TYPE_A || q->type == DNS_TYPE_ANY ? DNS_SAY_ADDRESSES : DNS_SAY_NODATA;
	}
	if (!c->forward || in_our_domain(c, q))
		return DNS_SAY_NXDOMAIN;
	ret->local = q->n_labels == 1;
	return q->n_labels != 1 || label_may_leave(z, q) ? DNS_SAY_FORWARD : DNS_SAY_NXDOMAIN;
}
