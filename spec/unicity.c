/* SPDX-License-Identifier: Apache-2.0 */
/* Lists whose members have a key. After a merge the same key can be there twice (an environment variable of both files, a
 * mount of the same target): the later member replaces the earlier one where that stood. */
#include "base/map.h"
#include "spec/merge.h"
#include "spec/pattern.h"
#include "spec/short_volume.h"

struct unicity {
	struct diags *ds;
	struct pattern_set set;
	int failed;
};

/* The key of a member; NULL when it has none because its type is wrong (the schema will say so) or after a report. */
typedef const char *(*key_fn)(struct unicity *u, const struct node *n, const struct node_path *path);

static const char *key_value(struct unicity *u, const struct node *n, const struct node_path *path)
{
	(void)path;
	return n->kind == NODE_STRING ? arena_strndup(u->ds->arena, n->text, strcspn(n->text, "=")) : NULL;
}

static const char *missing_target(struct unicity *u, const struct node *n, const struct node_path *path)
{
	const struct node *target = node_get(n, "target");
	if (!target) {
		struct diag *d = diag_error(u->ds, n->pos, node_path_text(u->ds->arena, path), "the target is missing");
		diag_hint(u->ds, d, "target: is the place inside of the container");
		u->failed = -1;
	}
	return node_str(n, "target", NULL);
}

static const char *key_volume(struct unicity *u, const struct node *n, const struct node_path *path)
{
	struct short_volume v;
	const char *why;
	if (n->kind == NODE_MAP)
		return missing_target(u, n, path);
	if (n->kind == NODE_STRING && short_volume_parse(n->text, u->ds->arena, &v, &why))
		return v.target ? v.target : "";
	return NULL;
}

static const char *key_device(struct unicity *u, const struct node *n, const struct node_path *path)
{
	const char *colon;
	if (n->kind == NODE_MAP)
		return missing_target(u, n, path);
	if (n->kind != NODE_STRING)
		return NULL;
	colon = strchr(n->text, ':');
	return colon ? arena_strndup(u->ds->arena, colon + 1, strcspn(colon + 1, ":")) : n->text;
}

static const char *key_expose(struct unicity *u, const struct node *n, const struct node_path *path)
{
	if (n->kind == NODE_FLOAT) {
		diag_error(u->ds, n->pos, node_path_text(u->ds->arena, path), "must be a port or a range of ports, not %s", diag_quote(u->ds, n->text));
		u->failed = -1;
	}
	return n->kind == NODE_STRING || n->kind == NODE_INT ? n->text : NULL;
}

static const char *key_file(struct unicity *u, const struct node *n, const char *folder)
{
	const struct node *target = node_get(n, "target"), *source = node_get(n, "source");
	if (n->kind == NODE_STRING)
		return arena_printf(u->ds->arena, "%s/%s", folder, n->text);
	if (n->kind != NODE_MAP || (target && target->kind != NODE_STRING))
		return NULL;
	return target ? target->text : arena_printf(u->ds->arena, "%s/%s", folder, source ? source->text : "");
}

static const char *key_config(struct unicity *u, const struct node *n, const struct node_path *path)
{
	(void)path;
	return key_file(u, n, "");
}

static const char *key_secret(struct unicity *u, const struct node *n, const struct node_path *path)
{
	(void)path;
	return key_file(u, n, "/run/secrets");
}

/* The text of a member, with its kind: 80 and "80" are different keys in the reference. */
static const char *part(const struct node *map, const char *key, const char *def, char *kind)
{
	const struct node *n = node_get(map, key);
	*kind = (char)('0' + (n ? (int)n->kind : NODE_STRING));
	return n ? n->text : def;
}

