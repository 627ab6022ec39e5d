/* SPDX-License-Identifier: Apache-2.0 */
/* Provenance: what the loader does to values, noted while it works. A place in a file (source, line, column) is the identity
 * of what is written there; the phases already carry it along through copies, merges and rewriting, so that it is enough to note which
 * place took over from which, and why. Nothing is noted unless load_options.trace asks for it; every function takes a NULL trace.
 * spec/explain.h reads it. */
#ifndef SPEC_TRACE_H
#define SPEC_TRACE_H

#include "spec/tree.h"

enum trace_kind {
	TRACE_REPLACES,      /* pos took the place of other: a later file, the extending service, the including file */
	TRACE_SAME,          /* pos is the key of the value at other: a mapping was rewritten as a list */
	TRACE_EXTENDS,       /* pos was taken over into `path` by the extends at other; name: the base's path */
	TRACE_VARIABLE,      /* the text at pos holds the variable `name`; value NULL: not set; other: where it was set, nowhere: the environment */
	TRACE_LISTED_,       /* from here on by path or file, not by place */
	TRACE_DROPS = TRACE_LISTED_, /* !reset or !override at pos removed other from `path` */
	TRACE_INCLUDE,       /* the file `name` was read because of the include entry at pos */
	TRACE_ENV_FILE,      /* the file `name` was read because of the env_file or label_file entry at pos, which is the model's `path` */
	TRACE_KIND_N_
};

struct trace_event {
	enum trace_kind kind;
	struct pos pos, other;
	const char *path;    /* "" when it does not matter */
	const char *name, *value;
	size_t index;        /* in order of time */
};

struct trace {
	struct arena *arena;
	struct trace_event *v;       /* by place */
	size_t n, cap;
	struct trace_event *listed;  /* in order of time */
	size_t n_listed, cap_listed;
	bool sorted;
	bool full;                   /* more happened than was noted */
};

struct trace *trace_new(struct arena *a);
/* Texts are copied; NULL is "" (but value stays NULL). What has no place is not noted. */
void trace_add(struct trace *t, enum trace_kind kind, struct pos pos, struct pos other, const char *path, const char *name, const char *value);
/* `over` takes the place of `base`; both may be NULL. */
void trace_replace(struct trace *t, const struct node *base, const struct node *over, const struct node_path *path);
/* Every value below n was taken over into path. */
void trace_extends(struct trace *t, const struct node *n, struct pos by, const char *path, const char *base);

/* The events of a place, oldest first of each kind; *ret_n how many. The trace must not grow any more. */
const struct trace_event *trace_at(struct trace *t, struct pos pos, size_t *ret_n);

#endif
