/* SPDX-License-Identifier: Apache-2.0 */
/* Chains of provenance, read from the events of spec/trace.h. The tree says at which place a value was written last; the events of
 * that place say what it replaced, and so on back in time. Events carry no identity but places, so one place that is used twice (an
 * anchor with two aliases) is told apart by the first two steps of the path, and a chain only ever goes to older events. */
#include "spec/explain.h"

#include <inttypes.h>
#include <stdio.h>

enum { EXPLAIN_MAX_STEPS = 60, EXPLAIN_MAX_LINE = 120, EXPLAIN_MAX_TEXT = 1000, EXPLAIN_MAX_VALUES = 100000, EXPLAIN_MAX_WORK = 10000000 };

/* A mapping or list around the value at hand. */
struct around {
	const struct around *up;
	const struct node *node;
};

struct explain {
	const struct load_result *r;
	struct arena *a;
	json_t *chain;             /* of the value at hand */
	const char *path;
	size_t n_values, work;     /* counted against the limits */
	json_t *list;              /* what was explained goes here, or, when NULL, into text */
	struct str *text;
	const char *cwd;
};

static bool too_much(const struct explain *x)
{
	return x->n_values > EXPLAIN_MAX_VALUES || x->work > EXPLAIN_MAX_WORK;
}

static void add_step(struct explain *x, struct pos pos, const char *what)
{
	json_t *step;
	const char *line;
	size_t len;
	if (json_array_size(x->chain) >= EXPLAIN_MAX_STEPS)
		return;
	step = json_object();
	json_object_set_new(step, "what", json_string(what));
	if (pos.src) {
		json_object_set_new(step, "file", json_string(strcmp(pos.src->path, "-") == 0 ? "<stdin>" : pos.src->path));
		json_object_set_new(step, "line", json_integer(pos.line));
		json_object_set_new(step, "column", json_integer(pos.column));
		line = source_line(pos.src, pos.line, &len);
		x->work += len / 16;
		for (; len && strchr(" \t", *line); len--)
			line++;
		while (len && strchr(" \t\r", line[len - 1]))
			len--;
		if (len > EXPLAIN_MAX_TEXT)
			for (len = EXPLAIN_MAX_TEXT; len && ((unsigned char)line[len] & 0xc0) == 0x80; len--)
				;
		json_object_set_new(step, "text", json_string(arena_strndup(x->a, line, len)));
	}
	json_array_append_new(x->chain, step);
}

/* The length of the first two steps of a path: "services.web". */
static size_t subject_len(const char *path)
{
	size_t n = strcspn(path, ".[");
	return path[n] == '.' ? n + 1 + strcspn(path + n + 1, ".[") : n;
}

static bool same_subject(const char *a, const char *b)
{
	size_t n = subject_len(a);
	return n == subject_len(b) && strncmp(a, b, n) == 0;
}

/* True when path is `top` or below it. */
static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);
	return strncmp(path, top, n) == 0 && (!path[n] || path[n] == '.' || path[n] == '[');
}

static void explain_place(struct explain *x, struct pos pos, const char *what, size_t before, unsigned depth);

static void explain_variable(struct explain *x, const struct trace_event *e, unsigned depth)
{
	if (!e->value)
		add_step(x, (struct pos){ 0 }, arena_printf(x->a, "variable %s is not set", e->name));
	else if (!e->other.src)
		add_step(x, (struct pos){ 0 }, arena_printf(x->a, "variable %s is set by the environment", e->name));
	else
		explain_place(x, e->other, arena_printf(x->a, "variable %s is set", e->name), e->index, depth + 1);
}

/* The chain of extends that brought the place here, innermost first. */
static void explain_extends(struct explain *x, const struct trace_event *v, size_t n, const char *subject, size_t before, unsigned depth)
{
	x->work += n;
	for (size_t i = 0; i < n && depth < EXPLAIN_MAX_STEPS && !too_much(x); i++) {
		if (v[i].kind != TRACE_EXTENDS || !same_subject(v[i].path, subject))
			continue;
		if (strcmp(v[i].name, v[i].path) != 0)
			explain_extends(x, v, n, v[i].name, before, depth + 1);
		if (v[i].index < before)
			add_step(x, v[i].other, arena_printf(x->a, "taken over from %s", v[i].name));
		return;
	}
}

static void explain_file(struct explain *x, const struct source *src)
{
	const struct trace *t = x->r->trace;
	for (size_t i = 0; i < t->n_listed; i++) {
		const struct trace_event *e = &t->listed[i];
		if (strcmp(e->name, src->path) != 0)
			continue;
		if (e->kind == TRACE_INCLUDE)
			add_step(x, e->pos, "included");
		else if (e->kind == TRACE_ENV_FILE && same_subject(e->path, x->path))
			add_step(x, e->pos, "an env file of the service");
	}
}

