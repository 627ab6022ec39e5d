/* SPDX-License-Identifier: Apache-2.0 */
/* The pumps. Invariants: every byte arrives once and in order, also those written just before the process ended; the two outputs are not
 * mixed; a reader that went away neither hangs nor kills the pump; a file that grows is copied to its true end; raw mode is undone. */
#include "compose/tty.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/fs.h"
#include "base/proc.h"

static int failures;

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	failures++;
	fprintf(stderr, "FAILED: %s\n", what);
}

enum { N_BYTES = 3000000 };

static unsigned char pattern(size_t i, unsigned char salt)
{
	return (unsigned char)((i * 2654435761u >> 13) + salt);
}

/* Writes the pattern in odd pieces. */
static void write_pattern(int fd, size_t n, unsigned char salt)
{
	unsigned char buf[7777];
	for (size_t at = 0; at < n;) {
		size_t len = MIN(sizeof(buf), n - at);
		for (size_t i = 0; i < len; i++)
			buf[i] = pattern(at + i, salt);
		if (fs_write_all(fd, buf, len, NULL) < 0)
			return;
		at += len;
	}
}

static void check_file(int fd, size_t n, unsigned char salt, const char *what)
{
	AUTO_STR struct str got = {0};
	bool same = true;
	lseek(fd, 0, SEEK_SET);
	check(fs_read_fd(fd, (size_t)1 << 26, &got, NULL) == 0 && got.len == n, what);
	for (size_t i = 0; i < got.len && i < n; i++)
		same = same && (unsigned char)got.p[i] == pattern(i, salt);
	check(same, what);
}

static struct tty_pump idle_pump(void)
{
	return (struct tty_pump){ .in_fd = -1, .to_fd = -1, .from_fd = -1, .out_fd = -1, .from2_fd = -1, .out2_fd = -1, .notify_fd = -1,
				  .pid_fd = -1, .control_fd = -1 };
}

/* A child writes both outputs and ends at once; the pump sees its end by pidfd and still delivers everything. */
static void test_drain(void)
{
	AUTO_CLOSE int out = memfd_create("out", MFD_CLOEXEC), out2 = memfd_create("out2", MFD_CLOEXEC);
	struct tty_pump p = idle_pump();
	struct err err;
	int a[2], b[2];
	pid_t pid;
	check(pipe2(a, O_CLOEXEC) == 0 && pipe2(b, O_CLOEXEC) == 0, "pipes");
	pid = fork();
	if (pid == 0) {
		pid_t other = fork();
		write_pattern(other ? a[1] : b[1], N_BYTES, other ? 1 : 2);
		if (other)
			waitpid(other, NULL, 0);
		_exit(0);
	}
	close(b[1]); /* a[1] stays open here: the end of the output must come from the process, not from the pipe */
	p.from_fd = a[0];
	p.out_fd = out;
	p.from2_fd = b[0];
	p.out2_fd = out2;
	p.pid_fd = proc_pidfd_open(pid);
	check(tty_pump(&p, &err) == 0, "pump");
	waitpid(pid, NULL, 0);
	check_file(out, N_BYTES, 1, "first output");
	check_file(out2, N_BYTES, 2, "second output");
	close(p.pid_fd);
	close(a[0]);
	close(a[1]);
	close(b[0]);
}

