/* SPDX-License-Identifier: Apache-2.0 */
/* The notes are slots of one size: the place of a dead one is taken again, so that the file stays as small as there ever were processes at once.
 * A slot is written by one pwrite(2) under a lock on the file; a reader needs no lock, since pid and start time together name a process or
 * none. A signal goes through a pidfd that was opened before the start time was compared, so it never meets a stranger. */
#include "runtime/logs_holder.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/proc.h"

#define HOLDER_FILE "logs.pids"

enum { KILL_MS = 1000, MAX_HOLDERS = 4096 };

struct holder {
	int64_t pid;
	uint64_t ticks;  /* start time */
};

int logs_holder_note(int dir_fd, struct err *err)
{
	AUTO_CLOSE int fd = openat(dir_fd, HOLDER_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct holder mine = { .pid = getpid() }, other;
	off_t at = 0;
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return err_sys(err, errno, "open %s", HOLDER_FILE);
	if (proc_start_time((pid_t)mine.pid, &mine.ticks) != 0)
		return err_sys(err, ENOENT, "own start time");
	while (pread(fd, &other, sizeof(other), at) == sizeof(other) && proc_is((pid_t)other.pid, other.ticks))
		at += (off_t)sizeof(other);
	if (failpoint_err("logs.note", err) < 0)
		return -1;
	return pwrite(fd, &mine, sizeof(mine), at) == sizeof(mine) ? 0 : err_sys(err, errno, "write %s", HOLDER_FILE);
}

/* Calls fn with a pidfd of each that lives. */
static void each_holder(int dir_fd, void (*fn)(pid_t pid, int pidfd))
{
	AUTO_CLOSE int fd = openat(dir_fd, HOLDER_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct holder h;
	for (int i = 0; fd >= 0 && i < MAX_HOLDERS && read(fd, &h, sizeof(h)) == sizeof(h); i++) {
		AUTO_CLOSE int pidfd = h.pid > 0 ? proc_pidfd_open((pid_t)h.pid) : -1;
		if (pidfd >= 0 && proc_is((pid_t)h.pid, h.ticks))
			fn((pid_t)h.pid, pidfd);
	}
}

static void tell(pid_t pid, int pidfd)
{
	if (proc_parent(pid) == getppid())
		return;
	failpoint("logs.tell");
	proc_pidfd_signal(pidfd, SIGTERM);
}

void logs_holder_tell(int dir_fd)
{
	each_holder(dir_fd, tell);
}

static void end(pid_t pid, int pidfd)
{
	struct pollfd gone = { .fd = pidfd, .events = POLLIN };
	if (proc_pidfd_signal(pidfd, SIGKILL) == 0 && poll(&gone, 1, KILL_MS) == 0)
		log_warn("log process %d does not end", (int)pid);
}

void logs_holder_kill(int dir_fd)
{
	each_holder(dir_fd, end);
}
