/* SPDX-License-Identifier: Apache-2.0 */
/* What pulls and pushes show: the bar, and of a layer that two images share the transfer of one of them, never both in turn. */
#include <stdio.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/fs.h"
#include "compose/pull_screen.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void test_bar(void)
{
	static const struct {
		uint64_t done, total, rate;
		const char *want;
	} cases[] = {
		{ 0, 4000000, 0, "[>                   ]  0B/4MB" },
		{ 2000000, 4000000, 1500000, "[==========>         ]  2MB/4MB  1.5MB/s" },
		{ 4000000, 4000000, 0, "[====================]  4MB/4MB" },
		{ 5000000, 4000000, 0, "[====================]  5MB/4MB" },
		{ 1234, 0, 0, "1.23kB" },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buf[96];
		pull_screen_bar(cases[i].done, cases[i].total, cases[i].rate, buf);
		EXPECT(!cases[i].want || strcmp(buf, cases[i].want) == 0, "case %zu: \"%s\"", i, buf);
	}
}

static void layer(struct pull_screen *s, const struct image_pull *p, const char *state, uint64_t done)
{
	const struct image_event ev = { .kind = IMAGE_LAYER, .pull = p, .layer = "0123456789ab", .state = state, .done_bytes = done, .total_bytes = 100 };
	pull_screen_event(s, &ev);
}

/* Lines of JSON that the events gave, as "status:current " in a row. */
static void collect(int fd, struct str *ret)
{
	AUTO_STR struct str all = {0};
	char *save = NULL;
	lseek(fd, 0, SEEK_SET);
	fs_read_fd(fd, 1 << 20, &all, NULL);
	for (char *line = all.p ? strtok_r(all.p, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		AUTO_JSON json_t *j = json_loads(line, 0, NULL);
		if (json_object_get(j, "parent_id"))
			str_addf(ret, "%s:%lld%s ", json_get_str(j, "text", "?"), (long long)json_get_int(j, "current", 0),
				strcmp(json_get_str(j, "parent_id", ""), "Image b:2") == 0 ? "b" : "");
	}
}

static void test_shared_layer(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_CLOSE int fd = memfd_create("screen", MFD_CLOEXEC), err_fd = dup(2);
	const struct image_pull one = { .ref = "a:1" }, two = { .ref = "b:2" };
	struct image_pull failed = { .ref = "a:1", .rc = -1 };
	struct pull_screen s;
	AUTO_STR struct str got = {0};
	dup2(fd, 2);
	pull_screen_init(&s, a, PROGRESS_JSON, false);
	layer(&s, &one, "pulling", 10);
	layer(&s, &two, "pulling", 0);
	layer(&s, &one, "pulling", 20);
	layer(&s, &one, "done", 100);
	layer(&s, &two, "exists", 0);
	pull_screen_done(&s);
	pull_screen_init(&s, a, PROGRESS_JSON, false);
	layer(&s, &failed, "pulling", 30);
	layer(&s, &two, "pulling", 0);
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_ENDED, .pull = &failed });
	layer(&s, &two, "pulling", 40);
	layer(&s, &two, "done", 100);
	pull_screen_done(&s);
	dup2(err_fd, 2);
	collect(fd, &got);
	EXPECT(strcmp(str_get(&got), "Downloading:10 Downloading:20 Pull complete:0 "
		"Downloading:30 Downloading:40b Pull complete:0b ") == 0, "%s", str_get(&got));
}

