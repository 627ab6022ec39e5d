/* SPDX-License-Identifier: Apache-2.0 */
/* The validator: one walk down the document with the schema's tables beside it. The alternatives of a oneOf differ in type, so the value's
 * type picks the one to check against and each mistake is reported once, where it is. The depth of the walk is the schema's, not the
 * document's. Keys are looked up in a sorted table, equal items found by sorting: linear up to a logarithm in the document's size. */
#include "spec/schema.h"

#include <inttypes.h>

#include "spec/schema_hint.h"
#include "spec/schema_pattern.h"
#include "spec/schema_table.h"

#define NAME_PATTERN "^[a-zA-Z0-9._-]+$"

struct check {
	struct diags *ds;
	bool failed;
};

static void check_value(struct check *c, const struct schema_place *at);

static bool fits_int64(double v)
{
	return v > -9e18 && v < 9e18;
}

/* Finite and without a fraction, which numbers beyond 2^53 have none of. */
static bool is_whole(double v)
{
	return fits_int64(v) ? (double)(int64_t)v == v : v - v == 0;
}

static unsigned value_types(const struct node *v)
{
	switch (v->kind) {
	case NODE_NULL:
		return SCHEMA_NULL;
	case NODE_BOOL:
		return SCHEMA_BOOL;
	case NODE_INT:
		return SCHEMA_INT | SCHEMA_NUMBER;
	case NODE_FLOAT:
		return is_whole(v->number) ? SCHEMA_INT | SCHEMA_NUMBER : SCHEMA_NUMBER;
	case NODE_STRING:
		return SCHEMA_STRING;
	case NODE_SEQ:
		return SCHEMA_LIST;
	case NODE_MAP:
		return SCHEMA_MAP;
	case NODE_KIND_N_:
		break;
	}
	return 0;
}

/* A missing value has no place of its own: that of its key says more. */
static struct pos value_pos(const struct schema_place *at)
{
	return at->value->kind == NODE_NULL && at->key_pos.src ? at->key_pos : at->value->pos;
}

static struct diag *fail(struct check *c, struct pos pos, const struct schema_place *at, const char *message)
{
	c->failed = true;
	return diag_error(c->ds, pos, schema_place_text(c->ds->arena, at), "%s", message);
}

static void check_type(struct check *c, const struct schema_place *at)
{
	const char *noun = schema_noun(c->ds->arena, at->schema);
	struct arena *a = c->ds->arena;
	struct diag *d;
	if (at->value->kind == NODE_NULL)
		d = fail(c, value_pos(at), at, arena_printf(a, "has no value: must be %s", noun));
	else if (at->value->kind == NODE_FLOAT && (at->schema->types & SCHEMA_INT))
		d = fail(c, value_pos(at), at, arena_printf(a, "must be %s, not %s", noun, diag_quote(c->ds, at->value->text)));
	else
		d = fail(c, value_pos(at), at, arena_printf(a, "must be %s, not %s", noun, node_kind_name(at->value->kind)));
	schema_hint_type(c->ds, d, at);
}

/* The choice that a person meant: a few slips away, or the only one that the word is a part of ("healthy"). */
static const char *nearest_choice(const char *word, const char *const *choices, size_t n)
{
	const char *part = NULL;
	for (size_t i = 0; i < n && strlen(word) > 2; i++) {
		if (!strstr(choices[i], word))
			continue;
		if (part)
			return NULL;
		part = choices[i];
	}
	return part ? part : diag_nearest(word, choices, n);
}

static void check_choices(struct check *c, const struct schema_place *at, const struct schema_node *s)
{
	AUTO_STR struct str text = { 0 };
	const char *near;
	struct diag *d;
	size_t n = 0;
	for (; s->choices[n]; n++)
		if (strcmp(s->choices[n], at->value->text) == 0)
			return;
	str_add(&text, "must be ");
	for (size_t i = 0; i < n; i++)
		str_addf(&text, "%s\"%s\"", i == 0 ? "" : i + 1 == n ? " or " : ", ", s->choices[i]);
	str_addf(&text, ", not \"%s\"", diag_quote(c->ds, at->value->text));
	d = fail(c, value_pos(at), at, str_get(&text));
	near = nearest_choice(at->value->text, s->choices, n);
	if (near && n > 1)
		diag_hint(c->ds, d, "did you mean \"%s\"?", near);
}

