/* SPDX-License-Identifier: Apache-2.0 */
/* `muster-run exec`: the process between the CLI and a command in a container. It stays outside of the container, passes signals on,
 * reports how the command ended, and holds no terminal: the pty's master goes to the CLI. See exec.h for the protocol.
 *
 * It is the command's parent and must always be there to reap it: a zombie keeps the container's pid namespace, and so the container's
 * own end, from completing. Hence a session of its own, which a Ctrl+Z at the CLI does not stop, and hence a detached command keeps
 * its parent, too, while the process that the CLI waits for returns. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/proc.h"
#include "base/sock.h"
#include "runtime/cgroup.h"
#include "runtime/exec.h"
#include "runtime/seccomp.h"

static void send_json(int fd, json_t *j, int pass_fd)
{
	char *text = json_dumps(j, JSON_COMPACT);
	if (text)
		sock_send_frame(fd, text, strlen(text), &pass_fd, pass_fd >= 0, NULL); /* nobody listens any more: the command goes on */
	free(text);
	json_decref(j);
}

static int send_error(int fd, const struct err *e)
{
	send_json(fd, json_pack("{s:s, s:i, s:i, s:s}", "type", "error", "code", (int)e->code, "sys", e->sys, "message", e->msg), -1);
	return e->code == ERR_NO_COMMAND ? 127 : e->code == ERR_NOT_EXEC ? 126 : 1;
}

static int read_spec(int fd, struct arena *a, struct exec_spec *ret, struct err *err)
{
	AUTO_STR struct str text = { 0 };
	AUTO_JSON json_t *j = NULL;
	int rc = sock_recv_frame(fd, &text, NULL, NULL, err);
	if (rc <= 0)
		return rc < 0 ? -1 : err_set(err, ERR_INVALID, "exec: no specification");
	j = json_loadb(text.p, text.len, 0, NULL);
	if (!j)
		return err_set(err, ERR_INVALID, "exec: malformed specification");
	return exec_spec_from_json(j, a, ret, err);
}

/* The filter of the container, from the cache. */
static int load_filter(const struct exec_spec *s, struct seccomp_program *ret, struct err *err)
{
	AUTO_CLOSE int dir = s->seccomp_cache && *s->seccomp_cache ? open(s->seccomp_cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (s->unconfined || s->privileged)
		return 0;
	return seccomp_default(dir, s->caps, ret, err);
}

static int start(const struct exec_spec *s, struct exec_proc *ret, struct err *err)
{
	static const int stdio[3] = { 0, 1, 2 };
	struct seccomp_program program = { 0 };
	struct cgroup_host *host = NULL;
	AUTO_CGROUP struct cgroup *cg = NULL;
	int rc = load_filter(s, &program, err);
	if (rc == 0 && s->cgroup) {
		rc = cgroup_host_open(&host, err);
		if (rc == 0)
			rc = cgroup_open(host, s->cgroup, &cg, err);
		if (rc == 1)
			rc = err_set(err, ERR_NOT_FOUND, "the container is not running: it has no cgroup");
	}
	if (rc == 0)
		rc = exec_start(s, stdio, cg, program.n ? &program : NULL, ret, err);
	seccomp_done(&program);
	cg = cgroup_free(cg);
	cgroup_host_close(host);
	return rc;
}

/* Blocks what is passed on and returns a descriptor for it; the child resets its mask before exec. */
static int open_signals(void)
{
	static const int forwarded[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void forward_signals(int signal_fd, int pidfd)
{
	struct signalfd_siginfo info;
	while (read(signal_fd, &info, sizeof(info)) == sizeof(info))
		proc_pidfd_signal(pidfd, (int)info.ssi_signo);
}

/* Exit code of the child, which has ended. */
static int reap(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return proc_exit_code(status);
}

/* What the child reported: -1 while it goes on, else muster-run's exit code. */
static int progress(int control_fd, struct exec_proc *p)
{
	struct err err;
	int rc = exec_progress(p, &err);
	if (rc < 0) {
		reap(p->pid);
		return send_error(control_fd, &err);
	}
	if (rc == EXEC_CONSOLE) {
		send_json(control_fd, json_pack("{s:s}", "type", "console"), p->console_fd);
		util_close(&p->console_fd);
	}
	if (rc == EXEC_STARTED) {
		send_json(control_fd, json_pack("{s:s, s:i}", "type", "started", "pid", (int)p->pid), -1);
		for (int fd = 0; fd < 3; fd++)
			close(fd); /* the command's own: whoever reads its output must see the end */
	}
	return -1;
}

/* Starts the command and stays with it to its end; started_fd, when there is one, gets the exit code of a detached start. */
static int stay(int control_fd, int started_fd, const struct exec_spec *spec, struct err *err)
{
	AUTO_CLOSE int signal_fd = open_signals();
	struct exec_proc p;
	int code = -1;
	if (start(spec, &p, err) < 0)
		return send_error(control_fd, err);
	while (code < 0) {
		struct pollfd fds[] = { { p.sync_fd, POLLIN, 0 }, { signal_fd, POLLIN, 0 }, { p.sync_fd < 0 ? p.pidfd : -1, POLLIN, 0 } };
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			forward_signals(signal_fd, p.pidfd);
		if (fds[0].revents) {
			code = progress(control_fd, &p);
			if (code < 0 && p.sync_fd < 0 && started_fd >= 0) {
				util_close(&control_fd);
				code = write(started_fd, &(int){ 0 }, sizeof(int)) < 0 ? 1 : -1;
			}
		} else if (fds[2].revents) {
			code = reap(p.pid);
			if (started_fd < 0)
				send_json(control_fd, json_pack("{s:s, s:i}", "type", "exit", "code", code), -1);
		}
	}
	exec_proc_done(&p);
	return code < 0 ? 1 : code;
}

/* The detached way: a child stays with the command, this process returns as soon as it runs. */
static int leave(int control_fd, const struct exec_spec *spec, struct err *err)
{
	int fds[2], code = 1;
	pid_t pid;
	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		err_sys(err, errno, "start a process");
		return send_error(control_fd, err);
	}
	if (pid == 0) {
		close(fds[0]);
		setsid();
		code = stay(control_fd, fds[1], spec, err);
		_exit(write(fds[1], &code, sizeof(code)) < 0);
	}
	close(fds[1]);
	if (read(fds[0], &code, sizeof(code)) != sizeof(code))
		code = 1;
	close(fds[0]);
	return code;
}

int exec_main(int control_fd)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct exec_spec spec;
	struct err err;
	setsid();
	signal(SIGPIPE, SIG_IGN);
	fcntl(control_fd, F_SETFD, FD_CLOEXEC);
	if (read_spec(control_fd, a, &spec, &err) < 0)
		return send_error(control_fd, &err);
	return spec.detach ? leave(control_fd, &spec, &err) : stay(control_fd, -1, &spec, &err);
}
