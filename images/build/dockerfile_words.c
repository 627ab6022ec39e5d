/* SPDX-License-Identifier: Apache-2.0 */
/* One joined line becomes a node: keyword, flags, and the words by the keyword's own rules. Words stay verbatim (quotes and escapes are the
 * expansion's business); flags lose their quotes here. Spaces are Unicode's where BuildKit's are. */
#include <stdio.h>
#include <strings.h>

#include "images/build/dockerfile_impl.h"
#include "images/build/expand.h"

struct words {
	struct dockerfile_word *v;
	size_t n, cap;
};

struct split {
	struct dockerfile_parser *p;
	struct dockerfile_node *n;
	const char *original;    /* offsets count from here */
	int depth;
	struct words words;
};

static size_t utf8_code(const char *s, uint32_t *ret)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = str_utf8_len(u);
	if (n <= 1)
		*ret = n ? u[0] : 0xfffd;
	else if (n == 2)
		*ret = (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	else if (n == 3)
		*ret = (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	else
		*ret = (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
	return n;
}

size_t dockerfile_space_len(const char *s)
{
	uint32_t c;
	size_t n;
	if ((unsigned char)*s < 0x80)
		return *s == ' ' || (*s >= '\t' && *s <= '\r');
	n = utf8_code(s, &c);
	if (!n)
		return 0;
	return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
			       c == 0x3000 ?
		       n :
		       0;
}

size_t dockerfile_letter_len(const char *s)
{
	/* the letters and digits of the scripts that are written most, first and last of each range */
	static const uint32_t ranges[][2] = {
		{ 0xaa, 0xaa }, { 0xb5, 0xb5 }, { 0xba, 0xba }, { 0xc0, 0xd6 }, { 0xd8, 0xf6 }, { 0xf8, 0x2c1 }, { 0x370, 0x373 }, { 0x376, 0x377 },
		{ 0x37b, 0x37d }, { 0x37f, 0x37f }, { 0x386, 0x386 }, { 0x388, 0x3f5 }, { 0x3f7, 0x481 }, { 0x48a, 0x556 }, { 0x561, 0x587 },
		{ 0x5d0, 0x5ea }, { 0x620, 0x64a }, { 0x660, 0x669 }, { 0x671, 0x6d3 }, { 0x904, 0x939 }, { 0x966, 0x96f }, { 0xe01, 0xe30 },
		{ 0x10a0, 0x10fa }, { 0x10fc, 0x1248 }, { 0x1e00, 0x1fbc }, { 0x3041, 0x3096 }, { 0x30a1, 0x30fa }, { 0x3105, 0x312f },
		{ 0x3131, 0x318e }, { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0xa000, 0xa48c }, { 0xac00, 0xd7a3 }, { 0xf900, 0xfa6d },
		{ 0xff10, 0xff19 }, { 0xff21, 0xff3a }, { 0xff41, 0xff5a }, { 0x20000, 0x323af },
	};
	uint32_t c;
	size_t n;
	if ((unsigned char)*s < 0x80)
		return (*s >= '0' && *s <= '9') || *s == '_' || ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z');
	n = utf8_code(s, &c);
	for (size_t i = 0; n && i < ARRAY_SIZE(ranges); i++) {
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return n;
	}
	return 0;
}

const char *dockerfile_skip_space(const char *s)
{
	for (size_t n; (n = dockerfile_space_len(s)) > 0; s += n)
		;
	return s;
}

size_t dockerfile_trimmed_len(const char *s, size_t n)
{
	while (n) {
		size_t start = n - 1;
		while (start && n - start < 4 && ((unsigned char)s[start] & 0xc0) == 0x80)
			start--;
		if (dockerfile_space_len(s + start) != n - start)
			break;
		n = start;
	}
	return n;
}

/* The blanks that separate words: fewer than Unicode's. */
static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

static void add_word(struct split *s, const char *text, size_t n, const char *at)
{
	s->words.v = arena_grow(s->p->arena, s->words.v, s->words.n, &s->words.cap, sizeof(*s->words.v));
	s->words.v[s->words.n++] = (struct dockerfile_word){
		.text = arena_strndup(s->p->arena, text, n),
		.at = (size_t)(at - s->original),
	};
}

static struct diag *split_error(struct split *s, const char *at, const char *message)
{
	return diag_error(s->p->ds, dockerfile_pos(s->n, (size_t)(at - s->original)), "", "%s", message);
}

/* Flags in front: what begins with "--"; "--" alone ends them. Returns what follows. */
static const char *split_flags(struct split *s, const char *line)
{
	struct dockerfile_node *n = s->n;
	size_t cap = 0;
	for (;;) {
		AUTO_STR struct str flag = { 0 };
		const char *p = dockerfile_skip_space(line), *start = p;
		char quote = 0;
		if (p[0] != '-' || p[1] != '-')
			return p;
		for (; *p && (quote || !dockerfile_space_len(p)); p++) {
			if (!quote && (*p == '"' || *p == '\'')) {
				quote = *p;
			} else if (quote && *p == quote) {
				quote = 0;
			} else if (*p == s->p->df->escape) {
				if (!p[1])
					continue;
				str_addc(&flag, *++p);
			} else {
				str_addc(&flag, *p);
			}
		}
		line = p;
		if (str_eq(str_get(&flag), "--"))
			return p;
		n->flags = arena_grow(s->p->arena, n->flags, n->n_flags, &cap, sizeof(*n->flags));
		n->flags[n->n_flags++] = (struct dockerfile_word){
			.text = arena_strndup(s->p->arena, str_get(&flag), flag.len),
			.at = (size_t)(start - s->original),
		};
	}
}

/* Words that blanks separate, quotes and escapes respected and kept: ENV, LABEL, ARG. */
static void split_quoted(struct split *s, const char *rest)
{
	char escape = s->p->df->escape;
	for (const char *p = dockerfile_skip_space(rest); *p; p = dockerfile_skip_space(p)) {
		const char *start = p;
		size_t dropped = 0;
		char quote = 0;
		for (; *p && (quote || !dockerfile_space_len(p)); p++) {
			if (quote && *p == quote) {
				quote = 0;
			} else if (!quote && (*p == '"' || *p == '\'')) {
				quote = *p;
			} else if (*p == escape && quote != '\'') {
				if (p[1])
					p++;
				else
					dropped = 1;
			}
		}
		if ((size_t)(p - start) > dropped)
			add_word(s, start, (size_t)(p - start) - dropped, start);
	}
}

static void split_blanks(struct split *s, const char *rest)
{
	for (const char *p = rest; *rest;) {
		const char *start = p;
		while (*p && !is_blank(*p))
			p++;
		add_word(s, start, (size_t)(p - start), start);
		if (!*p)
			break;
		while (is_blank(*p))
			p++;
	}
}

/* ENV and LABEL: `name=value…`, or the old `name value`. */
static int split_pairs(struct split *s, const char *rest, const char *keyword)
{
	struct words words;
	split_quoted(s, rest);
	words = s->words;
	s->words = (struct words){ 0 };
	if (!words.n)
		return 0;
	if (!strchr(words.v[0].text, '=')) {
		const char *end = rest, *value;
		while (*end && !is_blank(*end))
			end++;
		for (value = end; is_blank(*value); value++)
			;
		if (!*end) {
			char message[64];
			snprintf(message, sizeof(message), "%s must have two arguments", keyword);
			diag_hint(s->p->ds, split_error(s, rest, message), "%s %s=VALUE", keyword, diag_quote(s->p->ds, words.v[0].text));
			return -1;
		}
		add_word(s, rest, (size_t)(end - rest), rest);
		add_word(s, value, strlen(value), value);
		add_word(s, "", 0, value);
		return 0;
	}
	for (size_t i = 0; i < words.n; i++) {
		const char *text = words.v[i].text, *equals = strchr(text, '='), *at = s->original + words.v[i].at;
		if (!equals) {
			struct diag *d = diag_error(s->p->ds, dockerfile_pos(s->n, words.v[i].at), "", "can't find = in \"%s\"", diag_quote(s->p->ds, text));
			diag_hint(s->p->ds, d, "it must be NAME=VALUE; a value with spaces needs quotation marks");
			return -1;
		}
		add_word(s, text, (size_t)(equals - text), at);
		add_word(s, equals + 1, strlen(equals + 1), at + (equals - text) + 1);
		add_word(s, "=", 1, at + (equals - text));
	}
	return 0;
}

/* A JSON array of strings: 1 when it is one, 0 when it is none, -1 + error. */
static int split_json(struct split *s, const char *rest)
{
	const char **v;
	size_t n;
	const char *p = dockerfile_skip_space(rest);
	int r = *p == '[' ? dockerfile_parse_json(s->p->arena, p, &v, &n) : 1;
	if (r == 1)
		return 0;
	if (r > 1) {
		split_error(s, p, "a JSON array here may hold strings only");
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		add_word(s, v[i], strlen(v[i]), p);
	s->n->json = true;
	return 1;
}

static int split_rest(struct split *s, const char *rest)
{
	if (*rest)
		add_word(s, rest, strlen(rest), rest);
	return 0;
}

static int split_command(struct split *s, const char *rest)
{
	int r = *rest ? split_json(s, rest) : 1;
	if (r)
		return r < 0 ? -1 : 0;
	return split_rest(s, rest);
}

static int split_list(struct split *s, const char *rest)
{
	int r = split_json(s, rest);
	if (r == 0)
		split_blanks(s, rest);
	return r < 0 ? -1 : 0;
}

static int split_plain(struct split *s, const char *rest)
{
	split_blanks(s, rest);
	return 0;
}

static int split_arg(struct split *s, const char *rest)
{
	split_quoted(s, rest);
	return 0;
}

static int split_env(struct split *s, const char *rest)
{
	return split_pairs(s, rest, "ENV");
}

static int split_label(struct split *s, const char *rest)
{
	return split_pairs(s, rest, "LABEL");
}

static int split_health(struct split *s, const char *rest)
{
	const char *end = rest;
	while (*end && !dockerfile_space_len(end))
		end++;
	if (end == rest)
		return 0;
	add_word(s, rest, (size_t)(end - rest), rest);
	return split_command(s, dockerfile_skip_space(end));
}

static int split_trigger(struct split *s, const char *rest)
{
	struct dockerfile_node *n;
	if (!*rest)
		return 0;
	if (s->depth >= DOCKERFILE_MAX_TRIGGERS) {
		split_error(s, rest, "ONBUILD within ONBUILD is not allowed");
		return -1;
	}
	n = arena_alloc(s->p->arena, sizeof(*n));
	*n = *s->n;
	n->original = s->original;
	n->flags = NULL;
	n->n_flags = 0;
	n->comments = NULL;
	n->n_comments = 0;
	s->n->trigger = n;
	return dockerfile_split(s->p, n, rest, s->depth + 1);
}

static const struct rule {
	const char *keyword;
	int (*fn)(struct split *s, const char *rest);
	bool heredocs;
} rules[] = {
	{ "add", split_list, true }, { "arg", split_arg, false }, { "cmd", split_command, false }, { "copy", split_list, true },
	{ "entrypoint", split_command, false }, { "env", split_env, false }, { "expose", split_plain, false }, { "from", split_plain, false },
	{ "healthcheck", split_health, false }, { "label", split_label, false }, { "maintainer", split_rest, false },
	{ "onbuild", split_trigger, false }, { "run", split_command, true }, { "shell", split_command, false },
	{ "stopsignal", split_rest, false }, { "user", split_rest, false }, { "volume", split_list, false }, { "workdir", split_rest, false },
};

static const struct rule *find_rule(const char *keyword)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		if (strcasecmp(keyword, rules[i].keyword) == 0)
			return &rules[i];
	}
	return NULL;
}

bool dockerfile_is_keyword(const char *keyword)
{
	return find_rule(keyword) != NULL;
}

bool dockerfile_takes_heredocs(const struct dockerfile_node *n)
{
	const struct rule *r = find_rule(n->keyword);
	if (r && r->fn == split_trigger && n->trigger) {
		n = n->trigger;
		r = find_rule(n->keyword);
	}
	return r && r->heredocs && !n->json;
}

int dockerfile_split(struct dockerfile_parser *p, struct dockerfile_node *n, const char *line, int depth)
{
	struct split s = { .p = p, .n = n, .original = n->original, .depth = depth };
	const struct rule *rule;
	const char *end;
	char *rest;
	line = dockerfile_skip_space(line);
	for (end = line; *end && !is_blank(*end); end++)
		;
	n->keyword = arena_strndup(p->arena, line, dockerfile_trimmed_len(line, (size_t)(end - line)));
	line = split_flags(&s, end);
	line = dockerfile_skip_space(line);
	rest = arena_strndup(p->arena, n->original, dockerfile_trimmed_len(n->original, strlen(n->original)));
	s.original = rest;
	rest += MIN((size_t)(line - n->original), strlen(rest));
	n->rest = rest;
	rule = find_rule(n->keyword);
	if (!rule) {
		add_word(&s, "", 0, rest);
	} else if (rule->fn(&s, rest) < 0) {
		return -1;
	}
	n->words = s.words.v;
	n->n_words = s.words.n;
	return 0;
}

bool dockerfile_is_heredoc(struct arena *a, const char *word, struct dockerfile_heredoc *ret)
{
	const struct expand_env none = { 0 };
	AUTO_STRV struct strv words = { 0 }, raw = { 0 };
	const char *p = word;
	unsigned long fd = 0;
	bool chomp;
	size_t quotes = 0, raw_quotes = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		fd = fd < 100000 ? fd * 10 + (unsigned long)(*p - '0') : fd;
	if (p[0] != '<' || p[1] != '<')
		return false;
	chomp = p[2] == '-';
	p += chomp ? 3 : 2;
	while (*p == ' ' || (*p >= '\t' && *p <= '\r' && *p != '\v'))
		p++;
	if (!*p || strchr(p, '<'))
		return false;
	if (expand_words(p, '\\', EXPAND_SKIP_UNSET, &none, NULL, &words, NULL) < 0 || words.n != 1)
		return false;
	if (expand_words(p, '\\', EXPAND_SKIP_UNSET | EXPAND_RAW_QUOTES, &none, NULL, &raw, NULL) < 0 || raw.n != 1)
		return false;
	for (const char *c = words.v[0]; *c; c++)
		quotes += *c == '"' || *c == '\'';
	for (const char *c = raw.v[0]; *c; c++)
		raw_quotes += *c == '"' || *c == '\'';
	*ret = (struct dockerfile_heredoc){
		.name = arena_strdup(a, words.v[0]),
		.content = "",
		.fd = (unsigned)fd,
		.expand = quotes == raw_quotes,
		.chomp = chomp,
	};
	return true;
}

size_t dockerfile_find_heredocs(struct arena *a, const char *line, struct dockerfile_heredoc **ret)
{
	const struct expand_env none = { 0 };
	AUTO_STRV struct strv words = { 0 };
	size_t n = 0, cap = 0;
	*ret = NULL;
	if (expand_words(line, '\\', EXPAND_RAW_QUOTES | EXPAND_RAW_ESCAPES | EXPAND_SKIP_UNSET, &none, NULL, &words, NULL) < 0)
		return 0;
	for (size_t i = 0; i < words.n; i++) {
		struct dockerfile_heredoc h;
		if (!dockerfile_is_heredoc(a, words.v[i], &h))
			continue;
		*ret = arena_grow(a, *ret, n, &cap, sizeof(**ret));
		(*ret)[n++] = h;
	}
	return n;
}

const char *dockerfile_chomp(struct arena *a, const char *content)
{
	char *copy = arena_alloc(a, strlen(content) + 1), *to = copy;
	for (bool start = true; *content; content++) {
		if (start && *content == '\t')
			continue;
		start = *content == '\n';
		*to++ = *content;
	}
	return copy;
}
