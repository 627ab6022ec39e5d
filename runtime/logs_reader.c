/* SPDX-License-Identifier: Apache-2.0 */
/* The log reader. A container is a sequence of index records; a record says when a chunk of one stream's file came. The lines
 * of a container are taken in the order in which they begin: all that begin in the first record, then in the second … A line
 * is contiguous in its stream's file and is read on past its record's end. Containers are merged with a heap over their next
 * lines.
 *
 * Nothing is mapped: a file that somebody cuts while it is read must not kill the reader. Each stream has a window that slides
 * over its file in large reads; a line's text points into it and stays valid until that container is asked for its next line. */
#include "runtime/logs_reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "runtime/logs_segment.h"

enum { WINDOW = 64 << 10, RECORDS = 512 };

struct stream {
	int fd;                   /* the piece that was read last; -1: no such file yet */
	uint64_t base, first;     /* where it begins; the lowest offset that was there */
	bool current;             /* it is the file that grows */
	bool placed;              /* pos is set */
	bool discard;             /* the line at pos began before the range: drop it when its end is found */
	bool held;                /* the line at pos has no end yet (following) */
	uint64_t held_ns;
	uint64_t pos;             /* where the next line starts */
	uint64_t known;           /* end of the last record seen */
	char *window;             /* the file's bytes [at, at + n) */
	uint64_t at;
	size_t n, cap, scanned;   /* window[.. scanned) has no newline after pos */
};

struct source {
	int number, dir_fd, index_fd, watch;
	struct logs_range range;
	uint64_t next_record, end_record;      /* the next one to load; not to be passed (not following) */
	struct logs_record records[RECORDS];
	size_t n_records, at_record;
	struct logs_record record;
	struct logs_record extra[LOGS_STREAM_N_]; /* not following: what no record covers, as records after the last one */
	size_t n_extra, at_extra;
	bool has_record, started, past_until, flush;
	bool ready;                            /* next is to be given out */
	uint64_t skip;                         /* lines before the tail */
	struct stream streams[LOGS_STREAM_N_];
	struct logs_line next;
};

struct logs_reader {
	bool follow;
	int inotify_fd, inotify_errno;
	struct source **sources, **heap;
	size_t n, cap, n_heap, heap_cap;
	int last_number;
};

struct logs_reader *logs_reader_new(bool follow)
{
	struct logs_reader *r = xcalloc(1, sizeof(*r));
	r->follow = follow;
	r->last_number = -1;
	r->inotify_fd = follow ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
	r->inotify_errno = errno;
	return r;
}

static void source_free(struct source *s)
{
	for (int i = 0; i < LOGS_STREAM_N_; i++) {
		util_close(&s->streams[i].fd);
		free(s->streams[i].window);
	}
	util_close(&s->index_fd);
	util_close(&s->dir_fd);
	free(s);
}

struct logs_reader *logs_reader_free(struct logs_reader *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->n; i++)
		source_free(r->sources[i]);
	util_close(&r->inotify_fd);
	free(r->sources);
	free(r->heap);
	free(r);
	return NULL;
}

/* Watches the index, or the directory until there is one. A watch too many does no harm. */
static int source_watch(struct logs_reader *r, struct source *s, struct err *err)
{
	char path[32];
	int fd = s->index_fd >= 0 ? s->index_fd : s->dir_fd;
	s->watch = inotify_add_watch(r->inotify_fd, fs_fd_path(fd, path), s->index_fd >= 0 ? IN_MODIFY : IN_CREATE | IN_MOVED_TO);
	return s->watch < 0 ? err_sys(err, errno, "watch log") : 0;
}

