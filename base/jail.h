/* SPDX-License-Identifier: Apache-2.0 */
/* The jail of our long-lived helpers: no capabilities, no new privileges, and a system call filter that knows what their loop
 * needs and nothing else. What is not allowed fails with EPERM instead of killing: a C library that tries something new must
 * not turn into an outage. */
#ifndef BASE_JAIL_H
#define BASE_JAIL_H

#include "base/err.h"

enum {
	JAIL_SOCKETS = 1, /* new sockets of the Internet families, and everything with sockets */
	JAIL_RELAY = 4,   /* pipes, and bytes spliced through them */
	JAIL_FILES = 2,   /* open (by descriptor of a directory), read, write, truncate, lock, splice; no removal, no new names but by O_CREAT */
};

/* Enters it for good. `allow`: JAIL_* bits on top of memory, time, epoll, messages on sockets that are open already, and exit.
 * Never in it: a new process, another program, a signal to others, ptrace, mounts, executable mappings. 0 or -1 + err. */
int jail_enter(unsigned allow, struct err *err);

#endif
