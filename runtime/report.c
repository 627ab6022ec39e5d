/* SPDX-License-Identifier: Apache-2.0 */
/* The child's side must work after the filter is loaded and with no memory to spare: one sendmsg of a fixed struct. */
#include "runtime/report.h"

#include <unistd.h>

#include "base/sock.h"

enum { MAX_FDS = 1 + REPORT_NETWORK_FDS };

struct message {
	uint32_t kind;
	uint8_t has[MAX_FDS]; /* which descriptors follow: the console, then the network's */
	struct err err;
};

static int *nth(struct report_fds *f, size_t i)
{
	return i == 0 ? &f->console : &f->network[i - 1];
}

void report_fds_init(struct report_fds *f)
{
	for (size_t i = 0; i < MAX_FDS; i++)
		*nth(f, i) = -1;
}

void report_fds_close(struct report_fds *f)
{
	for (size_t i = 0; i < MAX_FDS; i++)
		util_close(nth(f, i));
}

void report_send(int sync_fd, enum report_kind kind, const struct err *e, const struct report_fds *fds)
{
	struct message m = { .kind = kind };
	int list[MAX_FDS];
	size_t n = 0;
	if (e)
		m.err = *e;
	for (size_t i = 0; fds && i < MAX_FDS; i++) {
		int fd = i == 0 ? fds->console : fds->network[i - 1];
		m.has[i] = fd >= 0;
		if (fd >= 0)
			list[n++] = fd;
	}
	sock_send(sync_fd, &m, sizeof(m), list, n, NULL);
}

_Noreturn void report_fail(int sync_fd, const struct err *e)
{
	report_send(sync_fd, REPORT_FAILED, e, NULL);
	_exit(e->code == ERR_NO_COMMAND ? 127 : e->code == ERR_NOT_EXEC ? 126 : 125);
}

static void take(const struct message *m, int *list, size_t n, struct report_fds *ret)
{
	size_t at = 0;
	for (size_t i = 0; i < MAX_FDS && at < n; i++)
		if (m->has[i])
			*nth(ret, i) = list[at++];
	while (at < n)
		close(list[at++]);
}

int report_recv(int sync_fd, struct err *ret_err, struct report_fds *ret_fds)
{
	struct message m;
	int list[MAX_FDS];
	size_t n_fds = MAX_FDS;
	ssize_t n;
	report_fds_init(ret_fds);
	n = sock_recv(sync_fd, &m, sizeof(m), list, &n_fds, ret_err);
	if (n == -ECONNRESET) { /* the child ended without reading go; what it said is still in the queue */
		n_fds = MAX_FDS;
		n = sock_recv(sync_fd, &m, sizeof(m), list, &n_fds, ret_err);
	}
	if (n <= 0)
		return n == 0 ? REPORT_END : (int)n;
	if (n != sizeof(m) || m.kind == REPORT_END || m.kind > REPORT_FAILED) {
		while (n_fds)
			close(list[--n_fds]);
		return err_set(ret_err, ERR_CORRUPT, "a malformed report from a starting process");
	}
	if (m.kind == REPORT_FAILED) {
		m.err.msg[sizeof(m.err.msg) - 1] = m.err.origin[sizeof(m.err.origin) - 1] = '\0';
		*ret_err = m.err;
	}
	take(&m, list, n_fds, ret_fds);
	return (int)m.kind;
}
