/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a template: a scanner that splits it at {{ and }} (strings inside an action may hold either), and a parser by descent. Blocks are
 * kept on a stack of their own depth, so that no template can exhaust ours. */
#include "compose/template.h"

#include <ctype.h>
#include <stdio.h>

#include "compose/template_impl.h"

struct open_block {
	struct node *node;
	struct node **tail;      /* where the next node goes after its end */
	bool otherwise;          /* behind its else */
	bool chained;            /* of "else if": its end is its parent's end, too */
};

struct parser {
	struct template *t;
	const char *at, *end;    /* within the action, or the text */
	unsigned line, depth;
	struct open_block blocks[TEMPLATE_MAX_DEPTH];
	size_t n_blocks;
	const char **variables;  /* that are declared */
	size_t n_variables, cap_variables;
	struct node **tail;
	struct err *err;
};

static int fail(struct parser *p, const char *fmt, ...) PRINTF(2, 3);
static int fail(struct parser *p, const char *fmt, ...)
{
	va_list ap;
	char text[200];
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(p->err, ERR_INVALID, "template parsing error: template: :%u: %s", p->line, text);
}

static void skip_space(struct parser *p)
{
	for (; p->at < p->end && isspace((unsigned char)*p->at); p->at++)
		p->line += *p->at == '\n';
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static const char *take_name(struct parser *p)
{
	const char *start = p->at;
	while (p->at < p->end && is_name(*p->at))
		p->at++;
	return arena_strndup(p->t->arena, start, (size_t)(p->at - start));
}

static const json_t *keep(struct parser *p, json_t *v)
{
	json_array_append_new(p->t->literals, v);
	return v;
}

/* ---- operands ---- */

/* "\x41", "\u00e9", "\U0001f600", "\101" at the backslash, which is left at its last digit. False: it is none. */
static bool take_code(struct parser *p, struct str *ret)
{
	static const struct { char kind; unsigned digits; int base; } kinds[] = { { 'x', 2, 16 }, { 'u', 4, 16 }, { 'U', 8, 16 }, { 0, 3, 8 } };
	const char *at = p->at + 1;
	char digits[9] = "", *end;
	size_t k = 0;
	unsigned long code;
	while (kinds[k].kind && (at == p->end || *at != kinds[k].kind))
		k++;
	at += kinds[k].kind != 0;
	if ((size_t)(p->end - at) < kinds[k].digits)
		return false;
	memcpy(digits, at, kinds[k].digits);
	code = strtoul(digits, &end, kinds[k].base);
	if (*end || !isxdigit((unsigned char)*digits) || code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return false;
	if (kinds[k].digits < 4)
		str_addc(ret, (char)code);
	else
		str_add_utf8(ret, (uint32_t)code);
	p->at = at + kinds[k].digits - 1;
	return true;
}

static int take_string(struct parser *p, struct operand *ret)
{
	AUTO_STR struct str s = {0};
	char quote = *p->at++;
	for (; p->at < p->end && *p->at != quote; p->at++) {
		static const char from[] = "abfnrtv\\\"'", to[] = "\a\b\f\n\r\t\v\\\"'";
		const char *found;
		if (*p->at == '\n' && quote != '`')
			return fail(p, "unterminated quoted string");
		if (*p->at != '\\' || quote == '`') {
			str_addc(&s, *p->at);
			continue;
		}
		found = p->at + 1 < p->end && p->at[1] ? strchr(from, p->at[1]) : NULL;
		if (!found && take_code(p, &s))
			continue;
		if (!found)
			return fail(p, "invalid syntax in a quoted string");
		str_addc(&s, to[found - from]);
		p->at++;
	}
	if (p->at == p->end)
		return fail(p, "unterminated quoted string");
	p->at++;
	ret->kind = OPERAND_LITERAL;
	if (quote == '\'') {
		const unsigned char *c = (const unsigned char *)str_get(&s);
		const size_t n = str_utf8_len(c);
		uint32_t code = n < 2 ? *c : *c & (0xffU >> (n + 1));
		if (s.len == 0 || n != s.len)
			return fail(p, "malformed character constant: '%.30s'", str_get(&s));
		for (size_t i = 1; i < n; i++)
			code = code << 6 | (c[i] & 0x3fU);
		ret->value = keep(p, json_integer((json_int_t)code));
		return 0;
	}
	ret->value = keep(p, json_text(str_get(&s)));
	return 0;
}

static int take_number(struct parser *p, struct operand *ret)
{
	char text[40], *end;
	size_t n = 0;
	while (p->at < p->end && n < sizeof(text) - 1 && (isalnum((unsigned char)*p->at) || strchr("+-._", *p->at))) {
		if (*p->at != '_') /* 1_000 */
			text[n++] = *p->at;
		p->at++;
	}
	text[n] = '\0';
	ret->kind = OPERAND_LITERAL;
	errno = 0;
	const char *prefix = text[0] == '0' ? text : "", *digits = (prefix[0] && strchr("oObB", prefix[1]) && prefix[1]) ? text + 2 : text;
	long long i = strtoll(digits, &end, digits == text ? 0 : tolower((unsigned char)text[1]) == 'o' ? 8 : 2);
	if (errno == 0 && end != digits && !*end && (digits == text || isalnum((unsigned char)*digits))) {
		ret->value = keep(p, json_integer(i));
		return 0;
	}
	double d = strtod(text, &end);
	json_t *real = !*end && end != text ? json_real(d) : NULL; /* NULL for infinities, too */
	if (!real)
		return fail(p, "bad number syntax: \"%.30s\"", text);
	ret->value = keep(p, real);
	return 0;
}

static int take_pipeline(struct parser *p, struct pipeline **ret);

static int take_fields(struct parser *p, struct operand *o)
{
	while (p->at + 1 < p->end && *p->at == '.' && is_name(p->at[1])) {
		p->at++;
		o->fields = arena_grow(p->t->arena, o->fields, o->n_fields, &o->cap, sizeof(*o->fields));
		o->fields[o->n_fields++] = take_name(p);
	}
	return 0;
}

static bool is_declared(const struct parser *p, const char *name)
{
	for (size_t i = 0; i < p->n_variables; i++)
		if (strcmp(p->variables[i], name) == 0)
			return true;
	return strcmp(name, "$") == 0;
}

static int take_word(struct parser *p, struct operand *ret)
{
	const char *name = take_name(p);
	static const char *const keywords[] = { "if", "else", "end", "range", "with", "define", "template", "block", "break", "continue" };
	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
		if (strcmp(name, keywords[i]) == 0)
			return fail(p, "unexpected <%s> in operand", name);
	if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0) {
		ret->kind = OPERAND_LITERAL;
		ret->value = keep(p, json_boolean(*name == 't'));
		return 0;
	}
	if (strcmp(name, "nil") == 0) {
		ret->kind = OPERAND_LITERAL;
		ret->value = keep(p, json_null());
		return 0;
	}
	if (!template_is_function(name))
		return fail(p, "function \"%.60s\" not defined", name);
	ret->kind = OPERAND_FUNCTION;
	ret->name = name;
	return 0;
}

static int take_operand(struct parser *p, struct operand *ret)
{
	const char *start = p->at;
	int rc;
	*ret = (struct operand){0};
	if (*p->at == '"' || *p->at == '`' || *p->at == '\'') {
		rc = take_string(p, ret);
	} else if (isdigit((unsigned char)*p->at) || ((*p->at == '-' || *p->at == '+') && p->at + 1 < p->end && isdigit((unsigned char)p->at[1]))) {
		rc = take_number(p, ret);
	} else if (*p->at == '$') {
		p->at++;
		ret->kind = OPERAND_VARIABLE;
		ret->name = arena_printf(p->t->arena, "$%s", take_name(p));
		rc = is_declared(p, ret->name) ? take_fields(p, ret) : fail(p, "undefined variable \"%.60s\"", ret->name);
	} else if (*p->at == '(') {
		if (++p->depth > TEMPLATE_MAX_DEPTH)
			return fail(p, "parentheses within parentheses, too deep");
		p->at++;
		ret->kind = OPERAND_PIPE;
		rc = take_pipeline(p, &ret->pipe);
		p->depth--;
		if (rc == 0 && (p->at == p->end || *p->at != ')'))
			return fail(p, "unclosed left paren");
		p->at += rc == 0;
		if (rc == 0)
			rc = take_fields(p, ret);
	} else if (*p->at == '.') {
		ret->kind = OPERAND_FIELD;
		rc = take_fields(p, ret);
		p->at += rc == 0 && ret->n_fields == 0;
	} else if (is_name(*p->at)) {
		rc = take_word(p, ret);
	} else {
		return fail(p, "unexpected \"%c\" in operand", isprint((unsigned char)*p->at) ? *p->at : '?');
	}
	ret->text = arena_strndup(p->t->arena, start, (size_t)(p->at - start));
	if (rc == 0 && p->at < p->end && !isspace((unsigned char)*p->at) && *p->at != '|' && *p->at != ')')
		return fail(p, "unexpected \"%c\" after \"%.60s\"", isprint((unsigned char)*p->at) ? *p->at : '?', ret->text);
	return rc;
}

/* ---- pipelines ---- */

static int take_command(struct parser *p, struct pipeline *pipe)
{
	struct command c = {0};
	for (skip_space(p); p->at < p->end && *p->at != '|' && *p->at != ')'; skip_space(p)) {
		c.args = arena_grow(p->t->arena, c.args, c.n, &c.cap, sizeof(*c.args));
		if (take_operand(p, &c.args[c.n++]) < 0)
			return -1;
	}
	if (c.n == 0)
		return fail(p, "missing value for command");
	if (c.args[0].kind == OPERAND_LITERAL && json_is_null(c.args[0].value))
		return fail(p, "nil is not a command");
	if (c.n > 1 && c.args[0].kind != OPERAND_FUNCTION)
		return fail(p, "can't give argument to non-function %.60s", c.args[0].text);
	if (pipe->n > 0 && c.args[0].kind != OPERAND_FUNCTION)
		return fail(p, "non executable command in pipeline stage %zu", pipe->n + 1);
	pipe->commands = arena_grow(p->t->arena, pipe->commands, pipe->n, &pipe->cap, sizeof(*pipe->commands));
	pipe->commands[pipe->n++] = c;
	return 0;
}

/* "$x :=", "$x =", "$i, $x :=" in front of a pipeline. */
static int take_variables(struct parser *p, struct pipeline *pipe)
{
	const char *start = p->at;
	const char *names[2];
	size_t n = 0;
	while (n < 2 && p->at < p->end && *p->at == '$') {
		p->at++;
		names[n++] = arena_printf(p->t->arena, "$%s", take_name(p));
		skip_space(p);
		if (p->at == p->end || *p->at != ',')
			break;
		p->at++;
		skip_space(p);
	}
	if (n == 0 || p->end - p->at < 2 || !(*p->at == '=' || (p->at[0] == ':' && p->at[1] == '='))) {
		p->at = start;
		return 0;
	}
	pipe->assign = *p->at == '=';
	p->at += pipe->assign ? 1 : 2;
	for (size_t i = 0; i < n; i++) {
		if (pipe->assign && !is_declared(p, names[i]))
			return fail(p, "undefined variable \"%.60s\"", names[i]);
		pipe->variables[pipe->n_variables++] = names[i];
	}
	return 0;
}

static void declare(struct parser *p, const struct pipeline *pipe)
{
	for (size_t i = 0; i < pipe->n_variables && !pipe->assign; i++) {
		p->variables = vec_grow(p->variables, p->n_variables, &p->cap_variables, sizeof(*p->variables));
		p->variables[p->n_variables++] = pipe->variables[i];
	}
}

static int take_pipeline(struct parser *p, struct pipeline **ret)
{
	struct pipeline *pipe = arena_alloc(p->t->arena, sizeof(*pipe));
	skip_space(p);
	pipe->line = p->line;
	if (take_variables(p, pipe) < 0)
		return -1;
	do {
		if (take_command(p, pipe) < 0)
			return -1;
		skip_space(p);
	} while (p->at < p->end && *p->at == '|' && p->at++);
	declare(p, pipe);
	*ret = pipe;
	return 0;
}

/* The pipeline of an action, up to its end. */
static int take_whole(struct parser *p, struct pipeline **ret)
{
	if (take_pipeline(p, ret) < 0)
		return -1;
	return p->at == p->end ? 0 : fail(p, "unexpected right paren");
}

/* ---- actions ---- */

static struct node *add_node(struct parser *p, enum node_kind kind)
{
	struct node *n = arena_alloc(p->t->arena, sizeof(*n));
	n->kind = kind;
	*p->tail = n;
	p->tail = &n->next;
	return n;
}

static int open_block(struct parser *p, enum node_kind kind, bool chained)
{
	struct node *n;
	if (p->n_blocks == TEMPLATE_MAX_DEPTH)
		return fail(p, "blocks within blocks, too deep");
	n = add_node(p, kind);
	if (take_whole(p, &n->pipe) < 0)
		return -1;
	if (kind != NODE_RANGE && n->pipe->n_variables > 1)
		return fail(p, "too many declarations");
	p->blocks[p->n_blocks++] = (struct open_block){ .node = n, .tail = &n->next, .chained = chained };
	p->tail = &n->body;
	return 0;
}

static int take_else(struct parser *p)
{
	struct open_block *b = p->n_blocks ? &p->blocks[p->n_blocks - 1] : NULL;
	if (!b || b->otherwise)
		return fail(p, "unexpected {{else}}");
	b->otherwise = true;
	p->tail = &b->node->otherwise;
	skip_space(p);
	if (p->at == p->end)
		return 0;
	if (p->end - p->at > 3 && strncmp(p->at, "if", 2) == 0 && isspace((unsigned char)p->at[2]) && b->node->kind == NODE_IF) {
		p->at += 2;
		return open_block(p, NODE_IF, true);
	}
	if (p->end - p->at > 5 && strncmp(p->at, "with", 4) == 0 && isspace((unsigned char)p->at[4]) && b->node->kind == NODE_WITH) {
		p->at += 4;
		return open_block(p, NODE_WITH, true);
	}
	return fail(p, "unexpected text after else");
}

static int take_end(struct parser *p)
{
	bool chained;
	skip_space(p);
	if (p->n_blocks == 0)
		return fail(p, "unexpected {{end}}");
	if (p->at != p->end)
		return fail(p, "unexpected text after end");
	do {
		chained = p->blocks[p->n_blocks - 1].chained;
		p->tail = p->blocks[--p->n_blocks].tail;
	} while (chained);
	return 0;
}

static int take_leave(struct parser *p, enum node_kind kind, const char *word)
{
	bool inside = false;
	skip_space(p);
	for (size_t i = 0; i < p->n_blocks; i++)
		inside = inside || (p->blocks[i].node->kind == NODE_RANGE && !p->blocks[i].otherwise);
	if (!inside)
		return fail(p, "{{%s}} outside {{range}}", word);
	if (p->at != p->end)
		return fail(p, "unexpected text after %s", word);
	add_node(p, kind);
	return 0;
}

static bool take_keyword(struct parser *p, const char *word)
{
	size_t n = strlen(word);
	if ((size_t)(p->end - p->at) < n || strncmp(p->at, word, n) != 0 || ((size_t)(p->end - p->at) > n && is_name(p->at[n])))
		return false;
	p->at += n;
	return true;
}

static int take_action(struct parser *p)
{
	skip_space(p);
	if (p->at == p->end)
		return fail(p, "missing value for command");
	if (take_keyword(p, "if"))
		return open_block(p, NODE_IF, false);
	if (take_keyword(p, "range"))
		return open_block(p, NODE_RANGE, false);
	if (take_keyword(p, "with"))
		return open_block(p, NODE_WITH, false);
	if (take_keyword(p, "else"))
		return take_else(p);
	if (take_keyword(p, "end"))
		return take_end(p);
	if (take_keyword(p, "break"))
		return take_leave(p, NODE_BREAK, "break");
	if (take_keyword(p, "continue"))
		return take_leave(p, NODE_CONTINUE, "continue");
	return take_whole(p, &add_node(p, NODE_ACTION)->pipe);
}

/* ---- text and actions ---- */

/* Where the action that begins at `from` ends: its "}}"; NULL when it does not. */
static const char *find_close(const char *from, const char *end)
{
	for (const char *c = from; c + 1 < end; c++) {
		if (*c == '"' || *c == '`' || *c == '\'') {
			char quote = *c;
			for (c++; c < end && *c != quote; c++)
				c += *c == '\\' && quote != '`' && c + 1 < end;
		} else if (c[0] == '}' && c[1] == '}') {
			return c;
		}
	}
	return NULL;
}

static void add_text(struct parser *p, const char *from, const char *to, bool trim_left, bool trim_right)
{
	for (const char *c = from; c < to; c++)
		p->line += *c == '\n';
	while (trim_left && from < to && isspace((unsigned char)*from))
		from++;
	while (trim_right && from < to && isspace((unsigned char)to[-1]))
		to--;
	if (from < to)
		add_node(p, NODE_TEXT)->text = arena_strndup(p->t->arena, from, (size_t)(to - from));
}

static int parse(struct parser *p, const char *text)
{
	const char *end = text + strlen(text);
	bool trim = false;
	while (text < end) {
		const char *open = strstr(text, "{{"), *inner = open ? open + 2 : end, *close;
		bool trim_before = open && inner + 1 < end && inner[0] == '-' && isspace((unsigned char)inner[1]);
		add_text(p, text, open ? open : end, trim, trim_before);
		if (!open)
			return 0;
		inner += trim_before ? 2 : 0;
		if (str_starts(inner, "/*")) {
			close = strstr(inner, "*/");
			close = close ? close + 2 : NULL;
			trim = close && str_starts(close, " -}}");
			if (!close || !str_starts(close + (trim ? 2 : 0), "}}"))
				return fail(p, "unclosed comment");
			text = close + (trim ? 4 : 2);
			continue;
		}
		close = find_close(inner, end);
		if (!close)
			return fail(p, "unclosed action");
		trim = close - inner >= 2 && close[-1] == '-' && isspace((unsigned char)close[-2]);
		p->at = inner;
		p->end = close - (trim ? 2 : 0);
		if (take_action(p) < 0)
			return -1;
		text = close + 2;
	}
	return 0;
}

struct template *template_new(const char *text, struct err *err)
{
	struct template *t = xcalloc(1, sizeof(*t));
	struct parser *p = xcalloc(1, sizeof(*p));
	int rc;
	t->arena = arena_new();
	t->literals = json_array();
	*p = (struct parser){ .t = t, .line = 1, .tail = &t->nodes, .err = err };
	rc = strlen(text) > TEMPLATE_MAX_BYTES ? fail(p, "longer than the %d bytes allowed", TEMPLATE_MAX_BYTES) : parse(p, text);
	if (rc == 0 && p->n_blocks)
		rc = fail(p, "unexpected EOF");
	free(p->variables);
	free(p);
	return rc < 0 ? template_free(t) : t;
}

struct template *template_free(struct template *t)
{
	if (!t)
		return NULL;
	arena_free(t->arena);
	json_decref(t->literals);
	free(t);
	return NULL;
}
