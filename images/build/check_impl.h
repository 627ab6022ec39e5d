/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the checks share among themselves. */
#ifndef IMAGES_BUILD_CHECK_IMPL_H
#define IMAGES_BUILD_CHECK_IMPL_H

#include "images/build/check.h"

enum check_rule {
	CHECK_STAGE_NAME_CASING, CHECK_FROM_AS_CASING, CHECK_NO_EMPTY_CONTINUATION, CHECK_CONSISTENT_INSTRUCTION_CASING, CHECK_DUPLICATE_STAGE_NAME,
	CHECK_RESERVED_STAGE_NAME, CHECK_JSON_ARGS_RECOMMENDED, CHECK_MAINTAINER_DEPRECATED, CHECK_UNDEFINED_ARG_IN_FROM,
	CHECK_WORKDIR_RELATIVE_PATH, CHECK_UNDEFINED_VAR, CHECK_MULTIPLE_INSTRUCTIONS_DISALLOWED, CHECK_LEGACY_KEY_VALUE_FORMAT,
	CHECK_REDUNDANT_TARGET_PLATFORM, CHECK_SECRETS_USED_IN_ARG_OR_ENV, CHECK_INVALID_DEFAULT_ARG_IN_FROM,
	CHECK_FROM_PLATFORM_FLAG_CONST_DISALLOWED, CHECK_COPY_IGNORED_FILE, CHECK_INVALID_DEFINITION_DESCRIPTION, CHECK_EXPOSE_PROTO_CASING,
	CHECK_EXPOSE_INVALID_FORMAT, CHECK_RULE_N_
};

/* Which rules are on: from the directive, and for one instruction from the comments above it. */
struct check_config {
	bool skip_all, experimental_all, fatal;
	bool skip[CHECK_RULE_N_], experimental[CHECK_RULE_N_];
};

struct checker {
	struct arena *arena;
	struct diags *ds;
	const struct check_options *opt;
	struct check_report *report;
	size_t cap;
	struct check_config config;
	const struct instructions *all;
	struct expand_env global;         /* what holds in FROM */
	struct strv global_names;         /* of global, and the declared ones without a value */
};

/* "skip=A,B;error=true" → *ret (which holds what is on before). False + why when it is malformed. Unknown names of rules are fine. */
bool check_read_config(struct arena *a, const char *text, struct check_config *ret, const char **ret_why);
/* Notes a finding at these lines, unless its rule is off. node: the instruction whose comments may switch it off; NULL: none. */
void check_add(struct checker *c, enum check_rule rule, const struct dockerfile_node *node, int first_line, int last_line, const char *fmt, ...)
	PRINTF(6, 7);
/* The same at the lines of the node. */
void check_add_node(struct checker *c, enum check_rule rule, const struct dockerfile_node *node, const char *fmt, ...) PRINTF(4, 5);
/* " (did you mean PREFIXname?)" of the nearest candidate, within two edits; "" when none is. */
const char *check_suggest(struct checker *c, const char *word, const struct strv *candidates, const char *prefix);

/* The words of a FROM line. Returns the base, "scratch" when it can't be told. */
const char *check_from_words(struct checker *c, const struct instruction_stage *s);

/* All checks of the stages, variables expanded as a build would. */
void check_stages(struct checker *c);

#endif
