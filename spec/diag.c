/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting and rendering diagnostics. Rendering quotes the source line and puts a caret under the place; tabs are kept
 * in the caret line so that it lines up whatever the terminal makes of them, long lines are cut around the place, and
 * control bytes from a hostile file never reach the terminal. */
#include "spec/diag.h"

#include <stdarg.h>
#include <stdio.h>

enum { SHOWN_COLUMNS = 120, WORD_MAX = 64 };

void diags_init(struct diags *ds, struct arena *a)
{
	*ds = (struct diags){ .arena = a };
}

static bool pos_equal(struct pos a, struct pos b)
{
	return a.src == b.src && a.line == b.line && a.column == b.column;
}

static bool diag_is_known(const struct diags *ds, enum diag_severity severity, struct pos pos, const char *path, const char *message)
{
	for (size_t i = 0; i < ds->n; i++) {
		const struct diag *d = &ds->v[i];
		if (d->severity == severity && pos_equal(d->pos, pos) && str_eq(d->path, path) && str_eq(d->message, message))
			return true;
	}
	return false;
}

static size_t diag_count(const struct diags *ds, enum diag_severity severity)
{
	size_t n = 0;
	for (size_t i = 0; i < ds->n; i++)
		n += ds->v[i].severity == severity;
	return n;
}

static char *diag_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	AUTO_FREE char *text = xvasprintf(fmt, ap);
	return arena_strdup(a, text);
}

void diag_set_by(struct diags *ds, struct pos pos, struct pos from, const char *name)
{
	if (!pos.src || !from.src)
		return;
	ds->set = arena_grow(ds->arena, ds->set, ds->n_set, &ds->cap_set, sizeof(*ds->set));
	ds->set[ds->n_set++] = (struct diag_place){ .at = pos, .from = from, .name = name };
}

void diag_dropped(struct diags *ds, const char *path, struct pos pos)
{
	ds->dropped = arena_grow(ds->arena, ds->dropped, ds->n_dropped, &ds->cap_dropped, sizeof(*ds->dropped));
	ds->dropped[ds->n_dropped++] = (struct diag_place){ .at = pos, .name = arena_strdup(ds->arena, path) };
}

void diag_note_dropped(struct diags *ds, struct diag *d, const char *section, const char *name)
{
	AUTO_FREE char *path = NULL;
	if (!d || !ds->n_dropped)
		return;
	path = xasprintf("%s.%s", section, name);
	for (size_t i = 0; i < ds->n_dropped; i++)
		if (str_eq(ds->dropped[i].name, path) || str_eq(ds->dropped[i].name, section))
			diag_note(ds, d, ds->dropped[i].at, "%s is removed here", ds->dropped[i].name);
}

/* The second place that any message can have. */
static void note_origin(struct diags *ds, struct diag *d)
{
	for (size_t i = 0; d->pos.src && i < ds->n_set; i++)
		if (pos_equal(ds->set[i].at, d->pos)) {
			diag_note(ds, d, ds->set[i].from, "%s is set here", ds->set[i].name);
			return;
		}
	if (d->pos.src && d->pos.src->by.src && d->pos.src->by.src != d->pos.src)
		diag_note(ds, d, d->pos.src->by, "%s", d->pos.src->by_what);
}

static struct diag *diag_vadd(struct diags *ds, enum diag_severity severity, struct pos pos, const char *path, const char *fmt, va_list ap)
{
	char *message = diag_vprintf(ds->arena, fmt, ap);
	struct diag *d;
	if (!path)
		path = "";
	if (diag_is_known(ds, severity, pos, path, message))
		return NULL;
	if (severity == DIAG_ERROR)
		ds->n_errors++;
	else
		ds->n_warnings++;
	if (diag_count(ds, severity) >= DIAG_MAX)
		return NULL;
	ds->v = arena_grow(ds->arena, ds->v, ds->n, &ds->cap, sizeof(*ds->v));
	d = &ds->v[ds->n++];
	*d = (struct diag){ .severity = severity, .pos = pos, .path = arena_strdup(ds->arena, path), .message = message };
	note_origin(ds, d);
	return d;
}

struct diag *diag_error(struct diags *ds, struct pos pos, const char *path, const char *fmt, ...)
{
	struct diag *d;
	va_list ap;
	va_start(ap, fmt);
	d = diag_vadd(ds, DIAG_ERROR, pos, path, fmt, ap);
	va_end(ap);
	return d;
}

