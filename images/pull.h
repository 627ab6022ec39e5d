/* SPDX-License-Identifier: Apache-2.0 */
/* `image pull`: one image from a registry into the store. Runs in the process that unpacks; every byte comes over lanes from the
 * one that talks to the registry, and none is believed: manifests, configuration and layers are checked against their digests
 * and sizes, layers against their diffIDs too. Layers are fetched and unpacked side by side, a lane each; the image appears at once or
 * not at all. Who pulls the same image at the same time waits and finds it there. */
#ifndef IMAGES_PULL_H
#define IMAGES_PULL_H

#include "images/lane.h"
#include "images/work.h"

struct pull_result {
	char id[65];
	char digest[80];       /* what the name leads to: of the index or the manifest, "sha256:…" */
	bool is_new;           /* the image was not in the store */
};

/* name: a reference; platform: "linux/amd64", NULL = this machine's. At most LANE_MAX_LANES lanes. Returns 0 or -1 + err; the store
 * is as before then, but for layers that the next sweep removes. */
int pull_image(const struct work *w, const char *name, const char *platform, struct lane *lanes, size_t n_lanes, struct pull_result *ret,
	struct err *err);

#endif
