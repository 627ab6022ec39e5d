/* SPDX-License-Identifier: Apache-2.0 */
/* What a child says to the parent that started it, over a SOCK_SEQPACKET pair: prepared (with descriptors for the parent), failed (its struct
 * err as it is), or that it calls exec now. Then close-on-exec makes the end of the socket the sign of success; an end without that
 * word before is a death on the way. Both sides are the same program. */
#ifndef RUNTIME_REPORT_H
#define RUNTIME_REPORT_H

#include "base/err.h"

enum report_kind { REPORT_END, REPORT_PREPARED, REPORT_EXEC, REPORT_FAILED };

enum { REPORT_NETWORK_FDS = 2 };
struct report_fds {
	int console;                     /* a pty's master, or -1 */
	int network[REPORT_NETWORK_FDS]; /* what the wiring of the network made for the parent, or -1 */
};
void report_fds_init(struct report_fds *f);
void report_fds_close(struct report_fds *f);

/* fds: NULL or what to pass. Failures are ignored: the parent is gone then, and so are we. */
void report_send(int sync_fd, enum report_kind kind, const struct err *e, const struct report_fds *fds);
/* Sends the error and exits with the code that stands for it: 127, 126, or 125 for what is ours. */
_Noreturn void report_fail(int sync_fd, const struct err *e);
/* Never blocks. Returns an enum report_kind, -1 + err when the socket fails, -EAGAIN when nothing is there. With REPORT_FAILED
 * *ret_err is the child's; *ret_fds is what came along, the caller's to close. */
int report_recv(int sync_fd, struct err *ret_err, struct report_fds *ret_fds);

#endif
