/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of builds and their display. A step keeps the end of its output: the last lines for the block on the terminal, more of them for the
 * message when it fails. What a step prints is outside text: on a terminal its control bytes are shown, not obeyed; into a file or a pipe
 * it goes as it is, line by line. */
#include "compose/build_progress.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "compose/block.h"
#include "compose/build_progress_json.h"
#include "compose/table.h"
#include "compose/tty.h"

enum { REDRAW_MS = 100, SHOWN_LINES = 6, KEPT_LINES = 100, MAX_LINE = 4096, NAME_BYTES = 1000 };

struct build_progress {
	enum build_progress_mode mode;
	bool colour, dirty, terminal;
	struct block block;
	struct build_vertex **v;
	size_t n, cap;
	const struct build_vertex *open; /* plain: whose lines were printed last */
	uint64_t start_ns, drawn_ns;
};

struct build_progress *build_progress_new(enum build_progress_mode mode, int fd, bool colour)
{
	struct build_progress *p = xcalloc(1, sizeof(*p));
	*p = (struct build_progress){ .mode = mode, .colour = colour, .block = { .fd = fd }, .terminal = isatty(fd), .start_ns = clock_mono_ns() };
	return p;
}

static void write_line(const struct build_progress *p, const struct str *line)
{
	struct err ignored;
	fs_write_all(p->block.fd, str_get(line), line->len, &ignored);
}

static struct build_vertex *find(const struct build_progress *p, size_t build, int64_t step)
{
	for (size_t i = p->n; i > 0; i--)
		if (p->v[i - 1]->build == build && p->v[i - 1]->step == step)
			return p->v[i - 1];
	return NULL;
}

