/* SPDX-License-Identifier: Apache-2.0 */
/* Clients of the supervisor and the operations that they ask for: queue, plan, progress. See compose/supervisor.h for which file does what. */
#ifndef COMPOSE_OP_H
#define COMPOSE_OP_H

#include "base/loop.h"
#include "base/sock.h"
#include "compose/desired.h"
#include "compose/plan.h"

struct supervisor;
struct unit;

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
	struct loop_timer flush;           /* armed while something waits in out to be sent together with what follows */
	uint64_t flushed_ns;
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
	unsigned parallel;                 /* how many containers start or stop at once; 0: any number */
	int stdin_fd;                      /* run */
	char run_id[65];                   /* run: the container's, once it is made */
	const struct desired_service *oneoff; /* run: the service with the command line's wishes */
	struct loop_timer timer;           /* wait_timeout_s */
	struct loop_timer queue_timer, settle_timer;
	struct op *next;
};

/* server.c */
int server_open(struct supervisor *sv, struct err *err);
void server_send(struct client *c, const json_t *event, const int *fds, size_t n_fds);
void server_progress(struct op *op, const char *object, const char *name, const char *id, const char *status, const char *text);
void server_warn(struct op *op, const char *text);
void server_keep_exit(const struct unit *u);                                  /* for who comes back to ask, see control_follow() */
void server_notice(struct supervisor *sv, const char *text);                  /* a warning, to followers */
void server_state(struct unit *u, const char *action, bool will_restart);    /* to followers */
void server_done(struct op *op);                                             /* answers, frees op, takes the next */
void server_wake(struct supervisor *sv);                                     /* begins the next operation, if one waits */
void server_attached_done(struct client *c, int exit_code, const char *error);
bool server_idle(const struct supervisor *sv);                               /* no client, no operation */
int server_resume(struct supervisor *sv, struct err *err);                   /* carries on what a dead supervisor had begun */
void server_flush(struct supervisor *sv);

/* apply.c */
int apply_begin(struct op *op, struct err *err);
int apply_plan(struct op *op);                                               /* carries op->plan out; op may be gone when it returns */
void apply_action_done(struct op *op, size_t action, const struct err *failure);
int apply_take_desired(struct op *op, struct err *err);
int apply_keep_desired(struct op *op, struct err *err);
int apply_existing(struct supervisor *sv, const struct desired *d, struct plan_existing *ret, struct err *err);
void apply_unit_exited(struct unit *u);                                      /* waits for completion look at it */
void apply_cancel(struct op *op, const char *why);
int apply_kill_now(struct supervisor *sv, const json_t *request, struct err *err); /* signals beside the operation under way */
void apply_trash_emptied(struct supervisor *sv);                             /* an operation that ends with removals waits for it */

/* op_run.c */
int op_run_begin(struct op *op, struct err *err);
void op_run_record(const struct op *op, struct record *r);                   /* what makes a new record that of a one-off container */
bool op_run_waits(const struct op *op);                                       /* its client waits for the command, and it is for nobody else */
int op_run_wanted(const struct op *op, struct err *err);                      /* -1 + err: that client has gone */
void op_run_created(struct op *op, struct unit *u);
void op_run_ended(struct op *op);                                            /* a container of it that was not started goes */

#endif
