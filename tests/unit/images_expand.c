/* SPDX-License-Identifier: Apache-2.0 */
/* Variables in Dockerfile words: the reference's tables when they are there (MUSTER_SUITES, default ../shared/suites), and what they leave out:
 * patterns, names that were used, limits. */
#include <stdio.h>

#include "base/fs.h"
#include "images/build/expand.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

struct expand_case {
	const char *word, *want; /* want NULL: an error */
};

static void run_cases(const struct expand_env *env, unsigned flags, const struct expand_case *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		AUTO_STR struct str got = { 0 };
		struct err err = { 0 };
		int r = expand_word(c[i].word, '\\', flags, env, NULL, &got, &err);
		EXPECT(c[i].want ? r == 0 && str_eq(str_get(&got), c[i].want) : r < 0, "%s: got %d <%s> %s, wanted <%s>", c[i].word, r, str_get(&got), err.msg,
		       c[i].want ? c[i].want : "an error");
	}
}

static const struct expand_case patterns[] = {
	{ "${p#*/}", "b/c/d.tar.gz" }, { "${p##*/}", "d.tar.gz" }, { "${p%.*}", "a/b/c/d.tar" }, { "${p%%.*}", "a/b/c/d" }, { "${p#x}", "a/b/c/d.tar.gz" },
	{ "${p%%*}", "" }, { "${p%*}", "a/b/c/d.tar.gz" }, { "${p#?}", "/b/c/d.tar.gz" }, { "${p%?}", "a/b/c/d.tar.g" }, { "${p##a?b}", "/c/d.tar.gz" },
	{ "${u%?}", "한국" }, { "${u#?국}", "어" }, { "${s#a\\*}", "c" }, { "${s%\\*c}", "a" }, { "${q#\\?}", "b" }, { "${nl#*}", "a\nb" },
	{ "${nl##*}", "\nb" }, { "${p/b/X}", "a/X/c/d.tar.gz" }, { "${p//\\//_}", "a_b_c_d.tar.gz" }, { "${p/\\/*\\//-}", "a-d.tar.gz" },
	{ "${p//?/x}", "xxxxxxxxxxxxxx" },
	{ "${p/x/y}", "a/b/c/d.tar.gz" },
	{ "${none/x/y}", "" }, { "${p#\\x}", NULL }, { "${p/\\x/}", NULL }, { "${p:#x}", NULL }, { "${p/x}", NULL },
	{ "${p/x/y", NULL }, { "${e//*/x}", "x" }, { "${a3//a/bb}", "bbbbbb" }, { "${a3/a*/c}", "c" }, { "${v#$pat}", "tail" },
	{ "${v%%${none:-ail}}", "headt" },
};

static const struct expand_case words[] = {
	{ "$a", "1" }, { "${a}b", "1b" }, { "$ab", "" }, { "\\$a", "$a" }, { "'$a'", "$a" }, { "\"$a\"", "1" }, { "a\\", "a" }, { "$", "$" }, { "a$-b", "ab" },
	{ "${e:-x}", "x" }, { "${e-x}", "" }, { "${none-x}", "x" }, { "${a:+y}", "y" }, { "${e:+y}", "" }, { "${e+y}", "y" }, { "${none+y}", "" },
	{ "${a:?no}", "1" }, { "${e?no}", "" }, { "${e:?no}", NULL }, { "${none?no}", NULL }, { "${none:-${e:-${a}}}", "1" }, { "${none:-a b}", "a b" },
	{ "${none:-\"}\"}", "}" }, { "${none:-\\}}", "}" }, { "${}", NULL }, { "${:x}", NULL }, { "${{a}", NULL }, { "${a", NULL }, { "${a:", NULL },
	{ "${a^^}", NULL }, { "${a:-x", NULL }, { "\"a", NULL }, { "'a", NULL }, { "$1x", "x" }, { "${1}", "" }, { "<<EOF$a", "<<EOF1" },
	{ "a\"b'c\"'d\"e'", "ab'cd\"e" },
	{ "\"\\a\\\\\\\"\\$\"", "\\a\\\"$" }, { "$a\xe2\x80\xa6", "1\xe2\x80\xa6" }, { "\xff$a", "\xff" "1" },
};

