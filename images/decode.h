/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression as a pull: gzip (images/gunzip.h) and libzstd directly, xz and bzip2 through libarchive's filters. The kind is told by the first
 * bytes, as every registry and tool writes layers of either kind under the same name. Concatenated members and frames are one
 * stream. */
#ifndef IMAGES_DECODE_H
#define IMAGES_DECODE_H

#include "images/stream.h"

enum decode_kind { DECODE_NONE, DECODE_GZIP, DECODE_ZSTD, DECODE_XZ, DECODE_BZIP2, DECODE_N_ };

enum { DECODE_PEEK = 8 }; /* bytes that decode_sniff() wants to see */

enum decode_kind decode_sniff(const unsigned char *head, size_t n);
const char *decode_name(enum decode_kind kind);

struct decode;
/* src gives the compressed bytes, from the first one. Returns 0 or -1 + err. */
int decode_new(enum decode_kind kind, const struct stream_source *src, struct decode **ret, struct err *err);
/* Up to n decompressed bytes: the count (> 0), 0 at the end, -1 + ERR_CORRUPT when the data is damaged or cut off. */
ssize_t decode_read(struct decode *d, void *buf, size_t n, struct err *err);
struct decode *decode_free(struct decode *d); /* takes NULL; returns NULL */

#endif
