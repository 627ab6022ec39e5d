/* SPDX-License-Identifier: Apache-2.0 */
/* ADD URL: one file by http or https, fetched by a process that has nothing but its sockets, the description and the file that it writes. */
#ifndef IMAGES_DOWNLOAD_H
#define IMAGES_DOWNLOAD_H

#include "base/json.h"

/* Reads {"url","max_bytes","endpoints":[…]} from conf_fd (endpoints as for images/fetch.h: certificates, proxy; no credentials are sent), enters
 * the network fence, follows up to 10 redirects and writes the body to out_fd. *ret (new reference): {"size","name" from Content-Disposition or
 * "", "modified" seconds or 0, "etag"}. 0 or -1 + err. */
int download_run(int conf_fd, int out_fd, json_t **ret, struct err *err);

#endif
