/* SPDX-License-Identifier: Apache-2.0 */
/* Env files: KEY=VALUE, quotes, escapes, variables. Used for .env, --env-file, env_file and label_file; "raw" is docker
 * run's own format without quotes or variables. */
#ifndef SPEC_DOTENV_H
#define SPEC_DOTENV_H

#include "spec/diag.h"
#include "spec/env.h"

enum { DOTENV_MAX_BYTES = 16 << 20 };

struct dotenv_vars {
	/* The value of a variable for interpolation and for keys without value; tried before `out`. May be NULL. */
	const char *(*lookup)(void *arg, const char *name);
	/* Where that value was set, src NULL when by no file; may be NULL. */
	struct pos (*place)(void *arg, const char *name);
	void *arg;
	struct map *warned;      /* variables that were warned of already; may be NULL: no warnings */
};

/* Reads src into out (later keys replace earlier ones; what was in out before is seen by variables too). 0, or -1 with errors in ds. */
int dotenv_parse(const struct source *src, const struct dotenv_vars *vars, struct env *out, struct diags *ds);
/* The raw format: the bytes after '=' as they are; a bare KEY takes the value of lookup, or nothing. */
int dotenv_parse_raw(const struct source *src, const struct dotenv_vars *vars, struct env *out, struct diags *ds);

#endif
