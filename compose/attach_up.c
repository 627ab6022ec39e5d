/* SPDX-License-Identifier: Apache-2.0 */
/* `up` in the foreground: one loop over the supervisor's answers, its stream of container states, the logs and signals.
 *
 * Truth about a container comes from its state events ("exit" follows its last log byte) and, at start and after a new supervisor, from the
 * records. The command ends when all containers that count have ended, or when it was told to stop them; killing it changes nothing. */
#include "compose/attach.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/proc.h"
#include "compose/control.h"

struct seen {
	char id[65];
	char *service, *label;
	int log;               /* number in the reader, -1: not shown */
	bool running, reported; /* reported: the message about its exit is out */
	int exit_code;
};

struct attach {
	struct app *app;
	const char *project;
	const struct attach_options *opt;
	struct request up, stop;
	int follow_fd, signal_fd;
	struct logs_reader *reader;
	struct attach_printer *printer;
	struct seen *v;
	size_t n, cap;
	uint64_t start_ns;
	uint64_t quiet_ns;     /* monotonic: since when nothing runs; 0 = something does */
	bool announced, stopping, aborted, ended;
	unsigned interrupts;
	int exit;
};

static struct seen *seen_find(struct attach *a, const char *id)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i].id, id) == 0)
			return &a->v[i];
	return NULL;
}

