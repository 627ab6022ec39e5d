/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol, version 2, https://git-scm.com/docs/protocol-v2 : packets of four digits of length and bytes; a question is a command with its
 * arguments, the answer ends with a flush packet. A server that only knows version 0 (gitprotocol-pack; sshd rarely passes on that we want
 * another) tells all of its refs at once, and is then asked for the pack. Over http each question is a request of its own; over git:// and ssh all
 * go through one connection. Either way bytes are pushed through one reader of packets. Redirects are followed for the first request only, as git
 * does, and never from https to http; credentials go to the place that they were given for. */
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "images/git_impl.h"

enum { MAX_PACKET = 65520, MAX_REDIRECTS = 5, MAX_LINES = 200, IO_TIMEOUT_S = 120,
	MAX_BESIDE = 16 << 20, MAX_TALK = GIT_MAX_REF_BYTES * 2 /* bytes of an answer beside the pack */ };

enum packet { PACKET_DATA, PACKET_FLUSH, PACKET_DELIM };

#define SHA256_REFUSED "its objects have SHA-256 names, which is not supported"

/* 0: go on; 1: the answer is whole; -1 + err. */
typedef int packet_fn(void *arg, enum packet kind, const char *p, size_t n, struct err *err);

struct reader {
	struct str buf;
	packet_fn *fn;
	void *arg;
	uint64_t left;            /* bytes that may still come */
	bool done;
};

struct git_remote {
	struct git_access *access;
	const struct giturl *url;
	char *base;               /* http: the URL without /info/refs */
	struct git_stream stream; /* the others */
	bool http, version2, shallow, has_fetch, sha256;
	struct git_refs refs;     /* version 0: all of them */
};

void git_refs_done(struct git_refs *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].name);
		free(r->v[i].target);
	}
	free(r->v);
	*r = (struct git_refs){0};
}

/* Takes what ref points at. 0 or -1 + err. */
static int add_ref(struct git_refs *refs, struct git_ref ref, struct err *err)
{
	refs->v = vec_grow(refs->v, refs->n, &refs->cap, sizeof(*refs->v));
	refs->v[refs->n++] = ref;
	refs->bytes += strlen(ref.name) + (ref.target ? strlen(ref.target) : 0);
	return refs->n <= GIT_MAX_REFS && refs->bytes <= GIT_MAX_REF_BYTES ? 0 : err_set(err, ERR_CORRUPT, "the server's list of refs has no end");
}

/* ---- packets ---- */

static int hex4(const char *p)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef", *d = p[i] ? strchr(digits, p[i] | 0x20) : NULL;
		if (!d)
			return -1;
		v = v << 4 | (int)(d - digits);
	}
	return v;
}

/* Takes bytes as they come; a sink of http. */
static int feed(void *arg, const void *p, size_t n, struct err *err)
{
	struct reader *r = arg;
	size_t at = 0;
	int rc = 0;
	if (n > r->left)
		return err_set(err, ERR_CORRUPT, "the server's answer has no end");
	r->left -= n;
	str_addn(&r->buf, p, n);
	while (rc == 0 && r->buf.len - at >= 4) {
		const char *packet = r->buf.p + at;
		int len = hex4(packet);
		if (r->done || len < 0 || len == 2 || len == 3 || len > MAX_PACKET)
			return err_set(err, ERR_CORRUPT, "the server does not speak git's protocol");
		if (len > 4 && r->buf.len - at < (size_t)len)
			break;
		if (len > 8 && strncmp(packet + 4, "ERR ", 4) == 0) {
			char quoted[300];
			AUTO_FREE char *text = xstrndup(packet + 8, (size_t)len - 8 - (packet[len - 1] == '\n'));
			return err_set(err, ERR_NOT_FOUND, "the server says: %s", err_quote(quoted, sizeof(quoted), text));
		}
		at += (size_t)MAX(len, 4);
		rc = r->fn(r->arg, len == 0 ? PACKET_FLUSH : len == 1 ? PACKET_DELIM : PACKET_DATA, packet + 4, len > 4 ? (size_t)len - 4 : 0, err);
		r->done = rc == 1;
		rc = rc == 1 ? 0 : rc;
	}
	r->buf.len -= at;
	memmove(r->buf.p, r->buf.p + at, r->buf.len);
	return rc;
}

static void put_line(struct str *s, const char *fmt, const char *value)
{
	AUTO_FREE char *line = xasprintf(fmt, value);
	str_addf(s, "%04zx%s\n", strlen(line) + 5, line);
}

