/* SPDX-License-Identifier: Apache-2.0 */
/* The two machine-readable forms of a build's progress. Inside of compose/build_progress*.c. */
#ifndef COMPOSE_BUILD_PROGRESS_JSON_H
#define COMPOSE_BUILD_PROGRESS_JSON_H

#include "base/str.h"

enum build_vertex_state {
	BUILD_VERTEX_RUNNING,
	BUILD_VERTEX_CACHED,
	BUILD_VERTEX_DONE,
	BUILD_VERTEX_ERROR,
	BUILD_VERTEX_CANCELLED,
	BUILD_VERTEX_N_,
};

struct build_vertex {           /* a step of one of the builds */
	size_t build, number;
	int64_t step;
	char *name, *error, *bytes; /* safe text; error and bytes may be NULL */
	enum build_vertex_state state;
	uint64_t start_ns, end_ns;
	struct strv tail;           /* the last lines that it printed, safe text */
	struct str partial[2];      /* a line that has not ended, of stdout and stderr */
};

/* Each adds one line with its newline. */
void build_progress_json_state(const struct build_vertex *v, struct str *ret);
void build_progress_json_log(const struct build_vertex *v, const char *line, struct str *ret);
void build_progress_json_note(const char *line, bool raw, struct str *ret);
void build_progress_rawjson_state(const struct build_vertex *v, struct str *ret);
void build_progress_rawjson_log(const struct build_vertex *v, int stream, const char *bytes, size_t n, struct str *ret);

#endif
