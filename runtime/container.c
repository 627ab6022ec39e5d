/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's half of a start: check the specification, clone3, remember. All expensive work is the child's, so that a serial spawner
 * keeps both processors busy: the mount namespace is made there, and the network namespace, too, when the specification says how to
 * wire it. Else clone3 makes that, for a caller that wires it from outside. */
#include "runtime/container.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/failpoint.h"
#include "base/proc.h"
#include "base/sock.h"
#include "runtime/cgroup.h"
#include "runtime/container_child.h"
#include "runtime/overlay.h"
#include "runtime/report.h"
#include "runtime/spawn.h"

void container_spec_init(struct container_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->upper_fd = spec->work_fd = spec->hostname_fd = spec->hosts_fd = spec->resolv_fd = spec->init_fd = spec->join_netns_fd = -1;
	spec->mark_fd = spec->root_fd = -1;
	spec->stdio[0] = spec->stdio[1] = spec->stdio[2] = -1;
	spec->caps = CONTAINER_DEFAULT_CAPS;
}

void container_proc_init(struct container_proc *proc)
{
	memset(proc, 0, sizeof(*proc));
	proc->pidfd = proc->sync_fd = proc->netns_fd = proc->console_fd = -1;
	for (size_t i = 0; i < CONTAINER_NETWORK_FDS; i++)
		proc->network_fds[i] = -1;
}

static int check_spec(const struct container_spec *s, struct err *err)
{
	if (!s->argv || !s->argv[0])
		return err_set(err, ERR_INVALID, "no command");
	if (s->root_fd < 0 && (s->n_layers < 1 || s->n_layers > OVERLAY_LAYERS_MAX))
		return err_set(err, ERR_INVALID, "%zu layers: between 1 and %d are possible", s->n_layers, OVERLAY_LAYERS_MAX);
	if (s->root_fd < 0 && (s->upper_fd < 0 || s->work_fd < 0))
		return err_set(err, ERR_INVALID, "no upper or work directory");
	if (s->hostname && (strlen(s->hostname) == 0 || strlen(s->hostname) > 64))
		return err_set(err, ERR_INVALID, "host name of %zu bytes: between 1 and 64 are possible", strlen(s->hostname));
	if (s->init && s->init_fd < 0)
		return err_set(err, ERR_INVALID, "no program for the init");
	if (s->user_namespace)
		return err_set(err, ERR_UNSUPPORTED, "user namespaces are not supported yet");
	if (s->host_network && s->join_netns_fd >= 0)
		return err_set(err, ERR_INVALID, "both the host's and another network namespace");
	for (size_t i = 0; i < s->n_mounts; i++)
		if (!s->mounts[i].target || s->mounts[i].target[0] != '/')
			return err_set(
				err, ERR_INVALID, "mount target \"%s\" is not absolute", s->mounts[i].target ? s->mounts[i].target : "");
	return 0;
}

static int open_netns(pid_t pid, struct err *err)
{
	char path[48];
	int fd;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "open the network namespace of process %d", (int)pid) : fd;
}

/* What we need of the child besides its pid. It may be dead already: then its own report is the error to return. */
static int look_up(struct container_proc *p, bool own_net, struct err *err)
{
	struct err reported;
	struct report_fds fds;
	int rc;
	if (own_net)
		p->netns_fd = open_netns(p->pid, err);
	if (!own_net || p->netns_fd >= 0) {
		if (proc_start_time(p->pid, &p->start_ticks) == 0)
			return 0;
		err_set(err, ERR_SYS, "process %d: cannot read its start time", (int)p->pid);
	}
	while ((rc = report_recv(p->sync_fd, &reported, &fds)) == REPORT_PREPARED || rc == REPORT_EXEC)
		report_fds_close(&fds);
	if (rc == REPORT_FAILED && err)
		*err = reported;
	return -1;
}

int container_spawn(const struct container_spec *spec, struct container_proc *ret_proc, struct err *err)
{
	bool own_net = !spec->host_network && spec->join_netns_fd < 0 && !spec->network, cloned;
	struct container_proc p;
	int pair[2];
	container_proc_init(&p);
	if (check_spec(spec, err) < 0)
		return -1;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (sock_pair(SOCK_SEQPACKET, pair, err) < 0)
		return -1;
	p.pid = spawn_clone(CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | (own_net ? CLONE_NEWNET : 0),
		spec->cgroup ? cgroup_clone_fd(spec->cgroup) : -1, &p.pidfd, &cloned, err);
	if (p.pid == 0) {
		close(pair[0]);
		container_child_run(spec, pair[1], cloned);
	}
	close(pair[1]);
	p.sync_fd = pair[0];
	if (p.pid < 0) {
		container_proc_done(&p);
		return -1;
	}
	fcntl(p.sync_fd, F_SETFL, O_NONBLOCK);
	if (failpoint_err("spawn.cloned", err) < 0 || look_up(&p, own_net, err) < 0) {
		container_discard(&p);
		return -1;
	}
	*ret_proc = p;
	return 0;
}

int container_netns_fd(const struct container_proc *proc)
{
	return proc->netns_fd;
}

void container_release_netns(struct container_proc *proc)
{
	util_close(&proc->netns_fd);
}

int container_go(struct container_proc *proc, struct err *err)
{
	struct err unused;
	int rc;
	if (proc->sync_fd >= 0 && sock_send(proc->sync_fd, "g", 1, NULL, 0, &unused) == 0)
		return 0;
	do
		rc = container_progress(proc, err);
	while (rc == CONTAINER_PREPARED);
	return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "process %d is gone before its start", (int)proc->pid);
}

int container_progress(struct container_proc *proc, struct err *err)
{
	if (proc->sync_fd < 0)
		return proc->gone ? err_set(err, ERR_NOT_FOUND, "process %d is gone before its start", (int)proc->pid) : CONTAINER_STARTED;
	for (;;) {
		struct report_fds fds;
		int rc = report_recv(proc->sync_fd, err, &fds);
		if (rc == -EAGAIN)
			return CONTAINER_WAITING;
		if (rc == REPORT_PREPARED) {
			util_close(&proc->console_fd);
			proc->console_fd = fds.console;
			memcpy(proc->network_fds, fds.network, sizeof(proc->network_fds));
			proc->prepared = true;
			return CONTAINER_PREPARED;
		}
		if (rc == REPORT_EXEC) {
			proc->exec = true;
			continue;
		}
		util_close(&proc->sync_fd);
		if (rc == REPORT_END && proc->exec)
			return CONTAINER_STARTED;
		proc->gone = true;
		if (rc == REPORT_END)
			err_set(err, ERR_NOT_FOUND, "process %d was killed before its start", (int)proc->pid);
		return -1;
	}
}

void container_discard(struct container_proc *proc)
{
	siginfo_t info;
	if (proc->pid > 0) {
		if (proc->pidfd < 0 || proc_pidfd_signal(proc->pidfd, SIGKILL) < 0)
			kill(proc->pid, SIGKILL);
		while (waitid(P_PID, (id_t)proc->pid, &info, WEXITED) < 0 && errno == EINTR)
			;
	}
	container_proc_done(proc);
	proc->pid = 0;
}

void container_proc_done(struct container_proc *proc)
{
	util_close(&proc->pidfd);
	util_close(&proc->sync_fd);
	util_close(&proc->netns_fd);
	util_close(&proc->console_fd);
	for (size_t i = 0; i < CONTAINER_NETWORK_FDS; i++)
		util_close(&proc->network_fds[i]);
}
