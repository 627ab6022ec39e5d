/* SPDX-License-Identifier: Apache-2.0 */
/* What all commands of `muster` share: the parsed command line, where state lives, how to print, and one function for each
 * command. A command returns the process's exit code; it has printed what went wrong (once, on standard error). */
#ifndef COMPOSE_CMD_H
#define COMPOSE_CMD_H

#include "base/arena.h"
#include "compose/cli.h"
#include "compose/observe.h"
#include "compose/progress.h"

struct app {
	const char *prog;           /* "muster" */
	const struct cli_args *args;
	struct arena *arena;        /* lives as long as the command */
	struct paths paths;         /* after cmd_paths() */
	bool colour_out, colour_err; /* --ansi, NO_COLOR, TERM=dumb and isatty, decided once */
	enum progress_mode progress;
	bool dry_run, verbose;
	char separator;             /* in the names of containers and images: '-', or '_' with --compatibility */
	unsigned parallel;          /* --parallel: how many containers or images at once; 0: no limit */
};

/* Prints "muster: message" (and the origin with --verbose); returns 1. */
int cmd_fail(const struct app *app, const struct err *err);
int cmd_failf(const struct app *app, const char *fmt, ...) PRINTF(2, 3);
/* "hint: …" below an error. */
void cmd_hint(const struct app *app, const char *fmt, ...) PRINTF(2, 3);
void cmd_warn(const struct app *app, const char *fmt, ...) PRINTF(2, 3);
/* With --dry-run: says " DRY-RUN MODE -  Image x  Pulling" on standard error, in place of doing it; returns 0. */
int cmd_dry_run(const struct app *app, const char *kind, const char *name, const char *what);
/* Writes to standard output; a reader that went away ends the command silently with exit code 1 (as SIGPIPE would). Returns 0 or 1. */
int cmd_print(const struct app *app, const struct str *text);
/* Opens the state roots (--root, --run-root, environment, defaults) as app->paths. create: makes them. Returns 0, or 1 after a message. */
int cmd_paths(struct app *app, bool create);
/* Paths, the project's name (into *ret_name, lives in the arena) and what there is of it. 0, or an exit code after a message. */
int cmd_observe(struct app *app, const char **ret_name, struct observed *ret);
/* The first service of `names` that is not in `known` is an error: prints it with a suggestion; returns 0 or 1. */
int cmd_check_names(const struct app *app, const struct strv *names, const struct strv *known, const char *what);
/* The services named on the command line must be in the project: among its containers, its last desired state, or its file. */
int cmd_check_services(struct app *app, const struct observed *o, const struct strv *names);

/* cmd.c: labels, objects of strings. "key" or "key=value" among them? What --label of the command gives, new reference; as tables show them, free() it. */
bool cmd_has_label(const json_t *labels, const char *want);
json_t *cmd_given_labels(const struct app *app);
char *cmd_labels_text(const json_t *labels);

/* Does a container of any project use the image with this id (arg: struct app; see store_in_use_fn) or the volume? by: "container NAME". */
bool cmd_image_in_use(void *arg, const char *id, char by[static 64]);
bool cmd_volume_in_use(const struct app *app, const char *name, char by[static 64]);

/* Removes these containers of a project that are stopped, and the networks ({NAME: KEY}, taken over) that nothing is on then. Returns an exit code
 * after a message. */
int cmd_remove_unused(struct app *app, const char *project, const struct strv *ids, json_t *networks);
/* Bytes that a volume's files take. */
uint64_t cmd_volume_bytes(const struct app *app, const char *name);

/* Prints rows as --format wants: the table of `fields` under `headings` (columns at least min wide), json or a template. Or one field of each. */
int cmd_print_rows(const struct app *app, const json_t *rows, const char *const *headings, const char *const *fields, size_t n, size_t min);
int cmd_print_field(const struct app *app, const json_t *rows, const char *field);
/* What `inspect` prints: an indented list, or each row as the template wants. 0, -1 + err. */
int cmd_format_inspect(const char *format, const json_t *rows, struct str *ret, struct err *err);

/* The commands, compose/cmd_*.c. */
int cmd_config(struct app *app);
int cmd_debug(struct app *app);
int cmd_debug_report(struct app *app);
int cmd_version(struct app *app);
int cmd_completion(struct app *app);
int cmd_plan(struct app *app);
int cmd_ps(struct app *app);
int cmd_ls(struct app *app);
int cmd_port(struct app *app);
int cmd_logs(struct app *app);
int cmd_image_import(struct app *app);
int cmd_image_load(struct app *app);
int cmd_image_ls(struct app *app);
int cmd_image_rm(struct app *app);
int cmd_build(struct app *app);
int cmd_builder_prune(struct app *app);
int cmd_image_build(struct app *app);
int cmd_image_pull(struct app *app);
int cmd_image_push(struct app *app);
int cmd_images(struct app *app);
int cmd_push(struct app *app);
int cmd_image_tag(struct app *app);
int cmd_image_inspect(struct app *app);
int cmd_image_history(struct app *app);
int cmd_image_prune(struct app *app);
int cmd_image_save(struct app *app);
int cmd_image_verify(struct app *app);
int cmd_export(struct app *app);
int cmd_commit(struct app *app);
int cmd_diff(struct app *app);
int cmd_system_df(struct app *app);
int cmd_system_prune(struct app *app);
int cmd_pull(struct app *app);
int cmd_login(struct app *app);
int cmd_logout(struct app *app);
int cmd_volume_create(struct app *app);
int cmd_volume_inspect(struct app *app);
int cmd_volume_ls(struct app *app);
int cmd_volume_prune(struct app *app);
int cmd_volume_rm(struct app *app);
int cmd_volumes(struct app *app);
int cmd_network_create(struct app *app);
int cmd_network_inspect(struct app *app);
int cmd_network_ls(struct app *app);
int cmd_network_prune(struct app *app);
int cmd_network_rm(struct app *app);
int cmd_up(struct app *app);
int cmd_create(struct app *app);
int cmd_start(struct app *app);
int cmd_stop(struct app *app);
int cmd_restart(struct app *app);
int cmd_kill(struct app *app);
int cmd_rm(struct app *app);
int cmd_scale(struct app *app);
int cmd_down(struct app *app);
int cmd_wait(struct app *app);
int cmd_run(struct app *app);
int cmd_exec(struct app *app);

#endif
