/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: each form prints what Go's text/template prints with docker's functions, or is an error that says where; none of them costs
 * more than its bounds. */
#include "compose/template.h"

#include <stdio.h>

static int failures;

static const char row_text[] =
	"{\"Name\":\"web-1\",\"State\":\"running\",\"Ports\":[80,443],\"Empty\":[],\"Zero\":0,\"No\":false,\"Null\":null,\"Rate\":1.5,"
	"\"Labels\":{\"b\":\"2\",\"a\":\"1\"},\"Net\":{\"IP\":\"10.0.0.2\",\"Peers\":[{\"ID\":\"x\"},{\"ID\":\"y\"}]},\"Path\":\"a/b/c\"}";

static const struct {
	const char *text, *want;
} cases[] = {
	/* text and marks */
	{ "", "" }, { "plain", "plain" }, { "a{{/* no */}}b", "ab" }, { "a {{- /* no */ -}} b", "ab" }, { "a {{- .Zero -}} b", "a0b" },
	{ "{{\"}}\"}}", "}}" }, { "{{`a\\n`}}", "a\\n" }, { "{{\"a\\tb\"}}", "a\tb" }, { "{ {", "{ {" },
	/* values */
	{ "{{.Name}}", "web-1" }, { "{{.Ports}}", "[80 443]" }, { "{{.Labels}}", "map[a:1 b:2]" }, { "{{.Null}}", "<nil>" }, { "{{.Rate}}", "1.5" },
	{ "{{.Net.IP}}", "10.0.0.2" }, { "{{.Net.Nope}}", "<no value>" }, { "{{.Net.Nope.More}}", "<no value>" }, { "{{$.Name}}", "web-1" },
	{ "{{12}} {{-3}} {{0x10}} {{1.5}} {{true}}", "12 -3 16 1.5 true" }, { "{{(index .Net.Peers 1).ID}}", "y" },
	/* functions */
	{ "{{json .}}", NULL }, { "{{json .Ports}}", "[80,443]" }, { "{{.Name | upper}}", "WEB-1" },
	{ "{{lower \"ÀB\"}}{{upper \"straße é\"}}", "àbSTRAßE É" },
	{ "{{title \"ab cd-ef_g 'h 2x\"}}", "Ab Cd-Ef_g 'H 2x" }, { "{{join .Ports \", \"}}", "80, 443" }, { "{{split .Path \"/\"}}", "[a b c]" },
	{ "{{join (split .Path \"/\") \"+\"}}", "a+b+c" }, { "{{len .Ports}}{{len .Name}}{{len .Labels}}", "252" }, { "{{index .Ports 1}}", "443" },
	{ "{{index .Labels \"a\"}}{{index .Labels \"none\"}}", "1" }, { "{{index .Net.Peers 0 \"ID\"}}", "x" }, { "{{truncate .Name 3}}", "web" },
	{ "{{print 1 2 \"x\" 3}}", "1 2x3" }, { "{{println .Name}}", "web-1\n" }, { "{{printf \"%s=%d %v%%\" .Name 3 .Ports}}", "web-1=3 [80 443]%" },
	{ "{{printf \"%5s|%-5s|\" \"a\" \"b\"}}", "    a|b    |" }, { "{{printf \"%q\" .Name}}", "\"web-1\"" }, { "{{printf \"%s\"}}", "%!s(MISSING)" },
	{ "{{pad .State 1 2}}.{{pad \"\" 1 2}}.", " running  .." }, { "{{join .Labels \"+\"}}", "1+2" }, { "{{index .Name 1}}", "101" },
	/* slice: lists, and texts by their bytes */
	{ "{{slice .Name 1 3}}|{{slice .Name 4}}|{{slice .Name}}|{{slice .Name 5 5}}", "eb|1|web-1|" },
	{ "{{slice .Ports 1}}{{slice .Ports 0 1 2}}", "[443][80]" },
	{ "{{len (slice .Empty)}}{{(slice .Net.Peers 1 2 | json)}}", "0[{\"ID\":\"y\"}]" }, { "{{range slice .Ports 0 1}}{{.}}{{end}}", "80" },
	{ "{{slice .Name 6}}", "error: template: executing at <slice>: error calling slice: index out of range: 6" },
	{ "{{slice .Name -1}}", "error: template: executing at <slice>: error calling slice: index out of range: -1" },
	{ "{{slice .Name 3 1}}", "error: template: executing at <slice>: error calling slice: invalid slice index: 3 > 1" },
	{ "{{slice .Ports 1 2 1}}", "error: template: executing at <slice>: error calling slice: invalid slice index: 2 > 1" },
	{ "{{slice .Name 0 1 2}}", "error: template: executing at <slice>: error calling slice: cannot 3-index slice a string" },
	{ "{{slice .Ports 0 1 2 2}}", "error: template: executing at <slice>: error calling slice: too many slice indexes: 4" },
	{ "{{slice 3 1}}", "error: template: executing at <slice>: error calling slice: can't slice item of type int" },
	{ "{{slice .Labels 1}}", "error: template: executing at <slice>: error calling slice: can't slice item of type map[string]interface {}" },
	{ "{{slice .Name \"1\"}}", "error: template: executing at <slice>: error calling slice: cannot index slice/array with type string" },
	/* escapes */
	{ "{{html \"<a href='x'>&\\\"</a>\"}}", "&lt;a href=&#39;x&#39;&gt;&amp;&#34;&lt;/a&gt;" }, { "{{html 1 2 \"<\" 3}}", "1 2&lt;3" },
	{ "{{js \"it's <b>=\\\\&\\n\\u200bé\"}}", "it\\'s \\u003Cb\\u003E\\u003D\\\\\\u0026\\u000A\\u200Bé" },
	{ "{{urlquery \"a b/c?é~-_.*\"}}", "a+b%2Fc%3F%C3%A9~-_.%2A" }, { "{{.Path | urlquery | html}}", "a%2Fb%2Fc" },
	{ "{{call .Name 1}}", "error: template: executing at <call>: error calling call: non-function of type string" },
	{ "{{call nil}}", "error: template: executing at <call>: error calling call: call of nil" },
	/* printf */
	{ "{{printf \"%05d|%+d|%x|%X|%o|%b|%c|%U|%q\" 42 42 255 255 8 5 65 65 65}}", "00042|+42|ff|FF|10|101|A|U+0041|'A'" },
	{ "{{printf \"%-5d|%5d|%05d|%#x\" -42 -42 -42 255}}", "-42  |  -42|-0042|0xff" }, { "{{printf \"%.2f|%8.3f|%e|%g|%v\" 3.14159 2.5 1500.0 0.1 1e21}}",
	"3.14|   2.500|1.500000e+03|0.1|1e+21" }, { "{{printf \"%.2s|%5.1s|%x|% x\" \"héllo\" \"abc\" \"hi\" \"hi\"}}", "hé|    a|6869|68 69" },
	{ "{{printf \"%q %q\" \"a\\x01\\t\\\"é\" .Ports}}", "\"a\\x01\\t\\\"é\" ['P' 'ƻ']" },
	{ "{{printf \"%T %T %T %T\" 1 1.5 .Name .Ports}}", "int float64 string []interface {}" },
	{ "{{printf \"%*d|%-*d|%.*f\" 5 1 4 2 1 2.55}}", "    1|2   |2.5" }, { "{{printf \"%[2]s-%[1]s\" \"a\" \"b\"}}", "b-a" },
	{ "{{printf \"%d %s %z %t\" .Name 3 4 5}}", "%!d(string=web-1) %!s(int=3) %!z(int=4) %!t(int=5)" },
	{ "{{printf \"%d\" 1 2 \"x\"}}", "1%!(EXTRA int=2, string=x)" },
	{ "{{printf \"%\"}}{{printf \"%d%%\" 5}}", "%!(NOVERB)5%" },
	{ "{{printf \"%d %v\" nil nil}}", "%!d(<nil>) <nil>" },
	{ "{{printf \"%3d\" .Ports}}", "[ 80 443]" },
	{ "{{printf \"%v %s\" .Labels .Labels}}", "map[a:1 b:2] map[a:1 b:2]" }, { "{{print 1234567.5 0.00001 100000000.0}}", "1.2345675e+06 1e-05 1e+08" },
	{ "{{printf 3}}", "error: template: executing at <printf>: wrong type for value; expected string; got int" },
	/* literals */
	{ "{{\"\\x41\\u00e9\\U0001F600\\101\"}}", "Aé😀A" },
	{ "{{'a'}} {{'é'}} {{'\\n'}} {{'}'}}", "97 233 10 125" },
	{ "{{1_000}} {{0b101}} {{0o17}} {{0x1F}}", "1000 5 15 31" },
	{ "{{'ab'}}", "error: template parsing error: template: :1: malformed character constant: 'ab'" },
	{ "{{\"\\u00\"}}", "error: template parsing error: template: :1: invalid syntax in a quoted string" },
	{ "{{eq .Null nil}}{{nil}}", "error: template parsing error: template: :1: nil is not a command" }, { "{{eq .Null nil}}", "true" },
	/* truth and comparison */
	{ "{{eq .State \"running\"}}{{eq .Zero 1 0}}{{ne .Name \"x\"}}", "truetruetrue" },
	{ "{{lt 1 2}}{{ge \"b\" \"b\"}}{{gt 1 2}}{{le 3 2}}", "truetruefalsefalse" },
	{ "{{and .Name .Zero}}{{or .Zero .Name}}{{not .Empty}}", "0web-1true" }, { "{{and true (eq 1 1)}}", "true" },
	{ "{{or .Name (index .Ports 9)}}", "web-1" },
	{ "{{eq 1 \"1\"}}", "error: template: executing at <eq>: error calling eq: incompatible types for comparison" },
	{ "{{.Zero | eq 0}}", "true" },
	/* blocks */
	{ "{{if .Empty}}a{{else if .Zero}}b{{else if .Name}}c{{else}}d{{end}}.", "c." }, { "{{if .No}}a{{end}}", "" },
	{ "{{range .Ports}}<{{.}}>{{end}}", "<80><443>" }, { "{{range .Empty}}x{{else}}none{{end}}", "none" },
	{ "{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;" }, { "{{range $i, $p := .Ports}}{{if $i}},{{end}}{{$p}}{{end}}", "80,443" },
	{ "{{range .Net.Peers}}{{.ID}}{{$.Name}} {{end}}", "xweb-1 yweb-1 " }, { "{{with .Net}}{{.IP}}{{end}}{{with .Empty}}x{{else}}y{{end}}", "10.0.0.2y" },
	{ "{{$x := .Name}}{{$x}}{{$x = \"z\"}}{{$x}}", "web-1z" }, { "{{$n := 0}}{{range .Ports}}{{$n = .}}{{end}}{{$n}}", "443" },
	{ "{{range .Ports}}{{with $}}{{.Name}}{{end}}{{end}}", "web-1web-1" }, { "{{range .Null}}x{{end}}", "" },
	{ "{{range .Ports}}{{.}}{{break}}x{{end}}.", "80." }, { "{{range .Ports}}{{if eq . 80}}{{continue}}{{end}}{{.}}{{end}}", "443" },
	{ "{{range $k, $v := .Labels}}{{$k}}{{with $v}}{{break}}{{end}}{{end}}{{range .Ports}}{{.}}{{end}}", "a80443" },
	{ "{{with .Empty}}a{{else with .Net}}{{.IP}}{{else}}c{{end}}.", "10.0.0.2." }, { "{{with .Empty}}a{{else with .No}}b{{else}}c{{end}}", "c" },
	{ "{{break}}", "error: template parsing error: template: :1: {{break}} outside {{range}}" },
	{ "{{range .Ports}}{{else}}{{continue}}{{end}}", "error: template parsing error: template: :1: {{continue}} outside {{range}}" },
	/* errors */
	{ "{{.Nope}}", "error: template: executing at <.Nope>: can't evaluate field Nope" },
	{ "{{.Name.More}}", "error: template: executing at <.Name.More>: can't evaluate field More" },
	{ "{{nope .}}", "error: template parsing error: template: :1: function \"nope\" not defined" },
	{ "a\n{{.Name", "error: template parsing error: template: :2: unclosed action" },
	{ "{{}}", "error: template parsing error: template: :1: missing value for command" },
	{ "{{if .Name}}", "error: template parsing error: template: :1: unexpected EOF" },
	{ "{{end}}", "error: template parsing error: template: :1: unexpected {{end}}" },
	{ "{{else}}", "error: template parsing error: template: :1: unexpected {{else}}" },
	{ "{{.Name |}}", "error: template parsing error: template: :1: missing value for command" },
	{ "{{.Name .State}}", "error: template parsing error: template: :1: can't give argument to non-function .Name" },
	{ "{{\"x}}", "error: template parsing error: template: :1: unclosed action" },
	{ "{{$x}}", "error: template parsing error: template: :1: undefined variable \"$x\"" },
	{ "{{(.Name}}", "error: template parsing error: template: :1: unclosed left paren" },
	{ "{{.Name)}}", "error: template parsing error: template: :1: unexpected right paren" },
	{ "{{index .Ports 2}}", "error: template: executing at <index>: error calling index: index out of range: 2" },
	{ "{{len 3}}", "error: template: executing at <len>: error calling len: len of a value that has none" },
	{ "{{join .Ports}}", "error: template: executing at <join>: wrong number of args for join: want 2 got 1" },
	{ "{{range 3}}{{end}}", "error: template: executing at <3>: range can't iterate over this" },
	{ "{{/* x }}", "error: template parsing error: template: :1: unclosed comment" },
	{ "{{12x}}", "error: template parsing error: template: :1: bad number syntax: \"12x\"" },
	{ "{{define \"x\"}}{{end}}", "error: template parsing error: template: :1: unexpected <define> in operand" },
	{ "{{.Name | .State}}", "error: template parsing error: template: :1: non executable command in pipeline stage 2" },
};