/* Opens the container's log directory and shows its lines from this command's start on. */
static int follow_log(struct attach *a, const char *id)
{
	struct logs_range range = { .tail = LOGS_TAIL_ALL, .since_ns = a->start_ns };
	AUTO_CLOSE int project_fd = paths_project(&a->app->paths, a->project, false, NULL);
	AUTO_FREE char *path = xasprintf("c/%.*s/log", SHORT_ID, id);
	AUTO_CLOSE int log_fd = project_fd < 0 ? -1 : openat(project_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err ignored;
	return log_fd < 0 ? -1 : logs_reader_add(a->reader, log_fd, &range, &ignored);
}

static struct seen *seen_add(struct attach *a, const char *id, const char *service, const char *name)
{
	struct seen *s = seen_find(a, id);
	if (!s) {
		a->v = vec_grow(a->v, a->n, &a->cap, sizeof(*a->v));
		s = &a->v[a->n++];
		*s = (struct seen){ .service = xstrdup(service), .label = attach_label(a->project, name), .log = -1 };
		snprintf(s->id, sizeof(s->id), "%s", id);
	}
	if (s->log < 0 && strv_has(&a->opt->attached, service)) {
		s->log = follow_log(a, id);
		attach_printer_add(a->printer, s->log, s->label);
	}
	return s;
}

/* Shows what is in the logs now. */
static void show_lines(struct attach *a)
{
	struct err err;
	if (!a->announced)
		return;
	if (logs_reader_read(a->reader, attach_print_line, a->printer, &err) < 0)
		cmd_fail(a->app, &err);
	if (!attach_printer_flush(a->printer))
		a->ended = true;
}

static void show_exit(struct attach *a, struct seen *s, int code, bool restarts)
{
	s->reported = !restarts;
	s->exit_code = code;
	if (s->log >= 0)
		logs_reader_flush(a->reader, s->log);
	show_lines(a);
	if (s->log < 0)
		return;
	if (code < 0)
		attach_print_text(a->printer, s->log, "%s exited, with what code is unknown%s", s->label, restarts ? " (restarting)" : "");
	else
		attach_print_text(a->printer, s->log, "%s exited with code %d%s", s->label, code, restarts ? " (restarting)" : "");
	attach_printer_flush(a->printer);
}

/* What there is according to the records: for what happened while nobody told us. */
static void look(struct attach *a)
{
	struct observed o = {0};
	if (observe_project(&a->app->paths, a->project, &o, NULL) < 0)
		return;
	for (size_t i = 0; i < a->n; i++)
		a->v[i].running = false;
	for (size_t i = 0; i < o.n; i++) {
		const struct record *r = o.containers[i];
		struct seen *s;
		if (r->oneoff || !strv_has(&a->opt->services, r->service))
			continue;
		s = seen_add(a, r->id, r->service, r->name);
		s->running = r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING;
		if (s->running)
			s->reported = false;
		else
			s->exit_code = r->exit_code;
		if (!s->running && (r->status == STATUS_CREATED || r->finished_ns < a->start_ns))
			s->reported = true; /* it ended before us */
	}
	observe_done(&o);
}

static void announce(struct attach *a)
{
	AUTO_STR struct str names = {0};
	if (a->announced)
		return;
	a->announced = true;
	look(a);
	progress_flush(a->up.progress, clock_mono_ns());
	progress_free(a->up.progress);
	a->up.progress = progress_new(PROGRESS_QUIET, 2, false, false);
	for (size_t i = 0; i < a->opt->labels.n; i++)
		str_addf(&names, "%s%s", names.len ? ", " : "", a->opt->labels.v[i]);
	if (names.len)
		attach_print_text(a->printer, -1, "Attaching to %s", str_get(&names));
	show_lines(a);
}

/* Events of the `up` request: the first start ends the progress block. */
static bool up_event(void *arg, const json_t *event, int *fds, size_t n_fds)
{
	struct attach *a = arg;
	const char *status = json_get_str(event, "status", "");
	(void)fds;
	(void)n_fds;
	if (strcmp(json_get_str(event, "event", ""), "container") == 0 && (strcmp(status, "Starting") == 0 || strcmp(status, "Waiting") == 0))
		announce(a);
	return false;
}

/* Sends `stop` for all that counts; its progress is shown as plain lines, since log lines go on in between. */
static void begin_stop(struct attach *a)
{
	json_t *json = request_new(a->app, "stop", &a->opt->services);
	if (a->opt->timeout_s >= 0)
		json_put_int(json, "timeout_s", a->opt->timeout_s);
	a->stopping = true;
	request_init(&a->stop, a->app, a->project, json);
	if (a->app->progress == PROGRESS_TTY)
		a->stop.progress = progress_new(PROGRESS_PLAIN, 2, false, false);
	if (request_open(&a->stop)) {
		a->ended = true;
		a->exit = 1;
	}
}

/* The second Ctrl+C: the stopping that is under way need not wait for anybody. The first processes die by our own hand, since a
 * request would queue behind the stop; their pid namespaces go with them and the supervisor sees them end. */
static void kill_now(struct attach *a)
{
	struct observed o = {0};
	if (observe_project(&a->app->paths, a->project, &o, NULL) < 0)
		return;
	for (size_t i = 0; i < o.n; i++) {
		const struct record *r = o.containers[i];
		AUTO_CLOSE int pidfd = -1;
		if (r->oneoff || r->status != STATUS_RUNNING || !strv_has(&a->opt->services, r->service))
			continue;
		pidfd = proc_pidfd_open(r->pid);
		if (pidfd >= 0 && proc_is(r->pid, r->pid_ticks)) /* opened first: now it cannot become another process */
			proc_pidfd_signal(pidfd, SIGKILL);
	}
	observe_done(&o);
}

static void handle_exit(struct attach *a, struct seen *s, int code, bool restarts)
{
	const struct attach_options *opt = a->opt;
	bool job = code == 0 && strv_has(&opt->jobs, s->service);
	bool from = opt->exit_code_from && strcmp(s->service, opt->exit_code_from) == 0;
	show_exit(a, s, code, restarts);
	s->running = restarts;
	if (from && !restarts)
		a->exit = record_exit(code);
	if (restarts || a->stopping || job || !(opt->abort_on_exit || (opt->abort_on_failure && code != 0)))
		return;
	a->aborted = true;
	if (!opt->exit_code_from)
		a->exit = record_exit(code);
	fprintf(stderr, "Aborting on container exit...\n");
	begin_stop(a);
}

static void handle_state(struct attach *a, const json_t *event)
{
	const char *action = json_get_str(event, "action", ""), *id = json_get_str(event, "id", ""), *service = json_get_str(event, "service", "");
	struct seen *s;
	if (strcmp(json_get_str(event, "event", ""), "state") != 0 || json_get_bool(event, "oneoff", false) || !strv_has(&a->opt->services, service))
		return;
	s = seen_add(a, id, service, json_get_str(event, "name", ""));
	if (strcmp(action, "start") == 0 || strcmp(action, "restart") == 0) {
		s->running = true;
		s->reported = false;
	} else if (strcmp(action, "exit") == 0) {
		handle_exit(a, s, (int)json_get_int(event, "exit_code", -1), json_get_bool(event, "will_restart", false));
	} else if (strcmp(action, "stop") == 0 || strcmp(action, "remove") == 0) {
		s->running = false;
	}
}

/* (Re)connects the stream of states; start: bring a supervisor up. 0, or -1 + err. */
static int open_follow(struct attach *a, bool start, struct err *err)
{
	util_close(&a->follow_fd);
	for (int tries = 0; a->follow_fd < 0; tries++) {
		a->follow_fd = control_follow(&a->app->paths, a->project, start, NULL, NULL, err);
		if (a->follow_fd == -1)
			return -1;
		if (a->follow_fd == -2 && tries == 20) { /* no anchor has brought one up within two seconds: the project is down */
			a->follow_fd = -1;
			return err_set(err, ERR_NOT_FOUND, "the project's supervisor is gone");
		}
		if (a->follow_fd == -2)
			usleep(100000);
	}
	return 0;
}

static void handle_follow(struct attach *a)
{
	AUTO_JSON json_t *event = NULL;
	struct err err;
	if (control_recv(a->follow_fd, &event, NULL, NULL, &err) > 0) {
		handle_state(a, event);
		return;
	}
	if (open_follow(a, false, &err) < 0)
		util_close(&a->follow_fd);
	look(a);
}

static void handle_signal(struct attach *a)
{
	if (!request_signal_read(a->signal_fd))
		return;
	switch (a->interrupts++) {
	case 0:
		announce(a);
		fprintf(stderr, "%sGracefully Stopping... (press Ctrl+C again to force)\n", isatty(2) ? "\r" : "");
		if (!a->stopping)
			begin_stop(a);
		break;
	case 1:
		fprintf(stderr, "%sKilling...\n", isatty(2) ? "\r" : "");
		kill_now(a);
		break;
	default:
		a->ended = true;
	}
}

/* True when something that counts runs, or has ended without its message being out. */
static bool alive(const struct attach *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].running)
			return true;
	return false;
}

