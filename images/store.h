/* SPDX-License-Identifier: Apache-2.0 */
/* The image store below a state root:
 *   images/index.json         {"schema":1,"refs":{canonical reference: {"id","tagged","pulled","digest"}},"digests":{"repository@digest": the same},
 *                             "manifests":{image id: {"digest","size","type"}}}
 *   images/config/<id>.json   configurations, byte for byte; an image exists exactly when its file is here
 *   images/store.lock         flock: shared while layers are looked up and put to use, exclusive while the store changes
 *   images/oci/               the OCI layout of pulled and loaded images, images/oci.h
 *   images/pins/<diffid>      empty: a layer that stays without an image (the builder's cache)
 *   layers/<diffid>/{diff/,meta.json}   one unpacked layer in overlayfs form, complete by construction: made as .tmp-*,
 *                             synced, renamed
 * Writers unpack without the lock (each .tmp-* directory is flock'd by its maker) and hold it exclusively only to rename and to
 * replace the index: milliseconds. A kill at any point leaves at most .tmp-* directories and unreferenced layers, which the next
 * store_sweep() removes. Lock order: project -> store -> ipam.
 * This part needs jansson and libmd only; nothing here reads an archive. */
#ifndef IMAGES_STORE_H
#define IMAGES_STORE_H

#include "images/config.h"
#include "images/oci.h"

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

/* The digest ("sha256:…") that a registry gave for this name when it was pulled or pushed: of the index where the name led to one. *ret is
 * NULL when no registry did, or the name is not in the store; free() it. Returns 0 or -1 + err. */
int store_pulled_digest(struct store *s, const char *name, char **ret, struct err *err);

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
	uint64_t bytes;       /* of the layers' files and of the blobs that are gone */
};
void store_removed_done(struct store_removed *r);

/* Removes what `name` names, by docker's rules: a reference of an image that has others is only untagged; the last reference, or
 * an id, removes the image and the layers that no other image needs. An id with several references needs force. In use:
 * ERR_CONFLICT that says by whom; with force the references go and the image stays, dangling, until nothing uses it. in_use may
 * be NULL (nothing is). Returns 0 and adds to *ret (zeroed or used before); -1 + err with nothing changed. */
int store_remove(struct store *s, const char *name, bool force, store_in_use_fn *in_use, void *arg,
	struct store_removed *ret, struct err *err);
/* What store_remove() would do now, and the same errors; nothing is changed. */
int store_preview_remove(struct store *s, const char *name, bool force, store_in_use_fn *in_use, void *arg,
	struct store_removed *ret, struct err *err);

/* Points the canonical reference of `name` at the image `id` (64 digits), replacing what it pointed at. Returns 0 or -1 + err. */
int store_tag(struct store *s, const char *id, const char *name, struct err *err);

/* Points the reference at images of several platforms ("linux/arm64"): on this machine it means ids[first], pushed are all of them under an index. The
 * images have the name as long as it means them, and go with it. 0 or -1 + err (ERR_CONFLICT: one has been removed). */
int store_set_platforms(struct store *s, const char *name, const struct strv *platforms, const struct strv *ids, size_t first, struct err *err);
/* What store_set_platforms() said of the reference, added to the lists; nothing: it means one image. 0 or -1 + err. */
int store_platforms(struct store *s, const char *name, struct strv *ret_platforms, struct strv *ret_ids, struct err *err);

/* When the reference was last pointed at an image, nanoseconds since 1970. Returns 0; 1 when it is not here; -1 + err. */
int store_tag_time(struct store *s, const char *name, uint64_t *ret_real_ns, struct err *err);
/* The registry has the image with this id under the reference `name` now, as the manifest `digest` ("sha256:…"): it is known by that from now on.
 * 0 or -1 + err. */
int store_set_pushed(struct store *s, const char *id, const char *name, const char *digest, struct err *err);
/* When the reference was last pulled, nanoseconds since 1970. Returns 0; 1 when it is not here or was never pulled; -1 + err. */
int store_pull_time(struct store *s, const char *name, uint64_t *ret_real_ns, struct err *err);

/* The layout of the store; it stays the store's. */
struct oci *store_oci(struct store *s);
/* The manifest of the image with this id in the layout: its text, its digest's digits (65 bytes) and its media type (128), either of which
 * may be NULL. Returns 0; 1 when it has none (built or imported, and never pushed); -1 + err. */
int store_manifest(struct store *s, const char *id, struct str *ret_text, char *ret_hex, char *ret_type, struct err *err);
/* Writes a manifest for the image into the layout, whose blobs must all be there, in place of the one it has. 0 or -1 + err. */
int store_set_manifest(struct store *s, const char *id, const char *text, size_t n, const char *type, struct err *err);
/* The configuration of the image with this id, byte for byte, checked against it. 0 or -1 + err. */
int store_read_config(struct store *s, const char *id, struct str *ret, struct err *err);
/* The blobs that the image's manifest is and names, hex -> non-NULL, added to *ret. 0; 1 when it has no manifest; -1 when it cannot be read. */
int store_image_blobs(struct store *s, const char *id, struct map *ret);
/* The layers that are pinned and that no image needs. 0 or -1 + err. */
int store_cached_layers(struct store *s, struct strv *ret, struct err *err);
/* What a layer's record says; zeros when it has none. tar_bytes: length of its archive when we made it (imported, built), else 0. */
struct store_layer_info {
	uint64_t size_bytes, n_entries, tar_bytes;
	bool clamp;           /* what images/pack.h has to be told to make that archive again */
	int64_t latest_s;
};
void store_layer_info(struct store *s, const char *diff_id, struct store_layer_info *ret);

/* Removes layers that no image needs and what killed writers left; blobs of an interrupted pull stay for a day, so that the next one goes on
 * from there. Waits for the lock. Returns 0 or -1 + err. */
int store_sweep(struct store *s, struct err *err);
/* The same with another grace for such blobs, in seconds; adds what was freed to *ret_bytes (may be NULL). */
int store_collect(struct store *s, uint64_t grace_s, uint64_t *ret_bytes, struct err *err);

#endif
