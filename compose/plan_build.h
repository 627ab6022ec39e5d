/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the planner's files: adding actions and edges. Indexes, not pointers: the array moves. */
#ifndef COMPOSE_PLAN_BUILD_H
#define COMPOSE_PLAN_BUILD_H

#include "compose/plan.h"

void plan_init(struct plan *p);
/* Adds an action and returns its index; reason is printed into the arena. */
size_t plan_add(struct plan *p, enum action_kind kind, const char *name, const char *reason_fmt, ...) PRINTF(4, 5);
/* Action `index` waits for `before` (once). */
void plan_after(struct plan *p, size_t index, size_t before);
/* Adds an action on an existing container. */
size_t plan_add_on(struct plan *p, enum action_kind kind, const struct record *r, const char *reason_fmt, ...) PRINTF(4, 5);

/* Is s in the NULL-terminated list; a NULL or empty list holds everything when `all_if_empty`. */
bool plan_selected(const char *const *list, const char *s, bool all_if_empty);
/* depends_on of a record's own service: does it name `service`? */
bool plan_record_depends(const struct record *r, const char *service);

#endif
