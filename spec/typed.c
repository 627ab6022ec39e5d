/* SPDX-License-Identifier: Apache-2.0 */
/* Values into their types, object by object, by the tables of shape.c. The schema has been satisfied when this runs, so
 * what fails here is what a schema cannot say: "5x" as a duration, "lots" as a size, a command with an open quote. A field
 * whose value is its type's zero is left out, as the reference's output leaves it out; x- keys are kept at the end. */
#include <math.h>
#include <stdio.h>

#include "spec/bytes.h"
#include "spec/duration.h"
#include "spec/interpolate.h"
#include "spec/scalar.h"
#include "spec/shape.h"
#include "spec/shellwords.h"

struct typed {
	struct diags *ds;
	struct arena *a;
};

static void convert_struct(struct typed *t, struct node *n, const struct shape *shape, const struct node_path *path);

static struct diag *fail(struct typed *t, const struct node *n, const struct node_path *path, const char *what)
{
	if (n->kind == NODE_SEQ || n->kind == NODE_MAP || n->kind == NODE_NULL)
		return diag_error(t->ds, n->pos, node_path_text(t->a, path), "must be %s, not %s", what, node_kind_name(n->kind));
	return diag_error(t->ds, n->pos, node_path_text(t->a, path), "\"%s\" is not %s", diag_quote(t->ds, n->text), what);
}

static void set_int(struct typed *t, struct node *n, int64_t i)
{
	n->kind = NODE_INT;
	n->integer = i;
	n->number = (double)i;
	n->text = arena_printf(t->a, "%lld", (long long)i);
}

static void to_string(struct typed *t, struct node *n, const struct node_path *path)
{
	if (n->kind == NODE_INT)
		n->kind = NODE_STRING;
	else if (n->kind != NODE_STRING)
		fail(t, n, path, "a string");
}

/* Any scalar as its text. */
static void to_text(struct typed *t, struct node *n, const struct node_path *path)
{
	if (n->kind == NODE_SEQ || n->kind == NODE_MAP)
		fail(t, n, path, "a string, a number, true or false");
	else
		n->kind = NODE_STRING;
}

static void to_bool(struct typed *t, struct node *n, const struct node_path *path)
{
	bool legacy;
	int b;
	if (n->kind == NODE_BOOL)
		return;
	b = n->kind == NODE_STRING ? interpolate_bool(n->text, &legacy) : -1;
	if (b < 0) {
		fail(t, n, path, "true or false");
		return;
	}
	if (legacy)
		diag_warning(t->ds, n->pos, node_path_text(t->a, path), "\"%s\" is no boolean in YAML 1.2: write %s", n->text, b ? "true" : "false");
	n->kind = NODE_BOOL;
	n->boolean = b;
	n->text = b ? "true" : "false";
}

static void to_int(struct typed *t, struct node *n, bool is_unsigned, const struct node_path *path)
{
	int64_t i = n->integer;
	if (is_unsigned && n->kind == NODE_STRING) {
		diag_hint(t->ds, fail(t, n, path, "a number"), "this one has to stand in the file itself, without quotes or variables");
		return;
	}
	if (n->kind == NODE_FLOAT && fabs(n->number) < 9e18)
		i = (int64_t)n->number;
	else if (n->kind != NODE_INT && !(n->kind == NODE_STRING && scalar_parse_int(n->text, 10, &i))) {
		fail(t, n, path, "a whole number");
		return;
	}
	if (is_unsigned && i < 0) {
		diag_error(t->ds, n->pos, node_path_text(t->a, path), "must not be negative");
		return;
	}
	set_int(t, n, i);
}

static void to_float(struct typed *t, struct node *n, const struct node_path *path)
{
	double d = n->number;
	char buf[40];
	if (n->kind != NODE_INT && n->kind != NODE_FLOAT && !(n->kind == NODE_STRING && scalar_parse_float(n->text, &d))) {
		fail(t, n, path, "a number");
		return;
	}
	scalar_format_float((double)(float)d, true, buf);
	n->kind = NODE_FLOAT;
	n->number = strtod(buf, NULL);
	n->text = arena_strdup(t->a, buf);
}

static void to_bytes(struct typed *t, struct node *n, const struct node_path *path)
{
	int64_t i = n->integer;
	if (n->kind == NODE_FLOAT && fabs(n->number) < 9e18 && (double)(int64_t)n->number == n->number) {
		i = (int64_t)n->number;
	} else if (n->kind != NODE_INT && !(n->kind == NODE_STRING && bytes_parse(n->text, &i))) {
		diag_hint(t->ds, fail(t, n, path, "a size"), "a number of bytes, or one with a unit: 512m, 1.5g, 64k");
		return;
	}
	n->kind = NODE_STRING;
	n->text = arena_printf(t->a, "%lld", (long long)i);
	n->integer = i;
}

