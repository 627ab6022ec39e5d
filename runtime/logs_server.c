/* SPDX-License-Identifier: Apache-2.0 */
/* The log process: one thread, one loop, a pump for each FIFO.
 *
 * splice(2) moves pages from the FIFO into the file at an explicit offset, the file's end, and takes them out of the pipe only
 * as far as they were written: at any moment each byte is in exactly one of the two. (read + write loses what was read, tee
 * doubles it.) The record in the index follows; it covers everything from the end of the last one, so a record that could not
 * be written is made up for by the next, and one that a kill prevented is added at the next start with the file's mtime. A
 * lock on the index keeps a second process off until the first one is gone.
 *
 * One turn of a pump moves at most one pipe's content, so a flood waits its turn like everybody. When the disk is full the
 * pump keeps the pipe empty, so that the application goes on, counts what is lost and leaves a line about it in the log as
 * soon as one fits. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/jail.h"
#include "base/log.h"
#include "base/map.h"
#include "runtime/logs.h"
#include "runtime/logs_holder.h"
#include "runtime/logs_segment.h"

#define LOST_FILE "lost"

enum { RETRY_MS = 250, LOCK_MS = 5, BUSY_NS = 20000000, ROTATE_RETRY_NS = 1000000000, COPY_BYTES = 4096, DRAIN_TURNS = 256, DRAIN_BYTES = 64 << 20 };

struct pump {
	struct log *log;
	enum logs_stream stream;
	struct loop_source source;
	int fifo_fd, file_fd;    /* -1: there is no such stream */
	uint64_t base;           /* where the file begins: what is before was rotated away */
	uint64_t offset;         /* the file's end */
	uint64_t recorded;       /* up to where the index knows it */
	uint64_t lost;           /* bytes dropped since the disk refused */
	int lost_errno;
	uint64_t retry_ns;       /* no attempt before that */
	bool copy;               /* the file system has no splice */
	bool over;               /* empty, and nobody has it open for writing */
};

/* What was dropped and is not told in the log yet: one for each stream in the file LOST_FILE of the container's run directory, which is in memory. */
struct lost_note {
	uint64_t bytes, at; /* the log's end then: it is longer once it has been told */
	int64_t error;
};

struct log {
	struct server *server;
	char *id;
	bool stale, drain_wanted;
	bool locked;             /* the files are open and ours */
	bool failed;             /* they can't be opened: output is dropped until they can */
	uint32_t drain_number;
	int dir_fd;              /* -1 once the files are open and are never rotated */
	struct logs_limits limits;
	uint64_t rotate_ns;      /* no rotation before that: the last one failed */
	uint64_t first_record;   /* of the index; what is before is gone */
	int index_fd;
	uint64_t index_end;
	struct pump pumps[LOGS_STREAM_N_];
	int tty_fd;              /* -1: none */
	struct loop_source tty;
	bool tty_copy;
	int run_fd, lost_fd;     /* the file for struct lost_note is made when something is lost; -1: none, not there */
	int first_fd;            /* pidfd of the terminal's first process; -1: not known */
	struct loop_source first;
	bool first_ended;
};

struct server {
	struct loop loop;
	struct chan control;
	struct loop_timer retry;
	struct map logs;         /* id → struct log */
	int null_fd;
	bool told;               /* a reset came: what follows is meant for this process */
	bool alone;              /* the channel is closed: nobody will tell anything any more */
	uint64_t busy_ns;        /* when it was last said that another has a log */
	int signal_fd;
	struct loop_source signals;
	unsigned char copy[COPY_BYTES];
};

static void server_retry(struct server *s, uint64_t delay_ms);
static void server_maybe_end(struct server *s);
static void log_limit(struct log *l);

/* Records [p->recorded, p->offset). Failing is fine: the next record covers it. */
static void pump_record(struct pump *p, uint64_t time_ns)
{
	while (p->recorded < p->offset) {
		struct logs_record r = { .time_ns = time_ns, .offset = p->recorded, .stream = (uint8_t)p->stream,
					 .len = (uint32_t)MIN(p->offset - p->recorded, (uint64_t)UINT32_MAX) };
		if (failpoint("logs.index") < 0 ||
		    pwrite(p->log->index_fd, &r, failpoint_short("logs.index_short", sizeof(r)), (off_t)p->log->index_end) != sizeof(r))
			return;
		p->log->index_end += sizeof(r);
		p->recorded += r.len;
	}
}

