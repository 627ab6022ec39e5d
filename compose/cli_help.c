/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts from the tables, laid out as docker's are: flags in one column, their help wrapped beside it. The wrapping
 * follows the rules of pflag (break at the last blank that leaves five characters unused, but let a short last word overhang),
 * so that the text for a command is the same as the reference's wherever the words are. */
#include "compose/cli.h"

#include <stdio.h>

enum { SLOP = 5, MIN_WRAP = 24, NAME_WIDTH = 11 };

/* Appends text with "{prog}" replaced. */
static void add_text(struct str *ret, const char *prog, const char *text)
{
	const char *at;
	while ((at = strstr(text, "{prog}"))) {
		str_addn(ret, text, (size_t)(at - text));
		str_add(ret, prog);
		text = at + 6;
	}
	str_add(ret, text);
}

static void add_spaces(struct str *ret, size_t n)
{
	while (n--)
		str_addc(ret, ' ');
}

/* Bytes of s that go on one line of `width` characters; *ret_skip is what to leave out behind them. */
static size_t wrap_line(const char *s, size_t width, size_t *ret_skip)
{
	size_t n = strlen(s), blank = 0, newline = 0;
	*ret_skip = 0;
	if (width + SLOP > n)
		return n;
	for (size_t i = 0; i < width; i++) {
		if (s[i] == ' ' || s[i] == '\t' || s[i] == '\n')
			blank = i;
		if (s[i] == '\n')
			newline = i;
	}
	*ret_skip = 1;
	if (blank == 0) { /* one long word */
		blank = strcspn(s, " \n");
		*ret_skip = s[blank] != '\0';
		return blank;
	}
	return newline > 0 && newline < blank ? newline : blank;
}

static void add_block(struct str *ret, const char *s, size_t n, size_t indent)
{
	for (size_t i = 0; i < n; i++) {
		str_addc(ret, s[i]);
		if (s[i] == '\n')
			add_spaces(ret, indent);
	}
}

/* Help of one option beside a column of `indent` characters; below it when the terminal is too narrow for that. */
static void add_wrapped(struct str *ret, const char *s, size_t indent, size_t columns)
{
	size_t width = columns > indent ? columns - indent : 0;
	if (width < MIN_WRAP) {
		indent = columns >= 16 + MIN_WRAP ? 16 : 8;
		width = MAX(columns, indent + MIN_WRAP) - indent;
		while (ret->len && ret->p[ret->len - 1] == ' ')
			ret->p[--ret->len] = '\0';
		str_addc(ret, '\n');
		add_spaces(ret, indent);
	}
	width -= SLOP;
	for (bool first = true; first || *s; first = false) {
		size_t skip, n = wrap_line(s, width, &skip);
		if (!first) {
			str_addc(ret, '\n');
			add_spaces(ret, indent);
		}
		add_block(ret, s, n, indent);
		s += n + skip;
	}
}

static void option_label(const struct cli_option *o, struct str *ret)
{
	static const char *const vars[CLI_TYPE_N_] = { [CLI_BOOL] = "", [CLI_STRING] = "string", [CLI_STRINGS] = "stringArray", [CLI_INT] = "int" };
	const char *var = o->var ? o->var : vars[o->type];
	if (o->letter)
		str_addf(ret, "  -%c, --%s", o->letter, o->name);
	else
		str_addf(ret, "      --%s", o->name);
	if (*var)
		str_addf(ret, " %s", var);
}

static void option_help(const char *prog, const struct cli_option *o, struct str *ret)
{
	add_text(ret, prog, o->help);
	if (o->def && o->type == CLI_STRING)
		str_addf(ret, " (default \"%s\")", o->def);
	else if (o->def)
		str_addf(ret, " (default %s)", o->def);
	if (o->flags & CLI_LATER)
		str_add(ret, " (not supported yet)");
}

