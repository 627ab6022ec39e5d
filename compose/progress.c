/* SPDX-License-Identifier: Apache-2.0 */
/* The live view of a command. In tty mode the block on the screen is replaced in place (compose/block.h). A frame never has more
 * lines than the screen (what is finished is left out first), since what has scrolled away could not be replaced any more. */
#include "compose/progress.h"

#include <ctype.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/map.h"
#include "compose/block.h"
#include "compose/table.h"
#include "compose/tty.h"

enum { REDRAW_MS = 100 };

struct item {
	char *label;          /* "Container shop-db-1" */
	char *status, *text;
	uint64_t start_ns, end_ns; /* end 0: still at it */
	bool error;
};

struct progress {
	enum progress_mode mode;
	int fd;
	bool colour, dry_run, dirty;
	struct item *items;
	size_t n, cap;
	struct map by_label;  /* label → index + 1 */
	struct block block;
	uint64_t drawn_ns;
};

struct progress *progress_new(enum progress_mode mode, int fd, bool colour, bool dry_run)
{
	struct progress *p = xcalloc(1, sizeof(*p));
	*p = (struct progress){ .mode = mode, .fd = fd, .block = { .fd = fd }, .colour = colour, .dry_run = dry_run };
	return p;
}

static void items_clear(struct progress *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->items[i].label);
		free(p->items[i].status);
		free(p->items[i].text);
	}
	p->n = 0;
	map_done(&p->by_label);
	p->by_label = (struct map){0};
}

bool progress_is_done(const char *status)
{
	static const char *const busy[] = { "Waiting", "Recreate", NULL };
	for (const char *const *b = busy; *b; b++)
		if (strcmp(status, *b) == 0)
			return false;
	return !str_ends(status, "ing") || strcmp(status, "Running") == 0;
}

static bool is_error(const char *status)
{
	return str_starts(status, "Error") || strcmp(status, "Unhealthy") == 0;
}

static void write_out(const struct progress *p, const struct str *s)
{
	struct err ignored;
	fs_write_all(p->fd, str_get(s), s->len, &ignored); /* nobody to tell when standard error is gone */
}

static void event_plain(const struct progress *p, const struct item *it)
{
	AUTO_STR struct str line = {0};
	str_addf(&line, " %s%s  %s", p->dry_run ? "DRY-RUN MODE -  " : "", it->label, it->status);
	if (*it->text)
		str_addf(&line, " %s", it->text);
	str_addc(&line, '\n');
	write_out(p, &line);
}

static void put_text(json_t *j, const char *key, const char *text)
{
	AUTO_STR struct str safe = {0};
	block_add_safe(&safe, text ? text : "");
	if (safe.len)
		json_object_set_new(j, key, json_text(str_get(&safe)));
}

static void put_number(json_t *j, const char *key, uint64_t n)
{
	if (n)
		json_object_set_new(j, key, json_integer((json_int_t)MIN(n, (uint64_t)INT64_MAX)));
}

void progress_object(struct progress *p, const struct progress_object *o)
{
	AUTO_STR struct str line = {0};
	AUTO_JSON json_t *j = json_object();
	AUTO_FREE char *s = NULL;
	if (!p || p->mode != PROGRESS_JSON)
		return;
	if (p->dry_run)
		json_object_set_new(j, "dry-run", json_true());
	put_text(j, "id", o->id);
	put_text(j, "parent_id", o->parent_id);
	put_text(j, "status", o->status);
	put_text(j, "text", o->text);
	put_text(j, "details", o->details);
	put_number(j, "current", o->current);
	put_number(j, "total", o->total);
	put_number(j, "percent", o->percent);
	s = json_dumps(j, JSON_COMPACT);
	if (!s)
		util_oom();
	str_addf(&line, "%s\n", s);
	write_out(p, &line);
}

static void event_json(struct progress *p, const char *id, const char *status, const char *text)
{
	static const char *const states[] = { "Working", "Done", "Error" };
	const char *state = states[is_error(status) ? 2 : progress_is_done(status)];
	progress_object(p, &(struct progress_object){ .id = id, .status = state, .text = status, .details = text });
}

