/* SPDX-License-Identifier: Apache-2.0 */
/* What builds do, shown while they do it, on standard error, as BuildKit's users know it.
 *   tty    a block that is redrawn in place: each step with its time, CACHED and ERROR marks, the last lines of what runs
 *   plain  stable lines: "#3 [build 2/5] RUN make", "#3 0.412 text that it printed", "#3 DONE 1.2s" or "#3 CACHED", "#3 ERROR: …"
 *   json   an object a line, as for everything else that muster does
 *   rawjson  BuildKit's status objects, one a line: {"vertexes":[…]}, {"logs":[…]}, {"statuses":[…]}
 *   quiet  nothing but what fails
 * Steps are numbered in the order in which they begin, over all builds of the command. */
#ifndef COMPOSE_BUILD_PROGRESS_H
#define COMPOSE_BUILD_PROGRESS_H

#include "base/json.h"
#include "base/str.h"

enum build_progress_mode {
	BUILD_PROGRESS_TTY,
	BUILD_PROGRESS_PLAIN,
	BUILD_PROGRESS_JSON,
	BUILD_PROGRESS_QUIET,
	BUILD_PROGRESS_RAWJSON,
	BUILD_PROGRESS_N_,
};

struct build_progress;

struct build_progress *build_progress_new(enum build_progress_mode mode, int fd, bool colour);
/* Draws the last frame, and frees; takes NULL; returns NULL. */
struct build_progress *build_progress_free(struct build_progress *p);

/* A "step" event of the builder (images/build/channel.h). build: which one, from 0; name: its service, "" = the only one. */
void build_progress_step(struct build_progress *p, size_t build, const char *name, const json_t *event, uint64_t now_ns);
/* Why a step has failed, which the builder tells after that it has. */
void build_progress_error(struct build_progress *p, size_t build, int64_t step, const char *error, uint64_t now_ns);
/* Bytes of a step's output, in pieces of any size. stream: 1 or 2. */
void build_progress_log(struct build_progress *p, size_t build, int64_t step, int stream, const char *bytes, size_t n, uint64_t now_ns);
/* A step that copies or fetches: total 0 = not known. */
void build_progress_bytes(struct build_progress *p, size_t build, int64_t step, const char *what, uint64_t done, uint64_t total, uint64_t now_ns);
/* A line of its own, a warning. */
void build_progress_note(struct build_progress *p, const char *line, uint64_t now_ns);
/* Redraws when it is time. Returns ms until the next call; -1: not before an event. */
int build_progress_tick(struct build_progress *p, uint64_t now_ns);
/* Ends the display; what comes next is written below it. */
void build_progress_end(struct build_progress *p, uint64_t now_ns);

/* After the end: the last lines that a failed step printed, under its name; "" when it has printed nothing. */
void build_progress_failure(const struct build_progress *p, size_t build, int64_t step, struct str *ret);
/* One frame of tty mode for this width and height, as text. */
void build_progress_frame(const struct build_progress *p, uint64_t now_ns, unsigned width, unsigned height, struct str *ret);

#endif
