/* SPDX-License-Identifier: Apache-2.0 */
/* The cgroup of our own processes, muster-<rootid>/<project>/own: so that a limit or a kill of the session that ran `up` does not reach them. */
#ifndef COMPOSE_OWN_H
#define COMPOSE_OWN_H

#include "base/err.h"

/* Moves the calling process in (children follow). Only warns where no cgroup can be made. 0, or -1 + err. */
int own_join(const char *rootid, const char *project, struct err *err);

/* The last act of an anchor: goes back to the root of the hierarchies, removes the project's cgroups and, when this was the
 * root's last project, the parents and the run directory that only we have filled. */
void own_leave(const char *rootid, const char *project, int run_fd);

#endif
