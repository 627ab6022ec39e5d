/* SPDX-License-Identifier: Apache-2.0 */
/* The log process. Invariants: - whatever is killed whenever, each byte that a container wrote is in its file once: a writer
 * of numbered lines runs at full speed while   the process is killed (SIGKILL) again and again and started anew with the same
 * descriptors; - the index covers every byte of the files, in order, after each start; - DRAINED is said only when everything
 * written before is in the file, whichever process answers; - a full disk stops neither the writer nor other containers, and
 * leaves a line that says what was lost; - a terminal's output goes the same way; a FIFO that is in the way, garbage on the
 * channel and a held lock are dealt with. The writer's rate is printed, not judged. */
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "runtime/logs.h"
#include "runtime/logs_holder.h"
#include "runtime/logs_reader.h"
#include "runtime/logs_segment.h"

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

struct bench {
	int pair[2];
	struct loop loop;
	struct logs_control control;
	pid_t server;
	char dir[64];
	int dir_fd, log_fd, out_fd, err_fd;
	struct logs_limits limits;
	unsigned n_hello, n_drained, n_busy, acked;
	int not_inherited; /* closed in a new server: a lock goes with its descriptor */
};

static struct bench bench;

static void add_all(struct bench *b)
{
	struct logs_container k = { .log_dirfd = b->log_fd, .run_dirfd = b->dir_fd, .out_fd = b->out_fd, .err_fd = b->err_fd, .tty_fd = -1,
				    .first_pidfd = -1, .limits = b->limits };
	logs_control_reset(&b->control);
	logs_control_add(&b->control, "c1", &k);
	logs_control_sync(&b->control);
}

