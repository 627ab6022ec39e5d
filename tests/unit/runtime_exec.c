/* SPDX-License-Identifier: Apache-2.0 */
/* Further processes in a running container: where they are at their first instruction, what they may, how they end, and the protocol of
 * `muster-run exec`. The container is a busybox that sleeps; needs root. */
#include "tests/unit/runtime_rig_run.h"

#include <signal.h>
#include <sys/socket.h>

#include "base/sock.h"
#include "runtime/exec.h"
#include "runtime/seccomp.h"

struct target {
	struct container_proc proc;
	struct cgroup *cg;
	char path[96];
	struct seccomp_program program;
};

static void target_start(struct rig *r, struct target *t)
{
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "while :; do sleep 0.2; done",
		NULL };
	struct container_spec s;
	struct err err = { 0 };
	rig_spec(r, &s);
	snprintf(t->path, sizeof(t->path), "%s/c/target", r->base);
	CHECK(cgroup_create(r->host, t->path, NULL, true, &t->cg, &err) == 0, "%s", err.msg);
	CHECK(seccomp_default(-1, s.caps, &t->program, &err) == 0, "%s", err.msg);
	s.cgroup = t->cg;
	s.seccomp = &t->program;
	s.argv = argv;
	CHECK(container_spawn(&s, &t->proc, &err) == 0 && container_go(&t->proc, &err) == 0 && rig_wait_started(&t->proc, &err) == 0, "%s",
		err.msg);
}

static void spec_for(const struct target *t, struct exec_spec *s, char *const *argv)
{
	memset(s, 0, sizeof(*s));
	s->pid = t->proc.pid;
	s->start_ticks = t->proc.start_ticks;
	s->cgroup = t->path;
	s->argv = argv;
	s->caps = CONTAINER_DEFAULT_CAPS;
}

/* Waits for the start; 0 or -1 + err with the process reaped. */
static int wait_started(struct exec_proc *p, struct err *err)
{
	for (;;) {
		struct pollfd pfd = { .fd = p->sync_fd, .events = POLLIN };
		int rc;
		CHECK(poll(&pfd, 1, 20000) == 1, "an exec takes more than 20 s");
		rc = exec_progress(p, err);
		if (rc == EXEC_STARTED)
			return 0;
		if (rc < 0) {
			waitpid(p->pid, NULL, 0);
			exec_proc_done(p);
			return -1;
		}
	}
}

