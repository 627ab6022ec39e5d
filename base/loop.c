/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop. Timers are a sorted list: a process has few, and most are set far behind the head. */
#include "base/loop.h"

#include <limits.h>

#include "base/clock.h"

enum { MAX_BATCH = 64 };

int loop_init(struct loop *l, struct err *err)
{
	*l = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	if (l->epoll_fd < 0)
		return err_sys(err, errno, "epoll_create1");
	return 0;
}

void loop_done(struct loop *l)
{
	if (l->epoll_fd > 0)
		util_close(&l->epoll_fd);
	*l = (struct loop){ .epoll_fd = -1 };
}

int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events, void (*fn)(struct loop_source *, uint32_t), struct err *err)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_sys(err, errno, "epoll_ctl");
	*s = (struct loop_source){ .fd = fd, .fn = fn, .loop = l, .events = events };
	return 0;
}

int loop_change(struct loop_source *s, uint32_t events, struct err *err)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };
	if (events == s->events)
		return 0;
	if (epoll_ctl(s->loop->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev) < 0)
		return err_sys(err, errno, "epoll_ctl");
	s->events = events;
	return 0;
}

void loop_remove(struct loop_source *s)
{
	struct loop *l = s->loop;
	if (!l)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	for (int i = 0; i < l->n_ready; i++)
		if (l->ready[i].data.ptr == s)
			l->ready[i].data.ptr = NULL;
	s->loop = NULL;
}

void loop_timer_cancel(struct loop_timer *t)
{
	struct loop_timer **at;
	if (!t->loop)
		return;
	for (at = &t->loop->timers; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	t->loop = NULL;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms, void (*fn)(struct loop_timer *))
{
	struct loop_timer **at;
	loop_timer_cancel(t);
	t->fn = fn;
	t->due_ns = clock_mono_ns() + delay_ms * 1000000;
	t->loop = l;
	for (at = &l->timers; *at && (*at)->due_ns <= t->due_ns; at = &(*at)->next)
		;
	t->next = *at;
	*at = t;
}

static int loop_timeout(const struct loop *l, int timeout_ms)
{
	uint64_t now, left;
	if (!l->timers)
		return timeout_ms;
	now = clock_mono_ns();
	if (l->timers->due_ns <= now)
		return 0;
	left = (l->timers->due_ns - now + 999999) / 1000000;
	if (timeout_ms >= 0 && left > (uint64_t)timeout_ms)
		return timeout_ms;
	return left > INT_MAX ? INT_MAX : (int)left;
}

int loop_run_once(struct loop *l, int timeout_ms, struct err *err)
{
	struct epoll_event ready[MAX_BATCH];
	int n = epoll_wait(l->epoll_fd, ready, MAX_BATCH, loop_timeout(l, timeout_ms));
	if (n < 0 && errno != EINTR)
		return err_sys(err, errno, "epoll_wait");
	l->ready = ready;
	l->n_ready = MAX(n, 0);
	for (int i = 0; i < l->n_ready; i++) {
		struct loop_source *s = ready[i].data.ptr;
		if (s)
			s->fn(s, ready[i].events);
	}
	l->n_ready = 0;
	l->ready = NULL;
	while (l->timers && l->timers->due_ns <= clock_mono_ns()) {
		struct loop_timer *t = l->timers;
		loop_timer_cancel(t);
		t->fn(t);
	}
	return 0;
}

int loop_run(struct loop *l, struct err *err)
{
	while (!l->quit)
		if (loop_run_once(l, -1, err) < 0)
			return -1;
	return 0;
}
