/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as two files of registries.conf, cut at the first NUL byte: nothing crashes; every place that comes out is one that a reference could
 * name, the registry itself is the last one; reading a file twice changes nothing. */
#include "images/regconf.h"

#include "spec/imageref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void resolve(const json_t *conf, const char *name, bool push)
{
	struct place places[REGCONF_MAX_PLACES];
	struct err err;
	size_t n = 0;
	if (regconf_resolve(conf, name, push, places, &n, &err) < 0)
		return;
	if (n == 0 || n > REGCONF_MAX_PLACES || places[n - 1].mirror || (push && n != 1))
		abort();
	for (size_t i = 0; i < n; i++) {
		AUTO_ARENA struct arena *a = arena_new();
		AUTO_FREE char *full = xasprintf("%s/%s", places[i].registry, places[i].repository);
		struct imageref ref;
		if (imageref_parse(full, a, &ref, NULL) < 0 || ref.tag || ref.digest)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {
		"busybox", "team/tool:1", "docker.io/library/busybox:2", "quay.io/team/x", "localhost:5000/a/b:1", "sub.example.com/a/b",
		"busybox@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "a.b/c:1",
	};
	size_t n = strnlen((const char *)data, size);
	AUTO_FREE char *first = xstrndup((const char *)data, n), *second = xcalloc(size - n + 1, 1);
	AUTO_JSON json_t *conf = NULL, *before = NULL;
	struct err err;
	int rc;
	if (size > n)
		memcpy(second, data + n + 1, size - n - 1);
	rc = regconf_add(&conf, first, n, &err);
	before = json_deep_copy(conf);
	if (rc == 0 && (regconf_add(&conf, first, n, &err) < 0 || !json_equal(conf, before)))
		abort();
	regconf_add(&conf, second, strlen(second), &err);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(names); i++)
		resolve(conf, names[i / 2], i % 2);
	return 0;
}
