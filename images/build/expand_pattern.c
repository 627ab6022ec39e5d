/* SPDX-License-Identifier: Apache-2.0 */
/* Matching within ${…}: the pattern as a row of elements, and the set of elements that are reached so far, moved on by one character at a time. No
 * backtracking, so a hostile pattern costs its length times the value's, and a counter of steps ends what is still too much. */
#include "images/build/expand.h"
#include "images/build/expand_impl.h"

enum { MAX_STEPS = 50000000, ELEMENT_ANY = 0x200000, ELEMENT_ONE, BAD_BYTE = 0x110000 };

struct glyphs {
	uint32_t *v;
	size_t n, cap;
};

static void glyphs_done(struct glyphs *g)
{
	free(g->v);
	*g = (struct glyphs){ 0 };
}

static void glyphs_add(struct glyphs *g, uint32_t c)
{
	g->v = vec_grow(g->v, g->n, &g->cap, sizeof(*g->v));
	g->v[g->n++] = c;
}

/* The characters of s; a byte that is no UTF-8 becomes one of its own. */
static void glyphs_read(struct glyphs *g, const char *s)
{
	while (*s) {
		const unsigned char *u = (const unsigned char *)s;
		size_t n = str_utf8_len(u);
		uint32_t c = n ? u[0] & (n == 1 ? 0x7f : 0xff >> (n + 1)) : BAD_BYTE | u[0];
		for (size_t i = 1; i < n; i++)
			c = c << 6 | (u[i] & 0x3f);
		glyphs_add(g, c);
		s += n ? n : 1;
	}
}

static size_t glyph_len(uint32_t c)
{
	return c >= BAD_BYTE || c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

static int pattern_read(const char *pattern, struct glyphs *ret, struct err *err)
{
	struct glyphs raw CLEANUP(glyphs_done) = { 0 };
	glyphs_read(&raw, pattern);
	for (size_t i = 0; i < raw.n; i++) {
		uint32_t c = raw.v[i], next = i + 1 < raw.n ? raw.v[i + 1] : 0;
		char shown[80];
		if (c == '*') {
			glyphs_add(ret, ELEMENT_ANY);
		} else if (c == '?') {
			glyphs_add(ret, ELEMENT_ONE);
		} else if (c == '\\' && (next == '*' || next == '?' || next == '\\' || next == '}' || next == '/')) {
			glyphs_add(ret, next);
			i++;
		} else if (c == '\\') {
			return err_set(err, ERR_INVALID, "invalid escape in pattern \"%s\"", err_quote(shown, sizeof(shown), pattern));
		} else {
			glyphs_add(ret, c);
		}
	}
	return 0;
}

/* A match that starts at v[start] (backwards: ends there, and both are read from their ends): its length in characters, the shortest or the longest,
 * -1 when there is none, -2 when it took too many steps. state has room for n + 1 of the pattern. */
static ssize_t match_from(const struct glyphs *pattern, const struct glyphs *v, size_t start, bool backwards, bool greedy, bool *state, size_t *steps)
{
	size_t n = pattern->n, last = backwards ? start : v->n - start;
	ssize_t best = -1;
	memset(state, 0, n + 1);
	state[0] = true;
	for (size_t i = 0;; i++) {
		bool alive = false;
		uint32_t c;
		if ((*steps += n + 1) > MAX_STEPS)
			return -2;
		/* "*" may match nothing */
		for (size_t k = 0; k < n; k++) {
			if (state[k] && pattern->v[backwards ? n - 1 - k : k] == ELEMENT_ANY)
				state[k + 1] = true;
		}
		if (state[n]) {
			best = (ssize_t)i;
			if (!greedy)
				return best;
		}
		if (i == last)
			return best;
		c = v->v[backwards ? start - 1 - i : start + i];
		for (size_t k = n + 1; k-- > 0;) {
			uint32_t e = k < n ? pattern->v[backwards ? n - 1 - k : k] : 0;
			uint32_t before = k ? pattern->v[backwards ? n - k : k - 1] : 0;
			bool stays = k < n && state[k] && e == ELEMENT_ANY && c != '\n';
			bool comes = k && state[k - 1] && (before == c || (before == ELEMENT_ONE && c != '\n'));
			state[k] = stays || comes;
			alive |= state[k];
		}
		if (!alive)
			return best;
	}
}

static int too_expensive(struct err *err)
{
	return err_set(err, ERR_INVALID, "the pattern takes too long on a value of this size");
}

static size_t bytes_of(const struct glyphs *v, size_t from, size_t to)
{
	size_t n = 0;
	for (; from < to; from++)
		n += glyph_len(v->v[from]);
	return n;
}

int expand_trim(const char *value, const char *pattern, bool suffix, bool greedy, size_t *steps, struct str *ret, struct err *err)
{
	struct glyphs p CLEANUP(glyphs_done) = { 0 }, v CLEANUP(glyphs_done) = { 0 };
	AUTO_FREE bool *state = NULL;
	const size_t len = strlen(value);
	ssize_t n;
	if (pattern_read(pattern, &p, err) < 0)
		return -1;
	glyphs_read(&v, value);
	state = xcalloc(p.n + 1, sizeof(*state));
	n = match_from(&p, &v, suffix ? v.n : 0, suffix, greedy, state, steps);
	if (n == -2)
		return too_expensive(err);
	if (n <= 0)
		str_addn(ret, value, len);
	else if (suffix)
		str_addn(ret, value, bytes_of(&v, 0, v.n - (size_t)n));
	else
		str_add(ret, value + bytes_of(&v, 0, (size_t)n));
	return 0;
}

int expand_replace(const char *value, const char *pattern, const char *with, bool all, size_t *steps, struct str *ret, struct err *err)
{
	struct glyphs p CLEANUP(glyphs_done) = { 0 }, v CLEANUP(glyphs_done) = { 0 };
	AUTO_FREE bool *state = NULL;
	bool done = false, after_match = false;
	if (pattern_read(pattern, &p, err) < 0)
		return -1;
	glyphs_read(&v, value);
	state = xcalloc(p.n + 1, sizeof(*state));
	for (size_t i = 0; i <= v.n;) {
		ssize_t n = done ? -1 : match_from(&p, &v, i, false, true, state, steps);
		if (n == -2)
			return too_expensive(err);
		/* right behind a match an empty one does not count */
		if (n > 0 || (n == 0 && !after_match)) {
			str_add(ret, with);
			done = !all;
		}
		if (ret->len > EXPAND_MAX_BYTES)
			return err_set(err, ERR_INVALID, "the value grows beyond %d bytes", EXPAND_MAX_BYTES);
		after_match = n > 0;
		if (n > 0) {
			value += bytes_of(&v, i, i + (size_t)n);
			i += (size_t)n;
			continue;
		}
		if (i < v.n) {
			str_addn(ret, value, glyph_len(v.v[i]));
			value += glyph_len(v.v[i]);
		}
		i++;
	}
	return 0;
}
