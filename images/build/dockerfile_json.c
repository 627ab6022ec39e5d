/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON form of an instruction. Text that is no valid JSON is the shell form, silently, so what counts as valid must be what the reference takes:
 * a strict reader, in which unpaired surrogates and bad UTF-8 inside strings become U+FFFD. That rules out jansson, which refuses both. */
#include "images/build/dockerfile_impl.h"

enum { JSON_MAX_DEPTH = 200 };

struct reader {
	const char *p;
	struct str text;         /* of the last string */
};

static void reader_space(struct reader *r)
{
	while (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')
		r->p++;
}

/* Four hexadecimal digits; -1. */
static int32_t reader_hex(const char *p)
{
	int32_t v = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int d = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* Behind `\u`. */
static bool reader_unicode(struct reader *r)
{
	int32_t c = reader_hex(r->p), low;
	if (c < 0)
		return false;
	r->p += 4;
	if (c >= 0xd800 && c < 0xdc00 && r->p[0] == '\\' && r->p[1] == 'u' && (low = reader_hex(r->p + 2)) >= 0xdc00 && low < 0xe000) {
		r->p += 6;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	} else if (c >= 0xd800 && c < 0xe000) {
		c = 0xfffd;
	}
	if (c)
		str_add_utf8(&r->text, (uint32_t)c);
	else
		str_add(&r->text, DOCKERFILE_NUL);
	return true;
}

static bool reader_escape(struct reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *e;
	char c = *r->p++;
	if (c == 'u')
		return reader_unicode(r);
	e = c ? strchr(from, c) : NULL;
	if (!e) {
		r->p--;
		return false;
	}
	str_addc(&r->text, to[e - from]);
	return true;
}

/* At the opening quotation mark. */
static bool reader_string(struct reader *r)
{
	str_clear(&r->text);
	for (r->p++; *r->p != '"';) {
		size_t n = str_utf8_len((const unsigned char *)r->p);
		if ((unsigned char)*r->p < 0x20)
			return false;
		if (*r->p == '\\') {
			r->p++;
			if (!reader_escape(r))
				return false;
		} else if (!n) {
			str_add_utf8(&r->text, 0xfffd);
			r->p++;
		} else {
			str_addn(&r->text, r->p, n);
			r->p += n;
		}
	}
	r->p++;
	return true;
}

static bool reader_digits(struct reader *r)
{
	if (*r->p < '0' || *r->p > '9')
		return false;
	while (*r->p >= '0' && *r->p <= '9')
		r->p++;
	return true;
}

static bool reader_number(struct reader *r)
{
	if (*r->p == '-')
		r->p++;
	if (*r->p == '0')
		r->p++;
	else if (!reader_digits(r))
		return false;
	if (*r->p == '.') {
		r->p++;
		if (!reader_digits(r))
			return false;
	}
	if (*r->p == 'e' || *r->p == 'E') {
		r->p++;
		if (*r->p == '+' || *r->p == '-')
			r->p++;
		return reader_digits(r);
	}
	return true;
}

static bool reader_value(struct reader *r, int depth);

/* A list or an object, behind its bracket. */
static bool reader_members(struct reader *r, bool object, int depth)
{
	char close = object ? '}' : ']';
	reader_space(r);
	if (*r->p == close)
		return r->p++, true;
	for (;;) {
		reader_space(r);
		if (object) {
			if (*r->p != '"' || !reader_string(r))
				return false;
			reader_space(r);
			if (*r->p++ != ':')
				return false;
		}
		if (!reader_value(r, depth + 1))
			return false;
		reader_space(r);
		if (*r->p == close)
			return r->p++, true;
		if (*r->p++ != ',')
			return false;
	}
}

static bool reader_value(struct reader *r, int depth)
{
	static const char *const words[] = { "true", "false", "null" };
	if (depth > JSON_MAX_DEPTH)
		return false;
	reader_space(r);
	if (*r->p == '"')
		return reader_string(r);
	if (*r->p == '[' || *r->p == '{') {
		bool object = *r->p++ == '{';
		return reader_members(r, object, depth);
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (str_starts(r->p, words[i]))
			return r->p += strlen(words[i]), true;
	}
	return reader_number(r);
}

int dockerfile_parse_json(struct arena *a, const char *text, const char ***ret, size_t *ret_n)
{
	struct reader r = { .p = text + 1 };
	const char **v = NULL;
	size_t n = 0, cap = 0;
	bool strings = true, ok = false;
	reader_space(&r);
	if (*r.p == ']') {
		r.p++;
		ok = true;
	}
	while (!ok) {
		reader_space(&r);
		if (*r.p != '"')
			strings = false;
		if (!reader_value(&r, 1))
			break;
		if (strings) {
			v = arena_grow(a, v, n, &cap, sizeof(*v));
			v[n++] = arena_strndup(a, str_get(&r.text), r.text.len);
		}
		reader_space(&r);
		if (*r.p == ']')
			ok = true;
		else if (*r.p != ',')
			break;
		r.p++;
	}
	reader_space(&r);
	ok = ok && !*r.p;
	str_done(&r.text);
	*ret = v;
	*ret_n = n;
	return !ok ? 1 : !strings ? 2 : 0;
}
