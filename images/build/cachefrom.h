/* SPDX-License-Identifier: Apache-2.0 */
/* cache_from: layers of steps that somebody else has run, in a directory (an OCI layout), at a registry, or in an image. A source is read when the
 * first step is in neither of our own keys' records; a layer comes when a step is in it. What is trusted: that whoever wrote the cache made
 * this layer with this operation on these contents, as one trusts whoever built an image. What is not: blobs have to have their digest and
 * diffID, are unpacked as those of any image, inside the jail, are packed again by us to the same diffID, and stand on contents that we have
 * digested ourselves. Whatever is wrong with a source is a warning, and the step runs. */
#ifndef IMAGES_BUILD_CACHEFROM_H
#define IMAGES_BUILD_CACHEFROM_H

#include "images/build/build_impl.h"
#include "images/lane.h"

/* Sources from the request's "cache_from"; fds: those of the request, inside the jail. */
struct cachefrom *cachefrom_new(struct build *b, const int *fds);
void cachefrom_free(struct cachefrom *c); /* takes NULL */
/* Whoever waits for a registry, here or in cacheto.c, stops waiting. Any thread; never waits itself. */
void cachefrom_interrupt(void *c);

/* Is there a layer that `op` made on top of the state (own_layer: whatever is there)? 0: it is here, sealed, in *ret_layer (the pool's), and when
 * it was made in ret_created ("": not known); 1: no. Any thread. */
int cachefrom_take(struct cachefrom *c, struct build_step *s, const char *op, struct layer **ret_layer, char ret_created[static 40]);

/* Lanes to the registry of `ref`, for cacheto.c too: LANE_MAX_LANES of them. 0 or -1 + err. */
int cachefrom_connect(struct build *b, const char *ref, bool push, struct lane lanes[static LANE_MAX_LANES], struct err *err);
void cachefrom_disconnect(struct build *b, struct lane lanes[static LANE_MAX_LANES]);
/* A step of the builder's own, as progress: "importing cache manifest from …". id 0 begins one; its id. */
int64_t cachefrom_tell(struct build *b, int64_t id, const char *state, const char *text);
void cachefrom_warn(struct build *b, const char *text);

#endif
