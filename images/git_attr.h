/* SPDX-License-Identifier: Apache-2.0 */
/* What .gitattributes files do to a file on its way out of a repository, https://git-scm.com/docs/gitattributes : line ends (text, crlf, eol) and
 * $Id$ (ident), as git does it without a configuration. Filters are programs, and none is run. An attribute of a deeper directory counts before one
 * of a directory above it, a later line before an earlier one; macros are those of the root directory. The files are hostile: lines, rules and the
 * work of comparing have bounds. */
#ifndef IMAGES_GIT_ATTR_H
#define IMAGES_GIT_ATTR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct git_attr;

/* The file of the directory dir ("" = the root, "a/b"), which stands above those pushed before. NULL text: a bottom that has none. */
struct git_attr *git_attr_push(struct git_attr *up, const char *dir, const char *text, size_t n);
/* Drops the uppermost; returns the one below. Takes NULL. */
struct git_attr *git_attr_pop(struct git_attr *a);

/* The file's bytes as they come out: *bytes (malloc'd, a NUL after them) and *n are replaced when something changes. hex: the blob's name.
 * *ret_encoded: it would be in another encoding, which is not done. 0; -1 + err: comparing takes too long. */
int git_attr_apply(struct git_attr *a, const char *path, const char *hex, char **bytes, size_t *n, bool *ret_encoded, struct err *err);

#endif