/* "[web build 2/5] RUN make": one line, control bytes shown. */
static char *make_name(const char *service, const json_t *event)
{
	const char *stage = json_get_str(event, "stage", ""), *text = json_get_str(event, "text", "");
	int64_t index = json_get_int(event, "index", 0), total = json_get_int(event, "total", 0);
	AUTO_STR struct str name = {0}, safe = {0};
	AUTO_FREE char *line = xstrdup(text);
	for (char *c = line; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	if (total > 0)
		str_addf(&name, "[%s%s%s%s%lld/%lld] ", service, *service ? " " : "", stage, *stage ? " " : "", (long long)index, (long long)total);
	else if (*service)
		str_addf(&name, "[%s] ", service);
	str_add(&name, line);
	block_add_safe(&safe, str_get(&name));
	if (safe.len > NAME_BYTES)
		safe.p[safe.len = NAME_BYTES] = '\0';
	return str_take(&safe);
}

static struct build_vertex *add(struct build_progress *p, size_t build, const char *service, const json_t *event, uint64_t now_ns)
{
	struct build_vertex *v = xcalloc(1, sizeof(*v));
	*v = (struct build_vertex){ .build = build, .step = json_get_int(event, "id", 0), .number = p->n + 1, .name = make_name(service, event),
		.start_ns = now_ns };
	p->v = vec_grow(p->v, p->n, &p->cap, sizeof(*p->v));
	p->v[p->n++] = v;
	return v;
}

static void add_seconds(struct str *ret, uint64_t ns, int digits)
{
	char buf[32];
	snprintf(buf, sizeof(buf), "%.*f", digits, (double)ns / 1e9);
	str_add(ret, buf);
}

/* Plain: lines of one step stand together; when another one speaks, its name comes first. */
static void plain_open(struct build_progress *p, const struct build_vertex *v, struct str *out)
{
	if (p->open == v)
		return;
	if (p->open)
		str_addf(out, "#%zu ...\n\n", p->open->number);
	str_addf(out, "#%zu %s\n", v->number, v->name);
	p->open = v;
}

static void plain_state(struct build_progress *p, const struct build_vertex *v)
{
	AUTO_STR struct str out = {0};
	plain_open(p, v, &out);
	if (v->state == BUILD_VERTEX_CACHED) {
		str_addf(&out, "#%zu CACHED\n\n", v->number);
	} else if (v->state == BUILD_VERTEX_DONE) {
		str_addf(&out, "#%zu DONE ", v->number);
		add_seconds(&out, v->end_ns - v->start_ns, 1);
		str_add(&out, "s\n\n");
	} else if (v->state == BUILD_VERTEX_CANCELLED) {
		str_addf(&out, "#%zu CANCELED\n\n", v->number);
	} else if (v->state == BUILD_VERTEX_ERROR && v->error) {
		str_addf(&out, "#%zu ERROR%s%s\n\n", v->number, v->error ? ": " : "", v->error ? v->error : "");
	}
	if (v->state != BUILD_VERTEX_RUNNING && (v->state != BUILD_VERTEX_ERROR || v->error))
		p->open = NULL;
	write_line(p, &out);
}

static void show(struct build_progress *p, const struct build_vertex *v, uint64_t now_ns)
{
	AUTO_STR struct str out = {0};
	if (p->mode == BUILD_PROGRESS_PLAIN)
		plain_state(p, v);
	if (p->mode == BUILD_PROGRESS_JSON)
		build_progress_json_state(v, &out);
	if (p->mode == BUILD_PROGRESS_RAWJSON)
		build_progress_rawjson_state(v, &out);
	if (out.len)
		write_line(p, &out);
	p->dirty = true;
	build_progress_tick(p, now_ns);
}

static void end_line(struct build_progress *p, struct build_vertex *v, int stream, uint64_t now_ns)
{
	AUTO_STR struct str out = {0}, safe = {0};
	struct str *line = &v->partial[stream == 2];
	if (line->len && line->p[line->len - 1] == '\r')
		line->p[--line->len] = '\0';
	if (v->tail.n == KEPT_LINES) {
		free(v->tail.v[0]);
		memmove(v->tail.v, v->tail.v + 1, (v->tail.n - 1) * sizeof(*v->tail.v));
		v->tail.n--;
	}
	block_add_safe(&safe, str_get(line));
	strv_push(&v->tail, str_get(&safe));
	if (p->mode == BUILD_PROGRESS_PLAIN) {
		plain_open(p, v, &out);
		str_addf(&out, "#%zu ", v->number);
		add_seconds(&out, now_ns - v->start_ns, 3);
		str_addc(&out, ' ');
		str_addn(&out, p->terminal ? str_get(&safe) : str_get(line), p->terminal ? safe.len : line->len);
		str_addc(&out, '\n');
		write_line(p, &out);
	} else if (p->mode == BUILD_PROGRESS_JSON) {
		build_progress_json_log(v, str_get(&safe), &out);
		write_line(p, &out);
	}
	str_clear(line);
	p->dirty = true;
}

static void end_lines(struct build_progress *p, struct build_vertex *v, uint64_t now_ns)
{
	for (int i = 1; i <= 2; i++)
		if (v->partial[i == 2].len)
			end_line(p, v, i, now_ns);
}

void build_progress_step(struct build_progress *p, size_t build, const char *name, const json_t *event, uint64_t now_ns)
{
	static const char *const states[] = { "started", "cached", "done", "error", "cancelled" };
	static_assert(ARRAY_SIZE(states) == BUILD_VERTEX_N_, "one word for each state");
	struct build_vertex *v = find(p, build, json_get_int(event, "id", 0));
	const char *state = json_get_str(event, "state", ""), *error = json_get_str(json_object_get(event, "error"), "message", NULL);
	size_t i = 0;
	while (i < ARRAY_SIZE(states) && strcmp(states[i], state) != 0)
		i++;
	if (i == ARRAY_SIZE(states))
		return;
	if (!v)
		v = add(p, build, name, event, now_ns);
	v->state = (enum build_vertex_state)i;
	if (v->state != BUILD_VERTEX_RUNNING) {
		end_lines(p, v, now_ns);
		v->end_ns = now_ns;
	}
	if (error)
		build_progress_error(p, build, v->step, error, now_ns);
	else
		show(p, v, now_ns);
}

void build_progress_error(struct build_progress *p, size_t build, int64_t step, const char *error, uint64_t now_ns)
{
	struct build_vertex *v = find(p, build, step);
	AUTO_STR struct str safe = {0};
	if (!v || v->error || v->state != BUILD_VERTEX_ERROR)
		return;
	block_add_safe(&safe, error);
	v->error = str_take(&safe);
	show(p, v, now_ns);
}

void build_progress_log(struct build_progress *p, size_t build, int64_t step, int stream, const char *bytes, size_t n, uint64_t now_ns)
{
	struct build_vertex *v = find(p, build, step);
	AUTO_STR struct str out = {0};
	if (!v)
		return;
	if (p->mode == BUILD_PROGRESS_RAWJSON) {
		build_progress_rawjson_log(v, stream, bytes, n, &out);
		write_line(p, &out);
	}
	while (n > 0) {
		struct str *line = &v->partial[stream == 2];
		const char *end = memchr(bytes, '\n', n);
		size_t len = end ? (size_t)(end - bytes) : n, room = MAX_LINE - MIN(line->len, (size_t)MAX_LINE);
		if (!end || len <= room) {
			str_addn(line, bytes, MIN(len, room));
			len = MIN(len, room);
		} else {
			str_addn(line, bytes, room);
			len = room;
			end = NULL;
		}
		bytes += len + (end != NULL);
		n -= len + (end != NULL);
		if (end || line->len >= MAX_LINE)
			end_line(p, v, stream, now_ns);
	}
	build_progress_tick(p, now_ns);
}

void build_progress_bytes(struct build_progress *p, size_t build, int64_t step, const char *what, uint64_t done, uint64_t total, uint64_t now_ns)
{
	struct build_vertex *v = find(p, build, step);
	char a[24], b[24];
	if (!v || v->state != BUILD_VERTEX_RUNNING)
		return;
	free(v->bytes);
	table_human_bytes(done, a);
	v->bytes = total ? xasprintf("%s %s / %s", what, a, table_human_bytes(total, b)) : xasprintf("%s %s", what, a);
	p->dirty = true;
	build_progress_tick(p, now_ns);
}

void build_progress_note(struct build_progress *p, const char *line, uint64_t now_ns)
{
	AUTO_STR struct str out = {0};
	if (p->mode == BUILD_PROGRESS_JSON || p->mode == BUILD_PROGRESS_RAWJSON) {
		build_progress_json_note(line, p->mode == BUILD_PROGRESS_RAWJSON, &out);
		write_line(p, &out);
		return;
	}
	block_add_safe(&out, line);
	str_addc(&out, '\n');
	block_write(&p->block, &out);
	p->dirty = true;
	p->drawn_ns = 0;
	build_progress_tick(p, now_ns);
}

/* --- the block on the terminal */

static const char *paint(const struct build_progress *p, const char *escape)
{
	return p->colour ? escape : "";
}

/* " => CACHED [2/5] RUN make                     0.3s" */
static void frame_vertex(const struct build_progress *p, const struct build_vertex *v, uint64_t now_ns, unsigned width, struct str *ret)
{
	static const char *const marks[] = { "", "CACHED ", "", "ERROR ", "CANCELED " };
	static const char *const colours[] = { "", "\033[34m", "\033[34m", "\033[31m", "\033[33m" };
	AUTO_STR struct str text = {0}, time = {0};
	size_t room, used;
	add_seconds(&time, (v->end_ns ? v->end_ns : now_ns) - v->start_ns, 1);
	str_addc(&time, 's');
	room = width > time.len + 6 ? width - time.len - 6 : 1;
	str_addf(&text, "%s%s", marks[v->state], v->name);
	str_addf(ret, "%s => ", paint(p, colours[v->state]));
	used = table_add_cut(ret, str_get(&text), room);
	str_addf(ret, "%*s%s%s\n", (int)(room - MIN(used, room) + 1), "", str_get(&time), paint(p, "\033[0m"));
	if (v->state == BUILD_VERTEX_RUNNING && v->bytes) {
		str_add(ret, " => => ");
		table_add_cut(ret, v->bytes, width > 8 ? width - 8 : 1);
		str_addc(ret, '\n');
	}
}

static void frame_tail(const struct build_vertex *v, size_t lines, unsigned width, struct str *ret)
{
	for (size_t i = v->tail.n - MIN(v->tail.n, lines); i < v->tail.n; i++) {
		str_add(ret, " => => # ");
		table_add_cut(ret, v->tail.v[i], width > 10 ? width - 10 : 1);
		str_addc(ret, '\n');
	}
}

/* Which steps a block of `lines` lines shows: those that run or have failed, then the latest others. */
static void choose(const struct build_progress *p, size_t lines, bool *show_it)
{
	for (size_t i = p->n; i-- > 0 && lines;)
		if (p->v[i]->state == BUILD_VERTEX_RUNNING || p->v[i]->state == BUILD_VERTEX_ERROR) {
			show_it[i] = true;
			lines -= MIN(lines, (size_t)1 + (p->v[i]->bytes && p->v[i]->state == BUILD_VERTEX_RUNNING));
		}
	for (size_t i = p->n; i-- > 0 && lines;)
		if (!show_it[i]) {
			show_it[i] = true;
			lines--;
		}
}

void build_progress_frame(const struct build_progress *p, uint64_t now_ns, unsigned width, unsigned height, struct str *ret)
{
	AUTO_FREE bool *show_it = xcalloc(p->n + 1, sizeof(*show_it));
	size_t done = 0, running = 0, shown = 0, room = height > 3 ? height - 2 : 1, per_step;
	for (size_t i = 0; i < p->n; i++) {
		done += p->v[i]->end_ns != 0;
		running += p->v[i]->state == BUILD_VERTEX_RUNNING;
	}
	choose(p, room, show_it);
	for (size_t i = 0; i < p->n; i++)
		shown += show_it[i] ? 1 + (p->v[i]->bytes && p->v[i]->state == BUILD_VERTEX_RUNNING) : 0;
	per_step = running && room > shown ? MIN((room - shown) / running, (size_t)SHOWN_LINES) : 0;
	str_addf(ret, "%s[+] Building ", paint(p, running ? "" : "\033[34m"));
	add_seconds(ret, now_ns - p->start_ns, 1);
	str_addf(ret, "s (%zu/%zu)%s%s\n", done, p->n, running ? "" : " FINISHED", paint(p, running ? "" : "\033[0m"));
	for (size_t i = 0; i < p->n; i++) {
		if (!show_it[i])
			continue;
		frame_vertex(p, p->v[i], now_ns, width, ret);
		if (p->v[i]->state == BUILD_VERTEX_RUNNING)
			frame_tail(p->v[i], per_step, width, ret);
	}
}

static void draw(struct build_progress *p, uint64_t now_ns, bool last)
{
	AUTO_STR struct str frame = {0};
	unsigned columns = 80, rows = 24;
	if (p->mode != BUILD_PROGRESS_TTY || p->n == 0)
		return;
	tty_size(p->block.fd, &columns, &rows);
	build_progress_frame(p, now_ns, columns, last ? UINT16_MAX : rows, &frame);
	block_show(&p->block, &frame);
	p->drawn_ns = now_ns;
	p->dirty = false;
}

int build_progress_tick(struct build_progress *p, uint64_t now_ns)
{
	uint64_t due = p->drawn_ns + REDRAW_MS * 1000000ull;
	bool busy = false;
	if (p->mode != BUILD_PROGRESS_TTY || p->n == 0)
		return -1;
	for (size_t i = p->n; i-- > 0 && !busy;)
		busy = p->v[i]->state == BUILD_VERTEX_RUNNING;
	if (!busy && !p->dirty)
		return -1;
	if (p->drawn_ns && now_ns < due)
		return (int)((due - now_ns + 999999) / 1000000);
	draw(p, now_ns, false);
	return busy ? REDRAW_MS : -1;
}

void build_progress_end(struct build_progress *p, uint64_t now_ns)
{
	draw(p, now_ns, true);
	block_leave(&p->block);
}

void build_progress_failure(const struct build_progress *p, size_t build, int64_t step, struct str *ret)
{
	const struct build_vertex *v = find(p, build, step);
	if (!v || !v->tail.n)
		return;
	str_addf(ret, "------\n > %s:\n", v->name);
	for (size_t i = 0; i < v->tail.n; i++)
		str_addf(ret, "%s\n", v->tail.v[i]);
	str_add(ret, "------\n");
}

struct build_progress *build_progress_free(struct build_progress *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n; i++) {
		struct build_vertex *v = p->v[i];
		free(v->name);
		free(v->error);
		free(v->bytes);
		strv_done(&v->tail);
		str_done(&v->partial[0]);
		str_done(&v->partial[1]);
		free(v);
	}
	block_leave(&p->block);
	free(p->v);
	free(p);
	return NULL;
}
