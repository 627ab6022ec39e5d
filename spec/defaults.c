/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults and checks on the canonical form of one set of files, before it is joined with others: what the reference
 * calls default values and validation. They run for included projects as well. */
#include <arpa/inet.h>

#include "spec/canonical.h"
#include "spec/pattern.h"

typedef void (*visit_fn)(struct diags *ds, struct node *n, const struct node_path *path);

struct rule {
	const char *pattern;
	visit_fn fn;
};

struct walk {
	struct diags *ds;
	const struct rule *rules;
	struct pattern_set set;
};

static void walk_node(struct walk *w, struct node *n, uint64_t live, size_t depth, const struct node_path *path)
{
	int hit = pattern_hit(&w->set, live, depth);
	if (hit >= 0) {
		w->rules[hit].fn(w->ds, n, path);
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		bool map = n->kind == NODE_MAP;
		struct node_path step = { .up = path, .key = map ? n->entries[i].key : NULL, .index = i };
		uint64_t next = pattern_step(&w->set, live, depth, step.key);
		if (next)
			walk_node(w, map ? n->entries[i].value : n->items[i], next, depth + 1, &step);
	}
}

static void walk_rules(struct node *doc, const struct rule *rules, size_t n, struct diags *ds)
{
	struct walk w = { .ds = ds, .rules = rules };
	const char *patterns[PATTERN_MAX];
	for (size_t i = 0; i < n; i++)
		patterns[i] = rules[i].pattern;
	pattern_set_init(&w.set, patterns, n);
	walk_node(&w, doc, pattern_start(&w.set), 0, NULL);
}

static void imply_string(struct diags *ds, struct node *map, const char *key, const char *text)
{
	struct node *n;
	if (map->kind != NODE_MAP || node_get(map, key))
		return;
	n = node_new_string(ds->arena, map->pos, text);
	n->implied = true;
	node_put(ds->arena, map, key, map->pos, n);
}

static void default_build(struct diags *ds, struct node *n, const struct node_path *path)
{
	(void)path;
	imply_string(ds, n, "context", ".");
}

static void default_secret(struct diags *ds, struct node *n, const struct node_path *path)
{
	(void)path;
	imply_string(ds, n, "target", arena_printf(ds->arena, "/run/secrets/%s", node_str(n, "source", "")));
}

static void default_port(struct diags *ds, struct node *n, const struct node_path *path)
{
	(void)path;
	imply_string(ds, n, "protocol", "tcp");
	imply_string(ds, n, "mode", "ingress");
}

static void default_device(struct diags *ds, struct node *n, const struct node_path *path)
{
	(void)path;
	if (!node_get(n, "device_ids"))
		imply_string(ds, n, "count", "all");
}

static void default_bind(struct diags *ds, struct node *n, const struct node_path *path)
{
	struct node *b;
	(void)path;
	if (n->kind != NODE_MAP || node_get(n, "create_host_path"))
		return;
	b = node_new_bool(ds->arena, n->pos, true);
	b->implied = true;
	node_put(ds->arena, n, "create_host_path", n->pos, b);
}

void canonical_defaults(struct node *doc, struct diags *ds)
{
	static const struct rule rules[] = {
		{ "services.*.build", default_build },
		{ "services.*.secrets.*", default_secret },
		{ "services.*.ports.*", default_port },
		{ "services.*.deploy.resources.reservations.devices.*", default_device },
		{ "services.*.gpus.*", default_device },
		{ "services.*.volumes.*.bind", default_bind },
	};
	walk_rules(doc, rules, ARRAY_SIZE(rules), ds);
}

static void check_volume(struct diags *ds, struct node *n, const struct node_path *path)
{
	const struct node *external = node_get(n, "external");
	if (!node_is(external, NODE_BOOL) || !external->boolean)
		return;
	for (size_t i = 0; i < n->n; i++) {
		const char *key = n->entries[i].key;
		struct diag *d;
		if (strcmp(key, "name") == 0 || strcmp(key, "external") == 0 || str_starts(key, "x-"))
			continue;
		d = diag_error(ds, n->entries[i].key_pos, node_path_text(ds->arena, path), "external and %s exclude each other", key);
		diag_note(ds, d, external->pos, "external is here: somebody else made this volume");
	}
}

static void check_sources(struct diags *ds, struct node *n, const struct node_path *path, const char *const *keys, size_t n_keys, const char *list)
{
	const struct node_entry *first = NULL;
	if (n->kind != NODE_MAP && n->kind != NODE_NULL)
		return;
	for (size_t i = 0; i < n_keys; i++) {
		const struct node_entry *e = node_entry(n, keys[i]);
		if (e && first) {
			struct diag *d = diag_error(ds, e->key_pos, node_path_text(ds->arena, path), "%s and %s exclude each other", first->key, e->key);
			diag_note(ds, d, first->key_pos, "%s is here", first->key);
			return;
		}
		if (e)
			first = e;
	}
	if (!first && !node_get(n, "driver") && !node_get(n, "external"))
		diag_error(ds, n->pos, node_path_text(ds->arena, path), "one of %s must be set", list);
}

static void check_config(struct diags *ds, struct node *n, const struct node_path *path)
{
	static const char *const keys[] = { "file", "environment", "content" };
	check_sources(ds, n, path, keys, ARRAY_SIZE(keys), "file, environment and content");
}

static void check_secret(struct diags *ds, struct node *n, const struct node_path *path)
{
	static const char *const keys[] = { "file", "environment" };
	check_sources(ds, n, path, keys, ARRAY_SIZE(keys), "file and environment");
}

static void check_port(struct diags *ds, struct node *n, const struct node_path *path)
{
	const struct node *ip = node_get(n, "host_ip");
	unsigned char buf[sizeof(struct in6_addr)];
	if (node_is(ip, NODE_STRING) && inet_pton(AF_INET, ip->text, buf) != 1 && inet_pton(AF_INET6, ip->text, buf) != 1)
		diag_error(ds, ip->pos, node_path_text(ds->arena, path), "\"%s\" is not an IP address", diag_quote(ds, ip->text));
}

static void check_watch_path(struct diags *ds, struct node *n, const struct node_path *path)
{
	if (n->kind == NODE_STRING && !*n->text)
		diag_error(ds, n->pos, node_path_text(ds->arena, path), "the path is empty");
}

static void check_device(struct diags *ds, struct node *n, const struct node_path *path)
{
	const struct node *count = node_get(n, "count"), *ids = node_get(n, "device_ids");
	struct diag *d;
	if (!count || !ids)
		return;
	d = diag_error(ds, count->pos, node_path_text(ds->arena, path), "count and device_ids exclude each other");
	diag_note(ds, d, ids->pos, "device_ids is here");
}

int canonical_check(const struct node *doc, struct diags *ds)
{
	static const struct rule rules[] = {
		{ "volumes.*", check_volume },
		{ "configs.*", check_config },
		{ "secrets.*", check_secret },
		{ "services.*.ports.*", check_port },
		{ "services.*.develop.watch.*.path", check_watch_path },
		{ "services.*.deploy.resources.reservations.devices.*", check_device },
		{ "services.*.gpus.*", check_device },
	};
	size_t errors = ds->n_errors;
	walk_rules((struct node *)doc, rules, ARRAY_SIZE(rules), ds);
	return ds->n_errors > errors ? -1 : 0;
}
