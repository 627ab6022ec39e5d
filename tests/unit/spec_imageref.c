/* SPDX-License-Identifier: Apache-2.0 */
/* References mean what they mean to docker; the full form is the key of the store, and reading it back changes nothing. */
#include <stdio.h>

#include "spec/imageref.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

int main(void)
{
	static const struct {
		const char *text, *full, *familiar;
	} good[] = {
		{ "busybox", "docker.io/library/busybox:latest", "busybox" },
		{ "busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36" },
		{ "alice/app", "docker.io/alice/app:latest", "alice/app" },
		{ "docker.io/busybox", "docker.io/library/busybox:latest", "busybox" },
		{ "docker.io/library/busybox:x", "docker.io/library/busybox:x", "busybox:x" },
		{ "index.docker.io/alice/app", "docker.io/alice/app:latest", "alice/app" },
		{ "library/busybox", "docker.io/library/busybox:latest", "busybox" },
		{ "ghcr.io/a/b:1", "ghcr.io/a/b:1", "ghcr.io/a/b:1" },
		{ "localhost/x", "localhost/x:latest", "localhost/x" },
		{ "localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y" },
		{ "reg:5000/a", "reg:5000/a:latest", "reg:5000/a" },
		{ "[::1]:5000/a/b", "[::1]:5000/a/b:latest", "[::1]:5000/a/b" },
		{ "127.0.0.1:80/a", "127.0.0.1:80/a:latest", "127.0.0.1:80/a" },
		{ "Registry/a", "Registry/a:latest", "Registry/a" },
		{ "a__b/c-d.e---f", "docker.io/a__b/c-d.e---f:latest", "a__b/c-d.e---f" },
		{ "x@sha256:" HEX, "docker.io/library/x@sha256:" HEX, "x@sha256:" HEX },
		{ "x:1@sha256:" HEX, "docker.io/library/x:1@sha256:" HEX, "x:1@sha256:" HEX },
		{ "x:_.-A9", "docker.io/library/x:_.-A9", "x:_.-A9" },
		{ "pets-web", "docker.io/library/pets-web:latest", "pets-web" },
	};
	static const char *const bad[] = {
		"", "/", ":", "@", "a/", "/a", "a//b", "Busybox", "alice/App", "a:", "a:b:c", "a b", "a\n", "a:-x", "a:.x", "../a", "a/../b", "./a",
		"a_", "_a", "a..b", "a___b", "-a", "a-", "a@", "a@sha256:12", "a@md5:" HEX, "a@sha256:" HEX "0", "reg:99999/a", "reg:/a", "[::1/a",
		"grün", "a\xff", "a@sha256:" HEX "@sha256:" HEX, "a.b:80/", "https://ghcr.io/a",
	};
	struct arena *a = arena_new();
	char tag[131] = "a:", name[300];
	struct imageref ref, again;
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT(imageref_parse(good[i].text, a, &ref, &err) == 0, "%s: %s", good[i].text, err.msg);
		EXPECT(strcmp(imageref_full(&ref, a), good[i].full) == 0, "%s: %s", good[i].text, imageref_full(&ref, a));
		EXPECT(strcmp(imageref_familiar(&ref, a), good[i].familiar) == 0, "%s: %s", good[i].text, imageref_familiar(&ref, a));
		EXPECT(imageref_parse(good[i].full, a, &again, &err) == 0 && strcmp(imageref_full(&again, a), good[i].full) == 0, "%s again", good[i].full);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		err = (struct err){0};
		EXPECT(imageref_parse(bad[i], a, &ref, &err) < 0 && err.code == ERR_INVALID && strstr(err.msg, "image"),
			"taken: %s", bad[i]);
	}
	memset(tag + 2, 't', 128);
	EXPECT(imageref_parse(tag, a, &ref, &err) == 0, "a tag of 128: %s", err.msg);
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	EXPECT(imageref_parse(name, a, &ref, &err) < 0 && err.code == ERR_INVALID, "%s", err.msg);
	arena_free(a);
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
