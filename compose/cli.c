/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing against the tables, in one pass: global options up to the command's name (one or two words), then the command's own
 * options. The rules for flags are pflag's, messages begin as docker compose's do ("unknown flag: --frob"), and a hint says what
 * was probably meant. What is known but not there yet is refused here, in one place, before a command runs. */
#include "compose/cli.h"

#include <limits.h>
#include <stdio.h>

#include "spec/diag.h"

static const struct cli_option no_options[1];

static size_t options_count(const struct cli_option *o)
{
	size_t n = 0;
	while (o && o[n].name)
		n++;
	return n;
}

const struct cli_command *cli_find(const char *name)
{
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (str_eq(c->name, name))
			return c;
	return NULL;
}

static void values_add(struct cli_args *a, const struct cli_option *o)
{
	size_t n = options_count(o);
	a->values = xrealloc(a->values, a->n_values + n, sizeof(*a->values));
	for (size_t i = 0; i < n; i++)
		a->values[a->n_values++] = (struct cli_value){ .option = &o[i] };
}

/* Later tables hide earlier ones: searched from the end, down to `first`. */
static struct cli_value *values_find(const struct cli_args *a, size_t first, const char *name, size_t len, char letter)
{
	for (size_t i = a->n_values; i-- > first;) {
		const struct cli_option *o = a->values[i].option;
		if (letter ? o->letter == letter : strlen(o->name) == len && memcmp(o->name, name, len) == 0)
			return &a->values[i];
	}
	return NULL;
}

static const char *parse_bool(const char *s)
{
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (strcmp(s, yes[i]) == 0)
			return "true";
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (strcmp(s, no[i]) == 0)
			return "false";
	return NULL;
}

static bool parse_int(const char *s, int64_t *ret)
{
	char *end;
	errno = 0;
	*ret = strtoll(s, &end, 10);
	return *s && ((*s >= '0' && *s <= '9') || *s == '-' || *s == '+') && !*end && !errno && *ret >= INT_MIN && *ret <= INT_MAX;
}

static bool choice_has(const char *choices, const char *value)
{
	size_t n = strlen(value);
	for (const char *p = choices; p && *p;) {
		size_t len = strcspn(p, "|");
		if (len == n && memcmp(p, value, n) == 0)
			return true;
		p += len + (p[len] == '|');
	}
	return false;
}

/* as: how the user wrote it ("--file", "-f"). */
static int value_set(struct cli_value *v, const char *as, const char *value, struct err *err)
{
	const struct cli_option *o = v->option;
	char quoted[100];
	int64_t number;
	if (o->type == CLI_BOOL) {
		const char *b = parse_bool(value);
		if (!b)
			return err_set(err, ERR_INVALID, "invalid argument \"%s\" for \"%s\" flag: expected true or false",
				       err_quote(quoted, sizeof(quoted), value), as);
		value = b;
	}
	if (o->type == CLI_INT && !parse_int(value, &number))
		return err_set(err, ERR_INVALID, "invalid argument \"%s\" for \"%s\" flag: expected a whole number",
			       err_quote(quoted, sizeof(quoted), value), as);
	if (o->choices && !choice_has(o->choices, value))
		return err_set(err, ERR_INVALID, "invalid argument \"%s\" for \"%s\" flag: expected one of %s",
			       err_quote(quoted, sizeof(quoted), value), as, o->choices);
	if (o->type != CLI_STRINGS)
		strv_done(&v->list);
	strv_push(&v->list, value);
	v->set = true;
	return 0;
}

struct cursor {
	int argc, at;
	char *const *argv;
	size_t first;         /* values from here on may be given now */
	struct cli_args *a;
};

