/* SPDX-License-Identifier: Apache-2.0 */
/* The builder's ends of its two channels, for many threads: one thread reads both (peers_serve), the others ask and wait for their answer. */
#ifndef IMAGES_BUILD_PEERS_H
#define IMAGES_BUILD_PEERS_H

#include "images/build/channel.h"

struct peers;

/* Borrows both descriptors. cancelled is set when muster asks to stop, when it is gone, and by peers_cancel(). */
struct peers *peers_new(int cli_fd, int executor_fd, bool *cancelled);

/* Once nobody asks any more; takes NULL. */
void peers_free(struct peers *p);

/* Reads and hands out until peers_stop(): on the thread that owns nothing else. Returns 0; 1: muster is gone. */
int peers_serve(struct peers *p);
void peers_stop(struct peers *p);

/* Sends an event to muster; takes j over. */
void peers_tell(struct peers *p, json_t *j);
/* Asks muster ("need"); takes j over and adds the id. *ret_answer: new reference. 0 or -1 + its error. */
int peers_ask(struct peers *p, json_t *j, const int *fds, size_t n_fds, json_t **ret_answer, struct err *err);
/* The same where the answer brings descriptors: up to `max` go to ret_fds, the caller's; *ret_n of them. */
int peers_ask_for(struct peers *p, json_t *j, const int *fds, size_t n_fds, json_t **ret_answer, int *ret_fds, size_t max, size_t *ret_n,
	struct err *err);
/* Has the executor run a step; takes j over. opened(arg) is called when its directories are open, or when that will not be. *ret_code: the exit
 * code. 0 or -1 + err (it could not be run, or was cancelled). */
int peers_run(struct peers *p, json_t *j, int64_t id, void (*opened)(void *arg), void *arg, int *ret_code, struct err *err);
/* fn is called when the build is cancelled, once for each peers_cancel(), from whatever thread that is. */
void peers_on_cancel(struct peers *p, void (*fn)(void *arg), void *arg);
/* Stops what runs; what waits fails. */
void peers_cancel(struct peers *p);

#endif
