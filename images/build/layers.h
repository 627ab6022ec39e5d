/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of a build, from an empty directory to a directory of the store. A step fills layers/.tmp-<random>/diff; from then on the next step can
 * stand on it, while a thread packs it for its diffID and for a digest that leaves times out. Layers are put into place in groups, since bringing
 * them to the disk costs more than most steps: at the end of the build, and every now and then in a long one. What the cache records of a layer
 * is written after that, so a record's layer is always there; a killed build loses its last half second.
 * Names change when a layer is put into place: who gives one away takes layers_hold_names() until it has been used. Descriptors stay good. */
#ifndef IMAGES_BUILD_LAYERS_H
#define IMAGES_BUILD_LAYERS_H

#include "images/pack.h"
#include "images/store_commit.h"

struct layers;

struct layer {
	struct layers *pool;
	struct layer *next;       /* of the pool: every one that was made */
	char name[80];            /* below layers/: ".tmp-…", later the diffID */
	int lock_fd;              /* the flock of a temporary one; -1 */
	int fd;                   /* its diff directory */
	bool sealed, placed, failed;
	char diff_id[65];         /* once sealed */
	char content[65];         /* once sealed: of the same without times */
	uint64_t size_bytes, n_entries, tar_bytes;
	struct layer *next_to_seal;
};

/* Starts the threads. clamp_s >= 0: no time in a layer is later (SOURCE_DATE_EPOCH). */
int layers_new(struct store *s, int root_fd, int64_t clamp_s, struct layers **ret, struct err *err);
/* Stops the threads; temporary directories that were not put into place go; takes NULL. */
void layers_free(struct layers *p);

/* A layer of the store. NULL + err when it is not there. The pool's. */
struct layer *layers_open(struct layers *p, const char *diff_id, struct err *err);
/* The same, pinned (it stays without an image) and packed once more, so that its content is known as that of a layer made here. The pool's; NULL +
 * err. */
struct layer *layers_open_sealing(struct layers *p, const char *diff_id, struct err *err);
/* An empty temporary one, with a directory `work` beside `diff`. The pool's; NULL + err. */
struct layer *layers_begin(struct layers *p, struct err *err);
/* A descriptor of its directory .tmp-…, for what is in between. */
int layers_dir_fd(const struct layer *l);
/* It is filled; packing begins. */
void layers_fill(struct layer *l);
/* Waits until diff_id and content are known. 0 or -1 + err. */
int layers_sealed(struct layer *l, struct err *err);
/* It will not be used: its directory goes. */
void layers_drop(struct layer *l);

/* Called once all layers given before are in place, from another thread or, at the end, from layers_place(). */
typedef void layers_placed_fn(void *arg, bool ok);
/* Puts the layer into place sometime, then calls fn. */
void layers_place_later(struct layer *l, layers_placed_fn *fn, void *arg);
/* Puts everything into place now. 0 or -1 + err. */
int layers_place(struct layers *p, struct err *err);

/* While held, names stay as they are. */
void layers_hold_names(struct layers *p);
void layers_release_names(struct layers *p);

#endif
