/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that a build's request is made of, whoever asks for it. */
#include "compose/build_request.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "images/config.h"
#include "spec/bytes.h"
#include "spec/giturl.h"

enum { MAX_DOCKERFILE = 16 << 20, MAX_SECRET = 500 << 10, MAX_KEY = 100 << 10, TAR_MAGIC_AT = 257, HEAD_BYTES = 512 };
#define MAX_CONTEXT_BYTES (64ULL << 30)

/* The array `key` of the request, made when it is not there; borrowed. */
static json_t *list(json_t *request, const char *key)
{
	json_t *j = json_object_get(request, key);
	if (!j) {
		j = json_array();
		json_object_set_new(request, key, j);
	}
	return j;
}

json_t *build_request_options(struct build_spec *s)
{
	json_t *run = json_object_get(s->request, "run");
	if (!run) {
		run = json_object();
		json_object_set_new(s->request, "run", run);
	}
	return run;
}

bool build_request_is_git(const char *text)
{
	return giturl_is(text) || str_starts(text, "github.com/");
}

static int add_remote(json_t *context, const char *url, struct err *err)
{
	AUTO_GITURL struct giturl u = { 0 };
	const bool git = build_request_is_git(url);
	if (git && giturl_parse(url, &u, err) < 0)
		return -1;
	json_put_str(context, "kind", git ? "git" : "url");
	json_object_set_new(context, "url", json_text(url));
	return 0;
}

static int add_directory(struct build_spec *s, json_t *context, const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), at;
	char quoted[200];
	err_quote(quoted, sizeof(quoted), path);
	if (fd < 0)
		return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "path \"%s\" not found", quoted) : err_sys(err, errno, "open \"%s\"", quoted);
	at = build_spec_fd(s, fd, err);
	if (at < 0)
		return -1;
	json_put_str(context, "kind", "directory");
	json_put_int(context, "fd", at);
	return 0;
}

int build_request_context(struct build_spec *s, const char *name, const char *value, struct err *err)
{
	json_t *c = json_object();
	char quoted[200];
	json_array_append_new(list(s->request, "contexts"), c);
	json_object_set_new(c, "name", json_text(name));
	err_quote(quoted, sizeof(quoted), value);
	if (str_starts(value, "docker-image://")) {
		json_put_str(c, "kind", "image");
		json_object_set_new(c, "ref", json_text(value + strlen("docker-image://")));
	} else if (str_starts(value, "service:")) {
		json_object_set_new(c, "service", json_text(value + strlen("service:")));
		strv_push(&s->after, value + strlen("service:"));
	} else if (str_starts(value, "target:")) {
		return err_set(err, ERR_UNSUPPORTED, "context \"%s\": targets are those of a bake file, and there is none", quoted);
	} else if (str_starts(value, "oci-layout://")) {
		json_put_str(c, "kind", "image");
		json_object_set_new(c, "ref", json_text(value));
	} else if (build_request_is_git(value) || build_request_is_download(value)) {
		return add_remote(c, value, err);
	} else {
		return add_directory(s, c, value, err);
	}
	return 0;
}

int build_request_text(struct build_spec *s, const char *name, const char *text, size_t n, struct err *err)
{
	AUTO_CLOSE int fd = memfd_create("Dockerfile", MFD_CLOEXEC);
	int at;
	if (fd < 0)
		return err_sys(err, errno, "memfd");
	if (fs_write_all(fd, text, n, err) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "memfd");
	at = build_spec_fd(s, TAKE_FD(fd), err);
	if (at < 0)
		return -1;
	json_object_set_new(s->request, "dockerfile", json_pack("{s:i,s:o}", "fd", at, "name", json_text(name)));
	free(s->dockerfile);
	s->dockerfile = xstrdup(name);
	return 0;
}

/* <Dockerfile>.dockerignore counts instead of the context's .dockerignore. */
static int add_ignore(struct build_spec *s, const char *path, struct err *err)
{
	AUTO_FREE char *name = xasprintf("%s.dockerignore", path);
	int fd = open(name, O_RDONLY | O_CLOEXEC), at;
	const char *slash = strrchr(name, '/');
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "open %s", name);
	at = build_spec_fd(s, fd, err);
	if (at < 0)
		return -1;
	json_object_set_new(s->request, "ignore", json_pack("{s:i,s:o}", "fd", at, "name", json_text(slash ? slash + 1 : name)));
	return 0;
}

