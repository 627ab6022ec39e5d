/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text → document trees, through libyaml's events. Aliases are copied, merge keys (<<) resolved, duplicate keys and keys that are
 * no strings reported. Bounded: YAML_MAX_NODES nodes in the text, YAML_MAX_TOTAL with the copies, YAML_MAX_DEPTH levels, and the ratio of
 * copied to written nodes that go-yaml allows, so that an alias bomb is an error and not a memory problem. */
#ifndef SPEC_YAML_H
#define SPEC_YAML_H

#include "spec/diag.h"
#include "spec/tree.h"

enum { YAML_MAX_NODES = 100000, YAML_MAX_TOTAL = 400000, YAML_MAX_DEPTH = 200 };

/* Reads all documents of src (an empty or comment-only text has none). The nodes live in ds' arena. 0, or -1 with errors in ds. */
int yaml_parse(const struct source *src, struct diags *ds, struct node ***ret_docs, size_t *ret_n);

#endif
