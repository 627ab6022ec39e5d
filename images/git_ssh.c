/* SPDX-License-Identifier: Apache-2.0 */
/* git over ssh, by libssh2 (which libcurl brings along anyway). The server must be in the known_hosts that muster read: nobody is trusted at first
 * sight. We prove who we are by an agent alone, over a connection that muster made; one that was made of key files looks the same from
 * here. */
#include <libssh2.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/git_impl.h"
#include "images/sshwire.h"

enum { MAX_KEYS = 64, TIMEOUT_MS = 120000 };

struct ssh {
	int fd;
	LIBSSH2_SESSION *session;
	LIBSSH2_CHANNEL *channel;
};

/* One identity while it is tried. */
struct identity {
	int agent_fd;
	const unsigned char *key;
	size_t n;
};

static int ssh_error(struct ssh *s, const char *what, struct err *err)
{
	char *text = NULL, quoted[200];
	libssh2_session_last_error(s->session, &text, NULL, 0);
	return err_set(err, ERR_INVALID, "ssh: %s: %s", what, err_quote(quoted, sizeof(quoted), text ? text : "failed"));
}

int git_ssh_prepare(struct err *err)
{
	return libssh2_init(0) == 0 ? 0 : err_set(err, ERR_SYS, "libssh2");
}

/* ---- the agent ---- */

static int read_all(int fd, void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(fd, (char *)p + at, n - at);
		if (got <= 0 && !(got < 0 && errno == EINTR))
			return -1;
		at += (size_t)MAX(got, 0);
	}
	return 0;
}

/* One question; the answer's bytes after its type, which must be `type`, as *rest of *ret. 0 or -1. */
static int ask_agent(int fd, const struct str *question, int type, struct str *ret, struct sshwire_reader *rest)
{
	AUTO_STR struct str frame = {0};
	unsigned char head[4];
	struct sshwire_reader r = { head, sizeof(head) };
	uint32_t n;
	sshwire_put_string(&frame, question->p, question->len);
	if (fs_write_all(fd, frame.p, frame.len, NULL) < 0 || read_all(fd, head, 4) < 0 || sshwire_get32(&r, &n) < 0)
		return -1;
	if (n < 1 || n > AGENT_MAX_FRAME || read_all(fd, str_reserve(ret, n), n) < 0 || (unsigned char)ret->p[0] != type)
		return -1;
	ret->len = n;
	*rest = (struct sshwire_reader){ (const unsigned char *)ret->p + 1, n - 1 };
	return 0;
}

/* The algorithm that the request to sign names: session, message, user, service, "publickey", true, ALGORITHM, key (RFC 4252). For an RSA key it says
 * which hash is meant, and the agent has to be told. */
static uint32_t agent_flags(const unsigned char *data, size_t n)
{
	struct sshwire_reader r = { data, n }, part;
	if (sshwire_get_string(&r, &part) < 0 || r.n < 1)
		return 0;
	r.p++;
	r.n--;
	if (sshwire_get_string(&r, &part) < 0 || sshwire_get_string(&r, &part) < 0 || sshwire_get_string(&r, &part) < 0 || r.n < 1)
		return 0;
	r.p++;
	r.n--;
	if (sshwire_get_string(&r, &part) < 0 || part.n != strlen("rsa-sha2-256"))
		return 0;
	return memcmp(part.p, "rsa-sha2-256", part.n) == 0 ? AGENT_RSA_SHA2_256 : memcmp(part.p, "rsa-sha2-512", part.n) == 0 ? AGENT_RSA_SHA2_512 : 0;
}

static int sign(LIBSSH2_SESSION *session, unsigned char **sig, size_t *sig_len, const unsigned char *data, size_t data_len, void **abstract)
{
	struct identity *id = *abstract;
	AUTO_STR struct str q = {0}, a = {0};
	struct sshwire_reader rest, whole, type, bytes;
	(void)session;
	str_addc(&q, AGENT_SIGN);
	sshwire_put_string(&q, id->key, id->n);
	sshwire_put_string(&q, data, data_len);
	sshwire_put32(&q, agent_flags(data, data_len));
	if (ask_agent(id->agent_fd, &q, AGENT_SIGNATURE, &a, &rest) < 0 || sshwire_get_string(&rest, &whole) < 0 || sshwire_get_string(&whole, &type) < 0 ||
	    sshwire_get_string(&whole, &bytes) < 0)
		return -1;
	*sig = malloc(bytes.n + 1); /* libssh2's own to free */
	if (!*sig)
		util_oom();
	memcpy(*sig, bytes.p, bytes.n);
	*sig_len = bytes.n;
	return 0;
}

