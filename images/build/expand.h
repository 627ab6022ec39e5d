/* SPDX-License-Identifier: Apache-2.0 */
/* Variables in Dockerfile words, as BuildKit's lexer has them: $V ${V} ${V:-w} ${V-w} ${V:+w} ${V+w} ${V:?w} ${V?w} ${V#p} ${V##p} ${V%p}
 * ${V%%p} ${V/p/w} ${V//p/w}, quotes, escapes, here-document heads left alone. */
#ifndef IMAGES_BUILD_EXPAND_H
#define IMAGES_BUILD_EXPAND_H

#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

enum { EXPAND_MAX_BYTES = 1 << 20, EXPAND_MAX_DEPTH = 64 };

/* Variables, in order of their first setting. Zeroed = empty. */
struct expand_env {
	struct map index;        /* name -> value (owned) */
};
void expand_env_set(struct expand_env *e, const char *name, const char *value); /* both copied */
void expand_env_unset(struct expand_env *e, const char *name);
const char *expand_env_get(const struct expand_env *e, const char *name);       /* NULL: not set */
void expand_env_copy(struct expand_env *to, const struct expand_env *from);     /* adds all */
void expand_env_list(const struct expand_env *e, struct strv *ret);             /* "NAME=VALUE", in order */
/* Adds "NAME=VALUE" ("NAME" alone: empty). */
void expand_env_add(struct expand_env *e, const char *assignment);
void expand_env_done(struct expand_env *e);

/* Names that an expansion looked up: for cache keys and checks. Each once. */
struct expand_names {
	struct strv set, unset;
};
void expand_names_done(struct expand_names *n);

enum {
	EXPAND_RAW_QUOTES = 1,   /* quotation marks stay */
	EXPAND_RAW_ESCAPES = 2,  /* escape characters stay */
	EXPAND_SKIP_QUOTES = 4,  /* quotation marks mean nothing (bodies of here-documents) */
	EXPAND_SKIP_UNSET = 8,   /* references to what is not set stay as they are written */
};

/* Expands word into *ret (replaced). escape: '\\' or '`'. names may be NULL. 0, or -1 + err (ERR_INVALID): bad substitution, unmatched quote or
 * brace, the message of ${V:?…}, a result above EXPAND_MAX_BYTES. */
int expand_word(const char *word, char escape, unsigned flags, const struct expand_env *env, struct expand_names *names, struct str *ret,
		struct err *err);
/* The same, split into words at unquoted blanks; what a variable brings in is split, too. */
int expand_words(const char *text, char escape, unsigned flags, const struct expand_env *env, struct expand_names *names, struct strv *ret,
		 struct err *err);

#endif
