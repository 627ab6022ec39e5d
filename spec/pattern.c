/* SPDX-License-Identifier: Apache-2.0 */
/* Path patterns as bit sets: rule i is bit i of a 64-bit word. */
#include "spec/pattern.h"

void pattern_set_init(struct pattern_set *s, const char *const *patterns, size_t n)
{
	assert(n <= PATTERN_MAX);
	s->n = n;
	for (size_t i = 0; i < n; i++) {
		const char *p = patterns[i];
		s->v[i].depth = 0;
		for (;;) {
			size_t len = strcspn(p, ".");
			assert(s->v[i].depth < PATTERN_MAX_DEPTH && len < UINT8_MAX);
			s->v[i].segment[s->v[i].depth] = p;
			s->v[i].len[s->v[i].depth++] = (uint8_t)len;
			if (!p[len])
				break;
			p += len + 1;
		}
	}
}

uint64_t pattern_start(const struct pattern_set *s)
{
	return s->n == 64 ? UINT64_MAX : ((uint64_t)1 << s->n) - 1;
}

uint64_t pattern_step(const struct pattern_set *s, uint64_t live, size_t depth, const char *key)
{
	size_t key_len = key ? strlen(key) : 0;
	uint64_t next = 0;
	for (uint64_t left = live; left; left &= left - 1) {
		int i = __builtin_ctzll(left);
		const char *segment;
		size_t len;
		if (depth >= s->v[i].depth)
			continue;
		segment = s->v[i].segment[depth];
		len = s->v[i].len[depth];
		if ((len == 1 && *segment == '*') || (key ? len == key_len && memcmp(segment, key, len) == 0 : len == 2 && *segment == '['))
			next |= (uint64_t)1 << i;
	}
	return next;
}

int pattern_hit(const struct pattern_set *s, uint64_t live, size_t depth)
{
	for (uint64_t left = live; left; left &= left - 1) {
		int i = __builtin_ctzll(left);
		if (s->v[i].depth == depth)
			return i;
	}
	return -1;
}
