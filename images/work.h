/* SPDX-License-Identifier: Apache-2.0 */
/* What the makers of images (import.c, load.c) are given: the store, the archive, whom to tell. They run in muster-image,
 * jailed; they print nothing and look at nothing but the store and the input descriptor. */
#ifndef IMAGES_WORK_H
#define IMAGES_WORK_H

#include "images/layer.h"
#include "images/pack.h"
#include "images/store_commit.h"

enum work_layer_state { WORK_LAYER_PULLING, WORK_LAYER_EXISTS, WORK_LAYER_DONE, WORK_LAYER_N_ };

struct work_listener {
	void *arg;
	/* Bytes of the input read so far; total 0 when it is not known. Called often. */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void (*warning)(void *arg, const char *text);
	/* An image is in the store under this familiar reference, or under none (NULL). */
	void (*loaded)(void *arg, const char *ref, const char *id);
	/* Pull only, from several threads: 12 digits of a layer's digest, and how far it is, in bytes as they are transferred. */
	void (*layer)(void *arg, const char *digits, enum work_layer_state state, uint64_t done_bytes, uint64_t total_bytes);
};

struct work {
	struct store *store;
	int input_fd;
	const struct work_listener *listener;
	uint64_t done_before;  /* progress: bytes of the input that came before this layer */
	uint64_t total_bytes;  /* progress: of the input, 0 = unknown */
	uint64_t max_in_bytes; /* of a layer as it comes, 0 = no bound */
};

/* Compressed layers: 64 GiB out, 1000 times their size beyond the first GiB. */
extern const struct stream_limits work_stream_limits;

/* Unpacks one layer from src into the store's private directory. expect_diff_id: 64 digits, or NULL; expect_digest: of the bytes
 * as they come, 64 digits, or NULL; a mismatch is ERR_CORRUPT. On success *ret_layer is ready for store_commit_image() and
 * *ret_lock_fd is to be kept open until then; on failure nothing is left. */
int work_unpack(const struct work *w, const struct stream_source *src, const char *expect_diff_id, const char *expect_digest,
	struct store_new_layer *ret_layer, int *ret_lock_fd, int64_t *ret_newest_mtime_s, struct err *err);

/* Makes a layer of a directory of store_begin_layer() that somebody else has filled: an overlay's upper directory as the kernel left it in
 * tmp_name/diff (tmp_name/work is removed). lock_fd: what store_begin_layer() returned. Fills *ret_layer for store_commit(). 0 or -1 + err. */
int work_seal(struct store *s, const char *tmp_name, int lock_fd, const struct pack_options *options, struct store_new_layer *ret_layer,
	struct err *err);

#endif
