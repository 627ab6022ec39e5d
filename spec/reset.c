/* SPDX-License-Identifier: Apache-2.0 */
/* The reference applies these tags to whatever was merged before the document that holds them (base files, the service
 * that is extended, included resources), then merges the document as usual: a place that was reset takes the new value whole. */
#include "spec/reset.h"

#include "base/str.h"

struct walk {
	struct arena *a;
	struct reset_list *list;
};

static void note(struct walk *w, struct pos pos, const struct node_path *path)
{
	struct reset_path p = { .pos = pos };
	for (const struct node_path *at = path; at; at = at->up) {
		if (!at->key)
			return; /* inside of a list: not supported by the reference either */
		p.n++;
	}
	p.keys = arena_alloc(w->a, p.n * sizeof(*p.keys));
	for (size_t i = p.n; path; path = path->up)
		p.keys[--i] = path->key;
	w->list->v = arena_grow(w->a, w->list->v, w->list->n, &w->list->cap, sizeof(*w->list->v));
	w->list->v[w->list->n++] = p;
}

struct level {
	struct walk *w;
	const struct node_path *path;
};

static bool collect(struct walk *w, struct node *n, const struct node_path *path);

static bool keep_member(void *arg, const struct node_entry *e)
{
	const struct level *level = arg;
	struct node_path step = { .up = level->path, .key = e->key };
	return !collect(level->w, e->value, &step);
}

/* True when n is to be taken out of its parent. */
static bool collect(struct walk *w, struct node *n, const struct node_path *path)
{
	if (n->tag != NODE_TAG_NONE && path)
		note(w, n->pos, path);
	if (n->tag == NODE_TAG_RESET)
		return true;
	if (n->kind == NODE_MAP) {
		struct level level = { w, path };
		node_keep(n, keep_member, &level);
	} else if (n->kind == NODE_SEQ) {
		size_t kept = 0;
		for (size_t i = 0; i < n->n; i++) {
			struct node_path step = { .up = path, .index = i };
			if (!collect(w, n->items[i], &step))
				n->items[kept++] = n->items[i];
		}
		n->n = kept;
	}
	return false;
}

void reset_collect(struct arena *a, struct node *doc, struct reset_list *ret)
{
	struct walk w = { .a = a, .list = ret };
	*ret = (struct reset_list){ 0 };
	collect(&w, doc, NULL);
}

static void note_drop(struct trace *trace, const struct reset_path *p, const struct node *dropped)
{
	AUTO_STR struct str path = { 0 };
	for (size_t i = 0; i < p->n; i++)
		str_addf(&path, "%s%s", i ? "." : "", p->keys[i]);
	if (dropped)
		trace_add(trace, TRACE_DROPS, p->pos, dropped->pos, str_get(&path), NULL, NULL);
}

void reset_apply(const struct reset_list *list, struct node *target, const char *const *prefix, size_t n_prefix, struct trace *trace)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct reset_path *p = &list->v[i];
		struct node *at = target;
		size_t k = 0;
		while (k < n_prefix && k < p->n && strcmp(prefix[k], p->keys[k]) == 0)
			k++;
		if (k < n_prefix || k == p->n)
			continue;
		for (; at && k + 1 < p->n; k++)
			at = node_get(at, p->keys[k]);
		if (at && trace)
			note_drop(trace, p, node_get(at, p->keys[k]));
		if (at)
			node_del(at, p->keys[k]);
	}
}
