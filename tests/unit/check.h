/* SPDX-License-Identifier: Apache-2.0 */
/* CHECK(condition, format, ...): a unit test ends at the first claim that doesn't hold, saying where and what it saw. What a test made is
 * removed by its atexit() handler. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond, ...) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
			fprintf(stderr, __VA_ARGS__); \
			fputc('\n', stderr); \
			exit(1); \
		} \
	} while (0)

#endif
