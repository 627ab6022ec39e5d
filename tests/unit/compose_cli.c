/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. Invariants: flags are read as pflag reads them; what is wrong or not supported yet is refused before anything
 * happens; each table is sorted and without twins; help texts are laid out as the reference's (its transcript is optional data:
 * MUSTER_HELP_REFERENCE, default ../shared/design/compose-help.txt). */
#include "compose/cli.h"

#include <stdio.h>

#include "base/fs.h"

static int failures;

static void check(bool ok, const char *what, const char *detail)
{
	if (ok)
		return;
	failures++;
	fprintf(stderr, "FAILED: %s: %s\n", what, detail);
}

/* Splits at blanks; "''" is an empty word. */
static int split(char *line, char **argv, int max)
{
	int n = 0;
	for (char *w = strtok(line, " "); w && n < max - 1; w = strtok(NULL, " "))
		argv[n++] = strcmp(w, "''") == 0 ? w + 2 : w;
	argv[n] = NULL;
	return n;
}

/* The outcome as text: "up detach=true scale=a=1,b=2 | web" or "error: …[ | hint]". */
static void outcome(const char *line, struct str *ret)
{
	AUTO_FREE char *copy = xstrdup(line);
	struct cli_args a;
	struct err err = {0};
	char *argv[64];
	int argc = split(copy, argv, 64);
	if (cli_parse(argc, argv, &a, &err) < 0) {
		str_addf(ret, "error: %s", err.msg);
		if (a.hint[0])
			str_addf(ret, " | %s", a.hint);
		cli_args_done(&a);
		return;
	}
	str_add(ret, a.command ? a.command->name : "-");
	if (a.help)
		str_add(ret, " HELP");
	for (size_t i = 0; i < a.n_values; i++) {
		if (!a.values[i].set)
			continue;
		str_addf(ret, " %s=", a.values[i].option->name);
		for (size_t k = 0; k < a.values[i].list.n; k++)
			str_addf(ret, "%s%s", k ? "," : "", a.values[i].list.v[k]);
	}
	for (size_t i = 0; i < a.args.n; i++)
		str_addf(ret, "%s%s", i ? " " : " | ", a.args.v[i]);
	cli_args_done(&a);
}

