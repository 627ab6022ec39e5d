/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a running container. The caller points the pid namespace of its next child at the container's, clones, and points back: the
 * child is the caller's own, born in the container's pid namespace and, on v2, in its cgroup. All that the container could reach of it
 * before exec is its /proc entry, which non-dumpability closes (CVE-2016-9962, CVE-2019-5736). Namespace joins of the child itself
 * come after the cgroup. */
#include "runtime/exec.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/sock.h"
#include "runtime/cgroup.h"
#include "runtime/command.h"
#include "runtime/console.h"
#include "runtime/report.h"
#include "runtime/rights.h"
#include "runtime/spawn.h"
#include "runtime/stdio.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#define EVERY_CAPABILITY (~0ULL)

static const struct {
	const char *name;
	int flag;
} namespaces[] = {
	{ "cgroup", CLONE_NEWCGROUP },
	{ "ipc", CLONE_NEWIPC },
	{ "uts", CLONE_NEWUTS },
	{ "net", CLONE_NEWNET },
	{ "mnt", CLONE_NEWNS },
};

void exec_proc_init(struct exec_proc *p)
{
	memset(p, 0, sizeof(*p));
	p->pidfd = p->sync_fd = p->console_fd = -1;
}

static int open_ns(pid_t pid, const char *name)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* One setns for all by pidfd (5.8); else one by one, the mount namespace last because it takes /proc away. */
static int join_namespaces(pid_t pid, int pidfd, struct err *err)
{
	int fds[ARRAY_SIZE(namespaces)], mask = 0, rc = 0;
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
		mask |= namespaces[i].flag;
	if (setns(pidfd, mask) == 0)
		return 0;
	if (errno != EINVAL && errno != EBADF && errno != ENOSYS)
		return err_sys(err, errno, "join the container's namespaces");
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
		fds[i] = open_ns(pid, namespaces[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		if (rc == 0 && (fds[i] < 0 || setns(fds[i], namespaces[i].flag) < 0))
			rc = err_sys(err, errno, "join the container's %s namespace", namespaces[i].name);
		util_close(&fds[i]);
	}
	return rc;
}

struct child {
	const struct exec_spec *spec;
	const int *stdio;
	struct cgroup *cg;
	const struct seccomp_program *program;
	int container_pidfd, sync_fd;
	bool cloned;
};

/* Enters the container and closes what it must not see. */
static int enter(const struct child *c, const int stdio[3], struct err *err)
{
	int keep[] = { c->container_pidfd, c->sync_fd, stdio[0], stdio[1], stdio[2] };
	if (spawn_new_session(err) < 0 || (c->cg && cgroup_enter(c->cg, c->cloned, err) < 0))
		return -1;
	proc_close_from(3, keep, ARRAY_SIZE(keep));
	return join_namespaces(c->spec->pid, c->container_pidfd, err);
}

/* The pty of the container's own devpts, its master sent to the parent. */
static int make_console(const struct child *c, int root_fd, int *ret_slave, struct err *err)
{
	AUTO_CLOSE int dev = openat(root_fd, "dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct report_fds fds;
	report_fds_init(&fds);
	if (dev < 0)
		return err_sys(err, errno, "open /dev of the container");
	if (console_open(dev, c->spec->tty_rows, c->spec->tty_cols, &fds.console, ret_slave, err) < 0)
		return -1;
	report_send(c->sync_fd, REPORT_PREPARED, NULL, &fds);
	report_fds_close(&fds);
	return 0;
}

static int child_steps(const struct child *c, struct err *err)
{
	const struct exec_spec *s = c->spec;
	struct user_identity user;
	struct rights rights = { .user = &user,
		.caps = s->privileged ? EVERY_CAPABILITY : s->caps,
		.no_new_privs = s->no_new_privs,
		.seccomp = s->privileged ? NULL : c->program };
	char path[4096], **envp;
	AUTO_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC), root = -1;
	int slave = -1, fds[3];
	if (null < 0)
		return err_sys(err, errno, "open /dev/null");
	for (int i = 0; i < 3; i++)
		fds[i] = c->stdio[i] >= 0 ? c->stdio[i] : null;
	if (enter(c, fds, err) < 0)
		return -1;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || user_resolve(root, s->user, &user, err) < 0)
		return root < 0 ? err_sys(err, errno, "open the container's root") : -1;
	envp = command_environ(s->envp, NULL, s->tty, user.home);
	if (s->tty && make_console(c, root, &slave, err) < 0)
		return -1;
	if ((s->tty ? stdio_connect_tty(slave, user.uid, err) : stdio_connect(fds, user.uid, err)) < 0)
		return -1;
	util_close(&slave);
	util_close(&root);
	proc_cloexec_from(3);
	if (rights_become(&rights, err) < 0)
		return -1;
	spawn_stay_bound(c->sync_fd);
	if (command_chdir(s->cwd, err) < 0 || command_find(s->argv[0], envp, path, sizeof(path), err) < 0 || rights_seal(&rights, err) < 0)
		return -1;
	report_send(c->sync_fd, REPORT_EXEC, NULL, NULL);
	return command_exec(-1, path, s->argv, envp, err);
}

