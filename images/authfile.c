/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets are wiped before they are freed. What no header could carry (control bytes in a user name or a token) is as good as
 * absent: a file that somebody damaged must not become a request. */
#include "images/authfile.h"

#include <stdio.h>

#include "base/str.h"
#include "images/auth.h"

enum { MAX_AUTH_BYTES = 16 << 10 };

static void wipe(char **text)
{
	if (*text)
		explicit_bzero(*text, strlen(*text));
	free(TAKE_PTR(*text));
}

void account_done(struct account *a)
{
	wipe(&a->username);
	wipe(&a->password);
	wipe(&a->identity_token);
}

bool authfile_is_hub(const char *host)
{
	return str_eq(host, "docker.io") || str_eq(host, "index.docker.io") || str_eq(host, "registry-1.docker.io");
}

const char *authfile_server(const char *registry)
{
	return authfile_is_hub(registry) ? "https://index.docker.io/v1/" : registry;
}

/* How much of "registry/repository" the key covers: 0 = it is about something else. */
static size_t key_covers(const char *key, const char *registry, const char *repository, bool paths)
{
	const char *p = str_starts(key, "https://") ? key + 8 : str_starts(key, "http://") ? key + 7 : key;
	size_t n = strcspn(p, "/");
	AUTO_FREE char *host = xstrndup(p, n);
	const char *path = p[n] ? p + n + 1 : "";
	size_t len = strlen(path);
	if (strcmp(host, registry) != 0 && !(authfile_is_hub(host) && authfile_is_hub(registry)))
		return 0;
	if (!paths || len == 0 || strcmp(path, "v1/") == 0 || strcmp(path, "v2/") == 0)
		return 1;
	return strncmp(repository, path, len) == 0 && (repository[len] == '/' || !repository[len]) ? 1 + len : 0;
}

bool authfile_names(const char *key, const char *registry)
{
	return key_covers(key, registry, "", true) == 1;
}

static int base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

/* "dXNlcjpwYXNz" → user and password. -1 when it is not of that form. */
static int split_auth(const char *auth, struct account *ret)
{
	AUTO_STR struct str plain = {0};
	uint32_t bits = 0;
	unsigned n = 0;
	char *colon;
	if (strlen(auth) > MAX_AUTH_BYTES)
		return -1;
	for (; *auth && *auth != '='; auth++) {
		int v = base64_value(*auth);
		if (v < 0)
			return -1;
		bits = bits << 6 | (uint32_t)v;
		n += 6;
		if (n >= 8) {
			n -= 8;
			str_addc(&plain, (char)(bits >> n & 0xff));
		}
	}
	colon = strchr(str_get(&plain), ':');
	if (!colon || !is_printable(plain.p))
		return -1;
	ret->username = xstrndup(plain.p, (size_t)(colon - plain.p));
	ret->password = xstrdup(colon + 1);
	explicit_bzero(plain.p, plain.len);
	return 0;
}

static bool take_entry(const json_t *entry, struct account *ret)
{
	const char *auth = json_get_str(entry, "auth", ""), *token = json_get_str(entry, "identitytoken", "");
	const char *user = json_get_str(entry, "username", ""), *password = json_get_str(entry, "password", "");
	if (*token && is_printable(token))
		ret->identity_token = xstrdup(token);
	if (*auth && split_auth(auth, ret) == 0)
		return true;
	if (*user && *password && is_printable(user) && is_printable(password)) {
		ret->username = xstrdup(user);
		ret->password = xstrdup(password);
		return true;
	}
	return ret->identity_token;
}

int authfile_find(const json_t *doc, const char *registry, const char *repository, bool paths, struct account *ret)
{
	const json_t *best = NULL;
	const char *key;
	json_t *entry;
	size_t covered = 0;
	*ret = (struct account){0};
	json_object_foreach(json_object_get(doc, "auths"), key, entry) {
		size_t n = 2 * key_covers(key, registry, repository, paths);
		n += n && strcmp(key, authfile_server(registry)) == 0; /* of two spellings the one that programs write today */
		if (n > covered && json_is_object(entry)) {
			best = entry;
			covered = n;
		}
	}
	return best && take_entry(best, ret) ? 0 : 1;
}

const char *authfile_helper(const json_t *doc, const char *registry)
{
	const char *key, *name = NULL;
	json_t *value;
	json_object_foreach(json_object_get(doc, "credHelpers"), key, value)
		if (!name && authfile_names(key, registry))
			name = json_string_value(value);
	if (!name)
		name = json_get_str(doc, "credsStore", "");
	return *name ? name : NULL;
}

bool authfile_is_helper(const char *name)
{
	return *name && *name != '.' && strlen(name) <= 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(name);
}

bool authfile_drop(json_t *doc, const char *registry)
{
	json_t *auths = json_object_get(doc, "auths");
	const char *key;
	json_t *entry;
	void *next;
	bool any = false;
	json_object_foreach_safe(auths, next, key, entry)
		if (key_covers(key, registry, "", false)) {
			json_object_del(auths, key);
			any = true;
		}
	return any;
}

void authfile_set(json_t *doc, const char *registry, const char *username, const char *password)
{
	json_t *auths = json_object_get(doc, "auths"), *entry = json_object();
	if (!json_is_object(auths)) {
		auths = json_object();
		json_object_set_new(doc, "auths", auths);
	}
	authfile_drop(doc, registry);
	if (username) {
		AUTO_FREE char *basic = auth_basic(username, password);
		json_put_str(entry, "auth", basic + strlen("Basic "));
		explicit_bzero(basic, strlen(basic));
	}
	json_object_set_new(auths, authfile_server(registry), entry);
}

int authfile_parse_answer(const char *text, size_t n, struct account *ret, struct err *err)
{
	AUTO_JSON json_t *j = json_loadb(text, n, 0, NULL);
	const char *user = json_get_str(j, "Username", ""), *secret = json_get_str(j, "Secret", "");
	*ret = (struct account){0};
	if (json_is_object(j) && !*user && !*secret)
		return 1;
	if (!*user || !*secret || strlen(user) > MAX_AUTH_BYTES || strlen(secret) > MAX_AUTH_BYTES || !is_printable(user) || !is_printable(secret))
		return err_set(err, ERR_INVALID, "its answer has no user name and secret");
	if (strcmp(user, "<token>") == 0) {
		ret->identity_token = xstrdup(secret);
		return 0;
	}
	ret->username = xstrdup(user);
	ret->password = xstrdup(secret);
	return 0;
}
