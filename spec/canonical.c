/* SPDX-License-Identifier: Apache-2.0 */
/* Short to long syntax. One function per kind of value, picked by path. A node that is made here takes the position of the
 * text that it stands for, so "8080:80" on line 12 is still line 12 when its target turns out to be wrong. */
#include "spec/canonical.h"

#include <stdio.h>

#include "spec/paths.h"
#include "spec/pattern.h"
#include "spec/short_port.h"
#include "spec/short_volume.h"

enum { PORTS_MAX = 70000 }; /* in one document: every port of a host, and a few */

struct canonical {
	struct diags *ds;
	struct arena *a;
	struct pattern_set set;
	bool lenient;
	int failed;
	size_t n_ports;
};

/* Returns what takes the node's place (often itself, changed). */
typedef struct node *(*canonical_fn)(struct canonical *c, struct node *n, const struct node_path *path);

static struct diag *fail(struct canonical *c, const struct node *n, const struct node_path *path, const char *text)
{
	c->failed = -1;
	return diag_error(c->ds, n->pos, node_path_text(c->a, path), "%s", text);
}

static struct node *put_new(struct canonical *c, struct node *map, const char *key, struct pos pos, const char *text)
{
	struct node *n = node_new_string(c->a, pos, text);
	node_put(c->a, map, key, pos, n);
	return n;
}

static void put_implied(struct arena *a, struct node *map, const char *key, struct node *value)
{
	if (node_get(map, key))
		return;
	value->implied = true;
	node_put(a, map, key, map->pos, value);
}

/* "name" → { source: name } */
static struct node *long_file(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct node *map;
	(void)path;
	if (n->kind != NODE_STRING)
		return n;
	map = node_new(c->a, NODE_MAP, n->pos);
	node_put(c->a, map, "source", n->pos, n);
	return map;
}

/* true → "true" */
static struct node *long_text(struct canonical *c, struct node *n, const struct node_path *path)
{
	(void)path;
	if (n->kind == NODE_BOOL || n->kind == NODE_INT || n->kind == NODE_FLOAT)
		node_set_string(c->a, n, n->text);
	return n;
}

/* [a=b] → { a: b } */
static struct node *long_pairs(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct node *map;
	if (n->kind != NODE_SEQ)
		return n;
	map = node_new(c->a, NODE_MAP, n->pos);
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .index = i };
		struct node *item = n->items[i];
		const char *eq = item->kind == NODE_STRING ? strchr(item->text, '=') : NULL;
		if (!eq && c->lenient)
			return n;
		if (!eq) {
			diag_hint(c->ds, fail(c, item, &step, "the value is missing"), "write NAME=VALUE");
			continue;
		}
		put_new(c, map, arena_strndup(c->a, item->text, (size_t)(eq - item->text)), item->pos, eq + 1);
	}
	return map;
}

static struct node *long_depends_on(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct node *map = n;
	(void)path;
	if (n->kind == NODE_SEQ) {
		map = node_new(c->a, NODE_MAP, n->pos);
		for (size_t i = 0; i < n->n; i++)
			if (n->items[i]->kind == NODE_STRING)
				node_put(c->a, map, n->items[i]->text, n->items[i]->pos, node_new(c->a, NODE_MAP, n->items[i]->pos));
	}
	for (size_t i = 0; map->kind == NODE_MAP && i < map->n; i++) {
		struct node *one = map->entries[i].value;
		if (one->kind != NODE_MAP)
			continue;
		put_implied(c->a, one, "condition", node_new_string(c->a, one->pos, "service_started"));
		put_implied(c->a, one, "required", node_new_bool(c->a, one->pos, true));
	}
	return map;
}

static struct node *as_list(struct canonical *c, struct node *n)
{
	struct node *seq = node_new(c->a, NODE_SEQ, n->pos);
	node_push(c->a, seq, n);
	return seq;
}

static struct node *long_list(struct canonical *c, struct node *n, const struct node_path *path)
{
	(void)path;
	return n->kind == NODE_STRING ? as_list(c, n) : n;
}

