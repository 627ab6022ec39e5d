/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of the control socket. */
#include "compose/control.h"

#include <poll.h>
#include <sys/socket.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/sock.h"
#include "compose/anchor.h"

enum { START_TRIES = 10, FOLLOW_TRIES = 20, RENEW_TIMEOUT_MS = 15000 };

static int say_hello(int fd, struct err *err)
{
	AUTO_JSON json_t *hello = json_pack("{s:s,s:i,s:s}", "op", "hello", "protocol", CONTROL_PROTOCOL, "build", MUSTER_VERSION);
	AUTO_JSON json_t *answer = NULL;
	int rc = control_send(fd, hello, NULL, 0, err) < 0 ? -1 : control_recv(fd, &answer, NULL, NULL, err);
	if (rc == 0)
		return err_sys(err, ECONNRESET, "the supervisor went away");
	if (rc < 0)
		return -1;
	if (!json_get_bool(answer, "ok", false))
		return err_set(err, ERR_CONFLICT, "the supervisor refuses: %s", json_get_str(answer, "error", "no reason given"));
	return 0;
}

/* The project's processes run from another build than this: they are replaced, between two operations; what runs in containers runs on.
 * 0 once the connection has ended, 1 when they stay as they are. */
static int renew(int fd)
{
	char origin[ANCHOR_ORIGIN_BYTES];
	AUTO_CLOSE int binary_fd = anchor_newer(origin, NULL);
	AUTO_JSON json_t *request = NULL, *answer = NULL;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (binary_fd < 0)
		return 1;
	request = json_pack("{s:s,s:s}", "op", "renew", "origin", origin);
	if (control_send(fd, request, &binary_fd, 1, NULL) < 0 || poll(&p, 1, RENEW_TIMEOUT_MS) <= 0)
		return 1;
	return control_recv(fd, &answer, NULL, NULL, NULL) == 1; /* an older one that does not know the request */
}

int control_connect(const struct paths *p, const char *project, bool start, struct err *err)
{
	bool renewed = false;
	for (int tries = 0;; tries++) {
		struct err e = {0};
		AUTO_CLOSE int run_fd = paths_run(p, project, false, &e); /* whoever starts makes it: an ending anchor may remove it any time */
		AUTO_CLOSE int fd = run_fd < 0 ? -1 : sock_connect(run_fd, "control", SOCK_STREAM, &e);
		if (fd >= 0 && say_hello(fd, &e) == 0) {
			if (!start || renewed || !anchor_outdated(p, project))
				return TAKE_FD(fd);
			renewed = true;
			if (renew(fd) == 1)
				tries--; /* it goes on as it is; that connection has waited for an answer that need not come */
			continue;
		}
		if (fd < 0 && e.sys != ENOENT && e.sys != ECONNREFUSED) {
			*err = e;
			return -1;
		}
		if (!start)
			return -2;
		if (tries == START_TRIES) {
			*err = e;
			return err_wrap(err, "project %s", project);
		}
		if (anchor_start(p, project, err) < 0)
			return -1;
	}
}

int control_send(int fd, const json_t *request, const int *fds, size_t n_fds, struct err *err)
{
	AUTO_FREE char *text = json_dumps(request, JSON_COMPACT);
	if (!text)
		util_oom();
	if (failpoint_err("muster.send", err) < 0)
		return -1;
	return sock_send_frame(fd, text, strlen(text), fds, n_fds, err);
}

int control_recv(int fd, json_t **ret, int *fds, size_t *n_fds, struct err *err)
{
	AUTO_STR struct str text = {0};
	json_error_t je;
	int rc = sock_recv_frame(fd, &text, fds, n_fds, err);
	if (rc <= 0)
		return rc < 0 && err && err->sys == ECONNRESET ? 0 : rc;
	failpoint("muster.event");
	*ret = json_loadb(str_get(&text), text.len, 0, &je);
	if (!json_is_object(*ret)) {
		json_decref(*ret);
		*ret = NULL;
		return err_set(err, ERR_CORRUPT, "control message: %s", je.text);
	}
	return 1;
}

int control_follow(const struct paths *p, const char *project, bool start, const char *id, int *ret_exit, struct err *err)
{
	AUTO_JSON json_t *follow = json_pack("{s:s,s:s*}", "op", "follow", "id", id);
	for (int tries = 0; tries < FOLLOW_TRIES; tries++) {
		AUTO_JSON json_t *answer = NULL;
		AUTO_CLOSE int fd = control_connect(p, project, start, err);
		if (fd < 0)
			return fd;
		if (control_send(fd, follow, NULL, 0, err) < 0 || control_recv(fd, &answer, NULL, NULL, err) != 1)
			continue;
		if (ret_exit)
			*ret_exit = (int)json_get_int(answer, "exit_code", -2);
		return TAKE_FD(fd);
	}
	return err_set(err, ERR_SYS, "the supervisor of project %s keeps going away; see muster.log in its run directory", project);
}

/* Reads events until "done": its exit; -2 when the supervisor went away; -1 + err. */
static int read_events(int fd, void (*fn)(void *arg, const json_t *event), void *arg, struct err *err)
{
	for (;;) {
		AUTO_JSON json_t *event = NULL;
		int rc = control_recv(fd, &event, NULL, NULL, err);
		const char *text;
		if (rc <= 0)
			return rc < 0 ? -1 : -2;
		if (!json_get_bool(event, "done", false)) {
			if (fn)
				fn(arg, event);
			continue;
		}
		text = json_get_str(event, "error", NULL);
		if (text)
			err_set(err, (enum err_code)json_get_int(event, "error_code", ERR_INVALID), "%s", text);
		return (int)json_get_int(event, "exit", text ? 1 : 0);
	}
}

int control_request(const struct paths *p, const char *project, const json_t *request, bool start, bool again,
		    void (*fn)(void *arg, const json_t *event), void *arg, struct err *err)
{
	for (int tries = 0; tries < 20; tries++) {
		AUTO_CLOSE int fd = control_connect(p, project, start || tries, err);
		int rc;
		if (fd < 0)
			return fd;
		if (control_send(fd, request, NULL, 0, err) < 0)
			rc = -2;
		else
			rc = read_events(fd, fn, arg, err);
		if (rc != -2 || !again)
			return rc == -2 ? err_set(err, ERR_SYS, "the supervisor of project %s went away before it answered", project) : rc;
	}
	return err_set(err, ERR_SYS, "the supervisor of project %s keeps going away; see muster.log in its run directory", project);
}
