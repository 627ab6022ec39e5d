/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a build. Most fit into a packet; a here-document of a megabyte goes by a sealed memfd, so that the receiver reads text which
 * nobody changes meanwhile. */
#include "images/build/message.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include "base/fs.h"

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

/* The text of j as packet: the whole of it in *packet, or 'M' there and the rest in *ret_memfd. */
static int encode(const json_t *j, struct str *packet, int *ret_memfd, struct err *err)
{
	AUTO_FREE char *text = json_dumps(j, JSON_COMPACT);
	const size_t n = text ? strlen(text) : 0;
	AUTO_CLOSE int fd = -1;
	*ret_memfd = -1;
	if (!text || n > MESSAGE_MAX_BYTES)
		return err_set(err, ERR_INVALID, "build message: not to be written as JSON, or too long");
	if (n <= MESSAGE_MAX_INLINE) {
		str_addc(packet, 'J');
		str_addn(packet, text, n);
		return 0;
	}
	fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(err, errno, "build message: memfd");
	if (fs_write_all(fd, text, n, err) < 0)
		return -1;
	if (fs_seal(fd) < 0)
		return err_sys(err, errno, "build message: seal");
	str_addc(packet, 'M');
	*ret_memfd = TAKE_FD(fd);
	return 0;
}

/* fds with the memfd in front. */
static size_t join_fds(int memfd, const int *fds, size_t n_fds, int out[static SOCK_MAX_FDS])
{
	size_t n = 0;
	assert(n_fds <= MESSAGE_MAX_FDS);
	if (memfd >= 0)
		out[n++] = memfd;
	for (size_t i = 0; i < n_fds; i++)
		out[n++] = fds[i];
	return n;
}

int message_send(struct chan *c, const json_t *j, const int *fds, size_t n_fds, struct err *err)
{
	AUTO_STR struct str packet = {0};
	AUTO_CLOSE int memfd = -1;
	int all[SOCK_MAX_FDS];
	if (encode(j, &packet, &memfd, err) < 0)
		return -1;
	return chan_send(c, packet.p, packet.len, all, join_fds(memfd, fds, n_fds, all));
}

int message_send_blocking(int fd, const json_t *j, const int *fds, size_t n_fds, struct err *err)
{
	AUTO_STR struct str packet = {0};
	AUTO_CLOSE int memfd = -1;
	int all[SOCK_MAX_FDS], rc;
	size_t n;
	if (encode(j, &packet, &memfd, err) < 0)
		return -1;
	n = join_fds(memfd, fds, n_fds, all);
	while ((rc = sock_send(fd, packet.p, packet.len, all, n, err)) == 1) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		poll(&p, 1, -1);
	}
	return rc < 0 && err && (err->sys == EPIPE || err->sys == ECONNRESET) ? 1 : rc;
}

static int read_memfd(int fd, struct str *ret, struct err *err)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || st.st_size > MESSAGE_MAX_BYTES)
		return err_set(err, ERR_CORRUPT, "build message: the text is not sealed or too long");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "build message");
	return fs_read_fd(fd, MESSAGE_MAX_BYTES, ret, err);
}

int message_parse(const void *p, size_t n, int *fds, size_t n_fds, json_t **ret, int **ret_fds, size_t *ret_n_fds, struct err *err)
{
	const char *packet = p, *text = packet + 1;
	AUTO_STR struct str whole = {0};
	size_t skip = 0, len = n ? n - 1 : 0;
	if (n == 1 && packet[0] == 'M' && n_fds > 0) {
		if (read_memfd(fds[0], &whole, err) < 0)
			return -1;
		text = str_get(&whole);
		len = whole.len;
		skip = 1;
	} else if (n < 2 || packet[0] != 'J') {
		return err_set(err, ERR_CORRUPT, "build message: not understood");
	}
	*ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(*ret)) {
		json_decref(*ret);
		*ret = NULL;
		return err_set(err, ERR_CORRUPT, "build message: not a JSON object");
	}
	*ret_fds = fds + skip;
	*ret_n_fds = n_fds - skip;
	return 0;
}

int message_recv_blocking(int fd, json_t **ret, int *fds, size_t *ret_n_fds, struct err *err)
{
	char buf[CHAN_MAX_PACKET];
	int *own;
	size_t n_fds = SOCK_MAX_FDS, n_own;
	ssize_t n;
	int rc;
	while ((n = sock_recv(fd, buf, sizeof(buf), fds, &n_fds, err)) == -EAGAIN) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		poll(&p, 1, -1);
		n_fds = SOCK_MAX_FDS;
	}
	if (n == 0)
		return 1;
	if (n < 0)
		return -1;
	rc = message_parse(buf, (size_t)n, fds, n_fds, ret, &own, &n_own, err);
	if (rc < 0) {
		for (size_t i = 0; i < n_fds; i++)
			util_close(&fds[i]);
		return -1;
	}
	if (own != fds) {
		util_close(&fds[0]);
		memmove(fds, own, n_own * sizeof(*fds));
	}
	*ret_n_fds = n_own;
	return 0;
}

json_t *message_from_err(const struct err *err)
{
	json_t *j = json_object();
	json_put_int(j, "code", err->code);
	json_put_int(j, "errno", err->sys);
	json_object_set_new(j, "message", json_text(err->msg));
	return j;
}

int message_to_err(const json_t *j, struct err *err)
{
	int64_t code = json_get_int(j, "code", ERR_CORRUPT);
	char safe[512];
	if (code <= ERR_NONE || code >= ERR_N_)
		code = ERR_CORRUPT;
	err_set(err, (enum err_code)code, "%s", err_quote(safe, sizeof(safe), json_get_str(j, "message", "failed without saying why")));
	if (err)
		err->sys = (int)json_get_int(j, "errno", 0);
	return -1;
}
