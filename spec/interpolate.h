/* SPDX-License-Identifier: Apache-2.0 */
/* Interpolation of a document: variables in every string value (keys are left alone), then the casts that the reference
 * makes at paths where a number or a boolean is due. */
#ifndef SPEC_INTERPOLATE_H
#define SPEC_INTERPOLATE_H

#include "spec/diag.h"
#include "spec/env.h"
#include "spec/tree.h"

/* Changes doc in place; strings at typed paths become numbers and booleans. Warns once per unset variable: `warned` (may be NULL) remembers
 * them over several calls. 0, or -1 with errors in ds; strings in error stay as they were. */
int interpolate_document(struct node *doc, const struct env *env, struct map *warned, struct diags *ds);
/* The same for one string that is in no document (a top-level name): its text in the arena, NULL with an error in ds. */
const char *interpolate_string(const struct node *value, const char *path, const struct env *env, struct map *warned, struct diags *ds);
/* "true/yes/on/y" and their opposites in any case: 1, 0; -1 for anything else. *ret_legacy: not YAML 1.2's true or false. */
int interpolate_bool(const char *text, bool *ret_legacy);

#endif
