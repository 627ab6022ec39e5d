/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax tree between template.c, which reads it, and template_eval.c, which carries it out. Everything in it lives in the template's
 * arena but the literals' values, which are the template's; and what template_text.c makes of values. Nobody else includes this. */
#ifndef COMPOSE_TEMPLATE_IMPL_H
#define COMPOSE_TEMPLATE_IMPL_H

#include "base/arena.h"
#include "compose/template.h"

enum operand_kind { OPERAND_FIELD, OPERAND_VARIABLE, OPERAND_LITERAL, OPERAND_PIPE, OPERAND_FUNCTION };

struct pipeline;

struct operand {
	enum operand_kind kind;
	const char *name;        /* of the variable ("$", "$x") or the function */
	const char **fields;     /* n_fields names that are looked up one after the other */
	size_t n_fields, cap;
	const json_t *value;     /* a literal */
	struct pipeline *pipe;   /* in parentheses */
	const char *text;        /* as it stands in the template, for messages */
};

struct command {
	struct operand *args;
	size_t n, cap;
};

struct pipeline {
	struct command *commands;
	size_t n, cap;
	const char *variables[2]; /* that take the value; range's index first when there are two */
	size_t n_variables;
	bool assign;              /* "=": the variables are there already */
	unsigned line;
};

enum node_kind { NODE_TEXT, NODE_ACTION, NODE_IF, NODE_RANGE, NODE_WITH, NODE_BREAK, NODE_CONTINUE };

struct node {
	enum node_kind kind;
	const char *text;
	struct pipeline *pipe;
	struct node *body, *otherwise, *next;
};

struct template {
	struct arena *arena;
	json_t *literals;
	struct node *nodes;
};

/* The functions there are, by name. */
bool template_is_function(const char *name);

/* template_text.c: text of values, appended. */

/* A value as Go prints it; its depth is that of the JSON, which its parser has bounded. */
void template_print(const json_t *v, struct str *ret);
/* The keys in order; free() the array. */
const char **template_sorted_keys(const json_t *object);
/* Go's name of its type: "string", "int". */
const char *template_type(const json_t *v);
/* printf with these arguments. It stops soon after TEMPLATE_MAX_OUTPUT bytes. */
void template_printf(const char *format, json_t **args, size_t n, struct str *ret);
void template_escape_html(const char *p, size_t n, struct str *ret);
void template_escape_js(const char *p, size_t n, struct str *ret);
void template_escape_query(const char *p, size_t n, struct str *ret);
/* how: 'u' upper, 'l' lower, 't' the first letter of each word upper. */
void template_change_case(char how, const char *p, size_t n, struct str *ret);

#endif
