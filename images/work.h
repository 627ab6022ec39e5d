/* SPDX-License-Identifier: Apache-2.0 */
/* What the makers of images (import.c, load.c) are given: the store, the archive, whom to tell. They run in muster-image,
 * jailed; they print nothing and look at nothing but the store and the input descriptor. */
#ifndef IMAGES_WORK_H
#define IMAGES_WORK_H

#include "images/layer.h"
#include "images/pack.h"
#include "images/store_commit.h"

enum work_layer_state {
	WORK_LAYER_PULLING, WORK_LAYER_EXISTS, WORK_LAYER_DONE,                          /* EXISTS: here already; of a push: there already */
	WORK_LAYER_PREPARING, WORK_LAYER_PUSHING, WORK_LAYER_PUSHED, WORK_LAYER_MOUNTED, /* PREPARING: being packed */
	WORK_LAYER_N_,
};

struct work_listener {
	void *arg;
	/* Bytes of the input read so far; total 0 when it is not known. Called often. */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void (*warning)(void *arg, const char *text);
	/* An image is in the store under this familiar reference, or under none (NULL). */
	void (*loaded)(void *arg, const char *ref, const char *id);
	/* Pull and push, from several threads: 12 digits of a layer's digest or diffID, and how far it is, in bytes as they are transferred. */
	void (*layer)(void *arg, const char *digits, enum work_layer_state state, uint64_t done_bytes, uint64_t total_bytes);
};

struct work {
	struct store *store;
	int input_fd;
	int tree_fd;           /* a directory that is read: of export, commit and diff */
	const char *platform;  /* load: "linux/arm64", NULL = this machine's */
	const struct work_listener *listener;
	uint64_t done_before;  /* progress: bytes of the input that came before this layer */
	uint64_t total_bytes;  /* progress: of the input, 0 = unknown */
	uint64_t max_in_bytes; /* of a layer as it comes, 0 = no bound */
};

/* Compressed layers: 64 GiB out, 1000 times their size beyond the first GiB. */
extern const struct stream_limits work_stream_limits;

/* A layer that comes as a stream: what it has to be, and what it turned out to be. */
struct work_layer {
	struct stream_source src;
	const char *expect_diff_id;  /* 64 digits; NULL: whatever it is */
	const char *expect_digest;   /* of the bytes as they come; NULL likewise */
	struct oci_part *keep;       /* the bytes as they come are added to this blob; what it has already is read before src; NULL: not kept */
	/* filled in */
	char diff_id[65], digest[65];
	uint64_t in_bytes;
	int64_t newest_mtime_s;
};

/* Unpacks it into the store's private directory. A mismatch is ERR_CORRUPT. On success *ret_layer is ready for store_commit() and
 * *ret_lock_fd is to be kept open until then; on failure nothing is left but what is in the part, which stays the caller's. */
int work_unpack(const struct work *w, struct work_layer *l, struct store_new_layer *ret_layer, int *ret_lock_fd, struct err *err);

/* The same for a layer that is in the store already: reads, checks and keeps the bytes. 0 or -1 + err. */
int work_keep(const struct work *w, struct work_layer *l, struct err *err);

/* Makes a layer of a directory of store_begin_layer() that somebody else has filled: an overlay's upper directory as the kernel left it in
 * tmp_name/diff (tmp_name/work is removed). lock_fd: what store_begin_layer() returned. Of the options only the clamp counts; it is recorded
 * with the layer. Fills *ret_layer for store_commit(). 0 or -1 + err. */
int work_seal(const char *tmp_name, int lock_fd, const struct pack_options *options, struct store_new_layer *ret_layer, struct err *err);

#endif