static struct item *item_get(struct progress *p, const char *label, uint64_t now_ns)
{
	uintptr_t at = (uintptr_t)map_get(&p->by_label, label);
	if (at)
		return &p->items[at - 1];
	p->items = vec_grow(p->items, p->n, &p->cap, sizeof(*p->items));
	p->items[p->n] = (struct item){ .label = xstrdup(label), .status = xstrdup(""), .text = xstrdup(""), .start_ns = now_ns };
	map_put(&p->by_label, label, (void *)(uintptr_t)(p->n + 1));
	return &p->items[p->n++];
}

void progress_event(struct progress *p, const char *kind, const char *name, const char *status, const char *text, uint64_t now_ns)
{
	AUTO_STR struct str label = {0}, safe = {0};
	struct item *it;
	if (!p || p->mode == PROGRESS_QUIET)
		return;
	if (p->mode != PROGRESS_JSON || strcmp(kind, "service") != 0)
		str_addf(&label, "%c%s ", toupper((unsigned char)*kind), *kind ? kind + 1 : "");
	block_add_safe(&label, name);
	block_add_safe(&safe, text ? text : "");
	it = item_get(p, str_get(&label), now_ns);
	if (strcmp(it->status, status) == 0 && strcmp(it->text, str_get(&safe)) == 0)
		return;
	free(it->status);
	free(it->text);
	it->status = xstrdup(status);
	it->text = str_take(&safe);
	it->error = is_error(status);
	it->end_ns = progress_is_done(status) ? now_ns : 0;
	p->dirty = true;
	if (p->mode == PROGRESS_PLAIN)
		event_plain(p, it);
	else if (p->mode == PROGRESS_JSON)
		event_json(p, it->label, status, it->text);
	else
		progress_tick(p, now_ns);
}

static const char *paint(const struct progress *p, const char *escape)
{
	return p->colour ? escape : "";
}

static const char *item_mark(const struct progress *p, const struct item *it, uint64_t now_ns)
{
	static const char *const spin[] = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" };
	(void)p;
	if (it->error)
		return "✘";
	if (it->end_ns)
		return "✔";
	return spin[now_ns / (REDRAW_MS * 1000000ull) % ARRAY_SIZE(spin)];
}

/* " ✔ Container shop-db-1   Healthy                    5.7s": cut to the width, label first, then status. */
static void add_line(const struct progress *p, const struct item *it, size_t label_width, uint64_t now_ns, size_t width, struct str *ret)
{
	AUTO_STR struct str status = {0};
	const char *end = paint(p, "\033[0m");
	const char *colour = paint(p, it->error ? "\033[31m" : it->end_ns ? "\033[32m" : "\033[33m");
	uint64_t tenths = ((it->end_ns ? it->end_ns : now_ns) - it->start_ns) / 100000000;
	char time[32];
	size_t used, room, time_width;
	snprintf(time, sizeof(time), "%llu.%llus ", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10));
	time_width = strlen(time);
	str_addf(&status, "%s%s%s", it->status, *it->text ? " " : "", it->text);
	str_addf(ret, " %s%s%s ", colour, item_mark(p, it, now_ns), end);
	room = width > 3 ? width - 3 : 0;
	if (p->dry_run && room > 16) {
		str_add(ret, "DRY-RUN MODE -  ");
		room -= 16;
	}
	used = table_add_cut(ret, it->label, room > 12 ? MIN(label_width, room - 10) : room);
	if (room < used + 4)
		return;
	if (used < label_width && label_width + 12 < room) {
		str_addf(ret, "%*s", (int)(label_width - used), "");
		used = label_width;
	}
	str_addf(ret, "  %s", colour);
	used += 2;
	used += table_add_cut(ret, str_get(&status), room > used + time_width + 4 ? room - used - time_width : room - used);
	str_add(ret, end);
	if (room >= used + time_width + 1)
		str_addf(ret, "%*s%s%s%s", (int)(room - used - time_width), "", paint(p, "\033[34m"), time, end);
}