static void to_duration(struct typed *t, struct node *n, const struct node_path *path)
{
	const char *why = "it is no text";
	int64_t ns;
	char buf[40];
	if (n->kind == NODE_SEQ || n->kind == NODE_MAP || !duration_parse(n->text, &ns, &why)) {
		diag_hint(t->ds, fail(t, n, path, arena_printf(t->a, "a duration (%s)", why)), "a number with a unit: 30s, 1m30s, 500ms, 2h");
		return;
	}
	duration_format(ns, buf);
	n->kind = NODE_STRING;
	n->text = arena_strdup(t->a, buf);
	n->integer = ns;
}

/* A list of strings; a single string is a list of one. */
static void to_strings(struct typed *t, struct node *n, bool texts, const struct node_path *path)
{
	if (n->kind == NODE_STRING) {
		struct node *item = arena_alloc(t->a, sizeof(*item));
		*item = *n;
		*n = *node_new(t->a, NODE_SEQ, item->pos);
		node_push(t->a, n, item);
		return;
	}
	if (n->kind != NODE_SEQ) {
		fail(t, n, path, "a list");
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .index = i };
		if (texts)
			to_text(t, n->items[i], &step);
		else
			to_string(t, n->items[i], &step);
	}
}

static void to_command(struct typed *t, struct node *n, const struct node_path *path)
{
	AUTO_STRV struct strv words = { 0 };
	struct node whole = *n;
	const char *rest;
	if (n->kind != NODE_STRING) {
		to_strings(t, n, true, path);
		return;
	}
	if (!shellwords_split(n->text, &words, &rest)) {
		diag_hint(t->ds, fail(t, n, path, "a command: a quote, backslash or parenthesis in it is not closed"),
			"for a shell command write [\"sh\", \"-c\", \"...\"]");
		return;
	}
	if (rest) {
		struct diag *d = diag_warning(t->ds, n->pos, node_path_text(t->a, path), "\"%s\" is dropped: no shell reads this command",
			diag_quote(t->ds, rest));
		diag_hint(t->ds, d, "for a shell command write [\"sh\", \"-c\", \"...\"]");
	}
	*n = *node_new(t->a, NODE_SEQ, whole.pos);
	for (size_t i = 0; i < words.n; i++)
		node_push(t->a, n, node_new_string(t->a, whole.pos, words.v[i]));
}

static void to_test(struct typed *t, struct node *n, const struct node_path *path)
{
	struct node whole = *n;
	if (n->kind != NODE_STRING) {
		to_strings(t, n, false, path);
		return;
	}
	*n = *node_new(t->a, NODE_SEQ, whole.pos);
	node_push(t->a, n, node_new_string(t->a, whole.pos, "CMD-SHELL"));
	node_push(t->a, n, node_new_string(t->a, whole.pos, whole.text));
}

/* ["K=V", "K"] → { K: V, K: null } */
static void list_to_map(struct typed *t, struct node *n, bool check_space, const struct node_path *path)
{
	struct node *map = node_new(t->a, NODE_MAP, n->pos);
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .index = i };
		struct node *item = n->items[i], *value;
		size_t len = strcspn(item->text, "=");
		const char *key = arena_strndup(t->a, item->text, len);
		if (item->kind == NODE_SEQ || item->kind == NODE_MAP) {
			fail(t, item, &step, "a string");
			continue;
		}
		if (check_space && len && strchr(" \t\n\v\f\r", key[len - 1])) {
			diag_hint(t->ds, diag_error(t->ds, item->pos, node_path_text(t->a, &step), "the name \"%s\" ends with a blank", diag_quote(t->ds, key)),
				"no blanks around the =");
			continue;
		}
		value = item->text[len] ? node_new_string(t->a, item->pos, item->text + len + 1) : node_new(t->a, NODE_NULL, item->pos);
		node_put(t->a, map, key, item->pos, value);
	}
	*n = *map;
}

static void to_mapping(struct typed *t, struct node *n, const struct shape_field *f, const struct node_path *path)
{
	bool keep_null = f->kind == SHAPE_MAPPING_NULL;
	if (n->kind == NODE_SEQ && f->kind != SHAPE_OPTIONS)
		list_to_map(t, n, keep_null, path);
	if (n->kind != NODE_MAP) {
		fail(t, n, path, f->kind == SHAPE_OPTIONS ? "a mapping" : "a mapping or a list of NAME=VALUE");
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .key = n->entries[i].key };
		struct node *v = n->entries[i].value;
		if (v->kind == NODE_NULL && keep_null)
			continue;
		if ((f->flags & SHAPE_STRICT) && v->kind != NODE_NULL)
			to_string(t, v, &step);
		else
			to_text(t, v, &step);
	}
}

