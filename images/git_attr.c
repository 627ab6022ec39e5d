/* SPDX-License-Identifier: Apache-2.0 */
/* See git_attr.h. Values are looked for from the last line of the deepest file backwards, and the first one found stays; a macro that is found to be
 * set gives what it stands for at that moment, which is git's order. Patterns are compared component by component, so that only the last star
 * has to be tried again: no pattern takes more than the product of the lengths. */
#include "images/git_attr.h"

#include <ctype.h>
#include <stdint.h>
#include <strings.h>

#include "base/str.h"

enum { MAX_LINE = 2048, MAX_RULES = 20000, MAX_MACROS = 64, MAX_BYTES = 8 << 20 };
#define MAX_WORK 20000000000ULL /* characters compared */

enum attr { ATTR_TEXT, ATTR_CRLF, ATTR_EOL, ATTR_IDENT, ATTR_ENCODING, ATTR_N_ };

static const char *const attr_names[] = {
	[ATTR_TEXT] = "text", [ATTR_CRLF] = "crlf", [ATTR_EOL] = "eol", [ATTR_IDENT] = "ident", [ATTR_ENCODING] = "working-tree-encoding",
};
static_assert(ARRAY_SIZE(attr_names) == ATTR_N_, "one name for each attribute");

static const char set[] = "(set)", unset[] = "(unset)", unspecified[] = "(unspecified)"; /* compared by address */

struct setting {
	const char *name, *value;
};

struct rule {
	const char *pattern;      /* NULL: a macro */
	const char *macro;
	struct setting *settings; /* part of the file's list */
	size_t n;
	bool anchored;            /* the whole path below dir, not its last component */
};

struct git_attr {
	struct git_attr *up;
	char *dir, *text;         /* rules point into the text */
	struct rule *rules;
	size_t n_rules, rules_cap;
	struct setting *settings;
	size_t n_settings, settings_cap;
	uint64_t work;            /* of the bottom: of all */
	const struct rule *macros[MAX_MACROS]; /* of the bottom: the last of a name */
	size_t n_macros;
};

/* ---- reading ---- */

static bool is_name(const char *s)
{
	static const char more[] = "-_.";
	if (!*s || *s == '-' || str_starts(s, "builtin_"))
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(more, *s))
			return false;
	return true;
}

/* One word of a line; *line is moved behind it. NULL: no more. */
static char *next_word(char **line)
{
	static const char blanks[] = " \t\r\n";
	char *word = *line + strspn(*line, blanks);
	if (!*word)
		return NULL;
	*line = word + strcspn(word, blanks);
	if (**line)
		*(*line)++ = '\0';
	return word;
}