static void check_scalar(struct check *c, const struct schema_place *at, const struct schema_node *s)
{
	const struct node *v = at->value;
	struct arena *a = c->ds->arena;
	if (v->kind == NODE_STRING) {
		if (s->choices)
			check_choices(c, at, s);
		if (s->pattern && !schema_pattern_match(s->pattern, v->text))
			fail(c, value_pos(at), at, arena_printf(a, "%s, not \"%s\"", s->pattern_message, diag_quote(c->ds, v->text)));
	} else if (v->kind == NODE_INT || v->kind == NODE_FLOAT) {
		bool low = v->kind == NODE_INT ? v->integer < s->min : s->min != INT64_MIN && v->number < (double)s->min;
		bool high = v->kind == NODE_INT ? v->integer > s->max : s->max != INT64_MAX && v->number > (double)s->max;
		if (low || high)
			fail(c, value_pos(at), at, arena_printf(a, "must be at %s %" PRId64 ", not %s", low ? "least" : "most",
				low ? s->min : s->max, diag_quote(c->ds, v->text)));
	}
}

static void check_unknown(struct check *c, const struct schema_place *at, const struct schema_node *s, const struct node_entry *e)
{
	struct arena *a = c->ds->arena;
	const char *key = diag_quote(c->ds, e->key);
	struct diag *d;
	if (s->n_props == 0 && s->n_patterns > 0) {
		d = fail(c, e->key_pos, at, arena_printf(a, "invalid name \"%s\"", key));
		if (strcmp(s->patterns[0].name, NAME_PATTERN) == 0)
			diag_hint(c->ds, d, "a name is made of letters, digits, \".\", \"_\" and \"-\"");
		return;
	}
	d = fail(c, e->key_pos, at, arena_printf(a, "unknown key \"%s\"", key));
	schema_hint_unknown(c->ds, d, at, e);
}

static void warn_obsolete(struct check *c, const struct schema_place *at)
{
	struct diag *d = diag_warning(c->ds, at->key_pos, schema_place_text(c->ds->arena, at), "is obsolete");
	diag_hint(c->ds, d, "%s", at->schema->description);
}

static void check_map(struct check *c, const struct schema_place *at, const struct schema_node *s)
{
	struct schema_place here = *at;
	const struct node *v = at->value;
	here.schema = s;
	for (size_t i = 0; i < v->n; i++) {
		const struct node_entry *e = &v->entries[i];
		struct schema_place in = { .up = &here, .value = e->value, .key_pos = e->key_pos };
		uint16_t node;
		in.step = (struct node_path){ .up = at->up ? &at->step : NULL, .key = e->key };
		if (schema_table_key(s, e->key, &node, NULL)) {
			in.schema = &schema_nodes[node];
			if (in.schema->deprecated)
				warn_obsolete(c, &in);
			check_value(c, &in);
		} else if (s->closed) {
			check_unknown(c, &here, s, e);
		}
	}
	for (const char *const *r = s->required; r && *r; r++)
		if (!node_get(v, *r))
			schema_hint_missing(c->ds, fail(c, v->pos, at, arena_printf(c->ds->arena, "missing key \"%s\"", *r)), s, *r);
}

/* A text that two values have in common exactly when they are equal as JSON: 1 and 1.0 are, 1 and "1" are not. */
static void add_identity(struct str *s, const struct node *v);

static int compare_entries(const void *a, const void *b)
{
	return strcmp((*(const struct node_entry *const *)a)->key, (*(const struct node_entry *const *)b)->key);
}

static void add_map_identity(struct str *s, const struct node *v)
{
	AUTO_FREE const struct node_entry **sorted = xcalloc(v->n ? v->n : 1, sizeof(const struct node_entry *));
	for (size_t i = 0; i < v->n; i++)
		sorted[i] = &v->entries[i];
	qsort(sorted, v->n, sizeof(const struct node_entry *), compare_entries);
	str_addc(s, '{');
	for (size_t i = 0; i < v->n; i++) {
		str_addf(s, "%zu:%s", strlen(sorted[i]->key), sorted[i]->key);
		add_identity(s, sorted[i]->value);
	}
	str_addc(s, '}');
}

static void add_identity(struct str *s, const struct node *v)
{
	switch (v->kind) {
	case NODE_INT:
		str_addf(s, "i%" PRId64, v->integer);
		break;
	case NODE_FLOAT:
		if (fits_int64(v->number) && is_whole(v->number))
			str_addf(s, "i%" PRId64, (int64_t)v->number);
		else
			str_addf(s, "f%.17g", v->number);
		break;
	case NODE_STRING:
		str_addf(s, "s%zu:%s", strlen(v->text), v->text);
		break;
	case NODE_SEQ:
		str_addc(s, '[');
		for (size_t i = 0; i < v->n; i++)
			add_identity(s, v->items[i]);
		str_addc(s, ']');
		break;
	case NODE_MAP:
		add_map_identity(s, v);
		break;
	default:
		str_add(s, v->kind == NODE_NULL ? "n" : v->boolean ? "t" : "b");
	}
}

struct identity {
	char *text;
	size_t index;
};

static int compare_identity(const void *a, const void *b)
{
	const struct identity *x = a, *y = b;
	int r = strcmp(x->text, y->text);
	return r ? r : (x->index > y->index) - (x->index < y->index);
}

