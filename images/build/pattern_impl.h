/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of wildcard matching that images/build/ignore.c needs, too. */
#ifndef IMAGES_BUILD_PATTERN_IMPL_H
#define IMAGES_BUILD_PATTERN_IMPL_H

#include "images/build/pattern.h"

/* pattern_match for a pattern that is known to be well formed. */
bool pattern_match_valid(const char *pattern, const char *name);
/* One element of the pattern that is no `*` against the character at name: what follows it, NULL when it does not match; *ret_len the character's
 * bytes. */
const char *pattern_match_element(const char *p, const char *name, size_t *ret_len);
/* What follows an element of a well-formed pattern. */
const char *pattern_skip_element(const char *p);

#endif
