/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to containers, networks, volumes and images, shown while it happens, on standard error.
 * tty: a block of one line each that is redrawn in place, at most ten times a second, at any width and height; the cursor
 * and the terminal's modes are never touched, so there is nothing to restore. plain: one stable line for each change. json:
 * one object a line. quiet: errors only, which the caller prints. */
#ifndef COMPOSE_PROGRESS_H
#define COMPOSE_PROGRESS_H

#include "base/str.h"

enum progress_mode { PROGRESS_TTY, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_QUIET, PROGRESS_MODE_N_ };

struct progress;

/* fd is not owned. colour: escape sequences for colours (tty mode only). dry_run marks each line. */
struct progress *progress_new(enum progress_mode mode, int fd, bool colour, bool dry_run);
/* Draws the last frame, and frees; NULL is fine; returns NULL. */
struct progress *progress_free(struct progress *p);

/* A change: kind "container", "network", "volume", "image" (capitalised when shown; "service" is not shown in json mode, as there), status
 * "Creating", "Started"…, text "" or NULL or a remark shown after it. now_ns: monotonic. Draws at once in plain and json mode. */
void progress_event(struct progress *p, const char *kind, const char *name, const char *status, const char *text, uint64_t now_ns);
/* json mode only: an object as docker compose writes it (jsonMessage of cmd/display/json.go). What is NULL, "" or 0 is left out. */
struct progress_object {
	const char *id, *parent_id;
	const char *status;          /* "Working", "Done", "Warning", "Error" */
	const char *text, *details;
	uint64_t current, total;     /* bytes */
	unsigned percent;
};
void progress_object(struct progress *p, const struct progress_object *o);
/* A line of text of its own (a warning), kept above the block. */
void progress_note(struct progress *p, const char *line, uint64_t now_ns);
/* Redraws when something changed or spins and 100 ms have passed. Returns ms until the next call is due; -1: not before an event. */
int progress_tick(struct progress *p, uint64_t now_ns);
/* Draws the last frame; what comes next is written below it and a later event starts a new block. */
void progress_flush(struct progress *p, uint64_t now_ns);

/* One frame of tty mode as text without cursor movement, for width and height in characters: at most height - 1 lines. */
void progress_frame(const struct progress *p, uint64_t now_ns, unsigned width, unsigned height, struct str *ret, unsigned *ret_lines);
/* True for a status that ends something ("Started", "Removed"; not "Starting"). */
bool progress_is_done(const char *status);

#endif
