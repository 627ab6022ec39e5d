/* SPDX-License-Identifier: Apache-2.0 */
/* ADD of an archive: what is one is told by its first bytes, never by its name; its entries go where `tar -x` in the destination would put them. */
#ifndef IMAGES_BUILD_UNPACK_H
#define IMAGES_BUILD_UNPACK_H

#include "images/build/copy.h"

/* Is fd a tar archive, plain or compressed? 1, 0, -1 + err. Its offset is moved. */
int unpack_is_archive(int fd, struct err *err);
/* Unpacks fd, when it is an archive, into the directory o->dest of the view. Returns 0; 1 when it is no archive and nothing was done; -1 + err. */
int unpack_into(int fd, const struct copy_options *o, const struct view *dest, struct err *err);
/* The same for what is an archive for sure and stands for a directory: --exclude counts. 0 or -1 + err. */
int unpack_tree(int fd, const struct copy_options *o, const struct view *dest, struct err *err);
/* Unpacks fd, an archive, into the empty directory dir_fd (a build context from standard input). 0 or -1 + err. */
int unpack_context(int fd, int dir_fd, struct err *err);

#endif
