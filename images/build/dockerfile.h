/* SPDX-License-Identifier: Apache-2.0 */
/* A Dockerfile as its text says it: directives, and one node for each instruction with flags, words, here-documents and its place. Nothing is
 * expanded, no instruction is understood; images/build/instruction.h makes typed instructions of the nodes. Everything lives in the arena. */
#ifndef IMAGES_BUILD_DOCKERFILE_H
#define IMAGES_BUILD_DOCKERFILE_H

#include "spec/diag.h"

enum {
	DOCKERFILE_MAX_BYTES = 4 << 20, /* the file */
	DOCKERFILE_MAX_LINE = 65535,    /* a line without its newline, as in BuildKit */
	DOCKERFILE_MAX_NODES = 20000,   /* instructions */
};

/* `<<-"EOF"` and what follows. */
struct dockerfile_heredoc {
	const char *name;        /* without quotes */
	const char *content;     /* lines with their ends, leading tabs still there; see dockerfile_chomp */
	unsigned fd;             /* of `3<<EOF`, else 0 */
	bool expand;             /* the name had no quotes */
	bool chomp;              /* `<<-`: leading tabs go */
	int line;                /* of the first line of the content */
};

/* What stands for "\u0000" in a word of a JSON array (no UTF-8, so nothing else looks like it); no instruction takes it. */
#define DOCKERFILE_NUL "\xc0\x80"

/* A word of an instruction, verbatim: quotes and escapes are still in it (not in JSON form). */
struct dockerfile_word {
	const char *text;
	size_t at;               /* where it begins in the node's original, for dockerfile_pos; of JSON strings: where the array begins */
};

/* A piece of an instruction that stands on one line. */
struct dockerfile_piece {
	size_t at;               /* offset in the node's original */
	size_t offset;           /* offset in the source */
};

struct dockerfile_node {
	const struct dockerfile *file;
	const char *keyword;     /* as it was written: "RUN", "run" */
	const char *original;    /* the whole instruction, continuation lines joined, comments inside taken out; no here-document bodies */
	const char *rest;        /* what follows the flags, trimmed */
	struct dockerfile_word *flags;    /* "--from=a", in order, quotes removed */
	size_t n_flags;
	/* JSON form: the strings. RUN, CMD, ENTRYPOINT, SHELL, MAINTAINER, USER, WORKDIR, STOPSIGNAL else: one word, the rest of the line.
	 * ENV and LABEL: three for each pair: name, value, and "=", or "" in the old form (`ENV name value`). HEALTHCHECK: the type, then as CMD.
	 * ARG, ADD, COPY, EXPOSE, FROM, VOLUME: words. Unknown instructions: one empty word. */
	struct dockerfile_word *words;
	size_t n_words;
	bool json;               /* the words were a JSON array */
	struct dockerfile_node *trigger; /* ONBUILD: the instruction behind it; NULL when nothing is there */
	struct dockerfile_heredoc *heredocs; /* of ONBUILD: those of the trigger */
	size_t n_heredocs;
	int first_line, last_line;       /* here-document bodies included */
	const char **comments;   /* lines of comment right above, without "#", trimmed */
	size_t n_comments;
	struct dockerfile_piece *pieces;
	size_t n_pieces;
};

struct dockerfile {
	const struct source *src;
	struct arena *arena;
	char escape;             /* '\\' or '`' */
	const char *syntax;      /* `# syntax=`, the first word; NULL: none */
	const char *check;       /* `# check=`, the first word; NULL: none */
	int syntax_line, check_line;
	struct dockerfile_node **nodes;
	size_t n_nodes;
	int *empty_continuations;        /* last lines of the instructions that have an empty line inside */
	size_t n_empty_continuations;
};

/* Parses a text. What is wrong becomes an error in ds (several when there are), and parsing goes on with the next instruction. Returns 0, or -1
 * when there were errors; *ret is set in both cases, with what could be read. */
int dockerfile_parse(struct arena *a, const struct source *src, struct diags *ds, struct dockerfile **ret);
/* One instruction without a file of its own: an ONBUILD trigger of a base image. text may hold here-documents. `name` is shown in messages. */
int dockerfile_parse_trigger(struct arena *a, const char *name, const char *text, struct diags *ds, struct dockerfile **ret);

/* The place of offset `at` of the node's original. */
struct pos dockerfile_pos(const struct dockerfile_node *n, size_t at);
/* The first character of a line. */
struct pos dockerfile_line_pos(const struct dockerfile *df, int line);

/* content without the leading tabs of each line, in the arena. */
const char *dockerfile_chomp(struct arena *a, const char *content);
/* Is the word itself the head of a here-document (`<<EOF`, `3<<-"EOF"`)? Fills *ret (no content) when it is. */
bool dockerfile_is_heredoc(struct arena *a, const char *word, struct dockerfile_heredoc *ret);
/* The parse as one S-expression a line, `(run "a b")`: the form of the reference's golden files. */
void dockerfile_dump(const struct dockerfile *df, struct str *ret);

#endif
