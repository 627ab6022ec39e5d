/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations decide what runs: fields of a wrong type are refused, absent ones are empty, and `--change` means what the same
 * words mean in a Dockerfile. */
#include "tests/unit/images_rig.h"

#define DIFF "1111111111111111111111111111111111111111111111111111111111111111"
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" DIFF "\"]}"

static int parse(const char *text, struct image *img, struct err *err)
{
	*err = (struct err){0};
	return image_config_parse(text, strlen(text), img, err);
}

static void test_parse(void)
{
	AUTO_IMAGE struct image img = {0};
	struct err err;
	char id[65];
	const char *text = "{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\",\"created\":\"2020-01-01T00:00:00Z\","
		"\"config\":{\"User\":\"app\",\"Env\":[\"A=1\",\"B=2\"],\"Entrypoint\":[\"/e\"],\"Cmd\":\"lone\",\"WorkingDir\":\"/w\","
		"\"ExposedPorts\":{\"90/udp\":{},\"80/tcp\":{}},\"Volumes\":{\"/v\":{}},\"Labels\":{\"b\":\"2\",\"a\":\"1\"},"
		"\"StopSignal\":\"SIGINT\"}," ROOTFS "}";
	sha256_hex(text, strlen(text), id);
	EXPECT(parse(text, &img, &err) == 0, "%s", err.msg);
	EXPECT(strcmp(img.id, id) == 0 && img.diff_ids.n == 1 && strcmp(img.diff_ids.v[0], DIFF) == 0, "ids");
	EXPECT(strcmp(img.user, "app") == 0 && strcmp(img.working_dir, "/w") == 0 && strcmp(img.stop_signal, "SIGINT") == 0, "texts");
	EXPECT(strcmp(img.architecture, "arm64") == 0 && strcmp(img.variant, "v8") == 0 && img.created[0] == '2', "platform");
	EXPECT(img.env.n == 2 && img.entrypoint.n == 1 && img.cmd.n == 1 && strcmp(img.cmd.v[0], "lone") == 0, "lists");
	EXPECT(img.exposed_ports.n == 2 && strcmp(img.exposed_ports.v[0], "80/tcp") == 0 && img.volumes.n == 1, "sets are sorted");
	EXPECT(img.label_keys.n == 2 && strcmp(img.label_keys.v[0], "a") == 0 && strcmp(img.label_values.v[1], "2") == 0, "labels");
}

static void test_defaults(void)
{
	AUTO_IMAGE struct image img = {0};
	struct err err;
	EXPECT(parse("{\"os\":\"linux\",\"config\":{\"Env\":null,\"User\":null}," ROOTFS "}", &img, &err) == 0, "%s", err.msg);
	EXPECT(!*img.user && !*img.working_dir && !*img.created && img.env.n == 0 && img.cmd.n == 0, "absent and null are empty");
}

static void test_refused(void)
{
	static const char *const texts[] = {
		"", "[]", "{", "{\"os\":\"linux\"}", "{\"os\":\"linux\",\"rootfs\":{\"type\":\"other\",\"diff_ids\":[]}}",
		"{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:../../../etc\"]}}",
		"{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"md5:11\"]}}",
		"{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[1]}}",
		"{\"os\":\"windows\"," ROOTFS "}", "{" ROOTFS "}", "{\"os\":1," ROOTFS "}",
		"{\"os\":\"linux\",\"config\":[]," ROOTFS "}", "{\"os\":\"linux\",\"config\":{\"Env\":[1]}," ROOTFS "}",
		"{\"os\":\"linux\",\"config\":{\"Env\":{}}," ROOTFS "}", "{\"os\":\"linux\",\"config\":{\"User\":7}," ROOTFS "}",
		"{\"os\":\"linux\",\"config\":{\"Labels\":{\"a\":1}}," ROOTFS "}", "{\"os\":\"linux\",\"config\":{\"Volumes\":[\"/v\"]}," ROOTFS "}",
		"{\"os\":\"linux\",\"os\":\"linux\"," ROOTFS "}",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		AUTO_IMAGE struct image img = {0};
		struct err err;
		EXPECT(parse(texts[i], &img, &err) < 0 && err.msg[0], "taken: %s", texts[i]);
	}
}

