/* SPDX-License-Identifier: Apache-2.0 */
/* oci-layout://PATH[:TAG|@DIGEST] as a build's context: one image of a layout on this machine, brought into the store without a name. */
#ifndef COMPOSE_OCI_CONTEXT_H
#define COMPOSE_OCI_CONTEXT_H

#include "compose/cmd.h"

#define OCI_CONTEXT_PREFIX "oci-layout://"

/* Loads the image that ref names, for this platform ("" = this machine's). A tag is an entry's org.opencontainers.image.ref.name; without one it is
 * "latest", or the only image of the layout. ret_id: 64 digits. 0 or -1 + err. */
int oci_context_load(const struct app *app, const char *ref, const char *platform, char ret_id[static 65], struct err *err);

#endif
