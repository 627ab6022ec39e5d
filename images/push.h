/* SPDX-License-Identifier: Apache-2.0 */
/* `image push`: one image of the store to a registry. Runs in the process that has the store and no network; what it sends goes over
 * lanes, when the process that talks to the registry wants it. An image that was pulled or loaded goes out byte for byte, its manifest
 * and its digest with it. One that was built or imported is packed first: each layer as far as the layout does not have it already, from
 * this image or another, then a manifest; from then on the layout has them, so that the next push only asks whether all is there. */
#ifndef IMAGES_PUSH_H
#define IMAGES_PUSH_H

#include "images/lane.h"
#include "images/work.h"

struct push_result {
	char id[65], digest[80];  /* of the image; of its manifest, "sha256:…" */
	uint64_t manifest_bytes;
};

/* name: a reference with a tag or none ("latest"); codec: of the layers that have to be packed. The digest is recorded as one by which the
 * image is known. Returns 0 or -1 + err. */
int push_image(const struct work *w, const char *name, enum pack_codec codec, struct lane *lanes, size_t n_lanes, struct push_result *ret,
	struct err *err);

#endif
