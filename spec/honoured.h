/* SPDX-License-Identifier: Apache-2.0 */
/* Which valid keys the runtime acts on. `config` accepts all that the schema accepts; `up`, `run` and `create` refuse, before
 * anything starts and in one answer, what the runtime does not do yet, because a key that is silently ignored (think of
 * cap_drop, read_only) is worse than one that is refused. Each key of the schema is exactly one of: honoured; honoured for some values
 * or at its default only (the others are refused by value); a no-op that the reference does not act on either, or that changes nothing
 * on one host; refused. */
#ifndef SPEC_HONOURED_H
#define SPEC_HONOURED_H

#include "spec/diag.h"

enum honoured_status {
	HONOURED_UNKNOWN,  /* no such key */
	HONOURED_YES,      /* the runtime does what it says */
	HONOURED_VALUES,   /* for some values; others are refused */
	HONOURED_DEFAULT,  /* accepted as long as it asks for what is so anyway; another value is refused */
	HONOURED_NO_OP,    /* accepted: there is nothing to do */
	HONOURED_REFUSED,  /* "not supported yet" */
	HONOURED_N_,
};

/* What is known of a key. path as in struct schema_key: "services.*.depends_on.*.condition", "services.*.volumes[].tmpfs"; a key inside a
 * refused or no-op one has its status. */
enum honoured_status honoured_status(const char *path);
/* "honoured", "honoured for some values", "at its default only", "no-op", "not supported yet", "unknown": for tables. */
const char *honoured_status_name(enum honoured_status status);

/* The values of a key of status HONOURED_VALUES that are honoured, separated by spaces; NULL where that is no list of words. */
const char *honoured_values(const char *path);

/* Goes through the model that load_project() returned (struct load_result, tree) and adds an error "not supported yet" with its position
 * for every refused key or value in use. Only what would run counts: services that profiles or the selection left out are not in the model.
 * A value that equals the default of doing without the key (privileged: false, an empty list) is not in use; nor is what the loader filled
 * in. Returns 0, or -1 when errors were added; then ds is sorted by position. */
int honoured_check(const struct node *model, struct diags *ds);

#endif
