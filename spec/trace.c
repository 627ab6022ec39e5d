/* SPDX-License-Identifier: Apache-2.0 */
/* A growing list of events, sorted by place when the first question comes. The same event is noted once: an alias that is used
 * a hundred times is interpolated a hundred times at one place. The list has an end, so that a small file cannot fill the memory. */
#include "spec/trace.h"

enum { TRACE_MAX = 300000 };

struct trace *trace_new(struct arena *a)
{
	struct trace *t = arena_alloc(a, sizeof(*t));
	t->arena = a;
	return t;
}

void trace_add(struct trace *t, enum trace_kind kind, struct pos pos, struct pos other, const char *path, const char *name, const char *value)
{
	struct trace_event *e;
	if (!t || !pos.src || t->full)
		return;
	t->full = t->n + t->n_listed >= TRACE_MAX;
	if (t->full)
		return;
	if (kind >= TRACE_LISTED_) {
		t->listed = arena_grow(t->arena, t->listed, t->n_listed, &t->cap_listed, sizeof(*t->listed));
		e = &t->listed[t->n_listed++];
	} else {
		t->v = arena_grow(t->arena, t->v, t->n, &t->cap, sizeof(*t->v));
		e = &t->v[t->n++];
		t->sorted = false;
	}
	*e = (struct trace_event){ .kind = kind, .pos = pos, .other = other, .index = t->n };
	e->path = arena_strdup(t->arena, path ? path : "");
	e->name = arena_strdup(t->arena, name ? name : "");
	e->value = value ? arena_strdup(t->arena, value) : NULL;
}

static bool pos_equal(struct pos a, struct pos b)
{
	return a.src == b.src && a.line == b.line && a.column == b.column;
}

void trace_replace(struct trace *t, const struct node *base, const struct node *over, const struct node_path *path)
{
	if (t && !t->full && base && over && !pos_equal(base->pos, over->pos))
		trace_add(t, TRACE_REPLACES, over->pos, base->pos, node_path_text(t->arena, path), NULL, NULL);
}

void trace_extends(struct trace *t, const struct node *n, struct pos by, const char *path, const char *base)
{
	if (!t || t->full)
		return;
	trace_add(t, TRACE_EXTENDS, n->pos, by, path, base, NULL);
	for (size_t i = 0; i < n->n; i++) {
		if (n->kind == NODE_MAP)
			trace_add(t, TRACE_EXTENDS, n->entries[i].key_pos, by, path, base, NULL);
		trace_extends(t, n->kind == NODE_MAP ? n->entries[i].value : n->items[i], by, path, base);
	}
}

static int compare_pos(struct pos a, struct pos b)
{
	if (a.src != b.src)
		return (uintptr_t)a.src < (uintptr_t)b.src ? -1 : 1;
	if (a.line != b.line)
		return a.line < b.line ? -1 : 1;
	return (a.column > b.column) - (a.column < b.column);
}

static bool same_event(const struct trace_event *a, const struct trace_event *b)
{
	return a->kind == b->kind && pos_equal(a->pos, b->pos) && pos_equal(a->other, b->other) && strcmp(a->path, b->path) == 0 &&
		strcmp(a->name, b->name) == 0;
}

static int compare_events(const void *a, const void *b)
{
	const struct trace_event *x = a, *y = b;
	int r = compare_pos(x->pos, y->pos);
	if (!r)
		r = (x->kind > y->kind) - (x->kind < y->kind);
	return r ? r : (x->index > y->index) - (x->index < y->index);
}

static void sort(struct trace *t)
{
	size_t kept = 0;
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), compare_events);
	for (size_t i = 0; i < t->n; i++)
		if (!kept || !same_event(&t->v[i], &t->v[kept - 1]))
			t->v[kept++] = t->v[i];
	t->n = kept;
	t->sorted = true;
}

const struct trace_event *trace_at(struct trace *t, struct pos pos, size_t *ret_n)
{
	size_t low = 0, high = t->n, end;
	if (!t->sorted)
		sort(t);
	high = t->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (compare_pos(t->v[mid].pos, pos) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (end = low; end < t->n && pos_equal(t->v[end].pos, pos); end++)
		;
	*ret_n = end - low;
	return *ret_n ? t->v + low : NULL;
}
