/* SPDX-License-Identifier: Apache-2.0 */
/* The patterns of moby/patternmatcher. Its rules, as they came about: a pattern is cleaned like a path; `*`, `?` and classes stay within a component;
 * `**` followed by a slash means any number of directories, at the end anything, and in front of plain text a mere end of the path ("**le" matches
 * "a/file"). A pattern matches a path when it matches the path or one of its parents, and the last one that does decides.
 * The reference has two ways to ask, and they differ where a pattern stands twice around an exception ("a", "!a/b", "a": is a/b out?): this is the one
 * of BuildKit's walk, which does not ask a pattern about a directory that is out already, nor, then, about what is below it.
 * A walk of 100 000 files asks each pattern once for each, so the common shapes are told apart when they are read: plain text, wildcards in a fixed number
 * of components, `**` and a slash before such ones; only what is left goes through the general matcher, which moves a set of places along the path and so
 * never backtracks. */
#include "images/build/ignore.h"

#include "base/str.h"
#include "images/build/pattern_impl.h"

enum { MAX_PATTERN = 4096 };

enum shape {
	SHAPE_TEXT,      /* the path itself */
	SHAPE_END,       /* `**text`: the end of the path */
	SHAPE_GLOB,      /* wildcards, no `**` */
	SHAPE_TAIL,      /* `**` + slash + SHAPE_TEXT or SHAPE_GLOB: the last components */
	SHAPE_GENERAL,
};

struct ignore_pattern {
	enum shape shape;
	bool exception;
	char *text;              /* the pattern, cleaned, without "!" */
	const char *rest;        /* SHAPE_END, SHAPE_TAIL: what stands behind the stars */
	size_t slashes;          /* in rest */
};

struct ignore {
	struct ignore_pattern *v;
	size_t n, cap;
	bool exceptions;
};

static bool is_plain(const char *s)
{
	return !strpbrk(s, "*?[]\\");
}

static void find_shape(struct ignore_pattern *p)
{
	const char *t = p->text;
	p->rest = t;
	if (!strstr(t, "**")) {
		p->shape = is_plain(t) ? SHAPE_TEXT : SHAPE_GLOB;
		return;
	}
	p->shape = SHAPE_GENERAL;
	if (!str_starts(t, "**") || strstr(t + 2, "**"))
		return;
	p->rest = t + 2;
	if (t[2] == '/' && t[3]) {
		p->shape = SHAPE_TAIL;
		p->rest++;
	} else if (is_plain(p->rest)) {
		p->shape = SHAPE_END;
	}
	for (const char *c = p->rest; *c; c++)
		p->slashes += *c == '/';
}

/* Adds a pattern whose blanks are trimmed. */
static int add_pattern(struct ignore *g, const char *text, struct err *err)
{
	AUTO_FREE char *cleaned = pattern_clean_path(text);
	struct ignore_pattern p = { .exception = cleaned[0] == '!' };
	char shown[80];
	err_quote(shown, sizeof(shown), text);
	if (p.exception && !cleaned[1])
		return err_set(err, ERR_INVALID, "pattern \"!\" excepts nothing");
	if (!pattern_is_valid(cleaned + p.exception))
		return err_set(err, ERR_INVALID, "malformed pattern \"%s\"", shown);
	if (strlen(cleaned) > MAX_PATTERN || g->n >= IGNORE_MAX_PATTERNS)
		return err_set(err, ERR_INVALID, g->n >= IGNORE_MAX_PATTERNS ? "more than %d patterns" : "pattern longer than %d bytes",
			       g->n >= IGNORE_MAX_PATTERNS ? IGNORE_MAX_PATTERNS : MAX_PATTERN);
	p.text = xstrdup(cleaned + p.exception);
	find_shape(&p);
	g->exceptions |= p.exception;
	g->v = vec_grow(g->v, g->n, &g->cap, sizeof(*g->v));
	g->v[g->n++] = p;
	return 0;
}

static const char blanks[] = " \t\r\n\v\f";

