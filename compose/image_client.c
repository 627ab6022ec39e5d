/* SPDX-License-Identifier: Apache-2.0 */
/* The CLI's side of muster-image: start it, read its lines, wait for it. A line is believed to be JSON only after parsing, and
 * its fields only after a look at their types: the process behind the pipe has read hostile bytes. */
#include "compose/image_client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/failpoint.h"
#include "base/proc.h"
#include "compose/image_child.h"
#include "compose/paths.h"

enum { ROOT_FD = 3, MAX_LINE = 64 << 10 };

/* In the child: nothing but descriptors 0 to 3 goes along, and the lanes. Only async-signal-safe calls. */
_Noreturn static void run_child(const char *path, char *const *argv, const struct image_fds *fds, pid_t parent)
{
	static char *const no_environment[] = { NULL };
	/* copies above what they must not overwrite */
	int input = fcntl(fds->input, F_DUPFD_CLOEXEC, 20), answer = fcntl(fds->answer, F_DUPFD_CLOEXEC, 20);
	int root = fcntl(fds->root, F_DUPFD_CLOEXEC, 20), points = fcntl(failpoint_fd(), F_DUPFD_CLOEXEC, 20);
	int lanes[LANE_MAX_LANES], tree = fds->tree > 0 ? fcntl(fds->tree, F_DUPFD_CLOEXEC, 20) : -1;
	int agent = fds->agent > 0 ? fcntl(fds->agent, F_DUPFD_CLOEXEC, 20) : -1, last;
	for (size_t i = 0; fds->lanes && i < LANE_MAX_LANES; i++)
		lanes[i] = fcntl(fds->lanes[i], F_DUPFD_CLOEXEC, 20);
	if (input < 0 || answer < 0 || dup2(input, 0) < 0 || dup2(answer, 1) < 0 || (fds->root >= 0 && dup2(root, ROOT_FD) < 0))
		_exit(126);
	if (fds->root < 0)
		close(ROOT_FD);
	if (points < 0 || fds->root < 0 || dup2(points, IMAGE_FD_POINTS) < 0)
		close(IMAGE_FD_POINTS);
	for (size_t i = 0; fds->lanes && i < LANE_MAX_LANES; i++)
		if (lanes[i] < 0 || dup2(lanes[i], IMAGE_FD_LANES + (int)i) < 0)
			_exit(126);
	if ((tree >= 0 && dup2(tree, IMAGE_FD_TREE) < 0) || (agent >= 0 && dup2(agent, IMAGE_FD_AGENT) < 0))
		_exit(126);
	if (agent >= 0 && tree < 0)
		close(IMAGE_FD_TREE);
	last = agent >= 0 ? IMAGE_FD_AGENT : tree >= 0 ? IMAGE_FD_TREE : IMAGE_FD_POINTS;
	proc_close_from(fds->lanes ? IMAGE_FD_LANES + LANE_MAX_LANES : last + 1, NULL, 0);
	proc_reset_signals();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(126);
	execve(path, argv, no_environment);
	_exit(errno == ENOENT ? 127 : 126);
}

static const char *get_id(const json_t *j)
{
	const char *id = json_get_str(j, "id", NULL);
	return id && strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64 ? id : NULL;
}

/* One line. Returns 0, or -1 when it makes no sense. */
static int take_line(struct image_child *c, const char *line, size_t n)
{
	AUTO_JSON json_t *j = json_loadb(line, n, 0, NULL);
	const char *event = json_get_str(j, "event", "");
	struct image_event ev = { .id = get_id(j), .pull = c->pull };
	ev.done_bytes = (uint64_t)MAX(json_get_int(j, "done", 0), 0);
	ev.total_bytes = (uint64_t)MAX(json_get_int(j, "total", 0), 0);
	if (strcmp(event, "progress") == 0) {
		ev.kind = IMAGE_PROGRESS;
	} else if (strcmp(event, "layer") == 0) {
		ev.kind = IMAGE_LAYER;
		ev.layer = json_get_str(j, "layer", "");
		ev.state = json_get_str(j, "state", "");
	} else if (strcmp(event, "warning") == 0) {
		ev.kind = IMAGE_WARNING;
		ev.text = json_get_str(j, "text", "");
	} else if (strcmp(event, "loaded") == 0 && ev.id) {
		ev.kind = IMAGE_LOADED;
		ev.ref = json_get_str(j, "ref", NULL);
	} else if (strcmp(event, "done") == 0) {
		c->done = true;
		snprintf(c->id, sizeof(c->id), "%s", ev.id ? ev.id : "");
		snprintf(c->digest, sizeof(c->digest), "%s", json_get_str(j, "digest", ""));
		c->is_new = json_get_bool(j, "new", false);
		c->bytes = (uint64_t)MAX(json_get_int(j, "bytes", 0), 0);
		return 0;
	} else if (strcmp(event, "error") == 0) {
		int64_t code = json_get_int(j, "code", ERR_INVALID);
		if (code <= ERR_NONE || code >= ERR_N_)
			code = ERR_INVALID;
		err_set(&c->err, (enum err_code)code, "%s", json_get_str(j, "message", "failed"));
		c->err.sys = (int)json_get_int(j, "errno", 0);
		return 0;
	} else {
		return -1;
	}
	if (c->fn)
		c->fn(c->arg, &ev);
	return 0;
}

