/* SPDX-License-Identifier: Apache-2.0 */
/* The Dockerfile parser: what BuildKit makes of a text, we make of it. Its golden files are replayed when they are there (MUSTER_SUITES, default
 * ../shared/suites); the cases here are about lines, quotes, here-documents and places, one invariant each. */
#include <dirent.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/build/dockerfile.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static int parse(struct arena *a, const char *text, size_t n, struct diags *ds, struct dockerfile **ret)
{
	diags_init(ds, a);
	return dockerfile_parse(a, source_new(a, "Dockerfile", text, n), ds, ret);
}

/* text is taken for want, the dump. */
static void expect_dump(const char *what, const char *text, const char *want)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str got = { 0 }, errors = { 0 };
	struct diags ds;
	struct dockerfile *df;
	if (parse(a, text, strlen(text), &ds, &df) < 0)
		diags_render(&ds, NULL, false, &errors);
	dockerfile_dump(df, &got);
	EXPECT(str_eq(str_get(&got), want) && !errors.len, "%s: got\n%s-- wanted\n%s%s", what, str_get(&got), want, str_get(&errors));
}

/* text is refused with this message, at this place. */
static void expect_error(const char *what, const char *text, const char *want)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str got = { 0 };
	struct diags ds;
	struct dockerfile *df;
	int r = parse(a, text, strlen(text), &ds, &df);
	diags_render(&ds, NULL, false, &got);
	EXPECT(r < 0 && str_starts(str_get(&got), want), "%s: got %d\n%s-- wanted\n%s", what, r, str_get(&got), want);
}

static void test_lines(void)
{
	expect_dump("continuation lines are joined as they are", "RUN a \\\n  b \\\n\n# gone\n  # gone, too\n  c\nRUN d\n",
		    "(run \"a   b   c\")\n(run \"d\")\n");
	expect_dump("a doubled escape at the end continues nothing", "RUN a \\\\\nRUN b\n", "(run \"a \\\\\\\\\")\n(run \"b\")\n");
	expect_dump("blanks behind the escape do not matter", "RUN a \\ \t \n b\n", "(run \"a  b\")\n");
	expect_dump("an escape alone on its line continues", "RUN a\\\n\\\nb\n", "(run \"ab\")\n");
	expect_dump("the file may end in a continued line", "RUN a \\", "(run \"a\")\n");
	expect_dump("CRLF", "FROM a\r\nRUN b \\\r\n c\r\n", "(from \"a\")\n(run \"b  c\")\n");
	expect_dump("a byte order mark", "\xef\xbb\xbf" "FROM a\n", "(from \"a\")\n");
	expect_dump("a byte order mark before a directive", "\xef\xbb\xbf# escape=`\nRUN a `\nb\n", "(run \"a b\")\n");
	expect_dump("leading blanks, lower case, no newline at the end", "\t from  a as  b", "(from \"a\" \"as\" \"b\")\n");
	expect_dump("comments above and between", "# a\n\nFROM x # y\n#\nRUN z\n", "(from \"x\" \"#\" \"y\")\n(run \"z\")\n");
	expect_dump("an unknown instruction is the next level's business", "FOO bar\n", "(foo \"\")\n");
}

