/* SPDX-License-Identifier: Apache-2.0 */
/* Raw mode and pumps. The saved modes are the only state: kept so that a signal handler can put them back. Our own standard
 * streams are shared with the shell, so they are never made non-blocking: a write follows a poll and is small enough for what
 * poll promised. The container's ends are ours and are. */
#include "compose/tty.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>

static struct termios saved_modes;
static volatile sig_atomic_t saved_fd = -1;

bool tty_size(int fd, unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize w;
	if (ioctl(fd, TIOCGWINSZ, &w) < 0 || w.ws_col == 0 || w.ws_row == 0)
		return false;
	*ret_columns = w.ws_col;
	*ret_rows = w.ws_row;
	return true;
}

unsigned tty_columns(int fd)
{
	unsigned columns, rows;
	return tty_size(fd, &columns, &rows) ? columns : 80;
}

void tty_restore(void)
{
	int fd = saved_fd, e = errno;
	saved_fd = -1;
	if (fd >= 0)
		tcsetattr(fd, TCSADRAIN, &saved_modes);
	errno = e;
}

static void fatal_signal(int sig)
{
	tty_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

int tty_raw(int fd, struct err *err)
{
	static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGXCPU, SIGALRM };
	struct sigaction sa = { .sa_handler = fatal_signal };
	struct termios raw;
	if (saved_fd >= 0)
		return 0;
	if (tcgetattr(fd, &saved_modes) < 0)
		return err_sys(err, errno, "read the terminal's modes");
	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &sa, NULL);
	atexit(tty_restore);
	raw = saved_modes;
	cfmakeraw(&raw);
	saved_fd = fd;
	if (tcsetattr(fd, TCSADRAIN, &raw) < 0) {
		saved_fd = -1;
		return err_sys(err, errno, "set the terminal's modes");
	}
	return 0;
}

/* One direction. */
struct channel {
	int from, to;
	size_t at, len;        /* buf[at, len) is to be written */
	bool ended;            /* nothing more will come */
	bool dropping;         /* `to` is gone: read on, write nothing */
	bool file, more;       /* a file that grows; there may be more in it */
	size_t max_write;
	char buf[65536];
};

struct pump {
	struct tty_pump *p;
	struct channel in, out, out2;
	bool finished;         /* the process has ended: drain what is there, then stop */
	bool told_gone;
	int signal_fd;
};

static void channel_init(struct channel *c, int from, int to, bool ours_is_to)
{
	struct stat st;
	*c = (struct channel){ .from = from, .to = to, .ended = from < 0, .max_write = sizeof(c->buf) };
	/* poll() promises room for PIPE_BUF bytes in a blocking pipe, nothing on others but a byte */
	if (ours_is_to && to >= 0 && fstat(to, &st) == 0 && !S_ISREG(st.st_mode))
		c->max_write = 4096;
}

static bool channel_idle(const struct channel *c)
{
	return c->at == c->len;
}

/* Reads once. Returns false when nothing came (nothing there, or the end). */
static bool channel_read(struct channel *c)
{
	ssize_t n;
	if (c->ended || !channel_idle(c))
		return false;
	do
		n = read(c->from, c->buf, sizeof(c->buf));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n == 0 && c->file) {
		c->more = false;
		return false;
	}
	if (n <= 0) { /* EIO: every slave of the pty is closed */
		c->ended = true;
		return false;
	}
	c->at = 0;
	c->len = c->dropping ? 0 : (size_t)n;
	return true;
}

static void channel_write(struct channel *c)
{
	ssize_t n;
	if (channel_idle(c))
		return;
	n = write(c->to, c->buf + c->at, MIN(c->len - c->at, c->max_write));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		c->dropping = true;
		c->at = c->len = 0;
		return;
	}
	c->at += (size_t)n;
}

/* The end of our input: the container's end is closed, or gets the EOF character when it is a terminal. */
static void end_of_input(struct pump *u)
{
	struct termios t;
	if (u->p->to_fd < 0 || !channel_idle(&u->in))
		return;
	if (u->p->to_is_master) {
		char eof = tcgetattr(u->p->to_fd, &t) == 0 ? (char)t.c_cc[VEOF] : 4;
		if (write(u->p->to_fd, &eof, 1) < 0 && errno == EAGAIN)
			return;
	} else {
		close(u->p->to_fd);
	}
	u->p->to_fd = -1;
}

static void resize(struct pump *u)
{
	struct winsize w = {0};
	unsigned columns, rows;
	int from = u->p->in_fd >= 0 && isatty(u->p->in_fd) ? u->p->in_fd : u->p->out_fd;
	if (!tty_size(from, &columns, &rows))
		return;
	if (u->p->resized) {
		u->p->resized(u->p->arg, columns, rows);
		return;
	}
	w.ws_col = (unsigned short)columns;
	w.ws_row = (unsigned short)rows;
	if (u->p->to_is_master)
		ioctl(u->p->from_fd, TIOCSWINSZ, &w);
}

static void handle_signal(struct pump *u)
{
	struct signalfd_siginfo si;
	while (read(u->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGWINCH)
			resize(u);
		else
			u->p->forward(u->p->arg, (int)si.ssi_signo);
	}
}

