/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors 0-2 of a container's process. */
#ifndef RUNTIME_STDIO_H
#define RUNTIME_STDIO_H

#include <sys/types.h>

#include "base/err.h"

/* Puts fds[0..2] (any numbers, also each other's; none negative) at 0-2. FIFOs become the user's, so that /dev/stdout can be opened. */
int stdio_connect(const int fds[3], uid_t uid, struct err *err);
/* Makes the pty's slave 0-2 and the controlling terminal of this session, and gives it to the user. */
int stdio_connect_tty(int slave, uid_t uid, struct err *err);

#endif
