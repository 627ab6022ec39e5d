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

struct layer_state {
	const char *state, *shown;
	bool busy;
	const char *docker;      /* the engine's word in docker compose's JSON; a push has none there */
};

static const struct layer_state states[] = {
	{ "pulling", "Pulling", true, "Downloading" },  { "exists", "Already exists", false, "Already exists" }, { "done", "Pulled", false, "Pull complete" },
	{ "preparing", "Preparing", true, "" },         { "pushing", "Pushing", true, "" },                       { "pushed", "Pushed", false, "" },
	{ "mounted", "Mounted", false, "" },
};

/* Bytes as go-units' HumanSize() has them: four digits. */
static const char *four_digits(uint64_t bytes, char buf[static 24])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	size_t i = 0;
	for (; v >= 1000 && i + 1 < ARRAY_SIZE(units); i++)
		v /= 1000;
	snprintf(buf, 24, "%.4g%s", v, units[i]);
	return buf;
}

/* docker compose's toPullProgressEvent() and toPushProgressEvent(). Of a pull, what has ended has no numbers; of a push the text is the bytes. */
static void tell_layer(struct pull_screen *s, const struct image_event *ev, const struct layer_state *state)
{
	const bool push = ev->pull->push, counted = state->busy && (ev->done_bytes || (push && ev->total_bytes));
	const uint64_t current = counted ? ev->done_bytes : 0, total = counted ? ev->total_bytes : 0;
	AUTO_FREE char *parent = push ? xstrdup(ev->pull->ref) : xasprintf("Image %s", ev->pull->ref);
	char text[60] = "", a[24], b[24];
	if (push && current && total && total <= current)
		snprintf(text, sizeof(text), "%8s/%s", four_digits(current, a), four_digits(total, b));
	else if (push && (current || total))
		snprintf(text, sizeof(text), "%8s", four_digits(current, a));
	else if (!push)
		snprintf(text, sizeof(text), "%s", state->busy && !counted ? "Pulling fs layer" : state->docker);
	progress_object(s->progress, &(struct progress_object){
		.id = ev->layer, .parent_id = parent, .status = state->busy ? "Working" : "Done", .text = text,
		.details = push ? NULL : four_digits(current, a), .current = current, .total = total,
		.percent = !state->busy ? 100 : total ? (unsigned)MIN((double)current * 100 / (double)total, 100.0) : 0,
	});
}

static void show_layer(struct pull_screen *s, const struct image_event *ev, uint64_t now)
{
	struct meter *m;
	char text[96] = "";
	if (s->mode != PROGRESS_TTY && s->mode != PROGRESS_JSON)
		return;
	m = find_meter(s, ev, now);
	for (size_t i = 0; m && i < ARRAY_SIZE(states); i++) {
		if (strcmp(ev->state, states[i].state) != 0)
			continue;
		if (states[i].busy)
			pull_screen_bar(ev->done_bytes, ev->total_bytes, measure(m, ev->done_bytes, now), text);
		m->done = !states[i].busy;
		if (s->mode == PROGRESS_JSON)
			tell_layer(s, ev, &states[i]);
		else
			progress_event(s->progress, "layer", ev->layer, states[i].shown, text, now);
	}
}

/* The beginning and the end of an image in JSON: the name is as it was asked for. */
static void tell_image(struct pull_screen *s, const struct image_event *ev)
{
	const struct image_pull *p = ev->pull;
	const bool ended = ev->kind == IMAGE_ENDED, failed = ended && p->rc < 0;
	AUTO_FREE char *id = p->push ? xstrdup(p->ref) : xasprintf("Image %s", p->ref);
	struct progress_object o = { .id = id, .status = ended ? "Done" : "Working" };
	if (failed) {
		o.status = p->push && s->ignore_failures ? "Warning" : "Error";
		o.text = p->push ? p->err.msg : "Error";
		o.details = p->push ? NULL : p->err.msg;
	} else {
		o.text = p->push ? ended ? "Pushed" : "Pushing" : ended ? "Pulled" : "Pulling";
	}
	progress_object(s->progress, &o);
}

static void show_image(struct pull_screen *s, const struct image_event *ev, uint64_t now)
{
	const struct image_pull *p = ev->pull;
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref;
	const char *name = imageref_parse(p->ref, a, &ref, NULL) == 0 ? imageref_familiar(&ref, a) : p->ref;
	if (s->mode == PROGRESS_JSON)
		tell_image(s, ev);
	else if (ev->kind == IMAGE_STARTED)
		progress_event(s->progress, "image", name, p->push ? "Pushing" : "Pulling", "", now);
	else
		progress_event(s->progress, "image", name, p->rc < 0 ? "Error" : p->push ? "Pushed" : "Pulled",
			p->rc == 0 && !p->push && !p->is_new ? "(up to date)" : "", now);
}

void pull_screen_event(void *arg, const struct image_event *ev)
{
	struct pull_screen *s = arg;
	const uint64_t now = clock_mono_ns();
	if (ev->kind == IMAGE_STARTED || ev->kind == IMAGE_ENDED)
		show_image(s, ev, now);
	else if (ev->kind == IMAGE_LAYER)
		show_layer(s, ev, now);
	else if (ev->kind == IMAGE_WARNING)
		progress_note(s->progress, ev->text, now);
	if (ev->kind == IMAGE_ENDED)
		release_meters(s, ev->pull);
	progress_tick(s->progress, now);
}
