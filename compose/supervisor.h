/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the supervisor process: the state that its files share. One process per project, one event loop, no threads.
 *
 * supervisor.c  set-up, adoption of what runs, the end · server.c  control socket, clients, the queue of operations · apply.c  carries a plan out ·
 * unit_create.c  records of new containers · unit_start.c  start and wiring · unit_stop.c  stop, exit, restart policy, removal ·
 * unit_release.c  what an ended one gives back · unit_adopt.c  those of a dead predecessor ·
 * nets.c  networks and their records · worker.c  work that takes long, in forked children · op_run.c  one-off containers */
#ifndef COMPOSE_SUPERVISOR_H
#define COMPOSE_SUPERVISOR_H

#include "base/loop.h"
#include "base/map.h"
#include "base/sock.h"
#include "compose/anchor.h"
#include "compose/desired.h"
#include "compose/plan.h"
#include "compose/state.h"
#include "network/bridge.h"
#include "network/dns_control.h"
#include "network/ipam.h"
#include "network/net.h"
#include "network/resolv.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/logs.h"
#include "runtime/seccomp.h"

struct supervisor;
struct op;
struct client;

/* A network of the project that exists. */
struct netw {
	char *key, *name;
	bool internal;
	struct bridge bridge;
	struct ipam ipam;
	json_t *labels;
};

enum unit_phase {
	UNIT_IDLE,        /* no process */
	UNIT_STARTING,    /* spawned, not exec'd yet */
	UNIT_RUNNING,
	UNIT_ENDING,      /* exited; its log is being drained */
	UNIT_BACKOFF,     /* waits for its next start */
};

/* What an action waits to do when the unit has ended. */
enum unit_then { UNIT_THEN_NOTHING, UNIT_THEN_START, UNIT_THEN_REMOVE, UNIT_THEN_REMOVE_ALL /* its anonymous volumes, too */ };

/* A container of the project. */
struct unit {
	struct supervisor *sv;
	struct record *rec;                /* owned */
	enum unit_phase phase;
	bool adopted;                      /* not our child: the anchor reaps it */
	bool stopping;                     /* by a wish: no restart */
	bool kept, fifos_kept;             /* adopted: the anchor still had descriptors of it, its FIFOs' among them */
	size_t n_ports_kept;               /* adopted: how many of them were ports' */
	bool awaiting;                     /* adopted and dead, but its status is not known yet */
	bool unconfirmed;                  /* adopted: nobody saw whether its command was exec'd */
	bool again;                        /* ended, and its restart policy wants it back */
	bool ports_held;                   /* the anchor keeps the sockets of rec->ports */
	bool keep_ports;                   /* it is stopped only to be started again */
	enum unit_then then;               /* with op: once it has ended */
	struct container_proc proc;
	struct loop_source sync, exit;
	struct loop_timer timer;           /* grace, back-off, or the wait for its log */
	struct loop_timer note_timer;      /* the wait for an exit note */
	struct cgroup *cgroup;
	uint64_t oom_before, backoff_ms, exec_mono_ns;
	unsigned exit_tries;
	int dns_udp, dns_tcp;              /* -1: none */
	int console_fd;                    /* pty master of a tty container, until handed over */
	struct op *op;                     /* in-flight action on it */
	size_t action;
	struct client *attached;           /* `run` in the foreground */
	struct op *run_op;                 /* `run`: its operation until the start is decided */
};

/* A client of the control socket. */
struct client {
	struct supervisor *sv;
	struct loop_source source;
	int fd;
	bool greeted, follows;
	struct str in;                     /* bytes of an incomplete frame */
	int fds[SOCK_MAX_FDS];                 /* descriptors that came with it */
	size_t n_fds;
	struct str out;                    /* not sent yet */
	int out_fds[2];                    /* go with the byte at out_fds_at */
	size_t n_out_fds, out_fds_at;
	struct unit *attached;             /* `run` in the foreground */
	struct client *next;
};

enum op_state { OP_TODO, OP_BUSY, OP_DONE, OP_FAILED };

