/* SPDX-License-Identifier: Apache-2.0 */
/* An archive of files that are looked up by name, any number of times and in any order: a docker-archive, an OCI archive. A
 * plain tar file is used where it lies: one pass over its headers notes where each member's bytes are. Anything else
 * (compressed, a pipe) is first copied, decompressed, to an unnamed file of the store. Names are looked up in the list only, so
 * none of them can leave the archive. */
#ifndef IMAGES_BUNDLE_H
#define IMAGES_BUNDLE_H

#include "base/map.h"
#include "base/str.h"
#include "images/work.h"

struct member {
	uint64_t offset, size;
	char *target;          /* symlink or hard link: the name it leads to, clean; else NULL */
};

struct bundle {
	int fd;                /* the tar, plain */
	int spool_fd;          /* owned; -1: fd is the input itself */
	uint64_t spooled;      /* bytes of the input read to make the copy */
	uint64_t base, bytes;  /* where it begins and how long it is */
	struct map members;    /* clean name -> struct member; of two with one name the last counts */
};

/* Opens w's input. Returns 0, or -1 + err; bundle_done() it in any case. */
int bundle_open(const struct work *w, struct bundle *ret, struct err *err);
void bundle_done(struct bundle *b);

/* The file of that name, links followed; NULL when there is none. */
const struct member *bundle_find(const struct bundle *b, const char *name);
/* The whole member, of at most max_bytes. Returns 0 or -1 + err. */
int bundle_read(const struct bundle *b, const struct member *m, size_t max_bytes, struct str *ret, struct err *err);

struct bundle_cursor {
	const struct bundle *b;
	uint64_t at, end;
};
/* A source of the member's bytes; the cursor must live as long as the source is used. */
struct stream_source bundle_source(const struct bundle *b, const struct member *m, struct bundle_cursor *cursor);

#endif
