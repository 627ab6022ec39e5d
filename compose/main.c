/* SPDX-License-Identifier: Apache-2.0 */
/* muster: one command, then it is gone; what runs is looked after by `muster-run`. Parses, decides once how to print, and calls
 * the command's function from a table. A name in cli_commands without a function here would not link into the table below:
 * the unit test of the tables and the system tests call every one of them. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/fs.h"
#include "compose/cmd.h"
#include "compose/own.h"
#include "compose/tty.h"

static const struct {
	const char *name;
	int (*run)(struct app *app);
} handlers[] = {
	{ "build", cmd_build },           { "image build", cmd_image_build },
	{ "builder prune", cmd_builder_prune },
	{ "completion", cmd_completion }, { "config", cmd_config },           { "convert", cmd_config },
	{ "create", cmd_create },         { "debug", cmd_debug },             { "down", cmd_down },
	{ "exec", cmd_exec },             { "image import", cmd_image_import }, { "image load", cmd_image_load },
	{ "image ls", cmd_image_ls },     { "image pull", cmd_image_pull },   { "image rm", cmd_image_rm },
	{ "image inspect", cmd_image_inspect }, { "image tag", cmd_image_tag },       { "kill", cmd_kill },
	{ "logs", cmd_logs },             { "ls", cmd_ls },                   { "network ls", cmd_network_ls },
	{ "plan", cmd_plan },             { "port", cmd_port },               { "ps", cmd_ps },
	{ "pull", cmd_pull },             { "push", cmd_push },                 { "image push", cmd_image_push },
	{ "images", cmd_images },         { "commit", cmd_commit },           { "diff", cmd_diff },
	{ "export", cmd_export },         { "image history", cmd_image_history }, { "image prune", cmd_image_prune },
	{ "image save", cmd_image_save }, { "image verify", cmd_image_verify }, { "system df", cmd_system_df },
	{ "system prune", cmd_system_prune },
	{ "login", cmd_login },           { "logout", cmd_logout },
	{ "restart", cmd_restart },       { "rm", cmd_rm },                   { "run", cmd_run },
	{ "scale", cmd_scale },           { "start", cmd_start },             { "stop", cmd_stop },
	{ "up", cmd_up },                 { "version", cmd_version },         { "volume ls", cmd_volume_ls },
	{ "volume rm", cmd_volume_rm },   { "wait", cmd_wait },               { "volumes", cmd_volumes },
	{ "volume create", cmd_volume_create },   { "volume inspect", cmd_volume_inspect },   { "volume prune", cmd_volume_prune },
	{ "network create", cmd_network_create }, { "network inspect", cmd_network_inspect }, { "network prune", cmd_network_prune },
	{ "network rm", cmd_network_rm },
};

/* Descriptors 0-2 are open from here on: otherwise the first file that we open would be somebody's standard output. */
static void open_standard_streams(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR); // NOLINT: not close-on-exec on purpose
	while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
}

/* The command's own option of this name before the global one before the variable. */
static const char *setting(const struct cli_args *args, const char *option, const char *variable)
{
	const char *env = getenv(variable);
	if (!cli_is_set(args, option) && cli_global_is_set(args, option))
		return cli_global(args, option);
	return !cli_is_set(args, option) && env && *env ? env : cli_str(args, option);
}

static bool colour_on(const char *ansi, int fd)
{
	const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
	if (strcmp(ansi, "never") == 0)
		return false;
	if (strcmp(ansi, "always") == 0)
		return true;
	return isatty(fd) && !(no_colour && *no_colour) && !(term && strcmp(term, "dumb") == 0);
}

/* --parallel, else COMPOSE_PARALLEL_LIMIT; what is not positive is no limit. */
static int decide_parallel(struct app *app)
{
	const char *env = getenv("COMPOSE_PARALLEL_LIMIT");
	int64_t n = strtoll(cli_global(app->args, "parallel"), NULL, 10); /* build and pull have an old one of their own */
	if (!cli_global_is_set(app->args, "parallel") && env) {
		char *end;
		errno = 0;
		n = strtoll(env, &end, 10);
		if (end == env || *end || errno)
			return cmd_failf(app, "COMPOSE_PARALLEL_LIMIT must be an integer (found: \"%.40s\")", env);
	}
	app->parallel = n > 0 ? (unsigned)MIN(n, (int64_t)UINT16_MAX) : 0;
	return 0;
}

