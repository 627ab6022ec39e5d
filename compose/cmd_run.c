/* SPDX-License-Identifier: Apache-2.0 */
/* run: a one-off container. The supervisor starts it and sends descriptors back: the pty's master, or the two log files, from
 * which its output is copied byte for byte while it grows. Standard input goes straight to the container when it is a pipe; a terminal or
 * a file is pumped. When the supervisor goes away meanwhile the container goes on, and so does this command. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "compose/cmd_request.h"
#include "compose/control.h"
#include "compose/project.h"
#include "compose/service_options.h"
#include "compose/tty.h"
#include "spec/dotenv.h"
#include "spec/shellwords.h"
#include "spec/short_port.h"
#include "spec/short_volume.h"

struct run {
	struct app *app;
	const char *project, *service;
	struct request request;
	struct tty_pump pump;
	bool tty, detach, input;
	bool attached, following;
	char id[65];
	char *name;
	int stdin_read, stdin_write; /* the pipe, or fd 0 itself and -1 */
	int fds[2];                  /* master, or the two log files */
};

/* -e and --env-from-file: "K=V"; a bare KEY takes our value or nothing. */
static int put_env(struct app *app, json_t *run)
{
	const struct strv *files = cli_list(app->args, "env-from-file"), *given = cli_list(app->args, "env");
	AUTO_STRV struct strv all = {0};
	for (size_t i = 0; i < files->n; i++) {
		AUTO_STR struct str text = {0}, out = {0};
		struct dotenv_vars vars = {0};
		struct env env;
		struct diags ds;
		struct err err;
		int rc = fs_read(AT_FDCWD, files->v[i], DOTENV_MAX_BYTES, &text, &err);
		if (rc)
			return rc < 0 ? cmd_fail(app, &err) : cmd_failf(app, "open %s: No such file or directory", files->v[i]);
		diags_init(&ds, app->arena);
		env_init(&env, app->arena);
		rc = dotenv_parse(source_new(app->arena, files->v[i], str_get(&text), text.len), &vars, &env, &ds);
		if (rc < 0) {
			diags_render(&ds, NULL, app->colour_err, &out);
			fputs(str_get(&out), stderr);
			return 1;
		}
		env_list(&env, &all);
		env_done(&env);
	}
	for (size_t i = 0; i < given->n; i++) {
		const char *value = getenv(given->v[i]);
		if (strchr(given->v[i], '='))
			strv_push(&all, given->v[i]);
		else if (value)
			strv_pushf(&all, "%s=%s", given->v[i], value);
	}
	json_object_set_new(run, "env", json_from_strv(all.v));
	return 0;
}

static int put_labels(struct app *app, json_t *run)
{
	const struct strv *given = cli_list(app->args, "label");
	json_t *labels = json_object();
	for (size_t i = 0; i < given->n; i++) {
		const char *eq = strchr(given->v[i], '=');
		AUTO_FREE char *key = xstrndup(given->v[i], eq ? (size_t)(eq - given->v[i]) : strlen(given->v[i]));
		json_put_str(labels, key, eq ? eq + 1 : "");
	}
	json_object_set_new(run, "labels", labels);
	return 0;
}

static int put_ports(struct app *app, json_t *run)
{
	const struct strv *given = cli_list(app->args, "publish");
	json_t *list = json_array();
	json_object_set_new(run, "publish", list);
	for (size_t i = 0; i < given->n; i++) {
		struct short_port *v;
		struct err err;
		size_t n;
		if (short_port_parse(given->v[i], app->arena, &v, &n, &err) < 0)
			return err_wrap(&err, "run: --publish"), cmd_fail(app, &err);
		for (size_t k = 0; k < n; k++) {
			json_t *p = json_pack("{s:s, s:i, s:s}", "mode", "ingress", "target", v[k].target, "protocol", v[k].protocol);
			if (strcmp(v[k].protocol, "tcp") != 0 && strcmp(v[k].protocol, "udp") != 0)
				return json_decref(p), cmd_failf(app, "run: --publish: protocol %s: not supported yet", v[k].protocol);
			json_put_str(p, "published", *v[k].published ? v[k].published : NULL);
			json_put_str(p, "host_ip", *v[k].host_ip ? v[k].host_ip : NULL);
			json_array_append_new(list, p);
		}
	}
	return 0;
}

