/* SPDX-License-Identifier: Apache-2.0 */
/* fork into new namespaces and a cgroup, with a pidfd: clone3, or clone(2) where it is missing. */
#ifndef RUNTIME_SPAWN_H
#define RUNTIME_SPAWN_H

#include <sys/types.h>

#include "base/err.h"

/* Returns 0 in the child, its pid in the parent, -1 + err. flags: CLONE_NEW*. cgroup_fd: a v2 cgroup or -1; *ret_cloned tells (on both sides)
 * whether the child was born there. *ret_pidfd is set in the parent. Only for single-threaded callers. */
pid_t spawn_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd, bool *ret_cloned, struct err *err);

#endif
