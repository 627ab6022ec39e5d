/* SPDX-License-Identifier: Apache-2.0 */
/* A command's conversation with the supervisor: sends the request, shows its events as progress, keeps going over a restart
 * of the supervisor (the request carries an id, so it is done once), and ends at "done" or at the user's Ctrl+C. */
#ifndef COMPOSE_CMD_REQUEST_H
#define COMPOSE_CMD_REQUEST_H

#include "compose/cmd.h"

enum { CMD_CANCELLED = 130 };

struct request {
	struct app *app;
	const char *project;
	json_t *json;             /* owned */
	int fd;                   /* -1: not open */
	int passed_fd;            /* sent with the request, not owned; -1: none */
	struct progress *progress;
	bool once;                /* must not be sent again when the supervisor goes away (run) */
	bool silent;              /* no progress, only errors and warnings */
	unsigned tries;
	bool done;
	int exit;                 /* valid when done */
	/* Sees every event before it is shown, the one that says "done" as well; returns true when it has dealt with it. fds: what came along, closed
	 * afterwards unless taken (set to -1). May be NULL. */
	bool (*event)(void *arg, const json_t *event, int *fds, size_t n_fds);
	/* The supervisor went away: returns true when it has seen to it (r->fd is another one). May be NULL. */
	bool (*lost)(void *arg);
	void *arg;
};

/* Takes json over. */
void request_init(struct request *r, struct app *app, const char *project, json_t *json);
/* Connects (starting the supervisor) and sends. 0, or 1 after a message. */
int request_open(struct request *r);
/* Handles one frame; the descriptor r->fd was readable. Sets done at the end; has printed what went wrong. */
void request_handle(struct request *r);
/* Ends the progress display and frees. */
void request_close(struct request *r);
/* All of it, with signals: returns the exit code (130 when the user cancelled). */
int request_run(struct request *r);

/* {"op": op, "services": the positional arguments}; new reference. */
json_t *request_new(const struct app *app, const char *op, const struct strv *services);
/* With --dry-run: prints the plan of this request instead, *ret_rc is the exit code, and returns true. desired: for `up`, else NULL. */
bool request_dry_run(struct app *app, const char *project, const json_t *json, int *ret_rc);
/* Prints the plan as text or as JSON (as_json). Returns 0 when nothing would change, 2 when something would, 1 after a message. */
int request_plan(struct app *app, const char *project, const json_t *json, bool as_json);

/* A descriptor readable at SIGINT, SIGTERM or SIGHUP, which are blocked from now on; request_signal_read() gives the number, 0 = none. */
int request_signal_fd(void);
int request_signal_read(int fd);

#endif
