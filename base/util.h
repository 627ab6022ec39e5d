/* SPDX-License-Identifier: Apache-2.0 */
/* Small things that every file needs: cleanup attributes, ownership hand-over, checked allocation.
 * Out of memory aborts from one place (util_oom); callers never test for NULL. */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Hands a pointer or descriptor over: the variable is emptied, the value returned. */
#define TAKE_PTR(p) ({ __typeof__(p) take_ = (p); (p) = NULL; take_; })
#define TAKE_FD(fd) ({ int take_ = (fd); (fd) = -1; take_; })

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* The struct of type `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* Cleanup functions for CLEANUP(): take the address of the variable. fd -1 and NULL are fine. */
void util_free_p(void *pp);
void util_close_p(int *fd);
#define AUTO_FREE CLEANUP(util_free_p)
#define AUTO_CLOSE CLEANUP(util_close_p)

/* Closes *fd when it is >= 0 and sets it to -1; errno is kept. */
void util_close(int *fd);

_Noreturn void util_oom(void);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);
char *xvasprintf(const char *fmt, va_list ap) PRINTF(1, 0);

/* Grows the array *p of n elements of `size` bytes so that one more fits; *cap is its capacity. */
void *vec_grow(void *p, size_t n, size_t *cap, size_t size);

/* A NULL-terminated, growing list of strings that it owns. Zeroed = empty. */
struct strv {
	char **v;
	size_t n, cap;
};
void strv_push(struct strv *sv, const char *s);           /* copies s */
void strv_take(struct strv *sv, char *s);                 /* takes s over */
void strv_pushf(struct strv *sv, const char *fmt, ...) PRINTF(2, 3);
bool strv_has(const struct strv *sv, const char *s);
void strv_done(struct strv *sv);
#define AUTO_STRV CLEANUP(strv_done)

static inline bool str_eq(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix);

/* Parses the whole of s as a decimal number in [min, max]; false on anything else, sign or space included. */
bool parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* 64-bit FNV-1a; seed with HASH_SEED, chain by passing the last value. Not for hostile keys. */
#define HASH_SEED 0xcbf29ce484222325ULL
uint64_t hash_bytes(uint64_t seed, const void *p, size_t n);

/* Lower-case SHA-256 in hexadecimal of n bytes, 64 digits and NUL. */
void sha256_hex(const void *p, size_t n, char ret[static 65]);

/* n random lower-case hexadecimal digits and NUL, from getrandom(2). n is even. */
void random_hex(char *buf, size_t n);

#endif
