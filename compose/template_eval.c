/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying a template out. Values are JSON, counted; a value that is not there is NULL and prints as Go prints it, "<no value>". Functions
 * are a table with the number of arguments that they take; and and or look at no more of theirs than they need. */
#include <ctype.h>
#include <stdio.h>

#include "compose/table.h"
#include "compose/template_impl.h"

enum { MAX_ARGS = 16, MAX_VARIABLES = 64, MAX_VARIABLE_BYTES = 4 << 20 };

struct eval {
	const struct template *t;
	const json_t *row;
	json_t *variables[MAX_VARIABLES]; /* owned */
	const char *names[MAX_VARIABLES];
	size_t n_variables;
	size_t steps;
	struct str *out;
	size_t out_start;
	struct err *err;
};

struct value {
	json_t *v;    /* owned; NULL: nothing */
};

static int fail(struct eval *e, const struct operand *at, const char *fmt, ...) PRINTF(3, 4);
static int fail(struct eval *e, const struct operand *at, const char *fmt, ...)
{
	va_list ap;
	char text[200], shown[100];
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e->err, ERR_INVALID, "template: executing at <%s>: %s", err_quote(shown, sizeof(shown), at ? at->text : "?"), text);
}

static int step(struct eval *e)
{
	if (++e->steps > TEMPLATE_MAX_STEPS || e->out->len - e->out_start > TEMPLATE_MAX_OUTPUT)
		return err_set(e->err, ERR_INVALID, "template: it does not come to an end");
	return 0;
}

/* ---- values ---- */

static bool is_true(const json_t *v)
{
	switch (v ? json_typeof(v) : JSON_NULL) {
	case JSON_TRUE:
		return true;
	case JSON_STRING:
		return json_string_length(v) > 0;
	case JSON_INTEGER:
		return json_integer_value(v) != 0;
	case JSON_REAL:
		return json_real_value(v) != 0;
	case JSON_ARRAY:
		return json_array_size(v) > 0;
	case JSON_OBJECT:
		return json_object_size(v) > 0;
	default:
		return false;
	}
}

/* ---- functions ---- */

typedef int function(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret);

static int fn_not(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	(void)e, (void)at, (void)n;
	ret->v = json_boolean(!is_true(args[0]));
	return 0;
}

/* -1, 0, 1; 2 when the two cannot be put in order. */
static int compare(const json_t *a, const json_t *b)
{
	if (json_is_string(a) && json_is_string(b)) {
		int c = strcmp(json_string_value(a), json_string_value(b));
		return (c > 0) - (c < 0);
	}
	if (json_is_number(a) && json_is_number(b)) {
		double x = json_number_value(a), y = json_number_value(b);
		return (x > y) - (x < y);
	}
	return 2;
}

static bool is_basic(const json_t *v)
{
	return v && !json_is_array(v) && !json_is_object(v) && !json_is_null(v);
}

static int equal(struct eval *e, const struct operand *at, const json_t *a, const json_t *b)
{
	if ((a && !is_basic(a) && !json_is_null(a)) || (b && !is_basic(b) && !json_is_null(b)))
		return fail(e, at, "error calling %s: non-comparable type", at->name);
	if (json_is_number(a) && json_is_number(b))
		return compare(a, b) == 0;
	if (is_basic(a) && is_basic(b) && json_typeof(a) != json_typeof(b) && !(json_is_boolean(a) && json_is_boolean(b)))
		return fail(e, at, "error calling %s: incompatible types for comparison", at->name);
	return (!a || json_is_null(a)) && (!b || json_is_null(b)) ? 1 : json_equal(a, b);
}

static int fn_eq(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	bool any = false;
	for (size_t i = 1; i < n && !any; i++) {
		int same = equal(e, at, args[0], args[i]);
		if (same < 0)
			return -1;
		any = same;
	}
	ret->v = json_boolean(any);
	return 0;
}

static int fn_ne(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	int same = equal(e, at, args[0], args[1]);
	(void)n;
	if (same < 0)
		return -1;
	ret->v = json_boolean(!same);
	return 0;
}

static int fn_order(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	int c = compare(args[0], args[1]);
	(void)n;
	if (c == 2)
		return fail(e, at, "error calling %s: incompatible types for comparison", at->name);
	ret->v = json_boolean(at->name[0] == 'l' ? c < 0 || (c == 0 && at->name[1] == 'e') : c > 0 || (c == 0 && at->name[1] == 'e'));
	return 0;
}

