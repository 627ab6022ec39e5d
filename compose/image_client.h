/* SPDX-License-Identifier: Apache-2.0 */
/* Runs `muster-image`, the jailed process that reads archives, and listens to it. The child gets the input as descriptor 0, a
 * pipe for JSON lines as 1, our standard error as 2 and the state root as 3, nothing else; it dies with us. What it says is not
 * trusted: lines are capped, fields are checked.
 * Lines: {"event":"progress","done":N,"total":N} {"event":"warning","text":T} {"event":"loaded","ref":R,"id":I}
 * {"event":"done","id":I,"new":B} {"event":"error","code":C,"message":M}; the last one is always done or error. */
#ifndef COMPOSE_IMAGE_CLIENT_H
#define COMPOSE_IMAGE_CLIENT_H

#include "images/store.h"

enum {
	IMAGE_FD_POINTS = 4, /* the failpoints' control file, when there is one */
	IMAGE_FD_LANES = 5,  /* pull, push, fetch: LANE_MAX_LANES sockets between the two, images/lane.h */
	IMAGE_FD_TREE = 5,   /* export, commit, diff: the container's upper directory; git: a file for what is received */
	IMAGE_FD_AGENT = 6,  /* git: a connection to an ssh agent, or nothing */
};

enum image_event_kind { IMAGE_PROGRESS, IMAGE_WARNING, IMAGE_LOADED, IMAGE_LAYER, IMAGE_STARTED, IMAGE_ENDED };

struct image_event {
	enum image_event_kind kind;
	uint64_t done_bytes, total_bytes; /* progress: of the input; total 0 = unknown (a pipe) */
	const char *text;                 /* warning: what was left out and why */
	const char *ref;                  /* loaded: "busybox:latest" (familiar), NULL for an image without a name */
	const char *id;                   /* loaded: 64 digits */
	const char *layer, *state;        /* layer: 12 digits; "pulling", "exists", "done", "preparing", "pushing", "pushed", "mounted"; the bytes are
	                                   * as they are transferred */
	const struct image_pull *pull;    /* of image_client_pull(): which one */
};

/* Called for each event while a call below runs; may be NULL. Strings live until it returns. */
typedef void image_event_fn(void *arg, const struct image_event *ev);

/* `image import`: input_fd is a root file system as tar (plain, gzip, zstd, xz, bzip2), root_fd the state root. name:
 * "repo[:tag]", NULL = none.
 * changes: NULL-terminated --change instructions, may be NULL; message: history comment, may be NULL. ret_id: the image's id, 64
 * digits. Returns 0 or -1 + err. The same archive with the same changes gives the same id. */
int image_client_import(int root_fd, int input_fd, const char *name, const char *const *changes, const char *message,
	image_event_fn *fn, void *arg, char ret_id[static 65], struct err *err);

/* `image load`: input_fd is a docker-archive or OCI archive, plain or compressed. One IMAGE_LOADED event for each reference, or
 * one without a reference for an image that has none. platform: "linux/arm64", "" = this machine's. Returns 0 or -1 + err; images that were
 * loaded before the error stay. */
int image_client_load(int root_fd, int input_fd, const char *platform, image_event_fn *fn, void *arg, struct err *err);

struct image_pull {
	const char *ref, *platform;       /* platform NULL: this machine's */
	const char *push;                 /* NULL: a pull; else a push, and how layers are compressed: "gzip", "zstd", "none" */
	json_t *registry;                 /* as compose/registries.h describes it; borrowed */
	void *user;                       /* the caller's */
	/* filled in */
	int rc;                           /* 0 or -1 + err; -1 before: it has failed already, and is only counted and told */
	char id[65], digest[80];
	bool is_new;
	uint64_t manifest_bytes;          /* of a push */
	struct err err;
};

/* Pulls or pushes n images, up to `parallel` side by side, each by two processes: one that has the store, as above, and one that talks to the registry,
 * with the description and the credentials in it as descriptor 0, and nothing of the state. fn sees IMAGE_STARTED, IMAGE_LAYER,
 * IMAGE_WARNING and IMAGE_ENDED. Returns the number of those that failed, each with its err; -1 + err when nothing could begin. */
int image_client_pull(int root_fd, struct image_pull *pulls, size_t n, size_t parallel, image_event_fn *fn, void *arg, struct err *err);

/* Asks the registry, through the network process, whether it takes the credentials of the description. 0 or -1 + err. */
int image_client_check_login(const json_t *registry, struct err *err);

/* Runs muster-image with these arguments (argv[0] is "muster-image"): output_fd is its descriptor 0, whatever it is used for (-1: none),
 * tree_fd the directory it reads (-1: none). IMAGE_WARNING events are what it has to say. ret_id (may be NULL): the id of its answer, "" when
 * there is none. Returns 0 or -1 + err. */
int image_client_run(int root_fd, int output_fd, int tree_fd, char *const *argv, image_event_fn *fn, void *arg, char *ret_id, struct err *err);

/* `image rm` of one name; see store_remove(), with dry_run store_preview_remove(). */
int image_client_remove(int root_fd, const char *name, bool force, bool dry_run, store_in_use_fn *in_use, void *arg,
	struct store_removed *ret, struct err *err);

#endif
