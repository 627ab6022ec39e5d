/* SPDX-License-Identifier: Apache-2.0 */
/* cache_to: what this build's steps have made, for whoever builds the same elsewhere (images/build/cachefrom.h reads it).
 *   inline    in the image's own configuration, so that whoever has the image has it: steps whose layers are the image's
 *   registry  a manifest at a reference; mode=min the same steps, mode=max those of all stages
 *   local     the same as an OCI layout in a directory
 * A stage that is only copied from is not in mode=min: its files are looked at to know what COPY --from means, so it runs again where only min is.
 * Layers are packed as on a push, and blobs that are there already are neither packed nor sent: what a layer packs to is remembered. Layers of
 * base images are not exported: FROM gets them. */
#ifndef IMAGES_BUILD_CACHETO_H
#define IMAGES_BUILD_CACHETO_H

#include "images/build/build_impl.h"

struct cacheto;

struct cacheto *cacheto_new(struct build *b);
void cacheto_free(struct cacheto *c); /* takes NULL */
/* The stage has made or taken the layer that is now on top of it. Any thread. */
void cacheto_note(struct cacheto *c, const struct build_step *s, const char *op);
/* Puts the record into the image's configuration, when it was asked for; all layers of the state are sealed. 0 or -1 + err. */
int cacheto_inline(struct cacheto *c, const struct build_state *target, json_t *doc, struct err *err);
/* Writes the caches that were asked for, once all layers are in place. 0 or -1 + err (what may be ignored is a warning). */
int cacheto_export(struct cacheto *c, const struct build_state *target, struct err *err);

#endif
