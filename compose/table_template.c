/* SPDX-License-Identifier: Apache-2.0 */
/* A template is a list of pieces: literal text, or a pipeline of one operand and functions. Parsed once, rendered for each row.
 * {{fn X}} and {{X | fn}} are the same; what comes from before the pipe is the last argument, as in Go. */
#include "compose/table_template.h"

#include <ctype.h>
#include <stdio.h>

#include "compose/table.h"

enum { MAX_STEPS = 8 };

enum fn { FN_JSON, FN_UPPER, FN_LOWER, FN_TITLE, FN_LEN, FN_JOIN, FN_TRUNCATE, FN_PRINTLN, FN_N_ };

static const struct {
	const char *name;
	int literals;  /* arguments besides the value: join's separator, truncate's length */
} functions[FN_N_] = {
	[FN_JSON] = { "json", 0 }, [FN_UPPER] = { "upper", 0 }, [FN_LOWER] = { "lower", 0 }, [FN_TITLE] = { "title", 0 },
	[FN_LEN] = { "len", 0 }, [FN_JOIN] = { "join", 1 }, [FN_TRUNCATE] = { "truncate", 1 }, [FN_PRINTLN] = { "println", 0 },
};

struct step {
	enum fn fn;
	char *literal;
};

struct piece {
	char *text;            /* literal; NULL: a pipeline */
	char *field;           /* "A.B"; "" = the whole row; NULL with constant */
	char *constant;        /* a string in quotation marks */
	struct step steps[MAX_STEPS];
	size_t n_steps;
};

struct table_template {
	struct piece *v;
	size_t n, cap;
};

static struct piece *add_piece(struct table_template *t)
{
	t->v = vec_grow(t->v, t->n, &t->cap, sizeof(*t->v));
	t->v[t->n] = (struct piece){0};
	return &t->v[t->n++];
}

struct table_template *table_template_free(struct table_template *t)
{
	for (size_t i = 0; t && i < t->n; i++) {
		free(t->v[i].text);
		free(t->v[i].field);
		free(t->v[i].constant);
		for (size_t k = 0; k < t->v[i].n_steps; k++)
			free(t->v[i].steps[k].literal);
	}
	if (t)
		free(t->v);
	free(t);
	return NULL;
}

/* Literal text with \t, \n, \\ resolved. */
static char *unescape(const char *s, size_t n)
{
	AUTO_STR struct str out = {0};
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\' && i + 1 < n && strchr("tn\\\"", s[i + 1])) {
			i++;
			str_addc(&out, s[i] == 't' ? '\t' : s[i] == 'n' ? '\n' : s[i]);
		} else {
			str_addc(&out, s[i]);
		}
	}
	return str_take(&out);
}

/* The next word of an action: a string in quotation marks, "|", or anything up to a blank. NULL at the end; free() it. */
static char *next_word(const char **at, const char *end)
{
	const char *p = *at, *start;
	while (p < end && isspace((unsigned char)*p))
		p++;
	start = p;
	if (p == end)
		return NULL;
	if (*p == '"') {
		for (p++; p < end && *p != '"'; p++)
			p += *p == '\\' && p + 1 < end;
		p += p < end;
	} else if (*p == '|') {
		p++;
	} else {
		while (p < end && !isspace((unsigned char)*p) && *p != '|')
			p++;
	}
	*at = p;
	return xstrndup(start, (size_t)(p - start));
}

static int function_find(const char *word)
{
	for (int i = 0; i < FN_N_; i++)
		if (strcmp(functions[i].name, word) == 0)
			return i;
	return -1;
}

static bool is_string(const char *word)
{
	size_t n = word ? strlen(word) : 0;
	return n >= 2 && word[0] == '"' && word[n - 1] == '"';
}

