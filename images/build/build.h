/* SPDX-License-Identifier: Apache-2.0 */
/* One build, from the request to the image: what `muster-image build` does. images/build/channel.h says how it is talked to.
 * Each stage that the target needs has a thread, which takes its instructions one after the other and waits for another stage where it uses one;
 * so independent stages go on side by side, and a stage that the cache answers as a whole costs a few look-ups. */
#ifndef IMAGES_BUILD_BUILD_H
#define IMAGES_BUILD_BUILD_H

#include "base/err.h"

/* Takes the first message from cli_fd, enters the jail, builds, tells, and returns the exit status of the process. root_fd: the state root, taken
 * over. Must be the only thread. */
int builder_main(int root_fd, int cli_fd, int executor_fd);

#endif
