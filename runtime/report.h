/* SPDX-License-Identifier: Apache-2.0 */
/* What a child says to the parent that started it, over a SOCK_SEQPACKET pair: prepared (with a console's master), failed (its struct
 * err as it is), or that it calls exec now. Then close-on-exec makes the end of the socket the sign of success; an end without that
 * word before is a death on the way. Both sides are the same program. */
#ifndef RUNTIME_REPORT_H
#define RUNTIME_REPORT_H

#include "base/err.h"

enum report_kind { REPORT_END, REPORT_PREPARED, REPORT_EXEC, REPORT_FAILED };

/* console_fd: -1 or a descriptor to pass. Failures are ignored: the parent is gone then, and so are we. */
void report_send(int sync_fd, enum report_kind kind, const struct err *e, int console_fd);
/* Sends the error and exits with the code that stands for it: 127, 126, or 125 for what is ours. */
_Noreturn void report_fail(int sync_fd, const struct err *e);
/* Never blocks. Returns an enum report_kind, -1 + err when the socket fails, -EAGAIN when nothing is there. With REPORT_FAILED
 * *ret_err is the child's; with REPORT_PREPARED *ret_console is its descriptor or -1. */
int report_recv(int sync_fd, struct err *ret_err, int *ret_console);

#endif
