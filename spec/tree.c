/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes, maps and paths of the document tree. A map is an array of entries in the order of the text; from MAP_INDEX_MIN
 * members on it also has an open-addressing index, so that a hostile file with 100 000 keys costs linear time. The index
 * stores entry numbers + 1 and is rebuilt when entries are removed, which is rare. */
#include "spec/tree.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

enum { MAP_INDEX_MIN = 16 };

/* Length of the line break at p (before end), 0 when there is none: what libyaml counts as the end of a line. */
static size_t break_len(const char *p, const char *end)
{
	size_t left = (size_t)(end - p);
	if (*p == '\n')
		return 1;
	if (*p == '\r')
		return left > 1 && p[1] == '\n' ? 2 : 1;
	if (left > 1 && memcmp(p, "\xc2\x85", 2) == 0)
		return 2;
	if (left > 2 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0))
		return 3;
	return 0;
}

struct source *source_new(struct arena *a, const char *path, const char *text, size_t len)
{
	struct source *s = arena_alloc(a, sizeof(*s));
	char *copy = arena_alloc(a, len + 1);
	size_t cap = 0;
	memcpy(copy, text, len);
	s->path = arena_strdup(a, path);
	s->text = copy;
	s->len = len;
	s->lines = arena_grow(a, NULL, 0, &cap, sizeof(*s->lines));
	s->lines[s->n_lines++] = len >= 3 && memcmp(copy, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	for (size_t i = 0; i < len;) {
		size_t n = break_len(copy + i, copy + len);
		i += n ? n : 1;
		if (!n)
			continue;
		s->lines = arena_grow(a, s->lines, s->n_lines, &cap, sizeof(*s->lines));
		s->lines[s->n_lines++] = i;
	}
	return s;
}

const char *source_line(const struct source *src, int line, size_t *ret_len)
{
	const char *p, *end;
	*ret_len = 0;
	if (!src || line < 1 || (size_t)line > src->n_lines)
		return "";
	p = src->text + src->lines[line - 1];
	end = src->text + src->len;
	while (p + *ret_len < end && !break_len(p + *ret_len, end))
		(*ret_len)++;
	return p;
}

struct node *node_new(struct arena *a, enum node_kind kind, struct pos pos)
{
	struct node *n = arena_alloc(a, sizeof(*n));
	n->kind = kind;
	n->pos = pos;
	n->text = "";
	return n;
}

struct node *node_new_string(struct arena *a, struct pos pos, const char *text)
{
	struct node *n = node_new(a, NODE_STRING, pos);
	n->text = arena_strdup(a, text);
	return n;
}

struct node *node_new_bool(struct arena *a, struct pos pos, bool b)
{
	struct node *n = node_new(a, NODE_BOOL, pos);
	n->boolean = b;
	n->text = b ? "true" : "false";
	return n;
}

struct node *node_new_int(struct arena *a, struct pos pos, int64_t i)
{
	struct node *n = node_new(a, NODE_INT, pos);
	n->integer = i;
	n->number = (double)i;
	n->text = arena_printf(a, "%lld", (long long)i);
	return n;
}

struct node *node_copy(struct arena *a, const struct node *n)
{
	struct node *c = arena_alloc(a, sizeof(*c));
	*c = *n;
	c->cap = n->n;
	if (n->kind == NODE_SEQ && n->n) {
		c->items = arena_alloc(a, n->n * sizeof(*c->items));
		for (size_t i = 0; i < n->n; i++)
			c->items[i] = node_copy(a, n->items[i]);
	} else if (n->kind == NODE_MAP && n->n) {
		c->entries = arena_alloc(a, n->n * sizeof(*c->entries));
		for (size_t i = 0; i < n->n; i++) {
			c->entries[i] = n->entries[i];
			c->entries[i].value = node_copy(a, n->entries[i].value);
		}
		if (n->slots) {
			c->slots = arena_alloc(a, n->n_slots * sizeof(*c->slots));
			memcpy(c->slots, n->slots, n->n_slots * sizeof(*c->slots));
		}
	}
	return c;
}

void node_set_string(struct arena *a, struct node *n, const char *text)
{
	n->kind = NODE_STRING;
	n->text = arena_strdup(a, text);
}

static size_t slot_of(const struct node *map, const char *key)
{
	return hash_bytes(HASH_SEED, key, strlen(key)) & (map->n_slots - 1);
}

static void slot_put(struct node *map, size_t index)
{
	size_t s = slot_of(map, map->entries[index].key);
	while (map->slots[s])
		s = (s + 1) & (map->n_slots - 1);
	map->slots[s] = (uint32_t)index + 1;
}

/* Makes the index fit: at most half of the slots are taken. */
static void map_reindex(struct arena *a, struct node *map)
{
	uint32_t want = 64;
	while (want < 4 * (size_t)map->n)
		want *= 2;
	if (want != map->n_slots || !map->slots)
		map->slots = arena_alloc(a, want * sizeof(*map->slots));
	else
		memset(map->slots, 0, want * sizeof(*map->slots));
	map->n_slots = want;
	for (size_t i = 0; i < map->n; i++)
		slot_put(map, i);
}

struct node_entry *node_entry(const struct node *map, const char *key)
{
	if (!map || map->kind != NODE_MAP)
		return NULL;
	if (!map->slots) {
		for (size_t i = 0; i < map->n; i++)
			if (map->entries[i].key[0] == key[0] && strcmp(map->entries[i].key, key) == 0)
				return &map->entries[i];
		return NULL;
	}
	for (size_t s = slot_of(map, key); map->slots[s]; s = (s + 1) & (map->n_slots - 1)) {
		struct node_entry *e = &map->entries[map->slots[s] - 1];
		if (strcmp(e->key, key) == 0)
			return e;
	}
	return NULL;
}

struct node *node_get(const struct node *map, const char *key)
{
	struct node_entry *e = node_entry(map, key);
	return e ? e->value : NULL;
}

struct node *node_at(const struct node *n, ...)
{
	const struct node *at = n;
	const char *key;
	va_list ap;
	va_start(ap, n);
	while (at && (key = va_arg(ap, const char *)))
		at = node_get(at, key);
	va_end(ap);
	return (struct node *)at;
}

/* Room for one more child. */
static void *grow(struct arena *a, void *children, struct node *n, size_t size)
{
	size_t cap = n->cap;
	if (!cap) {
		n->cap = 4;
		return arena_alloc(a, n->cap * size);
	}
	children = arena_grow(a, children, n->n, &cap, size);
	if (cap > UINT32_MAX / 8)
		util_oom();
	n->cap = (uint32_t)cap;
	return children;
}

void node_put(struct arena *a, struct node *map, const char *key, struct pos key_pos, struct node *value)
{
	struct node_entry *e = node_entry(map, key);
	assert(map->kind == NODE_MAP);
	if (e) {
		e->key_pos = key_pos;
		e->value = value;
		return;
	}
	map->entries = grow(a, map->entries, map, sizeof(*map->entries));
	map->entries[map->n] = (struct node_entry){ .key = arena_strdup(a, key), .key_pos = key_pos, .value = value };
	map->n++;
	if (map->slots && (size_t)map->n * 2 <= map->n_slots)
		slot_put(map, map->n - 1);
	else if (map->n >= MAP_INDEX_MIN)
		map_reindex(a, map);
}

bool node_del(struct node *map, const char *key)
{
	struct node_entry *e = node_entry(map, key);
	size_t i;
	if (!e)
		return false;
	i = (size_t)(e - map->entries);
	memmove(e, e + 1, (map->n - i - 1) * sizeof(*e));
	map->n--;
	if (map->slots) {
		memset(map->slots, 0, map->n_slots * sizeof(*map->slots));
		for (i = 0; i < map->n; i++)
			slot_put(map, i);
	}
	return true;
}

void node_keep(struct node *map, bool (*keep)(void *arg, const struct node_entry *e), void *arg)
{
	size_t kept = 0;
	for (size_t i = 0; i < map->n; i++)
		if (keep(arg, &map->entries[i]))
			map->entries[kept++] = map->entries[i];
	if (kept == map->n)
		return;
	map->n = kept;
	if (map->slots) {
		memset(map->slots, 0, map->n_slots * sizeof(*map->slots));
		for (size_t i = 0; i < map->n; i++)
			slot_put(map, i);
	}
}

void node_push(struct arena *a, struct node *seq, struct node *item)
{
	assert(seq->kind == NODE_SEQ);
	seq->items = grow(a, seq->items, seq, sizeof(*seq->items));
	seq->items[seq->n++] = item;
}

void node_del_item(struct node *seq, size_t i)
{
	assert(seq->kind == NODE_SEQ && i < seq->n);
	memmove(seq->items + i, seq->items + i + 1, (seq->n - i - 1) * sizeof(*seq->items));
	seq->n--;
}

const char *node_str(const struct node *map, const char *key, const char *def)
{
	const struct node *n = node_get(map, key);
	return n && n->kind == NODE_STRING ? n->text : def;
}

bool node_is(const struct node *n, enum node_kind kind)
{
	return n && n->kind == kind;
}

const char *node_kind_name(enum node_kind kind)
{
	static const char *const names[] = {
		[NODE_NULL] = "null", [NODE_BOOL] = "true or false", [NODE_INT] = "a number", [NODE_FLOAT] = "a number",
		[NODE_STRING] = "a string", [NODE_SEQ] = "a list", [NODE_MAP] = "a mapping",
	};
	static_assert(ARRAY_SIZE(names) == NODE_KIND_N_, "a name for each kind");
	return names[kind];
}

size_t node_count(const struct node *n)
{
	size_t count = 1;
	for (size_t i = 0; i < n->n; i++)
		count += node_count(n->kind == NODE_MAP ? n->entries[i].value : n->items[i]);
	return count;
}

bool node_equal(const struct node *a, const struct node *b)
{
	if (!a || !b)
		return a == b;
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case NODE_NULL:
		return true;
	case NODE_BOOL:
		return a->boolean == b->boolean;
	case NODE_INT:
		return a->integer == b->integer;
	case NODE_FLOAT:
		return a->number == b->number;
	case NODE_STRING:
		return strcmp(a->text, b->text) == 0;
	case NODE_SEQ:
		if (a->n != b->n)
			return false;
		for (size_t i = 0; i < a->n; i++)
			if (!node_equal(a->items[i], b->items[i]))
				return false;
		return true;
	default:
		if (a->n != b->n)
			return false;
		for (size_t i = 0; i < a->n; i++)
			if (!node_equal(a->entries[i].value, node_get(b, a->entries[i].key)))
				return false;
		return true;
	}
}

