/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of variables in strings: $$, $NAME, ${NAME}, ${NAME:-x}, ${NAME-x}, ${NAME:?x}, ${NAME?x}, ${NAME:+x}, ${NAME+x}; x is
 * substituted as well. A lone $ stays. Pure: it knows no files and no tree. Rules: design of the reference's template package. */
#ifndef SPEC_TEMPLATE_H
#define SPEC_TEMPLATE_H

#include "base/arena.h"
#include "base/str.h"

enum { TEMPLATE_MAX_DEPTH = 100, TEMPLATE_MAX_BYTES = 4 << 20 };

/* The value of a variable, NULL when it is not set. */
typedef const char *(*template_lookup_fn)(void *arg, const char *name);
/* Told of each variable that is not set and has no default; offset of its $ in the whole text. May be NULL. */
typedef void (*template_unset_fn)(void *arg, const char *name, size_t offset);

struct template_error {
	enum { TEMPLATE_INVALID, TEMPLATE_REQUIRED, TEMPLATE_TOO_DEEP, TEMPLATE_TOO_LONG } kind;
	size_t offset;           /* of the $ in the text */
	const char *variable;    /* TEMPLATE_REQUIRED; in the arena */
	const char *message;     /* TEMPLATE_REQUIRED: what the author wrote after ?, "" when nothing */
};

struct template_vars {
	struct arena *arena;
	template_lookup_fn lookup;
	template_unset_fn unset;
	void *arg;
};

/* Appends text with its variables replaced. 0, or -1 with *err set (what was appended so far stays). */
int template_substitute(const struct template_vars *vars, const char *text, struct str *ret, struct template_error *err);

struct template_variable {
	const char *name, *def, *alternate; /* in the arena; "" when there is none */
	bool required;
	size_t offset;
};
/* Calls fn for each variable in text, those inside of defaults too. */
void template_each(struct arena *a, const char *text, void (*fn)(void *arg, const struct template_variable *v), void *arg);

#endif