/* A packet's text without its line end; free() it. NULL: a zero byte or another control byte in it. */
static char *line_of(const char *p, size_t n)
{
	if (n && p[n - 1] == '\n')
		n--;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return NULL;
	return xstrndup(p, n);
}

/* ---- asking ---- */

static int read_stream(struct git_remote *r, struct reader *to, struct err *err)
{
	AUTO_FREE char *buf = xcalloc(1, 1 << 16);
	while (!to->done) {
		ssize_t n = r->stream.read(r->stream.arg, buf, 1 << 16, err);
		if (n < 0)
			return -1;
		if (n == 0)
			return err_set(err, ERR_NOT_FOUND, "the server has closed the connection: is there such a repository, and may you read it?");
		if (feed(to, buf, (size_t)n, err) < 0)
			return -1;
	}
	return 0;
}

static int explain_status(const struct http_reply *reply, struct err *err)
{
	if (reply->status == 401 || reply->status == 403)
		return err_set(err, ERR_DENIED, "the server wants to know who asks (status %ld); the secret GIT_AUTH_TOKEN tells it", reply->status);
	if (reply->status == 404)
		return err_set(err, ERR_NOT_FOUND, "there is no such repository (status 404)");
	return err_set(err, ERR_INVALID, "invalid response status %ld", reply->status);
}

/* One request over http, its answer to the reader. *ret_next (may be NULL: none allowed): where it is redirected to, then 1 is returned. */
static int request(struct git_remote *r, const char *url, const struct str *body, struct reader *to, char **ret_next, struct err *err)
{
	struct git_access *a = r->access;
	struct http_request q = {
		.method = body ? "POST" : "GET", .url = url, .sink = feed, .arg = to, .git_protocol = "version=2",
		.accept = body ? "application/x-git-upload-pack-result" : NULL,
		.content_type = body ? "application/x-git-upload-pack-request" : NULL,
		.body = body ? str_get(body) : NULL, .body_bytes = body ? body->len : 0,
		.authorization = a->authorization && http_same_origin(url, a->auth_origin) ? a->authorization : NULL,
	};
	struct http_reply reply = {0};
	int rc = http_send(a->http, &q, &reply, err);
	if (rc == 0 && reply.status >= 300 && reply.status < 400 && ret_next && reply.location) {
		*ret_next = http_join(url, reply.location);
		rc = *ret_next ? 1 : -1;
		if (!*ret_next)
			err_set(err, ERR_INVALID, "is redirected to what is no URL");
		else if (str_starts(url, "https:") && !str_starts(*ret_next, "https:"))
			rc = err_set(err, ERR_DENIED, "is redirected from https to http");
	} else if (rc == 0 && reply.status != 200) {
		rc = explain_status(&reply, err);
	} else if (rc == 0 && !to->done) {
		rc = err_set(err, ERR_CORRUPT, "the answer ends early, or is not git's protocol");
	}
	http_reply_done(&reply);
	return rc;
}

static int ask(struct git_remote *r, const struct str *question, uint64_t max_bytes, packet_fn *fn, void *arg, struct err *err)
{
	struct reader to = { .fn = fn, .arg = arg, .left = max_bytes };
	AUTO_FREE char *url = r->http ? xasprintf("%s/git-upload-pack", r->base) : NULL;
	int rc;
	if (r->http)
		rc = request(r, url, question, &to, NULL, err);
	else
		rc = r->stream.write(r->stream.arg, question->p, question->len, err) < 0 ? -1 : read_stream(r, &to, err);
	str_done(&to.buf);
	return rc;
}

/* ---- what the server can do ---- */

struct hello {
	struct git_remote *r;
	size_t n;
	bool service;             /* the line of smart http has come; its flush follows */
};

/* The capabilities of version 0, after the first ref. */
static void take_capabilities(struct git_remote *r, char *text)
{
	for (char *save = NULL, *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (strcmp(word, "shallow") == 0)
			r->shallow = true;
		else if (strcmp(word, "side-band-64k") == 0)
			r->has_fetch = true;
		else if (strcmp(word, "object-format=sha256") == 0)
			r->sha256 = true;
		else if (str_starts(word, "symref=HEAD:") && r->refs.n && !r->refs.v[0].target && strcmp(r->refs.v[0].name, "HEAD") == 0)
			r->refs.v[0].target = xstrdup(word + 12);
	}
}

