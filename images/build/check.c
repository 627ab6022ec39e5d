/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of `docker build --check`, their switches, and what needs no variables: casing, names of stages, deprecated forms. Names, texts and addresses
 * are BuildKit's, so that people find them in its documentation and their `# check=skip=` comments hold. What needs variables is in
 * check_stages.c. */
#include "images/build/check.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "images/build/check_impl.h"
#include "images/build/instruction_impl.h"
#include "spec/imageref.h"

#define RULE_URL "https://docs.docker.com/go/dockerfile/rule/"

static const struct rule {
	const char *name, *slug, *description;
	bool experimental;
} rules[] = {
	[CHECK_STAGE_NAME_CASING] = { "StageNameCasing", "stage-name-casing", "Stage names should be lowercase", false },
	[CHECK_FROM_AS_CASING] = { "FromAsCasing", "from-as-casing", "The 'as' keyword should match the case of the 'from' keyword", false },
	[CHECK_NO_EMPTY_CONTINUATION] = { "NoEmptyContinuation", "no-empty-continuation",
					  "Empty continuation lines will become errors in a future release", false },
	[CHECK_CONSISTENT_INSTRUCTION_CASING] = { "ConsistentInstructionCasing", "consistent-instruction-casing",
						  "All commands within the Dockerfile should use the same casing (either upper or lower)", false },
	[CHECK_DUPLICATE_STAGE_NAME] = { "DuplicateStageName", "duplicate-stage-name", "Stage names should be unique", false },
	[CHECK_RESERVED_STAGE_NAME] = { "ReservedStageName", "reserved-stage-name", "Reserved words should not be used as stage names", false },
	[CHECK_JSON_ARGS_RECOMMENDED] = { "JSONArgsRecommended", "json-args-recommended",
					  "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals", false },
	[CHECK_MAINTAINER_DEPRECATED] = { "MaintainerDeprecated", "maintainer-deprecated",
					  "The MAINTAINER instruction is deprecated, use a label instead to define an image author", false },
	[CHECK_UNDEFINED_ARG_IN_FROM] = { "UndefinedArgInFrom", "undefined-arg-in-from", "FROM command must use declared ARGs", false },
	[CHECK_WORKDIR_RELATIVE_PATH] = { "WorkdirRelativePath", "workdir-relative-path",
					  "Relative workdir without an absolute workdir declared within the build can have unexpected results if "
					  "the base image changes",
					  false },
	[CHECK_UNDEFINED_VAR] = { "UndefinedVar", "undefined-var", "Variables should be defined before their use", false },
	[CHECK_MULTIPLE_INSTRUCTIONS_DISALLOWED] = { "MultipleInstructionsDisallowed", "multiple-instructions-disallowed",
						     "Multiple instructions of the same type should not be used in the same stage", false },
	[CHECK_LEGACY_KEY_VALUE_FORMAT] = { "LegacyKeyValueFormat", "legacy-key-value-format",
					    "Legacy key/value format with whitespace separator should not be used", false },
	[CHECK_REDUNDANT_TARGET_PLATFORM] = { "RedundantTargetPlatform", "redundant-target-platform",
					      "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior", false },
	[CHECK_SECRETS_USED_IN_ARG_OR_ENV] = { "SecretsUsedInArgOrEnv", "secrets-used-in-arg-or-env",
					       "Sensitive data should not be used in the ARG or ENV commands", false },
	[CHECK_INVALID_DEFAULT_ARG_IN_FROM] = { "InvalidDefaultArgInFrom", "invalid-default-arg-in-from",
						"Default value for global ARG results in an empty or invalid base image name", false },
	[CHECK_FROM_PLATFORM_FLAG_CONST_DISALLOWED] = { "FromPlatformFlagConstDisallowed", "from-platform-flag-const-disallowed",
							"FROM --platform flag should not use a constant value", false },
	[CHECK_COPY_IGNORED_FILE] = { "CopyIgnoredFile", "copy-ignored-file", "Attempting to Copy file that is excluded by .dockerignore", false },
	[CHECK_INVALID_DEFINITION_DESCRIPTION] = { "InvalidDefinitionDescription", "invalid-definition-description",
						   "Comment for build stage or argument should follow the format: `# <arg/stage name> "
						   "<description>`. If this is not intended to be a description comment, add an empty line or "
						   "comment between the instruction and the comment.",
						   true },
	[CHECK_EXPOSE_PROTO_CASING] = { "ExposeProtoCasing", "expose-proto-casing", "Protocol in EXPOSE instruction should be lowercase", false },
	[CHECK_EXPOSE_INVALID_FORMAT] = { "ExposeInvalidFormat", "expose-invalid-format",
					  "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a "
					  "future release",
					  false },
};
static_assert(ARRAY_SIZE(rules) == CHECK_RULE_N_, "an entry for each rule");

