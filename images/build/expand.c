/* SPDX-License-Identifier: Apache-2.0 */
/* The lexer of Dockerfile words: one pass over the text that makes the expanded text and, when asked, its words. What stands behind ${V:- and its
 * like is expanded by the same pass one level deeper. A file can make a value grow without bound (ENV A=$A$A), hence the caps on result, depth and
 * the steps of pattern matching. */
#include "images/build/expand.h"

#include "images/build/dockerfile_impl.h"
#include "images/build/expand_impl.h"

struct lexer {
	const char *p;
	char escape;
	unsigned flags;
	const struct expand_env *env;
	struct expand_names *names;
	struct err *err;
	int depth;
	size_t steps;            /* of all patterns of this text, so far */
};

/* Where the expansion goes: the text, and the words when they are wanted. */
struct output {
	struct str *text;
	struct strv *words;      /* NULL: not wanted */
	struct str word;
	bool in_word;
};

static int lexer_error(struct lexer *x, const char *message)
{
	return err_set(x->err, ERR_INVALID, "%s", message);
}

/* Bytes of the character at s: whole UTF-8 sequences, single bytes where it is none. */
static size_t char_len(const char *s)
{
	size_t n = str_utf8_len((const unsigned char *)s);
	return n ? n : 1;
}

/* Part of a word whatever it is. */
static void output_raw(struct output *o, const char *s, size_t n)
{
	str_addn(o->text, s, n);
	if (o->words)
		str_addn(&o->word, s, n);
	o->in_word = true;
}

static void output_flush(struct output *o)
{
	if (o->words && o->word.len)
		strv_push(o->words, str_get(&o->word));
	str_clear(&o->word);
}

/* Text in which blanks separate words. */
static void output_split(struct output *o, const char *s, size_t n)
{
	str_addn(o->text, s, n);
	for (const char *end = s + n; o->words && s < end;) {
		size_t len = dockerfile_space_len(s);
		if (len && o->in_word && o->word.len) {
			output_flush(o);
			o->in_word = false;
		} else if (!len) {
			str_addn(&o->word, s, len = char_len(s));
			o->in_word = true;
		}
		s += len;
	}
}

static const char *lexer_get(struct lexer *x, const char *name)
{
	const char *value = expand_env_get(x->env, name);
	if (x->names) {
		struct strv *list = value ? &x->names->set : &x->names->unset;
		if (!strv_has(list, name))
			strv_push(list, name);
	}
	return value;
}

static int lex_until(struct lexer *x, char stop, unsigned flags, struct output *o);

/* What is between here and `stop`, expanded. */
static int lex_inner(struct lexer *x, char stop, bool raw_escapes, struct str *ret)
{
	struct output o = { .text = ret };
	unsigned flags = raw_escapes ? x->flags | EXPAND_RAW_ESCAPES : x->flags & ~EXPAND_RAW_ESCAPES;
	if (++x->depth > EXPAND_MAX_DEPTH)
		return lexer_error(x, "substitutions nested too deep");
	if (lex_until(x, stop, flags, &o) < 0)
		return -1;
	x->depth--;
	return 0;
}

static bool is_special(char c)
{
	return c && strchr("@*#?-$!0", c);
}

/* A name: letters, digits and underscores; only digits when it begins with one; or one special character. */
static void lex_name(struct lexer *x, struct str *ret)
{
	size_t n;
	if (*x->p >= '0' && *x->p <= '9') {
		for (; *x->p >= '0' && *x->p <= '9'; x->p++)
			str_addc(ret, *x->p);
		return;
	}
	if (is_special(*x->p)) {
		str_addc(ret, *x->p++);
		return;
	}
	for (; (n = dockerfile_letter_len(x->p)) > 0; x->p += n)
		str_addn(ret, x->p, n);
}

/* ${NAME/pattern/text}, behind the first slash. */
static int lex_replace(struct lexer *x, const char *name, struct str *ret)
{
	AUTO_STR struct str pattern = { 0 }, with = { 0 };
	bool all = *x->p == '/';
	const char *value;
	x->p += all;
	if (lex_inner(x, '/', true, &pattern) < 0)
		return *x->p ? -1 : lexer_error(x, "missing '/' in ${}");
	if (lex_inner(x, '}', true, &with) < 0)
		return *x->p ? -1 : lexer_error(x, "missing '}'");
	value = lexer_get(x, name);
	if (!value && (x->flags & EXPAND_SKIP_UNSET)) {
		/* the reference drops the second slash of an unset ${V//p/w}; what stays must mean the same, so it is kept */
		str_addf(ret, "${%s/%s%s/%s}", name, all ? "/" : "", str_get(&pattern), str_get(&with));
		return 0;
	}
	return expand_replace(value ? value : "", str_get(&pattern), str_get(&with), all, &x->steps, ret, x->err);
}

