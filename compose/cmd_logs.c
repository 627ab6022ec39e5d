/* SPDX-License-Identifier: Apache-2.0 */
/* logs, wait. logs reads files and needs no supervisor; with --follow it also listens to the supervisor for new containers and for the
 * end of the last one. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "compose/attach.h"
#include "compose/control.h"

struct follower {
	struct app *app;
	const char *project;
	struct logs_range range;
	struct logs_reader *reader;
	struct attach_printer *printer;
	struct strv ids;        /* added ones; ids.v[i] is the reader's numbers[i] */
	int numbers[4096];
	int control_fd;
};

static bool wanted(const struct app *app, const char *service, unsigned number, bool oneoff)
{
	int64_t index = cli_int(app->args, "index");
	return !oneoff && (app->args->args.n == 0 || strv_has(&app->args->args, service)) && (index <= 0 || number == (unsigned)index);
}

static void add_log(struct follower *f, const char *id, const char *name)
{
	AUTO_CLOSE int project_fd = paths_project(&f->app->paths, f->project, false, NULL);
	AUTO_FREE char *path = xasprintf("c/%.*s/log", SHORT_ID, id), *label = attach_label(f->project, name);
	AUTO_CLOSE int log_fd = project_fd < 0 ? -1 : openat(project_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err;
	int n;
	if (strv_has(&f->ids, id) || log_fd < 0 || f->ids.n == ARRAY_SIZE(f->numbers))
		return;
	n = logs_reader_add(f->reader, log_fd, &f->range, &err);
	if (n < 0) {
		cmd_fail(f->app, &err);
		return;
	}
	f->numbers[f->ids.n] = n;
	strv_push(&f->ids, id);
	attach_printer_add(f->printer, n, label);
}

static void flush_log(struct follower *f, const char *id)
{
	for (size_t i = 0; i < f->ids.n; i++)
		if (strcmp(f->ids.v[i], id) == 0)
			logs_reader_flush(f->reader, f->numbers[i]);
}

/* A log that is not kept looks like one that is empty. */
static void say_none(struct follower *f, const struct record *r)
{
	struct model_logging m;
	if (!strv_has(&f->ids, r->id) && logging_read(r->config, &m) == 0 && m.none)
		fprintf(stderr, "%s: logging driver \"none\": nothing is kept\n", r->name);
}

/* Adds the logs of all wanted containers; returns how many of them run. */
static unsigned look(struct follower *f)
{
	struct observed o = {0};
	unsigned running = 0;
	if (observe_project(&f->app->paths, f->project, &o, NULL) < 0)
		return 0;
	for (size_t i = 0; i < o.n; i++) {
		const struct record *r = o.containers[i];
		bool alive = r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING;
		if (!wanted(f->app, r->service, r->number, r->oneoff))
			continue;
		say_none(f, r);
		add_log(f, r->id, r->name);
		running += alive;
		if (!alive)
			flush_log(f, r->id);
	}
	observe_done(&o);
	return running;
}

/* Shows what is there. Returns 0; 1 when nobody reads; -1 after a message. */
static int show(struct follower *f)
{
	struct err err;
	int rc = logs_reader_read(f->reader, attach_print_line, f->printer, &err);
	if (rc < 0)
		return cmd_fail(f->app, &err), -1;
	return attach_printer_flush(f->printer) && rc == 0 ? 0 : 1;
}

static int open_control(struct follower *f)
{
	struct err err;
	f->control_fd = control_follow(&f->app->paths, f->project, false, NULL, NULL, &err);
	return f->control_fd;
}

static void handle_event(struct follower *f, const json_t *event)
{
	const char *id = json_get_str(event, "id", ""), *action = json_get_str(event, "action", "");
	if (strcmp(json_get_str(event, "event", ""), "state") != 0 ||
	    !wanted(f->app, json_get_str(event, "service", ""), (unsigned)json_get_int(event, "number", 0), json_get_bool(event, "oneoff", false)))
		return;
	if (strcmp(action, "exit") == 0)
		flush_log(f, id);
	else if (strcmp(action, "remove") != 0)
		add_log(f, id, json_get_str(event, "name", ""));
}

static void receive_event(struct follower *f)
{
	AUTO_JSON json_t *event = NULL;
	struct err err;
	if (control_recv(f->control_fd, &event, NULL, NULL, &err) > 0) {
		handle_event(f, event);
		return;
	}
	util_close(&f->control_fd);
	for (int tries = 0; tries < 20 && open_control(f) < 0 && look(f); tries++)
		usleep(100000);
}

/* Until nothing wanted runs any more, `until` is past, nobody reads, or Ctrl+C. */
static int follow(struct follower *f)
{
	AUTO_CLOSE int signal_fd = request_signal_fd();
	unsigned running = 1, quiet = 0;
	int rc = 0;
	open_control(f);
	while (rc == 0 && quiet < 2 && !logs_reader_past_until(f->reader)) {
		struct pollfd pf[] = {
			{ .fd = logs_reader_fd(f->reader), .events = POLLIN },
			{ .fd = f->control_fd, .events = POLLIN },
			{ .fd = signal_fd, .events = POLLIN },
			{ .fd = 1, .events = 0 }, /* POLLERR when the reader of a pipe has gone */
		};
		int n = poll(pf, ARRAY_SIZE(pf), quiet ? ATTACH_QUIET_MS : f->control_fd < 0 ? 1000 : 30000);
		if (n == 0 || pf[1].revents)
			running = 0; /* look again */
		if (pf[2].revents && request_signal_read(signal_fd))
			rc = CMD_CANCELLED;
		if (pf[3].revents & (POLLERR | POLLHUP))
			rc = 1;
		if (pf[1].revents)
			receive_event(f);
		if (running == 0)
			running = look(f);
		if (running || !n || !quiet)
			quiet = running ? 0 : quiet + 1;
		if (rc == 0)
			rc = show(f);
	}
	return rc < 0 ? 1 : rc;
}

static int read_range(struct app *app, struct logs_range *ret)
{
	const struct cli_args *a = app->args;
	const char *tail = cli_str(a, "tail");
	uint64_t n, now = clock_real_ns();
	char quoted[64];
	struct err err;
	*ret = (struct logs_range){ .tail = LOGS_TAIL_ALL };
	if (strcmp(tail, "all") != 0 && !(tail[0] == '-' && parse_u64(tail + 1, 1, INT32_MAX, &n))) {
		if (!parse_u64(tail, 0, INT64_MAX, &n))
			return cmd_failf(app, "logs: --tail \"%s\": expected a number or \"all\"", err_quote(quoted, sizeof(quoted), tail));
		ret->tail = (int64_t)n;
	}
	if (cli_is_set(a, "since") && logs_reader_parse_time(cli_str(a, "since"), now, &ret->since_ns, &err) < 0)
		return err_wrap(&err, "logs: --since"), cmd_fail(app, &err);
	if (cli_is_set(a, "until")) {
		if (logs_reader_parse_time(cli_str(a, "until"), now, &ret->until_ns, &err) < 0)
			return err_wrap(&err, "logs: --until"), cmd_fail(app, &err);
		ret->until_ns += ret->until_ns < UINT64_MAX; /* a line of that very time is shown */
	}
	return 0;
}

int cmd_logs(struct app *app)
{
	const struct cli_args *a = app->args;
	AUTO_FREE struct follower *f = xcalloc(1, sizeof(*f));
	struct observed o = {0};
	unsigned running;
	int rc;
	*f = (struct follower){ .app = app, .control_fd = -1 };
	rc = read_range(app, &f->range);
	if (rc == 0)
		rc = cmd_observe(app, &f->project, &o);
	if (rc == 0)
		rc = cmd_check_services(app, &o, &a->args);
	observe_done(&o);
	if (rc)
		return rc;
	f->reader = logs_reader_new(cli_bool(a, "follow"));
	f->printer = attach_printer_new(app->colour_out && !cli_bool(a, "no-color"), !cli_bool(a, "no-log-prefix"), cli_bool(a, "timestamps"));
	running = look(f);
	rc = show(f);
	if (rc == 0 && running && cli_bool(a, "follow"))
		rc = follow(f);
	attach_printer_free(f->printer);
	logs_reader_free(f->reader);
	strv_done(&f->ids);
	util_close(&f->control_fd);
	return rc < 0 ? 1 : rc;
}

/* The containers of the named services: prints each that has ended by now and was not printed; returns how many still run. */
static unsigned count_running(struct app *app, const char *project, struct strv *printed, int *ret_code, uint64_t *ret_last)
{
	struct observed o = {0};
	unsigned running = 0;
	if (observe_project(&app->paths, project, &o, NULL) < 0)
		return 0;
	for (size_t i = 0; i < o.n; i++) {
		const struct record *r = o.containers[i];
		if (r->oneoff || !strv_has(&app->args->args, r->service))
			continue;
		if (r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING) {
			running++;
			continue;
		}
		if (r->status != STATUS_EXITED || strv_has(printed, r->id))
			continue;
		strv_push(printed, r->id);
		if (r->exit_code < 0)
			printf("container \"%s\" exited with unknown status code\n", r->name);
		else
			printf("container \"%s\" exited with status code %d\n", r->name, r->exit_code);
		if (r->finished_ns >= *ret_last) {
			*ret_last = r->finished_ns;
			*ret_code = record_exit(r->exit_code);
		}
	}
	fflush(stdout);
	observe_done(&o);
	return running;
}

/* Waits for the next event of the project, or a second. Returns 0, or 130 at a signal. */
static int wait_event(struct follower *f, int signal_fd)
{
	struct pollfd pf[] = { { .fd = f->control_fd, .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
	poll(pf, ARRAY_SIZE(pf), f->control_fd < 0 ? 200 : 1000);
	if (pf[1].revents && request_signal_read(signal_fd))
		return CMD_CANCELLED;
	if (pf[0].revents) {
		AUTO_JSON json_t *event = NULL;
		if (control_recv(f->control_fd, &event, NULL, NULL, NULL) <= 0)
			util_close(&f->control_fd);
	}
	if (f->control_fd < 0)
		open_control(f);
	return 0;
}

int cmd_wait(struct app *app)
{
	AUTO_FREE struct follower *f = xcalloc(1, sizeof(*f));
	AUTO_STRV struct strv printed = {0};
	AUTO_CLOSE int signal_fd = request_signal_fd();
	bool down = cli_bool(app->args, "down-project");
	struct observed o = {0};
	uint64_t last = 0;
	unsigned running;
	int rc, code = 0;
	*f = (struct follower){ .app = app, .control_fd = -1 };
	rc = cmd_observe(app, &f->project, &o);
	if (rc == 0)
		rc = cmd_check_services(app, &o, &app->args->args);
	observe_done(&o);
	if (rc)
		return rc;
	open_control(f);
	running = count_running(app, f->project, &printed, &code, &last);
	if (!running && !printed.n)
		rc = cmd_failf(app, "no containers for project \"%s\" and these services", f->project);
	while (rc == 0 && running && !(down && printed.n)) {
		rc = wait_event(f, signal_fd);
		running = count_running(app, f->project, &printed, &code, &last);
	}
	util_close(&f->control_fd);
	if (rc == 0 && down) {
		struct request r;
		request_init(&r, app, f->project, request_new(app, "down", NULL));
		rc = request_run(&r);
	}
	return rc ? rc : code;
}
