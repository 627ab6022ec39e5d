/* SPDX-License-Identifier: Apache-2.0 */
/* What --format asks for, over compose/template.c: tables, one line for each row, JSON. Backslash escapes of the text outside of actions are
 * resolved first, as docker does: \t and \n are what people write on a command line. */
#include "compose/table_template.h"

#include <ctype.h>
#include <stdio.h>

#include "compose/table.h"
#include "compose/template.h"

/* \t, \n, \\ and \" outside of actions; inside of them the template has escapes of its own. */
static char *unescape(const char *s)
{
	AUTO_STR struct str out = {0};
	bool action = false;
	for (; *s; s++) {
		if (s[0] == '{' && s[1] == '{')
			action = true;
		else if (s[0] == '}' && s[1] == '}')
			action = false;
		if (!action && *s == '\\' && s[1] && strchr("tn\\\"", s[1])) {
			s++;
			str_addc(&out, *s == 't' ? '\t' : *s == 'n' ? '\n' : *s);
		} else {
			str_addc(&out, *s);
		}
	}
	return str_take(&out);
}

struct table_template {
	struct template *t;
};

struct table_template *table_template_new(const char *text, struct err *err)
{
	AUTO_FREE char *plain = unescape(text);
	struct template *t = template_new(plain, err);
	struct table_template *tt = t ? xcalloc(1, sizeof(*tt)) : NULL;
	if (tt)
		tt->t = t;
	return tt;
}

struct table_template *table_template_free(struct table_template *t)
{
	if (t)
		template_free(t->t);
	free(t);
	return NULL;
}

int table_template_render(const struct table_template *t, const json_t *row, struct str *ret, struct err *err)
{
	return template_render(t->t, row, ret, err);
}

/* "RunningFor" → "RUNNING FOR", "ID" stays. */
static void add_heading(void *arg, const char *field, struct str *ret)
{
	const char *known = json_get_str(arg, field, NULL), *last = strrchr(field, '.');
	if (known) {
		str_add(ret, known);
		return;
	}
	field = last ? last + 1 : field;
	for (const char *c = field; *c; c++) {
		if (c > field && isupper((unsigned char)*c) && islower((unsigned char)c[-1]))
			str_addc(ret, ' ');
		str_addc(ret, (char)toupper((unsigned char)*c));
	}
}

void table_template_headings(const struct table_template *t, const json_t *headings, struct str *ret)
{
	template_headings(t->t, add_heading, (void *)(uintptr_t)headings, ret);
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