/* What was probably meant by an unknown flag: a global one in the wrong place, or a similar name. */
static void hint_flag(struct cursor *c, const char *name, size_t len, char letter)
{
	const struct cli_value *g = values_find(c->a, 0, name, len, letter);
	const char *names[256], *near;
	char word[64];
	size_t n = 0;
	if (g && c->a->command) {
		snprintf(c->a->hint, sizeof(c->a->hint), "--%s is a global option: it comes before the command's name", g->option->name);
		return;
	}
	if (letter || len < 3)
		return;
	snprintf(word, sizeof(word), "%.*s", (int)MIN(len, sizeof(word) - 1), name);
	for (size_t i = c->first; i < c->a->n_values && n < ARRAY_SIZE(names); i++)
		if (!(c->a->values[i].option->flags & CLI_HIDDEN))
			names[n++] = c->a->values[i].option->name;
	near = diag_nearest(word, names, n);
	if (near)
		snprintf(c->a->hint, sizeof(c->a->hint), "did you mean --%s?", near);
}

static int parse_long(struct cursor *c, const char *arg, struct err *err)
{
	const char *name = arg + 2, *eq = strchr(name, '=');
	size_t len = eq ? (size_t)(eq - name) : strlen(name);
	struct cli_value *v;
	char quoted[100], as[64];
	if (len == 0 || *name == '-')
		return err_set(err, ERR_INVALID, "bad flag syntax: %s", err_quote(quoted, sizeof(quoted), arg));
	if (len == 4 && memcmp(name, "help", 4) == 0) {
		c->a->help = true;
		return 0;
	}
	v = values_find(c->a, c->first, name, len, 0);
	if (!v) {
		hint_flag(c, name, len, 0);
		snprintf(as, sizeof(as), "%.*s", (int)MIN(len, sizeof(as) - 1), name);
		return err_set(err, ERR_INVALID, "unknown flag: --%s", err_quote(quoted, sizeof(quoted), as));
	}
	snprintf(as, sizeof(as), "--%s", v->option->name);
	if (eq)
		return value_set(v, as, eq + 1, err);
	if (v->option->type == CLI_BOOL)
		return value_set(v, as, "true", err);
	if (c->at >= c->argc)
		return err_set(err, ERR_INVALID, "flag needs an argument: --%s", v->option->name);
	return value_set(v, as, c->argv[c->at++], err);
}

static int parse_letters(struct cursor *c, const char *arg, struct err *err)
{
	char quoted[100], as[8];
	for (const char *p = arg + 1; *p; p++) {
		struct cli_value *v = values_find(c->a, c->first, NULL, 0, *p);
		if (!v && *p == 'h') {
			c->a->help = true;
			continue;
		}
		if (!v) {
			char one[2] = { *p, '\0' }, q[16];
			hint_flag(c, NULL, 0, *p);
			return err_set(err, ERR_INVALID, "unknown shorthand flag: '%s' in %s", err_quote(q, sizeof(q), one),
				       err_quote(quoted, sizeof(quoted), arg));
		}
		snprintf(as, sizeof(as), "-%c", *p);
		if (p[1] == '=')
			return value_set(v, as, p + 2, err);
		if (v->option->type == CLI_BOOL) {
			if (value_set(v, as, "true", err) < 0)
				return -1;
			continue;
		}
		if (p[1])
			return value_set(v, as, p + 1, err);
		if (c->at >= c->argc)
			return err_set(err, ERR_INVALID, "flag needs an argument: '%c' in %s", *p, err_quote(quoted, sizeof(quoted), arg));
		return value_set(v, as, c->argv[c->at++], err);
	}
	return 0;
}

/* Options and positional arguments until the end, or until the first positional one when stop. */
static int parse_span(struct cursor *c, bool stop, struct err *err)
{
	while (c->at < c->argc) {
		const char *arg = c->argv[c->at];
		int rc;
		if (arg[0] != '-' || !arg[1]) {
			if (stop)
				return 0;
			strv_push(&c->a->args, arg);
			c->at++;
			continue;
		}
		c->at++;
		if (strcmp(arg, "--") == 0)
			return 0;
		rc = arg[1] == '-' ? parse_long(c, arg, err) : parse_letters(c, arg, err);
		if (rc < 0)
			return -1;
	}
	return 0;
}