/* text[0..n) without the blanks around it, in the arena. */
static const char *trimmed(struct arena *a, const char *text, size_t n)
{
	static const char blanks[] = " \t\r\n\v\f";
	while (n && strchr(blanks, text[n - 1]))
		n--;
	for (; n && strchr(blanks, *text); n--)
		text++;
	return arena_strndup(a, text, n);
}

/* Names of rules, separated by commas, "all" for all. */
static void read_rules(struct arena *a, const char *text, bool *all, bool *each)
{
	*all |= str_eq(text, "all");
	for (size_t n; n = strcspn(text, ","), *text; text += n + (text[n] == ',')) {
		const char *name = trimmed(a, text, n);
		for (size_t r = 0; r < CHECK_RULE_N_; r++)
			each[r] |= str_eq(rules[r].name, name);
	}
}

/* "error=true". */
static bool read_option(struct arena *a, const char *text, struct check_config *ret, const char **ret_why)
{
	const char *equals = strchr(text, '='), *name = equals ? trimmed(a, text, (size_t)(equals - text)) : text;
	const char *value = equals ? trimmed(a, equals + 1, strlen(equals + 1)) : NULL;
	if (value && str_eq(name, "skip")) {
		read_rules(a, value, &ret->skip_all, ret->skip);
	} else if (value && str_eq(name, "experimental")) {
		read_rules(a, value, &ret->experimental_all, ret->experimental);
	} else if (!value || !str_eq(name, "error")) {
		*ret_why = arena_printf(a, "invalid check option \"%.60s\"", name);
		return false;
	} else if (!instruction_parse_bool(value, &ret->fatal)) {
		*ret_why = arena_printf(a, "check option error is true or false, not \"%.60s\"", value);
		return false;
	}
	return true;
}

bool check_read_config(struct arena *a, const char *text, struct check_config *ret, const char **ret_why)
{
	text = trimmed(a, text, strlen(text));
	for (size_t n; *text; text += n + 1) {
		n = strcspn(text, ";");
		if (!read_option(a, arena_strndup(a, text, n), ret, ret_why))
			return false;
		if (!text[n])
			break;
	}
	return true;
}

/* `check=…` in the comments above an instruction holds for it alone. */
static struct check_config config_of(struct checker *c, const struct dockerfile_node *node)
{
	struct check_config own = c->config;
	const char *why;
	for (size_t i = 0; node && i < node->n_comments; i++) {
		const char *p = node->comments[i];
		if (strncasecmp(p, "check", 5) != 0)
			continue;
		p += 5 + strspn(p + 5, " \t");
		if (*p != '=')
			continue;
		p += 1 + strspn(p + 1, " \t");
		if (!*p)
			continue;
		if (!check_read_config(c->arena, arena_strndup(c->arena, p, strcspn(p, " ")), &own, &why))
			return c->config;
		break;
	}
	return own;
}

static void check_vadd(struct checker *c, enum check_rule rule, const struct dockerfile_node *node, int first_line, int last_line, const char *fmt, va_list ap)
{
	struct check_config config = config_of(c, node);
	struct check_report *r = c->report;
	char *text, *message, *url;
	if (rules[rule].experimental ? !config.experimental_all && !config.experimental[rule] : config.skip_all || config.skip[rule])
		return;
	text = xvasprintf(fmt, ap);
	message = arena_strdup(c->arena, text);
	free(text);
	for (size_t i = 0; i < r->n; i++) {
		if (str_eq(r->v[i].rule, rules[rule].name) && r->v[i].first_line == first_line && str_eq(r->v[i].message, message))
			return;
	}
	url = arena_printf(c->arena, RULE_URL "%s/", rules[rule].slug);
	r->v = arena_grow(c->arena, r->v, r->n, &c->cap, sizeof(*r->v));
	r->v[r->n++] = (struct check_finding){ rules[rule].name, rules[rule].description, url, message, first_line, MAX(first_line, last_line) };
}

void check_add(struct checker *c, enum check_rule rule, const struct dockerfile_node *node, int first_line, int last_line, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	check_vadd(c, rule, node, first_line, last_line, fmt, ap);
	va_end(ap);
}

