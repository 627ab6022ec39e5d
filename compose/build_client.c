/* SPDX-License-Identifier: Apache-2.0 */
/* See build_client.h. A step's output comes from the executor, its end from the builder; the executor has sent all of the output before it tells
 * the builder, so its channel is always emptied before a message of the builder is looked at. What either says has been near hostile
 * bytes: types are checked, texts are shown escaped. */
#include "compose/build_client.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "compose/block.h"
#include "compose/build_client_impl.h"
#include "compose/build_exec.h"
#include "compose/cmd_request.h"

static void begin_ready(struct build_client *c);

void build_spec_init(struct build_spec *s)
{
	memset(s, 0, sizeof(*s));
	s->request = json_object();
	s->rc = 1;
}

void build_spec_done(struct build_spec *s)
{
	for (size_t i = 0; i < s->n_fds; i++)
		util_close(&s->fds[i]);
	for (size_t i = 0; i < s->n_secrets; i++) {
		free(s->secrets[i].id);
		util_close(&s->secrets[i].fd);
	}
	for (size_t i = 0; i < s->n_agents; i++) {
		free(s->agents[i].id);
		util_close(&s->agents[i].fd);
	}
	json_decref(s->request);
	free(s->name);
	free(s->platform);
	free(s->dockerfile);
	strv_done(&s->after);
	strv_done(&s->cache_dirs);
	strv_done(&s->tags);
	str_done(&s->failure);
	memset(s, 0, sizeof(*s));
}

int build_spec_fd(struct build_spec *s, int fd, struct err *err)
{
	if (s->n_fds == BUILD_MAX_FDS) {
		close(fd);
		return err_set(err, ERR_UNSUPPORTED, "more than %d directories and files for one build", BUILD_MAX_FDS);
	}
	s->fds[s->n_fds] = fd;
	return (int)s->n_fds++;
}

/* --- the end of a build */

static void close_channels(struct build *b)
{
	chan_done(&b->builder);
	chan_done(&b->exec);
	loop_remove(&b->wanted);
	util_close(&b->builder_fd);
	util_close(&b->exec_fd);
	util_close(&b->wanted_fd);
}

static void end_build(struct build *b, const struct err *failure)
{
	int status;
	if (b->ended)
		return;
	b->ended = true;
	b->client->n_ended++;
	b->spec->rc = failure ? -1 : 0;
	if (failure)
		b->spec->err = *failure;
	build_jobs_done(b);
	close_channels(b);
	if (failure && b->builder_pid > 0 && !b->said)
		kill(b->builder_pid, SIGKILL);
	if (b->builder_pid > 0)
		while (waitpid(b->builder_pid, &status, 0) < 0 && errno == EINTR)
			;
	b->builder_pid = 0;
	build_agents_stop(b);
	begin_ready(b->client);
}

/* The builder has gone without a last word. */
static void builder_gone(struct build *b)
{
	struct err err = { 0 };
	int status = 0;
	if (b->builder_pid > 0 && waitpid(b->builder_pid, &status, 0) == b->builder_pid)
		b->builder_pid = 0;
	if (WIFSIGNALED(status))
		err_set(&err, ERR_CORRUPT, "the builder was ended by %s%s", proc_signal_name(WTERMSIG(status)),
			WTERMSIG(status) == SIGSYS ? ": its jail stopped a forbidden system call" : "");
	else
		err_set(&err, ERR_CORRUPT, "the builder ended without an answer (exit code %d)", WEXITSTATUS(status));
	end_build(b, &err);
}

/* --- messages of the executor */

static void from_executor(struct chan *c, const void *p, size_t n, int *fds, size_t n_fds)
{
	struct build *b = CONTAINER_OF(c, struct build, exec);
	const unsigned char *bytes = p;
	AUTO_FREE char *text = NULL;
	(void)fds;
	(void)n_fds;
	if (!p)
		return; /* the builder sees it too, and says which steps have failed */
	if (bytes[0] == 'O' && n > BUILD_EXEC_OUTPUT_HEADER) {
		int64_t id = (int64_t)bytes[2] | (int64_t)bytes[3] << 8 | (int64_t)bytes[4] << 16 | (int64_t)bytes[5] << 24;
		build_progress_log(b->client->progress, b->index, id, bytes[1], (const char *)bytes + BUILD_EXEC_OUTPUT_HEADER,
			n - BUILD_EXEC_OUTPUT_HEADER, clock_mono_ns());
	} else if (bytes[0] == 'W') {
		text = xasprintf("warning: %.*s", (int)n - 1, (const char *)bytes + 1);
		build_progress_note(b->client->progress, text, clock_mono_ns());
	}
}

