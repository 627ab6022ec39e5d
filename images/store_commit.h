/* SPDX-License-Identifier: Apache-2.0 */
/* The store for those who add to it: images/import.c, load.c, pull.c, the builder. A layer is filled under a private name, then everything
 * that makes up an image is put into place at once. */
#ifndef IMAGES_STORE_COMMIT_H
#define IMAGES_STORE_COMMIT_H

#include "images/store.h"

/* Makes a private layers/.tmp-<random>/diff; its maker's flock keeps sweepers away. Returns the flock'd descriptor of
 * .tmp-<random> (keep it open until committed), name in ret_name; -1 + err. */
int store_begin_layer(struct store *s, char ret_name[static 32], struct err *err);
/* Removes a layer that was begun and not committed. */
void store_abandon_layer(struct store *s, const char *name);

/* An unnamed file in the store for a copy of something too large for memory: gone when closed. Returns the descriptor, -1 + err. */
int store_open_spool(struct store *s, struct err *err);

/* Waits until nobody else pulls the image with this id. Returns a descriptor for store_unlock_pull(), -1 + err. */
int store_lock_pull(struct store *s, const char *id, struct err *err);
void store_unlock_pull(struct store *s, const char *id, int fd);

struct store_new_layer {
	char tmp_name[32];    /* of store_begin_layer(); "" when the layer was already in the store */
	char diff_id[65];
	uint64_t size_bytes;
	uint64_t n_entries;
	uint64_t tar_bytes;   /* of the archive that images/pack.h makes of it, when diff_id is that one's; else 0 */
	bool clamp;           /* of the options it was packed with */
	int64_t latest_s;
};

struct store_commit {
	const char *config;       /* n_config bytes */
	size_t n_config;
	const struct store_new_layer *layers;
	size_t n_layers;
	char *const *refs;        /* canonical */
	size_t n_refs;
	const char *manifest;     /* NULL: the image has none; else n_manifest bytes, all blobs it names but the configuration in the layout */
	size_t n_manifest;
	const char *manifest_type;
	bool pulled;              /* the references were pulled just now */
};

/* As store_commit_image(), with a manifest and the time of the pull. */
int store_commit(struct store *s, const struct store_commit *c, char ret_id[static 65], struct err *err);

/* Puts layers into place that no image needs yet and pins each, for the builder's cache. Returns 0 or -1 + err. */
int store_commit_layers(struct store *s, const struct store_new_layer *layers, size_t n, struct err *err);
/* A pinned layer survives sweeps; both are harmless when it is so already. 0 or -1 + err (ERR_CONFLICT: there is no such layer). */
int store_pin_layer(struct store *s, const char *diff_id, struct err *err);
int store_unpin_layer(struct store *s, const char *diff_id, struct err *err);

/* Under the exclusive lock: syncs and renames the layers into place (an equal one that came meanwhile wins, ours is removed),
 * writes the configuration config[0..n) and points the n_refs canonical references at it. All layers of the configuration must
 * be in the store or in layers[].
 * ret_id: 64 digits. Returns 0; 1 when the image was there already; -1 + err: then the store is as before. ERR_CONFLICT: a layer
 * that was in the store has been removed meanwhile, begin again. */
int store_commit_image(struct store *s, const char *config, size_t n, const struct store_new_layer *layers, size_t n_layers,
	char *const *refs, size_t n_refs, char ret_id[static 65], struct err *err);

#endif
