/* SPDX-License-Identifier: Apache-2.0 */
/* The part of Go's text/template that --format takes, https://pkg.go.dev/text/template : text, {{- trim marks -}}, comments; pipelines over
 * fields (.A.B), variables ($x := …, $), strings, characters, numbers, truths, nil and parentheses; if/else if/else, range (with index and value),
 * break, continue, with/else with, end; and, or, not, eq, ne, lt, le, gt, ge, len, index, slice, print, printf, println, html, js, urlquery, call, and
 * docker's json, join, split, upper, lower, title, truncate, pad. What a template holds beyond that (define, template, block) is an error, never
 * printed as it is.
 * Hostile templates cost no more than what is bounded here: length, nesting, steps and output are capped. */
#ifndef COMPOSE_TEMPLATE_H
#define COMPOSE_TEMPLATE_H

#include "base/json.h"
#include "base/str.h"

enum {
	TEMPLATE_MAX_BYTES = 64 << 10,
	TEMPLATE_MAX_DEPTH = 50,           /* blocks within blocks, parentheses within parentheses */
	TEMPLATE_MAX_STEPS = 4 << 20,      /* of one rendering */
	TEMPLATE_MAX_OUTPUT = 64 << 20,
};

struct template;

/* Compiles text. Errors have Go's words: `template parsing error: template: :1: function "x" not defined`. NULL + err (ERR_INVALID). */
struct template *template_new(const char *text, struct err *err);
struct template *template_free(struct template *t); /* takes NULL; returns NULL */

/* Appends the result for a row. A member that the row itself does not have is an error; further in, it is "<no value>". 0, -1 + err. */
int template_render(const struct template *t, const json_t *row, struct str *ret, struct err *err);

/* Appends the text with, for each action, what heading(arg, field) makes of its first field ("A.B") or nothing when it has none. */
void template_headings(const struct template *t, void (*heading)(void *arg, const char *field, struct str *ret), void *arg, struct str *ret);

#endif