static int fn_len(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	const json_t *v = args[0];
	(void)n;
	if (!json_is_array(v) && !json_is_object(v) && !json_is_string(v))
		return fail(e, at, "error calling len: len of a value that has none");
	ret->v = json_integer((json_int_t)(json_is_array(v) ? json_array_size(v) : json_is_object(v) ? json_object_size(v) : json_string_length(v)));
	return 0;
}

static int fn_index(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	json_t *v = args[0];
	for (size_t i = 1; i < n; i++) {
		if (json_is_object(v) && json_is_string(args[i])) {
			v = json_object_get(v, json_string_value(args[i]));
			if (!v && i + 1 == n) {
				ret->v = json_string("");
				return 0;
			}
		} else if (json_is_array(v) && json_is_integer(args[i])) {
			json_int_t at_index = json_integer_value(args[i]);
			if (at_index < 0 || (size_t)at_index >= json_array_size(v))
				return fail(e, at, "error calling index: index out of range: %lld", (long long)at_index);
			v = json_array_get(v, (size_t)at_index);
		} else if (json_is_string(v) && json_is_integer(args[i]) && i + 1 == n) {
			json_int_t at_index = json_integer_value(args[i]);
			if (at_index < 0 || (size_t)at_index >= json_string_length(v))
				return fail(e, at, "error calling index: index out of range: %lld", (long long)at_index);
			ret->v = json_integer((unsigned char)json_string_value(v)[at_index]);
			return 0;
		} else {
			return fail(e, at, "error calling index: can't index item of this type");
		}
	}
	ret->v = json_incref(v);
	return 0;
}

static int fn_print(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	AUTO_STR struct str s = {0};
	bool line = strcmp(at->name, "println") == 0;
	(void)e;
	for (size_t i = 0; i < n; i++) {
		if (i && (line || (!json_is_string(args[i]) && !json_is_string(args[i - 1]))))
			str_addc(&s, ' ');
		template_print(args[i], &s);
	}
	if (line)
		str_addc(&s, '\n');
	ret->v = json_text(str_get(&s));
	return 0;
}

static int fn_printf(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	AUTO_STR struct str s = {0};
	if (!json_is_string(args[0]))
		return fail(e, at, "wrong type for value; expected string; got %s", template_type(args[0]));
	template_printf(json_string_value(args[0]), args + 1, n - 1, &s);
	if (s.len > TEMPLATE_MAX_OUTPUT)
		return err_set(e->err, ERR_INVALID, "template: it does not come to an end");
	ret->v = json_text(str_get(&s));
	return 0;
}

/* html, js and urlquery take what print would print. */
static int fn_escape(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	AUTO_STR struct str plain = {0}, s = {0};
	(void)e;
	for (size_t i = 0; i < n; i++) {
		if (i && !json_is_string(args[i]) && !json_is_string(args[i - 1]))
			str_addc(&plain, ' ');
		template_print(args[i], &plain);
	}
	(at->name[0] == 'h' ? template_escape_html : at->name[0] == 'j' ? template_escape_js : template_escape_query)(str_get(&plain), plain.len, &s);
	ret->v = json_text(str_get(&s));
	return 0;
}

/* slice X I J: the elements of a list or the bytes of a text from I (0) to before J (its length); a third index bounds what nobody sees here. */
static int fn_slice(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	const bool text = json_is_string(args[0]);
	const size_t len = text ? json_string_length(args[0]) : json_array_size(args[0]);
	size_t bounds[3] = { 0, len, len };
	if (n > 4)
		return fail(e, at, "error calling slice: too many slice indexes: %zu", n - 1);
	if (!text && !json_is_array(args[0]))
		return fail(e, at, "error calling slice: can't slice item of type %s", template_type(args[0]));
	if (text && n == 4)
		return fail(e, at, "error calling slice: cannot 3-index slice a string");
	for (size_t i = 1; i < n; i++) {
		const json_int_t index = json_integer_value(args[i]);
		if (!json_is_integer(args[i]))
			return fail(e, at, "error calling slice: cannot index slice/array with type %s", template_type(args[i]));
		if (index < 0 || (uint64_t)index > len)
			return fail(e, at, "error calling slice: index out of range: %lld", (long long)index);
		bounds[i - 1] = (size_t)index;
	}
	for (size_t i = 0; i < 2; i++)
		if (bounds[i] > bounds[i + 1])
			return fail(e, at, "error calling slice: invalid slice index: %zu > %zu", bounds[i], bounds[i + 1]);
	if (text) {
		AUTO_FREE char *part = xstrndup(json_string_value(args[0]) + bounds[0], bounds[1] - bounds[0]);
		ret->v = json_text(part);
		return 0;
	}
	ret->v = json_array();
	for (size_t i = bounds[0]; i < bounds[1]; i++)
		json_array_append(ret->v, json_array_get(args[0], i));
	return 0;
}

