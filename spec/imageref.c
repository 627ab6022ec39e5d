/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of image references, https://github.com/distribution/reference: a first part with a dot, a colon or an upper-case letter, or
 * "localhost", is a registry; else docker.io is meant, and there a name of one part belongs to "library". The repository is in lower
 * case; separators inside its parts are one ".", one or two "_", or any number of "-". */
#include "spec/imageref.h"

#include <ctype.h>

enum { MAX_NAME = 255, MAX_TAG = 128 };

#define DEFAULT_REGISTRY "docker.io"
#define OFFICIAL "library/"

static bool is_hex(const char *s, size_t n)
{
	return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One part of a repository, n bytes at s. */
static bool is_part(const char *s, size_t n)
{
	if (n == 0 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++) {
		size_t run = 1;
		if (is_alnum(s[i]))
			continue;
		while (s[i + run] == s[i])
			run++;
		if (!(s[i] == '-' || (s[i] == '.' && run == 1) || (s[i] == '_' && run <= 2)) || !is_alnum(s[i + run]))
			return false;
		i += run - 1;
	}
	return true;
}

static bool is_repository(const char *s)
{
	for (;;) {
		size_t n = strcspn(s, "/");
		if (!is_part(s, n))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

/* host, host:port, [v6]:port; letters, digits, dots and hyphens. */
static bool is_registry(const char *s)
{
	const char *end = s;
	uint64_t port;
	if (*s == '[') {
		end = s + 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
		if (*end++ != ']' || end - s < 4)
			return false;
	} else {
		if (!isalnum((unsigned char)*s))
			return false;
		while (isalnum((unsigned char)*end) || *end == '.' || *end == '-')
			end++;
		if (end[-1] == '-' || end[-1] == '.')
			return false;
	}
	return *end == '\0' || (*end == ':' && parse_u64(end + 1, 1, 65535, &port));
}

static bool is_tag(const char *s)
{
	size_t n = strlen(s);
	if (n == 0 || n > MAX_TAG || *s == '.' || *s == '-')
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_' && *s != '.' && *s != '-')
			return false;
	return true;
}

static bool looks_like_registry(const char *s)
{
	if (strcmp(s, "localhost") == 0)
		return true;
	for (; *s; s++)
		if (*s == '.' || *s == ':' || (*s >= 'A' && *s <= 'Z'))
			return true;
	return false;
}

static int bad(const char *text, const char *why, struct err *err)
{
	char shown[160];
	return err_set(err, ERR_INVALID, "invalid image reference \"%s\": %s", err_quote(shown, sizeof(shown), text), why);
}

/* Splits name (which it changes) into registry and repository. */
static int split_name(const char *text, char *name, struct arena *a, struct imageref *ret, struct err *err)
{
	char *slash = strchr(name, '/');
	ret->registry = DEFAULT_REGISTRY;
	ret->repository = name;
	if (slash) {
		*slash = '\0';
		if (looks_like_registry(name)) {
			ret->registry = strcmp(name, "index.docker.io") == 0 ? DEFAULT_REGISTRY : name;
			ret->repository = slash + 1;
		} else {
			*slash = '/';
		}
	}
	if (!is_registry(ret->registry))
		return bad(text, "the registry is not a host name", err);
	for (const char *c = ret->repository; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			return bad(text, "the repository name must be in lower case", err);
	if (!is_repository(ret->repository))
		return bad(text, ret->repository[0] ?
			"the repository name has a character or separator that is not allowed" : "no repository name", err);
	if (strcmp(ret->registry, DEFAULT_REGISTRY) == 0 && !strchr(ret->repository, '/')) {
		if (is_hex(ret->repository, 64))
			return bad(text, "64 hexadecimal digits are an id, not a name", err);
		ret->repository = arena_printf(a, OFFICIAL "%s", ret->repository);
	}
	if (strlen(ret->registry) + 1 + strlen(ret->repository) > MAX_NAME)
		return bad(text, "the name is longer than 255 characters", err);
	return 0;
}

int imageref_parse(const char *text, struct arena *a, struct imageref *ret, struct err *err)
{
	struct imageref ref = {0};
	char *name = arena_strdup(a, text), *at = strchr(name, '@'), *colon, *slash;
	if (at) {
		*at = '\0';
		ref.digest = at + 1;
		if (!str_starts(ref.digest, "sha256:") || !is_hex(ref.digest + strlen("sha256:"), 64))
			return bad(text, "the digest is not sha256: and 64 hexadecimal digits", err);
	}
	slash = strrchr(name, '/');
	colon = strchr(slash ? slash : name, ':');
	if (colon) {
		*colon = '\0';
		ref.tag = colon + 1;
		if (!is_tag(ref.tag))
			return bad(text, "the tag is not of at most 128 letters, digits, \"_\", \".\", \"-\"", err);
	}
	if (split_name(text, name, a, &ref, err) < 0)
		return -1;
	*ret = ref;
	return 0;
}

static char *with_tag(const char *registry, const char *repository, const char *tag, const char *digest, struct arena *a)
{
	return arena_printf(a, "%s%s%s%s%s%s%s", registry, *registry ? "/" : "", repository, tag ? ":" : "", tag ? tag : "",
		digest ? "@" : "", digest ? digest : "");
}

char *imageref_full(const struct imageref *ref, struct arena *a)
{
	return with_tag(ref->registry, ref->repository, ref->tag || ref->digest ? ref->tag : "latest", ref->digest, a);
}

char *imageref_familiar(const struct imageref *ref, struct arena *a)
{
	const char *registry = ref->registry, *repository = ref->repository;
	if (strcmp(registry, DEFAULT_REGISTRY) == 0) {
		registry = "";
		if (str_starts(repository, OFFICIAL) && !strchr(repository + strlen(OFFICIAL), '/'))
			repository += strlen(OFFICIAL);
	}
	return with_tag(registry, repository, ref->tag, ref->digest, a);
}
