/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: an identity that a reused pid does not have, descriptors and signals as a fresh program expects them, a copy of a binary that
 * nobody can write to, exit codes and signal names as shells have them. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/proc.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void test_identity(void)
{
	uint64_t mine, theirs, later;
	char boot[40];
	int status, go[2];
	pid_t pid;
	EXPECT(proc_start_time(getpid(), &mine) == 0 && proc_is(getpid(), mine) && !proc_is(getpid(), mine + 1), "this process is itself");
	EXPECT(proc_start_time(0x3fffffff, &mine) == 1 && !proc_is(0x3fffffff, 0) && !proc_is(-1, 0) && !proc_is(0, 0), "there is no such process");
	if (pipe2(go, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0) {
		char c;
		prctl(PR_SET_NAME, ") S 1 2 3");
		close(go[1]);
		_exit(read(go[0], &c, 1) == 0 ? 7 : 8);
	}
	close(go[0]);
	EXPECT(proc_start_time(pid, &theirs) == 0 && theirs > 0 && proc_is(pid, theirs), "a name with parentheses and spaces");
	close(go[1]);
	EXPECT(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) == 0, "it ends");
	EXPECT(!proc_is(pid, theirs), "a zombie does not live");
	EXPECT(proc_parent(pid) == getpid() && proc_parent(0x3fffffff) == 0, "parents");
	if (geteuid() == 0)
		EXPECT(proc_zombie_status(pid, theirs, &status) && proc_exit_code(status) == 7 && !proc_zombie_status(pid, theirs + 1, &status) &&
		       !proc_zombie_status(getpid(), mine, &status), "its status is there for who is not its parent, too");
	EXPECT(proc_start_time(pid, &later) == 0 && later == theirs, "but still has its start time");
	EXPECT(waitpid(pid, &status, 0) == pid && proc_exit_code(status) == 7, "exit code %d", proc_exit_code(status));
	EXPECT(proc_start_time(pid, &later) == 1, "gone");
	proc_boot_id(boot);
	EXPECT(strlen(boot) == 36 && boot[8] == '-', "boot id %s", boot);
}

static void *outlive(void *arg)
{
	char c;
	ssize_t n = read(*(int *)arg, &c, 1);
	_exit(n == 0 ? 9 : 8);
}

/* A process whose first thread has ended is no zombie. */
static void test_first_thread_ends(void)
{
	uint64_t ticks;
	int status, go[2];
	pid_t pid;
	if (pipe2(go, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0) {
		pthread_t thread;
		close(go[1]);
		pthread_create(&thread, NULL, outlive, &go[0]);
		pthread_exit(NULL);
	}
	close(go[0]);
	usleep(50000);
	EXPECT(proc_start_time(pid, &ticks) == 0 && proc_is(pid, ticks) && !proc_zombie_status(pid, ticks, &status), "it lives");
	close(go[1]);
	EXPECT(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) == 0 && !proc_is(pid, ticks), "it ends");
	if (geteuid() == 0)
		EXPECT(proc_zombie_status(pid, ticks, &status) && proc_exit_code(status) == 9, "status %x", status);
	waitpid(pid, NULL, 0);
}

static void test_pidfd(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	AUTO_CLOSE int fd = proc_pidfd_open(pid);
	EXPECT(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC), "pidfd %d", fd);
	EXPECT(proc_pidfd_signal(fd, SIGTERM) == 0 && waitpid(pid, &status, 0) == pid, "signalled");
	EXPECT(proc_exit_code(status) == 128 + SIGTERM, "exit code %d", proc_exit_code(status));
	EXPECT(proc_pidfd_signal(fd, SIGTERM) == -1 && errno == ESRCH, "nobody there any more");
}

/* Runs fn in a child; its answer is the exit code. */
static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn());
	return waitpid(pid, &status, 0) == pid ? proc_exit_code(status) : -1;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int close_some(void)
{
	const int keep[] = { 23, -1, 10, 23, 11 };
	for (int i = 5; i < 30; i++)
		dup2(0, i);
	dup2(0, 900);
	proc_close_from(5, keep, ARRAY_SIZE(keep));
	for (int i = 5; i < 30; i++)
		if (is_open(i) != (i == 10 || i == 11 || i == 23))
			return i;
	if (is_open(900) || !is_open(0))
		return 99;
	proc_close_from(11, NULL, 0);
	return is_open(10) && !is_open(11) && !is_open(23) ? 0 : 98;
}

static int mark_some(void)
{
	for (int i = 5; i < 12; i++)
		dup2(0, i);
	proc_cloexec_from(8);
	for (int i = 5; i < 12; i++)
		if (!is_open(i) || (fcntl(i, F_GETFD) == FD_CLOEXEC) != (i >= 8))
			return i;
	return 0;
}

static void ignore(int sig)
{
	(void)sig;
}