/* "OID NAME", with zero byte and capabilities in the first one; NAME^{} says what the tag before it points at. */
static int take_old_ref(struct git_remote *r, const char *p, size_t n, struct err *err)
{
	AUTO_FREE char *text = xstrndup(p, n), *rest = NULL;
	const char *zero = memchr(p, '\0', n);
	struct git_ref ref = {0};
	char *name = strchr(text, ' ');
	text[strcspn(text, "\n")] = '\0';
	if (zero)
		rest = xstrndup(zero + 1, n - (size_t)(zero + 1 - p));
	if (name && name - text == 64 && strspn(text, "0123456789abcdef") == 64)
		return err_set(err, ERR_UNSUPPORTED, SHA256_REFUSED);
	if (!name || name - text != GIT_HEX)
		return err_set(err, ERR_CORRUPT, "the server does not speak git's protocol");
	*name++ = '\0';
	if (!giturl_is_commit(text))
		return err_set(err, ERR_CORRUPT, "the server does not speak git's protocol");
	if (str_ends(name, "^{}") && r->refs.n && strncmp(r->refs.v[r->refs.n - 1].name, name, strlen(name) - 3) == 0) {
		memcpy(r->refs.v[r->refs.n - 1].peeled, text, GIT_HEX);
	} else if (strcmp(name, "capabilities^{}") != 0) {
		memcpy(ref.oid, text, GIT_HEX);
		ref.name = xstrdup(name);
		if (add_ref(&r->refs, ref, err) < 0)
			return -1;
	}
	if (rest)
		take_capabilities(r, rest);
	return 0;
}

static int take_hello(void *arg, enum packet kind, const char *p, size_t n, struct err *err)
{
	struct hello *h = arg;
	AUTO_FREE char *line = kind == PACKET_DATA ? line_of(p, n) : NULL;
	if (kind == PACKET_FLUSH && h->service) {
		h->service = false;
		return 0;
	}
	if (kind == PACKET_FLUSH)
		return 1;
	if (line && h->n == 0 && str_starts(line, "# service=git-upload-pack")) {
		h->service = true;
		return 0;
	}
	if (line && (strcmp(line, "version 2") == 0 || strcmp(line, "version 1") == 0) && h->n++ == 0) {
		h->r->version2 = strcmp(line, "version 2") == 0;
		return 0;
	}
	if (!h->r->version2)
		return h->n++, take_old_ref(h->r, p, n, err);
	if (!line || h->n++ > MAX_LINES)
		return err_set(err, ERR_CORRUPT, "the server does not speak git's protocol");
	if (str_starts(line, "fetch=") || strcmp(line, "fetch") == 0) {
		h->r->has_fetch = true;
		h->r->shallow = strstr(line, "shallow") != NULL;
	} else if (strcmp(line, "object-format=sha256") == 0) {
		h->r->sha256 = true;
	}
	return 0;
}

static int open_http(struct git_remote *r, struct err *err)
{
	static const char suffix[] = "/info/refs?service=git-upload-pack";
	AUTO_FREE char *url = NULL, *base = xstrdup(r->url->remote);
	int rc = 1;
	while (str_ends(base, "/"))
		base[strlen(base) - 1] = '\0';
	url = xasprintf("%s%s", base, suffix);
	for (int i = 0; rc == 1 && i <= MAX_REDIRECTS; i++) {
		struct hello h = { .r = r };
		struct reader to = { .fn = take_hello, .arg = &h, .left = MAX_TALK };
		char *next = NULL;
		rc = request(r, url, NULL, &to, &next, err);
		str_done(&to.buf);
		if (rc == 1) {
			free(url);
			url = TAKE_PTR(next);
		}
		free(next);
	}
	if (rc == 1)
		return err_set(err, ERR_INVALID, "more than %d redirects", MAX_REDIRECTS);
	if (rc == 0 && !str_ends(url, suffix))
		return err_set(err, ERR_INVALID, "is redirected to what is no repository");
	if (rc == 0)
		r->base = xstrndup(url, strlen(url) - strlen(suffix));
	return rc;
}

/* ---- git:// ---- */

static ssize_t tcp_read(void *arg, void *buf, size_t n, struct err *err)
{
	ssize_t got;
	do
		got = recv(*(int *)arg, buf, n, 0);
	while (got < 0 && errno == EINTR);
	return got < 0 ? err_sys(err, errno, "receive") : got;
}

static int tcp_write(void *arg, const void *buf, size_t n, struct err *err)
{
	for (size_t at = 0; at < n;) {
		ssize_t did = send(*(int *)arg, (const char *)buf + at, n - at, MSG_NOSIGNAL);
		if (did < 0 && errno != EINTR)
			return err_sys(err, errno, "send");
		at += (size_t)MAX(did, 0);
	}
	return 0;
}

