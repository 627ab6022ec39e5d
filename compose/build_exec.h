/* SPDX-License-Identifier: Apache-2.0 */
/* The executor of builds, `muster-run build`: mounts what the builder names and runs its steps as containers, many at once, in one event loop.
 * It believes nothing that it is told: names are checked (images/build/executor.h), sizes are capped, paths are resolved inside roots.
 *
 * Descriptors: 3 = the state root, 4 = the run root, 5 = SOCK_SEQPACKET to muster, 6 = SOCK_SEQPACKET to the builder. Arguments: rootid, and
 * "sweep" for only removing what killed executors have left.
 * muster to executor, first: {"op":"setup","secrets":{ID:N…},"ssh":{ID:N…},"insecure":BOOL,"host_network":BOOL}; N are numbers of the descriptors
 *   that come along: files with a secret's bytes, O_PATH descriptors of agents' sockets. More than fit into one message come in further ones.
 * executor to muster: 'O' + stream (1 or 2) + id (u32, little endian) + bytes of a step's output; 'W' + text: a warning.
 * The builder's messages are in images/build/executor.h. "options" of a step, made by compose/build_request.c:
 *   {"extra_hosts":["name=address"…],"ulimits":{NAME:{"soft":N,"hard":N}},"shm_size":BYTES,"memory_bytes":N} */
#ifndef COMPOSE_BUILD_EXEC_H
#define COMPOSE_BUILD_EXEC_H

#include <sys/resource.h>

#include "compose/build_session.h"
#include "images/build/executor.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/seccomp.h"
#include "runtime/mountpoints.h"

enum {
	BUILD_EXEC_FD_ROOT = 3,
	BUILD_EXEC_FD_RUN,
	BUILD_EXEC_FD_CLI,
	BUILD_EXEC_FD_BUILDER,
	BUILD_EXEC_FD_N_,
	BUILD_EXEC_OUTPUT_HEADER = 6,
	BUILD_EXEC_MAX_SECRETS = 256,
	BUILD_EXEC_MAX_SECRET_BYTES = 500 << 10, /* as BuildKit's */
};

struct build_given {           /* a secret or an agent, by its id */
	char *id;
	int fd;
};

struct build_exec {
	struct loop loop;
	struct chan cli, builder;
	struct build_session session;
	struct build_net net;
	struct cgroup_host *cgroups;
	struct seccomp_program seccomp;
	bool seccomp_ready, insecure, host_network, set_up;
	char warned[512];          /* the last warning */
	struct build_given secrets[BUILD_EXEC_MAX_SECRETS], agents[BUILD_EXEC_MAX_SECRETS];
	size_t n_secrets, n_agents;
	struct step *steps;        /* linked by next */
	struct loop_timer retry;   /* for steps that wait for a lock or for the end of dying processes */
};

struct step_output {           /* one pipe */
	struct loop_source source;
	struct step *step;
	int fd, stream;
};

enum step_phase { STEP_WAITING, STEP_STARTING, STEP_RUNNING, STEP_ENDING };

struct step_mount {
	int fd, lock_fd, fill_fd, fill_root_fd; /* what is mounted; a cache's lock; see struct container_mount */
	char *target, *source;
	char scratch[32];          /* its throw-away upper, "" = none */
	bool directory;
	bool locked;               /* a cache whose lock is held */
};

struct step {
	struct step *next;
	struct build_exec *exec;
	int64_t id;
	json_t *j;                 /* the message; strings are borrowed from it */
	enum step_phase phase;
	char name[BUILD_SESSION_ID + 1];
	struct strv argv, env;
	int root_fd, upper_fd, file_fd, hosts_fd, resolv_fd;
	char *script_target;
	struct step_mount own[EXECUTOR_MAX_MOUNTS];
	struct container_mount mounts[EXECUTOR_MAX_MOUNTS + 3]; /* the here-document, hosts, resolv.conf */
	size_t n_own, n_mounts;
	struct container_rlimit limits[RLIM_NLIMITS];
	size_t n_limits;
	struct mountpoints mountpoints;
	struct cgroup *cgroup;
	struct container_proc proc;
	struct loop_source sync, exit;
	struct step_output out[2];
	struct ssh_proxy *proxies;
	unsigned lease;            /* of build_net */
	uint64_t oom_before;
	bool registered, exited, cancelled, failed;
	int exit_code;
	struct err err;            /* failed: why */
};

/* build_exec_mount.c: what is opened before "opened" (layers, seeds), and what may have to wait (caches' locks): 0; 1 wait; -1 + err. */
int step_open(struct step *s, struct err *err);
int step_lock_caches(struct step *s, struct err *err);
/* Fills mounts[], the environment and the files for it. */
int step_prepare_mounts(struct step *s, struct err *err);
/* Mount points in the step's own layers, noted for removal. */
int step_make_mountpoints(struct step *s, struct err *err);
void step_mounts_done(struct step *s);
/* A memfd with these bytes; -1 + err. */
int step_memory_file(const char *name, const char *text, size_t n, struct err *err);

/* build_exec_ssh.c: a socket for the step that speaks to the agent `fd` (O_PATH of its socket), for asking and signing only. *ret_fd: O_PATH
 * descriptor of the socket, to be mounted. */
int step_ssh_open(struct step *s, int agent_fd, unsigned mode, uid_t uid, gid_t gid, int *ret_fd, struct err *err);
void step_ssh_done(struct step *s);

/* build_exec_step.c */
void step_run(struct build_exec *e, json_t *message);
void step_cancel(struct build_exec *e, int64_t id);
/* Tries those again that wait. */
void step_retry_all(struct build_exec *e);
/* Kills all and waits for their end; nothing is answered any more. */
void step_kill_all(struct build_exec *e);
void build_exec_warn(struct build_exec *e, const char *text);

/* The whole of `muster-run build`: returns the exit code. */
int build_exec_main(const char *rootid, bool sweep_only);

#endif
