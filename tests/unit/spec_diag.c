/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics as people see them: place, line, caret, hint, second place. A repetition is shown once, a flood is cut and counted,
 * and nothing that a file holds reaches the terminal as a control sequence. */
#include <stdio.h>

#include "spec/diag.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void expect_text(const struct diags *ds, const char *want)
{
	AUTO_STR struct str got = { 0 };
	diags_render(ds, "/home/me/shop", false, &got);
	EXPECT(str_eq(str_get(&got), want), "rendered\n%s-- wanted\n%s--", str_get(&got), want);
}

static struct pos at(const struct source *src, int line, int column)
{
	return (struct pos){ .src = src, .line = line, .column = column };
}

static void test_render(struct arena *a)
{
	static const char text[] = "a: 1\n\tb:\té: x\n\033[31mred\n";
	const struct source *src = source_new(a, "/home/me/shop/compose.yaml", text, strlen(text));
	struct diags ds;
	struct diag *d;
	diags_init(&ds, a);
	d = diag_error(&ds, at(src, 2, 6), "services.web", "wrong %s", "thing");
	diag_hint(&ds, d, "do %d", 7);
	diag_note(&ds, d, at(src, 1, 1), "it began here");
	diag_warning(&ds, at(src, 3, 6), "", "careful");
	diag_error(&ds, (struct pos){ 0 }, "", "no place");
	expect_text(&ds,
		"compose.yaml:2:6: error: services.web: wrong thing\n"
		"  \tb:\té: x\n"
		"  \t  \t ^\n"
		"  hint: do 7\n"
		"  compose.yaml:1:1: note: it began here\n"
		"  a: 1\n"
		"  ^\n"
		"compose.yaml:3:6: warning: careful\n"
		"  \\x1b[31mred\n"
		"          ^\n"
		"error: no place\n");
	diags_sort(&ds);
	EXPECT(str_eq(ds.v[0].message, "no place") && str_eq(ds.v[2].message, "careful"), "sorted: without a place first");
}

static void test_flood(struct arena *a)
{
	struct diags ds;
	AUTO_STR struct str got = { 0 };
	diags_init(&ds, a);
	for (int i = 0; i < 25; i++) {
		diag_error(&ds, (struct pos){ 0 }, "", "number %d", i);
		EXPECT(i >= DIAG_MAX || !diag_error(&ds, (struct pos){ 0 }, "", "number %d", i), "a repetition is dropped");
	}
	diag_warning(&ds, (struct pos){ 0 }, "", "still shown");
	EXPECT(ds.n == DIAG_MAX + 1 && ds.n_errors == 25, "kept %zu of %zu", ds.n, ds.n_errors);
	diags_render(&ds, NULL, false, &got);
	EXPECT(strstr(str_get(&got), "5 more errors not shown") && strstr(str_get(&got), "still shown"), "%s", str_get(&got));
	diag_hint(&ds, NULL, "no diagnostic, no hint");
	diag_note(&ds, NULL, (struct pos){ 0 }, "nor a note");
}

static void test_long_line(struct arena *a)
{
	AUTO_STR struct str text = { 0 }, got = { 0 };
	struct diags ds;
	for (int i = 0; i < 500; i++)
		str_add(&text, "é");
	diags_init(&ds, a);
	diag_error(&ds, at(source_new(a, "-", str_get(&text), text.len), 1, 400), "", "far out");
	diags_render(&ds, NULL, false, &got);
	EXPECT(got.len < 500 && str_starts(str_get(&got), "<stdin>:1:400: error: far out\n  …"), "%s", str_get(&got));
}

static void test_json(struct arena *a)
{
	const struct source *src = source_new(a, "f.yaml", "a", 1);
	struct diags ds;
	json_t *j;
	AUTO_FREE char *text = NULL;
	diags_init(&ds, a);
	diag_hint(&ds, diag_error(&ds, at(src, 1, 1), "a.b", "m"), "h");
	j = diags_json(&ds);
	text = json_dumps(j, JSON_COMPACT);
	EXPECT(str_eq(text, "[{\"severity\":\"error\",\"file\":\"f.yaml\",\"line\":1,\"column\":1,"
			    "\"path\":\"a.b\",\"message\":\"m\",\"hint\":\"h\"}]"), "%s", text);
	json_decref(j);
}

static void test_nearest(void)
{
	static const char *const words[] = { "healthcheck", "image", "init", "ports", "tty" };
	static const struct {
		const char *word, *want;
	} cases[] = {
		{ "healtcheck", "healthcheck" }, { "imagee", "image" }, { "Image", "image" }, { "prots", "ports" }, { "port", "ports" }, { "volumes", NULL },
		{ "x", NULL }, { "", NULL }, { "ttyy", "tty" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *got = diag_nearest(cases[i].word, words, ARRAY_SIZE(words));
		EXPECT(str_eq(got, cases[i].want), "%s: %s", cases[i].word, got ? got : "none");
	}
}

int main(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	test_render(a);
	test_flood(a);
	test_long_line(a);
	test_json(a);
	test_nearest();
	return failures ? 1 : 0;
}
