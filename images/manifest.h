/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests as registries send them: OCI image manifests and indexes, docker's schema 2 and manifest lists. Hostile input: types
 * are checked, numbers and lists capped. What is no container image (an artifact, an attestation) and schema 1 is refused by name. */
#ifndef IMAGES_MANIFEST_H
#define IMAGES_MANIFEST_H

#include "images/config.h"

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

struct descriptor {
	char digest[80];          /* "sha256:" + 64 digits */
	uint64_t size;
	char type[128];           /* media type */
};

struct platform {
	char os[32], architecture[32], variant[32]; /* "" = any */
};

struct manifest {
	struct descriptor config, layers[IMAGE_MAX_LAYERS];
	size_t n_layers;
	uint64_t layer_bytes;     /* of all layers, compressed */
	char type[128];           /* its media type, by what it says or, when it does not, by its configuration's */
};

enum { MANIFEST_MAX_LAYER_BYTES_SHIFT = 36 }; /* 64 GiB */

/* "linux/arm/v7" → platform; NULL or "" is this machine's. -1 + ERR_INVALID / ERR_UNSUPPORTED (no linux). */
int manifest_parse_platform(const char *text, struct platform *ret, struct err *err);

/* Reads text[0..n): 0 with *ret filled (an image); 1 with *ret_choice filled (an index: the manifest that fits the platform best, an
 * exact variant before a lower one); -1 + err (ERR_NOT_FOUND: the index has none for it, naming those that it has). */
int manifest_parse(const char *text, size_t n, const struct platform *want, struct manifest *ret, struct descriptor *ret_choice,
	struct err *err);

/* An OCI manifest of a configuration and layers, bottom to top (digest, size and type of each): its text, free() it. */
char *manifest_make(const struct descriptor *config, const struct descriptor *layers, size_t n);

/* "linux/arm/v7" as an index has it: new reference. */
json_t *manifest_platform_json(const char *platform);

/* The 64 digits after "sha256:", NULL when it is no such digest. */
const char *manifest_digest_hex(const char *digest);

#endif