static int lex_question(struct lexer *x, const char *name, const char *value, bool null_is_unset, const char *word, struct str *ret)
{
	char shown[120];
	if (!value || (null_is_unset && !*value))
		return err_set(x->err, ERR_INVALID, "%s: %s", name,
			       *word ? err_quote(shown, sizeof(shown), word) : value ? "is not allowed to be empty" : "is not allowed to be unset");
	str_add(ret, value);
	return 0;
}

/* ${NAME, then an operator; `c` is its character, read already, with a colon in front when null_is_unset. */
static int lex_operator(struct lexer *x, const char *name, char c, bool null_is_unset, struct str *ret)
{
	AUTO_STR struct str word = { 0 };
	bool trim = c == '#' || c == '%', unset, greedy;
	const char *value;
	if (trim && null_is_unset)
		return lexer_error(x, c == '#' ? "unsupported modifier (:#) in substitution" : "unsupported modifier (:%) in substitution");
	if (lex_inner(x, '}', trim, &word) < 0)
		return *x->p ? -1 : lexer_error(x, "missing '}'");
	value = lexer_get(x, name);
	if (!value && (x->flags & EXPAND_SKIP_UNSET)) {
		str_addf(ret, "${%s%s%c%s}", name, null_is_unset ? ":" : "", c, str_get(&word));
		return 0;
	}
	unset = !value || (null_is_unset && !*value);
	switch (c) {
	case '-':
		str_add(ret, unset ? str_get(&word) : value);
		return 0;
	case '+':
		str_add(ret, unset ? "" : str_get(&word));
		return 0;
	case '?':
		return lex_question(x, name, value, null_is_unset, str_get(&word), ret);
	case '#':
	case '%':
		greedy = str_get(&word)[0] == c;
		return expand_trim(value ? value : "", str_get(&word) + greedy, c == '%', greedy, &x->steps, ret, x->err);
	}
	return err_set(x->err, ERR_INVALID, "unsupported modifier (:%c) in substitution", c);
}

/* ${…}, behind the brace. */
static int lex_braces(struct lexer *x, struct str *ret)
{
	AUTO_STR struct str name = { 0 };
	const char *value;
	char c;
	if (!*x->p)
		return lexer_error(x, "missing '}'");
	if (*x->p == '{' || *x->p == '}' || *x->p == ':')
		return lexer_error(x, "bad substitution");
	lex_name(x, &name);
	c = *x->p;
	if (!c)
		return lexer_error(x, "missing '}'");
	x->p++;
	if (c == '}') {
		value = lexer_get(x, str_get(&name));
		if (value)
			str_add(ret, value);
		else if (x->flags & EXPAND_SKIP_UNSET)
			str_addf(ret, "${%s}", str_get(&name));
		return 0;
	}
	if (c == '/')
		return lex_replace(x, str_get(&name), ret);
	if (c == ':') {
		c = *x->p;
		if (!c)
			return lexer_error(x, "missing '}'");
		x->p++;
		return lex_operator(x, str_get(&name), c, true, ret);
	}
	if (!strchr("+-?#%", c))
		return err_set(x->err, ERR_INVALID, "unsupported modifier (%c) in substitution", (unsigned char)c < 0x20 || (unsigned char)c > 0x7e ? '?' : c);
	return lex_operator(x, str_get(&name), c, false, ret);
}

/* At a dollar sign. */
static int lex_dollar(struct lexer *x, struct str *ret)
{
	AUTO_STR struct str name = { 0 };
	const char *value;
	x->p++;
	if (*x->p == '{') {
		x->p++;
		return lex_braces(x, ret);
	}
	lex_name(x, &name);
	if (!name.len) {
		str_addc(ret, '$');
		return 0;
	}
	value = lexer_get(x, str_get(&name));
	if (value)
		str_add(ret, value);
	else if (x->flags & EXPAND_SKIP_UNSET)
		str_addf(ret, "$%s", str_get(&name));
	return 0;
}

static int lex_single_quote(struct lexer *x, struct output *o)
{
	const char *end = strchr(x->p + 1, '\'');
	bool raw = x->flags & EXPAND_RAW_QUOTES;
	if (!end) {
		x->p += strlen(x->p);
		return lexer_error(x, "unmatched single quotation mark");
	}
	output_raw(o, x->p + !raw, (size_t)(end - x->p) - !raw + raw);
	x->p = end + 1;
	return 0;
}

static int lex_double_quote(struct lexer *x, unsigned flags, struct output *o)
{
	bool raw = x->flags & EXPAND_RAW_QUOTES;
	output_raw(o, x->p++, raw);
	for (;;) {
		if (!*x->p)
			return lexer_error(x, "unmatched double quotation mark");
		if (*x->p == '"') {
			output_raw(o, x->p++, raw);
			return 0;
		}
		if (*x->p == '$') {
			AUTO_STR struct str value = { 0 };
			if (lex_dollar(x, &value) < 0)
				return -1;
			output_raw(o, str_get(&value), value.len);
			continue;
		}
		if (*x->p == x->escape) {
			if (flags & EXPAND_RAW_ESCAPES)
				output_raw(o, x->p, 1);
			if (!x->p[1]) {
				x->p++;
				continue;
			}
			if (x->p[1] == '"' || x->p[1] == '$' || x->p[1] == x->escape)
				x->p++;
		}
		output_raw(o, x->p, 1);
		x->p++;
	}
}