/* No value here is a function. */
static int fn_call(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	(void)n, (void)ret;
	if (!args[0] || json_is_null(args[0]))
		return fail(e, at, "error calling call: call of nil");
	return fail(e, at, "error calling call: non-function of type %s", template_type(args[0]));
}

static int fn_json(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	AUTO_FREE char *dump = args[0] ? json_dumps(args[0], JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
	(void)e, (void)at, (void)n;
	ret->v = json_text(dump ? dump : "null");
	return 0;
}

static int fn_case(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	AUTO_STR struct str plain = {0}, s = {0};
	(void)e, (void)n;
	template_print(args[0], &plain);
	template_change_case(at->name[0], str_get(&plain), plain.len, &s);
	ret->v = json_text(str_get(&s));
	return 0;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The values of a map, as they are printed, in order. */
static json_t *values_of(const json_t *object)
{
	AUTO_STRV struct strv all = {0};
	const char *key;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)object, key, v) {
		struct str one = {0};
		template_print(v, &one);
		strv_take(&all, str_take(&one));
	}
	if (all.n > 1)
		qsort(all.v, all.n, sizeof(*all.v), compare_texts);
	return json_from_strv(all.v);
}

/* docker's order: join LIST SEPARATOR, split STRING SEPARATOR; what comes through a pipe is the last argument in Go, so both are taken. */
static int fn_join(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	const json_t *list = json_is_array(args[0]) ? args[0] : args[1], *sep = json_is_array(args[0]) ? args[1] : args[0];
	AUTO_JSON json_t *values = NULL;
	AUTO_STR struct str s = {0};
	(void)n;
	if (json_is_object(args[0]) && json_is_string(args[1])) {
		list = values = values_of(args[0]);
		sep = args[1];
	}
	if ((list && !json_is_array(list) && !json_is_null(list)) || !json_is_string(sep))
		return fail(e, at, "error calling join: needs a list and a string");
	for (size_t i = 0; i < json_array_size(list); i++) {
		str_add(&s, i ? json_string_value(sep) : "");
		template_print(json_array_get(list, i), &s);
	}
	ret->v = json_text(str_get(&s));
	return 0;
}

static int fn_split(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	const char *s = json_string_value(args[0]), *sep = json_string_value(args[1]);
	size_t n_sep = sep ? strlen(sep) : 0;
	(void)n;
	if (!s || !sep)
		return fail(e, at, "error calling split: needs two strings");
	ret->v = json_array();
	while (n_sep) {
		const char *next = strstr(s, sep);
		AUTO_FREE char *part = next ? xstrndup(s, (size_t)(next - s)) : NULL;
		if (!next)
			break;
		json_array_append_new(ret->v, json_text(part));
		s = next + n_sep;
	}
	json_array_append_new(ret->v, json_text(s));
	return 0;
}

static int fn_truncate(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	const json_t *text = json_is_integer(args[0]) ? args[1] : args[0], *length = json_is_integer(args[0]) ? args[0] : args[1];
	AUTO_STR struct str s = {0};
	(void)n;
	if (!json_is_integer(length) || json_integer_value(length) < 0)
		return fail(e, at, "error calling truncate: needs a string and a length");
	template_print(text, &s);
	if ((uint64_t)json_integer_value(length) < s.len)
		s.p[json_integer_value(length)] = '\0';
	ret->v = json_text(str_get(&s));
	return 0;
}