static void test_directives(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct diags ds;
	struct dockerfile *df;
	static const char text[] = "# syntax=docker/dockerfile:1 more\n#  ESCAPE = `\n# check=skip=A,B;error=true x\n# other=1\n# escape=\\\nFROM a\n";
	EXPECT(parse(a, text, strlen(text), &ds, &df) == 0, "all directives");
	EXPECT(str_eq(df->syntax, "docker/dockerfile:1") && df->syntax_line == 1, "syntax: %s", df->syntax);
	EXPECT(str_eq(df->check, "skip=A,B;error=true") && df->check_line == 3, "check: %s", df->check);
	EXPECT(df->escape == '`', "an unknown name ends the directives, so the second escape is a comment");
	EXPECT(df->nodes[0]->n_comments == 2 && str_eq(df->nodes[0]->comments[0], "other=1"), "directives are no comments, what is no directive is one");
	static const char late[] = "\n# escape=`\nRUN a `\n";
	EXPECT(parse(a, late, strlen(late), &ds, &df) == 0 && df->escape == '\\', "behind an empty line it is a comment");
	static const char script[] = "#!/usr/bin/env x\n# syntax=s\n# escape=`\n# check=c\nRUN a \\\n b\n";
	EXPECT(parse(a, script, strlen(script), &ds, &df) == 0 && str_eq(df->syntax, "s") && str_eq(df->check, "c") && df->escape == '\\',
	       "behind #! there are directives, but escape");
	expect_error("twice", "# escape=`\n# escape=`\nFROM a\n", "Dockerfile:2:10: error: only one escape parser directive can be used\n");
	expect_error("another character", "#escape=x\nFROM a\n",
		     "Dockerfile:1:9: error: invalid escape character \"x\"\n  #escape=x\n          ^\n  hint: it can be \\ or `\n");
}

static void test_words(void)
{
	expect_dump("ENV, new form", "ENV a=1 b=\"x y\" c='p q' d=e\\ f g=\n",
		    "(env \"a\" \"1\" \"=\" \"b\" \"\\\"x y\\\"\" \"=\" \"c\" \"'p q'\" \"=\" \"d\" \"e\\\\ f\" \"=\" \"g\" \"\" \"=\")\n");
	expect_dump("ENV, old form", "ENV a  b c = d\n", "(env \"a\" \"b c = d\" \"\")\n");
	expect_dump("LABEL with a space in its name", "LABEL \"a b\"=c\n", "(label \"\\\"a b\\\"\" \"c\" \"=\")\n");
	expect_dump("ENV without anything", "ENV\n", "(env)\n");
	expect_dump("ARG", "ARG a b=\"c d\"\n", "(arg \"a\" \"b=\\\"c d\\\"\")\n");
	expect_dump("a number in JSON-like text that is no JSON", "RUN [ 1 == 1 ]\n", "(run \"[ 1 == 1 ]\")\n");
	expect_dump("JSON strings", "CMD [ \"a\\u00e9\\n\" , \"\\ud83d\\ude00\\ud800\" ]\n", "(cmd \"aé\\n\" \"😀\xef\xbf\xbd\")\n");
	expect_dump("an empty list", "CMD []\n", "(cmd)\n");
	expect_dump("COPY in both forms", "COPY a b c\nCOPY [\"a b\",\"c\"]\n", "(copy \"a\" \"b\" \"c\")\n(copy \"a b\" \"c\")\n");
	expect_dump("flags", "COPY --from=x --chown=\"a b\" --l\\=m -- --no a b\n", "(copy [\"--from=x\" \"--chown=a b\" \"--l=m\"] \"--no\" \"a\" \"b\")\n");
	expect_dump("ONBUILD", "ONBUILD copy --from=x a b\nONBUILD\n", "(onbuild (copy [\"--from=x\"] \"a\" \"b\"))\n(onbuild)\n");
	expect_dump("HEALTHCHECK", "HEALTHCHECK --interval=1s CMD [\"a\"]\nHEALTHCHECK NONE\n",
		    "(healthcheck [\"--interval=1s\"] \"CMD\" \"a\")\n(healthcheck \"NONE\")\n");
	expect_error("JSON with other things than strings", "FROM a\nRUN [\"a\", 1]\n",
		     "Dockerfile:2:5: error: a JSON array here may hold strings only\n  RUN [\"a\", 1]\n      ^\n");
	expect_error("ENV without a value", "FROM x\nENV a\n", "Dockerfile:2:5: error: ENV must have two arguments\n");
	expect_error("a word without =", "ENV a=b \\\n   é c\n", "Dockerfile:2:4: error: can't find = in \"é\"\n     é c\n     ^\n");
	expect_error("ONBUILD without end", "ONBUILD ONBUILD ONBUILD ONBUILD ONBUILD ONBUILD ONBUILD ONBUILD ONBUILD ONBUILD RUN a\n",
		     "Dockerfile:1:73: error: ONBUILD within ONBUILD is not allowed\n");
}

