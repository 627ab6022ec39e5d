/* SPDX-License-Identifier: Apache-2.0 */
/* The merge. A table of path patterns picks the special rules; everything else is generic. Positions follow the values,
 * so a message about the merged model points into the file that had the last word. A few rules reproduce what the
 * reference does rather than what one would expect (ipam.config, ulimits): files in the wild rely on the result. */
#include "spec/merge.h"

#include "base/map.h"
#include "spec/pattern.h"

enum { POOLS_MAX = 200 };

struct merge {
	struct diags *ds;
	struct arena *a;
	struct pattern_set set;
};

typedef struct node *(*merge_fn)(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path);

static struct node *merge_node(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path);

static void report_clash(struct merge *m, const struct node *base, const struct node *over, const struct node_path *path)
{
	struct diag *d = diag_error(m->ds, over->pos, node_path_text(m->a, path), "cannot override %s with %s",
		node_kind_name(base->kind), node_kind_name(over->kind));
	diag_note(m->ds, d, base->pos, "it is %s here", node_kind_name(base->kind));
}

static struct node *merge_maps(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	for (size_t i = 0; i < over->n; i++) {
		struct node_entry *e = &over->entries[i], *old = node_entry(base, e->key);
		struct node_path step = { .up = path, .key = e->key };
		struct node *merged;
		if (!old) {
			node_put(m->a, base, e->key, e->key_pos, e->value);
			continue;
		}
		merged = merge_node(m, old->value, e->value, live ? pattern_step(&m->set, live, depth, e->key) : 0, depth + 1, &step);
		if (merged == e->value)
			old->key_pos = e->key_pos;
		old->value = merged;
	}
	return base;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp((*(struct node *const *)a)->text, (*(struct node *const *)b)->text);
}

static void push_pair(struct merge *m, struct node *seq, const struct node_entry *e, const struct node *value)
{
	trace_add(m->ds->trace, TRACE_SAME, e->key_pos, value->pos, NULL, NULL, NULL);
	if (value->kind == NODE_NULL)
		node_push(m->a, seq, node_new_string(m->a, e->key_pos, e->key));
	else
		node_push(m->a, seq, node_new_string(m->a, e->key_pos, arena_printf(m->a, "%s=%s", e->key, value->text)));
}

/* A map as "key=value" strings in order of text, a string as a list of one; null is an empty list. */
static struct node *to_sequence(struct merge *m, struct node *n, const struct node_path *path)
{
	struct node *seq;
	if (n->kind == NODE_SEQ)
		return n;
	seq = node_new(m->a, NODE_SEQ, n->pos);
	if (n->kind == NODE_STRING)
		node_push(m->a, seq, n);
	if (n->kind != NODE_MAP)
		return seq;
	for (size_t i = 0; i < n->n; i++) {
		const struct node_entry *e = &n->entries[i];
		if (e->value->kind == NODE_SEQ) {
			for (size_t k = 0; k < e->value->n; k++)
				push_pair(m, seq, e, e->value->items[k]);
		} else if (e->value->kind == NODE_MAP) {
			struct node_path step = { .up = path, .key = e->key };
			diag_error(m->ds, e->value->pos, node_path_text(m->a, &step), "must be a string, a number, true, false or null, not a mapping");
		} else {
			push_pair(m, seq, e, e->value);
		}
	}
	if (seq->n)
		qsort(seq->items, seq->n, sizeof(*seq->items), compare_text);
	return seq;
}

static struct node *append(struct merge *m, struct node *base, const struct node *over)
{
	for (size_t i = 0; i < over->n; i++)
		node_push(m->a, base, over->items[i]);
	return base;
}

static struct node *merge_lists(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	(void)live, (void)depth;
	return append(m, to_sequence(m, base, path), to_sequence(m, over, path));
}

