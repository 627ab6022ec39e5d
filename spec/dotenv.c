/* SPDX-License-Identifier: Apache-2.0 */
/* The env file grammar of the reference (a descendant of godotenv). Statements are separated by line ends, but a quoted
 * value may span lines and another statement may follow it on the same line. Unquoted values end at " #". Double quotes:
 * \a \b \c \f \n \r \t \v \\ \" \$ and \0NNN, then variables; single quotes: only \'. A bare KEY takes the environment's
 * value. The file is read from a NUL-terminated copy; a NUL byte inside ends it with an error. */
#include "spec/dotenv.h"

#include <ctype.h>

#include "spec/template.h"

struct parse {
	const struct source *src;
	const struct dotenv_vars *vars;
	struct env *out;
	struct diags *ds;
	const char *p;
	const char *value_at;    /* where the value at hand begins, for messages */
	struct pos key_pos;      /* of the statement at hand */
	const char *line;        /* a line that was counted up to, and its number */
	int line_number;
};

static struct pos pos_at(struct parse *ps, const char *at)
{
	struct pos pos = { .src = ps->src, .column = 1 };
	if (!ps->line || at < ps->line) {
		ps->line = ps->src->text;
		ps->line_number = 1;
	}
	for (const char *nl; (nl = memchr(ps->line, '\n', (size_t)(at - ps->line))); ps->line_number++)
		ps->line = nl + 1;
	for (const char *c = ps->line; c < at; c++)
		pos.column += ((unsigned char)*c & 0xc0) != 0x80;
	pos.line = ps->line_number;
	return pos;
}

/* Bytes of the blank at p that is no line end, 0 when there is none: the reference counts U+0085 and U+00A0 as blanks. */
static size_t blank_len(const char *p)
{
	if (*p == '\t' || *p == '\v' || *p == '\f' || *p == '\r' || *p == ' ')
		return 1;
	if (p[0] == '\xc2' && (p[1] == '\x85' || p[1] == '\xa0'))
		return 2;
	return 0;
}

static void skip_blanks(const char **p)
{
	for (size_t n; (n = blank_len(*p)); )
		*p += n;
}

/* Goes to the next statement: over blanks, line ends and comments. False at the end. */
static bool next_statement(struct parse *ps)
{
	for (;;) {
		skip_blanks(&ps->p);
		if (*ps->p == '\n')
			ps->p++;
		else if (*ps->p == '#')
			ps->p += strcspn(ps->p, "\n");
		else
			return *ps->p != '\0';
	}
}

static const char *lookup(void *arg, const char *name)
{
	const struct parse *ps = arg;
	const char *value = ps->vars->lookup ? ps->vars->lookup(ps->vars->arg, name) : NULL;
	struct pos from = value && ps->vars->place ? ps->vars->place(ps->vars->arg, name) : (struct pos){ 0 };
	if (!value) {
		value = env_get(ps->out, name);
		from = env_pos(ps->out, name);
	}
	trace_add(ps->ds->trace, TRACE_VARIABLE, ps->key_pos, from, NULL, name, value);
	return value;
}

static void put_variable(struct parse *ps, const char *key, const char *value)
{
	struct pos old = env_pos(ps->out, key);
	if (old.src)
		trace_add(ps->ds->trace, TRACE_REPLACES, ps->key_pos, old, NULL, key, NULL);
	env_put_at(ps->out, key, value, ps->key_pos);
}

static void unset(void *arg, const char *name, size_t offset)
{
	struct parse *ps = arg;
	struct diag *d;
	(void)offset;
	if (!ps->vars->warned || map_get(ps->vars->warned, name))
		return;
	map_put(ps->vars->warned, name, ps->vars->warned);
	if (ps->ds->n_warnings > DIAG_MAX) {
		ps->ds->n_warnings++; /* it would not be shown: spare the search for its place */
		return;
	}
	d = diag_warning(ps->ds, pos_at(ps, ps->value_at), "", "the variable \"%s\" is not set: an empty string takes its place", name);
	diag_hint(ps->ds, d, "put the value in single quotes when the $ belongs to it");
}

