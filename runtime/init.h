/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny init (`init: true`): pid 1 of a container that starts the command, passes signals on to it, reaps what is orphaned, and exits
 * as the command did (128 + n for a signal). It runs from muster-run's sealed memfd, inside the container, with the container's rights. */
#ifndef RUNTIME_INIT_H
#define RUNTIME_INIT_H

/* argv[0] under which muster-run must call init_main(). */
#define INIT_NAME "muster-init"

/* argv: INIT_NAME, path of the command (already resolved), then the command's own argv. Returns the exit code. */
int init_main(int argc, char **argv);

#endif
