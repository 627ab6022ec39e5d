/* SPDX-License-Identifier: Apache-2.0 */
/* Typed instructions: what a builder works on. instruction_parse makes stages of a parsed file, nothing expanded; when the builder reaches an
 * instruction it calls instruction_expand with the variables that hold there (images/build/expand_scope.h) and gets a copy with the values in
 * place. Strings are never NULL unless said otherwise, live in the arena, and lists end with NULL. */
#ifndef IMAGES_BUILD_INSTRUCTION_H
#define IMAGES_BUILD_INSTRUCTION_H

#include "images/build/dockerfile.h"
#include "images/build/expand.h"
#include "images/build/instruction_run.h"

enum instruction_kind {
	INSTRUCTION_ADD, INSTRUCTION_ARG, INSTRUCTION_CMD, INSTRUCTION_COPY, INSTRUCTION_ENTRYPOINT, INSTRUCTION_ENV, INSTRUCTION_EXPOSE,
	INSTRUCTION_FROM, INSTRUCTION_HEALTHCHECK, INSTRUCTION_LABEL, INSTRUCTION_MAINTAINER, INSTRUCTION_ONBUILD, INSTRUCTION_RUN,
	INSTRUCTION_SHELL, INSTRUCTION_STOPSIGNAL, INSTRUCTION_USER, INSTRUCTION_VOLUME, INSTRUCTION_WORKDIR, INSTRUCTION_KIND_N_
};

/* NAME=VALUE. */
struct instruction_pair {
	const char *name;
	const char *value;       /* ARG: NULL when there is no "=" */
	bool old_form;           /* ENV, LABEL: `name value` */
	const char *doc;         /* ARG: the comment `# NAME text` above it, "" when there is none */
	struct pos pos;
};

/* A here-document as a source of COPY and ADD: a file of this name in the destination, mode 0644. */
struct instruction_content {
	const char *name;
	const char *data;        /* tabs already chomped; expanded by instruction_expand when it may be */
	bool expand;
};

/* COPY and ADD. */
struct instruction_copy {
	struct instruction_list sources;  /* paths, patterns, URLs; in order. Here-documents are not among them */
	struct instruction_content *contents;
	size_t n_contents;
	const char *dest;
	const char *from;        /* COPY: stage, index, named context or image; "" = the build context. Never expanded */
	const char *chown, *chmod;        /* "" = not given */
	const char *checksum;    /* ADD: "sha256:…", or a commit; "" = not given */
	struct instruction_list excludes; /* patterns, images/build/ignore.h semantics. Never expanded */
	bool link, parents;
	int keep_git_dir, unpack;         /* ADD: -1 = not given, 0, 1 */
};

struct instruction_health {
	struct instruction_list test;     /* NONE | CMD a b | CMD-SHELL text */
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;  /* 0 = not given */
	int retries;             /* 0 = not given */
};

struct instruction {
	enum instruction_kind kind;
	const struct dockerfile_node *node;
	const char *keyword;     /* as written; instruction_name() is in capitals */
	const char *code;        /* the source text, one line, trimmed: for progress and history */
	struct pos pos;          /* of the keyword */
	int first_line, last_line;        /* of the file, for excerpts */
	union {
		struct { struct instruction_pair *v; size_t n; } pairs;  /* ARG, ENV, LABEL */
		struct instruction_copy copy;     /* ADD, COPY */
		struct instruction_command command; /* RUN, CMD, ENTRYPOINT */
		struct instruction_health health;
		struct instruction_list list;     /* EXPOSE (sorted, as BuildKit does), VOLUME, SHELL */
		const char *text;                 /* MAINTAINER, ONBUILD (the trigger, with its here-documents), STOPSIGNAL, USER, WORKDIR */
	};
};

struct instruction_stage {
	const char *name;        /* in lower case; "" = none */
	const char *base;        /* not expanded: a stage, an image, "scratch" */
	const char *platform;    /* --platform, not expanded; "" = none */
	const char *doc;         /* the comment `# NAME text` above it */
	const struct dockerfile_node *node;
	const char *keyword, *code;
	struct pos pos;
	int first_line, last_line;
	struct instruction **v;
	size_t n;
};

struct instructions {
	const struct dockerfile *file;
	struct instruction **meta_args;   /* ARG before the first FROM */
	size_t n_meta_args;
	struct instruction_stage *stages;
	size_t n_stages;
};

/* All of a parsed file. Mistakes become errors in ds, as many as are found; 0, or -1 when there were some. */
int instruction_parse(struct arena *a, const struct dockerfile *df, struct diags *ds, struct instructions **ret);
/* The trigger of an ONBUILD: see dockerfile_parse_trigger. 0, or -1 + errors in ds. */
int instruction_parse_trigger(struct arena *a, const char *name, const char *text, struct diags *ds, struct instruction **ret);

/* A copy of in with variables replaced in the fields where its kind has them: ADD and COPY (sources, dest, chown, chmod, checksum, contents),
 * ENV, LABEL, USER, VOLUME, WORKDIR, STOPSIGNAL, EXPOSE (and split into ports), RUN's mounts. ARG, CMD, ENTRYPOINT, HEALTHCHECK, SHELL,
 * ONBUILD, MAINTAINER stay as they are (ARG: expand_scope_arg). env holds what is set before the instruction: `ENV a=1 b=$a` takes the old
 * a. Names that were looked up are added to used, which may be NULL. 0, or -1 + errors in ds. */
int instruction_expand(struct arena *a, const struct instruction *in, const struct expand_env *env, struct expand_names *used, struct diags *ds,
		       struct instruction **ret);

/* "RUN". */
const char *instruction_name(enum instruction_kind kind);

#endif
