/* SPDX-License-Identifier: Apache-2.0 */
/* The record of one container. The part that must outlive the boot is record.json under <root>/projects/<p>/c/<id12>/;
 * the part that dies with it (pid, addresses, ports) is state.json under <run>/<p>/c/<id12>/. Only the supervisor writes them;
 * everybody may read: both are replaced atomically. */
#ifndef COMPOSE_STATE_H
#define COMPOSE_STATE_H

#include "compose/paths.h"
#include "spec/model.h"

enum { RECORD_SCHEMA = 1, SHORT_ID = 12 };

enum want { WANT_RUNNING, WANT_STOPPED, WANT_REMOVED, WANT_N_ };
enum status { STATUS_CREATED, STATUS_RUNNING, STATUS_RESTARTING, STATUS_EXITED, STATUS_N_ };
extern const char *const want_names[WANT_N_];     /* "running" … */
extern const char *const status_names[STATUS_N_]; /* "created", "running", "restarting", "exited" */

struct endpoint {
	char *network;            /* key in the compose file */
	char *network_name;       /* "<project>_<key>" */
	char *bridge;             /* interface name */
	char address[16];         /* IPv4, "" when stopped */
	char mac[18];
};

struct published {
	char host_ip[46];         /* "0.0.0.0" when all */
	uint16_t host_port, target;
	enum port_protocol protocol;
	bool v6;                  /* also on [::]; or, when host_ip is an IPv6 address, on that one */
};

struct record_mount {
	enum mount_kind kind;
	char *source;             /* volume name or host path */
	char *target;
	bool read_only, anonymous, nocopy, create_host_path;
};

struct record {
	/* record.json */
	char id[65];              /* 64 hexadecimal digits */
	char *name, *project, *service;
	unsigned number;          /* 1…; one-off containers: 1 */
	bool oneoff, remove_on_exit, use_aliases; /* `run`, `run --rm`, `run --use-aliases` */
	json_t *config;           /* canonical service, `run` overrides applied */
	json_t *image;            /* IMAGE of compose/desired.h */
	json_t *labels;           /* all of them, com.docker.compose.* included */
	char *hash;
	struct record_mount *mounts;
	size_t n_mounts;
	enum want want;
	uint64_t generation, started_generation;
	uint64_t created_ns, started_ns, finished_ns; /* real clock; 0 = never */
	int exit_code;            /* -1 = unknown */
	bool oom;
	char *error;              /* why the last start failed, or NULL */
	unsigned restarts;        /* since the last wish to start */
	/* state.json */
	bool no_state;            /* it is absent, torn or of another boot */
	enum status status;
	pid_t pid;                /* 0 = none */
	uint64_t pid_ticks;
	char boot_id[40];
	struct endpoint *endpoints;
	size_t n_endpoints;
	struct published *ports;
	size_t n_ports;
};

struct record *record_new(void);
struct record *record_free(struct record *r);

/* A new id: 64 random hexadecimal digits. Its short form is never of decimal digits alone: as a host name, resolvers would take that for an address and
 * not ask for it. */
void record_new_id(char id[static 65]);
/* The exit code with which a command of ours passes a container's on: 255 for -1, which nobody saw. */
int record_exit(int exit_code);

/* Writes record.json (durable or not) / state.json. project_fd, run_fd: paths_project(), paths_run(). */
int record_save(const struct record *r, int project_fd, bool durable, struct err *err);
int record_save_state(const struct record *r, int run_fd, struct err *err);
/* Loads both; state.json absent or of another boot leaves the status as record.json tells it. 0; -1 + err (ERR_CORRUPT: torn). */
int record_load(int project_fd, int run_fd, const char *id12, struct record **ret, struct err *err);
/* argv as `ps` shows it ("sh -c 'x'"), free() it. */
char *record_command(const struct record *r);
/* The process's argv: entrypoint and command of the service over those of the image. May be empty. */
void record_argv(const struct record *r, struct strv *ret);
/* Its cgroup as runtime/cgroup.h names it, "muster-<rootid>/<project>/c/<id12>"; free() it. Also what an exec joins. */
char *record_cgroup(const struct record *r, const char *rootid);
/* The container's environment in the order image < service, "K=V". */
void record_environment(const struct record *r, struct strv *ret);

#endif
