/* SPDX-License-Identifier: Apache-2.0 */
/* A set of environment variables: what interpolation looks in. Values live in the arena of whoever fills it. A variable that
 * comes from a file knows its place there. */
#ifndef SPEC_ENV_H
#define SPEC_ENV_H

#include "base/arena.h"
#include "base/map.h"
#include "spec/tree.h"

struct env_var {
	const char *value;
	struct pos pos;       /* src NULL: not from a file */
};

struct env {
	struct arena *arena;
	struct map vars;      /* name → struct env_var */
};

void env_init(struct env *e, struct arena *a);
void env_done(struct env *e); /* zeroed is fine */
/* Adds every "K=V" of a NULL-terminated list (may be NULL); what has no '=' is skipped. Later ones win. */
void env_add_list(struct env *e, const char *const *list);
void env_put(struct env *e, const char *name, const char *value); /* copies both */
void env_put_at(struct env *e, const char *name, const char *value, struct pos pos);
/* Adds what is not there yet. */
void env_merge(struct env *e, const struct env *other);
/* NULL when it is not set. env may be NULL. */
const char *env_get(const struct env *e, const char *name);
/* Where it was set; src NULL when it is not set, or by no file. */
struct pos env_pos(const struct env *e, const char *name);
/* "K=V", sorted bytewise. */
void env_list(const struct env *e, struct strv *ret);
/* True for 1, t, true in any usual case (strconv.ParseBool); *ret_valid tells whether it was one of its words at all (may be NULL). */
bool env_is_true(const char *value, bool *ret_valid);

#endif