/* What was at this place's position before. */
static bool explain_replaced(struct explain *x, const struct trace_event *v, size_t n, size_t before, unsigned depth)
{
	bool own = false, any = false;
	x->work += n;
	for (size_t i = 0; i < n && !too_much(x); i++)
		own |= v[i].kind == TRACE_REPLACES && v[i].index < before && same_subject(v[i].path, x->path);
	for (size_t i = 0; i < n && !too_much(x); i++) {
		if (v[i].kind != TRACE_REPLACES || v[i].index >= before || (own && !same_subject(v[i].path, x->path)))
			continue;
		explain_place(x, v[i].other, any ? "written too" : "written", v[i].index, depth + 1);
		any = true;
	}
	return any;
}

/* True when the chain has been at this place before. */
static bool has_step(const struct explain *x, struct pos pos)
{
	json_t *step;
	size_t i;
	json_array_foreach(x->chain, i, step)
		if (pos.src && json_get_int(step, "line", 0) == pos.line && json_get_int(step, "column", 0) == pos.column &&
		    str_eq(json_get_str(step, "file", ""), pos.src->path))
			return true;
	return false;
}

static void explain_place(struct explain *x, struct pos pos, const char *what, size_t before, unsigned depth)
{
	size_t n;
	const struct trace_event *v = trace_at(x->r->trace, pos, &n);
	bool replaces, again;
	if (depth > EXPLAIN_MAX_STEPS)
		return;
	replaces = explain_replaced(x, v, n, before, depth);
	for (size_t i = 0; i < n; i++)
		if (v[i].kind == TRACE_SAME) {
			size_t n_value;
			const struct trace_event *value = trace_at(x->r->trace, v[i].other, &n_value);
			replaces |= explain_replaced(x, value, n_value, before, depth);
		}
	again = has_step(x, pos);
	add_step(x, pos, replaces && strcmp(what, "written") == 0 ? "replaces it" : what);
	explain_file(x, pos.src);
	if (!again)
		explain_extends(x, v, n, x->path, before, 0);
	for (size_t i = 0; i < n; i++) {
		if (v[i].kind == TRACE_VARIABLE)
			explain_variable(x, &v[i], depth);
		if (v[i].kind == TRACE_SAME) {
			size_t n_value;
			const struct trace_event *value = trace_at(x->r->trace, v[i].other, &n_value);
			for (size_t k = 0; k < n_value; k++)
				if (value[k].kind == TRACE_VARIABLE)
					explain_variable(x, &value[k], depth);
		}
	}
}

static void explain_drops(struct explain *x)
{
	const struct trace *t = x->r->trace;
	for (size_t i = 0; i < t->n_listed; i++) {
		const struct trace_event *e = &t->listed[i];
		if (e->kind != TRACE_DROPS || !is_below(x->path, e->path))
			continue;
		add_step(x, e->other, "written");
		add_step(x, e->pos, arena_printf(x->a, "drops %s as it was", e->path));
	}
}

/* The line at pos has the text somewhere: then it is no path that was made absolute. */
static bool line_has(struct pos pos, const char *text)
{
	size_t len;
	const char *line = source_line(pos.src, pos.line, &len);
	return memmem(line, len, text, strlen(text)) != NULL;
}

static bool same_place(struct pos a, struct pos b)
{
	return a.src == b.src && a.line == b.line && a.column == b.column;
}

/* Lists and mappings that took the place of others as a whole, and the value with them: the outermost first. */
static void explain_around(struct explain *x, const struct around *around, struct pos pos)
{
	const struct trace_event *v;
	size_t n;
	if (!around)
		return;
	explain_around(x, around->up, pos);
	v = trace_at(x->r->trace, around->node->pos, &n);
	if (!same_place(around->node->pos, pos) && explain_replaced(x, v, n, SIZE_MAX, 0))
		add_step(x, around->node->pos, arena_printf(x->a, "replaces the whole %s", around->node->kind == NODE_SEQ ? "list" : "mapping"));
}