static struct node *merge_hosts(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	struct node *left = to_sequence(m, base, path), *right = to_sequence(m, over, path);
	AUTO_MAP struct map known = { 0 };
	(void)live, (void)depth;
	for (size_t i = 0; i < left->n; i++)
		map_put(&known, left->items[i]->text, left);
	for (size_t i = 0; i < right->n; i++)
		if (!map_get(&known, right->items[i]->text))
			node_push(m->a, left, right->items[i]);
	return left;
}

/* A list of names as a map; each name gets its own copy of `value` (NULL: null). */
static struct node *to_mapping(struct merge *m, struct node *n, const struct node *value)
{
	struct node *map;
	if (n->kind == NODE_MAP)
		return n;
	map = node_new(m->a, NODE_MAP, n->pos);
	for (size_t i = 0; n->kind == NODE_SEQ && i < n->n; i++) {
		const struct node *item = n->items[i];
		if (item->kind == NODE_STRING)
			node_put(m->a, map, item->text, item->pos, value ? node_copy(m->a, value) : node_new(m->a, NODE_NULL, item->pos));
	}
	return map;
}

static struct node *merge_names(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	if (over->kind != NODE_MAP && over->kind != NODE_SEQ && over->kind != NODE_NULL) {
		report_clash(m, base, over, path);
		return base;
	}
	return merge_maps(m, to_mapping(m, base, NULL), to_mapping(m, over, NULL), live, depth, path);
}

static struct node *merge_depends_on(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	struct node *value = node_new(m->a, NODE_MAP, over->pos);
	if (over->kind != NODE_MAP && over->kind != NODE_SEQ && over->kind != NODE_NULL) {
		report_clash(m, base, over, path);
		return base;
	}
	node_put(m->a, value, "condition", over->pos, node_new_string(m->a, over->pos, "service_started"));
	node_put(m->a, value, "required", over->pos, node_new_bool(m->a, over->pos, true));
	return merge_maps(m, to_mapping(m, base, value), to_mapping(m, over, value), live, depth, path);
}

static struct node *to_build(struct merge *m, struct node *n)
{
	struct node *map;
	if (n->kind == NODE_MAP)
		return n;
	map = node_new(m->a, NODE_MAP, n->pos);
	if (n->kind == NODE_STRING)
		node_put(m->a, map, "context", n->pos, n);
	return map;
}

static struct node *merge_build(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	if (over->kind != NODE_MAP && over->kind != NODE_STRING && over->kind != NODE_NULL) {
		report_clash(m, base, over, path);
		return base;
	}
	return merge_maps(m, to_build(m, base), to_build(m, over), live, depth, path);
}

/* Options are merged only when both sides mean the same driver, or one names none. */
static struct node *merge_logging(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	const struct node *was, *is;
	if (base->kind != NODE_MAP || over->kind != NODE_MAP) {
		if (over->kind != NODE_NULL)
			report_clash(m, base, over, path);
		return base;
	}
	was = node_get(base, "driver");
	is = node_get(over, "driver");
	if (!was || !is || node_equal(was, is))
		return merge_maps(m, base, over, live, depth, path);
	trace_replace(m->ds->trace, base, over, path);
	return over;
}

static struct node *merge_replace(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	(void)live, (void)depth;
	trace_replace(m->ds->trace, base, over, path);
	return over;
}

static size_t find_subnet(const struct node *seq, const struct node *subnet)
{
	size_t i = 0;
	while (i < seq->n && !node_equal(node_get(seq->items[i], "subnet"), subnet))
		i++;
	return i;
}

/* By subnet; each pair of an old and a new entry is looked at in turn, as the reference does. */
static struct node *merge_ipam(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	struct node *ret = node_new(m->a, NODE_SEQ, over->pos);
	if (base->kind != NODE_SEQ || over->kind != NODE_SEQ) {
		report_clash(m, base, over, path);
		return base;
	}
	if (base->n > POOLS_MAX || over->n > POOLS_MAX) {
		diag_error(m->ds, over->pos, node_path_text(m->a, path), "more than %d address pools", POOLS_MAX);
		return base;
	}
	for (size_t i = 0; i < base->n; i++) {
		struct node *right = to_mapping(m, base->items[i], NULL);
		for (size_t k = 0; k < over->n; k++) {
			struct node *left = to_mapping(m, over->items[k], NULL);
			const struct node *subnet = node_get(left, "subnet");
			size_t at;
			if (!node_equal(subnet, node_get(right, "subnet")) && find_subnet(ret, subnet) == ret->n) {
				node_push(m->a, ret, left);
				continue;
			}
			right = merge_maps(m, right, left, live, depth, path);
			at = find_subnet(ret, node_get(right, "subnet"));
			if (at < ret->n)
				ret->items[at] = right;
			else
				node_push(m->a, ret, right);
		}
	}
	return ret;
}

