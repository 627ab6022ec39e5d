/* SPDX-License-Identifier: Apache-2.0 */
/* Work that takes more than a few milliseconds (tree removal, bridge deletion) runs in a forked child, so that the loop goes on.
 * The child sends its struct err back over a pipe; its end is seen on a pidfd. A supervisor that dies leaves the child to the anchor;
 * what it had not finished is found again (the trash directory, the bridge) by the next one. */
#include "compose/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"

enum { SWEEPERS = 4 };

struct worker {
	struct supervisor *sv;
	struct loop_source source;
	int pidfd, err_fd;
	void (*done)(struct supervisor *sv, void *arg, size_t n, const struct err *failure);
	void *arg;
	size_t n;
};

static void worker_ended(struct loop_source *s, uint32_t events)
{
	struct worker *w = CONTAINER_OF(s, struct worker, source);
	struct supervisor *sv = w->sv;
	struct err failure = {0};
	siginfo_t si = {0};
	(void)events;
	if (read(w->err_fd, &failure, sizeof(failure)) != sizeof(failure))
		failure = (struct err){0};
	if (waitid(P_PIDFD, (id_t)w->pidfd, &si, WEXITED | WNOHANG) == 0 && !failure.msg[0] && (si.si_code != CLD_EXITED || si.si_status != 0))
		err_set(&failure, ERR_SYS, "a worker process died");
	failpoint("work.ended");
	loop_remove(s);
	close(w->pidfd);
	close(w->err_fd);
	sv->n_workers--;
	w->done(sv, w->arg, w->n, failure.msg[0] ? &failure : NULL);
	free(w);
	supervisor_maybe_finish(sv);
}

int worker_run(struct supervisor *sv, int (*fn)(struct supervisor *sv, const char *text, struct err *err), const char *text,
	       void (*done)(struct supervisor *sv, void *arg, size_t n, const struct err *failure), void *arg, size_t n, struct err *err)
{
	struct worker *w;
	int pipe_fds[2];
	pid_t pid;
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, errno, "pipe");
	pid = failpoint("work.fork") < 0 ? -1 : fork();
	if (pid == 0) {
		struct err e = {0};
		ssize_t ignored;
		prctl(PR_SET_NAME, "muster-work");
		if (failpoint_err("work.begin", &e) == 0 && fn(sv, text, &e) == 0 && failpoint_err("work.end", &e) == 0)
			_exit(0);
		ignored = write(pipe_fds[1], &e, sizeof(e));
		(void)ignored;
		_exit(1);
	}
	close(pipe_fds[1]);
	if (pid < 0) {
		close(pipe_fds[0]);
		return err_sys(err, errno, "fork");
	}
	w = xcalloc(1, sizeof(*w));
	*w = (struct worker){ .sv = sv, .pidfd = proc_pidfd_open(pid), .err_fd = pipe_fds[0], .done = done, .arg = arg, .n = n };
	if (w->pidfd >= 0 && loop_add(&sv->loop, &w->source, w->pidfd, EPOLLIN, worker_ended, err) == 0) {
		sv->n_workers++;
		return 0;
	}
	if (w->pidfd < 0)
		err_sys(err, errno, "watch a worker process");
	kill(pid, SIGKILL); /* not reaped, so it is still that one */
	waitpid(pid, NULL, 0);
	util_close(&w->pidfd);
	close(w->err_fd);
	free(w);
	return -1;
}

static int collect_name(void *arg, const char *name)
{
	strv_push(arg, name);
	return 0;
}

/* Freeing a block may wait for the disk, a millisecond or more with `discard`: through much of it several processes go side by side. What one of
 * them could not remove, the caller will name. */
static void sweep_together(const char *path)
{
	AUTO_STRV struct strv names = {0};
	AUTO_CLOSE int fd = openat(ANCHOR_FD_ROOT, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t pids[SWEEPERS];
	size_t n = 0;
	if (fd < 0 || fs_each(fd, ".", collect_name, &names, NULL) < 0 || names.n < (size_t)2 * SWEEPERS)
		return;
	for (; n < SWEEPERS; n++) {
		pids[n] = fork();
		if (pids[n] < 0)
			break;
		if (pids[n] > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (size_t i = n; i < names.n; i += SWEEPERS)
			fs_remove_tree(fd, names.v[i], NULL);
		_exit(0);
	}
	while (n-- > 0)
		while (waitpid(pids[n], NULL, 0) < 0 && errno == EINTR)
			;
}

static int empty_trash(struct supervisor *sv, const char *text, struct err *err)
{
	AUTO_FREE char *path = xasprintf("projects/.trash/%s", text);
	sweep_together(path);
	if (fs_remove_tree(ANCHOR_FD_ROOT, path, err) < 0 || failpoint_err("work.trash", err) < 0)
		return -1;
	unlinkat(ANCHOR_FD_ROOT, "projects/.trash", AT_REMOVEDIR);
	(void)sv;
	return 0;
}

static void trash_emptied(struct supervisor *sv, void *arg, size_t n, const struct err *failure)
{
	(void)arg;
	(void)n;
	sv->trash_busy = false;
	sv->trash_done = sv->trash_started; /* after a failure too: the next removal tries again */
	if (failure && sv->trash_added == sv->trash_done)
		log_warn("trash: %s", failure->msg);
	worker_empty_trash(sv);
	apply_trash_emptied(sv);
}

void worker_empty_trash(struct supervisor *sv)
{
	struct err err = {0};
	if (sv->trash_busy || sv->trash_added == sv->trash_done)
		return;
	sv->trash_busy = true;
	sv->trash_started = sv->trash_added;
	if (worker_run(sv, empty_trash, sv->project, trash_emptied, NULL, 0, &err) < 0) {
		log_warn("trash: %s", err.msg);
		sv->trash_busy = false;
		sv->trash_done = sv->trash_added;
	}
}
