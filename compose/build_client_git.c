/* SPDX-License-Identifier: Apache-2.0 */
/* What a build has from git (images/git.h): who we are to the server comes from the build's own secrets and agents, as BuildKit takes it:
 * GIT_AUTH_TOKEN.HOST or GIT_AUTH_TOKEN, the password of x-access-token; GIT_AUTH_HEADER.HOST or GIT_AUTH_HEADER, the whole header. They go to that
 * host only, and over http to this machine only. For ssh: the build's agent "default", and the user's and the machine's known_hosts. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/sock.h"
#include "compose/build_client_impl.h"
#include "spec/giturl.h"

enum { MAX_SECRET = 500 << 10, MAX_KNOWN_HOSTS = 4 << 20 };

/* The secret NAME.HOST or NAME as text without the line's end; free() it. NULL: there is none. */
static char *find_secret(const struct build_spec *s, const char *name, const char *host)
{
	AUTO_FREE char *own = xasprintf("%s.%s", name, host);
	const char *const names[] = { own, name };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t k = 0; k < s->n_secrets; k++) {
			AUTO_STR struct str text = { 0 };
			ssize_t n;
			if (strcmp(s->secrets[k].id, names[i]) != 0)
				continue;
			n = pread(s->secrets[k].fd, str_reserve(&text, MAX_SECRET), MAX_SECRET, 0);
			text.len = n > 0 ? (size_t)n : 0;
			while (text.len && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
				text.len--;
			text.p[text.len] = '\0';
			return str_take(&text);
		}
	return NULL;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *basic(const char *user, const char *password)
{
	AUTO_FREE char *both = xasprintf("%s:%s", user, password);
	struct str out = { 0 };
	const unsigned char *p = (const unsigned char *)both;
	str_add(&out, "Basic ");
	for (size_t n = strlen(both); n > 0; p += 3, n -= MIN(n, (size_t)3)) {
		unsigned v = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
		str_addc(&out, base64_digits[v >> 18]);
		str_addc(&out, base64_digits[v >> 12 & 63]);
		str_addc(&out, n > 1 ? base64_digits[v >> 6 & 63] : '=');
		str_addc(&out, n > 2 ? base64_digits[v & 63] : '=');
	}
	explicit_bzero(both, strlen(both));
	return str_take(&out);
}

static bool is_header(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

/* An address of the loopback, or "localhost": what only begins so ("127.example.org") may be anywhere. */
static bool is_here(const char *host)
{
	AUTO_FREE char *name = xasprintf(strchr(host, ':') ? "[%s]" : "%s", host);
	return sock_is_loopback(name);
}

/* The header for this server; free() it. NULL: none. */
static char *authorization(const struct build_spec *s, const struct giturl *u)
{
	AUTO_FREE char *token = NULL, *header = NULL;
	if (*u->user || *u->password)
		return basic(u->user, u->password);
	if (u->scheme != GITURL_HTTPS && !is_here(u->host))
		return NULL;
	header = find_secret(s, "GIT_AUTH_HEADER", u->host);
	if (header && is_header(header))
		return TAKE_PTR(header);
	token = find_secret(s, "GIT_AUTH_TOKEN", u->host);
	return token && is_header(token) ? basic("x-access-token", token) : NULL;
}

/* A connection to the build's agent; -1: it has none. */
static int connect_agent(const struct build_spec *s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = -1;
	char path[32];
	size_t i = 0;
	while (i < s->n_agents && strcmp(s->agents[i].id, "default") != 0)
		i++;
	if (i == s->n_agents)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", fs_fd_path(s->agents[i].fd, path));
	return fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -1 : TAKE_FD(fd);
}

static void add_known_hosts(json_t *conf)
{
	const char *home = getenv("HOME");
	AUTO_FREE char *own = xasprintf("%s/.ssh/known_hosts", home ? home : "/root");
	const char *const paths[] = { own, "/etc/ssh/ssh_known_hosts" };
	AUTO_STR struct str all = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		AUTO_STR struct str text = { 0 };
		if (fs_read(AT_FDCWD, paths[i], MAX_KNOWN_HOSTS, &text, NULL) == 0)
			str_addf(&all, "%s\n", str_get(&text));
	}
	json_object_set_new(conf, "known_hosts", json_text(str_get(&all)));
}

/* What the files are not; free() it. NULL: nothing. remote: without a password. */
static char *warning(const char *remote, int64_t pointers, int64_t encoded)
{
	struct str out = { 0 };
	if (pointers > 0)
		str_addf(&out, "%s: %lld file%s git-lfs's pointer%s, not the content: LFS is not fetched", remote, (long long)pointers,
			pointers == 1 ? " is" : "s are", pointers == 1 ? "" : "s");
	if (encoded > 0)
		str_addf(&out, "%s%s: %lld file%s UTF-8, not what working-tree-encoding says", out.len ? "; " : "", remote, (long long)encoded,
			encoded == 1 ? " is" : "s are");
	return out.len ? str_take(&out) : NULL;
}

int build_client_git(const struct build *b, const json_t *need, const int *fds, size_t n_fds, json_t **ret, char **ret_warning, struct err *err)
{
	static const char *const keys[] = { "url", "checksum", "commit", "keep_dir", "submodules", "resolve", "max_bytes" };
	AUTO_GITURL struct giturl u = { 0 };
	AUTO_JSON json_t *conf = NULL, *got = NULL;
	AUTO_FREE char *place = NULL, *auth = NULL;
	AUTO_CLOSE int agent = -1;
	if (giturl_parse(json_get_str(need, "url", ""), &u, err) < 0)
		return -1;
	if (!json_get_bool(need, "resolve", false) && n_fds < 2)
		return err_set(err, ERR_CORRUPT, "the builder says not where the files go");
	place = xasprintf("%s://%s%s%s:%u/", u.scheme == GITURL_HTTP ? "http" : "https", strchr(u.host, ':') ? "[" : "", u.host,
		strchr(u.host, ':') ? "]" : "", u.port);
	conf = build_client_describe(place, 0);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_get(need, keys[i]))
			json_object_set(conf, keys[i], json_object_get(need, keys[i]));
	auth = authorization(b->spec, &u);
	if (auth)
		json_object_set_new(conf, "authorization", json_text(auth));
	if (u.scheme == GITURL_SSH) {
		add_known_hosts(conf);
		agent = connect_agent(b->spec);
	}
	if (build_client_run_fetcher("git", conf, n_fds ? fds[0] : -1, n_fds > 1 ? fds[1] : -1, agent, &got, err) < 0)
		return -1;
	*ret_warning = warning(u.remote, json_get_int(got, "lfs_pointers", 0), json_get_int(got, "encoded", 0));
	*ret = json_pack("{s:o}", "commit", json_text(json_get_str(got, "commit", "")));
	return 0;
}
