/* SPDX-License-Identifier: Apache-2.0 */
/* A hash map from strings (copied) to pointers (not owned), iterated in order of insertion. Zeroed = empty. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/util.h"

struct map_entry {
	char *key;   /* NULL: deleted, skip it */
	void *value;
	uint64_t hash;
};

struct map {
	struct map_entry *entries; /* in order of insertion; [0, n_entries) */
	size_t n_entries, cap;
	uint32_t *slots;           /* index + 1 into entries; 0 = free */
	size_t n_slots;            /* a power of two */
	size_t n;                  /* live keys */
};

void *map_get(const struct map *m, const char *key); /* NULL when absent */
void map_put(struct map *m, const char *key, void *value); /* adds or replaces */
void *map_del(struct map *m, const char *key); /* returns the old value or NULL */
void map_done(struct map *m); /* frees keys, not values */
#define AUTO_MAP CLEANUP(map_done)
/* Walks live entries: for (struct map_entry *e = map_next(m, NULL); e; e = map_next(m, e)). Deleting e itself inside is fine. */
struct map_entry *map_next(const struct map *m, const struct map_entry *prev);

#endif
