/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of runtime/cgroup*.c: the hierarchies of this host and raw file access below them. */
#ifndef RUNTIME_CGROUP_HOST_H
#define RUNTIME_CGROUP_HOST_H

#include "runtime/cgroup.h"

enum cgroup_controller { CGROUP_CPU, CGROUP_CPUACCT, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_DEVICES, CGROUP_FREEZER, CGROUP_CONTROLLER_N_ };

enum { CGROUP_HIERARCHY_MAX = 8, CGROUP_PATH_MAX = 512 };

struct cgroup_hierarchy {
	int dirfd; /* the mount point */
	bool v2, delegated; /* delegated: v2, and not the kernel's own root: no processes beside enabled controllers */
	unsigned controllers; /* bits 1 << enum cgroup_controller */
	char options[64];     /* v1: the mount option that selects it, "cpu,cpuacct" */
};

struct cgroup_host {
	struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHY_MAX];
	size_t n;
	int by_controller[CGROUP_CONTROLLER_N_]; /* index of its hierarchy, -1: not on this host */
	int v2;                                  /* index of the v2 hierarchy, -1: not used */
	int device_program_fd;                   /* v2: the device filter, loaded once; -1: not yet */
	char *v2_mount;                          /* malloc'ed, NULL: none */
};

struct cgroup {
	struct cgroup_host *host;
	char path[CGROUP_PATH_MAX];
	int clone_fd;
};

/* cgroup_host_open() for a given text of /proc/self/mountinfo, which is cut up. */
int cgroup_host_read(char *mountinfo, struct cgroup_host **ret, struct err *err);

const char *cgroup_controller_name(enum cgroup_controller c);

/* Writes text to the file of one hierarchy's cgroup: 0 or -errno. */
int cgroup_file_write(const struct cgroup_hierarchy *h, const char *path, const char *file, const char *text);
/* Reads it whole into buf, NUL-terminated, cut at size: its length or -errno. */
ssize_t cgroup_file_read(const struct cgroup_hierarchy *h, const char *path, const char *file, char *buf, size_t size);

/* The path of the v2 cgroup of a process below the v2 mount point, "/" when unknown or elsewhere. */
void cgroup_path_of(pid_t pid, char *buf, size_t size);

/* The v2 base where it is delegated (cgroup_base.c). The lock, to be closed; -1 when none is needed. */
int cgroup_base_lock(const struct cgroup_hierarchy *h);
/* Sees to it that the base holds no processes, with the lock held. False: it does, and controllers must not be enabled. */
bool cgroup_base_clear(const struct cgroup_hierarchy *h);
/* Undoes that once no cgroup of ours is left; takes the lock. */
void cgroup_base_restore(const struct cgroup_hierarchy *h);

/* docker's device rules for one cgroup, on v1 or v2. */
int cgroup_devices_restrict(struct cgroup_host *host, const char *path, struct err *err);

#endif