static struct node *long_env_file(struct canonical *c, struct node *n, const struct node_path *path)
{
	n = long_list(c, n, path);
	for (size_t i = 0; n->kind == NODE_SEQ && i < n->n; i++) {
		struct node *item = n->items[i];
		if (item->kind == NODE_STRING) {
			struct node *map = node_new(c->a, NODE_MAP, item->pos);
			node_put(c->a, map, "path", item->pos, item);
			item = n->items[i] = map;
		}
		if (item->kind == NODE_MAP)
			put_implied(c->a, item, "required", node_new_bool(c->a, item->pos, true));
	}
	return n;
}

/* [a, b] → { a: null, b: null } */
static struct node *long_names(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct node *map;
	(void)path;
	if (n->kind != NODE_SEQ)
		return n;
	map = node_new(c->a, NODE_MAP, n->pos);
	for (size_t i = 0; i < n->n; i++)
		if (n->items[i]->kind == NODE_STRING)
			node_put(c->a, map, n->items[i]->text, n->items[i]->pos, node_new(c->a, NODE_NULL, n->items[i]->pos));
	return map;
}

static struct node *long_gpus(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct node *map;
	(void)path;
	if (n->kind != NODE_STRING)
		return n;
	map = node_new(c->a, NODE_MAP, n->pos);
	put_new(c, map, "count", n->pos, "all");
	return as_list(c, map);
}

static void put_volume_options(struct canonical *c, struct node *map, const struct short_volume *v, struct pos pos)
{
	struct node *bind, *volume;
	if (v->bind || v->bind_options) {
		bind = node_new(c->a, NODE_MAP, pos);
		bind->implied = !v->bind_options;
		node_put(c->a, map, "bind", pos, bind);
		if (v->selinux)
			put_new(c, bind, "selinux", pos, v->selinux);
		if (v->propagation)
			put_new(c, bind, "propagation", pos, v->propagation);
		if (v->bind)
			put_implied(c->a, bind, "create_host_path", node_new_bool(c->a, pos, true));
	}
	if (v->nocopy || (!v->bind && !v->bare)) {
		volume = node_new(c->a, NODE_MAP, pos);
		volume->implied = !v->nocopy;
		node_put(c->a, map, "volume", pos, volume);
		if (v->nocopy)
			node_put(c->a, volume, "nocopy", pos, node_new_bool(c->a, pos, true));
	}
}

static struct node *long_volume(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct short_volume v;
	struct node *map;
	const char *why;
	if (n->kind != NODE_STRING)
		return n;
	if (!short_volume_parse(n->text, c->a, &v, &why)) {
		if (!c->lenient)
			diag_hint(c->ds, fail(c, n, path, arena_printf(c->a, "\"%s\" is no mount: %s", diag_quote(c->ds, n->text), why)),
				"write SOURCE:TARGET or SOURCE:TARGET:ro");
		return n;
	}
	if (v.unknown)
		diag_warning(c->ds, n->pos, node_path_text(c->a, path), "the option \"%s\" means nothing", diag_quote(c->ds, v.unknown));
	if (!v.source && path_is_windows(v.target))
		diag_hint(c->ds, diag_warning(c->ds, n->pos, node_path_text(c->a, path), "\"%.1s:\" reads as a drive of Windows, not as a volume", v.target),
			"give the volume a name of two letters or more");
	map = node_new(c->a, NODE_MAP, n->pos);
	put_new(c, map, "type", n->pos, v.bind ? "bind" : "volume");
	if (v.source)
		put_new(c, map, "source", n->pos, v.source);
	if (v.target)
		put_new(c, map, "target", n->pos, path_clean(c->a, v.target));
	if (v.read_only)
		node_put(c->a, map, "read_only", n->pos, node_new_bool(c->a, n->pos, true));
	put_volume_options(c, map, &v, n->pos);
	return map;
}

static struct node *long_device(struct canonical *c, struct node *n, const struct node_path *path)
{
	const char *parts[3] = { "", "", "rwm" }, *p = n->text;
	struct node *map;
	size_t i;
	if (n->kind != NODE_STRING)
		return n;
	for (i = 0; ; i++) {
		size_t len = strcspn(p, ":");
		if (i < ARRAY_SIZE(parts))
			parts[i] = arena_strndup(c->a, p, len);
		if (!p[len])
			break;
		p += len + 1;
	}
	if (i >= ARRAY_SIZE(parts)) {
		if (!c->lenient)
			diag_hint(c->ds, fail(c, n, path, "too many colons in a device"), "use the long form: source, target, permissions");
		return n;
	}
	map = node_new(c->a, NODE_MAP, n->pos);
	put_new(c, map, "source", n->pos, parts[0]);
	put_new(c, map, "target", n->pos, *parts[1] ? parts[1] : parts[0]);
	put_new(c, map, "permissions", n->pos, parts[2]);
	return map;
}

