/* SPDX-License-Identifier: Apache-2.0 */
/* Reads TOML 1.0 as configuration files of other programs use it (registries.conf) into JSON: tables, arrays of tables, dotted and
 * quoted keys, strings of all four kinds, integers, truth values, arrays, inline tables. Floats and dates are refused by name, as
 * nothing here has a use for them. Pure; hostile input: nesting is capped, and nothing is read beyond the text. */
#ifndef BASE_TOML_H
#define BASE_TOML_H

#include "base/json.h"

/* text[0..n), text[n] being NUL → a JSON object, new reference. 0; -1 + ERR_INVALID with the line. */
int toml_parse(const char *text, size_t n, json_t **ret, struct err *err);

#endif
