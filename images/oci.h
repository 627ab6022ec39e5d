/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI image layout below images/oci of a store, https://github.com/opencontainers/image-spec/blob/main/image-layout.md :
 *   oci-layout, index.json    what other tools read: an entry for each reference, its name in org.opencontainers.image.ref.name
 *   blobs/sha256/<hex>        0444; complete and durable by construction: written as a part, digest checked, synced, renamed
 *   ingest/<hex>.part         what has come so far of a blob whose digest is known; its writer holds the flock, whoever comes next reads
 *                             it again from its start (nothing about it is believed) and goes on where it ends
 *   ingest/new-<random>       a blob whose digest its writer does not know yet; gone with him
 * index.json follows from the store's own index and is made again from it at each change, by store.c. Needs jansson and libmd only. */
#ifndef IMAGES_OCI_H
#define IMAGES_OCI_H

#include "base/json.h"
#include "base/map.h"
#include "base/str.h"

struct oci;

/* Opens or makes the layout in the folder `oci` of images_fd. Returns 0 or -1 + err. */
int oci_open(int images_fd, struct oci **ret, struct err *err);
struct oci *oci_close(struct oci *o); /* takes NULL; returns NULL */

/* ---- blobs; hex is the 64 digits of the digest ---- */

/* True when the blob is there; its size in *ret_bytes (may be NULL). */
bool oci_has(struct oci *o, const char *hex, uint64_t *ret_bytes);
/* Opens it for reading. Returns the descriptor, -1 + err (ERR_NOT_FOUND). Its bytes were right when they were written; who must be
 * sure hashes them. */
int oci_open_blob(struct oci *o, const char *hex, uint64_t *ret_bytes, struct err *err);
/* Reads a small one whole, its digest checked. Returns 0 or -1 + err (ERR_NOT_FOUND, ERR_CORRUPT). */
int oci_read_blob(struct oci *o, const char *hex, size_t max_bytes, struct str *ret, struct err *err);
/* Writes a small one, when it is not there: 0 and its digits in ret_hex, -1 + err. */
int oci_put(struct oci *o, const void *p, size_t n, char ret_hex[static 65], struct err *err);
/* Removes one; absent is success. Under the store's exclusive lock. */
int oci_remove(struct oci *o, const char *hex, struct err *err);

/* ---- a blob on its way ---- */

struct oci_part {
	int fd;          /* read and write, the offset is the writer's own; -1: none */
	char name[80];   /* below ingest/ */
	uint64_t have;   /* bytes that are there */
};

/* Begins to write a blob, or goes on with what an earlier one left: ret->have bytes are there to be read and hashed again (oci_part_read).
 * Waits as long as another process or thread writes the same one. hex NULL: not known before it is written. Returns 0; 1 when the blob is
 * there, complete, and nothing was begun; -1 + err. */
int oci_begin(struct oci *o, const char *hex, struct oci_part *ret, struct err *err);
/* Reads what an earlier writer left, at an offset below have. Returns the count, 0 at its end, -1 + err. */
ssize_t oci_part_read(const struct oci_part *p, uint64_t offset, void *buf, size_t n, struct err *err);
/* Adds bytes at the end. 0 or -1 + err. */
int oci_append(struct oci_part *p, const void *buf, size_t n, struct err *err);
/* Begins anew: nothing is there any more. 0 or -1 + err. */
int oci_restart(struct oci_part *p, struct err *err);
/* The caller has hashed it and it is right: makes it durable and a blob. Ends the part, whatever is returned: 0 or -1 + err. */
int oci_commit(struct oci *o, struct oci_part *p, const char *hex, struct err *err);
/* Gives up for now: what is there waits for whoever comes next (one without a digest goes). Takes an ended or zeroed one with fd -1. */
void oci_suspend(struct oci *o, struct oci_part *p);
/* Gives up for good: what is there was wrong. */
void oci_discard(struct oci *o, struct oci_part *p);

/* ---- the layout as a whole; under the store's exclusive lock ---- */

struct oci_entry {
	const char *digest_hex, *type, *id; /* of the manifest; the image's id */
	uint64_t size_bytes;
	const char *name, *full_name;       /* familiar and canonical reference; NULL: none */
};

/* Replaces index.json when it differs from these entries. Returns 0 or -1 + err. */
int oci_write_index(struct oci *o, const struct oci_entry *entries, size_t n, struct err *err);

/* Collects garbage: blobs not in `keep` (hex -> anything; NULL: blobs are left alone) and parts nobody writes, both only when they are
 * older than grace_s seconds. Adds the number of bytes to *ret_bytes and the digits of removed blobs to *ret_blobs (both may be NULL). */
int oci_sweep(struct oci *o, const struct map *keep, uint64_t grace_s, uint64_t *ret_bytes, struct strv *ret_blobs, struct err *err);
/* The digits of all blobs, sorted. */
int oci_list(struct oci *o, struct strv *ret, struct err *err);

#endif