static struct node *long_port(struct canonical *c, const struct node *n, const struct short_port *p)
{
	struct node *map = node_new(c->a, NODE_MAP, n->pos), *mode;
	mode = put_new(c, map, "mode", n->pos, "ingress");
	mode->implied = true;
	if (*p->host_ip)
		put_new(c, map, "host_ip", n->pos, p->host_ip);
	node_put(c->a, map, "target", n->pos, node_new_int(c->a, n->pos, p->target));
	if (*p->published)
		put_new(c, map, "published", n->pos, p->published);
	put_new(c, map, "protocol", n->pos, p->protocol);
	return map;
}

static struct node *long_ports(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct node *seq;
	if (n->kind != NODE_SEQ)
		return n;
	seq = node_new(c->a, NODE_SEQ, n->pos);
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .index = i };
		struct node *item = n->items[i];
		struct short_port *v;
		struct err err;
		size_t count;
		if (c->n_ports > PORTS_MAX)
			return n; /* it was said */
		if (item->kind != NODE_STRING && item->kind != NODE_INT) {
			node_push(c->a, seq, item);
			continue;
		}
		if (short_port_parse(item->text, c->a, &v, &count, &err) < 0) {
			if (c->lenient)
				return n;
			diag_hint(c->ds, fail(c, item, &step, err.msg), "write CONTAINER, HOST:CONTAINER or IP:HOST:CONTAINER, and /udp for UDP");
			continue;
		}
		c->n_ports += count;
		if (c->n_ports > PORTS_MAX) {
			fail(c, item, &step, arena_printf(c->a, "more than %d ports in one document", PORTS_MAX));
			return n;
		}
		for (size_t k = 0; k < count; k++)
			node_push(c->a, seq, long_port(c, item, &v[k]));
	}
	return seq;
}

/* [default, id=path] → { default: null, id: path } */
/* ID=PATH, or "ID: PATH" as the reference prints it (and cannot read it back). */
static struct node *long_ssh(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct node *map;
	if (n->kind != NODE_SEQ)
		return n;
	map = node_new(c->a, NODE_MAP, n->pos);
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .index = i };
		struct node *item = n->items[i];
		const char *eq = item->kind == NODE_STRING ? strchr(item->text, '=') : NULL;
		const char *colon = item->kind == NODE_STRING ? strstr(item->text, ": ") : NULL;
		if (colon && (!eq || colon < eq))
			put_new(c, map, arena_strndup(c->a, item->text, (size_t)(colon - item->text)), item->pos, colon + 2);
		else if (eq)
			put_new(c, map, arena_strndup(c->a, item->text, (size_t)(eq - item->text)), item->pos, eq + 1);
		else if (item->kind == NODE_STRING && strcmp(item->text, "default") == 0)
			node_put(c->a, map, "default", item->pos, node_new(c->a, NODE_NULL, item->pos));
		else
			diag_hint(c->ds, fail(c, item, &step, "no ssh key"), "write default, or ID=PATH");
	}
	return map;
}

static struct node *check_ulimit(struct canonical *c, struct node *n, const struct node_path *path)
{
	if (n->kind != NODE_MAP && n->kind != NODE_INT && !c->lenient)
		fail(c, n, path, arena_printf(c->a, "must be a whole number or a mapping with soft and hard, not %s", node_kind_name(n->kind)));
	return n;
}

static struct node *long_external(struct canonical *c, struct node *n, const struct node_path *path)
{
	struct node *external = node_get(n, "external"), *name = node_get(n, "name"), *old;
	struct diag *d;
	if (!node_is(external, NODE_MAP))
		return n;
	old = node_get(external, "name");
	node_put(c->a, n, "external", node_entry(n, "external")->key_pos, node_new_bool(c->a, external->pos, true));
	if (!old)
		return n;
	if (name && !node_equal(name, old)) {
		d = fail(c, old, path, "name and external.name differ");
		diag_note(c->ds, d, name->pos, "name is here");
	}
	if (!name)
		node_put(c->a, n, "name", old->pos, old);
	return n;
}