static void render(const char *text, const json_t *row, struct str *out)
{
	struct err err = {0};
	struct template *t = template_new(text, &err);
	if (!t || template_render(t, row, out, &err) < 0) {
		str_clear(out);
		str_addf(out, "error: %s", err.msg);
	}
	template_free(t);
}

static void test_cases(void)
{
	AUTO_JSON json_t *row = json_loads(row_text, 0, NULL);
	AUTO_FREE char *whole = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STR struct str out = {0};
		const char *want = cases[i].want ? cases[i].want : whole;
		render(cases[i].text, row, &out);
		if (strcmp(str_get(&out), want) == 0)
			continue;
		failures++;
		printf("FAILED: %s\n  want %s\n  got  %s\n", cases[i].text, want, str_get(&out));
	}
}

/* What could grow without end is an error instead. */
static void test_bounds(void)
{
	AUTO_JSON json_t *row = json_loads(row_text, 0, NULL);
	static const struct { const char *open, *close; int n; const char *want; } bombs[] = {
		{ "{{if .Name}}", "{{end}}", 60, "too deep" }, { "{{(", ")}}", 1, "error" }, { "{{if .No}}{{else if .No}}", "{{end}}", 60, "too deep" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(bombs); i++) {
		AUTO_STR struct str text = {0}, out = {0};
		for (int k = 0; k < bombs[i].n; k++)
			str_add(&text, bombs[i].open);
		for (int k = 0; k < bombs[i].n; k++)
			str_add(&text, bombs[i].close);
		render(str_get(&text), row, &out);
		if (!strstr(str_get(&out), bombs[i].want)) {
			failures++;
			printf("FAILED: bomb %zu: %s\n", i, str_get(&out));
		}
	}
	AUTO_STR struct str doubling = {0}, out = {0};
	str_add(&doubling, "{{$x := .Name}}");
	for (int i = 0; i < 200; i++)
		str_add(&doubling, "{{$x = print $x $x}}");
	render(str_get(&doubling), row, &out);
	if (!strstr(str_get(&out), "longer than the")) {
		failures++;
		printf("FAILED: doubling: %.100s\n", str_get(&out));
	}
	AUTO_JSON json_t *wide = json_object();
	json_t *list = json_array();
	for (int i = 0; i < 1000; i++)
		json_array_append_new(list, json_integer(i));
	json_object_set_new(wide, "L", list);
	str_clear(&out);
	render("{{range .L}}{{range $.L}}{{range $.L}}{{range $.L}}{{end}}{{end}}{{end}}{{end}}", wide, &out);
	if (!strstr(str_get(&out), "does not come to an end")) {
		failures++;
		printf("FAILED: steps: %.100s\n", str_get(&out));
	}
}

int main(void)
{
	test_cases();
	test_bounds();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