static bool is_rsa(const struct sshwire_reader *key)
{
	struct sshwire_reader r = *key, type;
	return sshwire_get_string(&r, &type) == 0 && type.n == 7 && memcmp(type.p, "ssh-rsa", 7) == 0;
}

static int authenticate(struct ssh *s, int agent_fd, const struct giturl *u, struct err *err)
{
	AUTO_STR struct str q = {0}, keys = {0};
	const char *user = *u->user ? u->user : "git";
	struct sshwire_reader rest, key, comment;
	bool rsa_useless = false;
	uint32_t n;
	if (agent_fd < 0)
		return err_set(err, ERR_DENIED, "ssh: no agent: give one with --ssh default");
	str_addc(&q, AGENT_LIST);
	if (ask_agent(agent_fd, &q, AGENT_KEYS, &keys, &rest) < 0 || sshwire_get32(&rest, &n) < 0)
		return err_set(err, ERR_DENIED, "ssh: the agent does not answer");
	for (uint32_t i = 0; i < MIN(n, (uint32_t)MAX_KEYS); i++) {
		struct identity id = { .agent_fd = agent_fd };
		void *abstract = &id;
		if (sshwire_get_string(&rest, &key) < 0 || sshwire_get_string(&rest, &comment) < 0)
			break;
		id.key = key.p;
		id.n = key.n;
		/* libssh2 before 1.11 signs with RSA keys as "ssh-rsa" only, with SHA-1: servers refuse that since 2021 */
		rsa_useless = rsa_useless || (is_rsa(&key) && !libssh2_version(0x010b00));
		if (libssh2_userauth_publickey(s->session, user, key.p, key.n, sign, &abstract) == 0)
			return 0;
	}
	return err_set(err, ERR_DENIED, "ssh: none of the agent's keys is %s@%s's%s", user, u->host,
		rsa_useless ? " (libssh2 before 1.11 signs with RSA keys as servers do not take it any more: use one of Ed25519 or ECDSA)" : "");
}

/* ---- the server ---- */

/* What known_hosts' lines say of this key of the server's, those marked @revoked or those without a mark (others mean something else than "this is
 * its key"): LIBSSH2_KNOWNHOST_CHECK_*. */
static int look_up_host(struct ssh *s, const char *text, bool revoked, const struct giturl *u, const char *key, size_t n, int type)
{
	static const char mark[] = "@revoked";
	LIBSSH2_KNOWNHOSTS *known = libssh2_knownhost_init(s->session);
	AUTO_FREE char *copy = xstrdup(text);
	int rc;
	if (!known)
		util_oom();
	for (char *save = NULL, *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		AUTO_FREE char *whole = NULL;
		if (revoked != str_starts(line, mark) || *line == '#' || (!revoked && *line == '@'))
			continue;
		if (revoked) { /* a pattern of hosts, mostly "*", and the key: it is nobody's any more */
			line += strlen(mark) + strspn(line + strlen(mark), " \t");
			line += strcspn(line, " \t");
		}
		whole = xasprintf("%s%s", revoked ? u->host : "", line);
		libssh2_knownhost_readline(known, whole, strlen(whole), LIBSSH2_KNOWNHOST_FILE_OPENSSH);
	}
	rc = libssh2_knownhost_checkp(known, u->host, (int)u->port, key, n, LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW | type, NULL);
	libssh2_knownhost_free(known);
	return rc;
}

/* 0: it is whom known_hosts names; 1: it has no key of this type there; -1 + err. */
static int check_host(struct ssh *s, const struct git_access *a, const struct giturl *u, struct err *err)
{
	size_t n = 0;
	int type = 0, rc;
	const char *key = libssh2_session_hostkey(s->session, &n, &type);
	static const int types[] = {
		[LIBSSH2_HOSTKEY_TYPE_RSA] = LIBSSH2_KNOWNHOST_KEY_SSHRSA, [LIBSSH2_HOSTKEY_TYPE_ECDSA_256] = LIBSSH2_KNOWNHOST_KEY_ECDSA_256,
		[LIBSSH2_HOSTKEY_TYPE_ECDSA_384] = LIBSSH2_KNOWNHOST_KEY_ECDSA_384, [LIBSSH2_HOSTKEY_TYPE_ECDSA_521] = LIBSSH2_KNOWNHOST_KEY_ECDSA_521,
		[LIBSSH2_HOSTKEY_TYPE_ED25519] = LIBSSH2_KNOWNHOST_KEY_ED25519,
	};
	if (!key || type <= 0 || (size_t)type >= ARRAY_SIZE(types) || !types[type])
		return 1;
	if (look_up_host(s, a->known_hosts, true, u, key, n, types[type]) == LIBSSH2_KNOWNHOST_CHECK_MATCH)
		return err_set(err, ERR_DENIED, "ssh: known_hosts says that the key of %s is revoked", u->host);
	rc = look_up_host(s, a->known_hosts, false, u, key, n, types[type]);
	if (rc == LIBSSH2_KNOWNHOST_CHECK_MISMATCH)
		return err_set(err, ERR_DENIED, "ssh: %s has another key than known_hosts says", u->host);
	return rc == LIBSSH2_KNOWNHOST_CHECK_MATCH ? 0 : 1;
}

