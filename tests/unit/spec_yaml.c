/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of YAML. Held here: places of keys and values (messages stand and fall with them), what anchors, aliases and merge
 * keys mean, that duplicate keys are found, and that no small text costs much time or memory: bombs, cycles, deep nests, many keys. */
#include <stdio.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "spec/yaml.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static struct node *parse_n(struct arena *a, const char *text, size_t len, struct diags *ds, size_t *ret_n)
{
	struct node **docs;
	*ret_n = 0;
	diags_init(ds, a);
	if (yaml_parse(source_new(a, "t.yaml", text, len), ds, &docs, ret_n) < 0)
		return NULL;
	return *ret_n ? docs[0] : NULL;
}

static struct node *parse(struct arena *a, const char *text, struct diags *ds)
{
	size_t n;
	return parse_n(a, text, strlen(text), ds, &n);
}

static void expect_pos(struct pos pos, int line, int column, const char *what)
{
	EXPECT(pos.line == line && pos.column == column, "%s is at %d:%d, want %d:%d", what, pos.line, pos.column, line, column);
}

static void test_positions(struct arena *a)
{
	struct diags ds;
	struct node *doc = parse(a, "a: 1\nb:\n  - x\n  - {ü: é, c: \"q\"}\nd: &n\n  e: f\ng: *n\n", &ds);
	const struct node_entry *e;
	EXPECT(doc, "rejected");
	if (!doc)
		return;
	expect_pos(node_entry(doc, "a")->key_pos, 1, 1, "key a");
	expect_pos(node_get(doc, "a")->pos, 1, 4, "value of a");
	expect_pos(node_find(doc, "b[0]", NULL)->pos, 3, 5, "b[0]");
	expect_pos(node_find(doc, "b[1].ü", &e)->pos, 4, 9, "b[1].ü (columns count characters)");
	expect_pos(e->key_pos, 4, 6, "key ü");
	expect_pos(node_find(doc, "b[1].c", NULL)->pos, 4, 15, "b[1].c");
	EXPECT(node_find(doc, "b[1].c", NULL)->quoted, "a quoted scalar is known as such");
	expect_pos(node_get(doc, "g")->pos, 7, 4, "an alias stands where it is written");
	expect_pos(node_find(doc, "g.e", NULL)->pos, 6, 6, "what it brings stands where that is written");
	EXPECT(node_get(doc, "g") != node_get(doc, "d"), "an alias is a copy");
	EXPECT(!node_find(doc, "b[2]", NULL) && !node_find(doc, "a.b", NULL) && !node_find(doc, "b[x]", NULL), "paths that lead nowhere");
}

static void test_merge_keys(struct arena *a)
{
	struct diags ds;
	struct node *doc = parse(a, "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nl: &l [*y, *x]\n"
		"one: {<<: *x, b: 9}\ntwo: {<<: [*x, *y]}\nthree: {<<: *l}\nfour: {<<: {a: 5}, \"<<\": text}\n", &ds);
	EXPECT(doc, "rejected: %s", ds.n ? ds.v[0].message : "");
	if (!doc)
		return;
	EXPECT(node_find(doc, "one.b", NULL)->integer == 9 && node_find(doc, "one.a", NULL)->integer == 1, "a written key wins");
	EXPECT(node_find(doc, "two.b", NULL)->integer == 1 && node_find(doc, "two.c", NULL)->integer == 2, "the first mapping wins");
	EXPECT(node_find(doc, "three.b", NULL)->integer == 2, "an alias to a list of mappings merges");
	EXPECT(node_find(doc, "four.a", NULL)->integer == 5 && str_eq(node_find(doc, "four.<<", NULL)->text, "text"), "a quoted << is a plain key");
}

static void test_tags(struct arena *a)
{
	struct diags ds;
	struct node *doc = parse(a, "a: !reset null\nb: !override [x]\nc: !!str 12\nd: !!float 3\ne: ! 7\nf: !other 1\ng: !!int \"4\"\n", &ds);
	EXPECT(doc, "rejected: %s", ds.n ? ds.v[0].message : "");
	if (!doc)
		return;
	EXPECT(node_get(doc, "a")->tag == NODE_TAG_RESET && node_get(doc, "b")->tag == NODE_TAG_OVERRIDE, "!reset and !override are kept");
	EXPECT(node_is(node_get(doc, "c"), NODE_STRING) && node_is(node_get(doc, "e"), NODE_STRING), "!!str and ! make strings");
	EXPECT(node_is(node_get(doc, "d"), NODE_FLOAT) && node_is(node_get(doc, "g"), NODE_INT), "!!float and !!int make numbers");
	EXPECT(node_is(node_get(doc, "f"), NODE_STRING), "an unknown tag keeps the text");
}