static const struct {
	const char *pattern;
	merge_fn fn;
} specials[] = {
	{ "networks.*.ipam.config", merge_ipam },
	{ "networks.*.labels", merge_lists },
	{ "volumes.*.labels", merge_lists },
	{ "services.*.annotations", merge_lists },
	{ "services.*.build", merge_build },
	{ "services.*.build.args", merge_lists },
	{ "services.*.build.additional_contexts", merge_lists },
	{ "services.*.build.extra_hosts", merge_hosts },
	{ "services.*.build.labels", merge_lists },
	{ "services.*.command", merge_replace },
	{ "services.*.depends_on", merge_depends_on },
	{ "services.*.deploy.labels", merge_lists },
	{ "services.*.dns", merge_lists },
	{ "services.*.dns_opt", merge_lists },
	{ "services.*.dns_search", merge_lists },
	{ "services.*.entrypoint", merge_replace },
	{ "services.*.env_file", merge_lists },
	{ "services.*.label_file", merge_lists },
	{ "services.*.environment", merge_lists },
	{ "services.*.extra_hosts", merge_hosts },
	{ "services.*.healthcheck.test", merge_replace },
	{ "services.*.labels", merge_lists },
	{ "services.*.volumes.*.volume.labels", merge_lists },
	{ "services.*.logging", merge_logging },
	{ "services.*.models", merge_names },
	{ "services.*.networks", merge_names },
	{ "services.*.sysctls", merge_lists },
	{ "services.*.tmpfs", merge_lists },
	{ "services.*.ulimits.*", merge_replace },
};

static struct node *merge_node(struct merge *m, struct node *base, struct node *over, uint64_t live, size_t depth, const struct node_path *path)
{
	int hit = live ? pattern_hit(&m->set, live, depth) : -1;
	if (hit >= 0)
		return specials[hit].fn(m, base, over, live, depth, path);
	if (over->kind == NODE_NULL)
		return base;
	if (base->kind != NODE_MAP && base->kind != NODE_SEQ) {
		trace_replace(m->ds->trace, base, over, path);
		return over;
	}
	if (base->kind != over->kind) {
		report_clash(m, base, over, path);
		return base;
	}
	return base->kind == NODE_MAP ? merge_maps(m, base, over, live, depth, path) : append(m, base, over);
}

struct node *merge_member(struct node *base, struct node *over, const char *const *path, size_t n_path, struct diags *ds)
{
	struct merge m = { .ds = ds, .a = ds->arena };
	const char *patterns[ARRAY_SIZE(specials)];
	struct node_path steps[4];
	uint64_t live;
	assert(n_path <= ARRAY_SIZE(steps));
	for (size_t i = 0; i < ARRAY_SIZE(specials); i++)
		patterns[i] = specials[i].pattern;
	pattern_set_init(&m.set, patterns, ARRAY_SIZE(specials));
	live = pattern_start(&m.set);
	for (size_t i = 0; i < n_path; i++) {
		live = pattern_step(&m.set, live, i, path[i]);
		steps[i] = (struct node_path){ .up = i ? &steps[i - 1] : NULL, .key = path[i] };
	}
	return merge_node(&m, base, over, live, n_path, n_path ? &steps[n_path - 1] : NULL);
}

struct node *merge_documents(struct node *base, struct node *over, struct diags *ds)
{
	return merge_member(base, over, NULL, 0, ds);
}
