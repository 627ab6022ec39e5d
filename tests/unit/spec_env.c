/* SPDX-License-Identifier: Apache-2.0 */
/* A set of variables: the first "=" divides, later ones win, merging never replaces, the list is sorted; a place is known for what came from a
 * file; a truth is one of strconv.ParseBool's words. */
#include <stdio.h>

#include "spec/env.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static void test_truth(void)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	static const char *const neither[] = { "", "yes", "no", "on", "2", "tRUE", " 1", "true " };
	bool valid;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		EXPECT(env_is_true(yes[i], &valid) && valid && env_is_true(yes[i], NULL), "\"%s\" is true", yes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		EXPECT(!env_is_true(no[i], &valid) && valid, "\"%s\" is false", no[i]);
	for (size_t i = 0; i < ARRAY_SIZE(neither); i++)
		EXPECT(!env_is_true(neither[i], &valid) && !valid, "\"%s\" is no word for it", neither[i]);
	EXPECT(!env_is_true(NULL, &valid) && !valid, "no value is no word for it");
}

int main(void)
{
	static const char *const list[] = { "A=1", "B=x=y", "EMPTY=", "NO_VALUE", "=C:=odd", "A=2", NULL };
	AUTO_ARENA struct arena *a = arena_new();
	const struct source *src = source_new(a, ".env", "D=4\n", 4);
	AUTO_STRV struct strv all = { 0 };
	struct env e, more;
	AUTO_FREE char *joined = NULL;
	env_init(&e, a);
	env_init(&more, a);
	env_add_list(&e, NULL);
	env_add_list(&e, list);
	env_put_at(&more, "D", "4", (struct pos){ src, 1, 1 });
	env_put(&more, "A", "never");
	env_merge(&e, &more);
	EXPECT(str_eq(env_get(&e, "A"), "2"), "the later one wins");
	EXPECT(str_eq(env_get(&e, "B"), "x=y") && str_eq(env_get(&e, "EMPTY"), "") && !env_get(&e, "NO_VALUE"), "what the first = divides");
	EXPECT(!env_get(NULL, "A") && !env_pos(NULL, "A").src && !env_pos(&e, "A").src && !env_pos(&e, "X").src, "no place");
	EXPECT(env_pos(&e, "D").src == src && env_pos(&e, "D").line == 1, "the place comes along");
	env_list(&e, &all);
	EXPECT(all.n == 4, "%zu variables", all.n);
	joined = all.n == 4 ? xasprintf("%s %s %s %s", all.v[0], all.v[1], all.v[2], all.v[3]) : NULL;
	EXPECT(joined && str_eq(joined, "A=2 B=x=y D=4 EMPTY="), "sorted: %s", joined ? joined : "");
	env_done(&e);
	env_done(&e);
	env_done(&more);
	test_truth();
	return failures ? 1 : 0;
}
