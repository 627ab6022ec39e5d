/* SPDX-License-Identifier: Apache-2.0 */
/* Field by field: what changed between the service a container was made from and the one that is wanted, and what that takes. */
#ifndef COMPOSE_PLAN_DIFF_H
#define COMPOSE_PLAN_DIFF_H

#include "base/str.h"
#include "compose/desired.h"
#include "compose/state.h"

enum diff_class { DIFF_NONE, DIFF_IN_PLACE, DIFF_RECREATE };

/* Compares; the reason ("environment.FOO changed; image …") is appended to *ret_reason. d gives the volumes' and networks' names. */
enum diff_class plan_diff(const struct record *r, const struct desired *d, const struct desired_service *want, struct str *ret_reason);

#endif
