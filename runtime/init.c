/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny init. It blocks every signal and takes them one by one with sigwaitinfo: no handler, no race between SIGCHLD and exit. The
 * command runs in its own process group, which owns the terminal when there is one, so that Ctrl+C reaches it once. Descriptors 0-2
 * stay open: programs log to /proc/1/fd/1. What exits first without being the command is only reaped. When the command ends, init
 * ends, and the kernel kills the rest of the pid namespace. */
#include "runtime/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"

/* In the child: its own group, the terminal, clean signals, exec. */
static _Noreturn void run_command(const char *path, char **argv)
{
	setpgid(0, 0);
	if (isatty(0)) {
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(0, getpid());
	}
	proc_reset_signals();
	execv(path, argv);
	dprintf(2, "exec %s failed: %s\n", path, strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Reaps everything that has ended; true when the command was among it, with its status. */
static bool reap(pid_t command, int *ret_status)
{
	bool ended = false;
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == command) {
			*ret_status = status;
			ended = true;
		}
	return ended;
}

int init_main(int argc, char **argv)
{
	sigset_t all;
	siginfo_t info;
	pid_t command;
	int status = 0;
	if (argc < 3) {
		dprintf(2, "usage: " INIT_NAME " PATH ARGV0 [ARGUMENT...]\n");
		return 126;
	}
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigprocmask(SIG_SETMASK, &all, NULL);
	command = fork();
	if (command < 0) {
		dprintf(2, "fork: %s\n", strerror(errno));
		return 126;
	}
	if (command == 0)
		run_command(argv[1], argv + 2);
	setpgid(command, command);
	for (;;) {
		int sig = sigwaitinfo(&all, &info);
		if (sig < 0)
			continue;
		if (sig == SIGCHLD) {
			if (reap(command, &status))
				return proc_exit_code(status);
		} else if (sig != SIGTTIN && sig != SIGTTOU) {
			kill(command, sig);
		}
	}
}
