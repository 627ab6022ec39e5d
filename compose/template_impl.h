/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax tree between template.c, which reads it, and template_eval.c, which carries it out. Everything in it lives in the template's
 * arena but the literals' values, which are the template's. Nobody else includes this. */
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

enum node_kind { NODE_TEXT, NODE_ACTION, NODE_IF, NODE_RANGE, NODE_WITH };

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

#endif
