/* SPDX-License-Identifier: Apache-2.0 */
/* From what people write to one form: short syntax becomes long, then defaults are filled in. */
#ifndef SPEC_CANONICAL_H
#define SPEC_CANONICAL_H

#include "spec/diag.h"
#include "spec/tree.h"

/* Rewrites a document that the schema accepted (or an extended file, which nobody checked: odd types are left alone) in place. lenient: what
 * cannot be parsed stays as it is, because its variables were not replaced. 0, or -1 with errors. */
int canonical_apply(struct node *doc, bool lenient, struct diags *ds);
/* Fills in defaults (protocol, mode, targets of secrets, counts of devices …); the new nodes are marked as implied. */
void canonical_defaults(struct node *doc, struct diags *ds);
/* Checks on the canonical form that the schema cannot express: external volumes, sources of configs and secrets, addresses of ports,
 * device requests. 0, or -1 with errors. */
int canonical_check(const struct node *doc, struct diags *ds);

#endif