/* Everything that the executor has sent so far. */
static void drain_executor(struct build *b)
{
	struct pollfd pf = { .fd = b->exec_fd, .events = POLLIN };
	while (b->exec.source.loop && poll(&pf, 1, 0) == 1)
		b->exec.source.fn(&b->exec.source, EPOLLIN);
}

/* The builder wants something to be run for the first time. */
static void executor_wanted(struct loop_source *s, uint32_t events)
{
	struct build *b = CONTAINER_OF(s, struct build, wanted);
	struct err err;
	loop_remove(s);
	if (!(events & EPOLLIN)) { /* the builder has ended */
		util_close(&b->wanted_fd);
		return;
	}
	if (build_start_executor(b, &err) < 0 || chan_open(&b->exec, &b->client->loop, b->exec_fd, from_executor, &err) < 0)
		end_build(b, &err);
}

/* --- messages of the builder */

static void take_warning(struct build *b, const json_t *j)
{
	int64_t line = json_get_int(j, "line", 0);
	const char *text = json_get_str(j, "text", ""), *file = b->spec->dockerfile;
	AUTO_FREE char *note = line > 0 ? xasprintf("%s:%lld: warning: %s", file, (long long)line, text) : xasprintf("warning: %s", text);
	build_progress_note(b->client->progress, note, clock_mono_ns());
}

static void take_error(struct build *b, const json_t *j)
{
	struct build_spec *s = b->spec;
	const char *diagnostics = json_get_str(j, "diagnostics", ""), *excerpt = json_get_str(j, "excerpt", "");
	struct err err;
	message_to_err(json_object_get(j, "error"), &err);
	b->said = true;
	build_progress_error(b->client->progress, b->index, json_get_int(j, "step", -1), err.msg, clock_mono_ns());
	build_progress_failure(b->client->progress, b->index, json_get_int(j, "step", -1), &s->failure);
	str_addf(&s->failure, "%s%s", excerpt, *excerpt && !str_ends(excerpt, "\n") ? "\n" : "");
	str_add(&s->failure, diagnostics);
	s->told = *diagnostics != '\0';
	end_build(b, &err);
}

static void take_check(struct build *b, const json_t *j)
{
	AUTO_STR struct str out = { 0 };
	const json_t *json = json_object_get(j, "json");
	AUTO_FREE char *text = json ? json_dumps(json, JSON_INDENT(2)) : xstrdup(json_get_str(j, "text", ""));
	str_add(&out, text ? text : "");
	if (out.len && out.p[out.len - 1] != '\n')
		str_addc(&out, '\n');
	build_progress_end(b->client->progress, clock_mono_ns());
	cmd_print(b->client->app, &out);
	b->said = true;
	b->spec->check_failed = json_get_bool(j, "failed", false);
	end_build(b, NULL);
}

static void take_done(struct build *b, const json_t *j)
{
	const char *id = json_get_str(j, "id", "");
	struct err err;
	b->said = true;
	if (strlen(id) != 64 || strspn(id, "0123456789abcdef") != 64) {
		err_set(&err, ERR_CORRUPT, "the builder did not say which image it made");
		end_build(b, &err);
		return;
	}
	snprintf(b->spec->id, sizeof(b->spec->id), "%s", id);
	json_get_strv(j, "tags", &b->spec->tags);
	end_build(b, NULL);
}