/* A host path as given: "~" and relative ones made absolute. */
static char *host_path(const char *source)
{
	AUTO_FREE char *cwd = getcwd(NULL, 0);
	const char *home = getenv("HOME");
	if (source[0] == '~' && (source[1] == '/' || !source[1]))
		return xasprintf("%s%s", home ? home : "", source + 1);
	return source[0] == '/' ? xstrdup(source) : xasprintf("%s/%s", cwd ? cwd : "", source);
}

static int put_volumes(struct app *app, const struct project *p, json_t *run)
{
	const struct strv *given = cli_list(app->args, "volume");
	json_t *list = json_array();
	json_object_set_new(run, "volumes", list);
	for (size_t i = 0; i < given->n; i++) {
		struct short_volume v;
		const char *why = "";
		AUTO_FREE char *path = NULL;
		char quoted[128];
		json_t *m;
		err_quote(quoted, sizeof(quoted), given->v[i]);
		if (!short_volume_parse(given->v[i], app->arena, &v, &why))
			return cmd_failf(app, "run: --volume \"%s\": %s", quoted, why);
		if (v.unknown)
			return cmd_failf(app, "run: --volume \"%s\": unknown option \"%s\"", quoted, v.unknown);
		if (v.bind_options)
			return cmd_failf(app, "run: --volume \"%s\": propagation and selinux options: not supported yet", quoted);
		if (v.target[0] != '/')
			return cmd_failf(app, "run: --volume \"%s\": the path in the container must be absolute", quoted);
		if (!v.bind && v.source && !json_object_get(json_object_get(p->load.config, "volumes"), v.source)) {
			cmd_failf(app, "run: --volume \"%s\": no service of this project uses a volume \"%s\"", quoted, v.source);
			cmd_hint(app, "a host path begins with / or ./");
			return 1;
		}
		path = v.bind ? host_path(v.source) : NULL;
		m = json_object();
		json_put_str(m, "type", v.bind ? "bind" : "volume");
		json_put_str(m, "source", v.bind ? path : v.source);
		json_put_str(m, "target", v.target);
		if (v.read_only)
			json_object_set_new(m, "read_only", json_true());
		json_object_set_new(m, v.bind ? "bind" : "volume",
				    v.bind ? json_pack("{s:b}", "create_host_path", 1) : v.nocopy ? json_pack("{s:b}", "nocopy", 1) : json_object());
		json_array_append_new(list, m);
	}
	return 0;
}

static int put_capabilities(struct app *app, json_t *run)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct service_options ignored;
	const char *key;
	struct err err;
	json_object_set_new(run, "cap_add", json_from_strv(cli_list(app->args, "cap-add")->v));
	json_object_set_new(run, "cap_drop", json_from_strv(cli_list(app->args, "cap-drop")->v));
	if (service_options_read(run, a, &ignored, &key, &err) == 0)
		return 0;
	return cmd_failf(app, "run: --%s: %s", str_starts(key, "cap_add") ? "cap-add" : "cap-drop", err.msg);
}

/* What is asked for, or one of our own making: known here whatever happens to who starts it. */
static char *container_name(const struct run *r)
{
	const char *given = cli_str(r->app->args, "name"), sep = r->app->separator;
	char slug[13];
	random_hex(slug, 12);
	return *given ? xstrdup(given) : xasprintf("%s%c%s%crun%c%s", r->project, sep, r->service, sep, sep, slug);
}

