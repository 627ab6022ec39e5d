/* SPDX-License-Identifier: Apache-2.0 */
/* !reset and !override: the places that a file wants to be rid of in what was loaded before it. */
#ifndef SPEC_RESET_H
#define SPEC_RESET_H

#include "spec/diag.h"

struct reset_path {
	const char **keys;   /* keys of maps; a list's index ends it as something that never matches */
	struct pos pos;      /* of the tag's value */
	size_t n;
};

struct reset_list {
	struct reset_path *v;
	size_t n, cap;
	const struct reset_path **sorted; /* those of two keys and more, by the first two, then as they stand */
	size_t n_sorted;
};

/* Takes the !reset nodes out of doc and notes their paths and those of the !override nodes, whose content stays. */
void reset_collect(struct arena *a, struct node *doc, struct reset_list *ret);
/* Deletes the noted places in target, a whole document; ds keeps in mind what whole resources went. */
void reset_apply(const struct reset_list *list, struct node *target, struct diags *ds);
/* The same in a member of a section, which is at the path prefix[0].prefix[1] of its document. A path that ends at it deletes nothing. */
void reset_apply_member(const struct reset_list *list, struct node *target, const char *const prefix[2], struct diags *ds);

#endif