static void from_builder(struct chan *c, const void *p, size_t n, int *fds, size_t n_fds)
{
	struct build *b = CONTAINER_OF(c, struct build, builder);
	AUTO_JSON json_t *j = NULL;
	const uint64_t now = clock_mono_ns();
	const char *event;
	struct err err;
	int *own;
	size_t n_own;
	drain_executor(b);
	if (!p) {
		builder_gone(b);
		return;
	}
	if (message_parse(p, n, fds, n_fds, &j, &own, &n_own, &err) < 0) {
		end_build(b, &err);
		return;
	}
	event = json_get_str(j, "event", "");
	if (json_object_get(j, "need"))
		build_client_serve(b, j, own, n_own);
	else if (strcmp(event, "step") == 0)
		build_progress_step(b->client->progress, b->index, b->shown, j, now);
	else if (strcmp(event, "progress") == 0)
		build_progress_bytes(b->client->progress, b->index, json_get_int(j, "id", 0), "transferring",
			(uint64_t)MAX(json_get_int(j, "done", 0), 0), (uint64_t)MAX(json_get_int(j, "total", 0), 0), now);
	else if (strcmp(event, "warning") == 0)
		take_warning(b, j);
	else if (strcmp(event, "check") == 0)
		take_check(b, j);
	else if (strcmp(event, "done") == 0)
		take_done(b, j);
	else if (strcmp(event, "error") == 0)
		take_error(b, j);
}

/* --- the beginning */

/* Of several platforms the one that `like` is for, else the first. */
static struct build *find_build(struct build_client *c, const char *name, const struct build_spec *like)
{
	const char *platform = json_get_str(like->request, "platform", "");
	struct build *first = NULL;
	for (size_t i = 0; i < c->n; i++) {
		if (strcmp(c->builds[i].spec->name, name) != 0)
			continue;
		first = first ? first : &c->builds[i];
		if (strcmp(json_get_str(c->builds[i].spec->request, "platform", ""), platform) == 0)
			return &c->builds[i];
	}
	return first;
}

/* Contexts that are other builds' results get their ids. */
static void fill_contexts(struct build *b)
{
	size_t i;
	json_t *j;
	json_array_foreach(json_object_get(b->spec->request, "contexts"), i, j) {
		const char *service = json_get_str(j, "service", NULL);
		const struct build *other = service ? find_build(b->client, service, b->spec) : NULL;
		if (!other)
			continue;
		json_put_str(j, "kind", "image");
		json_put_str(j, "id", other->spec->id);
		json_object_del(j, "service");
	}
}

static int begin(struct build *b, struct err *err)
{
	b->begun = true;
	fill_contexts(b);
	json_object_set_new(b->spec->request, "insecure", json_boolean(b->spec->insecure));
	json_object_set_new(b->spec->request, "host_network", json_boolean(b->spec->host_network));
	if (build_agents_start(b, err) < 0 || build_start_builder(b, err) < 0 ||
		chan_open(&b->builder, &b->client->loop, b->builder_fd, from_builder, err) < 0 ||
		loop_add(&b->client->loop, &b->wanted, b->wanted_fd, EPOLLIN, executor_wanted, err) < 0)
		return -1;
	if (failpoint_err("muster.build.started", err) < 0)
		return -1;
	if (message_send(&b->builder, b->spec->request, b->spec->fds, b->spec->n_fds, err) == 0)
		return 0;
	return err_set(err, ERR_CORRUPT, "the builder does not listen");
}

/* What this build waits for: 0 nothing, 1 another build, -1 one that has failed. */
static int waits(const struct build *b)
{
	int rc = 0;
	for (size_t i = 0; i < b->spec->after.n; i++) {
		const struct build *other = find_build(b->client, b->spec->after.v[i], b->spec);
		if (other && other->ended && other->spec->rc < 0)
			return -1;
		if (other && !other->ended)
			rc = 1;
	}
	return rc;
}

/* As many are on their way as --parallel allows. What waits for another build does not count, so that nobody waits for a place that it holds itself. */
static bool is_full(const struct build_client *c)
{
	size_t running = 0;
	for (size_t i = 0; i < c->n; i++)
		running += c->builds[i].begun && !c->builds[i].ended;
	return c->app->parallel && running >= c->app->parallel;
}

