/* SPDX-License-Identifier: Apache-2.0 */
/* Which content a file had when it was read last: {device, inode, size, mtime, ctime} -> SHA-256, so that an unchanged context costs one stat call
 * a file. One table file for each context directory, buildcache/stat/<name>, replaced as a whole; a torn or missing one only costs time.
 * A file that changed a moment ago is not remembered: another change in the same tick of the clock would not be seen. Threads may share one. */
#ifndef IMAGES_BUILD_STATCACHE_H
#define IMAGES_BUILD_STATCACHE_H

#include <sys/stat.h>

#include "base/err.h"

enum { STATCACHE_DIGEST = 32 };

struct statcache;

/* Reads the table `name` of dir_fd (-1: begins empty and is never saved). Never fails: what cannot be read is not there. */
struct statcache *statcache_open(int dir_fd, const char *name);
/* Writes it when it changed, dropping what was not asked for this time, and frees it; takes NULL. */
void statcache_close(struct statcache *c);

/* The digest of the regular file fd, whose state is *st: remembered, or read now. 0 or -1 + err. */
int statcache_digest(struct statcache *c, int fd, const struct stat *st, unsigned char ret[static STATCACHE_DIGEST], struct err *err);
/* The same without opening it: 0 when it is remembered, 1 when not. */
int statcache_find(struct statcache *c, const struct stat *st, unsigned char ret[static STATCACHE_DIGEST]);
/* Has the file in state *st been digested by this process or found remembered by it? What is copied after that is what was hashed. */
bool statcache_knows(struct statcache *c, const struct stat *st);

#endif
