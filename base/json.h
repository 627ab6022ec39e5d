/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers over jansson: typed reads with defaults, files. Borrowed references unless said otherwise. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>

#include "base/err.h"

void json_decref_p(json_t **j);
#define AUTO_JSON CLEANUP(json_decref_p)

/* The member as a string / number / truth, or the default when it is absent or of another type. */
const char *json_get_str(const json_t *obj, const char *key, const char *def);
int64_t json_get_int(const json_t *obj, const char *key, int64_t def);
bool json_get_bool(const json_t *obj, const char *key, bool def);
double json_get_num(const json_t *obj, const char *key, double def);

/* The array of strings as a list (empty when absent; other types inside are skipped). The strings are copied. */
void json_get_strv(const json_t *obj, const char *key, struct strv *ret);
/* A JSON string of any bytes: what is no UTF-8 becomes U+FFFD, a byte at a time, as the reference does. jansson alone would refuse to
 * write it, and environments and paths hold such bytes. New reference, never NULL. */
json_t *json_text(const char *s);
json_t *json_from_strv(char *const *v); /* new reference; v NULL-terminated or NULL */

/* Sets key to a string, or removes it when s is NULL. */
void json_put_str(json_t *obj, const char *key, const char *s);
void json_put_int(json_t *obj, const char *key, int64_t v);

/* Reads a JSON object from a file of at most 64 MiB: new reference. Returns 0; 1 when the file is absent; -1 + err (ERR_CORRUPT when torn). */
int json_read_file(int dirfd, const char *name, json_t **ret, struct err *err);
/* Writes it compactly, durable or not (see base/fs.h), mode 0600. */
int json_write_file(int dirfd, const char *name, const json_t *j, bool durable, struct err *err);
/* Compact text with sorted keys (for hashes and comparison); free() it. */
char *json_canonical(const json_t *j);

#endif
