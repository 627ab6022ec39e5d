/* SPDX-License-Identifier: Apache-2.0 */
/* The typed tree as JSON values, in the two dialects of the reference: its JSON output (some fields always there, x- keys
 * only at the top) and what its YAML output says (x- keys everywhere, empty parts left out, other names for a few). */
#include "spec/shape.h"

#include <ctype.h>

static json_t *field_json(const struct node *n, const struct shape_field *f, bool yaml);

static int compare_entries(const void *a, const void *b)
{
	return strcmp((*(const struct node_entry *const *)a)->key, (*(const struct node_entry *const *)b)->key);
}

/* The value of the digits at p, up to 18 of them; *ret_len how many there are. */
static uint64_t digits_at(const unsigned char *p, size_t *ret_len)
{
	uint64_t v = 0;
	size_t n = 0;
	for (; isdigit(p[n]); n++)
		if (n < 18)
			v = v * 10 + (uint64_t)(p[n] - '0');
	*ret_len = n;
	return v;
}

/* The digits before p, back to start, hold one that is not 0: then a 0 at p is no leading zero. */
static bool follows_nonzero(const unsigned char *start, const unsigned char *p)
{
	while (p > start && isdigit(p[-1]))
		if (*--p != '0')
			return true;
	return false;
}

/* go-yaml's order of keys: letters after everything else, runs of digits by their value. */
static int compare_natural(const void *a, const void *b)
{
	const unsigned char *x = (const unsigned char *)(*(const struct node_entry *const *)a)->key;
	const unsigned char *y = (const unsigned char *)(*(const struct node_entry *const *)b)->key;
	const unsigned char *start = x;
	bool digits = false, xl, yl;
	uint64_t xn, yn;
	size_t x_len, y_len;
	for (; *x && *x == *y; x++, y++)
		digits = isdigit(*x);
	if (!*x || !*y)
		return *x ? 1 : *y ? -1 : 0;
	xl = isalpha(*x) || *x >= 0x80;
	yl = isalpha(*y) || *y >= 0x80;
	if (xl && yl)
		return *x < *y ? -1 : 1;
	if (xl || yl)
		return digits == xl ? -1 : 1;
	xn = digits_at(x, &x_len);
	yn = digits_at(y, &y_len);
	if (x_len != y_len && (*x == '0' || *y == '0') && follows_nonzero(start, x))
		return x_len < y_len ? -1 : 1;
	if (xn != yn)
		return xn < yn ? -1 : 1;
	if (x_len != y_len)
		return x_len < y_len ? -1 : 1;
	return *x < *y ? -1 : 1;
}

/* The entries of a free map in the order of the output; free() it. */
static const struct node_entry **sorted(const struct node *map, bool yaml)
{
	const struct node_entry **v = xcalloc(map->n, sizeof(*v));
	for (size_t i = 0; i < map->n; i++)
		v[i] = &map->entries[i];
	qsort(v, map->n, sizeof(*v), yaml ? compare_natural : compare_entries);
	return v;
}

/* A node as it is. */
static json_t *plain_json(const struct node *n, bool yaml)
{
	AUTO_FREE const struct node_entry **v = NULL;
	json_t *j;
	switch (n->kind) {
	case NODE_NULL:
		return json_null();
	case NODE_BOOL:
		return json_boolean(n->boolean);
	case NODE_INT:
		return json_integer(n->integer);
	case NODE_FLOAT:
		return json_real(n->number);
	case NODE_SEQ:
		j = json_array();
		for (size_t i = 0; i < n->n; i++)
			json_array_append_new(j, plain_json(n->items[i], yaml));
		return j;
	case NODE_MAP:
		j = json_object();
		v = sorted(n, yaml);
		for (size_t i = 0; i < n->n; i++)
			json_object_set_new_nocheck(j, v[i]->key, plain_json(v[i]->value, yaml));
		return j;
	default:
		return json_string_nocheck(n->text);
	}
}