static void hint_command(struct cli_args *a, const char *group, const char *word)
{
	const char *names[128], *near;
	size_t n = 0, skip = group ? strlen(group) + 1 : 0;
	for (const struct cli_command *c = cli_commands; c->name && n < ARRAY_SIZE(names); c++)
		if (!(c->flags & CLI_HIDDEN) && (group ? str_starts(c->name, group) && c->name[skip - 1] == ' ' : !strchr(c->name, ' ')))
			names[n++] = c->name + skip;
	near = diag_nearest(word, names, n);
	if (near)
		snprintf(a->hint, sizeof(a->hint), "did you mean \"%s%s%s\"?", group ? group : "", group ? " " : "", near);
}

/* One or two (three for bridge) words; leaves a->command NULL when there is none. */
static int parse_command(struct cursor *c, struct err *err)
{
	char name[128] = "", quoted[100];
	while (c->at < c->argc && (!c->a->command || c->a->command->flags & CLI_GROUP)) {
		const struct cli_command *found;
		const char *word = c->argv[c->at];
		char next[sizeof(name) + 128];
		if (*name && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
			c->a->help = true;
			return 0;
		}
		if (*name && str_starts(word, "--dry-run")) {
			c->at++;
			continue;
		}
		snprintf(next, sizeof(next), "%s%s%.120s", name, *name ? " " : "", word);
		found = strchr(word, ' ') ? NULL : cli_find(next);
		if (!found) {
			hint_command(c->a, *name ? name : NULL, word);
			return err_set(err, ERR_INVALID, "unknown command: \"%s%s%s\"", name, *name ? " " : "", err_quote(quoted, sizeof(quoted), word));
		}
		c->a->command = found;
		snprintf(name, sizeof(name), "%s", found->name);
		c->at++;
	}
	if (c->a->command && c->a->command->flags & CLI_GROUP)
		c->a->help = true;
	return 0;
}

/* A flag that is off, or a value that is the default, counts as not given. */
static bool value_matters(const struct cli_value *v)
{
	const char *def = v->option->def ? v->option->def : v->option->type == CLI_BOOL ? "false" : NULL;
	return v->set && !(def && str_eq(v->list.v[v->list.n - 1], def));
}

static int check_later(const struct cli_args *a, struct err *err)
{
	const struct cli_command *cmd = a->command;
	if (cmd && cmd->flags & CLI_LATER)
		return err_set(err, ERR_UNSUPPORTED, "%s: not supported yet", cmd->name);
	for (size_t i = 0; i < a->n_values; i++) {
		const struct cli_value *v = &a->values[i];
		const char *value = v->set ? v->list.v[v->list.n - 1] : "";
		bool global = i < options_count(cli_global_options);
		if (!value_matters(v))
			continue;
		if (v->option->flags & CLI_LATER)
			return err_set(err, ERR_UNSUPPORTED, "%s%s--%s: not supported yet", cmd && !global ? cmd->name : "", cmd && !global ? " " : "",
				       v->option->name);
		if (choice_has(v->option->later, value))
			return err_set(err, ERR_UNSUPPORTED, "%s --%s %s: not supported yet", cmd ? cmd->name : "", v->option->name, value);
	}
	return 0;
}

static int check_use(struct cli_args *a, struct err *err)
{
	const struct cli_command *cmd = a->command;
	const char *const *pair = cmd->conflicts;
	for (; pair && pair[0]; pair += 2) {
		const struct cli_value *x = values_find(a, 0, pair[0], strlen(pair[0]), 0);
		const struct cli_value *y = values_find(a, 0, pair[1], strlen(pair[1]), 0);
		if (value_matters(x) && value_matters(y))
			return err_set(err, ERR_INVALID, "--%s and --%s cannot be used together", pair[0], pair[1]);
	}
	if ((int)a->args.n < cmd->min_args || (cmd->max_args >= 0 && (int)a->args.n > cmd->max_args)) {
		bool few = (int)a->args.n < cmd->min_args;
		int n = few ? cmd->min_args : cmd->max_args;
		const char *amount = cmd->min_args == cmd->max_args ? "exactly" : few ? "at least" : "at most";
		snprintf(a->hint, sizeof(a->hint), "usage: %.*s", (int)strcspn(cmd->usage, "\n"), cmd->usage);
		if (n == 0)
			return err_set(err, ERR_INVALID, "%s: takes no arguments", cmd->name);
		return err_set(err, ERR_INVALID, "%s: needs %s %d argument%s", cmd->name, amount, n, n == 1 ? "" : "s");
	}
	return 0;
}

