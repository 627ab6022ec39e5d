/* SPDX-License-Identifier: Apache-2.0 */
/* The checks that follow the stages as a build would: which variables hold where, which of them an instruction names, what the instruction says once
 * they are in place. Stages that the target does not need are left out when there is a target. */
#include <stdio.h>
#include <strings.h>

#include "images/build/check_impl.h"
#include "images/build/pattern.h"
#include "spec/giturl.h"

enum { MAX_WORD = 64 };

/* A stage while it is looked at, and what the stages based on it take over. */
struct stage_state {
	struct expand_scope scope;
	bool needed, workdir, shell;
	const struct dockerfile_node *last_cmd, *last_entrypoint, *last_health;  /* the one before */
};

static size_t edits(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), row[MAX_WORD + 1];
	if (na > MAX_WORD || nb > MAX_WORD)
		return MAX_WORD;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t above = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[nb];
}

const char *check_suggest(struct checker *c, const char *word, const struct strv *candidates, const char *prefix)
{
	const char *best = NULL;
	size_t least = 3;
	for (size_t i = 0; i < candidates->n; i++) {
		size_t n = edits(word, candidates->v[i]);
		if (n < least) {
			best = candidates->v[i];
			least = n;
		}
	}
	return best && least ? arena_printf(c->arena, " (did you mean %s%s?)", prefix, best) : "";
}

/* "SECRET_TOKEN", "api_key": a part of the name says that it is one, and none that it is not. */
static bool is_secret_name(const char *name)
{
	static const char *const secret[] = { "apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token" };
	static const char *const harmless[] = { "public", "file", "version" };
	bool found = false;
	while (*name) {
		size_t n = strcspn(name, "_");
		for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
			if (strlen(harmless[i]) == n && strncasecmp(harmless[i], name, n) == 0)
				return false;
		}
		for (size_t i = 0; i < ARRAY_SIZE(secret); i++)
			found |= strlen(secret[i]) == n && strncasecmp(secret[i], name, n) == 0;
		name += n + (name[n] == '_');
	}
	return found;
}

static void check_pairs(struct checker *c, const struct instruction *in)
{
	const char *upper = instruction_name(in->kind);
	for (size_t i = 0; i < in->pairs.n; i++) {
		if (in->pairs.v[i].old_form)
			check_add_node(c, CHECK_LEGACY_KEY_VALUE_FORMAT, in->node, "\"%s key=value\" should be used instead of legacy \"%s key value\" format",
				       in->keyword, in->keyword);
		if (in->kind != INSTRUCTION_LABEL && is_secret_name(in->pairs.v[i].name))
			check_add_node(c, CHECK_SECRETS_USED_IN_ARG_OR_ENV, in->node,
				       "Do not use ARG or ENV instructions for sensitive data (%s \"%s\")", upper, in->pairs.v[i].name);
	}
}

static void report_variables(struct checker *c, const struct stage_state *s, const struct instruction *in, const struct expand_names *names)
{
	AUTO_STRV struct strv known = { 0 };
	for (struct map_entry *e = map_next(&s->scope.env.index, NULL); e; e = map_next(&s->scope.env.index, e))
		strv_push(&known, e->key);
	for (size_t i = 0; i < names->unset.n; i++) {
		const char *name = names->unset.v[i];
		if (strv_has(&s->scope.declared, name) || str_starts(name, "BUILDKIT_SBOM_SCAN_"))
			continue;
		check_add_node(c, CHECK_UNDEFINED_VAR, in->node, "Usage of undefined variable '$%s'%s", name, check_suggest(c, name, &known, "$"));
	}
}

/* Only the last CMD, ENTRYPOINT and HEALTHCHECK of a stage counts: the ones before are told. */
static void check_once(struct checker *c, const struct instruction *in, const struct dockerfile_node **last)
{
	if (*last)
		check_add(c, CHECK_MULTIPLE_INSTRUCTIONS_DISALLOWED, in->node, (*last)->first_line, (*last)->last_line,
			  "Multiple %s instructions should not be used in the same stage because only the last one will be used", in->keyword);
	*last = in->node;
}

static void check_shell_form(struct checker *c, const struct stage_state *s, const struct instruction *in)
{
	if (in->command.shell && !s->shell)
		check_add_node(c, CHECK_JSON_ARGS_RECOMMENDED, in->node,
			       "JSON arguments recommended for %s to prevent unintended behavior related to OS signals", in->keyword);
}

static void check_ignored(struct checker *c, const struct instruction *in, const char *source)
{
	const struct ignore *g = c->opt->ignore;
	AUTO_FREE char *path = NULL;
	bool root;
	if (!g || ignore_is_empty(g) || ignore_has_exceptions(g) || *in->copy.from)
		return;
	path = pattern_clean_path(source);
	root = str_eq(path, ".") || str_eq(path, "/");
	if (root ? ignore_leaves_out_root(g) : ignore_match(g, path))
		check_add_node(c, CHECK_COPY_IGNORED_FILE, in->node, "Attempting to %s file \"%s\" that is excluded by .dockerignore",
			       in->kind == INSTRUCTION_ADD ? "Add" : "Copy", path);
}

