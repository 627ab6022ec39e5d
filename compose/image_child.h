/* SPDX-License-Identifier: Apache-2.0 */
/* One run of muster-image as seen from muster: what image_client.c (one archive) and image_pull.c (several pulls side by side)
 * share. */
#ifndef COMPOSE_IMAGE_CHILD_H
#define COMPOSE_IMAGE_CHILD_H

#include <sys/types.h>

#include "base/str.h"
#include "compose/image_client.h"
#include "images/lane.h"

struct image_child {
	image_event_fn *fn;
	void *arg;
	const struct image_pull *pull; /* goes into the events; NULL */
	pid_t pid;
	int fd;                        /* its answer */
	struct str text;               /* of a line that is not whole yet */
	bool done, is_new;
	char id[65], digest[80];
	uint64_t bytes;
	struct err err;                /* of its error line */
};

struct image_fds {
	int input, answer, root;       /* root -1: none */
	const int *lanes;              /* LANE_MAX_LANES descriptors; NULL: none */
	int tree;                      /* a directory to be read, or git's second file, IMAGE_FD_TREE; 0 or -1: none */
	int agent;                     /* a connection to an ssh agent, IMAGE_FD_AGENT; 0 or -1: none */
};

/* Starts the process that talks to the registry of the description: LANE_MAX_LANES descriptors of its lanes in lanes[], the caller's. It ends when
 * they do. 0 or -1 + err. */
int image_fetch_start(const json_t *registry, int *lanes, pid_t *ret_pid, struct err *err);

/* Starts muster-image with these descriptors and nothing else, not even an environment; it dies with us. 0 or -1 + err. */
int image_spawn(const struct image_fds *fds, char *const *argv, pid_t *ret_pid, struct err *err);

/* The same with a pipe for its answer; c has fn, arg and pull set, the rest zeroed. 0 or -1 + err. */
int image_child_start(struct image_child *c, int root_fd, int input_fd, const int *lanes, char *const *argv, struct err *err);
/* c->fd is readable: takes what is there. 0; 1 at its end; -1 + err when it makes no sense. */
int image_child_read(struct image_child *c, struct err *err);
/* Waits for it (rc < 0: kills it first) and frees; 0, or -1 + its error; rc < 0 leaves err as it is. */
int image_child_end(struct image_child *c, int rc, struct err *err);

#endif