/* At "<": the head of a here-document and the blanks behind it hold together. */
static void lex_less(struct lexer *x, struct output *o)
{
	size_t n = 1;
	if (x->p[1] == '<') {
		for (n = 2; x->p[n] == ' ' || x->p[n] == '\t' || x->p[n] == '\r'; n++)
			;
	}
	output_raw(o, x->p, n);
	x->p += n;
}

static int lex_one(struct lexer *x, unsigned flags, struct output *o)
{
	bool quotes = !(x->flags & EXPAND_SKIP_QUOTES);
	size_t n;
	if (*x->p == '$') {
		AUTO_STR struct str value = { 0 };
		if (lex_dollar(x, &value) < 0)
			return -1;
		output_split(o, str_get(&value), value.len);
		return 0;
	}
	if (*x->p == '<')
		return lex_less(x, o), 0;
	if (*x->p == '\'' && quotes)
		return lex_single_quote(x, o);
	if (*x->p == '"' && quotes)
		return lex_double_quote(x, flags, o);
	if (*x->p == x->escape) {
		if (flags & EXPAND_RAW_ESCAPES)
			output_raw(o, x->p, 1);
		if (!*++x->p)
			return 0;
		n = char_len(x->p);
		output_raw(o, x->p, n);
	} else {
		n = char_len(x->p);
		output_split(o, x->p, n);
	}
	x->p += n;
	return 0;
}

/* Up to `stop`, which is consumed; 0: to the end. */
static int lex_until(struct lexer *x, char stop, unsigned flags, struct output *o)
{
	unsigned saved = x->flags;
	int r = 0;
	x->flags = flags;
	while (r == 0 && *x->p && !(stop && *x->p == stop)) {
		r = lex_one(x, flags, o);
		if (r == 0 && o->text->len > EXPAND_MAX_BYTES)
			r = err_set(x->err, ERR_INVALID, "the value grows beyond %d bytes", EXPAND_MAX_BYTES);
	}
	x->flags = saved;
	if (r < 0)
		return -1;
	if (stop) {
		if (!*x->p)
			return err_set(x->err, ERR_INVALID, "missing '%c'", stop);
		x->p++;
	}
	return 0;
}

static int expand_text(const char *text, char escape, unsigned flags, const struct expand_env *env, struct expand_names *names, struct output *o,
		       struct err *err)
{
	struct lexer x = { .p = text, .escape = escape, .flags = flags, .env = env, .names = names, .err = err };
	int r = lex_until(&x, 0, flags, o);
	if (r == 0)
		output_flush(o);
	str_done(&o->word);
	return r;
}

int expand_word(const char *word, char escape, unsigned flags, const struct expand_env *env, struct expand_names *names, struct str *ret,
		struct err *err)
{
	struct output o = { .text = ret };
	str_clear(ret);
	return expand_text(word, escape, flags, env, names, &o, err);
}

int expand_words(const char *text, char escape, unsigned flags, const struct expand_env *env, struct expand_names *names, struct strv *ret,
		 struct err *err)
{
	AUTO_STR struct str whole = { 0 };
	struct output o = { .text = &whole, .words = ret };
	return expand_text(text, escape, flags, env, names, &o, err);
}

void expand_names_done(struct expand_names *n)
{
	strv_done(&n->set);
	strv_done(&n->unset);
}

void expand_env_set(struct expand_env *e, const char *name, const char *value)
{
	char *old = map_get(&e->index, name), *copy = xstrdup(value);
	map_put(&e->index, name, copy);
	free(old);
}

void expand_env_unset(struct expand_env *e, const char *name)
{
	free(map_del(&e->index, name));
}

const char *expand_env_get(const struct expand_env *e, const char *name)
{
	return map_get(&e->index, name);
}

void expand_env_copy(struct expand_env *to, const struct expand_env *from)
{
	for (struct map_entry *m = map_next(&from->index, NULL); m; m = map_next(&from->index, m))
		expand_env_set(to, m->key, m->value);
}

void expand_env_list(const struct expand_env *e, struct strv *ret)
{
	for (struct map_entry *m = map_next(&e->index, NULL); m; m = map_next(&e->index, m))
		strv_pushf(ret, "%s=%s", m->key, (char *)m->value);
}

void expand_env_add(struct expand_env *e, const char *assignment)
{
	const char *equals = strchrnul(assignment, '=');
	char *name = xstrndup(assignment, (size_t)(equals - assignment));
	expand_env_set(e, name, *equals ? equals + 1 : "");
	free(name);
}

void expand_env_done(struct expand_env *e)
{
	for (struct map_entry *m = map_next(&e->index, NULL); m; m = map_next(&e->index, m))
		free(m->value);
	map_done(&e->index);
}