static int fn_pad(struct eval *e, const struct operand *at, json_t **args, size_t n, struct value *ret)
{
	AUTO_STR struct str s = {0};
	(void)n;
	if (!json_is_integer(args[1]) || !json_is_integer(args[2]) || json_integer_value(args[1]) > 1000 || json_integer_value(args[2]) > 1000)
		return fail(e, at, "error calling pad: needs a string and two lengths");
	for (json_int_t i = 0; i < json_integer_value(args[1]) && is_true(args[0]); i++) /* docker's pads no empty text */
		str_addc(&s, ' ');
	template_print(args[0], &s);
	for (json_int_t i = 0; i < json_integer_value(args[2]) && is_true(args[0]); i++)
		str_addc(&s, ' ');
	ret->v = json_text(str_get(&s));
	return 0;
}

static const struct {
	const char *name;
	size_t min, max;
	function *fn;     /* NULL: and, or */
} functions[] = {
	{ "and", 1, MAX_ARGS, NULL }, { "or", 1, MAX_ARGS, NULL }, { "not", 1, 1, fn_not }, { "eq", 2, MAX_ARGS, fn_eq }, { "ne", 2, 2, fn_ne },
	{ "lt", 2, 2, fn_order }, { "le", 2, 2, fn_order }, { "gt", 2, 2, fn_order }, { "ge", 2, 2, fn_order }, { "len", 1, 1, fn_len },
	{ "index", 1, MAX_ARGS, fn_index }, { "print", 0, MAX_ARGS, fn_print }, { "println", 0, MAX_ARGS, fn_print },
	{ "printf", 1, MAX_ARGS, fn_printf }, { "json", 1, 1, fn_json }, { "upper", 1, 1, fn_case }, { "lower", 1, 1, fn_case },
	{ "slice", 1, MAX_ARGS, fn_slice }, { "html", 1, MAX_ARGS, fn_escape }, { "js", 1, MAX_ARGS, fn_escape },
	{ "urlquery", 1, MAX_ARGS, fn_escape }, { "call", 1, MAX_ARGS, fn_call },
	{ "title", 1, 1, fn_case }, { "join", 2, 2, fn_join }, { "split", 2, 2, fn_split }, { "truncate", 2, 2, fn_truncate }, { "pad", 3, 3, fn_pad },
};

bool template_is_function(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (strcmp(functions[i].name, name) == 0)
			return true;
	return false;
}

/* ---- pipelines ---- */

static int eval_pipeline(struct eval *e, const struct pipeline *pipe, const json_t *dot, struct value *ret);

/* The members named by fields, one within the other. */
static int eval_fields(struct eval *e, const struct operand *o, const json_t *v, struct value *ret)
{
	for (size_t i = 0; i < o->n_fields; i++) {
		const json_t *next = json_object_get(v, o->fields[i]);
		if (!next && (v == e->row || (v && !json_is_object(v) && !json_is_null(v))))
			return fail(e, o, "can't evaluate field %.60s", o->fields[i]);
		v = next;
		if (!v)
			break;
	}
	ret->v = json_incref((json_t *)(uintptr_t)v);
	return 0;
}

static int eval_operand(struct eval *e, const struct operand *o, const json_t *dot, struct value *ret)
{
	struct value inner = {0};
	int rc;
	switch (o->kind) {
	case OPERAND_LITERAL:
		ret->v = json_incref((json_t *)(uintptr_t)o->value);
		return 0;
	case OPERAND_FIELD:
		return eval_fields(e, o, dot, ret);
	case OPERAND_VARIABLE:
		if (strcmp(o->name, "$") == 0)
			return eval_fields(e, o, e->row, ret);
		for (size_t i = e->n_variables; i-- > 0;)
			if (strcmp(e->names[i], o->name) == 0)
				return eval_fields(e, o, e->variables[i], ret);
		return fail(e, o, "undefined variable");
	case OPERAND_PIPE:
		if (eval_pipeline(e, o->pipe, dot, &inner) < 0)
			return -1;
		rc = eval_fields(e, o, inner.v, ret);
		json_decref(inner.v);
		return rc;
	default:
		return fail(e, o, "a function cannot be an argument");
	}
}

/* and, or: the first argument that decides, or the last. */
static int eval_logic(struct eval *e, const struct command *c, const json_t *dot, struct value *last, bool has_last, struct value *ret)
{
	bool stop_at = c->args[0].name[0] == 'o';
	for (size_t i = 1; i < c->n; i++) {
		json_decref(ret->v);
		*ret = (struct value){0};
		if (eval_operand(e, &c->args[i], dot, ret) < 0)
			return -1;
		if (is_true(ret->v) == stop_at)
			return 0;
	}
	if (has_last) {
		json_decref(ret->v);
		ret->v = json_incref(last->v);
	}
	return 0;
}

