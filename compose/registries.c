/* SPDX-License-Identifier: Apache-2.0 */
/* Files are read where the user's environment says; what they mean is in images/authfile.c and images/regconf.c. */
#include "compose/registries.h"

#include <dirent.h>
#include <stdio.h>

#include "base/fs.h"
#include "compose/credhelper.h"
#include "images/regconf.h"
#include "spec/imageref.h"

enum { MAX_CA_FILES = 32, MAX_CONF_FILES = 256 };

static const char *home(void)
{
	const char *h = getenv("HOME");
	return h && *h ? h : "/root";
}

static char *docker_folder(void)
{
	const char *docker = getenv("DOCKER_CONFIG");
	return docker && *docker ? xstrdup(docker) : xasprintf("%s/.docker", home());
}

/* ---- credentials ---- */

struct helper_answer {
	int rc;               /* as of credhelper_get() */
	struct account account;
	struct err err;
};

void registries_done(struct registries *r)
{
	for (struct map_entry *e = map_next(&r->answers, NULL); e; e = map_next(&r->answers, e)) {
		struct helper_answer *a = e->value;
		account_done(&a->account);
		free(a);
	}
	map_done(&r->answers);
	json_decref(r->conf);
	*r = (struct registries){0};
}

/* As credhelper_get(), but each question is asked once. */
static int ask_helper(struct registries *r, const char *helper, const char *registry, struct account *ret, struct err *err)
{
	AUTO_FREE char *key = xasprintf("%s %s", helper, registry);
	struct helper_answer *a = map_get(&r->answers, key);
	if (!a) {
		a = xcalloc(1, sizeof(*a));
		a->rc = credhelper_get(helper, registry, &a->account, &a->err);
		map_put(&r->answers, key, a);
	}
	*ret = (struct account){0};
	if (a->account.username)
		ret->username = xstrdup(a->account.username);
	if (a->account.password)
		ret->password = xstrdup(a->account.password);
	if (a->account.identity_token)
		ret->identity_token = xstrdup(a->account.identity_token);
	if (a->rc < 0)
		*err = a->err;
	return a->rc;
}

/* failure: of the first helper that failed; its code says whether one did. 0; 1 when there is no account; -1 + err. */
static int look_in(struct registries *r, const char *path, const char *registry, const char *repository, bool paths, struct account *ret,
	struct err *failure, struct err *err)
{
	AUTO_JSON json_t *doc = NULL;
	const char *helper;
	struct err own = {0};
	int rc = json_read_file(AT_FDCWD, path, &doc, err);
	if (rc != 0)
		return rc < 0 ? err_wrap(err, "%s", path) : 1;
	helper = authfile_helper(doc, registry);
	rc = helper ? ask_helper(r, helper, registry, ret, &own) : 1;
	if (rc < 0 && failure->code == ERR_NONE)
		*failure = own;
	return rc == 0 ? 0 : authfile_find(doc, registry, repository, paths, ret);
}

/* $DOCKER_AUTH_CONFIG: {"auths": …} as in docker's file; what is no such text is an error, since it was set on purpose. */
static int look_in_environment(const char *registry, struct account *ret, struct err *err)
{
	const char *text = getenv("DOCKER_AUTH_CONFIG");
	AUTO_JSON json_t *doc = text && *text ? json_loads(text, 0, NULL) : NULL;
	if (!text || !*text)
		return 1;
	if (!json_is_object(doc))
		return err_set(err, ERR_INVALID, "DOCKER_AUTH_CONFIG: not a JSON object");
	return authfile_find(doc, registry, "", false, ret);
}