/* The member "run" of the request; 0, or 1 after a message. */
static int run_options(struct app *app, struct run *r, const struct project *p, json_t *run)
{
	const struct cli_args *a = app->args;
	const char *user = cli_str(a, "user"), *dir = cli_str(a, "workdir");
	AUTO_STRV struct strv words = {0};
	if (put_capabilities(app, run)) /* first: nothing else is in it yet */
		return 1;
	json_object_set_new(run, "command", a->args.n > 1 ? json_from_strv(a->args.v + 1) : json_null());
	if (cli_is_set(a, "entrypoint") && !shellwords_split(cli_str(a, "entrypoint"), &words, NULL))
		return cmd_failf(app, "run: --entrypoint: quotes do not match");
	json_object_set_new(run, "entrypoint", cli_is_set(a, "entrypoint") ? json_from_strv(words.v) : json_null());
	json_put_str(run, "user", *user ? user : NULL);
	json_put_str(run, "working_dir", *dir ? dir : NULL);
	r->name = container_name(r);
	json_put_str(run, "name", r->name);
	json_object_set_new(run, "tty", json_boolean(r->tty));
	json_object_set_new(run, "stdin", json_boolean(r->input));
	json_object_set_new(run, "detach", json_boolean(r->detach));
	json_object_set_new(run, "rm", json_boolean(cli_bool(a, "rm")));
	json_object_set_new(run, "service_ports", json_boolean(cli_bool(a, "service-ports")));
	json_object_set_new(run, "use_aliases", json_boolean(cli_bool(a, "use-aliases")));
	json_object_set_new(run, "no_deps", json_boolean(cli_bool(a, "no-deps")));
	if (put_env(app, run) || put_labels(app, run) || put_ports(app, run))
		return 1;
	return put_volumes(app, p, run);
}

/* The container has ended; -1: nobody saw how. */
static void has_ended(struct run *r, int exit_code)
{
	r->request.done = true;
	r->request.exit = record_exit(exit_code);
	if (exit_code < 0)
		cmd_failf(r->app, "container %s: the exit status is unknown", r->name);
}

/* The container of this command has its own messages; the others' progress is shown until it runs. */
static bool run_event(void *arg, const json_t *event, int *fds, size_t n_fds)
{
	struct run *r = arg;
	const char *kind = json_get_str(event, "event", ""), *name = json_get_str(event, "name", "");
	if (r->detach && json_get_bool(event, "done", false))
		snprintf(r->id, sizeof(r->id), "%s", json_get_str(event, "id", ""));
	if (strcmp(kind, "attach") == 0) {
		snprintf(r->id, sizeof(r->id), "%s", json_get_str(event, "id", ""));
		for (size_t i = 0; i < n_fds && i < ARRAY_SIZE(r->fds); i++)
			r->fds[i] = TAKE_FD(fds[i]);
		r->attached = true;
		progress_flush(r->request.progress, clock_mono_ns());
		return true;
	}
	if (strcmp(kind, "state") == 0 && r->following && str_eq(json_get_str(event, "id", ""), r->id)) {
		const char *action = json_get_str(event, "action", "");
		if (strcmp(action, "exit") == 0)
			has_ended(r, (int)json_get_int(event, "exit_code", -1));
		if (strcmp(action, "remove") == 0) { /* without having run */
			r->request.done = true;
			r->request.exit = cmd_failf(r->app, "the supervisor went away before the command was started");
		}
	}
	return strcmp(kind, "container") == 0 && strcmp(r->name, name) == 0; /* an error comes again with "done" */
}

/* What the records say of our container, after the supervisor went away. exit_code: as of control_follow(). */
static void ended_meanwhile(struct run *r, int exit_code)
{
	struct observed o = {0};
	bool found = false;
	if (observe_project(&r->app->paths, r->project, &o, NULL) < 0)
		return;
	for (size_t i = 0; i < o.n; i++) {
		const struct record *c = o.containers[i];
		if (strcmp(c->id, r->id) != 0)
			continue;
		found = true;
		if (c->status == STATUS_EXITED)
			has_ended(r, c->exit_code);
	}
	if (!found)
		has_ended(r, exit_code);
	observe_done(&o);
}

