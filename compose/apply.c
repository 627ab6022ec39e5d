/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying a plan out: each action has a counter of those that it waits for; at 0 it starts, at its end the counters behind it fall. After
 * the first failure nothing new is started; what is under way is waited for, and the operation ends with that first error. */
#include "compose/supervisor.h"

#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/proc.h"
#include "compose/plan_request.h"
#include "volumes/volume.h"

enum { MAX_TIMEOUT_S = 10 * 365 * 86400 };
enum { SETTLE_MS = 250 }; /* how long a container without a health check has to run to count as started for --wait */

static void pump(struct op *op);

/* ---- words for progress ---- */

static void say(struct op *op, const struct action *a, const char *id, const char *status, const char *text)
{
	const char *object = a->kind == ACTION_NETWORK_CREATE || a->kind == ACTION_NETWORK_REMOVE ? "network" :
			     a->kind == ACTION_VOLUME_CREATE || a->kind == ACTION_VOLUME_REMOVE   ? "volume" : "container";
	server_progress(op, object, a->name, id, status, text);
}

struct words {
	const char *begin, *end;
};

static struct words words_of(const struct action *a)
{
	switch (a->kind) {
	case ACTION_NETWORK_CREATE:
	case ACTION_VOLUME_CREATE:
		return (struct words){ "Creating", "Created" };
	case ACTION_NETWORK_REMOVE:
	case ACTION_VOLUME_REMOVE:
		return (struct words){ "Removing", "Removed" };
	case ACTION_CREATE:
		return a->recreate ? (struct words){ "Recreate", NULL } : (struct words){ "Creating", "Created" };
	case ACTION_START:
		return (struct words){ a->restart ? NULL : "Starting", "Started" };
	case ACTION_STOP:
		return a->recreate ? (struct words){ NULL, NULL } : a->restart ? (struct words){ "Restarting", NULL } : (struct words){ "Stopping", "Stopped" };
	case ACTION_REMOVE:
		return a->recreate ? (struct words){ NULL, "Recreated" } : (struct words){ "Removing", "Removed" };
	case ACTION_KILL:
		return (struct words){ "Killing", "Killed" };
	case ACTION_UPDATE:
		return (struct words){ "Updating", "Updated" };
	case ACTION_KEEP:
		return (struct words){ NULL, "Running" };
	default:
		return (struct words){ NULL, NULL };
	}
}

/* ---- the actions ---- */

static struct unit *unit_of(struct op *op, const struct action *a)
{
	return a->create ? op->made[a->create - 1] : a->id ? supervisor_find(op->sv, a->id) : NULL;
}

static int do_volume_create(struct op *op, const struct action *a, struct err *err)
{
	const struct desired_volume *v = desired_volume(&op->desired, a->key);
	AUTO_JSON json_t *labels = v && v->labels ? json_deep_copy(v->labels) : json_object();
	json_put_str(labels, "com.docker.compose.project", op->sv->project);
	json_put_str(labels, "com.docker.compose.volume", a->key);
	json_put_str(labels, "com.docker.compose.version", MUSTER_VERSION);
	return volume_create(ANCHOR_FD_ROOT, a->name, labels, NULL, err) < 0 ? -1 : 0;
}

