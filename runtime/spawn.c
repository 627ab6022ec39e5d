/* SPDX-License-Identifier: Apache-2.0 */
/* clone3 is called raw, with fork's semantics: the callers are single-threaded, so that glibc's view of the child needs no repair.
 * Filters of older container engines answer clone3 with ENOSYS or EPERM; clone(2) can do all of it but the cgroup. */
#include "runtime/spawn.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/failpoint.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
enum { JOIN_SESSION_KEYRING = 1 }; /* of keyctl(2) */

static pid_t clone_old(uint64_t flags, int *ret_pidfd)
{
	int pidfd = -1;
	pid_t pid;
#if defined(__s390x__)
	pid = (pid_t)syscall(SYS_clone, 0, flags | CLONE_PIDFD | SIGCHLD, &pidfd, 0, 0);
#else
	pid = (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
#endif
	if (pid > 0)
		*ret_pidfd = pidfd;
	return pid;
}

pid_t spawn_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd, bool *ret_cloned, struct err *err)
{
	int pidfd = -1;
	struct clone_args args = { .flags = flags | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD };
	pid_t pid;
	if (failpoint_err("spawn.clone", err) < 0)
		return -1;
	*ret_cloned = cgroup_fd >= 0;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0 && cgroup_fd >= 0 && errno != EAGAIN && errno != ENOMEM && errno != ENOSPC) {
		*ret_cloned = false; /* before 5.7, or the cgroup is not ours to enter that way: the child will try by itself */
		args.flags &= ~CLONE_INTO_CGROUP;
		args.cgroup = 0;
		pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	}
	if (pid < 0 && (errno == ENOSYS || errno == EPERM))
		pid = clone_old(flags, &pidfd);
	if (pid < 0)
		return err_sys(err, errno, "start a process");
	if (pid > 0)
		*ret_pidfd = pidfd;
	return pid;
}

int spawn_new_session(struct err *err)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (setsid() < 0 && errno != EPERM)
		return err_sys(err, errno, "start a session");
	if (syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM)
		return err_sys(err, errno, "make a session keyring");
	return 0;
}

void spawn_stay_bound(int sync_fd)
{
	char c;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (recv(sync_fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0)
		_exit(125);
}
