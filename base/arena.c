/* SPDX-License-Identifier: Apache-2.0 */
/* Chained blocks, each twice as large as the one before it from 32 KiB to 1 MiB, so that little is wasted on a small file and
 * little time goes to the allocator on a large one; larger objects get a block of their own. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

enum { BLOCK_BYTES = 32 * 1024, BLOCK_MAX_BYTES = 1024 * 1024 };

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(16) unsigned char data[];
};

struct arena {
	struct block *head;
	size_t bytes;
};

struct arena *arena_new(void)
{
	return xcalloc(1, sizeof(struct arena));
}

struct arena *arena_free(struct arena *a)
{
	if (!a)
		return NULL;
	for (struct block *b = a->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(a);
	return NULL;
}

void arena_free_p(struct arena **a)
{
	*a = arena_free(*a);
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct block *b = a->head;
	size_t need;
	if (n > SIZE_MAX / 2)
		util_oom();
	need = (n + 15) & ~(size_t)15;
	if (!b || b->size - b->used < need) {
		size_t size = MAX(b ? MIN(b->size * 2, (size_t)BLOCK_MAX_BYTES) : (size_t)BLOCK_BYTES, need);
		b = xcalloc(1, sizeof(*b) + size);
		b->size = size;
		b->next = a->head;
		a->head = b;
	}
	b->used += need;
	a->bytes += need;
	return b->data + b->used - need;
}

size_t arena_bytes(const struct arena *a)
{
	return a->bytes;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p;
	n = strnlen(s, n);
	p = arena_alloc(a, n + 1);
	memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	int n;
	char *p;
	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

void *arena_grow(struct arena *a, void *p, size_t n, size_t *cap, size_t size)
{
	void *q;
	if (n < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 8;
	if (*cap > SIZE_MAX / size)
		util_oom();
	q = arena_alloc(a, *cap * size);
	if (n)
		memcpy(q, p, n * size);
	return q;
}
