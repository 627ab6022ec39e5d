/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing an anchor up from a command, its lock, and reading its exit notes.
 *
 * The anchor starts from a fixed state whoever ran the command: sealed binary, no environment, cwd /, umask 022, nice 0, a new session and
 * session keyring, no descriptor but its own. The command waits on a pipe that the first supervisor closes once it listens; when another
 * command's anchor turns out to be there, closing the read end tells ours to give up. */
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/sock.h"
#include "compose/anchor.h"
#include "compose/paths.h"

enum { START_TIMEOUT_MS = 15000, TAKE_OVER_TRIES = 250 };

int anchor_lock(int run_fd, const char *project, int ready_fd, int *ret_project_run_fd, int *ret_lock_fd, struct err *err)
{
	for (unsigned lost = 0, tries = 0;; tries++) {
		struct pollfd wanted = { .fd = ready_fd, .events = 0 };
		AUTO_CLOSE int dir_fd = fs_make_dir(run_fd, project, 0700, err);
		AUTO_CLOSE int lock_fd = -1;
		struct stat mine, there;
		if (dir_fd < 0 && err->sys == ENOENT && ++lost < 1000)
			continue; /* removed between its making and its opening */
		if (dir_fd < 0)
			return -1;
		lock_fd = openat(dir_fd, "anchor.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (lock_fd < 0) {
			if (errno == ENOENT)
				continue; /* removed under us: make it again */
			return err_sys(err, errno, "open anchor.lock");
		}
		if (flock(lock_fd, LOCK_EX | LOCK_NB) == 0) {
			if (fstat(lock_fd, &mine) < 0 || fstatat(dir_fd, "anchor.lock", &there, 0) < 0 || mine.st_ino != there.st_ino || mine.st_nlink == 0)
				continue; /* the one who held it has removed the directory */
			*ret_project_run_fd = TAKE_FD(dir_fd);
			*ret_lock_fd = TAKE_FD(lock_fd);
			return 0;
		}
		poll(&wanted, 1, 2);
		if ((wanted.revents & (POLLERR | POLLHUP)) || (ready_fd < 0 && tries > TAKE_OVER_TRIES))
			return 1;
	}
}

bool anchor_find_exit(int run_project_fd, pid_t pid, uint64_t pid_ticks, struct anchor_exit *ret)
{
	AUTO_CLOSE int fd = openat(run_project_fd, "exits", O_RDONLY | O_CLOEXEC);
	struct anchor_exit e;
	bool found = false;
	while (fd >= 0 && read(fd, &e, sizeof(e)) == sizeof(e))
		if (e.pid == pid && e.pid_ticks == pid_ticks) {
			*ret = e;
			found = true;
		}
	return found;
}

/* Runs in the daemon between fork and exec. */
_Noreturn static void become_anchor(const struct paths *p, const char *project, const char *origin, int binary_fd, int ready_fd)
{
	const char *argv[] = { "muster-run", "anchor", project, p->rootid, origin, NULL };
	const char *envp[] = { NULL };
	int from[ANCHOR_FD_N_], null_fd;
	struct rlimit nofile;
	setsid();
	if (chdir("/") < 0)
		_exit(126);
	umask(022);
	setpriority(PRIO_PROCESS, 0, 0);
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
		nofile.rlim_cur = nofile.rlim_max;
		setrlimit(RLIMIT_NOFILE, &nofile);
	}
	proc_reset_signals();
	null_fd = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(null_fd, i);
	for (int i = 0; i < ANCHOR_FD_N_; i++)
		from[i] = -1;
	from[ANCHOR_FD_BINARY] = fcntl(binary_fd, F_DUPFD, 100);
	from[ANCHOR_FD_ROOT] = fcntl(p->root_fd, F_DUPFD, 100);
	from[ANCHOR_FD_RUN] = fcntl(p->run_fd, F_DUPFD, 100);
	from[ANCHOR_FD_READY] = fcntl(ready_fd, F_DUPFD, 100);
	for (int i = ANCHOR_FD_BINARY; i < ANCHOR_FD_N_; i++) {
		close(i);
		if (from[i] >= 0)
			dup2(from[i], i);
	}
	proc_close_from(ANCHOR_FD_N_, NULL, 0);
	fexecve(ANCHOR_FD_BINARY, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)envp);
	_exit(126);
}

