/* SPDX-License-Identifier: Apache-2.0 */
/* A .dockerignore and, behind the last newline, a path: asked at once and along a walk the answer must be the same, and a walk that stays out of
 * directories which cannot hold exceptions must not miss one. The pattern functions get the first line against the path. */
#include "images/build/ignore.h"

#include "images/build/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The walk to path: is it left out, and was a directory on the way that nothing could come back from? */
static bool walk(const struct ignore *g, const char *path, bool *ret_pruned)
{
	struct ignore_dir dir = { 0 };
	bool out = false;
	*ret_pruned = false;
	for (const char *end = path; *end;) {
		struct ignore_dir next;
		AUTO_FREE char *part = NULL;
		end = strchrnul(end + (end != path), '/');
		part = xstrndup(path, (size_t)(end - path));
		out = ignore_match_entry(g, &dir, part, &next);
		*ret_pruned |= *end && out && !ignore_may_hold_exceptions(g, part);
		ignore_dir_done(&dir);
		dir = next;
	}
	ignore_dir_done(&dir);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO_FREE char *text = xstrndup((const char *)data, n), *path = NULL, *plain = NULL;
	AUTO_IGNORE struct ignore *g = NULL;
	char *last = strrchr(text, '\n');
	bool pruned, out;
	if (!last || strlen(last) > 200 || strlen(text) > 2000)
		return 0;
	path = pattern_clean_path(last + 1);
	*last = 0;
	g = ignore_parse(text, strlen(text), NULL);
	if (g && *path != '/' && *path != '.') {
		out = walk(g, path, &pruned);
		assert(ignore_match(g, path) == out);
		assert(!pruned || out);
	}
	text[strcspn(text, "\n")] = 0;
	assert(pattern_is_valid(text) == (pattern_match(text, path) >= 0));
	if (pattern_match_path(text, path, true) == 1)
		assert(!strchr(path, '/') || *path == '/' || pattern_may_match_below(text, "", true));
	plain = pattern_unescape(text);
	assert(strlen(plain) <= strlen(text));
	(void)pattern_has_wildcard(text);
	return 0;
}
