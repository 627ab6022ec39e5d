/* SPDX-License-Identifier: Apache-2.0 */
/* The reference's own tables, when they are there (MUSTER_SUITES, default ../shared/suites; else this test is skipped): what a
 * variable, an env file, a merge, a list with keys and a short mount mean is what the reference made of them. A line that
 * differs is printed whole. */
#include <stdio.h>

#include "base/fs.h"
#include "base/json.h"
#include "spec/canonical.h"
#include "spec/dotenv.h"
#include "spec/merge.h"
#include "spec/shape.h"
#include "spec/short_volume.h"
#include "spec/template.h"
#include "spec/yaml.h"

static int failures, passed;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } else passed++; } while (0)

static const char *lookup(void *arg, const char *name)
{
	return json_string_value(json_object_get(arg, name));
}

static void check_interpolation(struct arena *a, json_t *c)
{
	struct template_vars vars = { .arena = a, .lookup = lookup, .arg = json_object_get(c, "vars") };
	struct template_error e;
	AUTO_STR struct str out = { 0 };
	const char *in = json_get_str(c, "in", ""), *test = json_get_str(c, "test", "");
	int r;
	if (strstr(test, "WithCustomFunc") || strstr(test, "SubstituteWithReplacement"))
		return; /* a hook of the reference's library, no syntax */
	r = template_substitute(&vars, in, &out, &e);
	if (json_object_get(c, "error"))
		EXPECT(r < 0, "\"%s\" must fail: %s", in, json_get_str(c, "error", ""));
	else
		EXPECT(r == 0 && str_eq(str_get(&out), json_get_str(c, "out", "")), "\"%s\" is \"%s\", want \"%s\"", in, str_get(&out),
		       json_get_str(c, "out", ""));
}

static void check_dotenv(struct arena *a, json_t *c)
{
	struct dotenv_vars vars = { .lookup = lookup, .arg = json_object_get(c, "lookups") };
	const char *src = json_get_str(c, "src", ""), *key;
	json_t *value, *want = json_object_get(c, "out");
	struct diags ds;
	struct env out;
	int r;
	diags_init(&ds, a);
	env_init(&out, a);
	json_object_foreach(json_object_get(c, "preset"), key, value)
		env_put(&out, key, json_string_value(value));
	r = dotenv_parse(source_new(a, "env", src, strlen(src)), &vars, &out, &ds);
	if (json_object_get(c, "error")) {
		EXPECT(r < 0, "must fail (%s):\n%s", json_get_str(c, "error", ""), src);
	} else {
		EXPECT(r == 0, "rejected (%s):\n%s", ds.n ? ds.v[0].message : "", src);
		EXPECT(out.vars.n == json_object_size(want), "%zu variables, want %zu:\n%s", out.vars.n, json_object_size(want), src);
		json_object_foreach(want, key, value)
			EXPECT(str_eq(env_get(&out, key), json_string_value(value)), "%s is \"%s\", want \"%s\":\n%s", key,
				env_get(&out, key) ? env_get(&out, key) : "(none)", json_string_value(value), src);
	}
	env_done(&out);
}

static struct node *parse(struct arena *a, const char *text, struct diags *ds)
{
	struct node **docs;
	size_t n;
	return yaml_parse(source_new(a, "t.yaml", text, strlen(text)), ds, &docs, &n) == 0 && n ? docs[0] : NULL;
}

/* Both sides in the form where a list of NAME=VALUE and a mapping are the same. */
static json_t *canonical(struct node *doc, struct diags *ds)
{
	canonical_apply(doc, false, ds);
	typed_convert(doc, ds);
	return shape_json(doc, &shape_project, true);
}

static void compare(struct arena *a, struct node *got, const char *want_text, const char *id, struct diags *ds)
{
	struct node *want = parse(a, want_text, ds);
	AUTO_JSON json_t *g = NULL, *w = NULL;
	AUTO_FREE char *gs = NULL, *ws = NULL;
	EXPECT(got && want, "%s: not parsed: %s", id, ds->n ? ds->v[0].message : "");
	if (!got || !want)
		return;
	g = canonical(got, ds);
	w = canonical(want, ds);
	gs = json_canonical(g);
	ws = json_canonical(w);
	EXPECT(json_equal(g, w) && !ds->n_errors, "%s: %s\n got %s\nwant %s", id, ds->n ? ds->v[0].message : "", gs, ws);
}

