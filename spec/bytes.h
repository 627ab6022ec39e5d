/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes in bytes as docker reads them: "512", "-1", "64m", "1.5 GiB", "1gb"; units are powers of 1024. */
#ifndef SPEC_BYTES_H
#define SPEC_BYTES_H

#include "base/util.h"

/* Parses the whole of s. False when it is no size; fractions of a byte are cut. Only a plain integer may be negative. */
bool bytes_parse(const char *s, int64_t *ret);
/* The same with powers of 1000 (go-units, FromHumanSize). */
bool bytes_parse_decimal(const char *s, int64_t *ret);

#endif
