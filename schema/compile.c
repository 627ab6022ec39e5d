/* SPDX-License-Identifier: Apache-2.0 */
/* Build tool: compose.schema.json in, the constant tables of spec/schema_table.h out (on standard output). It knows exactly the keywords
 * that spec/schema.c enforces, and fails the build at anything else: an unknown keyword, a pattern or type that the validator does not
 * understand, a reference to nowhere or in a circle, alternatives of a oneOf that a value's type does not tell apart, a service key
 * without a description. So a schema that builds is one that is enforced as it is written.
 * A reference becomes a copy of the node it points to with its own annotations laid over; the arrays are shared. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "spec/schema_pattern.h"
#include "spec/schema_table.h"

enum { MAX_NODES = 4096, MAX_DEPTH = 32 };

/* A node: the object that has its keywords, and the one whose annotations win (the same, unless it was reached by a reference). */
struct item {
	const json_t *body;
	const json_t *outer;
	unsigned types;
	unsigned items;
	unsigned *props, *patterns, *one_of;
	unsigned arrays;         /* the node whose arrays it uses */
};

struct def {
	const json_t *body;
	unsigned node;
	bool busy;
};

struct compiler {
	const json_t *root;
	struct item items[MAX_NODES];
	unsigned n;
	struct def defs[256];
	unsigned n_defs;
	const char *way[MAX_DEPTH];
	unsigned depth;
};

static _Noreturn void fail(const struct compiler *c, const char *fmt, ...)
{
	va_list ap;
	fputs("schema/compile: #", stderr);
	for (unsigned i = 0; i < c->depth; i++)
		fprintf(stderr, "/%s", c->way[i]);
	fputs(": ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);
	if (!p)
		abort();
	return p;
}

static void enter(struct compiler *c, const char *name)
{
	if (c->depth == MAX_DEPTH)
		fail(c, "nested too deeply");
	c->way[c->depth++] = name;
}

static unsigned type_bit(const struct compiler *c, const char *name)
{
	static const struct {
		const char *name;
		unsigned bits;
	} types[] = {
		{ "null", SCHEMA_NULL }, { "boolean", SCHEMA_BOOL }, { "integer", SCHEMA_INT }, { "string", SCHEMA_STRING },
		{ "number", SCHEMA_NUMBER | SCHEMA_INT }, { "array", SCHEMA_LIST }, { "object", SCHEMA_MAP },
	};
	for (size_t i = 0; name && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, name) == 0)
			return types[i].bits;
	fail(c, "unknown type");
}

static bool is_annotation(const char *key)
{
	static const char *const names[] = {
		"title", "description", "examples", "default", "deprecated", "patternErrorMessage", "$comment",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], key) == 0)
			return true;
	return false;
}

/* Each keyword with the type that it needs its node to be; 0: any. */
static void check_keywords(const struct compiler *c, const json_t *body, unsigned types)
{
	static const struct {
		const char *name;
		unsigned needs;
	} keywords[] = {
		{ "type", 0 }, { "oneOf", 0 },
		{ "properties", SCHEMA_MAP }, { "patternProperties", SCHEMA_MAP },
		{ "additionalProperties", SCHEMA_MAP }, { "required", SCHEMA_MAP },
		{ "enum", SCHEMA_STRING }, { "pattern", SCHEMA_STRING }, { "minimum", SCHEMA_INT }, { "maximum", SCHEMA_INT },
		{ "items", SCHEMA_LIST }, { "uniqueItems", SCHEMA_LIST },
	};
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)body, key, value) {
		bool known = is_annotation(key);
		if (c->depth == 0)
			known = known || key[0] == '$';
		for (size_t i = 0; !known && i < sizeof(keywords) / sizeof(keywords[0]); i++)
			known = strcmp(keywords[i].name, key) == 0 && (!keywords[i].needs || (types & keywords[i].needs));
		if (!known)
			fail(c, "the validator does not know the keyword \"%s\" here", key);
		if (strcmp(key, "additionalProperties") == 0 && !json_is_false(value))
			fail(c, "additionalProperties must be false or absent");
	}
}

static unsigned compile(struct compiler *c, const json_t *schema);