static const struct { const char *line, *want; } cases[] = {
	{ "muster up", "up" },
	{ "muster up -d web db", "up detach=true | web db" },
	{ "muster up web -d", "up detach=true | web" },
	{ "muster -f a.yml --file=b.yml -fc.yml -f=d.yml up", "up file=a.yml,b.yml,c.yml,d.yml" },
	{ "muster -p x --project-name y ps", "ps project-name=y" },
	{ "muster ps -aq", "ps all=true quiet=true" },
	{ "muster ps -a=false -q", "ps all=false quiet=true" },
	{ "muster ps --all=T --no-trunc=0", "ps all=true no-trunc=false" },
	{ "muster logs -fn 10 web", "logs follow=true tail=10 | web" },
	{ "muster logs -n10 -ft", "logs follow=true tail=10 timestamps=true" },
	{ "muster logs --tail 5 -- -web", "logs tail=5 | -web" },
	{ "muster up -t -1", "up timeout=-1" },
	{ "muster up --scale a=1 --scale=b=2", "up scale=a=1,b=2" },
	{ "muster exec -T web sh -c ls -la", "exec no-tty=true | web sh -c ls -la" },
	{ "muster exec -Tu root web id", "exec no-tty=true user=root | web id" },
	{ "muster exec -it web sh", "exec interactive=true tty=true | web sh" },
	{ "muster run --rm -e A=1 -eB=2 web env -i", "run env=A=1,B=2 rm=true | web env -i" },
	{ "muster run --no-TTY web", "run no-TTY=true | web" },
	{ "muster run -- web -x", "run | web -x" },
	{ "muster exec web -- x", "exec | web -- x" },
	{ "muster image import - busybox:1 -c CMD", "image import change=CMD | - busybox:1" },
	{ "muster image ls -q", "image ls quiet=true" },
	{ "muster --dry-run up", "up dry-run=true dry-run=true" },
	{ "muster up --dry-run", "up dry-run=true" },
	{ "muster up --menu=false", "up menu=false" },
	{ "muster --parallel -1 up", "up parallel=-1" },
	{ "muster up --pull missing", "up pull=missing" },
	{ "muster", "-" },
	{ "muster --version", "- version=true" },
	{ "muster --help", "- HELP" },
	{ "muster up --help --frob", "error: unknown flag: --frob" },
	{ "muster up -h", "up HELP" },
	{ "muster image", "image HELP" },
	{ "muster image --help", "image HELP" },
	{ "muster build --help", "build HELP" },
	{ "muster exec --help", "exec HELP" },
	{ "muster exec web ls --help", "exec | web ls --help" },

	{ "muster frob", "error: unknown command: \"frob\"" },
	{ "muster lgos", "error: unknown command: \"lgos\" | did you mean \"logs\"?" },
	{ "muster image lss", "error: unknown command: \"image lss\" | did you mean \"image ls\"?" },
	{ "muster up --frob", "error: unknown flag: --frob" },
	{ "muster up --detatch", "error: unknown flag: --detatch | did you mean --detach?" },
	{ "muster up --detatch=true", "error: unknown flag: --detatch | did you mean --detach?" },
	{ "muster up -z", "error: unknown shorthand flag: 'z' in -z" },
	{ "muster up -dz", "error: unknown shorthand flag: 'z' in -dz" },
	{ "muster up -f x.yml", "error: unknown shorthand flag: 'f' in -f | --file is a global option: it comes before the command's name" },
	{ "muster up --profile x", "error: unknown flag: --profile | --profile is a global option: it comes before the command's name" },
	{ "muster up --timeout", "error: flag needs an argument: --timeout" },
	{ "muster up -t", "error: flag needs an argument: 't' in -t" },
	{ "muster up -t 1s", "error: invalid argument \"1s\" for \"-t\" flag: expected a whole number" },
	{ "muster up -t 99999999999", "error: invalid argument \"99999999999\" for \"-t\" flag: expected a whole number" },
	{ "muster up --timeout=", "error: invalid argument \"\" for \"--timeout\" flag: expected a whole number" },
	{ "muster ps --all=maybe", "error: invalid argument \"maybe\" for \"--all\" flag: expected true or false" },
	{ "muster --ansi=sometimes up", "error: invalid argument \"sometimes\" for \"--ansi\" flag: expected one of never|always|auto" },
	{ "muster up --=x", "error: bad flag syntax: --=x" },
	{ "muster up ---x", "error: bad flag syntax: ---x" },
	{ "muster \x1b[31m", "error: unknown command: \"\\x1b[31m\"" },

	{ "muster build --build-arg A=b -q web", "build build-arg=A=b quiet=true | web" },
	{ "muster stats", "error: stats: not supported yet" },
	{ "muster bridge convert", "error: bridge convert: not supported yet" },
	{ "muster alpha viz", "error: alpha viz: not supported yet" },
	{ "muster up --build", "up build=true" },
	{ "muster up --watch", "error: up --watch: not supported yet" },
	{ "muster up --pull always", "up pull=always" },
	{ "muster up --pull build", "up pull=build" },
	{ "muster exec --privileged web id", "exec privileged=true | web id" },
	{ "muster --compatibility up", "up compatibility=true" },

	{ "muster up --force-recreate --no-recreate", "error: --force-recreate and --no-recreate cannot be used together" },
	{ "muster up -d --abort-on-container-exit", "error: --detach and --abort-on-container-exit cannot be used together" },
	{ "muster up --wait --attach web", "error: --wait and --attach cannot be used together" },
	{ "muster up --wait=false --attach web", "up attach=web wait=false" },
	{ "muster up --abort-on-container-failure --abort-on-container-exit",
	  "error: --abort-on-container-failure and --abort-on-container-exit cannot be used together" },
	{ "muster up -V --no-recreate", "error: --no-recreate and --renew-anon-volumes cannot be used together" },
	{ "muster run -P -p 80:80 web", "error: --service-ports and --publish cannot be used together" },

	{ "muster exec web", "error: exec: needs at least 2 arguments | usage: exec [OPTIONS] SERVICE COMMAND [ARGS...]" },
	{ "muster port web", "error: port: needs exactly 2 arguments | usage: port [OPTIONS] SERVICE PRIVATE_PORT" },
	{ "muster version x", "error: version: takes no arguments | usage: version [OPTIONS]" },
	{ "muster run", "error: run: needs at least 1 argument | usage: run [OPTIONS] SERVICE [COMMAND] [ARGS...]" },
};

