/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts from the tables. They know commands, options and fixed choices by themselves and ask the program only
 * for what lives outside: services (config --services), images and volumes. The words of the command line up to the
 * command's name are passed on, so that -f, -p and --root count there too. */
#include "compose/cli.h"

#include <stdio.h>

/* "--file -f --profile": the visible options of a table; with_value: only those that take one. */
static void add_option_words(const struct cli_option *o, bool with_value, struct str *ret)
{
	for (; o && o->name; o++) {
		if (o->flags & CLI_HIDDEN || (with_value && o->type == CLI_BOOL))
			continue;
		str_addf(ret, " --%s", o->name);
		if (o->letter)
			str_addf(ret, " -%c", o->letter);
	}
}

static void add_choices(const struct cli_option *o, struct str *ret)
{
	for (; o && o->name; o++)
		if (o->choices && !(o->flags & CLI_HIDDEN)) {
			str_addf(ret, "    \"%s\") echo \"", o->name);
			for (const char *p = o->choices; *p; p++)
				str_addc(ret, *p == '|' ? ' ' : *p);
			str_add(ret, "\" ;;\n");
		}
}

static const char *complete_source(const char *kind)
{
	if (str_eq(kind, "service"))
		return "config --services";
	if (str_eq(kind, "image"))
		return "image ls --format {{.Repository}}:{{.Tag}}";
	if (str_eq(kind, "volume"))
		return "volume ls -q";
	if (str_eq(kind, "network"))
		return "network ls -q";
	return "";
}

/* Shell functions that both scripts use: __P_words KIND COMMAND. */
static void add_functions(const char *fn, struct str *ret)
{
	str_addf(ret, "__%s_commands=\"", fn);
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (!(c->flags & (CLI_HIDDEN | CLI_LATER)) && !strchr(c->name, ' '))
			str_addf(ret, "%s ", c->name);
	str_addf(ret, "\"\n__%s_globals=\"", fn);
	add_option_words(cli_global_options, false, ret);
	str_addf(ret, "\"\n__%s_globals_with_value=\"", fn);
	add_option_words(cli_global_options, true, ret);
	str_addf(ret, " \"\n__%s_options() {\n  case \"$1\" in\n", fn);
	for (const struct cli_command *c = cli_commands; c->name; c++) {
		if (c->flags & CLI_HIDDEN)
			continue;
		str_addf(ret, "    \"%s\") echo \"--help --dry-run", c->name);
		add_option_words(c->options, false, ret);
		str_add(ret, "\" ;;\n");
	}
	str_addf(ret, "  esac\n}\n__%s_subcommands() {\n  case \"$1\" in\n", fn);
	for (const struct cli_command *g = cli_commands; g->name; g++) {
		size_t n = strlen(g->name);
		if (!(g->flags & CLI_GROUP) || g->flags & CLI_HIDDEN)
			continue;
		str_addf(ret, "    \"%s\") echo \"", g->name);
		for (const struct cli_command *c = cli_commands; c->name; c++)
			if (str_starts(c->name, g->name) && c->name[n] == ' ' && !strchr(c->name + n + 1, ' ') && !(c->flags & CLI_LATER))
				str_addf(ret, "%s ", c->name + n + 1);
		str_add(ret, "\" ;;\n");
	}
	str_addf(ret, "  esac\n}\n__%s_arguments() {\n  case \"$1\" in\n", fn);
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (c->complete && !(c->flags & (CLI_HIDDEN | CLI_LATER)) && *complete_source(c->complete))
			str_addf(ret, "    \"%s\") echo \"%s\" ;;\n", c->name, complete_source(c->complete));
	str_addf(ret, "  esac\n}\n__%s_choices() {\n  case \"$1\" in\n", fn);
	add_choices(cli_global_options, ret);
	str_add(ret, "    pull) echo \"policy missing never\" ;;\n    rmi) echo \"local all\" ;;\n    protocol) echo \"tcp udp\" ;;\n");
	str_add(ret, "    status) echo \"paused restarting removing running dead created exited\" ;;\n    format) echo \"table json yaml\" ;;\n");
	str_add(ret, "  esac\n}\n");
}

