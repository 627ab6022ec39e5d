/* SPDX-License-Identifier: Apache-2.0 */
/* See cmd_request.h. The supervisor carries a request out whether or not anybody listens, so cancelling a command only ends the
 * watching; what waits for a condition is told to stop waiting. */
#include "compose/cmd_request.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/sock.h"
#include "compose/control.h"
#include "compose/networks.h"
#include "compose/plan_request.h"
#include "compose/project.h"
#include "volumes/volume.h"

enum { MAX_TRIES = 20 };

int request_signal_fd(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int request_signal_read(int fd)
{
	struct signalfd_siginfo si;
	return read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si) ? (int)si.ssi_signo : 0;
}

json_t *request_new(const struct app *app, const char *op, const struct strv *services)
{
	json_t *j = json_object();
	(void)app;
	json_put_str(j, "op", op);
	json_object_set_new(j, "services", json_from_strv(services ? services->v : NULL));
	return j;
}

void request_init(struct request *r, struct app *app, const char *project, json_t *json)
{
	char id[33];
	random_hex(id, 32);
	json_put_str(json, "request_id", id);
	if (app->parallel)
		json_put_int(json, "parallel", app->parallel);
	*r = (struct request){ .app = app, .project = project, .json = json, .fd = -1, .passed_fd = -1 };
}

int request_open(struct request *r)
{
	struct err err;
	if (!r->progress)
		r->progress = progress_new(r->silent ? PROGRESS_QUIET : r->app->progress, 2, r->app->colour_err, false);
	if (cmd_paths(r->app, true))
		return 1;
	for (;;) {
		util_close(&r->fd);
		r->fd = control_connect(&r->app->paths, r->project, true, &err);
		if (r->fd < 0)
			return cmd_fail(r->app, &err);
		if (control_send(r->fd, r->json, r->passed_fd >= 0 ? &r->passed_fd : NULL, r->passed_fd >= 0, &err) == 0)
			return 0;
		if (++r->tries > MAX_TRIES) /* it went away before it had the request: ask the next one */
			return cmd_fail(r->app, &err);
	}
}

static bool ignore_orphans(void)
{
	const char *v = getenv("COMPOSE_IGNORE_ORPHANS");
	return v && (strcmp(v, "1") == 0 || strcasecmp(v, "true") == 0);
}