static const struct {
	const char *pattern;
	canonical_fn fn;
} rules[] = {
	{ "services.*.build.secrets.*", long_file },
	{ "services.*.build.provenance", long_text },
	{ "services.*.build.sbom", long_text },
	{ "services.*.build.additional_contexts", long_pairs },
	{ "services.*.depends_on", long_depends_on },
	{ "services.*.env_file", long_env_file },
	{ "services.*.label_file", long_list },
	{ "services.*.gpus", long_gpus },
	{ "services.*.networks", long_names },
	{ "services.*.models", long_names },
	{ "services.*.volumes.*", long_volume },
	{ "services.*.dns", long_list },
	{ "services.*.devices.*", long_device },
	{ "services.*.secrets.*", long_file },
	{ "services.*.configs.*", long_file },
	{ "services.*.ports", long_ports },
	{ "services.*.build.ssh", long_ssh },
	{ "services.*.ulimits.*", check_ulimit },
	{ "services.*.build.ulimits.*", check_ulimit },
	{ "services.*.develop.watch.*.ignore", long_list },
	{ "services.*.develop.watch.*.include", long_list },
	{ "volumes.*", long_external },
	{ "networks.*", long_external },
	{ "secrets.*", long_external },
	{ "configs.*", long_external },
};

/* build: "." → build: { context: "." }; extends: "a" → { service: a }: these have children that are rewritten as well. */
static struct node *long_string(struct canonical *c, struct node *n, const char *key)
{
	struct node *map;
	if (n->kind != NODE_STRING)
		return n;
	map = node_new(c->a, NODE_MAP, n->pos);
	node_put(c->a, map, key, n->pos, n);
	return map;
}

static struct node *walk(struct canonical *c, struct node *n, uint64_t live, size_t depth, const struct node_path *path)
{
	int hit = pattern_hit(&c->set, live, depth);
	if (hit >= 0 && diag_too_large(c->ds, n->pos, NULL)) {
		c->failed = -1;
		return n;
	}
	if (hit >= 0)
		return rules[hit].fn(c, n, path);
	for (size_t i = 0; i < n->n; i++) {
		struct node **child = n->kind == NODE_MAP ? &n->entries[i].value : &n->items[i];
		struct node_path step = { .up = path, .key = n->kind == NODE_MAP ? n->entries[i].key : NULL, .index = i };
		uint64_t next = pattern_step(&c->set, live, depth, step.key);
		if (depth == 2 && step.key && strcmp(step.key, "build") == 0 && live)
			*child = long_string(c, *child, "context");
		if (depth == 2 && step.key && strcmp(step.key, "extends") == 0 && live)
			*child = long_string(c, *child, "service");
		if (next)
			*child = walk(c, *child, next, depth + 1, &step);
	}
	return n;
}

/* dns: what is empty counts as not there. */
static void drop_empty_dns(struct node *doc)
{
	const struct node *services = node_get(doc, "services");
	for (size_t i = 0; node_is(services, NODE_MAP) && i < services->n; i++) {
		struct node *dns = node_get(services->entries[i].value, "dns");
		size_t kept = 0;
		for (size_t k = 0; node_is(dns, NODE_SEQ) && k < dns->n; k++)
			if (dns->items[k]->kind != NODE_NULL && !(dns->items[k]->kind == NODE_STRING && !*dns->items[k]->text))
				dns->items[kept++] = dns->items[k];
		if (node_is(dns, NODE_SEQ))
			dns->n = kept;
	}
}

int canonical_apply(struct node *doc, bool lenient, struct diags *ds)
{
	struct canonical c = { .ds = ds, .a = ds->arena, .lenient = lenient };
	const char *patterns[ARRAY_SIZE(rules)];
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		patterns[i] = rules[i].pattern;
	pattern_set_init(&c.set, patterns, ARRAY_SIZE(rules));
	walk(&c, doc, pattern_start(&c.set), 0, NULL);
	drop_empty_dns(doc);
	return c.failed;
}
