/* SPDX-License-Identifier: Apache-2.0 */
/* See giturl.h. Everything that ends up in a request or a protocol line is checked for bytes that could end the line; what begins with "-" cannot
 * be taken for an option, since no program is run. */
#include "spec/giturl.h"

#include <ctype.h>
#include <stdio.h>

#include "base/str.h"

enum { MAX_TEXT = 8192 };

static const struct {
	const char *prefix;
	unsigned port;
} schemes[] = {
	[GITURL_HTTP] = { "http://", 80 }, [GITURL_HTTPS] = { "https://", 443 }, [GITURL_GIT] = { "git://", 9418 }, [GITURL_SSH] = { "ssh://", 22 },
};

void giturl_done(struct giturl *u)
{
	char **all[] = { &u->remote, &u->user, &u->password, &u->host, &u->path, &u->ref, &u->subdir, &u->checksum };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		free(*all[i]);
		*all[i] = NULL;
	}
}

bool giturl_is_commit(const char *ref)
{
	return strlen(ref) == 40 && strspn(ref, "0123456789abcdefABCDEF") == 40;
}

/* "user@host:path", the form of scp; not a path with a slash before the colon. */
static bool is_scp(const char *text)
{
	size_t user = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"), host;
	if (user == 0 || text[user] != '@')
		return false;
	host = strcspn(text + user + 1, ":/?#@");
	return host > 0 && text[user + 1 + host] == ':';
}

bool giturl_is(const char *text)
{
	const size_t n = strcspn(text, "?#");
	if (str_starts(text, "http://") || str_starts(text, "https://"))
		return n > 4 && strncmp(text + n - 4, ".git", 4) == 0;
	return str_starts(text, "git://") || str_starts(text, "ssh://") || is_scp(text);
}

/* %41 → A; -1 for a zero byte or a half sequence. */
static int unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (*s == '%') {
			unsigned v;
			if (!isxdigit((unsigned char)s[1]) || !isxdigit((unsigned char)s[2]) || sscanf(s + 1, "%2x", &v) != 1 || v == 0)
				return -1;
			*to++ = (char)v;
			s += 2;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
	return 0;
}