static void show_event(struct request *r, const json_t *event)
{
	static const char *const kinds[] = { "container", "network", "volume", "image" };
	const char *kind = json_get_str(event, "event", ""), *text = json_get_str(event, "text", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			progress_event(r->progress, kind, json_get_str(event, "name", ""), json_get_str(event, "status", ""), text, clock_mono_ns());
	if (strcmp(kind, "warning") == 0 && text && strcasestr(text, "orphan") && ignore_orphans())
		return;
	if (strcmp(kind, "warning") == 0 && text) {
		AUTO_FREE char *line = xasprintf("warning: %s", text);
		progress_note(r->progress, line, clock_mono_ns());
	} else if (strcmp(kind, "queued") == 0) {
		progress_note(r->progress, "waiting for another command on this project to end", clock_mono_ns());
	}
}

static void finish(struct request *r, int exit_code, const char *error)
{
	r->done = true;
	r->exit = exit_code;
	progress_flush(r->progress, clock_mono_ns());
	if (error)
		cmd_failf(r->app, "%s", error);
}

/* The supervisor went away: the anchor starts another, which carries on; ask it for the same request. */
static void reconnect(struct request *r)
{
	if (r->lost && r->lost(r->arg))
		return;
	if (r->once)
		finish(r, 1, "the supervisor went away before the command was started");
	else if (++r->tries > MAX_TRIES)
		finish(r, 1, "the supervisor keeps going away; see muster.log in the project's run directory");
	else if (request_open(r))
		finish(r, 1, NULL);
}

void request_handle(struct request *r)
{
	AUTO_JSON json_t *event = NULL;
	int fds[SOCK_MAX_FDS];
	size_t n_fds = ARRAY_SIZE(fds);
	struct err err;
	int rc = control_recv(r->fd, &event, fds, &n_fds, &err);
	if (rc == 0) {
		reconnect(r);
		return;
	}
	if (rc < 0) {
		finish(r, 1, err.msg);
		return;
	}
	if (json_get_bool(event, "done", false)) {
		const char *error = json_get_str(event, "error", NULL);
		int exit_code = (int)json_get_int(event, "exit", error ? 1 : 0);
		int64_t code = json_get_int(event, "error_code", ERR_NONE);
		if (r->event)
			r->event(r->arg, event, fds, n_fds);
		if (error && exit_code == 1)
			exit_code = code == ERR_NO_COMMAND ? 127 : code == ERR_NOT_EXEC ? 126 : 1;
		finish(r, exit_code, error);
	} else if (!r->event || !r->event(r->arg, event, fds, n_fds)) {
		show_event(r, event);
	}
	for (size_t i = 0; i < n_fds; i++)
		util_close(&fds[i]);
}

void request_close(struct request *r)
{
	r->progress = progress_free(r->progress);
	util_close(&r->fd);
	json_decref(r->json);
	r->json = NULL;
}

/* Ends the waiting of a request that waits for a condition. */
static void request_cancel(struct request *r)
{
	AUTO_JSON json_t *cancel = json_pack("{s:s}", "op", "cancel");
	struct err ignored;
	if (json_get_bool(json_object_get(r->json, "options"), "wait", json_get_bool(r->json, "wait", false)))
		control_send(r->fd, cancel, NULL, 0, &ignored);
}

int request_run(struct request *r)
{
	AUTO_CLOSE int signal_fd = request_signal_fd();
	int rc = request_open(r);
	while (rc == 0 && !r->done) {
		struct pollfd pf[] = { { .fd = r->fd, .events = POLLIN }, { .fd = signal_fd, .events = POLLIN } };
		int timeout = progress_tick(r->progress, clock_mono_ns());
		if (poll(pf, ARRAY_SIZE(pf), timeout) < 0 && errno != EINTR)
			break;
		if (pf[1].revents && request_signal_read(signal_fd)) {
			request_cancel(r);
			progress_flush(r->progress, clock_mono_ns());
			cmd_failf(r->app, "cancelled; what was begun goes on without this command");
			rc = CMD_CANCELLED;
		} else if (pf[0].revents) {
			request_handle(r);
		}
	}
	if (rc == 0)
		rc = r->exit;
	request_close(r);
	return rc;
}

/* What there is of networks and volumes. */
static int existing(const struct app *app, const char *project, const struct desired *d, struct plan_existing *ret, struct err *err)
{
	struct volume *v = NULL;
	size_t n = 0;
	if (app->paths.root_fd >= 0 && volume_list(app->paths.root_fd, &v, &n, NULL) == 0)
		for (size_t i = 0; i < n; i++)
			strv_push(&ret->volumes, v[i].name);
	volume_list_free(v, n);
	return nets_existing(&app->paths, project, d, ret, err);
}

/* The desired state of the request, else the one applied last. 0; 1 when there is none; -1 + err. */
static int request_desired(const struct app *app, const char *project, const json_t *json, struct desired *ret, struct err *err)
{
	AUTO_JSON json_t *last = NULL;
	json_t *given = json_object_get(json, "desired");
	AUTO_CLOSE int fd = paths_project(&app->paths, project, false, NULL);
	int rc;
	if (given) {
		if (desired_parse(given, ret, err) < 0)
			return -1;
		return plan_request_scale(json, ret, err);
	}
	rc = fd < 0 ? 1 : json_read_file(fd, "desired.json", &last, err);
	return rc == 0 ? desired_parse(last, ret, err) : rc;
}

int request_plan(struct app *app, const char *project, const json_t *json, bool as_json)
{
	CLEANUP(plan_existing_done) struct plan_existing there = {0};
	AUTO_STR struct str out = {0};
	struct observed o = {0};
	struct desired d = {0};
	struct plan plan = {0};
	struct err err;
	int rc, has;
	if (cmd_paths(app, false))
		return 1;
	has = request_desired(app, project, json, &d, &err);
	rc = has < 0 || existing(app, project, has == 0 ? &d : NULL, &there, &err) < 0 || observe_project(&app->paths, project, &o, &err) < 0 ? -1 : 0;
	if (rc == 0)
		rc = plan_request(json, has == 0 ? &d : NULL, &o, &there, 0, &plan, &err);
	if (rc < 0) {
		rc = cmd_fail(app, &err);
	} else {
		rc = plan_has_changes(&plan) ? 2 : 0;
		for (size_t i = 0; i < plan.warnings.n; i++)
			cmd_warn(app, "%s", plan.warnings.v[i]);
		if (as_json) {
			AUTO_JSON json_t *j = plan_json(&plan);
			AUTO_FREE char *text = json_dumps(j, JSON_INDENT(2));
			str_addf(&out, "%s\n", text ? text : "{}");
		} else {
			plan_render(&plan, &out);
		}
		rc = cmd_print(app, &out) ? 1 : rc;
		plan_done(&plan);
	}
	if (has == 0)
		desired_done(&d);
	observe_done(&o);
	return rc;
}

bool request_dry_run(struct app *app, const char *project, const json_t *json, int *ret_rc)
{
	if (!app->dry_run)
		return false;
	*ret_rc = request_plan(app, project, json, false) == 1 ? 1 : 0;
	return true;
}
