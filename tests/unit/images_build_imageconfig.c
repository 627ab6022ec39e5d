/* SPDX-License-Identifier: Apache-2.0 */
/* An image's configuration as instructions change it. Invariants: what says how a container was once made of the base, and the base's cache record, are
 * not inherited; an instruction changes its own key and adds one entry to the history, in BuildKit's words; times that are missing are those of
 * the layer before, or the epoch everywhere; the same document whatever order keys came in. */
#include "images/build/imageconfig.h"

#include <stdio.h>

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

/* Applies the instructions of a Dockerfile's only stage. */
static void apply(json_t *doc, const char *text)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct dockerfile *df = NULL;
	struct instructions *all = NULL;
	struct expand_env env = {0};
	struct diags ds;
	bool cmd_set = false;
	diags_init(&ds, a);
	CHECK(dockerfile_parse(a, source_new(a, "Dockerfile", text, strlen(text)), &ds, &df) == 0 && instruction_parse(a, df, &ds, &all) == 0, "%s", text);
	for (size_t i = 0; all && i < all->stages[0].n; i++) {
		struct instruction *in = NULL;
		CHECK(instruction_expand(a, all->stages[0].v[i], &env, NULL, &ds, &in) == 0 && imageconfig_apply(doc, in, &cmd_set) == 0, "%s", text);
	}
	expand_env_done(&env);
}

/* The member at a path as canonical text; free() it. */
static char *at(json_t *doc, const char *key)
{
	json_t *j = json_object_get(json_object_get(doc, "config"), key);
	AUTO_JSON json_t *list = j ? json_pack("[O]", j) : json_array();
	return json_canonical(list);
}

static const char *last_history(json_t *doc)
{
	const json_t *history = json_object_get(doc, "history");
	return json_get_str(json_array_get(history, json_array_size(history) - 1), "created_by", "");
}

static void test_each(void)
{
	static const struct {
		const char *text, *key, *want, *said;
	} cases[] = {
		{ "ENV A=1 B=\"x y\"", "Env", "[[\"PATH=/bin\",\"A=1\",\"B=x y\"]]", "ENV A=1 B=x y" },
		{ "ENV PATH=/p", "Env", "[[\"PATH=/p\"]]", "ENV PATH=/p" },
		{ "LABEL a=1 a=2", "Labels", "[{\"a\":\"2\"}]", "LABEL a=1 a=2" },
		{ "CMD [\"a\",\"b\\\"\"]", "Cmd", "[[\"a\",\"b\\\"\"]]", "CMD [\"a\" \"b\\\"\"]" },
		{ "CMD a b", "Cmd", "[[\"/bin/sh\",\"-c\",\"a b\"]]", "CMD [\"/bin/sh\" \"-c\" \"a b\"]" },
		{ "SHELL [\"/x\"]\nCMD a", "Cmd", "[[\"/x\",\"a\"]]", "CMD [\"/x\" \"a\"]" },
		{ "ENTRYPOINT []", "Entrypoint", "[[]]", "ENTRYPOINT []" },
		{ "ENTRYPOINT a", "Cmd", "[]", "ENTRYPOINT [\"/bin/sh\" \"-c\" \"a\"]" },                   /* an inherited CMD goes */
		{ "CMD b\nENTRYPOINT [\"a\"]", "Cmd", "[[\"/bin/sh\",\"-c\",\"b\"]]", "ENTRYPOINT [\"a\"]" }, /* this stage's stays */
		{ "EXPOSE 80 53/udp", "ExposedPorts", "[{\"53/udp\":{},\"80/tcp\":{}}]", "EXPOSE [53/udp 80/tcp]" },
		{ "VOLUME /a /b", "Volumes", "[{\"/a\":{},\"/b\":{}}]", "VOLUME [/a /b]" },
		{ "USER 1:2", "User", "[\"1:2\"]", "USER 1:2" },
		{ "STOPSIGNAL SIGINT", "StopSignal", "[\"SIGINT\"]", "STOPSIGNAL SIGINT" },
		{ "ONBUILD RUN x", "OnBuild", "[[\"RUN x\"]]", "" }, /* no history, as in BuildKit */
		{ "HEALTHCHECK NONE", "Healthcheck", "[{\"Test\":[\"NONE\"]}]", "HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}" },
		{ "HEALTHCHECK --interval=90m --timeout=1ms --retries=2 CMD x", "Healthcheck",
		  "[{\"Interval\":5400000000000,\"Retries\":2,\"Test\":[\"CMD-SHELL\",\"x\"],\"Timeout\":1000000}]",
		  "HEALTHCHECK &{[\"CMD-SHELL\" \"x\"] \"1h30m0s\" \"1ms\" \"0s\" \"0s\" '\\x02'}" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON json_t *doc = json_loads("{\"config\":{\"Env\":[\"PATH=/bin\"],\"Cmd\":[\"old\"]}}", 0, NULL);
		AUTO_FREE char *text = xasprintf("FROM x\n%s\n", cases[i].text), *got = NULL;
		apply(doc, text);
		got = at(doc, cases[i].key);
		CHECK(strcmp(got, cases[i].want) == 0, "%s: %s", cases[i].text, got);
		CHECK(strcmp(last_history(doc), cases[i].said) == 0, "%s: %s", cases[i].text, last_history(doc));
	}
}

static void test_inherit(void)
{
	AUTO_JSON json_t *base = json_loads("{\"id\":\"x\",\"parent\":\"y\",\"container\":\"z\",\"container_config\":{},\"docker_version\":\"1\","
		"\"moby.buildkit.cache.v0\":\"W10=\",\"os\":\"linux\",\"config\":{\"Hostname\":\"h\","
		"\"Domainname\":\"d\",\"Image\":\"i\",\"Labels\":{\"a\":\"b\"},"
		"\"OnBuild\":[\"RUN x\",\"RUN y\"]}}", 0, NULL);
	AUTO_STRV struct strv triggers = {0};
	AUTO_JSON json_t *doc = imageconfig_from(base, &triggers);
	AUTO_FREE char *text = json_canonical(doc);
	CHECK(strcmp(text, "{\"config\":{\"Env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"],\"Labels\":{\"a\":\"b\"}},"
		"\"os\":\"linux\"}") == 0, "%s", text);
	CHECK(triggers.n == 2 && strcmp(triggers.v[1], "RUN y") == 0, "%zu triggers", triggers.n);
	CHECK(json_object_get(base, "id"), "the base itself has changed");
}