static void check_sources(struct checker *c, const struct instruction *in)
{
	for (size_t i = 0; i < in->copy.sources.n; i++) {
		const char *source = in->copy.sources.v[i];
		bool git = giturl_is(source), remote = git || str_starts(source, "http://") || str_starts(source, "https://");
		if (remote && in->kind == INSTRUCTION_COPY)
			diag_error(c->ds, in->pos, "", "source can't be a %s for COPY", git ? "git ref" : "URL");
		else if (!remote && *in->copy.checksum)
			diag_error(c->ds, in->pos, "", "checksum can't be specified for non-HTTP(S) sources");
		else if (!remote)
			check_ignored(c, in, source);
	}
}

/* "127.0.0.1:80:80", ":80:80": an address or a port of the host stands before the port. */
static bool names_host(const char *port)
{
	const char *last = strrchr(port, ':');
	return last && last != port && !(last == port + 1 && *port == ':');
}

static void check_ports(struct checker *c, const struct instruction *in, const struct expand_env *env)
{
	for (size_t i = 0; i < in->list.n; i++) {
		AUTO_STRV struct strv words = { 0 };
		if (expand_words(in->list.v[i], c->all->file->escape, 0, env, NULL, &words, NULL) < 0)
			return;
		for (size_t k = 0; k < words.n; k++) {
			const char *proto = strchr(words.v[k], '/');
			bool lower = true;
			for (const char *p = proto; p && *p; p++)
				lower &= !(*p >= 'A' && *p <= 'Z');
			if (!lower)
				check_add_node(c, CHECK_EXPOSE_PROTO_CASING, in->node,
					       "Defined protocol '%s' in EXPOSE instruction should be lowercase", words.v[k]);
			if (names_host(words.v[k]))
				check_add_node(c, CHECK_EXPOSE_INVALID_FORMAT, in->node,
					       "EXPOSE instruction should not define an IP address or host-port mapping, found '%s'", words.v[k]);
		}
	}
}

/* Each in its turn: the default of the first does not know the second, nor itself. */
static void check_arg(struct checker *c, struct stage_state *s, const struct instruction *in)
{
	check_pairs(c, in);
	for (size_t i = 0; i < in->pairs.n; i++) {
		struct instruction one = *in, *decided;
		struct expand_names names = { 0 };
		AUTO_STR struct str text = { 0 };
		one.pairs.v = &in->pairs.v[i];
		one.pairs.n = 1;
		if (one.pairs.v->value && !(c->opt->expand.build_args && expand_env_get(c->opt->expand.build_args, one.pairs.v->name)))
			expand_word(one.pairs.v->value, in->node->file->escape, 0, &s->scope.env, &names, &text, NULL);
		report_variables(c, s, in, &names);
		expand_scope_arg(c->arena, &s->scope, &one, &c->global, c->opt->expand.build_args, NULL, c->ds, &decided);
		expand_names_done(&names);
	}
}

/* An instruction with its variables in place, and its effect on them. */
static void check_expanded(struct checker *c, struct stage_state *s, const struct instruction *in, const struct instruction *expanded,
			   const struct expand_names *names)
{
	if (in->kind != INSTRUCTION_EXPOSE)
		report_variables(c, s, in, names);
	if (in->kind == INSTRUCTION_ENV || in->kind == INSTRUCTION_LABEL)
		check_pairs(c, expanded);
	if (in->kind == INSTRUCTION_ENV)
		expand_scope_env(&s->scope, expanded);
	if (in->kind == INSTRUCTION_EXPOSE)
		check_ports(c, in, &s->scope.env);
	if (in->kind == INSTRUCTION_COPY || in->kind == INSTRUCTION_ADD)
		check_sources(c, expanded);
	if (in->kind == INSTRUCTION_WORKDIR) {
		if (!s->workdir && expanded->text[0] != '/')
			check_add_node(c, CHECK_WORKDIR_RELATIVE_PATH, in->node,
				       "Relative workdir \"%s\" can have unexpected results if the base image changes", expanded->text);
		s->workdir = true;
	}
}

static void check_instruction(struct checker *c, struct stage_state *s, const struct instruction *in)
{
	struct instruction *expanded;
	struct expand_names names = { 0 };
	if (in->kind == INSTRUCTION_ARG)
		check_arg(c, s, in);
	else if (instruction_expand(c->arena, in, &s->scope.env, &names, c->ds, &expanded) == 0)
		check_expanded(c, s, in, expanded, &names);
	if (in->kind == INSTRUCTION_CMD)
		check_once(c, in, &s->last_cmd);
	if (in->kind == INSTRUCTION_ENTRYPOINT)
		check_once(c, in, &s->last_entrypoint);
	if (in->kind == INSTRUCTION_HEALTHCHECK)
		check_once(c, in, &s->last_health);
	if (in->kind == INSTRUCTION_CMD || in->kind == INSTRUCTION_ENTRYPOINT)
		check_shell_form(c, s, in);
	s->shell |= in->kind == INSTRUCTION_SHELL;
	expand_names_done(&names);
}

