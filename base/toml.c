/* SPDX-License-Identifier: Apache-2.0 */
/* One pass, recursive only in values. A table is where its header says, made on the way; what was given twice is an error, but that
 * a header and a dotted key may both extend a table is let pass: this reads configuration, it does not judge it. Text must be
 * UTF-8, as JSON must. */
#include "base/toml.h"

#include <ctype.h>
#include <stdio.h>

#include "base/str.h"

enum { MAX_DEPTH = 16, MAX_KEYS = 16 };

struct toml {
	const char *p, *end;
	unsigned line;
	struct err *err;
};

static int fail(struct toml *t, const char *what)
{
	return err_set(t->err, ERR_INVALID, "line %u: %s", t->line, what);
}

static int peek(const struct toml *t)
{
	return t->p < t->end ? (unsigned char)*t->p : -1;
}

static int peek_at(const struct toml *t, size_t n)
{
	return (size_t)(t->end - t->p) > n ? (unsigned char)t->p[n] : -1;
}

static bool take(struct toml *t, char c)
{
	if (peek(t) != c)
		return false;
	t->p++;
	return true;
}

static void skip_blank(struct toml *t)
{
	while (peek(t) == ' ' || peek(t) == '\t')
		t->p++;
}

/* Blanks and a comment up to the end of the line, which is taken, too. */
static int end_line(struct toml *t)
{
	skip_blank(t);
	if (peek(t) == '#')
		while (t->p < t->end && *t->p != '\n')
			t->p++;
	if (peek(t) == '\r' && peek_at(t, 1) == '\n')
		t->p++;
	if (t->p == t->end)
		return 0;
	if (!take(t, '\n'))
		return fail(t, "unexpected text after a value");
	t->line++;
	return 0;
}

/* Whatever may stand between the elements of an array. */
static int skip_lines(struct toml *t)
{
	for (;;) {
		skip_blank(t);
		if (peek(t) != '#' && peek(t) != '\n' && peek(t) != '\r')
			return 0;
		if (end_line(t) < 0)
			return -1;
	}
}

/* ---- strings ---- */

static int take_unicode(struct toml *t, unsigned digits, struct str *s)
{
	uint32_t c = 0;
	for (unsigned i = 0; i < digits; i++) {
		int d = peek(t);
		if (d < 0 || !isxdigit(d))
			return fail(t, "\\u wants hexadecimal digits");
		c = c << 4 | (uint32_t)(isdigit(d) ? d - '0' : (d | 32) - 'a' + 10);
		t->p++;
	}
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return fail(t, "\\u names no character");
	str_add_utf8(s, c);
	return 0;
}

/* After a backslash. multi: it may stand at the end of a line, and eats what is blank from there. */
static int take_escape(struct toml *t, bool multi, struct str *s)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	int c = peek(t);
	const char *at = c > 0 ? strchr(from, c) : NULL;
	if (at) {
		str_addc(s, to[at - from]);
		t->p++;
		return 0;
	}
	if (c == 'u' || c == 'U') {
		t->p++;
		return take_unicode(t, c == 'u' ? 4 : 8, s);
	}
	if (!multi || (c != '\n' && c != ' ' && c != '\t' && c != '\r'))
		return fail(t, "unknown escape sequence");
	while ((c = peek(t)) == '\n' || c == ' ' || c == '\t' || c == '\r') {
		t->line += c == '\n';
		t->p++;
	}
	return 0;
}

static bool at_triple(const struct toml *t, int quote)
{
	return peek(t) == quote && peek_at(t, 1) == quote && peek_at(t, 2) == quote;
}

/* A string of any of the four kinds; t is at its first quote. */
static int take_string(struct toml *t, struct str *s)
{
	int quote = *t->p;
	bool multi = at_triple(t, quote);
	t->p += multi ? 3 : 1;
	if (multi && peek(t) == '\r' && peek_at(t, 1) == '\n')
		t->p++;
	if (multi && take(t, '\n'))
		t->line++;
	for (;;) {
		int c = peek(t);
		size_t len;
		if (c < 0 || (c == '\n' && !multi))
			return fail(t, "a string does not end");
		if (multi ? at_triple(t, quote) && peek_at(t, 3) != quote : c == quote) {
			t->p += multi ? 3 : 1;
			return 0;
		}
		if (c == '\\' && quote == '"') {
			t->p++;
			if (take_escape(t, multi, s) < 0)
				return -1;
			continue;
		}
		if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
			return fail(t, "a control byte in a string");
		len = c < 0x80 ? 1 : str_utf8_len((const unsigned char *)t->p);
		if (len == 0 || len > (size_t)(t->end - t->p))
			return fail(t, "text that is not UTF-8");
		t->line += c == '\n';
		str_addn(s, t->p, len);
		t->p += len;
	}
}

/* ---- keys ---- */


static bool is_bare(int c)
{
	return c > 0 && (isalnum(c) || c == '_' || c == '-');
}

static int take_key_part(struct toml *t, struct strv *ret)
{
	AUTO_STR struct str s = {0};
	int c = peek(t);
	if (c == '"' || c == '\'') {
		if (at_triple(t, c))
			return fail(t, "a key of several lines");
		if (take_string(t, &s) < 0)
			return -1;
	} else {
		while (is_bare(peek(t)))
			str_addc(&s, *t->p++);
		if (!s.len)
			return fail(t, "a key was expected");
	}
	if (ret->n == MAX_KEYS)
		return fail(t, "a key of too many parts");
	strv_push(ret, str_get(&s));
	return 0;
}