static void explain_value(struct explain *x, const struct node *n, const struct node_entry *entry, const struct around *around)
{
	struct pos pos = n->pos.src ? n->pos : entry ? entry->key_pos : (struct pos){ 0 };
	size_t steps, events = 0;
	explain_drops(x);
	explain_around(x, around, pos);
	steps = json_array_size(x->chain);
	if (n->implied || !pos.src) {
		add_step(x, pos, "nobody wrote it: a default, implied here");
		return;
	}
	if (strcmp(x->path, "name") == 0 && strcmp(x->r->name_origin, "name") != 0) {
		add_step(x, x->r->name_pos, arena_printf(x->a, "given by %s", x->r->name_origin));
		if (strcmp(x->r->name_origin, "the directory") == 0)
			add_step(x, (struct pos){ 0 }, arena_printf(x->a, "the directory is %s", x->r->working_dir));
		return;
	}
	trace_at(x->r->trace, pos, &events);
	if (!events && entry && entry->key_pos.src)
		trace_at(x->r->trace, entry->key_pos, &events);
	explain_place(x, pos, "written", SIZE_MAX, 0);
	if (n->kind == NODE_STRING && *n->text == '/' && n->text[1] && json_array_size(x->chain) == steps + 1 && !line_has(pos, n->text))
		add_step(x, (struct pos){ 0 }, arena_printf(x->a, "a relative path, resolved against %s", x->r->working_dir));
}

static void emit(struct explain *x, json_t *one);

static void explain_node(struct explain *x, const struct node *n, const struct node_entry *entry, const struct node_path *path,
	const struct around *around)
{
	struct around here = { .up = around, .node = n };
	json_t *one;
	for (size_t i = 0; i < n->n && !too_much(x); i++) {
		bool map = n->kind == NODE_MAP;
		struct node_path step = { .up = path, .key = map ? n->entries[i].key : NULL, .index = i };
		explain_node(x, map ? n->entries[i].value : n->items[i], map ? &n->entries[i] : NULL, &step, &here);
	}
	if (n->n)
		return;
	x->n_values++;
	one = json_object();
	x->path = node_path_text(x->a, path);
	x->chain = json_array();
	explain_value(x, n, entry, around);
	json_object_set_new(one, "path", json_string_nocheck(x->path));
	json_object_set_new(one, "value", n->kind == NODE_NULL ? json_null() : n->kind == NODE_SEQ ? json_array() : n->kind == NODE_MAP ? json_object()
		: n->kind == NODE_BOOL ? json_boolean(n->boolean) : n->kind == NODE_INT ? json_integer(n->integer) : json_string_nocheck(n->text));
	json_object_set_new(one, "chain", x->chain);
	emit(x, one);
	json_decref(one);
}

/* Walks up from an unknown path to what exists, and names the nearest key there. */
static int unknown_path(const struct load_result *r, const char *path, struct err *err)
{
	const struct trace *t = r->trace;
	AUTO_FREE char *top = xstrdup(path);
	const struct node *at = NULL;
	const char *rest, *word, *near = NULL;
	char shown[200];
	size_t len = strlen(top);
	for (size_t i = 0; i < t->n_listed; i++)
		if (t->listed[i].kind == TRACE_DROPS && is_below(path, t->listed[i].path) && !node_find(r->tree, t->listed[i].path, NULL))
			return err_set(err, ERR_NOT_FOUND, "%s: nothing there: %s:%d drops %s, which %s:%d had", err_quote(shown, sizeof(shown), path),
				t->listed[i].pos.src->path, t->listed[i].pos.line, t->listed[i].path, t->listed[i].other.src->path, t->listed[i].other.line);
	while (len && !(at = node_find(r->tree, top, NULL))) {
		while (len && top[len - 1] != '.' && top[len - 1] != '[')
			len--;
		len -= len > 0;
		top[len] = '\0';
	}
	at = at ? at : r->tree;
	rest = path + len + (path[len] == '.');
	word = arena_strndup(r->arena, rest, strcspn(rest, ".["));
	if (at->kind == NODE_MAP) {
		const char **names = arena_alloc(r->arena, (at->n + 1) * sizeof(*names));
		for (size_t i = 0; i < at->n; i++)
			names[i] = at->entries[i].key;
		near = diag_nearest(word, names, at->n);
	}
	if (strcmp(top, "services") == 0 && strv_has(&r->disabled, word))
		return err_set(err, ERR_NOT_FOUND, "%s: the service is switched off by its profiles", err_quote(shown, sizeof(shown), path));
	if (near)
		return err_set(err, ERR_NOT_FOUND, "%s is not in the model: did you mean %s%s%s?", err_quote(shown, sizeof(shown), path), top,
			len ? "." : "", near);
	if (at->kind == NODE_SEQ)
		return err_set(err, ERR_NOT_FOUND, "%s is not in the model: %s has %u member%s, [0] is the first", err_quote(shown, sizeof(shown), path), top,
			at->n, at->n == 1 ? "" : "s");
	return err_set(err, ERR_NOT_FOUND, "%s is not in the model: nothing below \"%s\" has that name", err_quote(shown, sizeof(shown), path), top);
}

