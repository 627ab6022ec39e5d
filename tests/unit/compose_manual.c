/* SPDX-License-Identifier: Apache-2.0 */
/* docs/muster.1 says what the program does: its options, commands and keys are those of the option table, the schema and the table of honoured
 * keys, to the letter. The parts between `.\" begin NAME` and `.\" end NAME` are made from these tables; the rest is written by hand.
 * After a change of a table: "compose_manual write" in the project's folder. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "compose/cli.h"
#include "spec/honoured.h"
#include "spec/schema.h"

#define MANUAL "docs/muster.1"

/* Text as mdoc takes it on a line of its own. */
static void add_text(struct str *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		str_add(out, "\\&");
	for (; *s; s++) {
		if (strncmp(s, "{prog}", 6) == 0) {
			str_add(out, "muster");
			s += 5;
		} else if (*s == '\\') {
			str_add(out, "\\e");
		} else if (*s == '\n') {
			str_add(out, s[1] == '\n' ? "\n.Pp" : "\n");
			if (s[1] == '\n')
				continue;
			if (s[1] == '.' || s[1] == '\'')
				str_add(out, "\\&");
		} else {
			str_addc(out, *s);
		}
	}
}

/* The same as an argument of a macro. */
static void add_argument(struct str *out, const char *s)
{
	str_addc(out, '"');
	for (; *s; s++)
		str_addf(out, *s == '"' ? "\"\"" : *s == '\\' ? "\\e" : *s == '-' ? "\\-" : "%c", *s);
	str_addc(out, '"');
}

static void add_options(struct str *out, const struct cli_option *options)
{
	static const char *const vars[] = { [CLI_STRING] = "string", [CLI_STRINGS] = "string", [CLI_INT] = "number" };
	bool any = false;
	for (const struct cli_option *o = options; o && o->name; o++) {
		if (o->flags & (CLI_HIDDEN | CLI_LATER))
			continue;
		str_add(out, any ? "" : ".Bl -tag -width 4n -compact\n");
		any = true;
		str_add(out, ".It ");
		if (o->letter)
			str_addf(out, "Fl %c , ", o->letter);
		str_addf(out, "Fl \\-%s", o->name);
		if (o->type != CLI_BOOL)
			str_addf(out, " Ar %s", o->var ? o->var : vars[o->type]);
		str_addc(out, '\n');
		add_text(out, o->help);
		if (o->def && *o->def)
			str_addf(out, "\n(default: %s)", o->def);
		if (o->later)
			str_addf(out, "\n(not supported yet: %s)", o->later);
		str_addc(out, '\n');
	}
	if (any)
		str_add(out, ".El\n");
}

static void add_usage(struct str *out, const struct cli_command *c)
{
	const char *usage = c->usage && *c->usage ? c->usage : c->name;
	while (*usage) {
		size_t n = strcspn(usage, "\n");
		AUTO_FREE char *line = xstrndup(usage, n);
		str_add(out, ".It Nm Ic ");
		add_argument(out, line);
		str_addc(out, '\n');
		usage += n + (usage[n] == '\n');
	}
}

static void make_commands(struct str *out)
{
	str_add(out, ".Bl -tag -width 4n\n");
	for (const struct cli_command *c = cli_commands; c->name; c++) {
		if (c->flags & (CLI_HIDDEN | CLI_LATER | CLI_GROUP))
			continue;
		add_usage(out, c);
		add_text(out, c->details ? c->details : c->summary);
		str_addc(out, '\n');
		add_options(out, c->options);
	}
	str_add(out, ".El\n");
}

/* Commands and options that are known and refused. */
static void make_later(struct str *out)
{
	bool any = false;
	str_add(out, ".Bl -bullet -compact\n.It\ncommands:\n");
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if ((c->flags & CLI_LATER) && !(c->flags & CLI_HIDDEN)) {
			str_addf(out, "%s%s", any ? ",\n" : "", c->name);
			any = true;
		}
	str_add(out, ";\n");
	for (const struct cli_command *c = cli_commands; c->name; c++) {
		any = false;
		for (const struct cli_option *o = c->options; o && o->name && !(c->flags & (CLI_LATER | CLI_HIDDEN)); o++)
			if ((o->flags & CLI_LATER) && !(o->flags & CLI_HIDDEN)) {
				if (!any)
					str_addf(out, ".It\noptions of %s:\n", c->name);
				str_addf(out, "%s\\-\\-%s", any ? ",\n" : "", o->name);
				any = true;
			}
		str_add(out, any ? ";\n" : "");
	}
	str_add(out, ".It\nglobal options:\n");
	any = false;
	for (const struct cli_option *o = cli_global_options; o->name; o++)
		if ((o->flags & CLI_LATER) && !(o->flags & CLI_HIDDEN)) {
			str_addf(out, "%s\\-\\-%s", any ? ",\n" : "", o->name);
			any = true;
		}
	str_add(out, ".\n.El\n");
}