/* "a\tb\101" with C's escapes, in place; *line is moved behind it. NULL: it has no end. */
static char *quoted_word(char **line)
{
	static const char from[] = "abfnrtv\\\"", to[] = "\a\b\f\n\r\t\v\\\"";
	char *word = *line + 1, *out = word;
	for (char *p = word; *p; p++) {
		const char *e;
		if (*p == '"') {
			*line = p + 1;
			*out = '\0';
			return word;
		}
		if (*p != '\\') {
			*out++ = *p;
		} else if (p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
			*out++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else if (p[1] && (e = strchr(from, p[1]))) {
			*out++ = to[e - from];
			p++;
		} else {
			return NULL;
		}
	}
	return NULL;
}

static bool read_setting(char *word, struct setting *ret)
{
	const char sign = *word == '-' || *word == '!' ? *word++ : '\0';
	char *eq = sign ? NULL : strchr(word, '=');
	if (eq)
		*eq++ = '\0';
	*ret = (struct setting){ .name = word, .value = eq ? eq : sign == '-' ? unset : sign == '!' ? unspecified : set };
	return is_name(word);
}

static void read_line(struct git_attr *a, char *line)
{
	struct rule r = {0};
	const size_t first = a->n_settings;
	char *word;
	line += strspn(line, " \t\r\n");
	if (!*line || *line == '#' || a->n_rules == MAX_RULES)
		return;
	word = *line == '"' ? quoted_word(&line) : next_word(&line);
	if (!word || !*word || *word == '!')
		return;
	if (str_starts(word, "[attr]")) {
		r.macro = word[6] ? word + 6 : next_word(&line);
		if (*a->dir || !r.macro || !is_name(r.macro))
			return;
	} else {
		r.anchored = strchr(word, '/') != NULL;
		r.pattern = word + (*word == '/');
		if (str_ends(r.pattern, "/")) /* a directory: that has no attributes */
			return;
	}
	while ((word = next_word(&line))) {
		struct setting s;
		if (!read_setting(word, &s)) {
			a->n_settings = first;
			return;
		}
		a->settings = vec_grow(a->settings, a->n_settings, &a->settings_cap, sizeof(*a->settings));
		a->settings[a->n_settings++] = s;
	}
	r.n = a->n_settings - first;
	a->rules = vec_grow(a->rules, a->n_rules, &a->rules_cap, sizeof(*a->rules));
	a->rules[a->n_rules++] = r;
}

static void find_macros(struct git_attr *a)
{
	for (size_t i = a->n_rules; i-- > 0 && a->n_macros < MAX_MACROS;) {
		size_t m = 0;
		if (!a->rules[i].macro)
			continue;
		while (m < a->n_macros && strcmp(a->macros[m]->macro, a->rules[i].macro) != 0)
			m++;
		if (m == a->n_macros)
			a->macros[a->n_macros++] = &a->rules[i];
	}
}

struct git_attr *git_attr_push(struct git_attr *up, const char *dir, const char *text, size_t n)
{
	struct git_attr *a = xcalloc(1, sizeof(*a));
	size_t at = 0;
	*a = (struct git_attr){ .up = up, .dir = xstrdup(dir), .text = xstrndup(text ? text : "", text && n <= MAX_BYTES ? n : 0) };
	for (char *line = a->text + (str_starts(a->text, "\xef\xbb\xbf") ? 3 : 0), *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (strlen(line) < MAX_LINE)
			read_line(a, line);
	}
	for (size_t i = 0; i < a->n_rules; i++) { /* the list stays where it is from now on */
		a->rules[i].settings = a->settings ? a->settings + at : NULL;
		at += a->rules[i].n;
	}
	find_macros(a);
	return a;
}

struct git_attr *git_attr_pop(struct git_attr *a)
{
	struct git_attr *up = a ? a->up : NULL;
	if (!a)
		return NULL;
	free(a->dir);
	free(a->text);
	free(a->rules);
	free(a->settings);
	free(a);
	return up;
}

/* ---- patterns ---- */

/* "[:alpha:]" at p; its end, NULL: it is none. */
static const char *named_class(const char *p, const char *end, unsigned char c, bool *hit)
{
	static const struct {
		const char *name;
		int (*is)(int c);
	} classes[] = {
		{ "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank }, { "cntrl", iscntrl }, { "digit", isdigit }, { "graph", isgraph },
		{ "lower", islower }, { "print", isprint }, { "punct", ispunct }, { "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
	};
	const char *close = p + 2 <= end ? memmem(p + 2, (size_t)(end - p) - 2, ":]", 2) : NULL;
	for (size_t i = 0; close && i < ARRAY_SIZE(classes); i++)
		if ((size_t)(close - p) - 2 == strlen(classes[i].name) && strncmp(p + 2, classes[i].name, strlen(classes[i].name)) == 0) {
			*hit = *hit || classes[i].is(c);
			return close + 2;
		}
	return NULL;
}

/* "[a-z]" at p, before end: does c match? Its end in *ret, NULL: it has none, and matches nothing. */
static bool bracket(const char *p, const char *end, unsigned char c, const char **ret)
{
	bool hit = false, first = true, no;
	*ret = NULL;
	p++;
	no = p < end && (*p == '!' || *p == '^');
	p += no;
	for (; p < end && (first || *p != ']'); first = false) {
		unsigned char low, high;
		if (p[0] == '[' && p + 1 < end && p[1] == ':') {
			p = named_class(p, end, c, &hit);
			if (!p)
				return false;
			continue;
		}
		p += *p == '\\' && p + 1 < end;
		low = high = (unsigned char)*p++;
		if (p + 1 < end && *p == '-' && p[1] != ']') {
			p += 1 + (p[1] == '\\' && p + 2 < end);
			high = (unsigned char)*p++;
		}
		hit = hit || (low <= c && c <= high);
	}
	if (p >= end)
		return false;
	*ret = p + 1;
	return hit != no;
}

/* One component: no slash in either. */
static bool match_name(const char *p, const char *p_end, const char *s, const char *s_end, uint64_t *work)
{
	const char *star = NULL, *again = NULL;
	for (;;) {
		const char *next = p;
		bool ok = false;
		++*work;
		if (p < p_end && *p == '*') {
			star = ++p;
			again = s;
			continue;
		}
		if (p == p_end && s == s_end)
			return true;
		if (p < p_end && s < s_end) {
			if (*p == '?') {
				ok = true;
				next = p + 1;
			} else if (*p == '[') {
				ok = bracket(p, p_end, (unsigned char)*s, &next);
				*work += (uint64_t)(p_end - p);
			} else {
				next = p + (*p == '\\' && p + 1 < p_end);
				ok = *next++ == *s;
			}
		}
		if (ok) {
			p = next;
			s++;
		} else if (star && again < s_end) {
			p = star;
			s = ++again;
		} else {
			return false;
		}
	}
}

static const char *end_of(const char *s)
{
	return s + strcspn(s, "/");
}

/* Whole paths, "**" for any number of directories; at the end it is at least one name. */
static bool match_path(const char *p, const char *s, uint64_t *work)
{
	const char *star = NULL, *again = NULL;
	for (;;) {
		const char *p_end = end_of(p), *s_end = end_of(s);
		const bool any = p_end - p == 2 && p[0] == '*' && p[1] == '*';
		if (any && !*p_end)
			return *s != '\0';
		if (any) {
			star = p = p_end + 1;
			again = s;
			continue;
		}
		if (match_name(p, p_end, s, s_end, work) && !*p_end == !*s_end) {
			if (!*p_end)
				return true;
			p = p_end + 1;
			s = s_end + 1;
		} else if (star && *end_of(again)) {
			p = star;
			s = again = end_of(again) + 1;
		} else {
			return false;
		}
	}
}

/* ---- values ---- */

struct values {
	const char *v[ATTR_N_];
	const struct git_attr *bottom; /* whose macros they are */
	const char *macro_values[MAX_MACROS];
	uint64_t *work;
	const char *binary;       /* of git's own macro: -diff -merge -text */
};

static void take(struct values *v, const struct setting *s, size_t n);

static void take_macro(struct values *v, const char **value, const struct setting *s, const struct setting *means, size_t n)
{
	if (*value)
		return;
	*value = s->value;
	if (s->value == set)
		take(v, means, n);
}

/* NOLINTNEXTLINE(misc-no-recursion): each macro once */
static void take(struct values *v, const struct setting *s, size_t n)
{
	static const struct setting binary = { "text", unset };
	while (n-- > 0) {
		size_t m = 0;
		for (size_t i = 0; i < ATTR_N_; i++)
			if (strcmp(attr_names[i], s[n].name) == 0 && !v->v[i])
				v->v[i] = s[n].value;
		*v->work += ATTR_N_ + v->bottom->n_macros;
		while (m < v->bottom->n_macros && strcmp(v->bottom->macros[m]->macro, s[n].name) != 0)
			m++;
		if (m < v->bottom->n_macros)
			take_macro(v, &v->macro_values[m], &s[n], v->bottom->macros[m]->settings, v->bottom->macros[m]->n);
		else if (strcmp(s[n].name, "binary") == 0)
			take_macro(v, &v->binary, &s[n], &binary, 1);
	}
}

static void find_values(const struct git_attr *a, const char *path, struct values *v)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	for (; a && *v->work < MAX_WORK; a = a->up) {
		const char *below = path + strlen(a->dir) + (*a->dir != '\0');
		for (size_t i = a->n_rules; i-- > 0;) {
			const struct rule *r = &a->rules[i];
			++*v->work;
			if (!r->pattern)
				continue;
			if (r->anchored ? match_path(r->pattern, below, v->work) :
				match_name(r->pattern, r->pattern + strlen(r->pattern), name, name + strlen(name), v->work))
				take(v, r->settings, r->n);
		}
	}
}

/* ---- what is done ---- */

struct stats {
	size_t nul, lone_cr, lone_lf, crlf, printable, nonprintable;
};

static struct stats gather(const char *p, size_t n)
{
	struct stats s = {0};
	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)p[i];
		if (c == '\r' && i + 1 < n && p[i + 1] == '\n') {
			s.crlf++;
			i++;
		} else if (c == '\r') {
			s.lone_cr++;
		} else if (c == '\n') {
			s.lone_lf++;
		} else if (c == '\b' || c == '\t' || c == '\033' || c == '\014' || (c >= 32 && c != 127)) {
			s.printable++;
		} else {
			s.nul += c == 0;
			s.nonprintable++;
		}
	}
	if (n && p[n - 1] == '\032')
		s.nonprintable--;
	return s;
}

