/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacks one layer, a tar stream of anybody's making, into a directory in overlayfs form. libarchive only parses (format tar,
 * no filter); what is written is ours, entry by entry, through directory descriptors:
 *  - every parent is resolved by openat2(RESOLVE_IN_ROOT), so that symlinks, absolute ones too, lead where they lead after a
 *    chroot; names with "..", too long ones and unknown entry types are refused; nothing outside the directory is ever opened,
 *    linked or changed;
 *  - ".wh.x" becomes a character device 0:0, ".wh..wh..opq" trusted.overlay.opaque; the same things shipped as such are left
 *    out;
 *  - xattrs: security.capability and user.* (but user.overlay.*), nothing else; modes after owners; times of directories last. */
#ifndef IMAGES_LAYER_H
#define IMAGES_LAYER_H

#include "images/stream.h"

struct layer_limits {
	uint64_t max_entries; /* of the archive */
	uint64_t max_bytes;   /* of all regular files together, and of one file's apparent size */
	uint64_t max_dir_bytes; /* of memory for the times of directories, which are set last */
};

/* 10 million entries, 64 GiB, 256 MiB. */
extern const struct layer_limits layer_default_limits;

struct layer_result {
	uint64_t n_entries;      /* that the archive has */
	uint64_t size_bytes;     /* written to regular files */
	uint64_t n_left_out;     /* foreign whiteouts, xattrs that no layer may set, aufs' own files */
	uint64_t n_no_xattr;     /* user.* attributes that this file system cannot hold */
	int64_t newest_mtime_s;  /* the newest modification time seen, seconds since 1970; 0 when there was none */
};

/* Called now and then while unpacking; may be NULL. */
typedef void layer_tick_fn(void *arg);

/* Unpacks what s gives into the empty directory diff_fd (a real descriptor, root of the layer) and reads s to the end of the
 * archive; the caller then calls stream_finish(). Nothing is synced. Needs umask 0, which it sets. Returns 0; -1 + err that
 * names the entry: ERR_CORRUPT (not a tar archive, damaged, cut off), ERR_INVALID (a name, a link or a size that is refused),
 * ERR_SYS (disk full …). What is in the directory then is to be thrown away. */
int layer_unpack(struct stream *s, int diff_fd, const struct layer_limits *limits, layer_tick_fn *tick, void *tick_arg,
	struct layer_result *ret, struct err *err);

/* As layer_unpack(), for an archive that is no layer (ADD, a build context): names that begin with ".wh." are left out, for no layer can hold
 * them; ".." leads up as far as the root; what the root itself is said to be counts for nothing. Appends to *ret_implied the directories that no
 * entry mentions ("a", "a/b", parents first), which were made 0755. */
int layer_unpack_archive(struct stream *s, int dir_fd, struct strv *ret_implied, struct layer_result *ret, struct err *err);

#endif
