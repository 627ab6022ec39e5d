/* SPDX-License-Identifier: Apache-2.0 */
/* Go's filepath.Match, by hand: `*` stops at slashes, classes have ranges and `^` alone negates, a malformed pattern is told apart from one that does
 * not match. Matching is done without recursion: one place to come back to for each `*` is enough, as the last one can always take more. */
#include "images/build/pattern.h"

#include "base/str.h"
#include "images/build/pattern_impl.h"

bool pattern_has_wildcard(const char *pattern)
{
	for (; *pattern; pattern++) {
		if (*pattern == '*' || *pattern == '?' || *pattern == '[')
			return true;
		if (*pattern == '\\' && pattern[1])
			pattern++;
	}
	return false;
}

static size_t read_char(const char *s, uint32_t *ret)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = str_utf8_len(u);
	*ret = n > 1 ? u[0] & (0xff >> (n + 1)) : n ? u[0] : 0xfffd;
	for (size_t i = 1; i < n; i++)
		*ret = *ret << 6 | (u[i] & 0x3f);
	return n ? n : 1;
}

/* One end of a range in a class; NULL when it is malformed. */
static const char *class_char(const char *p, uint32_t *ret)
{
	if (!*p || *p == '-' || *p == ']')
		return NULL;
	if (*p == '\\' && !*++p)
		return NULL;
	p += read_char(p, ret);
	return *p ? p : NULL;
}

/* A class, behind its bracket: what follows it, NULL when it is malformed; *ret whether c is in it. */
static const char *class_match(const char *p, uint32_t c, bool *ret)
{
	bool negated = *p == '^', found = false;
	p += negated;
	for (int ranges = 0;; ranges++) {
		uint32_t low, high;
		if (*p == ']' && ranges)
			break;
		p = class_char(p, &low);
		if (!p)
			return NULL;
		high = low;
		if (*p == '-') {
			p = class_char(p + 1, &high);
			if (!p)
				return NULL;
		}
		found |= low <= c && c <= high;
	}
	*ret = found != negated;
	return p + 1;
}

bool pattern_is_valid(const char *pattern)
{
	bool unused;
	while (pattern && *pattern) {
		if (*pattern == '[') {
			pattern = class_match(pattern + 1, 0, &unused);
			continue;
		}
		if (*pattern == '\\' && !*++pattern)
			return false;
		pattern++;
	}
	return pattern != NULL;
}

const char *pattern_skip_element(const char *p)
{
	bool unused;
	uint32_t c;
	if (*p == '[')
		return class_match(p + 1, 0, &unused);
	p += *p == '\\' && p[1];
	return p + read_char(p, &c);
}

const char *pattern_match_element(const char *p, const char *name, size_t *ret_len)
{
	uint32_t c, want;
	bool in = false;
	*ret_len = read_char(name, &c);
	if (*p == '[') {
		p = class_match(p + 1, c, &in);
		return in && *name != '/' ? p : NULL;
	}
	if (*p == '?')
		return *name != '/' ? p + 1 : NULL;
	p += *p == '\\' && p[1];
	if (c == 0xfffd || *p == '\0')
		return *p && *p == *name ? (*ret_len = 1, p + 1) : NULL;
	p += read_char(p, &want);
	return want == c ? p : NULL;
}

bool pattern_match_valid(const char *pattern, const char *name)
{
	const char *star = NULL, *resume = NULL;
	for (;;) {
		const char *next = NULL;
		size_t n;
		if (*pattern == '*') {
			star = ++pattern;
			resume = name;
			continue;
		}
		if (!*name && !*pattern)
			return true;
		if (*name && *pattern)
			next = pattern_match_element(pattern, name, &n);
		if (next) {
			pattern = next;
			name += n;
			continue;
		}
		if (!star || !*resume || *resume == '/')
			return false;
		resume += read_char(resume, &(uint32_t){ 0 });
		name = resume;
		pattern = star;
	}
}

int pattern_match(const char *pattern, const char *name)
{
	return pattern_is_valid(pattern) ? pattern_match_valid(pattern, name) : -1;
}

/* The components of a path or a pattern; slashes in front, doubled or at the end do not count. */
static void split_components(const char *p, struct strv *ret)
{
	while (*p) {
		size_t n = strcspn(p, "/");
		if (n)
			strv_take(ret, xstrndup(p, n));
		p += n + (p[n] == '/');
	}
}

/* Which places of the pattern are reached when all of path is read: one pass, each `**` stays where it is as well as letting the next one in. below: is
 * something left that a longer path could match? */
static int match_components(const char *pattern, const char *path, bool double_star, bool below)
{
	AUTO_STRV struct strv p = { 0 }, names = { 0 };
	AUTO_FREE bool *reached = NULL;
	bool result;
	split_components(pattern, &p);
	split_components(path, &names);
	for (size_t k = 0; k < p.n; k++) {
		/* a class that holds a slash is none in either half */
		if (!pattern_is_valid(p.v[k]))
			return -1;
	}
	reached = xcalloc(p.n + 1, sizeof(*reached));
	reached[0] = true;
	for (size_t i = 0;; i++) {
		for (size_t k = 0; k < p.n; k++)
			reached[k + 1] |= reached[k] && double_star && str_eq(p.v[k], "**");
		if (i == names.n)
			break;
		for (size_t k = p.n + 1; k-- > 0;) {
			bool stays = k < p.n && reached[k] && double_star && str_eq(p.v[k], "**");
			bool comes = k && reached[k - 1] && !(double_star && str_eq(p.v[k - 1], "**")) && pattern_match_valid(p.v[k - 1], names.v[i]);
			reached[k] = stays || comes;
		}
	}
	result = !below && reached[p.n];
	for (size_t k = 0; below && k < p.n; k++)
		result |= reached[k];
	return result;
}

int pattern_match_path(const char *pattern, const char *path, bool double_star)
{
	return match_components(pattern, path, double_star, false);
}

bool pattern_may_match_below(const char *pattern, const char *dir, bool double_star)
{
	return match_components(pattern, dir, double_star, true) == 1;
}

char *pattern_unescape(const char *pattern)
{
	char *s = xstrdup(pattern), *to = s;
	for (; *pattern; pattern++) {
		pattern += *pattern == '\\' && pattern[1];
		*to++ = *pattern;
	}
	*to = 0;
	return s;
}

char *pattern_clean_path(const char *s)
{
	AUTO_STRV struct strv parts = { 0 };
	AUTO_STR struct str out = { 0 };
	bool rooted = *s == '/';
	while (*s) {
		size_t n = strcspn(s, "/");
		AUTO_FREE char *part = xstrndup(s, n);
		s += n + (s[n] == '/');
		if (!n || str_eq(part, "."))
			continue;
		if (!str_eq(part, "..") || (!rooted && (!parts.n || str_eq(parts.v[parts.n - 1], "..")))) {
			strv_push(&parts, part);
		} else if (parts.n) {
			parts.n--;
			free(TAKE_PTR(parts.v[parts.n]));
		}
	}
	if (rooted)
		str_addc(&out, '/');
	for (size_t i = 0; i < parts.n; i++)
		str_addf(&out, "%s%s", i ? "/" : "", parts.v[i]);
	return out.len ? str_take(&out) : xstrdup(".");
}
