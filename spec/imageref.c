/* SPDX-License-Identifier: Apache-2.0 */
/* Image references. The first part of a name is a registry when it holds a dot or a colon, is "localhost", or has an
 * upper-case letter; else the registry is docker.io, where names of one part live in library/. Limits and alphabets are those of
 * the OCI distribution specification. */
#include "spec/imageref.h"

#include <ctype.h>

enum { NAME_MAX_BYTES = 255, TAG_MAX_BYTES = 128 };

static bool is_lower_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* [a-z0-9]+ (([.]|_|__|-+) [a-z0-9]+)* */
static bool is_component(const char *s, size_t n)
{
	size_t i = 0;
	if (!n)
		return false;
	for (;;) {
		size_t start = i;
		char c;
		while (i < n && is_lower_digit(s[i]))
			i++;
		if (i == start)
			return false;
		if (i == n)
			return true;
		c = s[i];
		start = i;
		while (i < n && s[i] == c)
			i++;
		if (c != '-' && !(c == '.' && i - start == 1) && !(c == '_' && i - start <= 2))
			return false;
	}
}

static bool is_repository(const char *s)
{
	for (;;) {
		size_t n = strcspn(s, "/");
		if (!is_component(s, n))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

/* Host with optional port: names, IPv4, IPv6 in brackets. */
static bool is_registry(const char *s)
{
	size_t n;
	uint64_t port;
	if (*s == '[') {
		n = strspn(s + 1, "0123456789abcdefABCDEF:") + 1;
		if (n == 1 || s[n] != ']')
			return false;
		s += n + 1;
	} else {
		for (n = 0; isalnum((unsigned char)s[n]) || s[n] == '.' || s[n] == '-'; n++)
			if ((s[n] == '.' || s[n] == '-') && (n == 0 || s[n - 1] == '.'))
				return false;
		if (n == 0 || s[n - 1] == '.' || s[n - 1] == '-')
			return false;
		s += n;
	}
	return !*s || (*s == ':' && parse_u64(s + 1, 0, 65535, &port));
}

static bool is_tag(const char *s)
{
	size_t n = 0;
	if (!isalnum((unsigned char)*s) && *s != '_')
		return false;
	while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == '.' || s[n] == '-')
		n++;
	return !s[n] && n <= TAG_MAX_BYTES;
}

static bool is_digest(const char *s)
{
	static const struct {
		const char *prefix;
		size_t digits;
	} kinds[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (str_starts(s, kinds[i].prefix))
			return strspn(s + strlen(kinds[i].prefix), "0123456789abcdef") == kinds[i].digits && !s[strlen(kinds[i].prefix) + kinds[i].digits];
	return false;
}

static bool names_registry(const char *part)
{
	if (strcmp(part, "localhost") == 0)
		return true;
	for (; *part; part++)
		if (*part == '.' || *part == ':' || (*part >= 'A' && *part <= 'Z'))
			return true;
	return false;
}

int imageref_parse(const char *text, struct arena *a, struct imageref *ret, struct err *err)
{
	struct imageref r = { .registry = "docker.io" };
	char shown[120], *name, *at, *slash, *colon;
	err_quote(shown, sizeof(shown), text);
	if (!*text)
		return err_set(err, ERR_INVALID, "the image name is empty");
	if (strlen(text) > 1024)
		return err_set(err, ERR_INVALID, "image \"%s\": the name is too long", shown);
	name = arena_strdup(a, text);
	at = strchr(name, '@');
	if (at) {
		*at = '\0';
		r.digest = at + 1;
		if (!is_digest(r.digest))
			return err_set(err, ERR_INVALID, "image \"%s\": the part after @ is no digest", shown);
	}
	slash = strrchr(name, '/');
	colon = strrchr(slash ? slash : name, ':');
	if (colon) {
		*colon = '\0';
		r.tag = colon + 1;
		if (!is_tag(r.tag))
			return err_set(err, ERR_INVALID, "image \"%s\": the part after the colon is no tag", shown);
	}
	r.repository = name;
	slash = strchr(name, '/');
	if (slash) {
		char *first = arena_strndup(a, name, (size_t)(slash - name));
		if (names_registry(first)) {
			r.registry = strcmp(first, "index.docker.io") == 0 ? "docker.io" : first;
			r.repository = slash + 1;
		}
	}
	if (!is_registry(r.registry))
		return err_set(err, ERR_INVALID, "image \"%s\": \"%s\" is no registry", shown, r.registry);
	if (!is_repository(r.repository)) {
		for (const char *p = r.repository; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				return err_set(err, ERR_INVALID, "image \"%s\": the name must be in lower case", shown);
		return err_set(err, ERR_INVALID, "image \"%s\": the name is not valid", shown);
	}
	if (strcmp(r.registry, "docker.io") == 0 && !strchr(r.repository, '/'))
		r.repository = arena_printf(a, "library/%s", r.repository);
	if (strlen(r.registry) + strlen(r.repository) + 1 > NAME_MAX_BYTES)
		return err_set(err, ERR_INVALID, "image \"%s\": the name is too long", shown);
	*ret = r;
	return 0;
}

char *imageref_full(const struct imageref *ref, struct arena *a)
{
	const char *tag = ref->tag ? ref->tag : ref->digest ? NULL : "latest";
	return arena_printf(a, "%s/%s%s%s%s%s", ref->registry, ref->repository, tag ? ":" : "", tag ? tag : "",
		ref->digest ? "@" : "", ref->digest ? ref->digest : "");
}

char *imageref_familiar(const struct imageref *ref, struct arena *a)
{
	bool hub = strcmp(ref->registry, "docker.io") == 0;
	const char *repository = ref->repository, *slash = strchr(repository, '/');
	if (hub && slash && str_starts(repository, "library/") && !strchr(slash + 1, '/'))
		repository = slash + 1;
	else if (hub && slash && names_registry(arena_strndup(a, repository, (size_t)(slash - repository))))
		hub = false; /* "docker.io/ghcr.io/a" must not become ghcr.io's a */
	return arena_printf(a, "%s%s%s%s%s%s%s", hub ? "" : ref->registry, hub ? "" : "/", repository, ref->tag ? ":" : "", ref->tag ? ref->tag : "",
		ref->digest ? "@" : "", ref->digest ? ref->digest : "");
}