static int expand(struct parse *ps, const char *value, struct str *ret)
{
	struct template_vars vars = { .arena = ps->ds->arena, .lookup = lookup, .unset = unset, .arg = ps };
	struct template_error e;
	struct diag *d;
	if (template_substitute(&vars, value, ret, &e) == 0)
		return 0;
	if (e.kind == TEMPLATE_REQUIRED) {
		diag_error(ps->ds, pos_at(ps, ps->value_at), "", "required variable %s is missing a value%s%s", e.variable,
			*e.message ? ": " : "", e.message);
		return -1;
	}
	d = diag_error(ps->ds, pos_at(ps, ps->value_at), "", "invalid interpolation: \"%s\"", diag_quote(ps->ds, value + e.offset));
	diag_hint(ps->ds, d, "put the value in single quotes when the $ belongs to it");
	return -1;
}

/* Reads KEY and what ends it. 1: a bare key (at a line's end); 0: a value follows at ps->p; -1: reported. */
static int read_key(struct parse *ps, const char **ret)
{
	const char *start, *at;
	size_t len;
	char end;
	if (strncmp(ps->p, "export", 6) == 0 && (blank_len(ps->p + 6) || ps->p[6] == '\n')) {
		ps->p += 6;
		skip_blanks(&ps->p);
	}
	start = at = ps->p;
	ps->key_pos = pos_at(ps, start);
	while (*at && !strchr("=:\n", *at)) {
		size_t n = blank_len(at);
		if (!n && !isalnum((unsigned char)*at) && !strchr("_.-[]", *at) && (unsigned char)*at < 0x80) {
			struct diag *d = diag_error(ps->ds, pos_at(ps, at), "", "unexpected character \"%.1s\" in a variable name", at);
			diag_hint(ps->ds, d, "a line reads NAME=value; comments begin with #");
			return -1;
		}
		at += n ? n : 1;
	}
	end = *at;
	len = (size_t)(at - start);
	while (len && isspace((unsigned char)start[len - 1]))
		len--;
	*ret = arena_strndup(ps->ds->arena, start, len);
	ps->p = end ? at + 1 : at;
	if (!len || strchr(*ret, ' ')) {
		diag_error(ps->ds, pos_at(ps, start), "", len ? "a variable name with a space: \"%s\"" : "a variable name is missing%s",
			len ? diag_quote(ps->ds, *ret) : "");
		return -1;
	}
	return end == '=' || end == ':' ? 0 : 1;
}

/* One escape sequence at p ("\x"); appends what it means and returns its length, 0 when it is none. */
static size_t put_escape(const char *p, struct str *ret)
{
	static const char from[] = "abfnrtv\\\"", to[] = "\a\b\f\n\r\t\v\\\"";
	const char *hit = p[1] ? strchr(from, p[1]) : NULL;
	unsigned v = 0;
	if (hit) {
		str_addc(ret, to[hit - from]);
		return 2;
	}
	if (p[1] == '$') {
		str_add(ret, "$$");
		return 2;
	}
	if (p[1] != '0')
		return 0;
	for (int i = 2; i < 5; i++) {
		if (p[i] < '0' || p[i] > '7')
			return 0;
		v = v * 8 + (unsigned)(p[i] - '0');
	}
	if (v > 255 || v == 0)
		return 0;
	if (v >= 0x80)
		str_addc(ret, (char)(0xc0 | v >> 6));
	str_addc(ret, (char)(v < 0x80 ? v : 0x80 | (v & 0x3f)));
	return 5;
}

static void expand_escapes(const char *p, struct str *ret)
{
	while (*p) {
		size_t n = *p == '\\' ? put_escape(p, ret) : 0;
		if (!n) {
			str_addc(ret, *p);
			n = 1;
		}
		p += n;
	}
}