/* What tells one build of the binary from another. */
static int file_origin(const char *path, char buf[static ANCHOR_ORIGIN_BYTES], struct err *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return err_sys(err, errno, "stat %s", path);
	snprintf(buf, ANCHOR_ORIGIN_BYTES, "%llx.%llx.%llx.%llx.%lx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		 (unsigned long long)st.st_size, (unsigned long long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec);
	return 0;
}

/* Pid of the project's anchor, and what it runs from; 0 when there is none. */
static int read_lock(const struct paths *p, const char *project, char ret_origin[static ANCHOR_ORIGIN_BYTES])
{
	AUTO_CLOSE int run_fd = paths_run(p, project, false, NULL);
	AUTO_STR struct str text = {0};
	int pid;
	if (run_fd < 0 || fs_read(run_fd, "anchor.lock", 4096, &text, NULL) != 0 || sscanf(str_get(&text), "%d %95s", &pid, ret_origin) != 2)
		return 0;
	return pid;
}

/* The binary of the living anchor; -1 when there is none, or it is of another build. */
static int running_binary(const struct paths *p, const char *project, const char *origin)
{
	AUTO_CLOSE int fd = -1;
	char path[40], theirs[ANCHOR_ORIGIN_BYTES];
	int pid = read_lock(p, project, theirs), seals;
	if (!pid || strcmp(origin, theirs) != 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	return seals >= 0 && (seals & F_SEAL_WRITE) ? TAKE_FD(fd) : -1;
}

bool anchor_outdated(const struct paths *p, const char *project)
{
	AUTO_FREE char *path = paths_binary("muster-run", NULL);
	char origin[ANCHOR_ORIGIN_BYTES], theirs[ANCHOR_ORIGIN_BYTES];
	return path && file_origin(path, origin, NULL) == 0 && read_lock(p, project, theirs) && strcmp(origin, theirs) != 0;
}

int anchor_newer(char ret_origin[static ANCHOR_ORIGIN_BYTES], struct err *err)
{
	AUTO_FREE char *path = paths_binary("muster-run", err);
	return !path || file_origin(path, ret_origin, err) < 0 ? -1 : proc_seal_binary(path, err);
}

int anchor_binary(const struct paths *p, const char *project, struct err *err)
{
	AUTO_FREE char *path = paths_binary("muster-run", err);
	char origin[ANCHOR_ORIGIN_BYTES];
	int fd;
	if (!path || file_origin(path, origin, err) < 0)
		return -1;
	fd = running_binary(p, project, origin);
	return fd >= 0 ? fd : proc_seal_binary(path, err);
}

/* Forks twice so that the anchor is nobody's child. */
static int spawn_anchor(const struct paths *p, const char *project, int ready_fd, struct err *err)
{
	AUTO_FREE char *path = paths_binary("muster-run", err);
	AUTO_CLOSE int binary_fd = -1;
	char origin[ANCHOR_ORIGIN_BYTES];
	pid_t pid;
	if (!path || file_origin(path, origin, err) < 0)
		return -1;
	binary_fd = proc_seal_binary(path, err);
	if (binary_fd < 0 || failpoint_err("muster.anchor.sealed", err) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "fork");
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			become_anchor(p, project, origin, binary_fd, ready_fd);
		_exit(pid < 0);
	}
	waitpid(pid, NULL, 0);
	return failpoint_err("muster.anchor.started", err);
}

/* The tail of the project's log, for a start that failed. */
static void log_tail(int run_fd, struct str *ret)
{
	const char *line;
	if (run_fd < 0 || fs_read(run_fd, "muster.log", 1 << 20, ret, NULL) != 0)
		return;
	while (ret->len && ret->p[ret->len - 1] == '\n')
		ret->p[--ret->len] = '\0';
	line = ret->len ? strrchr(ret->p, '\n') : NULL;
	if (line)
		memmove(ret->p, line + 1, strlen(line + 1) + 1);
}

int anchor_start(const struct paths *p, const char *project, struct err *err)
{
	uint64_t deadline = clock_mono_ns() + (uint64_t)START_TIMEOUT_MS * 1000000;
	AUTO_STR struct str tail = {0};
	AUTO_CLOSE int read_fd = -1;
	AUTO_CLOSE int run_fd = -1;
	int pipe_fds[2], rc;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	read_fd = pipe_fds[0];
	rc = spawn_anchor(p, project, pipe_fds[1], err);
	close(pipe_fds[1]);
	if (rc < 0)
		return -1;
	while (clock_mono_ns() < deadline) {
		struct pollfd ready = { .fd = read_fd, .events = POLLIN };
		AUTO_CLOSE int fd = -1;
		char said[sizeof(err->msg)] = "";
		if (poll(&ready, 1, 5) > 0) {
			if (read(read_fd, said, sizeof(said) - 1) <= 0)
				return 1; /* it died on the way; whoever comes next is waited for */
			return said[0] == 'r' ? 0 : err_set(err, ERR_SYS, "%s", said + 1);
		}
		util_close(&run_fd);
		run_fd = paths_run(p, project, false, NULL);
		fd = run_fd < 0 ? -1 : sock_connect(run_fd, "control", SOCK_STREAM, NULL);
		if (fd >= 0)
			return 0;
	}
	log_tail(run_fd, &tail);
	return err_set(err, ERR_TIMEOUT, "the supervisor of project %s does not answer%s%s", project, tail.len ? ": " : "", str_get(&tail));
}
