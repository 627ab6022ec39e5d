/* SPDX-License-Identifier: Apache-2.0 */
/* `image verify`: everything in the store is read again and held against the digest it goes by: configurations, blobs, and the layers'
 * directories. A directory that we packed has to pack to its diffID again; one that came as a blob has to pack to what the blob,
 * unpacked once more, packs to. */
#ifndef IMAGES_VERIFY_H
#define IMAGES_VERIFY_H

#include "images/work.h"

struct verify_result {
	size_t n_images, n_blobs, n_layers; /* looked at */
	size_t n_bad, n_repaired;
};

/* Calls found for each fault with a sentence. repair: removes what is broken, so that the next pull or load puts it back: a blob or a layer
 * alone, and an image whose configuration is gone. Returns 0 (look at n_bad) or -1 + err when it could not be done. */
int verify_store(const struct work *w, bool repair, void (*found)(void *arg, const char *text), void *arg, struct verify_result *ret,
	struct err *err);

#endif
