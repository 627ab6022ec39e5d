/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of "auths" are written in many ways ("https://index.docker.io/v1/", "ghcr.io", "host:5000/v2/"): they are compared without
 * scheme and, in docker's file, without path. docker.io is also index.docker.io and registry-1.docker.io. */
#include "compose/registries.h"

#include <dirent.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/auth.h"
#include "spec/imageref.h"

enum { MAX_CA_FILES = 32, MAX_AUTH_BYTES = 16 << 10 };

void registry_account_done(struct registry_account *a)
{
	free(a->username);
	free(a->password);
	free(a->identity_token);
	free(a->helper);
	*a = (struct registry_account){0};
}

static bool is_docker_hub(const char *host)
{
	return str_eq(host, "docker.io") || str_eq(host, "index.docker.io") || str_eq(host, "registry-1.docker.io");
}

/* How much of "registry/repository" the key covers: 0 = it is about something else. with_path: "host/path" keys are for a part only. */
static size_t key_covers(const char *key, const char *registry, const char *repository, bool with_path)
{
	const char *p = str_starts(key, "https://") ? key + 8 : str_starts(key, "http://") ? key + 7 : key;
	size_t n = strcspn(p, "/");
	AUTO_FREE char *host = xstrndup(p, n);
	const char *path = p[n] ? p + n + 1 : "";
	size_t len = strlen(path);
	if (strcmp(host, registry) != 0 && !(is_docker_hub(host) && is_docker_hub(registry)))
		return 0;
	if (!with_path || len == 0 || strcmp(path, "v1/") == 0 || strcmp(path, "v2/") == 0)
		return 1;
	return strncmp(repository, path, len) == 0 && (repository[len] == '/' || !repository[len]) ? 1 + len : 0;
}

static int base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* "dXNlcjpwYXNz" → user and password. -1 when it is not of that form. */
static int split_auth(const char *auth, struct registry_account *ret)
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
	if (!colon)
		return -1;
	ret->username = xstrndup(plain.p, (size_t)(colon - plain.p));
	ret->password = xstrdup(colon + 1);
	return 0;
}

static bool take_entry(const json_t *entry, struct registry_account *ret)
{
	const char *auth = json_get_str(entry, "auth", ""), *token = json_get_str(entry, "identitytoken", "");
	const char *user = json_get_str(entry, "username", ""), *password = json_get_str(entry, "password", "");
	if (*token)
		ret->identity_token = xstrdup(token);
	if (*auth && split_auth(auth, ret) == 0)
		return true;
	if (*user && *password) {
		ret->username = xstrdup(user);
		ret->password = xstrdup(password);
		return true;
	}
	return *token;
}

static int look_in(const char *path, const char *registry, const char *repository, bool with_path, struct registry_account *ret,
	struct err *err)
{
	AUTO_JSON json_t *doc = NULL;
	const json_t *best = NULL;
	const char *key, *helper;
	json_t *entry;
	size_t covered = 0;
	int rc = json_read_file(AT_FDCWD, path, &doc, err);
	if (rc != 0)
		return rc < 0 ? err_wrap(err, "%s", path) : 1;
	json_object_foreach(json_object_get(doc, "auths"), key, entry) {
		size_t n = key_covers(key, registry, repository, with_path);
		if (n > covered && json_is_object(entry)) {
			best = entry;
			covered = n;
		}
	}
	if (best && take_entry(best, ret))
		return 0;
	helper = json_get_str(json_object_get(doc, "credHelpers"), registry, NULL);
	if (!helper && best)
		helper = json_get_str(doc, "credsStore", NULL);
	if (helper && !ret->helper)
		ret->helper = xstrdup(helper);
	return 1;
}

int registry_find_account(const char *registry, const char *repository, struct registry_account *ret, struct err *err)
{
	const char *home = getenv("HOME"), *docker = getenv("DOCKER_CONFIG"), *file = getenv("REGISTRY_AUTH_FILE"), *run = getenv("XDG_RUNTIME_DIR");
	AUTO_STRV struct strv paths = {0};
	int rc = 1;
	*ret = (struct registry_account){0};
	strv_take(&paths, docker && *docker ? xasprintf("%s/config.json", docker) : xasprintf("%s/.docker/config.json", home ? home : "/root"));
	if (file && *file)
		strv_push(&paths, file);
	if (run && *run)
		strv_pushf(&paths, "%s/containers/auth.json", run);
	strv_pushf(&paths, "/run/containers/%u/auth.json", getuid());
	strv_pushf(&paths, "%s/.config/containers/auth.json", home ? home : "/root");
	for (size_t i = 0; i < paths.n && rc == 1; i++)
		rc = look_in(paths.v[i], registry, repository, i > 0, ret, err);
	if (rc < 0)
		registry_account_done(ret);
	return rc;
}