static bool run_lost(void *arg)
{
	struct run *r = arg;
	struct err err;
	int exit_code = -2;
	if (!r->attached)
		return false;
	r->following = true;
	util_close(&r->request.fd);
	r->request.fd = control_follow(&r->app->paths, r->project, true, r->id, &exit_code, &err);
	if (r->request.fd < 0)
		return false;
	r->pump.control_fd = r->request.fd;
	ended_meanwhile(r, exit_code);
	return true;
}

static int run_control(void *arg, struct err *err)
{
	struct run *r = arg;
	(void)err;
	request_handle(&r->request);
	return r->request.done;
}

static void run_forward(void *arg, int sig)
{
	struct run *r = arg;
	AUTO_JSON json_t *j = json_pack("{s:s, s:s, s:i}", "op", "signal", "id", r->id, "signal", sig == SIGPIPE ? SIGKILL : sig);
	struct err ignored;
	control_send(r->request.fd, j, NULL, 0, &ignored);
}

/* inotify on the two log files; -1 + err. */
static int watch_files(const int fds[2], struct err *err)
{
	AUTO_CLOSE int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "inotify_init1");
	for (int i = 0; i < 2; i++) {
		char path[32];
		if (inotify_add_watch(fd, fs_fd_path(fds[i], path), IN_MODIFY) < 0)
			return err_sys(err, errno, "watch the container's output");
	}
	return TAKE_FD(fd);
}

/* After "attach": moves bytes until the container has ended. */
static int run_pump(struct run *r)
{
	AUTO_CLOSE int notify_fd = -1;
	struct err err;
	int rc = 0;
	r->pump = (struct tty_pump){
		.in_fd = r->tty ? (r->input ? 0 : -1) : r->stdin_write >= 0 ? 0 : -1,
		.to_fd = r->tty ? (r->input ? r->fds[0] : -1) : r->stdin_write,
		.to_is_master = r->tty,
		.from_fd = r->fds[0],
		.out_fd = 1,
		.from2_fd = r->tty ? -1 : r->fds[1],
		.out2_fd = 2,
		.notify_fd = -1,
		.pid_fd = -1,
		.control_fd = r->request.fd,
		.control = run_control,
		.forward = run_forward,
		.arg = r,
	};
	if (!r->tty) {
		notify_fd = watch_files(r->fds, &err);
		rc = notify_fd < 0 ? -1 : 0;
		r->pump.notify_fd = notify_fd;
	} else if (r->input && isatty(0)) {
		rc = tty_raw(0, &err);
	}
	if (rc == 0)
		rc = tty_pump(&r->pump, &err);
	tty_restore();
	r->stdin_write = -1; /* the pump has closed it */
	return rc < 0 ? cmd_fail(r->app, &err) : r->request.exit;
}