/* As the supervisor, who is the log process's sibling, does it. */
static void as_sibling(const struct bench *b, void (*fn)(int dir_fd))
{
	pid_t pid = fork();
	if (pid == 0) {
		fn(b->dir_fd);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void on_event(struct logs_control *c, enum logs_op op, uint32_t serial, const char *id)
{
	struct bench *b = CONTAINER_OF(c, struct bench, control);
	if (op == LOGS_OP_HELLO) {
		b->n_hello++;
		add_all(b);
	} else if (op == LOGS_OP_ACK) {
		b->acked = serial;
	} else if (op == LOGS_OP_BUSY) {
		b->n_busy++;
		as_sibling(b, logs_holder_tell);
	} else if (op == LOGS_OP_DRAINED) {
		CHECK(str_eq(id, "c1") || str_eq(id, "nobody"), "%s", id);
		b->n_drained++;
	}
}

static void close_container(struct bench *b)
{
	util_close(&b->log_fd);
	util_close(&b->out_fd);
	util_close(&b->err_fd);
}

static void start_server(struct bench *b)
{
	fflush(stdout);
	b->server = fork();
	if (b->server == 0) {
		close(b->pair[0]);
		close_container(b);
		util_close(&b->not_inherited);
		exit(logs_main(b->pair[1], b->dir_fd));
	}
}

static void kill_server(struct bench *b, int sig)
{
	int status;
	kill(b->server, sig);
	waitpid(b->server, &status, 0);
	CHECK(sig == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == sig), "status %x", status);
}

static void pump_for(struct bench *b, unsigned ms)
{
	uint64_t end = clock_mono_ns() + ms * 1000000ULL;
	struct err err;
	for (uint64_t now; (now = clock_mono_ns()) < end;)
		loop_run_once(&b->loop, (int)((end - now) / 1000000) + 1, &err);
}

/* Runs the loop until *v differs from was, 10 s at most. */
static bool wait_change(struct bench *b, const unsigned *v, unsigned was)
{
	uint64_t end = clock_mono_ns() + 10000000000ULL;
	struct err err;
	while (*v == was && clock_mono_ns() < end)
		loop_run_once(&b->loop, 100, &err);
	return *v != was;
}

static bool drain(struct bench *b, const char *id)
{
	unsigned was = b->n_drained;
	logs_control_drain(&b->control, id);
	return wait_change(b, &b->n_drained, was);
}

static void open_container(struct bench *b, const char *fifo_suffix)
{
	struct err err;
	char out[32], errname[32];
	snprintf(out, sizeof(out), "out%s", fifo_suffix);
	snprintf(errname, sizeof(errname), "err%s", fifo_suffix);
	b->log_fd = fs_make_dir(b->dir_fd, fifo_suffix[0] ? fifo_suffix : "log", 0700, &err);
	b->out_fd = logs_fifo_open(b->dir_fd, out, 1000, 1000, &err);
	b->err_fd = logs_fifo_open(b->dir_fd, errname, 1000, 1000, &err);
	CHECK(b->log_fd >= 0 && b->out_fd >= 0 && b->err_fd >= 0, "%s", err.msg);
}

static void setup(struct bench *b)
{
	struct err err;
	snprintf(b->dir, sizeof(b->dir), "/tmp/muster-logs-XXXXXX");
	CHECK(mkdtemp(b->dir), "mkdtemp");
	b->dir_fd = fs_open_dir(AT_FDCWD, b->dir, &err);
	CHECK(sock_pair(SOCK_SEQPACKET, b->pair, &err) == 0 && loop_init(&b->loop, &err) == 0, "%s", err.msg);
	CHECK(logs_control_open(&b->control, &b->loop, b->pair[0], on_event, &err) == 0, "%s", err.msg);
	b->not_inherited = -1;
	open_container(b, "");
}

/* What was open before is let go of, and what is written from now on goes to b->log_fd. */
static void switch_log(struct bench *b)
{
	unsigned was = b->acked;
	add_all(b);
	CHECK(wait_change(b, &b->acked, was), "no receipt");
}

static void read_log(struct bench *b, enum logs_stream stream, struct str *ret)
{
	struct err err;
	CHECK(fs_read(b->log_fd, logs_stream_files[stream], 1 << 30, ret, &err) == 0, "%s", logs_stream_files[stream]);
}

/* The index must cover both files from 0 to their ends without gap or overlap, with times that do not run back much. */
static void check_index(struct bench *b, int line)
{
	AUTO_STR struct str index = {0};
	struct err err;
	uint64_t ends[LOGS_STREAM_N_] = {0};
	struct stat st;
	CHECK(fs_read(b->log_fd, LOGS_INDEX, 1 << 30, &index, &err) == 0, "line %d", line);
	CHECK(index.len % sizeof(struct logs_record) == 0, "line %d: %zu bytes", line, index.len);
	for (size_t i = 0; i + sizeof(struct logs_record) <= index.len; i += sizeof(struct logs_record)) {
		struct logs_record r;
		memcpy(&r, index.p + i, sizeof(r));
		CHECK(r.stream < LOGS_STREAM_N_ && r.len > 0, "line %d", line);
		if (r.stream >= LOGS_STREAM_N_)
			return;
		CHECK(r.offset == ends[r.stream], "line %d: record at %llu after %llu", line, (unsigned long long)r.offset,
		      (unsigned long long)ends[r.stream]);
		ends[r.stream] = r.offset + r.len;
	}
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		CHECK(fstatat(b->log_fd, logs_stream_files[i], &st, 0) == 0 && (uint64_t)st.st_size == ends[i],
		      "line %d: %s has %llu of %llu bytes in the index", line, logs_stream_files[i], (unsigned long long)ends[i],
		      (unsigned long long)st.st_size);
}

/* Writes numbered lines to both streams, one write each, until told to stop; then the count into count_fd. */
static void writer(const struct bench *b, int stop_fd, int count_fd)
{
	struct err err;
	int fds[2] = { logs_fifo_writer(b->dir_fd, "out", &err), logs_fifo_writer(b->dir_fd, "err", &err) };
	char stop;
	unsigned n = 0;
	fcntl(stop_fd, F_SETFL, O_NONBLOCK);
	while (read(stop_fd, &stop, 1) < 0) {
		for (int k = 0; k < 64; k++, n++) {
			char text[80];
			int len = snprintf(text, sizeof(text), "%08u %.*s\n", n, (int)(n % 50), "##################################################");
			if (write(fds[n % 4 == 3], text, (size_t)len) != len)
				_exit(1);
		}
	}
	_exit(write(count_fd, &n, sizeof(n)) == sizeof(n) ? 0 : 1);
}

/* Every number of the stream once, in order. */
static unsigned check_lines(struct bench *b, enum logs_stream stream, unsigned n)
{
	AUTO_STR struct str text = {0};
	unsigned expect = stream == LOGS_STDERR ? 3 : 0, seen = 0;
	char *save = NULL;
	read_log(b, stream, &text);
	for (char *l = strtok_r(text.p, "\n", &save); l; l = strtok_r(NULL, "\n", &save), seen++) {
		unsigned v = (unsigned)strtoul(l, NULL, 10);
		if (v != expect) {
			CHECK(v == expect, "line %u of stream %d is \"%.60s\", expected %u", seen, stream, l, expect);
			return seen;
		}
		do
			expect++;
		while ((expect % 4 == 3) != (stream == LOGS_STDERR));
	}
	CHECK(expect >= n, "stream %d ends at %u of %u", stream, expect, n);
	return seen;
}

static void test_kill(struct bench *b, int kills)
{
	int stop[2], count[2], status;
	unsigned n = 0, seed = 1;
	uint64_t start;
	double s;
	pid_t w;
	CHECK(pipe(stop) == 0 && pipe(count) == 0, "pipe");
	start_server(b);
	w = fork();
	if (w == 0)
		writer(b, stop[0], count[1]);
	start = clock_mono_ns();
	for (int i = 0; i < kills; i++) {
		seed = seed * 1103515245 + 12345;
		pump_for(b, 1 + (seed >> 16) % 20);
		kill_server(b, SIGKILL);
		start_server(b);
	}
	pump_for(b, 10);
	CHECK(write(stop[1], "x", 1) == 1, "stop");
	/* the writer may wait for room in the FIFO: the loop must run */
	while (waitpid(w, &status, WNOHANG) == 0)
		pump_for(b, 5);
	s = (double)(clock_mono_ns() - start) / 1e9;
	CHECK(status == 0 && read(count[0], &n, sizeof(n)) == sizeof(n), "writer: %x", status);
	/* killed once more with the drain under way: the next one answers it */
	logs_control_drain(&b->control, "c1");
	kill_server(b, SIGKILL);
	start_server(b);
	CHECK(wait_change(b, &b->n_drained, b->n_drained), "no answer");
	printf("%d kills, %u starts seen, %u lines in %.2f s: %.0f lines/s\n", kills, b->n_hello, n, s, n / s);
	CHECK(check_lines(b, LOGS_STDOUT, n) + check_lines(b, LOGS_STDERR, n) == n, "of %u", n);
	check_index(b, __LINE__);
	for (int i = 0; i < 2; i++) {
		close(stop[i]);
		close(count[i]);
	}
}

/* What a killed process did not record is recorded by the next; a torn record is written over. */
static void test_repair(struct bench *b)
{
	struct logs_record torn = {0};
	AUTO_CLOSE int index = -1;
	AUTO_CLOSE int file = -1;
	struct stat st;
	kill_server(b, SIGKILL);
	index = openat(b->log_fd, LOGS_INDEX, O_RDWR | O_CLOEXEC);
	file = openat(b->log_fd, "stdout.log", O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK(write(file, "not recorded\n", 13) == 13, "write");
	CHECK(fstat(index, &st) == 0 && pwrite(index, &torn, 11, st.st_size) == 11, "tear");
	start_server(b);
	CHECK(drain(b, "c1"), "drain");
	check_index(b, __LINE__);
}

/* The lock keeps a second process from reading until the first one is gone; then it takes over. */
static void test_lock(struct bench *b)
{
	AUTO_STR struct str text = {0};
	unsigned was;
	kill_server(b, SIGKILL);
	b->not_inherited = openat(b->log_fd, LOGS_INDEX, O_RDWR | O_CLOEXEC);
	CHECK(flock(b->not_inherited, LOCK_EX) == 0, "flock");
	start_server(b);
	CHECK(write(b->out_fd, "waits\n", 6) == 6, "write");
	pump_for(b, 60);
	was = b->n_drained;
	logs_control_drain(&b->control, "c1");
	pump_for(b, 60);
	CHECK(b->n_drained == was, "drained without the lock");
	read_log(b, LOGS_STDOUT, &text);
	CHECK(!strstr(str_get(&text), "waits\n"), "read without the lock");
	util_close(&b->not_inherited);
	CHECK(wait_change(b, &b->n_drained, was), "never drained");
	read_log(b, LOGS_STDOUT, &text);
	CHECK(str_ends(str_get(&text), "waits\n"), "lost");
	check_index(b, __LINE__);
}

static void test_control(struct bench *b)
{
	enum { HEAD = LOGS_MAX_PACKET - LOGS_MAX_ID };
	static const unsigned char faults[][2] = { { 0, 255 }, { 0, LOGS_OP_NONE }, { 2, 4 }, { 3, 255 }, { HEAD + 1, 0 } }; /* offset, value */
	struct err err;
	unsigned char buf[LOGS_MAX_PACKET];
	struct logs_message m = { .op = LOGS_OP_ADD, .tty = true, .limits = { 5000000000, 3, true }, .number = 7, .id = "abc" }, back;
	CHECK(logs_control_decode(buf, logs_control_encode(&m, buf), &back, &err) == 0 && back.op == m.op && back.tty && back.number == 7 &&
	      str_eq(back.id, "abc") && back.limits.bytes == 5000000000 && back.limits.files == 3 && back.limits.none, "round trip");
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		size_t n = logs_control_encode(&m, buf);
		buf[faults[i][0]] = faults[i][1];
		CHECK(logs_control_decode(buf, n, &back, &err) < 0, "fault %zu", i);
		CHECK(send(b->pair[0], buf, n, MSG_NOSIGNAL) > 0, "send");
	}
	CHECK(logs_control_decode(buf, 3, &back, &err) < 0 && send(b->pair[0], buf, 3, MSG_NOSIGNAL) > 0, "short");
	m = (struct logs_message){ .op = LOGS_OP_ADD, .id = "c2" }; /* without descriptors */
	CHECK(send(b->pair[0], buf, logs_control_encode(&m, buf), MSG_NOSIGNAL) > 0, "send");
	CHECK(drain(b, "nobody"), "an unknown container is drained at once");
	/* a full set without c1 lets go of it, after what is in its FIFO */
	CHECK(write(b->out_fd, "last\n", 5) == 5, "write");
	logs_control_reset(&b->control);
	b->acked = 0;
	uint32_t serial = logs_control_sync(&b->control);
	CHECK(wait_change(b, &b->acked, 0) && b->acked == serial, "ack %u", b->acked);
	AUTO_CLOSE int lock = openat(b->log_fd, LOGS_INDEX, O_RDWR | O_CLOEXEC);
	CHECK(flock(lock, LOCK_EX | LOCK_NB) == 0, "still held");
	AUTO_STR struct str text = {0};
	read_log(b, LOGS_STDOUT, &text);
	CHECK(str_ends(str_get(&text), "last\n"), "not drained before it was let go");
	util_close(&lock);
	switch_log(b);
}

/* Somebody empties the file by hand: the log goes on from there. */
static void test_emptied(struct bench *b)
{
	AUTO_STR struct str text = {0};
	AUTO_CLOSE int file = openat(b->log_fd, "stdout.log", O_WRONLY | O_TRUNC | O_CLOEXEC);
	CHECK(file >= 0 && write(b->out_fd, "fresh\n", 6) == 6 && drain(b, "c1"), "write");
	read_log(b, LOGS_STDOUT, &text);
	CHECK(str_eq(str_get(&text), "fresh\n"), "\"%.40s\"", str_get(&text));
}

/* A 1 MiB tmpfs as log directory. */
static void test_full_disk(struct bench *b)
{
	AUTO_STR struct str text = {0};
	struct err err;
	char mount_point[96], block[4096], told[120];
	int other_log = b->log_fd, w;
	struct stat st;
	size_t lost;
	snprintf(mount_point, sizeof(mount_point), "%s/full", b->dir);
	if (mkdir(mount_point, 0700) < 0 || mount("tmpfs", mount_point, "tmpfs", 0, "size=1m") < 0) {
		printf("full disk: skipped, no tmpfs: %s\n", strerror(errno));
		return;
	}
	memset(block, 'x', sizeof(block));
	block[sizeof(block) - 1] = '\n';
	b->log_fd = fs_open_dir(AT_FDCWD, mount_point, &err);
	switch_log(b);
	w = logs_fifo_writer(b->dir_fd, "out", &err);
	for (int i = 0; i < 2048; i++) /* 8 MiB: returns only when somebody drains */
		CHECK(write(w, block, sizeof(block)) == sizeof(block), "write");
	CHECK(drain(b, "c1"), "drain");
	CHECK(fstatat(b->log_fd, "stdout.log", &st, 0) == 0, "stat");
	lost = 2048 * sizeof(block) - (size_t)st.st_size;
	kill_server(b, SIGKILL); /* the count outlives it */
	start_server(b);
	CHECK(drain(b, "c1"), "drain");
	int file = openat(b->log_fd, "stdout.log", O_RDWR | O_CLOEXEC);
	CHECK(ftruncate(file, 300000) == 0, "make room"); /* in the middle of a line */
	close(file);
	pump_for(b, 300);
	kill_server(b, SIGKILL); /* and is told once */
	start_server(b);
	CHECK(write(w, "after\n", 6) == 6 && drain(b, "c1"), "drain");
	read_log(b, LOGS_STDOUT, &text);
	CHECK(str_ends(str_get(&text), "after\n"), "\"%s\"", text.len > 80 ? text.p + text.len - 80 : str_get(&text));
	snprintf(told, sizeof(told), "x\nmuster: %zu bytes of output lost: No space left on device\nafter\n", lost);
	CHECK(str_ends(str_get(&text), told), "no confession of %zu bytes: %s", lost, text.len > 200 ? text.p + text.len - 200 : str_get(&text));
	close(w);
	close(b->log_fd);
	b->log_fd = other_log;
	switch_log(b);
	CHECK(drain(b, "c1"), "drain");
	CHECK(umount2(mount_point, MNT_DETACH) == 0 && rmdir(mount_point) == 0, "umount: %s", strerror(errno));
}

/* The log can't even be opened: the application goes on, the log begins with what is missing as soon as it can. */
static void test_unwritable(struct bench *b)
{
	AUTO_STR struct str text = {0};
	struct err err;
	char block[4096];
	int old_log = b->log_fd, w;
	memset(block, 'x', sizeof(block));
	b->log_fd = fs_make_dir(b->dir_fd, "badlog", 0700, &err);
	CHECK(mkdirat(b->log_fd, LOGS_INDEX, 0700) == 0, "mkdir");
	switch_log(b);
	w = logs_fifo_writer(b->dir_fd, "out", &err);
	for (int i = 0; i < 1024; i++)
		CHECK(write(w, block, sizeof(block)) == sizeof(block), "write");
	CHECK(drain(b, "c1"), "drain");
	CHECK(unlinkat(b->log_fd, LOGS_INDEX, AT_REMOVEDIR) == 0, "rmdir");
	pump_for(b, 600);
	CHECK(write(w, "after\n", 6) == 6 && drain(b, "c1"), "drain");
	read_log(b, LOGS_STDOUT, &text);
	CHECK(str_eq(str_get(&text), "muster: 4194304 bytes of output lost: Is a directory\nafter\n"), "\"%.100s\"", str_get(&text));
	check_index(b, __LINE__);
	close(w);
	close(b->log_fd);
	b->log_fd = old_log;
	switch_log(b);
}

static void test_tty(struct bench *b)
{
	AUTO_STR struct str text = {0}, expect = {0};
	int master, slave, old_log = b->log_fd;
	struct err err;
	CHECK(openpty(&master, &slave, NULL, NULL, NULL) == 0, "openpty");
	b->log_fd = fs_make_dir(b->dir_fd, "ttylog", 0700, &err);
	struct logs_container k = { .log_dirfd = b->log_fd, .run_dirfd = -1, .out_fd = b->out_fd, .err_fd = -1, .tty_fd = master, .first_pidfd = -1 };
	logs_control_add(&b->control, "c1", &k);
	for (int i = 0; i < 2000; i++) {
		char line[40];
		int n = snprintf(line, sizeof(line), "tty line %d\n", i);
		CHECK(write(slave, line, (size_t)n) == n, "write");
		str_addf(&expect, "tty line %d\r\n", i);
		if (i == 1000) /* every kill finds something under way */
			pump_for(b, 5);
	}
	CHECK(drain(b, "c1"), "drain");
	close(slave); /* the hang-up must not spin or lose the rest */
	pump_for(b, 300);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(slave >= 0 && write(slave, "again\n", 6) == 6, "reopen");
	str_add(&expect, "again\r\n");
	close(slave);
	pump_for(b, 400);
	CHECK(drain(b, "c1"), "drain");
	read_log(b, LOGS_STDOUT, &text);
	CHECK(text.len == expect.len && memcmp(text.p, expect.p, text.len) == 0, "%zu of %zu bytes", text.len, expect.len);
	close(master);
	close(b->log_fd);
	b->log_fd = old_log;
}

static void test_fifo(struct bench *b)
{
	struct err err;
	struct stat st;
	int fd = openat(b->dir_fd, "plain", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(logs_fifo_open(b->dir_fd, "plain", 0, 0, &err) < 0, "a plain file is no FIFO");
	CHECK(fstat(b->out_fd, &st) == 0 && (st.st_mode & 07777) == 0622 && st.st_uid == 1000, "mode %o uid %u", st.st_mode, st.st_uid);
	CHECK(fcntl(b->out_fd, F_GETPIPE_SZ) == LOGS_PIPE_BYTES, "pipe of %d bytes", fcntl(b->out_fd, F_GETPIPE_SZ));
	close(fd);
	fd = logs_fifo_writer(b->dir_fd, "out", &err);
	CHECK(fd >= 0 && !(fcntl(fd, F_GETFL) & O_NONBLOCK) && (fcntl(b->out_fd, F_GETFL) & O_NONBLOCK), "flags");
	close(fd);
}

struct seen {
	unsigned next[LOGS_STREAM_N_], first[LOGS_STREAM_N_], n;
};

/* Lines of a stream are those that writer() put there, each once, from some line on. */
static int see_line(void *arg, const struct logs_line *line)
{
	struct seen *s = arg;
	unsigned v = (unsigned)strtoul(line->text, NULL, 10), *next = &s->next[line->stream];
	if (s->first[line->stream] == UINT32_MAX)
		s->first[line->stream] = *next = v;
	CHECK(v == *next && line->len == 9 + v % 50, "stream %d: \"%.*s\" instead of %u", line->stream, (int)line->len, line->text, *next);
	if (v != *next)
		return 1;
	do
		++*next;
	while ((*next % 4 == 3) != (line->stream == LOGS_STDERR));
	s->n++;
	return 0;
}

static uint64_t kept_bytes(struct bench *b, unsigned *ret_pieces)
{
	uint64_t total = 0;
	*ret_pieces = 0;
	for (int i = 0; i < LOGS_STREAM_N_; i++) {
		struct logs_segments list = {0};
		struct stat st;
		CHECK(logs_segments_list(b->log_fd, (enum logs_stream)i, &list, NULL) == 0, "list");
		for (size_t k = 0; k < list.n; k++)
			total += list.v[k].size;
		*ret_pieces += (unsigned)list.n;
		logs_segments_done(&list);
		if (fstatat(b->log_fd, logs_stream_files[i], &st, 0) == 0)
			total += (uint64_t)st.st_size;
	}
	return total;
}

/* Anchor and supervisor die: their ends and copies are gone. */
static void leave_alone(struct bench *b)
{
	logs_control_done(&b->control);
	loop_done(&b->loop);
	close(b->pair[0]);
	close(b->pair[1]);
	close_container(b);
}

/* A log with a limit: what is kept is the end, whole, whoever was killed when; the index shrinks, too; a reader goes across the pieces. */
static void test_rotation(void)
{
	static struct bench rotated;
	struct bench *b = &rotated;
	struct logs_range range = { .tail = LOGS_TAIL_ALL };
	struct seen seen = { .first = { UINT32_MAX, UINT32_MAX } };
	struct logs_reader *r;
	int stop[2], count[2], status;
	unsigned n = 0, seed = 7, pieces;
	uint64_t kept;
	struct stat st;
	struct err err = {0};
	pid_t w;
	setup(b);
	b->limits = (struct logs_limits){ .bytes = 100000, .files = 4 };
	CHECK(pipe(stop) == 0 && pipe(count) == 0, "pipe");
	start_server(b);
	w = fork();
	if (w == 0)
		writer(b, stop[0], count[1]);
	for (int i = 0; i < 60; i++) {
		seed = seed * 1103515245 + 12345;
		pump_for(b, 1 + (seed >> 16) % 10);
		kill_server(b, SIGKILL);
		start_server(b);
	}
	CHECK(write(stop[1], "x", 1) == 1, "stop");
	while (waitpid(w, &status, WNOHANG) == 0)
		pump_for(b, 5);
	CHECK(status == 0 && read(count[0], &n, sizeof(n)) == sizeof(n) && drain(b, "c1"), "writer: %x", status);
	kept = kept_bytes(b, &pieces);
	/* three rotated pieces' worth, less at most one that went for a few bytes too many, and what is being written */
	CHECK(kept >= 200000 && kept <= 420000, "%llu bytes in %u pieces", (unsigned long long)kept, pieces);
	r = logs_reader_new(false);
	CHECK(logs_reader_add(r, b->log_fd, &range, &err) == 0 && logs_reader_read(r, see_line, &seen, &err) == 0, "%s", err.msg);
	logs_reader_free(r);
	for (int i = 0; i < LOGS_STREAM_N_; i++) /* what one stream still had in its pipe may have pushed the other one out */
		CHECK(seen.first[i] == UINT32_MAX || seen.next[i] >= n, "stream %d ends at %u of %u", i, seen.next[i], n);
	CHECK(fstatat(b->log_fd, LOGS_INDEX, &st, 0) == 0, "index");
	printf("rotation: %u of %u lines kept in %u pieces, %llu bytes; index of %llu bytes has %llu\n", seen.n, n, pieces, (unsigned long long)kept,
	       (unsigned long long)st.st_size, (unsigned long long)st.st_blocks * 512);
	CHECK(seen.n > 5000 && seen.n < n, "%u of %u", seen.n, n);
	memset(seen.first, 0xff, sizeof(seen.first));
	seen.n = 0;
	range.tail = 1000;
	r = logs_reader_new(false);
	CHECK(logs_reader_add(r, b->log_fd, &range, &err) == 0 && logs_reader_read(r, see_line, &seen, &err) == 0, "%s", err.msg);
	logs_reader_free(r);
	CHECK(seen.n == 1000, "a tail of %u", seen.n);
	kill_server(b, SIGKILL);
	leave_alone(b);
	fs_remove_tree(AT_FDCWD, b->dir, &err);
	close(b->dir_fd);
}

/* A log process that has another parent than its successor will have; returns that parent, whose exit code is that of the process. */
static pid_t start_elsewhere(struct bench *b)
{
	pid_t parent;
	fflush(stdout);
	parent = fork();
	if (parent == 0) {
		int keep[] = { b->pair[1], b->dir_fd }, status = 0;
		pid_t server;
		proc_close_from(3, keep, ARRAY_SIZE(keep));
		server = fork();
		if (server == 0)
			exit(logs_main(b->pair[1], b->dir_fd));
		close(b->pair[1]);
		waitpid(server, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
	}
	return parent;
}

static void begin_anew(struct bench *b)
{
	struct err err;
	CHECK(sock_pair(SOCK_SEQPACKET, b->pair, &err) == 0 && loop_init(&b->loop, &err) == 0, "%s", err.msg);
	CHECK(logs_control_open(&b->control, &b->loop, b->pair[0], on_event, &err) == 0, "%s", err.msg);
	open_container(b, "");
}

/* Exit code of pid within 10 s, -1 when it lives on. */
static int ends(pid_t pid)
{
	int status;
	for (int i = 0; i < 1000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
		usleep(10000);
	}
	return -1;
}

/* Whoever is left alone writes on, lets its successor take over in the middle of a flood, and ends with the last writer; each line is there once. */
static void test_alone(void)
{
	static struct bench second;
	struct bench *b = &second;
	int stop[2], count[2];
	unsigned n = 0, was;
	struct err err;
	pid_t first, w;
	setup(b);
	CHECK(pipe(stop) == 0 && pipe(count) == 0, "pipe");
	first = start_elsewhere(b);
	CHECK(wait_change(b, &b->acked, 0), "never told");
	fflush(stdout);
	w = fork();
	if (w == 0) {
		int keep[] = { stop[0], count[1], b->dir_fd };
		proc_close_from(3, keep, ARRAY_SIZE(keep));
		writer(b, stop[0], count[1]);
	}
	pump_for(b, 50);
	leave_alone(b);
	usleep(200000);
	CHECK(waitpid(first, NULL, WNOHANG) == 0, "ended although a container writes");
	begin_anew(b);
	was = b->acked;
	start_server(b);
	CHECK(wait_change(b, &b->acked, was), "never told");
	for (int i = 0; i < 100 && !b->n_busy; i++)
		pump_for(b, 10);
	CHECK(b->n_busy, "two at once");
	CHECK(ends(first) == 0, "the first one does not let go");
	leave_alone(b);
	usleep(100000);
	CHECK(write(stop[1], "x", 1) == 1, "stop");
	CHECK(ends(w) == 0 && read(count[0], &n, sizeof(n)) == sizeof(n), "writer");
	CHECK(ends(b->server) == 0, "nobody writes, and it lives on");
	begin_anew(b);
	start_server(b);
	CHECK(drain(b, "c1"), "drain");
	CHECK(check_lines(b, LOGS_STDOUT, n) + check_lines(b, LOGS_STDERR, n) == n, "of %u", n);
	check_index(b, __LINE__);
	as_sibling(b, logs_holder_kill);
	CHECK(ends(b->server) == 98, "not killed");
	leave_alone(b);
	fs_remove_tree(AT_FDCWD, b->dir, &err);
	close(b->dir_fd);
}

int main(int argc, char **argv)
{
	struct bench *b = &bench;
	struct err err;
	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return 77;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	setup(b);
	test_kill(b, argc > 1 ? atoi(argv[1]) : 50);
	test_repair(b);
	test_lock(b);
	test_control(b);
	test_emptied(b);
	test_full_disk(b);
	test_unwritable(b);
	test_fifo(b);
	test_tty(b);
	/* the clean end: the channel is closed for good, and nobody writes */
	leave_alone(b);
	CHECK(ends(b->server) == 0, "end");
	test_alone();
	test_rotation();
	fs_remove_tree(AT_FDCWD, b->dir, &err);
	close(b->dir_fd);
	printf("%s\n", failures ? "FAILED" : "passed");
	return failures != 0;
}
