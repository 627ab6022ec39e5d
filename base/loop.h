/* SPDX-License-Identifier: Apache-2.0 */
/* One epoll loop per long-lived process: level-triggered, sources embedded in their owner (use CONTAINER_OF in the handler).
 * A handler may remove or free any source, its own included: events of removed sources are dropped. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <sys/epoll.h>

#include "base/err.h"

struct loop;

struct loop_source {
	int fd;                                              /* not owned */
	void (*fn)(struct loop_source *s, uint32_t events);  /* EPOLL* bits */
	struct loop *loop;                                   /* NULL: not added */
	uint32_t events;                                     /* asked for */
};

struct loop_timer {
	void (*fn)(struct loop_timer *t);
	uint64_t due_ns;             /* CLOCK_MONOTONIC */
	struct loop_timer *next;     /* sorted by due_ns */
	struct loop *loop;           /* NULL: not armed */
};

struct loop {
	int epoll_fd;
	bool quit;
	struct loop_timer *timers;
	struct epoll_event *ready;   /* the batch being handled */
	int n_ready;
};

int loop_init(struct loop *l, struct err *err);
void loop_done(struct loop *l);
/* Adds fd with EPOLLIN|EPOLLOUT… bits; the source must stay where it is until removed. */
int loop_add(struct loop *l, struct loop_source *s, int fd, uint32_t events, void (*fn)(struct loop_source *, uint32_t), struct err *err);
int loop_change(struct loop_source *s, uint32_t events, struct err *err);
void loop_remove(struct loop_source *s); /* zeroed or removed ones are fine; does not close fd */
/* Arms (or re-arms) a timer; fires once. */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms, void (*fn)(struct loop_timer *));
void loop_timer_cancel(struct loop_timer *t);
/* Handles what is ready; waits at most timeout_ms (-1: until something happens). */
int loop_run_once(struct loop *l, int timeout_ms, struct err *err);
/* Runs until l->quit. */
int loop_run(struct loop *l, struct err *err);

#endif