static void tcp_close(void *arg)
{
	util_close(arg);
	free(arg);
}

int git_connect_tcp(const struct giturl *u, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	const struct timeval timeout = { .tv_sec = IO_TIMEOUT_S };
	char port[8];
	int rc, fd = -1, sys = 0;
	snprintf(port, sizeof(port), "%u", u->port);
	rc = getaddrinfo(u->host, port, &hints, &found);
	if (rc != 0)
		return err_set(err, ERR_NOT_FOUND, "%s: %s", u->host, gai_strerror(rc));
	for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
			setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 || connect(fd, a->ai_addr, a->ai_addrlen) < 0)) {
			sys = errno;
			util_close(&fd);
		}
	}
	freeaddrinfo(found);
	return fd < 0 ? err_sys(err, sys ? sys : ECONNREFUSED, "connect to %s port %u", u->host, u->port) : fd;
}

static int open_daemon(struct git_remote *r, struct err *err)
{
	const struct giturl *u = r->url;
	AUTO_STR struct str hello = {0};
	int *fd = xcalloc(1, sizeof(*fd));
	size_t n;
	r->stream = (struct git_stream){ .arg = fd, .read = tcp_read, .write = tcp_write, .close = tcp_close };
	*fd = git_connect_tcp(u, err);
	if (*fd < 0)
		return -1;
	str_addf(&hello, "git-upload-pack %s%s", u->path[0] == '~' ? "/" : "", u->path);
	str_addc(&hello, '\0');
	str_addf(&hello, "host=%s", u->host);
	if (u->port != 9418)
		str_addf(&hello, ":%u", u->port);
	str_addn(&hello, "\0\0version=2", 12);
	n = hello.len;
	AUTO_STR struct str packet = {0};
	str_addf(&packet, "%04zx", n + 4);
	str_addn(&packet, hello.p, n);
	return r->stream.write(fd, packet.p, packet.len, err);
}

int git_remote_open(struct git_access *a, const struct giturl *u, struct git_remote **ret, struct err *err)
{
	struct git_remote *r = xcalloc(1, sizeof(*r));
	struct hello h = { .r = r };
	struct reader to = { .fn = take_hello, .arg = &h, .left = MAX_TALK };
	int rc;
	*r = (struct git_remote){ .access = a, .url = u, .http = u->scheme == GITURL_HTTP || u->scheme == GITURL_HTTPS };
	if (r->http)
		rc = open_http(r, err);
	else
		rc = (u->scheme == GITURL_GIT ? open_daemon(r, err) : git_ssh_open(a, u, &r->stream, err)) < 0 ? -1 : read_stream(r, &to, err);
	str_done(&to.buf);
	if (rc == 0 && r->sha256)
		rc = err_set(err, ERR_UNSUPPORTED, SHA256_REFUSED);
	if (rc == 0 && !r->has_fetch)
		rc = err_set(err, ERR_UNSUPPORTED, "nothing can be fetched from the server");
	if (rc < 0)
		r = git_remote_close(r);
	*ret = r;
	return rc;
}

struct git_remote *git_remote_close(struct git_remote *r)
{
	if (!r)
		return NULL;
	if (r->stream.close)
		r->stream.close(r->stream.arg);
	git_refs_done(&r->refs);
	free(r->base);
	free(r);
	return NULL;
}

/* ---- refs ---- */

/* "OID NAME[ symref-target:REF][ peeled:OID]" */
static int take_ref(void *arg, enum packet kind, const char *p, size_t n, struct err *err)
{
	struct git_refs *refs = arg;
	AUTO_FREE char *line = kind == PACKET_DATA ? line_of(p, n) : NULL;
	struct git_ref ref = {0};
	char *save = NULL, *word;
	if (kind == PACKET_FLUSH)
		return 1;
	if (!line)
		return err_set(err, ERR_CORRUPT, "the server's list of refs makes no sense");
	word = strtok_r(line, " ", &save);
	if (word && strcmp(word, "unborn") == 0)
		return 0;
	if (!word || !giturl_is_commit(word))
		return err_set(err, ERR_CORRUPT, "the server's list of refs makes no sense");
	memcpy(ref.oid, word, GIT_HEX);
	word = strtok_r(NULL, " ", &save);
	if (!word)
		return err_set(err, ERR_CORRUPT, "the server's list of refs makes no sense");
	ref.name = xstrdup(word);
	while ((word = strtok_r(NULL, " ", &save))) {
		if (str_starts(word, "peeled:") && giturl_is_commit(word + 7))
			memcpy(ref.peeled, word + 7, GIT_HEX);
		else if (str_starts(word, "symref-target:") && !ref.target)
			ref.target = xstrdup(word + 14);
	}
	return add_ref(refs, ref, err);
}