static bool is_binary(const struct stats *s)
{
	return s->lone_cr || s->nul || s->printable >> 7 < s->nonprintable;
}

enum action { AS_IT_IS, TO_CRLF, TO_CRLF_IF_TEXT };

static enum action decide(const struct values *v)
{
	const char *text = v->v[ATTR_TEXT], *eol = v->v[ATTR_EOL];
	if (!text || text == unspecified || (text != set && text != unset && strcmp(text, "input") != 0 && strcmp(text, "auto") != 0))
		text = v->v[ATTR_CRLF];
	if (text == unset || !eol || eol == set || eol == unset || eol == unspecified || strcmp(eol, "crlf") != 0)
		return AS_IT_IS;
	return text && text != set && text != unspecified && strcmp(text, "auto") == 0 ? TO_CRLF_IF_TEXT : TO_CRLF;
}

static bool convert_lines(enum action action, const char *p, size_t n, struct str *out)
{
	const struct stats s = gather(p, n);
	if (!s.lone_lf || (action == TO_CRLF_IF_TEXT && (s.crlf || is_binary(&s))))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n' && (i == 0 || p[i - 1] != '\r'))
			str_addc(out, '\r');
		str_addc(out, p[i]);
	}
	return true;
}

/* "$Id$" and "$Id: …$" of ours become "$Id: HEX $"; one that another system has filled stays. */
static bool expand_ident(const char *p, size_t n, const char *hex, struct str *out)
{
	const char *end = p + n, *from = p, *at;
	bool any = false;
	while ((at = memmem(from, (size_t)(end - from), "$Id", 3))) {
		const char *close = at + 3 < end ? memchr(at + 3, '$', (size_t)(end - at) - 3) : NULL, *blank;
		str_addn(out, from, (size_t)(at - from) + 3);
		from = at + 3;
		if (!close || (*from != '$' && *from != ':') || memchr(from, '\n', (size_t)(close - from)))
			continue;
		blank = close - from >= 2 ? memchr(from + 2, ' ', (size_t)(close - from) - 2) : NULL;
		if (blank && blank < close - 1)
			continue;
		str_addf(out, ": %s $", hex);
		from = close + 1;
		any = true;
	}
	str_addn(out, from, (size_t)(end - from));
	return any;
}