int build_request_dockerfile(struct build_spec *s, const char *context_dir, const char *dockerfile, struct err *err)
{
	const char *names[] = { dockerfile && *dockerfile ? dockerfile : "Dockerfile", "dockerfile" };
	size_t n = dockerfile && *dockerfile ? 1 : 2;
	AUTO_STR struct str text = { 0 };
	char quoted[200];
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *path = names[i][0] == '/' ? xstrdup(names[i]) : xasprintf("%s/%s", context_dir, names[i]);
		int rc = fs_read(AT_FDCWD, path, MAX_DOCKERFILE, &text, err);
		if (rc < 0)
			return err_wrap(err, "failed to read dockerfile");
		if (rc == 0)
			return build_request_text(s, names[i], str_get(&text), text.len, err) < 0 ? -1 : add_ignore(s, path, err);
	}
	return err_set(err, ERR_NOT_FOUND, "failed to read dockerfile: open %s: no such file or directory", err_quote(quoted, sizeof(quoted), names[0]));
}

static int add_secret(struct build_secret *v, size_t *n, const char *id, int fd, struct err *err)
{
	for (size_t i = 0; i < *n; i++)
		if (strcmp(v[i].id, id) == 0) { /* the last one counts */
			close(v[i].fd);
			v[i].fd = fd;
			return 0;
		}
	if (*n == BUILD_MAX_SECRETS) {
		close(fd);
		return err_set(err, ERR_UNSUPPORTED, "more than %d secrets", BUILD_MAX_SECRETS);
	}
	v[(*n)++] = (struct build_secret){ .id = xstrdup(id), .fd = fd };
	return 0;
}

/* The keys of files "a,b" for an agent: a memfd, -1 + err. */
static int read_keys(const char *paths, struct err *err)
{
	AUTO_JSON json_t *conf = json_pack("{s:[]}", "keys");
	AUTO_FREE char *copy = xstrdup(paths), *text = NULL;
	AUTO_CLOSE int fd = memfd_create("keys", MFD_CLOEXEC);
	char quoted[200];
	int rc;
	for (char *save = NULL, *path = strtok_r(copy, ",", &save); path; path = strtok_r(NULL, ",", &save)) {
		AUTO_STR struct str key = { 0 };
		const char *home = str_starts(path, "~/") ? getenv("HOME") : NULL;
		AUTO_FREE char *whole = home ? xasprintf("%s%s", home, path + 1) : xstrdup(path);
		err_quote(quoted, sizeof(quoted), path);
		rc = fs_read(AT_FDCWD, whole, MAX_KEY, &key, err);
		if (rc)
			return rc < 0 ? err_wrap(err, "ssh") : err_set(err, ERR_NOT_FOUND, "ssh: open \"%s\": no such file or directory", quoted);
		json_array_append_new(json_object_get(conf, "keys"), json_pack("{s:o,s:o}", "name", json_text(path), "text", json_text(str_get(&key))));
		explicit_bzero(key.p, key.len);
	}
	text = json_canonical(conf);
	rc = fd < 0 ? err_sys(err, errno, "memfd") : fs_write_all(fd, text, strlen(text), err);
	explicit_bzero(text, strlen(text));
	return rc < 0 ? -1 : TAKE_FD(fd);
}

int build_request_ssh(struct build_spec *s, const char *entry, struct err *err)
{
	size_t n = strcspn(entry, "=:");
	AUTO_FREE char *id = xstrndup(entry, n);
	const char *path = entry[n] ? entry + n + 1 + strspn(entry + n + 1, " ") : getenv("SSH_AUTH_SOCK");
	char quoted[200];
	struct stat st;
	bool keys;
	int fd;
	if (!path || !*path)
		return err_set(err, ERR_NOT_FOUND, "ssh \"%s\": no agent: SSH_AUTH_SOCK is not set", err_quote(quoted, sizeof(quoted), id));
	keys = stat(path, &st) < 0 || !S_ISSOCK(st.st_mode);
	fd = keys ? read_keys(path, err) : open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return keys ? -1 : err_sys(err, errno, "ssh: open \"%s\"", err_quote(quoted, sizeof(quoted), path));
	if (add_secret(s->agents, &s->n_agents, id, fd, err) < 0)
		return -1;
	for (size_t i = 0; i < s->n_agents; i++)
		if (s->agents[i].fd == fd)
			s->agents[i].keys = keys;
	return 0;
}