/* Runs a script in the container; its exit code, output in r->out. */
static int exec_sh(struct rig *r, const struct target *t, struct exec_spec *s, const char *script)
{
	char *const argv[] = { (char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script, NULL };
	struct exec_proc p;
	struct err err = { 0 };
	int fds[2], stdio[3] = { -1, -1, -1 }, status;
	s->argv = argv;
	CHECK(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	stdio[1] = stdio[2] = fds[1];
	CHECK(exec_start(s, stdio, t->cg, &t->program, &p, &err) == 0, "%s", err.msg);
	close(fds[1]);
	CHECK(wait_started(&p, &err) == 0, "%s (%s)", err.msg, err.origin);
	fs_read_fd(fds[0], 1 << 24, &r->out, NULL);
	close(fds[0]);
	waitpid(p.pid, &status, 0);
	exec_proc_done(&p);
	return proc_exit_code(status);
}

static bool says(const struct rig *r, const char *text)
{
	return strstr(str_get(&r->out), text) != NULL;
}

/* An exec'd process has the container's view, cgroups, rights and clean signals, and is a child of the caller, not of the container. */
static void test_first_instruction(struct rig *r, struct target *t)
{
	struct exec_spec s;
	sigset_t set, old;
	spec_for(t, &s, NULL);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGTERM, SIG_IGN);
	CHECK(exec_sh(r, t, &s,
		      "cat /proc/self/status /proc/self/cgroup; ls /proc/self/fd; [ $(readlink "
		      "/proc/self/ns/cgroup) = $(readlink /proc/1/ns/cgroup) ]; echo $?;"
		      "hostname; exit 5") == 5,
		"exit code: %s", str_get(&r->out));
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK(says(r, "SigBlk:\t0000000000000000") && says(r, "SigIgn:\t0000000000000000") && says(r, "CapEff:\t00000000a80425fb") &&
			says(r, "Seccomp:\t2"),
		"%s", str_get(&r->out));
	CHECK(says(r, "CapInh:\t0000000000000000") && says(r, "NSsid:"), "%s", str_get(&r->out));
	CHECK(!says(r, "muster-test") && (says(r, "memory:/\n") || says(r, "0::/\n")) && says(r, "\n0\n1\n2\n3\n0\nrig\n"), "%s",
		str_get(&r->out));
	CHECK(exec_sh(r, t, &s, "kill -TERM $$") == 128 + SIGTERM, "signal");
	CHECK(exec_sh(r, t, &s, "ps | grep -c 'sleep'") == 0, "the container's processes are visible");
	s.user = "web";
	s.cwd = "/tmp";
	CHECK(exec_sh(r, t, &s, "id -u; pwd; echo $HOME; cat /proc/self/status") == 0 && says(r, "1000\n/tmp\n/home\n") &&
			says(r, "CapEff:\t0000000000000000"),
		"%s", str_get(&r->out));
	s.user = NULL;
	s.privileged = true;
	CHECK(exec_sh(r, t, &s, "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp && mount | grep -c ' /tmp '") == 0 &&
			says(r, "Seccomp:\t0"),
		"%s", str_get(&r->out));
}

/* The process is in its cgroup already when it is first seen there by the kernel: a pids limit of what runs now refuses nothing it
 * should not, and every process of the script is listed. */
static void test_cgroup(struct rig *r, struct target *t)
{
	char *const argv[] = { (char *)(uintptr_t) "sleep", (char *)(uintptr_t) "30", NULL };
	static const int stdio[3] = { -1, -1, -1 };
	AUTO_FREE pid_t *pids = NULL;
	struct exec_spec s;
	struct exec_proc p;
	struct err err = { 0 };
	size_t n = 0;
	bool found = false;
	int status;
	(void)r;
	spec_for(t, &s, argv);
	CHECK(exec_start(&s, stdio, t->cg, &t->program, &p, &err) == 0 && wait_started(&p, &err) == 0, "%s", err.msg);
	CHECK(cgroup_pids(t->cg, &pids, &n, &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < n; i++)
		found = found || pids[i] == p.pid;
	CHECK(found, "the process is not in the container's cgroup");
	CHECK(cgroup_kill(t->cg, &err) == 0, "%s", err.msg);
	waitpid(p.pid, &status, 0);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "killed with its container");
	exec_proc_done(&p);
	waitpid(t->proc.pid, &status, 0);
	CHECK(WIFSIGNALED(status), "the container is killed");
	CHECK(exec_start(&s, stdio, t->cg, &t->program, &p, &err) == -1 && err.code == ERR_NOT_FOUND, "an exec into what is gone: %s",
		err.msg);
	s.pid = getpid();
	CHECK(exec_start(&s, stdio, t->cg, &t->program, &p, &err) == -1 && err.code == ERR_NOT_FOUND, "another process of that number: %s",
		err.msg);
}

static void fails(const struct target *t, struct exec_spec *s, const char *command, enum err_code code, const char *message)
{
	char *const argv[] = { (char *)(uintptr_t)command, NULL };
	static const int stdio[3] = { -1, -1, -1 };
	struct exec_proc p;
	struct err err = { 0 };
	s->argv = argv;
	CHECK(exec_start(s, stdio, t->cg, &t->program, &p, &err) == 0, "%s", err.msg);
	CHECK(wait_started(&p, &err) == -1 && err.code == code && strstr(err.msg, message), "%s: %d %s (%s)", command, (int)err.code,
		err.msg, err.origin);
}

static void test_failures(struct target *t)
{
	struct exec_spec s;
	char cwd[32];
	spec_for(t, &s, NULL);
	fails(t, &s, "nosuchcmd", ERR_NO_COMMAND, "executable file not found in $PATH");
	fails(t, &s, "/etc/passwd", ERR_NOT_EXEC, "permission denied");
	s.user = "nobody";
	fails(t, &s, "true", ERR_INVALID, "unable to find user nobody");
	s.user = NULL;
	s.cwd = "/not/there";
	fails(t, &s, "true", ERR_INVALID, "working directory \"/not/there\" does not exist");
	for (int fd = 3; fd < 24; fd++) { /* CVE-2024-21626 for exec */
		char *const argv[] = { (char *)(uintptr_t) "true", NULL };
		static const int stdio[3] = { -1, -1, -1 };
		struct exec_proc p;
		struct err err = { 0 };
		snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", fd);
		s.cwd = cwd;
		s.argv = argv;
		CHECK(exec_start(&s, stdio, t->cg, &t->program, &p, &err) == 0 && wait_started(&p, &err) == -1, "entered %s", cwd);
	}
}

/* muster-run exec as the CLI sees it: frames over a socket, the master of the pty, the exit code; ret: the code of the process. */
static int run_main(const struct exec_spec *s, struct str *frames, int *ret_console, struct err *err)
{
	int pair[2], status;
	pid_t pid;
	AUTO_STR struct str frame = { 0 };
	AUTO_JSON json_t *j = exec_spec_to_json(s);
	char *text = json_dumps(j, 0);
	CHECK(sock_pair(SOCK_STREAM, pair, err) == 0, "%s", err->msg);
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		_exit(exec_main(pair[1]));
	}
	close(pair[1]);
	CHECK(sock_send_frame(pair[0], text, strlen(text), NULL, 0, err) == 0, "%s", err->msg);
	free(text);
	for (;;) {
		int fd = -1;
		size_t n = 1;
		if (sock_recv_frame(pair[0], &frame, &fd, &n, err) <= 0)
			break;
		str_addf(frames, "%s\n", frame.p);
		if (n == 1) {
			*ret_console = fd;
			CHECK(strstr(frame.p, "console"), "%s", frame.p);
		}
	}
	close(pair[0]);
	waitpid(pid, &status, 0);
	return proc_exit_code(status);
}