static void to_multi(struct typed *t, struct node *n, const struct node_path *path)
{
	if (n->kind != NODE_MAP) {
		fail(t, n, path, "a mapping");
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .key = n->entries[i].key };
		struct node *v = n->entries[i].value;
		if (v->kind != NODE_SEQ && v->kind != NODE_MAP)
			v->kind = NODE_STRING;
		to_strings(t, v, true, &step);
	}
}

static void push_host(struct typed *t, struct node *seq, const char *host, const char *ip, struct pos pos, const struct node_path *path)
{
	size_t len = strlen(ip);
	if (!*host || strpbrk(host, ":=")) {
		diag_error(t->ds, pos, node_path_text(t->a, path), "bad host name \"%s\"", diag_quote(t->ds, host));
		return;
	}
	if (len > 2 && ip[0] == '[' && ip[len - 1] == ']')
		ip = arena_strndup(t->a, ip + 1, len - 2);
	node_push(t->a, seq, node_new_string(t->a, pos, arena_printf(t->a, "%s=%s", host, ip)));
}

static void split_host(struct typed *t, struct node *seq, const struct node *item, const struct node_path *path)
{
	const char *sep = strchr(item->text, '='), *host;
	if (!sep)
		sep = strchr(item->text, ':');
	if (!sep || item->kind == NODE_SEQ || item->kind == NODE_MAP) {
		diag_hint(t->ds, fail(t, item, path, "a host with an address"), "write HOST=ADDRESS");
		return;
	}
	host = arena_strndup(t->a, item->text, (size_t)(sep - item->text));
	for (const char *p = sep + 1; ; ) {
		size_t len = strcspn(p, ",");
		push_host(t, seq, host, arena_strndup(t->a, p, len), item->pos, path);
		if (!p[len])
			return;
		p += len + 1;
	}
}

static int compare_text(const void *a, const void *b)
{
	return strcmp((*(struct node *const *)a)->text, (*(struct node *const *)b)->text);
}

static void to_hosts(struct typed *t, struct node *n, const struct node_path *path)
{
	struct node *seq = node_new(t->a, NODE_SEQ, n->pos);
	if (n->kind != NODE_MAP && n->kind != NODE_SEQ) {
		fail(t, n, path, "a mapping or a list of HOST=ADDRESS");
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		bool map = n->kind == NODE_MAP;
		struct node_path step = { .up = path, .key = map ? n->entries[i].key : NULL, .index = i };
		const struct node *v = map ? n->entries[i].value : n->items[i];
		if (!map)
			split_host(t, seq, v, &step);
		else if (v->kind == NODE_SEQ)
			for (size_t k = 0; k < v->n; k++)
				push_host(t, seq, step.key, v->items[k]->text, v->items[k]->pos, &step);
		else
			push_host(t, seq, step.key, v->text, v->pos, &step);
	}
	if (seq->n)
		qsort(seq->items, seq->n, sizeof(*seq->items), compare_text);
	*n = *seq;
}

static void to_ulimits(struct typed *t, struct node *n, const struct node_path *path)
{
	static const char *const keys[] = { "soft", "hard" };
	if (n->kind != NODE_MAP) {
		fail(t, n, path, "a mapping");
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .key = n->entries[i].key };
		struct node *v = n->entries[i].value;
		if (v->kind == NODE_INT && v->integer == 0)
			*v = *node_new(t->a, NODE_MAP, v->pos);
		if (v->kind == NODE_INT || v->kind == NODE_NULL)
			continue;
		if (v->kind != NODE_MAP) {
			to_int(t, v, false, &step);
			continue;
		}
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
			struct node *part = node_get(v, keys[k]);
			struct node_path inner = { .up = &step, .key = keys[k] };
			if (part)
				to_int(t, part, false, &inner);
		}
	}
}

static void to_mode(struct typed *t, struct node *n, const struct node_path *path)
{
	int64_t i = n->integer;
	if (n->kind != NODE_INT && !(n->kind == NODE_STRING && scalar_parse_int(n->text, 8, &i))) {
		diag_hint(t->ds, fail(t, n, path, "a file mode"), "octal digits in quotes: \"0440\"");
		return;
	}
	n->kind = NODE_STRING;
	n->text = arena_printf(t->a, i < 0 ? "0-%llo" : "0%llo", (unsigned long long)(i < 0 ? -i : i));
}

static void to_count(struct typed *t, struct node *n, const struct node_path *path)
{
	int64_t i = n->integer;
	if (n->kind == NODE_STRING && strcasecmp(n->text, "all") == 0)
		i = -1;
	else if (n->kind != NODE_INT && !(n->kind == NODE_STRING && scalar_parse_int(n->text, 10, &i))) {
		fail(t, n, path, "a whole number or \"all\"");
		return;
	}
	set_int(t, n, i);
}