/* --dry-run may stand before the command's name as well as after it. */
static void values_share_dry_run(struct cli_args *a)
{
	for (size_t i = 0; i < options_count(cli_global_options); i++)
		if (strcmp(a->values[i].option->name, "dry-run") == 0 && a->values[i].set) {
			struct cli_value *v = values_find(a, 0, "dry-run", 7, 0);
			strv_push(&v->list, a->values[i].list.v[0]);
			v->set = true;
		}
}

int cli_parse(int argc, char *const *argv, struct cli_args *ret, struct err *err)
{
	struct cursor c = { .argc = argc, .at = 1, .argv = argv, .a = ret };
	*ret = (struct cli_args){0};
	values_add(ret, cli_global_options);
	if (parse_span(&c, true, err) < 0 || parse_command(&c, err) < 0)
		return -1;
	if (!ret->command || ret->help)
		return 0;
	c.first = ret->n_values;
	values_add(ret, cli_dry_run_option);
	values_add(ret, ret->command->options ? ret->command->options : no_options);
	if (parse_span(&c, ret->command->flags & CLI_STOP, err) < 0)
		return -1;
	for (; c.at < argc; c.at++)
		strv_push(&ret->args, argv[c.at]);
	if (!cli_is_set(ret, "dry-run"))
		values_share_dry_run(ret);
	if (ret->help)
		return 0;
	if (check_later(ret, err) < 0)
		return -1;
	return check_use(ret, err);
}

void cli_args_done(struct cli_args *a)
{
	for (size_t i = 0; i < a->n_values; i++)
		strv_done(&a->values[i].list);
	free(a->values);
	strv_done(&a->args);
	*a = (struct cli_args){0};
}

static const struct cli_value *value_get(const struct cli_args *a, const char *name)
{
	const struct cli_value *v = values_find(a, 0, name, strlen(name), 0);
	assert(v);
	return v;
}

bool cli_has(const struct cli_args *a, const char *name)
{
	return values_find(a, 0, name, strlen(name), 0) != NULL;
}

bool cli_is_set(const struct cli_args *a, const char *name)
{
	return value_get(a, name)->set;
}

const char *cli_str(const struct cli_args *a, const char *name)
{
	const struct cli_value *v = value_get(a, name);
	if (v->set)
		return v->list.v[v->list.n - 1];
	return v->option->def ? v->option->def : "";
}

static const struct cli_value *global_get(const struct cli_args *a, const char *name)
{
	const struct cli_value *v = a->values;
	while (strcmp(v->option->name, name) != 0) {
		v++;
		assert(v < a->values + options_count(cli_global_options));
	}
	return v;
}

bool cli_global_is_set(const struct cli_args *a, const char *name)
{
	return global_get(a, name)->set;
}

const char *cli_global(const struct cli_args *a, const char *name)
{
	const struct cli_value *v = global_get(a, name);
	return v->set ? v->list.v[v->list.n - 1] : v->option->def ? v->option->def : "";
}

bool cli_bool(const struct cli_args *a, const char *name)
{
	return strcmp(cli_str(a, name), "true") == 0;
}

int64_t cli_int(const struct cli_args *a, const char *name)
{
	int64_t n = 0;
	return parse_int(cli_str(a, name), &n) ? n : 0;
}

const struct strv *cli_list(const struct cli_args *a, const char *name)
{
	return &value_get(a, name)->list;
}

const char *cli_program(const char *argv0, char buf[static 64])
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL, *base = slash ? slash + 1 : argv0;
	if (!base || !*base)
		base = "muster";
	if (strcmp(base, "docker-compose") == 0)
		base = "docker compose";
	return err_quote(buf, 64, base);
}
