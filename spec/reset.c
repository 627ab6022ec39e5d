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

static int compare_two(const char *const *a, const char *const *b)
{
	int c = strcmp(a[0], b[0]);
	return c ? c : strcmp(a[1], b[1]);
}

static int compare_paths(const void *x, const void *y)
{
	const struct reset_path *a = *(const struct reset_path *const *)x, *b = *(const struct reset_path *const *)y;
	int c = compare_two(a->keys, b->keys);
	return c ? c : (a > b) - (a < b);
}

void reset_collect(struct arena *a, struct node *doc, struct reset_list *ret)
{
	struct walk w = { .a = a, .list = ret };
	*ret = (struct reset_list){ 0 };
	collect(&w, doc, NULL);
	if (!ret->n)
		return;
	ret->sorted = arena_alloc(a, ret->n * sizeof(*ret->sorted));
	for (size_t i = 0; i < ret->n; i++)
		if (ret->v[i].n >= 2)
			ret->sorted[ret->n_sorted++] = &ret->v[i];
	qsort(ret->sorted, ret->n_sorted, sizeof(*ret->sorted), compare_paths);
}

static void note_drop(struct diags *ds, const struct reset_path *p, const struct node *dropped)
{
	AUTO_STR struct str path = { 0 };
	if (p->n > 2 && !ds->trace)
		return;
	for (size_t i = 0; i < p->n; i++)
		str_addf(&path, "%s%s", i ? "." : "", p->keys[i]);
	if (p->n <= 2)
		diag_dropped(ds, str_get(&path), p->pos);
	trace_add(ds->trace, TRACE_DROPS, p->pos, dropped->pos, str_get(&path), NULL, NULL);
}

/* Empties the place of p in target, which stands at its first `from` keys. Returns the map that has to be swept, NULL when there is nothing. */
static struct node *empty(const struct reset_path *p, struct node *target, size_t from, struct diags *ds)
{
	struct node *at = target;
	struct node_entry *e;
	if (p->n <= from)
		return NULL;
	for (size_t k = from; at && k + 1 < p->n; k++)
		at = node_get(at, p->keys[k]);
	e = at ? node_entry(at, p->keys[p->n - 1]) : NULL;
	if (!e || !e->value)
		return NULL;
	note_drop(ds, p, e->value);
	e->value = NULL;
	return at;
}

static bool is_there(void *arg, const struct node_entry *e)
{
	(void)arg;
	return e->value != NULL;
}

static int compare_pointers(const void *x, const void *y)
{
	uintptr_t a = (uintptr_t)*(void *const *)x, b = (uintptr_t)*(void *const *)y;
	return (a > b) - (a < b);
}

/* Entries are emptied first and maps swept after, each once: removing one after the other would cost the square. */
static void sweep(struct node **maps, size_t n)
{
	if (n > 1)
		qsort(maps, n, sizeof(*maps), compare_pointers);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || maps[i] != maps[i - 1])
			node_keep(maps[i], is_there, NULL);
}

void reset_apply(const struct reset_list *list, struct node *target, struct diags *ds)
{
	AUTO_FREE struct node **maps = xcalloc(list->n, sizeof(*maps));
	size_t n = 0;
	for (size_t i = 0; i < list->n; i++) {
		maps[n] = empty(&list->v[i], target, 0, ds);
		n += maps[n] != NULL;
	}
	sweep(maps, n);
}

void reset_apply_member(const struct reset_list *list, struct node *target, const char *const prefix[2], struct diags *ds)
{
	AUTO_FREE struct node **maps = NULL;
	size_t low = 0, high = list->n_sorted, n = 0, end;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (compare_two(list->sorted[middle]->keys, prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < list->n_sorted && compare_two(list->sorted[end]->keys, prefix) == 0; end++)
		;
	if (end == low)
		return;
	maps = xcalloc(end - low, sizeof(*maps));
	for (; low < end; low++) {
		maps[n] = empty(list->sorted[low], target, 2, ds);
		n += maps[n] != NULL;
	}
	sweep(maps, n);
}
