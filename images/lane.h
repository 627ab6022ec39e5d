/* SPDX-License-Identifier: Apache-2.0 */
/* How the process that unpacks (no network) and the one that talks to the registry (no files) talk to each other: a few stream
 * socket pairs, "lanes", made by muster. On each lane the first one asks, and the other answers with data until an end or an
 * error; then the next question. While it answers it may want bytes of what it was asked to send. A question can only be about the one
 * repository that the network process was started for.
 * Frames: kind and length (32 bits each, the machine's order), then the bytes. Either side distrusts the other: lengths are capped,
 * order is checked. */
#ifndef IMAGES_LANE_H
#define IMAGES_LANE_H

#include "base/json.h"

enum { LANE_MAX_FRAME = 256 << 10, LANE_MAX_LANES = 6, LANE_MAX_WANT = 1 << 20 };

struct lane {
	int fd;
	uint32_t left;   /* of the data frame that is being read */
	bool open;       /* an answer is under way */
	json_t *end;     /* what came with the end of the last answer; owned */
	uint64_t deadline_ns; /* of the monotonic clock: reading waits until then, and fails with ERR_TIMEOUT; 0: it waits for ever */
};

void lane_init(struct lane *l, int fd);
void lane_done(struct lane *l);

/* The asker: sends a question; what is left of an earlier answer is read and dropped. 0 or -1 + err. */
int lane_ask(struct lane *l, const json_t *question, struct err *err);
/* Up to n bytes of the answer: the count, 0 at its end, -1 + err (the other side's error as it was made there). */
ssize_t lane_read(struct lane *l, void *buf, size_t n, struct err *err);

/* The asker of a question that sends something, in place of lane_read(): gives what is wanted until the answer's end. source: exactly n bytes from
 * `offset` on into buf; 0 or -1 + err, which ends the lane for good. 0 or -1 + err. */
typedef int lane_source_fn(void *arg, uint64_t offset, void *buf, size_t n, struct err *err);
int lane_serve(struct lane *l, lane_source_fn *source, void *arg, struct err *err);

/* The answerer: the next question, new reference. 0; 1 when the asker has gone; -1 + err. */
int lane_next(struct lane *l, json_t **ret, struct err *err);
int lane_send(struct lane *l, const void *p, size_t n, struct err *err);
/* Exactly n <= LANE_MAX_WANT bytes, from `offset` on, of what the asker sends. 0 or -1 + err. */
int lane_want(struct lane *l, uint64_t offset, void *buf, size_t n, struct err *err);
/* Ends the answer, with an object (taken over, may be NULL) or an error. */
int lane_end(struct lane *l, json_t *end, struct err *err);
int lane_fail(struct lane *l, const struct err *failure, struct err *err);

#endif
