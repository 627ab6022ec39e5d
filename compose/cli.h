/* SPDX-License-Identifier: Apache-2.0 */
/* The command line as data: const tables of commands and options drive parsing, help and shell completion.
 * Grammar as spf13/pflag reads it, so that scripts written for docker compose work: --flag=value, --flag value, -f value,
 * -fvalue, -f=value, combined letters (-aq), "--", and options after positional arguments except where the command runs
 * somebody else's command line (exec, run) and before the command's name. What is in the table but not there yet is refused
 * before anything happens ("up --build: not supported yet"); nothing is accepted and ignored. */
#ifndef COMPOSE_CLI_H
#define COMPOSE_CLI_H

#include "base/err.h"
#include "base/str.h"

enum cli_type { CLI_BOOL, CLI_STRING, CLI_STRINGS, CLI_INT, CLI_TYPE_N_ };

enum {
	CLI_HIDDEN = 1,   /* option, command: not in the help */
	CLI_LATER = 2,    /* option, command: known, "not supported yet" */
	CLI_STOP = 4,     /* command: the first positional argument ends the options */
	CLI_GROUP = 8,    /* command: has subcommands, does nothing itself */
	CLI_PLAIN = 16,   /* command: works without rights (config, version, completion) */
};

struct cli_option {
	const char *name;      /* long name; NULL ends a table */
	char letter;           /* 0: none */
	enum cli_type type;
	unsigned flags;
	const char *help;      /* "{prog}" stands for the program's name */
	const char *def;       /* shown as default and returned when not given; NULL: "", 0, false */
	const char *var;       /* name of the value in the help; NULL: by type */
	const char *choices;   /* "a|b|c": nothing else is accepted; NULL: anything */
	const char *later;     /* choices of these that are not supported yet: "a|b" */
};

struct cli_command {
	const char *name;      /* "up", "image import" */
	const char *usage;     /* "up [OPTIONS] [SERVICE...]"; further lines after \n; "" = built from the name */
	const char *summary;   /* one line, in lists */
	const char *details;   /* the help's text when it is more than the summary; NULL otherwise */
	const struct cli_option *options; /* sorted by name; NULL: none */
	const char *const *conflicts;     /* pairs of options that exclude each other, ended by NULL; NULL: none */
	int min_args, max_args; /* -1: any number */
	unsigned flags;
	const char *complete;  /* what arguments are: "service", "image", "volume", "file", NULL */
};

/* All commands, sorted by name; the first without name ends it. Groups stand before their members. */
extern const struct cli_command cli_commands[];
extern const struct cli_option cli_global_options[];
extern const struct cli_option cli_dry_run_option[]; /* --dry-run, of every command */

struct cli_value {
	const struct cli_option *option;
	bool set;
	struct strv list;      /* CLI_STRINGS: all values; else the last one */
};

struct cli_args {
	const struct cli_command *command; /* NULL: none was named */
	struct cli_value *values;          /* one for each global option, --dry-run, then the command's */
	size_t n_values;
	struct strv args;                  /* positional ones */
	bool help;
	char hint[200];                    /* after an error: what to do; "" = nothing */
};

/* Parses argv[1…]. Checks names, types, choices, conflicts, number of arguments and what is not supported yet, unless --help was
 * given. Returns 0, or -1 + err (ERR_INVALID; ERR_UNSUPPORTED for what is not supported yet) and ret->hint. */
int cli_parse(int argc, char *const *argv, struct cli_args *ret, struct err *err);
void cli_args_done(struct cli_args *a);

/* Values by long name; the name must be in the tables (asserted). A command's option hides a global one of the same name. */
bool cli_is_set(const struct cli_args *a, const char *name);
bool cli_bool(const struct cli_args *a, const char *name);
int64_t cli_int(const struct cli_args *a, const char *name);
const char *cli_str(const struct cli_args *a, const char *name);      /* the default, or "", when not given */
const struct strv *cli_list(const struct cli_args *a, const char *name);
/* The global option's value (asserted, too), and whether it was given, whatever the command calls its own. */
bool cli_global_is_set(const struct cli_args *a, const char *name);
const char *cli_global(const struct cli_args *a, const char *name);
/* True when the parsed command has such an option at all. */
bool cli_has(const struct cli_args *a, const char *name);

const struct cli_command *cli_find(const char *name); /* NULL when unknown */

/* The help text of a command, of everything when cmd is NULL. columns: where to wrap (80 when the output is no terminal). */
void cli_help(const char *prog, const struct cli_command *cmd, unsigned columns, struct str *ret);
/* A completion script for "bash" or "zsh"; -1 + err for another shell. */
int cli_completion(const char *prog, const char *shell, struct str *ret, struct err *err);
/* The program's name as users know it: the basename of argv[0], "docker compose" for docker-compose. buf is its storage. */
const char *cli_program(const char *argv0, char buf[static 64]);

#endif
