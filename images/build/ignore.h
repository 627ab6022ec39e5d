/* SPDX-License-Identifier: Apache-2.0 */
/* .dockerignore files and --exclude patterns: the patterns of moby/patternmatcher. The last pattern that matches a path or one of its parents
 * decides; "!" takes back. */
#ifndef IMAGES_BUILD_IGNORE_H
#define IMAGES_BUILD_IGNORE_H

#include "base/err.h"

enum { IGNORE_MAX_BYTES = 1 << 20, IGNORE_MAX_PATTERNS = 10000 };

struct ignore;

/* From the text of a .dockerignore (BOM, comments, blank lines, blanks around and leading slashes are handled). Never NULL on success; no
 * patterns is fine. NULL + err when a pattern is malformed. */
struct ignore *ignore_parse(const char *text, size_t len, struct err *err);
/* From a list of patterns (--exclude). */
struct ignore *ignore_new(const char *const *patterns, size_t n, struct err *err);
struct ignore *ignore_free(struct ignore *g); /* takes NULL; returns NULL */
void ignore_free_p(struct ignore **g);
#define AUTO_IGNORE CLEANUP(ignore_free_p)

bool ignore_is_empty(const struct ignore *g);   /* no patterns at all */
bool ignore_leaves_out_root(const struct ignore *g); /* a pattern leaves out all of the root's entries */
bool ignore_has_exceptions(const struct ignore *g); /* a "!" pattern */

/* Is path (relative, "a/b/c", clean, no leading slash) left out? Its parents count: "a" leaves out "a/b". For single questions: the answer of a walk
 * that comes down to it. */
bool ignore_match(const struct ignore *g, const char *path);

/* The walk of a tree asks for one directory after the other. A state of a directory remembers which patterns matched it, so that an entry costs
 * one round over the patterns and no round over its parents. */
struct ignore_dir {
	uint64_t *matched;       /* a bit for each pattern; NULL for the root */
};
/* Is the entry at path, which lies in a directory with this state, left out? *ret_dir (may be NULL): the state for its own entries when it is a
 * directory; ignore_dir_done() it. */
bool ignore_match_entry(const struct ignore *g, const struct ignore_dir *parent, const char *path, struct ignore_dir *ret_dir);
void ignore_dir_done(struct ignore_dir *d);
/* May a directory that is left out hold something that is not ("!a/b" below "a")? When not, the walk need not enter it. */
bool ignore_may_hold_exceptions(const struct ignore *g, const char *path);

#endif
