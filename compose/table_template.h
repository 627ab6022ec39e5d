/* SPDX-License-Identifier: Apache-2.0 */
/* --format: Go templates (compose/template.h) for each row, tables of them, JSON. */
#ifndef COMPOSE_TABLE_TEMPLATE_H
#define COMPOSE_TABLE_TEMPLATE_H

#include "base/json.h"

#include "base/str.h"

struct table_template;

/* Compiles the text; backslash escapes \t and \n are resolved first. NULL + err (ERR_INVALID) when it is malformed. */
struct table_template *table_template_new(const char *text, struct err *err);
struct table_template *table_template_free(struct table_template *t);
/* Appends the result for a row, an object; a member that the row does not have is an error. 0, -1 + err. */
int table_template_render(const struct table_template *t, const json_t *row, struct str *ret, struct err *err);
/* Appends the heading line of a `table` template: fields replaced by their column names ("RunningFor" → "RUNNING FOR";
 * `headings` may map others: an object of strings, or NULL), functions dropped. */
void table_template_headings(const struct table_template *t, const json_t *headings, struct str *ret);

/* What --format asks for, applied to rows (an array of objects): "json" (one object a line), "table TEMPLATE" (aligned columns under
 * headings), or a template (one line for each row). "table" alone is the caller's. 0, -1 + err. */
int table_template_format(const char *format, const json_t *rows, const json_t *headings, struct str *ret, struct err *err);

#endif