static bool unreported(const struct attach *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (!a->v[i].reported && a->v[i].log >= 0)
			return true;
	return false;
}

/* Waits a little for exit messages that are under way, then takes the codes from the records. */
static void report_rest(struct attach *a)
{
	for (int tries = 0; tries < 20 && unreported(a) && a->follow_fd >= 0; tries++) {
		struct pollfd pf = { .fd = a->follow_fd, .events = POLLIN };
		if (poll(&pf, 1, 50) > 0)
			handle_follow(a);
	}
	show_lines(a);
	for (size_t i = 0; i < a->n; i++)
		if (!a->v[i].reported && !a->v[i].running)
			show_exit(a, &a->v[i], a->v[i].exit_code, false);
}

/* After `up` is done: true when the command is over. */
static bool is_over(struct attach *a)
{
	if (a->ended)
		return true;
	if (a->stopping)
		return a->stop.done;
	if (!a->up.done)
		return false;
	if (!alive(a))
		look(a); /* the last event may be older than the latest start */
	if (alive(a))
		a->quiet_ns = 0;
	else if (!a->quiet_ns)
		a->quiet_ns = clock_mono_ns();
	return a->quiet_ns && clock_mono_ns() - a->quiet_ns >= ATTACH_QUIET_MS * 1000000ull;
}

static void step(struct attach *a)
{
	struct pollfd pf[] = {
		{ .fd = a->signal_fd, .events = POLLIN },
		{ .fd = a->up.done ? -1 : a->up.fd, .events = POLLIN },
		{ .fd = a->follow_fd, .events = POLLIN },
		{ .fd = a->announced ? logs_reader_fd(a->reader) : -1, .events = POLLIN },
		{ .fd = a->stopping && !a->stop.done ? a->stop.fd : -1, .events = POLLIN },
	};
	int timeout = a->up.done ? -1 : progress_tick(a->up.progress, clock_mono_ns());
	if (timeout < 0 && a->quiet_ns)
		timeout = ATTACH_QUIET_MS;
	if (poll(pf, ARRAY_SIZE(pf), a->follow_fd < 0 && timeout < 0 ? 500 : timeout) < 0)
		return;
	if (pf[0].revents)
		handle_signal(a);
	if (pf[1].revents) {
		request_handle(&a->up);
		if (a->up.done && a->up.exit && !a->stopping) {
			a->ended = true;
			a->exit = a->up.exit;
		} else if (a->up.done && !a->up.exit) {
			announce(a);
			look(a);
		}
	}
	if (pf[3].revents)
		show_lines(a);
	if (pf[2].revents)
		handle_follow(a);
	if (pf[4].revents)
		request_handle(&a->stop);
}

static void attach_done(struct attach *a)
{
	request_close(&a->up);
	if (a->stopping)
		request_close(&a->stop);
	attach_printer_free(a->printer);
	logs_reader_free(a->reader);
	util_close(&a->follow_fd);
	util_close(&a->signal_fd);
	for (size_t i = 0; i < a->n; i++) {
		free(a->v[i].service);
		free(a->v[i].label);
	}
	free(a->v);
}

int attach_up(struct app *app, const char *project, json_t *json, const struct attach_options *opt)
{
	struct attach a = { .app = app, .project = project, .opt = opt, .follow_fd = -1, .start_ns = clock_real_ns() };
	struct err err;
	int rc = 0;
	a.signal_fd = request_signal_fd();
	a.reader = logs_reader_new(true);
	a.printer = attach_printer_new(opt->colour, opt->prefix, opt->timestamps);
	attach_printer_split(a.printer);
	for (size_t i = 0; i < opt->labels.n; i++)
		attach_printer_expect(a.printer, opt->labels.v[i]);
	request_init(&a.up, app, project, json);
	a.up.event = up_event;
	a.up.arg = &a;
	if (cmd_paths(app, true))
		rc = 1;
	else if (open_follow(&a, true, &err) < 0)
		rc = cmd_fail(app, &err);
	else
		rc = request_open(&a.up);
	while (rc == 0 && !is_over(&a))
		step(&a);
	if (rc == 0) {
		if (!a.ended || a.up.exit)
			report_rest(&a);
		rc = a.interrupts ? CMD_CANCELLED : a.stopping && a.stop.exit && !a.exit ? a.stop.exit : a.exit;
	}
	attach_done(&a);
	return rc;
}
