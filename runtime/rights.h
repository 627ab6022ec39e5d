/* SPDX-License-Identifier: Apache-2.0 */
/* From the host's root to the rights of a container's process, in two steps around what must be done as the user (cwd, looking up the
 * command): rights_become() and rights_seal(). Used by starts and execs alike, in the child only. */
#ifndef RUNTIME_RIGHTS_H
#define RUNTIME_RIGHTS_H

#include "runtime/container.h"
#include "runtime/user.h"

struct rights {
	const struct user_identity *user;
	uint64_t caps; /* bounding set; permitted and effective too when uid is 0 */
	bool no_new_privs;
	const struct seccomp_program *seccomp; /* NULL: none */
	const struct container_rlimit *rlimits;
	size_t n_rlimits;
};

/* Resource limits, OOM score 0, umask 022, bounding set, groups, gid, uid. Afterwards the effective capabilities are the user's. */
int rights_become(const struct rights *r, struct err *err);
/* no_new_privs, the filter, then the final capability sets; inheritable and ambient are empty (CVE-2022-29162). Nothing but exec may
 * follow. */
int rights_seal(const struct rights *r, struct err *err);

#endif
