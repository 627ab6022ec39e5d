/* SPDX-License-Identifier: Apache-2.0 */
/* .dockerignore and wildcards: each row says what a list of patterns does with a path, asked in the three ways there are (at once, along a walk, as a
 * file's text), which must agree; then the rules of COPY's wildcards. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "images/build/ignore.h"
#include "images/build/pattern.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

/* The walk from the root down to path. */
static bool match_walk(const struct ignore *g, const char *path)
{
	struct ignore_dir dir = { 0 };
	bool out = false;
	for (const char *end = path; end; end = *end ? end : NULL) {
		struct ignore_dir next;
		AUTO_FREE char *part = NULL;
		end = strchrnul(end + (end != path), '/');
		part = xstrndup(path, (size_t)(end - path));
		out = ignore_match_entry(g, &dir, part, &next);
		ignore_dir_done(&dir);
		dir = next;
	}
	ignore_dir_done(&dir);
	return out;
}

static void expect_match(const char *patterns, const char *path, bool want)
{
	AUTO_IGNORE struct ignore *g = NULL;
	struct err err = { 0 };
	AUTO_STR struct str text = { 0 };
	for (const char *p = patterns; *p; p++)
		str_addc(&text, *p == '|' ? '\n' : *p);
	g = ignore_parse(str_get(&text), text.len, &err);
	EXPECT(g, "%s: %s", patterns, err.msg);
	if (!g)
		return;
	EXPECT(ignore_match(g, path) == want, "%s: %s: wanted %d", patterns, path, want);
	EXPECT(match_walk(g, path) == want, "%s: %s: on a walk, wanted %d", patterns, path, want);
}

