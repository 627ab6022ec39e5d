/* SPDX-License-Identifier: Apache-2.0 */
/* The findings of `build --check`: BuildKit's rules, names and messages, and `# check=skip=RULE,…;error=true`. */
#ifndef IMAGES_BUILD_CHECK_H
#define IMAGES_BUILD_CHECK_H

#include "images/build/expand_scope.h"
#include "images/build/ignore.h"

struct check_finding {
	const char *rule;        /* "StageNameCasing" */
	const char *description; /* of the rule */
	const char *url;
	const char *message;     /* about this place */
	int first_line, last_line;
};

struct check_report {
	const struct source *src;
	struct check_finding *v; /* by line */
	size_t n;
	bool fatal;              /* findings fail the build: error=true */
	const struct diags *errors;       /* what is wrong with the file, when something is */
};

struct check_options {
	struct expand_options expand;
	const struct ignore *ignore;      /* NULL: no .dockerignore */
	/* The environment of an image ("NAME=VALUE", NULL-terminated); NULL: not known, then PATH alone is. The check of undefined variables asks. */
	char *const *(*image_env)(void *arg, const char *image);
	void *arg;                        /* of image_env */
	const char *target;      /* findings of the stages it needs; NULL or "": of all */
	const char *config;      /* BUILDKIT_DOCKERFILE_CHECK, in place of the directive; NULL: the directive */
};

/* Checks a file: parses it as well. Always fills *ret (in the arena). 0; 1 when there are findings; -1 when the file has errors. */
int check_dockerfile(struct arena *a, const struct source *src, const struct check_options *opt, struct diags *ds, struct check_report **ret);

/* As `docker build --check` prints it: "Check complete, 2 warnings have been found!" and each finding with its excerpt. */
void check_render(const struct check_report *r, struct str *ret);
/* As `--call=check,format=json` prints it. New reference. */
json_t *check_json(const struct check_report *r);

#endif