/* A volume of that name that another project has made is not ours to remove. */
static int do_volume_remove(struct op *op, const struct action *a, struct err *err)
{
	struct volume v;
	const char *owner;
	int rc = volume_lookup(ANCHOR_FD_ROOT, a->name, &v, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	owner = json_get_str(v.labels, "com.docker.compose.project", "");
	if (*owner && strcmp(owner, op->sv->project) != 0) {
		AUTO_FREE char *text = xasprintf("Volume %s: belongs to project %s, not removed", a->name, owner);
		server_warn(op, text);
	} else {
		rc = volume_remove(ANCHOR_FD_ROOT, a->name, err);
	}
	volume_done(&v);
	return rc < 0 ? -1 : 0;
}

/* Limits and wishes that reach a running container without a restart. */
static int do_update(struct op *op, const struct action *a, struct err *err)
{
	struct unit *u = supervisor_find(op->sv, a->id);
	const struct model_service *m = &a->desired->model;
	struct cgroup_limits limits = { .memory_bytes = m->memory_bytes, .cpus = m->cpus, .pids = m->pids };
	if (!u)
		return 0;
	if (u->cgroup && cgroup_set_limits(u->cgroup, &limits, err) < 0)
		return -1;
	json_decref(u->rec->config);
	u->rec->config = json_incref((json_t *)(uintptr_t)a->desired->config);
	free(u->rec->hash);
	u->rec->hash = xstrdup(a->desired->hash);
	unit_put_labels(u->rec, &op->desired, a->desired);
	return unit_save(u, true, err);
}

static int do_create(struct op *op, size_t i, struct err *err)
{
	const struct action *a = &op->plan.actions[i];
	const bool oneoff = op->oneoff && a->desired == op->oneoff;
	op->made[i] = oneoff && op_run_wanted(op, err) < 0 ? NULL : unit_create(op, a, err);
	if (!op->made[i])
		return -1;
	if (oneoff)
		op_run_created(op, op->made[i]);
	server_state(op->made[i], "create", false);
	return 0;
}

/* 1: its end comes as an event. The record says before that it is started: after a boot that finds no more than this, it has run. */
static int do_start(struct op *op, size_t i, struct err *err)
{
	struct unit *u = unit_of(op, &op->plan.actions[i]);
	struct record *r = u ? u->rec : NULL;
	if (!u)
		return err_set(err, ERR_NOT_FOUND, "the container is gone");
	if (u->phase == UNIT_RUNNING)
		return 0;
	if (u->run_op == op && op_run_wanted(op, err) < 0)
		return -1;
	if (u->phase == UNIT_BACKOFF) {
		loop_timer_cancel(&u->timer);
		u->phase = UNIT_IDLE;
	}
	r->want = WANT_RUNNING;
	r->generation = op->generation;
	r->restarts = 0;
	u->backoff_ms = 0;
	if (u->phase == UNIT_IDLE) {
		r->status = r->finished_ns ? STATUS_EXITED : STATUS_CREATED;
		r->started_ns = clock_real_ns();
	}
	if (unit_save(u, false, err) < 0 || failpoint_err("start.wanted", err) < 0)
		return -1;
	u->op = op;
	u->action = i;
	u->then = u->phase == UNIT_ENDING ? UNIT_THEN_START : UNIT_THEN_NOTHING;
	return u->phase == UNIT_IDLE && unit_start(u, err) < 0 ? -1 : 1;
}

/* Does the plan remove the container that action i stops? */
static bool removes_later(const struct op *op, size_t i)
{
	for (size_t k = 0; k < op->plan.n; k++)
		if (op->plan.actions[k].kind == ACTION_REMOVE && str_eq(op->plan.actions[k].id, op->plan.actions[i].id))
			return true;
	return false;
}

static int do_stop(struct op *op, size_t i, struct err *err)
{
	struct unit *u = unit_of(op, &op->plan.actions[i]);
	int rc;
	if (!u)
		return 0;
	if (removes_later(op, i))
		u->rec->want = WANT_REMOVED; /* its exit need not be on disk before it goes */
	u->op = op;
	u->action = i;
	u->then = UNIT_THEN_NOTHING;
	u->keep_ports = op->plan.actions[i].restart;
	rc = unit_stop(u, op->timeout_ms, err);
	if (rc == 0)
		return 1;
	u->op = NULL;
	return rc < 0 ? -1 : 0;
}

/* Sends a signal by wish: after one that ends processes the restart policy does not bring the container back. */
static int kill_unit(struct unit *u, int sig, struct err *err)
{
	if (sig == SIGKILL || sig == SIGTERM || sig == SIGINT || sig == SIGQUIT) {
		if (u->rec->want != WANT_REMOVED)
			u->rec->want = WANT_STOPPED;
		u->stopping = true;
		if (unit_save(u, false, err) < 0)
			return -1;
	}
	unit_kill(u, sig);
	return 0;
}

int apply_kill_now(struct supervisor *sv, const json_t *request, struct err *err)
{
	AUTO_STRV struct strv services = {0};
	int sig = (int)json_get_int(request, "signal", SIGKILL);
	if (sig < 1 || sig > 64)
		return err_set(err, ERR_INVALID, "signal %d does not exist", sig);
	json_get_strv(request, "services", &services);
	for (size_t i = 0; i < sv->n_units; i++) {
		struct unit *u = sv->units[i];
		if (u->phase != UNIT_RUNNING || u->rec->oneoff || (services.n && !strv_has(&services, u->rec->service)))
			continue;
		if (kill_unit(u, sig, err) < 0)
			return err_wrap(err, "%s", u->rec->name);
	}
	return 0;
}

static int do_kill(struct op *op, size_t i, struct err *err)
{
	struct unit *u = unit_of(op, &op->plan.actions[i]);
	if (!u || u->phase != UNIT_RUNNING)
		return 0;
	if (kill_unit(u, op->signal, err) < 0)
		return -1;
	if (op->signal != SIGKILL)
		return 0;
	u->op = op;
	u->action = i;
	return 1;
}

static int do_remove(struct op *op, size_t i, struct err *err)
{
	struct unit *u = unit_of(op, &op->plan.actions[i]);
	bool renewed = op->plan.actions[i].recreate && json_get_bool(json_object_get(op->request, "options"), "renew_anon_volumes", false);
	bool volumes = renewed || json_get_bool(op->request, "volumes", false);
	if (!u || u->phase != UNIT_ENDING)
		return u ? unit_remove(u, volumes, err) : 0;
	u->op = op;
	u->action = i;
	u->then = volumes ? UNIT_THEN_REMOVE_ALL : UNIT_THEN_REMOVE;
	return 1;
}

/* Looks whether the condition holds: 0 it does, 1 not yet, -1 + err it never will. */
static int check_wait(struct op *op, const struct action *a, struct err *err)
{
	bool any = false;
	for (size_t i = 0; i < op->sv->n_units; i++) {
		const struct unit *u = op->sv->units[i];
		const struct record *r = u->rec;
		if (r->oneoff || strcmp(r->service, a->service) != 0)
			continue;
		any = true;
		if (u->phase != UNIT_IDLE)
			return 1;
		if (r->status == STATUS_CREATED)
			return err_set(err, ERR_INVALID, "service \"%s\" was never started", a->service);
		if (r->exit_code != 0)
			return r->exit_code < 0 ? err_set(err, ERR_INVALID, "service \"%s\": its exit status is unknown", a->service) :
						  err_set(err, ERR_INVALID, "service \"%s\" didn't complete successfully: exit %d", a->service,
							  r->exit_code);
	}
	return any ? 0 : err_set(err, ERR_NOT_FOUND, "service \"%s\" has no container", a->service);
}

static void say_waiting(struct op *op, const char *service, const char *status)
{
	for (size_t i = 0; i < op->sv->n_units; i++)
		if (!op->sv->units[i]->rec->oneoff && strcmp(op->sv->units[i]->rec->service, service) == 0)
			server_progress(op, "container", op->sv->units[i]->rec->name, op->sv->units[i]->rec->id, status, NULL);
}

/* 1: not decided yet. */
static int do_wait(struct op *op, size_t i, struct err *err)
{
	const struct action *a = &op->plan.actions[i];
	int rc = check_wait(op, a, err);
	if (rc == 1 && !op->cancelled)
		return 1;
	if (rc == 1) {
		*err = op->cancel_err;
		rc = -1;
	}
	say_waiting(op, a->service, rc == 0 ? "Exited" : "Error");
	if (rc < 0 && a->optional) {
		server_warn(op, err->msg);
		return 0;
	}
	return rc;
}

void apply_unit_exited(struct unit *u)
{
	struct op *op = u->sv->current;
	if (!op || !op->state)
		return;
	for (size_t i = 0; i < op->plan.n; i++) {
		struct err err = {0};
		int rc;
		if (op->plan.actions[i].kind != ACTION_WAIT || op->state[i] != OP_BUSY)
			continue;
		rc = do_wait(op, i, &err);
		if (rc == 1)
			continue;
		apply_action_done(op, i, rc < 0 ? &err : NULL);
		return; /* the operation may be gone; every further exit looks again */
	}
}

/* Starts one action. 0 done, 1 under way, -1 + err. */
static int start_action(struct op *op, size_t i, struct err *err)
{
	const struct action *a = &op->plan.actions[i];
	struct words w = words_of(a);
	if (w.begin)
		say(op, a, a->id, w.begin, NULL);
	if (failpoint_err("op.action", err) < 0)
		return -1;
	switch (a->kind) {
	case ACTION_NETWORK_CREATE:
		return nets_create(op->sv, desired_network(&op->desired, a->key), err);
	case ACTION_NETWORK_REMOVE:
		worker_empty_trash(op->sv);
		nets_remove_start(op, i, a->name);
		return 1;
	case ACTION_VOLUME_CREATE:
		return do_volume_create(op, a, err);
	case ACTION_VOLUME_REMOVE:
		return do_volume_remove(op, a, err);
	case ACTION_CREATE:
		return do_create(op, i, err);
	case ACTION_START:
		return do_start(op, i, err);
	case ACTION_WAIT:
		say_waiting(op, a->service, "Waiting");
		return do_wait(op, i, err);
	case ACTION_STOP:
		return do_stop(op, i, err);
	case ACTION_KILL:
		return do_kill(op, i, err);
	case ACTION_REMOVE:
		return do_remove(op, i, err);
	case ACTION_UPDATE:
		return do_update(op, a, err);
	default:
		return 0;
	}
}

/* ---- the engine ---- */

static void fail(struct op *op, const struct action *a, const struct err *failure)
{
	char text[sizeof(failure->msg)];
	snprintf(text, sizeof(text), "%s", failure->msg);
	if (a && a->kind != ACTION_WAIT)
		say(op, a, a->id, "Error", text);
	if (op->failed)
		return;
	op->failed = true;
	op->err = *failure;
	if (a && a->kind != ACTION_WAIT)
		err_wrap(&op->err, "%s", a->name);
	if (failure->code == ERR_NO_COMMAND)
		op->exit = 127;
	else if (failure->code == ERR_NOT_EXEC)
		op->exit = 126;
}

/* Marks it and lets what waits for it come nearer. */
static void settle(struct op *op, size_t i, const struct err *failure)
{
	struct action *a = &op->plan.actions[i];
	struct words w = words_of(a);
	op->n_left--;
	failpoint("op.action.done");
	op->state[i] = failure ? OP_FAILED : OP_DONE;
	if (failure) {
		fail(op, a, failure);
		return;
	}
	if (w.end) {
		struct unit *u = a->kind == ACTION_CREATE ? op->made[i] : unit_of(op, a);
		say(op, a, u ? u->rec->id : a->id, w.end, NULL);
	}
	for (size_t k = 0; k < op->plan.n; k++)
		for (size_t j = 0; j < op->plan.actions[k].n_after; j++)
			if (op->plan.actions[k].after[j] == i)
				op->pending[k]--;
}

void apply_action_done(struct op *op, size_t action, const struct err *failure)
{
	op->n_busy--;
	settle(op, action, failure);
	pump(op);
}

static void wait_timeout(struct loop_timer *t)
{
	struct op *op = CONTAINER_OF(t, struct op, timer);
	apply_cancel(op, "timeout: not everything was ready in time");
}

static void settle_again(struct loop_timer *t);

/* up --wait: 0 when every container of the plan has been running for a moment (or was a job that succeeded), 1 not decided yet, -1 + err. */
static int check_settled(struct op *op, struct err *err)
{
	uint64_t now = clock_mono_ns();
	int rc = 0;
	for (size_t i = 0; i < op->plan.n; i++) {
		const struct action *a = &op->plan.actions[i];
		const struct unit *u = a->kind == ACTION_START || a->kind == ACTION_KEEP ? unit_of(op, a) : NULL;
		if (!u)
			continue;
		if (u->phase == UNIT_IDLE && u->rec->exit_code != 0)
			return err_set(err, ERR_INVALID, "container %s exited (%d)", u->rec->name, u->rec->exit_code);
		if (u->phase == UNIT_RUNNING ? now - u->exec_mono_ns < (uint64_t)SETTLE_MS * 1000000 : u->phase != UNIT_IDLE)
			rc = 1;
	}
	return rc;
}

/* True when the operation may end; otherwise it is looked at again. */
static bool settled(struct op *op)
{
	struct err err = {0};
	int rc;
	if (op->failed || !json_get_bool(json_object_get(op->request, "options"), "wait", false))
		return true;
	rc = check_settled(op, &err);
	if (rc < 0)
		fail(op, NULL, &err);
	if (rc == 1)
		loop_timer_set(&op->sv->loop, &op->settle_timer, SETTLE_MS / 5, settle_again);
	return rc != 1;
}

/* Ends the operation, once the files of what it removed are gone too. */
static void finish(struct op *op)
{
	if (!settled(op))
		return;
	worker_empty_trash(op->sv);
	if (op->sv->trash_added != op->sv->trash_done)
		return;
	server_done(op);
}

static void settle_again(struct loop_timer *t)
{
	finish(CONTAINER_OF(t, struct op, settle_timer));
}

void apply_trash_emptied(struct supervisor *sv)
{
	struct op *op = sv->current;
	if (op && op->state && !op->n_busy && (op->failed || !op->n_left) && !op->in_pump)
		finish(op);
}

/* Does it have to wait for others that start or stop? */
static bool is_held_back(const struct op *op, size_t action)
{
	unsigned n = 0;
	if (!op->parallel || (op->plan.actions[action].kind != ACTION_START && op->plan.actions[action].kind != ACTION_STOP))
		return false;
	for (size_t i = 0; i < op->plan.n; i++)
		n += op->state[i] == OP_BUSY && (op->plan.actions[i].kind == ACTION_START || op->plan.actions[i].kind == ACTION_STOP);
	return n >= op->parallel;
}

/* Starts everything that can start; ends the operation when nothing is left. */
static void pump(struct op *op)
{
	bool again = true;
	if (op->in_pump)
		return;
	op->in_pump = true;
	while (again && !op->failed) {
		size_t n_left = op->n_left;
		for (size_t i = 0; i < op->plan.n && !op->failed; i++) {
			struct err err = {0};
			int rc;
			if (op->state[i] != OP_TODO || op->pending[i] || is_held_back(op, i))
				continue;
			op->state[i] = OP_BUSY;
			op->n_busy++;
			rc = start_action(op, i, &err);
			if (rc == 1)
				continue;
			op->n_busy--;
			settle(op, i, rc < 0 ? &err : NULL);
		}
		again = op->n_left != n_left; /* also what was done inside of start_action() */
	}
	op->in_pump = false;
	if (op->n_busy || (!op->failed && op->n_left))
		return;
	finish(op);
}

void apply_cancel(struct op *op, const char *why)
{
	struct err err = {0};
	err_set(&err, ERR_TIMEOUT, "%s", why);
	op->cancelled = true;
	op->cancel_err = err;
	if (!op->state)
		return;
	for (size_t i = 0; i < op->plan.n; i++) {
		if (op->plan.actions[i].kind != ACTION_WAIT || op->state[i] != OP_BUSY)
			continue;
		op->n_busy--;
		settle(op, i, &err);
	}
	if (!op->n_left && !op->failed && op->settle_timer.loop)
		fail(op, NULL, &err);
	if (!op->n_busy && op->failed)
		pump(op);
}

/* ---- from request to plan ---- */

static void existing_volumes(struct strv *ret)
{
	struct volume *all = NULL;
	size_t n = 0;
	if (volume_list(ANCHOR_FD_ROOT, &all, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		strv_push(ret, all[i].name);
	volume_list_free(all, n);
}

/* The new desired state becomes the project's, durably, before anything is done for it. */
int apply_take_desired(struct op *op, struct err *err)
{
	json_t *json = json_object_get(op->request, "desired");
	if (!json_is_object(json))
		return err_set(err, ERR_INVALID, "the request has no desired state");
	if (desired_parse(json, &op->desired, err) < 0)
		return -1;
	op->has_desired = true;
	if (!str_eq(op->desired.project, op->sv->project))
		return err_set(err, ERR_INVALID, "the desired state is of project %s", op->desired.project);
	return plan_request_scale(op->request, &op->desired, err);
}

int apply_keep_desired(struct op *op, struct err *err)
{
	struct supervisor *sv = op->sv;
	if (sv->desired.json && json_equal(sv->desired.json, op->desired.json))
		return 0;
	if (json_write_file(sv->project_fd, "desired.json", op->desired.json, true, err) < 0)
		return -1;
	desired_done(&sv->desired);
	return desired_parse(op->desired.json, &sv->desired, err);
}

int apply_existing(struct supervisor *sv, const struct desired *d, struct plan_existing *ret, struct err *err)
{
	for (size_t i = 0; i < sv->n_nets; i++)
		if (!sv->nets[i]->owner) {
			strv_push(&ret->networks, sv->nets[i]->name);
			if (shared_busy(&sv->paths, sv->nets[i]->bridge.name, sv->project))
				strv_push(&ret->busy, sv->nets[i]->name);
		}
	existing_volumes(&ret->volumes);
	return nets_shared(&sv->paths, sv->project, d, ret, err);
}

static int make_plan(struct op *op, struct err *err)
{
	CLEANUP(plan_existing_done) struct plan_existing existing = {0};
	struct supervisor *sv = op->sv;
	const struct desired *d = op->has_desired ? &op->desired : sv->desired.arena ? &sv->desired : NULL;
	struct observed o;
	int rc;
	if (apply_existing(sv, d, &existing, err) < 0)
		return -1;
	supervisor_observed(sv, &o);
	rc = plan_request(op->request, d, &o, &existing, op->generation, &op->plan, err);
	free(o.containers);
	return rc < 0 || !op->has_desired ? rc : nets_join_all(sv, &existing.shared, d, err);
}

int apply_plan(struct op *op)
{
	size_t n = op->plan.n;
	for (size_t i = 0; i < op->plan.warnings.n; i++)
		server_warn(op, op->plan.warnings.v[i]);
	op->state = xcalloc(n, sizeof(*op->state));
	op->pending = xcalloc(n, sizeof(*op->pending));
	op->made = xcalloc(n, sizeof(*op->made));
	op->n_left = n;
	for (size_t i = 0; i < n; i++)
		op->pending[i] = op->plan.actions[i].n_after;
	pump(op);
	return 0;
}

int apply_begin(struct op *op, struct err *err)
{
	const json_t *options = json_object_get(op->request, "options");
	int64_t wait_s = json_get_int(options, "wait_timeout_s", 0), timeout_s = json_get_int(options, "timeout_s", json_get_int(op->request, "timeout_s", -1));
	op->timeout_ms = timeout_s < 0 ? -1 : MIN(timeout_s, (int64_t)MAX_TIMEOUT_S) * 1000;
	op->parallel = (unsigned)MAX(json_get_int(op->request, "parallel", 0), (int64_t)0);
	op->signal = (int)json_get_int(op->request, "signal", SIGKILL);
	if (op->signal < 1 || op->signal > 64)
		return err_set(err, ERR_INVALID, "signal %d does not exist", op->signal);
	if (str_eq(op->kind, "run"))
		return op_run_begin(op, err);
	if (str_eq(op->kind, "up") && apply_take_desired(op, err) < 0)
		return -1;
	if (make_plan(op, err) < 0 || failpoint_err("op.planned", err) < 0)
		return -1;
	if (str_eq(op->kind, "up") && apply_keep_desired(op, err) < 0)
		return -1;
	failpoint("op.desired");
	if (wait_s > 0)
		loop_timer_set(&op->sv->loop, &op->timer, (uint64_t)MIN(wait_s, (int64_t)MAX_TIMEOUT_S) * 1000, wait_timeout);
	return apply_plan(op);
}
