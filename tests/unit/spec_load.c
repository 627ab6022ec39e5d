/* SPDX-License-Identifier: Apache-2.0 */
/* The loader as other parts use it: results and their life time, places of paths for later messages, the name of a project
 * without reading what is in it, selection of services, the switches of `config`; and paths, which the rest stands on. */
#include <stdio.h>

#include "base/clock.h"
#include "base/fs.h"
#include "spec/canon.h"
#include "spec/load.h"
#include "spec/paths.h"

static int failures;
static char folder[] = "/tmp/muster-load-XXXXXX";

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void put_file(const char *name, const char *text)
{
	AUTO_FREE char *path = xasprintf("%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static const char *const no_environment[] = { "HOME=/home/u", NULL };

static int load(struct arena *a, struct load_options *o, struct load_result *r, struct diags *ds)
{
	diags_init(ds, a);
	o->working_dir = folder;
	if (!o->environ)
		o->environ = no_environment;
	return load_project(o, r, ds);
}

static void test_result(struct arena *a)
{
	struct load_options o = { 0 };
	struct load_result r = { 0 };
	struct diags ds;
	struct pos pos;
	AUTO_FREE char *file = xasprintf("%s/compose.yaml", folder);
	put_file("compose.yaml", "services:\n  web:\n    image: x\n    ports: [\"8080:80\"]\n    environment:\n      A: b\n  off: {image: y, profiles: [p]}\n");
	EXPECT(load(a, &o, &r, &ds) == 0, "rejected: %s", ds.n ? ds.v[0].message : "");
	EXPECT(r.files.n == 1 && str_eq(r.files.v[0], file) && str_eq(r.working_dir, folder), "files and directory");
	EXPECT(r.disabled.n == 1 && str_eq(r.disabled.v[0], "off") && r.all_profiles.n == 1, "profiles");
	EXPECT(load_service(&r, "web") && !load_service(&r, "off"), "services");
	EXPECT(load_position(&r, "services.web.ports[0]", &pos) && pos.line == 4 && pos.column == 13, "a port is at %d:%d", pos.line, pos.column);
	EXPECT(load_position(&r, "services.web.environment.A", &pos) && pos.line == 6, "a variable is at line %d", pos.line);
	EXPECT(load_position(&r, "services.web.cap_drop[3]", &pos) && pos.line == 2, "what nobody wrote is at its parent, line %d", pos.line);
	EXPECT(load_position(&r, "nothing", &pos), "the document at least");
	load_result_done(&r);
	load_result_done(&r);
	load_result_done(NULL);
}

static void test_selection(struct arena *a)
{
	static const char *const web[] = { "web", NULL }, *const nope[] = { "wbe", NULL }, *const off[] = { "off", NULL };
	struct load_options o = { .services = web };
	struct load_result r = { 0 };
	struct diags ds;
	put_file("compose.yaml", "services:\n  web: {image: x, depends_on: [db]}\n  db: {image: y, volumes: [\"data:/d\"]}\n"
		"  other: {image: z, env_file: missing.env}\n  off: {image: z, profiles: [p]}\nvolumes: {data: }\n");
	EXPECT(load(a, &o, &r, &ds) == 0, "rejected: %s", ds.n ? ds.v[0].message : "");
	EXPECT(load_service(&r, "db") && !load_service(&r, "other"), "what it depends on comes along; a broken stranger does not matter");
	load_result_done(&r);
	o.no_deps = true;
	EXPECT(load(a, &o, &r, &ds) == 0 && !load_service(&r, "db") && !json_object_get(r.config, "volumes"), "without dependencies, without their volumes");
	load_result_done(&r);
	o = (struct load_options){ .services = nope };
	EXPECT(load(a, &o, &r, &ds) < 0 && strstr(ds.v[ds.n - 1].hint, "web"), "an unknown service, with a hint");
	o = (struct load_options){ .services = off, .no_env_resolution = true };
	EXPECT(load(a, &o, &r, &ds) == 0 && load_service(&r, "off") && r.profiles.n == 1, "a named service activates its profiles");
	load_result_done(&r);
}

static void test_switches(struct arena *a)
{
	struct load_options o = { .no_interpolate = true };
	struct load_result r = { 0 };
	struct diags ds;
	struct err err;
	AUTO_STR struct str text = { 0 };
	put_file("compose.yaml", "services:\n  web: {image: \"x:${TAG:-1}\", hostname: \"${H:?}\", env_file: a.env, networks: [nowhere]}\n"
				 "networks: {unused: }\n");
	put_file("a.env", "A=1\n");
	EXPECT(load(a, &o, &r, &ds) == 0, "no_interpolate: %s", ds.n ? ds.v[0].message : "");
	EXPECT(r.n_variables == 2 && str_eq(r.variables[0].name, "H") && r.variables[0].required && str_eq(r.variables[1].def, "1"), "variables");
	EXPECT(canon_yaml(&r, &text, &err) == 0 && strstr(str_get(&text), "${TAG:-1}"), "the text stays: %s", str_get(&text));
	load_result_done(&r);
	o = (struct load_options){ .environ = (const char *const[]){ "H=h", NULL } };
	EXPECT(load(a, &o, &r, &ds) < 0, "an undefined network");
	o.no_consistency = o.no_env_resolution = o.no_path_resolution = o.all_resources = true;
	EXPECT(load(a, &o, &r, &ds) == 0, "no_consistency: %s", ds.n ? ds.v[0].message : "");
	EXPECT(str_eq(json_string_value(json_object_get(json_array_get(json_object_get(load_service(&r, "web"), "env_file"), 0), "path")), "a.env"),
		"neither paths nor env files are resolved");
	EXPECT(json_object_get(json_object_get(r.config, "networks"), "unused"), "all_resources");
	load_result_done(&r);
}

static void test_hash(struct arena *a)
{
	struct load_options o = { 0 };
	struct load_result r = { 0 };
	struct diags ds;
	struct err err;
	AUTO_STRV struct strv one = { 0 }, two = { 0 }, three = { 0 };
	put_file("compose.yaml", "services: {web: {image: x, scale: 1}}\n");
	EXPECT(load(a, &o, &r, &ds) == 0 && canon_hash(&r, NULL, &one, &err) == 0, "rejected");
	load_result_done(&r);
	put_file("compose.yaml", "services:\n  web:\n    scale: 5\n    image: \"x\"\n");
	EXPECT(load(a, &o, &r, &ds) == 0 && canon_hash(&r, NULL, &two, &err) == 0, "rejected");
	load_result_done(&r);
	put_file("compose.yaml", "services: {web: {image: y}}\n");
	EXPECT(load(a, &o, &r, &ds) == 0 && canon_hash(&r, (const char *const[]){ "web", NULL }, &three, &err) == 0, "rejected");
	EXPECT(canon_hash(&r, (const char *const[]){ "no", NULL }, &three, &err) < 0 && err.code == ERR_NOT_FOUND, "an unknown service");
	load_result_done(&r);
	EXPECT(one.n == 1 && str_eq(one.v[0], two.v[0]) && !str_eq(one.v[0], three.v[0]), "%s / %s / %s", one.v[0], two.v[0], three.v[0]);
}

static void test_identity(struct arena *a)
{
	struct load_options o = { .working_dir = folder, .project_name = "named", .environ = no_environment };
	const char *name = NULL, *dir = NULL;
	struct diags ds;
	put_file("compose.yaml", "services: [broken\n");
	diags_init(&ds, a);
	EXPECT(load_identity(&o, &name, &dir, &ds) == 0 && str_eq(name, "named"), "a name that is known does not need the file");
	o.project_name = NULL;
	EXPECT(load_identity(&o, &name, &dir, &ds) < 0, "without one, a broken file is an error");
	put_file("compose.yaml", "name: From-File\nservices: {web: {imagee: x}}\n");
	diags_init(&ds, a);
	EXPECT(load_identity(&o, &name, &dir, &ds) == 0 && str_eq(name, "from-file") && str_eq(dir, folder), "a mistake inside does not matter");
}

static void test_paths(struct arena *a)
{
	static const struct {
		const char *in, *out;
	} clean[] = {
		{ "", "." }, { "/", "/" }, { "a/../b//c/.", "b/c" }, { "../a/../../b", "../../b" }, { "/../a", "/a" }, { "a/..", "." }, { "./.", "." },
		{ "/a/b/../../..", "/" }, { "a//", "a" }, { "..", ".." },
	};
	static const struct {
		const char *from, *to, *out;
	} relative[] = {
		{ "/a", "/a", "." }, { "/a", "/a/b", "b" }, { "/a/b", "/a", ".." }, { "/a/b", "/a/c/d", "../c/d" }, { "/ab", "/a", "../a" }, { "/", "/a", "a" },
		{ "/a", "/", ".." }, { "/a/bc", "/a/b", "../b" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(clean); i++)
		EXPECT(str_eq(path_clean(a, clean[i].in), clean[i].out), "%s is %s, want %s", clean[i].in, path_clean(a, clean[i].in), clean[i].out);
	for (size_t i = 0; i < ARRAY_SIZE(relative); i++)
		EXPECT(str_eq(path_relative(a, relative[i].from, relative[i].to), relative[i].out), "%s from %s is %s", relative[i].to, relative[i].from,
			path_relative(a, relative[i].from, relative[i].to));
	EXPECT(str_eq(path_join(a, "/a", "../b"), "/b") && str_eq(path_join(a, "", ""), "") && str_eq(path_dir(a, "/a/b"), "/a"), "join and dir");
	EXPECT(str_eq(path_base(a, "/a/b/"), "b") && str_eq(path_base(a, "/"), "/") && str_eq(path_expand_home(a, "~/x", "/h"), "/h/x"), "base and home");
	EXPECT(path_is_windows("C:\\x") && path_is_windows("\\\\h\\s") && !path_is_windows("/c") && !path_is_windows("a"), "Windows");
}

static void expect_cheap(struct str *text, bool accepted, const char *what)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct load_options o = { 0 };
	struct load_result r = { 0 };
	struct diags ds;
	uint64_t start = clock_mono_ns(), ms;
	put_file("compose.yaml", str_get(text));
	EXPECT((load(a, &o, &r, &ds) == 0) == accepted, "%s: %s", what, ds.n ? ds.v[ds.n - 1].message : "accepted");
	ms = (clock_mono_ns() - start) / 1000000;
	EXPECT(ms < 5000, "%s took %llu ms", what, (unsigned long long)ms);
	load_result_done(&r);
	str_done(text);
}

/* Small files that ask for much: each is refused or done with in about the time that its size deserves. */
static void test_bounds(void)
{
	struct str text = { 0 };
	str_add(&text, "services:\n");
	for (int i = 0; i < 3000; i++)
		str_addf(&text, "  s%d: {image: x, ports: [\"1-65535\"]}\n", i);
	expect_cheap(&text, false, "65535 ports in each of 3000 services");
	str_add(&text, "services:\n  a:\n    image: x\n    labels:\n");
	for (int i = 0; i < 10000; i++)
		str_addf(&text, "      l%d: v\n", i);
	for (int i = 0; i < 10000; i++)
		str_addf(&text, "  b%d: {extends: a}\n", i);
	expect_cheap(&text, false, "10 000 services that extend one with 10 000 labels");
	str_add(&text, "services:\n  web:\n    build:\n      args:\n");
	for (int i = 0; i < 40000; i++)
		str_addf(&text, "        A%d:\n", i);
	expect_cheap(&text, true, "40 000 build arguments without a value");
	str_add(&text, "services:\n  web:\n    image: x\n    hostname: \"");
	for (int i = 0; i < 50000; i++)
		str_addf(&text, "$V%dx", i);
	str_add(&text, "\"\n");
	expect_cheap(&text, true, "50 000 unset variables in one line");
	str_add(&text, "services:\n");
	for (int i = 0; i < 20000; i++)
		str_addf(&text, "  s%d: {image: x, depends_on: [s%d]}\n", i, (i + 1) % 20000);
	expect_cheap(&text, false, "a cycle through 20 000 services");
}

int main(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct err err;
	if (!mkdtemp(folder))
		abort();
	test_result(a);
	test_selection(a);
	test_switches(a);
	test_hash(a);
	test_identity(a);
	test_paths(a);
	test_bounds();
	fs_remove_tree(AT_FDCWD, folder, &err);
	return failures ? 1 : 0;
}
