/* SPDX-License-Identifier: Apache-2.0 */
/* The findings of --check: golden cases in tests/build/check, at least one for each rule that finds it and one that its correct form does not. A case
 * may have a .dockerignore, a target and build arguments; "json" is compared when it is there. */
#include <stdio.h>

#include "images/build/check.h"
#include "tests/unit/images_goldens.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static char *const *image_env(void *arg, const char *image)
{
	static char version[] = "BASE_VERSION=1", *const env[] = { version, NULL };
	(void)arg;
	return strcmp(image, "withenv") == 0 ? env : NULL;
}

/* "target NAME", "arg NAME=VALUE", "config TEXT" lines. */
static void read_options(char *text, struct check_options *opt, struct expand_env *args)
{
	for (char *save, *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		if (str_starts(line, "target "))
			opt->target = line + 7;
		else if (str_starts(line, "arg "))
			expand_env_add(args, line + 4);
		else if (str_starts(line, "config "))
			opt->config = line + 7;
	}
}

static bool check_case(struct golden *g, const char *path, bool update)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_IGNORE struct ignore *ignore = NULL;
	AUTO_STR struct str got = { 0 }, fatal = { 0 };
	AUTO_FREE char *options = golden_part(g, "options") ? xstrdup(str_get(golden_part(g, "options"))) : NULL, *json = NULL;
	struct str *text = golden_part(g, "Dockerfile"), *ignored = golden_part(g, ".dockerignore"), *want_json = golden_part(g, "json");
	struct expand_env args = { 0 };
	struct check_options opt = {
		.expand = { .build_args = &args, .build = { "linux", "amd64", "" }, .target = { "linux", "amd64", "" }, .target_stage = "" },
		.image_env = image_env,
	};
	struct diags ds;
	struct check_report *r;
	json_t *j;
	int result;
	bool ok;
	read_options(options, &opt, &args);
	if (ignored)
		opt.ignore = ignore = ignore_parse(str_get(ignored), ignored->len, NULL);
	diags_init(&ds, a);
	result = check_dockerfile(a, source_new(a, "Dockerfile", str_get(text), text->len), &opt, &ds, &r);
	check_render(r, &got);
	EXPECT(result == (ds.n_errors ? -1 : r->n ? 1 : 0), "%s: returned %d", path, result);
	if (r->fatal)
		str_add(&got, "fatal\n");
	j = check_json(r);
	json = json_dumps(j, JSON_INDENT(2));
	EXPECT(json && json_array_size(json_object_get(j, "warnings")) == r->n && !json_object_get(j, "buildError") == !ds.n_errors, "%s: JSON", path);
	str_addf(&fatal, "%s\n", json);
	ok = golden_expect(g, path, "want", str_get(&got), update);
	if (want_json)
		ok &= golden_expect(g, path, "json", str_get(&fatal), update);
	json_decref(j);
	expand_env_done(&args);
	return ok;
}

int main(int argc, char **argv)
{
	int n = golden_each("tests/build/check", check_case, argc > 1 && str_eq(argv[1], "update"), &failures);
	EXPECT(n >= 40, "%d golden cases", n);
	printf("%d golden cases\n", n);
	return failures != 0;
}
