/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns within ${…}: `*` and `?` only, "\*" "\?" "\\" "\/" "\}" for the characters themselves. No wildcard matches a newline. */
#ifndef IMAGES_BUILD_EXPAND_IMPL_H
#define IMAGES_BUILD_EXPAND_IMPL_H

#include "base/err.h"
#include "base/str.h"

/* Appends value without what the pattern matches at its start (suffix: its end), the shortest or (greedy) longest such part. -1 + err: a bad pattern,
 * or one too expensive: *steps counts what all patterns of a text take together, from 0. */
int expand_trim(const char *value, const char *pattern, bool suffix, bool greedy, size_t *steps, struct str *ret, struct err *err);
/* Appends value with the first (all: each) part that the pattern matches, longest first, replaced by `with`. */
int expand_replace(const char *value, const char *pattern, const char *with, bool all, size_t *steps, struct str *ret, struct err *err);

#endif