static json_t *ulimits_json(const struct node *n, bool yaml)
{
	json_t *j = json_object();
	static const char *const keys[] = { "soft", "hard" };
	AUTO_FREE const struct node_entry **s = sorted(n, yaml);
	for (size_t i = 0; i < n->n; i++) {
		const struct node *v = s[i]->value;
		json_t *one;
		if (v->kind != NODE_MAP) {
			json_object_set_new_nocheck(j, s[i]->key, plain_json(v, yaml));
			continue;
		}
		one = json_object();
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
			const struct node *part = node_get(v, keys[k]);
			if (yaml || (part && part->integer))
				json_object_set_new(one, keys[k], json_integer(part ? part->integer : 0));
		}
		json_object_set_new_nocheck(j, s[i]->key, one);
	}
	return j;
}

/* ["default", "id: path"]; the JSON dialect cannot say the second. */
static json_t *ssh_json(const struct node *n, bool yaml)
{
	AUTO_FREE const struct node_entry **s = sorted(n, yaml);
	json_t *j = json_array();
	for (size_t i = 0; i < n->n; i++) {
		if (s[i]->value->kind == NODE_NULL || !*s[i]->value->text)
			json_array_append_new(j, json_string_nocheck(s[i]->key));
		else
			json_array_append_new(j, json_sprintf("%s: %s", s[i]->key, s[i]->value->text));
	}
	return j;
}

static json_t *absent_json(const struct shape_field *f)
{
	switch (f->kind) {
	case SHAPE_COMMAND:
		return json_null();
	case SHAPE_BOOL:
		return json_false();
	case SHAPE_INT:
	case SHAPE_UINT:
		return json_integer(0);
	case SHAPE_BYTES:
		return json_string("0");
	case SHAPE_MAP:
		return json_object();
	default:
		return json_string("");
	}
}

static json_t *children_json(const struct node *n, const struct shape_field *f, bool yaml)
{
	AUTO_FREE const struct node_entry **s = n->kind == NODE_MAP ? sorted(n, yaml) : NULL;
	json_t *j = n->kind == NODE_SEQ ? json_array() : json_object();
	for (size_t i = 0; i < n->n; i++) {
		const struct node *v = s ? s[i]->value : n->items[i];
		json_t *one = v->kind == NODE_NULL ? json_null() : shape_json(v, f->sub, yaml);
		if (n->kind == NODE_SEQ)
			json_array_append_new(j, one);
		else
			json_object_set_new_nocheck(j, s[i]->key, one);
	}
	return j;
}

static json_t *field_json(const struct node *n, const struct shape_field *f, bool yaml)
{
	switch (f->kind) {
	case SHAPE_STRUCT:
		return shape_json(n, f->sub, yaml);
	case SHAPE_LIST:
	case SHAPE_MAP:
	case SHAPE_MAP_NULL:
		return children_json(n, f, yaml);
	case SHAPE_ULIMIT:
		return ulimits_json(n, yaml);
	case SHAPE_SSH:
		return ssh_json(n, yaml);
	default:
		return plain_json(n, yaml);
	}
}

static void put_extensions(const struct node *n, bool yaml, json_t *j)
{
	AUTO_FREE const struct node_entry **s = sorted(n, yaml);
	for (size_t i = 0; i < n->n; i++)
		if (str_starts(s[i]->key, "x-"))
			json_object_set_new_nocheck(j, s[i]->key, plain_json(s[i]->value, yaml));
}

json_t *shape_json(const struct node *n, const struct shape *shape, bool yaml)
{
	struct node_entry *entries[SHAPE_MAX_FIELDS];
	bool root = shape == &shape_project;
	json_t *j;
	if (!shape)
		return plain_json(n, yaml);
	j = json_object();
	shape_lookup(shape, n, entries);
	for (size_t i = 0; i < shape->n; i++) {
		const struct shape_field *f = &shape->fields[i];
		const char *key = !yaml && f->json_key ? f->json_key : f->key;
		const struct node *v = entries[i] ? entries[i]->value : NULL;
		if ((f->flags & SHAPE_YAML) && !yaml)
			continue;
		if (v && !(yaml && (f->flags & SHAPE_VALUE) && v->n == 0))
			json_object_set_new(j, key, field_json(v, f, yaml));
		else if (!v && (f->flags & SHAPE_VALUE) && !yaml)
			json_object_set_new(j, key, shape_json(NULL, f->sub, yaml));
		else if (!v && (f->flags & SHAPE_ALWAYS) && !(yaml && f->kind == SHAPE_COMMAND))
			json_object_set_new(j, key, absent_json(f));
	}
	if (n && (yaml || root))
		put_extensions(n, yaml, j);
	return j;
}
