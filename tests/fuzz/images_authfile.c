/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file of credentials and as a helper's answer: nothing crashes; what is set is found again, what is dropped is gone, what is
 * about others stays; no name of a helper could be a path. */
#include "images/authfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const json_t *doc, const char *registry)
{
	static const char *const repositories[] = { "", "a", "a/b", "library/busybox" };
	const char *helper = authfile_helper(doc, registry);
	if (helper && (!*helper || (authfile_is_helper(helper) && (strchr(helper, '/') || *helper == '.'))))
		abort();
	for (size_t i = 0; i < 2 * ARRAY_SIZE(repositories); i++) {
		struct account a;
		if (authfile_find(doc, registry, repositories[i / 2], i % 2, &a) == 0 && !a.identity_token && (!a.username || !a.password))
			abort();
		if (a.username && strpbrk(a.username, "\r\n"))
			abort();
		account_done(&a);
	}
}

static void change(json_t *doc, const char *registry)
{
	struct account a;
	AUTO_JSON json_t *other = json_deep_copy(json_object_get(json_object_get(doc, "auths"), "other.example:1"));
	authfile_set(doc, registry, "user", "pass:word");
	if (authfile_find(doc, registry, "", false, &a) != 0 || !str_eq(a.username, "user") || !str_eq(a.password, "pass:word"))
		abort();
	account_done(&a);
	authfile_set(doc, registry, NULL, NULL);
	if (!authfile_drop(doc, registry) || authfile_drop(doc, registry) || authfile_find(doc, registry, "", false, &a) != 1)
		abort();
	if (other && !json_equal(other, json_object_get(json_object_get(doc, "auths"), "other.example:1")))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const registries[] = { "docker.io", "localhost:5000", "ghcr.io", "registry.example" };
	AUTO_JSON json_t *doc = json_loadb((const char *)data, size, 0, NULL);
	struct account a;
	authfile_parse_answer((const char *)data, size, &a, NULL);
	account_done(&a);
	for (size_t i = 0; doc && i < ARRAY_SIZE(registries); i++)
		look(doc, registries[i]);
	for (size_t i = 0; json_is_object(doc) && i < ARRAY_SIZE(registries); i++)
		change(doc, registries[i]);
	return 0;
}
