/* SPDX-License-Identifier: Apache-2.0 */
/* The request goes into an unnamed file that becomes the helper's standard input, so that neither side can block the other. Its answer
 * is read until it closes its output or its time is up; then it is killed. Helpers know a registry under the very text that it was
 * stored by; when that is not ours, `list` tells. */
#include "compose/credhelper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"

enum { TIMEOUT_MS = 10000, MAX_ANSWER = 256 << 10 };

/* The program's path; NULL when PATH has none. free() it. */
static char *find_program(const char *helper)
{
	const char *path = getenv("PATH");
	while (path && *path) {
		size_t n = strcspn(path, ":");
		AUTO_FREE char *full = xasprintf("%.*s/docker-credential-%s", (int)n, path, helper);
		if (path[0] == '/' && access(full, X_OK) == 0)
			return TAKE_PTR(full);
		path += n + (path[n] == ':');
	}
	return NULL;
}

_Noreturn static void run_program(const char *path, const char *verb, int in, int out)
{
	char *argv[] = { (char *)(uintptr_t)path, (char *)(uintptr_t)verb, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0)
		_exit(126);
	proc_close_from(3, NULL, 0);
	proc_reset_signals();
	execv(path, argv);
	_exit(127);
}

/* Reads until the end of the answer. 0; -1 + err. */
static int read_answer(int fd, struct str *ret, struct err *err)
{
	const uint64_t end = clock_mono_ns() + TIMEOUT_MS * 1000000ULL;
	for (;;) {
		uint64_t now = clock_mono_ns();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;
		int ready = now < end ? poll(&p, 1, (int)((end - now) / 1000000) + 1) : 0;
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return err_set(err, ERR_TIMEOUT, "no answer within %d seconds", TIMEOUT_MS / 1000);
		n = read(fd, str_reserve(ret, 4096), 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? err_sys(err, errno, "read") : 0;
		ret->len += (size_t)n;
		ret->p[ret->len] = '\0';
		if (ret->len > MAX_ANSWER)
			return err_set(err, ERR_INVALID, "its answer is too long");
	}
}

/* Its output has ended: the exit code, -1 when it has to be killed. */
static int await_end(pid_t pid, bool failed)
{
	int wstatus = 0;
	for (unsigned i = 0; i < 100 && !failed; i++) { /* what closes its output may still be busy, but not for long */
		pid_t got = waitpid(pid, &wstatus, WNOHANG);
		if (got == pid)
			return WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : -1;
		usleep(i < 20 ? 1000 : 20000);
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, &wstatus, 0) < 0 && errno == EINTR)
		;
	return -1;
}

static int request_file(const char *request, struct err *err)
{
	AUTO_CLOSE int fd = memfd_create("request", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "memfd_create");
	if (fs_write_all(fd, request, strlen(request), err) < 0)
		return -1;
	return lseek(fd, 0, SEEK_SET) < 0 ? err_sys(err, errno, "lseek") : TAKE_FD(fd);
}

/* Runs it. 0 with its answer; its exit code (> 0) when it ended with an error, the answer says which; -1 + err. */
static int ask(const char *helper, const char *verb, const char *request, struct str *ret, struct err *err)
{
	AUTO_FREE char *path = authfile_is_helper(helper) ? find_program(helper) : NULL;
	AUTO_CLOSE int in = -1, out = -1, answer = -1;
	int fds[2], code, rc;
	char shown[100];
	pid_t pid;
	if (!authfile_is_helper(helper))
		return err_set(err, ERR_INVALID, "\"%s\" cannot be a credential helper's name", err_quote(shown, sizeof(shown), helper));
	if (!path)
		return err_set(err, ERR_NOT_FOUND, "docker-credential-%s is not in PATH", helper);
	in = request_file(request, err);
	if (in < 0)
		return -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	answer = fds[0];
	out = fds[1];
	pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "fork");
	if (pid == 0)
		run_program(path, verb, in, out);
	util_close(&out);
	rc = read_answer(answer, ret, err);
	code = await_end(pid, rc < 0);
	if (rc < 0)
		return err_wrap(err, "docker-credential-%s", helper);
	if (code < 0)
		return err_set(err, ERR_INVALID, "docker-credential-%s did not end well", helper);
	return code;
}

