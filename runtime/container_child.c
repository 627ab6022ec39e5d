/* SPDX-License-Identifier: Apache-2.0 */
/* The child of container_spawn(), a fork of the supervisor that becomes pid 1 of the container. Until exec it must die with its
 * parent, may not be looked into from the container (the parent is non-dumpable, which the child inherits), and holds only the
 * descriptors that it needs: everything else of the supervisor, its locks above all, is closed as soon as the layers and sources are
 * turned into mounts. The parent's blocked signals stay blocked until the clean state right before exec, so that none of its handlers
 * ever runs here. */
#include "runtime/container_child.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/failpoint.h"
#include "base/proc.h"
#include "runtime/cgroup.h"
#include "runtime/command.h"
#include "runtime/init.h"
#include "runtime/mounts.h"
#include "runtime/report.h"
#include "runtime/rights.h"
#include "runtime/rootfs.h"
#include "runtime/spawn.h"
#include "runtime/stdio.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

/* Closes all but what is still needed, so that nothing of the supervisor outlives it in us. */
static void keep_descriptors(const struct rootfs *r, int sync_fd, const struct report_fds *made)
{
	const struct container_spec *s = r->spec;
	AUTO_FREE int *keep = xcalloc(s->n_mounts * 4 + s->n_layers + 32, sizeof(*keep));
	size_t n = rootfs_descriptors(r, keep, 0);
	keep[n++] = sync_fd;
	if (s->init && s->init_fd >= 0)
		keep[n++] = s->init_fd;
	if (s->mark_fd >= 0)
		keep[n++] = s->mark_fd;
	for (int i = 0; i < 3; i++)
		if (!s->tty && s->stdio[i] > 2)
			keep[n++] = s->stdio[i];
	for (size_t i = 0; i < CONTAINER_NETWORK_FDS; i++)
		if (made->network[i] >= 0)
			keep[n++] = made->network[i];
	proc_close_from(3, keep, n);
}

/* Cgroups first, then the namespaces that the child makes itself: the cgroup namespace's root is where we are when it is made; the network's
 * wiring needs what is closed next. */