/* Opens what is there by now. */
static int source_open(struct logs_reader *r, struct source *s, struct err *err)
{
	CLEANUP(logs_segments_done) struct logs_segments pieces = {0};
	if (s->index_fd < 0) {
		s->index_fd = openat(s->dir_fd, LOGS_INDEX, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (s->index_fd < 0 && errno != ENOENT)
			return err_sys(err, errno, "open log index");
		if (s->index_fd >= 0 && r->follow) {
			inotify_rm_watch(r->inotify_fd, s->watch);
			if (source_watch(r, s, err) < 0)
				return -1;
		}
	}
	for (int i = 0; i < LOGS_STREAM_N_; i++) {
		struct stream *st = &s->streams[i];
		struct err why = {0};
		if (st->fd >= 0)
			continue;
		if (logs_segments_list(s->dir_fd, (enum logs_stream)i, &pieces, err) < 0)
			return -1;
		st->first = logs_segments_first(&pieces);
		st->fd = logs_segment_open(s->dir_fd, (enum logs_stream)i, logs_segments_end(&pieces), &st->base, &st->current, &why);
		if (st->fd < 0 && why.sys == ENOENT && pieces.n) /* killed in the middle of a rotation */
			st->fd = logs_segment_open(s->dir_fd, (enum logs_stream)i, st->first, &st->base, &st->current, &why);
		if (st->fd < 0 && why.sys != ENOENT)
			return err_set(err, why.code, "%s", why.msg);
	}
	return 0;
}

int logs_reader_add(struct logs_reader *r, int log_dirfd, const struct logs_range *range, struct err *err)
{
	struct source *s;
	if (r->follow && r->inotify_fd < 0)
		return err_sys(err, r->inotify_errno, "follow log");
	s = xcalloc(1, sizeof(*s));
	s->range = *range;
	s->index_fd = s->watch = -1;
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		s->streams[i].fd = -1;
	s->dir_fd = fcntl(log_dirfd, F_DUPFD_CLOEXEC, 3);
	if (s->dir_fd < 0) {
		err_sys(err, errno, "log directory");
		source_free(s);
		return -1;
	}
	/* the watch comes first: what is written after the open is then never missed */
	if ((r->follow && source_watch(r, s, err) < 0) || source_open(r, s, err) < 0) {
		source_free(s);
		return -1;
	}
	if (s->index_fd < 0)
		s->range.tail = LOGS_TAIL_ALL; /* it has no past: whatever comes is new */
	s->number = ++r->last_number;
	r->sources = vec_grow(r->sources, r->n, &r->cap, sizeof(struct source *));
	r->sources[r->n++] = s;
	return s->number;
}

static struct source *reader_find(const struct logs_reader *r, int container, size_t *ret_at)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->sources[i]->number == container) {
			*ret_at = i;
			return r->sources[i];
		}
	return NULL;
}

void logs_reader_remove(struct logs_reader *r, int container)
{
	size_t at;
	struct source *s = reader_find(r, container, &at);
	if (!s)
		return;
	if (r->follow)
		inotify_rm_watch(r->inotify_fd, s->watch);
	source_free(s);
	memmove(r->sources + at, r->sources + at + 1, (r->n - at - 1) * sizeof(struct source *));
	r->n--;
}

int logs_reader_fd(const struct logs_reader *r)
{
	return r->inotify_fd;
}

void logs_reader_flush(struct logs_reader *r, int container)
{
	size_t at;
	struct source *s = reader_find(r, container, &at);
	if (s)
		s->flush = true;
}

bool logs_reader_past_until(const struct logs_reader *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (!r->sources[i]->past_until)
			return false;
	return true;
}