static int set_operand(struct piece *p, const char *word, struct err *err)
{
	char quoted[80];
	if (p->field || p->constant)
		return err_set(err, ERR_INVALID, "template: unexpected \"%s\"", err_quote(quoted, sizeof(quoted), word));
	if (is_string(word)) {
		p->constant = unescape(word + 1, strlen(word) - 2);
		return 0;
	}
	for (const char *c = word + 1; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_' && *c != '.')
			return err_set(err, ERR_INVALID, "template: \"%s\" is not a field", err_quote(quoted, sizeof(quoted), word));
	p->field = xstrdup(word + 1);
	return 0;
}

static int add_step(struct piece *p, int fn, char *literal, struct err *err)
{
	if (p->n_steps == MAX_STEPS) {
		free(literal);
		return err_set(err, ERR_INVALID, "template: too many functions");
	}
	p->steps[p->n_steps++] = (struct step){ (enum fn)fn, literal };
	return 0;
}

/* One command between pipes: "[fn [literal]] [operand]" for the first, "fn [literal]" for the others. */
static int parse_command(struct piece *p, const char **at, const char *end, bool first, bool *ret_more, struct err *err)
{
	AUTO_FREE char *word = next_word(at, end), *literal = NULL;
	char quoted[80];
	int fn = -1, words = 0, rc = 0;
	*ret_more = false;
	for (; word && rc == 0; word = next_word(at, end)) {
		AUTO_FREE char *w = TAKE_PTR(word);
		if (strcmp(w, "|") == 0) {
			*ret_more = true;
			break;
		}
		if (words++ == 0 && function_find(w) >= 0)
			fn = function_find(w);
		else if (fn >= 0 && functions[fn].literals && !literal && *w != '.')
			literal = is_string(w) ? unescape(w + 1, strlen(w) - 2) : xstrdup(w);
		else if (first && (*w == '.' || *w == '"'))
			rc = set_operand(p, w, err);
		else
			rc = err_set(err, ERR_INVALID, "template: \"%s\" is not supported; known are fields and the functions json, upper, "
				     "lower, title, len, join, truncate, println", err_quote(quoted, sizeof(quoted), w));
	}
	if (rc < 0)
		return -1;
	if (words == 0 || (!first && fn < 0))
		return err_set(err, ERR_INVALID, "template: a command is missing");
	if (fn >= 0 && functions[fn].literals && !literal)
		return err_set(err, ERR_INVALID, "template: %s needs an argument", functions[fn].name);
	return fn < 0 ? 0 : add_step(p, fn, TAKE_PTR(literal), err);
}

static int parse_action(struct table_template *t, const char *s, const char *end, struct err *err)
{
	struct piece *p = add_piece(t);
	bool more;
	if (parse_command(p, &s, end, true, &more, err) < 0)
		return -1;
	if (!p->field && !p->constant)
		return err_set(err, ERR_INVALID, "template: a field is missing");
	while (more)
		if (parse_command(p, &s, end, false, &more, err) < 0)
			return -1;
	return 0;
}

static void add_text(struct table_template *t, const char *s, size_t n)
{
	if (n)
		add_piece(t)->text = unescape(s, n);
}

struct table_template *table_template_new(const char *text, struct err *err)
{
	struct table_template *t = xcalloc(1, sizeof(*t));
	while (*text) {
		const char *open = strstr(text, "{{"), *close = open ? strstr(open, "}}") : NULL, *from, *to;
		if (!open) {
			add_text(t, text, strlen(text));
			break;
		}
		if (!close) {
			err_set(err, ERR_INVALID, "template: \"{{\" without \"}}\"");
			return table_template_free(t);
		}
		from = open + 2;
		to = close;
		add_text(t, text, (size_t)(open - text));
		from += from + 1 < to && *from == '-' && from[1] == ' ';
		to -= to - 1 > from && to[-1] == '-' && to[-2] == ' ';
		if (parse_action(t, from, to, err) < 0)
			return table_template_free(t);
		text = close + 2;
	}
	return t;
}

/* A value as Go prints it. */
static void add_value(const json_t *v, struct str *ret)
{
	if (json_is_string(v)) {
		str_add(ret, json_string_value(v));
	} else if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v); i++) {
			str_add(ret, i ? " " : "[");
			add_value(json_array_get(v, i), ret);
		}
		str_add(ret, json_array_size(v) ? "]" : "[]");
	} else {
		AUTO_FREE char *s = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
		str_add(ret, s ? s : "");
	}
}

static const json_t *find_field(const json_t *row, const char *field, struct err *err)
{
	char quoted[80], name[128];
	const json_t *v = row;
	while (*field) {
		size_t n = strcspn(field, ".");
		snprintf(name, sizeof(name), "%.*s", (int)n, field);
		v = json_object_get(v, name);
		if (!v) {
			err_set(err, ERR_INVALID, "template: there is no field \"%s\"", err_quote(quoted, sizeof(quoted), name));
			return NULL;
		}
		field += n + (field[n] == '.');
	}
	return v;
}

static json_t *apply_case(const char *s, enum fn fn)
{
	AUTO_FREE char *copy = xstrdup(s);
	for (char *c = copy; *c; c++)
		if (fn == FN_UPPER || (fn == FN_TITLE && (c == copy || c[-1] == ' ')))
			*c = (char)toupper((unsigned char)*c);
		else if (fn == FN_LOWER)
			*c = (char)tolower((unsigned char)*c);
	return json_string_nocheck(copy);
}