int build_request_secret(struct build_spec *s, const char *id, const char *path, const char *env, struct err *err)
{
	AUTO_STR struct str text = { 0 };
	const char *value;
	char quoted[200];
	int fd, rc;
	err_quote(quoted, sizeof(quoted), id);
	if (!path && !env && getenv(id))
		env = id;
	else if (!path && !env)
		path = id;
	if (path) {
		rc = fs_read(AT_FDCWD, path, MAX_SECRET, &text, err);
		if (rc)
			return rc < 0 ? err_wrap(err, "secret \"%s\"", quoted) :
					err_set(err, ERR_NOT_FOUND, "secret \"%s\": open %s: no such file or directory", quoted, path);
	} else {
		value = getenv(env);
		if (!value)
			return err_set(err, ERR_NOT_FOUND, "secret \"%s\": the variable %s is not set", quoted, env);
		if (strlen(value) > MAX_SECRET)
			return err_set(err, ERR_INVALID, "secret \"%s\" is larger than 500 KiB", quoted);
		str_add(&text, value);
	}
	fd = memfd_create("secret", MFD_CLOEXEC);
	if (fd < 0 || fs_write_all(fd, str_get(&text), text.len, err) < 0)
		return fd < 0 ? err_sys(err, errno, "memfd") : -1;
	if (text.len)
		explicit_bzero(text.p, text.len);
	json_array_append_new(list(s->request, "secrets"), json_text(id));
	return add_secret(s->secrets, &s->n_secrets, id, fd, err);
}

int build_request_network(struct build_spec *s, const char *network, struct err *err)
{
	char quoted[100];
	if (!*network)
		return 0;
	if (strcmp(network, "host") != 0 && strcmp(network, "none") != 0 && strcmp(network, "default") != 0)
		return err_set(err, ERR_UNSUPPORTED, "network \"%s\": build steps have default, none or host", err_quote(quoted, sizeof(quoted), network));
	json_put_str(s->request, "network", network);
	s->host_network = s->host_network || strcmp(network, "host") == 0;
	return 0;
}

int build_request_entitlement(struct build_spec *s, const char *name, struct err *err)
{
	char quoted[100];
	if (strcmp(name, "security.insecure") == 0)
		s->insecure = true;
	else if (strcmp(name, "network.host") == 0)
		s->host_network = true;
	else
		return err_set(err, ERR_UNSUPPORTED, "entitlement \"%s\": there are security.insecure and network.host",
			err_quote(quoted, sizeof(quoted), name));
	return 0;
}

int build_request_host(struct build_spec *s, const char *entry, struct err *err)
{
	size_t n = strcspn(entry, "=:");
	char quoted[200];
	if (!n || !entry[n] || !entry[n + 1])
		return err_set(err, ERR_INVALID, "extra host \"%s\" is not of the form name=address", err_quote(quoted, sizeof(quoted), entry));
	json_array_append_new(list(build_request_options(s), "extra_hosts"), json_text(entry));
	return 0;
}

