/* SPDX-License-Identifier: Apache-2.0 */
/* Variable substitution. The reference says it with one regular expression whose braces are greedy up to the last '}' of
 * the line and are then cut at the brace that balances; the scanner below does the same in linear time. "${" that starts no
 * valid form is an error, whatever follows. Nesting is bounded, since a 1 MB file could nest 200 000 levels deep. */
#include "spec/template.h"

#include <ctype.h>

struct scan {
	const struct template_vars *vars;
	struct template_error *err;
	const char *whole;       /* what offsets are counted from */
	unsigned depth;
};

/* A variable at p ("$…"): its parts, as slices of the text. */
struct form {
	size_t name_len;
	const char *name;
	char op;                 /* 0, '-', '?', '+' */
	bool colon;              /* ":-" and so on: empty counts as unset */
	const char *word;        /* after the operator */
	size_t word_len;
	const char *end;         /* first byte after the whole form */
};

static bool is_name_start(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

static size_t name_len(const char *p)
{
	size_t n = 0;
	if (!is_name_start(*p))
		return 0;
	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

/* The brace that closes the one at p[1] ("${"), within [p, end); the byte after an opening brace is not looked at. NULL: unbalanced. */
static const char *balanced_brace(const char *p, const char *end)
{
	int open = 0;
	for (; p < end; p++) {
		if (*p == '}' && --open == 0)
			return p;
		if (*p == '{') {
			open++;
			p++;
		}
	}
	return NULL;
}

/* Reads the form at p (*p is '$', p[1] is '{'), within [p, end). *brace caches the last '}' of the line that *brace_line ends. */
static bool read_braced(const char *p, const char *end, const char **brace_line, const char **brace, struct form *f)
{
	const char *at = p + 2, *close;
	*f = (struct form){ .name = at, .name_len = name_len(at) };
	at += f->name_len;
	if (!f->name_len || at >= end)
		return false;
	if (*at == '}') {
		f->end = at + 1;
		return true;
	}
	f->colon = *at == ':';
	at += f->colon;
	if (at >= end || !strchr("-?+", *at) || !*at)
		return false;
	f->op = *at++;
	if (!*brace_line || p >= *brace_line) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		*brace_line = nl ? nl : end;
		*brace = memrchr(p, '}', (size_t)(*brace_line - p));
	}
	if (!*brace || *brace < at)
		return false;
	close = balanced_brace(p, *brace + 1);
	if (!close || close < at)
		close = *brace;
	f->word = at;
	f->word_len = (size_t)(close - at);
	f->end = close + 1;
	return true;
}

static int fail(const struct scan *s, int kind, const char *at)
{
	s->err->kind = kind;
	s->err->offset = (size_t)(at - s->whole);
	return -1;
}

static int substitute(struct scan *s, const char *p, const char *end, struct str *ret);

static int put(const struct scan *s, const char *at, const char *bytes, size_t n, struct str *ret)
{
	if (n > TEMPLATE_MAX_BYTES || ret->len > TEMPLATE_MAX_BYTES - n)
		return fail(s, TEMPLATE_TOO_LONG, at);
	str_addn(ret, bytes, n);
	return 0;
}

static int substitute_word(struct scan *s, const struct form *f, const char *at, struct str *ret)
{
	int r;
	if (s->depth >= TEMPLATE_MAX_DEPTH)
		return fail(s, TEMPLATE_TOO_DEEP, at);
	s->depth++;
	r = substitute(s, f->word, f->word + f->word_len, ret);
	s->depth--;
	return r;
}

static int put_form(struct scan *s, const struct form *f, const char *at, struct str *ret)
{
	const struct template_vars *vars = s->vars;
	const char *name = arena_strndup(vars->arena, f->name, f->name_len);
	const char *value = vars->lookup(vars->arg, name);
	bool present = value && (!f->colon || *value);
	AUTO_STR struct str message = { 0 };
	switch (f->op) {
	case '-':
		return present ? put(s, at, value, strlen(value), ret) : substitute_word(s, f, at, ret);
	case '+':
		return present ? substitute_word(s, f, at, ret) : 0;
	case '?':
		if (present)
			return put(s, at, value, strlen(value), ret);
		if (substitute_word(s, f, at, &message) < 0)
			return -1;
		s->err->variable = name;
		s->err->message = arena_strdup(vars->arena, str_get(&message));
		return fail(s, TEMPLATE_REQUIRED, at);
	default:
		if (!value && vars->unset)
			vars->unset(vars->arg, name, (size_t)(at - s->whole));
		return value ? put(s, at, value, strlen(value), ret) : 0;
	}
}

static int substitute(struct scan *s, const char *p, const char *end, struct str *ret)
{
	const char *brace_line = NULL, *brace = NULL;
	while (p < end) {
		const char *dollar = memchr(p, '$', (size_t)(end - p));
		struct form f;
		if (!dollar || dollar + 1 >= end)
			return put(s, p, p, (size_t)(end - p), ret);
		if (put(s, p, p, (size_t)(dollar - p), ret) < 0)
			return -1;
		p = dollar;
		if (p[1] == '$') {
			str_addc(ret, '$');
			p += 2;
		} else if (p[1] == '{') {
			if (!read_braced(p, end, &brace_line, &brace, &f))
				return fail(s, TEMPLATE_INVALID, p);
			if (put_form(s, &f, p, ret) < 0)
				return -1;
			p = f.end;
		} else if (is_name_start(p[1])) {
			size_t n = name_len(p + 1);
			f = (struct form){ .name = p + 1, .name_len = MIN(n, (size_t)(end - p - 1)) };
			if (put_form(s, &f, p, ret) < 0)
				return -1;
			p += 1 + f.name_len;
		} else {
			str_addc(ret, '$');
			p++;
		}
	}
	return 0;
}

int template_substitute(const struct template_vars *vars, const char *text, struct str *ret, struct template_error *err)
{
	struct scan s = { .vars = vars, .err = err, .whole = text };
	*err = (struct template_error){ .variable = "", .message = "" };
	return substitute(&s, text, text + strlen(text), ret);
}

static void each(struct arena *a, const char *whole, const char *p, const char *end, unsigned depth,
	void (*fn)(void *arg, const struct template_variable *v), void *arg)
{
	const char *brace_line = NULL, *brace = NULL;
	for (; p < end; p++) {
		struct form f = { 0 };
		struct template_variable v = { .def = "", .alternate = "" };
		p = memchr(p, '$', (size_t)(end - p));
		if (!p || p + 1 >= end)
			return;
		if (p[1] == '$') {
			p++;
			continue;
		}
		if (p[1] == '{' ? !read_braced(p, end, &brace_line, &brace, &f) : !is_name_start(p[1]))
			continue;
		if (p[1] != '{')
			f = (struct form){ .name = p + 1, .name_len = MIN(name_len(p + 1), (size_t)(end - p - 1)), .end = p + 1 + name_len(p + 1) };
		v.name = arena_strndup(a, f.name, f.name_len);
		v.required = f.op == '?';
		v.offset = (size_t)(p - whole);
		if (f.op == '-')
			v.def = arena_strndup(a, f.word, f.word_len);
		if (f.op == '+')
			v.alternate = arena_strndup(a, f.word, f.word_len);
		fn(arg, &v);
		if (f.word_len && f.op != '?' && depth < TEMPLATE_MAX_DEPTH)
			each(a, whole, f.word, f.word + f.word_len, depth + 1, fn, arg);
		p = f.end - 1;
	}
}

void template_each(struct arena *a, const char *text, void (*fn)(void *arg, const struct template_variable *v), void *arg)
{
	each(a, text, text, text + strlen(text), 0, fn, arg);
}
