/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML writer. libyaml's emitter puts lists at the column of their key, the reference two further in, so this is our
 * own; the analysis of scalars follows libyaml's, of which go-yaml's is a port. */
#include "spec/yaml_out.h"

#include <ctype.h>
#include <stdio.h>

#include "spec/scalar.h"

enum { SIMPLE_KEY_MAX = 128 };

struct out {
	struct str *s;
	struct arena *a;
	bool escape_dollar;
};

struct analysis {
	bool plain, single, block;
};

void yaml_out_text(struct str *s, const char *text, size_t n, bool escape_dollar)
{
	const char *end = text + n, *dollar;
	while (escape_dollar && (dollar = memchr(text, '$', (size_t)(end - text)))) {
		str_addn(s, text, (size_t)(dollar + 1 - text));
		str_addc(s, '$');
		text = dollar + 1;
	}
	str_addn(s, text, (size_t)(end - text));
}

static void put(struct out *o, const char *text)
{
	yaml_out_text(o->s, text, strlen(text), o->escape_dollar);
}

static void indent(struct out *o, unsigned columns)
{
	for (unsigned i = 0; i < columns; i++)
		str_addc(o->s, ' ');
}

/* Bytes of the character at p; 0 when it cannot be written as it is. */
static size_t printable_len(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	if (*p == '\n' || *p == '\t' || (*p >= 0x20 && *p <= 0x7e))
		return 1;
	if ((p[0] == 0xc2 && p[1] >= 0xa0 && p[1] <= 0xbf) || (p[0] > 0xc2 && p[0] < 0xe0 && (p[1] & 0xc0) == 0x80))
		return 2;
	if (p[0] < 0xe0 || p[0] > 0xef || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 || (p[0] == 0xe0 && p[1] < 0xa0))
		return 0;
	if (p[0] == 0xed && p[1] >= 0xa0)
		return 0;
	if (p[0] == 0xef && ((p[1] == 0xbb && p[2] == 0xbf) || (p[1] == 0xbf && p[2] >= 0xbe)))
		return 0;
	return 3;
}

/* The line and paragraph separators can be written as they are, but a reader takes them for line ends: it folds them, or cuts the spaces
 * before them. (It does so with U+0085 and the carriage return, too, which printable_len leaves out.) */
static bool is_separator(const char *p)
{
	return strncmp(p, "\xe2\x80\xa8", 3) == 0 || strncmp(p, "\xe2\x80\xa9", 3) == 0;
}

static bool is_indicator(const char *text, const char *p, bool after_blank)
{
	bool before_blank = !p[1] || isspace((unsigned char)p[1]);
	if (p == text && strchr("#,[]{}&*!|>'\"%@`", *p))
		return true;
	if (p == text && (*p == '?' || *p == '-') && before_blank)
		return true;
	if (*p == ':' && before_blank)
		return true;
	return *p == '#' && after_blank;
}

static struct analysis analyze(const char *text)
{
	bool breaks = false, special = false, indicators, leading = false, trailing = false, trailing_space = false;
	bool break_space = false, space_break = false, last_space = false, last_break = false, after_blank = true, tabs = false;
	indicators = str_starts(text, "---") || str_starts(text, "...");
	for (const char *p = text; *p;) {
		size_t n = is_separator(p) ? 0 : printable_len(p);
		bool space = *p == ' ', brk = *p == '\n', last;
		indicators |= is_indicator(text, p, after_blank);
		tabs |= *p == '\t';
		special |= n == 0;
		n = n ? n : 1;
		last = !p[n];
		leading |= p == text && (space || brk);
		trailing |= last && (space || brk);
		trailing_space |= last && space;
		break_space |= space && last_break;
		space_break |= brk && last_space;
		breaks |= brk;
		last_space = space;
		last_break = brk;
		after_blank = space || brk || *p == '\t';
		p += n;
	}
	return (struct analysis){
		.plain = !leading && !trailing && !break_space && !space_break && !tabs && !special && !breaks && !indicators,
		.single = !break_space && !space_break && !tabs && !special,
		.block = !trailing_space && !space_break && !special,
	};
}

/* Words that older readers take for booleans, and sexagesimal numbers. */
static bool is_old_type(const char *s)
{
	static const char *const words[] = { "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF", "<<" };
	const char *p = s;
	unsigned groups = 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	p += *p == '-' || *p == '+';
	if (!isdigit((unsigned char)*p))
		return false;
	while (isdigit((unsigned char)*p) || *p == '_')
		p++;
	for (; *p == ':'; groups++) {
		p++;
		if (!isdigit((unsigned char)*p))
			return false;
		if (*p >= '0' && *p <= '5' && isdigit((unsigned char)p[1]))
			p++;
		p++;
	}
	if (*p == '.')
		p += strspn(p + 1, "0123456789_") + 1;
	return groups && !*p;
}

static bool reads_as_other(struct out *o, const char *s)
{
	struct node n = { .kind = NODE_STRING };
	if (!isdigit((unsigned char)*s) && !strchr("+-.~nNtTfF", *s))
		return false;
	return !scalar_resolve(o->a, &n, s) || n.kind != NODE_STRING || strcmp(n.text, s) != 0;
}

