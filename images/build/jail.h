/* SPDX-License-Identifier: Apache-2.0 */
/* The fence around the builder, which reads Dockerfiles, contexts and images of anybody's making: images/confine.h's, with directories of build
 * contexts to read, and messages on sockets that are open already. No new socket, no mount, no other program, no other process. */
#ifndef IMAGES_BUILD_JAIL_H
#define IMAGES_BUILD_JAIL_H

#include "base/err.h"

/* Enters it for good. context_fds: directories, replaced by descriptors of read-only clones. Returns a descriptor of the root that holds the folders
 * images, layers and buildcache (root_fd is closed), -1 + err. */
int jail_enter_build(int root_fd, int *context_fds, size_t n, struct err *err);

#endif