/* --ansi, --progress and their variables; 0, or 1 after a message. */
static int decide_output(struct app *app)
{
	static const char *const modes[] = { "tty", "plain", "json", "quiet" };
	static_assert(ARRAY_SIZE(modes) == PROGRESS_MODE_N_, "one name for each mode");
	const char *ansi = cli_bool(app->args, "no-ansi") ? "never" : setting(app->args, "ansi", "COMPOSE_ANSI");
	const char *progress = setting(app->args, "progress", "COMPOSE_PROGRESS"), *term = getenv("TERM");
	bool dumb = strcmp(ansi, "never") == 0 || (term && strcmp(term, "dumb") == 0);
	if (strcmp(ansi, "never") != 0 && strcmp(ansi, "always") != 0 && strcmp(ansi, "auto") != 0)
		return cmd_failf(app, "COMPOSE_ANSI: \"%.40s\" is none of never, always, auto", ansi);
	app->colour_out = colour_on(ansi, 1);
	app->colour_err = colour_on(ansi, 2);
	app->progress = isatty(2) && !dumb ? PROGRESS_TTY : PROGRESS_PLAIN;
	if (*progress && strcmp(progress, "auto") != 0) {
		size_t i = 0;
		while (i < ARRAY_SIZE(modes) && strcmp(progress, modes[i]) != 0)
			i++;
		if (i == ARRAY_SIZE(modes) && !(cli_is_set(app->args, "progress") && strcmp(progress, "rawjson") == 0)) /* that is the builds' own */
			return cmd_failf(app, "COMPOSE_PROGRESS: \"%.40s\" is none of auto, tty, plain, json, quiet", progress);
		if (i < ARRAY_SIZE(modes))
			app->progress = (enum progress_mode)i;
	}
	app->dry_run = cli_bool(app->args, "dry-run");
	app->verbose = strcmp(cli_global(app->args, "verbose"), "true") == 0;
	app->separator = cli_bool(app->args, "compatibility") ? '_' : '-';
	return decide_parallel(app);
}

static int show_help(const struct app *app, const struct cli_command *cmd)
{
	AUTO_STR struct str text = {0};
	cli_help(app->prog, cmd, tty_columns(1), &text);
	return cmd_print(app, &text);
}

static int run_command(struct app *app)
{
	const struct cli_command *cmd = app->args->command;
	if (!(cmd->flags & CLI_PLAIN) && geteuid() != 0)
		return cmd_failf(app, "%s: needs root, and this is user %u: containers take namespaces, mounts and devices", cmd->name, geteuid());
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++)
		if (strcmp(handlers[i].name, cmd->name) == 0)
			return handlers[i].run(app);
	return cmd_failf(app, "%s: not supported yet", cmd->name);
}

int main(int argc, char **argv)
{
	struct cli_args args;
	struct err err;
	char name[64];
	struct app app = { .prog = cli_program(argv[0], name), .args = &args, .paths = { .root_fd = -1, .run_fd = -1 } };
	int rc = 1;
	open_standard_streams();
	signal(SIGPIPE, SIG_IGN);
	if (cli_parse(argc, argv, &args, &err) < 0) {
		app.colour_err = colour_on("auto", 2);
		cmd_fail(&app, &err);
		if (args.hint[0])
			cmd_hint(&app, "%s", args.hint);
		else if (err.code != ERR_UNSUPPORTED)
			cmd_hint(&app, "see '%s%s%s --help'", app.prog, args.command ? " " : "", args.command ? args.command->name : "");
		cli_args_done(&args);
		return 1;
	}
	app.arena = arena_new();
	if (args.help || (!args.command && !cli_bool(&args, "version")))
		rc = show_help(&app, args.command);
	else if (decide_output(&app) == 0)
		rc = args.command ? run_command(&app) : cmd_version(&app);
	if (app.paths.held && app.paths.run_fd >= 0)
		own_leave_run(app.paths.run_fd); /* the last one who held it, anchor or command, removes it */
	paths_done(&app.paths);
	arena_free(app.arena);
	cli_args_done(&args);
	return rc;
}
