/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator: one per loaded project, everything freed at once. Memory is zeroed and 16-byte aligned. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/util.h"

struct arena;
struct arena *arena_new(void);
struct arena *arena_free(struct arena *a); /* takes NULL; returns NULL */
void arena_free_p(struct arena **a);
#define AUTO_ARENA CLEANUP(arena_free_p)

void *arena_alloc(struct arena *a, size_t n);
size_t arena_bytes(const struct arena *a); /* handed out so far */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
/* Like vec_grow() for an array in the arena: the old copy stays behind. */
void *arena_grow(struct arena *a, void *p, size_t n, size_t *cap, size_t size);

#endif