struct keys {
	struct str *out;
	enum honoured_status want;
	const char *last;   /* path of the last key that was named: what is inside it goes without saying */
	char buffer[256];
	bool any;
};

static int add_honoured(void *arg, const struct schema_key *key)
{
	struct keys *k = arg;
	enum honoured_status status = honoured_status(key->path);
	const char *values = honoured_values(key->path);
	if ((status != HONOURED_YES && status != HONOURED_VALUES) || key->deprecated)
		return 0;
	str_add(k->out, ".It Cm ");
	add_argument(k->out, key->path);
	str_addc(k->out, '\n');
	add_text(k->out, key->description);
	if (values) {
		str_add(k->out, "\nSupported so far:\n");
		for (const char *p = values; *p;) {
			size_t n = strcspn(p, " ");
			str_addf(k->out, "%s%.*s", p == values ? "" : ", ", (int)n, p);
			p += n + (p[n] == ' ');
		}
		str_addc(k->out, '.');
	}
	str_addc(k->out, '\n');
	return 0;
}

static int add_name(void *arg, const struct schema_key *key)
{
	struct keys *k = arg;
	size_t n = strlen(k->buffer);
	if (honoured_status(key->path) != k->want)
		return 0;
	if (n > 0 && strncmp(key->path, k->buffer, n) == 0 && strchr(".[", key->path[n]))
		return 0;
	snprintf(k->buffer, sizeof(k->buffer), "%s", key->path);
	str_add(k->out, k->any ? ",\n" : "");
	add_text(k->out, key->path);
	k->any = true;
	return 0;
}

static void add_names(struct str *out, enum honoured_status want)
{
	struct keys k = { .out = out, .want = want };
	schema_each_key(add_name, &k);
	str_add(out, ".\n");
}

static void make_keys(struct str *out)
{
	struct keys k = { .out = out };
	str_add(out, ".Bl -tag -width 4n -compact\n");
	schema_each_key(add_honoured, &k);
	str_add(out, ".El\n.Ss Keys without effect\nThese are accepted, and there is nothing to do for them:\n");
	add_names(out, HONOURED_NO_OP);
	str_add(out, ".Ss Keys that are accepted at their default only\nWhat these ask for must be what is so without them:\n");
	add_names(out, HONOURED_DEFAULT);
	str_add(out, ".Ss Keys that are not supported yet\n.Ic config\naccepts them;\n.Ic up , run\nand\n.Ic create\n"
		"refuse a project that uses one, before anything starts:\n");
	add_names(out, HONOURED_REFUSED);
}

static void make_global(struct str *out)
{
	add_options(out, cli_global_options);
}

static const struct {
	const char *name;
	void (*make)(struct str *out);
} parts[] = { { "options", make_global }, { "commands", make_commands }, { "later", make_later }, { "keys", make_keys } };

/* The manual with its parts made anew; false when a marker is missing. */
static bool renew(const char *text, struct str *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		AUTO_FREE char *begin = xasprintf(".\\\" begin %s\n", parts[i].name), *end = xasprintf(".\\\" end %s\n", parts[i].name);
		const char *from = strstr(text, begin), *to = strstr(text, end);
		if (!from || !to || to < from) {
			printf(MANUAL " has no part %s\n", parts[i].name);
			return false;
		}
		str_addn(ret, text, (size_t)(from - text) + strlen(begin));
		parts[i].make(ret);
		text = to;
	}
	str_add(ret, text);
	return true;
}

static int first_difference(const char *a, const char *b)
{
	int line = 1;
	for (; *a && *a == *b; a++, b++)
		line += *a == '\n';
	return line;
}

int main(int argc, char **argv)
{
	AUTO_STR struct str have = { 0 }, want = { 0 };
	struct err err = { 0 };
	AUTO_CLOSE int docs = -1;
	if (fs_read(AT_FDCWD, MANUAL, 1 << 20, &have, &err) != 0) {
		printf("cannot read " MANUAL " (run this in the project's folder): %s\n", err.msg);
		return 1;
	}
	if (!renew(str_get(&have), &want))
		return 1;
	if (argc > 1 && strcmp(argv[1], "write") == 0) {
		docs = fs_open_dir(AT_FDCWD, "docs", &err);
		if (docs < 0 || fs_write_volatile(docs, "muster.1", want.p, want.len, 0644, &err) < 0) {
			printf("%s\n", err.msg);
			return 1;
		}
		return 0;
	}
	if (strcmp(str_get(&have), str_get(&want)) == 0) {
		puts("passed");
		return 0;
	}
	printf(MANUAL ":%d: differs from the tables: run `%s write`\n", first_difference(str_get(&have), str_get(&want)), argv[0]);
	return 1;
}
