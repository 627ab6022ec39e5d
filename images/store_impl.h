/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the store share: store.c reads and removes, store_commit.c adds. Nobody else includes this. */
#ifndef IMAGES_STORE_IMPL_H
#define IMAGES_STORE_IMPL_H

#include "base/map.h"
#include "images/store_commit.h"

struct store {
	int images_fd, config_fd, layers_fd, pins_fd;
	struct oci *oci;
};

/* True for 64 lower-case hexadecimal digits. */
bool store_is_id(const char *text);
/* For qsort() over char *. */
int store_compare_text(const void *a, const void *b);
/* The index, an empty one when there is none: new reference. 0 or -1 + err. */
int store_read_index(struct store *s, json_t **ret, struct err *err);
/* Replaces it durably, and the layout's with it; under the exclusive lock. */
int store_write_index(struct store *s, const json_t *index, struct err *err);
/* Points a canonical reference at an id, in memory; digest: what a registry said that the name leads to, or NULL; pulled: just now. */
void store_set_ref(json_t *index, const char *ref, const char *id, const char *digest, bool pulled);
/* store_platforms.c. The references that name the image for another platform than this one, added to *ret; the images that an entry names for its
 * platforms; drops an image from all entries: was there one? */
void store_platform_refs(const json_t *index, const char *id, struct strv *ret);
void store_platform_ids(const json_t *entry, struct strv *ret);
bool store_forget_platform(json_t *index, const char *id);
/* Reads one image by its full id. 0; 1 when there is none; -1 + err. */
int store_read_image(struct store *s, const json_t *index, const char *id, struct image *ret, struct err *err);
/* Makes the layout's index.json say what the index says; under the exclusive lock. */
int store_sync_layout(struct store *s, const json_t *index, struct err *err);
/* The familiar form of a canonical reference, free() it. */
char *store_familiar(const char *full);
/* The blobs that a manifest of the layout is and names, hex -> non-NULL, added to *ret. 0; -1 + err when it cannot be read. */
int store_manifest_blobs(struct store *s, const char *hex, struct map *ret, struct err *err);
/* The blobs that all images need. 0; 1 when some manifest cannot be read, so that not all are known. */
int store_needed_blobs(struct store *s, const json_t *index, struct map *ret);
/* The record of an image's manifest in the index, NULL when there is none; its digest's digits. */
const json_t *store_manifest_record(const json_t *index, const char *id, const char **ret_hex);
/* The ids of all images, sorted; without those that were never completely added or removed. */
int store_ids(struct store *s, const json_t *index, struct strv *ret, struct err *err);

/* images/store_pending.c, all under the exclusive lock: says that the two records of an image are being changed … */
int store_mark(struct store *s, const char *id, struct err *err);
/* … and that they have been. */
void store_unmark(struct store *s, const char *id);
/* Ends what somebody who died, or failed, had begun. store_lock() does it. */
void store_recover(struct store *s);
/* True when the index names the image or its manifest. */
bool store_is_known(const json_t *index, const char *id);
/* For fs_each() over the configurations: adds the id that a mark is of to the strv. */
int store_add_marked(void *arg, const char *name);

#endif
