/* SPDX-License-Identifier: Apache-2.0 */
/* fork into new namespaces and a cgroup, with a pidfd: clone3, or clone(2) where it is missing. */
#ifndef RUNTIME_SPAWN_H
#define RUNTIME_SPAWN_H

#include <sys/types.h>

#include "base/err.h"

/* Returns 0 in the child, its pid in the parent, -1 + err. flags: CLONE_NEW*. cgroup_fd: a v2 cgroup or -1; *ret_cloned tells (on both
 * sides) whether the child was born there. *ret_pidfd is set in the parent. Only for single-threaded callers. */
pid_t spawn_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd, bool *ret_cloned, struct err *err);

/* In the child, first of all: dies with the parent until exec, in a session and session keyring of its own. */
int spawn_new_session(struct err *err);
/* In the child, after its uid has changed: that clears the death signal and, by fs.suid_dumpable, may set the dumpable flag. Sets both
 * again and exits when the parent died meanwhile, which the sync socket tells. */
void spawn_stay_bound(int sync_fd);

#endif
