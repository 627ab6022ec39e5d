/* SPDX-License-Identifier: Apache-2.0 */
/* The document in which a build cache travels (cache_to, cache_from): that of BuildKit, "application/vnd.buildkit.cacheconfig.v0":
 *   {"layers": [{"blob": digest, "parent": index or -1, "annotations": {"mediaType","diffID","size","createdAt"}}…],
 *    "records": [{"digest": digest, "inputs": [[{"link": index of a record}…]…], "layers": [{"layer": index, "createdAt"}…]}…]}
 * and, inside an image's configuration ("moby.buildkit.cache.v0", base64), the list of records alone, whose layers are the image's.
 * What it says of a step of ours: a record whose digest is the operation's (images/build/build_step.c), whose only input is a record without
 * layers whose digest is that of the contents below, and whose layer is what the step made of them; the input is missing where a step does not
 * depend on what is below. That is the second of a step's two keys: it is made of contents, which whoever imports it has digested himself, so a
 * cache can say what an operation makes of these contents, and nothing about any others. Each layer stands for itself ("parent": -1).
 * The digests are of our own making: none of ours is ever one of BuildKit's, whose records mean nothing to us and are passed over; and
 * BuildKit, which reads ours as roots that it never meets, passes over them.
 * Nothing here is a text of the Dockerfile, an argument or a path: digests, sizes, times. */
#ifndef IMAGES_BUILD_CACHEFILE_H
#define IMAGES_BUILD_CACHEFILE_H

#include "base/json.h"

#define CACHEFILE_TYPE "application/vnd.buildkit.cacheconfig.v0"
#define CACHEFILE_INLINE "moby.buildkit.cache.v0"

enum { CACHEFILE_MAX_BYTES = 8 << 20, CACHEFILE_MAX_LAYERS = 4096, CACHEFILE_MAX_ENTRIES = 65536 };

struct cachefile_layer {
	char digest[65];      /* of the blob, 64 digits; "": not known (a layer of an image that is here) */
	char diff_id[65];
	char type[128];       /* media type of the blob; "" when the document does not say */
	uint64_t blob_bytes;
	char created[40];
};

struct cachefile_entry {
	char op[65], below[65]; /* the operation; digest of the contents it stood on, "": it stands on nothing */
	char created[40];       /* RFC 3339; "" */
	size_t layer;
};

struct cachefile {
	struct cachefile_layer *layers;
	size_t n_layers, cap_layers;
	struct cachefile_entry *entries;
	size_t n_entries, cap_entries;
};
void cachefile_done(struct cachefile *f); /* takes a zeroed one */
#define AUTO_CACHEFILE CLEANUP(cachefile_done)

/* The index of a layer with this diffID, a zeroed one with nothing but the diffID when it is new. */
size_t cachefile_layer_of(struct cachefile *f, const char *diff_id);
void cachefile_add(struct cachefile *f, const char *op, const char *below, const char *created, size_t layer);

/* Reads a document, hostile input. What is well-formed and not of our form is passed over. *ret zeroed before. 0 or -1 + ERR_CORRUPT. */
int cachefile_parse(const char *text, size_t n, struct cachefile *ret, struct err *err);
/* Reads the records in an image's configuration: f has the image's layers, in their order. 0; 1: there are none; -1 + ERR_CORRUPT. */
int cachefile_parse_inline(const json_t *config, struct cachefile *f, struct err *err);

/* The document, the same text for the same cache; free() it. */
char *cachefile_make(const struct cachefile *f);
/* The text for an image's configuration, whose layers are those of f; free() it. NULL: there is no entry. */
char *cachefile_make_inline(const struct cachefile *f);

#endif