/* One request that changes things, queued or being carried out. */
struct op {
	struct supervisor *sv;
	struct client *client;             /* NULL once it has gone */
	json_t *request;
	char *kind, *request_id;
	uint64_t generation;
	bool started, cancelled, has_desired, in_pump;
	struct err cancel_err;             /* with cancelled: why conditions are not waited for */
	struct desired desired;
	struct plan plan;
	enum op_state *state;              /* per action */
	size_t *pending;                   /* per action: how many of `after` are not done */
	struct unit **made;                /* per CREATE: its unit */
	size_t n_left, n_busy;
	bool failed;
	struct err err;                    /* the first failure */
	int exit;
	int64_t timeout_ms;                /* stop: -1 = each container's own */
	int signal;                        /* kill */
	int stdin_fd;                      /* run */
	const struct desired_service *oneoff; /* run: the service with the command line's wishes */
	struct loop_timer timer;           /* wait_timeout_s */
	struct loop_timer queue_timer, settle_timer;
	struct op *next;
};

struct supervisor {
	struct loop loop;
	const char *project;
	char rootid[9];
	struct paths paths;                /* descriptors only */
	int project_fd, run_fd, store_fd;
	int binary_fd;
	struct net net;
	bool net_open;
	struct cgroup_host *cgroups;
	struct seccomp_program seccomp;
	bool seccomp_ready, overlay_probed, forward_told;
	struct resolv resolv;
	struct loop_source anchor_source, listen_source;
	struct loop_timer accept_timer;
	struct logs_control logs;
	struct dns_control dns;
	struct unit **units;
	size_t n_units, cap_units;
	struct netw **nets;
	size_t n_nets, cap_nets;
	json_t *nets_json;                 /* networks.json */
	struct desired desired;            /* last applied; arena NULL: none */
	struct err *load_err;              /* while the records are read */
	struct map layer_cache;            /* image id → struct layer_set */
	struct client *clients;
	struct op *current, *queue;
	struct map results;                /* request_id → json_t of its "done" */
	uint64_t generation;               /* of the newest operation */
	size_t n_workers;
	size_t n_awaiting;                 /* units; no operation begins before their status is known */
	struct strv dying;                 /* cgroups that were still busy when they had to go */
	struct loop_timer dying_timer;
	unsigned dying_tries;
	bool trash_busy;                   /* a worker empties <root>/trash/<project> */
	unsigned trash_added, trash_started, trash_done; /* how many came in; of which the worker's or an earlier one's; gone */
	struct loop_timer idle_timer;
	bool finishing;
};

/* supervisor.c */
int supervisor_main(const char *project, const char *rootid);
void supervisor_anchor_put(struct supervisor *sv, const char *key, int fd);  /* keeps a copy of fd under key */
void supervisor_anchor_drop(struct supervisor *sv, const char *key);
bool supervisor_anchor_sync(struct supervisor *sv);                          /* waits until it has done what it was told; false: it does not answer */
struct unit *supervisor_add_unit(struct supervisor *sv, struct record *rec);
void supervisor_remove_unit(struct supervisor *sv, struct unit *u);          /* frees it */
struct unit *supervisor_find(struct supervisor *sv, const char *id);
void supervisor_observed(struct supervisor *sv, struct observed *ret);       /* borrowed records; free(ret->containers) */
void supervisor_maybe_finish(struct supervisor *sv);                         /* quits when nothing is left to supervise */

/* server.c */
int server_open(struct supervisor *sv, struct err *err);
void server_send(struct client *c, const json_t *event, const int *fds, size_t n_fds);
void server_progress(struct op *op, const char *object, const char *name, const char *id, const char *status, const char *text);
void server_warn(struct op *op, const char *text);
void server_state(struct unit *u, const char *action, bool will_restart);    /* to followers */
void server_done(struct op *op);                                             /* answers, frees op, takes the next */
void server_wake(struct supervisor *sv);                                     /* begins the next operation, if one waits */
void server_attached_done(struct unit *u, int exit_code, const char *error);
bool server_idle(const struct supervisor *sv);                               /* no client, no operation */
int server_resume(struct supervisor *sv, struct err *err);                   /* carries on what a dead supervisor had begun */
void server_flush(struct supervisor *sv);

