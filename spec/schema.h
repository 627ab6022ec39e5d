/* SPDX-License-Identifier: Apache-2.0 */
/* Validation of a document against schema/compose.schema.json, the project's JSON Schema (draft 2020-12) and the one
 * source for what a Compose file may say. schema/compile.c turns it into constant tables when muster is built, so there is
 * nothing to read or to parse at run time, no state, and a schema that the validator would not understand does not build.
 * What the schema accepts and rejects is what the Compose Specification's own schema does; the messages are better:
 * several in one run, each at the key or value that is wrong, alternatives judged by the one that was meant. */
#ifndef SPEC_SCHEMA_H
#define SPEC_SCHEMA_H

#include "spec/diag.h"
#include "spec/tree.h"

/* Validates a document after interpolation and merge, short and long forms alike; null nodes are JSON nulls, and a float without a
 * fraction is an integer. Adds an error for each thing that is wrong (unknown key, wrong type, value not in the list, missing key, ...)
 * with a hint where one helps, and a warning for each deprecated key in use. Returns 0 when the document is valid, -1 when errors
 * were added (warnings alone are 0). The document is not changed. Nesting beyond what the schema describes is not visited. */
int schema_validate(const struct node *doc, struct diags *diags);

/* A key that the schema describes, for completion, help texts and the manual. */
struct schema_key {
	const char *path;        /* "services.*.build.args"; "*" stands for a name, "[]" for a list's items: "services.*.ports[].target" */
	const char *types;       /* "string or list": what it may be */
	const char *description; /* one sentence or more; never NULL */
	const char *const *choices; /* NULL-terminated: the values it may have; NULL when it has no such list */
	const char *def;         /* default as YAML on one line; NULL when it has none */
	bool deprecated;
};

/* Calls fn once for every key that the schema names, parents first, names in alphabetical order; stops at the first non-zero return
 * and returns it, else 0. *key and its path are valid during the call only, the other texts for ever. */
int schema_each_key(int (*fn)(void *arg, const struct schema_key *key), void *arg);

#endif
