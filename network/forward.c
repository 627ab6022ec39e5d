/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding. dockerd (iptables-nft) and some firewalls give a forward chain the policy drop; a packet needs an accept in every table.
 * Where that chain is iptables' own `ip filter FORWARD` we add accepts for our links, in DOCKER-USER when docker made it: there they
 * survive docker's own rewriting of FORWARD, and a way from us into docker's unpublished ports is kept shut by returning to docker's
 * rules for its bridges first. What comes towards our bridges may be let in there without loss: our own table judges it. Old iptables
 * (ip_tables, not nf_tables) shows its policy by getsockopt; we only read it. */
#include "network/forward.h"

#include <netinet/in.h> /* before linux/in.h, which then stands back */
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "network/nft_expr.h"
#include "network/nft_table.h"
#include "network/scan.h"

enum { FORWARD_MAX_RULES = 8, FORWARD_MAX_LEGACY = 16 << 20 };

static const char forward_table[] = "filter", forward_chain[] = "FORWARD", forward_docker[] = "DOCKER-USER";

static void forward_put_guard(struct nl_batch *b, const char *table, const char *ifname)
{
	char key[NET_IFNAME_SIZE] = "";
	size_t list, elem, nest;
	snprintf(key, sizeof(key), "%s", ifname);
	nft_expr_msg(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE, NFPROTO_INET);
	nl_put_str(b, NFTA_SET_ELEM_LIST_TABLE, table);
	nl_put_str(b, NFTA_SET_ELEM_LIST_SET, "guard");
	list = nl_nest(b, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
	elem = nl_nest(b, NFTA_LIST_ELEM | NLA_F_NESTED);
	nest = nl_nest(b, NFTA_SET_ELEM_KEY | NLA_F_NESTED);
	nl_put(b, NFTA_DATA_VALUE, key, sizeof(key));
	nl_nest_end(b, nest);
	nl_nest_end(b, elem);
	nl_nest_end(b, list);
}

/* Uplinks and tunnels, not the bridges of other container engines and what is in them: those may count on forwarding later. */
static bool forward_is_guarded(const struct scan_link *l)
{
	return !(l->flags & IFF_LOOPBACK) && !l->master && !str_eq(l->kind, "bridge");
}

static int forward_guard(struct net *n, struct err *err)
{
	AUTO_FREE struct scan_link *links = NULL;
	AUTO_BATCH struct nl_batch b = { 0 };
	char table[NFT_TABLE_NAME_SIZE];
	size_t n_links;
	if (scan_links(n, NULL, &links, &n_links, err) < 0)
		return -1;
	nft_table_name(n, table);
	nft_expr_begin(&b, 0);
	for (size_t i = 0; i < n_links; i++)
		if (forward_is_guarded(&links[i]))
			forward_put_guard(&b, table, links[i].name);
	nft_expr_end(&b);
	return nl_talk(&n->nf, &b, NULL, err);
}

int forward_enable(struct net *n, struct err *err)
{
	AUTO_STR struct str value = { 0 };
	int rc = fs_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", 16, &value, err);
	if (rc)
		return rc < 0 ? err_wrap(err, "ip_forward") : err_set(err, ERR_UNSUPPORTED, "ip_forward: the kernel has no such sysctl");
	if (*str_get(&value) != '0')
		return 0;
	if (forward_guard(n, err) < 0)
		return err_wrap(err, "guard links before ip_forward");
	return net_sysctl_write("ipv4/ip_forward", "1", err) ? err_wrap(err, "ip_forward") : 0;
}

/* What the chains of others look like. */
struct forward_seen {
	const struct net *n;
	bool filter_drops, has_docker_user;
	char foreign[96];  /* a dropping chain that is not iptables': "inet firewalld filter_FORWARD" */
};

static const char *forward_family(uint8_t family)
{
	return family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_INET ? "inet" : family == NFPROTO_BRIDGE ? "bridge" : "other";
}

static int forward_got_chain(void *arg, const struct nlmsghdr *m, struct err *err)
{
	struct forward_seen *s = arg;
	const struct nlattr *tb[NFTA_CHAIN_POLICY + 1], *hook[NFTA_HOOK_PRIORITY + 1];
	const struct nfgenmsg *g;
	const char *table, *chain;
	char quoted[64];
	bool is_filter;
	(void)err;
	if (!m) {
		*s = (struct forward_seen){ .n = s->n };
		return 0;
	}
	if (NLMSG_PAYLOAD(m, 0) < sizeof(*g))
		return 0;
	g = NLMSG_DATA(m);
	nl_attrs(m, sizeof(*g), tb, NFTA_CHAIN_POLICY);
	table = nl_str(tb[NFTA_CHAIN_TABLE]);
	chain = nl_str(tb[NFTA_CHAIN_NAME]);
	if (!table || !chain)
		return 0;
	is_filter = g->nfgen_family == NFPROTO_IPV4 && str_eq(table, forward_table);
	s->has_docker_user |= is_filter && str_eq(chain, forward_docker);
	nl_attrs_nested(tb[NFTA_CHAIN_HOOK], hook, NFTA_HOOK_PRIORITY);
	if (!tb[NFTA_CHAIN_HOOK] || nl_be32(hook[NFTA_HOOK_HOOKNUM]) != NF_INET_FORWARD || nl_be32(tb[NFTA_CHAIN_POLICY]) != NF_DROP ||
	    (g->nfgen_family != NFPROTO_IPV4 && g->nfgen_family != NFPROTO_INET))
		return 0;
	if (is_filter && str_eq(chain, forward_chain))
		s->filter_drops = true;
	else
		snprintf(s->foreign, sizeof(s->foreign), "%s %s", forward_family(g->nfgen_family), err_quote(quoted, sizeof(quoted),
			table));
	return 0;
}

static int forward_look(struct net *n, struct forward_seen *s, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	*s = (struct forward_seen){ .n = n };
	nft_expr_msg(&b, NFT_MSG_GETCHAIN, NLM_F_DUMP, AF_UNSPEC);
	return nl_ask(&n->nf, &b, forward_got_chain, s, err) < 0 ? err_wrap(err, "list packet filter chains") : 0;
}

/* Our rules in `ip filter`, by tag. */
struct forward_rules {
	char tag[NFT_TABLE_NAME_SIZE];
	struct {
		uint64_t handle;  /* as on the wire */
		char chain[32];
	} rules[FORWARD_MAX_RULES * 4];
	size_t n;
};

static int forward_got_rule(void *arg, const struct nlmsghdr *m, struct err *err)
{
	struct forward_rules *r = arg;
	const struct nlattr *tb[NFTA_RULE_USERDATA + 1];
	char comment[NFT_EXPR_COMMENT_MAX + 1];
	const char *chain;
	(void)err;
	if (!m) {
		r->n = 0;
		return 0;
	}
	nl_attrs(m, sizeof(struct nfgenmsg), tb, NFTA_RULE_USERDATA);
	chain = nl_str(tb[NFTA_RULE_CHAIN]);
	if (!chain || !tb[NFTA_RULE_HANDLE] || nl_len(tb[NFTA_RULE_HANDLE]) != sizeof(uint64_t) || r->n == ARRAY_SIZE(r->rules) ||
	    strlen(chain) >= sizeof(r->rules->chain) || !nft_expr_comment_read(tb[NFTA_RULE_USERDATA], comment) || !str_eq(comment, r->tag))
		return 0;
	memcpy(&r->rules[r->n].handle, nl_data(tb[NFTA_RULE_HANDLE]), sizeof(uint64_t));
	snprintf(r->rules[r->n++].chain, sizeof(r->rules->chain), "%s", chain);
	return 0;
}

static int forward_find_rules(struct net *n, struct forward_rules *r, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	struct err got = { 0 };
	*r = (struct forward_rules){ 0 };
	nft_table_name(n, r->tag);
	nft_expr_msg(&b, NFT_MSG_GETRULE, NLM_F_DUMP, NFPROTO_IPV4);
	nl_put_str(&b, NFTA_RULE_TABLE, forward_table);
	if (nl_ask(&n->nf, &b, forward_got_rule, r, &got) == 0 || got.sys == ENOENT)
		return 0;
	*err = got;
	return err_wrap(err, "list rules of ip filter");
}

static void forward_put_removals(struct nl_batch *b, const struct forward_rules *r)
{
	for (size_t i = 0; i < r->n; i++) {
		nft_expr_msg(b, NFT_MSG_DELRULE, 0, NFPROTO_IPV4);
		nl_put_str(b, NFTA_RULE_TABLE, forward_table);
		nl_put_str(b, NFTA_RULE_CHAIN, r->rules[i].chain);
		nl_put(b, NFTA_RULE_HANDLE, &r->rules[i].handle, sizeof(r->rules[i].handle));
	}
}

struct forward_rule {
	const char *in, *out;  /* interface name prefixes; NULL: any */
	int32_t verdict;
};

/* In the order in which they are to stand. */
static const struct forward_rule forward_docker_rules[] = {
	{ "mu", "docker", NFT_RETURN },
	{ "mu", "br-", NFT_RETURN },
	{ "mu", NULL, NF_ACCEPT },
	{ NULL, "mu", NF_ACCEPT },
};
static const struct forward_rule forward_plain_rules[] = {
	{ "mu", NULL, NF_ACCEPT },
	{ NULL, "mu", NF_ACCEPT },
};

static void forward_put_rule(struct nl_batch *b, const char *chain, const struct forward_rule *f, const char *tag)
{
	/* without NLM_F_APPEND it goes to the top */
	const size_t at = nft_expr_rule(b, NLM_F_CREATE, NFPROTO_IPV4, forward_table, chain);
	if (f->in) {
		nft_expr_meta(b, NFT_META_IIFNAME, NFT_REG_1);
		nft_expr_cmp(b, NFT_CMP_EQ, NFT_REG_1, f->in, strlen(f->in));
	}
	if (f->out) {
		nft_expr_meta(b, NFT_META_OIFNAME, NFT_REG_1);
		nft_expr_cmp(b, NFT_CMP_EQ, NFT_REG_1, f->out, strlen(f->out));
	}
	nft_expr_verdict(b, f->verdict);
	nft_expr_rule_end(b, at, tag);
}

/* Puts our rules at the top of the right chain unless they stand there already. */
static int forward_insert(struct net *n, bool docker, struct err *err)
{
	const struct forward_rule *want = docker ? forward_docker_rules : forward_plain_rules;
	const size_t n_want = docker ? ARRAY_SIZE(forward_docker_rules) : ARRAY_SIZE(forward_plain_rules);
	const char *chain = docker ? forward_docker : forward_chain;
	AUTO_BATCH struct nl_batch b = { 0 };
	struct forward_rules have;
	size_t n_right = 0;
	if (forward_find_rules(n, &have, err) < 0)
		return -1;
	for (size_t i = 0; i < have.n; i++)
		n_right += str_eq(have.rules[i].chain, chain);
	if (n_right == n_want && have.n == n_want)
		return 0;
	nft_expr_begin(&b, 0);
	forward_put_removals(&b, &have);
	for (size_t i = n_want; i-- > 0;)
		forward_put_rule(&b, chain, &want[i], have.tag);
	nft_expr_end(&b);
	return nl_talk(&n->nf, &b, NULL, err) < 0 ? err_wrap(err, "let our bridges pass in ip filter %s", chain) : 0;
}

/* True when the FORWARD chain of ip_tables (not nf_tables) is in use and its policy is drop: the verdict of its last entry. */
static bool forward_legacy_drops(void)
{
	AUTO_CLOSE int fd = -1;
	AUTO_FREE struct ipt_get_entries *entries = NULL;
	AUTO_STR struct str names = { 0 };
	struct ipt_getinfo info = { .name = "filter" };
	socklen_t len = sizeof(info);
	struct xt_standard_target target;
	struct ipt_entry entry;
	struct err ignored;
	/* asking for the table would create it in this namespace: look first whether it is there */
	if (fs_read(AT_FDCWD, "/proc/net/ip_tables_names", 4096, &names, &ignored) || !strstr(str_get(&names), "filter"))
		return false;
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0 || getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &len) < 0 || info.size > FORWARD_MAX_LEGACY)
		return false;
	len = sizeof(*entries) + info.size;
	entries = xcalloc(1, len);
	memcpy(entries->name, info.name, sizeof(entries->name));
	entries->size = info.size;
	if (getsockopt(fd, IPPROTO_IP, IPT_SO_GET_ENTRIES, entries, &len) < 0)
		return false;
	const uint64_t at = info.underflow[NF_INET_FORWARD];
	if (at + sizeof(entry) > info.size)
		return false;
	memcpy(&entry, (char *)entries->entrytable + at, sizeof(entry));
	if (at + entry.target_offset + sizeof(target) > info.size)
		return false;
	memcpy(&target, (char *)entries->entrytable + at + entry.target_offset, sizeof(target));
	return target.verdict == -NF_DROP - 1;
}

