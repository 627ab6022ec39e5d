/* SPDX-License-Identifier: Apache-2.0 */
/* `commit`: a container's changes become a layer on top of its image's. The upper directory is only read; the layer is a copy of it. */
#ifndef IMAGES_COMMIT_H
#define IMAGES_COMMIT_H

#include "images/work.h"

struct commit_options {
	const char *name;             /* "repo[:tag]"; NULL: none */
	const char *author, *message; /* NULL: none */
	const char *const *changes;   /* as images/import.h; NULL: none */
	const json_t *config;         /* what the container has in place of the image's: members of an image's "config"; NULL: nothing */
	const char *created_by;       /* the command that made the changes; NULL: "" */
};

/* base_id: 64 digits of the image that the container runs. The new image's id to ret_id. Returns 0 or -1 + err. */
int commit_container(const struct work *w, const char *base_id, int upper_fd, const struct commit_options *options, char ret_id[static 65],
	struct err *err);

#endif
