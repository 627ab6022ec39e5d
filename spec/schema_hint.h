/* SPDX-License-Identifier: Apache-2.0 */
/* What the schema can tell a person about a mistake: where a key that is unknown here would be right, what a value of the right
 * type looks like. Called for errors only, so a search through the whole schema is fine. */
#ifndef SPEC_SCHEMA_HINT_H
#define SPEC_SCHEMA_HINT_H

#include "spec/diag.h"
#include "spec/schema_table.h"
#include "spec/tree.h"

/* Where a walk through document and schema is. The root's has up NULL and no step. */
struct schema_place {
	const struct schema_place *up;
	struct node_path step;           /* from up to here; step.up is up's step */
	const struct schema_node *schema;
	const struct node *value;
	struct pos key_pos;              /* of the key that holds the value; src NULL in a list */
};

/* The place as text ("services.web.ports[0]", "" for the root), in the arena. */
const char *schema_place_text(struct arena *a, const struct schema_place *at);
/* "a string, a number or a list": the title of a schema, else its types as a noun. */
const char *schema_noun(struct arena *a, const struct schema_node *s);

/* Adds a hint to d (NULL: nothing happens) for a key of at->value that at->schema does not know. */
void schema_hint_unknown(struct diags *ds, struct diag *d, const struct schema_place *at, const struct node_entry *entry);
/* The same for a value at `at` whose type at->schema does not take. */
void schema_hint_type(struct diags *ds, struct diag *d, const struct schema_place *at);
/* The same for a required key that is missing. */
void schema_hint_missing(struct diags *ds, struct diag *d, const struct schema_node *s, const char *key);

#endif
