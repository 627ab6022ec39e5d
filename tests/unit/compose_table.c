/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, templates, durations and sizes. Invariants: columns line up by characters, outside text never reaches the terminal raw,
 * a template prints exactly what it says or is an error. */
#include "compose/table.h"

#include <stdio.h>

#include "compose/table_template.h"

static int failures;

static void same(const char *what, const char *got, const char *want)
{
	if (strcmp(got, want) == 0)
		return;
	failures++;
	fprintf(stderr, "FAILED: %s\n--- want\n%s\n--- got\n%s\n", what, want, got);
}

static void test_alignment(void)
{
	AUTO_STR struct str out = {0};
	struct table t;
	const char *const cells[] = { "NAME", "IMAGE", "PORTS", "pa-a-1", "bench/busybox:1", "", "größe-1", "x", "80/tcp" };
	table_init(&t, 3, 10, 3);
	for (size_t i = 0; i < ARRAY_SIZE(cells); i++)
		table_cell(&t, cells[i]);
	table_render(&t, &out);
	same("ps layout", str_get(&out),
	     "NAME      IMAGE             PORTS\n"
	     "pa-a-1    bench/busybox:1   \n"
	     "größe-1   x                 80/tcp\n");
	table_done(&t);
}

static void test_hostile(void)
{
	AUTO_STR struct str out = {0};
	struct table t;
	table_init(&t, 1, 0, 1);
	table_cell(&t, "a\033[2Jb\nc\xff");
	table_render(&t, &out);
	same("control bytes are escaped", str_get(&out), "a\\x1b[2Jb\\x0ac\\xff\n");
	table_done(&t);
}

static void test_cut(void)
{
	static const struct { const char *in; size_t width; const char *want; size_t used; } cases[] = {
		{ "abc", 3, "abc", 3 }, { "abcd", 3, "ab…", 3 }, { "äöüß", 3, "äö…", 3 }, { "日本語", 6, "日本語", 6 }, { "日本語", 5, "日本…", 5 },
		{ "日本語", 4, "日…", 3 }, { "abc", 1, "…", 1 }, { "abc", 0, "", 0 }, { "", 0, "", 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STR struct str out = {0};
		size_t used = table_add_cut(&out, cases[i].in, cases[i].width);
		same("cut", str_get(&out), cases[i].want);
		if (used != cases[i].used) {
			failures++;
			fprintf(stderr, "FAILED: width of %s: %zu, not %zu\n", cases[i].want, used, cases[i].used);
		}
	}
}

static void test_words(void)
{
	static const struct { uint64_t seconds; const char *want; } durations[] = {
		{ 0, "Less than a second" }, { 1, "1 second" }, { 59, "59 seconds" }, { 60, "About a minute" }, { 119, "About a minute" },
		{ 120, "2 minutes" }, { 3599, "59 minutes" }, { 3600, "About an hour" }, { 7200, "2 hours" }, { 47 * 3600, "47 hours" },
		{ 48 * 3600, "2 days" }, { 14 * 86400, "2 weeks" }, { 60 * 86400, "2 months" }, { 800 * 86400ull, "2 years" },
	};
	static const struct { uint64_t bytes; const char *want; } sizes[] = {
		{ 0, "0B" }, { 999, "999B" }, { 1000, "1kB" }, { 6046692, "6.05MB" }, { 123456789, "123MB" }, { 5000000000ull, "5GB" },
	};
	char buf[40], small[24];
	for (size_t i = 0; i < ARRAY_SIZE(durations); i++)
		same("duration", table_human_duration(durations[i].seconds, buf), durations[i].want);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		same("size", table_human_bytes(sizes[i].bytes, small), sizes[i].want);
}

#define KNOWN "known are fields and the functions json, upper, lower, title, len, join, truncate, println"

static void test_templates(void)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "{{.Name}}", "web-1" },
		{ "{{ .Name }}\\t{{.State}}", "web-1\trunning" },
		{ "{{json .Ports}}", "[80,443]" },
		{ "{{.Name | upper}}-{{upper .State}}", "WEB-1-RUNNING" },
		{ "{{json .Net}}", "{\"IP\":\"10.0.0.2\"}" },
		{ "{{.Net.IP}}", "10.0.0.2" },
		{ "{{len .Ports}} {{len .Name}}", "2 5" },
		{ "{{.Ports}}", "[80 443]" },
		{ "{{join .Ports \", \"}}", "80, 443" },
		{ "{{join .Ports}}", "error: template: executing at <join>: wrong number of args for join: want 2 got 1" },
		{ "{{.Ports | join \", \"}}", "80, 443" },
		{ "{{truncate .Name 3}}", "web" },
		{ "{{\"x y\"}}", "x y" },
		{ "{{.Nope}}", "error: template: executing at <.Nope>: can't evaluate field Nope" },
		{ "{{.Name", "error: template parsing error: template: :1: unclosed action" },
		{ "{{}}", "error: template parsing error: template: :1: missing value for command" },
		{ "{{range .Ports}}", "error: template parsing error: template: :1: unexpected EOF" },
		{ "{{.Name |}}", "error: template parsing error: template: :1: missing value for command" },
		{ "plain", "plain" },
	};
	AUTO_JSON json_t *row = json_pack("{s:s, s:s, s:[i,i], s:{s:s}}", "Name", "web-1", "State", "running", "Ports", 80, 443, "Net", "IP", "10.0.0.2");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STR struct str out = {0};
		struct err err;
		struct table_template *t = table_template_new(cases[i].text, &err);
		if (!t || table_template_render(t, row, &out, &err) < 0) {
			str_clear(&out);
			str_addf(&out, "error: %s", err.msg);
		}
		table_template_free(t);
		same(cases[i].text, str_get(&out), cases[i].want);
	}
}

static void test_formats(void)
{
	AUTO_JSON json_t *rows = json_pack("[{s:s,s:s},{s:s,s:s}]", "Name", "a", "RunningFor", "1s", "Name", "longer-name", "RunningFor", "2s");
	static const struct { const char *format, *want; } cases[] = {
		{ "json", "{\"Name\":\"a\",\"RunningFor\":\"1s\"}\n{\"Name\":\"longer-name\",\"RunningFor\":\"2s\"}\n" },
		{ "{{.Name}}", "a\nlonger-name\n" },
		{ "table {{.Name}}\\t{{.RunningFor}}", "NAME          RUNNING FOR\na             1s\nlonger-name   2s\n" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STR struct str out = {0};
		struct err err = {0};
		if (table_template_format(cases[i].format, rows, NULL, &out, &err) < 0)
			str_addf(&out, "error: %s", err.msg);
		same(cases[i].format, str_get(&out), cases[i].want);
	}
}

int main(void)
{
	test_alignment();
	test_hostile();
	test_cut();
	test_words();
	test_templates();
	test_formats();
	if (failures == 0)
		printf("ok\n");
	return failures ? 1 : 0;
}