int registry_parse_name(const char *text, char **ret, struct err *err)
{
	const char *p = str_starts(text, "https://") ? text + 8 : text;
	AUTO_FREE char *host = xstrndup(p, strcspn(p, "/"));
	AUTO_FREE char *ref = xasprintf("%s/x/y", host);
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref r;
	char shown[120];
	if (is_docker_hub(host)) {
		*ret = xstrdup("docker.io");
		return 0;
	}
	if (!*host || str_starts(text, "http://") || imageref_parse(ref, a, &r, NULL) < 0 || strcmp(r.registry, host) != 0)
		return err_set(err, ERR_INVALID, "\"%s\" is no registry: HOST or HOST:PORT", err_quote(shown, sizeof(shown), text));
	*ret = TAKE_PTR(host);
	return 0;
}

/* Drops all entries about this registry as a whole. True when there was one. */
static bool drop_entries(json_t *auths, const char *registry)
{
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

int registry_keep_account(const char *registry, const char *username, const char *password, struct err *err)
{
	const char *home = getenv("HOME"), *docker = getenv("DOCKER_CONFIG");
	AUTO_FREE char *dir = docker && *docker ? xstrdup(docker) : xasprintf("%s/.docker", home ? home : "/root");
	AUTO_CLOSE int fd = username ? fs_make_dir(AT_FDCWD, dir, 0700, err) : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_JSON json_t *doc = NULL;
	AUTO_FREE char *text = NULL;
	json_t *auths;
	bool had;
	int rc;
	if (fd < 0)
		return username ? -1 : errno == ENOENT ? 1 : err_sys(err, errno, "open %s", dir);
	rc = json_read_file(fd, "config.json", &doc, err);
	if (rc < 0)
		return err_wrap(err, "%s", dir);
	if (rc == 1)
		doc = json_object();
	auths = json_object_get(doc, "auths");
	if (!json_is_object(auths)) {
		auths = json_object();
		json_object_set_new(doc, "auths", auths);
	}
	had = drop_entries(auths, registry);
	if (!username && !had)
		return 1;
	if (username) {
		AUTO_FREE char *basic = auth_basic(username, password);
		json_t *entry = json_object();
		json_put_str(entry, "auth", basic + strlen("Basic "));
		json_object_set_new(auths, is_docker_hub(registry) ? "https://index.docker.io/v1/" : registry, entry);
	}
	text = json_dumps(doc, JSON_INDENT(4));
	if (!text)
		util_oom();
	return fs_write_atomic(fd, "config.json", text, strlen(text), 0600, err) < 0 ? err_wrap(err, "%s", dir) : 0;
}

/* ---- certificates ---- */

struct ca_dir {
	const char *path;
	json_t *files;
};

static int add_certificate(void *arg, const char *name)
{
	struct ca_dir *d = arg;
	if (str_ends(name, ".crt") && json_array_size(d->files) < MAX_CA_FILES) {
		AUTO_FREE char *path = xasprintf("%s/%s", d->path, name);
		json_array_append_new(d->files, json_text(path));
	}
	return 0;
}

static json_t *certificate_files(const char *host)
{
	static const char *const system_files[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem" };
	static const char *const dirs[] = { "/etc/docker/certs.d", "/etc/containers/certs.d" };
	const char *given = getenv("SSL_CERT_FILE");
	json_t *files = json_array();
	if (given && *given)
		json_array_append_new(files, json_text(given));
	for (size_t i = 0; json_array_size(files) == 0 && i < ARRAY_SIZE(system_files); i++)
		if (access(system_files[i], R_OK) == 0)
			json_array_append_new(files, json_text(system_files[i]));
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", dirs[i], host);
		struct ca_dir d = { path, files };
		fs_each(AT_FDCWD, path, add_certificate, &d, NULL);
	}
	return files;
}

static const char *environment(const char *a, const char *b)
{
	const char *v = getenv(a);
	return v && *v ? v : getenv(b);
}

int registry_describe(const char *ref, bool push, json_t **ret, char **ret_helper, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct registry_account account;
	struct imageref r;
	const char *host;
	json_t *j;
	if (imageref_parse(ref, a, &r, err) < 0 || registry_find_account(r.registry, r.repository, &account, err) < 0)
		return -1;
	host = is_docker_hub(r.registry) ? "registry-1.docker.io" : r.registry;
	j = json_object();
	json_put_str(j, "name", r.registry);
	json_put_str(j, "host", host);
	json_put_str(j, "repository", r.repository);
	if (account.username)
		json_object_set_new(j, "username", json_text(account.username));
	if (account.password)
		json_object_set_new(j, "password", json_text(account.password));
	json_put_str(j, "identity_token", account.identity_token);
	json_put_str(j, "proxy", environment("HTTPS_PROXY", "https_proxy"));
	json_put_str(j, "no_proxy", environment("NO_PROXY", "no_proxy"));
	json_object_set_new(j, "push", json_boolean(push));
	json_object_set_new(j, "ca_files", certificate_files(host));
	*ret_helper = TAKE_PTR(account.helper);
	registry_account_done(&account);
	*ret = j;
	return 0;
}
