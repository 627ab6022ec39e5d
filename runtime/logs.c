/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's side of logging: the FIFOs and the control channel. The container's end and the anchor's copy of a FIFO are
 * opened O_RDWR: no container ever gets SIGPIPE, whoever dies. Only the log process has a reading end, which hangs up when the
 * last of them has gone. O_NONBLOCK belongs to the file description, so the container gets one of its own. */
#include "runtime/logs.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"

const char *const logs_stream_files[LOGS_STREAM_N_] = {
	[LOGS_STDOUT] = "stdout.log",
	[LOGS_STDERR] = "stderr.log",
};

/* Opens the FIFO; anything else under that name is an error. */
static int fifo_open(int dirfd, const char *name, int flags, struct err *err)
{
	AUTO_CLOSE int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	if (fd < 0)
		return err_sys(err, errno, "open %s", name);
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "stat %s", name);
	if (!S_ISFIFO(st.st_mode))
		return err_set(err, ERR_CORRUPT, "%s: not a FIFO", name);
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, 0) < 0)
		return err_sys(err, errno, "%s", name);
	return TAKE_FD(fd);
}

int logs_fifo_open(int dirfd, const char *name, uid_t uid, gid_t gid, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	if (mkfifoat(dirfd, name, 0622) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make FIFO %s", name);
	fd = fifo_open(dirfd, name, O_NONBLOCK, err);
	if (fd < 0)
		return -1;
	if (fchown(fd, uid, gid) < 0)
		return err_sys(err, errno, "change the owner of %s", name);
	if (fchmod(fd, 0622) < 0) /* the umask took some away */
		return err_sys(err, errno, "change the mode of %s", name);
	fcntl(fd, F_SETPIPE_SZ, LOGS_PIPE_BYTES); /* asked for, not needed */
	return TAKE_FD(fd);
}

int logs_fifo_writer(int dirfd, const char *name, struct err *err)
{
	return fifo_open(dirfd, name, 0, err);
}

struct logs_head {
	uint8_t op, flags;
	uint16_t id_len;
	uint32_t number;
	uint64_t limit_bytes;
	uint32_t limit_files;
	uint32_t pad;
};
static_assert(sizeof(struct logs_head) + LOGS_MAX_ID == LOGS_MAX_PACKET, "the header's size");

enum { FLAG_TTY = 1, FLAG_NONE = 2, FLAG_RUN = 4, FLAG_FIRST = 8 };

size_t logs_control_encode(const struct logs_message *m, void *buf)
{
	struct logs_head head = { .op = m->op, .flags = (uint8_t)((m->tty ? FLAG_TTY : 0) | (m->limits.none ? FLAG_NONE : 0) |
						    (m->run ? FLAG_RUN : 0) | (m->first ? FLAG_FIRST : 0)),
				  .id_len = (uint16_t)strlen(m->id), .number = m->number, .limit_bytes = m->limits.bytes,
				  .limit_files = m->limits.files };
	memcpy(buf, &head, sizeof(head));
	memcpy((char *)buf + sizeof(head), m->id, head.id_len);
	return sizeof(head) + head.id_len;
}

int logs_control_decode(const void *p, size_t n, struct logs_message *ret, struct err *err)
{
	struct logs_head head;
	if (n < sizeof(head))
		return err_set(err, ERR_CORRUPT, "logs control: a packet of %zu bytes", n);
	memcpy(&head, p, sizeof(head));
	if (head.op == LOGS_OP_NONE || head.op >= LOGS_OP_N_ || head.id_len > LOGS_MAX_ID || n != sizeof(head) + head.id_len)
		return err_set(err, ERR_CORRUPT, "logs control: malformed packet of kind %u", head.op);
	*ret = (struct logs_message){ .op = head.op, .tty = head.flags & FLAG_TTY, .run = head.flags & FLAG_RUN,
				     .first = head.flags & FLAG_FIRST, .number = head.number };
	ret->limits = (struct logs_limits){ .bytes = head.limit_bytes, .files = head.limit_files, .none = head.flags & FLAG_NONE };
	memcpy(ret->id, (const char *)p + sizeof(head), head.id_len);
	if (strlen(ret->id) != head.id_len)
		return err_set(err, ERR_CORRUPT, "logs control: malformed id");
	return 0;
}

static void send_full(struct logs_control *c, struct logs_message *m, const char *id, const int *fds, size_t n_fds)
{
	unsigned char buf[LOGS_MAX_PACKET];
	assert(strlen(id) <= LOGS_MAX_ID);
	memcpy(m->id, id, strlen(id));
	chan_send(&c->chan, buf, logs_control_encode(m, buf), fds, n_fds);
}

static void logs_control_send(struct logs_control *c, enum logs_op op, uint32_t number, const char *id)
{
	struct logs_message m = { .op = (uint8_t)op, .number = number };
	send_full(c, &m, id, NULL, 0);
}

static void logs_control_receive(struct chan *chan, const void *p, size_t n, int *fds, size_t n_fds)
{
	struct logs_control *c = CONTAINER_OF(chan, struct logs_control, chan);
	struct logs_message m;
	(void)fds;
	(void)n_fds;
	if (!p) {
		c->fn(c, LOGS_OP_NONE, 0, "");
		return;
	}
	if (logs_control_decode(p, n, &m, NULL) < 0)
		return;
	if (m.op == LOGS_OP_DRAINED) {
		if ((uintptr_t)map_get(&c->draining, m.id) != m.number)
			return;
		map_del(&c->draining, m.id);
		c->fn(c, LOGS_OP_DRAINED, 0, m.id);
	} else if (m.op == LOGS_OP_HELLO || m.op == LOGS_OP_ACK || m.op == LOGS_OP_BUSY) {
		c->fn(c, (enum logs_op)m.op, m.number, m.id);
	}
}

static uint32_t random_number(void)
{
	char digits[9];
	random_hex(digits, 8);
	return (uint32_t)strtoul(digits, NULL, 16);
}

int logs_control_open(struct logs_control *c, struct loop *l, int fd,
		      void (*fn)(struct logs_control *, enum logs_op, uint32_t, const char *), struct err *err)
{
	*c = (struct logs_control){ .fn = fn, .serial = random_number(), .epoch = random_number() };
	return chan_open(&c->chan, l, fd, logs_control_receive, err);
}

void logs_control_done(struct logs_control *c)
{
	chan_done(&c->chan);
	map_done(&c->draining);
}

void logs_control_reset(struct logs_control *c)
{
	chan_drop(&c->chan);
	logs_control_send(c, LOGS_OP_RESET, 0, "");
}

uint32_t logs_control_sync(struct logs_control *c)
{
	if (++c->serial == 0)
		c->serial = 1;
	logs_control_send(c, LOGS_OP_SYNC, c->serial, "");
	/* a server that died took these with it; twice is harmless */
	for (struct map_entry *e = map_next(&c->draining, NULL); e; e = map_next(&c->draining, e))
		logs_control_send(c, LOGS_OP_DRAIN, (uint32_t)(uintptr_t)e->value, e->key);
	return c->serial;
}

/* A description of its own for reading only: that of a FIFO. */
static int reading_end(int fifo_fd)
{
	char path[32];
	int fd = open(fs_fd_path(fifo_fd, path), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 ? fd : fcntl(fifo_fd, F_DUPFD_CLOEXEC, 3);
}

void logs_control_add(struct logs_control *c, const char *id, const struct logs_container *k)
{
	bool tty = k->tty_fd >= 0;
	struct logs_message m = { .op = LOGS_OP_ADD, .tty = tty, .run = k->run_dirfd >= 0, .first = tty && k->first_pidfd >= 0,
				  .limits = k->limits };
	AUTO_CLOSE int out = tty ? -1 : reading_end(k->out_fd); /* what a terminal prints is written into `out` */
	AUTO_CLOSE int error = tty ? -1 : reading_end(k->err_fd);
	int fds[5] = { k->log_dirfd, tty ? k->out_fd : out, tty ? k->tty_fd : error };
	size_t n = 3;
	if (m.run)
		fds[n++] = k->run_dirfd;
	if (m.first)
		fds[n++] = k->first_pidfd;
	send_full(c, &m, id, fds, n);
}

void logs_control_remove(struct logs_control *c, const char *id)
{
	map_del(&c->draining, id);
	logs_control_send(c, LOGS_OP_REMOVE, 0, id);
}

void logs_control_drain(struct logs_control *c, const char *id)
{
	if (++c->epoch == 0)
		c->epoch = 1;
	map_put(&c->draining, id, (void *)(uintptr_t)c->epoch);
	logs_control_send(c, LOGS_OP_DRAIN, c->epoch, id);
}
