/* SPDX-License-Identifier: Apache-2.0 */
/* Paths in a model: lexical helpers, and the pass that makes relative ones start at a given directory. */
#ifndef SPEC_PATHS_H
#define SPEC_PATHS_H

#include "spec/diag.h"
#include "spec/tree.h"

/* Lexical cleaning as Go's path.Clean: "a/../b//c/." → "b/c", "" → ".". In the arena. */
const char *path_clean(struct arena *a, const char *p);
/* path.Join of two: cleaned; an empty part does not count, both empty is "". */
const char *path_join(struct arena *a, const char *dir, const char *p);
/* Everything before the last slash, cleaned ("." and "/" as in filepath.Dir). */
const char *path_dir(struct arena *a, const char *p);
/* The last element of a cleaned path. */
const char *path_base(struct arena *a, const char *p);
/* The path to `to` from `from`, both absolute: "../b", "." when equal. */
const char *path_relative(struct arena *a, const char *from, const char *to);
/* "~" and "~/x" with home in place (home NULL: as it is). */
const char *path_expand_home(struct arena *a, const char *p, const char *home);
/* True for an absolute Windows path ("C:\x", "\\host\share"). */
bool path_is_windows(const char *p);
/* True for what only a remote loader could fetch: oci://, git@, https://….git, github.com/…. */
bool path_is_remote(const char *p);

/* Makes the relative paths of a canonical model start at base: build contexts, env files, bind sources, files of configs and secrets … A mount in its
 * short form is left alone. home: for ~, may be NULL. 0, or -1 with errors (a bind mount without source). */
int paths_resolve(struct node *doc, const char *base, const char *home, struct diags *ds);

#endif