static void convert_children(struct typed *t, struct node *n, const struct shape_field *f, const struct node_path *path)
{
	enum node_kind kind = f->kind == SHAPE_LIST ? NODE_SEQ : NODE_MAP;
	if (n->kind != kind) {
		fail(t, n, path, kind == NODE_SEQ ? "a list" : "a mapping");
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		struct node_path step = { .up = path, .key = kind == NODE_MAP ? n->entries[i].key : NULL, .index = i };
		struct node *v = kind == NODE_MAP ? n->entries[i].value : n->items[i];
		if (v->kind != NODE_NULL || f->kind != SHAPE_MAP_NULL)
			convert_struct(t, v, f->sub, &step);
	}
}

static void convert(struct typed *t, struct node *n, const struct shape_field *f, const struct node_path *path)
{
	switch (f->kind) {
	case SHAPE_STRING:
		to_string(t, n, path);
		break;
	case SHAPE_BOOL:
	case SHAPE_OPT_OUT:
		to_bool(t, n, path);
		break;
	case SHAPE_INT:
	case SHAPE_UINT:
		to_int(t, n, f->kind == SHAPE_UINT, path);
		break;
	case SHAPE_FLOAT:
		to_float(t, n, path);
		break;
	case SHAPE_BYTES:
		to_bytes(t, n, path);
		break;
	case SHAPE_DURATION:
		to_duration(t, n, path);
		break;
	case SHAPE_STRINGS:
	case SHAPE_TEXTS:
		to_strings(t, n, f->kind == SHAPE_TEXTS, path);
		break;
	case SHAPE_COMMAND:
		to_command(t, n, path);
		break;
	case SHAPE_TEST:
		to_test(t, n, path);
		break;
	case SHAPE_MULTI:
		to_multi(t, n, path);
		break;
	case SHAPE_HOSTS:
		to_hosts(t, n, path);
		break;
	case SHAPE_ULIMIT:
		to_ulimits(t, n, path);
		break;
	case SHAPE_MODE:
		to_mode(t, n, path);
		break;
	case SHAPE_COUNT:
		to_count(t, n, path);
		break;
	case SHAPE_STRUCT:
		convert_struct(t, n, f->sub, path);
		break;
	case SHAPE_LIST:
	case SHAPE_MAP:
	case SHAPE_MAP_NULL:
		convert_children(t, n, f, path);
		break;
	default:
		to_mapping(t, n, f, path);
	}
}

static bool is_zero(const struct node *n, enum shape_kind kind)
{
	switch (n->kind) {
	case NODE_NULL:
		return true;
	case NODE_BOOL:
		return n->boolean == (kind == SHAPE_OPT_OUT);
	case NODE_INT:
		return n->integer == 0;
	case NODE_FLOAT:
		return n->number == 0;
	case NODE_STRING:
		if (kind == SHAPE_BYTES || kind == SHAPE_DURATION)
			return n->integer == 0;
		return !*n->text;
	default:
		return n->n == 0 && kind != SHAPE_COMMAND && kind != SHAPE_STRUCT;
	}
}

static void convert_struct(struct typed *t, struct node *n, const struct shape *shape, const struct node_path *path)
{
	struct node *map = node_new(t->a, NODE_MAP, n->pos);
	struct node_entry *entries[SHAPE_MAX_FIELDS];
	map->implied = n->implied;
	if (diag_too_large(t->ds, n->pos, NULL))
		return;
	if (n->kind != NODE_MAP && n->kind != NODE_NULL) {
		fail(t, n, path, "a mapping");
		return;
	}
	shape_lookup(shape, n, entries);
	for (size_t i = 0; n->n && i < shape->n; i++) {
		const struct shape_field *f = &shape->fields[i];
		struct node_path step = { .up = path, .key = f->key };
		struct node_entry *e = entries[i];
		if (!e || e->value->kind == NODE_NULL)
			continue;
		convert(t, e->value, f, &step);
		if (!is_zero(e->value, f->kind) || (f->flags & (SHAPE_KEEP | SHAPE_ALWAYS)))
			node_put(t->a, map, f->key, e->key_pos, e->value);
	}
	for (size_t i = 0; i < n->n; i++)
		if (str_starts(n->entries[i].key, "x-"))
			node_put(t->a, map, n->entries[i].key, n->entries[i].key_pos, n->entries[i].value);
	*n = *map;
}

int typed_convert(struct node *project, struct diags *ds)
{
	struct typed t = { .ds = ds, .a = ds->arena };
	size_t errors = ds->n_errors;
	convert_struct(&t, project, &shape_project, NULL);
	return ds->n_errors > errors ? -1 : 0;
}