/* The ONBUILD instructions of the stage that this one is based on come first; what is found in them stands at the FROM. */
static void check_triggers(struct checker *c, struct stage_state *s, const struct instruction_stage *base, const struct instruction_stage *st)
{
	for (size_t i = 0; i < base->n; i++) {
		struct instruction *in;
		struct dockerfile_node *node;
		if (base->v[i]->kind != INSTRUCTION_ONBUILD ||
		    instruction_parse_trigger(c->arena, base->name, base->v[i]->text, c->ds, &in) < 0)
			continue;
		node = arena_alloc(c->arena, sizeof(*node));
		*node = *in->node;
		node->first_line = st->first_line;
		node->last_line = st->last_line;
		in->node = node;
		check_instruction(c, s, in);
	}
}

/* The stage of this name (or number) before or at `limit`; -1. */
static int find_stage(const struct checker *c, const char *name, size_t limit, bool numbers)
{
	uint64_t n;
	if (numbers && parse_u64(name, 0, limit ? limit - 1 : 0, &n))
		return limit ? (int)n : -1;
	for (size_t i = limit; i-- > 0;) {
		if (*c->all->stages[i].name && strcasecmp(c->all->stages[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static void mark_needed(struct checker *c, struct stage_state *states, const char *const *bases, int i)
{
	const struct instruction_stage *st;
	if (i < 0 || states[i].needed)
		return;
	states[i].needed = true;
	st = &c->all->stages[i];
	mark_needed(c, states, bases, find_stage(c, bases[i], (size_t)i, false));
	for (size_t k = 0; k < st->n; k++) {
		const struct instruction *in = st->v[k];
		if (in->kind == INSTRUCTION_COPY && *in->copy.from)
			mark_needed(c, states, bases, find_stage(c, in->copy.from, (size_t)i, true));
		for (size_t m = 0; in->kind == INSTRUCTION_RUN && m < in->command.n_mounts; m++)
			mark_needed(c, states, bases, find_stage(c, in->command.mounts[m].from, (size_t)i, true));
	}
}

static void start_stage(struct checker *c, struct stage_state *states, const char *base, size_t i)
{
	struct stage_state *s = &states[i];
	int parent = find_stage(c, base, i, false);
	char *const *env = NULL;
	if (parent >= 0) {
		expand_scope_copy(&s->scope, &states[parent].scope);
		s->workdir = states[parent].workdir;
		s->shell = states[parent].shell;
		return;
	}
	if (c->opt->image_env && !str_eq(base, "scratch"))
		env = c->opt->image_env(c->opt->arg, base);
	for (; env && *env; env++)
		expand_env_add(&s->scope.env, *env);
	if (!expand_env_get(&s->scope.env, "PATH"))
		expand_env_set(&s->scope.env, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

void check_stages(struct checker *c)
{
	size_t n = c->all->n_stages;
	struct stage_state *states = arena_alloc(c->arena, (n + 1) * sizeof(*states));
	const char **bases = arena_alloc(c->arena, (n + 1) * sizeof(*bases));
	bool target = c->opt->target && *c->opt->target;
	int wanted = -1, parent;
	if (expand_scope_global(c->arena, c->all, &c->opt->expand, c->ds, &c->global) < 0)
		return;
	for (struct map_entry *e = map_next(&c->global.index, NULL); e; e = map_next(&c->global.index, e))
		strv_push(&c->global_names, e->key);
	for (size_t i = 0; i < c->all->n_meta_args; i++) {
		for (size_t k = 0; k < c->all->meta_args[i]->pairs.n; k++)
			strv_push(&c->global_names, c->all->meta_args[i]->pairs.v[k].name);
	}
	for (size_t i = 0; i < n; i++) {
		const struct instruction_stage *s = &c->all->stages[i];
		bases[i] = check_from_words(c, s);
		if (target && strcasecmp(s->name, c->opt->target) == 0)
			wanted = (int)i;
	}
	if (target && wanted < 0)
		wanted = find_stage(c, c->opt->target, n, true);
	if (target && wanted < 0)
		diag_error(c->ds, (struct pos){ 0 }, "", "target stage \"%s\" could not be found", diag_quote(c->ds, c->opt->target));
	for (size_t i = 0; i < n && !target; i++)
		mark_needed(c, states, bases, (int)i);
	mark_needed(c, states, bases, wanted);
	for (size_t i = 0; i < n; i++) {
		if (!states[i].needed)
			continue;
		start_stage(c, states, bases[i], i);
		parent = find_stage(c, bases[i], i, false);
		if (parent >= 0)
			check_triggers(c, &states[i], &c->all->stages[parent], &c->all->stages[i]);
		for (size_t k = 0; k < c->all->stages[i].n; k++)
			check_instruction(c, &states[i], c->all->stages[i].v[k]);
	}
	for (size_t i = 0; i < n; i++)
		expand_scope_done(&states[i].scope);
}
