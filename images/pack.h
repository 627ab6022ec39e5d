/* SPDX-License-Identifier: Apache-2.0 */
/* A directory as a tar archive, the same bytes for the same tree wherever and whenever it is packed: USTAR with PAX records where
 * it has to be, entries sorted by name (a directory before what is in it, whiteouts before their siblings), numbers for owners
 * and no names, times in whole seconds, hard links to the first name, no access or change times, two zero blocks at the end.
 * Two kinds of source:
 *  - one layer in overlayfs form, as images/layer.h makes it or as the kernel leaves an upper directory: a character device 0:0 becomes
 *    .wh.NAME, trusted.overlay.opaque becomes .wh..wh..opq right after its directory; so packing what was unpacked gives the same layer;
 *  - several layers, seen as overlayfs would show them merged: a root file system without a mount.
 * The root itself is an entry only when it is not 0755 of 0:0. Sockets and foreign xattrs are left out, security.capability and user.*
 * (but user.overlay.*) stay. The directory is only read, by descriptors, without following links. A file that changes under our hands
 * is cut off or filled with zero bytes to the size it had, as tar does. */
#ifndef IMAGES_PACK_H
#define IMAGES_PACK_H

#include "base/err.h"

enum pack_codec { PACK_PLAIN, PACK_GZIP, PACK_ZSTD, PACK_N_ };

/* Takes n bytes; 0 or -1 + err, which ends the packing. Called from the packing thread or, compressed, from another one, in order. */
typedef int pack_sink_fn(void *arg, const void *p, size_t n, struct err *err);

struct pack_options {
	enum pack_codec codec;
	int level;             /* of the codec; 0 = its usual one */
	bool clamp;            /* times after latest_s become latest_s (SOURCE_DATE_EPOCH) */
	int64_t latest_s;      /* seconds since 1970 */
};

struct pack_result {
	char diff_id[65];      /* SHA-256 of the archive, plain */
	char digest[65];       /* of what went into the sink: the blob */
	uint64_t tar_bytes;    /* length of the archive, plain */
	uint64_t blob_bytes;   /* of what went into the sink */
	uint64_t n_entries;
	uint64_t size_bytes;   /* of all regular files, hard links once */
	int64_t newest_mtime_s; /* the newest modification time, seconds since 1970, 0 when none */
};

/* Packs the layer dir_fd. sink NULL: only the digests are wanted, and nothing is compressed (digest = diff_id). Returns 0, or -1 + err
 * that names the entry. */
int pack_layer(int dir_fd, const struct pack_options *options, pack_sink_fn *sink, void *arg, struct pack_result *ret, struct err *err);

/* Packs the n directories of a stack, bottom to top, as their merged view. */
int pack_merged(const int *dir_fds, size_t n, const struct pack_options *options, pack_sink_fn *sink, void *arg, struct pack_result *ret,
	struct err *err);

/* The SHA-256 of what fd gives from where it stands to its end. 0 or -1 + err. */
int pack_hash_fd(int fd, char ret_hex[static 65], struct err *err);

/* How a layer packed like this is called: "application/vnd.oci.image.layer.v1.tar+gzip". */
const char *pack_media_type(enum pack_codec codec);
/* "none", "gzip", "zstd" to *ret; false when it is neither. */
bool pack_codec_parse(const char *text, enum pack_codec *ret);

#endif
