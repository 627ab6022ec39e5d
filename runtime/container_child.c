/* SPDX-License-Identifier: Apache-2.0 */
/* The child of container_spawn(), a fork of the supervisor that becomes pid 1 of the container. Until exec it must die with its parent, may not be
 * looked into from the container (the parent is non-dumpable, which the child inherits), and holds only the descriptors that it needs: everything
 * else of the supervisor, its locks above all, is closed as soon as the layers and sources are turned into mounts. The parent's blocked
 * signals stay blocked until the clean state right before exec, so that none of its handlers ever runs here. */
#include "runtime/container_child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/proc.h"
#include "runtime/cgroup.h"
#include "runtime/command.h"
#include "runtime/console.h"
#include "runtime/init.h"
#include "runtime/mounts.h"
#include "runtime/report.h"
#include "runtime/rights.h"
#include "runtime/rootfs.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
enum { KEYCTL_JOIN_SESSION_KEYRING_ = 1, HOST_NAME_MAX_ = 64 };

/* Closes all but what is still needed, so that nothing of the supervisor outlives it in us. */
static void keep_descriptors(const struct rootfs *r, int sync_fd)
{
	const struct container_spec *s = r->spec;
	AUTO_FREE int *keep = xcalloc(s->n_mounts * 2 + s->n_layers + 32, sizeof(*keep));
	size_t n = rootfs_descriptors(r, keep, 0);
	keep[n++] = sync_fd;
	if (s->init && s->init_fd >= 0)
		keep[n++] = s->init_fd;
	for (int i = 0; i < 3; i++)
		if (!s->tty && s->stdio[i] > 2)
			keep[n++] = s->stdio[i];
	proc_close_from(3, keep, n);
}

/* Cgroups first, then the namespaces that the child makes itself: the cgroup namespace's root is where we are when it is made. */
static int enter_namespaces(struct rootfs *r, bool cloned, int sync_fd, struct err *err)
{
	const struct container_spec *s = r->spec;
	if (s->cgroup && cgroup_enter(s->cgroup, cloned, err) < 0)
		return -1;
	if (s->join_netns_fd >= 0 && setns(s->join_netns_fd, CLONE_NEWNET) < 0)
		return err_sys(err, errno, "join the network namespace");
	if (rootfs_prepare(r, s, err) < 0)
		return -1;
	keep_descriptors(r, sync_fd);
	if (unshare(CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
		return err_sys(err, errno, "make a mount namespace");
	return 0;
}

static int new_session(struct err *err)
{
	if (setsid() < 0 && errno != EPERM)
		return err_sys(err, errno, "start a session");
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING_, NULL) < 0 && errno != ENOSYS && errno != EPERM)
		return err_sys(err, errno, "make a session keyring");
	return 0;
}

static int set_names(const struct container_spec *s, struct err *err)
{
	if (s->hostname && sethostname(s->hostname, strlen(s->hostname)) < 0)
		return err_sys(err, errno, "set the host name");
	if (s->domainname && setdomainname(s->domainname, strlen(s->domainname)) < 0)
		return err_sys(err, errno, "set the domain name");
	return 0;
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

/* A new uid clears the death signal and, by fs.suid_dumpable, may set the dumpable flag: both again, and a look whether the parent died meanwhile. */
static void stay_bound(int sync_fd)
{
	char c;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (recv(sync_fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0)
		_exit(125);
}

/* Descriptors 0-2: the pty, or what was given; FIFOs and the pty become the user's, so that /dev/stdout can be opened. */
static int connect_stdio(struct rootfs *r, uid_t uid, struct err *err)
{
	const struct container_spec *s = r->spec;
	int from[3];
	struct stat st;
	if (s->tty) {
		if (fchown(r->console_slave, uid, (gid_t)-1) < 0)
			return err_sys(err, errno, "give the pty to the user");
		return console_adopt(r->console_slave, err);
	}
	for (int i = 0; i < 3; i++) { /* first out of the way of 0-2, then into place */
		from[i] = s->stdio[i] >= 0 ? fcntl(s->stdio[i], F_DUPFD_CLOEXEC, 3) : open("/dev/null", O_RDWR | O_CLOEXEC);
		if (from[i] >= 0 && from[i] < 3)
			from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
		if (from[i] < 0)
			return err_sys(err, errno, "open descriptor %d", i);
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(from[i], i) < 0)
			return err_sys(err, errno, "set descriptor %d", i);
		close(from[i]);
		if (fstat(i, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_uid != uid && fchown(i, uid, (gid_t)-1) < 0 && errno != EPERM && errno != EROFS)
			return err_sys(err, errno, "give descriptor %d to the user", i);
	}
	return 0;
}

/* The command, or the init with the command behind it. */
static int run(const struct container_spec *s, const struct rights *rights, char **envp, int sync_fd, struct err *err)
{
	char path[4096];
	struct strv argv = {0};
	if (command_find(s->argv[0], envp, path, sizeof(path), err) < 0 || rights_seal(rights, err) < 0)
		return -1;
	report_send(sync_fd, REPORT_EXEC, NULL, -1);
	if (!s->init)
		return command_exec(-1, path, s->argv, envp, err);
	strv_push(&argv, INIT_NAME);
	strv_push(&argv, path);
	for (char *const *a = s->argv; *a; a++)
		strv_push(&argv, *a);
	return command_exec(s->init_fd, "init", argv.v, envp, err);
}

static int prepare(struct rootfs *r, struct user_identity *user, const struct container_spec *s, int sync_fd, bool cloned, struct err *err)
{
	int cwd;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (new_session(err) < 0)
		return -1;
	r->spec = s;
	if (enter_namespaces(r, cloned, sync_fd, err) < 0 || rootfs_build(r, err) < 0 || set_names(s, err) < 0)
		return -1;
	if (user_resolve(r->root_fd, s->user, user, err) < 0)
		return -1;
	cwd = s->cwd && s->cwd[0] == '/' && s->cwd[1] && !s->read_only_root ? mounts_target(r->root_fd, s->cwd, true, err) : -1;
	if (cwd < 0 && s->cwd && s->cwd[0] == '/' && s->cwd[1] && !s->read_only_root)
		return err_wrap(err, "working directory");
	util_close(&cwd);
	return 0;
}

_Noreturn void container_child_run(const struct container_spec *s, int sync_fd, bool cloned)
{
	struct err err = {0};
	struct rootfs r;
	struct user_identity user;
	struct rights rights = { .user = &user, .caps = s->caps, .no_new_privs = s->no_new_privs, .seccomp = s->seccomp, .rlimits = s->rlimits,
				 .n_rlimits = s->n_rlimits };
	char **envp;
	if (prepare(&r, &user, s, sync_fd, cloned, &err) < 0)
		report_fail(sync_fd, &err);
	envp = command_environ(s->envp, s->hostname, s->tty, user.home);
	report_send(sync_fd, REPORT_PREPARED, NULL, r.console_master);
	util_close(&r.console_master);
	wait_for_go(sync_fd);
	if (connect_stdio(&r, user.uid, &err) < 0)
		report_fail(sync_fd, &err);
	util_close(&r.root_fd);
	util_close(&r.console_slave);
	proc_cloexec_from(3);
	if (rights_become(&rights, &err) < 0)
		report_fail(sync_fd, &err);
	stay_bound(sync_fd);
	if (command_chdir(s->cwd, &err) < 0)
		report_fail(sync_fd, &err);
	run(s, &rights, envp, sync_fd, &err);
	report_fail(sync_fd, &err);
}
