/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of rules by path ("services.*.ports.[]"), followed in step with a walk down the tree: a set of the rules that
 * still fit is narrowed at each level, so a node costs only what its own level has. '*' is any key or index, "[]" an index. */
#ifndef SPEC_PATTERN_H
#define SPEC_PATTERN_H

#include "base/util.h"

enum { PATTERN_MAX = 64, PATTERN_MAX_DEPTH = 9 };

struct pattern_set {
	size_t n;
	uint64_t any[PATTERN_MAX_DEPTH];     /* rules with a * at this level */
	uint64_t index[PATTERN_MAX_DEPTH];   /* rules with [] at this level */
	uint64_t ends[PATTERN_MAX_DEPTH + 1]; /* rules that have so many levels */
	struct {
		const char *text;
		uint8_t len;
	} segment[PATTERN_MAX_DEPTH][PATTERN_MAX];
};

/* patterns: static strings, n <= PATTERN_MAX, PATTERN_MAX_DEPTH levels at most. */
void pattern_set_init(struct pattern_set *s, const char *const *patterns, size_t n);
/* Where a walk starts: every rule fits. */
uint64_t pattern_start(const struct pattern_set *s);
/* The rules that still fit after a step from level `depth` (0 = root) to `key` (NULL: an index). */
uint64_t pattern_step(const struct pattern_set *s, uint64_t live, size_t depth, const char *key);
/* The rule that ends exactly at level `depth`, -1 when none does. */
int pattern_hit(const struct pattern_set *s, uint64_t live, size_t depth);

#endif