int forward_admit(struct net *n, struct str *ret_message, struct err *err)
{
	struct forward_seen s;
	str_clear(ret_message);
	if (forward_look(n, &s, err) < 0)
		return -1;
	if (s.filter_drops && forward_insert(n, s.has_docker_user, err) < 0)
		return -1;
	if (*s.foreign)
		str_addf(ret_message,
			"another firewall (nftables table %s) drops forwarded packets: published ports and the way out may not "
			 "work until it accepts the interfaces mu*", s.foreign);
	else if (forward_legacy_drops())
		str_addf(ret_message,
			"iptables-legacy has FORWARD set to drop: published ports and the way out will not work until it accepts "
			 "the interfaces mu+");
	return ret_message->len ? 1 : 0;
}

int forward_withdraw(struct net *n, struct err *err)
{
	AUTO_BATCH struct nl_batch b = { 0 };
	struct forward_rules have;
	struct err got = { 0 };
	if (forward_find_rules(n, &have, err) < 0)
		return -1;
	if (!have.n)
		return 0;
	nft_expr_begin(&b, 0);
	forward_put_removals(&b, &have);
	nft_expr_end(&b);
	if (nl_talk(&n->nf, &b, NULL, &got) == 0 || got.sys == ENOENT)
		return 0;
	*err = got;
	return err_wrap(err, "remove our rules from ip filter");
}