/* Which items a block of at most `lines` shows: all, or those at work first and then the latest others. */
static void choose(const struct progress *p, unsigned lines, bool *show)
{
	size_t room = lines;
	for (size_t i = 0; i < p->n; i++)
		show[i] = p->n <= lines;
	if (p->n <= lines)
		return;
	for (size_t i = 0; i < p->n && room; i++)
		if (!p->items[i].end_ns || p->items[i].error) {
			show[i] = true;
			room--;
		}
	for (size_t i = p->n; i-- > 0 && room;)
		if (!show[i]) {
			show[i] = true;
			room--;
		}
}

void progress_frame(const struct progress *p, uint64_t now_ns, unsigned width, unsigned height, struct str *ret, unsigned *ret_lines)
{
	AUTO_FREE bool *show = xcalloc(p->n, sizeof(*show));
	unsigned lines = height > 3 ? height - 2 : 1;
	size_t label_width = 0, done = 0, hidden = 0;
	if (p->n > lines)
		lines -= lines > 1; /* for "… and N more" */
	choose(p, lines, show);
	for (size_t i = 0; i < p->n; i++) {
		done += p->items[i].end_ns != 0;
		hidden += !show[i];
		if (show[i])
			label_width = MAX(label_width, table_width(p->items[i].label));
	}
	str_addf(ret, "%s[+] Running %zu/%zu%s\n", paint(p, done == p->n ? "" : "\033[34m"), done, p->n, done == p->n ? "" : paint(p, "\033[0m"));
	*ret_lines = 1;
	for (size_t i = 0; i < p->n; i++) {
		if (!show[i])
			continue;
		add_line(p, &p->items[i], label_width, now_ns, width, ret);
		str_addc(ret, '\n');
		(*ret_lines)++;
	}
	if (hidden && height > 4) {
		AUTO_FREE char *more = xasprintf(" … and %zu more", hidden);
		table_add_cut(ret, more, width);
		str_addc(ret, '\n');
		(*ret_lines)++;
	}
}

static void draw(struct progress *p, uint64_t now_ns, bool last)
{
	AUTO_STR struct str frame = {0};
	unsigned columns = 80, rows = 24, lines;
	if (p->mode != PROGRESS_TTY || p->n == 0)
		return;
	tty_size(p->fd, &columns, &rows);
	progress_frame(p, now_ns, columns, last ? UINT16_MAX : rows, &frame, &lines);
	block_show(&p->block, &frame);
	p->drawn_ns = now_ns;
	p->dirty = false;
}

void progress_note(struct progress *p, const char *line, uint64_t now_ns)
{
	AUTO_STR struct str out = {0};
	bool block = p && p->block.drawn.len;
	if (!p || p->mode == PROGRESS_JSON) {
		if (p)
			progress_object(p, &(struct progress_object){ .id = "muster", .status = "Warning", .text = line });
		return;
	}
	block_add_safe(&out, line);
	str_addc(&out, '\n');
	block_write(&p->block, &out);
	if (block)
		draw(p, now_ns, false);
}

int progress_tick(struct progress *p, uint64_t now_ns)
{
	bool busy = false;
	uint64_t due;
	if (!p || p->mode != PROGRESS_TTY || p->n == 0)
		return -1;
	for (size_t i = 0; i < p->n && !busy; i++)
		busy = !p->items[i].end_ns;
	if (!busy && !p->dirty)
		return -1;
	due = p->drawn_ns + REDRAW_MS * 1000000ull;
	if (p->drawn_ns && now_ns < due)
		return (int)((due - now_ns + 999999) / 1000000);
	draw(p, now_ns, false);
	return busy ? REDRAW_MS : -1;
}

void progress_flush(struct progress *p, uint64_t now_ns)
{
	if (!p)
		return;
	draw(p, now_ns, true);
	block_leave(&p->block);
	p->drawn_ns = 0;
	items_clear(p);
}

struct progress *progress_free(struct progress *p)
{
	if (!p)
		return NULL;
	if (p->n)
		progress_flush(p, p->items[p->n - 1].end_ns ? p->items[p->n - 1].end_ns : p->drawn_ns);
	items_clear(p);
	block_leave(&p->block);
	free(p->items);
	free(p);
	return NULL;
}