/* What a helper that failed has to say for itself: the first line of its answer. */
static int explain(const char *helper, int code, const struct str *answer, struct err *err)
{
	const char *text = str_get(answer);
	AUTO_FREE char *line = xstrndup(text, MIN(strcspn(text, "\r\n"), (size_t)160));
	char shown[200];
	return err_set(err, ERR_INVALID, "docker-credential-%s: exit code %d%s%s", helper, code, *line ? ": " : "", err_quote(shown, sizeof(shown), line));
}

/* The words by which docker's helpers say that they have no such account. */
static bool is_none(const struct str *answer)
{
	static const char words[] = "credentials not found in native keychain";
	const char *p = str_get(answer);
	p += strspn(p, " \t\r\n");
	return str_starts(p, words) && strspn(p + strlen(words), " \t\r\n") == strlen(p + strlen(words));
}

static void done_answer(struct str *s)
{
	if (s->p)
		explicit_bzero(s->p, s->cap);
	str_done(s);
}

/* The texts by which the helper knows this registry, beyond the usual one. */
static void list_servers(const char *helper, const char *registry, struct strv *ret)
{
	AUTO_STR struct str answer = {0};
	AUTO_JSON json_t *j = NULL;
	const char *key;
	json_t *user;
	if (ask(helper, "list", "", &answer, NULL) != 0)
		return;
	j = json_loadb(str_get(&answer), answer.len, 0, NULL);
	json_object_foreach(j, key, user)
		if (authfile_names(key, registry) && strcmp(key, authfile_server(registry)) != 0)
			strv_push(ret, key);
}

static int get_one(const char *helper, const char *server, struct account *ret, struct err *err)
{
	struct str answer = {0};
	int rc = ask(helper, "get", server, &answer, err);
	if (rc > 0)
		rc = is_none(&answer) ? 1 : explain(helper, rc, &answer, err);
	else if (rc == 0 && (rc = authfile_parse_answer(str_get(&answer), answer.len, ret, err)) < 0)
		err_wrap(err, "docker-credential-%s", helper);
	done_answer(&answer);
	return rc;
}

int credhelper_get(const char *helper, const char *registry, struct account *ret, struct err *err)
{
	AUTO_STRV struct strv servers = {0};
	int rc;
	*ret = (struct account){0};
	rc = get_one(helper, authfile_server(registry), ret, err);
	if (rc == 1)
		list_servers(helper, registry, &servers);
	for (size_t i = 0; i < servers.n && rc == 1; i++)
		rc = get_one(helper, servers.v[i], ret, err);
	return rc;
}

int credhelper_store(const char *helper, const char *registry, const char *username, const char *password, struct err *err)
{
	AUTO_JSON json_t *j = json_object();
	AUTO_FREE char *request = NULL;
	struct str answer = {0};
	int rc;
	json_put_str(j, "ServerURL", authfile_server(registry));
	json_object_set_new(j, "Username", json_text(username));
	json_object_set_new(j, "Secret", json_text(password));
	request = json_canonical(j);
	rc = ask(helper, "store", request, &answer, err);
	explicit_bzero(request, strlen(request));
	if (rc > 0)
		rc = explain(helper, rc, &answer, err);
	done_answer(&answer);
	return rc;
}

int credhelper_erase(const char *helper, const char *registry, struct err *err)
{
	AUTO_STRV struct strv servers = {0};
	bool any = false;
	strv_push(&servers, authfile_server(registry));
	list_servers(helper, registry, &servers);
	for (size_t i = 0; i < servers.n; i++) {
		struct account account = {0};
		struct str answer = {0};
		int rc = get_one(helper, servers.v[i], &account, err);
		account_done(&account);
		if (rc == 0)
			rc = ask(helper, "erase", servers.v[i], &answer, err) < 0 ? -1 : 0;
		done_answer(&answer);
		if (rc < 0)
			return -1;
		any = any || rc == 0;
	}
	return any ? 0 : 1;
}
