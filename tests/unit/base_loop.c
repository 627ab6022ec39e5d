/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: a handler may remove or free any source and cancel any timer, those of the batch at hand included, and timers fire in
 * the order of their times, once. */
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/loop.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

enum { N = 4 };

struct test {
	struct loop loop;
	struct err err;
	struct watched {
		struct loop_source source;
		struct test *test;
		int fd, calls;
	} *w[N];
	int total;
};

static int ready_fd(void)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		abort();
	return fd;
}

static void drop(struct test *t, int i)
{
	if (!t->w[i])
		return;
	loop_remove(&t->w[i]->source);
	close(t->w[i]->fd);
	free(t->w[i]);
	t->w[i] = NULL;
}

/* The first one that is called frees all of them: none of the others may be called, with what memory? */
static void free_all(struct loop_source *s, uint32_t events)
{
	struct test *t = CONTAINER_OF(s, struct watched, source)->test;
	t->total++;
	EXPECT(events & EPOLLIN, "events %x", events);
	for (int i = 0; i < N; i++)
		drop(t, i);
}

static void count_call(struct loop_source *s, uint32_t events)
{
	struct watched *w = CONTAINER_OF(s, struct watched, source);
	uint64_t v;
	(void)events;
	w->calls++;
	w->test->total++;
	if (read(w->fd, &v, sizeof(v)) < 0)
		abort();
}

static void add_all(struct test *t, void (*fn)(struct loop_source *, uint32_t))
{
	for (int i = 0; i < N; i++) {
		t->w[i] = xcalloc(1, sizeof(*t->w[i]));
		t->w[i]->test = t;
		t->w[i]->fd = ready_fd();
		EXPECT(loop_add(&t->loop, &t->w[i]->source, t->w[i]->fd, EPOLLIN, fn, &t->err) == 0, "%s", t->err.msg);
	}
	t->total = 0;
}

static void test_sources(void)
{
	struct test t = { 0 };
	struct loop_source never = { 0 };
	EXPECT(loop_init(&t.loop, &t.err) == 0, "%s", t.err.msg);
	add_all(&t, free_all);
	EXPECT(loop_run_once(&t.loop, 1000, &t.err) == 0 && t.total == 1, "%d called after the first freed all", t.total);
	add_all(&t, count_call);
	loop_run_once(&t.loop, 1000, &t.err);
	EXPECT(t.total == N, "%d of %d called", t.total, N);
	loop_run_once(&t.loop, 0, &t.err);
	EXPECT(t.total == N, "level-triggered, and nothing is ready any more");
	EXPECT(loop_change(&t.w[0]->source, EPOLLOUT, &t.err) == 0, "%s", t.err.msg);
	EXPECT(loop_add(&t.loop, &never, -1, EPOLLIN, count_call, &t.err) == -1 && t.err.sys == EBADF && !never.loop, "%s", t.err.msg);
	loop_remove(&never);
	for (int i = 0; i < N; i++)
		drop(&t, i);
	loop_done(&t.loop);
	loop_done(&t.loop);
}

struct clockwork {
	struct loop loop;
	struct loop_timer a, b, c, d;
	char order[16];
	int again;
};

static void note(struct clockwork *w, char name)
{
	size_t n = strlen(w->order);
	if (n + 1 < sizeof(w->order))
		w->order[n] = name;
}

static void fire_a(struct loop_timer *t)
{
	note(CONTAINER_OF(t, struct clockwork, a), 'a');
}

static void fire_b(struct loop_timer *t)
{
	struct clockwork *w = CONTAINER_OF(t, struct clockwork, b);
	note(w, 'b');
	loop_timer_cancel(&w->c); /* due at the same time */
	if (w->again++ < 2)
		loop_timer_set(&w->loop, t, 1, fire_b);
}

static void fire_c(struct loop_timer *t)
{
	note(CONTAINER_OF(t, struct clockwork, c), 'c');
}

static void fire_d(struct loop_timer *t)
{
	struct clockwork *w = CONTAINER_OF(t, struct clockwork, d);
	note(w, 'd');
	w->loop.quit = true;
}

static void test_timers(void)
{
	struct clockwork w = { 0 };
	struct err err = { 0 };
	uint64_t start = clock_mono_ns(), took;
	EXPECT(loop_init(&w.loop, &err) == 0, "%s", err.msg);
	loop_timer_cancel(&w.a);
	loop_timer_set(&w.loop, &w.d, 30, fire_d);
	loop_timer_set(&w.loop, &w.b, 2, fire_b);
	loop_timer_set(&w.loop, &w.c, 2, fire_c);
	loop_timer_set(&w.loop, &w.a, 500, fire_a);
	loop_timer_set(&w.loop, &w.a, 1, fire_a); /* armed again: the first time does not count */
	EXPECT(loop_run(&w.loop, &err) == 0, "%s", err.msg);
	took = (clock_mono_ns() - start) / 1000000;
	EXPECT(strcmp(w.order, "abbbd") == 0, "fired %s", w.order);
	EXPECT(took >= 30 && took < 400, "took %d ms", (int)took);
	EXPECT(!w.a.loop && !w.d.loop && !w.loop.timers, "a timer that fired is not armed");
	start = clock_mono_ns();
	loop_timer_set(&w.loop, &w.a, 100000, fire_a);
	EXPECT(loop_run_once(&w.loop, 5, &err) == 0 && (clock_mono_ns() - start) / 1000000 < 1000, "the time-out of the call counts too");
	loop_timer_cancel(&w.a);
	loop_done(&w.loop);
}

int main(void)
{
	test_sources();
	test_timers();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
