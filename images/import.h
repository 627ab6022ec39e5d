/* SPDX-License-Identifier: Apache-2.0 */
/* `image import`: a root file system as tar becomes an image of one layer. The same archive with the same changes and message
 * gives the same id on every machine: the image's creation time is that of the newest file in it, not the time of the import. */
#ifndef IMAGES_IMPORT_H
#define IMAGES_IMPORT_H

#include "images/work.h"

/* name: "repo[:tag]", NULL = none (a digest in it is ERR_INVALID); changes: NULL-terminated, may be NULL; message may be NULL.
 * Names and changes are checked before the first byte is read. Returns 0; 1 when that image was there already (the name points
 * at it now); -1 + err with nothing changed. */
int import_rootfs(const struct work *w, const char *name, const char *const *changes, const char *message, char ret_id[static 65],
	struct err *err);

#endif
