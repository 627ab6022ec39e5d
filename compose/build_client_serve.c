/* SPDX-License-Identifier: Apache-2.0 */
/* What the builder cannot do itself: it has no network and no credentials. A "need" is answered by a child of ours, which runs the same pairs of
 * jailed processes as `muster image pull`, so that nothing in muster's loop waits for a registry. The child writes JSON lines into a pipe:
 * {"layer","done","total"} while it works, and {"reply":{…}} or {"error":ERR} at its end. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "compose/build_client_impl.h"
#include "compose/image_child.h"
#include "compose/oci_context.h"
#include "compose/registries.h"

static void reply_with(struct build *b, int64_t need, json_t *fields, const int *fds, size_t n_fds, const struct err *failure)
{
	AUTO_JSON json_t *j = json_pack("{s:s,s:I}", "op", "reply", "id", (json_int_t)need);
	struct err ignored;
	if (fields)
		json_object_update(j, fields);
	if (failure)
		json_object_set_new(j, "error", message_from_err(failure));
	message_send(&b->builder, j, fds, n_fds, &ignored);
}

static void reply(struct build *b, int64_t need, json_t *fields, const struct err *failure)
{
	reply_with(b, need, fields, NULL, 0, failure);
}

/* --- in the child */

void build_job_tell(int fd, json_t *j)
{
	AUTO_FREE char *text = json_dumps(j, JSON_COMPACT);
	AUTO_STR struct str line = { 0 };
	struct err ignored;
	str_addf(&line, "%s\n", text ? text : "{}");
	fs_write_all(fd, line.p, line.len, &ignored);
	json_decref(j);
}

static void tell_layer(void *arg, const struct image_event *ev)
{
	const int *fd = arg;
	if (ev->kind == IMAGE_LAYER)
		build_job_tell(*fd, json_pack("{s:s,s:I,s:I}", "layer", ev->layer, "done", (json_int_t)ev->done_bytes, "total", (json_int_t)ev->total_bytes));
	else if (ev->kind == IMAGE_WARNING)
		build_job_tell(*fd, json_pack("{s:o}", "warning", json_text(ev->text)));
}

/* Pulls, or finds what is there. 0 and the id, or -1 + err. */
static int get_image(const struct app *app, const char *ref, const char *platform, bool pull, int fd, char ret_id[static 65], struct err *err)
{
	struct image_pull p = { .ref = ref, .platform = *platform ? platform : NULL };
	struct registries known = { 0 };
	AUTO_FREE char *warning = NULL;
	AUTO_STORE struct store *store = NULL;
	AUTO_IMAGE struct image img = { 0 };
	int rc;
	if (!pull && store_open(app->paths.root_fd, &store, err) == 0 && store_lookup(store, ref, &img, err) == 0 && !*platform) {
		snprintf(ret_id, 65, "%s", img.id);
		return 0;
	}
	rc = registry_describe(&known, ref, false, NULL, &p.registry, &warning, err);
	registries_done(&known);
	if (rc != 0)
		return -1;
	if (warning)
		build_job_tell(fd, json_pack("{s:o}", "warning", json_text(warning)));
	rc = image_client_pull(app->paths.root_fd, &p, 1, 1, tell_layer, &fd, err);
	json_decref(p.registry);
	if (rc > 0)
		*err = p.err;
	if (rc)
		return -1;
	snprintf(ret_id, 65, "%s", p.id);
	return 0;
}

/* A layout that the user has named, and no other: the builder does not choose what is read. */
static int get_layout(const struct build *b, const char *ref, const char *platform, char ret_id[static 65], struct err *err)
{
	size_t i;
	json_t *c;
	json_array_foreach(json_object_get(b->spec->request, "contexts"), i, c)
		if (strcmp(json_get_str(c, "ref", ""), ref) == 0)
			return oci_context_load(b->client->app, ref, platform, ret_id, err);
	return err_set(err, ERR_CORRUPT, "the builder wants a layout that nobody named");
}

