/* SPDX-License-Identifier: Apache-2.0 */
/* The user's terminal: size, raw mode that is undone on every way out (return, exit, fatal signal), and the pumps between
 * it and a container's terminal or pipes. The host's terminal itself never enters a container. */
#ifndef COMPOSE_TTY_H
#define COMPOSE_TTY_H

#include "base/err.h"

/* Columns and rows of the terminal fd; false when it is none or has no size. */
bool tty_size(int fd, unsigned *ret_columns, unsigned *ret_rows);
/* Columns of fd, 80 when it is no terminal or has no size. */
unsigned tty_columns(int fd);

/* Puts the terminal fd into raw mode; undone by tty_restore, at exit and by the handlers of fatal signals that this installs. */
int tty_raw(int fd, struct err *err);
/* Undoes tty_raw; does nothing when there is nothing to undo. Safe in a signal handler. */
void tty_restore(void);

/* What a pump works on. Descriptors are not owned; -1: not there. */
struct tty_pump {
	int in_fd;            /* ours: read, written to `to_fd` */
	int to_fd;            /* the container's input: pty master or pipe; closed at the end of in_fd when it is not the master */
	bool to_is_master;    /* at the end of in_fd send the terminal's EOF character instead */
	int from_fd;          /* the container's output: pty master or pipe */
	int out_fd;           /* ours */
	int from2_fd;         /* the container's standard error, -1 with a terminal */
	int out2_fd;
	int notify_fd;        /* inotify on from_fd and from2_fd, which are files that grow: their end is only the end for now; -1: they are not */
	int pid_fd;           /* readable when the container's process (or its stand-in) has ended; -1: the ends of the outputs decide */
	int control_fd;       /* readable when the other side has something to say; -1 */
	int (*control)(void *arg, struct err *err); /* handles it: 0 go on, 1 the process has ended, -1 + err */
	void (*forward)(void *arg, int sig);        /* SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 that we got; SIGPIPE once when
	                                               nobody reads our output any more; NULL: not caught */
	void (*resized)(void *arg, unsigned columns, unsigned rows); /* after SIGWINCH; NULL: set on the master directly */
	void *arg;
};

/* Runs until the process has ended and everything that it wrote is out (never less, never twice), or until our output is gone (then
 * the container's output is read on and dropped). Returns 0, -1 + err. */
int tty_pump(struct tty_pump *p, struct err *err);

#endif
