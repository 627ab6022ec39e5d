/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Dockerfile parser share among themselves. */
#ifndef IMAGES_BUILD_DOCKERFILE_IMPL_H
#define IMAGES_BUILD_DOCKERFILE_IMPL_H

#include "images/build/dockerfile.h"

enum { DOCKERFILE_MAX_TRIGGERS = 8 /* ONBUILD ONBUILD …: more than one is an error later */ };

/* A parse under way. */
struct dockerfile_parser {
	struct arena *arena;
	struct diags *ds;
	struct dockerfile *df;
	size_t offset;           /* of the next line in the source */
	int line;                /* number of the last line read */
	size_t n_nodes_cap, n_empty_cap;
};

/* Bytes of the white space character at s (Unicode's, as in Go), 0 when it is none. */
size_t dockerfile_space_len(const char *s);
/* Bytes of the letter or digit or underscore at s, which may begin or go on with a variable's name. */
size_t dockerfile_letter_len(const char *s);
/* Skips white space. */
const char *dockerfile_skip_space(const char *s);
/* Length of s[0..n) without white space at its end. */
size_t dockerfile_trimmed_len(const char *s, size_t n);

/* Splits n->original into keyword, flags and words, by the rules of the keyword, and fills the node. base: where `line` begins in n->original
 * (a trigger stands behind its ONBUILD). 0, or -1 with errors reported. */
int dockerfile_split(struct dockerfile_parser *p, struct dockerfile_node *n, const char *line, int depth);
/* May here-documents follow? */
bool dockerfile_takes_heredocs(const struct dockerfile_node *n);
/* Is the keyword that of an instruction? */
bool dockerfile_is_keyword(const char *keyword);
/* The heads of the here-documents in a line: their number, *ret in the arena. */
size_t dockerfile_find_heredocs(struct arena *a, const char *line, struct dockerfile_heredoc **ret);

/* A JSON array at text (which begins with "["). 0: strings in *ret; 1: no valid JSON; 2: an array with other things than strings. A NUL
 * character in a string becomes DOCKERFILE_NUL. */
int dockerfile_parse_json(struct arena *a, const char *text, const char ***ret, size_t *ret_n);

#endif
