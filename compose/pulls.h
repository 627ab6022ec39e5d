/* SPDX-License-Identifier: Apache-2.0 */
/* Pulling as commands do it: which images, with what on the screen. */
#ifndef COMPOSE_PULLS_H
#define COMPOSE_PULLS_H

#include "compose/project.h"

/* A list of images to pull, each once. Zeroed = empty. */
struct pulls {
	struct image_pull *v;
	size_t n, cap;
};

/* Adds an image (ref and platform are copied to the arena) unless it is there. who: "service web", NULL. */
void pulls_add(struct app *app, struct pulls *list, const char *ref, const char *platform, const char *who);
/* The same for a push; codec: how layers that are not compressed yet will be, "gzip", "zstd", "none" (not copied). */
void pulls_add_push(struct app *app, struct pulls *list, const char *ref, const char *codec, const char *who);
/* Pulls or pushes them all, several at a time. quiet: no progress. Returns the number of failures, each printed (as a warning when
 * ignore_failures); frees the list. */
int pulls_run(struct app *app, struct pulls *list, bool quiet, bool ignore_failures);
/* The same, but the results stay in the list until pulls_done(). */
int pulls_work(struct app *app, struct pulls *list, bool quiet, bool ignore_failures);
void pulls_done(struct pulls *list);

/* True when the image is in the store. */
bool pulls_have(struct app *app, const char *ref);

/* Pulls what the services named need, by their pull_policy, or by `policy` when it is not NULL ("always", "missing", "never", "build"). What was
 * tried is in p->pulls, failures unprinted: project_desired() makes diagnostics of them. Returns 0, or 1 after a message. */
int pulls_for_services(struct app *app, struct project *p, const struct strv *names, const char *policy, bool quiet);

#endif
