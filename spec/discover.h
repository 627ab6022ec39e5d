/* SPDX-License-Identifier: Apache-2.0 */
/* Before a project is loaded: which files, which directory, which environment, which name. Private to the loader. */
#ifndef SPEC_DISCOVER_H
#define SPEC_DISCOVER_H

#include "spec/compose_file.h"
#include "spec/load.h"

struct discovery {
	const char *cwd;            /* absolute */
	const char *dir;            /* project directory, absolute */
	struct strv files;          /* absolute, or "-" */
	struct strv env_files;      /* that were read */
	struct strv profiles;       /* wanted ones */
	const char *name;           /* normalised project name; "" when it could not be found */
	const char *name_origin;    /* as in struct load_result */
	struct pos name_pos;
};

/* Fills env (initialised) from the process environment and env files, finds the files and the profiles. 0, or -1 with errors. No file is an
 * error only when need_files. */
int discover_files(struct file_loader *fl, const struct load_options *opts, bool need_files, struct env *env, struct discovery *ret);
/* Reads the files for their names and settles the project's; COMPOSE_PROJECT_NAME in env is set to it. 0, or -1 with errors. */
int discover_name(struct file_loader *fl, const struct load_options *opts, struct env *env, struct discovery *d);
void discovery_done(struct discovery *d);

#endif
