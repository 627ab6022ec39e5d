/* SPDX-License-Identifier: Apache-2.0 */
/* From a request of compose/control.h to a plan: the one reading of its options, so that --dry-run shows what the same request
 * makes the supervisor do. */
#ifndef COMPOSE_PLAN_REQUEST_H
#define COMPOSE_PLAN_REQUEST_H

#include "compose/plan.h"

/* op of the request: up, start, stop, restart, kill, rm, down. d: the desired state (up: that of the request with `scale` applied by
 * plan_request_scale; others: the last applied one, may be NULL). existing: networks and volumes.
 * generation: see struct plan_options. 0 or -1 + err. */
int plan_request(const json_t *request, const struct desired *d, const struct observed *o, const struct plan_existing *existing,
		 uint64_t generation, struct plan *ret, struct err *err);
/* Sets the replicas that options.scale asks for. -1 + err for an unknown service. */
int plan_request_scale(const json_t *request, struct desired *d, struct err *err);

#endif