static const char *key_port(struct unicity *u, const struct node *n, const struct node_path *path)
{
	char kinds[3];
	const char *host, *published, *target, *protocol, *name;
	if (n->kind == NODE_INT || n->kind == NODE_STRING)
		return n->text;
	if (n->kind != NODE_MAP)
		return NULL;
	if (!node_get(n, "target")) {
		diag_error(u->ds, n->pos, node_path_text(u->ds->arena, path), "the target port is missing");
		u->failed = -1;
		return NULL;
	}
	host = part(n, "host_ip", "0.0.0.0", &kinds[0]);
	published = part(n, "published", "", &kinds[0]);
	target = part(n, "target", "", &kinds[1]);
	protocol = part(n, "protocol", "tcp", &kinds[2]);
	name = node_get(n, "published") ? "" : "none";
	return arena_printf(u->ds->arena, "%s:%c%s%s:%c%s/%s", host, kinds[0], name, published, kinds[1], target, protocol);
}

static const char *key_env_file(struct unicity *u, const struct node *n, const struct node_path *path)
{
	(void)u, (void)path;
	return n->kind == NODE_STRING ? n->text : node_str(n, "path", NULL);
}

static const struct {
	const char *pattern;
	key_fn fn;
} rules[] = {
	{ "networks.*.labels", key_value },
	{ "networks.*.ipam.options", key_value },
	{ "services.*.annotations", key_value },
	{ "services.*.build.args", key_value },
	{ "services.*.build.additional_contexts", key_value },
	{ "services.*.build.platform", key_value },
	{ "services.*.build.tags", key_value },
	{ "services.*.build.labels", key_value },
	{ "services.*.cap_add", key_value },
	{ "services.*.cap_drop", key_value },
	{ "services.*.devices", key_device },
	{ "services.*.configs", key_config },
	{ "services.*.deploy.labels", key_value },
	{ "services.*.dns", key_value },
	{ "services.*.dns_opt", key_value },
	{ "services.*.dns_search", key_value },
	{ "services.*.environment", key_value },
	{ "services.*.env_file", key_env_file },
	{ "services.*.expose", key_expose },
	{ "services.*.labels", key_value },
	{ "services.*.links", key_value },
	{ "services.*.networks.*.aliases", key_value },
	{ "services.*.networks.*.link_local_ips", key_value },
	{ "services.*.ports", key_port },
	{ "services.*.profiles", key_value },
	{ "services.*.secrets", key_secret },
	{ "services.*.sysctls", key_value },
	{ "services.*.tmpfs", key_value },
	{ "services.*.volumes", key_volume },
};

static void enforce_list(struct unicity *u, struct node *seq, key_fn fn, const struct node_path *path)
{
	AUTO_MAP struct map seen = { 0 };
	size_t kept = 0;
	for (size_t i = 0; i < seq->n; i++) {
		struct node_path step = { .up = path, .index = i };
		const char *key = fn(u, seq->items[i], &step);
		uintptr_t at = key ? (uintptr_t)map_get(&seen, key) : 0;
		if (at) {
			trace_replace(u->ds->trace, seq->items[at - 1], seq->items[i], &step);
			seq->items[at - 1] = seq->items[i];
			continue;
		}
		seq->items[kept++] = seq->items[i];
		if (key)
			map_put(&seen, key, (void *)(uintptr_t)kept);
	}
	seq->n = kept;
}

static void walk(struct unicity *u, struct node *n, uint64_t live, size_t depth, const struct node_path *path)
{
	int hit;
	if (n->kind == NODE_MAP) {
		for (size_t i = 0; i < n->n; i++) {
			struct node_path step = { .up = path, .key = n->entries[i].key };
			uint64_t next = pattern_step(&u->set, live, depth, step.key);
			if (next)
				walk(u, n->entries[i].value, next, depth + 1, &step);
		}
	} else if (n->kind == NODE_SEQ) {
		hit = pattern_hit(&u->set, live, depth);
		if (hit >= 0)
			enforce_list(u, n, rules[hit].fn, path);
	}
}

int unicity_enforce(struct node *doc, struct diags *ds)
{
	struct unicity u = { .ds = ds };
	const char *patterns[ARRAY_SIZE(rules)];
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		patterns[i] = rules[i].pattern;
	pattern_set_init(&u.set, patterns, ARRAY_SIZE(rules));
	walk(&u, doc, pattern_start(&u.set), 0, NULL);
	return u.failed;
}
