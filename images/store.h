/* SPDX-License-Identifier: Apache-2.0 */
/* The image store below a state root:
 *   images/index.json         {"schema":1,"refs":{canonical reference: {"id","tagged"}},"digests":{"repository@digest": the same}}
 *   images/config/<id>.json   configurations, byte for byte; an image exists exactly when its file is here
 *   images/store.lock         flock: shared while layers are looked up and put to use, exclusive while the store changes
 *   images/oci/               reserved: the OCI layout of pulled images
 *   layers/<diffid>/{diff/,meta.json}   one unpacked layer in overlayfs form, complete by construction: made as .tmp-*,
 *                             synced, renamed
 * Writers unpack without the lock (each .tmp-* directory is flock'd by its maker) and hold it exclusively only to rename and to
 * replace the index: milliseconds. A kill at any point leaves at most .tmp-* directories and unreferenced layers, which the next
 * store_sweep() removes. Lock order: project -> store -> ipam.
 * This part needs jansson and libmd only; nothing here reads an archive. */
#ifndef IMAGES_STORE_H
#define IMAGES_STORE_H

#include "images/config.h"

struct store;

enum store_lock_kind { STORE_SHARED, STORE_EXCLUSIVE };

/* Opens the store below root_fd (a directory descriptor, not kept), creating its folders (0700). Returns 0, or -1 + err. */
int store_open(int root_fd, struct store **ret, struct err *err);
/* Closes it; takes NULL; returns NULL. */
struct store *store_close(struct store *s);
void store_close_p(struct store **s);
#define AUTO_STORE CLEANUP(store_close_p)

/* Takes the store's lock and waits for it. Returns a descriptor, close it to unlock; -1 + err. Who looks an image up in order to
 * use its layers holds it shared until the use is on record (a container's record that the in_use predicate of others can see). */
int store_lock(struct store *s, enum store_lock_kind kind, struct err *err);

/* Finds one image: a reference ("busybox", "ghcr.io/a/b:1", "name@sha256:<digest of the manifest>"), a full id, "sha256:" + id, or a unique prefix
 * of an id (>= 2 digits; a reference of that name wins). Fills *ret, image_done() it. Returns 0; -1 + err: ERR_NOT_FOUND `image
 * "x" not found locally`, ERR_CONFLICT (several images have that prefix), ERR_INVALID (not a reference), ERR_CORRUPT. */
int store_lookup(struct store *s, const char *name, struct image *ret, struct err *err);

/* All images, newest first (then by id). *ret_images is an array of *ret_n, free it by store_list_free(). Returns 0 or -1 + err.
 * An image whose configuration is damaged is an error that names it, never a silent gap. */
int store_list(struct store *s, struct image **ret_images, size_t *ret_n, struct err *err);
void store_list_free(struct image *images, size_t n);

/* The path of a layer's directory relative to the state root: "layers/<diff_id>/diff"; free() it. */
char *store_layer_path(const char *diff_id);
/* Opens the layers' directories of img, bottom to top: O_PATH descriptors, each close-on-exec, array and descriptors owned by
 * the caller. Returns 0; -1 + err (ERR_CORRUPT: a layer is missing). */
int store_open_layers(struct store *s, const struct image *img, int **ret_fds, size_t *ret_n, struct err *err);
/* True when the layer is in the store, complete. */
bool store_has_layer(struct store *s, const char *diff_id);

/* True when something uses the image with this id; then writes who into by ("container 0123456789ab"). */
typedef bool store_in_use_fn(void *arg, const char *id, char by[static 64]);

struct store_removed {
	struct strv untagged; /* familiar references, "busybox:latest" */
	struct strv deleted;  /* "sha256:<id>" of images, then of layers */
};
void store_removed_done(struct store_removed *r);

/* Removes what `name` names, by docker's rules: a reference of an image that has others is only untagged; the last reference, or
 * an id, removes the image and the layers that no other image needs. An id with several references needs force. In use:
 * ERR_CONFLICT that says by whom; with force the references go and the image stays, dangling, until nothing uses it. in_use may
 * be NULL (nothing is). Returns 0 and adds to *ret (zeroed or used before); -1 + err with nothing changed. */
int store_remove(struct store *s, const char *name, bool force, store_in_use_fn *in_use, void *arg,
	struct store_removed *ret, struct err *err);

/* Points the canonical reference of `name` at the image `id` (64 digits), replacing what it pointed at. Returns 0 or -1 + err. */
int store_tag(struct store *s, const char *id, const char *name, struct err *err);

/* Removes layers that no image needs and what killed writers left. Waits for the lock. Returns 0 or -1 + err. */
int store_sweep(struct store *s, struct err *err);

/* --- for writers: images/import.c, images/load.c, images/pull.c --- */

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
};

/* Under the exclusive lock: syncs and renames the layers into place (an equal one that came meanwhile wins, ours is removed),
 * writes the configuration config[0..n) and points the n_refs canonical references at it. All layers of the configuration must
 * be in the store or in layers[].
 * ret_id: 64 digits. Returns 0; 1 when the image was there already; -1 + err: then the store is as before. ERR_CONFLICT: a layer
 * that was in the store has been removed meanwhile, begin again. */
int store_commit_image(struct store *s, const char *config, size_t n, const struct store_new_layer *layers, size_t n_layers,
	char *const *refs, size_t n_refs, char ret_id[static 65], struct err *err);

#endif
