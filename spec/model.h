/* SPDX-License-Identifier: Apache-2.0 */
/* The typed service, read from the canonical form (what `muster config --format json` prints, environment resolved).
 * There is one parser for it: the loader's output, desired.json and the container records all hold that JSON.
 * Strings live in the arena. Keys that the runtime does not honour yet are not here: see spec/honoured.h. */
#ifndef SPEC_MODEL_H
#define SPEC_MODEL_H

#include "base/arena.h"
#include "base/json.h"
#include "spec/logging.h"

enum restart_policy { RESTART_NO, RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_UNLESS_STOPPED, RESTART_N_ };
enum depend_condition { DEPEND_STARTED, DEPEND_HEALTHY, DEPEND_COMPLETED, DEPEND_N_ };
enum mount_kind { MOUNT_VOLUME, MOUNT_BIND, MOUNT_TMPFS, MOUNT_KIND_N_ };
enum port_protocol { PORT_TCP, PORT_UDP, PORT_PROTOCOL_N_ };

struct model_kv {
	const char *key;
	const char *value; /* environment: NULL = unset */
};

struct model_port {
	const char *host_ip;             /* "" = all addresses */
	uint16_t target;
	uint16_t published_lo, published_hi; /* 0 = ephemeral; a range when they differ */
	enum port_protocol protocol;
};

struct model_mount {
	enum mount_kind kind;
	const char *source;              /* volume key, absolute host path, or NULL (anonymous volume) */
	const char *target;              /* absolute, clean */
	bool read_only;
	bool create_host_path;           /* bind: make the missing source a directory */
	bool nocopy;                     /* volume: do not fill from the image */
};

struct model_attachment {
	const char *network;             /* key of the project's networks */
	const char **aliases;            /* NULL-terminated, may be NULL */
	const char *address;             /* ipv4_address; NULL: whatever is free */
};

struct model_depend {
	const char *service;
	enum depend_condition condition;
	bool restart, required;
};

struct model_service {
	const char *name;                /* the service's key */
	const char *image;
	const char *container_name;      /* NULL: <project>-<service>-<n> */
	const char *hostname;            /* NULL: the short id */
	const char *user;                /* NULL: the image's */
	const char *working_dir;         /* NULL: the image's */
	const char **command;            /* NULL: the image's; may be empty */
	const char **entrypoint;         /* NULL: the image's; empty clears it */
	struct model_kv *environment;
	size_t n_environment;
	struct model_kv *labels;
	size_t n_labels;
	struct model_port *ports;
	size_t n_ports;
	struct model_mount *mounts;
	size_t n_mounts;
	struct model_attachment *networks; /* in order of priority, then name: the first one is eth0 */
	size_t n_networks;
	struct model_depend *depends_on;
	size_t n_depends_on;
	unsigned replicas;               /* deploy.replicas or scale; default 1 */
	uint64_t memory_bytes;           /* 0 = no limit; mem_limit or deploy.resources.limits.memory */
	double cpus;                     /* 0 = no limit */
	int64_t pids;                    /* 0 or -1 = no limit */
	enum restart_policy restart;
	unsigned restart_max;            /* on-failure:n; 0 = without bound */
	int stop_signal;                 /* 0: the image's, else SIGTERM */
	uint64_t stop_grace_ms;          /* default 10000 */
	bool has_stop_grace;
	bool init, tty, stdin_open;
	struct model_logging logging;
};

/* Reads one canonical service. Returns 0 or -1 + err (which names the key; a canonical form that does not fit is ERR_CORRUPT). */
int model_read_service(const char *name, const json_t *config, struct arena *a, struct model_service *ret, struct err *err);

#endif
