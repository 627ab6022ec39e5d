/* SPDX-License-Identifier: Apache-2.0 */
/* The rate is of the last two seconds or so: an average that forgets. */
#include "compose/pull_screen.h"

#include <stdio.h>

#include "base/clock.h"
#include "compose/table.h"
#include "spec/imageref.h"

enum { BAR_WIDTH = 20, SAMPLE_NS = 500000000 };

struct meter {
	const struct image_pull *owner;  /* of several images with this layer: the one whose transfer is shown; NULL: whichever is heard next */
	bool done;
	uint64_t begin_ns, begin_bytes;  /* of the sample that is being taken */
	uint64_t rate;                   /* bytes per second; 0: not known yet */
};

void pull_screen_init(struct pull_screen *s, struct arena *arena, enum progress_mode mode, bool colour)
{
	*s = (struct pull_screen){ .mode = mode, .arena = arena, .progress = progress_new(mode, 2, colour, false) };
}

void pull_screen_done(struct pull_screen *s)
{
	s->progress = progress_free(s->progress);
	map_done(&s->meters);
}

const char *pull_screen_bar(uint64_t done_bytes, uint64_t total_bytes, uint64_t bytes_per_s, char buf[static 96])
{
	char bar[BAR_WIDTH + 1] = "", done[24], total[24], rate[24];
	size_t n = 0;
	if (total_bytes) {
		size_t full = (size_t)((double)MIN(done_bytes, total_bytes) / (double)total_bytes * BAR_WIDTH);
		memset(bar, ' ', BAR_WIDTH);
		memset(bar, '=', full);
		if (full < BAR_WIDTH)
			bar[full] = '>';
		n = (size_t)snprintf(buf, 96, "[%.*s]  %s/%s", BAR_WIDTH, bar, table_human_bytes(done_bytes, done),
			table_human_bytes(total_bytes, total));
	} else {
		n = (size_t)snprintf(buf, 96, "%s", table_human_bytes(done_bytes, done));
	}
	if (bytes_per_s)
		snprintf(buf + n, 96 - n, "  %s/s", table_human_bytes(bytes_per_s, rate));
	return buf;
}

/* The layer's meter when this image's events about it are to be shown, NULL when another one's are. */
static struct meter *find_meter(struct pull_screen *s, const struct image_event *ev, uint64_t now)
{
	struct meter *m = map_get(&s->meters, ev->layer);
	if (!m) {
		m = arena_alloc(s->arena, sizeof(*m));
		*m = (struct meter){ .begin_ns = now, .begin_bytes = ev->done_bytes };
		map_put(&s->meters, ev->layer, m);
	}
	if (!m->owner)
		m->owner = ev->pull;
	return m->owner == ev->pull && !m->done ? m : NULL;
}

/* An image has ended: what it did not finish is another one's now. */
static void release_meters(struct pull_screen *s, const struct image_pull *pull)
{
	for (struct map_entry *e = map_next(&s->meters, NULL); e; e = map_next(&s->meters, e)) {
		struct meter *m = e->value;
		if (m->owner == pull && !m->done)
			m->owner = NULL;
	}
}

static uint64_t measure(struct meter *m, uint64_t done_bytes, uint64_t now)
{
	uint64_t rate;
	if (done_bytes < m->begin_bytes) { /* it began anew */
		m->begin_ns = now;
		m->begin_bytes = done_bytes;
		m->rate = 0;
	}
	if (now - m->begin_ns < SAMPLE_NS)
		return m->rate;
	rate = (uint64_t)((double)(done_bytes - m->begin_bytes) * 1e9 / (double)(now - m->begin_ns));
	m->rate = m->rate ? (m->rate + 2 * rate) / 3 : rate;
	m->begin_ns = now;
	m->begin_bytes = done_bytes;
	return m->rate;
}

static void show_layer(struct pull_screen *s, const struct image_event *ev, const char *image, uint64_t now)
{
	static const struct {
		const char *state, *shown;
		bool busy;
	} states[] = {
		{ "pulling", "Pulling", true },     { "exists", "Already exists", false }, { "done", "Pulled", false },
		{ "preparing", "Preparing", true }, { "pushing", "Pushing", true },        { "pushed", "Pushed", false },
		{ "mounted", "Mounted", false },
	};
	struct meter *m;
	char text[96] = "";
	if (s->mode != PROGRESS_TTY && s->mode != PROGRESS_JSON)
		return;
	m = find_meter(s, ev, now);
	for (size_t i = 0; m && i < ARRAY_SIZE(states); i++) {
		const struct progress_bytes bytes = { image, ev->done_bytes, ev->total_bytes };
		if (strcmp(ev->state, states[i].state) != 0)
			continue;
		if (states[i].busy)
			pull_screen_bar(ev->done_bytes, ev->total_bytes, measure(m, ev->done_bytes, now), text);
		m->done = !states[i].busy;
		progress_transfer(s->progress, "layer", ev->layer, states[i].shown, text, &bytes, now);
	}
}

void pull_screen_event(void *arg, const struct image_event *ev)
{
	struct pull_screen *s = arg;
	const uint64_t now = clock_mono_ns();
	const bool push = ev->pull->push;
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref;
	const char *name = imageref_parse(ev->pull->ref, a, &ref, NULL) == 0 ? imageref_familiar(&ref, a) : ev->pull->ref;
	if (ev->kind == IMAGE_STARTED)
		progress_event(s->progress, "image", name, push ? "Pushing" : "Pulling", "", now);
	else if (ev->kind == IMAGE_ENDED)
		progress_event(s->progress, "image", name, ev->pull->rc < 0 ? "Error" : push ? "Pushed" : "Pulled",
			ev->pull->rc == 0 && !push && !ev->pull->is_new ? "(up to date)" : "", now);
	else if (ev->kind == IMAGE_LAYER)
		show_layer(s, ev, name, now);
	else if (ev->kind == IMAGE_WARNING)
		progress_note(s->progress, ev->text, now);
	if (ev->kind == IMAGE_ENDED)
		release_meters(s, ev->pull);
	progress_tick(s->progress, now);
}