static void begin_ready(struct build_client *c)
{
	bool again = true;
	while (again) {
		again = false;
		for (size_t i = 0; i < c->n; i++) {
			struct build *b = &c->builds[i];
			struct err err = { 0 };
			int rc = b->begun ? 1 : waits(b);
			if (rc == 1 || (rc == 0 && !c->n_signals && is_full(c)))
				continue;
			b->begun = again = true;
			if (rc < 0)
				err_set(&err, ERR_CONFLICT, "what it is built on could not be built");
			if (rc < 0 || c->n_signals || begin(b, &err) < 0) {
				b->said = true;
				b->spec->cancelled = c->n_signals > 0;
				end_build(b, &err);
			}
		}
	}
}

static void on_signal(struct loop_source *s, uint32_t events)
{
	struct build_client *c = CONTAINER_OF(s, struct build_client, signals);
	AUTO_JSON json_t *cancel = json_pack("{s:s}", "op", "cancel");
	struct err err = { 0 };
	(void)events;
	if (!request_signal_read(c->signal_fd))
		return;
	c->n_signals++;
	err_set(&err, ERR_INVALID, "cancelled");
	for (size_t i = 0; i < c->n; i++) {
		struct build *b = &c->builds[i];
		if (b->ended || !b->begun)
			continue;
		b->spec->cancelled = true;
		if (c->n_signals > 1)
			end_build(b, &err);
		else
			message_send(&b->builder, cancel, NULL, 0, &err);
	}
	begin_ready(c);
}

/* The executors end by themselves when their channels have; one that was killed leaves things behind. */
static void wait_executors(struct build_client *c)
{
	bool killed = false;
	for (size_t i = 0; i < c->n; i++) {
		int status = 0;
		while (c->builds[i].exec_pid > 0 && waitpid(c->builds[i].exec_pid, &status, 0) < 0 && errno == EINTR)
			;
		killed = killed || WIFSIGNALED(status);
	}
	if (killed)
		build_sweep(c->app);
}

size_t build_client_run(struct app *app, struct build_spec *list, size_t n, struct build_progress *p)
{
	struct build_client c = { .app = app, .n = n, .progress = p };
	size_t failed = 0;
	struct err err;
	c.builds = xcalloc(n, sizeof(*c.builds));
	for (size_t i = 0; i < n; i++)
		c.builds[i] = (struct build){ .client = &c, .spec = &list[i], .index = i, .builder_fd = -1, .exec_fd = -1, .wanted_fd = -1,
			.shown = xasprintf("%s%s%s", list[i].name, list[i].platform && *list[i].name ? " " : "", list[i].platform ? list[i].platform : "") };
	c.signal_fd = request_signal_fd();
	if (loop_init(&c.loop, &err) < 0 || loop_add(&c.loop, &c.signals, c.signal_fd, EPOLLIN, on_signal, &err) < 0) {
		for (size_t i = 0; i < n; i++)
			end_build(&c.builds[i], &err);
	} else {
		begin_ready(&c);
	}
	while (c.n_ended < n && loop_run_once(&c.loop, build_progress_tick(p, clock_mono_ns()), &err) == 0)
		;
	build_progress_end(p, clock_mono_ns());
	wait_executors(&c);
	loop_remove(&c.signals);
	loop_done(&c.loop);
	util_close(&c.signal_fd);
	for (size_t i = 0; i < n; i++) {
		failed += list[i].rc != 0;
		free(c.builds[i].fetchers);
	}
	for (size_t i = 0; i < n; i++)
		free(c.builds[i].shown);
	free(c.builds);
	return failed;
}

void build_client_report(const struct app *app, const struct build_spec *s)
{
	struct err err = s->err;
	if (s->cancelled) {
		cmd_failf(app, "%s%scancelled", s->name, *s->name ? ": " : "");
		return;
	}
	if (app->progress != PROGRESS_JSON)
		fputs(str_get(&s->failure), stderr);
	else if (s->failure.len)
		cmd_hint(app, "%s", str_get(&s->failure));
	if (s->told)
		return;
	err_wrap(&err, "failed to solve");
	if (*s->name)
		err_wrap(&err, "service %s", s->name);
	cmd_fail(app, &err);
}