static void replace(char **bytes, size_t *n, struct str *with)
{
	free(*bytes);
	*n = with->len;
	*bytes = str_take(with);
}

int git_attr_apply(struct git_attr *a, const char *path, const char *hex, char **bytes, size_t *n, bool *ret_encoded, struct err *err)
{
	struct git_attr *bottom = a;
	struct values v;
	enum action action;
	const char *encoding;
	*ret_encoded = false;
	if (!a)
		return 0;
	while (bottom->up)
		bottom = bottom->up;
	v = (struct values){ .bottom = bottom, .work = &bottom->work };
	find_values(a, path, &v);
	if (bottom->work >= MAX_WORK)
		return err_set(err, ERR_INVALID, "its .gitattributes files take too long to compare");
	if (v.v[ATTR_IDENT] == set) {
		AUTO_STR struct str out = {0};
		if (expand_ident(*bytes, *n, hex, &out))
			replace(bytes, n, &out);
	}
	action = decide(&v);
	if (action != AS_IT_IS && *n) {
		AUTO_STR struct str out = {0};
		if (convert_lines(action, *bytes, *n, &out))
			replace(bytes, n, &out);
	}
	encoding = v.v[ATTR_ENCODING];
	*ret_encoded = encoding && encoding != set && encoding != unset && encoding != unspecified && strcasecmp(encoding, "utf-8") != 0 &&
		strcasecmp(encoding, "utf8") != 0;
	return 0;
}