int image_child_read(struct image_child *c, struct err *err)
{
	char *end;
	ssize_t n = read(c->fd, str_reserve(&c->text, 4096), 4096);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0)
		return err_sys(err, errno, "read from muster-image");
	if (n == 0)
		return 1;
	c->text.len += (size_t)n;
	while ((end = memchr(c->text.p, '\n', c->text.len))) {
		size_t len = (size_t)(end - c->text.p);
		if (take_line(c, c->text.p, len) < 0)
			return err_set(err, ERR_CORRUPT, "muster-image answers with something that is not understood");
		c->text.len -= len + 1;
		memmove(c->text.p, end + 1, c->text.len);
	}
	if (c->text.len > MAX_LINE)
		return err_set(err, ERR_CORRUPT, "muster-image answers with a line that is too long");
	return 0;
}

/* What to say when the child ended without a last line. */
static int explain_death(int wstatus, struct err *err)
{
	if (WIFSIGNALED(wstatus))
		return err_set(err, ERR_CORRUPT, "muster-image was ended by %s%s", proc_signal_name(WTERMSIG(wstatus)),
			WTERMSIG(wstatus) == SIGSYS ? ": its jail stopped a forbidden system call" : "");
	return err_set(err, ERR_CORRUPT, "muster-image ended without an answer (exit code %d)", WEXITSTATUS(wstatus));
}

int image_spawn(const struct image_fds *fds, char *const *argv, pid_t *ret_pid, struct err *err)
{
	AUTO_FREE char *path = paths_binary("muster-image", err);
	pid_t parent = getpid();
	if (!path)
		return -1;
	*ret_pid = fork();
	if (*ret_pid == 0)
		run_child(path, argv, fds, parent);
	return *ret_pid < 0 ? err_sys(err, errno, "start muster-image") : 0;
}

int image_child_start(struct image_child *c, int root_fd, int input_fd, const int *lanes, char *const *argv, struct err *err)
{
	int fds[2], rc;
	c->fd = -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	rc = image_spawn(&(struct image_fds){ .input = input_fd, .answer = fds[1], .root = root_fd, .lanes = lanes }, argv, &c->pid, err);
	close(fds[1]);
	if (rc < 0)
		close(fds[0]);
	else
		c->fd = fds[0];
	return rc;
}

int image_child_end(struct image_child *c, int rc, struct err *err)
{
	int wstatus = 0;
	if (rc < 0)
		kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &wstatus, 0) < 0 && errno == EINTR)
		;
	util_close(&c->fd);
	str_done(&c->text);
	if (rc < 0)
		return -1;
	if (c->err.code != ERR_NONE) {
		if (err)
			*err = c->err;
		return -1;
	}
	return c->done && wstatus == 0 ? 0 : explain_death(wstatus, err);
}

static int run(int root_fd, int input_fd, char *const *argv, struct image_child *c, struct err *err)
{
	int rc;
	if (image_child_start(c, root_fd, input_fd, NULL, argv, err) < 0)
		return -1;
	do
		rc = image_child_read(c, err);
	while (rc == 0);
	return image_child_end(c, rc, err);
}

int image_client_import(int root_fd, int input_fd, const char *name, const char *const *changes, const char *message,
	image_event_fn *fn, void *arg, char ret_id[static 65], struct err *err)
{
	AUTO_STRV struct strv argv = {0};
	struct image_child c = { .fn = fn, .arg = arg };
	strv_push(&argv, "muster-image");
	strv_push(&argv, "import");
	if (name) {
		strv_push(&argv, "--name");
		strv_push(&argv, name);
	}
	if (message) {
		strv_push(&argv, "--message");
		strv_push(&argv, message);
	}
	for (; changes && *changes; changes++) {
		strv_push(&argv, "--change");
		strv_push(&argv, *changes);
	}
	if (run(root_fd, input_fd, argv.v, &c, err) < 0)
		return -1;
	if (!c.id[0])
		return err_set(err, ERR_CORRUPT, "muster-image did not say which image it made");
	memcpy(ret_id, c.id, sizeof(c.id));
	return 0;
}

int image_client_load(int root_fd, int input_fd, const char *platform, image_event_fn *fn, void *arg, struct err *err)
{
	AUTO_STRV struct strv argv = {0};
	struct image_child c = { .fn = fn, .arg = arg };
	strv_push(&argv, "muster-image");
	strv_push(&argv, "load");
	if (*platform)
		strv_push(&argv, platform);
	return run(root_fd, input_fd, argv.v, &c, err);
}

int image_client_run(int root_fd, int output_fd, int tree_fd, char *const *argv, image_event_fn *fn, void *arg, char *ret_id, struct err *err)
{
	struct image_child c = { .fn = fn, .arg = arg, .fd = -1 };
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[2], rc;
	if (null < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	rc = image_spawn(&(struct image_fds){ .input = output_fd >= 0 ? output_fd : null, .answer = fds[1], .root = root_fd, .tree = tree_fd }, argv,
		&c.pid, err);
	close(fds[1]);
	if (rc < 0) {
		close(fds[0]);
		return -1;
	}
	c.fd = fds[0];
	do
		rc = image_child_read(&c, err);
	while (rc == 0);
	rc = image_child_end(&c, rc, err);
	if (rc == 0 && ret_id)
		memcpy(ret_id, c.id, sizeof(c.id));
	return rc;
}

int image_client_remove(int root_fd, const char *name, bool force, bool dry_run, store_in_use_fn *in_use, void *arg,
	struct store_removed *ret, struct err *err)
{
	AUTO_STORE struct store *s = NULL;
	if (store_open(root_fd, &s, err) < 0)
		return -1;
	return (dry_run ? store_preview_remove : store_remove)(s, name, force, in_use, arg, ret, err);
}
