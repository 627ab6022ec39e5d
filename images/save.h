/* SPDX-License-Identifier: Apache-2.0 */
/* `image save`: images as one tar archive. The combined form is what docker writes since version 25, an OCI layout and manifest.json over
 * the same blobs: it loads in docker, podman and skopeo, older and newer. Blobs that were pulled go out as they came, so that
 * digests stay; layers without one are packed from their directories. A name of several platforms is an index of all of them there; manifest.json,
 * which knows no such thing, has this machine's. The same images give the same archive. */
#ifndef IMAGES_SAVE_H
#define IMAGES_SAVE_H

#include "images/work.h"

enum save_format { SAVE_COMBINED, SAVE_DOCKER, SAVE_OCI };

struct save_options {
	enum save_format format;
	bool recompress;        /* every layer in this codec; false: as it was pulled (but docker's forms know no zstd), plain when built */
	enum pack_codec codec;
	const struct work_listener *listener; /* for warnings; NULL: nobody listens */
};

/* Writes the images that `names` name (a repository without a tag: all its tags) to out_fd. Returns 0; -1 + err with part of it
 * written. */
int save_images(struct store *s, const char *const *names, size_t n, const struct save_options *options, int out_fd, struct err *err);

#endif
