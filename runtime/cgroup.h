/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups of containers on v1, hybrid and v2 hosts. Which hierarchy carries a controller is decided per controller from
 * /proc/self/mountinfo, never by one look at /sys/fs/cgroup: a stray v2 controller beside v1 ones is common.
 *
 * A cgroup is named by its path below the hierarchies' mount points, "muster-<rootid>/<project>/c/<id>" or ".../own". Inner nodes
 * hold no processes; on v2 the controllers are enabled top down, only those that exist. Every process enters before its first
 * instruction: v2 by CLONE_INTO_CGROUP, v1 by writing 0 to its own tasks files (by pid it would cost an RCU grace period). */
#ifndef RUNTIME_CGROUP_H
#define RUNTIME_CGROUP_H

#include <sys/types.h>

#include "base/err.h"

struct cgroup_host;
struct cgroup;

/* Zero means no limit. */
struct cgroup_limits {
	uint64_t memory_bytes; /* swap on top: as much again, docker's default */
	double cpus;           /* CPU time per period of 100 ms: 1.5 = one and a half processors */
	int64_t pids;          /* <= 0: no limit */
};

struct cgroup_usage {
	uint64_t memory_bytes, memory_limit_bytes; /* limit 0: none */
	uint64_t cpu_ns;
	uint64_t pids;
};

/* Reads the layout once and keeps a directory descriptor per hierarchy. -1 + err when no cgroup file system is mounted. */
int cgroup_host_open(struct cgroup_host **ret, struct err *err);
struct cgroup_host *cgroup_host_close(struct cgroup_host *h); /* takes NULL; returns NULL */
/* "v1", "v2" or "hybrid" (controllers of ours on both): for `version` and messages. */
const char *cgroup_host_describe(const struct cgroup_host *h);

/* Makes the cgroup (and the nodes above it) in every hierarchy with limits and, with `devices`, docker's device rules; an existing one is
 * taken over. A limit whose controller this host lacks is ERR_UNSUPPORTED. limits NULL: none. The handle borrows h. */
int cgroup_create(
	struct cgroup_host *h, const char *path, const struct cgroup_limits *limits, bool devices, struct cgroup **ret, struct err *err);
/* Opens an existing one. 0; 1 when it exists nowhere; -1 + err. */
int cgroup_open(struct cgroup_host *h, const char *path, struct cgroup **ret, struct err *err);
struct cgroup *cgroup_free(struct cgroup *cg); /* closes the handle only; takes NULL; returns NULL */
void cgroup_free_p(struct cgroup **cg);
#define AUTO_CGROUP CLEANUP(cgroup_free_p)

/* Changes limits in place, also back to none. */
int cgroup_set_limits(struct cgroup *cg, const struct cgroup_limits *limits, struct err *err);

/* Moves the calling, single-threaded process in, everywhere; `cloned`: it is already in the v2 one by CLONE_INTO_CGROUP. */
int cgroup_enter(struct cgroup *cg, bool cloned, struct err *err);
/* Moves the calling process out of all of ours, to where it may stay: the base, or (v2) another cgroup that may hold processes. */
int cgroup_leave(struct cgroup_host *h, struct err *err);
/* For clone3: a borrowed descriptor for CLONE_INTO_CGROUP when v2 carries controllers, else -1. */
int cgroup_clone_fd(struct cgroup *cg);

/* SIGKILL to every process inside, descendants and newcomers too: cgroup.kill, or freeze, kill, thaw. Does not wait for their end. */
int cgroup_kill(struct cgroup *cg, struct err *err);
/* Lets go what somebody has frozen with the v1 freezer, where not even SIGKILL gets through; on v2 it does. */
void cgroup_thaw(struct cgroup *cg);
/* Stops everything inside where it is, and waits up to a second until it stands; or lets it go on. 0 or -1 + err (ERR_UNSUPPORTED: no freezer). */
int cgroup_freeze(struct cgroup *cg, bool on, struct err *err);
/* The host's pids inside; *ret is a malloc'ed array of *ret_n. An absent cgroup has none. */
int cgroup_pids(struct cgroup *cg, pid_t **ret, size_t *ret_n, struct err *err);
/* How many processes the kernel has killed here for lack of memory, since the cgroup was made; 0 when it cannot be known. */
uint64_t cgroup_oom_kills(struct cgroup *cg);
void cgroup_read_usage(struct cgroup *cg, struct cgroup_usage *ret);

/* cgroup_mend.c. Has the inotify descriptor tell when a cgroup right below `path` is removed, in each hierarchy that has
 * `path`: how many have it, or -1 + err. */
int cgroup_watch(struct cgroup_host *h, const char *path, int inotify_fd, struct err *err);
/* Makes a cgroup again where it was removed, and puts the processes of `first`'s pid namespace back. 0: it was whole; 1 and *ret, a new handle;
 * -1 + err. */
int cgroup_mend(struct cgroup_host *h, const char *path, pid_t first, const struct cgroup_limits *limits, struct cgroup **ret, struct err *err);

/* Removes the cgroup. 0 (also when absent); 1 while processes are still dying inside: call again later; -1 + err. */
int cgroup_remove(struct cgroup_host *h, const char *path, struct err *err);
/* Removes the nodes above `path` as long as they are empty, up to the first that is not; gives a delegated base back as it was. */
void cgroup_remove_parents(struct cgroup_host *h, const char *path);

#endif
