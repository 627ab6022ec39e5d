/* SPDX-License-Identifier: Apache-2.0 */
/* Loading of one or more compose files into one document: the part of the loader that recurses (include, extends). Private
 * to the loader; the front door is spec/load.h. */
#ifndef SPEC_COMPOSE_FILE_H
#define SPEC_COMPOSE_FILE_H

#include "spec/diag.h"
#include "spec/env.h"
#include "spec/reset.h"
#include "spec/tree.h"

enum { FILE_MAX_BYTES = 16 << 20, FILE_MAX_COUNT = 1000, FILE_MAX_NESTING = 50, FILE_MAX_NODES = 600000, FILE_MAX_REVISITED = 2000000 };

/* What all files of one load share. */
struct file_loader {
	struct diags *ds;
	struct arena *a;
	const char *home;            /* for ~; may be NULL */
	struct map warned;           /* variables that were warned of */
	struct map texts;            /* path → struct source that was read */
	struct map parsed;           /* path → documents that were parsed and not used yet */
	struct map extended;         /* context and path → struct extended_file, see spec/extends.c */
	unsigned n_loads;            /* files that were parsed, the same one again counts */
	unsigned n_contexts;
	size_t n_nodes;              /* of all documents and of what `extends` copied */
	size_t n_revisited;          /* gone through again for each document that is merged over them */
	bool no_interpolate, no_path_resolution;
	bool skip_validation;        /* --variables: a draft will do */
};

/* One level of files: the project's, or an included project's. */
struct file_context {
	struct file_loader *fl;
	const struct env *env;
	const char *dir;             /* where relative names of further files start; absolute */
	const char *base;            /* what relative paths of the model are resolved against: dir, or the way to it from the outer level's dir */
	bool resolve_paths;
	unsigned id;                 /* of this level, unique in a load */
	const struct file_including *including; /* chain of files that are being read, for cycles */
};

struct file_including {
	const struct file_including *up;
	const char *path;
};

/* Reads a file (path "-": standard input), once: later calls return the same source. NULL with an error in ds at `pos` (where the name was written). */
const struct source *file_read(struct file_loader *fl, const char *path, struct pos pos, const char *model_path);
/* Counts nodes that were made; -1 with an error at pos when the files of one load make more than FILE_MAX_NODES. */
int file_charge(struct file_loader *fl, size_t nodes, struct pos pos, const char *model_path);
/* Its documents, parsed once: the first file_load_all uses them up. They may be looked at, not changed. 0, or -1 with errors. */
int file_parse(struct file_loader *fl, const char *path, struct pos pos, const char *model_path, struct node ***ret_docs, size_t *ret_n);
/* Loads `paths` in order into one canonical document with defaults. NULL with errors in ds. */
struct node *file_load_all(const struct file_context *ctx, const char *const *paths, size_t n, struct pos pos, const char *model_path);
/* One document of a file, up to where it can be extended from: interpolated, canonical, without include and extends. For spec/extends.c. */
struct node *file_load_extended(const struct file_context *ctx, const char *path, struct pos pos, const char *model_path, struct reset_list *ret_reset);

/* Replaces doc's `include` by what it names. 0, or -1 with errors. */
int include_apply(const struct file_context *ctx, struct node *doc, const struct reset_list *reset);
/* Replaces `extends` of every service in doc by the merged service. file: the path of doc, for cycles and messages. */
int extends_apply(const struct file_context *ctx, struct node *doc, const char *file, const struct reset_list *reset);

/* Loads env files in order into out (see spec/dotenv.h); env is looked in first. A missing file is an error at pos. 0 or -1. */
int file_load_env(struct file_loader *fl, const char *path, const struct env *env, struct env *out, struct pos pos, const char *model_path);

void file_loader_done(struct file_loader *fl);

#endif