int registry_find_account(struct registries *r, const char *registry, const char *repository, struct account *ret, char **ret_warning,
	struct err *err)
{
	const char *file = getenv("REGISTRY_AUTH_FILE"), *run = getenv("XDG_RUNTIME_DIR");
	AUTO_FREE char *docker = docker_folder();
	AUTO_STRV struct strv paths = {0};
	struct err failure = {0};
	int rc;
	*ret = (struct account){0};
	*ret_warning = NULL;
	rc = look_in_environment(registry, ret, err);
	strv_pushf(&paths, "%s/config.json", docker);
	if (file && *file)
		strv_push(&paths, file);
	if (run && *run)
		strv_pushf(&paths, "%s/containers/auth.json", run);
	strv_pushf(&paths, "/run/containers/%u/auth.json", getuid());
	strv_pushf(&paths, "%s/.config/containers/auth.json", home());
	for (size_t i = 0; i < paths.n && rc == 1; i++)
		rc = look_in(r, paths.v[i], registry, repository, i > 0, ret, &failure, err);
	if (rc < 0)
		account_done(ret);
	if (rc < 0 || failure.code == ERR_NONE)
		return rc;
	err_wrap(&failure, "credentials for %s", registry);
	if (rc == 0)
		*ret_warning = xasprintf("%s: taking those of another file", failure.msg);
	else
		*err = failure;
	return rc == 0 ? 0 : 2;
}

int registry_parse_name(const char *text, char **ret, struct err *err)
{
	const char *p = str_starts(text, "https://") ? text + 8 : text;
	AUTO_FREE char *host = xstrndup(p, strcspn(p, "/"));
	AUTO_FREE char *ref = xasprintf("%s/x/y", host);
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref r;
	char shown[120];
	if (authfile_is_hub(host)) {
		*ret = xstrdup("docker.io");
		return 0;
	}
	if (!*host || str_starts(text, "http://") || imageref_parse(ref, a, &r, NULL) < 0 || strcmp(r.registry, host) != 0)
		return err_set(err, ERR_INVALID, "\"%s\" is no registry: HOST or HOST:PORT", err_quote(shown, sizeof(shown), text));
	*ret = TAKE_PTR(host);
	return 0;
}

/* Keeps or forgets the account in docker's file, whose text is doc. *had: something was there. 0 or -1 + err. */
static int change_account(json_t *doc, const char *registry, const char *username, const char *password, bool *had, struct err *err)
{
	const char *helper = authfile_helper(doc, registry);
	int rc = 1;
	if (username) {
		if (helper && credhelper_store(helper, registry, username, password, err) < 0)
			return -1;
		authfile_set(doc, registry, helper ? NULL : username, password);
		*had = true;
		return 0;
	}
	*had = authfile_drop(doc, registry);
	if (helper)
		rc = credhelper_erase(helper, registry, err);
	*had = *had || rc == 0;
	return rc < 0 ? -1 : 0;
}

