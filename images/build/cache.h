/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of build steps below buildcache/ of the state root:
 *   records/<2 digits>/<key>   {"schema":1,"diff_id","content","created","size","text"}: the layer that a step with this key has made; its
 *                              modification time is when it was used last
 *   memo/<2 digits>/<key>      what was computed of layers, which never change: a digest, as text
 *   locks/<key>                flock: whoever runs the step; the second one waits and finds the record
 *   stat/<name>                images/build/statcache.h
 *   mounts/<key>/              RUN --mount=type=cache, the executor's
 * A record is written after its layer is in place and pinned (images/store.h), replaced by rename, and believed only when it parses and its layer
 * is there: so whatever a kill or a power cut leaves is a record or none. */
#ifndef IMAGES_BUILD_CACHE_H
#define IMAGES_BUILD_CACHE_H

#include "images/store_commit.h"

struct cache;

struct cache_record {
	char diff_id[65];   /* "" = the step made no layer */
	char content[65];
	char created[40];   /* RFC 3339 */
	uint64_t size_bytes;
	char *text;         /* the instruction, for people; NULL */
};
void cache_record_done(struct cache_record *r);

/* Opens or makes it. 0 or -1 + err. */
int cache_open(int root_fd, struct store *s, struct cache **ret, struct err *err);
void cache_close(struct cache *c); /* takes NULL */
/* The descriptor of a folder of it ("stat"), the cache's; -1 when it can't be made. */
int cache_stat_fd(const struct cache *c);

/* Looks a record up; 0 with *ret filled (cache_record_done() it), 1: none. Marks it as used. */
int cache_get(struct cache *c, const char *key, struct cache_record *ret);
/* Writes one. Never fatal: a cache that can't be written is a slow one. */
void cache_put(struct cache *c, const char *key, const struct cache_record *r);
/* The same for texts of at most 200 bytes. 0: found; 1: none. */
int cache_get_memo(struct cache *c, const char *key, char *ret, size_t size);
void cache_put_memo(struct cache *c, const char *key, const char *text);

/* Waits until nobody else runs the step with this key. Returns a descriptor for cache_unlock(), -1 when locks can't be had. */
int cache_lock(struct cache *c, const char *key);
void cache_unlock(struct cache *c, const char *key, int fd);

struct cache_usage {
	uint64_t n_records, n_layers, size_bytes;
	uint64_t n_removed, removed_bytes;
};
/* Removes the records used longest ago until the layers that only the cache holds are below max_bytes, and those older than max_age_s (0: no
 * bound); the caller sweeps the store then. keep: records of these layers (keys: diff ids) stay; NULL: none. dry: only counts. 0 or -1 + err. */
int cache_prune(struct cache *c, uint64_t max_bytes, uint64_t max_age_s, const struct map *keep, bool dry, struct cache_usage *ret, struct err *err);

#endif