static void test_heredocs(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct diags ds;
	struct dockerfile *df;
	static const char text[] = "COPY <<a <<-\"b\" 3<<'c d' /x\n1 \\\na\n\t2\r\n\tb\r\n# 3\nc d\nRUN <<EOF cat\nEOF\n\nRUN <<<no && x\n"
				   "ONBUILD RUN <<E\nx\nE\nCMD <<y\nRUN [\"<<z\"]\nRUN cat << G\ng\nG\n";
	static const struct {
		const char *name, *content;
		unsigned fd;
		bool expand, chomp;
		int line;
	} want[] = { { "a", "1 \\\n", 0, true, false, 2 }, { "b", "\t2\r\n", 0, false, true, 4 }, { "c d", "# 3\n", 3, false, false, 6 } };
	int r = parse(a, text, strlen(text), &ds, &df);
	EXPECT(r == 0 && df->n_nodes == 7, "%d, %zu instructions", r, df->n_nodes);
	if (r < 0 || df->n_nodes != 7)
		return;
	EXPECT(df->nodes[0]->n_heredocs == 3, "three on a line: %zu", df->nodes[0]->n_heredocs);
	for (size_t i = 0; i < df->nodes[0]->n_heredocs && i < ARRAY_SIZE(want); i++) {
		const struct dockerfile_heredoc *h = &df->nodes[0]->heredocs[i];
		EXPECT(str_eq(h->name, want[i].name) && str_eq(h->content, want[i].content) && h->fd == want[i].fd && h->expand == want[i].expand &&
			       h->chomp == want[i].chomp && h->line == want[i].line,
		       "%zu: <%s> <%s> %u %d %d %d", i, h->name, h->content, h->fd, h->expand, h->chomp, h->line);
	}
	EXPECT(df->nodes[0]->first_line == 1 && df->nodes[0]->last_line == 7, "bodies belong to the instruction's lines");
	EXPECT(df->nodes[1]->n_heredocs == 1 && str_eq(df->nodes[1]->heredocs[0].content, ""), "an empty one");
	EXPECT(!df->nodes[2]->n_heredocs, "<<< is none");
	EXPECT(df->nodes[3]->n_heredocs == 1 && str_eq(df->nodes[3]->heredocs[0].content, "x\n"), "behind ONBUILD");
	EXPECT(!df->nodes[4]->n_heredocs && !df->nodes[5]->n_heredocs, "CMD and JSON take none");
	EXPECT(df->nodes[6]->n_heredocs == 1 && str_eq(df->nodes[6]->heredocs[0].name, "G"), "a blank before the name");
	EXPECT(str_eq(dockerfile_chomp(a, "\t\ta\tb\n\n\tc"), "a\tb\n\nc"), "tabs at line starts go");
	expect_error("without an end", "FROM x\nRUN <<A <<B\na\nA\nb\n", "Dockerfile:2:5: error: unterminated heredoc: no line \"B\"\n");
	expect_error("a misspelt keyword takes its body along", "FROM x\nENV\nRUM <<A\nFOO\nA\nENV a\n", "Dockerfile:6:5: error: ENV must have");
}