void check_add_node(struct checker *c, enum check_rule rule, const struct dockerfile_node *node, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	check_vadd(c, rule, node, node->first_line, node->last_line, fmt, ap);
	va_end(ap);
}

static bool is_lower(const char *s)
{
	for (; *s; s++) {
		if (*s >= 'A' && *s <= 'Z')
			return false;
	}
	return true;
}

static bool is_upper(const char *s)
{
	for (; *s; s++) {
		if (*s >= 'a' && *s <= 'z')
			return false;
	}
	return true;
}

/* The last comment above should begin with a name that is defined there. */
static void check_description(struct checker *c, const struct dockerfile_node *n, const char *instruction, const char *const *names, size_t n_names)
{
	const char *last;
	size_t len;
	if (!n->n_comments || !n_names)
		return;
	last = n->comments[n->n_comments - 1];
	len = strcspn(last, " ");
	for (size_t i = 0; i < n_names; i++) {
		if (strlen(names[i]) == len && strncmp(names[i], last, len) == 0)
			return;
	}
	check_add_node(c, CHECK_INVALID_DEFINITION_DESCRIPTION, n, "Comment for %s should follow the format: `# %s <description>`", instruction,
		       n_names > 1 ? "<arg_key>" : names[0]);
}

static void check_from(struct checker *c, const struct instruction_stage *s)
{
	const struct dockerfile_node *n = s->node;
	const char *as = n->n_words == 3 ? n->words[1].text : "";
	if (n->n_words == 3 && !is_lower(n->words[2].text))
		check_add_node(c, CHECK_STAGE_NAME_CASING, n, "Stage name '%s' should be lowercase", n->words[2].text);
	if ((is_lower(n->keyword) && !is_lower(as)) || (is_upper(n->keyword) && !is_upper(as)))
		check_add_node(c, CHECK_FROM_AS_CASING, n, "'%s' and '%s' keywords' casing do not match", as, n->keyword);
	if (*s->name)
		check_description(c, n, "FROM", &s->name, 1);
}

static void check_arg_description(struct checker *c, const struct instruction *in)
{
	const char **names = arena_alloc(c->arena, (in->pairs.n + 1) * sizeof(*names));
	for (size_t i = 0; i < in->pairs.n; i++)
		names[i] = in->pairs.v[i].name;
	check_description(c, in->node, "ARG", names, in->pairs.n);
}

/* What the text alone tells, in its order. */
static void check_text(struct checker *c)
{
	const struct dockerfile *df = c->all->file;
	for (size_t i = 0; i < df->n_empty_continuations; i++)
		check_add(c, CHECK_NO_EMPTY_CONTINUATION, NULL, df->empty_continuations[i], 0, "Empty continuation line");
	for (size_t i = 0; i < c->all->n_meta_args; i++)
		check_arg_description(c, c->all->meta_args[i]);
	for (size_t i = 0; i < c->all->n_stages; i++) {
		const struct instruction_stage *s = &c->all->stages[i];
		check_from(c, s);
		for (size_t k = 0; k < s->n; k++) {
			if (s->v[k]->kind == INSTRUCTION_MAINTAINER)
				check_add_node(c, CHECK_MAINTAINER_DEPRECATED, s->v[k]->node, "Maintainer instruction is deprecated in favor of using label");
			if (s->v[k]->kind == INSTRUCTION_ARG)
				check_arg_description(c, s->v[k]);
		}
	}
}

static void check_stage_names(struct checker *c)
{
	for (size_t i = 0; i < c->all->n_stages; i++) {
		const struct instruction_stage *s = &c->all->stages[i];
		bool duplicate = false;
		if (!*s->name)
			continue;
		if (str_eq(s->name, "scratch") || str_eq(s->name, "context"))
			check_add(c, CHECK_RESERVED_STAGE_NAME, NULL, s->first_line, s->last_line,
				  "Stage name should not use the same name as reserved stage \"%s\"", s->name);
		for (size_t k = 0; k < i; k++)
			duplicate |= str_eq(c->all->stages[k].name, s->name);
		if (duplicate)
			check_add(c, CHECK_DUPLICATE_STAGE_NAME, NULL, s->first_line, s->last_line,
				  "Duplicate stage name \"%s\", stage names should be unique", s->name);
	}
}

static void count_casing(const char *keyword, size_t *lower, size_t *upper)
{
	if (is_lower(keyword))
		(*lower)++;
	else if (is_upper(keyword))
		(*upper)++;
}

