/* SPDX-License-Identifier: Apache-2.0 */
/* The network process's work: questions from the lanes become requests to one repository. */
#ifndef IMAGES_FETCH_H
#define IMAGES_FETCH_H

#include "images/lane.h"

/* Reads the registry's description from conf_fd, enters the network fence, and answers on the lanes until all of them end.
 * Questions: {"op": "manifest", "ref": TAG or DIGEST} → the bytes, end {"type"}; {"op": "blob", "digest", "size"} → the bytes;
 * {"op": "check"} → nothing, once the registry has taken the credentials.
 * 0 or -1 + err (nothing could be set up: that is also told on every lane). */
int fetch_serve(int conf_fd, const int *lane_fds, size_t n, struct err *err);

#endif
