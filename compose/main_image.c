/* SPDX-License-Identifier: Apache-2.0 */
/* muster-image: the process that reads what strangers wrote. `muster` starts it (compose/image_client.h says with which
 * descriptors and what the answer looks like); it loads its libraries' lazy parts, enters the jail, and only then reads the
 * first byte of the archive. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "compose/image_client.h"
#include "images/build/build.h"
#include "images/build/channel.h"
#include "compose/image_task.h"
#include "images/import.h"
#include "images/confine.h"
#include "images/download.h"
#include "images/fetch.h"
#include "images/git.h"
#include "images/load.h"
#include "images/pull.h"
#include "images/push.h"
#include "images/sshagent.h"

enum { LAST_FD = IMAGE_FD_LANES + LANE_MAX_LANES - 1 };

enum { INPUT_FD = 0, ANSWER_FD = 1, ROOT_FD = 3, PROGRESS_NS = 100000000, MAX_CHANGES = 1000 };

struct teller {
	uint64_t told_ns; /* when progress was told last */
};

/* One line of the answer; takes j over. A reader that is gone ends us by SIGPIPE. */
static void tell(json_t *j)
{
	AUTO_FREE char *text = json_canonical(j);
	AUTO_FREE char *line = xasprintf("%s\n", text);
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* layers are pulled side by side */
	struct err err;
	json_decref(j);
	pthread_mutex_lock(&lock);
	if (fs_write_all(ANSWER_FD, line, strlen(line), &err) < 0)
		_exit(1);
	pthread_mutex_unlock(&lock);
}

static json_t *event(const char *name)
{
	json_t *j = json_object();
	json_put_str(j, "event", name);
	return j;
}

static void tell_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct teller *t = arg;
	const uint64_t now = clock_mono_ns();
	json_t *j;
	if (now - t->told_ns < PROGRESS_NS)
		return;
	t->told_ns = now;
	j = event("progress");
	json_put_int(j, "done", (int64_t)done_bytes);
	json_put_int(j, "total", (int64_t)total_bytes);
	tell(j);
}

/* Text that may hold outside bytes: made printable UTF-8, which JSON needs. */
static void put_safe(json_t *j, const char *key, const char *text)
{
	char safe[1024];
	json_put_str(j, key, err_quote(safe, sizeof(safe), text));
}

static void tell_warning(void *arg, const char *text)
{
	json_t *j = event("warning");
	(void)arg;
	put_safe(j, "text", text);
	tell(j);
}

static void tell_loaded(void *arg, const char *ref, const char *id)
{
	json_t *j = event("loaded");
	(void)arg;
	json_put_str(j, "ref", ref);
	json_put_str(j, "id", id);
	tell(j);
}

/* What each layer's line shows, at most every PROGRESS_NS for one in progress; called from several threads. */
static void tell_layer(void *arg, const char *digits, enum work_layer_state state, uint64_t done_bytes, uint64_t total_bytes)
{
	static const char *const states[] = { "pulling", "exists", "done", "preparing", "pushing", "pushed", "mounted" };
	static_assert(ARRAY_SIZE(states) == WORK_LAYER_N_, "one word for each state");
	static _Thread_local uint64_t told_ns;
	const uint64_t now = clock_mono_ns();
	json_t *j;
	(void)arg;
	if ((state == WORK_LAYER_PULLING || state == WORK_LAYER_PREPARING || state == WORK_LAYER_PUSHING) && done_bytes && now - told_ns < PROGRESS_NS)
		return;
	told_ns = now;
	j = event("layer");
	json_put_str(j, "layer", digits);
	json_put_str(j, "state", states[state]);
	json_put_int(j, "done", (int64_t)done_bytes);
	json_put_int(j, "total", (int64_t)total_bytes);
	tell(j);
}

static int run_import(const struct work *w, int argc, char **argv, struct err *err)
{
	AUTO_STRV struct strv changes = {0};
	const char *name = NULL, *message = NULL;
	char id[65];
	json_t *j;
	int rc;
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--change") == 0 && i + 1 < argc && changes.n < MAX_CHANGES)
			strv_push(&changes, argv[++i]);
		else if (strcmp(argv[i], "--message") == 0 && i + 1 < argc)
			message = argv[++i];
		else if (strcmp(argv[i], "--name") == 0 && i + 1 < argc)
			name = argv[++i];
		else
			return err_set(err, ERR_INVALID, "muster-image import: unexpected argument");
	}
	rc = import_rootfs(w, name, (const char *const *)changes.v, message, id, err);
	if (rc < 0)
		return -1;
	j = event("done");
	json_put_str(j, "id", id);
	json_object_set_new(j, "new", json_boolean(rc == 0));
	tell(j);
	return 0;
}

