/* SPDX-License-Identifier: Apache-2.0 */
/* Merging one document over another, by the reference's rules: maps recursively, lists appended, scalars replaced, and the
 * special cases of design section 2.4 (command replaces, environment becomes a list, ipam.config goes by subnet …). */
#ifndef SPEC_MERGE_H
#define SPEC_MERGE_H

#include "spec/diag.h"
#include "spec/tree.h"

/* Merge `over` into `base` (both are used up) and return the result, whose nodes keep the position of the side that they came from. What cannot be
 * merged is reported (at `over`, with a note at `base`) and stays as in base. */
struct node *merge_documents(struct node *base, struct node *over, struct diags *ds);
/* The same for a member of the document: path = { "services", "web" }. */
struct node *merge_member(struct node *base, struct node *over, const char *const *path, size_t n_path, struct diags *ds);

/* Removes repeated members of lists that have a key (ports, volumes, environment, …): the last one wins, at the place of the first.
 * In place. What has no key because its type is wrong is left to the schema. 0, or -1 with errors (a mount without target, …). */
int unicity_enforce(struct node *doc, struct diags *ds);

#endif