static void ssh_close(void *arg)
{
	struct ssh *s = arg;
	if (s->channel)
		libssh2_channel_free(s->channel);
	if (s->session) {
		libssh2_session_disconnect(s->session, "done");
		libssh2_session_free(s->session);
	}
	util_close(&s->fd);
	free(s);
}

static ssize_t ssh_read(void *arg, void *buf, size_t n, struct err *err)
{
	struct ssh *s = arg;
	ssize_t got;
	do {
		got = libssh2_channel_read(s->channel, buf, n);
		if (got == 0 && !libssh2_channel_eof(s->channel)) /* nothing but messages to us */
			got = LIBSSH2_ERROR_EAGAIN;
	} while (got == LIBSSH2_ERROR_EAGAIN);
	return got < 0 ? ssh_error(s, "receive", err) : got;
}

static int ssh_write(void *arg, const void *buf, size_t n, struct err *err)
{
	struct ssh *s = arg;
	for (size_t at = 0; at < n;) {
		ssize_t did = libssh2_channel_write(s->channel, (const char *)buf + at, n - at);
		if (did < 0)
			return ssh_error(s, "send", err);
		at += (size_t)did;
	}
	return 0;
}

/* With this type of host key: 0; 1: the server has none, or not one that is known; -1 + err. */
static int try_connect(struct ssh *s, const struct git_access *a, const struct giturl *u, const char *types, struct err *err)
{
	struct err why = {0};
	int rc;
	s->fd = git_connect_tcp(u, err);
	if (s->fd < 0)
		return -1;
	s->session = libssh2_session_init();
	if (!s->session)
		util_oom();
	libssh2_session_set_blocking(s->session, 1);
	libssh2_session_set_timeout(s->session, TIMEOUT_MS);
	libssh2_session_method_pref(s->session, LIBSSH2_METHOD_HOSTKEY, types);
	rc = libssh2_session_handshake(s->session, s->fd);
	if (rc != 0 && rc != LIBSSH2_ERROR_KEX_FAILURE && rc != LIBSSH2_ERROR_METHOD_NONE && rc != LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE)
		return ssh_error(s, "connect", err);
	rc = rc != 0 ? 1 : check_host(s, a, u, &why);
	if (rc == 1) {
		libssh2_session_free(s->session);
		s->session = NULL;
		util_close(&s->fd);
	} else if (rc < 0) {
		*err = why;
	}
	return rc;
}

/* What the server is to run, its path quoted as its shell wants it. */
static char *command(const char *path)
{
	struct str out = {0};
	str_add(&out, "git-upload-pack '");
	for (; *path; path++) {
		if (*path == '\'' || *path == '!')
			str_addf(&out, "'\\%c'", *path);
		else
			str_addc(&out, *path);
	}
	str_addc(&out, '\'');
	return str_take(&out);
}

int git_ssh_open(struct git_access *a, const struct giturl *u, struct git_stream *ret, struct err *err)
{
	static const char *const types[] = { "ssh-ed25519", "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
		"rsa-sha2-512,rsa-sha2-256,ssh-rsa" /* of these what libssh2 knows */ };
	struct ssh *s = xcalloc(1, sizeof(*s));
	AUTO_FREE char *run = command(u->path);
	int rc = 1;
	s->fd = -1;
	*ret = (struct git_stream){ .arg = s, .read = ssh_read, .write = ssh_write, .close = ssh_close };
	for (size_t i = 0; rc == 1 && i < ARRAY_SIZE(types); i++)
		rc = try_connect(s, a, u, types[i], err);
	if (rc == 1)
		return err_set(err, ERR_DENIED, "ssh: the key of %s is not in known_hosts (ssh-keyscan %s >>~/.ssh/known_hosts, when you know it is right)",
			u->host, u->host);
	if (rc < 0)
		return -1;
	if (authenticate(s, a->agent_fd, u, err) < 0)
		return -1;
	s->channel = libssh2_channel_open_session(s->session);
	if (!s->channel)
		return ssh_error(s, "open a channel", err);
	libssh2_channel_setenv(s->channel, "GIT_PROTOCOL", "version=2"); /* a server that does not let us is told apart by what it says */
	return libssh2_channel_exec(s->channel, run) < 0 ? ssh_error(s, "run git-upload-pack", err) : 0;
}
