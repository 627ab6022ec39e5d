/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of the image that is being built: a JSON document that starts as the base image's and changes with each instruction, and its
 * history, in the words of BuildKit. */
#ifndef IMAGES_BUILD_IMAGECONFIG_H
#define IMAGES_BUILD_IMAGECONFIG_H

#include "base/json.h"
#include "images/build/instruction.h"

/* A fresh document (FROM scratch). variant may be "". New reference. */
json_t *imageconfig_new(const char *os, const char *arch, const char *variant);
/* A base image's document, made ours: PATH is there, ONBUILD is taken out into ret_onbuild (may be NULL: dropped). New reference. */
json_t *imageconfig_from(const json_t *base, struct strv *ret_onbuild);

/* The "config" object, borrowed. */
json_t *imageconfig_of(json_t *doc);
/* Adds a history entry. created may be "" (filled in by imageconfig_finish()). */
void imageconfig_history(json_t *doc, const char *created_by, const char *created, bool empty_layer);

/* What an instruction that makes no layer does: ENV LABEL MAINTAINER CMD ENTRYPOINT EXPOSE VOLUME USER STOPSIGNAL SHELL HEALTHCHECK ONBUILD ARG, all
 * expanded; with its history. cmd_set: CMD came in this stage already (ENTRYPOINT resets an inherited one). 0; 1: another kind. */
int imageconfig_apply(json_t *doc, const struct instruction *in, bool *cmd_set);
/* The words in front of a shell form: SHELL, else /bin/sh -c. */
void imageconfig_shell(const json_t *doc, struct strv *ret);
/* "RUN |1 A=b /bin/sh -c true # buildkit": the declared arguments with what env has for them, "" when it has nothing. free() it. */
char *imageconfig_run_text(const struct strv *args, const struct strv *declared, const struct expand_env *env);
char *imageconfig_copy_text(const struct instruction *in);

/* Layers, created and the times that are missing in the history. diff_ids: 64 digits each. epoch: NULL, or the time that everything gets. */
void imageconfig_finish(json_t *doc, const struct strv *diff_ids, const char *created, const char *epoch);

#endif
