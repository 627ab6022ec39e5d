/* SPDX-License-Identifier: Apache-2.0 */
/* What pulls and pushes show while they work. On a terminal a line for each image and each layer, with a bar, bytes and rate; elsewhere
 * only what begins and ends, so that a log stays readable; as JSON each layer's numbers, too, in docker compose's fields and words. */
#ifndef COMPOSE_PULL_SCREEN_H
#define COMPOSE_PULL_SCREEN_H

#include "base/map.h"
#include "compose/image_client.h"
#include "compose/progress.h"

struct pull_screen {
	struct progress *progress;
	enum progress_mode mode;
	struct arena *arena;
	struct map meters;      /* layer's digits -> struct meter, in the arena */
	bool ignore_failures;   /* a push that fails is a warning; set it after pull_screen_init() */
};

/* mode: quiet shows nothing. Nothing is drawn before the first event. */
void pull_screen_init(struct pull_screen *s, struct arena *arena, enum progress_mode mode, bool colour);
void pull_screen_done(struct pull_screen *s);
/* An image_event_fn; arg is the struct pull_screen. */
void pull_screen_event(void *arg, const struct image_event *ev);

/* "[=======>            ]  12.3MB/40MB  8.2MB/s" in buf; total 0: not known; rate 0: not known. Returns buf. */
const char *pull_screen_bar(uint64_t done_bytes, uint64_t total_bytes, uint64_t bytes_per_s, char buf[static 96]);

#endif