/* The character at p by its number; returns its length. */
static size_t put_escape(struct out *o, const char *p)
{
	size_t n = str_utf8_len((const unsigned char *)p);
	unsigned rune = (unsigned char)*p;
	if (n > 1) {
		rune &= 0x7fu >> n;
		for (size_t i = 1; i < n; i++)
			rune = rune << 6 | ((unsigned)p[i] & 63);
	}
	if (rune == 0x85 && n > 1)
		str_add(o->s, "\\N");
	else if (rune == 0x2028 || rune == 0x2029)
		str_add(o->s, rune == 0x2028 ? "\\L" : "\\P");
	else
		str_addf(o->s, rune <= 0xff ? "\\x%02X" : rune <= 0xffff ? "\\u%04X" : "\\U%08X", rune);
	return n ? n : 1;
}

static void put_double(struct out *o, const char *p)
{
	static const char special[] = "\"\\\a\b\t\n\v\f\r\033", letter[] = "\"\\abtnvfre";
	str_addc(o->s, '"');
	while (*p) {
		size_t n = is_separator(p) ? 0 : printable_len(p);
		const char *hit = strchr(special, *p);
		if (hit) {
			str_addf(o->s, "\\%c", letter[hit - special]);
			n = 1;
		} else if (n) {
			yaml_out_text(o->s, p, n, o->escape_dollar);
		} else {
			n = put_escape(o, p);
		}
		p += n;
	}
	str_addc(o->s, '"');
}

static void put_single(struct out *o, const char *text)
{
	str_addc(o->s, '\'');
	for (size_t n; *text; text += n) {
		n = strcspn(text, "'");
		yaml_out_text(o->s, text, n, o->escape_dollar);
		if (text[n] == '\'') {
			str_add(o->s, "''");
			n++;
		}
	}
	str_addc(o->s, '\'');
}

static void put_block(struct out *o, const char *text, unsigned column)
{
	size_t len = strlen(text);
	str_addc(o->s, '|');
	if (*text == ' ')
		str_addc(o->s, '2');
	if (text[len - 1] != '\n')
		str_addc(o->s, '-');
	else if (len == 1 || text[len - 2] == '\n')
		str_addc(o->s, '+');
	while (*text) {
		size_t n = strcspn(text, "\n");
		char *line = arena_strndup(o->a, text, n);
		str_addc(o->s, '\n');
		if (n)
			indent(o, column);
		put(o, line);
		text += n + (text[n] == '\n');
		if (!*text && text[-1] == '\n' && len > 1 && text[-2] == '\n' && n)
			break;
	}
}

/* A string where a value stands (column: of the content of a block), or as a key. */
static void put_string(struct out *o, const char *s, bool key, unsigned column)
{
	struct analysis an = analyze(s);
	bool lines = strchr(s, '\n') != NULL;
	if (lines && an.block && !key)
		put_block(o, s, column);
	else if (lines || !an.single || !*s || is_old_type(s) || reads_as_other(o, s))
		put_double(o, s);
	else if (an.plain)
		put(o, s);
	else
		put_single(o, s);
}

static void put_value(struct out *o, const json_t *j, unsigned column);

static void put_scalar(struct out *o, const json_t *j, unsigned column)
{
	char buf[40];
	switch (json_typeof(j)) {
	case JSON_STRING:
		put_string(o, json_string_value(j), false, column);
		break;
	case JSON_INTEGER:
		str_addf(o->s, "%lld", (long long)json_integer_value(j));
		break;
	case JSON_REAL:
		scalar_format_float(json_real_value(j), false, buf);
		str_add(o->s, buf);
		break;
	case JSON_NULL:
		str_add(o->s, "null");
		break;
	default:
		str_add(o->s, json_is_true(j) ? "true" : "false");
	}
	str_addc(o->s, '\n');
}

static bool is_empty(const json_t *j)
{
	return (json_is_object(j) && json_object_size(j) == 0) || (json_is_array(j) && json_array_size(j) == 0);
}

/* Members of an object at `column`; the first one where the text stands. */
static void put_object(struct out *o, const json_t *j, unsigned column)
{
	const char *key;
	json_t *value;
	bool first = true;
	json_object_foreach((json_t *)j, key, value) {
		bool complex = strlen(key) > SIMPLE_KEY_MAX;
		if (!first)
			indent(o, column);
		first = false;
		if (complex)
			str_add(o->s, "? ");
		put_string(o, key, true, column);
		if (complex) {
			str_addc(o->s, '\n');
			indent(o, column);
		}
		str_addc(o->s, ':');
		if ((json_is_object(value) || json_is_array(value)) && !is_empty(value)) {
			str_addc(o->s, '\n');
			indent(o, column + 2);
			put_value(o, value, column + 2);
		} else {
			str_addc(o->s, ' ');
			put_value(o, value, column + 2);
		}
	}
}

static void put_array(struct out *o, const json_t *j, unsigned column)
{
	for (size_t i = 0; i < json_array_size(j); i++) {
		if (i)
			indent(o, column);
		str_add(o->s, "- ");
		put_value(o, json_array_get(j, i), column + 2);
	}
}

static void put_value(struct out *o, const json_t *j, unsigned column)
{
	if (is_empty(j))
		str_add(o->s, json_is_object(j) ? "{}\n" : "[]\n");
	else if (json_is_object(j))
		put_object(o, j, column);
	else if (json_is_array(j))
		put_array(o, j, column);
	else
		put_scalar(o, j, column);
}

void yaml_out(const json_t *j, bool escape_dollar, struct str *ret)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct out o = { .s = ret, .a = a, .escape_dollar = escape_dollar };
	put_value(&o, j, 0);
}
