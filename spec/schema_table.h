/* SPDX-License-Identifier: Apache-2.0 */
/* The tables that schema/compile.c makes of schema/compose.schema.json when muster is built, and that spec/schema*.c walk. References
 * are resolved, and the alternatives of a oneOf differ in type (the compiler sees to both, and to the absence of cycles), so a value's
 * type says which one was meant and a walk is never deeper than the schema. All of it is constant. */
#ifndef SPEC_SCHEMA_TABLE_H
#define SPEC_SCHEMA_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types, as bits; an integer is a number too. */
enum schema_type {
	SCHEMA_NULL = 1,
	SCHEMA_BOOL = 2,
	SCHEMA_INT = 4,
	SCHEMA_NUMBER = 8,
	SCHEMA_STRING = 16,
	SCHEMA_LIST = 32,
	SCHEMA_MAP = 64,
	SCHEMA_ANY = 127,
};

enum { SCHEMA_NO_NODE = 0 }; /* index of the node that accepts everything */

struct schema_prop {
	const char *name;        /* a key, or the pattern of keys */
	uint16_t node;
};

struct schema_node {
	const char *title;       /* noun for messages: "must be TITLE"; NULL: made of types */
	const char *description; /* NULL when it has none */
	const char *example;     /* as YAML on one line; NULL when it has none */
	const char *def;         /* default as YAML on one line; NULL */
	const char *pattern;     /* what a string must contain; NULL */
	const char *pattern_message;
	const struct schema_prop *props;    /* sorted by name */
	const struct schema_prop *patterns;
	const char *const *required;        /* NULL-terminated; NULL when there are none */
	const char *const *choices;         /* the same */
	const uint16_t *one_of;             /* nodes, 0-terminated; NULL: no alternatives. types is what they accept together */
	int64_t min, max;                   /* INT64_MIN, INT64_MAX: unbounded */
	uint16_t n_props, n_patterns;
	uint16_t items;
	uint8_t types;
	bool closed;             /* no keys but props and patterns */
	bool unique;             /* no two equal items */
	bool deprecated;
};

extern const struct schema_node schema_nodes[];
extern const uint16_t schema_root;

/* The node of a key of n; *ret_pattern (may be NULL) says whether a pattern matched instead of a name. False: no such key. */
bool schema_table_key(const struct schema_node *n, const char *key, uint16_t *ret, bool *ret_pattern);
/* The alternative that takes values of these types, n itself when it has no alternatives, NULL when none takes them. */
const struct schema_node *schema_table_pick(const struct schema_node *n, unsigned types);

#endif