static int run_load(const struct work *w, int argc, char **argv, struct err *err)
{
	struct work of = *w;
	if (argc > 1)
		return err_set(err, ERR_INVALID, "muster-image load: unexpected argument");
	of.platform = argc > 0 ? argv[0] : NULL;
	if (load_archive(&of, err) < 0)
		return -1;
	tell(event("done"));
	return 0;
}

static int run_pull(const struct work *w, int argc, char **argv, struct err *err)
{
	struct lane lanes[LANE_MAX_LANES];
	struct pull_result result;
	json_t *j;
	if (argc < 1 || argc > 2)
		return err_set(err, ERR_INVALID, "muster-image pull: unexpected argument");
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < LANE_MAX_LANES; i++)
		lane_init(&lanes[i], IMAGE_FD_LANES + (int)i);
	if (pull_image(w, argv[0], argc > 1 ? argv[1] : NULL, lanes, LANE_MAX_LANES, &result, err) < 0)
		return -1;
	j = event("done");
	json_put_str(j, "id", result.id);
	json_put_str(j, "digest", result.digest);
	json_object_set_new(j, "new", json_boolean(result.is_new));
	tell(j);
	return 0;
}

static int run_push(const struct work *w, int argc, char **argv, struct err *err)
{
	struct lane lanes[LANE_MAX_LANES];
	struct push_result result;
	enum pack_codec codec;
	json_t *j;
	if (argc != 2 || !pack_codec_parse(argv[1], &codec))
		return err_set(err, ERR_INVALID, "muster-image push: unexpected argument");
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < LANE_MAX_LANES; i++)
		lane_init(&lanes[i], IMAGE_FD_LANES + (int)i);
	if (push_image(w, argv[0], codec, lanes, LANE_MAX_LANES, &result, err) < 0)
		return -1;
	j = event("done");
	json_put_str(j, "id", result.id);
	json_put_str(j, "digest", result.digest);
	json_put_int(j, "bytes", (int64_t)result.manifest_bytes);
	tell(j);
	return 0;
}

/* The network process: nothing of the store, no answer but on the lanes. */
static int run_fetch(void)
{
	int lanes[LANE_MAX_LANES];
	struct err err = {0};
	for (size_t i = 0; i < LANE_MAX_LANES; i++)
		lanes[i] = IMAGE_FD_LANES + (int)i;
	proc_close_from(LAST_FD + 1, NULL, 0);
	proc_reset_signals();
	signal(SIGPIPE, SIG_IGN); /* an asker that gives up on one lane is none of the others' business */
	umask(077);
	return fetch_serve(INPUT_FD, lanes, LANE_MAX_LANES, &err) < 0;
}

/* The builder: its request comes over a socket, and so does its answer go. */
static int run_build(void)
{
	struct stat st;
	failpoint_take(IMAGE_FD_POINTS);
	close(IMAGE_FD_POINTS);
	proc_close_from(BUILD_FD_EXECUTOR + 1, NULL, 0);
	proc_reset_signals();
	umask(077);
	if (fstat(ROOT_FD, &st) < 0 || !S_ISDIR(st.st_mode) || fstat(BUILD_FD_EXECUTOR, &st) < 0)
		return 125;
	return builder_main(ROOT_FD, BUILD_FD_CLI, BUILD_FD_EXECUTOR);
}

/* The tasks that answer with nothing but an id, compose/image_task.h. */
static int run_task(const struct work *w, int argc, char **argv, struct err *err)
{
	char id[65] = "";
	json_t *j;
	if (image_task_run(w, argc, argv, id, err) < 0)
		return -1;
	j = event("done");
	if (*id)
		json_put_str(j, "id", id);
	tell(j);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(const struct work *w, int argc, char **argv, struct err *err);
	enum { PLAIN, LANES, TREE } with; /* descriptors beyond ROOT_FD */
} commands[] = {
	{ "import", run_import, PLAIN },
	{ "load", run_load, PLAIN },
	{ "pull", run_pull, LANES },
	{ "push", run_push, LANES },
	{ "save", run_task, PLAIN },
	{ "verify", run_task, PLAIN },
	{ "export", run_task, TREE },
	{ "commit", run_task, TREE },
	{ "diff", run_task, TREE },
};

