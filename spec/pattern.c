/* SPDX-License-Identifier: Apache-2.0 */
/* Path patterns as bit sets: rule i is bit i of a 64-bit word. */
#include "spec/pattern.h"

void pattern_set_init(struct pattern_set *s, const char *const *patterns, size_t n)
{
	assert(n <= PATTERN_MAX);
	s->n = n;
	memset(s->any, 0, sizeof(s->any));
	memset(s->index, 0, sizeof(s->index));
	memset(s->ends, 0, sizeof(s->ends));
	for (size_t i = 0; i < n; i++) {
		const char *p = patterns[i];
		uint64_t bit = (uint64_t)1 << i;
		size_t depth = 0;
		for (;;) {
			size_t len = strcspn(p, ".");
			assert(depth < PATTERN_MAX_DEPTH && len < UINT8_MAX);
			if (len == 1 && *p == '*')
				s->any[depth] |= bit;
			if (len == 2 && memcmp(p, "[]", 2) == 0)
				s->index[depth] |= bit;
			s->segment[depth][i].text = p;
			s->segment[depth++][i].len = (uint8_t)len;
			if (!p[len])
				break;
			p += len + 1;
		}
		s->ends[depth] |= bit;
	}
}

uint64_t pattern_start(const struct pattern_set *s)
{
	return s->n == 64 ? UINT64_MAX : ((uint64_t)1 << s->n) - 1;
}

uint64_t pattern_step(const struct pattern_set *s, uint64_t live, size_t depth, const char *key)
{
	uint64_t next, left;
	size_t key_len;
	if (depth >= PATTERN_MAX_DEPTH)
		return 0;
	live &= ~s->ends[depth];
	next = live & (key ? s->any[depth] : s->any[depth] | s->index[depth]);
	left = key ? live & ~next : 0;
	if (!left)
		return next;
	key_len = strlen(key);
	for (; left; left &= left - 1) {
		int i = __builtin_ctzll(left);
		if (s->segment[depth][i].len == key_len && memcmp(s->segment[depth][i].text, key, key_len) == 0)
			next |= (uint64_t)1 << i;
	}
	return next;
}

int pattern_hit(const struct pattern_set *s, uint64_t live, size_t depth)
{
	live &= depth <= PATTERN_MAX_DEPTH ? s->ends[depth] : 0;
	return live ? __builtin_ctzll(live) : -1;
}