static int copy_refs(const struct git_refs *from, const char *const *prefixes, size_t n, struct git_refs *ret, struct err *err)
{
	for (size_t i = 0; i < from->n; i++) {
		struct git_ref ref = from->v[i];
		size_t k = 0;
		while (k < n && !str_starts(ref.name, prefixes[k]))
			k++;
		if (k == n)
			continue;
		ref.name = xstrdup(ref.name);
		ref.target = ref.target ? xstrdup(ref.target) : NULL;
		if (add_ref(ret, ref, err) < 0)
			return -1;
	}
	return 0;
}

int git_remote_refs(struct git_remote *r, const char *const *prefixes, size_t n, struct git_refs *ret, struct err *err)
{
	AUTO_STR struct str q = {0};
	if (!r->version2)
		return copy_refs(&r->refs, prefixes, n, ret, err);
	put_line(&q, "command=%s", "ls-refs");
	str_add(&q, "0001");
	put_line(&q, "%s", "peel");
	put_line(&q, "%s", "symrefs");
	for (size_t i = 0; i < n; i++)
		put_line(&q, "ref-prefix %s", prefixes[i]);
	str_add(&q, "0000");
	return ask(r, &q, MAX_TALK, take_ref, ret, err);
}

/* ---- fetch ---- */

struct fetching {
	int fd;
	bool in_pack, any, old, deepened;
	uint64_t left, beside;    /* bytes of the pack that may still come; that were something else */
};

static int take_fetch(void *arg, enum packet kind, const char *p, size_t n, struct err *err)
{
	struct fetching *f = arg;
	char quoted[300];
	if (kind == PACKET_FLUSH && f->old && f->deepened && !f->in_pack) {
		f->deepened = false;
		return 0;
	}
	if (kind == PACKET_FLUSH)
		return f->any ? 1 : err_set(err, ERR_CORRUPT, "the server sends no pack");
	if (kind == PACKET_DELIM)
		return 0;
	if (!f->in_pack || n < 1 || p[0] != 1) {
		f->beside += n + 4;
		if (f->beside > MAX_BESIDE)
			return err_set(err, ERR_CORRUPT, "the server's answer has no end");
	}
	if (!f->in_pack) {
		f->in_pack = f->old ? n >= 3 && (strncmp(p, "NAK", 3) == 0 || strncmp(p, "ACK", 3) == 0) : n >= 8 && strncmp(p, "packfile", 8) == 0;
		return 0;
	}
	if (n >= 1 && p[0] == 3) {
		AUTO_FREE char *text = xstrndup(p + 1, n - 1);
		return err_set(err, ERR_INVALID, "the server says: %s", err_quote(quoted, sizeof(quoted), text));
	}
	if (n < 1 || p[0] != 1)
		return n >= 1 && p[0] == 2 ? 0 : err_set(err, ERR_CORRUPT, "the server's answer makes no sense");
	if (n - 1 > f->left)
		return err_set(err, ERR_INVALID, "the commit is larger than the bytes allowed");
	f->left -= n - 1;
	f->any = true;
	return fs_write_all(f->fd, p + 1, n - 1, err);
}

int git_remote_fetch(struct git_remote *r, const char *commit, int fd, uint64_t max_bytes, struct err *err)
{
	struct fetching f = { .fd = fd, .left = max_bytes };
	AUTO_STR struct str q = {0};
	if (!r->version2) {
		f.old = true;
		f.deepened = r->shallow;
		put_line(&q, "want %s side-band-64k ofs-delta no-progress", commit);
		if (r->shallow)
			put_line(&q, "%s", "deepen 1");
		str_add(&q, "0000");
		put_line(&q, "%s", "done");
		return ask(r, &q, max_bytes + max_bytes / 8 + MAX_TALK, take_fetch, &f, err);
	}
	put_line(&q, "command=%s", "fetch");
	str_add(&q, "0001");
	put_line(&q, "%s", "no-progress");
	put_line(&q, "%s", "ofs-delta");
	if (r->shallow)
		put_line(&q, "%s", "deepen 1");
	put_line(&q, "want %s", commit);
	put_line(&q, "%s", "done");
	str_add(&q, "0000");
	return ask(r, &q, max_bytes + max_bytes / 8 + MAX_TALK, take_fetch, &f, err);
}