static void test_names(const struct expand_env *env)
{
	struct expand_names names = { 0 };
	AUTO_STR struct str got = { 0 };
	EXPECT(expand_word("$a ${none:-$e} ${a:+$other} '$p'", '\\', 0, env, &names, &got, NULL) == 0, "expands");
	EXPECT(names.set.n == 2 && str_eq(names.set.v[0], "a") && str_eq(names.set.v[1], "e"), "what was found, once each: %zu", names.set.n);
	EXPECT(names.unset.n == 2 && strv_has(&names.unset, "none") && strv_has(&names.unset, "other"), "what was not: %zu", names.unset.n);
	expand_names_done(&names);
}

static void test_limits(const struct expand_env *env)
{
	AUTO_STR struct str text = { 0 }, got = { 0 };
	struct expand_env big = { 0 }, some = { 0 };
	struct err err = { 0 };
	for (int i = 0; i < 4000; i++)
		str_addc(&text, 'x');
	expand_env_set(&some, "x", str_get(&text));
	str_clear(&text);
	for (int i = 0; i < 1000; i++)
		str_add(&text, "${none:-");
	EXPECT(expand_word(str_get(&text), '\\', 0, env, NULL, &got, &err) < 0 && strstr(err.msg, "nested"), "depth: %s", err.msg);
	str_clear(&text);
	for (int i = 0; i < 60000; i++)
		str_addc(&text, 'x');
	expand_env_set(&big, "x", str_get(&text));
	str_clear(&text);
	for (int i = 0; i < 100; i++)
		str_add(&text, "$x");
	EXPECT(expand_word(str_get(&text), '\\', 0, &big, NULL, &got, &err) < 0 && strstr(err.msg, "grows"), "size: %s", err.msg);
	EXPECT(expand_word("${x//x*x*x*x*y/}", '\\', 0, &big, NULL, &got, &err) < 0 && strstr(err.msg, "too long"), "steps: %s", err.msg);
	err = (struct err){ 0 };
	EXPECT(expand_word("${x//*y/}", '\\', 0, &some, NULL, &got, &err) == 0, "steps of one: %s", err.msg);
	EXPECT(expand_word("${x//*y/}${x//*y/}${x//*y/}${x//*y/}${x//*y/}${x//*y/}", '\\', 0, &some, NULL, &got, &err) < 0 && strstr(err.msg, "too long"),
		"steps of several: %s", err.msg);
	EXPECT(expand_word("${x//x/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy}", '\\', 0, &big, NULL, &got, &err) < 0, "growth by replacing");
	str_clear(&got); /* 4000 times 4000: nothing near to that is put together first */
	EXPECT(expand_word("${x//?/$x}", '\\', 0, &some, NULL, &got, &err) < 0 && strstr(err.msg, "grows") && got.cap < 8 << 20, "product: %s, %zu", err.msg,
		got.cap);
	expand_env_done(&big);
	expand_env_done(&some);
}

static void test_env(void)
{
	struct expand_env e = { 0 }, copy = { 0 };
	AUTO_STRV struct strv list = { 0 };
	expand_env_add(&e, "b=1=2");
	expand_env_add(&e, "a");
	expand_env_set(&e, "c", "3");
	expand_env_set(&e, "b", "4");
	expand_env_unset(&e, "c");
	expand_env_copy(&copy, &e);
	expand_env_done(&e);
	expand_env_list(&copy, &list);
	EXPECT(list.n == 2 && str_eq(list.v[0], "b=4") && str_eq(list.v[1], "a="), "the order of the first setting");
	expand_env_done(&copy);
}

static bool read_suite(const char *name, struct str *ret)
{
	const char *folder = getenv("MUSTER_SUITES");
	AUTO_FREE char *path = xasprintf("%s/dockerfile/shell/%s", folder ? folder : "../shared/suites", name);
	return fs_read(AT_FDCWD, path, 1 << 20, ret, NULL) == 0;
}

static char *trim(char *s, const char *what)
{
	char *end = s + strlen(s);
	s += strspn(s, what);
	while (end > s && strchr(what, end[-1]))
		*--end = 0;
	return s;
}

