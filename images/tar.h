/* SPDX-License-Identifier: Apache-2.0 */
/* libarchive as a parser of tar and of nothing else: no filters (images/decode.h has them), no other format, nothing written by it. */
#ifndef IMAGES_TAR_H
#define IMAGES_TAR_H

#include <archive.h>
#include <archive_entry.h>

#include "images/stream.h"

struct tar {
	struct archive *a;
	struct stream *s;       /* borrowed */
	struct err stream_err;  /* of the stream, when it failed inside a callback */
	uint64_t n_entries;
};

/* Starts to read s as tar; the struct must stay where it is. Returns 0 or -1 + err. tar_close() it in any case. */
int tar_open(struct tar *t, struct stream *s, struct err *err);
/* The next entry, valid until the next call. Returns 1, 0 at the end, -1 + err (ERR_CORRUPT, or the stream's error). */
int tar_next(struct tar *t, struct archive_entry **ret, struct err *err);
/* The next block of the entry's data and its offset in the file. Returns 1, 0 at the end of the data, -1 + err. */
int tar_data(struct tar *t, const void **ret_buf, size_t *ret_n, int64_t *ret_offset, struct err *err);
void tar_close(struct tar *t); /* takes a zeroed one; may be called twice */
#define AUTO_TAR CLEANUP(tar_close)

enum { TAR_PATH_BYTES = 4096 };

/* Brings a name from an archive into the form a/b/c: leading "/" and "./" go, "//", "/./" and a last "/" too. "" = the root
 * itself. Returns 0 and fills buf; -1 + ERR_INVALID: "..", a component of more than 255 bytes, more than 4095 in all, NULL. */
int tar_clean_path(const char *name, char buf[static TAR_PATH_BYTES], struct err *err);

#endif