static void add_option(const char *prog, const struct cli_option *o, size_t width, unsigned columns, struct str *ret)
{
	AUTO_STR struct str label = {0}, help = {0};
	option_label(o, &label);
	option_help(prog, o, &help);
	str_add(ret, str_get(&label));
	add_spaces(ret, width - label.len + 3);
	add_wrapped(ret, str_get(&help), width + 3, columns);
	str_addc(ret, '\n');
}

/* Two sorted tables as one; either may be NULL. */
static void add_options(const char *prog, const struct cli_option *a, const struct cli_option *b, unsigned columns, struct str *ret)
{
	size_t width = 0;
	const struct cli_option *tables[] = { a, b };
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
		for (const struct cli_option *o = tables[t]; o && o->name; o++) {
			AUTO_STR struct str label = {0};
			if (o->flags & CLI_HIDDEN)
				continue;
			option_label(o, &label);
			width = MAX(width, label.len);
		}
	str_add(ret, "\nOptions:\n");
	while ((a && a->name) || (b && b->name)) {
		const struct cli_option **from = !b || !b->name || (a && a->name && strcmp(a->name, b->name) < 0) ? &a : &b;
		if (!((*from)->flags & CLI_HIDDEN))
			add_option(prog, *from, width, columns, ret);
		(*from)++;
	}
}

static bool is_child(const struct cli_command *c, const char *group)
{
	size_t n = group ? strlen(group) : 0;
	if (c->flags & CLI_HIDDEN)
		return false;
	if (!group)
		return !strchr(c->name, ' ');
	return str_starts(c->name, group) && c->name[n] == ' ' && !strchr(c->name + n + 1, ' ');
}

static void add_commands(const char *prog, const char *group, bool groups, const char *title, struct str *ret)
{
	size_t skip = group ? strlen(group) + 1 : 0, width = NAME_WIDTH;
	bool any = false;
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (is_child(c, group))
			width = MAX(width, strlen(c->name + skip));
	for (const struct cli_command *c = cli_commands; c->name; c++) {
		if (!is_child(c, group) || !!(c->flags & CLI_GROUP) != groups)
			continue;
		if (!any)
			str_addf(ret, "\n%s:\n", title);
		any = true;
		str_addf(ret, "  %-*s ", (int)width, c->name + skip);
		add_text(ret, prog, c->summary);
		str_add(ret, c->flags & CLI_LATER ? " (not supported yet)\n" : "\n");
	}
}

static void add_usage(const char *prog, const struct cli_command *cmd, struct str *ret)
{
	const char *line = cmd->usage;
	str_add(ret, "Usage:  ");
	for (bool first = true; *line; first = false) {
		size_t n = strcspn(line, "\n");
		str_addf(ret, "%s%s %.*s\n", first ? "" : "\t", prog, (int)n, line);
		line += n + (line[n] == '\n');
	}
}

void cli_help(const char *prog, const struct cli_command *cmd, unsigned columns, struct str *ret)
{
	columns -= columns > 1; /* the last column stays free, as in docker's */
	if (!cmd) {
		str_addf(ret, "Usage:  %s [OPTIONS] COMMAND\n\nDefine and run multi-container applications\n", prog);
		add_options(prog, cli_global_options, NULL, columns, ret);
		add_commands(prog, NULL, true, "Management Commands", ret);
		add_commands(prog, NULL, false, "Commands", ret);
		str_addf(ret, "\nRun '%s COMMAND --help' for more information on a command.\n", prog);
		return;
	}
	add_usage(prog, cmd, ret);
	str_addc(ret, '\n');
	add_text(ret, prog, cmd->details ? cmd->details : cmd->summary);
	str_addf(ret, "%s\n", cmd->flags & CLI_LATER ? " (not supported yet)" : "");
	add_options(prog, cmd->options, cli_dry_run_option, columns, ret);
	if (cmd->flags & CLI_GROUP) {
		add_commands(prog, cmd->name, true, "Management Commands", ret);
		add_commands(prog, cmd->name, false, "Commands", ret);
		str_addf(ret, "\nRun '%s %s COMMAND --help' for more information on a command.\n", prog, cmd->name);
	}
}