/* s[0..n) without blanks around, a copy. */
static char *trimmed(const char *s, size_t n)
{
	while (n && strchr(blanks, *s)) {
		s++;
		n--;
	}
	while (n && strchr(blanks, s[n - 1]))
		n--;
	return xstrndup(s, n);
}

/* A line of the file: a slash in front, behind "!" too, means nothing. */
static int add_line(struct ignore *g, const char *line, size_t n, struct err *err)
{
	AUTO_FREE char *text = trimmed(line, n), *behind = NULL, *cleaned = NULL, *whole = NULL;
	bool exception = text[0] == '!';
	if (!*text || *line == '#')
		return 0;
	behind = trimmed(text + exception, strlen(text + exception));
	if (!*behind)
		return add_pattern(g, text, err);
	cleaned = pattern_clean_path(behind);
	whole = xasprintf("%s%s", exception ? "!" : "", cleaned[0] == '/' && cleaned[1] ? cleaned + 1 : cleaned);
	return add_pattern(g, whole, err);
}

struct ignore *ignore_parse(const char *text, size_t len, struct err *err)
{
	struct ignore *g = xcalloc(1, sizeof(*g));
	const char *end = text + len;
	if (len > IGNORE_MAX_BYTES) {
		err_set(err, ERR_INVALID, "larger than %d bytes", IGNORE_MAX_BYTES);
		return ignore_free(g);
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	for (int line = 1; text < end; line++) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		if (!stop)
			stop = end;
		if (memchr(text, 0, (size_t)(stop - text))) {
			err_set(err, ERR_INVALID, "line %d: NUL character", line);
			return ignore_free(g);
		}
		if (text < stop && add_line(g, text, (size_t)(stop - text), err) < 0) {
			err_wrap(err, "line %d", line);
			return ignore_free(g);
		}
		text = stop + 1;
	}
	return g;
}

struct ignore *ignore_new(const char *const *patterns, size_t n, struct err *err)
{
	struct ignore *g = xcalloc(1, sizeof(*g));
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *text = trimmed(patterns[i], strlen(patterns[i]));
		if (*text && add_pattern(g, text, err) < 0)
			return ignore_free(g);
	}
	return g;
}

struct ignore *ignore_free(struct ignore *g)
{
	for (size_t i = 0; g && i < g->n; i++)
		free(g->v[i].text);
	if (g)
		free(g->v);
	free(g);
	return NULL;
}

void ignore_free_p(struct ignore **g)
{
	*g = ignore_free(*g);
}

bool ignore_is_empty(const struct ignore *g)
{
	return g->n == 0;
}

bool ignore_leaves_out_root(const struct ignore *g)
{
	for (size_t i = 0; i < g->n; i++) {
		const char *t = g->v[i].text;
		if (!g->v[i].exception && (str_eq(t, "*") || str_eq(t, "**") || str_eq(t, "**/*")))
			return true;
	}
	return false;
}

bool ignore_has_exceptions(const struct ignore *g)
{
	return g->exceptions;
}

/* Places in the text of a pattern: at[i] is reached, within[i]: inside the directories that the `**` there stands for. */
struct places {
	bool at[MAX_PATTERN + 1], within[MAX_PATTERN + 1];
};

/* Behind `**` and the slash that belongs to it. */
static size_t behind_stars(const char *text, size_t i)
{
	return i + 2 + (text[i + 2] == '/');
}

/* What can be reached without reading anything. */
static void places_settle(struct places *s, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s->at[i] && text[i] == '*')
			s->at[text[i + 1] == '*' ? behind_stars(text, i) : i + 1] = true;
	}
}

/* Reads the character at c; false when nothing is left. */
static bool places_read(const struct places *from, struct places *to, const char *text, size_t n, const char *c)
{
	bool alive = false;
	memset(to->at, 0, n + 1);
	memset(to->within, 0, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (!from->at[i] && !from->within[i])
			continue;
		if (text[i] == '*' && text[i + 1] == '*') {
			size_t next = behind_stars(text, i);
			to->within[i] = alive = true;
			if (next == n || *c == '/')
				to->at[next] = true;
		} else if (text[i] == '*') {
			if (*c != '/')
				to->at[i] = alive = true;
		} else {
			size_t unused;
			const char *next = pattern_match_element(text + i, c, &unused);
			if (next)
				to->at[next - text] = alive = true;
		}
	}
	places_settle(to, text, n);
	return alive;
}