/* Walks the words before the cursor, then prints candidates, one a line. Used as: __P_candidates CURRENT PREVIOUS WORD… */
static const char walk[] =
	"__%s_candidates() {\n"
	"  local current=$1 previous=$2 command= skip= word source\n"
	"  local -a globals=()\n"
	"  shift 2\n"
	"  for word in \"$@\"; do\n"
	"    if [ -n \"$skip\" ]; then globals+=(\"$word\"); skip=; continue; fi\n"
	"    case \"$word\" in\n"
	"      -*) if [ -z \"$command\" ]; then\n"
	"            globals+=(\"$word\")\n"
	"            case \"$__%s_globals_with_value\" in *\" $word \"*) skip=1 ;; esac\n"
	"          fi ;;\n"
	"      *) if [ -z \"$command\" ]; then command=$word\n"
	"         elif [ -n \"$(__%s_subcommands \"$command\")\" ]; then command=\"$command $word\"; fi ;;\n"
	"    esac\n"
	"  done\n"
	"  case \"$previous\" in --*) word=$(__%s_choices \"${previous#--}\"); [ -n \"$word\" ] && { printf '%%s\\n' $word; return; } ;; esac\n"
	"  case \"$current\" in\n"
	"    -*) if [ -n \"$command\" ]; then printf '%%s\\n' $(__%s_options \"$command\"); else printf '%%s\\n' $__%s_globals; fi; return ;;\n"
	"  esac\n"
	"  if [ -z \"$command\" ]; then printf '%%s\\n' $__%s_commands; return; fi\n"
	"  word=$(__%s_subcommands \"$command\")\n"
	"  if [ -n \"$word\" ]; then printf '%%s\\n' $word; return; fi\n"
	"  source=$(__%s_arguments \"$command\")\n"
	"  [ -n \"$source\" ] && %s \"${globals[@]}\" $source 2>/dev/null\n"
	"}\n";

static void add_walk(const char *fn, const char *prog, struct str *ret)
{
	const char *args[10] = { fn, fn, fn, fn, fn, fn, fn, fn, fn, prog };
	size_t n = 0;
	for (const char *p = walk; *p; p++) {
		if (p[0] == '%' && p[1] == 's' && n < ARRAY_SIZE(args)) {
			str_add(ret, args[n++]);
			p++;
		} else if (p[0] == '%' && p[1] == '%') {
			str_addc(ret, *p++);
		} else {
			str_addc(ret, *p);
		}
	}
	assert(n == ARRAY_SIZE(args));
}

int cli_completion(const char *prog, const char *shell, struct str *ret, struct err *err)
{
	const char *name = strcmp(prog, "docker compose") == 0 ? "docker-compose" : prog;
	char fn[64], quoted[64];
	size_t n = 0;
	for (const char *p = name; *p && n < sizeof(fn) - 1; p++)
		fn[n++] = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ? *p : '_';
	fn[n] = '\0';
	if (strcmp(shell, "bash") == 0) {
		str_addf(ret, "# bash completion for %s: source it, or put it into /usr/share/bash-completion/completions/%s\n", name, name);
		add_functions(fn, ret);
		add_walk(fn, name, ret);
		str_addf(ret, "__%s_complete() {\n  local IFS=$' \\t\\n' current=${COMP_WORDS[COMP_CWORD]}\n", fn);
		str_addf(ret, "  COMPREPLY=($(compgen -W \"$(__%s_candidates \"$current\" \"${COMP_WORDS[COMP_CWORD-1]}\" "
			      "\"${COMP_WORDS[@]:1:COMP_CWORD-1}\")\" -- \"$current\"))\n}\n", fn);
		str_addf(ret, "complete -o default -F __%s_complete %s\n", fn, name);
		return 0;
	}
	if (strcmp(shell, "zsh") == 0) {
		str_addf(ret, "#compdef %s\n# zsh completion for %s: put it into a directory of $fpath as _%s\n", name, name, name);
		str_add(ret, "setopt localoptions shwordsplit\n");
		add_functions(fn, ret);
		add_walk(fn, name, ret);
		str_addf(ret, "local -a found\nfound=(${(f)\"$(__%s_candidates \"${words[CURRENT]}\" \"${words[CURRENT-1]}\" "
			      "\"${(@)words[2,CURRENT-1]}\")\"})\n", fn);
		str_add(ret, "compadd -a found || _files\n");
		return 0;
	}
	return err_set(err, ERR_INVALID, "completion: no script for shell \"%s\": bash and zsh are supported", err_quote(quoted, sizeof(quoted), shell));
}