struct diag *diag_warning(struct diags *ds, struct pos pos, const char *path, const char *fmt, ...)
{
	struct diag *d;
	va_list ap;
	va_start(ap, fmt);
	d = diag_vadd(ds, DIAG_WARNING, pos, path, fmt, ap);
	va_end(ap);
	return d;
}

void diag_hint(struct diags *ds, struct diag *d, const char *fmt, ...)
{
	va_list ap;
	if (!d)
		return;
	va_start(ap, fmt);
	d->hint = diag_vprintf(ds->arena, fmt, ap);
	va_end(ap);
}

void diag_note(struct diags *ds, struct diag *d, struct pos pos, const char *fmt, ...)
{
	va_list ap;
	if (!d)
		return;
	va_start(ap, fmt);
	d->note = diag_vprintf(ds->arena, fmt, ap);
	va_end(ap);
	d->note_pos = pos;
}

struct diag *diag_err(struct diags *ds, struct pos pos, const char *path, const struct err *err)
{
	return diag_error(ds, pos, path, "%s", err->msg);
}

bool diag_too_large(struct diags *ds, struct pos pos, const char *path)
{
	if (arena_bytes(ds->arena) <= DIAG_MAX_BYTES)
		return false;
	if (!ds->too_large)
		diag_error(ds, pos, path, "the project is too large: more than %d MB of memory up to here", DIAG_MAX_BYTES >> 20);
	ds->too_large = true;
	return true;
}

bool diag_check_utf8(struct diags *ds, struct pos pos, const char *path, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	for (size_t n; *p; p += n) {
		n = *p < 0x80 ? 1 : str_utf8_len(p);
		if (n)
			continue;
		diag_error(ds, pos, path, "\"%s\" is not valid UTF-8", diag_quote(ds, text));
		return false;
	}
	return true;
}

const char *diag_quote(struct diags *ds, const char *s)
{
	char buf[WORD_MAX * 2];
	return arena_strdup(ds->arena, err_quote(buf, sizeof(buf), s));
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b, without regard to case; words beyond WORD_MAX count as far away. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	size_t rows[3][WORD_MAX + 1];
	if (na > WORD_MAX || nb > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			bool same = (a[i - 1] | 0x20) == (b[j - 1] | 0x20);
			now[j] = MIN(MIN(last[j], now[j - 1]) + 1, last[j - 1] + !same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = MIN(now[j], older[j - 2] + 1);
		}
	}
	return rows[na % 3][nb];
}

const char *diag_nearest(const char *word, const char *const *candidates, size_t n)
{
	const char *best = NULL;
	size_t len = strlen(word), limit = len <= 2 ? 1 : len <= 5 ? 2 : 3, best_distance = limit + 1;
	for (size_t i = 0; i < n; i++) {
		size_t d = edit_distance(word, candidates[i]);
		if (d < best_distance && d < MAX(len, strlen(candidates[i]))) {
			best_distance = d;
			best = candidates[i];
		}
	}
	return best;
}

static int diag_compare(const struct diag *a, const struct diag *b)
{
	if (!a->pos.src || !b->pos.src)
		return (a->pos.src != NULL) - (b->pos.src != NULL);
	if (a->pos.src != b->pos.src)
		return strcmp(a->pos.src->path, b->pos.src->path);
	if (a->pos.line != b->pos.line)
		return a->pos.line < b->pos.line ? -1 : 1;
	return (a->pos.column > b->pos.column) - (a->pos.column < b->pos.column);
}

void diags_sort(struct diags *ds)
{
	for (size_t i = 1; i < ds->n; i++) {
		struct diag d = ds->v[i];
		size_t j = i;
		for (; j > 0 && diag_compare(&d, &ds->v[j - 1]) < 0; j--)
			ds->v[j] = ds->v[j - 1];
		ds->v[j] = d;
	}
}

static const char *shown_path(const char *path, const char *cwd)
{
	size_t n = cwd ? strlen(cwd) : 0;
	if (strcmp(path, "-") == 0)
		return "<stdin>";
	if (n > 1 && strncmp(path, cwd, n) == 0 && path[n] == '/')
		return path + n + 1;
	return path;
}

static void add_safe(struct str *ret, const char *s, size_t n)
{
	AUTO_FREE char *copy = xstrndup(s, n);
	size_t room = n * 4 + 8;
	AUTO_FREE char *safe = xcalloc(room, 1);
	str_add(ret, err_quote(safe, room, copy));
}

