/* SPDX-License-Identifier: Apache-2.0 */
/* The allow-lists of the two jails, proved from inside: every system call number is tried with arguments that nothing takes. What answers
 * otherwise than EPERM got through the filter and must stand in the list below; what ends the process must not be one that our
 * libraries may try. A call that somebody adds to a jail has to be added here, too, with what it is for. */
#include <seccomp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "images/confine.h"
#include "tests/unit/images_rig.h"

enum { LAST_CALL = 480 };

/* Both jails: files that are open, memory, threads, time, signals of our own, the end. */
static const char both[] =
	" read pread64 readv write pwrite64 writev lseek close fstat newfstatat fstatat64 statx lstat stat fcntl fadvise64 dup poll ppoll"
	" munmap brk mremap madvise mmap mprotect futex set_robust_list rseq sched_yield sched_getaffinity getrandom clock_gettime clock_nanosleep"
	" nanosleep gettimeofday umask uname getpid gettid getuid geteuid getgid getegid rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack"
	" restart_syscall exit exit_group clone clone3 tgkill ";
/* The store: names and attributes below the folders that are there. */
static const char store[] =
	" openat openat2 getdents64 readlinkat mkdirat mknodat linkat symlinkat unlinkat renameat renameat2 fchown fchownat fchmod fchmodat"
	" fsetxattr fgetxattr flistxattr utimensat ftruncate fallocate copy_file_range flock fsync fdatasync syncfs sync_file_range ";
/* The network: sockets, and files for reading. */
static const char network[] =
	" connect sendto sendmsg sendmmsg recvfrom recvmsg getsockopt setsockopt getsockname getpeername shutdown pipe2 eventfd2 ioctl socket"
	" socketpair openat ";
/* Not tried: they end or derail the child that tries, or wait. */
static const char untried[] = " exit exit_group rt_sigreturn restart_syscall ";

static bool stands_in(const char *list, const char *name)
{
	AUTO_FREE char *word = xasprintf(" %s ", name);
	return strstr(list, word);
}

/* Inside: tries the calls from `first` on and writes one byte for each to out: 'y' got through, 'n' refused. */
_Noreturn static void try_calls(bool net, const struct scratch *scratch, int first, int out)
{
	static const char *const dirs[] = { "images", "layers", NULL };
	struct err err = {0};
	if ((net ? confine_enter_net(&err) : confine_enter(dup(scratch->fd), dirs, &err)) < 0)
		_exit(77);
	for (int nr = first; nr < LAST_CALL; nr++) {
		AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		char c = '-';
		if (name && !stands_in(untried, name)) {
			errno = 0;
			c = syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L) >= 0 || errno != EPERM ? 'y' : 'n';
		}
		if (write(out, &c, 1) != 1)
			_exit(78);
	}
	_exit(0);
}

/* answers[nr]: 'y', 'n', '-' (no such call, or not tried), 'k' (ended the process). 0; 77 when the jail cannot be entered. */
static int ask_all(bool net, const struct scratch *scratch, char *answers)
{
	for (int at = 0; at < LAST_CALL;) {
		int fds[2], status = 0;
		ssize_t n;
		pid_t pid;
		NEED(pipe2(fds, O_CLOEXEC) == 0);
		pid = fork();
		if (pid == 0)
			try_calls(net, scratch, at, fds[1]);
		close(fds[1]);
		while ((n = read(fds[0], answers + at, (size_t)(LAST_CALL - at))) > 0)
			at += (int)n;
		close(fds[0]);
		NEED(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			return 77;
		if (at < LAST_CALL) {
			EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "call %d: status %x", at, (unsigned)status);
			answers[at++] = 'k';
		}
	}
	return 0;
}

static void judge(bool net, const char *answers)
{
	const char *own = net ? network : store;
	for (int nr = 0; nr < LAST_CALL; nr++) {
		AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);
		bool listed = name && (stands_in(both, name) || stands_in(own, name));
		if (answers[nr] == 'y')
			EXPECT(listed, "%s jail: %s gets through", net ? "network" : "store", name);
		EXPECT(answers[nr] != 'k' || !listed, "%s jail: %s ends the process", net ? "network" : "store", name);
	}
}

/* Some of the list really get through: else a filter that refuses everything would pass. */
static void judge_use(const char *answers, const char *const *names)
{
	for (; *names; names++) {
		int nr = seccomp_syscall_resolve_name(*names);
		EXPECT(nr >= 0 && nr < LAST_CALL && answers[nr] == 'y', "%s does not get through", *names);
	}
}

int main(void)
{
	static const char *const for_store[] = { "openat", "renameat2", "mknodat", "flock", "close", NULL };
	static const char *const for_net[] = { "connect", "sendmsg", "recvfrom", "shutdown", "close", NULL };
	char answers[2][LAST_CALL];
	struct scratch scratch;
	if (geteuid() != 0) {
		printf("needs root: mount namespaces\n");
		return 77;
	}
	scratch_init(&scratch);
	if (ask_all(false, &scratch, answers[0]) || ask_all(true, &scratch, answers[1])) {
		printf("a jail could not be entered\n");
		return 1;
	}
	scratch_done(&scratch);
	judge(false, answers[0]);
	judge(true, answers[1]);
	judge_use(answers[0], for_store);
	judge_use(answers[1], for_net);
	printf(failures ? "failed\n" : "ok\n");
	return failures ? 1 : 0;
}
