/* SPDX-License-Identifier: Apache-2.0 */
/* exec: starts `muster-run exec` from a sealed copy, tells it over a socket what to run where, and moves bytes. Pipes go straight
 * to the command; a terminal or a file of ours never does: with a terminal the command gets a pty of the container's own, and
 * everything else is pumped through pipes. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/sock.h"
#include "compose/anchor.h"
#include "compose/cmd.h"
#include "compose/control.h"
#include "compose/project.h"
#include "compose/service_options.h"
#include "compose/tty.h"
#include "runtime/container.h"
#include "runtime/exec.h"

struct exec {
	struct app *app;
	const char *project;
	pid_t pid;             /* muster-run exec */
	int sock;
	int master;            /* -1 without a terminal */
	bool started, exited;
	int code;
};

/* Our descriptors for the command, and the ends that the pump keeps: -1 where nothing is pumped. */
struct stdio {
	int child[3], ours[3];
};

static bool is_pipe(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static void stdio_done(struct stdio *s)
{
	for (int i = 0; i < 3; i++) {
		if (s->child[i] > 2)
			util_close(&s->child[i]);
		util_close(&s->ours[i]);
	}
}

/* nothing: /dev/null for all (detached, or a terminal inside). */
static int stdio_open(struct stdio *s, bool nothing, bool with_input, struct err *err)
{
	*s = (struct stdio){ { -1, -1, -1 }, { -1, -1, -1 } };
	for (int i = 0; i < 3; i++) {
		int p[2];
		if (nothing || (i == 0 && !with_input)) {
			s->child[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
			if (s->child[i] < 0)
				return err_sys(err, errno, "open /dev/null");
		} else if (is_pipe(i)) {
			s->child[i] = i;
		} else {
			if (pipe2(p, O_CLOEXEC) < 0)
				return err_sys(err, errno, "pipe");
			s->child[i] = p[i ? 1 : 0];
			s->ours[i] = p[i ? 0 : 1];
		}
	}
	return 0;
}

/* In the child: descriptors 0-3 as exec_main() wants them, nothing else, then the sealed binary. */
static _Noreturn void become_exec(const struct stdio *s, int sock, int binary)
{
	char name[] = "muster-run", verb[] = "exec", *argv[] = { name, verb, NULL }, *envp[] = { NULL };
	int moved[5], keep[] = { 0, 1, 2, 3, 4 };
	for (int i = 0; i < 5; i++) {
		moved[i] = fcntl(i < 3 ? s->child[i] : i == 3 ? sock : binary, F_DUPFD, 10);
		if (moved[i] < 0)
			_exit(126);
	}
	for (int i = 0; i < 5; i++)
		if (dup2(moved[i], i) < 0)
			_exit(126);
	proc_close_from(5, keep, ARRAY_SIZE(keep));
	fcntl(4, F_SETFD, FD_CLOEXEC);
	proc_reset_signals();
	fexecve(4, argv, envp);
	_exit(126);
}

static int spawn(struct exec *e, const struct stdio *s, struct err *err)
{
	AUTO_CLOSE int binary = anchor_binary(&e->app->paths, e->project, err);
	AUTO_CLOSE int theirs = -1;
	int pair[2];
	if (binary < 0 || sock_pair(SOCK_STREAM, pair, err) < 0)
		return -1;
	e->sock = pair[0];
	theirs = pair[1];
	e->pid = fork();
	if (e->pid < 0)
		return err_sys(err, errno, "fork");
	if (e->pid == 0)
		become_exec(s, theirs, binary);
	return 0;
}

/* One message of muster-run: 0 go on, 1 the command has ended, -1 + err. */
static int handle_message(void *arg, struct err *err)
{
	struct exec *e = arg;
	AUTO_JSON json_t *j = NULL;
	int fds[1] = { -1 }, status;
	size_t n_fds = 1;
	int rc = control_recv(e->sock, &j, fds, &n_fds, err);
	const char *type;
	if (rc < 0)
		return -1;
	if (rc == 0) {
		e->exited = true;
		if (waitpid(e->pid, &status, 0) == e->pid)
			e->code = proc_exit_code(status);
		e->pid = 0;
		return 1;
	}
	type = json_get_str(j, "type", "");
	if (strcmp(type, "console") == 0 && n_fds == 1)
		e->master = TAKE_FD(fds[0]);
	if (n_fds)
		util_close(&fds[0]);
	e->started = e->started || strcmp(type, "started") == 0;
	if (strcmp(type, "exit") == 0) {
		e->exited = true;
		e->code = (int)json_get_int(j, "code", 1);
		return 1;
	}
	if (strcmp(type, "error") == 0) {
		int64_t code = json_get_int(j, "code", ERR_INVALID);
		e->code = code == ERR_NO_COMMAND ? 127 : code == ERR_NOT_EXEC ? 126 : 1;
		return err_set(err, code > 0 && code < ERR_N_ ? (enum err_code)code : ERR_INVALID, "%s", json_get_str(j, "message", "exec failed"));
	}
	return 0;
}

static void forward(void *arg, int sig)
{
	struct exec *e = arg;
	if (e->pid > 0)
		kill(e->pid, sig == SIGPIPE ? SIGHUP : sig);
}

/* Moves bytes until the command has ended. */
static int pump(struct exec *e, const struct stdio *s, bool tty, struct err *err)
{
	struct tty_pump p = { .in_fd = 0, .out_fd = 1, .out2_fd = 2, .notify_fd = -1, .pid_fd = -1,
			      .control_fd = e->sock, .control = handle_message,
			      .forward = forward, .arg = e };
	bool with_input = tty ? cli_bool(e->app->args, "interactive") : s->ours[0] >= 0;
	int rc;
	if (tty && isatty(0) && with_input && tty_raw(0, err) < 0)
		return -1;
	p.in_fd = with_input ? 0 : -1;
	p.to_fd = !with_input ? -1 : tty ? e->master : s->ours[0];
	p.to_is_master = tty;
	p.from_fd = tty ? e->master : s->ours[1];
	p.from2_fd = tty ? -1 : s->ours[2];
	rc = tty_pump(&p, err);
	tty_restore();
	return rc;
}

/* Sends the specification and follows the command to its end. Returns 0, -1 + err; e->code is the exit code in both cases. */
static int follow(struct exec *e, const json_t *spec, struct stdio *s, bool tty, bool detach, struct err *err)
{
	int rc = 0;
	for (int i = 0; i < 3; i++)
		if (s->child[i] > 2)
			util_close(&s->child[i]);
	e->code = 1;
	if (control_send(e->sock, spec, NULL, 0, err) < 0)
		return -1;
	while (rc == 0 && ((tty && e->master < 0) || (detach && !e->started)))
		rc = handle_message(e, err);
	if (rc < 0)
		return -1;
	if (detach) {
		e->code = e->started ? 0 : e->code;
		return 0;
	}
	if (!e->exited || e->master >= 0)
		rc = pump(e, s, tty, err);
	s->ours[0] = -1; /* the pump has closed it */
	return rc < 0 ? -1 : 0;
}

/* container's environment, then -e. "KEY" takes our value, as docker does. */
static void environment(const struct app *app, const struct record *r, struct strv *ret)
{
	const struct strv *given = cli_list(app->args, "env");
	record_environment(r, ret);
	for (size_t i = 0; i < given->n; i++) {
		const char *e = given->v[i], *eq = strchr(e, '='), *value = eq ? eq + 1 : getenv(e);
		size_t n = eq ? (size_t)(eq - e) : strlen(e);
		for (size_t k = 0; k < ret->n; k++)
			if (strncmp(ret->v[k], e, n) == 0 && ret->v[k][n] == '=') {
				free(ret->v[k]);
				memmove(ret->v + k, ret->v + k + 1, (ret->n - k) * sizeof(*ret->v));
				ret->n--;
				break;
			}
		if (value)
			strv_pushf(ret, "%.*s=%s", (int)n, e, value);
	}
}

static bool wants_tty(const struct cli_args *a)
{
	if (cli_is_set(a, "no-tty"))
		return !cli_bool(a, "no-tty");
	if (cli_is_set(a, "tty"))
		return cli_bool(a, "tty");
	return isatty(0) && isatty(1);
}

static json_t *make_spec(const struct app *app, const struct record *r, bool tty, bool detach)
{
	const struct cli_args *a = app->args;
	AUTO_STRV struct strv env = {0};
	AUTO_FREE char *cgroup = record_cgroup(r, app->paths.rootid), *cache = xasprintf("%s/cache/seccomp", app->paths.root);
	const char *user = cli_str(a, "user"), *cwd = cli_str(a, "workdir"), *hostname = json_get_str(r->config, "hostname", NULL);
	unsigned columns = 0, rows = 0;
	bool named = false;
	if (tty)
		tty_size(isatty(0) ? 0 : 1, &columns, &rows);
	environment(app, r, &env);
	for (size_t i = 0; i < env.n; i++)
		named = named || str_starts(env.v[i], "HOSTNAME=");
	if (!named && hostname)
		strv_pushf(&env, "HOSTNAME=%s", hostname);
	else if (!named)
		strv_pushf(&env, "HOSTNAME=%.*s", SHORT_ID, r->id);
	if (!*user)
		user = json_get_str(r->config, "user", json_get_str(r->image, "user", ""));
	if (!*cwd)
		cwd = json_get_str(r->config, "working_dir", json_get_str(r->image, "working_dir", ""));
	AUTO_ARENA struct arena *arena = arena_new();
	struct service_options options = { .caps = CONTAINER_DEFAULT_CAPS };
	const char *key;
	service_options_read(r->config, arena, &options, &key, NULL);
	struct exec_spec spec = {
		.pid = r->pid,
		.start_ticks = r->pid_ticks,
		.cgroup = cgroup,
		.argv = a->args.v + 1,
		.envp = env.v,
		.user = user,
		.cwd = *cwd ? cwd : "/",
		.tty = tty,
		.detach = detach,
		.tty_rows = (uint16_t)rows,
		.tty_cols = (uint16_t)columns,
		.caps = options.caps,
		.no_new_privs = options.no_new_privs,
		.unconfined = options.unconfined,
		.privileged = cli_bool(a, "privileged"),
		.seccomp_cache = cache,
	};
	return exec_spec_to_json(&spec);
}

int cmd_exec(struct app *app)
{
	const struct cli_args *a = app->args;
	struct exec e = { .app = app, .sock = -1, .master = -1, .code = 1 };
	bool tty = wants_tty(a), detach = cli_bool(a, "detach");
	int64_t index = cli_int(a, "index");
	AUTO_JSON json_t *spec = NULL;
	struct observed o = {0};
	struct stdio s;
	const struct record *r;
	const char *project;
	char quoted[100];
	struct err err;
	int rc = cmd_observe(app, &project, &o);
	if (rc)
		return rc;
	r = observe_find(&o, a->args.v[0], index > 0 ? (unsigned)index : 0);
	if (!r || r->status != STATUS_RUNNING) {
		AUTO_STRV struct strv one = {0};
		strv_push(&one, a->args.v[0]);
		if (cmd_check_services(app, &o, &one) == 0)
			cmd_failf(app, "service \"%s\" is not running%s", err_quote(quoted, sizeof(quoted), a->args.v[0]), index > 0 ? " with this index" : "");
		observe_done(&o);
		return 1;
	}
	if (app->dry_run) {
		fprintf(stderr, " DRY-RUN MODE -  Container %s  Exec\n", r->name);
		observe_done(&o);
		return 0;
	}
	e.project = project;
	spec = make_spec(app, r, tty && !detach, detach);
	observe_done(&o);
	rc = stdio_open(&s, detach || tty, cli_bool(a, "interactive"), &err);
	if (rc == 0)
		rc = spawn(&e, &s, &err);
	if (rc == 0)
		rc = follow(&e, spec, &s, tty && !detach, detach, &err);
	if (rc < 0)
		cmd_fail(app, &err);
	stdio_done(&s);
	util_close(&e.sock);
	util_close(&e.master);
	if (e.pid > 0 && !detach)
		waitpid(e.pid, NULL, 0);
	return e.code;
}
