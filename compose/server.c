/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's server: clients, frames, the queue of operations, events.
 *
 * One operation is carried out at a time, in the order of arrival. Before it begins, its request is written to <run>/<project>/op.json, which
 * its result replaces when it is done: a supervisor that comes after a crash carries it on (generation tells what was already started). A client that
 * goes away changes nothing; a client that comes back with the same request_id joins or gets the kept result. Output to clients is queued
 * here and never blocks the loop; a client that does not read 64 MiB is dropped. */
#include "compose/supervisor.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/sock.h"
#include "compose/control.h"
#include "runtime/console.h"

enum { MAX_RESULTS = 32, ACCEPT_PAUSE_MS = 100, RENEW_MS = 20, FLUSH_NS = 10000000 };

static void client_close(struct client *c)
{
	struct supervisor *sv = c->sv;
	struct op *current = sv->current && sv->current->client == c ? sv->current : NULL;
	for (struct client **at = &sv->clients; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	for (struct op *op = sv->queue; op; op = op->next)
		if (op->client == c)
			op->client = NULL;
	if (current)
		current->client = NULL;
	if (c->attached) {
		struct unit *u = c->attached;
		u->attached = NULL;
		if (u->console_fd >= 0 && u->phase == UNIT_RUNNING)
			unit_tell_logs(u); /* nobody reads the terminal any more: its output goes on into the log */
	}
	loop_remove(&c->source);
	loop_timer_cancel(&c->flush);
	util_close(&c->fd);
	for (size_t i = 0; i < c->n_fds; i++)
		close(c->fds[i]);
	for (size_t i = 0; i < c->n_out_fds; i++)
		close(c->out_fds[i]);
	str_done(&c->in);
	str_done(&c->out);
	free(c);
	if (current && op_run_waits(current)) /* it may end with that */
		apply_cancel(current, "its client went away");
	supervisor_maybe_finish(sv);
}

/* The one byte that the descriptors go with: 1, or -1 + errno. */
static ssize_t client_write_fds(struct client *c, size_t at)
{
	struct err err = {0};
	int rc = sock_send(c->fd, c->out.p + at, 1, c->out_fds, c->n_out_fds, &err);
	if (rc != 0) {
		errno = rc > 0 ? EAGAIN : err.sys;
		return -1;
	}
	while (c->n_out_fds)
		close(c->out_fds[--c->n_out_fds]);
	return 1;
}

/* Writes what is queued; false when the client is gone. */
static bool client_write(struct client *c)
{
	size_t at = 0;
	while (at < c->out.len) {
		size_t end = c->n_out_fds && c->out_fds_at > at ? c->out_fds_at : c->out.len;
		ssize_t n = c->n_out_fds && c->out_fds_at == at ? client_write_fds(c, at) : send(c->fd, c->out.p + at, end - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			break;
		at += (size_t)n;
	}
	memmove(c->out.p, c->out.p + at, c->out.len - at + (c->out.p ? 1 : 0));
	c->out.len -= at;
	c->out_fds_at -= MIN(at, c->out_fds_at);
	if (c->source.loop)
		loop_change(&c->source, EPOLLIN | (c->out.len ? EPOLLOUT : 0), NULL);
	return true;
}

static void client_flush(struct client *c)
{
	loop_timer_cancel(&c->flush);
	c->flushed_ns = clock_mono_ns();
	if (!client_write(c) || c->out.len > SOCK_MAX_FRAME)
		shutdown(c->fd, SHUT_RDWR); /* the loop closes it */
}

static void flush_due(struct loop_timer *t)
{
	client_flush(CONTAINER_OF(t, struct client, flush));
}

/* Events of one turn of the loop go out together, so that the client is not woken for each; a long turn is told of every 10 ms. */
void server_send(struct client *c, const json_t *event, const int *fds, size_t n_fds)
{
	AUTO_FREE char *text = NULL;
	size_t n;
	if (!c || c->fd < 0)
		return;
	text = json_dumps(event, JSON_COMPACT);
	if (!text)
		util_oom();
	n = strlen(text);
	if (n_fds && !c->n_out_fds) { /* they travel with their frame's first byte */
		c->out_fds_at = c->out.len;
		for (; c->n_out_fds < MIN(n_fds, ARRAY_SIZE(c->out_fds)); c->n_out_fds++) {
			int copy = fcntl(fds[c->n_out_fds], F_DUPFD_CLOEXEC, 3);
			if (copy < 0)
				break;
			c->out_fds[c->n_out_fds] = copy;
		}
	}
	str_addc(&c->out, (char)n);
	str_addc(&c->out, (char)(n >> 8));
	str_addc(&c->out, (char)(n >> 16));
	str_addc(&c->out, (char)(n >> 24));
	str_addn(&c->out, text, n);
	failpoint("server.send");
	if (n_fds || clock_mono_ns() - c->flushed_ns > FLUSH_NS)
		client_flush(c);
	else if (!c->flush.loop)
		loop_timer_set(&c->sv->loop, &c->flush, 0, flush_due);
}

static void send_new(struct client *c, json_t *event)
{
	server_send(c, event, NULL, 0);
	json_decref(event);
}

void server_progress(struct op *op, const char *object, const char *name, const char *id, const char *status, const char *text)
{
	json_t *j;
	if (!op || !op->client)
		return;
	j = json_pack("{s:s,s:s,s:s}", "event", object, "name", name, "status", status);
	json_put_str(j, "id", id);
	json_put_str(j, "text", text);
	send_new(op->client, j);
}

void server_warn(struct op *op, const char *text)
{
	if (op->client)
		send_new(op->client, json_pack("{s:s,s:s}", "event", "warning", "text", text));
}

void server_notice(struct supervisor *sv, const char *text)
{
	for (struct client *c = sv->clients; c; c = c->next)
		if (c->follows)
			send_new(c, json_pack("{s:s,s:s}", "event", "warning", "text", text));
}

void server_state(struct unit *u, const char *action, bool will_restart)
{
	const struct record *r = u->rec;
	AUTO_JSON json_t *j = NULL;
	for (struct client *c = u->sv->clients; c; c = c->next) {
		if (!c->follows)
			continue;
		if (!j)
			j = json_pack("{s:s,s:s,s:s,s:s,s:s,s:i,s:b,s:i,s:b,s:b,s:I}", "event", "state", "action", action, "id", r->id, "name", r->name,
				      "service", r->service, "number", (int)r->number, "oneoff", r->oneoff, "exit_code", r->exit_code, "oom", r->oom,
				      "will_restart", will_restart, "time_ns", (json_int_t)clock_real_ns());
		server_send(c, j, NULL, 0);
	}
}

static json_t *done_event(int exit_code, const struct err *err)
{
	json_t *j = json_pack("{s:b,s:i}", "done", 1, "exit", exit_code);
	if (err && err->msg[0]) {
		json_put_str(j, "error", err->msg);
		json_put_int(j, "error_code", err->code);
	}
	return j;
}

static void op_free(struct op *op)
{
	loop_timer_cancel(&op->timer);
	loop_timer_cancel(&op->queue_timer);
	loop_timer_cancel(&op->settle_timer);
	plan_done(&op->plan);
	if (op->has_desired)
		desired_done(&op->desired);
	json_decref(op->request);
	free(op->kind);
	free(op->request_id);
	free(op->state);
	free(op->pending);
	free(op->made);
	util_close(&op->stdin_fd);
	free(op);
}

static void keep_result(struct supervisor *sv, const char *request_id, json_t *done)
{
	struct map_entry *e;
	if (!request_id)
		return;
	while (sv->results.n >= MAX_RESULTS && (e = map_next(&sv->results, NULL))) {
		json_decref(e->value);
		map_del(&sv->results, e->key);
	}
	map_put(&sv->results, request_id, json_incref(done));
}

void server_keep_exit(const struct unit *u)
{
	AUTO_JSON json_t *code = json_integer(u->rec->exit_code);
	keep_result(u->sv, u->rec->id, code);
}

/* In place of the request: from now on it is not carried on, and whoever asks again gets this. */
static void save_result(struct supervisor *sv, const struct op *op, json_t *done)
{
	AUTO_JSON json_t *j = op->request_id ? json_pack("{s:s,s:O}", "request_id", op->request_id, "result", done) : NULL;
	struct err err = {0};
	if (!j || json_write_file(sv->run_fd, "op.json", j, false, &err) < 0)
		unlinkat(sv->run_fd, "op.json", 0);
}

static void start_next(struct supervisor *sv);

void server_done(struct op *op)
{
	struct supervisor *sv = op->sv;
	json_t *done = done_event(op->failed ? MAX(op->exit, 1) : op->exit, op->failed ? &op->err : NULL);
	if (op->run_id[0])
		json_put_str(done, "id", op->run_id);
	failpoint("op.done");
	save_result(sv, op, done);
	failpoint("op.ended");
	keep_result(sv, op->request_id, done);
	if (op->client) {
		server_send(op->client, done, NULL, 0);
		client_flush(op->client);
	}
	failpoint("op.answered");
	json_decref(done);
	op_run_ended(op);
	for (size_t i = 0; i < sv->n_units; i++) /* the start that these were kept for did not come */
		if (sv->units[i]->phase == UNIT_IDLE && sv->units[i]->ports_held)
			unit_release(sv->units[i], false);
	sv->current = NULL;
	op_free(op);
	start_next(sv);
	supervisor_maybe_finish(sv);
}

void server_attached_done(struct client *c, int exit_code, const char *error)
{
	struct err err = {0};
	if (error)
		err_set(&err, ERR_INVALID, "%s", error);
	send_new(c, done_event(exit_code, &err));
}

bool server_idle(const struct supervisor *sv)
{
	if (sv->current || sv->queue)
		return false;
	for (const struct client *c = sv->clients; c; c = c->next)
		if (!c->follows)
			return false;
	return true;
}

void server_flush(struct supervisor *sv)
{
	for (struct client *c = sv->clients; c; c = c->next)
		for (int tries = 0; c->out.len && client_write(c) && tries < 1000; tries++)
			usleep(1000);
}

/* What a supervisor goes on with that comes after a crash. Not with a `run` whose client waits for the command: that is told that it was not started. */
static bool carried_on(const struct op *op)
{
	return !str_eq(op->kind, "kill") && !op_run_waits(op);
}

/* Begins the operation at the head of the queue, when none is under way. */
static void start_next(struct supervisor *sv)
{
	while (!sv->current && sv->queue && !sv->n_awaiting) {
		struct op *op = sv->queue;
		struct err err = {0};
		sv->queue = op->next;
		op->next = NULL;
		loop_timer_cancel(&op->queue_timer);
		sv->current = op;
		if (!op->generation)
			op->generation = ++sv->generation;
		json_put_int(op->request, "generation", (int64_t)op->generation);
		if (carried_on(op) && json_write_file(sv->run_fd, "op.json", op->request, false, &err) < 0)
			log_warn("op.json: %s", err.msg);
		failpoint("op.saved");
		op->started = true;
		if (apply_begin(op, &err) < 0) { /* on success it may be gone already */
			op->failed = true;
			op->err = err;
			server_done(op);
			return;
		}
	}
}

void server_wake(struct supervisor *sv)
{
	start_next(sv);
}

static void queued_too_long(struct loop_timer *t)
{
	struct op *op = CONTAINER_OF(t, struct op, queue_timer);
	if (op->client)
		send_new(op->client, json_pack("{s:s}", "event", "queued"));
}

/* A stop, kill or down does not wait behind an `up` that itself only waits for a condition. */
static bool overtakes(const char *kind)
{
	return str_eq(kind, "down") || str_eq(kind, "stop") || str_eq(kind, "kill") || str_eq(kind, "rm");
}

static void enqueue(struct supervisor *sv, struct client *c, json_t *request)
{
	struct op *op = xcalloc(1, sizeof(*op)), **at = &sv->queue;
	const char *request_id = json_get_str(request, "request_id", NULL);
	op->sv = sv;
	op->client = c;
	op->request = json_incref(request);
	op->kind = xstrdup(json_get_str(request, "op", ""));
	op->request_id = request_id ? xstrdup(request_id) : NULL;
	op->generation = (uint64_t)json_get_int(request, "generation", 0);
	op->stdin_fd = -1;
	if (c && c->n_fds && str_eq(op->kind, "run")) {
		op->stdin_fd = c->fds[0];
		for (size_t i = 1; i < c->n_fds; i++)
			close(c->fds[i]);
		c->n_fds = 0;
	}
	while (*at)
		at = &(*at)->next;
	*at = op;
	loop_timer_set(&sv->loop, &op->queue_timer, 1000, queued_too_long);
	if (sv->current && overtakes(op->kind))
		apply_cancel(sv->current, "interrupted by another command");
	start_next(sv);
}

/* The same request once more, after a crash: join it, or its result. */
static bool rejoin(struct supervisor *sv, struct client *c, const char *request_id)
{
	json_t *done = request_id ? map_get(&sv->results, request_id) : NULL;
	if (done) {
		server_send(c, done, NULL, 0);
		return true;
	}
	if (request_id && sv->current && str_eq(sv->current->request_id, request_id)) {
		sv->current->client = c;
		return true;
	}
	for (struct op *op = sv->queue; request_id && op; op = op->next)
		if (str_eq(op->request_id, request_id)) {
			op->client = c;
			return true;
		}
	return false;
}

static void do_resize(struct supervisor *sv, struct client *c, const json_t *request)
{
	struct unit *u = c->attached;
	(void)sv;
	if (u && u->console_fd >= 0)
		console_resize(u->console_fd, (uint16_t)json_get_int(request, "rows", 0), (uint16_t)json_get_int(request, "cols", 0), NULL);
}

static void do_signal(struct supervisor *sv, struct client *c, const json_t *request)
{
	struct unit *u = supervisor_find(sv, json_get_str(request, "id", ""));
	int sig = (int)json_get_int(request, "signal", 0);
	(void)c;
	if (u && u->rec->oneoff && u->phase == UNIT_RUNNING && sig > 0 && sig < 65)
		unit_kill(u, sig);
}

static void do_follow(struct supervisor *sv, struct client *c, const json_t *request)
{
	const char *id = json_get_str(request, "id", NULL);
	c->follows = true;
	send_new(c, json_pack("{s:s,s:O*}", "event", "following", "exit_code", id ? map_get(&sv->results, id) : NULL));
}

/* Only what this client has asked for. */
static void do_cancel(struct supervisor *sv, struct client *c, const json_t *request)
{
	(void)request;
	if (sv->current && sv->current->client == c)
		apply_cancel(sv->current, "cancelled");
	for (struct op *op = sv->queue; op; op = op->next)
		if (op->client == c)
			apply_cancel(op, "cancelled");
}

/* A kill does not queue behind the stop whose grace period it is to cut short. */
static void kill_beside(struct supervisor *sv, struct client *c, const json_t *request)
{
	struct err err = {0};
	int rc = apply_kill_now(sv, request, &err);
	send_new(c, done_event(rc < 0, rc < 0 ? &err : NULL));
}

/* Between two operations the anchor ends us and starts the other build's supervisor; whoever waits for an answer asks that one. */
static void renew_due(struct loop_timer *t)
{
	struct supervisor *sv = CONTAINER_OF(t, struct supervisor, renew_timer);
	struct anchor_packet p = { .op = ANCHOR_RENEW };
	struct err err = {0};
	if (sv->current || sv->queue || sv->n_workers) {
		loop_timer_set(&sv->loop, t, RENEW_MS, renew_due);
		return;
	}
	server_flush(sv);
	failpoint("sv.renew");
	memcpy(p.origin, sv->renew_origin, sizeof(p.origin));
	if (sock_send(sv->store_fd, &p, sizeof(p), &sv->renew_fd, 1, &err) != 0)
		log_warn("another build: %s", err.msg);
	close(sv->renew_fd);
	sv->renew_fd = 0;
}

static void do_renew(struct supervisor *sv, struct client *c, const json_t *request)
{
	if (!c->n_fds || sv->renew_fd)
		return; /* somebody else's is under way */
	sv->renew_fd = c->fds[--c->n_fds];
	snprintf(sv->renew_origin, sizeof(sv->renew_origin), "%s", json_get_str(request, "origin", "-"));
	loop_timer_set(&sv->loop, &sv->renew_timer, 0, renew_due);
}

static const struct {
	const char *op;
	void (*fn)(struct supervisor *sv, struct client *c, const json_t *request); /* NULL: an operation, queued */
} requests[] = {
	{ "up", NULL }, { "start", NULL }, { "stop", NULL }, { "restart", NULL }, { "kill", NULL }, { "rm", NULL }, { "down", NULL }, { "run", NULL },
	{ "resize", do_resize }, { "signal", do_signal }, { "follow", do_follow }, { "cancel", do_cancel },
	{ "renew", do_renew },
};

static void greet(struct client *c, const json_t *request)
{
	bool same = json_get_int(request, "protocol", 0) == CONTROL_PROTOCOL && str_eq(json_get_str(request, "op", ""), "hello");
	json_t *j = json_pack("{s:b,s:s}", "ok", same, "build", MUSTER_VERSION);
	c->greeted = same;
	if (!same)
		json_put_str(j, "error", "another protocol; take the project down with the muster that started it");
	send_new(c, j);
}

static void handle(struct client *c, json_t *request)
{
	struct supervisor *sv = c->sv;
	const char *op = json_get_str(request, "op", "");
	struct err err = {0};
	if (!c->greeted) {
		greet(c, request);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (strcmp(requests[i].op, op) != 0)
			continue;
		if (requests[i].fn)
			requests[i].fn(sv, c, request);
		else if (str_eq(op, "kill") && sv->current && !json_get_bool(request, "remove_orphans", false))
			kill_beside(sv, c, request);
		else if (!rejoin(sv, c, json_get_str(request, "request_id", NULL)))
			enqueue(sv, c, request);
		return;
	}
	err_set(&err, ERR_UNSUPPORTED, "unknown request %s", op);
	send_new(c, done_event(1, &err));
}

/* Handles every whole frame in c->in; false when the client has to go. */
static bool take_frames(struct client *c)
{
	struct supervisor *sv = c->sv;
	for (;;) {
		const unsigned char *p = (const unsigned char *)c->in.p;
		AUTO_JSON json_t *request = NULL;
		size_t n;
		if (c->in.len < 4)
			return true;
		n = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
		if (n > SOCK_MAX_FRAME)
			return false;
		if (c->in.len < 4 + n)
			return true;
		request = json_loadb(c->in.p + 4, n, 0, NULL);
		memmove(c->in.p, c->in.p + 4 + n, c->in.len - 4 - n);
		c->in.len -= 4 + n;
		if (!json_is_object(request))
			return false;
		failpoint("server.request");
		handle(c, request);
		for (struct client *x = sv->clients; x != c; x = x->next)
			if (!x)
				return true; /* it went away meanwhile */
	}
}

static void client_event(struct loop_source *s, uint32_t events)
{
	struct client *c = CONTAINER_OF(s, struct client, source);
	char buf[65536];
	int fds[SOCK_MAX_FDS];
	size_t n_fds = ARRAY_SIZE(fds);
	ssize_t n;
	if ((events & EPOLLOUT) && !client_write(c)) {
		client_close(c);
		return;
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = sock_recv(c->fd, buf, sizeof(buf), fds, &n_fds, NULL);
	if (n == -EAGAIN)
		return;
	for (size_t i = 0; i < n_fds; i++) {
		if (c->n_fds < SOCK_MAX_FDS)
			c->fds[c->n_fds++] = fds[i];
		else
			close(fds[i]);
	}
	if (n <= 0) {
		client_close(c);
		return;
	}
	str_addn(&c->in, buf, (size_t)n);
	if (!take_frames(c))
		client_close(c);
}

static void server_accept(struct loop_source *s, uint32_t events);

static void accept_again(struct loop_timer *t)
{
	struct supervisor *sv = CONTAINER_OF(t, struct supervisor, accept_timer);
	if (loop_add(&sv->loop, &sv->listen_source, sv->listen_source.fd, EPOLLIN, server_accept, NULL) < 0)
		loop_timer_set(&sv->loop, t, ACCEPT_PAUSE_MS, accept_again);
}

static void server_accept(struct loop_source *s, uint32_t events)
{
	struct supervisor *sv = CONTAINER_OF(s, struct supervisor, listen_source);
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;
	unsigned uid;
	(void)events;
	failpoint("server.accepted");
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		loop_remove(s); /* it would be ready at once again */
		loop_timer_set(&sv->loop, &sv->accept_timer, ACCEPT_PAUSE_MS, accept_again);
	}
	if (fd < 0)
		return;
	uid = sock_peer_uid(fd);
	if (uid != 0 && uid != geteuid()) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->sv = sv;
	c->fd = fd;
	c->next = sv->clients;
	sv->clients = c;
	if (loop_add(&sv->loop, &c->source, fd, EPOLLIN, client_event, NULL) < 0)
		client_close(c);
}

int server_open(struct supervisor *sv, struct err *err)
{
	int fd = sock_listen(sv->run_fd, "control", SOCK_STREAM, err);
	if (fd < 0)
		return -1;
	return loop_add(&sv->loop, &sv->listen_source, fd, EPOLLIN, server_accept, err);
}

int server_resume(struct supervisor *sv, struct err *err)
{
	AUTO_JSON json_t *request = NULL;
	int rc = json_read_file(sv->run_fd, "op.json", &request, err);
	if (rc != 0) {
		if (rc < 0)
			unlinkat(sv->run_fd, "op.json", 0);
		return 0;
	}
	if (json_is_object(json_object_get(request, "result"))) {
		keep_result(sv, json_get_str(request, "request_id", NULL), json_object_get(request, "result"));
		return 0;
	}
	log_info("carrying on: %s", json_get_str(request, "op", ""));
	sv->generation = MAX(sv->generation, (uint64_t)json_get_int(request, "generation", 0));
	enqueue(sv, NULL, request);
	return 0;
}