static void test_parse(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STR struct str got = {0};
		outcome(cases[i].line, &got);
		if (strcmp(str_get(&got), cases[i].want) != 0) {
			failures++;
			fprintf(stderr, "FAILED: %s\n  want %s\n  got  %s\n", cases[i].line, cases[i].want, str_get(&got));
		}
	}
}

static void check_options(const char *command, const struct cli_option *o)
{
	const char *before = "";
	bool letters[256] = {0};
	for (; o && o->name; o++) {
		check(strcasecmp(before, o->name) < 0 || strcmp(before, o->name) < 0, command, o->name);
		check(o->help && *o->help, "help text", o->name);
		check(!o->letter || !letters[(unsigned char)o->letter], "letter used twice", o->name);
		letters[(unsigned char)o->letter] = true;
		before = o->name;
	}
}

/* Sorted tables, conflicts that name real options, groups before their members. */
static void test_tables(void)
{
	const char *before = "";
	check_options("global", cli_global_options);
	for (const struct cli_command *c = cli_commands; c->name; c++) {
		check(strcmp(before, c->name) < 0, "order of commands", c->name);
		check(*c->summary && *c->usage && str_starts(c->usage, c->name), "summary and usage", c->name);
		check_options(c->name, c->options);
		for (const char *const *k = c->conflicts; k && *k; k++) {
			bool found = false;
			for (const struct cli_option *o = c->options; o && o->name; o++)
				found = found || strcmp(o->name, *k) == 0;
			check(found, "conflict without option", *k);
		}
		if (strchr(c->name, ' ')) {
			AUTO_FREE char *group = xstrndup(c->name, (size_t)(strrchr(c->name, ' ') - c->name));
			check(cli_find(group) && cli_find(group)->flags & CLI_GROUP, "group", c->name);
		}
		before = c->name;
	}
}

/* Runs of blanks as one; what we add for options to come left out. Returns how often that was. */
static int normalise(const char *s, struct str *ret)
{
	static const char mark[] = " (not supported yet)";
	AUTO_STR struct str one = {0};
	int marks = 0;
	while (*s) {
		size_t n = strspn(s, " \n\t");
		if (n && one.len && s[n])
			str_addc(&one, ' ');
		s += n;
		if (*s)
			str_addc(&one, *s++);
	}
	for (s = str_get(&one); *s;) {
		bool marked = str_starts(s, mark);
		marks += marked;
		if (marked)
			s += sizeof(mark) - 1;
		else
			str_addc(ret, *s++);
	}
	return marks;
}

/* Commands whose text differs on purpose: own words, options of a newer reference than the transcript's, or no link to its site. */
static const char *const own_text[] = {
	"", "version", "config", "exec", "run", "start", "ps", "stats", "volumes", "rm", "alpha", "alpha viz", "alpha dry-run", "alpha watch",
	"bridge transformations list", NULL,
};
/* Commands that must look the same to the last blank. */
static const char *const same_layout[] = { "cp", "create", "down", "kill", "logs", "ls", "port", "restart", "scale", "stop", "wait", NULL };

