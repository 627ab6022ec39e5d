/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte string, always NUL-terminated. Zeroed = empty; p is NULL until something is added (use str_get). */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/util.h"

struct str {
	char *p;
	size_t len, cap;
};

void str_add(struct str *s, const char *text);
void str_addn(struct str *s, const void *bytes, size_t n);
void str_addc(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) PRINTF(2, 3);
/* Makes room for n more bytes and returns where they go; the caller adds what it wrote to len. */
char *str_reserve(struct str *s, size_t n);
/* The text, "" when empty; owned by s. */
const char *str_get(const struct str *s);
/* Hands the text over (never NULL, free() it) and empties s. */
char *str_take(struct str *s);
void str_clear(struct str *s);
void str_done(struct str *s);
#define AUTO_STR CLEANUP(str_done)

/* Appends the code point c as UTF-8; what is above U+10FFFF or a surrogate is the caller's matter. */
void str_add_utf8(struct str *s, uint32_t c);
/* Length of the valid UTF-8 sequence at s (1 to 4 bytes; 1 for NUL), 0 when it is not one. */
size_t str_utf8_len(const unsigned char *s);

#endif