/* Replaces docker's file; when it is a link, the file that it leads to. */
static int write_config(int dirfd, const char *dir, const char *text, struct err *err)
{
	AUTO_FREE char *path = xasprintf("%s/config.json", dir), *real = realpath(path, NULL);
	char *slash = real ? strrchr(real, '/') : NULL;
	AUTO_CLOSE int fd = -1;
	if (!slash)
		return fs_write_atomic(dirfd, "config.json", text, strlen(text), 0600, err);
	*slash = '\0';
	fd = open(*real ? real : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(err, errno, "open %s", real) : fs_write_atomic(fd, slash + 1, text, strlen(text), 0600, err);
}

int registry_keep_account(const char *registry, const char *username, const char *password, struct err *err)
{
	AUTO_FREE char *dir = docker_folder(), *text = NULL;
	AUTO_CLOSE int fd = username ? fs_make_dir(AT_FDCWD, dir, 0700, err) : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_JSON json_t *doc = NULL;
	bool had = false;
	int rc;
	if (fd < 0)
		return username ? -1 : errno == ENOENT ? 1 : err_sys(err, errno, "open %s", dir);
	rc = json_read_file(fd, "config.json", &doc, err);
	if (rc < 0)
		return err_wrap(err, "%s", dir);
	if (rc == 1)
		doc = json_object();
	if (change_account(doc, registry, username, password, &had, err) < 0)
		return -1;
	if (!had)
		return 1;
	text = json_dumps(doc, JSON_INDENT(4));
	if (!text)
		util_oom();
	rc = write_config(fd, dir, text, err);
	explicit_bzero(text, strlen(text));
	return rc < 0 ? err_wrap(err, "%s", dir) : 0;
}

/* ---- places ---- */

/* 0; 1 when there is no such file; -1 + err. */
static int add_conf(json_t **conf, const char *path, struct err *err)
{
	AUTO_STR struct str text = {0};
	int rc = fs_read(AT_FDCWD, path, REGCONF_MAX_BYTES, &text, err);
	if (rc == 0)
		rc = regconf_add(conf, str_get(&text), text.len, err);
	return rc < 0 ? err_wrap(err, "%s", path) : rc;
}

static int collect_conf(void *arg, const char *name)
{
	struct strv *names = arg;
	if (str_ends(name, ".conf") && names->n < MAX_CONF_FILES)
		strv_push(names, name);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_conf_folder(json_t **conf, const char *folder, struct err *err)
{
	AUTO_STRV struct strv names = {0};
	fs_each(AT_FDCWD, folder, collect_conf, &names, NULL);
	if (names.n > 1)
		qsort(names.v, names.n, sizeof(*names.v), compare_names);
	for (size_t i = 0; i < names.n; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", folder, names.v[i]);
		if (add_conf(conf, path, err) < 0)
			return -1;
	}
	return 0;
}

static int read_conf(json_t **ret, struct err *err)
{
	const char *given = getenv("CONTAINERS_REGISTRIES_CONF");
	AUTO_FREE char *own = xasprintf("%s/.config/containers/registries.conf", home()), *own_folder = xasprintf("%s.d", own);
	int rc;
	if (given && *given) {
		rc = add_conf(ret, given, err);
		if (rc == 1)
			return err_set(err, ERR_NOT_FOUND, "%s: no such file", given);
	} else {
		rc = add_conf(ret, own, err);
		if (rc == 1)
			rc = add_conf(ret, "/etc/containers/registries.conf", err);
	}
	if (rc < 0 || add_conf_folder(ret, "/etc/containers/registries.conf.d", err) < 0)
		return -1;
	return add_conf_folder(ret, own_folder, err);
}

/* ---- certificates ---- */

struct cert_dir {
	const char *path;
	json_t *endpoint, *files;
};

static int add_certificate(void *arg, const char *name)
{
	struct cert_dir *d = arg;
	AUTO_FREE char *path = xasprintf("%s/%s", d->path, name);
	if (str_ends(name, ".crt") && json_array_size(d->files) < MAX_CA_FILES)
		json_array_append_new(d->files, json_text(path));
	if (str_ends(name, ".cert") && !json_object_get(d->endpoint, "cert_file")) {
		AUTO_FREE char *key = xasprintf("%.*s.key", (int)(strlen(path) - strlen(".cert")), path);
		if (access(key, R_OK) == 0) {
			json_object_set_new(d->endpoint, "cert_file", json_text(path));
			json_object_set_new(d->endpoint, "key_file", json_text(key));
		}
	}
	return 0;
}

static void add_certificates(json_t *endpoint, const char *host)
{
	static const char *const system_files[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem" };
	const char *given = getenv("SSL_CERT_FILE");
	AUTO_STRV struct strv dirs = {0};
	json_t *files = json_array();
	if (given && *given)
		json_array_append_new(files, json_text(given));
	for (size_t i = 0; json_array_size(files) == 0 && i < ARRAY_SIZE(system_files); i++)
		if (access(system_files[i], R_OK) == 0)
			json_array_append_new(files, json_text(system_files[i]));
	strv_pushf(&dirs, "/etc/docker/certs.d/%s", host);
	strv_pushf(&dirs, "/etc/containers/certs.d/%s", host);
	strv_pushf(&dirs, "%s/.config/containers/certs.d/%s", home(), host);
	for (size_t i = 0; i < dirs.n; i++) {
		struct cert_dir d = { dirs.v[i], endpoint, files };
		fs_each(AT_FDCWD, dirs.v[i], add_certificate, &d, NULL);
	}
	json_object_set_new(endpoint, "ca_files", files);
}

/* ---- descriptions ---- */

static const char *environment(const char *a, const char *b)
{
	const char *v = getenv(a);
	return v && *v ? v : getenv(b);
}

static json_t *describe_host(const char *registry, const char *repository)
{
	const char *host = authfile_is_hub(registry) ? "registry-1.docker.io" : registry;
	json_t *j = json_object();
	json_put_str(j, "name", registry);
	json_put_str(j, "host", host);
	json_put_str(j, "repository", repository);
	json_put_str(j, "proxy", environment("HTTPS_PROXY", "https_proxy"));
	json_put_str(j, "plain_proxy", environment("HTTP_PROXY", "http_proxy"));
	json_put_str(j, "no_proxy", environment("NO_PROXY", "no_proxy"));
	add_certificates(j, host);
	return j;
}

static void put_account(json_t *j, const struct account *a)
{
	if (a->username)
		json_object_set_new(j, "username", json_text(a->username));
	if (a->password)
		json_object_set_new(j, "password", json_text(a->password));
	if (a->identity_token)
		json_object_set_new(j, "identity_token", json_text(a->identity_token));
}

static json_t *wrap_endpoints(json_t *list)
{
	json_t *j = json_object();
	json_object_set_new(j, "endpoints", list);
	return j;
}

/* ret_warning: what came first of them stays. 0; 2 + err: its account is not known; -1 + err. */
static int describe_place(struct registries *r, const struct place *p, bool push, const struct strv *sources, json_t *list, char **ret_warning, struct err *err)
{
	AUTO_FREE char *warning = NULL;
	struct account account;
	struct err own;
	json_t *j;
	int rc = registry_find_account(r, p->registry, p->repository, &account, &warning, &own);
	if (rc < 0 || (rc == 2 && !p->mirror)) {
		*err = own;
		return rc;
	}
	if (rc == 2)
		warning = xasprintf("%s: asking the mirror without", own.msg);
	j = describe_host(p->registry, p->repository);
	put_account(j, &account);
	account_done(&account);
	json_object_set_new(j, "push", json_boolean(push));
	json_object_set_new(j, "mirror", json_boolean(p->mirror));
	json_object_set_new(j, "insecure", json_boolean(p->insecure));
	if (sources && sources->n)
		json_object_set_new(j, "sources", json_from_strv(sources->v));
	json_array_append_new(list, j);
	if (!*ret_warning)
		*ret_warning = TAKE_PTR(warning);
	return 0;
}

int registry_describe(struct registries *r, const char *ref, bool push, const struct strv *sources, json_t **ret, char **ret_warning,
	struct err *err)
{
	AUTO_JSON json_t *list = json_array();
	struct place places[REGCONF_MAX_PLACES];
	size_t n;
	int rc;
	*ret_warning = NULL;
	if (!r->conf_read && read_conf(&r->conf, err) < 0)
		return -1;
	r->conf_read = true;
	if (regconf_resolve(r->conf, ref, push, places, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		rc = describe_place(r, &places[i], push, sources, list, ret_warning, err);
		if (rc != 0) {
			free(TAKE_PTR(*ret_warning));
			return rc;
		}
	}
	*ret = wrap_endpoints(TAKE_PTR(list));
	return 0;
}

json_t *registry_describe_host(const char *host)
{
	json_t *list = json_array();
	json_array_append_new(list, describe_host(host, ""));
	return wrap_endpoints(list);
}

int registry_describe_login(const char *registry, const char *username, const char *password, json_t **ret, struct err *err)
{
	AUTO_FREE char *ref = xasprintf("%s/x/y", registry);
	AUTO_JSON json_t *conf = NULL;
	struct place places[REGCONF_MAX_PLACES];
	json_t *j, *list = json_array();
	size_t n;
	if (read_conf(&conf, err) < 0 || regconf_resolve(conf, ref, true, places, &n, err) < 0)
		return json_decref(list), -1;
	j = describe_host(registry, "");
	json_object_set_new(j, "username", json_text(username));
	json_object_set_new(j, "password", json_text(password));
	json_object_set_new(j, "insecure", json_boolean(places[0].insecure));
	json_array_append_new(list, j);
	*ret = wrap_endpoints(list);
	return 0;
}