/* Clones into the pid namespace of pidfd's process. The way back must not fail: all later children would be born in that container. */
static pid_t clone_into_pid_namespace(
	const struct exec_spec *s, int container_pidfd, int cgroup_fd, int *ret_pidfd, bool *ret_cloned, struct err *err)
{
	AUTO_CLOSE int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int target = -1;
	pid_t pid;
	if (own < 0)
		return err_sys(err, errno, "open /proc/self/ns/pid");
	if (setns(container_pidfd, CLONE_NEWPID) < 0) {
		target = open_ns(s->pid, "pid");
		if (target < 0 || setns(target, CLONE_NEWPID) < 0)
			return err_sys(err, errno, "join the container's pid namespace");
	}
	pid = spawn_clone(0, cgroup_fd, ret_pidfd, ret_cloned, err);
	if (pid != 0 && setns(own, CLONE_NEWPID) < 0)
		abort();
	return pid;
}

int exec_start(const struct exec_spec *spec, const int stdio[3], struct cgroup *cg, const struct seccomp_program *program,
	struct exec_proc *ret, struct err *err)
{
	AUTO_CLOSE int container = -1;
	struct exec_proc p;
	bool cloned;
	int pair[2];
	exec_proc_init(&p);
	if (!spec->argv || !spec->argv[0])
		return err_set(err, ERR_INVALID, "no command");
	container = proc_pidfd_open(spec->pid);
	if (container < 0 || !proc_is(spec->pid, spec->start_ticks))
		return err_set(err, ERR_NOT_FOUND, "the container is not running");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (sock_pair(SOCK_SEQPACKET, pair, err) < 0)
		return -1;
	p.pid = clone_into_pid_namespace(spec, container, cg ? cgroup_clone_fd(cg) : -1, &p.pidfd, &cloned, err);
	if (p.pid == 0) {
		struct child c = { spec, stdio, cg, program, container, pair[1], cloned };
		struct err failure = { 0 };
		close(pair[0]);
		child_steps(&c, &failure);
		report_fail(pair[1], &failure);
	}
	close(pair[1]);
	p.sync_fd = pair[0];
	if (p.pid < 0) {
		exec_proc_done(&p);
		return -1;
	}
	fcntl(p.sync_fd, F_SETFL, O_NONBLOCK);
	*ret = p;
	return 0;
}

int exec_progress(struct exec_proc *p, struct err *err)
{
	if (p->sync_fd < 0)
		return p->gone ? err_set(err, ERR_NOT_FOUND, "process %d is gone before its start", (int)p->pid) : EXEC_STARTED;
	for (;;) {
		struct report_fds fds;
		int rc = report_recv(p->sync_fd, err, &fds);
		if (rc == -EAGAIN)
			return EXEC_WAITING;
		if (rc == REPORT_PREPARED) {
			util_close(&p->console_fd);
			p->console_fd = fds.console;
			return EXEC_CONSOLE;
		}
		if (rc == REPORT_EXEC) {
			p->exec = true;
			continue;
		}
		util_close(&p->sync_fd);
		if (rc == REPORT_END && p->exec)
			return EXEC_STARTED;
		p->gone = true;
		if (rc == REPORT_END)
			err_set(err, ERR_NOT_FOUND, "process %d was killed before its start", (int)p->pid);
		return -1;
	}
}

void exec_proc_done(struct exec_proc *p)
{
	util_close(&p->pidfd);
	util_close(&p->sync_fd);
	util_close(&p->console_fd);
}
