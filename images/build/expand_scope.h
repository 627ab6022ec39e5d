/* SPDX-License-Identifier: Apache-2.0 */
/* Which variables hold where. Before the first FROM: the platform arguments and the ARGs there (the global scope), for FROM alone. In a stage:
 * the environment of its base, then each ENV and ARG as it comes; an ARG without a value takes the command line's, else the global one's. The
 * proxy variables work undeclared in RUN and never count for the cache or the history unless an ARG declares them. */
#ifndef IMAGES_BUILD_EXPAND_SCOPE_H
#define IMAGES_BUILD_EXPAND_SCOPE_H

#include "images/build/instruction.h"

struct expand_platform {
	const char *os, *arch, *variant;  /* variant "" = none */
};

struct expand_options {
	const struct expand_env *build_args;  /* --build-arg */
	struct expand_platform build, target; /* the machine's; what is built for */
	const char *target_stage;             /* --target, "" = the last stage */
};

/* The variables for FROM: TARGET* and BUILD* platform arguments, TARGETSTAGE, the ARGs before the first FROM; build_args override. Fills
 * *ret (zeroed). names (may be NULL): what default values looked up. 0, or -1 + errors in ds. */
int expand_scope_global(struct arena *a, const struct instructions *in, const struct expand_options *opt, struct diags *ds, struct expand_env *ret);

/* Expands a word of FROM (base or platform) at pos. "" is an error. Returns it in the arena, NULL + error in ds. */
const char *expand_scope_from(struct arena *a, const struct instruction_stage *stage, const char *word, const struct expand_env *global,
			      struct expand_names *names, struct diags *ds);

/* The variables of one stage. Zeroed = empty; start with the base image's Env, or with a copy of the base stage's scope. */
struct expand_scope {
	struct expand_env env;    /* what $NAME sees and a RUN gets: image environment and declared arguments */
	struct strv declared;     /* all arguments that were declared, with a value or without */
};
void expand_scope_copy(struct expand_scope *to, const struct expand_scope *from);
void expand_scope_done(struct expand_scope *s);

/* An ENV, already expanded, takes effect. */
void expand_scope_env(struct expand_scope *s, const struct instruction *env);
/* An ARG takes effect: decides each value (build_args, then the default, then the global one). *ret: the instruction with these values
 * (pairs.v[i].value NULL: still without one). Names that defaults looked up go to used (may be NULL). 0, or -1 + errors in ds. */
int expand_scope_arg(struct arena *a, struct expand_scope *s, const struct instruction *arg, const struct expand_env *global,
		     const struct expand_env *build_args, struct expand_names *used, struct diags *ds, struct instruction **ret);
/* The environment of a RUN: env, and the proxy variables of build_args that nobody declared, in capitals and in small letters whichever was
 * given. The latter go to *ret_hidden, which is not for cache keys nor for the history. */
void expand_scope_run_env(const struct expand_scope *s, const struct expand_env *build_args, struct strv *ret, struct strv *ret_hidden);

/* Is name one of HTTP_PROXY http_proxy HTTPS_PROXY https_proxy FTP_PROXY ftp_proxy NO_PROXY no_proxy ALL_PROXY all_proxy? */
bool expand_scope_is_proxy(const char *name);

#endif
