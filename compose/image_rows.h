/* SPDX-License-Identifier: Apache-2.0 */
/* Images as rows of `image ls` and which of them a --filter means: shared by ls, prune and system df. */
#ifndef COMPOSE_IMAGE_ROWS_H
#define COMPOSE_IMAGE_ROWS_H

#include "compose/cmd.h"
#include "images/store.h"

/* --filter values, checked: dangling=, label=, label!=, reference=, before=, since=, until=. */
struct image_filter {
	int dangling;                 /* 1 only, 0 none, -1 any */
	struct strv labels, no_labels, references;
	uint64_t before_ns, since_ns; /* 0: any; created strictly before, strictly after */
};

/* Reads terms; `known` lists the names that this command takes, blank-separated. The store finds the images of before= and since=. 0 or -1 + err. */
int image_filter_parse(const struct strv *terms, const char *known, struct store *s, struct image_filter *ret, struct err *err);
void image_filter_done(struct image_filter *f);
/* True when the image is meant, as far as the image tells. */
bool image_filter_match(const struct image_filter *f, const struct image *img);
/* True when the reference (canonical; NULL: none) is meant. */
bool image_filter_match_ref(const struct image_filter *f, const char *ref);

/* "2026-11-21T04:00:36.68Z" → nanoseconds since 1970; 0 when it is no such time. */
uint64_t image_created_ns(const char *text);
/* The row of `image ls`: Repository, Tag, ID, Digest, CreatedAt, CreatedSince, Size, SharedSize …; ref NULL: no name. digest: of a manifest or NULL. */
json_t *image_row(struct app *app, const struct image *img, const char *ref, const char *digest, bool no_trunc);

#endif
