/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads ("hands") on the layers of one image: each takes the next one that nobody has begun, the largest first, so that at the end no
 * processor waits long for the last one. The first error ends the work: no layer is begun any more, and those under way look at
 * crew_failed() between two reads. */
#ifndef IMAGES_CREW_H
#define IMAGES_CREW_H

#include "base/err.h"

enum { CREW_MAX_HANDS = 8 };

struct crew {
	_Atomic bool failed;
};

/* One job; hand: which thread this is, from 0 on, for what each has of its own. 0 or -1 + err. */
typedef int crew_job_fn(void *arg, size_t hand, size_t job, struct err *err);

/* The jobs 0 to n_jobs - 1 by at most n_hands <= CREW_MAX_HANDS threads; hand 0 is the caller, the others come as far as threads are to be had.
 * sizes: of each job, in any unit; of equal ones the lower number goes first. c must last until crew_run() is back. 0 or -1 + the first error. */
int crew_run(struct crew *c, size_t n_hands, const uint64_t *sizes, size_t n_jobs, crew_job_fn *fn, void *arg, struct err *err);

/* True once a job has failed; any thread. */
static inline bool crew_failed(const struct crew *c)
{
	return c->failed;
}

#endif
