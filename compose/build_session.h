/* SPDX-License-Identifier: Apache-2.0 */
/* What an executor of builds has outside of its memory, so that another one can remove it when it was killed: <run>/.build/<session>/ with a
 * locked file `lock` and an empty file for each step that may have a cgroup (muster-<rootid>/.build/c/<step>); and, below the state root,
 * buildcache/.exec-<session>/, scratch directories of its steps. Processes, mounts and network namespaces of the dead are gone by
 * themselves. */
#ifndef COMPOSE_BUILD_SESSION_H
#define COMPOSE_BUILD_SESSION_H

#include "compose/build_net.h"

struct cgroup_host;

enum { BUILD_SESSION_ID = 12, BUILD_CGROUP_BYTES = 96 };

struct build_session {
	int root_fd, run_fd;      /* borrowed */
	int all_fd, fd, lock_fd;  /* <run>/.build, the session's directory in it, its lock */
	char id[BUILD_SESSION_ID + 1], rootid[NET_ROOTID_LEN + 1];
	char scratch[64];         /* relative to the state root; "" = not made yet */
	struct cgroup_host *cgroups;
};

/* Makes a session, and removes those whose executor is dead. 0 or -1 + err. */
int build_session_open(struct build_session *s, int root_fd, int run_fd, const char *rootid, struct cgroup_host *cgroups, struct err *err);
/* Removes it: the scratch directories, and the run directory when it was the last one. */
void build_session_close(struct build_session *s);
/* Only removes what the dead have left; for a command whose executor was killed. */
void build_session_sweep(int root_fd, int run_fd, const char *rootid, struct cgroup_host *cgroups);

/* The cgroup of a step (12 digits). */
void build_session_cgroup(const struct build_session *s, const char *step, char buf[static BUILD_CGROUP_BYTES]);
/* Before a step's cgroup is made, and after it has been removed. */
int build_session_step(struct build_session *s, const char *step, struct err *err);
void build_session_step_done(struct build_session *s, const char *step);

/* A new, empty scratch directory `name`, 0755: its descriptor, -1 + err. */
int build_session_scratch(struct build_session *s, const char *name, struct err *err);
void build_session_scratch_remove(struct build_session *s, const char *name);

#endif