static int take_key(struct toml *t, struct strv *ret)
{
	do {
		skip_blank(t);
		if (take_key_part(t, ret) < 0)
			return -1;
		skip_blank(t);
	} while (take(t, '.'));
	return 0;
}

/* The table below `from` that parts[0..n) lead to, made where missing; of an array of tables its last one. NULL: something else is there. */
static json_t *find_table(json_t *from, char *const *parts, size_t n)
{
	for (size_t i = 0; i < n && from; i++) {
		json_t *next = json_object_get(from, parts[i]);
		if (!next) {
			next = json_object();
			json_object_set_new(from, parts[i], next);
		}
		if (json_is_array(next))
			next = json_array_get(next, json_array_size(next) - 1);
		from = json_is_object(next) ? next : NULL;
	}
	return from;
}

/* ---- values ---- */

static int take_value(struct toml *t, unsigned depth, json_t **ret);

static int take_assignment(struct toml *t, json_t *table, unsigned depth)
{
	AUTO_STRV struct strv key = {0};
	json_t *value = NULL;
	if (take_key(t, &key) < 0)
		return -1;
	table = find_table(table, key.v, key.n - 1);
	if (!table || json_object_get(table, key.v[key.n - 1]))
		return fail(t, "a key is given twice");
	if (!take(t, '='))
		return fail(t, "\"=\" was expected");
	skip_blank(t);
	if (take_value(t, depth, &value) < 0)
		return -1;
	json_object_set_new(table, key.v[key.n - 1], value);
	return 0;
}

static int take_inline_table(struct toml *t, unsigned depth, json_t *table)
{
	skip_blank(t);
	if (take(t, '}'))
		return 0;
	for (;;) {
		if (take_assignment(t, table, depth) < 0)
			return -1;
		skip_blank(t);
		if (take(t, '}'))
			return 0;
		if (!take(t, ','))
			return fail(t, "\",\" or \"}\" was expected");
	}
}

static int take_array(struct toml *t, unsigned depth, json_t *array)
{
	for (;;) {
		json_t *v = NULL;
		if (skip_lines(t) < 0)
			return -1;
		if (take(t, ']'))
			return 0;
		if (take_value(t, depth, &v) < 0)
			return -1;
		json_array_append_new(array, v);
		if (skip_lines(t) < 0)
			return -1;
		if (!take(t, ',') && peek(t) != ']')
			return fail(t, "\",\" or \"]\" was expected");
	}
}

static int take_word(struct toml *t, json_t **ret)
{
	char word[32];
	size_t n = 0;
	char *end;
	long long number;
	while (is_bare(peek(t)) || peek(t) == '+' || peek(t) == '.' || peek(t) == ':') {
		if (n + 1 == sizeof(word))
			return fail(t, "a value that is not understood");
		if (*t->p != '_')
			word[n++] = *t->p;
		t->p++;
	}
	word[n] = '\0';
	if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
		*ret = json_boolean(word[0] == 't');
		return 0;
	}
	errno = 0;
	number = strtoll(word, &end, 10);
	if (n == 0 || *end || errno || word[0] == ' ')
		return fail(t, "a value that is neither string, whole number, truth value, array nor table");
	*ret = json_integer(number);
	return 0;
}

static int take_value(struct toml *t, unsigned depth, json_t **ret)
{
	AUTO_STR struct str s = {0};
	AUTO_JSON json_t *v = NULL;
	int c = peek(t), rc = 0;
	if (depth == MAX_DEPTH)
		return fail(t, "values within values, too deep");
	if (c == '"' || c == '\'') {
		rc = take_string(t, &s);
		v = json_text(str_get(&s));
	} else if (c == '[') {
		t->p++;
		v = json_array();
		rc = take_array(t, depth + 1, v);
	} else if (c == '{') {
		t->p++;
		v = json_object();
		rc = take_inline_table(t, depth + 1, v);
	} else {
		return take_word(t, ret);
	}
	if (rc == 0)
		*ret = TAKE_PTR(v);
	return rc;
}

/* "[a.b]" or "[[a.b]]": the table that what follows goes to. */
static int take_header(struct toml *t, json_t *root, json_t **ret)
{
	AUTO_STRV struct strv key = {0};
	bool array;
	json_t *parent, *last;
	t->p++;
	array = take(t, '[');
	if (take_key(t, &key) < 0)
		return -1;
	if (!take(t, ']') || (array && !take(t, ']')))
		return fail(t, "\"]\" was expected");
	parent = find_table(root, key.v, array ? key.n - 1 : key.n);
	if (parent && array) {
		last = json_object_get(parent, key.v[key.n - 1]);
		if (!last) {
			last = json_array();
			json_object_set_new(parent, key.v[key.n - 1], last);
		}
		parent = json_object();
		if (json_array_append_new(last, parent) < 0) /* it is no array */
			parent = NULL;
	}
	if (!parent)
		return fail(t, "a table's name is taken by something else");
	*ret = parent;
	return 0;
}

int toml_parse(const char *text, size_t n, json_t **ret, struct err *err)
{
	struct toml t = { .p = text, .end = text + n, .line = 1, .err = err };
	AUTO_JSON json_t *root = json_object();
	json_t *table = root;
	while (t.p < t.end) {
		int rc = 0;
		skip_blank(&t);
		if (peek(&t) == '[')
			rc = take_header(&t, root, &table);
		else if (t.p < t.end && peek(&t) != '#' && peek(&t) != '\n' && peek(&t) != '\r')
			rc = take_assignment(&t, table, 0);
		if (rc < 0 || end_line(&t) < 0)
			return -1;
	}
	*ret = TAKE_PTR(root);
	return 0;
}