_Noreturn static void child_image(const struct build *b, const json_t *need, const int *fds, size_t n_fds, int fd)
{
	struct err err = { 0 };
	char id[65];
	const char *ref = json_get_str(need, "ref", "");
	(void)fds;
	(void)n_fds;
	if (str_starts(ref, OCI_CONTEXT_PREFIX) ? get_layout(b, ref, json_get_str(need, "platform", ""), id, &err) < 0 :
		get_image(b->client->app, ref, json_get_str(need, "platform", ""), json_get_bool(need, "pull", false), fd, id, &err) < 0) {
		char quoted[200];
		err_wrap(&err, "image \"%s\"", err_quote(quoted, sizeof(quoted), ref));
		build_job_tell(fd, json_pack("{s:o}", "error", message_from_err(&err)));
	} else {
		build_job_tell(fd, json_pack("{s:{s:s}}", "reply", "image", id));
	}
	_exit(0);
}


json_t *build_client_describe(const char *url, int64_t max_bytes)
{
	bool tls = str_starts(url, "https://");
	const char *host = url + strlen(tls ? "https://" : "http://"), *at;
	size_t n = strcspn(host, "/?#");
	AUTO_FREE char *authority = xstrndup(host, n), *place = NULL;
	json_t *conf;
	at = strrchr(authority, '@');
	at = at ? at + 1 : authority;
	place = strrchr(at, ':') && !str_ends(at, "]") ? xstrdup(at) : xasprintf("%s:%d", at, tls ? 443 : 80);
	conf = registry_describe_host(place);
	json_object_set_new(conf, "url", json_text(url));
	json_put_int(conf, "max_bytes", max_bytes);
	return conf;
}

