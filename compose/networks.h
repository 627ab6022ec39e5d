/* SPDX-License-Identifier: Apache-2.0 */
/* Networks as commands and supervisors of all projects see them: on record. Those of a project are in its networks.json, NAME → {key, bridge,
 * subnet, internal, labels}; one of somebody else that it uses has "owner" there. Those that `network create` made belong to no project and are
 * files networks/NAME.json below the root with the same members, key being the name; while one is made or removed it says "creating" or
 * "removing", and is no network. */
#ifndef COMPOSE_NETWORKS_H
#define COMPOSE_NETWORKS_H

#include "compose/paths.h"
#include "compose/plan.h"

/* Finds the network `name` that is not `project`'s own (NULL: anybody's): whose it is (NETS_NOBODY: nobody's) and its record, both the
 * caller's. 0; 1: there is none; -1 + err. */
int nets_lookup(const struct paths *p, const char *project, const char *name, char **ret_owner, json_t **ret_record, struct err *err);
/* -1 + err: what is said of an external network that there is not. */
int nets_missing(const char *name, struct err *err);
/* Adds to `shared` and `bare` the networks that d (may be NULL) names, that exist and are not among existing->networks. */
int nets_shared(const struct paths *p, const char *project, const struct desired *d, struct plan_existing *existing, struct err *err);
/* The same, and the project's own networks whose bridge is in the kernel; what a plan without a supervisor goes by. */
int nets_existing(const struct paths *p, const char *project, const struct desired *d, struct plan_existing *ret, struct err *err);

/* A record of a network that is not there yet or goes, or of one whose making or removal was killed: nobody's network. */
bool nets_partial(const json_t *record);

/* Who joins another's network, takes an address of it or clears those of others away, and who decides that a network goes, does it under the lock
 * of its bridge: each sees the others' deed or is seen. It is held for moments; a process that was stopped in one is waited for at most 5 s. The
 * lock is the directory <run>/.leases/<bridge>; made when it is not there, and removed when nothing has come into it. Descriptor for
 * nets_unlock() or -1 + err. */
int nets_lock(const struct paths *p, const char *bridge, struct err *err);
void nets_unlock(const struct paths *p, const char *bridge, int *fd);

/* Has a container of another project than this one (NULL: any) an address on the bridge? */
bool shared_busy(const struct paths *p, const char *bridge, const char *project);
/* Means a lease's target, PROJECT/ID, a container that does not run and is not just starting? dir_fd, address: the lease itself. */
bool shared_dead(const struct paths *p, const char *target, int dir_fd, const char *address);

#endif
