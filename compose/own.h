/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup of our own processes, muster-<rootid>/<project>/own: so that a limit or a kill of the session that ran `up` does not reach them. */
#ifndef COMPOSE_OWN_H
#define COMPOSE_OWN_H

#include "base/err.h"

/* Moves the calling process in (children follow). Only warns where no cgroup can be made. 0, or -1 + err. */
int own_join(const char *rootid, const char *project, struct err *err);

/* Goes back to the root of the hierarchies, removes the project's cgroups and the parents that are empty then. Before the project's lock is
 * given up: the next anchor makes cgroups of the same names. A process of ours that is on its way out is waited for, 2 s at most, unless keep: some
 * stay. */
void own_leave(const char *rootid, const char *project, bool keep);

/* Makes run_fd a description of its own with a shared lock: what came from the command that started us is that one's hold on the directory, which
 * it gives up when it wants to, and we must not give it up in its place. The number stays. */
int own_hold_run(int run_fd, struct err *err);

/* The last act of an anchor, and of a command that held the run directory: removes it when paths_open() has made it, nothing is in it and nobody
 * else holds it. */
void own_leave_run(int run_fd);

#endif