static int enter_namespaces(struct rootfs *r, bool cloned, int sync_fd, struct report_fds *made, struct err *err)
{
	const struct container_spec *s = r->spec;
	if (failpoint_err("child.born", err) < 0 || (s->cgroup && cgroup_enter(s->cgroup, cloned, err) < 0) || failpoint_err("child.cgroup", err) < 0)
		return -1;
	if (s->join_netns_fd >= 0 && setns(s->join_netns_fd, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "join the network namespace");
	if (s->network && s->network(s->network_arg, made->network, err) < 0)
		return -1;
	if (failpoint_err("child.network", err) < 0)
		return -1;
	if (rootfs_prepare(r, s, err) < 0 || failpoint_err("child.overlay", err) < 0)
		return -1;
	keep_descriptors(r, sync_fd, made);
	if (unshare(CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
		return err_sys(err, errno, "make a mount namespace");
	return failpoint_err("child.namespace", err);
}

static int set_names(const struct container_spec *s, struct err *err)
{
	if (s->hostname && sethostname(s->hostname, strlen(s->hostname)) < 0)
		return err_sys(err, errno, "set the host name");
	if (s->domainname && setdomainname(s->domainname, strlen(s->domainname)) < 0)
		return err_sys(err, errno, "set the domain name");
	return failpoint_err("child.names", err);
}

/* Waits for go; the end of the socket means that the parent is gone. */
static void wait_for_go(int sync_fd)
{
	char go;
	ssize_t n;
	do
		n = recv(sync_fd, &go, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(125);
}

/* The pty, or what was given, with the null device of the new /dev in the gaps. */
static int connect_stdio(struct rootfs *r, uid_t uid, struct err *err)
{
	const struct container_spec *s = r->spec;
	AUTO_CLOSE int null = -1;
	int fds[3];
	if (s->tty)
		return stdio_connect_tty(r->console_slave, uid, err);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_sys(err, errno, "open /dev/null");
	for (int i = 0; i < 3; i++)
		fds[i] = s->stdio[i] >= 0 ? s->stdio[i] : null;
	return stdio_connect(fds, uid, err);
}

/* Right before exec, when nothing of ours can end us any more: from here on the command has run. Taken back when there was none to run. */
static void set_mark(int mark_fd, bool on)
{
	if (mark_fd >= 0 && (on ? write(mark_fd, "x", 1) : ftruncate(mark_fd, 0)) < 0)
		return;
}

/* The command, or the init with the command behind it. */
static int run(const struct container_spec *s, const struct rights *rights, char **envp, int sync_fd, struct err *err)
{
	char path[4096];
	struct strv argv = { 0 };
	if (command_find(s->argv[0], envp, path, sizeof(path), err) < 0 || failpoint_err("child.seal", err) < 0 || rights_seal(rights, err) < 0)
		return -1;
	if (failpoint_err("child.exec", err) < 0)
		return -1;
	report_send(sync_fd, REPORT_EXEC, NULL, NULL);
	failpoint("child.said");
	if (s->init) {
		strv_push(&argv, INIT_NAME);
		strv_push(&argv, path);
	}
	for (char *const *a = s->argv; *a; a++)
		strv_push(&argv, *a);
	if (!s->bound)
		prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	set_mark(s->mark_fd, true);
	command_exec(s->init ? s->init_fd : -1, s->init ? "init" : path, argv.v, envp, err);
	set_mark(s->mark_fd, false);
	return -1;
}

static int prepare(struct rootfs *r, struct user_identity *user, const struct container_spec *s, int sync_fd, bool cloned, struct report_fds *made,
		   struct err *err)
{
	int cwd;
	if (spawn_new_session(err) < 0)
		return -1;
	r->spec = s;
	if (enter_namespaces(r, cloned, sync_fd, made, err) < 0 || rootfs_build(r, err) < 0 || set_names(s, err) < 0)
		return -1;
	if (user_resolve(r->root_fd, s->user, user, err) < 0 || failpoint_err("child.user", err) < 0)
		return -1;
	cwd = s->cwd && s->cwd[0] == '/' && s->cwd[1] && !s->read_only_root ? mounts_target(r->root_fd, s->cwd, true, err) : -1;
	if (cwd < 0 && s->cwd && s->cwd[0] == '/' && s->cwd[1] && !s->read_only_root)
		return err_wrap(err, "working directory");
	util_close(&cwd);
	return 0;
}

_Noreturn void container_child_run(const struct container_spec *s, int sync_fd, bool cloned)
{
	struct err err = { 0 };
	struct rootfs r;
	struct user_identity user;
	struct rights rights = { .user = &user,
		.caps = s->caps,
		.no_new_privs = s->no_new_privs,
		.seccomp = s->seccomp,
		.rlimits = s->rlimits,
		.n_rlimits = s->n_rlimits };
	struct report_fds made;
	char **envp;
	report_fds_init(&made);
	if (prepare(&r, &user, s, sync_fd, cloned, &made, &err) < 0)
		report_fail(sync_fd, &err);
	envp = command_environ(s->envp, s->hostname, s->tty, user.home);
	failpoint("child.ready");
	made.console = TAKE_FD(r.console_master);
	report_send(sync_fd, REPORT_PREPARED, NULL, &made);
	failpoint("child.prepared");
	report_fds_close(&made);
	wait_for_go(sync_fd);
	if (failpoint_err("child.go", &err) < 0 || connect_stdio(&r, user.uid, &err) < 0)
		report_fail(sync_fd, &err);
	util_close(&r.root_fd);
	util_close(&r.console_slave);
	proc_cloexec_from(3);
	if (failpoint_err("child.stdio", &err) < 0 || rights_become(&rights, &err) < 0)
		report_fail(sync_fd, &err);
	spawn_stay_bound(sync_fd);
	if (failpoint_err("child.rights", &err) < 0 || command_chdir(s->cwd, &err) < 0)
		report_fail(sync_fd, &err);
	run(s, &rights, envp, sync_fd, &err);
	report_fail(sync_fd, &err);
}