static int eval_call(struct eval *e, const struct command *c, const json_t *dot, struct value *last, bool has_last, struct value *ret)
{
	const struct operand *at = &c->args[0];
	struct value args[MAX_ARGS + 1] = {0};
	json_t *list[MAX_ARGS + 1];
	const size_t n = c->n - 1 + has_last;
	size_t f = 0;
	int rc = 0;
	while (strcmp(functions[f].name, at->name) != 0)
		f++;
	if (n < functions[f].min || n > functions[f].max)
		return fail(e, at, "wrong number of args for %s: want %s%zu got %zu", at->name, functions[f].max > functions[f].min ? "at least " : "",
			functions[f].min, n);
	if (!functions[f].fn)
		return eval_logic(e, c, dot, last, has_last, ret);
	for (size_t i = 0; i + 1 < c->n && rc == 0; i++)
		rc = eval_operand(e, &c->args[i + 1], dot, &args[i]);
	if (has_last)
		args[n - 1].v = json_incref(last->v);
	for (size_t i = 0; i < n; i++)
		list[i] = args[i].v;
	if (rc == 0)
		rc = functions[f].fn(e, at, list, n, ret);
	for (size_t i = 0; i < n; i++)
		json_decref(args[i].v);
	return rc;
}

/* Without the variables. */
static int eval_commands(struct eval *e, const struct pipeline *pipe, const json_t *dot, struct value *ret)
{
	struct value last = {0};
	for (size_t i = 0; i < pipe->n; i++) {
		const struct command *c = &pipe->commands[i];
		struct value next = {0};
		int rc = step(e);
		if (rc == 0)
			rc = c->args[0].kind == OPERAND_FUNCTION ? eval_call(e, c, dot, &last, i > 0, &next) : eval_operand(e, &c->args[0], dot, &next);
		json_decref(last.v);
		last = next;
		if (rc < 0) {
			json_decref(last.v);
			return -1;
		}
	}
	*ret = last;
	return 0;
}

/* A text that is kept can be doubled again and again, so its length is bounded. */
static int set_variable(struct eval *e, const char *name, const json_t *v, bool assign)
{
	if (json_string_length(v) > MAX_VARIABLE_BYTES)
		return err_set(e->err, ERR_INVALID, "template: variable %.60s: longer than the %d bytes allowed", name, MAX_VARIABLE_BYTES);
	if (assign)
		for (size_t i = e->n_variables; i-- > 0;)
			if (strcmp(e->names[i], name) == 0) {
				json_decref(e->variables[i]);
				e->variables[i] = json_incref((json_t *)(uintptr_t)v);
				return 0;
			}
	if (e->n_variables == MAX_VARIABLES)
		return err_set(e->err, ERR_INVALID, "template: more than %d variables", MAX_VARIABLES);
	e->names[e->n_variables] = name;
	e->variables[e->n_variables++] = json_incref((json_t *)(uintptr_t)v);
	return 0;
}

static void drop_variables(struct eval *e, size_t n)
{
	while (e->n_variables > n)
		json_decref(e->variables[--e->n_variables]);
}

static int eval_pipeline(struct eval *e, const struct pipeline *pipe, const json_t *dot, struct value *ret)
{
	if (eval_commands(e, pipe, dot, ret) < 0)
		return -1;
	if (pipe->n_variables == 1 && set_variable(e, pipe->variables[0], ret->v, pipe->assign) < 0) {
		json_decref(ret->v);
		return -1;
	}
	return 0;
}

/* ---- nodes ---- */

/* What ends a list of nodes before its end: a range takes it; the parser sees to it that there is one. */
enum { BREAK = 1, CONTINUE };

/* 0, BREAK or CONTINUE; -1 + err. */
static int run_nodes(struct eval *e, const struct node *n, const json_t *dot);

static int run_item(struct eval *e, const struct node *n, json_t *key, const json_t *value)
{
	const struct pipeline *pipe = n->pipe;
	const size_t before = e->n_variables;
	int rc = step(e);
	if (rc == 0 && pipe->n_variables == 2)
		rc = set_variable(e, pipe->variables[0], key, pipe->assign);
	if (rc == 0 && pipe->n_variables)
		rc = set_variable(e, pipe->variables[pipe->n_variables - 1], value, pipe->assign);
	json_decref(key);
	if (rc == 0)
		rc = run_nodes(e, n->body, value);
	drop_variables(e, before);
	return rc;
}

