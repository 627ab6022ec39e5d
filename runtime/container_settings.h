/* SPDX-License-Identifier: Apache-2.0 */
/* Small settings of a container that come in lists: resource limits, sysctls, extents of id maps. For struct container_spec. */
#ifndef RUNTIME_CONTAINER_SETTINGS_H
#define RUNTIME_CONTAINER_SETTINGS_H

#include <stdint.h>

struct container_rlimit {
	int resource;        /* RLIMIT_* */
	uint64_t soft, hard; /* RLIM_INFINITY = unlimited */
};

/* A sysctl of one of the container's namespaces: "net.core.somaxconn". */
struct container_sysctl {
	const char *name, *value;
};

/* One extent of a user namespace's map, as a line of /proc/PID/uid_map. */
struct container_idmap {
	uint32_t inside, outside, count;
};

#endif