static void test_matching(void)
{
	static const struct {
		const char *patterns, *path;
		bool want;
	} rows[] = {
		/* plain */
		{ "a", "a", true }, { "a", "b", false }, { "a", "a/b/c", true }, { "a", "b/a", false }, { "a", "ab", false }, { "a/b", "a/b", true },
		{ "a/b", "a", false }, { "a/b", "a/b/c", true }, { "", "a", false }, { ".", "a", false }, { "/", "a", false }, { "a(b)|c", "a(b)", true },
		{ "a.b", "axb", false }, { "a+{b}$^", "a+{b}$^", true }, { "\xc3\xa9", "\xc3\xa9/x", true },
		/* how lines are read */
		{ "/a", "a", true }, { "  a  ", "a", true }, { "a/", "a", true }, { "a//b/./c", "a/b/c", true }, { "a/../b", "b", true },
		{ "../a", "a", false },
		{ "#a", "#a", false }, { " #a", "#a", true }, { "\\#a", "#a", true }, { "a\r", "a", true }, { "a b", "a b", true }, { "/a/*", "a/b", true },
		/* wildcards stay within a component */
		{ "*", "a", true }, { "*", ".a", true }, { "*", "a/b", true }, { "*.o", "x.o", true }, { "*.o", "a/x.o", false }, { "*/*.o", "a/x.o", true },
		{ "*/*.o", "a/b/x.o", false }, { "a*/b", "ac/b", true }, { "a*/b", "a/c/b", false }, { "a?c", "abc", true },
		{ "a?c", "a\xe2\x98\xba" "c", true },
		{ "a?c", "a/c", false }, { "a?c", "ac", false }, { "[a-c]x", "bx", true }, { "[^a-c]x", "bx", false }, { "[^a-c]x", "dx", true },
		{ "[a-\xce\xb6]", "\xce\xb1", true }, { "a\\*b", "a*b", true }, { "a\\*b", "axb", false }, { "\\[a", "[a", true }, { "[\\]]", "]", true },
		{ "[\\-x]", "-", true }, { "*a*b*", "xaxbx", true }, { "*a*b*", "xbxax", false }, { "a*b*c*d", "abbccd", true },
		{ "a*b*c*d", "abbccdx", false },
		/* two stars */
		{ "**", "a", true }, { "**", "a/b/c", true }, { "**/a", "a", true }, { "**/a", "x/a", true }, { "**/a", "x/y/a/z", true },
		{ "**/a", "xa", false },
		{ "**/*.o", "x.o", true }, { "**/*.o", "a/b/x.o", true }, { "**/*.o", "x.c", false }, { "a/**", "a", false }, { "a/**", "a/b", true },
		{ "a/**", "ab/c", false }, { "a/**/b", "a/b", true }, { "a/**/b", "a/x/y/b", true }, { "a/**/b", "a/xb", false }, { "a/**/b", "b", false },
		{ "**le", "file", true }, { "**le", "a/file", true }, { "**le*", "file", false }, { "**le*", "a/let", true }, { "a**", "abc/d", true },
		{ "a**/b", "axb", false }, { "a**/b", "ax/b", true }, { "**/a/**", "x/a/y", true }, { "**/a/**", "x/a", false }, { "**/**/*.t", "x.t", true },
		{ "**/a/b", "x/y/a/b", true }, { "**/a/b", "x/a/y/b", false }, { "**/[ab]/c", "x/b/c", true }, { "a/**/*.t", "a/x.t", true },
		{ "**/a*/**/b*", "x/aa/y/z/bb", true }, { "**/a*/**/b*", "x/aa/y/z/cc", false }, { "**/", "a/b", true },
		/* exceptions: the last that matches decides */
		{ "*|!a", "a", false }, { "*|!a", "b", true }, { "!a|*", "a", true }, { "a|!a/b", "a/b", false }, { "a|!a/b", "a/b/c", false },
		{ "a|!a/b", "a/c", true }, { "a/*|!a/b", "a/b/c", false }, { "a|!a/b|a/b/c", "a/b/c", true }, { "a|!a/b|a/b/c", "a/b/d", false },
		{ "**|!u/w", "u/w/f", false }, { "**|!u/w|u/w/f", "u/w/f", true }, { "*|!*.md|R*.md", "a.md", false }, { "*|!*.md|R*.md", "R.md", true },
		{ "! /a|*|! /b ", "b", false }, { "*|!**/k", "x/y/k", false }, { "x|!**/k", "x/y/k", false }, { "x|!**/k", "x/y", true },
		{ "*|!a|a/b", "a/b", true }, { "a|!a/b|a", "a/b/c", false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		expect_match(rows[i].patterns, rows[i].path, rows[i].want);
}

static void test_file(void)
{
	static const char *const malformed[] = { "!", "! ", "a[", "[", "[^", "[a-b-c]", "[]a]", "a\\", "!a[" };
	struct err err;
	struct ignore *g = ignore_parse("\xef\xbb\xbf" "a\r\n\n#b\n!c", 12, &err);
	EXPECT(g && ignore_match(g, "a") && ignore_has_exceptions(g) && !ignore_is_empty(g), "byte order mark, CRLF, no newline at the end");
	ignore_free(g);
	g = ignore_parse("# a\n\n", 5, &err);
	EXPECT(g && ignore_is_empty(g) && !ignore_match(g, "a"), "comments only");
	ignore_free(g);
	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
		AUTO_FREE char *text = xasprintf("x\n%s\n", malformed[i]);
		EXPECT(!ignore_parse(text, strlen(text), &err) && str_starts(err.msg, "line 2: "), "%s: %s", malformed[i], err.msg);
	}
	EXPECT(!ignore_parse("a\0b", 3, &err), "NUL");
	g = ignore_new((const char *const[]){ " *.o ", "", "!x.o" }, 3, &err);
	EXPECT(g && ignore_match(g, "a.o") && !ignore_match(g, "x.o"), "a list of patterns");
	/* not relative, as COPY may have it: it matches nothing that begins otherwise, and has an end */
	EXPECT(g && !ignore_match(g, "/a.o") && !ignore_match(g, "/") && !ignore_match(g, "/b//c"), "paths with a leading slash");
	ignore_free(g);
	ignore_free(NULL);
}

/* A walk may stay out of a directory only when no exception can be below it. */
static void test_exceptions_below(void)
{
	static const struct {
		const char *pattern, *path;
		bool want;
	} rows[] = {
		{ "!a/b", "a", true }, { "!a/b", "b", false }, { "!a/b/c", "a/b", true }, { "!a/b", "a/b", false }, { "!*/b", "x", true },
		{ "!**/b", "x/y", true },
		{ "!a/**", "a/x", true }, { "!a*", "b", false }, { "b", "b", false }, { "!abc", "a", false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO_IGNORE struct ignore *g = ignore_new(&rows[i].pattern, 1, NULL);
		EXPECT(g && ignore_may_hold_exceptions(g, rows[i].path) == rows[i].want, "%s: %s", rows[i].pattern, rows[i].path);
	}
}

static void test_wildcards(void)
{
	static const struct {
		const char *pattern, *name;
		int want;
	} rows[] = {
		{ "a", "a", 1 }, { "a", "b", 0 }, { "a*", "abc", 1 }, { "a*", "a/c", 0 }, { "*", "", 1 }, { "?", "", 0 }, { "", "", 1 }, { "", "a", 0 },
		{ "a[b-d]", "ac", 1 }, { "a[^b-d]", "ac", 0 }, { "a[^b]", "a/", 0 }, { "a\\?", "a?", 1 }, { "*x", "xxx", 1 }, { "a*b", "a/b", 0 },
		{ "[", "a", -1 }, { "a[", "b", -1 }, { "\\", "a", -1 }, { "[x-]", "x", -1 }, { "**", "ab", 1 }, { "*\xff", "a\xff", 1 },
		{ "\xe2\x98\xba", "\xe2\x98\xba", 1 },
	}, paths[] = {
		{ "a/b", "a/b", 1 }, { "/a//b/", "a/b", 1 }, { "a/*", "a/b", 1 }, { "a/*", "a/b/c", 0 }, { "*", "a/b", 0 }, { "a/**/c", "a/c", 1 },
		{ "a/**/c", "a/b/b/c", 1 }, { "**", "a/b", 1 }, { "**/*.x", "a.x", 1 }, { "**/*.x", "a/b.x", 1 }, { "**/*.x", "a/b.y", 0 }, { "a/**", "a", 1 },
		{ "a/[", "a/b", -1 }, { "[a/b]", "a/b", -1 }, { "**/a/**/a/**", "x/a/y/a", 1 }, { "**/a/**/a/**", "x/a/y", 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		EXPECT(pattern_match(rows[i].pattern, rows[i].name) == rows[i].want, "%s: %s", rows[i].pattern, rows[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		EXPECT(pattern_match_path(paths[i].pattern, paths[i].name, true) == paths[i].want, "%s: %s", paths[i].pattern, paths[i].name);
	EXPECT(pattern_match_path("a/**/c", "a/b/b/c", false) == 0 && pattern_match_path("a/**/c", "a/b/c", false) == 1, "without --parents ** is a star");
	EXPECT(pattern_may_match_below("a/b/c", "a/b", true) && !pattern_may_match_below("a/b", "a/b", true) && !pattern_may_match_below("a/b", "b", true),
	       "below a directory");
	EXPECT(pattern_may_match_below("**/x", "a/b", true) && pattern_may_match_below("*/x", "", true) && !pattern_may_match_below("[", "",
		       true), "wildcards");
	EXPECT(pattern_has_wildcard("a*") && pattern_has_wildcard("[a]") && pattern_has_wildcard("\\\\?") && !pattern_has_wildcard("a\\*\\?\\[") &&
		       !pattern_has_wildcard("a]\\"),
	       "wildcards are seen");
	{
		AUTO_FREE char *plain = pattern_unescape("a\\*b\\\\c\\");
		EXPECT(str_eq(plain, "a*b\\c\\"), "%s", plain);
	}
}

/* 100 000 files against the patterns of a usual project: no more than a few hundred nanoseconds for each pattern. */
static void test_speed(void)
{
	static const char text[] = "node_modules\n.git\n**/*.pyc\n**/__pycache__\n*.log\nbuild/\ndist/**\n!dist/keep\n**/.DS_Store\ndocs/**/*.md\n";
	AUTO_IGNORE struct ignore *g = ignore_parse(text, strlen(text), NULL);
	struct ignore_dir top = { 0 };
	size_t out = 0;
	uint64_t start = clock_mono_ns();
	for (int d = 0; d < 1000; d++) {
		AUTO_FREE char *dir = xasprintf("src/module%d", d);
		struct ignore_dir state;
		ignore_match_entry(g, &top, dir, &state);
		for (int i = 0; i < 100; i++) {
			char path[64];
			snprintf(path, sizeof(path), "%s/file%d.%s", dir, i, i % 4 ? "py" : "pyc");
			out += ignore_match_entry(g, &state, path, NULL);
		}
		ignore_dir_done(&state);
	}
	EXPECT(out == 25000, "%zu left out", out);
	printf("100000 files, 10 patterns: %.1f ms\n", (double)(clock_mono_ns() - start) / 1e6);
	EXPECT(clock_mono_ns() - start < 20000000000, "a walk takes too long");
}

int main(void)
{
	test_matching();
	test_file();
	test_exceptions_below();
	test_wildcards();
	test_speed();
	return failures != 0;
}
