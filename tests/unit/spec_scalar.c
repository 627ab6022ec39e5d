/* SPDX-License-Identifier: Apache-2.0 */
/* Plain scalars mean what they mean to the reference's YAML library, and numbers are printed as Go prints them: a file that
 * says `mode: 0440` or `1e3` must not change its meaning by changing the program that reads it. */
#include <stdio.h>

#include "spec/scalar.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static const struct {
	const char *in;
	enum node_kind kind;
	const char *text; /* as fmt.Sprint of the value */
} scalars[] = {
	{ "017", NODE_INT, "15" },
	{ "0o17", NODE_INT, "15" },
	{ "0b11", NODE_INT, "3" },
	{ "-0b11", NODE_INT, "-3" },
	{ "0x1F", NODE_INT, "31" },
	{ "1_000", NODE_INT, "1000" },
	{ "_1", NODE_STRING, "_1" },
	{ "+12", NODE_INT, "12" },
	{ "-7", NODE_INT, "-7" },
	{ "08", NODE_FLOAT, "8" },
	{ "0", NODE_INT, "0" },
	{ "-0", NODE_FLOAT, "-0" },
	{ "9223372036854775807", NODE_INT, "9223372036854775807" },
	{ "-9223372036854775808", NODE_INT, "-9223372036854775808" },
	{ "9223372036854775808", NODE_FLOAT, "9223372036854775808" },
	{ "18446744073709551615", NODE_FLOAT, "18446744073709551615" },
	{ "18446744073709551616", NODE_FLOAT, "1.8446744073709552e+19" },
	{ "1e3", NODE_FLOAT, "1000" },
	{ "1e21", NODE_FLOAT, "1e+21" },
	{ "1.50", NODE_FLOAT, "1.5" },
	{ ".5", NODE_FLOAT, "0.5" },
	{ "5.", NODE_FLOAT, "5" },
	{ "0.00001", NODE_FLOAT, "1e-05" },
	{ "1e999", NODE_STRING, "1e999" },
	{ ".", NODE_STRING, "." },
	{ "1.2.3", NODE_STRING, "1.2.3" },
	{ "0xZZ", NODE_STRING, "0xZZ" },
	{ "12abc", NODE_STRING, "12abc" },
	{ "1:30", NODE_STRING, "1:30" },
	{ "true", NODE_BOOL, "true" },
	{ "TRUE", NODE_BOOL, "true" },
	{ "False", NODE_BOOL, "false" },
	{ "tRUE", NODE_STRING, "tRUE" },
	{ "yes", NODE_STRING, "yes" },
	{ "no", NODE_STRING, "no" },
	{ "on", NODE_STRING, "on" },
	{ "off", NODE_STRING, "off" },
	{ "y", NODE_STRING, "y" },
	{ "~", NODE_NULL, "" },
	{ "null", NODE_NULL, "" },
	{ "Null", NODE_NULL, "" },
	{ "NULL", NODE_NULL, "" },
	{ "nULL", NODE_STRING, "nULL" },
	{ "", NODE_NULL, "" },
	{ "2001-01-01", NODE_STRING, "2001-01-01 00:00:00 +0000 UTC" },
	{ "2001-1-2", NODE_STRING, "2001-01-02 00:00:00 +0000 UTC" },
	{ "2001-13-01", NODE_STRING, "2001-13-01" },
	{ "2001-02-29", NODE_STRING, "2001-02-29" },
	{ "2004-02-29", NODE_STRING, "2004-02-29 00:00:00 +0000 UTC" },
	{ "2001-12-14T21:59:43.10Z", NODE_STRING, "2001-12-14 21:59:43.1 +0000 UTC" },
	{ "2001-12-14t21:59:43-05:00", NODE_STRING, "2001-12-14 21:59:43 -0500 -0500" },
	{ "2001-12-14 21:59:43", NODE_STRING, "2001-12-14 21:59:43 +0000 UTC" },
	{ "2001-12-14 21:59:43.10 -5", NODE_STRING, "2001-12-14 21:59:43.10 -5" },
};

static void test_resolve(struct arena *a)
{
	static const char *const infinite[] = { ".inf", "-.inf", "+.Inf", ".nan", ".NaN", ".NAN" };
	for (size_t i = 0; i < ARRAY_SIZE(scalars); i++) {
		struct node n = { 0 };
		bool ok = scalar_resolve(a, &n, scalars[i].in);
		EXPECT(ok && n.kind == scalars[i].kind && str_eq(n.text, scalars[i].text), "%s is %s \"%s\", want %s \"%s\"", scalars[i].in,
			node_kind_name(n.kind), n.text, node_kind_name(scalars[i].kind), scalars[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(infinite); i++) {
		struct node n = { 0 };
		EXPECT(!scalar_resolve(a, &n, infinite[i]), "%s must be refused: JSON cannot hold it", infinite[i]);
	}
}

static void test_format(void)
{
	static const struct {
		double d;
		bool single;
		const char *go, *json;
	} numbers[] = {
		{ 0.1, false, "0.1", "0.1" },
		{ (double)0.1f, true, "0.1", "0.1" },
		{ 1e20, false, "1e+20", "100000000000000000000" },
		{ 100000, false, "100000", "100000" },
		{ 1e6, false, "1e+06", "1000000" },
		{ 1e21, false, "1e+21", "1e+21" },
		{ 1.5e-5, false, "1.5e-05", "0.000015" },
		{ 1e-7, false, "1e-07", "1e-7" },
		{ -2.5, false, "-2.5", "-2.5" },
		{ 1234567.25, false, "1.23456725e+06", "1234567.25" },
		{ 1.0 / 3, false, "0.3333333333333333", "0.3333333333333333" },
		{ 5e-324, false, "5e-324", "5e-324" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		char go[40], json[40];
		scalar_format_float(numbers[i].d, numbers[i].single, go);
		scalar_format_json(numbers[i].d, numbers[i].single, json);
		EXPECT(str_eq(go, numbers[i].go), "%g is \"%s\", want \"%s\"", numbers[i].d, go, numbers[i].go);
		EXPECT(str_eq(json, numbers[i].json), "%g is \"%s\", want \"%s\"", numbers[i].d, json, numbers[i].json);
	}
}

int main(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	test_resolve(a);
	test_format();
	return failures ? 1 : 0;
}
