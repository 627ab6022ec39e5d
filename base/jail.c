/* SPDX-License-Identifier: Apache-2.0 */
/* The jail, by prctl(2), capset(2) and libseccomp. The filter is compiled at each start (about 1 ms): it is small, and a
 * process starts once. Under AddressSanitizer the filter also lets through what that run time needs to report and to look for
 * leaks. */
#include "base/jail.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const int jail_common[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
#ifdef __SANITIZE_ADDRESS__
	SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(newfstatat), SCMP_SYS(fstat), SCMP_SYS(stat), SCMP_SYS(lseek), SCMP_SYS(clone), SCMP_SYS(ptrace),
	SCMP_SYS(prctl), SCMP_SYS(wait4), SCMP_SYS(getdents64), SCMP_SYS(getdents), SCMP_SYS(getppid), SCMP_SYS(tgkill),
	SCMP_SYS(kill), SCMP_SYS(getrusage), SCMP_SYS(prlimit64), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(uname), SCMP_SYS(ioctl), SCMP_SYS(process_vm_readv),
#endif
};

static const int jail_sockets[] = {
	SCMP_SYS(recvmmsg), SCMP_SYS(recvmmsg_time64), SCMP_SYS(sendmmsg), SCMP_SYS(connect), SCMP_SYS(accept4), SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
};

static const int jail_relay[] = { SCMP_SYS(pipe2), SCMP_SYS(splice) };

static const int jail_files[] = {
	SCMP_SYS(openat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(fstat64), SCMP_SYS(fstatat64), SCMP_SYS(lseek),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64), SCMP_SYS(flock), SCMP_SYS(splice),
	SCMP_SYS(fdatasync), SCMP_SYS(fsync), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(getdents64), SCMP_SYS(unlinkat), SCMP_SYS(renameat),
	SCMP_SYS(renameat2), SCMP_SYS(fallocate),
};

static int jail_capabilities(struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = {{0}};
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL && errno != EPERM)
			return err_sys(err, errno, "drop capability %d", cap);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) < 0)
		return err_sys(err, errno, "capset");
	return 0;
}

static int jail_allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	int rc = 0;
	for (size_t i = 0; i < n && !rc; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	return rc;
}

static int jail_rules(scmp_filter_ctx ctx, unsigned allow)
{
	static const int families[] = { AF_INET, AF_INET6 };
	static const int commands[] = { F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC };
	int rc = jail_allow(ctx, jail_common, ARRAY_SIZE(jail_common));
	for (size_t i = 0; i < ARRAY_SIZE(commands) && !rc; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!rc)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!rc && (allow & JAIL_FILES))
		rc = jail_allow(ctx, jail_files, ARRAY_SIZE(jail_files));
	if (!rc && (allow & JAIL_RELAY))
		rc = jail_allow(ctx, jail_relay, ARRAY_SIZE(jail_relay));
	if (!rc && (allow & JAIL_SOCKETS))
		rc = jail_allow(ctx, jail_sockets, ARRAY_SIZE(jail_sockets));
	for (size_t i = 0; i < ARRAY_SIZE(families) && !rc && (allow & JAIL_SOCKETS); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	return rc;
}

int jail_enter(unsigned allow, struct err *err)
{
	scmp_filter_ctx ctx;
	int rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "no new privileges");
	if (jail_capabilities(err) < 0)
		return -1;
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return err_set(err, ERR_SYS, "seccomp: no filter");
	rc = jail_rules(ctx, allow);
	if (!rc)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	malloc_trim(0); /* building the filter took most of the heap */
	return rc ? err_sys(err, -rc, "seccomp filter") : 0;
}