static void check_merge(struct arena *a, json_t *c)
{
	struct diags ds;
	struct node *base, *over;
	diags_init(&ds, a);
	base = parse(a, json_get_str(c, "base", ""), &ds);
	over = parse(a, json_get_str(c, "override", ""), &ds);
	if (base && over) {
		base = merge_documents(base, over, &ds);
		unicity_enforce(base, &ds);
	}
	compare(a, base, json_get_str(c, "want", ""), json_get_str(c, "id", ""), &ds);
}

static void check_unicity(struct arena *a, json_t *c)
{
	struct diags ds;
	struct node *doc;
	diags_init(&ds, a);
	doc = parse(a, json_get_str(c, "in", ""), &ds);
	if (doc)
		unicity_enforce(doc, &ds);
	compare(a, doc, json_get_str(c, "want", ""), json_get_str(c, "id", ""), &ds);
}

static void check_volume(struct arena *a, json_t *c)
{
	const char *in = json_get_str(c, "in", ""), *why;
	json_t *want = json_object_get(c, "out"), *bind = json_object_get(want, "bind"), *volume = json_object_get(want, "volume");
	struct short_volume v;
	bool ok = short_volume_parse(in, a, &v, &why);
	if (json_object_get(c, "error")) {
		EXPECT(!ok, "\"%s\" must fail: %s", in, json_get_str(c, "error", ""));
		return;
	}
	EXPECT(ok, "\"%s\": %s", in, why);
	EXPECT(str_eq(json_get_str(want, "source", NULL), v.source), "\"%s\": source \"%s\"", in, v.source ? v.source : "(none)");
	EXPECT(str_eq(json_get_str(want, "target", NULL), v.target), "\"%s\": target \"%s\"", in, v.target ? v.target : "(none)");
	EXPECT(str_eq(json_get_str(want, "type", ""), v.bind ? "bind" : "volume"), "\"%s\": type", in);
	EXPECT(json_get_bool(want, "read_only", false) == v.read_only, "\"%s\": read_only", in);
	EXPECT(json_get_bool(volume, "nocopy", false) == v.nocopy, "\"%s\": nocopy", in);
	EXPECT(str_eq(json_get_str(bind, "propagation", NULL), v.propagation), "\"%s\": propagation", in);
	EXPECT(str_eq(json_get_str(bind, "selinux", NULL), v.selinux), "\"%s\": selinux", in);
}

static int run_table(const char *name, void (*check)(struct arena *a, json_t *c))
{
	const char *folder = getenv("MUSTER_SUITES");
	AUTO_FREE char *path = xasprintf("%s/compose/%s", folder ? folder : "../shared/suites", name);
	AUTO_STR struct str text = { 0 };
	struct err err;
	if (fs_read(AT_FDCWD, path, 16 << 20, &text, &err) != 0)
		return -1;
	for (char *line = text.p, *end; line && *line; line = end) {
		AUTO_ARENA struct arena *a = arena_new();
		AUTO_JSON json_t *c = NULL;
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		c = json_loads(line, JSON_ALLOW_NUL, NULL);
		EXPECT(c, "%s: a line that is no JSON", name);
		if (c)
			check(a, c);
	}
	return 0;
}

int main(void)
{
	static const struct {
		const char *name;
		void (*check)(struct arena *a, json_t *c);
	} tables[] = {
		{ "interpolation.jsonl", check_interpolation }, { "dotenv.jsonl", check_dotenv }, { "merge.jsonl", check_merge },
		{ "unicity.jsonl", check_unicity }, { "volume-short.jsonl", check_volume },
	};
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		if (run_table(tables[i].name, tables[i].check) < 0) {
			printf("the reference's tables are not here: %s\n", tables[i].name);
			return 77;
		}
	}
	printf("%d passed, %d failed\n", passed, failures);
	return failures ? 1 : 0;
}
