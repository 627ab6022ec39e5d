/* SPDX-License-Identifier: Apache-2.0 */
/* The two lower halves of images/pack.c: bytes on their way out (digests, compression), and entries as tar headers. Nobody else includes
 * this, but the maker of archives (images/save.c) for its own tar. */
#ifndef IMAGES_PACK_IMPL_H
#define IMAGES_PACK_IMPL_H

#include <sys/stat.h>

#include "base/str.h"
#include "images/pack.h"

struct pack_out;

/* An output: what is written is hashed, compressed as asked, hashed again and given to the sink (NULL: hashed only). Never NULL. */
struct pack_out *pack_out_new(enum pack_codec codec, int level, pack_sink_fn *sink, void *arg);
struct pack_out *pack_out_free(struct pack_out *o); /* takes NULL; returns NULL */
int pack_out_write(struct pack_out *o, const void *p, size_t n, struct err *err);
/* Room for the bytes that come next, at least one; the caller fills some of it and says how many by pack_out_filled(). -1 + err. */
ssize_t pack_out_room(struct pack_out *o, char **ret_p, struct err *err);
void pack_out_filled(struct pack_out *o, size_t n);
/* Zero bytes up to the next multiple of 512 of what was written. */
int pack_out_align(struct pack_out *o, struct err *err);
/* Flushes; fills the digests and the lengths of *ret. Nothing may follow. 0 or -1 + err. */
int pack_out_end(struct pack_out *o, struct pack_result *ret, struct err *err);

enum { PACK_REG = '0', PACK_LINK = '1', PACK_SYMLINK = '2', PACK_CHR = '3', PACK_BLK = '4', PACK_DIR = '5', PACK_FIFO = '6' };

struct pack_entry {
	char type;             /* PACK_* */
	const char *path;      /* directories with a "/" at the end */
	const char *link;      /* of links; else NULL */
	mode_t mode;           /* permissions */
	uint64_t uid, gid, size;
	int64_t mtime_s;
	unsigned major, minor;
	const struct str *records; /* PAX records that are to go along (xattrs), ready; NULL: none */
};

/* Appends the PAX record "LENGTH key=value\n". */
void pack_record(struct str *s, const char *key, const void *value, size_t n);
/* Appends the header or headers of an entry to *ret. */
void pack_header_text(struct str *ret, const struct pack_entry *e);
/* Writes the header or headers of an entry. 0 or -1 + err. */
int pack_header(struct pack_out *o, const struct pack_entry *e, struct err *err);

#endif
