/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as Go writes them ("1m30s", "1.5h", "300ms"), with days and weeks on input. In nanoseconds. */
#ifndef SPEC_DURATION_H
#define SPEC_DURATION_H

#include "base/util.h"

/* Parses the whole of s: [-+]? (digits [. digits] unit)+, units ns us µs ms s m h d w; or "0". On failure false and *ret_why says why. */
bool duration_parse(const char *s, int64_t *ret_ns, const char **ret_why);
/* As time.Duration.String(): "1m30s", "1.5s", "0s". */
void duration_format(int64_t ns, char buf[static 40]);

#endif
