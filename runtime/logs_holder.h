/* SPDX-License-Identifier: Apache-2.0 */
/* Which log processes of a project there are. One whose anchor and supervisor have both died goes on alone; the next ones must find it, let it
 * write what it has, and never write beside it. Each notes pid and start time in <run>/<project>/logs.pids before it is given anything. */
#ifndef RUNTIME_LOGS_HOLDER_H
#define RUNTIME_LOGS_HOLDER_H

#include "base/err.h"

/* This process is one from now on. dir_fd: <run>/<project>. 0 or -1 + err. */
int logs_holder_note(int dir_fd, struct err *err);
/* Tells every living one that is no child of this process's parent to end (SIGTERM): it writes what its pipes hold and lets go of the logs.
 * For the supervisor, whose sibling is the one that stays. */
void logs_holder_tell(int dir_fd);
/* Kills every living one and waits for its end, a second at most: nothing of the project is left that could write. Allocates nothing. */
void logs_holder_kill(int dir_fd);

#endif
