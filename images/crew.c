/* SPDX-License-Identifier: Apache-2.0 */
/* A list of jobs in order of size, a mutex around the place in it, and the first error. Nothing is handed back but that: what a job finds out
 * it writes where only it writes. */
#include "images/crew.h"

#include <pthread.h>

struct order {
	uint64_t size;
	size_t job;
};

struct shift {
	struct crew *crew;
	crew_job_fn *fn;
	void *arg;
	struct order *order;
	size_t n, next;
	pthread_mutex_t lock; /* of next, failed, err */
	struct err err;
};

struct hand {
	struct shift *shift;
	size_t number;
	pthread_t thread;
};

static int compare_orders(const void *a, const void *b)
{
	const struct order *x = a, *y = b;
	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return x->job < y->job ? -1 : x->job > y->job;
}

static void *work(void *arg)
{
	const struct hand *h = arg;
	struct shift *s = h->shift;
	for (;;) {
		struct err err = {0};
		size_t at;
		pthread_mutex_lock(&s->lock);
		at = s->crew->failed ? s->n : s->next;
		s->next += at < s->n;
		pthread_mutex_unlock(&s->lock);
		if (at >= s->n)
			return NULL;
		if (s->fn(s->arg, h->number, s->order[at].job, &err) == 0)
			continue;
		pthread_mutex_lock(&s->lock);
		if (!s->crew->failed)
			s->err = err;
		s->crew->failed = true;
		pthread_mutex_unlock(&s->lock);
	}
}

int crew_run(struct crew *c, size_t n_hands, const uint64_t *sizes, size_t n_jobs, crew_job_fn *fn, void *arg, struct err *err)
{
	struct hand hands[CREW_MAX_HANDS];
	struct shift s = { .crew = c, .fn = fn, .arg = arg, .n = n_jobs };
	size_t n = 1;
	assert(n_hands >= 1 && n_hands <= CREW_MAX_HANDS);
	c->failed = false;
	if (n_jobs == 0)
		return 0;
	s.order = xcalloc(n_jobs, sizeof(*s.order));
	for (size_t i = 0; i < n_jobs; i++)
		s.order[i] = (struct order){ .size = sizes[i], .job = i };
	qsort(s.order, n_jobs, sizeof(*s.order), compare_orders);
	pthread_mutex_init(&s.lock, NULL);
	for (size_t i = 0; i < n_hands; i++)
		hands[i] = (struct hand){ .shift = &s, .number = i };
	while (n < MIN(n_hands, n_jobs) && pthread_create(&hands[n].thread, NULL, work, &hands[n]) == 0)
		n++;
	work(&hands[0]);
	for (size_t i = 1; i < n; i++)
		pthread_join(hands[i].thread, NULL);
	pthread_mutex_destroy(&s.lock);
	free(s.order);
	if (c->failed && err)
		*err = s.err;
	return c->failed ? -1 : 0;
}