int build_client_run_fetcher(const char *what, const json_t *conf, int out_fd, int second_fd, int agent_fd, json_t **ret, struct err *err)
{
	char name[] = "muster-image";
	AUTO_FREE char *verb = xstrdup(what);
	char *const argv[] = { name, verb, NULL };
	AUTO_CLOSE int conf_fd = memfd_create("download", MFD_CLOEXEC);
	AUTO_FREE char *text = json_canonical(conf);
	AUTO_STR struct str answer = { 0 };
	pid_t pid;
	int p[2], rc;
	if (conf_fd < 0 || fs_write_all(conf_fd, text, strlen(text), err) < 0 || lseek(conf_fd, 0, SEEK_SET) < 0 || pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, errno, "prepare the download");
	rc = image_spawn(&(struct image_fds){ .input = conf_fd, .answer = p[1], .root = out_fd, .tree = second_fd, .agent = agent_fd }, argv, &pid, err);
	close(p[1]);
	if (rc == 0)
		rc = fs_read_fd(p[0], 1 << 20, &answer, err);
	close(p[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*ret = rc < 0 ? NULL : json_loadb(str_get(&answer), answer.len, JSON_DISABLE_EOF_CHECK, NULL);
	if (rc == 0 && strcmp(json_get_str(*ret, "event", ""), "done") != 0)
		rc = json_is_object(*ret) ? message_to_err(*ret, err) : err_set(err, ERR_CORRUPT, "the process that fetches it has ended");
	return rc < 0 ? -1 : 0;
}

int build_client_fetch(const char *url, int out_fd, uint64_t max_bytes, struct err *err)
{
	AUTO_JSON json_t *conf = build_client_describe(url, (int64_t)max_bytes), *got = NULL;
	return build_client_run_fetcher("download", conf, out_fd, -1, -1, &got, err);
}

_Noreturn static void child_git(const struct build *b, const json_t *need, const int *fds, size_t n_fds, int fd)
{
	json_t *got = NULL;
	AUTO_FREE char *warning = NULL;
	struct err err = { 0 };
	if (build_client_git(b, need, fds, n_fds, &got, &warning, &err) < 0) {
		build_job_tell(fd, json_pack("{s:o}", "error", message_from_err(&err)));
		_exit(0);
	}
	if (warning)
		build_job_tell(fd, json_pack("{s:o}", "warning", json_text(warning)));
	build_job_tell(fd, json_pack("{s:o}", "reply", got));
	_exit(0);
}

_Noreturn static void child_fetch(const struct build *b, const json_t *need, const int *fds, size_t n_fds, int fd)
{
	int out_fd = n_fds ? fds[0] : -1;
	const char *url = json_get_str(need, "url", "");
	AUTO_JSON json_t *conf = NULL, *got = NULL;
	struct err err = { 0 };
	(void)b;
	if (!str_starts(url, "http://") && !str_starts(url, "https://"))
		err_set(&err, ERR_INVALID, "it is no http or https URL");
	else
		conf = build_client_describe(url, json_get_int(need, "max_bytes", 0));
	if (!conf || out_fd < 0 || build_client_run_fetcher("download", conf, out_fd, -1, -1, &got, &err) < 0)
		build_job_tell(fd, json_pack("{s:o}", "error", message_from_err(&err)));
	else
		build_job_tell(fd, json_pack("{s:{s:I,s:O,s:I,s:O}}", "reply", "size", (json_int_t)json_get_int(got, "size", 0), "name",
			json_object_get(got, "name"), "modified", (json_int_t)json_get_int(got, "modified", 0), "etag", json_object_get(got, "etag")));
	_exit(0);
}

/* Where the registry is and who we are there: credential helpers may take their time. */
_Noreturn static void child_registry(const struct build *b, const json_t *need, const int *fds, size_t n_fds, int fd)
{
	struct registries known = { 0 };
	AUTO_FREE char *warning = NULL;
	json_t *conf = NULL;
	struct err err = { 0 };
	(void)b;
	(void)fds;
	(void)n_fds;
	if (registry_describe(&known, json_get_str(need, "ref", ""), json_get_bool(need, "push", false), NULL, &conf, &warning, &err) != 0) {
		build_job_tell(fd, json_pack("{s:o}", "error", message_from_err(&err)));
		_exit(0);
	}
	if (warning)
		build_job_tell(fd, json_pack("{s:o}", "warning", json_text(warning)));
	build_job_tell(fd, json_pack("{s:o}", "registry", conf));
	_exit(0);
}

/* --- in muster */

/* The builder gets lanes to a process that talks to this registry, and that is all the way there is to it. */
static void give_registry(struct build *b, int64_t need, const json_t *conf)
{
	int lanes[LANE_MAX_LANES];
	struct err err;
	pid_t pid;
	if (image_fetch_start(conf, lanes, &pid, &err) < 0) {
		reply(b, need, NULL, &err);
		return;
	}
	b->fetchers = vec_grow(b->fetchers, b->n_fetchers, &b->cap_fetchers, sizeof(*b->fetchers));
	b->fetchers[b->n_fetchers++] = pid;
	reply_with(b, need, NULL, lanes, LANE_MAX_LANES, NULL);
	for (size_t i = 0; i < LANE_MAX_LANES; i++)
		close(lanes[i]);
}

static void job_free(struct build_job *job)
{
	struct build_job **p = &job->build->jobs;
	while (*p != job)
		p = &(*p)->next;
	*p = job->next;
	loop_remove(&job->source);
	util_close(&job->fd);
	while (job->pid > 0 && waitpid(job->pid, NULL, 0) < 0 && errno == EINTR)
		;
	str_done(&job->text);
	free(job->what);
	free(job);
}

/* One line of the child. True when it was the last one. */
static bool take_line(struct build_job *job, const char *line, size_t n)
{
	AUTO_JSON json_t *j = json_loadb(line, n, 0, NULL);
	struct build *b = job->build;
	const char *warning = json_get_str(j, "warning", NULL);
	json_t *fields = json_object_get(j, "reply");
	struct err err;
	if (warning) {
		AUTO_FREE char *note = xasprintf("warning: %s", warning);
		build_progress_note(b->client->progress, note, clock_mono_ns());
	} else if (json_object_get(j, "layer")) {
		AUTO_FREE char *what = xasprintf("%s %s", job->what, json_get_str(j, "layer", ""));
		build_progress_bytes(b->client->progress, b->index, job->step, what, (uint64_t)json_get_int(j, "done", 0),
			(uint64_t)json_get_int(j, "total", 0), clock_mono_ns());
	} else if (json_object_get(j, "registry")) {
		give_registry(b, job->need, json_object_get(j, "registry"));
		return true;
	} else if (fields) {
		reply(b, job->need, fields, NULL);
		return true;
	} else if (json_object_get(j, "error")) {
		message_to_err(json_object_get(j, "error"), &err);
		reply(b, job->need, NULL, &err);
		return true;
	}
	return false;
}

static void job_readable(struct loop_source *s, uint32_t events)
{
	struct build_job *job = CONTAINER_OF(s, struct build_job, source);
	ssize_t n = read(job->fd, str_reserve(&job->text, 4096), 4096);
	struct err err;
	char *end;
	(void)events;
	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		err_set(&err, ERR_CORRUPT, "%s: the process that does it has ended", job->what);
		reply(job->build, job->need, NULL, &err);
		job_free(job);
		return;
	}
	job->text.len += (size_t)n;
	while ((end = memchr(job->text.p, '\n', job->text.len))) {
		size_t len = (size_t)(end - job->text.p);
		if (take_line(job, job->text.p, len)) {
			job_free(job);
			return;
		}
		job->text.len -= len + 1;
		memmove(job->text.p, end + 1, job->text.len);
	}
}

/* fds: where bytes go, the child's. */
static int start_job(struct build *b, const json_t *need, const char *what, const int *fds, size_t n_fds,
	void (*child)(const struct build *, const json_t *, const int *, size_t, int), struct err *err)
{
	struct build_job *job;
	pid_t parent = getpid();
	int p[2];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	job = xcalloc(1, sizeof(*job));
	*job = (struct build_job){ .next = b->jobs, .build = b, .fd = p[0], .need = json_get_int(need, "id", 0), .step = json_get_int(need, "step", 0),
		.what = xstrdup(what) };
	b->jobs = job;
	job->pid = fork();
	if (job->pid == 0) {
		setsid(); /* the terminal's signals are for muster */
		proc_reset_signals();
		signal(SIGPIPE, SIG_IGN);
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		child(b, need, fds, n_fds, p[1]);
		_exit(1);
	}
	close(p[1]);
	if (job->pid < 0 || loop_add(&b->client->loop, &job->source, job->fd, EPOLLIN, job_readable, err) < 0) {
		if (job->pid < 0)
			err_sys(err, errno, "fork");
		else
			kill(job->pid, SIGKILL);
		job_free(job);
		return -1;
	}
	return 0;
}

/* The directory is the one that the user named, by its number. */
static int write_cache(struct build *b, const json_t *need, const int *fds, size_t n_fds,
	void (*child)(const struct build *, const json_t *, const int *, size_t, int), struct err *err)
{
	AUTO_JSON json_t *whole = json_copy((json_t *)(uintptr_t)need);
	const int64_t i = json_get_int(need, "dest", -1);
	if (i < 0 || (uint64_t)i >= b->spec->cache_dirs.n)
		return err_set(err, ERR_CORRUPT, "the builder wants to write where nobody asked for it");
	json_object_set_new(whole, "dir", json_text(b->spec->cache_dirs.v[i]));
	return start_job(b, whole, "writing", fds, n_fds, child, err);
}

void build_client_serve(struct build *b, const json_t *need, int *fds, size_t n_fds)
{
	const char *what = json_get_str(need, "need", "");
	struct err err = { 0 };
	int rc = -1;
	if (strcmp(what, "image") == 0)
		rc = start_job(b, need, "pulling", fds, 0, child_image, &err);
	else if (strcmp(what, "fetch") == 0)
		rc = start_job(b, need, "fetching", fds, n_fds, child_fetch, &err);
	else if (strcmp(what, "registry") == 0)
		rc = start_job(b, need, "asking who we are", fds, 0, child_registry, &err);
	else if (strcmp(what, "cache_file") == 0 || strcmp(what, "cache_index") == 0)
		rc = write_cache(b, need, fds, n_fds, strcmp(what, "cache_file") == 0 ? build_cache_file : build_cache_index, &err);
	else if (strcmp(what, "git") == 0)
		rc = start_job(b, need, "fetching", fds, n_fds, child_git, &err);
	else
		err_set(&err, ERR_CORRUPT, "the builder needs something unknown");
	if (rc < 0)
		reply(b, json_get_int(need, "id", 0), NULL, &err);
}

void build_jobs_done(struct build *b)
{
	while (b->jobs) {
		if (b->jobs->pid > 0)
			kill(b->jobs->pid, SIGKILL);
		job_free(b->jobs);
	}
	for (size_t i = 0; i < b->n_fetchers; i++) {
		kill(b->fetchers[i], SIGKILL); /* not reaped, so it is still that one */
		while (waitpid(b->fetchers[i], NULL, 0) < 0 && errno == EINTR)
			;
	}
	b->n_fetchers = 0;
}
