/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as commands and supervisors of all projects see them: on record. Those of a project are in its networks.json, NAME → {key, bridge,
 * subnet, internal, labels}; one of somebody else that it uses has "owner" there. Those that `network create` made belong to no project and are
 * files networks/NAME.json below the root with the same members, key being the name. */
#ifndef COMPOSE_NETWORKS_H
#define COMPOSE_NETWORKS_H

#include "compose/paths.h"
#include "compose/plan.h"

/* Finds the network `name` that is not `project`'s own (NULL: anybody's): whose it is (NETS_NOBODY: nobody's) and its record, both the
 * caller's. 0; 1: there is none; -1 + err. */
int nets_lookup(const struct paths *p, const char *project, const char *name, char **ret_owner, json_t **ret_record, struct err *err);
/* Adds to `shared` and `bare` the networks that d (may be NULL) names, that exist and are not among existing->networks. */
int nets_shared(const struct paths *p, const char *project, const struct desired *d, struct plan_existing *existing, struct err *err);
/* The same, and the project's own networks whose bridge is in the kernel; what a plan without a supervisor goes by. */
int nets_existing(const struct paths *p, const char *project, const struct desired *d, struct plan_existing *ret, struct err *err);

/* Has a container of another project than this one (NULL: any) an address on the bridge? */
bool shared_busy(const struct paths *p, const char *bridge, const char *project);

#endif