static int reset_all(void)
{
	sigset_t set;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, ignore);
	signal(SIGRTMIN + 3, SIG_IGN);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	proc_reset_signals();
	sigprocmask(SIG_SETMASK, NULL, &set);
	for (int s = 1; s <= SIGRTMAX; s++) {
		struct sigaction sa;
		if (s == 32 || s == 33)
			continue;
		if (sigaction(s, NULL, &sa) < 0 || sa.sa_handler != SIG_DFL || sigismember(&set, s))
			return s;
	}
	return 0;
}

static void test_clean_state(void)
{
	int r;
	EXPECT((r = in_child(close_some)) == 0, "proc_close_from: descriptor %d", r);
	EXPECT((r = in_child(mark_some)) == 0, "proc_cloexec_from: descriptor %d", r);
	EXPECT((r = in_child(reset_all)) == 0, "proc_reset_signals: signal %d", r);
}

static int write_to_copy(void)
{
	struct err err = { 0 };
	int fd = proc_seal_binary("/proc/self/exe", &err), again;
	char path[64], b = 'x';
	if (fd < 0)
		return 1;
	if (write(fd, &b, 1) >= 0 || ftruncate(fd, 0) >= 0 || fchmod(fd, 0) < 0)
		return 2;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR);
	return again >= 0 && write(again, &b, 1) >= 0 ? 3 : 0;
}

/* The copy holds every byte that is ever loaded, in place; debug information behind it may be missing. What is no program is copied whole. */
static bool is_copy_of(int fd, const char *path)
{
	AUTO_CLOSE int from = open(path, O_RDONLY | O_CLOEXEC);
	char a[4096], b[4096];
	ssize_t n;
	for (off_t at = 0; (n = pread(fd, a, sizeof(a), at)) > 0; at += n)
		if (pread(from, b, (size_t)n, at) != n || memcmp(a, b, (size_t)n) != 0)
			return false;
	return from >= 0 && n == 0;
}

static void test_seal(void)
{
	struct err err = { 0 };
	AUTO_CLOSE int fd = proc_seal_binary("/proc/self/exe", &err);
	AUTO_CLOSE int script = proc_seal_binary("tests/run", &err);
	struct stat own, copy;
	int r;
	EXPECT(fd >= 0 && fstat(fd, &copy) == 0 && stat("/proc/self/exe", &own) == 0 && copy.st_size > 10000 && copy.st_size <= own.st_size, "%s", err.msg);
	EXPECT(is_copy_of(fd, "/proc/self/exe"), "the copy differs");
	EXPECT(stat("tests/run", &own) < 0 || (script >= 0 && fstat(script, &copy) == 0 && copy.st_size == own.st_size), "a script is copied whole");
	EXPECT((copy.st_mode & 0111) == 0111 && (fcntl(fd, F_GETFD) & FD_CLOEXEC), "executable, and not inherited");
	EXPECT((r = in_child(write_to_copy)) == 0, "the copy can be changed (%d)", r);
	EXPECT(proc_seal_binary("/none", &err) == -1 && err.sys == ENOENT && strstr(err.msg, "/none"), "%s", err.msg);
}

static void test_signals(void)
{
	const struct {
		const char *s;
		int want;
	} table[] = {
		{ "SIGTERM", 15 }, { "TERM", 15 }, { "term", 15 }, { "sigKill", 9 }, { "9", 9 }, { "SIGIO", SIGIO }, { "POLL", SIGIO }, { "SIGCLD", SIGCHLD },
		{ "IOT", SIGABRT }, { "RTMIN", SIGRTMIN }, { "SIGRTMIN+3", SIGRTMIN + 3 }, { "rtmin+3", SIGRTMIN + 3 }, { "RTMAX-1", SIGRTMAX - 1 },
		{ "64", 64 }, { "0", -1 }, { "65", -1 }, { "", -1 }, { "SIG", -1 }, { "SIGSIGTERM", -1 }, { "TERMX", -1 }, { "RTMIN+", -1 },
		{ "RTMIN+99", -1 }, { "RTMIN-1", -1 }, { "-9", -1 }, { " 9", -1 }, { "SIG9", -1 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		EXPECT(proc_signal_parse(table[i].s) == table[i].want, "%s is %d", table[i].s, proc_signal_parse(table[i].s));
	for (int s = 1; s < 32; s++)
		EXPECT(proc_signal_parse(proc_signal_name(s)) == s, "%s is not %d", proc_signal_name(s), s);
	EXPECT(strcmp(proc_signal_name(0), "SIG?") == 0 && strcmp(proc_signal_name(99), "SIG?") == 0, "unknown ones");
}

int main(void)
{
	test_identity();
	test_first_thread_ends();
	test_pidfd();
	test_clean_state();
	test_seal();
	test_signals();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
