/* SPDX-License-Identifier: Apache-2.0 */
/* TOML as JSON: every kind of key, string and table that the reader knows. */
#include "base/toml.h"

#include <stdio.h>

int main(void)
{
	static const struct {
		const char *toml, *want;
	} cases[] = {
		{ "", "{}" },
		{ "# only a comment", "{}" },
		{ "a = 1\nb = -2\nc = +3\nd = 1_000\ne = true\nf = false\n", "{\"a\":1,\"b\":-2,\"c\":3,\"d\":1000,\"e\":true,\"f\":false}" },
		{ "a.b.c = 'x'\na.\"d e\" = \"y\"\n", "{\"a\":{\"b\":{\"c\":\"x\"},\"d e\":\"y\"}}" },
		{ "a = \"tab\\t quote\\\" u\\u00e9 \\U0001F600\"\n", "{\"a\":\"tab\\t quote\\\" u\xc3\xa9 \xf0\x9f\x98\x80\"}" },
		{ "a = 'C:\\raw'\nb = \"\"\nc = ''\n", "{\"a\":\"C:\\\\raw\",\"b\":\"\",\"c\":\"\"}" },
		{ "a = \"\"\"\none\ntwo \\\n   joined\"\"\"\nb = '''\nraw\\n\n'''\n", "{\"a\":\"one\\ntwo joined\",\"b\":\"raw\\\\n\\n\"}" },
		{ "a = \"\"\"say \"\"quotes\"\"\"\"\n", "{\"a\":\"say \\\"\\\"quotes\\\"\"}" },
		{ "a = [1, [2, 3], # x\n 'y',\n]\n", "{\"a\":[1,[2,3],\"y\"]}" },
		{ "a = {b = 1, c.d = [ ]}\n", "{\"a\":{\"b\":1,\"c\":{\"d\":[]}}}" },
		{ "[t]\na = 1\n[t.u]\nb = 2\n", "{\"t\":{\"a\":1,\"u\":{\"b\":2}}}" },
		{ "[[r]]\na = 1\n[[r.m]]\nb = 2\n[[r.m]]\nb = 3\n[[r]]\na = 4\n[r.x]\nc = 5\n",
		  "{\"r\":[{\"a\":1,\"m\":[{\"b\":2},{\"b\":3}]},{\"a\":4,\"x\":{\"c\":5}}]}" },
		{ "a = 1\r\nb = 2\r\n", "{\"a\":1,\"b\":2}" },
		{ " [ \"x y\" . z ] # c\n\ta\t=\t1\t\n", "{\"x y\":{\"z\":{\"a\":1}}}" },
	};
	int failures = 0;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON json_t *j = NULL;
		struct err err = {0};
		AUTO_FREE char *text = toml_parse(cases[i].toml, strlen(cases[i].toml), &j, &err) == 0 ? json_canonical(j) : xstrdup(err.msg);
		if (strcmp(text, cases[i].want) != 0) {
			printf("case %zu: %s\n", i, text);
			failures++;
		}
	}
	puts(failures ? "failed" : "ok");
	return failures != 0;
}