/* Input from a file through a child that copies it; the end of the file closes the child's input. */
static void test_echo(void)
{
	AUTO_CLOSE int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	struct tty_pump p = idle_pump();
	struct err err;
	int to[2], from[2];
	pid_t pid;
	write_pattern(in, N_BYTES, 3);
	lseek(in, 0, SEEK_SET);
	check(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0, "pipes");
	pid = fork();
	if (pid == 0) {
		char buf[5000];
		ssize_t n;
		close(to[1]);
		while ((n = read(to[0], buf, sizeof(buf))) > 0)
			fs_write_all(from[1], buf, (size_t)n, NULL);
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	p.in_fd = in;
	p.to_fd = to[1];
	p.from_fd = from[0];
	p.out_fd = out;
	p.pid_fd = proc_pidfd_open(pid);
	check(tty_pump(&p, &err) == 0, "pump");
	waitpid(pid, NULL, 0);
	check_file(out, N_BYTES, 3, "echo");
	close(p.pid_fd);
	close(from[0]);
}

static int gone_signal;

static void note_signal(void *arg, int sig)
{
	gone_signal = sig;
	kill(*(pid_t *)arg, SIGKILL);
}

/* Our reader goes away: the owner is told once, and the pump ends with the process. */
static void test_broken_pipe(void)
{
	struct tty_pump p = idle_pump();
	struct err err;
	int from[2], out[2];
	pid_t pid;
	check(pipe2(from, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipes");
	pid = fork();
	if (pid == 0) {
		close(out[0]);
		for (;;)
			write_pattern(from[1], 100000, 4);
	}
	close(from[1]);
	close(out[0]);
	p.from_fd = from[0];
	p.out_fd = out[1];
	p.pid_fd = proc_pidfd_open(pid);
	p.forward = note_signal;
	p.arg = &pid;
	check(tty_pump(&p, &err) == 0, "pump");
	check(gone_signal == SIGPIPE, "told of the broken pipe");
	waitpid(pid, NULL, 0);
	close(p.pid_fd);
	close(from[0]);
	close(out[1]);
}

/* Two files that a child appends to, followed by inotify. */
static void test_growing_files(void)
{
	char name[] = "/tmp/muster-tty-XXXXXX";
	AUTO_CLOSE int writer = mkostemp(name, O_CLOEXEC), reader = open(name, O_RDONLY | O_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
	AUTO_CLOSE int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), empty = memfd_create("empty", MFD_CLOEXEC);
	struct tty_pump p = idle_pump();
	struct err err;
	pid_t pid;
	inotify_add_watch(notify, name, IN_MODIFY);
	pid = fork();
	if (pid == 0) {
		for (size_t at = 0; at < 100; at++) {
			unsigned char buf[1000];
			for (size_t i = 0; i < sizeof(buf); i++)
				buf[i] = pattern(at * sizeof(buf) + i, 5);
			fs_write_all(writer, buf, sizeof(buf), NULL);
			usleep(500);
		}
		_exit(0);
	}
	p.from_fd = reader;
	p.out_fd = out;
	p.from2_fd = empty;
	p.out2_fd = out;
	p.notify_fd = notify;
	p.pid_fd = proc_pidfd_open(pid);
	check(tty_pump(&p, &err) == 0, "pump");
	waitpid(pid, NULL, 0);
	check_file(out, 100000, 5, "growing file");
	close(p.pid_fd);
	unlink(name);
}

/* Raw mode on a pty of our own, undone by tty_restore. */
static void test_raw(void)
{
	AUTO_CLOSE int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave = -1;
	struct winsize w = { .ws_row = 33, .ws_col = 99 };
	struct termios before, raw, after;
	unsigned columns = 0, rows = 0;
	struct err err;
	check(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "pty");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	check(!tty_size(slave, &columns, &rows) && tty_columns(slave) == 80, "a terminal without a size");
	ioctl(slave, TIOCSWINSZ, &w);
	check(tty_size(slave, &columns, &rows) && columns == 99 && rows == 33, "size");
	tcgetattr(slave, &before);
	check(tty_raw(slave, &err) == 0, "raw");
	tcgetattr(slave, &raw);
	check(!(raw.c_lflag & (ICANON | ECHO | ISIG)), "raw modes");
	tty_restore();
	tty_restore();
	tcgetattr(slave, &after);
	check(after.c_lflag == before.c_lflag && after.c_iflag == before.c_iflag && after.c_oflag == before.c_oflag, "modes are back");
	check(tty_raw(master < 0 ? 0 : memfd_create("no tty", MFD_CLOEXEC), &err) < 0, "not a terminal");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_drain();
	test_echo();
	test_broken_pipe();
	test_growing_files();
	test_raw();
	if (failures == 0)
		printf("ok\n");
	return failures ? 1 : 0;
}
