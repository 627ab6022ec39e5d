/* SPDX-License-Identifier: Apache-2.0 */
/* What a container changed in its root file system: its upper directory held against the layers below, as `docker diff` prints it. A directory
 * counts as changed when something in it is. */
#ifndef IMAGES_CHANGES_H
#define IMAGES_CHANGES_H

#include "base/err.h"

/* kind: 'A' added, 'C' changed, 'D' deleted; path is absolute, as in the container. 0, or non-zero to stop with that. */
typedef int changes_fn(void *arg, char kind, const char *path, struct err *err);

/* Calls fn for each change, sorted by path. lower_fds: the layers, bottom to top. Returns 0 or -1 + err. */
int changes_list(const int *lower_fds, size_t n, int upper_fd, changes_fn *fn, void *arg, struct err *err);

#endif
