/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions with the values of their variables. Which fields take variables is BuildKit's list; CMD, ENTRYPOINT, HEALTHCHECK and the command of
 * RUN keep theirs, those belong to the shell. */
#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "base/proc.h"
#include "images/build/instruction_impl.h"

/* An expansion under way. */
struct expansion {
	struct instruction_maker m;
	const struct instruction *in;
	const struct expand_env *env;
	struct expand_names *used;
	bool failed;
};

/* The place of the first variable of this word in the instruction's text, else of the instruction. */
static struct pos place_of(const struct expansion *x, const char *word)
{
	const char *p = *word ? strstr(x->in->node->original, word) : NULL;
	return p ? dockerfile_pos(x->in->node, (size_t)(p - x->in->node->original)) : x->in->pos;
}

static const char *expand_with(struct expansion *x, const char *word, char escape, unsigned flags, struct pos pos)
{
	AUTO_STR struct str text = { 0 };
	struct err err;
	if (expand_word(word, escape, flags, x->env, x->used, &text, &err) < 0) {
		instruction_error(&x->m, pos, "%s", err.msg);
		x->failed = true;
		return word;
	}
	return arena_strndup(x->m.arena, str_get(&text), text.len);
}

static const char *expanded(struct expansion *x, const char *word)
{
	return expand_with(x, word, x->in->node->file->escape, 0, place_of(x, word));
}

static struct instruction_list expanded_list(struct expansion *x, const struct instruction_list *l)
{
	struct instruction_list to = { .v = arena_alloc(x->m.arena, (l->n + 1) * sizeof(*to.v)), .n = l->n };
	for (size_t i = 0; i < l->n; i++)
		to.v[i] = expanded(x, l->v[i]);
	return to;
}

static void expand_pairs(struct expansion *x, struct instruction *to)
{
	to->pairs.v = arena_alloc(x->m.arena, (x->in->pairs.n + 1) * sizeof(*to->pairs.v));
	for (size_t i = 0; i < x->in->pairs.n; i++) {
		to->pairs.v[i] = x->in->pairs.v[i];
		to->pairs.v[i].name = expanded(x, x->in->pairs.v[i].name);
		to->pairs.v[i].value = expanded(x, x->in->pairs.v[i].value);
	}
}

/* The first line of a here-document's body. */
static struct pos body_of(const struct expansion *x, const char *name)
{
	const struct dockerfile_node *n = x->in->node;
	for (size_t i = 0; i < n->n_heredocs; i++) {
		if (str_eq(n->heredocs[i].name, name))
			return dockerfile_line_pos(n->file, n->heredocs[i].line);
	}
	return x->in->pos;
}

static void expand_copy(struct expansion *x, struct instruction *to)
{
	const struct instruction_copy *c = &x->in->copy;
	to->copy.chown = expanded(x, c->chown);
	to->copy.chmod = expanded(x, c->chmod);
	to->copy.checksum = expanded(x, c->checksum);
	to->copy.sources = expanded_list(x, &c->sources);
	to->copy.dest = expanded(x, c->dest);
	to->copy.contents = arena_alloc(x->m.arena, (c->n_contents + 1) * sizeof(*c->contents));
	for (size_t i = 0; i < c->n_contents; i++) {
		to->copy.contents[i] = c->contents[i];
		if (c->contents[i].expand)
			to->copy.contents[i].data = expand_with(x, c->contents[i].data, '\\', EXPAND_SKIP_QUOTES,
								  body_of(x, c->contents[i].name));
	}
}

static void expand_run(struct expansion *x, struct instruction *to)
{
	struct instruction_list mounts = { 0 }, devices = { 0 };
	const char *unused = "";
	const struct instruction_flag flags[] = {
		{ "mount", FLAG_LIST, .list = &mounts }, { "network", FLAG_TEXT, .text = &unused }, { "security", FLAG_TEXT, .text = &unused },
		{ "device", FLAG_LIST, .list = &devices },
	};
	if (!x->in->command.n_mounts)
		return;
	instruction_read_flags(&x->m, flags, ARRAY_SIZE(flags));
	to->command.mounts = arena_alloc(x->m.arena, (mounts.n + 1) * sizeof(*to->command.mounts));
	to->command.n_mounts = mounts.n;
	for (size_t i = 0; i < mounts.n; i++) {
		struct pos pos = instruction_flag_pos(&x->m, "mount", i);
		if (instruction_read_mount(&x->m, mounts.v[i], pos, x->env, x->used, &to->command.mounts[i]) < 0)
			x->failed = true;
	}
}

static void expand_expose(struct expansion *x, struct instruction *to)
{
	AUTO_STRV struct strv ports = { 0 };
	for (size_t i = 0; i < x->in->list.n; i++) {
		AUTO_STRV struct strv words = { 0 };
		struct err err;
		struct pos pos = place_of(x, x->in->list.v[i]);
		if (expand_words(x->in->list.v[i], x->in->node->file->escape, 0, x->env, x->used, &words, &err) < 0) {
			instruction_error(&x->m, pos, "%s", err.msg);
			x->failed = true;
		}
		for (size_t k = 0; k < words.n; k++) {
			if (instruction_expose(&x->m, words.v[k], pos, &ports) < 0)
				x->failed = true;
		}
	}
	to->list = instruction_list_of(x->m.arena, &ports);
}