static void test_places(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str large = { 0 };
	struct diags ds;
	struct dockerfile *df;
	struct pos pos;
	static const char text[] = "FROM x\n  COPY a \\\n# no\n\n   é \\\n b\n\n\xe2\x80\xa8\rRUN a\n";
	EXPECT(parse(a, text, strlen(text), &ds, &df) == 0 && df->n_nodes == 3, "%zu", df->n_nodes);
	EXPECT(df->n_empty_continuations == 1 && df->empty_continuations[0] == 6, "the empty line inside is noted at the end of the instruction");
	pos = dockerfile_pos(df->nodes[1], df->nodes[1]->words[0].at);
	EXPECT(pos.line == 2 && pos.column == 8, "%d:%d", pos.line, pos.column);
	pos = dockerfile_pos(df->nodes[1], df->nodes[1]->words[2].at);
	EXPECT(pos.line == 6 && pos.column == 2, "%d:%d", pos.line, pos.column);
	EXPECT(df->nodes[2]->first_line == 8, "only newlines end lines: %d", df->nodes[2]->first_line);
	expect_error("empty", "", "error: Dockerfile: file with no instructions\n");
	expect_error("comments only", "# a\n\n", "error: Dockerfile: file with no instructions\n");
	EXPECT(parse(a, "FROM\0x", 6, &ds, &df) < 0 && str_eq(ds.v[0].message, "NUL character: not a text file"), "NUL");
	str_add(&large, "FROM x\nLABEL a=");
	for (int i = 0; i < DOCKERFILE_MAX_LINE - 8; i++)
		str_addc(&large, 'b');
	EXPECT(parse(a, str_get(&large), large.len, &ds, &df) == 0, "a line as long as it may be");
	str_addc(&large, 'b');
	EXPECT(parse(a, str_get(&large), large.len, &ds, &df) < 0 && ds.v[0].pos.line == 2, "one byte more");
}

static const char *suite_path(struct arena *a, const char *name)
{
	const char *folder = getenv("MUSTER_SUITES");
	return arena_printf(a, "%s/dockerfile/%s", folder ? folder : "../shared/suites", name);
}

static int replay(struct arena *a, const char *folder, bool golden)
{
	DIR *d = opendir(suite_path(a, folder));
	int n = 0;
	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));) {
		AUTO_STR struct str text = { 0 }, want = { 0 }, got = { 0 };
		struct diags ds;
		struct dockerfile *df;
		const char *path = suite_path(a, arena_printf(a, "%s/%s", folder, e->d_name));
		int r;
		if (e->d_name[0] == '.' || fs_read(AT_FDCWD, arena_printf(a, "%s/Dockerfile", path), 1 << 20, &text, NULL) != 0)
			continue;
		n++;
		r = parse(a, str_get(&text), text.len, &ds, &df);
		if (!golden) {
			EXPECT(r < 0, "%s must be refused", e->d_name);
			continue;
		}
		dockerfile_dump(df, &got);
		EXPECT(fs_read(AT_FDCWD, arena_printf(a, "%s/result", path), 1 << 20, &want, NULL) == 0, "%s has no result", e->d_name);
		EXPECT(r == 0 && str_eq(str_get(&got), str_get(&want)), "%s: got\n%s-- wanted\n%s", e->d_name, str_get(&got), str_get(&want));
	}
	closedir(d);
	return n;
}

/* 33 golden parses, the negatives, and the line numbers: all of them. */
static bool test_suite(void)
{
	static const int want[][2] = { { 5, 5 }, { 11, 12 }, { 17, 31 } };
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str text = { 0 };
	struct diags ds;
	struct dockerfile *df;
	int n = replay(a, "testfiles", true), negatives = replay(a, "testfiles-negative", false);
	if (n < 0)
		return false;
	EXPECT(n == 33 && negatives > 0, "%d golden cases, %d negative ones", n, negatives);
	EXPECT(fs_read(AT_FDCWD, suite_path(a, "testfile-line/Dockerfile"), 1 << 20, &text, NULL) == 0, "testfile-line");
	EXPECT(parse(a, str_get(&text), text.len, &ds, &df) == 0 && df->n_nodes == 3, "three instructions");
	for (size_t i = 0; i < df->n_nodes && i < ARRAY_SIZE(want); i++)
		EXPECT(df->nodes[i]->first_line == want[i][0] && df->nodes[i]->last_line == want[i][1], "instruction %zu: %d to %d", i,
		       df->nodes[i]->first_line, df->nodes[i]->last_line);
	printf("%d golden parses, %d negative ones\n", n, negatives);
	return true;
}

int main(void)
{
	test_lines();
	test_directives();
	test_words();
	test_heredocs();
	test_places();
	if (!test_suite() && !failures) {
		printf("skipped: no suite\n");
		return 77;
	}
	return failures != 0;
}
