/* SPDX-License-Identifier: Apache-2.0 */
/* Copy-up: a new, empty volume takes over what the image has at the place where the volume is mounted (docker's rule; not with
 * nocopy). The image is hostile: everything is opened through descriptors, the path inside the image by
 * openat2(RESOLVE_IN_ROOT), below it no symlink is followed and no mount point is crossed. Content, owner, mode, xattrs, times
 * and hard links are kept, and those of the directory itself.
 * The copy is made beside the data as .fill-<random>, synced, renamed to .filled, and only then moved into _data entry by entry:
 * killed before that rename, the volume is empty; after it, the next copyup_fill() or volume_open_data() finishes the moves. */
#ifndef VOLUMES_COPYUP_H
#define VOLUMES_COPYUP_H

#include "base/err.h"

/* Fills the volume from path_in_root of the mounted rootfs source_root_fd (a directory descriptor; O_PATH will do). volume_fd:
 * of volume_open().
 * Returns 0 when filled; 1 when there was nothing to do: the volume has content, the image has no such path or it is not a
 * directory; -1 + err, the volume then still empty. May take as long as the copy: run it in a worker, not in a loop. */
int copyup_fill(int source_root_fd, const char *path_in_root, int volume_fd, struct err *err);

/* Finishes or drops what a killed copyup_fill() left. volume_open_data() calls it. Returns 0 or -1 + err. */
int copyup_recover(int volume_fd, struct err *err);

#endif
