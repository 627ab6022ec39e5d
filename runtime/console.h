/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo terminals made in a given devpts: the slave comes from TIOCGPTPEER, never from a path (CVE-2025-52565). */
#ifndef RUNTIME_CONSOLE_H
#define RUNTIME_CONSOLE_H

#include "base/err.h"

/* Opens a new pty of the devpts whose "ptmx" is below dev_dirfd ("pts/ptmx", no symlinks followed). Both close-on-exec; the window
 * size is set unless rows and cols are 0. 0 or -1 + err. */
int console_open(int dev_dirfd, uint16_t rows, uint16_t cols, int *ret_master, int *ret_slave, struct err *err);
/* Makes slave the controlling terminal and descriptors 0-2 of the calling session leader. */
int console_adopt(int slave, struct err *err);
/* Sets the window size of a master or slave; the foreground group gets SIGWINCH. */
int console_resize(int fd, uint16_t rows, uint16_t cols, struct err *err);

#endif