static void test_too_many_layers(void)
{
	AUTO_STR struct str text = {0};
	AUTO_IMAGE struct image img = {0};
	struct err err;
	str_add(&text, "{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
	for (int i = 0; i <= IMAGE_MAX_LAYERS; i++)
		str_addf(&text, "%s\"sha256:%064x\"", i ? "," : "", i);
	str_add(&text, "]}}");
	EXPECT(parse(text.p, &img, &err) < 0 && strstr(err.msg, "128 layers"), "%s", err.msg);
}

/* Applies the changes of a NULL-terminated list and returns the "config" object's text; free() it. */
static char *changed(const char *const *list, struct err *err)
{
	AUTO_JSON json_t *doc = image_config_new(DIFF, "2020-01-01T00:00:00Z", NULL);
	*err = (struct err){0};
	for (; *list; list++)
		if (image_config_change(doc, *list, err) < 0)
			return xstrdup("");
	return json_canonical(json_object_get(doc, "config"));
}

static void test_changes(void)
{
	static const struct {
		const char *list[4], *want;
	} cases[] = {
		{ { "CMD [\"a\", \"b c\"]" }, "{\"Cmd\":[\"a\",\"b c\"]}" },
		{ { "cmd echo $HOME \"x\"  " }, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $HOME \\\"x\\\"\"]}" },
		{ { "CMD []" }, "{\"Cmd\":[]}" },
		{ { "CMD [ \"a\", 1 ]" }, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[ \\\"a\\\", 1 ]\"]}" },
		{ { "ENTRYPOINT [\"/e\"]", "CMD x" }, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"x\"],\"Entrypoint\":[\"/e\"]}" },
		{ { "ENV A=1 B=\"two words\" C='$A' D=a\\ b" }, "{\"Env\":[\"A=1\",\"B=two words\",\"C=$A\",\"D=a b\"]}" },
		{ { "ENV A 1 and more" }, "{\"Env\":[\"A=1 and more\"]}" },
		{ { "ENV P=/bin", "ENV P=/x:$P Q=${P}s" }, "{\"Env\":[\"P=/x:/bin\",\"Q=/bins\"]}" },
		{ { "ENV A=1", "ENV AB=2", "ENV A=3" }, "{\"Env\":[\"A=3\",\"AB=2\"]}" },
		{ { "EXPOSE 80 53/udp 8000-8002" },
			"{\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{},\"8000/tcp\":{},\"8001/tcp\":{},\"8002/tcp\":{}}}" },
		{ { "LABEL a=1 \"b c\"=2" }, "{\"Labels\":{\"a\":\"1\",\"b c\":\"2\"}}" },
		{ { "USER 1000:1000" }, "{\"User\":\"1000:1000\"}" },
		{ { "VOLUME /a /b" }, "{\"Volumes\":{\"/a\":{},\"/b\":{}}}" },
		{ { "VOLUME [\"/with space\"]" }, "{\"Volumes\":{\"/with space\":{}}}" },
		{ { "WORKDIR /a/", "WORKDIR b" }, "{\"WorkingDir\":\"/a/b\"}" },
		{ { "STOPSIGNAL SIGQUIT" }, "{\"StopSignal\":\"SIGQUIT\"}" },
	};
	static const char *const bad[] = {
		"", "RUN x", "CMD", "ENV A", "ENV =x", "ENV A=\"open", "EXPOSE 0", "EXPOSE 70000", "EXPOSE 80/icmp", "EXPOSE 9-8", "VOLUME a",
		"STOPSIGNAL NOPE", "ENV A=${B:-c}", "HEALTHCHECK NONE", "ONBUILD RUN x", "ENV A=\xff", "FROM busybox",
	};
	struct err err;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_FREE char *got = changed(cases[i].list, &err);
		EXPECT(strcmp(got, cases[i].want) == 0, "%s: %s %s", cases[i].list[0], got, err.msg);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO_FREE char *got = changed((const char *const[]){ bad[i], NULL }, &err);
		EXPECT(!*got && str_starts(err.msg, "change \""), "taken: %s (%s)", bad[i], err.msg);
	}
}

int main(void)
{
	test_parse();
	test_defaults();
	test_refused();
	test_too_many_layers();
	test_changes();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
