/* SPDX-License-Identifier: Apache-2.0 */
/* registries.conf(5): which places a name leads to, in which order; the longest prefix wins, at the borders of parts only; later files replace
 * earlier ones by prefix and by alias; mirrors by digest or tag; what is blocked, and what makes no sense, is told. */
#include "images/regconf.h"

#include <stdio.h>

#include "base/str.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static const char first[] =
	"unqualified-search-registries = ['quay.io']\n"
	"[[registry]]\nlocation = 'docker.io'\n[[registry.mirror]]\nlocation = 'hub.example'\n"
	"[[registry.mirror]]\nlocation = '127.0.0.1:5000/hub'\ninsecure = true\n"
	"[[registry]]\nprefix = 'docker.io/team'\nlocation = 'team.example/x'\n"
	"[[registry]]\nprefix = '*.corp.example'\ninsecure = true\n"
	"[[registry]]\nprefix = '*.moved.example'\nlocation = 'new.example/old'\n"
	"[[registry]]\nprefix = '*.ported.example'\nlocation = 'new.example'\n"
	"[[registry]]\nprefix = '*.given.example:5000'\nlocation = 'new.example'\n"
	"[[registry]]\nlocation = 'bad.example'\nblocked = true\n"
	"[[registry]]\nlocation = 'digest.example'\nmirror-by-digest-only = true\n"
	"[[registry.mirror]]\nlocation = 'm1.example'\n[[registry.mirror]]\nlocation = 'm2.example'\npull-from-mirror = 'tag-only'\n"
	"[aliases]\n'tool' = 'ghcr.io/a/tool'\n'team/gone' = 'ghcr.io/gone'\n";
static const char second[] =
	"[[registry]]\nprefix = 'docker.io/team'\nlocation = 'other.example'\n"
	"[aliases]\n'team/gone' = ''\nshort = 'localhost:5000/short'\n";

#define DIGEST "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_places(const json_t *conf)
{
	static const struct {
		const char *name;
		bool push;
		const char *want; /* "registry/repository" and "!" for insecure, "~" for a mirror, in order; or the error's words */
	} cases[] = {
		{ "busybox", false, "hub.example/library/busybox~ 127.0.0.1:5000/hub/library/busybox!~ docker.io/library/busybox " },
		{ "busybox", true, "docker.io/library/busybox " },
		{ "docker.io/teams/x", false, "hub.example/teams/x~ 127.0.0.1:5000/hub/teams/x!~ docker.io/teams/x " },
		{ "team/x:1", false, "other.example/x " },
		{ "tool:2", false, "ghcr.io/a/tool " },
		{ "tool:2", true, "docker.io/library/tool " },
		{ "docker.io/library/tool", true, "docker.io/library/tool " },
		{ "short", false, "localhost:5000/short " },
		{ "team/gone", false, "other.example/gone " },
		{ "a.corp.example/x/y", false, "a.corp.example/x/y! " },
		{ "a.corp.example:5000/x", false, "a.corp.example:5000/x! " },
		{ "a.corp.example.org/x", false, "a.corp.example.org/x " },
		{ "a.ported.example:5000/x", false, "new.example:5000/x " },
		{ "a.given.example:5000/x", false, "new.example/x " },
		{ "a.given.example:5001/x", false, "a.given.example:5001/x " },
		{ "corp.example/x", false, "corp.example/x " },
		{ "notcorp.example/x", false, "notcorp.example/x " },
		{ "z.moved.example/a/b:1", false, "new.example/old/a/b " },
		{ "bad.example/x", false, "blocks" },
		{ "bad.example:443/x", false, "bad.example:443/x " },
		{ "digest.example/x:1", false, "m2.example/x~ digest.example/x " },
		{ "digest.example/x" DIGEST, false, "m1.example/x~ digest.example/x " },
		{ "Not A Name", false, "" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct place places[REGCONF_MAX_PLACES];
		AUTO_STR struct str got = {0};
		struct err err = {0};
		size_t n = 0;
		int rc = regconf_resolve(conf, cases[i].name, cases[i].push, places, &n, &err);
		for (size_t k = 0; rc == 0 && k < n; k++)
			str_addf(&got, "%s/%s%s%s ", places[k].registry, places[k].repository, places[k].insecure ? "!" : "",
				places[k].mirror ? "~" : "");
		if (rc < 0)
			EXPECT(strstr(err.msg, cases[i].want), "%s: %s", cases[i].name, err.msg);
		else
			EXPECT(strcmp(str_get(&got), cases[i].want) == 0, "%s: %s", cases[i].name, str_get(&got));
	}
}

static void test_refusals(void)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "[[registry]]\ninsecure = true\n", "without location" },
		{ "[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\ninsecure = true\n", "mirror]] without location" },
		{ "[registries.search]\nregistries = []\n", "version 1" },
		{ "registry = 1\n", "no array" },
		{ "\n\nx = 1.5\n", "line 3" },
		{ "a = 1\na = 2\n", "line 2: a key is given twice" },
		{ "x = \"\\ud800\"\n", "names no character" },
		{ "x = [1,\n2\n", "line 3" },
		{ "x = 'a\n", "does not end" },
		{ "x = 1 2\n", "after a value" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *conf = NULL;
		struct err err = {0};
		int rc = regconf_add(&conf, cases[i].text, strlen(cases[i].text), &err);
		EXPECT(rc < 0 && !conf && strstr(err.msg, cases[i].want), "case %zu: %s", i, err.msg);
		json_decref(conf);
	}
}

int main(void)
{
	AUTO_JSON json_t *conf = NULL;
	struct err err = {0};
	struct place places[REGCONF_MAX_PLACES];
	size_t n;
	EXPECT(regconf_add(&conf, first, strlen(first), &err) == 0 && regconf_add(&conf, second, strlen(second), &err) == 0, "%s", err.msg);
	test_places(conf);
	test_refusals();
	EXPECT(regconf_resolve(NULL, "a/b", false, places, &n, &err) == 0 && n == 1 && strcmp(places[0].registry, "docker.io") == 0, "without a file");
	printf(failures ? "failed\n" : "ok\n");
	return failures ? 1 : 0;
}