static void expand_signal(struct expansion *x, struct instruction *to)
{
	to->text = expanded(x, x->in->text);
	if (!x->failed && !instruction_is_signal(to->text)) {
		instruction_error(&x->m, place_of(x, x->in->text), "STOPSIGNAL: \"%s\" is no signal", diag_quote(x->m.ds, to->text));
		x->failed = true;
	}
}

static void expand_volume(struct expansion *x, struct instruction *to)
{
	to->list = expanded_list(x, &x->in->list);
	for (size_t i = 0; i < to->list.n && !x->failed; i++) {
		if (*to->list.v[i])
			continue;
		instruction_error(&x->m, place_of(x, x->in->list.v[i]), "VOLUME: a path can't be empty");
		x->failed = true;
	}
}

int instruction_expand(struct arena *a, const struct instruction *in, const struct expand_env *env, struct expand_names *used, struct diags *ds,
		       struct instruction **ret)
{
	struct expansion x = {
		.m = { .arena = a, .ds = ds, .node = in->node, .name = instruction_name(in->kind) }, .in = in, .env = env, .used = used,
	};
	struct instruction *to = arena_alloc(a, sizeof(*to));
	*to = *in;
	switch (in->kind) {
	case INSTRUCTION_ENV:
	case INSTRUCTION_LABEL:
		expand_pairs(&x, to);
		break;
	case INSTRUCTION_ADD:
	case INSTRUCTION_COPY:
		expand_copy(&x, to);
		break;
	case INSTRUCTION_RUN:
		expand_run(&x, to);
		break;
	case INSTRUCTION_EXPOSE:
		expand_expose(&x, to);
		break;
	case INSTRUCTION_STOPSIGNAL:
		expand_signal(&x, to);
		break;
	case INSTRUCTION_USER:
	case INSTRUCTION_WORKDIR:
		to->text = expanded(&x, in->text);
		break;
	case INSTRUCTION_VOLUME:
		expand_volume(&x, to);
		break;
	default:
		break;
	}
	*ret = to;
	return x.failed ? -1 : 0;
}

bool instruction_is_signal(const char *s)
{
	uint64_t n;
	if (*s && !s[strspn(s, "0123456789")])
		return parse_u64(s, 1, 1000, &n);
	return proc_signal_parse(s) > 0;
}

/* "8000-8010" or "80". */
static bool parse_range(const char *s, unsigned *from, unsigned *to)
{
	AUTO_FREE char *copy = xstrdup(s);
	char *dash = strchr(copy, '-');
	uint64_t a, b;
	if (dash)
		*dash++ = 0;
	if (!parse_u64(copy, 0, 65535, &a) || (dash && !parse_u64(dash, a, 65535, &b)))
		return false;
	*from = (unsigned)a;
	*to = dash ? (unsigned)b : (unsigned)a;
	return true;
}

static bool is_address(const char *s)
{
	struct in6_addr in6;
	struct in_addr in4;
	char buf[INET6_ADDRSTRLEN + 2];
	size_t n = strlen(s);
	if (*s == '[' && n > 2 && n < sizeof(buf) && s[n - 1] == ']') {
		snprintf(buf, sizeof(buf), "%.*s", (int)n - 2, s + 1);
		s = buf;
	}
	return inet_pton(AF_INET, s, &in4) == 1 || inet_pton(AF_INET6, s, &in6) == 1;
}

static int bad_port(const struct instruction_maker *m, struct pos pos, const char *word, const char *why)
{
	diag_hint(m->ds, instruction_error(m, pos, "EXPOSE: \"%s\" is no port: %s", diag_quote(m->ds, word), why), "like 80, 53/udp, 8000-8010/tcp");
	return -1;
}

int instruction_expose(const struct instruction_maker *m, const char *word, struct pos pos, struct strv *ret)
{
	AUTO_FREE char *copy = xstrdup(word);
	char *port = strrchr(copy, ':'), *host = NULL, *address = NULL, *proto, tcp[] = "tcp";
	unsigned from, to, host_from, host_to;
	if (port) {
		*port++ = 0;
		host = strrchr(copy, ':');
		address = host ? copy : NULL;
		if (host)
			*host++ = 0;
		else
			host = copy;
	} else {
		port = copy;
	}
	proto = strchr(port, '/');
	if (proto)
		*proto++ = 0;
	if (!proto || !*proto)
		proto = tcp;
	for (char *c = proto; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
	if (!str_eq(proto, "tcp") && !str_eq(proto, "udp") && !str_eq(proto, "sctp"))
		return bad_port(m, pos, word, "the protocol is tcp, udp or sctp");
	if (!parse_range(port, &from, &to))
		return bad_port(m, pos, word, "a number from 0 to 65535 or a range of them is needed");
	if (address && *address && !is_address(address))
		return bad_port(m, pos, word, "what stands before it is no address");
	if (host && *host && (!parse_range(host, &host_from, &host_to) || (to != from && to - from != host_to - host_from)))
		return bad_port(m, pos, word, "what stands before it is no port or range of the same size");
	for (unsigned p = from; p <= to; p++)
		strv_pushf(ret, "%u/%s", p, proto);
	return 0;
}
