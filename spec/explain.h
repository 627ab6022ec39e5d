/* SPDX-License-Identifier: Apache-2.0 */
/* `muster config --explain PATH`: for each value at or below a path of the model the chain of places that gave it its final form, the
 * oldest first: where it was written, what replaced it, which variables are in it and who set them, which extends, include or
 * env_file brought it. */
#ifndef SPEC_EXPLAIN_H
#define SPEC_EXPLAIN_H

#include "spec/load.h"

/* Explains `path` ("services.web.environment.FOO", "services.web.ports[0]"; "." is the whole model) of a model that was loaded with
 * load_options.trace. Returns 0 with *ret a list, new reference: [{"path","value","chain":[{"what","file","line","column","text"}…]}…]
 * (file, line, column and text only where there is a place; text is the line of the file, trimmed), one member for each value
 * that is no mapping or list, or one for the path itself when it is empty. -1 + err (ERR_NOT_FOUND, with the nearest path that exists;
 * ERR_UNSUPPORTED: there is too much of it). */
int explain_json(const struct load_result *r, const char *path, json_t **ret, struct err *err);
/* The same as people read it: "PATH = VALUE", then a line a step. cwd as in diags_render(). */
int explain_text(const struct load_result *r, const char *path, const char *cwd, struct str *ret, struct err *err);

#endif