static void path_add(struct str *s, const struct node_path *path)
{
	if (!path)
		return;
	path_add(s, path->up);
	if (!path->key)
		str_addf(s, "[%zu]", path->index);
	else
		str_addf(s, "%s%s", s->len ? "." : "", path->key);
}

const char *node_path_text(struct arena *a, const struct node_path *path)
{
	AUTO_STR struct str s = { 0 };
	path_add(&s, path);
	return arena_strdup(a, str_get(&s));
}

/* The longest key of map that the text at p starts with, followed by the end, a dot or a bracket. */
static struct node_entry *longest_key(const struct node *map, const char *p)
{
	struct node_entry *best = NULL;
	size_t best_len = 0;
	for (size_t i = 0; i < map->n; i++) {
		size_t n = strlen(map->entries[i].key);
		if ((!best || n > best_len) && strncmp(map->entries[i].key, p, n) == 0 && strchr(".[", p[n])) {
			best = &map->entries[i];
			best_len = n;
		}
	}
	return best;
}

struct node *node_find(const struct node *root, const char *path, const struct node_entry **ret_entry)
{
	const struct node *at = root;
	const struct node_entry *entry = NULL;
	const char *p = path;
	while (at && *p) {
		if (*p == '[') {
			char *end;
			unsigned long i = strtoul(p + 1, &end, 10);
			if (*end != ']' || at->kind != NODE_SEQ || i >= at->n)
				return NULL;
			at = at->items[i];
			entry = NULL;
			p = end + 1;
		} else {
			p += *p == '.';
			entry = at->kind == NODE_MAP ? longest_key(at, p) : NULL;
			if (!entry)
				return NULL;
			p += strlen(entry->key);
			at = entry->value;
		}
	}
	if (ret_entry)
		*ret_entry = entry;
	return (struct node *)at;
}