int build_request_platform(struct build_spec *s, const char *platform, struct err *err)
{
	AUTO_FREE char *copy = xstrdup(platform);
	json_t *all = list(s->request, "platforms"), *v;
	char quoted[100];
	size_t i;
	for (char *save = NULL, *one = strtok_r(copy, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		AUTO_FREE char *normal = image_config_platform(one);
		bool there = false;
		if (!normal)
			return err_set(err, ERR_UNSUPPORTED, "platform \"%s\": linux/ARCH[/VARIANT] is supported", err_quote(quoted, sizeof(quoted), one));
		json_array_foreach(all, i, v)
			there = there || strcmp(json_string_value(v), normal) == 0;
		if (!there)
			json_array_append_new(all, json_string(normal));
	}
	if (json_array_size(all) > BUILD_MAX_PLATFORMS)
		return err_set(err, ERR_UNSUPPORTED, "more than %d platforms", BUILD_MAX_PLATFORMS);
	json_object_set(s->request, "platform", json_array_get(all, 0));
	return 0;
}

void build_request_one_platform(struct build_spec *s)
{
	AUTO_FREE char *host = xasprintf("linux/%s", image_config_host_arch());
	json_t *all = json_object_get(s->request, "platforms"), *v;
	size_t i;
	json_array_foreach(all, i, v)
		if (strcmp(json_string_value(v), host) == 0)
			json_object_set(s->request, "platform", v);
	json_object_del(s->request, "platforms");
}

void build_request_arg(struct build_spec *s, const char *arg)
{
	const char *value = strchr(arg, '=') ? NULL : getenv(arg);
	AUTO_FREE char *whole = value ? xasprintf("%s=%s", arg, value) : xstrdup(arg);
	if (strchr(whole, '='))
		json_array_append_new(list(s->request, "build_args"), json_text(whole));
}

/* Is this the beginning of an archive, as docker tells it? */
static bool is_archive(const unsigned char *head, size_t n)
{
	static const struct {
		unsigned char bytes[6];
		size_t n;
	} magic[] = { { { 0x1f, 0x8b }, 2 }, { { 'B', 'Z', 'h' }, 3 }, { { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6 }, { { 0x28, 0xb5, 0x2f, 0xfd }, 4 } };
	for (size_t i = 0; i < ARRAY_SIZE(magic); i++)
		if (n >= magic[i].n && memcmp(head, magic[i].bytes, magic[i].n) == 0)
			return true;
	return n > TAR_MAGIC_AT + 5 && memcmp(head + TAR_MAGIC_AT, "ustar", 5) == 0;
}

int build_request_stream(struct build_spec *s, int fd, const char *dockerfile, struct err *err)
{
	unsigned char head[HEAD_BYTES];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	json_t *c = json_pack("{s:s}", "name", "");
	int at = build_spec_fd(s, fd, err);
	json_array_append_new(list(s->request, "contexts"), c);
	if (n < 0 || at < 0)
		return at < 0 ? -1 : err_sys(err, errno, "read the context");
	if (!is_archive(head, (size_t)n)) {
		AUTO_STR struct str text = { 0 };
		json_put_str(c, "kind", "empty");
		if (dockerfile && *dockerfile)
			return err_set(err, ERR_INVALID, "a Dockerfile is named, and there is no context: what comes is a Dockerfile");
		if (fs_read_fd(fd, MAX_DOCKERFILE, &text, err) < 0)
			return err_wrap(err, "read the Dockerfile");
		return build_request_text(s, "Dockerfile", str_get(&text), text.len, err);
	}
	json_put_str(c, "kind", "tar");
	json_put_int(c, "fd", at);
	build_request_dockerfile_inside(s, dockerfile);
	return 0;
}

void build_request_dockerfile_inside(struct build_spec *s, const char *dockerfile)
{
	dockerfile = dockerfile && *dockerfile ? dockerfile : "Dockerfile";
	json_object_set_new(s->request, "dockerfile", json_pack("{s:o,s:o}", "path", json_text(dockerfile), "name", json_text(dockerfile)));
	free(s->dockerfile);
	s->dockerfile = xstrdup(dockerfile);
}

bool build_request_is_download(const char *text)
{
	return (str_starts(text, "http://") || str_starts(text, "https://")) && !giturl_is(text);
}

int build_request_url(struct build_spec *s, int root_fd, const char *url, const char *dockerfile, struct err *err)
{
	AUTO_CLOSE int fd = openat(root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char quoted[200];
	if (fd < 0)
		return err_sys(err, errno, "make a file for the context");
	if (build_client_fetch(url, fd, MAX_CONTEXT_BYTES, err) < 0)
		return err_wrap(err, "context \"%s\"", err_quote(quoted, sizeof(quoted), url));
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "read the context");
	return build_request_stream(s, TAKE_FD(fd), dockerfile, err);
}