static unsigned compile_ref(struct compiler *c, const json_t *schema)
{
	const char *ref = json_string_value(json_object_get(schema, "$ref")), *key;
	const json_t *value, *body;
	struct def *d = c->defs;
	unsigned node;
	if (!ref || strncmp(ref, "#/$defs/", 8) != 0)
		fail(c, "only references to #/$defs/NAME are known");
	json_object_foreach((json_t *)schema, key, value)
		if (strcmp(key, "$ref") != 0 && !is_annotation(key))
			fail(c, "\"%s\" beside a reference", key);
	body = json_object_get(json_object_get(c->root, "$defs"), ref + 8);
	if (!body)
		fail(c, "no definition %s", ref);
	while (d < c->defs + c->n_defs && d->body != body)
		d++;
	if (d == c->defs + c->n_defs) {
		if (c->n_defs++ == sizeof(c->defs) / sizeof(c->defs[0]))
			fail(c, "too many definitions");
		*d = (struct def){ .body = body, .busy = true };
		d->node = compile(c, body);
		d->busy = false;
	}
	if (d->busy)
		fail(c, "%s contains itself", ref);
	if (json_object_size(schema) == 1)
		return d->node;
	if (c->n == MAX_NODES)
		fail(c, "too many nodes");
	node = c->n++;
	c->items[node] = c->items[d->node];
	c->items[node].outer = schema;
	return node;
}

static unsigned *compile_members(struct compiler *c, const json_t *object, bool patterns)
{
	unsigned *v = allocate(json_object_size(object), sizeof(*v)), n = 0;
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)object, key, value) {
		enter(c, key);
		if (patterns && !schema_pattern_valid(key))
			fail(c, "not a pattern that the validator understands");
		v[n++] = compile(c, value);
		c->depth--;
	}
	return v;
}

static void compile_one_of(struct compiler *c, struct item *it, const json_t *one_of)
{
	size_t n = json_array_size(one_of);
	it->one_of = allocate(n + 1, sizeof(*it->one_of));
	it->types = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned types;
		it->one_of[i] = compile(c, json_array_get(one_of, i));
		types = c->items[it->one_of[i]].types;
		if (types & it->types)
			fail(c, "two alternatives of oneOf take the same type");
		it->types |= types;
	}
}

static unsigned compile(struct compiler *c, const json_t *schema)
{
	unsigned node;
	struct item *it;
	const json_t *type, *pattern;
	if (!json_is_object(schema))
		fail(c, "a schema must be an object");
	if (json_object_get(schema, "$ref"))
		return compile_ref(c, schema);
	if (c->n == MAX_NODES)
		fail(c, "too many nodes");
	node = c->n++;
	it = &c->items[node];
	*it = (struct item){ .body = schema, .outer = schema, .arrays = node };
	type = json_object_get(schema, "type");
	if (json_is_array(type))
		for (size_t i = 0; i < json_array_size(type); i++)
			it->types |= type_bit(c, json_string_value(json_array_get(type, i)));
	else
		it->types = type ? type_bit(c, json_string_value(type)) : SCHEMA_ANY;
	check_keywords(c, schema, json_object_get(schema, "oneOf") ? 0 : it->types);
	if (json_object_get(schema, "enum") && it->types != SCHEMA_STRING)
		fail(c, "enum is for strings");
	pattern = json_object_get(schema, "pattern");
	if (pattern && (!schema_pattern_valid(json_string_value(pattern)) || !json_object_get(schema, "patternErrorMessage")))
		fail(c, "pattern needs to be one that the validator understands, with a patternErrorMessage");
	it->props = compile_members(c, json_object_get(schema, "properties"), false);
	it->patterns = compile_members(c, json_object_get(schema, "patternProperties"), true);
	if (json_object_get(schema, "items")) {
		enter(c, "items");
		it->items = compile(c, json_object_get(schema, "items"));
		c->depth--;
	}
	if (json_object_get(schema, "oneOf")) {
		if (type)
			fail(c, "type beside oneOf");
		compile_one_of(c, it, json_object_get(schema, "oneOf"));
	}
	return node;
}

