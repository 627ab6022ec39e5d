/* SPDX-License-Identifier: Apache-2.0 */
/* The schema's tables, made at build time, and the two ways to step through them. */
#include <stdlib.h>
#include <string.h>

#include "spec/schema_pattern.h"
#include "spec/schema_table.h"

#include "spec/schema_tables.inc"

static int compare_prop(const void *key, const void *prop)
{
	return strcmp(key, ((const struct schema_prop *)prop)->name);
}

bool schema_table_key(const struct schema_node *n, const char *key, uint16_t *ret, bool *ret_pattern)
{
	const struct schema_prop *p = NULL;
	if (n->n_props > 0)
		p = bsearch(key, n->props, n->n_props, sizeof(*n->props), compare_prop);
	if (ret_pattern)
		*ret_pattern = !p;
	for (size_t i = 0; !p && i < n->n_patterns; i++)
		if (schema_pattern_match(n->patterns[i].name, key))
			p = &n->patterns[i];
	if (p)
		*ret = p->node;
	return p != NULL;
}

const struct schema_node *schema_table_pick(const struct schema_node *n, unsigned types)
{
	if (!n->one_of)
		return n;
	for (const uint16_t *i = n->one_of; *i != SCHEMA_NO_NODE; i++)
		if (schema_nodes[*i].types & types)
			return schema_table_pick(&schema_nodes[*i], types);
	return NULL;
}