/* The general matcher. below: could a path that begins with this one match? */
static bool match_general(const char *text, const char *path, bool below)
{
	struct places s[2];
	size_t n = strlen(text), len;
	int now = 0;
	if (*text != *path && !strchr("*?[\\", *text))
		return false;
	memset(s[0].at, 0, n + 1);
	memset(s[0].within, 0, n + 1);
	s[0].at[0] = true;
	places_settle(&s[0], text, n);
	for (; *path; path += len, now = !now) {
		len = str_utf8_len((const unsigned char *)path);
		len = len ? len : 1;
		if (!places_read(&s[now], &s[!now], text, n, path))
			return false;
	}
	if (!below)
		return s[now].at[n];
	for (size_t i = 0; i < n; i++) {
		if (s[now].at[i] || s[now].within[i])
			return true;
	}
	return false;
}

/* The last slashes + 1 components; NULL when there are fewer. */
static const char *tail_of(const char *path, size_t slashes)
{
	for (const char *p = path + strlen(path); p > path; p--) {
		if (p[-1] == '/' && !slashes--)
			return p;
	}
	return slashes ? NULL : path;
}

static bool pattern_matches(const struct ignore_pattern *p, const char *path)
{
	const char *tail;
	switch (p->shape) {
	case SHAPE_TEXT:
		return str_eq(p->text, path);
	case SHAPE_END:
		return str_ends(path, p->rest);
	case SHAPE_GLOB:
		return pattern_match_valid(p->text, path);
	case SHAPE_TAIL:
		tail = tail_of(path, p->slashes);
		return tail && pattern_match_valid(p->rest, tail);
	case SHAPE_GENERAL:
		return match_general(p->text, path, false);
	}
	return false;
}

bool ignore_match(const struct ignore *g, const char *path)
{
	AUTO_FREE char *copy = xstrdup(path);
	struct ignore_dir dir = { 0 };
	bool out = false;
	char *from = copy;
	if (str_eq(path, ".") || !*path)
		return false;
	for (char *end = copy; end; from = end ? end + 1 : NULL) {
		struct ignore_dir next;
		end = strchr(from, '/');
		if (end)
			*end = 0;
		out = ignore_match_entry(g, &dir, copy, &next);
		if (end)
			*end = '/';
		ignore_dir_done(&dir);
		dir = next;
	}
	ignore_dir_done(&dir);
	return out;
}

bool ignore_match_entry(const struct ignore *g, const struct ignore_dir *parent, const char *path, struct ignore_dir *ret_dir)
{
	bool out = false;
	uint64_t *bits = ret_dir ? xcalloc(g->n / 64 + 1, sizeof(*bits)) : NULL;
	for (size_t i = 0; i < g->n; i++) {
		bool match = parent && parent->matched && (parent->matched[i / 64] >> (i % 64) & 1);
		if (!match && (g->v[i].exception != out || !pattern_matches(&g->v[i], path)))
			continue;
		if (bits)
			bits[i / 64] |= (uint64_t)1 << (i % 64);
		out = !g->v[i].exception;
	}
	if (ret_dir)
		*ret_dir = (struct ignore_dir){ .matched = bits };
	return out;
}

void ignore_dir_done(struct ignore_dir *d)
{
	free(d->matched);
	*d = (struct ignore_dir){ 0 };
}

bool ignore_may_hold_exceptions(const struct ignore *g, const char *path)
{
	AUTO_FREE char *below = g->exceptions ? xasprintf("%s/", path) : NULL;
	for (size_t i = 0; i < g->n && g->exceptions; i++) {
		if (g->v[i].exception && match_general(g->v[i].text, below, true))
			return true;
	}
	return false;
}