static int run_range(struct eval *e, const struct node *n, const json_t *v, const json_t *dot)
{
	int rc = 0;
	if (v && !json_is_array(v) && !json_is_object(v) && !json_is_null(v))
		return fail(e, &n->pipe->commands[0].args[0], "range can't iterate over this");
	if (!is_true(v))
		return run_nodes(e, n->otherwise, dot);
	if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v) && (rc == 0 || rc == CONTINUE); i++)
			rc = run_item(e, n, json_integer((json_int_t)i), json_array_get(v, i));
	} else {
		const char **keys = template_sorted_keys(v);
		for (size_t i = 0; i < json_object_size(v) && (rc == 0 || rc == CONTINUE); i++)
			rc = run_item(e, n, json_text(keys[i]), json_object_get(v, keys[i]));
		free(keys);
	}
	return MIN(rc, 0);
}

static int run_node(struct eval *e, const struct node *n, const json_t *dot)
{
	const size_t before = e->n_variables;
	struct value v = {0};
	int rc;
	if (n->kind == NODE_TEXT) {
		str_add(e->out, n->text);
		return 0;
	}
	if (n->kind == NODE_BREAK || n->kind == NODE_CONTINUE)
		return n->kind == NODE_BREAK ? BREAK : CONTINUE;
	if ((n->kind == NODE_RANGE ? eval_commands(e, n->pipe, dot, &v) : eval_pipeline(e, n->pipe, dot, &v)) < 0)
		return -1;
	if (n->kind == NODE_ACTION) {
		if (n->pipe->n_variables == 0)
			template_print(v.v, e->out);
		json_decref(v.v);
		return 0; /* a variable that it declares lives on to the end of the block */
	}
	if (n->kind == NODE_RANGE)
		rc = run_range(e, n, v.v, dot);
	else if (is_true(v.v))
		rc = run_nodes(e, n->body, n->kind == NODE_WITH ? v.v : dot);
	else
		rc = run_nodes(e, n->otherwise, dot);
	drop_variables(e, before);
	json_decref(v.v);
	return rc;
}

static int run_nodes(struct eval *e, const struct node *n, const json_t *dot)
{
	const size_t before = e->n_variables;
	int rc = 0;
	for (; n && rc == 0; n = n->next) {
		rc = step(e);
		if (rc == 0)
			rc = run_node(e, n, dot);
	}
	drop_variables(e, before);
	return rc;
}

int template_render(const struct template *t, const json_t *row, struct str *ret, struct err *err)
{
	struct eval e = { .t = t, .row = row, .out = ret, .out_start = ret->len, .err = err };
	return run_nodes(&e, t->nodes, row);
}

/* The first field within a pipeline, "A.B"; false when there is none. */
static bool first_field(const struct pipeline *pipe, struct str *ret)
{
	for (size_t c = 0; c < pipe->n; c++)
		for (size_t i = 0; i < pipe->commands[c].n; i++) {
			const struct operand *o = &pipe->commands[c].args[i];
			if (o->kind == OPERAND_PIPE && first_field(o->pipe, ret))
				return true;
			if (o->kind != OPERAND_FIELD || o->n_fields == 0)
				continue;
			for (size_t f = 0; f < o->n_fields; f++)
				str_addf(ret, "%s%s", f ? "." : "", o->fields[f]);
			return true;
		}
	return false;
}

static void add_headings(const struct node *n, void (*heading)(void *arg, const char *field, struct str *ret), void *arg, struct str *ret)
{
	for (; n; n = n->next) {
		AUTO_STR struct str field = {0};
		if (n->kind == NODE_TEXT)
			str_add(ret, n->text);
		else if (n->pipe && first_field(n->pipe, &field))
			heading(arg, str_get(&field), ret);
		else if (n->kind != NODE_ACTION)
			add_headings(n->body, heading, arg, ret);
	}
}

void template_headings(const struct template *t, void (*heading)(void *arg, const char *field, struct str *ret), void *arg, struct str *ret)
{
	add_headings(t->nodes, heading, arg, ret);
}