static void check_keyword_casing(struct checker *c, const struct dockerfile_node *n, bool lower)
{
	if (lower ? !is_lower(n->keyword) : !is_upper(n->keyword))
		check_add(c, CHECK_CONSISTENT_INSTRUCTION_CASING, NULL, n->first_line, n->last_line,
			  "Command '%s' should match the case of the command majority (%s)", n->keyword, lower ? "lowercase" : "uppercase");
}

static void check_casing(struct checker *c)
{
	size_t lower = 0, upper = 0;
	for (size_t i = 0; i < c->all->n_stages; i++) {
		const struct instruction_stage *s = &c->all->stages[i];
		count_casing(s->keyword, &lower, &upper);
		for (size_t k = 0; k < s->n; k++)
			count_casing(s->v[k]->keyword, &lower, &upper);
	}
	for (size_t i = 0; i < c->all->n_stages; i++) {
		const struct instruction_stage *s = &c->all->stages[i];
		check_keyword_casing(c, s->node, lower > upper);
		for (size_t k = 0; k < s->n; k++)
			check_keyword_casing(c, s->v[k]->node, lower > upper);
	}
}

/* Base images must have valid names with the defaults of the ARGs alone, too. */
static void check_default_args(struct checker *c)
{
	struct expand_options opt = c->opt->expand;
	struct expand_env env = { 0 };
	struct diags unused;
	opt.build_args = NULL;
	diags_init(&unused, c->arena);
	if (expand_scope_global(c->arena, c->all, &opt, &unused, &env) == 0) {
		for (size_t i = 0; i < c->all->n_stages; i++) {
			const struct instruction_stage *s = &c->all->stages[i];
			AUTO_STR struct str name = { 0 };
			struct imageref ref;
			if (expand_word(s->base, c->all->file->escape, 0, &env, NULL, &name, NULL) < 0)
				break;
			if (imageref_parse(str_get(&name), c->arena, &ref, NULL) < 0)
				check_add(c, CHECK_INVALID_DEFAULT_ARG_IN_FROM, NULL, s->first_line, s->last_line,
					  "Default value for ARG %s results in empty or invalid base image name", s->base);
		}
	}
	expand_env_done(&env);
}

static int compare_findings(const void *a, const void *b)
{
	const struct check_finding *const *x = a, *const *y = b;
	if ((*x)->first_line != (*y)->first_line)
		return (*x)->first_line < (*y)->first_line ? -1 : 1;
	return (*x > *y) - (*x < *y);
}

static void sort_findings(struct arena *a, struct check_report *r)
{
	struct check_finding **order = arena_alloc(a, (r->n + 1) * sizeof(*order)), *sorted = arena_alloc(a, (r->n + 1) * sizeof(*sorted));
	for (size_t i = 0; i < r->n; i++)
		order[i] = &r->v[i];
	qsort(order, r->n, sizeof(*order), compare_findings);
	for (size_t i = 0; i < r->n; i++)
		sorted[i] = *order[i];
	r->v = sorted;
}

/* False + error: the switches can't be read. */
static bool check_directive(struct checker *c, const struct dockerfile *df)
{
	const char *config = c->opt->config, *text = config ? config : df->check, *why;
	if (!text || check_read_config(c->arena, text, &c->config, &why))
		return true;
	diag_error(c->ds, config ? (struct pos){ 0 } : dockerfile_line_pos(df, df->check_line), "", "%s%s",
		   config ? "BUILDKIT_DOCKERFILE_CHECK: " : "", why);
	return false;
}

int check_dockerfile(struct arena *a, const struct source *src, const struct check_options *opt, struct diags *ds, struct check_report **ret)
{
	struct check_report *r = arena_alloc(a, sizeof(*r));
	struct checker c = { .arena = a, .ds = ds, .opt = opt, .report = r };
	size_t errors = ds->n_errors;
	struct instructions *all;
	struct dockerfile *df;
	*ret = r;
	dockerfile_parse(a, src, ds, &df);
	instruction_parse(a, df, ds, &all);
	r->src = df->src;
	r->errors = ds;
	c.all = all;
	if (check_directive(&c, df))
		check_text(&c);
	if (ds->n_errors == errors) {
		check_stage_names(&c);
		check_casing(&c);
		check_default_args(&c);
		check_stages(&c);
	}
	expand_env_done(&c.global);
	strv_done(&c.global_names);
	sort_findings(a, r);
	r->fatal = c.config.fatal && r->n;
	return ds->n_errors > errors ? -1 : r->n ? 1 : 0;
}
