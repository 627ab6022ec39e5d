/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics: what a person wrote wrong, with the place, the source line, a caret and a hint. They are collected, not
 * thrown: a phase reports what it finds and goes on as far as it makes sense, so that one run shows several problems.
 * At most DIAG_MAX of each severity are kept (the rest is counted), and the same message at the same place once.
 * Texts live in the arena given to diags_init, in which the sources and trees must live too. */
#ifndef SPEC_DIAG_H
#define SPEC_DIAG_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"
#include "spec/trace.h"

enum { DIAG_MAX = 20, DIAG_MAX_BYTES = 112 << 20 };
enum diag_severity { DIAG_ERROR, DIAG_WARNING, DIAG_SEVERITY_N_ };

struct diag {
	enum diag_severity severity;
	struct pos pos;          /* src NULL: about no place in a file */
	const char *path;        /* "services.web.ports[0]", "" when there is none */
	const char *message;     /* lower case, no full stop, without the path */
	const char *hint;        /* NULL: none */
	struct pos note_pos;     /* where the other half is */
	const char *note;        /* NULL: none */
};

/* Two places that belong together, and a name. */
struct diag_place {
	struct pos at, from;
	const char *name;
};

struct diags {
	struct arena *arena;
	struct diag *v;          /* in order of detection */
	size_t n, cap;
	size_t n_errors, n_warnings;   /* found, kept or not */
	bool too_large;          /* diag_too_large has reported */
	struct diag_place *set;  /* values that hold variables from files, and where those are set */
	size_t n_set, cap_set;
	struct diag_place *dropped; /* resources that !reset or !override removed */
	size_t n_dropped, cap_dropped;
	struct trace *trace;     /* where values come from, for those who ask; NULL: nobody does */
};

void diags_init(struct diags *ds, struct arena *a);

/* Every message shows a second place when the cause may be there: a note of its own, else where the variable in the value is set (diag_set_by), else
 * where another file asks for the one at hand (struct source's by). */

/* The value at pos holds the variable name, which is set at from; name is not copied. */
void diag_set_by(struct diags *ds, struct pos pos, struct pos from, const char *name);
/* path, a section or one of its members, was removed by a tag at pos. path is copied. */
void diag_dropped(struct diags *ds, const char *path, struct pos pos);
/* Notes at d where section or section.name was removed, when it was. */
void diag_note_dropped(struct diags *ds, struct diag *d, const char *section, const char *name);

/* Adds a message. path is copied ("" or NULL: none). Outside text in it must be quoted by the caller (err_quote, or diag_quote below).
 * Returns the diagnostic for diag_hint and diag_note, or NULL when it is a repetition or one too many. */
struct diag *diag_error(struct diags *ds, struct pos pos, const char *path, const char *fmt, ...) PRINTF(4, 5);
struct diag *diag_warning(struct diags *ds, struct pos pos, const char *path, const char *fmt, ...) PRINTF(4, 5);
/* Adds a hint or a second place to d; NULL is fine. */
void diag_hint(struct diags *ds, struct diag *d, const char *fmt, ...) PRINTF(3, 4);
void diag_note(struct diags *ds, struct diag *d, struct pos pos, const char *fmt, ...) PRINTF(4, 5);
/* An error of base/ as a diagnostic. */
struct diag *diag_err(struct diags *ds, struct pos pos, const char *path, const struct err *err);

/* True when the arena holds more than DIAG_MAX_BYTES: a small file has grown beyond what a project can need. Says so once, as an error. */
bool diag_too_large(struct diags *ds, struct pos pos, const char *path);

/* True when text, which comes from the environment or an env file, is UTF-8, as everything in a model must be; else an error at pos. */
bool diag_check_utf8(struct diags *ds, struct pos pos, const char *path, const char *text);

/* Outside text made safe to print, in the arena: control bytes escaped, shortened to about 60 characters. Without quotation marks. */
const char *diag_quote(struct diags *ds, const char *s);
/* The candidate nearest to `word` by edit distance, NULL when none is near enough to be meant. */
const char *diag_nearest(const char *word, const char *const *candidates, size_t n);

/* Sorts by file, line and column; those without a place first. Stable. */
void diags_sort(struct diags *ds);
/* All of them as people read them: "compose.yaml:12:5: error: services.web.ports[0]: …", the source line, a caret, "hint: …", "FILE:L:C: note: …".
 * Paths below cwd (may be NULL) are shown relative to it. */
void diags_render(const struct diags *ds, const char *cwd, bool colour, struct str *ret);
/* [{"severity","file","line","column","path","message","hint","note":{"file","line","column","message"}}…]: new reference. */
json_t *diags_json(const struct diags *ds);

#endif
