/* SPDX-License-Identifier: Apache-2.0 */
/* `command: "a b 'c d'"` → words. No shell runs: variables, backticks and $(…) are not evaluated. */
#ifndef SPEC_SHELLWORDS_H
#define SPEC_SHELLWORDS_H

#include "base/util.h"

/* Splits s. Words end at blanks; quotes and backslashes work as in the reference (go-shellwords). An unquoted ; & | < > ends the command: the
 * rest is dropped and *ret_rest (may be NULL) points at it, else it is NULL. False when quotes or parentheses do not match. */
bool shellwords_split(const char *s, struct strv *ret, const char **ret_rest);

#endif