/* A quoted value at ps->p; leaves ps->p after the closing quote. */
static int read_quoted(struct parse *ps, struct str *ret)
{
	char quote = *ps->p;
	AUTO_STR struct str raw = { 0 }, plain = { 0 };
	const char *at;
	for (at = ps->p + 1; *at && *at != quote; at++) {
		if (*at == '\\' && at[1] == quote)
			at++;
		else if (*at == '\\' && at[1])
			str_addc(&raw, *at++);
		str_addc(&raw, *at);
	}
	if (!*at) {
		struct diag *d = diag_error(ps->ds, pos_at(ps, ps->p), "", "this quoted value does not end");
		diag_hint(ps->ds, d, "the closing %c is missing", quote);
		return -1;
	}
	ps->p = at + 1;
	if (quote == '\'') {
		str_add(ret, str_get(&raw));
		return 0;
	}
	expand_escapes(str_get(&raw), &plain);
	return expand(ps, str_get(&plain), ret);
}

static int read_unquoted(struct parse *ps, struct str *ret)
{
	size_t len = strcspn(ps->p, "\n");
	AUTO_FREE char *value = xstrndup(ps->p, len);
	char *comment = strstr(value, " #");
	size_t n = comment ? (size_t)(comment - value) : len;
	while (n && isspace((unsigned char)value[n - 1]))
		n--;
	value[n] = '\0';
	ps->p += len;
	return expand(ps, value, ret);
}

static int read_statement(struct parse *ps)
{
	AUTO_STR struct str value = { 0 };
	const char *key, *inherited;
	int r = read_key(ps, &key);
	if (r < 0)
		return -1;
	if (r > 0) {
		inherited = ps->vars->lookup ? ps->vars->lookup(ps->vars->arg, key) : NULL;
		if (inherited) {
			lookup(ps, key);
			put_variable(ps, key, inherited);
		}
		return 0;
	}
	skip_blanks(&ps->p);
	ps->value_at = ps->p;
	r = *ps->p == '"' || *ps->p == '\'' ? read_quoted(ps, &value) : read_unquoted(ps, &value);
	if (r == 0)
		put_variable(ps, key, str_get(&value));
	return r;
}

/* The text after a byte order mark; NULL with an error when it holds a NUL byte. */
static const char *text_start(const struct source *src, struct diags *ds)
{
	if (strlen(src->text) != src->len) {
		diag_error(ds, (struct pos){ .src = src }, "", "not an env file: it holds a NUL byte");
		return NULL;
	}
	return src->text + (str_starts(src->text, "\xef\xbb\xbf") ? 3 : 0);
}

int dotenv_parse(const struct source *src, const struct dotenv_vars *vars, struct env *out, struct diags *ds)
{
	struct parse ps = { .src = src, .vars = vars, .out = out, .ds = ds, .p = text_start(src, ds) };
	if (!ps.p)
		return -1;
	while (next_statement(&ps))
		if (read_statement(&ps) < 0 || diag_too_large(ds, ps.key_pos, ""))
			return -1;
	return 0;
}

int dotenv_parse_raw(const struct source *src, const struct dotenv_vars *vars, struct env *out, struct diags *ds)
{
	struct parse ps = { .src = src, .vars = vars, .out = out, .ds = ds, .p = text_start(src, ds) };
	if (!ps.p)
		return -1;
	while (*ps.p) {
		size_t len = strcspn(ps.p, "\n");
		const char *line = ps.p, *key, *value;
		AUTO_FREE char *copy = NULL;
		char *eq;
		ps.p += len + (line[len] == '\n');
		copy = xstrndup(line, len && line[len - 1] == '\r' ? len - 1 : len);
		key = copy + strspn(copy, " \t\v\f");
		if (!*key || *key == '#')
			continue;
		eq = strchr(key, '=');
		if (eq)
			*eq = '\0';
		if (!*key || strpbrk(key, " \t\v\f")) {
			diag_error(ds, pos_at(&ps, line), "", *key ? "a variable name with a space: \"%s\"" : "a variable name is missing%s",
				*key ? diag_quote(ds, key) : "");
			return -1;
		}
		value = eq ? eq + 1 : vars->lookup ? vars->lookup(vars->arg, key) : NULL;
		ps.key_pos = pos_at(&ps, line);
		if (!eq && value)
			lookup(&ps, key);
		if (value)
			put_variable(&ps, key, value);
		if (diag_too_large(ds, ps.key_pos, ""))
			return -1;
	}
	return 0;
}
