/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes from hostile files: patterns that end too early, brackets without end, macros that name themselves and lines beyond the bounds change
 * nothing and end; a pattern of many stars takes no more than its length times the path's. What git makes of good ones is compared in
 * tests/system/build_git.py. */
#include "base/str.h"
#include "images/git_attr.h"
#include "tests/unit/check.h"

/* Does a line "PATTERN eol=crlf" count for the path? */
static bool counts(const char *rules, const char *path)
{
	struct git_attr *a = git_attr_push(NULL, "", rules, strlen(rules));
	char *bytes = xstrdup("a\nb\n");
	size_t n = 4;
	bool encoded, changed;
	struct err err = {0};
	CHECK(git_attr_apply(a, path, "0", &bytes, &n, &encoded, &err) == 0, "%s: %s", path, err.msg);
	changed = n == 6 && memcmp(bytes, "a\r\nb\r\n", 6) == 0;
	CHECK(changed || n == 4, "%zu bytes", n);
	free(bytes);
	CHECK(!git_attr_pop(a), "the bottom");
	return changed;
}

static void test_damaged(void)
{
	static const char *const rules[] = {
		"[ eol=crlf", "[[:alpha eol=crlf", "[[:nope:]] eol=crlf", "[!", "\\", "\\ eol=crlf", "\"", "\"a", "\"\\", "\"\\4\" eol=crlf", "\"\\12",
		"[attr]", "[attr] ",
		"[attr]x x\na x", "[attr]x y\n[attr]y x\na x", "a =", "a -", "a !", "a -=x eol=crlf",
		"a builtin_x eol=crlf", "!a eol=crlf", "/ eol=crlf", "a/ eol=crlf",
		"** ", "**/", "/**", "\xef\xbb\xbf", "[a- eol=crlf", "[a-\\ eol=crlf", "[]", "\xff\xfe",
	};
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		CHECK(!counts(rules[i], "a"), "%s", rules[i]);
	CHECK(counts("a eol=crlf", "a") && counts("** eol=crlf", "x/a") && counts("x/** eol=crlf", "x/y/a") && !counts("x/** eol=crlf", "x"), "good ones");
}

static void test_bounds(void)
{
	AUTO_STR struct str many = {0}, path = {0}, line = {0};
	for (int i = 0; i < 900; i++)
		str_add(&many, "*a");
	str_add(&many, "b eol=crlf\n");
	for (int i = 0; i < 200; i++) /* the same line again and again */
		str_add(&line, str_get(&many));
	for (int i = 0; i < 4000; i++)
		str_addc(&path, 'a');
	CHECK(!counts(str_get(&line), str_get(&path)), "stars");
	str_clear(&many);
	for (int i = 0; i < 3000; i++)
		str_addc(&many, 'a');
	str_clear(&path);
	str_add(&path, str_get(&many));
	str_add(&many, " eol=crlf\n");
	CHECK(!counts(str_get(&many), str_get(&path)), "a line that is too long");
}

int main(void)
{
	test_damaged();
	test_bounds();
	return 0;
}