/* A C string literal, or NULL. */
static void print_string(const char *s)
{
	if (!s) {
		fputs("NULL", stdout);
		return;
	}
	putchar('"');
	for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
		if (*p == '"' || *p == '\\' || *p == '?')
			printf("\\%c", *p);
		else if (*p < 0x20 || *p >= 0x7f)
			printf("\\%03o", *p);
		else
			putchar(*p);
	}
	putchar('"');
}

static const json_t *annotation(const struct item *it, const char *key)
{
	const json_t *j = json_object_get(it->outer, key);
	return j ? j : json_object_get(it->body, key);
}

static void print_field(const char *name, const char *s)
{
	printf(" .%s = ", name);
	print_string(s);
	putchar(',');
}

/* True when the string reads back as itself without quotes in YAML: paths, words, "10s", and nothing that could be something else. */
static bool is_plain(const char *s)
{
	static const char *const words[] = { "true", "false", "null", "yes", "no", "on", "off", "y", "n" };
	size_t digits = strspn(s, "0123456789");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(s, words[i]) == 0)
			return false;
	if (digits > 0)
		return s[digits] && s[digits] != 'e' && strspn(s + digits, "abcdefghijklmnopqrstuvwxyz") == strlen(s + digits);
	return schema_pattern_match("^[a-zA-Z_/.][a-zA-Z0-9_/.-]*$", s) && !schema_pattern_match("^[.][a-zA-Z0-9]", s);
}

/* A value as people write it on one line of YAML. */
static void print_flow(FILE *out, const json_t *j)
{
	const char *key, *separator = "";
	json_t *value;
	char *text;
	if (json_is_object(j)) {
		fputc('{', out);
		json_object_foreach((json_t *)j, key, value) {
			fprintf(out, "%s%s: ", separator, key);
			print_flow(out, value);
			separator = ", ";
		}
		fputc('}', out);
	} else if (json_is_array(j)) {
		fputc('[', out);
		for (size_t i = 0; i < json_array_size(j); i++) {
			fputs(i ? ", " : "", out);
			print_flow(out, json_array_get(j, i));
		}
		fputc(']', out);
	} else if (json_is_string(j) && is_plain(json_string_value(j))) {
		fputs(json_string_value(j), out);
	} else {
		text = json_dumps(j, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
		fputs(text ? text : "", out);
		free(text);
	}
}

static void print_flow_field(const char *name, const json_t *j)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	if (j)
		print_flow(out, j);
	fclose(out);
	print_field(name, j ? text : NULL);
	free(text);
}

static void print_strings(unsigned node, const char *suffix, const json_t *list)
{
	if (!list)
		return;
	printf("static const char *const n%u_%s[] = {", node, suffix);
	for (size_t i = 0; i < json_array_size(list); i++) {
		putchar(' ');
		print_string(json_string_value(json_array_get(list, i)));
		putchar(',');
	}
	puts(" NULL };");
}

