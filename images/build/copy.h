/* SPDX-License-Identifier: Apache-2.0 */
/* COPY and ADD: which files a source names, what they contain (for the cache), where they go. The rules are those of the Dockerfile reference, where
 * it is silent those of BuildKit: the contents of a directory are copied, not itself; a directory that was there keeps its mode, those below it take
 * the source's; a file replaces a file, never a directory with something in it; a symlink that is a source itself is followed, one inside a directory
 * is copied; parents that lack are 0755 and belong to --chown. */
#ifndef IMAGES_BUILD_COPY_H
#define IMAGES_BUILD_COPY_H

#include "base/map.h"
#include "images/build/ignore.h"
#include "images/build/statcache.h"
#include "images/build/view.h"

struct copy_source {
	const struct view *view;
	const struct ignore *ignore; /* .dockerignore; NULL: none */
	struct statcache *stat;      /* of the view's file system; never NULL */
	bool reset_owner;            /* everything belongs to 0:0 (a context) */
	bool move;                   /* the source is thrown away afterwards and on the destination's file system: files are linked, not copied */
};

struct copy_options {
	const char *dest;            /* absolute, clean but for a slash at its end, which says that it is a directory */
	const struct ignore *excludes; /* NULL: none */
	const char *chmod;           /* "" = none; octal or symbolic */
	bool chown;
	uid_t uid;                   /* of chown */
	gid_t gid;
	bool parents;
	bool unpack;                 /* archives are unpacked */
	const struct map *implied;   /* what comes out of an archive: directories that it does not mention ("a/b"); NULL */
	bool replace;                /* what comes out of an archive: directories and other things take each other's place */
	int tmp_fd;                  /* with unpack: a directory on the destination's file system for what is in between */
	const bool *cancelled;       /* looked at now and then; NULL */
};

/* A list of what one source word names: paths in the source's view, symlinks at the end resolved. */
struct copy_match {
	char *path;   /* "/", "/a/b": where it is */
	char *base;   /* its name in a directory */
	char *rel;    /* parents: where it goes below the destination, "" = the destination; else NULL */
	bool wildcard;
};
struct copy_matches {
	struct copy_match *v;
	size_t n, cap;
	bool makes_dest; /* --parents: there is a directory that is searched, so that the destination is made though nothing may match */
};
void copy_matches_done(struct copy_matches *m);

/* What `word` names. A wildcard may name nothing; anything else must be there: -1 + ERR_NOT_FOUND `"/x": not found`. */
int copy_select(const struct copy_source *src, const char *word, const struct copy_options *o, struct copy_matches *ret, struct err *err);
/* Digest of all that counts of the matches: names, types, modes, owners (not when they are set), links, xattrs, contents; no times. */
int copy_digest(const struct copy_source *src, const struct copy_matches *m, const struct copy_options *o, char ret[static 65], struct err *err);
/* Copies them. *ret_unsure: a file was not what copy_digest() has seen. dest is writable. 0 or -1 + err. */
int copy_apply(const struct copy_source *src, const struct copy_matches *m, const struct copy_options *o, const struct view *dest, bool *ret_unsure,
	struct err *err);
/* Writes a file of given content (a here-document, a download) as if it were a source named `name`. fd: -1, or where the content is. */
int copy_write(const char *name, const void *data, size_t n, int fd, mode_t mode, const struct timespec *mtime, const struct copy_options *o,
	const struct view *dest, struct err *err);

/* The mode after `chmod`: octal, or symbolic like chmod(1)'s. 0 or -1 + err. */
int copy_chmod(const char *text, mode_t mode, bool directory, mode_t *ret, struct err *err);

/* ---- for the parts of this module ---- */

/* What a walk over a match tells; rel is the path below the match, "" = the match itself. enter and leave: a directory, open as fd; one of which
 * only something below is taken is entered when that comes. file: anything else; w is in the directory that holds name. */
struct copy_visitor {
	void *arg;
	int (*enter)(void *arg, int fd, const char *name, const char *rel, const struct stat *st, struct err *err);
	int (*leave)(void *arg, const char *rel, const struct stat *st, struct err *err);
	int (*file)(void *arg, struct view_walk *w, const char *name, const char *rel, const struct stat *st, struct err *err);
};
int copy_visit(const struct copy_source *src, const struct copy_match *m, const struct copy_options *o, const struct copy_visitor *v,
	struct err *err);

#endif
