/* SPDX-License-Identifier: Apache-2.0 */
/* The child's side must work after the filter is loaded and with no memory to spare: one sendmsg of a fixed struct. */
#include "runtime/report.h"

#include "base/sock.h"

struct message {
	uint32_t kind;
	struct err err;
};

void report_send(int sync_fd, enum report_kind kind, const struct err *e, int console_fd)
{
	struct message m = { .kind = kind };
	if (e)
		m.err = *e;
	sock_send(sync_fd, &m, sizeof(m), &console_fd, console_fd >= 0, NULL);
}

_Noreturn void report_fail(int sync_fd, const struct err *e)
{
	report_send(sync_fd, REPORT_FAILED, e, -1);
	_exit(e->code == ERR_NO_COMMAND ? 127 : e->code == ERR_NOT_EXEC ? 126 : 125);
}

int report_recv(int sync_fd, struct err *ret_err, int *ret_console)
{
	struct message m;
	int fd = -1;
	size_t n_fds = 1;
	ssize_t n;
	*ret_console = -1;
	n = sock_recv(sync_fd, &m, sizeof(m), &fd, &n_fds, ret_err);
	if (n == -ECONNRESET) { /* the child ended without reading go; what it said is still in the queue */
		n_fds = 1;
		n = sock_recv(sync_fd, &m, sizeof(m), &fd, &n_fds, ret_err);
	}
	if (n <= 0)
		return n == 0 ? REPORT_END : (int)n;
	if (n != sizeof(m) || m.kind == REPORT_END || m.kind > REPORT_FAILED) {
		if (n_fds)
			close(fd);
		return err_set(ret_err, ERR_CORRUPT, "a malformed report from a starting process");
	}
	if (m.kind == REPORT_FAILED) {
		m.err.msg[sizeof(m.err.msg) - 1] = m.err.origin[sizeof(m.err.origin) - 1] = '\0';
		*ret_err = m.err;
	}
	*ret_console = n_fds ? fd : -1;
	return (int)m.kind;
}