/* apply.c */
int apply_begin(struct op *op, struct err *err);
int apply_plan(struct op *op);                                               /* carries op->plan out; op may be gone when it returns */
void apply_action_done(struct op *op, size_t action, const struct err *failure);
int apply_take_desired(struct op *op, struct err *err);
int apply_keep_desired(struct op *op, struct err *err);
void apply_existing(struct supervisor *sv, struct strv *ret_networks, struct strv *ret_volumes);
void apply_unit_exited(struct unit *u);                                      /* waits for completion look at it */
void apply_cancel(struct op *op, const char *why);
int apply_kill_now(struct supervisor *sv, const json_t *request, struct err *err); /* signals beside the operation under way */
void apply_trash_emptied(struct supervisor *sv);                             /* an operation that ends with removals waits for it */

/* unit_create.c */
struct unit *unit_create(struct op *op, const struct action *a, struct err *err);
int unit_save(struct unit *u, bool durable, struct err *err);
void unit_put_labels(struct record *r, const struct desired *d, const struct desired_service *s);

/* unit_start.c */
#define UNIT_GOING "going"                                                  /* in the run directory: the child was told to go */
int unit_start(struct unit *u, struct err *err);                             /* then unit_started() or unit_start_failed() follow */
void unit_tell_logs(struct unit *u);
void unit_tell_dns(struct unit *u);

/* unit_stop.c */
int unit_stop(struct unit *u, int64_t timeout_ms, struct err *err);          /* 1: nothing to stop; 0: apply_action_done() follows */
void unit_kill(struct unit *u, int sig);
void unit_watch_exit(struct unit *u);
void unit_ended(struct unit *u, int exit_code, uint64_t time_ns);            /* -1: unknown */
void unit_log_drained(struct unit *u);
void unit_schedule_restart(struct unit *u);
void unit_settled(struct unit *u);                                           /* it has no process: does what waited for that; u may be gone */
int unit_remove(struct unit *u, bool volumes, struct err *err);              /* frees u */

/* unit_release.c */
void unit_release(struct unit *u, bool keep_ports);                          /* keep_ports: they stay reserved for the next start */
void unit_bury(struct supervisor *sv, const char *cgroup);                   /* removes it now, or as soon as it can be */
bool unit_dying(struct supervisor *sv, const char *cgroup, bool forget);     /* is that one of the cgroups that wait for their removal */
void unit_key(const struct unit *u, const char *what, char buf[ANCHOR_KEY_BYTES]);

/* unit_adopt.c */
int unit_adopt(struct unit *u, struct err *err);
void unit_await_status(struct unit *u);                                      /* an adopted one has ended: unit_ended() follows */
void unit_stop_awaiting(struct unit *u);
void unit_anchor_exit(struct supervisor *sv, const struct anchor_exit *e);

/* nets.c */
int nets_load(struct supervisor *sv, struct err *err);
struct netw *nets_find(struct supervisor *sv, const char *name);
int nets_create(struct supervisor *sv, const struct desired_network *n, struct err *err);
void nets_remove_start(struct op *op, size_t action, const char *name);
/* Names of networks that exist (recorded, with their bridge in the kernel): for plans, also those of the CLI. */
int nets_existing(const struct paths *p, const char *project, struct strv *ret, struct err *err);

/* worker.c: runs fn in a forked child; done(arg, err or NULL) is called in the loop when it has ended. fn returns 0 or -1 + err. */
int worker_run(struct supervisor *sv, int (*fn)(struct supervisor *sv, const char *text, struct err *err), const char *text,
	       void (*done)(struct supervisor *sv, void *arg, size_t n, const struct err *failure), void *arg, size_t n, struct err *err);
void worker_empty_trash(struct supervisor *sv);

/* op_run.c */
int op_run_begin(struct op *op, struct err *err);
void op_run_record(const struct op *op, struct record *r);                   /* what makes a new record that of a one-off container */
void op_run_created(struct op *op, struct unit *u);
void op_run_ended(struct op *op);                                            /* a container of it that was not started goes */

#endif
