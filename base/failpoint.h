/* SPDX-License-Identifier: Apache-2.0 */
/* Failpoints: named places where a test makes us fail, die or wait. They are compiled in always, so that what is tested is what ships; a
 * process that finds no control file at its start pays one load for each.
 *
 * The control file, <run>/failpoints, is shared memory: one slot for each name of the registry with its action, the hit at which it
 * acts, and how often the place was reached. All processes of a run root map it, so a hit is counted once whoever makes it, an
 * action that says "the third hit" acts once and not again in the process that replaces the killed one, and a running process is armed
 * and disarmed from outside. It is made by `muster debug failpoints on` and removed by `… off`. */
#ifndef BASE_FAILPOINT_H
#define BASE_FAILPOINT_H

#include "base/err.h"

#define FAILPOINT_FILE "failpoints"

/* What a point can do beside dying and waiting. */
enum failpoint_can {
	FAILPOINT_DIE = 0,
	FAILPOINT_ERRNO = 1, /* the operation fails */
	FAILPOINT_SHORT = 2, /* a write writes half of what it should */
};

struct failpoint {
	/* process: who reaches it: muster, anchor, supervise, child, work, logs, dns, image, executor; any */
	const char *name, *process, *meaning;
	unsigned can;
};

/* The registry, in the order of the slots. */
extern const struct failpoint failpoints[];
extern const size_t n_failpoints;

/* Maps the control file of the run root, when there is one that is ours and fits this build; forked children share it. */
void failpoint_open(int run_fd);
/* For a child that has no run root and execs: the descriptor of the control file, -1 when there is none; and in the child its mapping, when fd
 * is one. */
int failpoint_fd(void);
void failpoint_take(int fd);

/* The place `name` is reached. 0, or -1 with errno set when the operation behind it has to fail. May not return. The name must be in the
 * registry: with a control file an unknown one aborts. Keeps errno when it returns 0. */
int failpoint(const char *name);
/* The same with an error to return: 0 or -1 + err. */
int failpoint_err(const char *name, struct err *err);
/* How many of the n bytes a write may write: n, or half of it. */
size_t failpoint_short(const char *name, size_t n);

/* For the command line. Makes the file, nothing armed: 0 or -1 + err. */
int failpoint_create(int run_fd, struct err *err);
/* Arms one term, NAME=ACTION[@N[+]]: kill9, abort, delay:MILLISECONDS, short, or an errno's name (ENOSPC); at the N-th hit from now on (1 when
 * absent), with "+" at every later one, too. NAME=off disarms. 0 or -1 + err. */
int failpoint_arm(int run_fd, const char *term, struct err *err);
/* Hits and actions taken since it was last armed; 0, 1 when there is no file, -1 + err. */
struct failpoint_count {
	uint64_t hits, fired;
};
int failpoint_counts(int run_fd, struct failpoint_count *ret, struct err *err);

#endif