/* The file that grows is no longer that. */
static bool stream_rotated(const struct source *s, const struct stream *st)
{
	struct stat mine, there;
	return !st->current || fstat(st->fd, &mine) < 0 || fstatat(s->dir_fd, logs_stream_files[st - s->streams], &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	       mine.st_ino != there.st_ino;
}

/* Reads at a stream's offset, in whatever piece it is. 0: nothing is there now, or any more. */
static ssize_t stream_pread(const struct source *s, struct stream *st, void *buf, size_t n, uint64_t at)
{
	for (int tries = 0; tries < 2 && st->fd >= 0; tries++) {
		ssize_t got = at >= st->base ? pread(st->fd, buf, n, (off_t)(at - st->base)) : 0;
		struct err unused;
		uint64_t base;
		bool current;
		int fd;
		if (got || tries || (at >= st->base && !stream_rotated(s, st)))
			return got;
		fd = logs_segment_open(s->dir_fd, (enum logs_stream)(st - s->streams), at, &base, &current, &unused);
		if (fd < 0)
			return 0;
		close(st->fd);
		st->fd = fd;
		st->base = base;
		st->current = current;
	}
	return 0;
}

/* What is at pos was removed while we read: on with the first line that begins in what is left. */
static bool stream_skip_gap(const struct source *s, struct stream *st)
{
	CLEANUP(logs_segments_done) struct logs_segments pieces = {0};
	if (st->fd < 0 || logs_segments_list(s->dir_fd, (enum logs_stream)(st - s->streams), &pieces, NULL) < 0)
		return false;
	st->first = logs_segments_first(&pieces);
	if (st->first <= st->pos)
		return false;
	st->pos = st->at = st->first;
	st->n = st->scanned = 0;
	st->held = false;
	st->discard = true;
	return true;
}

static uint64_t file_size(int fd)
{
	struct stat st;
	return fd < 0 || fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static bool read_record(const struct source *s, uint64_t i, struct logs_record *ret)
{
	return pread(s->index_fd, ret, sizeof(*ret), (off_t)(i * sizeof(*ret))) == sizeof(*ret) && ret->stream < LOGS_STREAM_N_;
}

/* The first record at or after time_ns, of n. */
static uint64_t record_at(const struct source *s, uint64_t n, uint64_t time_ns)
{
	uint64_t lo = 0, hi = n;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		struct logs_record rec;
		if (read_record(s, mid, &rec) && rec.time_ns < time_ns)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* How many lines begin in a record: newlines in the bytes one earlier, and the file's very first one. */
static uint64_t count_lines(struct source *s, const struct logs_record *rec)
{
	struct stream *st = &s->streams[rec->stream];
	char buf[WINDOW];
	uint64_t at = MAX(rec->offset, st->first), end = rec->offset + rec->len, count = 0;
	if (at >= end)
		return 0;
	if (at == 0)
		count = 1;
	else if (at > st->first)
		at--;
	for (end--; at < end;) {
		ssize_t n = stream_pread(s, st, buf, (size_t)MIN(end - at, (uint64_t)sizeof(buf)), at);
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			count += buf[i] == '\n';
		at += (uint64_t)n;
	}
	return count;
}

/* The end of what the first n records know about one stream. */
static uint64_t known_end(const struct source *s, uint64_t n, int stream)
{
	struct logs_record block[RECORDS];
	while (n) {
		size_t want = (size_t)MIN(n, (uint64_t)RECORDS);
		ssize_t bytes = (ssize_t)(want * sizeof(block[0]));
		if (pread(s->index_fd, block, (size_t)bytes, (off_t)((n - want) * sizeof(block[0]))) != bytes)
			return UINT64_MAX;
		for (size_t i = want; i-- > 0;)
			if (block[i].stream == stream && block[i].len)
				return block[i].offset + block[i].len;
		n -= want;
	}
	return 0;
}

/* Bytes of a file (of that size, before its index had n records) that no record covers: the log process was killed before it
 * wrote one. */
static void source_extra(struct source *s, int stream, uint64_t size, uint64_t n)
{
	uint64_t known = size ? known_end(s, n, stream) : 0;
	struct stat st;
	known = MAX(known, s->streams[stream].first);
	if (known >= size || fstat(s->streams[stream].fd, &st) < 0)
		return;
	s->extra[s->n_extra++] = (struct logs_record){ .time_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec,
						       .offset = known, .stream = (uint8_t)stream,
						       .len = (uint32_t)MIN(size - known, (uint64_t)UINT32_MAX) };
}

/* The first record that is not in the hole of those whose pieces are gone. */
static uint64_t index_begin(const struct source *s)
{
	off_t at = lseek(s->index_fd, 0, SEEK_DATA);
	return at > 0 ? ((uint64_t)at + sizeof(struct logs_record) - 1) / sizeof(struct logs_record) : 0;
}

/* Sets where reading starts: by since, then by the tail counted back from until. */
static void source_start(struct logs_reader *r, struct source *s)
{
	uint64_t sizes[LOGS_STREAM_N_], n, first, last, count = 0, tail = (uint64_t)s->range.tail;
	struct logs_record rec;
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		/* before the index: what has a record by then is in it */
		sizes[i] = s->streams[i].fd < 0 ? 0 : s->streams[i].base + file_size(s->streams[i].fd);
	n = file_size(s->index_fd) / sizeof(struct logs_record);
	for (int i = 0; i < LOGS_STREAM_N_ && !r->follow; i++)
		source_extra(s, i, sizes[i], n);
	first = s->range.since_ns ? record_at(s, n, s->range.since_ns) : index_begin(s);
	last = s->range.until_ns ? record_at(s, n, s->range.until_ns) : n;
	s->started = true;
	s->end_record = r->follow ? UINT64_MAX : n;
	s->next_record = first;
	if (s->range.tail < 0)
		return;
	for (size_t i = 0; i < s->n_extra; i++)
		if (!s->range.until_ns || s->extra[i].time_ns < s->range.until_ns)
			count += count_lines(s, &s->extra[i]);
	for (s->next_record = last; s->next_record > first && count < tail; s->next_record--)
		if (read_record(s, s->next_record - 1, &rec))
			count += count_lines(s, &rec);
	s->skip = count > tail ? count - tail : 0;
	if (tail == 0 && !r->follow)
		s->past_until = true; /* nothing at all */
}

/* Loads the next record into s->record; false when there is none yet. */
static bool source_record(struct source *s)
{
	if (s->at_record == s->n_records) {
		uint64_t room = s->end_record > s->next_record ? s->end_record - s->next_record : 0;
		size_t want = (size_t)MIN(room, (uint64_t)RECORDS) * sizeof(s->records[0]);
		ssize_t n = s->index_fd < 0 || !want ? 0 : pread(s->index_fd, s->records, want, (off_t)(s->next_record * sizeof(s->records[0])));
		s->n_records = n > 0 ? (size_t)n / sizeof(s->records[0]) : 0;
		s->at_record = 0;
		s->next_record += s->n_records;
	}
	if (s->at_record < s->n_records)
		s->record = s->records[s->at_record++];
	else if (s->at_extra < s->n_extra)
		s->record = s->extra[s->at_extra++];
	else
		return false;
	return true;
}

/* Reads on at the window's end; false when there is no more now. */
static bool stream_fill(const struct source *s, struct stream *st)
{
	size_t keep;
	ssize_t n;
	if (st->fd < 0)
		return false;
	if (st->pos < st->at || st->pos > st->at + st->n) { /* elsewhere: begin anew */
		st->at = st->pos;
		st->n = st->scanned = 0;
	}
	if (st->n && st->n == st->cap) {
		size_t gone = (size_t)(st->pos - st->at);
		keep = st->n - gone;
		memmove(st->window, st->window + gone, keep);
		st->at = st->pos;
		st->n = keep;
		st->scanned -= MIN(st->scanned, gone);
	}
	if (st->n == st->cap) {
		st->cap = st->cap ? st->cap * 2 : WINDOW;
		st->window = xrealloc(st->window, st->cap, 1);
	}
	n = stream_pread(s, st, st->window + st->n, st->cap - st->n, st->at + st->n);
	if (n <= 0)
		return false;
	st->n += (size_t)n;
	return true;
}

/* The line at st->pos: 1 with its text, 0 when its end is not there (then *ret_len bytes are). */
static int stream_line(const struct source *s, struct stream *st, const char **ret_text, size_t *ret_len)
{
	for (;;) {
		if (st->pos >= st->at && st->pos < st->at + st->n) {
			size_t from = (size_t)(st->pos - st->at), start = MAX(from, st->scanned);
			const char *end = memchr(st->window + start, '\n', st->n - start);
			*ret_text = st->window + from;
			*ret_len = end ? (size_t)(end - *ret_text) : st->n - from;
			if (*ret_len >= LOGS_MAX_LINE && (!end || *ret_len > LOGS_MAX_LINE)) {
				*ret_len = LOGS_MAX_LINE;
				return 1;
			}
			if (end)
				return 1;
			st->scanned = st->n;
		} else {
			*ret_text = "";
			*ret_len = 0;
		}
		if (!stream_fill(s, st)) {
			if (*ret_len) /* the window may have moved */
				*ret_text = st->window + (st->pos - st->at);
			return 0;
		}
	}
}

/* Passes the line of len bytes at st->pos (and its newline). */
static void stream_pass(struct stream *st, const char *text, size_t len)
{
	size_t at = (size_t)(text - st->window) + len;
	st->pos += len + (at < st->n && st->window[at] == '\n');
	st->held = st->discard = false;
}

/* Puts st at the first line that begins in the record, or later. */
static void stream_place(const struct source *s, struct stream *st, const struct logs_record *rec)
{
	char before = '\n';
	st->placed = true;
	st->pos = st->at = rec->offset;
	st->n = st->scanned = 0;
	st->held = st->discard = false;
	if (st->pos) /* a line whose beginning is gone is none */
		st->discard = stream_pread(s, st, &before, 1, st->pos - 1) != 1 || before != '\n';
}

/* True when the line is to be given out. */
static bool source_wants(struct source *s, uint64_t time_ns, bool discard)
{
	if (discard || time_ns < s->range.since_ns || (s->range.until_ns && time_ns >= s->range.until_ns))
		return false;
	if (s->skip == 0)
		return true;
	s->skip--;
	return false;
}

static void source_line(struct source *s, const struct stream *st, const char *text, size_t len, uint64_t time_ns, bool complete)
{
	s->next = (struct logs_line){ .container = s->number, .stream = (enum logs_stream)(st - s->streams), .time_ns = time_ns,
				      .text = text, .len = len, .complete = complete };
}

/* The next line that begins in s->record: 1 in s->next, 0 when there is none (left). */
static int source_record_line(struct logs_reader *r, struct source *s)
{
	struct stream *st = &s->streams[s->record.stream];
	uint64_t end = s->record.offset + s->record.len;
	while (st->pos < end) {
		uint64_t time_ns = st->held ? st->held_ns : s->record.time_ns;
		bool discard = st->discard;
		const char *text;
		size_t len;
		int complete = stream_line(s, st, &text, &len);
		if (!complete && !len && stream_skip_gap(s, st))
			continue;
		if (!complete && r->follow) {
			st->held = len > 0;
			st->held_ns = time_ns;
			return 0;
		}
		if (!complete && len == 0)
			return 0;
		stream_pass(st, text, len);
		if (!source_wants(s, time_ns, discard))
			continue;
		source_line(s, st, text, len, time_ns, complete);
		return 1;
	}
	return 0;
}

/* A line without end that was asked for by logs_reader_flush(). */
static int source_flush(struct source *s)
{
	for (int i = 0; i < LOGS_STREAM_N_; i++) {
		struct stream *st = &s->streams[i];
		bool discard = st->discard;
		uint64_t time_ns = st->held_ns;
		const char *text;
		size_t len;
		if (!st->held)
			continue;
		stream_line(s, st, &text, &len);
		stream_pass(st, text, len);
		if (len == 0 || !source_wants(s, time_ns, discard))
			continue;
		source_line(s, st, text, len, time_ns, false);
		return 1;
	}
	s->flush = false;
	return 0;
}

/* Takes up s->record; false when it is not to be read. */
static bool source_take_record(struct source *s)
{
	const struct logs_record *rec = &s->record;
	struct stream *st;
	if (s->range.until_ns && rec->time_ns >= s->range.until_ns) {
		s->past_until = true;
		return false;
	}
	if (!rec->len || rec->stream >= LOGS_STREAM_N_ || s->streams[rec->stream].fd < 0)
		return false;
	st = &s->streams[rec->stream];
	/* the latter: the file was emptied */
	if (!st->placed || (rec->offset < st->known && st->current && st->base + file_size(st->fd) < st->pos))
		stream_place(s, st, rec);
	st->known = rec->offset + rec->len;
	return true;
}

/* Fills s->next: 1, or 0 when there is no line now, or -1 + err. */
static int source_next(struct logs_reader *r, struct source *s, struct err *err)
{
	for (;;) {
		if (s->past_until)
			return 0;
		if (s->has_record && source_record_line(r, s))
			return 1;
		s->has_record = false;
		if (source_record(s)) {
			if (s->record.stream < LOGS_STREAM_N_ && s->streams[s->record.stream].fd < 0 && source_open(r, s, err) < 0)
				return -1;
			s->has_record = source_take_record(s);
			continue;
		}
		return s->flush ? source_flush(s) : 0;
	}
}

static bool earlier(const struct source *a, const struct source *b)
{
	return a->next.time_ns != b->next.time_ns ? a->next.time_ns < b->next.time_ns : a->number < b->number;
}

static void heap_down(struct source **h, size_t n, size_t i)
{
	for (;;) {
		size_t least = i;
		struct source *swap;
		for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < n; k++)
			if (earlier(h[k], h[least]))
				least = k;
		if (least == i)
			return;
		swap = h[i];
		h[i] = h[least];
		h[least] = swap;
		i = least;
	}
}

/* Brings every source to its next line. */
static int reader_prepare(struct logs_reader *r, struct err *err)
{
	char events[4096];
	if (r->follow)
		while (read(r->inotify_fd, events, sizeof(events)) > 0)
			;
	r->n_heap = 0;
	for (size_t i = 0; i < r->n; i++) {
		struct source *s = r->sources[i];
		int rc;
		if (s->index_fd < 0 && source_open(r, s, err) < 0)
			return -1;
		if (!s->started && (s->index_fd >= 0 || !r->follow))
			source_start(r, s);
		rc = s->ready ? 1 : s->started ? source_next(r, s, err) : 0;
		if (rc < 0)
			return -1;
		s->ready = rc > 0;
		if (!rc)
			continue;
		r->heap = vec_grow(r->heap, r->n_heap, &r->heap_cap, sizeof(struct source *));
		r->heap[r->n_heap++] = s;
	}
	for (size_t i = r->n_heap; i-- > 0;)
		heap_down(r->heap, r->n_heap, i);
	return 0;
}

int logs_reader_read(struct logs_reader *r, logs_line_fn *fn, void *arg, struct err *err)
{
	if (reader_prepare(r, err) < 0)
		return -1;
	while (r->n_heap) {
		struct source *s = r->heap[0];
		int rc = fn(arg, &s->next);
		s->ready = false;
		if (rc)
			return rc;
		rc = source_next(r, s, err);
		if (rc < 0)
			return -1;
		s->ready = rc > 0;
		if (!rc)
			r->heap[0] = r->heap[--r->n_heap];
		heap_down(r->heap, r->n_heap, 0);
	}
	return 0;
}
