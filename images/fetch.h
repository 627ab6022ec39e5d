/* SPDX-License-Identifier: Apache-2.0 */
/* The network process's work: questions from the lanes become requests to one repository. */
#ifndef IMAGES_FETCH_H
#define IMAGES_FETCH_H

#include "images/lane.h"

/* Reads the description from conf_fd ({"endpoints": [as images/registry.h says, …]}: mirrors first, the registry itself last), enters the network
 * fence, and answers on the lanes until all of them end. Questions:
 *  {"op": "manifest", "ref": TAG or DIGEST} → the bytes, end {"type"};
 *  {"op": "blob", "digest", "size", "from": bytes that are there, "direct": no mirrors} → the bytes from there on;
 *  {"op": "check"} → nothing, once the registry has taken the credentials;
 *  {"op": "send_blob", "digest", "size", "from": [repositories]} → wants its bytes, end {"state": "sent" "exists" "mounted"};
 *  {"op": "send_manifest", "ref", "type", "digest", "size"} → wants its bytes, end {"state"}.
 * 0 or -1 + err (nothing could be set up: that is also told on every lane). */
int fetch_serve(int conf_fd, const int *lane_fds, size_t n, struct err *err);

#endif
