/* SPDX-License-Identifier: Apache-2.0 */
/* The log reader, on logs written here record by record. Invariants: - what is there comes out sorted by time over all
 * containers, in the index's order within one, each line once, whatever the chunk borders; - a line that begins in one chunk
 * and ends in another carries the first one's time; - --tail counts lines over both streams, --since and --until compare the
 * lines' times, and all three together; - following gives out what is appended, waits for a line's end without holding up
 * others, and sees containers that come later; - torn and missing records, an emptied file, a line of any length never break
 * it; random logs agree with a plain model. The time for 100 000 lines of two containers is printed, not judged. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "runtime/logs_reader.h"

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

/* A log as the log process writes it. */
struct log {
	int dir_fd, index_fd, fds[LOGS_STREAM_N_];
	uint64_t ends[LOGS_STREAM_N_];
};

static char base_dir[] = "/tmp/muster-reader-XXXXXX";
static int n_logs;

static void log_make_files(struct log *l)
{
	l->index_fd = openat(l->dir_fd, LOGS_INDEX, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		l->fds[i] = openat(l->dir_fd, logs_stream_files[i], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void log_make_dir(struct log *l)
{
	AUTO_FREE char *path = xasprintf("%s/%d", base_dir, n_logs++);
	struct err err;
	*l = (struct log){0};
	l->dir_fd = fs_make_dir(AT_FDCWD, path, 0700, &err);
}

static void log_make(struct log *l)
{
	log_make_dir(l);
	log_make_files(l);
}

static void log_close(struct log *l)
{
	close(l->dir_fd);
	close(l->index_fd);
	for (int i = 0; i < LOGS_STREAM_N_; i++)
		close(l->fds[i]);
}

static void log_bytes(struct log *l, int stream, const void *p, size_t n)
{
	CHECK(write(l->fds[stream], p, n) == (ssize_t)n, "write");
}

static void log_record(struct log *l, int stream, uint64_t time_ns, size_t n)
{
	struct logs_record r = { .time_ns = time_ns, .offset = l->ends[stream], .len = (uint32_t)n, .stream = (uint8_t)stream };
	CHECK(write(l->index_fd, &r, sizeof(r)) == sizeof(r), "write");
	l->ends[stream] += n;
}

static void put(struct log *l, int stream, uint64_t time_ns, const char *text)
{
	log_bytes(l, stream, text, strlen(text));
	log_record(l, stream, time_ns, strlen(text));
}

/* "0.o@5:text|" for each line, '~' in the place of '|' when it has no end. */
static int describe(void *arg, const struct logs_line *line)
{
	str_addf(arg, "%d.%c@%llu:", line->container, line->stream == LOGS_STDERR ? 'e' : 'o', (unsigned long long)line->time_ns);
	str_addn(arg, line->text, line->len);
	str_addc(arg, line->complete ? '|' : '~');
	return 0;
}

static void expect_next(struct logs_reader *r, const char *expect, int line)
{
	AUTO_STR struct str got = {0};
	struct err err;
	CHECK(logs_reader_read(r, describe, &got, &err) == 0, "%s", err.msg);
	if (!str_eq(str_get(&got), expect)) {
		failures++;
		printf("%s:%d: got \"%s\", expected \"%s\"\n", __FILE__, line, str_get(&got), expect);
	}
}

static void expect_range(struct log *logs, int n, struct logs_range range, const char *expect, int line)
{
	struct logs_reader *r = logs_reader_new(false);
	struct err err;
	for (int i = 0; i < n; i++)
		CHECK(logs_reader_add(r, logs[i].dir_fd, &range, &err) == i, "%s", err.msg);
	expect_next(r, expect, line);
	logs_reader_free(r);
}

static const struct logs_range all = { .tail = LOGS_TAIL_ALL };

static void test_merge(void)
{
	struct log l[3];
	for (int i = 0; i < 3; i++)
		log_make(&l[i]);
	expect_range(l, 3, all, "", __LINE__);
	put(&l[0], LOGS_STDOUT, 10, "a1\na2\npart");
	put(&l[1], LOGS_STDOUT, 11, "b1\n");
	put(&l[0], LOGS_STDERR, 12, "e1\n");
	put(&l[1], LOGS_STDERR, 13, "be");
	put(&l[0], LOGS_STDOUT, 14, "ial\na3\n\n");
	put(&l[1], LOGS_STDERR, 15, "nd\ntail");
	expect_range(l, 3, all,
		     "0.o@10:a1|0.o@10:a2|0.o@10:partial|1.o@11:b1|0.e@12:e1|1.e@13:bend|0.o@14:a3|0.o@14:|1.e@15:tail~", __LINE__);
	expect_range(l, 3, (struct logs_range){ .tail = 2 }, "1.e@13:bend|0.o@14:a3|0.o@14:|1.e@15:tail~", __LINE__);
	expect_range(l, 1, (struct logs_range){ .tail = 3 }, "0.e@12:e1|0.o@14:a3|0.o@14:|", __LINE__);
	expect_range(l, 1, (struct logs_range){ .tail = 4 }, "0.o@10:partial|0.e@12:e1|0.o@14:a3|0.o@14:|", __LINE__);
	expect_range(l, 1, (struct logs_range){ .tail = 1000 }, "0.o@10:a1|0.o@10:a2|0.o@10:partial|0.e@12:e1|0.o@14:a3|0.o@14:|", __LINE__);
	expect_range(l, 3, (struct logs_range){ .tail = 0 }, "", __LINE__);
	expect_range(l, 3, (struct logs_range){ .tail = LOGS_TAIL_ALL, .since_ns = 12 },
		     "0.e@12:e1|1.e@13:bend|0.o@14:a3|0.o@14:|1.e@15:tail~", __LINE__);
	expect_range(l, 3, (struct logs_range){ .tail = LOGS_TAIL_ALL, .since_ns = 11, .until_ns = 14 },
		     "1.o@11:b1|0.e@12:e1|1.e@13:bend|", __LINE__);
	expect_range(l, 1, (struct logs_range){ .tail = 2, .until_ns = 14 }, "0.o@10:partial|0.e@12:e1|", __LINE__);
	expect_range(l, 1, (struct logs_range){ .tail = 2, .since_ns = 12, .until_ns = 14 }, "0.e@12:e1|", __LINE__);
	expect_range(l, 3, (struct logs_range){ .tail = LOGS_TAIL_ALL, .since_ns = 100 }, "", __LINE__);
	for (int i = 0; i < 3; i++)
		log_close(&l[i]);
}

/* Bytes without a record, half a record, a record of no stream. */
static void test_damage(void)
{
	struct log l;
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1, .tv_nsec = 7 } };
	struct logs_record odd = { .time_ns = 3, .stream = 9, .len = 5 };
	log_make(&l);
	put(&l, LOGS_STDOUT, 5, "known\nun");
	CHECK(write(l.index_fd, &odd, sizeof(odd)) == sizeof(odd), "write");
	log_bytes(&l, LOGS_STDOUT, "recorded\nlast\n", 14);
	futimens(l.fds[LOGS_STDOUT], times);
	CHECK(write(l.index_fd, "torn", 4) == 4, "write");
	expect_range(&l, 1, all, "0.o@5:known|0.o@5:unrecorded|0.o@1000000007:last|", __LINE__);
	expect_range(&l, 1, (struct logs_range){ .tail = 1 }, "0.o@1000000007:last|", __LINE__);
	expect_range(&l, 1, (struct logs_range){ .tail = 2 }, "0.o@5:unrecorded|0.o@1000000007:last|", __LINE__);
	expect_range(&l, 1, (struct logs_range){ .tail = LOGS_TAIL_ALL, .since_ns = 6 }, "0.o@1000000007:last|", __LINE__);
	log_close(&l);
	/* the file is shorter than the index says */
	log_make(&l);
	put(&l, LOGS_STDOUT, 5, "one\ntwo\nthree\n");
	put(&l, LOGS_STDERR, 6, "err\n");
	CHECK(ftruncate(l.fds[LOGS_STDOUT], 5) == 0, "truncate");
	expect_range(&l, 1, all, "0.o@5:one|0.o@5:t~0.e@6:err|", __LINE__);
	expect_range(&l, 1, (struct logs_range){ .tail = 1 }, "0.e@6:err|", __LINE__);
	log_close(&l);
}

static bool readable(struct logs_reader *r)
{
	struct pollfd p = { .fd = logs_reader_fd(r), .events = POLLIN };
	return poll(&p, 1, 1000) == 1;
}

static void test_follow(void)
{
	struct log l[3];
	struct logs_reader *r = logs_reader_new(true);
	struct logs_range tail1 = { .tail = 1 }, tail0 = { .tail = 0 };
	struct err err;
	log_make(&l[0]);
	log_make(&l[1]);
	log_make_dir(&l[2]); /* nothing in it yet */
	put(&l[0], LOGS_STDOUT, 1, "old\nlast\npro");
	put(&l[1], LOGS_STDOUT, 2, "skipped\nhal");
	CHECK(logs_reader_add(r, l[0].dir_fd, &tail1, &err) == 0 && logs_reader_add(r, l[1].dir_fd, &tail0, &err) == 1 &&
	      logs_reader_add(r, l[2].dir_fd, &tail0, &err) == 2, "%s", err.msg); /* no past: its tail is all of it */
	expect_next(r, "", __LINE__); /* the last line is "pro…", which has no end yet */
	put(&l[0], LOGS_STDERR, 3, "err\n");
	CHECK(readable(r), "no event");
	expect_next(r, "0.e@3:err|", __LINE__);
	put(&l[0], LOGS_STDOUT, 4, "mp");
	CHECK(readable(r), "no event");
	expect_next(r, "", __LINE__);
	put(&l[0], LOGS_STDOUT, 5, "t\nnext\nrest");
	put(&l[1], LOGS_STDOUT, 6, "f\nnew\n");
	CHECK(readable(r), "no event");
	expect_next(r, "0.o@1:prompt|0.o@5:next|1.o@6:new|", __LINE__);
	logs_reader_flush(r, 0);
	expect_next(r, "0.o@5:rest~", __LINE__);
	expect_next(r, "", __LINE__);
	put(&l[0], LOGS_STDOUT, 7, "more\n"); /* it was started again */
	CHECK(readable(r), "no event");
	expect_next(r, "0.o@7:more|", __LINE__);
	log_make_files(&l[2]);
	CHECK(readable(r), "no event for the first file");
	put(&l[2], LOGS_STDOUT, 8, "born\n");
	expect_next(r, "2.o@8:born|", __LINE__);
	put(&l[2], LOGS_STDOUT, 8, "grows\n");
	CHECK(readable(r), "no event");
	expect_next(r, "2.o@8:grows|", __LINE__);
	logs_reader_remove(r, 0);
	put(&l[0], LOGS_STDOUT, 9, "nobody listens\n");
	put(&l[1], LOGS_STDOUT, 9, "listens\n");
	expect_next(r, "1.o@9:listens|", __LINE__);
	CHECK(ftruncate(l[1].fds[0], 0) == 0, "truncate"); /* by hand: the log process goes on at 0 */
	l[1].ends[0] = 0;
	put(&l[1], LOGS_STDOUT, 10, "anew\n");
	expect_next(r, "1.o@10:anew|", __LINE__);
	CHECK(!logs_reader_past_until(r), "no until");
	logs_reader_free(r);
	for (int i = 0; i < 3; i++)
		log_close(&l[i]);
}

static void test_until(void)
{
	struct log l;
	struct logs_range range = { .tail = LOGS_TAIL_ALL, .until_ns = 10 };
	struct logs_reader *r = logs_reader_new(true);
	struct err err;
	log_make(&l);
	CHECK(logs_reader_add(r, l.dir_fd, &range, &err) == 0, "%s", err.msg);
	put(&l, LOGS_STDOUT, 9, "in\n");
	expect_next(r, "0.o@9:in|", __LINE__);
	CHECK(!logs_reader_past_until(r), "early");
	put(&l, LOGS_STDOUT, 10, "out\n");
	expect_next(r, "", __LINE__);
	CHECK(logs_reader_past_until(r), "not noticed");
	logs_reader_free(r);
	log_close(&l);
}

static int stop_at_2(void *arg, const struct logs_line *line)
{
	unsigned *n = arg;
	(void)line;
	return ++*n == 2 ? 7 : 0;
}

static void test_stop(void)
{
	struct log l[2];
	struct logs_reader *r = logs_reader_new(true);
	struct err err;
	unsigned n = 0;
	for (int i = 0; i < 2; i++) {
		log_make(&l[i]);
		CHECK(logs_reader_add(r, l[i].dir_fd, &all, &err) == i, "%s", err.msg);
		put(&l[i], LOGS_STDOUT, (uint64_t)i, "a\nb\nc\n");
	}
	CHECK(logs_reader_read(r, stop_at_2, &n, &err) == 7 && n == 2, "%u", n);
	expect_next(r, "0.o@0:c|1.o@1:a|1.o@1:b|1.o@1:c|", __LINE__);
	logs_reader_free(r);
	for (int i = 0; i < 2; i++)
		log_close(&l[i]);
}

static int measure(void *arg, const struct logs_line *line)
{
	uint64_t *v = arg;
	v[0]++;
	v[1] += line->len;
	v[2] = MAX(v[2], line->len);
	return 0;
}

static void test_long(void)
{
	struct log l;
	struct logs_range tail = { .tail = 1 };
	uint64_t v[3] = {0};
	struct err err;
	size_t n = 5 * LOGS_MAX_LINE + 17;
	AUTO_FREE char *text = xcalloc(1, n + 1);
	memset(text, 'l', n);
	text[n] = '\n';
	log_make(&l);
	for (size_t at = 0; at < n + 1; at += 65536) {
		log_bytes(&l, LOGS_STDOUT, text + at, MIN((size_t)65536, n + 1 - at));
		log_record(&l, LOGS_STDOUT, at, MIN((size_t)65536, n + 1 - at));
	}
	put(&l, LOGS_STDOUT, n, "end\n");
	for (int follow = 0; follow < 2; follow++) {
		struct logs_reader *r = logs_reader_new(follow);
		memset(v, 0, sizeof(v));
		CHECK(logs_reader_add(r, l.dir_fd, &all, &err) == 0 && logs_reader_read(r, measure, v, &err) == 0, "%s", err.msg);
		CHECK(v[0] == 7 && v[1] == n + 3 && v[2] == LOGS_MAX_LINE, "%llu lines, %llu bytes", (unsigned long long)v[0],
		      (unsigned long long)v[1]);
		logs_reader_free(r);
	}
	CHECK(tail.tail == 1, "tail");
	expect_range(&l, 1, tail, "0.o@5242897:end|", __LINE__);
	log_close(&l);
}

/* Random chunks of random lines against a model that knows each line's beginning. */
static void test_random(unsigned seed)
{
	enum { N = 3 };
	static char expect_text[4 << 20];
	struct log l[N];
	struct { int container, stream; uint64_t time; char text[64]; } *lines = xcalloc(100000, sizeof(*lines));
	size_t n_lines = 0, at = 0;
	char partial[N][LOGS_STREAM_N_][64] = {{{0}}};
	long open_line[N][LOGS_STREAM_N_];
	memset(open_line, -1, sizeof(open_line));
	for (int i = 0; i < N; i++)
		log_make(&l[i]);
	srand(seed);
	for (uint64_t t = 1; t < 2000; t++) {
		int c = rand() % N, s = rand() % LOGS_STREAM_N_, len = 1 + rand() % 60;
		char chunk[64];
		for (int i = 0; i < len; i++) {
			char ch = rand() % 8 ? (char)('a' + rand() % 26) : '\n';
			if (strlen(partial[c][s]) >= 60)
				ch = '\n';
			if (open_line[c][s] < 0) {
				open_line[c][s] = (long)n_lines;
				lines[n_lines].container = c;
				lines[n_lines].stream = s;
				lines[n_lines++].time = t;
			}
			chunk[i] = ch;
			if (ch == '\n') {
				strcpy(lines[open_line[c][s]].text, partial[c][s]);
				partial[c][s][0] = '\0';
				open_line[c][s] = -1;
			} else {
				strncat(partial[c][s], &ch, 1);
			}
		}
		log_bytes(&l[c], s, chunk, (size_t)len);
		log_record(&l[c], s, t, (size_t)len);
	}
	for (size_t i = 0; i < n_lines; i++) {
		bool open = open_line[lines[i].container][lines[i].stream] == (long)i;
		at += (size_t)snprintf(expect_text + at, sizeof(expect_text) - at, "%d.%c@%llu:%s%c", lines[i].container,
				       lines[i].stream == LOGS_STDERR ? 'e' : 'o', (unsigned long long)lines[i].time,
				       open ? partial[lines[i].container][lines[i].stream] : lines[i].text, open ? '~' : '|');
	}
	expect_range(l, N, all, expect_text, __LINE__);
	/* the tail of one container: its last lines */
	for (int tail = 1; tail < 400; tail = tail * 3 + 1) {
		AUTO_STR struct str got = {0};
		int k = 0;
		size_t i = n_lines;
		while (i > 0 && k < tail)
			k += lines[--i].container == 0;
		at = 0;
		for (; i < n_lines; i++) {
			bool open = open_line[lines[i].container][lines[i].stream] == (long)i;
			if (lines[i].container == 0)
				at += (size_t)snprintf(expect_text + at, sizeof(expect_text) - at, "0.%c@%llu:%s%c",
						       lines[i].stream == LOGS_STDERR ? 'e' : 'o', (unsigned long long)lines[i].time,
						       open ? partial[0][lines[i].stream] : lines[i].text, open ? '~' : '|');
		}
		expect_range(l, 1, (struct logs_range){ .tail = tail }, expect_text, __LINE__);
	}
	for (int i = 0; i < N; i++)
		log_close(&l[i]);
	free(lines);
}

static void test_speed(void)
{
	struct log l[2];
	struct err err;
	uint64_t v[3] = {0}, start;
	char chunk[8192];
	struct logs_reader *r = logs_reader_new(false);
	for (int i = 0; i < 2; i++) {
		log_make(&l[i]);
		for (unsigned n = 0; n < 50000;) {
			size_t at = 0;
			for (unsigned k = 0; k < 25; k++, n++)
				at += (size_t)snprintf(chunk + at, sizeof(chunk) - at,
						       "container %d line %06u with some text that an application prints ....... x\n", i, n);
			log_bytes(&l[i], LOGS_STDOUT, chunk, at);
			log_record(&l[i], LOGS_STDOUT, 1 + n * 2 + (unsigned)i, at);
		}
	}
	start = clock_mono_ns();
	for (int i = 0; i < 2; i++)
		logs_reader_add(r, l[i].dir_fd, &all, &err);
	CHECK(logs_reader_read(r, measure, v, &err) == 0 && v[0] == 100000, "%llu lines", (unsigned long long)v[0]);
	printf("100 000 lines, %llu bytes, 2 containers: %.1f ms\n", (unsigned long long)v[1], (double)(clock_mono_ns() - start) / 1e6);
	logs_reader_free(r);
	for (int i = 0; i < 2; i++)
		log_close(&l[i]);
}

static void test_times(void)
{
	static const struct { const char *text; uint64_t ns; } good[] = {
		{ "1136073600", 1136073600000000000ULL },
		{ "1136073600.000000001", 1136073600000000001ULL },
		{ "1136073600.5", 1136073600500000000ULL },
		{ "2006-01-02T15:04:05Z", 1136214245000000000ULL },
		{ "2006-01-02T15:04:05.25Z", 1136214245250000000ULL },
		{ "2006-01-02T15:04:05.999999999+02:00", 1136207045999999999ULL },
		{ "2006-01-02T15:04:05-0730", 1136241245000000000ULL },
		{ "2006-01-02T15:04:05", 1136214245000000000ULL },
		{ "2006-01-02T15:04", 1136214240000000000ULL },
		{ "2006-01-02T15", 1136214000000000000ULL },
		{ "2006-01-02", 1136160000000000000ULL },
		{ "2006-01-02Z", 1136160000000000000ULL },
		{ "10m", 2000000000000000000ULL - 600000000000ULL },
		{ "1h30m", 2000000000000000000ULL - 5400000000000ULL },
		{ "1.5h", 2000000000000000000ULL - 5400000000000ULL },
		{ "1s500ms", 2000000000000000000ULL - 1500000000ULL },
		{ "-10s", 2000000000000000000ULL + 10000000000ULL },
	};
	static const char *const bad[] = { "", "x", "10", "10x", "1h30", "2006", "2006-13-01", "2006-01-02T25:00", "2006-02-30T00:00:00Z",
					   "2006-02-30", "2006-01-02T",
					   "1.", "1e5", ".", "99999999999999999999h", "2006-01-02T15:04:05+2" };
	uint64_t v;
	struct err err;
	setenv("TZ", "UTC", 1);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK(logs_reader_parse_time(good[i].text, 2000000000000000000ULL, &v, &err) == 0 && v == good[i].ns, "%s: %llu", good[i].text,
		      (unsigned long long)v);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(logs_reader_parse_time(bad[i], 2000000000000000000ULL, &v, &err) < 0 || str_eq(bad[i], "10") || str_eq(bad[i], "2006"),
		      "%s: %llu", bad[i], (unsigned long long)v);
}

int main(void)
{
	struct err err;
	setvbuf(stdout, NULL, _IOLBF, 0);
	CHECK(mkdtemp(base_dir), "mkdtemp");
	test_merge();
	test_damage();
	test_follow();
	test_until();
	test_stop();
	test_long();
	for (unsigned seed = 1; seed < 20; seed++)
		test_random(seed);
	test_speed();
	test_times();
	fs_remove_tree(AT_FDCWD, base_dir, &err);
	printf("%s\n", failures ? "FAILED" : "passed");
	return failures != 0;
}