static bool listed(const char *const *list, const char *name)
{
	for (; *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

static void compare_help(const char *name, const char *text, size_t n)
{
	AUTO_STR struct str got = {0}, a = {0}, b = {0};
	AUTO_FREE char *want = xstrndup(text, n);
	const struct cli_command *cmd = cli_find(name);
	int marks;
	if (listed(own_text, name))
		return;
	check(cmd != NULL, "command of the reference", name);
	if (!cmd)
		return;
	cli_help("docker compose", cmd, 80, &got);
	normalise(want, &a);
	marks = normalise(str_get(&got), &b);
	if (strcmp(str_get(&a), str_get(&b)) != 0) {
		failures++;
		fprintf(stderr, "FAILED: help of %s\n--- want\n%s--- got\n%s", name, want, str_get(&got));
	}
	if (listed(same_layout, name) && marks == 0) {
		while (n && want[n - 1] == '\n')
			want[--n] = '\0';
		check(strncmp(want, str_get(&got), n) == 0 && strcmp(str_get(&got) + n, "\n") == 0, "layout", str_get(&got));
	}
}

static int test_help_reference(void)
{
	const char *path = getenv("MUSTER_HELP_REFERENCE");
	AUTO_STR struct str text = {0};
	int n = 0;
	if (fs_read(AT_FDCWD, path ? path : "../shared/design/compose-help.txt", 1 << 20, &text, NULL) != 0)
		return 0;
	for (const char *at = strstr(str_get(&text), "### docker compose"); at;) {
		const char *end = strstr(at, " --help\n"), *next = strstr(at + 1, "\n### ");
		char name[64] = "";
		if (!end)
			break;
		if (end > at + 18)
			snprintf(name, sizeof(name), "%.*s", (int)(end - at - 19), at + 19);
		compare_help(name, end + 8, (next ? (size_t)(next - end) : strlen(end)) - 8);
		n++;
		at = next ? next + 1 : NULL;
	}
	check(n > 40, "sections of the reference", "too few");
	return n;
}

/* A text of our own pinned whole: global layout, groups, wrapping. */
static void test_help_own(void)
{
	static const char want[] =
		"Usage:  muster image import [OPTIONS] FILE|- NAME[:TAG]\n\n"
		"Make an image of a root file system, a tar archive (plain, gzip, zstd)\n\n"
		"Options:\n"
		"  -c, --change list   Apply Dockerfile instruction to the created image\n"
		"      --dry-run       Execute command in dry run mode\n";
	AUTO_STR struct str got = {0}, all = {0}, narrow = {0};
	cli_help("muster", cli_find("image import"), 80, &got);
	check(strcmp(str_get(&got), want) == 0, "help of image import", str_get(&got));
	cli_help("muster", NULL, 80, &all);
	check(strstr(str_get(&all), "\n  up          Create and start containers\n"), "help of everything", str_get(&all));
	check(strstr(str_get(&all), "\n  top         Display the running processes (not supported yet)\n"), "marks", str_get(&all));
	cli_help("muster", cli_find("up"), 40, &narrow);
	for (const char *p = str_get(&narrow); *p;) {
		size_t n = strcspn(p, "\n");
		check(n <= 48 || !str_starts(p, "    "), "a narrow terminal", p);
		p += n + (p[n] == '\n');
	}
}

static void test_program_name(void)
{
	char buf[64];
	check(strcmp(cli_program("/usr/bin/muster", buf), "muster") == 0, "program", buf);
	check(strcmp(cli_program("docker-compose", buf), "docker compose") == 0, "program", buf);
	check(strcmp(cli_program("./mu\x1bx", buf), "mu\\x1bx") == 0, "program", buf);
	check(strcmp(cli_program("", buf), "muster") == 0, "program", buf);
}

static void test_completion(void)
{
	AUTO_STR struct str bash = {0}, zsh = {0}, other = {0};
	struct err err = {0};
	check(cli_completion("muster", "bash", &bash, &err) == 0 && strstr(str_get(&bash), "complete -o default -F __muster_complete muster\n"), "bash", "");
	check(cli_completion("muster", "zsh", &zsh, &err) == 0 && str_starts(str_get(&zsh), "#compdef muster\n"), "zsh", "");
	check(cli_completion("muster", "fish", &other, &err) < 0, "fish", err.msg);
	check(strstr(str_get(&bash), "\"exec\") echo \"--help --dry-run --detach -d") != NULL, "options of exec", "");
}

int main(void)
{
	test_parse();
	test_tables();
	if (test_help_reference() == 0)
		fprintf(stderr, "note: no reference help texts here: their wording was not compared\n");
	test_help_own();
	test_program_name();
	test_completion();
	if (failures == 0)
		printf("ok\n");
	return failures ? 1 : 0;
}