static bool is_line(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

/* "/a//b/" → "a/b"; NULL when it leads out. */
static char *clean_subdir(const char *text)
{
	AUTO_FREE char *copy = xstrdup(text);
	struct str out = {0};
	for (char *save = NULL, *p = strtok_r(copy, "/", &save); p; p = strtok_r(NULL, "/", &save)) {
		if (strcmp(p, ".") == 0)
			continue;
		if (strcmp(p, "..") == 0) {
			str_done(&out);
			return NULL;
		}
		str_addf(&out, "%s%s", out.len ? "/" : "", p);
	}
	return str_take(&out);
}

/* ---- where ---- */

static int parse_authority(char *text, struct giturl *u, struct err *err)
{
	char *at = strrchr(text, '@'), *host = at ? at + 1 : text, *port = NULL;
	uint64_t n;
	if (at) {
		char *colon;
		*at = '\0';
		colon = strchr(text, ':');
		if (colon)
			*colon++ = '\0';
		if (unescape(text) < 0 || (colon && unescape(colon) < 0) || !is_line(text) || (colon && !is_line(colon)))
			return err_set(err, ERR_INVALID, "user or password in it make no sense");
		free(u->user);
		free(u->password);
		u->user = xstrdup(text);
		u->password = xstrdup(colon ? colon : "");
	}
	if (*host == '[') {
		char *end = strchr(++host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return err_set(err, ERR_INVALID, "its host makes no sense");
		*end = '\0';
		port = end[1] ? end + 2 : NULL;
	} else if ((port = strchr(host, ':'))) {
		*port++ = '\0';
	}
	if (port && *port) {
		if (!parse_u64(port, 1, 65535, &n))
			return err_set(err, ERR_INVALID, "its port is none");
		u->port = (unsigned)n;
	}
	if (!*host || host[0] == '-' || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:") != strlen(host))
		return err_set(err, ERR_INVALID, "its host makes no sense");
	u->host = xstrdup(host);
	return 0;
}

/* text: without query and fragment. */
static int parse_remote(const char *text, struct giturl *u, struct err *err)
{
	AUTO_FREE char *authority = NULL;
	const char *rest, *slash;
	size_t scheme = 0;
	if (!is_line(text) || strchr(text, ' '))
		return err_set(err, ERR_INVALID, "control bytes or blanks in it");
	while (scheme < ARRAY_SIZE(schemes) && !str_starts(text, schemes[scheme].prefix))
		scheme++;
	if (scheme == ARRAY_SIZE(schemes)) {
		if (!is_scp(text))
			return err_set(err, ERR_INVALID, "it is no http, https, ssh or git URL");
		rest = strchr(text, '@') + 1;
		slash = strchr(rest, ':');
		authority = xstrndup(text, (size_t)(slash - text));
		u->scheme = GITURL_SSH;
		u->port = 22;
		u->remote = xstrdup(text);
		u->path = xstrdup(slash + 1);
		return !*u->path ? err_set(err, ERR_INVALID, "it has no path") : parse_authority(authority, u, err);
	}
	u->scheme = (enum giturl_scheme)scheme;
	u->port = schemes[scheme].port;
	rest = text + strlen(schemes[scheme].prefix);
	slash = strchr(rest, '/');
	if (!slash || !slash[1])
		return err_set(err, ERR_INVALID, "it has no path");
	authority = xstrndup(rest, (size_t)(slash - rest));
	u->remote = str_starts(text, "http") && strchr(authority, '@') ?
			    xasprintf("%s%s%s", schemes[scheme].prefix, strrchr(authority, '@') + 1, slash) : xstrdup(text);
	u->path = xstrdup(str_starts(slash, "/~") ? slash + 1 : slash);
	if (scheme == GITURL_SSH || scheme == GITURL_GIT)
		if (unescape(u->path) < 0 || !is_line(u->path))
			return err_set(err, ERR_INVALID, "its path makes no sense");
	return parse_authority(authority, u, err);
}

/* ---- what of it ---- */

static int set_once(char **to, char *value, const char *what, struct err *err)
{
	AUTO_FREE char *v = value;
	char a[100], b[100];
	if (**to && strcmp(*to, v) != 0)
		return err_set(err, ERR_INVALID, "%s conflicts: \"%s\" and \"%s\"", what, err_quote(a, sizeof(a), *to), err_quote(b, sizeof(b), v));
	free(*to);
	*to = TAKE_PTR(v);
	return 0;
}

static int set_subdir(struct giturl *u, const char *value, struct err *err)
{
	char *clean = clean_subdir(value), quoted[100];
	if (!clean || !is_line(clean)) {
		free(clean);
		return err_set(err, ERR_INVALID, "subdirectory \"%s\" leads out of the repository", err_quote(quoted, sizeof(quoted), value));
	}
	return set_once(&u->subdir, clean, "subdir", err);
}

static int set_bool(bool *to, const char *key, const char *value, struct err *err)
{
	static const char *const yes[] = { "", "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		if (strcmp(value, yes[i]) == 0)
			return *to = true, 0;
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		if (strcmp(value, no[i]) == 0)
			return *to = false, 0;
	return err_set(err, ERR_INVALID, "query \"%s\" is neither true nor false", key);
}

static int set_checksum(struct giturl *u, const char *value, struct err *err)
{
	const size_t n = strlen(value);
	if (n < 7 || n > 40 || strspn(value, "0123456789abcdef") != n)
		return err_set(err, ERR_INVALID, "a commit is 7 to 40 hexadecimal digits");
	return set_once(&u->checksum, xstrdup(value), "checksum", err);
}

static int set_query(struct giturl *u, const char *key, const char *value, char **tag, char **branch, struct err *err)
{
	char quoted[100];
	if (strcmp(key, "keep-git-dir") == 0)
		return set_bool(&u->keep_git_dir, key, value, err);
	if (strcmp(key, "submodules") == 0)
		return set_bool(&u->submodules, key, value, err);
	if (!*value)
		return err_set(err, ERR_INVALID, "query \"%s\" has no value", err_quote(quoted, sizeof(quoted), key));
	if (strcmp(key, "ref") == 0)
		return set_once(&u->ref, xstrdup(value), "ref", err);
	if (strcmp(key, "tag") == 0)
		return set_once(tag, str_starts(value, "refs/tags/") ? xstrdup(value) : xasprintf("refs/tags/%s", value), "tag", err);
	if (strcmp(key, "branch") == 0)
		return set_once(branch, str_starts(value, "refs/heads/") ? xstrdup(value) : xasprintf("refs/heads/%s", value), "branch", err);
	if (strcmp(key, "subdir") == 0)
		return set_subdir(u, value, err);
	if (strcmp(key, "commit") == 0 || strcmp(key, "checksum") == 0)
		return set_checksum(u, value, err);
	return err_set(err, ERR_INVALID, "unexpected query \"%s\"", err_quote(quoted, sizeof(quoted), key));
}

static int parse_query(char *text, struct giturl *u, struct err *err)
{
	AUTO_FREE char *tag = xstrdup(""), *branch = xstrdup("");
	for (char *save = NULL, *p = strtok_r(text, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
		char *value = strchr(p, '=');
		char nothing[1] = "";
		if (value)
			*value++ = '\0';
		else
			value = nothing;
		if (unescape(p) < 0 || unescape(value) < 0)
			return err_set(err, ERR_INVALID, "its query makes no sense");
		if (set_query(u, p, value, &tag, &branch, err) < 0)
			return -1;
	}
	if (*tag && set_once(&u->ref, xstrdup(tag), "ref", err) < 0)
		return -1;
	return *branch ? set_once(&u->ref, xstrdup(branch), "ref", err) : 0;
}

static int parse_all(const char *text, struct giturl *u, struct err *err)
{
	const size_t n = strcspn(text, "?#"), query = text[n] == '?' ? strcspn(text + n, "#") : 0;
	AUTO_FREE char *remote = xstrndup(text, n), *fragment = NULL, *asked = query ? xstrndup(text + n + 1, query - 1) : NULL;
	char *colon;
	if (strlen(text) > MAX_TEXT)
		return err_set(err, ERR_INVALID, "longer than %d bytes", MAX_TEXT);
	if (parse_remote(remote, u, err) < 0)
		return -1;
	fragment = xstrdup(text[n + query] == '#' ? text + n + query + 1 : "");
	colon = strchr(fragment, ':');
	if (colon)
		*colon++ = '\0';
	if (unescape(fragment) < 0 || (colon && unescape(colon) < 0))
		return err_set(err, ERR_INVALID, "its fragment makes no sense");
	if (set_once(&u->ref, xstrdup(fragment), "ref", err) < 0 || (colon && set_subdir(u, colon, err) < 0) || (asked && parse_query(asked, u, err) < 0))
		return -1;
	if (!is_line(u->ref) || strchr(u->ref, ' ') || strlen(u->ref) > 1024)
		return err_set(err, ERR_INVALID, "its ref makes no sense");
	return 0;
}

static void begin(struct giturl *u)
{
	*u = (struct giturl){ .submodules = true, .user = xstrdup(""), .password = xstrdup(""), .ref = xstrdup(""), .subdir = xstrdup(""),
		.checksum = xstrdup("") };
}

int giturl_parse(const char *text, struct giturl *ret, struct err *err)
{
	AUTO_FREE char *whole = str_starts(text, "github.com/") ? xasprintf("https://%s", text) : xstrdup(text);
	char quoted[200];
	begin(ret);
	if (parse_all(whole, ret, err) == 0)
		return 0;
	giturl_done(ret);
	return err_wrap(err, "git URL \"%s\"", err_quote(quoted, sizeof(quoted), text));
}

/* "../x", "./x" beside the parent: each ".." takes one component of its path. */
static char *relative(const struct giturl *parent, const char *url)
{
	AUTO_FREE char *base = xstrdup(parent->remote);
	const char *start = strstr(base, "://");
	start = start ? strchr(start + 3, '/') : strchr(base, ':');
	while (start && base[0] && base[strlen(base) - 1] == '/')
		base[strlen(base) - 1] = '\0';
	for (;;) {
		char *slash;
		if (str_starts(url, "./")) {
			url += 2;
			continue;
		}
		if (!str_starts(url, "../"))
			break;
		slash = strrchr(base, '/');
		if (!start || !slash || slash < start)
			return NULL;
		*slash = '\0';
		url += 3;
	}
	return xasprintf("%s/%s", base, url);
}

int giturl_join(const struct giturl *parent, const char *url, struct giturl *ret, struct err *err)
{
	AUTO_FREE char *whole = str_starts(url, "./") || str_starts(url, "../") ? relative(parent, url) : xstrdup(url);
	char quoted[200];
	begin(ret);
	if (whole && !strpbrk(whole, "?#") && parse_remote(whole, ret, err) == 0) {
		if (!*ret->user && strcmp(ret->host, parent->host) == 0 && ret->scheme == parent->scheme && ret->port == parent->port) {
			free(ret->user);
			free(ret->password);
			ret->user = xstrdup(parent->user);
			ret->password = xstrdup(parent->password);
		}
		return 0;
	}
	giturl_done(ret);
	return err_set(err, ERR_INVALID, "submodule URL \"%s\" is not supported", err_quote(quoted, sizeof(quoted), url));
}