struct named {
	const char *name;
	unsigned node;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static void print_members(unsigned node, const char *suffix, const json_t *object, const unsigned *nodes)
{
	size_t n = json_object_size(object), i = 0;
	struct named *v = allocate(n, sizeof(*v));
	const char *key;
	json_t *value;
	if (n > 0) {
		json_object_foreach((json_t *)object, key, value) {
			v[i] = (struct named){ key, nodes[i] };
			i++;
		}
		qsort(v, n, sizeof(*v), by_name);
		printf("static const struct schema_prop n%u_%s[] = {", node, suffix);
		for (i = 0; i < n; i++) {
			fputs(" { ", stdout);
			print_string(v[i].name);
			printf(", %u },", v[i].node);
		}
		puts(" };");
	}
	free(v);
}

static void print_arrays(const struct compiler *c)
{
	for (unsigned i = 1; i < c->n; i++) {
		const struct item *it = &c->items[i];
		if (it->arrays != i)
			continue;
		print_members(i, "props", json_object_get(it->body, "properties"), it->props);
		print_members(i, "patterns", json_object_get(it->body, "patternProperties"), it->patterns);
		print_strings(i, "required", json_object_get(it->body, "required"));
		print_strings(i, "choices", json_object_get(it->body, "enum"));
		if (it->one_of) {
			printf("static const uint16_t n%u_one_of[] = {", i);
			for (const unsigned *p = it->one_of; *p; p++)
				printf(" %u,", *p);
			puts(" 0 };");
		}
	}
}

static void print_node(const struct item *it)
{
	const json_t *min = json_object_get(it->body, "minimum"), *max = json_object_get(it->body, "maximum");
	const json_t *props = json_object_get(it->body, "properties"), *patterns = json_object_get(it->body, "patternProperties");
	unsigned a = it->arrays;
	printf("\t{ .types = %u,", it->types);
	print_field("title", json_string_value(annotation(it, "title")));
	print_field("description", json_string_value(annotation(it, "description")));
	print_flow_field("example", json_array_get(annotation(it, "examples"), 0));
	print_flow_field("def", annotation(it, "default"));
	print_field("pattern", json_string_value(json_object_get(it->body, "pattern")));
	print_field("pattern_message", json_string_value(annotation(it, "patternErrorMessage")));
	if (json_object_size(props) > 0)
		printf(" .props = n%u_props, .n_props = %zu,", a, json_object_size(props));
	if (json_object_size(patterns) > 0)
		printf(" .patterns = n%u_patterns, .n_patterns = %zu,", a, json_object_size(patterns));
	if (json_object_get(it->body, "required"))
		printf(" .required = n%u_required,", a);
	if (json_object_get(it->body, "enum"))
		printf(" .choices = n%u_choices,", a);
	if (it->one_of)
		printf(" .one_of = n%u_one_of,", a);
	printf(" .min = %s%" JSON_INTEGER_FORMAT ", .max = %s%" JSON_INTEGER_FORMAT ",", min ? "" : "INT64_MIN + ", json_integer_value(min),
		max ? "" : "INT64_MAX - ", json_integer_value(max));
	printf(" .items = %u, .closed = %d, .unique = %d, .deprecated = %d },\n", it->items,
		json_object_get(it->body, "additionalProperties") != NULL, json_is_true(json_object_get(it->body, "uniqueItems")),
		json_is_true(annotation(it, "deprecated")));
}

/* A key has one schema: no name matches a pattern beside it. */
static void check_overlap(const struct compiler *c, const json_t *body)
{
	const char *key, *pattern;
	json_t *value, *other;
	json_object_foreach(json_object_get(body, "properties"), key, value)
		json_object_foreach(json_object_get(body, "patternProperties"), pattern, other)
			if (schema_pattern_match(pattern, key))
				fail(c, "key \"%s\" matches the pattern %s too", key, pattern);
}

/* Every key has a description: editors, completion and the manual live on them. */
static void check_descriptions(struct compiler *c)
{
	for (unsigned i = 1; i < c->n; i++) {
		const json_t *props = json_object_get(c->items[i].body, "properties");
		const char *key;
		const json_t *value;
		unsigned n = 0;
		check_overlap(c, c->items[i].body);
		json_object_foreach((json_t *)props, key, value) {
			if (!json_string_value(annotation(&c->items[c->items[i].props[n++]], "description")))
				fail(c, "key \"%s\" has no description", key);
		}
	}
}

int main(int argc, char **argv)
{
	static struct compiler c = { .n = 1 };
	json_error_t error;
	json_t *root = argc == 2 ? json_load_file(argv[1], JSON_REJECT_DUPLICATES, &error) : NULL;
	unsigned node;
	if (!root) {
		if (argc == 2)
			fprintf(stderr, "schema/compile: %s:%d: %s\n", argv[1], error.line, error.text);
		else
			fputs("usage: schema-compile FILE\n", stderr);
		return 1;
	}
	c.root = root;
	c.items[SCHEMA_NO_NODE] = (struct item){ .types = SCHEMA_ANY };
	node = compile(&c, root);
	check_descriptions(&c);
	puts("/* Made by schema/compile.c of schema/compose.schema.json. */");
	print_arrays(&c);
	puts("const struct schema_node schema_nodes[] = {");
	for (unsigned i = 0; i < c.n; i++)
		print_node(&c.items[i]);
	puts("};");
	printf("const uint16_t schema_root = %u;\n", node);
	json_decref(root);
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