/* The source line and a caret below the column; both cut to SHOWN_COLUMNS around it. */
static void add_excerpt(struct str *ret, struct pos pos, bool colour)
{
	size_t len, at = 0, from = 0;
	const char *line = source_line(pos.src, pos.line, &len);
	if (!len || pos.column < 1)
		return;
	for (int c = 1; c < pos.column && at < len; c++)
		do
			at++;
		while (at < len && ((unsigned char)line[at] & 0xc0) == 0x80);
	if (at > SHOWN_COLUMNS / 2 && len > SHOWN_COLUMNS)
		from = at - SHOWN_COLUMNS / 2;
	while (from < at && ((unsigned char)line[from] & 0xc0) == 0x80)
		from++;
	len = MIN(len, from + SHOWN_COLUMNS);
	while (len > at && len > 0 && ((unsigned char)line[len] & 0xc0) == 0x80)
		len--;
	str_add(ret, from ? "  …" : "  ");
	for (size_t i = from; i < len;) {
		size_t run = i;
		while (run < len && line[run] != '\t')
			run++;
		add_safe(ret, line + i, run - i);
		if (run < len)
			str_addc(ret, '\t');
		i = run + 1;
	}
	str_add(ret, from ? "\n   " : "\n  ");
	for (size_t i = from; i < at && i < len; i++) {
		unsigned char c = (unsigned char)line[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			str_add(ret, "    "); /* it is shown as \xNN */
		else if ((c & 0xc0) != 0x80)
			str_addc(ret, c == '\t' ? '\t' : ' ');
	}
	str_add(ret, colour ? "\033[1;32m^\033[0m\n" : "^\n");
}

static void add_place(struct str *ret, struct pos pos, const char *cwd)
{
	if (!pos.src)
		return;
	str_add(ret, shown_path(pos.src->path, cwd));
	if (pos.line > 0)
		str_addf(ret, ":%d:%d", pos.line, MAX(pos.column, 1));
	str_add(ret, ": ");
}

static void diag_render(const struct diag *d, const char *cwd, bool colour, struct str *ret)
{
	const char *bold = colour ? "\033[1m" : "", *off = colour ? "\033[0m" : "";
	const char *red = colour ? "\033[1;31m" : "", *yellow = colour ? "\033[1;33m" : "";
	str_add(ret, bold);
	add_place(ret, d->pos, cwd);
	str_addf(ret, "%s%s%s%s: %s", off, d->severity == DIAG_ERROR ? red : yellow, d->severity == DIAG_ERROR ? "error" : "warning", off, bold);
	if (*d->path) {
		add_safe(ret, d->path, strlen(d->path));
		str_add(ret, ": ");
	}
	str_addf(ret, "%s%s\n", d->message, off);
	if (d->pos.src)
		add_excerpt(ret, d->pos, colour);
	if (d->hint)
		str_addf(ret, "  hint: %s\n", d->hint);
	if (d->note) {
		str_add(ret, "  ");
		add_place(ret, d->note_pos, cwd);
		str_addf(ret, "note: %s\n", d->note);
		if (d->note_pos.src)
			add_excerpt(ret, d->note_pos, colour);
	}
}

void diags_render(const struct diags *ds, const char *cwd, bool colour, struct str *ret)
{
	size_t left;
	for (size_t i = 0; i < ds->n; i++)
		diag_render(&ds->v[i], cwd, colour, ret);
	left = ds->n_errors - diag_count(ds, DIAG_ERROR);
	if (left)
		str_addf(ret, "%zu more error%s not shown\n", left, left == 1 ? "" : "s");
}

static void json_add_place(json_t *obj, struct pos pos)
{
	if (!pos.src)
		return;
	json_object_set_new(obj, "file", json_string(strcmp(pos.src->path, "-") == 0 ? "<stdin>" : pos.src->path));
	json_object_set_new(obj, "line", json_integer(pos.line));
	json_object_set_new(obj, "column", json_integer(pos.column));
}

json_t *diags_json(const struct diags *ds)
{
	json_t *list = json_array();
	for (size_t i = 0; i < ds->n; i++) {
		const struct diag *d = &ds->v[i];
		json_t *obj = json_object();
		json_object_set_new(obj, "severity", json_string(d->severity == DIAG_ERROR ? "error" : "warning"));
		json_add_place(obj, d->pos);
		if (*d->path)
			json_object_set_new(obj, "path", json_string(d->path));
		json_object_set_new(obj, "message", json_string(d->message));
		if (d->hint)
			json_object_set_new(obj, "hint", json_string(d->hint));
		if (d->note) {
			json_t *note = json_object();
			json_add_place(note, d->note_pos);
			json_object_set_new(note, "message", json_string(d->note));
			json_object_set_new(obj, "note", note);
		}
		json_array_append_new(list, obj);
	}
	return list;
}