/* Somebody emptied or cut the file: go on at its end, as a new beginning. */
static void pump_check_size(struct pump *p)
{
	struct stat st;
	if (fstat(p->file_fd, &st) < 0 || p->base + (uint64_t)st.st_size == p->offset)
		return;
	p->offset = p->base + (uint64_t)st.st_size;
	p->recorded = p->offset;
}

static void pump_note_lost(struct pump *p)
{
	struct log *l = p->log;
	struct lost_note note = { .bytes = p->lost, .at = l->locked ? p->offset : UINT64_MAX, .error = p->lost_errno };
	if (l->lost_fd < 0 && p->lost && l->run_fd >= 0)
		l->lost_fd = openat(l->run_fd, LOST_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->lost_fd >= 0 && pwrite(l->lost_fd, &note, sizeof(note), (off_t)(p->stream * sizeof(note))) != sizeof(note))
		log_warn("container %s: %s", l->id, strerror(errno));
}

/* What a predecessor could not tell. */
static void pump_find_lost(struct pump *p)
{
	struct log *l = p->log;
	struct lost_note note;
	if (l->lost_fd < 0 && l->run_fd >= 0)
		l->lost_fd = openat(l->run_fd, LOST_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (p->lost || l->lost_fd < 0 || pread(l->lost_fd, &note, sizeof(note), (off_t)(p->stream * sizeof(note))) != sizeof(note))
		return;
	if (p->offset > note.at)
		return;
	p->lost = note.bytes;
	p->lost_errno = (int)note.error;
}

/* Without splice: a kill between the two calls loses up to COPY_BYTES. */
static ssize_t pump_copy(struct pump *p)
{
	unsigned char *buf = p->log->server->copy;
	ssize_t n = -1, written;
	struct pollfd ready = { .fd = p->fifo_fd, .events = POLLIN };
	if (poll(&ready, 1, 0) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	n = read(p->fifo_fd, buf, COPY_BYTES);
	if (n <= 0)
		return n;
	written = pwrite(p->file_fd, buf, (size_t)n, (off_t)(p->offset - p->base));
	if (written != n) {
		p->lost += (uint64_t)(n - MAX(written, 0));
		p->lost_errno = written < 0 ? errno : ENOSPC;
		pump_note_lost(p);
	}
	return written;
}

/* Leaves a line about what was lost; true when nothing is outstanding. */
static bool pump_confess(struct pump *p)
{
	char line[160], last = '\n';
	int n;
	if (!p->lost)
		return true;
	pump_check_size(p);
	if (p->offset > p->base && pread(p->file_fd, &last, 1, (off_t)(p->offset - p->base) - 1) != 1)
		last = '\n';
	n = snprintf(line, sizeof(line), "%smuster: %llu bytes of output lost: %s\n", last == '\n' ? "" : "\n", (unsigned long long)p->lost,
		     strerror(p->lost_errno));
	if (pwrite(p->file_fd, line, (size_t)n, (off_t)(p->offset - p->base)) != n) {
		if (ftruncate(p->file_fd, (off_t)(p->offset - p->base)) < 0)
			pump_check_size(p);
		p->retry_ns = clock_mono_ns() + RETRY_MS * 1000000ULL;
		return false;
	}
	p->lost = 0;
	pump_note_lost(p);
	p->offset += (uint64_t)n;
	pump_record(p, clock_real_ns());
	return true;
}

/* The disk refuses: empty the pipe and count. */
static void pump_drop(struct pump *p)
{
	struct server *s = p->log->server;
	ssize_t n = splice(p->fifo_fd, NULL, s->null_fd, NULL, LOGS_PIPE_BYTES, SPLICE_F_NONBLOCK);
	if (n <= 0 || p->log->limits.none)
		return;
	p->lost += (uint64_t)n;
	pump_note_lost(p);
}

/* How much may be moved at once: up to the limit, else the pieces would be as long as a pipe. */
static size_t log_room(const struct log *l)
{
	uint64_t size = 0;
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		size += l->pumps[i].offset - l->pumps[i].base;
	return l->limits.bytes > size ? (size_t)MIN(l->limits.bytes - size, (uint64_t)LOGS_PIPE_BYTES) : LOGS_PIPE_BYTES;
}

/* Moves at most one pipe's content. True when there may be more. */
static bool pump_turn(struct pump *p)
{
	struct server *s = p->log->server;
	loff_t at;
	ssize_t n;
	if (p->log->failed || p->log->limits.none) {
		pump_drop(p);
		return false;
	}
	if (p->lost && (clock_mono_ns() < p->retry_ns || !pump_confess(p))) {
		pump_drop(p);
		return false;
	}
	pump_check_size(p);
	at = (loff_t)(p->offset - p->base);
	n = failpoint("logs.splice") < 0 ? -1 : p->copy ? pump_copy(p) : splice(p->fifo_fd, NULL, p->file_fd, &at, log_room(p->log), SPLICE_F_NONBLOCK);
	if (n > 0) {
		failpoint("logs.spliced");
		p->offset += (uint64_t)n;
		pump_record(p, clock_real_ns());
		if (p->log->limits.bytes)
			log_limit(p->log);
		return true;
	}
	if (n == 0 || errno == EAGAIN || errno == EINTR)
		return false;
	if (errno == EINVAL && !p->copy) {
		p->copy = true;
		return true;
	}
	if (!p->lost)
		log_warn("container %s: %s: %s: output is dropped", p->log->id, logs_stream_files[p->stream], strerror(errno));
	p->lost_errno = errno;
	p->retry_ns = clock_mono_ns() + RETRY_MS * 1000000ULL;
	pump_drop(p);
	server_retry(s, RETRY_MS);
	return false;
}

static void pump_ready(struct loop_source *s, uint32_t events)
{
	struct pump *p = CONTAINER_OF(s, struct pump, source);
	if (events & EPOLLIN) {
		pump_turn(p);
		return;
	}
	p->over = true; /* a hang-up is level-triggered */
	loop_remove(s);
	server_maybe_end(p->log->server);
}

/* Until the pipe is empty, or so much came through that somebody must still be writing. */
static void pump_drain(struct pump *p)
{
	uint64_t from = p->offset;
	while (p->fifo_fd >= 0 && p->offset - from < DRAIN_BYTES && pump_turn(p))
		;
	if (p->fifo_fd >= 0 && p->lost)
		pump_confess(p);
}

/* Moves what the terminal printed into the FIFO `out`: 1 something, 0 nothing now, -1 hung up (no process has the terminal
 * open). */
static int tty_turn(struct log *l)
{
	struct pollfd ready = { .fd = l->tty_fd, .events = POLLIN };
	unsigned char *buf = l->server->copy;
	ssize_t n;
	if (poll(&ready, 1, 0) <= 0)
		return 0;
	if (!(ready.revents & POLLIN))
		return -1;
	if (!l->tty_copy) {
		n = splice(l->tty_fd, NULL, l->pumps[LOGS_STDOUT].fifo_fd, NULL, LOGS_PIPE_BYTES, SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINVAL)
			l->tty_copy = true; /* kernels before 6.5 may not splice from a terminal */
		else
			return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
	}
	n = read(l->tty_fd, buf, COPY_BYTES);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	return write(l->pumps[LOGS_STDOUT].fifo_fd, buf, (size_t)n) == n ? 1 : 0;
}

static void tty_ready(struct loop_source *s, uint32_t events)
{
	struct log *l = CONTAINER_OF(s, struct log, tty);
	int rc = tty_turn(l);
	(void)events;
	pump_turn(&l->pumps[LOGS_STDOUT]);
	if (rc >= 0)
		return;
	/* whoever comes may open it again; a hang-up is level-triggered, so look at intervals */
	loop_remove(&l->tty);
	server_retry(l->server, RETRY_MS);
	server_maybe_end(l->server);
}

static void first_ended(struct loop_source *s, uint32_t events)
{
	struct log *l = CONTAINER_OF(s, struct log, first);
	(void)events;
	loop_remove(s);
	l->first_ended = true;
	server_maybe_end(l->server);
}

/* Whether nothing more can come. What a file could not be opened for is dropped and counts as written. */
static bool log_over(const struct log *l)
{
	if (!l->locked && !l->failed)
		return false;
	if (l->tty_fd >= 0)
		return l->first_fd >= 0 ? l->first_ended : !l->tty.loop;
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		if (l->pumps[i].fifo_fd >= 0 && !l->pumps[i].over)
			return false;
	return true;
}

static void log_drain(struct log *l)
{
	for (int i = 0; l->tty_fd >= 0 && i < DRAIN_TURNS && tty_turn(l) > 0; i++)
		pump_turn(&l->pumps[LOGS_STDOUT]);
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		pump_drain(&l->pumps[i]);
}

/* ---- rotation: see runtime/logs_segment.h */

/* The next file is made before the present one loses its name, so that a disk without room for it changes nothing. */
static int pump_rotate(struct pump *p, struct err *err)
{
	const char *name = logs_stream_files[p->stream];
	char piece[LOGS_SEGMENT_NAME], next[LOGS_SEGMENT_NAME];
	int dir_fd = p->log->dir_fd;
	AUTO_CLOSE int fd = -1;
	snprintf(next, sizeof(next), "%s.next", name);
	logs_segment_name(p->stream, p->offset, piece);
	if (failpoint_err("logs.rotate", err) < 0)
		return -1;
	fd = openat(dir_fd, next, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || renameat(dir_fd, name, dir_fd, piece) < 0)
		return err_sys(err, errno, "rotate %s", name);
	failpoint("logs.renamed");
	if (renameat(dir_fd, next, dir_fd, name) < 0) {
		err_sys(err, errno, "rotate %s", name);
		renameat(dir_fd, piece, dir_fd, name);
		return -1;
	}
	failpoint("logs.rotated");
	close(p->file_fd);
	p->file_fd = TAKE_FD(fd);
	p->base = p->offset;
	return 0;
}

/* Records of what is gone become a hole: the index keeps its numbers, and its readers their places. */
static void index_trim(struct log *l, const uint64_t first[LOGS_STREAM_N_])
{
	struct logs_record block[1024];
	off_t end;
	for (;;) {
		ssize_t n = pread(l->index_fd, block, sizeof(block), (off_t)(l->first_record * sizeof(block[0])));
		size_t i = 0, have = n > 0 ? (size_t)n / sizeof(block[0]) : 0;
		while (i < have && (!block[i].len || block[i].stream >= LOGS_STREAM_N_ || block[i].offset + block[i].len <= first[block[i].stream]))
			i++;
		l->first_record += i;
		if (i < have || !have)
			break;
	}
	end = (off_t)(l->first_record * sizeof(block[0]) / 4096 * 4096);
	if (end) /* a file system that can't keeps them */
		fallocate(l->index_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, end);
}

/* The oldest piece goes; the last one of its stream is emptied. */
static bool piece_remove(struct log *l, enum logs_stream stream, struct logs_segments *list, size_t i)
{
	char name[LOGS_SEGMENT_NAME];
	failpoint("logs.trim");
	logs_segment_name(stream, list->v[i].end, name);
	if (i + 1 == list->n) {
		AUTO_CLOSE int fd = openat(l->dir_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || ftruncate(fd, 0) < 0)
			return false;
	} else if (unlinkat(l->dir_fd, name, 0) < 0) {
		return false;
	}
	failpoint("logs.trimmed");
	list->v[i].size = 0;
	return true;
}

/* Keeps so much of what was rotated away that it is limits.files with the present one; the last piece in any case when there may be one: it is too
 * long only when it could not be rotated in time. */
static void log_trim(struct log *l)
{
	size_t n = 0;
	uint64_t total = 0, allowed = l->limits.bytes * (l->limits.files - 1), first[LOGS_STREAM_N_];
	struct logs_segments lists[LOGS_STREAM_N_] = {{0}};
	size_t at[LOGS_STREAM_N_] = {0};
	struct err err = {0};
	for (int s = 0; s < LOGS_STREAM_N_; s++) {
		if (logs_segments_list(l->dir_fd, (enum logs_stream)s, &lists[s], &err) < 0)
			log_warn("container %s: log: %s", l->id, err.msg);
		for (size_t i = 0; i < lists[s].n; i++) {
			total += lists[s].v[i].size;
			n += lists[s].v[i].size > 0;
			if (!lists[s].v[i].size && i + 1 < lists[s].n) /* was the last one once */
				piece_remove(l, (enum logs_stream)s, &lists[s], i);
		}
	}
	for (; total > allowed && (n > 1 || !allowed); n--) {
		int oldest = -1;
		for (int s = 0; s < LOGS_STREAM_N_; s++) {
			while (at[s] < lists[s].n && !lists[s].v[at[s]].size)
				at[s]++;
			if (at[s] < lists[s].n && (oldest < 0 || lists[s].v[at[s]].mtime_ns < lists[oldest].v[at[oldest]].mtime_ns))
				oldest = s;
		}
		if (oldest < 0)
			break;
		total -= lists[oldest].v[at[oldest]].size;
		if (!piece_remove(l, (enum logs_stream)oldest, &lists[oldest], at[oldest]++))
			log_warn("container %s: log: an old piece can't be removed: %s", l->id, strerror(errno));
	}
	for (int s = 0; s < LOGS_STREAM_N_; s++) {
		first[s] = logs_segments_first(&lists[s]);
		logs_segments_done(&lists[s]);
	}
	index_trim(l, first);
}

/* Rotates both streams together when they have as much as may be: pieces of one time go at one time. */
static void log_limit(struct log *l)
{
	uint64_t size = 0;
	struct err err = {0};
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		size += l->pumps[i].offset - l->pumps[i].base;
	if (size < l->limits.bytes || clock_mono_ns() < l->rotate_ns)
		return;
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		if (l->pumps[i].offset > l->pumps[i].base && pump_rotate(&l->pumps[i], &err) < 0) {
			log_warn("container %s: log: %s", l->id, err.msg);
			l->rotate_ns = clock_mono_ns() + ROTATE_RETRY_NS;
			return;
		}
	log_trim(l);
}

static void log_free(struct log *l)
{
	if (!l)
		return;
	if (l->locked)
		log_drain(l);
	loop_remove(&l->tty);
	util_close(&l->tty_fd);
	loop_remove(&l->first);
	util_close(&l->first_fd);
	for (int i = 0; i < LOGS_STREAM_N_; i++) {
		loop_remove(&l->pumps[i].source);
		util_close(&l->pumps[i].fifo_fd);
		util_close(&l->pumps[i].file_fd);
	}
	util_close(&l->index_fd);
	util_close(&l->run_fd);
	util_close(&l->lost_fd);
	util_close(&l->dir_fd);
	free(l->id);
	free(l);
}

/* The end of what the index knows about one stream, found from its end backwards. */
static uint64_t index_known(const struct log *l, enum logs_stream stream)
{
	struct logs_record block[1024];
	uint64_t n = l->index_end / sizeof(block[0]);
	while (n) {
		size_t want = (size_t)MIN(n, (uint64_t)ARRAY_SIZE(block));
		if (pread(l->index_fd, block, want * sizeof(block[0]), (off_t)((n - want) * sizeof(block[0]))) != (ssize_t)(want * sizeof(block[0])))
			return 0;
		for (size_t i = want; i-- > 0;)
			if (block[i].stream == stream && block[i].len) /* none of the hole that trimming leaves */
				return block[i].offset + block[i].len;
		n -= want;
	}
	return 0;
}

static int pump_open(struct pump *p, struct err *err)
{
	CLEANUP(logs_segments_done) struct logs_segments pieces = {0};
	const char *name = logs_stream_files[p->stream];
	struct stat st;
	util_close(&p->file_fd);
	p->file_fd = openat(p->log->dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->file_fd < 0 || fstat(p->file_fd, &st) < 0)
		return err_sys(err, errno, "open %s", name);
	if (logs_segments_list(p->log->dir_fd, p->stream, &pieces, err) < 0)
		return -1;
	p->base = logs_segments_end(&pieces);
	p->offset = p->recorded = p->base + (uint64_t)st.st_size;
	pump_find_lost(p);
	if (p->lost)
		server_retry(p->log->server, RETRY_MS);
	if (p->offset == 0)
		return 0;
	p->recorded = MIN(index_known(p->log, p->stream), p->offset);
	p->recorded = MAX(p->recorded, logs_segments_first(&pieces));
	pump_record(p, (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec);
	return 0;
}

static int log_listen(struct log *l, struct err *err)
{
	for (int i = 0; i < LOGS_STREAM_N_; i++) {
		struct pump *p = &l->pumps[i];
		if (p->fifo_fd >= 0 && !p->over && !p->source.loop && loop_add(&l->server->loop, &p->source, p->fifo_fd, EPOLLIN, pump_ready, err) < 0)
			return -1;
	}
	if (l->first_fd >= 0 && !l->first_ended && !l->first.loop && loop_add(&l->server->loop, &l->first, l->first_fd, EPOLLIN, first_ended, err) < 0)
		return -1;
	if (l->tty_fd >= 0 && !l->tty.loop)
		return loop_add(&l->server->loop, &l->tty, l->tty_fd, EPOLLIN, tty_ready, err);
	return 0;
}

/* The log can't be written, the application must go on: its output is dropped and counted. */
static void log_fail(struct log *l, const struct err *why)
{
	struct err err;
	if (!l->failed)
		log_warn("container %s: log: %s: output is dropped", l->id, why->msg);
	l->failed = true;
	for (int i = 0; i < LOGS_STREAM_N_; i++) {
		util_close(&l->pumps[i].file_fd);
		l->pumps[i].lost_errno = why->sys ? why->sys : EIO;
	}
	if (log_listen(l, &err) < 0)
		log_warn("container %s: %s", l->id, err.msg);
}

/* Takes the lock and opens the files, repairs the index, starts to read. 0; 1 when a predecessor still holds the lock; -1 +
 * err. */
static int log_start(struct log *l, struct err *err)
{
	struct stat st;
	if (l->limits.none) {
		l->locked = true;
		return log_listen(l, err);
	}
	if (failpoint_err("logs.open", err) < 0)
		return -1;
	if (l->index_fd < 0)
		l->index_fd = openat(l->dir_fd, LOGS_INDEX, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (l->index_fd < 0)
		return err_sys(err, errno, "open %s", LOGS_INDEX);
	if (flock(l->index_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 1 : err_sys(err, errno, "lock %s", LOGS_INDEX);
	if (fstat(l->index_fd, &st) < 0)
		return err_sys(err, errno, "stat %s", LOGS_INDEX);
	l->index_end = (uint64_t)st.st_size - (uint64_t)st.st_size % sizeof(struct logs_record); /* a torn one is written over */
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		if (l->pumps[i].fifo_fd >= 0 && pump_open(&l->pumps[i], err) < 0)
			return -1;
	if (log_listen(l, err) < 0)
		return -1;
	l->locked = true;
	l->failed = false;
	if (!l->limits.bytes)
		util_close(&l->dir_fd); /* nothing is renamed in it */
	if (l->limits.bytes) {
		log_trim(l); /* a kill may have kept a predecessor from it */
		log_limit(l);
	}
	return 0;
}

static void server_say(struct server *s, enum logs_op op, uint32_t number, const char *id)
{
	struct logs_message m = { .op = (uint8_t)op, .number = number };
	unsigned char buf[LOGS_MAX_PACKET];
	memcpy(m.id, id, MIN(strlen(id), sizeof(m.id) - 1));
	chan_send(&s->control, buf, logs_control_encode(&m, buf), NULL, 0);
}

/* A predecessor writes on alone: the supervisor knows how to find it. */
static void server_busy(struct server *s)
{
	uint64_t now = clock_mono_ns();
	if (now - s->busy_ns < BUSY_NS)
		return;
	s->busy_ns = now;
	failpoint("logs.busy");
	server_say(s, LOGS_OP_BUSY, 0, "");
}

/* Nobody is there who could ask for more: the end is when nothing more can come. */
static void server_maybe_end(struct server *s)
{
	for (struct map_entry *e = s->alone ? map_next(&s->logs, NULL) : NULL; e; e = map_next(&s->logs, e))
		if (!log_over(e->value))
			return;
	s->loop.quit |= s->alone;
}

static void server_alone(struct server *s)
{
	s->alone = true;
	failpoint("logs.alone");
	if (s->logs.n)
		log_warn("anchor and supervisor are gone: going on alone with %zu logs", s->logs.n);
	server_maybe_end(s);
}

/* SIGTERM: the logs have another writer from now on. */
static void server_told(struct loop_source *source, uint32_t events)
{
	struct server *s = CONTAINER_OF(source, struct server, signals);
	(void)events;
	failpoint("logs.told");
	s->loop.quit = true;
}

/* Starts it, or sees to it that it is tried again: a container's output must not be given up. */
static void server_start_log(struct server *s, struct log *l)
{
	struct err err;
	int rc = log_start(l, &err);
	if (rc < 0)
		log_fail(l, &err);
	if (rc > 0)
		server_busy(s);
	if (rc) {
		server_retry(s, rc > 0 ? LOCK_MS : RETRY_MS);
		return;
	}
	if (l->drain_wanted) {
		log_drain(l);
		server_say(s, LOGS_OP_DRAINED, l->drain_number, l->id);
		l->drain_wanted = false;
	}
}

/* What could not be done is tried again. */
static void server_tick(struct loop_timer *t)
{
	struct server *s = CONTAINER_OF(t, struct server, retry);
	for (struct map_entry *e = map_next(&s->logs, NULL); e; e = map_next(&s->logs, e)) {
		struct log *l = e->value;
		if (!l->locked) {
			server_start_log(s, l);
			continue;
		}
		for (int i = 0; i < LOGS_STREAM_N_; i++)
			if (l->pumps[i].lost && !pump_confess(&l->pumps[i]))
				server_retry(s, RETRY_MS);
		if (l->tty_fd >= 0 && !l->tty.loop && loop_add(&s->loop, &l->tty, l->tty_fd, EPOLLIN, tty_ready, NULL) < 0)
			server_retry(s, RETRY_MS);
	}
	server_maybe_end(s);
}

static void server_retry(struct server *s, uint64_t delay_ms)
{
	if (!s->retry.loop || s->retry.due_ns > clock_mono_ns() + delay_ms * 1000000)
		loop_timer_set(&s->loop, &s->retry, delay_ms, server_tick);
}

static void server_add(struct server *s, const struct logs_message *m, int *fds)
{
	struct log *l = xcalloc(1, sizeof(*l));
	log_free(map_del(&s->logs, m->id)); /* gives the lock back first */
	l->server = s;
	l->id = xstrdup(m->id);
	l->index_fd = -1;
	l->dir_fd = TAKE_FD(fds[0]);
	l->limits = m->limits;
	l->limits.files = MAX(l->limits.files, 1U);
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		l->pumps[i] = (struct pump){ .log = l, .stream = (enum logs_stream)i, .fifo_fd = -1, .file_fd = -1 };
	l->pumps[LOGS_STDOUT].fifo_fd = TAKE_FD(fds[1]);
	l->tty_fd = m->tty ? TAKE_FD(fds[2]) : -1;
	l->lost_fd = -1;
	l->run_fd = m->run ? TAKE_FD(fds[3]) : -1;
	l->first_fd = m->first ? TAKE_FD(fds[3 + m->run]) : -1;
	l->pumps[LOGS_STDERR].fifo_fd = m->tty ? -1 : TAKE_FD(fds[2]);
	map_put(&s->logs, l->id, l);
	failpoint("logs.add");
	server_start_log(s, l);
}

static void server_drain(struct server *s, const struct logs_message *m)
{
	struct log *l = map_get(&s->logs, m->id);
	if (!s->told)
		return; /* it will be asked again after our HELLO */
	if (l && !l->locked && !l->failed) {
		l->drain_wanted = true;
		l->drain_number = m->number;
		return;
	}
	failpoint("logs.drain");
	if (l)
		log_drain(l);
	failpoint("logs.drained");
	server_say(s, LOGS_OP_DRAINED, m->number, m->id);
}

/* After a full set: what was not added again goes. */
static void server_sync(struct server *s, uint32_t number)
{
	for (struct map_entry *e = map_next(&s->logs, NULL); e; e = map_next(&s->logs, e)) {
		struct log *l = e->value;
		if (!l->stale)
			continue;
		map_del(&s->logs, l->id);
		log_free(l);
	}
	failpoint("logs.sync");
	server_say(s, LOGS_OP_ACK, number, "");
}

static void server_reset(struct server *s)
{
	s->told = true;
	for (struct map_entry *e = map_next(&s->logs, NULL); e; e = map_next(&s->logs, e))
		((struct log *)e->value)->stale = true;
}

static void server_control(struct chan *chan, const void *p, size_t n, int *fds, size_t n_fds)
{
	struct server *s = CONTAINER_OF(chan, struct server, control);
	struct logs_message m;
	struct err err;
	if (!p) {
		server_alone(s);
		return;
	}
	if (logs_control_decode(p, n, &m, &err) < 0) {
		log_warn("%s", err.msg);
		return;
	}
	switch ((enum logs_op)m.op) {
	case LOGS_OP_RESET:
		server_reset(s);
		break;
	case LOGS_OP_SYNC:
		if (s->told)
			server_sync(s, m.number);
		break;
	case LOGS_OP_ADD:
		if (n_fds == 3U + m.run + m.first)
			server_add(s, &m, fds);
		else
			log_warn("container %s came with %zu descriptors", m.id, n_fds);
		break;
	case LOGS_OP_REMOVE:
		failpoint("logs.remove");
		log_free(map_del(&s->logs, m.id));
		break;
	case LOGS_OP_DRAIN:
		server_drain(s, &m);
		break;
	default:
		break;
	}
}

static int server_signals(struct server *s, struct err *err)
{
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return err_sys(err, errno, "signalfd");
	return loop_add(&s->loop, &s->signals, s->signal_fd, EPOLLIN, server_told, err);
}

static int server_run(struct server *s, int control_fd, int run_fd, struct err *err)
{
	struct rlimit files;
	if (loop_init(&s->loop, err) < 0)
		return -1;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max; /* some for each container */
		setrlimit(RLIMIT_NOFILE, &files);
	}
	s->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (s->null_fd < 0)
		return err_sys(err, errno, "open /dev/null");
	if (logs_holder_note(run_fd, err) < 0 || server_signals(s, err) < 0)
		return -1;
	if (jail_enter(JAIL_FILES, err) < 0 || chan_open(&s->control, &s->loop, control_fd, server_control, err) < 0)
		return -1;
	failpoint("logs.hello");
	server_say(s, LOGS_OP_HELLO, 0, "");
	return loop_run(&s->loop, err);
}

int logs_main(int control_fd, int run_fd)
{
	struct server *s = xcalloc(1, sizeof(*s));
	struct err err;
	int rc;
	log_init("muster-logs", 2);
	s->loop.epoll_fd = -1;
	s->null_fd = s->signal_fd = -1;
	rc = server_run(s, control_fd, run_fd, &err);
	if (rc < 0)
		log_warn("%s", err.msg);
	for (struct map_entry *e = map_next(&s->logs, NULL); e; e = map_next(&s->logs, e))
		log_free(e->value);
	map_done(&s->logs);
	loop_timer_cancel(&s->retry);
	chan_done(&s->control);
	loop_remove(&s->signals);
	util_close(&s->signal_fd);
	util_close(&s->null_fd);
	loop_done(&s->loop);
	free(s);
	return rc < 0 ? 1 : 0;
}