static void pump_signals(struct pump *u, sigset_t *old)
{
	static const int forwarded[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	for (size_t i = 0; u->p->forward && i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, old);
	u->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void set_nonblocking(int fd)
{
	int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

enum { P_SIGNAL, P_IN, P_TO, P_FROM, P_OUT, P_FROM2, P_OUT2, P_PID, P_CONTROL, P_NOTIFY, P_N_ };

enum { FILE_CHECK_MS = 500 }; /* should a notification get lost */

/* Moves on what the files have; true when something moved. */
static bool pump_files(struct pump *u)
{
	struct channel *both[] = { &u->out, &u->out2 };
	bool moved = false;
	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		if (both[i]->file && both[i]->more && channel_read(both[i])) {
			channel_write(both[i]);
			moved = true;
		}
	return moved;
}

static void files_changed(struct pump *u)
{
	char events[4096];
	while (read(u->p->notify_fd, events, sizeof(events)) > 0)
		;
	u->out.more = u->out2.more = true;
}

static int pump_wait(struct pump *u, struct pollfd *pf)
{
	struct tty_pump *p = u->p;
	bool files = p->notify_fd >= 0;
	int rc, timeout = !files ? -1 : pump_files(u) ? 0 : FILE_CHECK_MS;
	bool want_in = p->to_fd >= 0 && !u->in.ended && channel_idle(&u->in);
	const struct pollfd wanted[P_N_] = {
		[P_SIGNAL] = { .fd = u->signal_fd, .events = POLLIN },
		[P_IN] = { .fd = want_in ? p->in_fd : -1, .events = POLLIN },
		[P_TO] = { .fd = channel_idle(&u->in) ? -1 : p->to_fd, .events = POLLOUT },
		[P_FROM] = { .fd = files || u->out.ended || !channel_idle(&u->out) ? -1 : p->from_fd, .events = POLLIN },
		[P_OUT] = { .fd = channel_idle(&u->out) ? -1 : p->out_fd, .events = POLLOUT },
		[P_FROM2] = { .fd = files || u->out2.ended || !channel_idle(&u->out2) ? -1 : p->from2_fd, .events = POLLIN },
		[P_OUT2] = { .fd = channel_idle(&u->out2) ? -1 : p->out2_fd, .events = POLLOUT },
		[P_PID] = { .fd = u->finished ? -1 : p->pid_fd, .events = POLLIN },
		[P_CONTROL] = { .fd = u->finished ? -1 : p->control_fd, .events = POLLIN },
		[P_NOTIFY] = { .fd = p->notify_fd, .events = POLLIN },
	};
	memcpy(pf, wanted, sizeof(wanted));
	while ((rc = poll(pf, P_N_, timeout)) < 0)
		if (errno != EINTR)
			return -1;
	if (files && (rc == 0 || pf[P_NOTIFY].revents))
		files_changed(u);
	return 0;
}

/* After the process has ended: true when everything that it wrote is out. */
static bool pump_drained(struct pump *u)
{
	if (channel_idle(&u->out) && channel_read(&u->out))
		return false;
	if (channel_idle(&u->out2) && channel_read(&u->out2))
		return false;
	return channel_idle(&u->out) && channel_idle(&u->out2);
}

static int pump_step(struct pump *u, const struct pollfd *pf, struct err *err)
{
	if (pf[P_SIGNAL].revents)
		handle_signal(u);
	if (pf[P_TO].revents)
		channel_write(&u->in);
	if (pf[P_OUT].revents)
		channel_write(&u->out);
	if (pf[P_OUT2].revents)
		channel_write(&u->out2);
	if (pf[P_FROM].revents && channel_read(&u->out))
		channel_write(&u->out);
	if (pf[P_FROM2].revents && channel_read(&u->out2))
		channel_write(&u->out2);
	if (pf[P_IN].revents && channel_read(&u->in))
		channel_write(&u->in);
	if (u->in.ended)
		end_of_input(u);
	if (u->in.dropping && u->p->to_fd >= 0) { /* the container reads no more */
		u->in.ended = true;
		if (!u->p->to_is_master)
			close(u->p->to_fd);
		u->p->to_fd = -1;
	}
	if ((u->out.dropping || u->out2.dropping) && !u->told_gone) {
		u->told_gone = true;
		if (u->p->forward)
			u->p->forward(u->p->arg, SIGPIPE);
	}
	if (pf[P_PID].revents)
		u->finished = true;
	if (pf[P_CONTROL].revents) {
		int rc = u->p->control(u->p->arg, err);
		if (rc < 0)
			return -1;
		u->finished = u->finished || rc > 0;
	}
	return 0;
}

int tty_pump(struct tty_pump *p, struct err *err)
{
	struct pump *u = xcalloc(1, sizeof(*u));
	struct pollfd pf[P_N_];
	sigset_t old;
	int rc = 0;
	u->p = p;
	channel_init(&u->in, p->in_fd, p->to_fd, false);
	channel_init(&u->out, p->from_fd, p->out_fd, true);
	channel_init(&u->out2, p->from2_fd, p->out2_fd, true);
	u->out.file = u->out.more = u->out2.file = u->out2.more = p->notify_fd >= 0;
	set_nonblocking(p->to_fd);
	if (p->notify_fd < 0) {
		set_nonblocking(p->from_fd);
		set_nonblocking(p->from2_fd);
	}
	pump_signals(u, &old);
	resize(u);
	while (rc == 0 && !(u->finished && pump_drained(u))) {
		if (p->pid_fd < 0 && p->control_fd < 0 && u->out.ended && u->out2.ended && channel_idle(&u->out) && channel_idle(&u->out2))
			break;
		if (pump_wait(u, pf) < 0)
			rc = err_sys(err, errno, "poll");
		else
			rc = pump_step(u, pf, err);
	}
	util_close(&u->signal_fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	free(u);
	return rc;
}
