/* SPDX-License-Identifier: Apache-2.0 */
/* One image for several platforms: a build for each of them, side by side, and then one name that means them all (images/store.h). */
#ifndef COMPOSE_BUILD_PLATFORMS_H
#define COMPOSE_BUILD_PLATFORMS_H

#include "compose/build_client.h"

/* As build_client_run(), for specs whose request may have "platforms". Those come back with the outcome of all of their builds: the first failure, or
 * the id that their names mean on this machine. */
size_t build_platforms_run(struct app *app, struct build_spec *list, size_t n, struct build_progress *p);

#endif