static void test_finish(void)
{
	static const struct {
		const char *epoch, *want;
	} cases[] = {
		{ NULL, "[\"2020-01-01T00:00:00Z\",\"2021-01-01T00:00:00Z\",\"2021-01-01T00:00:00Z\",\"2022-01-01T00:00:00Z\"]" },
		{ "1999-01-01T00:00:00Z", "[\"2020-01-01T00:00:00Z\",\"2021-01-01T00:00:00Z\",\"1999-01-01T00:00:00Z\",\"2022-01-01T00:00:00Z\"]" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_JSON json_t *doc = imageconfig_new("linux", "arm", "v7"), *times = json_array();
		AUTO_STRV struct strv ids = {0};
		AUTO_FREE char *got = NULL;
		json_t *item;
		size_t k;
		json_object_set_new(doc, "history", json_pack("[{s:s,s:s}]", "created", "2020-01-01T00:00:00Z", "created_by", "base"));
		imageconfig_history(doc, "RUN a", "2021-01-01T00:00:00Z", false);
		imageconfig_history(doc, "ENV a=b", "", true);
		imageconfig_history(doc, "RUN b", "2022-01-01T00:00:00Z", false);
		strv_push(&ids, "1111111111111111111111111111111111111111111111111111111111111111");
		imageconfig_finish(doc, &ids, "2022-01-01T00:00:00Z", cases[i].epoch);
		json_array_foreach(json_object_get(doc, "history"), k, item)
			json_array_append(times, json_object_get(item, "created"));
		got = json_canonical(times);
		CHECK(strcmp(got, cases[i].want) == 0, "%s", got);
		CHECK(strcmp(json_get_str(doc, "created", ""), cases[i].epoch ? cases[i].epoch : "2022-01-01T00:00:00Z") == 0,
			"%s", json_get_str(doc, "created", ""));
		CHECK(strcmp(json_get_str(doc, "variant", ""), "v7") == 0 &&
			json_array_size(json_object_get(json_object_get(doc, "rootfs"), "diff_ids")) == 1, "rootfs");
		CHECK(json_is_true(json_object_get(json_array_get(json_object_get(doc, "history"), 2), "empty_layer")), "an empty layer");
	}
}

static void test_texts(void)
{
	AUTO_STRV struct strv argv = {0}, declared = {0}, shell = {0};
	struct expand_env args = {0};
	AUTO_FREE char *plain = NULL, *with = NULL;
	AUTO_JSON json_t *doc = json_loads("{\"config\":{\"Shell\":[\"/bin/ash\",\"-ec\"]}}", 0, NULL), *none = json_object();
	strv_push(&argv, "/bin/sh");
	strv_push(&argv, "-c");
	strv_push(&argv, "make");
	plain = imageconfig_run_text(&argv, &declared, &args);
	CHECK(strcmp(plain, "RUN /bin/sh -c make # buildkit") == 0, "%s", plain);
	expand_env_add(&args, "A=1");
	expand_env_add(&args, "B=2");
	strv_push(&declared, "A");
	strv_push(&declared, "B");
	with = imageconfig_run_text(&argv, &declared, &args);
	CHECK(strcmp(with, "RUN |2 A=1 B=2 /bin/sh -c make # buildkit") == 0, "%s", with);
	expand_env_done(&args);
	imageconfig_shell(doc, &shell);
	CHECK(shell.n == 2 && strcmp(shell.v[0], "/bin/ash") == 0, "%zu", shell.n);
	strv_done(&shell);
	imageconfig_shell(none, &shell);
	CHECK(shell.n == 2 && strcmp(shell.v[1], "-c") == 0, "%zu", shell.n);
}

int main(void)
{
	test_each();
	test_inherit();
	test_finish();
	test_texts();
	return failures != 0;
}