/* Text from files, safe to print and not too long. */
static void add_text(struct str *ret, const char *text)
{
	char safe[EXPLAIN_MAX_LINE * 4 + 8];
	AUTO_FREE char *cut = NULL;
	size_t n = strlen(text);
	if (n > EXPLAIN_MAX_LINE) {
		n = EXPLAIN_MAX_LINE;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	cut = xstrndup(text, n);
	str_addf(ret, "%s%s", err_quote(safe, sizeof(safe), cut), text[n] ? "…" : "");
}

static void render_step(const json_t *step, const char *cwd, struct str *ret)
{
	const char *file = json_get_str(step, "file", NULL);
	size_t n = cwd ? strlen(cwd) : 0;
	str_add(ret, "  ");
	if (file) {
		add_text(ret, n > 1 && strncmp(file, cwd, n) == 0 && file[n] == '/' ? file + n + 1 : file);
		str_addf(ret, ":%" PRId64 ":%" PRId64 ": ", json_get_int(step, "line", 0), json_get_int(step, "column", 0));
	}
	str_add(ret, json_get_str(step, "what", ""));
	if (file) {
		str_add(ret, ": ");
		add_text(ret, json_get_str(step, "text", ""));
	}
	str_addc(ret, '\n');
}

static void emit(struct explain *x, json_t *one)
{
	AUTO_FREE char *value = NULL;
	json_t *step;
	size_t i;
	if (x->list) {
		json_array_append(x->list, one);
		return;
	}
	value = json_dumps(json_object_get(one, "value"), JSON_ENCODE_ANY);
	add_text(x->text, json_get_str(one, "path", ""));
	str_addf(x->text, " = %s\n", value ? value : "?");
	json_array_foreach(json_object_get(one, "chain"), i, step)
		render_step(step, x->cwd, x->text);
}

/* Explains n, going down to it from the root by `rest` of its path, so that what is around it is known. False when it is not that way. */
static bool go_down(struct explain *x, const struct node *at, const char *rest, const struct node *n, const struct node_entry *entry,
	const struct node_path *path, const struct around *around)
{
	struct around here = { .up = around, .node = at };
	if (at == n) {
		explain_node(x, n, entry, path, around);
		return true;
	}
	for (size_t i = 0; i < at->n; i++) {
		const struct node *next = at->kind == NODE_MAP ? at->entries[i].value : at->items[i];
		AUTO_FREE char *index = at->kind == NODE_MAP ? NULL : xasprintf("[%zu]", i);
		const char *key = index ? index : at->entries[i].key;
		size_t len = strlen(key);
		if (strncmp(rest, key, len) == 0 && (!rest[len] || rest[len] == '.' || rest[len] == '[') &&
		    go_down(x, next, rest + len + (rest[len] == '.'), n, entry, path, &here))
			return true;
	}
	return false;
}

static int explain(struct explain *x, const char *path, struct err *err)
{
	const struct load_result *r = x->r;
	const struct node_entry *entry = NULL;
	struct node_path step;
	bool whole = strcmp(path, ".") == 0;
	const struct node *n;
	path += *path == '.' && !whole;
	step = (struct node_path){ .key = path };
	n = whole ? r->tree : node_find(r->tree, path, &entry);
	if (!n || (!whole && !*path))
		return unknown_path(r, path, err);
	if (whole || !go_down(x, r->tree, path, n, entry, &step, NULL))
		explain_node(x, n, entry, whole ? NULL : &step, NULL);
	if (r->trace->full)
		return err_set(err, ERR_UNSUPPORTED, "the project is too large to be explained");
	if (too_much(x))
		return err_set(err, ERR_UNSUPPORTED, "this is too much to explain at once: name a part of it, services.NAME.KEY");
	return 0;
}

int explain_json(const struct load_result *r, const char *path, json_t **ret, struct err *err)
{
	AUTO_JSON json_t *list = json_array();
	struct explain x = { .r = r, .a = r->arena, .list = list };
	if (explain(&x, path, err) < 0)
		return -1;
	*ret = json_incref(list);
	return 0;
}

int explain_text(const struct load_result *r, const char *path, const char *cwd, struct str *ret, struct err *err)
{
	struct explain x = { .r = r, .a = r->arena, .text = ret, .cwd = cwd };
	return explain(&x, path, err);
}
