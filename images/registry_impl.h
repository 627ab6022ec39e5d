/* SPDX-License-Identifier: Apache-2.0 */
/* What registry.c (who we are there, and downloads) and upload.c share. Nobody else includes this. */
#ifndef IMAGES_REGISTRY_IMPL_H
#define IMAGES_REGISTRY_IMPL_H

#include "images/registry.h"

/* How often something is tried, and how many bytes of progress make a fresh start. */
enum { REGISTRY_MAX_TRIES = 6, REGISTRY_MIRROR_TRIES = 2, REGISTRY_PROGRESS = 64 << 10 };

/* One request to `target`, a path at the registry ("/v2/…") or a URL that it gave us: challenges answered, redirects followed (with a body
 * only those that keep the method). q->url, q->authorization and q->identify are set here. a->location is made absolute (NULL when it
 * leads to no http(s) URL). 0 with any status; -1 + err. In any case http_reply_done(a). */
int registry_send(struct registry *r, struct http *h, const char *target, struct http_request *q, struct http_reply *a, struct err *err);
/* The same, tried again while it may help. */
int registry_send_again(struct registry *r, struct http *h, const char *target, struct http_request *q, struct http_reply *a, struct err *err);

/* True for a status that another try may change. */
bool registry_is_transient(long status);
/* Sleeps before try number n (1…): as long as the server wants, or 2^(n-1) s give or take a half. */
void registry_pause(unsigned n, int64_t retry_after_s);
/* What an answer that is no success means: -1 + err. what: "repository:tag", "blob …". */
int registry_explain(const struct registry *r, const struct http_reply *a, const char *what, struct err *err);

#endif
