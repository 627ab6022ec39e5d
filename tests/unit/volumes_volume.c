/* SPDX-License-Identifier: Apache-2.0 */
/* A volume is there whole or not at all, keeps its data and labels when it is made again, and cannot be named so that it is outside its folder. */
#include <stdio.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "volumes/volume.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static int count_name(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int n_in(int root, const char *dir)
{
	int n = 0;
	return fs_each(root, dir, count_name, &n, NULL) < 0 ? -1 : n;
}

static void test_life(int root)
{
	AUTO_JSON json_t *labels = json_object(), *other = json_object();
	AUTO_STR struct str text = {0};
	struct volume v = {0};
	struct err err = {0};
	int fd, data;
	json_put_str(labels, "com.docker.compose.project", "pets");
	EXPECT(volume_lookup(root, "data", &v, &err) == 1, "%s", err.msg);
	EXPECT(volume_create(root, "data", labels, NULL, &err) == 0, "%s", err.msg);
	EXPECT(volume_lookup(root, "data", &v, &err) == 0 && !v.anonymous && v.created_ns > 0 && strcmp(v.driver, "local") == 0, "%s", err.msg);
	EXPECT(strcmp(json_get_str(v.labels, "com.docker.compose.project", ""), "pets") == 0, "labels");
	volume_done(&v);
	fd = volume_open(root, "data", &err);
	data = volume_open_data(fd, &err);
	EXPECT(fd >= 0 && data >= 0 && fs_write_volatile(data, "f", "kept", 4, 0644, &err) == 0, "%s", err.msg);
	close(data);
	close(fd);
	EXPECT(volume_create(root, "data", other, NULL, &err) == 1, "again: %s", err.msg);
	EXPECT(fs_read(root, "volumes/data/_data/f", 100, &text, &err) == 0 && strcmp(str_get(&text), "kept") == 0, "data stays");
	EXPECT(volume_lookup(root, "data", &v, &err) == 0 && json_object_size(v.labels) == 1, "labels stay");
	volume_done(&v);
	EXPECT(volume_remove(root, "data", &err) == 0 && volume_remove(root, "data", &err) == 1 && n_in(root, "volumes") == 1, "only the lock is left");
	EXPECT(volume_open(root, "data", &err) < 0 && err.code == ERR_NOT_FOUND, "%s", err.msg);
}

static void test_anonymous(int root)
{
	AUTO_FREE char *a = NULL, *b = NULL;
	struct volume *list;
	struct err err = {0};
	size_t n;
	EXPECT(volume_create(root, NULL, NULL, &a, &err) == 0 && volume_create(root, "", NULL, &b, &err) == 0, "%s", err.msg);
	EXPECT(a && b && strlen(a) == 64 && strcmp(a, b) != 0, "64 digits each");
	EXPECT(volume_create(root, "named", NULL, NULL, &err) == 0, "%s", err.msg);
	EXPECT(volume_list(root, &list, &n, &err) == 0 && n == 3, "%zu: %s", n, err.msg);
	for (size_t i = 0; i < n; i++)
		EXPECT(list[i].anonymous == (strcmp(list[i].name, "named") != 0) && (i == 0 || strcmp(list[i - 1].name, list[i].name) < 0), "sorted");
	volume_list_free(list, n);
	volume_remove(root, a, NULL);
	volume_remove(root, b, NULL);
	volume_remove(root, "named", NULL);
}

static void test_names(int root)
{
	static const char *const bad[] = { ".", "..", ".hidden", "-x", "_x", "a/b", "../x", "a b", "grün", "a\n", ".lock" };
	char longest[258];
	struct volume v = {0};
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT(volume_create(root, bad[i], NULL, NULL, &err) < 0 && err.code == ERR_INVALID, "created %s", bad[i]);
		EXPECT(volume_lookup(root, bad[i], &v, &err) < 0 && volume_remove(root, bad[i], &err) < 0 && volume_open(root, bad[i], &err) < 0, "%s", bad[i]);
	}
	memset(longest, 'a', sizeof(longest));
	longest[256] = '\0';
	EXPECT(volume_create(root, longest, NULL, NULL, &err) < 0 && err.code == ERR_INVALID, "256 bytes");
	longest[255] = '\0';
	EXPECT(volume_create(root, longest, NULL, NULL, &err) == 0 && volume_remove(root, longest, &err) == 0, "255 bytes: %s", err.msg);
	EXPECT(volume_create(root, "A.b-c_9", NULL, NULL, &err) == 0 && volume_remove(root, "A.b-c_9", &err) == 0, "%s", err.msg);
}

/* What killed processes left is no volume and goes with the next change; a torn record makes no volume vanish. */
static void test_leftovers(int root)
{
	struct volume *list, v = {0};
	struct err err = {0};
	size_t n;
	EXPECT(volume_create(root, "v", NULL, NULL, &err) == 0, "%s", err.msg);
	for (const char *const *d = (const char *const[]){ ".new-0", ".new-0/_data", ".gone-1", ".gone-1/_data", NULL }; *d; d++) {
		AUTO_FREE char *path = xasprintf("volumes/%s", *d);
		EXPECT(mkdirat(root, path, 0700) == 0, "%s", path);
	}
	EXPECT(volume_list(root, &list, &n, &err) == 0 && n == 1, "%zu", n);
	volume_list_free(list, n);
	EXPECT(volume_create(root, "w", NULL, NULL, &err) == 0 && n_in(root, "volumes") == 3, "%d entries", n_in(root, "volumes"));
	AUTO_CLOSE int fd = openat(root, "volumes/v/meta.json", O_WRONLY | O_TRUNC);
	EXPECT(fd >= 0 && write(fd, "{\"schema\":1,", 12) == 12, "tear");
	EXPECT(volume_lookup(root, "v", &v, &err) == 0 && json_object_size(v.labels) == 0 && v.created_ns > 0, "torn: %s", err.msg);
	volume_done(&v);
	volume_remove(root, "v", NULL);
	volume_remove(root, "w", NULL);
}

/* Ten processes that make and remove one name at once never see half a volume. */
static void test_race(int root)
{
	int bad = 0, wstatus;
	for (int p = 0; p < 6; p++) {
		if (fork() != 0)
			continue;
		for (int i = 0; i < 12; i++) {
			struct err err = {0};
			int fd = volume_create(root, "r", NULL, NULL, &err) < 0 ? -2 : volume_open(root, "r", &err);
			int data = fd >= 0 ? volume_open_data(fd, &err) : -1;
			if (fd == -2 || (fd < 0 && err.code != ERR_NOT_FOUND) || (fd >= 0 && data < 0 && err.sys != ENOENT) ||
			    volume_remove(root, "r", &err) < 0)
				_exit(1);
			close(data);
			close(fd);
		}
		_exit(0);
	}
	while (wait(&wstatus) > 0)
		bad += wstatus != 0;
	EXPECT(bad == 0, "%d of 6 failed", bad);
	EXPECT(volume_remove(root, "r", NULL) >= 0 && n_in(root, "volumes") == 1, "%d entries", n_in(root, "volumes"));
}

int main(void)
{
	char path[] = "/tmp/muster-test-XXXXXX";
	int root;
	if (!mkdtemp(path) || (root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 1;
	test_life(root);
	test_anonymous(root);
	test_names(root);
	test_leftovers(root);
	test_race(root);
	close(root);
	fs_remove_tree(AT_FDCWD, path, NULL);
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
