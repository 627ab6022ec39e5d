/* SPDX-License-Identifier: Apache-2.0 */
/* Files by directory descriptors. Every descriptor is close-on-exec. dirfd may be AT_FDCWD. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <fcntl.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/str.h"

/* Opens a directory O_PATH-less (usable for *at() and fsync); -1 + err when it cannot. */
int fs_open_dir(int dirfd, const char *path, struct err *err);
/* mkdir -p with `mode` for what is created, then opens the last one; returns the descriptor or -1 + err. */
int fs_make_dir(int dirfd, const char *path, mode_t mode, struct err *err);

/* Reads a whole regular file of at most max_bytes into *ret (replacing it). Returns 0; 1 when it does not exist; -1 + err. */
int fs_read(int dirfd, const char *path, size_t max_bytes, struct str *ret, struct err *err);
/* Reads fd to its end, at most max_bytes. */
int fs_read_fd(int fd, size_t max_bytes, struct str *ret, struct err *err);
/* Writes all n bytes, retrying short writes and EINTR. */
int fs_write_all(int fd, const void *p, size_t n, struct err *err);
/* Seals a memfd for good: neither its bytes nor its size change any more, whoever holds it. The kernel gives EBUSY when something beside us holds
 * one of its pages for longer than 150 ms (memfd_wait_for_pins in mm/memfd.c; compaction of memory does it on a busy machine), so it is asked
 * for 5 s. Returns 0 or -1 with errno. */
int fs_seal(int memfd);

/* Replaces `name` in dirfd durably: temporary file, fsync, rename, fsync of the directory. A crash leaves the old or the new one. */
int fs_write_atomic(int dirfd, const char *name, const void *p, size_t n, mode_t mode, struct err *err);
/* The same without any fsync: for files that die with the boot. */
int fs_write_volatile(int dirfd, const char *name, const void *p, size_t n, mode_t mode, struct err *err);

/* Removes a file or a whole tree without following symlinks or crossing into mounts; absent is success. */
int fs_remove_tree(int dirfd, const char *path, struct err *err);

/* openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) below root_fd, O_CLOEXEC added: symlinks resolve as after a chroot.
 * Falls back to a walk by components where the kernel refuses openat2. Returns the descriptor, or -errno. */
int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode);

/* Calls fn for each entry of the directory but "." and ".."; stops at the first non-zero return and returns it. -1 + err when unreadable. */
int fs_each(int dirfd, const char *path, int (*fn)(void *arg, const char *name), void *arg, struct err *err);
/* The same; a directory that is not there, or is just being removed by another process, has no entries. */
int fs_each_if_any(int dirfd, const char *path, int (*fn)(void *arg, const char *name), void *arg, struct err *err);

/* "/proc/self/fd/N" in buf: a path for what only takes paths. */
char *fs_fd_path(int fd, char buf[static 32]);

#endif
