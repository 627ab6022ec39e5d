/* SPDX-License-Identifier: Apache-2.0 */
/* Wildcards of COPY and ADD sources: Go's filepath.Match for each component (`*`, `?`, `[a-z]`, `[^a]`, `\` escapes; no wildcard matches a
 * slash), and `**` for any number of directories where the caller allows it (COPY --parents). */
#ifndef IMAGES_BUILD_PATTERN_H
#define IMAGES_BUILD_PATTERN_H

#include "base/util.h"

/* Does the text hold a wildcard (`*`, `?` or `[`; an escaped one does not count)? */
bool pattern_has_wildcard(const char *pattern);
/* Go's filepath.Match on the whole of both. 1: matches, 0: does not, -1: the pattern is malformed. */
int pattern_match(const char *pattern, const char *name);
/* The same by components; with `double_star` a component `**` stands for any number of them, none included. 1, 0, -1. */
int pattern_match_path(const char *pattern, const char *path, bool double_star);
/* Is the pattern well formed? */
bool pattern_is_valid(const char *pattern);
/* Could a path below dir match (for walks: need dir be entered)? dir "" is the root. */
bool pattern_may_match_below(const char *pattern, const char *dir, bool double_star);
/* The text with backslash escapes taken out: the name that a pattern without wildcards means. free() it. */
char *pattern_unescape(const char *pattern);
/* Go's filepath.Clean: no doubled slashes, no ".", ".." taken back where that is possible, no slash at the end; "." for nothing. free() it. */
char *pattern_clean_path(const char *path);

#endif
