/* SPDX-License-Identifier: Apache-2.0 */
/* A crew does every job once, the largest first, of equal ones in order; after the first error nothing is begun any more, and it is that
 * error which comes back; a crew can be used again. */
#include <pthread.h>

#include "images/crew.h"
#include "tests/unit/images_rig.h"

enum { N = 40 };

struct site {
	struct crew crew;
	pthread_mutex_t lock;
	size_t begun[N], n;        /* in the order in which they were begun */
	size_t fails_at;           /* the job that fails; N: none */
	bool hands[CREW_MAX_HANDS];
};

static int job(void *arg, size_t hand, size_t i, struct err *err)
{
	struct site *s = arg;
	pthread_mutex_lock(&s->lock);
	EXPECT(s->n < N && i < N && hand < CREW_MAX_HANDS, "job %zu, hand %zu", i, hand);
	s->begun[s->n++] = i;
	s->hands[hand] = true;
	pthread_mutex_unlock(&s->lock);
	if (i != s->fails_at)
		return 0;
	return err_set(err, ERR_CORRUPT, "job %zu", i);
}

static int run(struct site *s, size_t n_hands, size_t n_jobs, struct err *err)
{
	uint64_t sizes[N];
	for (size_t i = 0; i < N; i++)
		sizes[i] = i % 4;
	s->n = 0;
	return crew_run(&s->crew, n_hands, sizes, n_jobs, job, s, err);
}

static void test_order(struct site *s)
{
	struct err err = {0};
	EXPECT(run(s, 1, N, &err) == 0 && s->n == N, "%zu jobs: %s", s->n, err.msg);
	for (size_t k = 0; k < N; k++)
		EXPECT(s->begun[k] == k % (N / 4) * 4 + 3 - k / (N / 4), "place %zu: job %zu", k, s->begun[k]);
}

static void test_hands(struct site *s)
{
	struct err err = {0};
	bool seen[N] = {0};
	EXPECT(run(s, CREW_MAX_HANDS, N, &err) == 0 && s->n == N, "%zu jobs: %s", s->n, err.msg);
	for (size_t k = 0; k < s->n; k++) {
		EXPECT(!seen[s->begun[k]], "job %zu twice", s->begun[k]);
		seen[s->begun[k]] = true;
	}
	memset(s->hands, 0, sizeof(s->hands));
	EXPECT(run(s, 5, 2, &err) == 0 && s->n == 2 && !s->hands[2], "more hands than jobs");
	EXPECT(run(s, 3, 0, &err) == 0 && s->n == 0, "no job");
}

static void test_failure(struct site *s)
{
	struct err err = {0};
	s->fails_at = 7; /* the second to be begun */
	EXPECT(run(s, 1, N, &err) == -1 && crew_failed(&s->crew) && s->n == 2, "%zu jobs", s->n);
	EXPECT(err.code == ERR_CORRUPT && strcmp(err.msg, "job 7") == 0, "%s", err.msg);
	EXPECT(run(s, 4, N, &err) == -1 && strcmp(err.msg, "job 7") == 0, "%s", err.msg);
	s->fails_at = N;
	EXPECT(run(s, 4, N, &err) == 0 && s->n == N && !crew_failed(&s->crew), "a second use: %zu jobs", s->n);
}

int main(void)
{
	struct site s = { .lock = PTHREAD_MUTEX_INITIALIZER, .fails_at = N };
	test_order(&s);
	test_hands(&s);
	test_failure(&s);
	printf(failures ? "failed\n" : "ok\n");
	return failures ? 1 : 0;
}