static void test_errors(struct arena *a)
{
	static const struct {
		const char *text, *want;
		int line, column, note_line;
	} cases[] = {
		{ "a: 1\nb: 2\na: 3\n", "already defined at line 1", 3, 1, 1 },
		{ "1: a\n", "keys must be strings", 1, 1, 0 },
		{ "a: *b\n", "unknown alias", 1, 4, 0 },
		{ "a: &b\n  c: *b\n", "cycle", 2, 6, 1 },
		{ "a: &b 1\nc: {<<: *b}\n", "<< merges", 2, 9, 2 },
		{ "a: .inf\n", "finite", 1, 4, 0 },
		{ "a: \"x\\0y\"\n", "NUL", 1, 4, 0 },
		{ "a: b: c\n", "not valid YAML", 1, 5, 0 },
		{ "a: [1,\nb: 2\n", "not valid YAML", 3, 1, 1 },
		{ "a: \xff\n", "not valid YAML", 1, 4, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct diags ds;
		EXPECT(!parse(a, cases[i].text, &ds), "accepted: %s", cases[i].text);
		EXPECT(ds.n && strstr(ds.v[0].message, cases[i].want), "%s: %s", cases[i].text, ds.n ? ds.v[0].message : "no message");
		if (!ds.n)
			continue;
		expect_pos(ds.v[0].pos, cases[i].line, cases[i].column, cases[i].text);
		EXPECT(ds.v[0].note_pos.line == cases[i].note_line, "%s: the note is at line %d", cases[i].text, ds.v[0].note_pos.line);
	}
}

static void test_several_errors(struct arena *a)
{
	struct diags ds;
	EXPECT(!parse(a, "a: 1\na: 2\n1: x\nb: {c: 1, c: 2}\n", &ds), "accepted");
	EXPECT(ds.n_errors == 3, "%zu errors of 3 in one run", ds.n_errors);
}

static void expect_cheap(struct arena *a, struct str *text, bool accepted, const char *what)
{
	uint64_t start = clock_mono_ns();
	struct rusage before, after;
	struct diags ds;
	size_t n;
	struct node *doc;
	getrusage(RUSAGE_SELF, &before);
	doc = parse_n(a, str_get(text), text->len, &ds, &n);
	getrusage(RUSAGE_SELF, &after);
	EXPECT((doc != NULL) == accepted, "%s: %s", what, doc ? "accepted" : ds.v[0].message);
	EXPECT(clock_mono_ns() - start < 3000000000ULL, "%s took %llu ms", what, (unsigned long long)(clock_mono_ns() - start) / 1000000);
	EXPECT(after.ru_maxrss - before.ru_maxrss < 512 << 10, "%s took %ld KiB", what, after.ru_maxrss - before.ru_maxrss);
	str_done(text);
}

static void test_bounds(struct arena *a)
{
	struct str text = { 0 };
	str_add(&text, "a0: &a0 [x, x, x]\n");
	for (int i = 1; i < 30; i++)
		str_addf(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1);
	expect_cheap(a, &text, false, "an alias bomb");
	for (int i = 0; i < 100000; i++)
		str_addc(&text, '[');
	expect_cheap(a, &text, false, "a deep nest");
	for (int i = 0; i < 90000; i++)
		str_addf(&text, "k%d: \n", i);
	expect_cheap(a, &text, true, "90 000 keys in one mapping");
	for (int i = 0; i < 110000; i++)
		str_addf(&text, "k%d: 1\n", i);
	expect_cheap(a, &text, false, "more values than the bound");
	for (int i = 0; i < 50000; i++)
		str_add(&text, "a: 1\n");
	expect_cheap(a, &text, false, "50 000 times the same key");
	str_add(&text, "x: &x {");
	for (int i = 0; i < 20; i++)
		str_addf(&text, "k%d: v, ", i);
	str_add(&text, "}\n");
	for (int i = 0; i < 500; i++)
		str_addf(&text, "s%d: {<<: *x, image: i%d, a: b, c: d, e: f}\n", i, i);
	expect_cheap(a, &text, true, "500 services that share a base");
}

static void test_documents(struct arena *a)
{
	struct diags ds;
	size_t n;
	parse_n(a, "a: 1\n---\nb: 2\n---\nc: 3\n", 23, &ds, &n);
	EXPECT(n == 3, "%zu documents of 3", n);
	parse_n(a, "# only a comment\n", 17, &ds, &n);
	EXPECT(n == 0 && !ds.n_errors, "a comment is no document");
	EXPECT(parse(a, "\xef\xbb\xbf" "a: 1\n", &ds) && parse(a, "a: 1\r\nb: 2\r\n", &ds), "byte order mark and CRLF");
	EXPECT(!parse(a, "a: &x 1\n---\nb: *x\n", &ds), "an anchor ends with its document");
}

int main(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	test_positions(a);
	test_merge_keys(a);
	test_tags(a);
	test_errors(a);
	test_several_errors(a);
	test_documents(a);
	test_bounds(a);
	return failures ? 1 : 0;
}
