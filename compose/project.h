/* SPDX-License-Identifier: Apache-2.0 */
/* The project that the command line means: its files loaded, what is wrong with them printed, and the desired state for the
 * supervisor built from them and from the image store. Nothing here changes anything. */
#ifndef COMPOSE_PROJECT_H
#define COMPOSE_PROJECT_H

#include "compose/cmd.h"
#include "spec/load.h"

struct project {
	struct diags diags;
	struct load_result load;
	struct strv selected;     /* services named on the command line; empty: all */
	struct image_pull *pulls; /* what PROJECT_PULL tried to pull, with errors (compose/image_client.h); owned */
	size_t n_pulls;
};

enum {
	PROJECT_QUIET = 1,        /* print no diagnostics (the caller only wants to know) */
	PROJECT_NO_DEPS = 2,
	PROJECT_PULL = 4,         /* project_desired() pulls what its services need first, as --pull and --quiet-pull say */
};

/* Options of the loader from the global flags and the environment; strings live in the arena. */
void project_options(const struct app *app, struct load_options *ret);
/* Loads the files; services named in `names` (NULL: none) must exist and have their profiles activated. Prints diagnostics, warnings
 * too. Returns 0, or 1 after messages. */
int project_load(struct app *app, const struct strv *names, unsigned flags, struct project *ret);
/* The same with options of the caller's (config's --no-… flags). */
int project_load_with(struct app *app, const struct load_options *opts, unsigned flags, struct project *ret);
void project_done(struct project *p);
/* Prints what is in p->diags, sorted. 1 when there are errors among it, else 0. */
int project_print_diags(const struct app *app, struct project *p);

/* The project's name without its services being read: for commands on what runs. Returns 0, or 1 after messages. */
int project_name(struct app *app, const char **ret_name, const char **ret_dir);

/* The desired state (compose/desired.h), new reference. Refuses, all in one answer with positions, keys that are not supported yet and
 * images that are not there, among the selected services and what they depend on (flags: PROJECT_NO_DEPS). 0, or 1 after messages. */
int project_desired(struct app *app, struct project *p, unsigned flags, json_t **ret);

/* The image of a service: its `image`, else the name that its build gets, "<project>-<service>"; in the arena. */
const char *project_image(const struct app *app, const struct project *p, const char *service);

/* Names of all services in the model, sorted. */
void project_services(const struct project *p, struct strv *ret);
/* The services that the command line names, all when it names none; deps: after them what they depend on, and so on. */
void project_requested(const struct project *p, bool deps, struct strv *ret);

#endif