/* Each directory on the way down a tree holds a descriptor. */
static void allow_descriptors(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* Everything between the start and the work: state, descriptors, jail, store. */
static int prepare(int with, struct work *w, struct err *err)
{
	static const char *const dirs[] = { "images", "layers", NULL };
	struct stat st;
	int root_fd;
	failpoint_take(IMAGE_FD_POINTS);
	close(IMAGE_FD_POINTS);
	proc_close_from(with == LANES ? LAST_FD + 1 : with == TREE ? IMAGE_FD_TREE + 1 : ROOT_FD + 1, NULL, 0);
	proc_reset_signals();
	allow_descriptors();
	umask(077);
	if (fstat(ROOT_FD, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, ERR_INVALID, "muster-image is run by muster, not by hand");
	for (int fd = 0; fd < ROOT_FD; fd++)
		if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
			return err_sys(err, fd == INPUT_FD ? EISDIR : EBADF, "the archive");
	stream_prepare();
	w->tree_fd = IMAGE_FD_TREE;
	root_fd = with == TREE ? confine_enter_reading(ROOT_FD, dirs, &w->tree_fd, err) : confine_enter(ROOT_FD, dirs, err);
	if (root_fd < 0)
		return -1;
	if (store_open(root_fd, &w->store, err) < 0)
		return -1;
	close(root_fd);
	store_sweep(w->store, NULL); /* what an earlier one left when it was killed */
	return 0;
}

/* The last line of those that fetch; takes j over. */
static int tell_fetched(int rc, json_t *j, const struct err *why)
{
	const struct err err = *why;
	if (rc < 0) {
		j = event("error");
		json_put_int(j, "code", err.code);
		json_put_int(j, "errno", err.sys);
		put_safe(j, "message", err.msg);
	} else {
		json_put_str(j, "event", "done");
	}
	tell(j);
	return rc < 0;
}

/* One file by its URL: the description is our input, descriptor 3 the file. */
static int run_download(void)
{
	json_t *j = NULL;
	struct err err = {0};
	int rc;
	proc_close_from(ROOT_FD + 1, NULL, 0);
	proc_reset_signals();
	umask(077);
	rc = download_run(INPUT_FD, ROOT_FD, &j, &err);
	return tell_fetched(rc, j, &err);
}

static void tell_ready(void)
{
	tell(event("done"));
	close(ANSWER_FD);
}

/* An agent for key files: the keys are our input, descriptor 3 the socket. */
static int run_agent(void)
{
	struct err err = {0};
	proc_close_from(ROOT_FD + 1, NULL, 0);
	proc_reset_signals();
	umask(077);
	return sshagent_run(INPUT_FD, ROOT_FD, tell_ready, &err) < 0 ? tell_fetched(-1, NULL, &err) : 0;
}

/* A repository's files: the description is our input, descriptor 3 the archive, IMAGE_FD_TREE what is received. */
static int run_git(void)
{
	struct stat st;
	json_t *j = NULL;
	struct err err = {0};
	int rc;
	close(IMAGE_FD_POINTS);
	proc_close_from(IMAGE_FD_AGENT + 1, NULL, 0);
	proc_reset_signals();
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	rc = git_run(INPUT_FD, ROOT_FD, IMAGE_FD_TREE, fstat(IMAGE_FD_AGENT, &st) == 0 && S_ISSOCK(st.st_mode) ? IMAGE_FD_AGENT : -1, &j, &err);
	return tell_fetched(rc, j, &err);
}

int main(int argc, char **argv)
{
	struct teller teller = {0};
	const struct work_listener listener = {
		.arg = &teller, .progress = tell_progress, .warning = tell_warning, .loaded = tell_loaded,
		.layer = tell_layer,
	};
	struct work w = { .input_fd = INPUT_FD, .listener = &listener };
	struct err err = {0};
	int rc = -1;
	size_t i = 0;
	if (argc == 2 && strcmp(argv[1], "fetch") == 0)
		_exit(run_fetch());
	if (argc == 2 && strcmp(argv[1], "download") == 0)
		_exit(run_download());
	if (argc == 2 && strcmp(argv[1], "agent") == 0)
		_exit(run_agent());
	if (argc == 2 && strcmp(argv[1], "git") == 0)
		_exit(run_git());
	if (argc == 2 && strcmp(argv[1], "build") == 0)
		_exit(run_build());
	while (i < ARRAY_SIZE(commands) && (argc < 2 || strcmp(argv[1], commands[i].name) != 0))
		i++;
	if (i == ARRAY_SIZE(commands))
		err_set(&err, ERR_INVALID, "muster-image is run by muster, not by hand");
	else
		rc = prepare((int)commands[i].with, &w, &err);
	if (rc == 0)
		rc = commands[i].run(&w, argc - (commands[i].run == run_task ? 1 : 2), argv + (commands[i].run == run_task ? 1 : 2), &err);
	if (rc < 0) {
		json_t *j = event("error");
		json_put_int(j, "code", err.code);
		json_put_int(j, "errno", err.sys);
		put_safe(j, "message", err.msg);
		tell(j);
	}
	_exit(rc < 0); /* at once: what is in memory needs no tidying, and threads may be in the middle of something */
}