static void test_main(struct target *t)
{
	char *const good[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "exit 9", NULL };
	char *const bad[] = { (char *)(uintptr_t) "nosuchcmd", NULL };
	char *const tty[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "tty; stty size; sleep 0.2", NULL };
	AUTO_STR struct str out = { 0 };
	AUTO_CLOSE int console = -1;
	struct exec_spec s;
	struct err err = { 0 };
	char buf[256];
	ssize_t n;
	spec_for(t, &s, good);
	CHECK(run_main(&s, &out, &console, &err) == 9, "%s", out.p);
	CHECK(strstr(out.p, "\"started\"") && strstr(out.p, "{\"type\":\"exit\",\"code\":9}"), "%s", out.p);
	str_clear(&out);
	s.argv = bad;
	CHECK(run_main(&s, &out, &console, &err) == 127 && strstr(out.p, "\"error\"") && strstr(out.p, "not found in $PATH"), "%s", out.p);
	str_clear(&out);
	s.argv = tty;
	s.tty = true;
	s.tty_rows = 11;
	s.tty_cols = 22;
	CHECK(run_main(&s, &out, &console, &err) == 0 && console >= 0, "%s", out.p);
	n = read(console, buf, sizeof(buf) - 1);
	CHECK(n > 0 && (buf[n] = '\0', strstr(buf, "/dev/pts/")) && strstr(buf, "11 22"), "%s", buf);
	str_clear(&out);
	s.argv = good;
	s.tty = false;
	s.detach = true;
	CHECK(run_main(&s, &out, &console, &err) == 0 && !strstr(out.p, "\"exit\""), "%s", out.p);
}

int main(void)
{
	struct rig r;
	struct target t = { 0 };
	struct err err = { 0 };
	rig_init(&r);
	target_start(&r, &t);
	test_first_instruction(&r, &t);
	test_failures(&t);
	test_main(&t);
	test_cgroup(&r, &t);
	container_proc_done(&t.proc);
	seccomp_done(&t.program);
	t.cg = cgroup_free(t.cg);
	for (int i = 0; i < 100 && cgroup_remove(r.host, t.path, &err) == 1; i++)
		usleep(10000);
	cgroup_remove_parents(r.host, t.path);
	rig_done(&r);
	return 0;
}