static json_t *apply(const struct step *s, const json_t *v)
{
	AUTO_STR struct str out = {0};
	AUTO_FREE char *dump = NULL;
	uint64_t n = 0;
	switch (s->fn) {
	case FN_JSON:
		dump = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
		return json_string_nocheck(dump ? dump : "");
	case FN_LEN:
		return json_integer((json_int_t)(json_is_array(v) ? json_array_size(v) : json_is_object(v) ? json_object_size(v) : json_string_length(v)));
	case FN_JOIN:
		for (size_t i = 0; i < json_array_size(v); i++) {
			str_add(&out, i ? s->literal : "");
			add_value(json_array_get(v, i), &out);
		}
		return json_string_nocheck(str_get(&out));
	default:
		add_value(v, &out);
		break;
	}
	if (s->fn == FN_PRINTLN)
		str_addc(&out, '\n');
	if (s->fn == FN_TRUNCATE)
		return parse_u64(s->literal, 0, 1 << 20, &n) && n < out.len ? json_stringn_nocheck(out.p, n) : json_string_nocheck(str_get(&out));
	return s->fn == FN_PRINTLN ? json_string_nocheck(str_get(&out)) : apply_case(str_get(&out), s->fn);
}

int table_template_render(const struct table_template *t, const json_t *row, struct str *ret, struct err *err)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct piece *p = &t->v[i];
		AUTO_JSON json_t *v = NULL;
		const json_t *found;
		if (p->text) {
			str_add(ret, p->text);
			continue;
		}
		found = p->field ? find_field(row, p->field, err) : NULL;
		if (p->field && !found)
			return -1;
		v = p->field ? json_incref((json_t *)(uintptr_t)found) : json_string_nocheck(p->constant);
		for (size_t k = 0; k < p->n_steps; k++) {
			json_t *next = apply(&p->steps[k], v);
			json_decref(v);
			v = next;
		}
		add_value(v, ret);
	}
	return 0;
}

/* "RunningFor" → "RUNNING FOR", "ID" stays. */
static void add_heading(const char *field, struct str *ret)
{
	const char *last = strrchr(field, '.');
	field = last ? last + 1 : field;
	for (const char *c = field; *c; c++) {
		if (c > field && isupper((unsigned char)*c) && islower((unsigned char)c[-1]))
			str_addc(ret, ' ');
		str_addc(ret, (char)toupper((unsigned char)*c));
	}
}

void table_template_headings(const struct table_template *t, const json_t *headings, struct str *ret)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct piece *p = &t->v[i];
		const char *name = p->field ? json_get_str(headings, p->field, NULL) : NULL;
		if (p->text)
			str_add(ret, p->text);
		else if (name)
			str_add(ret, name);
		else if (p->field)
			add_heading(p->field, ret);
	}
}

/* Splits the line at tabs into the next row; a row with fewer cells is filled up. */
static void add_row(struct table *t, const char *line)
{
	for (size_t c = 0; c < t->columns; c++) {
		size_t n = c + 1 < t->columns ? strcspn(line, "\t") : strlen(line);
		AUTO_FREE char *cell = xstrndup(line, n);
		table_cell(t, cell);
		line += n + (line[n] == '\t');
	}
}

static int format_table(const struct table_template *t, const json_t *rows, const json_t *headings, struct str *ret, struct err *err)
{
	AUTO_STR struct str line = {0};
	struct table table;
	size_t columns = 1;
	int rc = 0;
	table_template_headings(t, headings, &line);
	for (const char *c = str_get(&line); *c; c++)
		columns += *c == '\t';
	table_init(&table, columns, 10, 3);
	add_row(&table, str_get(&line));
	for (size_t i = 0; i < json_array_size(rows) && rc == 0; i++) {
		str_clear(&line);
		rc = table_template_render(t, json_array_get(rows, i), &line, err);
		add_row(&table, str_get(&line));
	}
	if (rc == 0)
		table_render(&table, ret);
	table_done(&table);
	return rc;
}

int table_template_format(const char *format, const json_t *rows, const json_t *headings, struct str *ret, struct err *err)
{
	bool table = str_starts(format, "table ");
	struct table_template *t;
	int rc = 0;
	if (strcmp(format, "json") == 0)
		format = "{{json .}}";
	t = table_template_new(table ? format + strlen("table ") : format, err);
	if (!t)
		return -1;
	if (table)
		rc = format_table(t, rows, headings, ret, err);
	for (size_t i = 0; !table && i < json_array_size(rows) && rc == 0; i++) {
		rc = table_template_render(t, json_array_get(rows, i), ret, err);
		str_addc(ret, '\n');
	}
	table_template_free(t);
	return rc;
}