/* The lines are docker compose's, field by field and in its order. */
static void test_json(void)
{
	static const char *const want[] = {
		"{\"id\":\"Image docker.io/library/a\",\"status\":\"Working\",\"text\":\"Pulling\"}",
		"{\"id\":\"0123456789ab\",\"parent_id\":\"Image docker.io/library/a\","
		"\"status\":\"Working\",\"text\":\"Pulling fs layer\",\"details\":\"0B\"}",
		"{\"id\":\"0123456789ab\",\"parent_id\":\"Image docker.io/library/a\",\"status\":\"Working\",\"text\":\"Downloading\",\"details\":\"50B\","
		"\"current\":50,\"total\":100,\"percent\":50}",
		"{\"id\":\"0123456789ab\",\"parent_id\":\"Image docker.io/library/a\","
		"\"status\":\"Done\",\"text\":\"Pull complete\",\"details\":\"0B\",\"percent\":100}",
		"{\"id\":\"Image docker.io/library/a\",\"status\":\"Done\",\"text\":\"Pulled\"}",
		"{\"id\":\"Image docker.io/library/a\",\"status\":\"Error\",\"text\":\"Error\",\"details\":\"no \\\"x\\\"\"}",
		"{\"id\":\"h:1/b:2\",\"status\":\"Working\",\"text\":\"Pushing\"}",
		"{\"id\":\"0123456789ab\",\"parent_id\":\"h:1/b:2\",\"status\":\"Working\"}",
		"{\"id\":\"0123456789ab\",\"parent_id\":\"h:1/b:2\","
		"\"status\":\"Working\",\"text\":\"     30B\",\"current\":30,\"total\":100,\"percent\":30}",
		"{\"id\":\"0123456789ab\",\"parent_id\":\"h:1/b:2\","
		"\"status\":\"Working\",\"text\":\"    100B/100B\",\"current\":100,\"total\":100,\"percent\":100}",
		"{\"id\":\"0123456789ab\",\"parent_id\":\"h:1/b:2\",\"status\":\"Done\",\"percent\":100}",
		"{\"id\":\"h:1/b:2\",\"status\":\"Done\",\"text\":\"Pushed\"}",
		"{\"id\":\"h:1/b:2\",\"status\":\"Error\",\"text\":\"no\"}", "{\"id\":\"h:1/b:2\",\"status\":\"Warning\",\"text\":\"no\"}",
		"{\"id\":\"web\",\"status\":\"Done\",\"text\":\"Skipped\",\"details\":\"why\"}",
	};
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_CLOSE int fd = memfd_create("screen", MFD_CLOEXEC), err_fd = dup(2);
	const struct image_pull pull = { .ref = "docker.io/library/a" }, push = { .ref = "h:1/b:2", .push = "gzip" };
	const struct image_pull bad = { .ref = "docker.io/library/a", .rc = -1, .err.msg = "no \"x\"" };
	const struct image_pull bad_push = { .ref = "h:1/b:2", .push = "gzip", .rc = -1, .err.msg = "no" };
	AUTO_STR struct str all = {0};
	struct pull_screen s;
	char *save = NULL, *line;
	dup2(fd, 2);
	pull_screen_init(&s, a, PROGRESS_JSON, false);
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_STARTED, .pull = &pull });
	layer(&s, &pull, "pulling", 0);
	layer(&s, &pull, "pulling", 50);
	layer(&s, &pull, "done", 100);
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_ENDED, .pull = &pull });
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_ENDED, .pull = &bad });
	pull_screen_done(&s);
	pull_screen_init(&s, a, PROGRESS_JSON, false);
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_STARTED, .pull = &push });
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_LAYER, .pull = &push, .layer = "0123456789ab", .state = "preparing" });
	layer(&s, &push, "pushing", 30);
	layer(&s, &push, "pushing", 100);
	layer(&s, &push, "pushed", 100);
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_ENDED, .pull = &push });
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_ENDED, .pull = &bad_push });
	s.ignore_failures = true;
	pull_screen_event(&s, &(struct image_event){ .kind = IMAGE_ENDED, .pull = &bad_push });
	progress_event(s.progress, "service", "web", "Skipped", "why", 0);
	pull_screen_done(&s);
	dup2(err_fd, 2);
	lseek(fd, 0, SEEK_SET);
	fs_read_fd(fd, 1 << 20, &all, NULL);
	line = all.p ? strtok_r(all.p, "\n", &save) : NULL;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++, line = line ? strtok_r(NULL, "\n", &save) : NULL)
		EXPECT(str_eq(line, want[i]), "line %zu: %s, not %s", i, line ? line : "(none)", want[i]);
	EXPECT(!line, "more: %s", line);
}

int main(void)
{
	test_bar();
	test_json();
	test_shared_layer();
	puts(failures ? "failed" : "ok");
	return failures ? 1 : 0;
}