static void report_repetition(struct check *c, const struct schema_place *at, size_t first, size_t again)
{
	const struct node *v = at->value->items[again];
	struct schema_place in = { .up = at, .value = v, .schema = at->schema };
	struct diag *d;
	in.step = (struct node_path){ .up = at->up ? &at->step : NULL, .index = again };
	if (v->kind == NODE_SEQ || v->kind == NODE_MAP)
		d = fail(c, v->pos, &in, arena_printf(c->ds->arena, "repeats entry %zu of the list", first));
	else
		d = fail(c, v->pos, &in, arena_printf(c->ds->arena, "repeats \"%s\"", diag_quote(c->ds, v->text)));
	diag_note(c->ds, d, at->value->items[first]->pos, "the first one is here");
}

static void check_unique(struct check *c, const struct schema_place *at)
{
	const struct node *v = at->value;
	struct identity *ids;
	if (v->n < 2)
		return;
	ids = xcalloc(v->n, sizeof(*ids));
	for (size_t i = 0; i < v->n; i++) {
		struct str s = { 0 };
		add_identity(&s, v->items[i]);
		ids[i] = (struct identity){ str_take(&s), i };
	}
	qsort(ids, v->n, sizeof(*ids), compare_identity);
	for (size_t i = 1, first = 0; i < v->n; i++) {
		if (strcmp(ids[i].text, ids[first].text) == 0)
			report_repetition(c, at, ids[first].index, ids[i].index);
		else
			first = i;
	}
	for (size_t i = 0; i < v->n; i++)
		free(ids[i].text);
	free(ids);
}

static void check_list(struct check *c, const struct schema_place *at, const struct schema_node *s)
{
	const struct node *v = at->value;
	for (size_t i = 0; s->items != SCHEMA_NO_NODE && i < v->n; i++) {
		struct schema_place in = { .up = at, .value = v->items[i], .schema = &schema_nodes[s->items] };
		in.step = (struct node_path){ .up = at->up ? &at->step : NULL, .index = i };
		check_value(c, &in);
	}
	if (s->unique)
		check_unique(c, at);
}

static void check_value(struct check *c, const struct schema_place *at)
{
	unsigned types = value_types(at->value);
	const struct schema_node *s = at->schema->types & types ? schema_table_pick(at->schema, types) : NULL;
	if (!s)
		check_type(c, at);
	else if (at->value->kind == NODE_MAP)
		check_map(c, at, s);
	else if (at->value->kind == NODE_SEQ)
		check_list(c, at, s);
	else
		check_scalar(c, at, s);
}

int schema_validate(const struct node *doc, struct diags *diags)
{
	struct check c = { .ds = diags };
	struct schema_place root = { .schema = &schema_nodes[schema_root], .value = doc };
	check_value(&c, &root);
	return c.failed ? -1 : 0;
}

/* schema_each_key: a walk over the schema alone. */
struct each {
	int (*fn)(void *arg, const struct schema_key *key);
	void *arg;
	struct arena *arena;
	struct str path;
};

static int each_below(struct each *e, const struct schema_node *s);

static int each_step(struct each *e, const char *step, const struct schema_node *s)
{
	size_t len = e->path.len;
	int r;
	str_addf(&e->path, "%s%s", len && *step != '[' ? "." : "", step);
	r = each_below(e, s);
	e->path.len = len;
	e->path.p[len] = '\0';
	return r;
}

static int each_prop(struct each *e, const struct schema_prop *p)
{
	const struct schema_node *s = &schema_nodes[p->node];
	struct schema_key key = { .description = s->description, .choices = s->choices, .def = s->def, .deprecated = s->deprecated };
	size_t len = e->path.len;
	int r;
	str_addf(&e->path, "%s%s", len ? "." : "", p->name);
	key.path = str_get(&e->path);
	key.types = schema_noun(e->arena, s);
	r = e->fn(e->arg, &key);
	if (!r)
		r = each_below(e, s);
	e->path.len = len;
	e->path.p[len] = '\0';
	return r;
}

static int each_below(struct each *e, const struct schema_node *s)
{
	int r = 0;
	for (size_t i = 0; !r && i < s->n_props; i++)
		r = each_prop(e, &s->props[i]);
	for (size_t i = 0; !r && i < s->n_patterns; i++)
		r = each_step(e, "*", &schema_nodes[s->patterns[i].node]);
	if (!r && s->items != SCHEMA_NO_NODE)
		r = each_step(e, "[]", &schema_nodes[s->items]);
	for (const uint16_t *i = s->one_of; !r && i && *i != SCHEMA_NO_NODE; i++)
		r = each_below(e, &schema_nodes[*i]);
	return r;
}

int schema_each_key(int (*fn)(void *arg, const struct schema_key *key), void *arg)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct each e = { .fn = fn, .arg = arg, .arena = a };
	int r = each_below(&e, &schema_nodes[schema_root]);
	str_done(&e.path);
	return r;
}
