/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: typed reads never fail on the wrong type, files that are torn, too deep or of another shape are an error and no crash, and any
 * bytes that a user's environment may hold can be written. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/json.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void test_reads(void)
{
	AUTO_JSON json_t *j = json_loads("{\"s\": \"x\", \"i\": 5, \"b\": true, \"f\": 1.5, \"l\": [\"a\", 1, \"b\"], \"n\": null}", 0, NULL);
	AUTO_STRV struct strv v = { 0 };
	EXPECT(str_eq(json_get_str(j, "s", "d"), "x") && str_eq(json_get_str(j, "i", "d"), "d") && !json_get_str(j, "none", NULL), "strings");
	EXPECT(json_get_int(j, "i", 9) == 5 && json_get_int(j, "f", 9) == 9 && json_get_int(j, "s", 9) == 9, "integers");
	EXPECT(json_get_bool(j, "b", false) && json_get_bool(j, "n", true) && !json_get_bool(j, "i", false), "truths");
	EXPECT(json_get_num(j, "f", 0) == 1.5 && json_get_num(j, "i", 0) == 5 && json_get_num(j, "s", 7) == 7, "numbers");
	json_get_strv(j, "l", &v);
	json_get_strv(j, "s", &v);
	json_get_strv(j, "none", &v);
	EXPECT(v.n == 2 && str_eq(v.v[0], "a") && str_eq(v.v[1], "b"), "%zu strings", v.n);
	EXPECT(!json_get_str(NULL, "s", NULL) && json_get_int(NULL, "i", 3) == 3, "no object is like an empty one");
}

static void test_writes(void)
{
	AUTO_JSON json_t *j = json_object(), *list = NULL;
	AUTO_FREE char *text = NULL;
	char a[] = "a", u[] = "grün", *words[] = { a, u, NULL };
	json_put_str(j, "z", "1");
	json_put_int(j, "a", 1LL << 60);
	json_put_str(j, "gone", "x");
	json_put_str(j, "gone", NULL);
	json_object_set_new(j, "l", json_from_strv(words));
	list = json_from_strv(NULL);
	EXPECT(json_array_size(list) == 0, "no list is an empty one");
	text = json_canonical(j);
	EXPECT(str_eq(text, "{\"a\":1152921504606846976,\"l\":[\"a\",\"grün\"],\"z\":\"1\"}"), "%s", text);
}

/* An environment variable or a path may be Latin-1: what is no UTF-8 is replaced, as the reference does, and nothing aborts. */
static void test_bad_utf8(void)
{
	AUTO_JSON json_t *j = json_object();
	AUTO_FREE char *text = NULL;
	char latin[] = "caf\xe9", bad[] = "\xff", ok[] = "ok", *words[] = { latin, bad, ok, NULL };
	json_put_str(j, "a", "gr\xfcn");
	json_object_set_new(j, "l", json_from_strv(words));
	text = json_canonical(j);
	EXPECT(str_eq(text, "{\"a\":\"gr\xef\xbf\xbdn\",\"l\":[\"caf\xef\xbf\xbd\",\"\xef\xbf\xbd\",\"ok\"]}"), "%s", text);
}

static void put(int dir, const char *name, const char *text, size_t len)
{
	struct err err = { 0 };
	if (fs_write_volatile(dir, name, text, len, 0600, &err) < 0) {
		printf("%s\n", err.msg);
		exit(1);
	}
}

static void test_files(int dir)
{
	static const char *const torn[] = { "", "{", "{\"a\":", "[]", "5", "{\"a\":1}{", "{\"a\":1,\"a\":2}",
		"{\"a\":\"\\u0000\"}", "{\"a\":\"\xff\"}", "\xff" };
	AUTO_STR struct str deep = { 0 };
	AUTO_JSON json_t *j = NULL;
	struct err err = { 0 };
	EXPECT(json_read_file(dir, "absent", &j, &err) == 1 && !j, "an absent file is an outcome");
	for (size_t i = 0; i < ARRAY_SIZE(torn); i++) {
		put(dir, "f", torn[i], strlen(torn[i]));
		err = (struct err){ 0 };
		EXPECT(json_read_file(dir, "f", &j, &err) == -1 && err.code == ERR_CORRUPT && !j, "\"%s\" was read", torn[i]);
		EXPECT(strstr(err.msg, "f: "), "%s", err.msg);
	}
	str_add(&deep, "{\"a\":");
	for (int i = 0; i < 100000; i++)
		str_addc(&deep, '[');
	put(dir, "f", deep.p, deep.len);
	EXPECT(json_read_file(dir, "f", &j, &err) == -1 && err.code == ERR_CORRUPT, "a hundred thousand levels");
	put(dir, "f", "{\"a\":[1,{}]}", 12);
	EXPECT(json_read_file(dir, "f", &j, &err) == 0 && json_object_size(j) == 1, "%s", err.msg);
	for (int durable = 0; durable < 2; durable++) {
		AUTO_JSON json_t *back = NULL;
		struct stat st;
		EXPECT(json_write_file(dir, "g", j, durable, &err) == 0 && json_read_file(dir, "g", &back, &err) == 0 && json_equal(j, back), "%s", err.msg);
		EXPECT(fstatat(dir, "g", &st, 0) == 0 && (st.st_mode & 07777) == 0600, "mode %o", st.st_mode & 07777);
	}
	EXPECT(json_read_file(dir, ".", &j, &err) == -1, "a directory is no file");
}

int main(void)
{
	char path[] = "/tmp/base_json.XXXXXX";
	struct err err = { 0 };
	AUTO_CLOSE int dir = -1;
	if (!mkdtemp(path) || (dir = fs_open_dir(AT_FDCWD, path, &err)) < 0)
		return 1;
	test_reads();
	test_writes();
	test_bad_utf8();
	test_files(dir);
	EXPECT(fs_remove_tree(AT_FDCWD, path, &err) == 0, "%s", err.msg);
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
