/* SPDX-License-Identifier: Apache-2.0 */
/* The regular expressions of the schema: literals, ".", "[...]", "(...)" with "|", "+", "*", "?", and "^", "$" at the ends of an
 * alternative. Bytes, not characters; "." is anything but a newline and "$" the very end, as in the reference. Patterns come from our
 * schema, texts from anywhere: a set under "+" is matched in a loop and groups repeat lazily, so a long text costs neither stack nor
 * more than linear time in the patterns in use. */
#ifndef SPEC_SCHEMA_PATTERN_H
#define SPEC_SCHEMA_PATTERN_H

#include <stdbool.h>

/* True when the pattern is one that schema_pattern_match() understands. */
bool schema_pattern_valid(const char *pattern);
/* True when the pattern matches somewhere in text (anywhere, unless it is anchored). */
bool schema_pattern_match(const char *pattern, const char *text);

#endif
