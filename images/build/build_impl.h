/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the builder share: build.c (request, target, image), build_stage.c (a stage's thread), build_step.c (the cache around a step),
 * build_copy.c, build_run.c (what steps do), build_source.c (contexts, images, stages as sources). Nobody else includes this. */
#ifndef IMAGES_BUILD_BUILD_IMPL_H
#define IMAGES_BUILD_BUILD_IMPL_H

#include <pthread.h>

#include "images/build/cache.h"
#include "images/build/channel.h"
#include "images/build/copy.h"
#include "images/build/executor.h"
#include "images/build/expand_scope.h"
#include "images/build/imageconfig.h"
#include "images/build/layers.h"
#include "images/build/peers.h"
#include "images/build/unpack.h"
#include "images/build/build_source.h"
#include "images/build/view.h"

enum build_stage_status { STAGE_IDLE, STAGE_RUNNING, STAGE_DONE, STAGE_FAILED };

struct build_stage {
	struct build *b;
	const struct instruction_stage *in;
	size_t index;
	bool needed;
	const char *base; /* expanded, as the platform, before any stage starts */
	const char *unsupported; /* the platform, when it is none that can be built for */
	struct expand_platform platform;
	enum build_stage_status status;   /* under the build's lock */
	pthread_t thread;
	bool joinable;
	struct build_state state;         /* its result when done */
	struct arena *arena;              /* the thread's */
	struct diags diags;
	unsigned step, n_steps;           /* "[stage 2/5]" */
	const struct instruction *at;     /* the one under way, for the error */
	bool no_cache;
	int exit_code;                    /* of a RUN that failed, and its number */
	int64_t failed_step;
};

struct cachefrom;
struct cacheto;

struct build {
	json_t *request;
	struct arena *arena;
	struct diags diags;
	struct store *store;
	int root_fd;
	struct layers *layers;
	struct cache *cache;
	struct cachefrom *from;           /* caches from elsewhere, images/build/cachefrom.h */
	struct cacheto *to;
	struct peers *peers;
	struct source source;             /* of the Dockerfile */
	struct instructions *instructions;
	struct expand_options expand;
	struct expand_env build_args, global;
	struct build_context contexts[BUILD_MAX_CONTEXTS];
	size_t n_contexts;
	struct build_stage *stages;
	size_t n_stages, target;
	const char *epoch;                /* RFC 3339 of SOURCE_DATE_EPOCH; NULL */
	char *run_key;                    /* "run" of the request as it counts for keys */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool cancelled, failed;
	struct err err;                   /* the first failure */
	json_t *failure;                  /* its event */
	int64_t next_step;
};

/* ---- build.c ---- */

/* SHA-256 of the text, and of several joined so that none can look like another. */
void build_hash(char ret[static 65], const char *const *parts, size_t n);
char *build_created(const struct build *b);  /* now, or the epoch; free() it */

/* ---- build_check.c ---- */

/* Checks the Dockerfile and tells what was found, as text or json. 0; -1: it can't be read, see b->diags. */
int build_check(struct build *b, const char *form);
/* What a build does before its first step when the file (or a build argument) says `check=error=true`: findings in the stages that it needs are told, and
 * fail it. A base image that is not here yet may set any variable: then undefined ones are none. File errors are left to the build. 0 or -1 + err. */
int build_check_enforce(struct build *b, struct err *err);

/* ---- build_stage.c ---- */

/* Starts the stage's thread unless it runs or has run. */
int build_stage_start(struct build_stage *st, struct err *err);
/* Waits for its end. 0: done; -1 + err: it failed or the build is cancelled. */
int build_stage_wait(struct build_stage *st, struct err *err);
/* The stage that `name` means for the stage `from`: a name or an index, only stages before it. NULL: none. */
struct build_stage *build_stage_find(struct build *b, size_t from, const char *name);

/* ---- build_step.c ---- */

struct build_step {
	struct build_stage *st;
	const struct instruction *in;
	char *text;               /* for progress: "COPY . /app" */
	char *history;            /* created_by */
	json_t *op;               /* what counts: canonical text of it is hashed */
	bool own_layer;           /* does not depend on what is below (COPY --link) */
	int64_t id;
	/* Fills the layer. *ret_unsure: what was done is not what the key says, do not remember it. */
	int (*run)(struct build_step *s, struct layer *layer, bool *ret_unsure, struct err *err);
	void *arg;
};
/* Looks the step up, or runs it; the stage's state moves on. 0 or -1 + err. Frees text, history, op. */
int build_step_do(struct build_step *s, struct err *err);
/* Tells of a step that has its own way (FROM). */
int64_t build_step_tell(struct build_stage *st, int64_t id, const char *state, const char *text, int first_line, int last_line);

/* ---- build_copy.c, build_run.c: one instruction each, expanded ---- */

int build_copy(struct build_stage *st, const struct instruction *in, struct err *err);
/* FROM of a context that is a directory: its files become the stage's first layer. 0 or -1 + err. */
int build_from_directory(struct build_stage *st, const char *context, struct err *err);
int build_workdir(struct build_stage *st, const struct instruction *in, struct err *err);
int build_run(struct build_stage *st, const struct instruction *in, struct err *err);
/* "name", "1:2", "name:group" as the image has them. A name that it has not is an error, or root's number when must_exist is not set. 0 or -1 + err. */
int build_user_lookup(const struct view *root, const char *user, bool must_exist, uid_t *ret_uid, gid_t *ret_gid, struct err *err);
/* path made absolute by WORKDIR and clean; a slash at its end stays when keep_slash. free() it. */
char *build_absolute(const struct build_state *s, const char *path, bool keep_slash);

#endif
