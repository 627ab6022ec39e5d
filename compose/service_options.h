/* SPDX-License-Identifier: Apache-2.0 */
/* What the keys of a service say about its process and its root that needs nothing but the container itself: capabilities, limits, /dev/shm, tmpfs,
 * sysctls, read_only, privileged, security_opt, domainname, extra_hosts, network_mode. Read from the canonical service: by commands, to tell
 * what is wrong with its place, and by the supervisor and `exec`, to do it. */
#ifndef COMPOSE_SERVICE_OPTIONS_H
#define COMPOSE_SERVICE_OPTIONS_H

#include "base/arena.h"
#include "base/json.h"
#include "runtime/container.h"

enum { SERVICE_MAX_RLIMITS = 16 };

struct service_options {
	uint64_t caps, shm_bytes;
	bool read_only, privileged, no_new_privs, unconfined; /* unconfined: no seccomp filter */
	bool host_network;
	const char *domainname;            /* NULL: none */
	struct container_rlimit rlimits[SERVICE_MAX_RLIMITS];
	size_t n_rlimits;
	struct container_mount *tmpfs;
	size_t n_tmpfs;
	const struct container_sysctl *sysctls;
	size_t n_sysctls;
	const json_t *extra_hosts, *dns_search, *dns_opt; /* of the configuration, borrowed; may be NULL */
};

/* Reads them; strings are the configuration's or the arena's. 0, or -1 + err; *ret_key is then the key that is wrong ("cap_add[0]"). */
int service_options_read(const json_t *config, struct arena *a, struct service_options *ret, const char **ret_key, struct err *err);

#endif
