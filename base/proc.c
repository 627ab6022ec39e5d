/* SPDX-License-Identifier: Apache-2.0 */
/* Process helpers over raw system calls where glibc 2.36 has no wrapper. */
#include "base/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* What /proc/PID/stat says. */
struct proc_stat {
	char state;
	int parent, n_threads, exit_code;
	unsigned long long ticks;
};

/* 0 or 1 as proc_start_time(). */
static int proc_stat(pid_t pid, struct proc_stat *ret)
{
	char path[40], buf[1024], *p;
	AUTO_CLOSE int fd = -1;
	ssize_t n;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 1;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return 1;
	buf[n] = '\0';
	p = strrchr(buf, ')'); /* the name may hold anything */
	if (!p || sscanf(p + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d %llu", &ret->state, &ret->parent,
			 &ret->n_threads, &ret->ticks) != 4)
		return 1;
	p = strrchr(buf, ' '); /* the last field, 0 for who may not know */
	ret->exit_code = p ? atoi(p + 1) : 0;
	return 0;
}

/* A first thread that has ended before the others looks like a zombie, too. */
static bool has_exited(const struct proc_stat *st)
{
	return st->state == 'X' || (st->state == 'Z' && st->n_threads <= 1);
}

int proc_start_time(pid_t pid, uint64_t *ret_ticks)
{
	struct proc_stat st;
	if (proc_stat(pid, &st) != 0)
		return 1;
	*ret_ticks = st.ticks;
	return 0;
}

pid_t proc_parent(pid_t pid)
{
	struct proc_stat st;
	return proc_stat(pid, &st) == 0 ? st.parent : 0;
}

bool proc_zombie_status(pid_t pid, uint64_t ticks, int *ret_wstatus)
{
	struct proc_stat st;
	if (geteuid() != 0 || proc_stat(pid, &st) != 0 || st.ticks != ticks || st.state != 'Z' || !has_exited(&st))
		return false;
	*ret_wstatus = st.exit_code;
	return true;
}

bool proc_is(pid_t pid, uint64_t ticks)
{
	struct proc_stat st;
	return pid > 0 && proc_stat(pid, &st) == 0 && st.ticks == ticks && !has_exited(&st);
}

void proc_boot_id(char buf[static 40])
{
	AUTO_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, 36);
	buf[n == 36 ? 36 : 0] = '\0';
}

int proc_pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

int proc_pidfd_signal(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/* Calls fn for each open descriptor >= first but the one used to look. */
static void each_fd(int first, void (*fn)(int fd, void *arg), void *arg)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	while (d && (e = readdir(d))) {
		int fd = atoi(e->d_name);
		if (isdigit((unsigned char)e->d_name[0]) && fd >= first && fd != dirfd(d))
			fn(fd, arg);
	}
	if (d)
		closedir(d);
}

static void set_cloexec(int fd, void *arg)
{
	(void)arg;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void proc_cloexec_from(int first)
{
	if (syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		each_fd(first, set_cloexec, NULL);
}

static int compare_int(const void *a, const void *b)
{
	return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

struct kept {
	const int *sorted;
	size_t n;
};

static void close_unless_kept(int fd, void *arg)
{
	const struct kept *k = arg;
	if (!k->n || !bsearch(&fd, k->sorted, k->n, sizeof(fd), compare_int))
		close(fd);
}

void proc_close_from(int first, const int *keep, size_t n)
{
	AUTO_FREE int *sorted = xcalloc(n + 1, sizeof(*sorted));
	unsigned from = (unsigned)first;
	if (n)
		memcpy(sorted, keep, n * sizeof(*keep));
	qsort(sorted, n, sizeof(*sorted), compare_int);
	for (size_t i = 0; i <= n; i++) {
		unsigned to = i < n ? (unsigned)sorted[i] : ~0U;
		if (i < n && sorted[i] < (int)from)
			continue;
		if (to > from && syscall(SYS_close_range, from, i < n ? to - 1 : to, 0) < 0) {
			each_fd((int)from, close_unless_kept, &(struct kept){ sorted, n });
			break;
		}
		from = to + 1;
	}
}

/* The raw call, because the C library keeps 32 and 33 to itself: whoever started us may have left them ignored. */
void proc_reset_signals(void)
{
	static const char default_action[64]; /* the kernel's struct sigaction in zeroes: SIG_DFL, no flags */
	sigset_t none;
	for (int s = 1; s <= 64; s++)
		if (s != SIGKILL && s != SIGSTOP)
			syscall(SYS_rt_sigaction, s, default_action, NULL, (size_t)8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* How much of an ELF file is ever loaded: what follows the last segment (debug information: half of the file) need not be copied. The whole
 * size when it looks unusual. */
static off_t loaded_bytes(int fd, off_t size)
{
	ElfW(Ehdr) head;
	off_t end = 0;
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof(ElfW(Phdr)))
		return size;
	for (unsigned i = 0; i < head.e_phnum; i++) {
		ElfW(Phdr) segment;
		if (pread(fd, &segment, sizeof(segment), (off_t)(head.e_phoff + i * sizeof(segment))) != sizeof(segment))
			return size;
		if (segment.p_type == PT_LOAD)
			end = MAX(end, (off_t)(segment.p_offset + segment.p_filesz));
	}
	return end > 0 && end < size ? end : size;
}

int proc_seal_binary(const char *path, struct err *err)
{
	AUTO_CLOSE int from = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int fd = -1;
	struct stat st;
	off_t at = 0, end;
	if (from < 0 || fstat(from, &st) < 0)
		return err_sys(err, errno, "open %s", path);
	end = loaded_bytes(from, st.st_size);
	fd = memfd_create("muster-run", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (fd < 0 && errno == EINVAL) /* before 6.3 */
		fd = memfd_create("muster-run", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(err, errno, "memfd_create");
	while (at < end) {
		ssize_t n = sendfile(fd, from, &at, (size_t)(end - at));
		if (n <= 0)
			return err_sys(err, n < 0 ? errno : EIO, "copy %s", path);
	}
	if (fchmod(fd, 0555) < 0 || fs_seal(fd) < 0)
		return err_sys(err, errno, "seal the copy of %s", path);
	return TAKE_FD(fd);
}

int proc_exit_code(int wstatus)
{
	return WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
}

int proc_signal_parse(const char *s)
{
	uint64_t n;
	if (parse_u64(s, 1, (uint64_t)SIGRTMAX, &n))
		return (int)n;
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	if (strncasecmp(s, "RTMIN", 5) == 0)
		return s[5] == '\0' ? SIGRTMIN : s[5] == '+' && parse_u64(s + 6, 0, (uint64_t)(SIGRTMAX - SIGRTMIN), &n) ? SIGRTMIN + (int)n : -1;
	if (strncasecmp(s, "RTMAX", 5) == 0)
		return s[5] == '\0' ? SIGRTMAX : s[5] == '-' && parse_u64(s + 6, 0, (uint64_t)(SIGRTMAX - SIGRTMIN), &n) ? SIGRTMAX - (int)n : -1;
	for (int i = 1; i < 32; i++)
		if (strcasecmp(s, sigabbrev_np(i)) == 0 || strcasecmp(s, proc_signal_name(i) + 3) == 0)
			return i;
	return strcasecmp(s, "CLD") == 0 ? SIGCHLD : strcasecmp(s, "IOT") == 0 ? SIGIOT : -1;
}

const char *proc_signal_name(int sig)
{
	static const char *const names[] = {
		"SIG?", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
		"SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP",
		"SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
	};
	return sig > 0 && sig < (int)ARRAY_SIZE(names) ? names[sig] : names[0];
}
