/* SPDX-License-Identifier: Apache-2.0 */
/* Where a stage of a build stands, and where its files come from: contexts, images, other stages. A part of images/build/build_impl.h. */
#ifndef IMAGES_BUILD_BUILD_SOURCE_H
#define IMAGES_BUILD_BUILD_SOURCE_H

#include <pthread.h>

#include "images/build/copy.h"
#include "images/build/expand_scope.h"
#include "images/build/layers.h"
#include "images/build/view.h"

struct build;
struct build_stage;

/* Where a stage is: an image that grows. */
struct build_state {
	json_t *doc;              /* its configuration */
	struct layer **layers;    /* bottom to top; the pool's */
	size_t n;
	char key[65];             /* of the step that made it: definitions only */
	char created[40];         /* of the last layer; "" */
	struct expand_scope scope;
	bool cmd_set;
};
void build_state_copy(struct build_state *to, const struct build_state *from);
void build_state_done(struct build_state *s);
/* The descriptors of its layers; free() it. extra: one more on top, or -1. */
int *build_state_fds(const struct build_state *s, int extra, size_t *ret_n);
/* Digest of all layers' contents, times left out; waits until they are packed. 0 or -1 + err. */
int build_state_content(const struct build_state *s, char ret[static 65], struct err *err);

struct build_context {
	char *name;               /* "" = the build context */
	enum { CONTEXT_DIRECTORY, CONTEXT_IMAGE, CONTEXT_EMPTY } kind;
	enum { CONTEXT_HERE, CONTEXT_GIT, CONTEXT_URL } remote; /* directory: what is at `ref` becomes it when it is first used */
	bool keep_dir;            /* git: with its .git */
	char *ref;                /* image: a reference, or an id; else a URL */
	int fd;                   /* directory: its root, inside the jail */
	char stat_name[80];       /* of its table in the cache; "" = none */
	pthread_mutex_t lock;
	bool opened, failed;
	struct ignore *ignore;
	struct statcache *stat;
	struct view view;
};

int build_contexts_open(struct build *b, const int *fds, struct err *err); /* kinds, names, descriptors: after the jail was entered */
void build_contexts_close(struct build *b);
/* Has its directory, fetched when it is one from elsewhere. 0 or -1 + err. */
int build_context_open(struct build *b, struct build_context *c, struct err *err);
struct build_context *build_context_find(struct build *b, const char *name);

/* ---- build_remote.c ---- */

/* A commit of a repository. */
struct build_git {
	char *url, *checksum;
	bool keep_dir, submodules;
	char commit[41];
	char key[65];             /* of all that decides which files come */
};
/* Asks which commit is meant. text: as spec/giturl.h; checksum: what the commit has to begin with, ""; keep_dir: -1: as the text says. 0 or
 * -1 + err; build_git_done() it. */
int build_git_resolve(struct build *b, const char *text, const char *checksum, int keep_dir, struct build_git *ret, struct err *err);
void build_git_done(struct build_git *g);
/* Its files as a tar archive: a descriptor at its start; -1 + err. */
int build_git_fetch(struct build *b, const struct build_git *g, struct err *err);
/* Fills in c->fd. 0 or -1 + err. */
int build_context_fetch(struct build *b, struct build_context *c, struct err *err);

/* Something to copy or mount from. */
struct build_source {
	struct copy_source copy;
	struct view view;
	int *fds;                 /* of the view, owned; NULL for a context */
	struct build_state state; /* stage, image */
	struct statcache *stat;   /* owned; NULL for a context */
	char identity[65];        /* digest of the layers' names; "" = a context, its content must be looked at */
	struct build_context *context;
};
/* from: "" = the build context; a context, a stage, an image. 0 or -1 + err. */
int build_source_open(struct build_stage *st, const char *from, struct build_source *ret, struct err *err);
void build_source_done(struct build_source *s);
/* An image as the beginning of a stage, pulled when it is not here. ref: reference or id. */
int build_image_open(struct build_stage *st, const char *ref, const struct expand_platform *platform, struct build_state *ret, struct strv *ret_onbuild,
	struct err *err);

#endif