static bool test_variables_suite(void)
{
	AUTO_STR struct str text = { 0 };
	struct expand_env env = { 0 };
	int n = 0, number = 0;
	if (!read_suite("envVarTest", &text))
		return false;
	expand_env_add(&env, "PWD=/home");
	expand_env_add(&env, "SHELL=bash");
	expand_env_add(&env, "KOREAN=한국어");
	expand_env_add(&env, "NULL=");
	for (char *save, *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		AUTO_STR struct str got = { 0 };
		struct err err = { 0 };
		char *input, *want;
		int r;
		number++;
		if (*line == '#' || !*trim(line, " \t\r"))
			continue;
		input = strchr(line, '|');
		want = input ? strchr(input + 1, '|') : NULL;
		EXPECT(want, "line %d has no three columns", number);
		if (!want || *trim(line, " \t\r") == 'W')
			continue;
		*want++ = 0;
		input = trim(input + 1, " \t\r");
		want = trim(want, " \t\r");
		n++;
		r = expand_word(input, '\\', 0, &env, NULL, &got, &err);
		EXPECT(str_eq(want, "error") ? r < 0 : r == 0 && str_eq(str_get(&got), want), "case %d: %s: got %d <%s> %s, wanted <%s>", number, input, r,
		       str_get(&got), err.msg, want);
	}
	expand_env_done(&env);
	printf("%d cases of variables\n", n);
	EXPECT(n > 100, "%d cases only", n);
	return true;
}

/* The second mode has no expectations of its own in the table: it must fail where the first does. */
static bool test_words_suite(void)
{
	AUTO_STR struct str text = { 0 };
	struct expand_env env = { 0 };
	int n = 0;
	if (!read_suite("wordsTest", &text))
		return false;
	for (char *save, *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		AUTO_STRV struct strv got = { 0 }, raw = { 0 };
		AUTO_STR struct str joined = { 0 };
		char *want = strchr(line, '|');
		int r, r_raw;
		if (str_starts(line, "ENV "))
			expand_env_add(&env, line + 4 + strspn(line + 4, " "));
		if (*line == '#' || str_starts(line, "ENV ") || !want)
			continue;
		*want++ = 0;
		want += strspn(want, " ");
		line = trim(line, " \t");
		n++;
		r = expand_words(line, '\\', 0, &env, NULL, &got, NULL);
		r_raw = expand_words(line, '\\', EXPAND_RAW_QUOTES | EXPAND_SKIP_UNSET, &env, NULL, &raw, NULL);
		for (size_t i = 0; i < got.n; i++)
			str_addf(&joined, "%s%s", i ? "," : "", got.v[i]);
		EXPECT(str_eq(want, "error") ? r < 0 : r == 0 && str_eq(str_get(&joined), want), "%s: got %d <%s>, wanted <%s>", line, r, str_get(&joined),
		       want);
		EXPECT(r_raw == r, "%s: quotes kept: %d", line, r_raw);
	}
	expand_env_done(&env);
	printf("%d cases of words\n", n);
	EXPECT(n > 15, "%d cases only", n);
	return true;
}

int main(void)
{
	static const struct expand_case kept[] = {
		{ "$none ${none} ${none:-$a} $a", "$none ${none} ${none:-1} 1" }, { "'$a' \"$a\" \\\"", "'$a' \"1\" \"" }, { "${none/x/y}", "${none/x/y}" },
		{ "${none//x/y}", "${none//x/y}" },
	};
	static const struct expand_case heredoc[] = { { "'$a' \"$a\" \\$a \\n", "'1' \"1\" $a n" } };
	struct expand_env env = { 0 };
	static const char *const set[] = { "a=1", "e=", "p=a/b/c/d.tar.gz", "u=한국어", "s=a*c", "q=?b", "nl=a\nb", "a3=aaa", "v=headtail", "pat=head" };
	for (size_t i = 0; i < ARRAY_SIZE(set); i++)
		expand_env_add(&env, set[i]);
	run_cases(&env, 0, words, ARRAY_SIZE(words));
	run_cases(&env, 0, patterns, ARRAY_SIZE(patterns));
	run_cases(&env, EXPAND_RAW_QUOTES | EXPAND_SKIP_UNSET, kept, ARRAY_SIZE(kept));
	run_cases(&env, EXPAND_SKIP_QUOTES, heredoc, ARRAY_SIZE(heredoc));
	test_names(&env);
	test_limits(&env);
	test_env();
	expand_env_done(&env);
	if ((!test_variables_suite() || !test_words_suite()) && !failures) {
		printf("skipped: no suite\n");
		return 77;
	}
	return failures != 0;
}
