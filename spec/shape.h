/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical model as data: which fields each object has, of which type, in which order they are printed. One table
 * serves the conversion of values (typed.c) and both outputs (JSON and YAML). */
#ifndef SPEC_SHAPE_H
#define SPEC_SHAPE_H

#include "base/json.h"
#include "spec/diag.h"
#include "spec/tree.h"

enum shape_kind {
	SHAPE_STRING,
	SHAPE_BOOL,
	SHAPE_OPT_OUT,     /* a boolean that is left out when true */
	SHAPE_INT,
	SHAPE_UINT,
	SHAPE_FLOAT,       /* single precision */
	SHAPE_BYTES,       /* "64m" → "67108864" */
	SHAPE_DURATION,    /* "90s" → "1m30s" */
	SHAPE_STRINGS,
	SHAPE_TEXTS,       /* strings, numbers as their text */
	SHAPE_COMMAND,     /* a string is split into words; absent is null in JSON */
	SHAPE_TEST,        /* a string is a CMD-SHELL */
	SHAPE_MAPPING,     /* names → strings; null is "" */
	SHAPE_MAPPING_NULL,/* names → strings or null */
	SHAPE_LABELS,
	SHAPE_OPTIONS,     /* map only */
	SHAPE_MULTI,       /* names → lists of strings */
	SHAPE_HOSTS,       /* "host=address" list, sorted */
	SHAPE_SSH,
	SHAPE_ULIMIT,
	SHAPE_MODE,        /* octal string */
	SHAPE_COUNT,       /* a number, "all" is -1 */
	SHAPE_STRUCT,
	SHAPE_LIST,        /* of sub */
	SHAPE_MAP,         /* names → sub; null is an empty sub */
	SHAPE_MAP_NULL,    /* names → sub or null */
	SHAPE_KIND_N_,
};

enum {
	SHAPE_KEEP = 1,    /* printed even when zero, if it was there */
	SHAPE_ALWAYS = 2,  /* printed even when it was not there: null, "", 0 or false */
	SHAPE_VALUE = 4,   /* a struct that is part of its parent: {} in JSON when it was not there; left out of YAML when empty */
	SHAPE_YAML = 8,    /* left out of JSON */
	SHAPE_STRICT = 16, /* SHAPE_OPTIONS: strings and whole numbers only */
};

struct shape;
struct shape_field {
	const char *key;
	const char *json_key;      /* NULL: the same */
	enum shape_kind kind;
	unsigned flags;
	const struct shape *sub;   /* SHAPE_STRUCT, SHAPE_LIST, SHAPE_MAP…; for SHAPE_MAP_NULL of ulimits NULL */
};

struct shape {
	const struct shape_field *fields;
	size_t n;
};

extern const struct shape shape_project, shape_service;

enum { SHAPE_MAX_FIELDS = 128 };
/* The entry of each field in map (NULL: no map), NULL for those that are not there. */
void shape_lookup(const struct shape *shape, const struct node *map, struct node_entry *ret[static SHAPE_MAX_FIELDS]);

/* Brings a canonical project into its typed form, in place: values converted, fields in order, zero values gone, x- keys last.
 * 0, or -1 with errors. */
int typed_convert(struct node *project, struct diags *ds);
/* The typed node as JSON (new reference), shape NULL: any node as it is: with the rules of the reference's JSON, or those of its YAML. */
json_t *shape_json(const struct node *n, const struct shape *shape, bool yaml);

#endif
