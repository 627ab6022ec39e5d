/* SPDX-License-Identifier: Apache-2.0 */
/* `up` in the foreground and `logs`: lines of many containers, merged, with coloured prefixes, and what happens to the containers
 * in between. Lines come from the log files, never from the containers, so that a slow terminal holds up nobody and a killed
 * command stops nothing. */
#ifndef COMPOSE_ATTACH_H
#define COMPOSE_ATTACH_H

#include "compose/cmd_request.h"
#include "runtime/logs_reader.h"

/* Nothing must run for so long before a command that follows containers ends: somebody's `restart` stops them only to start them. */
enum { ATTACH_QUIET_MS = 300 };

/* Prints log lines: "web-1  | text", aligned over all containers, a colour for each. */
struct attach_printer;
struct attach_printer *attach_printer_new(bool colour, bool prefix, bool timestamps);
struct attach_printer *attach_printer_free(struct attach_printer *p); /* flushes; takes NULL; returns NULL */
/* Names the container that lines with the number `container` are of ("web-1"). */
void attach_printer_add(struct attach_printer *p, int container, const char *label);
/* From now on lines that containers wrote to their stderr go to ours, as docker compose's `up` has it (its `logs` has not). */
void attach_printer_split(struct attach_printer *p);
/* logs_line_fn: arg is the printer. Buffers. The order of all lines is kept. */
int attach_print_line(void *arg, const struct logs_line *line);
/* "web-1 exited with code 0" in the container's colour. */
void attach_print_text(struct attach_printer *p, int container, const char *fmt, ...) PRINTF(3, 4);
/* Writes what is buffered; false when nobody reads any more. */
bool attach_printer_flush(struct attach_printer *p);
/* Makes prefixes as wide as for this label from the beginning. */
void attach_printer_expect(struct attach_printer *p, const char *label);
/* The label of a container in prefixes: its name without the project's, "web-1". free() it. */
char *attach_label(const char *project, const char *name);

struct attach_options {
	struct strv services;       /* whose containers count: the command goes on until they have all ended */
	struct strv attached;       /* whose lines are shown */
	struct strv labels;         /* their containers as they will be called in prefixes */
	bool prefix, timestamps, colour;
	bool abort_on_exit, abort_on_failure;
	const char *exit_code_from; /* NULL: none */
	struct strv jobs;           /* others wait for them to complete: their success does not end anything */
	int64_t timeout_s;          /* -1: each service's own */
};

/* Sends the `up` request (takes json over), attaches, and stays until everything has ended or the user has stopped it. Returns the
 * exit code. */
int attach_up(struct app *app, const char *project, json_t *json, const struct attach_options *opt);

#endif
