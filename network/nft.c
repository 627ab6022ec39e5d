/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of the table, and its life. The common case is one transaction on the open socket. A removal of what is not there, or an
 * addition that contradicts what is there, makes the kernel refuse the whole transaction; then the table is read, the change
 * reduced to what differs, and the transaction tied to the generation that was read, so nothing can slip in between. */
#include "network/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "network/nft_expr.h"
#include "network/nft_table.h"

enum { NFT_KEY_MAX = 32, NFT_TRIES = 50, NFT_ELEMENTS_MAX = 1 << 20 };

/* One element as it goes over the wire; value_len 0: a set's. */
struct nft_element {
	const char *set;
	uint8_t key[NFT_KEY_MAX], value[8];
	uint8_t key_len, value_len;
	bool interval_end;
	char comment[NFT_OWNER_MAX + 1];
};

static uint8_t nft_protocol(enum port_protocol p)
{
	return p == PORT_UDP ? IPPROTO_UDP : IPPROTO_TCP;
}

static struct nft_element nft_ifname_element(const char *set, const char *ifname, const char *second)
{
	struct nft_element e = { .set = set, .key_len = second ? 2 * NET_IFNAME_SIZE : NET_IFNAME_SIZE };
	memcpy(e.key, ifname, strnlen(ifname, NET_IFNAME_SIZE - 1));
	if (second)
		memcpy(e.key + NET_IFNAME_SIZE, second, strnlen(second, NET_IFNAME_SIZE - 1));
	return e;
}

/* Concatenated keys are made of 4-byte registers, each part at the start of its own. */
static struct nft_element nft_port_element(const struct nft_port *p, bool with_value)
{
	struct nft_element e = { .set = p->host_ip ? "pub4ip" : "pub4" };
	const uint32_t host_ip = htonl(p->host_ip), ip = htonl(p->ip);
	const uint16_t host_port = htons(p->host_port), port = htons(p->port);
	uint8_t *key = e.key;
	if (p->host_ip) {
		memcpy(key, &host_ip, sizeof(host_ip));
		key += 4;
	}
	key[0] = nft_protocol(p->protocol);
	memcpy(key + 4, &host_port, sizeof(host_port));
	e.key_len = key + 8 - e.key;
	if (with_value) {
		memcpy(e.value, &ip, sizeof(ip));
		memcpy(e.value + 4, &port, sizeof(port));
		e.value_len = sizeof(e.value);
		snprintf(e.comment, sizeof(e.comment), "%s", p->owner);
	}
	return e;
}

