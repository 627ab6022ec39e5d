/* SPDX-License-Identifier: Apache-2.0 */
/* Plain scalars as go-yaml resolves them, not as the YAML 1.2 core schema does: 017 is 15, 1_000 is 1000, 2001-01-01 a
 * time. And numbers as Go reads and prints them, which is what the canonical form shows. No locale is consulted. */
#ifndef SPEC_SCALAR_H
#define SPEC_SCALAR_H

#include "spec/tree.h"

/* Sets kind, text and value of n from the plain scalar `text` (go.yaml.in/yaml/v4, resolve()). A time becomes the string Go prints it as,
 * a number keeps its text as Go prints its value. Returns false when it is infinite or no number (.inf, .nan): no JSON can hold it. */
bool scalar_resolve(struct arena *a, struct node *n, const char *text);

/* strconv.ParseInt(s, base, 64); base 0 takes 0x, 0o, 0b, 0. */
bool scalar_parse_int(const char *s, int base, int64_t *ret);
/* strconv.ParseFloat(s, 64), without hexadecimal, infinities and NaN. */
bool scalar_parse_float(const char *s, double *ret);
/* As fmt.Sprint prints a float64 (shortest text that reads back, exponent from 1e+06 and below 1e-4), or a float32 when single. */
void scalar_format_float(double d, bool single, char buf[static 40]);
/* As encoding/json prints it: the same, but with an exponent only from 1e21 and below 1e-6, without a leading zero. */
void scalar_format_json(double d, bool single, char buf[static 40]);
/* Puts the text of any scalar as fmt.Sprint would: "<nil>" for null. */
const char *scalar_text(const struct node *n);

#endif