static int run_request(struct run *r)
{
	AUTO_CLOSE int signal_fd = request_signal_fd();
	int rc = request_open(&r->request);
	util_close(&r->stdin_read);
	while (rc == 0 && !r->request.done && !r->attached) {
		struct pollfd pf[] = { { .fd = r->request.fd, .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
		if (poll(pf, ARRAY_SIZE(pf), progress_tick(r->request.progress, clock_mono_ns())) < 0 && errno != EINTR)
			return 1;
		if (pf[1].revents && request_signal_read(signal_fd)) {
			progress_flush(r->request.progress, clock_mono_ns());
			return CMD_CANCELLED;
		}
		if (pf[0].revents)
			request_handle(&r->request);
	}
	if (rc)
		return rc;
	if (r->attached && !r->detach)
		return run_pump(r);
	if (r->detach && r->request.exit == 0)
		printf("%s\n", r->id);
	return r->request.exit;
}

/* Our side of standard input: a pipe of ours is handed over as it is, anything else is pumped through a new one. */
static int open_input(struct run *r, struct err *err)
{
	struct stat st;
	int p[2];
	r->stdin_read = r->stdin_write = -1;
	if (!r->input || r->tty)
		return 0;
	if (fstat(0, &st) == 0 && S_ISFIFO(st.st_mode)) {
		r->stdin_read = fcntl(0, F_DUPFD_CLOEXEC, 3);
		return r->stdin_read < 0 ? err_sys(err, errno, "duplicate standard input") : 0;
	}
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	r->stdin_read = p[0];
	r->stdin_write = p[1];
	return 0;
}

/* --remove-orphans: containers of services that the file does not have. */
static int remove_orphans(struct app *app, const struct project *p)
{
	AUTO_STRV struct strv known = {0}, ids = {0};
	struct observed o = {0};
	struct request r;
	struct err err;
	json_t *json;
	if (observe_project(&app->paths, p->load.name, &o, &err) < 0)
		return cmd_fail(app, &err);
	project_services(p, &known);
	for (size_t i = 0; i < o.n; i++) {
		const char *service = o.containers[i]->service;
		if (!o.containers[i]->oneoff && !strv_has(&known, service) && !strv_has(&p->load.disabled, service))
			strv_push(&ids, o.containers[i]->id);
	}
	observe_done(&o);
	if (!ids.n)
		return 0;
	json = request_new(app, "rm", NULL);
	json_object_set_new(json, "containers", json_from_strv(ids.v));
	json_object_set_new(json, "stop", json_true());
	request_init(&r, app, p->load.name, json);
	return request_run(&r);
}

static bool wants_tty(const struct cli_args *a)
{
	if (cli_is_set(a, "no-tty") || cli_is_set(a, "no-TTY"))
		return !(cli_bool(a, "no-tty") || cli_bool(a, "no-TTY"));
	if (cli_is_set(a, "tty"))
		return cli_bool(a, "tty");
	return isatty(0) && isatty(1) && !cli_bool(a, "detach");
}

static int run_loaded(struct app *app, struct run *r, struct project *p)
{
	json_t *json = request_new(app, "run", NULL), *run = json_object(), *desired = NULL;
	unsigned flags = PROJECT_PULL | (cli_bool(app->args, "no-deps") ? PROJECT_NO_DEPS : 0);
	struct err err;
	int rc;
	r->project = p->load.name;
	json_put_str(json, "service", r->service);
	json_object_set_new(json, "run", run);
	rc = run_options(app, r, p, run);
	if (rc == 0)
		rc = project_desired(app, p, flags, &desired);
	if (desired)
		json_object_set_new(json, "desired", desired);
	if (rc == 0 && app->dry_run) {
		fprintf(stderr, " DRY-RUN MODE -  Container %s%c%s%crun  Creating\n", r->project, app->separator, r->service, app->separator);
		json_decref(json);
		return 0;
	}
	if (rc == 0 && cli_bool(app->args, "remove-orphans"))
		rc = remove_orphans(app, p);
	if (rc == 0 && open_input(r, &err) < 0)
		rc = cmd_fail(app, &err);
	if (rc) {
		json_decref(json);
		return rc;
	}
	request_init(&r->request, app, r->project, json);
	r->request.passed_fd = r->stdin_read;
	r->request.once = !r->detach;
	r->request.silent = cli_bool(app->args, "quiet");
	r->request.event = run_event;
	r->request.lost = run_lost;
	r->request.arg = r;
	rc = run_request(r);
	request_close(&r->request);
	return rc;
}

int cmd_run(struct app *app)
{
	const struct cli_args *a = app->args;
	struct run r = { .app = app, .service = a->args.v[0], .stdin_read = -1, .stdin_write = -1, .fds = { -1, -1 } };
	AUTO_STRV struct strv one = {0};
	struct project p;
	int rc;
	strv_push(&one, r.service);
	r.tty = wants_tty(a);
	r.detach = cli_bool(a, "detach");
	r.input = cli_bool(a, "interactive") && !r.detach;
	if (cmd_paths(app, false) || project_load(app, &one, cli_bool(a, "no-deps") ? PROJECT_NO_DEPS : 0, &p))
		return 1;
	rc = run_loaded(app, &r, &p);
	project_done(&p);
	free(r.name);
	util_close(&r.stdin_read);
	util_close(&r.stdin_write);
	util_close(&r.fds[0]);
	util_close(&r.fds[1]);
	return rc;
}