static void nft_put_element(struct nl_batch *b, uint8_t type, const char *table, const struct nft_element *e)
{
	size_t list, elem, nest;
	nft_expr_msg(b, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, NFPROTO_INET);
	nl_put_str(b, NFTA_SET_ELEM_LIST_TABLE, table);
	nl_put_str(b, NFTA_SET_ELEM_LIST_SET, e->set);
	list = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
	elem = nl_nest(b, NFTA_LIST_ELEM | NLA_F_NESTED);
	nest = nl_nest(b, NFTA_SET_ELEM_KEY | NLA_F_NESTED);
	nl_put(b, NFTA_DATA_VALUE, e->key, e->key_len);
	nl_nest_end(b, nest);
	if (e->interval_end)
		nl_put_be32(b, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	if (type == NFT_MSG_NEWSETELEM) {
		if (e->value_len) {
			nest = nl_nest(b, NFTA_SET_ELEM_DATA | NLA_F_NESTED);
			nl_put(b, NFTA_DATA_VALUE, e->value, e->value_len);
			nl_nest_end(b, nest);
		}
		if (*e->comment)
			nft_expr_comment(b, NFTA_SET_ELEM_USERDATA, e->comment);
	}
	nl_nest_end(b, elem);
	nl_nest_end(b, list);
}

/* Elements, growing. */
struct nft_list {
	struct nft_element *e;
	size_t n, cap;
};

static void nft_list_done(struct nft_list *l)
{
	free(l->e);
	*l = (struct nft_list){ 0 };
}

static void nft_list_push(struct nft_list *l, const struct nft_element *e)
{
	l->e = vec_grow(l->e, l->n, &l->cap, sizeof(*l->e));
	l->e[l->n++] = *e;
}

/* Start and end of the interval; the comment says whose it is, so that it is found without the end. */
static void nft_list_push_subnet(struct nft_list *l, const struct nft_network *w)
{
	const uint32_t first = htonl(w->subnet.ip), behind = htonl(w->subnet.ip + (uint32_t)(1ULL << (32 - w->subnet.prefix_len)));
	struct nft_element e = { .set = "subnets4", .key_len = sizeof(first) };
	if (!w->subnet.prefix_len)
		return;
	memcpy(e.key, &first, sizeof(first));
	snprintf(e.comment, sizeof(e.comment), "%s/%u", w->bridge, w->subnet.prefix_len);
	nft_list_push(l, &e);
	if (!behind)
		return;
	memcpy(e.key, &behind, sizeof(behind));
	e.interval_end = true;
	*e.comment = '\0';
	nft_list_push(l, &e);
}

static void nft_list_push_network(struct nft_list *l, const struct nft_network *w)
{
	struct nft_element e = nft_ifname_element("brs", w->bridge, NULL);
	snprintf(e.comment, sizeof(e.comment), "%s", w->owner);
	nft_list_push(l, &e);
	e = nft_ifname_element("same", w->bridge, w->bridge);
	nft_list_push(l, &e);
	e = nft_ifname_element("internal", w->bridge, NULL);
	if (w->internal)
		nft_list_push(l, &e);
	nft_list_push_subnet(l, w);
}

static int nft_compare(const void *pa, const void *pb)
{
	const struct nft_element *a = pa, *b = pb;
	const int by_set = strcmp(a->set, b->set);
	if (by_set)
		return by_set;
	if (a->interval_end != b->interval_end)
		return a->interval_end - b->interval_end;
	return memcmp(a->key, b->key, sizeof(a->key)); /* zero behind key_len */
}

/* Sorts a list for nft_list_find() and makes elements single: the kernel's walk starts over when a set's hash table grows meanwhile. */
static void nft_list_sort(struct nft_list *l)
{
	size_t n = 0;
	if (l->n)
		qsort(l->e, l->n, sizeof(*l->e), nft_compare);
	for (size_t i = 0; i < l->n; i++)
		if (!n || nft_compare(&l->e[n - 1], &l->e[i]) != 0)
			l->e[n++] = l->e[i];
	l->n = n;
}

/* The element of a sorted list with e's set and key; NULL when there is none. */
static const struct nft_element *nft_list_find(const struct nft_list *l, const struct nft_element *e)
{
	return l->n ? bsearch(e, l->e, l->n, sizeof(*l->e), nft_compare) : NULL;
}

struct nft_read {
	struct nft_list *list;
	const char *set;
	size_t n_messages;
};

static void nft_read_element(struct nft_read *r, const struct nlattr *elem)
{
	struct nft_element e = { .set = r->set };
	const struct nlattr *tb[NFTA_SET_ELEM_USERDATA + 1], *key[NFTA_DATA_VALUE + 1], *value[NFTA_DATA_VALUE + 1];
	char comment[NFT_EXPR_COMMENT_MAX + 1] = "";
	nl_attrs_nested(elem, tb, NFTA_SET_ELEM_USERDATA);
	nl_attrs_nested(tb[NFTA_SET_ELEM_KEY], key, NFTA_DATA_VALUE);
	nl_attrs_nested(tb[NFTA_SET_ELEM_DATA], value, NFTA_DATA_VALUE);
	if (!key[NFTA_DATA_VALUE] || nl_len(key[NFTA_DATA_VALUE]) > sizeof(e.key) || r->list->n >= NFT_ELEMENTS_MAX)
		return;
	e.key_len = nl_len(key[NFTA_DATA_VALUE]);
	memcpy(e.key, nl_data(key[NFTA_DATA_VALUE]), e.key_len);
	if (value[NFTA_DATA_VALUE] && nl_len(value[NFTA_DATA_VALUE]) <= sizeof(e.value)) {
		e.value_len = nl_len(value[NFTA_DATA_VALUE]);
		memcpy(e.value, nl_data(value[NFTA_DATA_VALUE]), e.value_len);
	}
	e.interval_end = nl_be32(tb[NFTA_SET_ELEM_FLAGS]) & NFT_SET_ELEM_INTERVAL_END;
	if (nft_expr_comment_read(tb[NFTA_SET_ELEM_USERDATA], comment))
		snprintf(e.comment, sizeof(e.comment), "%.*s", NFT_OWNER_MAX, comment);
	nft_list_push(r->list, &e);
}

static int nft_read_answer(void *arg, const struct nlmsghdr *m, struct err *err)
{
	struct nft_read *r = arg;
	const struct nlattr *tb[NFTA_SET_ELEM_LIST_ELEMENTS + 1];
	(void)err;
	if (!m) {
		r->list->n = 0;
		r->n_messages = 0;
		return 0;
	}
	r->n_messages++;
	nl_attrs(m, sizeof(struct nfgenmsg), tb, NFTA_SET_ELEM_LIST_ELEMENTS);
	if (!tb[NFTA_SET_ELEM_LIST_ELEMENTS])
		return 0;
	for (const struct nlattr *e = NULL; (e = nl_nest_next(tb[NFTA_SET_ELEM_LIST_ELEMENTS], e));)
		nft_read_element(r, e);
	return 0;
}

static bool nft_list_equal(const struct nft_list *a, const struct nft_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (nft_compare(&a->e[i], &b->e[i]) != 0)
			return false;
	return true;
}

static int nft_read_once(struct net *n, const char *table, const char *set, struct nft_list *list, size_t *ret_messages, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	struct nft_read r = { .list = list, .set = set };
	struct err got = { 0 };
	nft_expr_msg(&b, NFT_MSG_GETSETELEM, NLM_F_DUMP, NFPROTO_INET);
	nl_put_str(&b, NFTA_SET_ELEM_LIST_TABLE, table);
	nl_put_str(&b, NFTA_SET_ELEM_LIST_SET, set);
	list->n = 0;
	if (nl_ask(&n->nf, &b, nft_read_answer, &r, &got) < 0 && got.sys != ENOENT) {
		*err = got;
		return -1;
	}
	nft_list_sort(list);
	*ret_messages = r.n_messages;
	return 0;
}

/* Reads one set. A dump of several messages goes by counts, and loses elements when the set's hash table grows between two of them
 * (which the kernel does not tell): such a dump is done until two in a row are equal. */
static int nft_read_set(struct net *n, const char *table, const char *set, struct nft_list *list, struct err *err)
{
	CLEANUP(nft_list_done) struct nft_list now = { 0 }, last = { 0 };
	for (int i = 0; i < NFT_TRIES; i++) {
		size_t n_messages;
		if (nft_read_once(n, table, set, &now, &n_messages, err) < 0)
			return -1;
		if (n_messages <= 1 || (i && nft_list_equal(&now, &last)))
			break;
		const struct nft_list spare = last;
		last = now;
		now = spare;
	}
	for (size_t i = 0; i < now.n; i++)
		nft_list_push(list, &now.e[i]);
	return 0;
}

/* Every element of the table, sorted; none when the table is not there. */
static int nft_read_all(struct net *n, const char *table, struct nft_list *list, struct err *err)
{
	for (size_t i = 0; nft_table_sets[i]; i++)
		if (nft_read_set(n, table, nft_table_sets[i], list, err) < 0)
			return -1;
	nft_list_sort(list);
	return 0;
}

static int nft_got_generation(void *arg, const struct nlmsghdr *m, struct err *err)
{
	const struct nlattr *tb[NFTA_GEN_ID + 1];
	(void)err;
	if (!m)
		return 0;
	nl_attrs(m, sizeof(struct nfgenmsg), tb, NFTA_GEN_ID);
	*(uint32_t *)arg = nl_be32(tb[NFTA_GEN_ID]);
	return 0;
}

static int nft_generation(struct net *n, uint32_t *ret, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	*ret = 0;
	nft_expr_msg(&b, NFT_MSG_GETGEN, 0, AF_UNSPEC);
	return nl_ask(&n->nf, &b, nft_got_generation, ret, err);
}

/* What the kernel holds of a bridge's network, whatever it is: complete, half there, or with another subnet than the caller thinks. */
static void nft_list_network(const struct nft_list *have, const char *bridge, struct nft_list *ret)
{
	const struct nft_element named[] = { nft_ifname_element("brs", bridge, NULL), nft_ifname_element("same", bridge, bridge),
		nft_ifname_element("internal", bridge, NULL) };
	const size_t len = strlen(bridge);
	for (size_t i = 0; i < ARRAY_SIZE(named); i++)
		nft_list_push(ret, &named[i]);
	for (size_t i = 0; i < have->n; i++) {
		const struct nft_element *e = &have->e[i];
		struct nft_network w = { 0 };
		uint64_t prefix_len;
		uint32_t ip;
		if (!str_eq(e->set, "subnets4") || e->interval_end || strncmp(e->comment, bridge, len) != 0 || e->comment[len] != '/' ||
		    !parse_u64(e->comment + len + 1, 1, 32, &prefix_len))
			continue;
		memcpy(&ip, e->key, sizeof(ip));
		memcpy(w.bridge, bridge, MIN(len, sizeof(w.bridge) - 1));
		w.subnet = (struct ipam_subnet){ ntohl(ip), prefix_len };
		nft_list_push_subnet(ret, &w);
	}
}

/* The change as two lists of elements. have NULL: networks to delete are named as the caller knows them. */
static void nft_expand(const struct nft_change *c, const struct nft_list *have, struct nft_list *dels, struct nft_list *adds)
{
	for (size_t i = 0; i < c->n_del_ports; i++) {
		const struct nft_element e = nft_port_element(&c->del_ports[i], false);
		nft_list_push(dels, &e);
	}
	for (size_t i = 0; i < c->n_del_networks; i++)
		nft_list_network(have, c->del_networks[i].bridge, dels);
	for (size_t i = 0; i < c->n_add_networks; i++)
		nft_list_push_network(adds, &c->add_networks[i]);
	for (size_t i = 0; i < c->n_add_ports; i++) {
		const struct nft_element e = nft_port_element(&c->add_ports[i], true);
		nft_list_push(adds, &e);
	}
}

/* Sends removals and additions as one transaction; with have, only what makes a difference to it, and only if nothing changed since. */
static int nft_commit(struct net *n, const char *table, const struct nft_change *c, const struct nft_list *have, uint32_t generation,
		      struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	CLEANUP(nft_list_done) struct nft_list dels = { 0 }, adds = { 0 }, gone = { 0 };
	nft_expand(c, have, &dels, &adds);
	for (size_t i = 0; i < dels.n; i++)
		nft_list_push(&gone, &dels.e[i]);
	nft_list_sort(&gone); /* dels stay in order: start and end of an interval belong together */
	nft_expr_begin(&b, generation);
	for (size_t i = 0; i < dels.n; i++)
		if (!have || nft_list_find(have, &dels.e[i]))
			nft_put_element(&b, NFT_MSG_DELSETELEM, table, &dels.e[i]);
	for (size_t i = 0; i < adds.n; i++) {
		const struct nft_element *e = &adds.e[i], *old = have ? nft_list_find(have, e) : NULL;
		const bool same = old && old->value_len == e->value_len && memcmp(old->value, e->value, e->value_len) == 0 &&
				  str_eq(old->comment, e->comment);
		const bool removed = old && nft_list_find(&gone, e);
		if (same && !removed)
			continue;
		if (old && !removed)
			nft_put_element(&b, NFT_MSG_DELSETELEM, table, old);
		nft_put_element(&b, NFT_MSG_NEWSETELEM, table, e);
	}
	nft_expr_end(&b);
	return failpoint_err("net.rules", err) < 0 ? -1 : nl_talk(&n->nf, &b, NULL, err);
}

int nft_ensure(struct net *n, struct err *err)
{
	return nft_table_ensure(n, err) < 0 ? err_wrap(err, "packet rules") : 0;
}

static int nft_check(const struct nft_change *c, struct err *err)
{
	for (size_t i = 0; i < c->n_add_networks; i++)
		if (!*c->add_networks[i].bridge || c->add_networks[i].subnet.prefix_len > 32)
			return err_set(err, ERR_INVALID, "network without bridge or with a bad subnet");
	for (size_t i = 0; i < c->n_add_ports; i++)
		if (!c->add_ports[i].host_port || !c->add_ports[i].port || !c->add_ports[i].ip)
			return err_set(err, ERR_INVALID, "published port without address or port");
	return 0;
}

/* Reads, reduces, commits; again when somebody was faster. */
static int nft_apply_exactly(struct net *n, const char *table, const struct nft_change *c, struct err *err)
{
	for (int i = 0; i < NFT_TRIES; i++) {
		CLEANUP(nft_list_done) struct nft_list have = { 0 };
		uint32_t generation;
		if (nft_table_ensure(n, err) < 0 || nft_generation(n, &generation, err) < 0 || nft_read_all(n, table, &have, err) < 0)
			return -1;
		if (nft_commit(n, table, c, &have, generation, err) == 0)
			return 0;
		if (err->sys != ERESTART && err->sys != ENOENT) /* ENOENT: the table went between the first two steps */
			return -1;
	}
	return -1;
}

int nft_apply(struct net *n, const struct nft_change *change, struct err *err)
{
	char table[NFT_TABLE_NAME_SIZE];
	struct err first = { 0 };
	nft_table_name(n, table);
	if (nft_check(change, err) < 0)
		return err_wrap(err, "packet rules");
	if (change->n_add_networks && nft_ensure(n, err) < 0) /* a new network: not often, and perhaps the first */
		return -1;
	if (!change->n_del_networks && nft_commit(n, table, change, NULL, 0, &first) == 0)
		return 0;
	return nft_apply_exactly(n, table, change, err) < 0 ? err_wrap(err, "packet rules") : 0;
}

static bool nft_is_owner(const char *owner, const char *have)
{
	const size_t len = owner ? strlen(owner) : 0;
	return !owner || (strncmp(have, owner, len) == 0 && (have[len] == '\0' || have[len] == '/'));
}

static void nft_state_port(struct nft_state *s, size_t *cap, const struct nft_element *e)
{
	const uint8_t *key = e->key + (str_eq(e->set, "pub4ip") ? 4 : 0);
	struct nft_port p = { .protocol = key[0] == IPPROTO_UDP ? PORT_UDP : PORT_TCP };
	uint32_t ip;
	uint16_t port;
	if (key != e->key) {
		memcpy(&ip, e->key, sizeof(ip));
		p.host_ip = ntohl(ip);
	}
	memcpy(&port, key + 4, sizeof(port));
	p.host_port = ntohs(port);
	memcpy(&ip, e->value, sizeof(ip));
	memcpy(&port, e->value + 4, sizeof(port));
	p.ip = ntohl(ip);
	p.port = ntohs(port);
	memcpy(p.owner, e->comment, sizeof(p.owner));
	s->ports = vec_grow(s->ports, s->n_ports, cap, sizeof(*s->ports));
	s->ports[s->n_ports++] = p;
}

/* A network whose `same` or subnet element is missing is listed without subnet, so that the caller adds it again. */
static void nft_state_network(struct nft_state *s, size_t *cap, const struct nft_list *all, const struct nft_element *e)
{
	struct nft_network w = { 0 };
	struct nft_element same, internal;
	size_t len;
	memcpy(w.bridge, e->key, sizeof(w.bridge) - 1);
	len = strlen(w.bridge);
	memcpy(w.owner, e->comment, sizeof(w.owner));
	same = nft_ifname_element("same", w.bridge, w.bridge);
	internal = nft_ifname_element("internal", w.bridge, NULL);
	w.internal = nft_list_find(all, &internal);
	for (size_t i = 0; nft_list_find(all, &same) && i < all->n; i++) {
		const char *comment = all->e[i].comment;
		uint64_t prefix_len;
		uint32_t ip;
		if (!str_eq(all->e[i].set, "subnets4") || strncmp(comment, w.bridge, len) != 0 || comment[len] != '/' ||
		    !parse_u64(comment + len + 1, 1, 32, &prefix_len))
			continue;
		memcpy(&ip, all->e[i].key, sizeof(ip));
		w.subnet = (struct ipam_subnet){ ntohl(ip), prefix_len };
	}
	s->networks = vec_grow(s->networks, s->n_networks, cap, sizeof(*s->networks));
	s->networks[s->n_networks++] = w;
}

int nft_list(struct net *n, const char *owner, struct nft_state *ret, struct err *err)
{
	CLEANUP(nft_list_done) struct nft_list all = { 0 };
	char table[NFT_TABLE_NAME_SIZE];
	size_t networks_cap = 0, ports_cap = 0;
	*ret = (struct nft_state){ 0 };
	nft_table_name(n, table);
	if (nft_read_all(n, table, &all, err) < 0)
		return err_wrap(err, "packet rules");
	for (size_t i = 0; i < all.n; i++) {
		const struct nft_element *e = &all.e[i];
		if (!nft_is_owner(owner, e->comment))
			continue;
		if (str_eq(e->set, "brs") && e->key_len == NET_IFNAME_SIZE)
			nft_state_network(ret, &networks_cap, &all, e);
		else if (str_starts(e->set, "pub4") && e->value_len == sizeof(e->value))
			nft_state_port(ret, &ports_cap, e);
	}
	return 0;
}

void nft_state_done(struct nft_state *s)
{
	free(s->networks);
	free(s->ports);
	*s = (struct nft_state){ 0 };
}

static int nft_ignore(void *arg, const struct nlmsghdr *m, struct err *err)
{
	(void)arg;
	(void)m;
	(void)err;
	return 0;
}

/* 0 it is there, 1 it is not. Asked because a batch that fails waits for a grace period of RCU, 10 ms and more. */
static int nft_look_for_table(struct net *n, const char *table, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	struct err got = { 0 };
	nft_expr_msg(&b, NFT_MSG_GETTABLE, NLM_F_ACK, NFPROTO_INET);
	nl_put_str(&b, NFTA_TABLE_NAME, table);
	if (nl_ask(&n->nf, &b, nft_ignore, NULL, &got) == 0)
		return 0;
	if (got.sys == ENOENT)
		return 1;
	*err = got;
	return err_wrap(err, "packet rules");
}

int nft_release(struct net *n, struct err *err)
{
	char table[NFT_TABLE_NAME_SIZE];
	int there;
	nft_table_name(n, table);
	there = nft_look_for_table(n, table, err);
	if (there != 0)
		return there < 0 ? -1 : 0;
	for (int i = 0; i < NFT_TRIES; i++) {
		AUTO_BATCH struct nl_batch b = { 0 };
		CLEANUP(nft_state_done) struct nft_state s = { 0 };
		struct err got = { 0 };
		uint32_t generation;
		if (nft_generation(n, &generation, err) < 0 || nft_list(n, NULL, &s, err) < 0)
			return -1;
		if (s.n_networks)
			return 1;
		if (failpoint_err("net.rules.release", err) < 0)
			return -1;
		nft_expr_begin(&b, generation);
		nft_expr_msg(&b, NFT_MSG_DELTABLE, 0, NFPROTO_INET);
		nl_put_str(&b, NFTA_TABLE_NAME, table);
		nft_expr_end(&b);
		if (nl_talk(&n->nf, &b, NULL, &got) == 0 || got.sys == ENOENT)
			return 0;
		*err = got;
		if (got.sys != ERESTART)
			break;
	}
	return err_wrap(err, "remove packet rules");
}
