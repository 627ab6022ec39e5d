/* SPDX-License-Identifier: Apache-2.0 */
/* `image load`: images out of a docker-archive (`docker save`, skopeo, podman; manifest.json) or an OCI archive (oci-layout,
 * index.json), plain or compressed. Nothing in it is believed: every blob that is used is checked against its digest and size,
 * every layer against its diffID, all names are looked up in the archive only. Layers that the store has are not read again. */
#ifndef IMAGES_LOAD_H
#define IMAGES_LOAD_H

#include "images/work.h"

/* Loads every image of the archive that fits this machine's platform; the listener's loaded() is called once for each reference,
 * or once without one. Returns 0, or -1 + err; images committed before the error stay. */
int load_archive(const struct work *w, struct err *err);

#endif
