/* SPDX-License-Identifier: Apache-2.0 */
/* login and logout. What is kept has been tried: a wrong password changes nothing. The password comes from standard input or, unseen,
 * from the terminal; never from the command line, where others could read it. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <termios.h>

#include "base/fs.h"
#include "compose/cmd_request.h"
#include "compose/image_client.h"
#include "compose/registries.h"

enum { MAX_SECRET = 16 << 10 };

/* Waits for the line, so that Ctrl+C leaves no terminal without echo. False: a signal came. */
static bool wait_for_line(void)
{
	AUTO_CLOSE int signals = request_signal_fd();
	struct pollfd p[2] = { { .fd = 0, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	return !p[1].revents;
}

/* One line from the terminal, without its end. hidden: not shown. -1 at its end, or when the user cancels. */
static int ask(const char *prompt, bool hidden, char **ret)
{
	struct termios before, quiet;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = -1;
	fprintf(stderr, "%s: ", prompt);
	if (hidden && tcgetattr(0, &before) == 0) {
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(0, TCSAFLUSH, &quiet);
	}
	if (!hidden || wait_for_line())
		n = getline(&line, &cap, stdin);
	if (hidden) {
		tcsetattr(0, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	if (n > 0 && line[n - 1] == '\n')
		line[n - 1] = '\0';
	*ret = line;
	return n < 0 ? -1 : 0;
}

static int read_password(struct app *app, char **ret)
{
	AUTO_STR struct str text = {0};
	struct err err;
	if (!cli_bool(app->args, "password-stdin")) {
		if (!isatty(0))
			return cmd_failf(app, "login: standard input is no terminal: use --password-stdin");
		return ask("Password", true, ret) < 0 ? cmd_failf(app, "login: no password") : 0;
	}
	if (fs_read_fd(0, MAX_SECRET, &text, &err) < 0)
		return cmd_fail(app, &err);
	while (text.len && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
		text.p[--text.len] = '\0';
	if (strlen(str_get(&text)) != text.len)
		return cmd_failf(app, "login: the password holds a NUL byte");
	*ret = str_take(&text);
	return 0;
}

static int registry_argument(struct app *app, char **ret)
{
	const struct strv *args = &app->args->args;
	struct err err;
	return registry_parse_name(args->n ? args->v[0] : "docker.io", ret, &err) < 0 ? cmd_fail(app, &err) : 0;
}

static int try_login(const char *registry, const char *username, const char *password, struct err *err)
{
	AUTO_JSON json_t *description = NULL;
	if (registry_describe_login(registry, username, password, &description, err) < 0)
		return -1;
	return image_client_check_login(description, err);
}

int cmd_login(struct app *app)
{
	AUTO_FREE char *registry = NULL, *username = xstrdup(cli_str(app->args, "username")), *password = NULL;
	struct err err;
	if (registry_argument(app, &registry))
		return 1;
	if (!*username && (cli_bool(app->args, "password-stdin") || !isatty(0)))
		return cmd_failf(app, "login: --password-stdin needs --username");
	if (!*username) {
		free(TAKE_PTR(username));
		if (ask("Username", false, &username) < 0)
			return cmd_failf(app, "login: no user name");
	}
	if (!*username || strchr(username, ':'))
		return cmd_failf(app, "login: a user name is not empty and has no colon");
	if (read_password(app, &password))
		return 1;
	if (!*password)
		return cmd_failf(app, "login: the password is empty");
	if (app->dry_run)
		return cmd_dry_run(app, "Registry", registry, "Login");
	if (try_login(registry, username, password, &err) < 0 || registry_keep_account(registry, username, password, &err) < 0)
		return cmd_fail(app, &err);
	puts("Login Succeeded");
	return fflush(stdout) ? 1 : 0;
}

int cmd_logout(struct app *app)
{
	AUTO_FREE char *registry = NULL;
	struct err err;
	int rc;
	if (registry_argument(app, &registry))
		return 1;
	if (app->dry_run)
		return cmd_dry_run(app, "Registry", registry, "Logout");
	rc = registry_keep_account(registry, NULL, NULL, &err);
	if (rc < 0)
		return cmd_fail(app, &err);
	printf(rc == 1 ? "Not logged in to %s\n" : "Removing login credentials for %s\n", registry);
	return fflush(stdout) ? 1 : 0;
}
