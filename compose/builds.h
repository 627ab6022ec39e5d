/* SPDX-License-Identifier: Apache-2.0 */
/* Building images as commands do it: which services, in what order, with what on the screen. */
#ifndef COMPOSE_BUILDS_H
#define COMPOSE_BUILDS_H

#include "compose/build_client.h"
#include "compose/project.h"

enum {
	BUILDS_QUIET = 1,
	BUILDS_CHECK = 2,    /* only check the Dockerfiles */
};

/* Builds the services of `names` that have a `build`, and those that their contexts are made of. 0, or 1 after messages. */
int builds_run(struct app *app, struct project *p, const struct strv *names, unsigned flags);
/* What up, create and run have to build first: with --build everything, else what is missing and what `pull_policy: build` asks for. 0, or 1. */
int builds_for_services(struct app *app, struct project *p, const struct strv *names);
/* Names of the services that have a `build` among `names` and, through their contexts, beside them; in an order in which they can be built. */
int builds_select(struct app *app, struct project *p, const struct strv *names, struct strv *ret);
/* Runs the prepared builds and prints what became of them; frees them. 0, or 1 after messages. */
int builds_all(struct app *app, struct build_spec *list, size_t n, enum build_progress_mode mode);
/* --progress of the command, else the global one. 0, or 1 after a message. */
int builds_mode(struct app *app, bool quiet, enum build_progress_mode *ret);

#endif
