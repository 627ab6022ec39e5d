/* SPDX-License-Identifier: Apache-2.0 */
/* Pushing: POST opens a session, PATCH adds a chunk to it, PUT ends it with the digest (and the last chunk). Where the session stands
 * is what the registry says, in Location (which is opaque, may be relative, and may lead elsewhere) and Range. After a break it is asked;
 * when it knows no more, a new session begins. Tries are counted as long as the upload gets no further than it was before, so that
 * neither a bad line nor a registry that forgets can keep us for ever. */
#include <stdio.h>

#include "images/registry_impl.h"

enum { CHUNK_BYTES = 16 << 20, MAX_CHUNK_BYTES = 1 << 30, MAX_MOUNTS = 3, FORGOTTEN_TRIES = 3 };

struct upload {
	struct registry *r;
	struct http *h;
	const char *digest;
	char *what;              /* for messages */
	uint64_t size, done, best;
	uint64_t chunk;
	char *url;               /* of the session; NULL: none */
	http_source_fn *source;
	void *arg;
	unsigned tries;
};

static ssize_t read_from_done(void *arg, uint64_t offset, void *buf, size_t n, struct err *err)
{
	struct upload *u = arg;
	return u->source(u->arg, u->done + offset, buf, n, err);
}

/* The session's state in an answer. Returns false when it has no Location. */
static bool take_session(struct upload *u, struct http_reply *a)
{
	uint64_t min;
	if (!a->location)
		return false;
	free(u->url);
	u->url = TAKE_PTR(a->location);
	if (a->chunk_min && parse_u64(a->chunk_min, 0, MAX_CHUNK_BYTES, &min))
		u->chunk = MAX(u->chunk, min);
	return true;
}

/* "0-1023" or "bytes=0-1023" → 1024; "0-0" is how an empty one is written. -1: no such header. */
static int64_t parse_range(const char *text)
{
	unsigned long long first, last;
	char rest;
	if (text && str_starts(text, "bytes="))
		text += 6;
	if (!text || *text == '-' || sscanf(text, "%llu-%llu%c", &first, &last, &rest) != 2 || first != 0 || last > INT64_MAX - 1)
		return -1;
	return last ? (int64_t)last + 1 : 0;
}

/* ---- is it there ---- */

/* 0: it is; 1: it is not; -1 + err. */
static int look(struct upload *u, struct err *err)
{
	AUTO_FREE char *path = xasprintf("/v2/%s/blobs/%s", u->r->repository, u->digest);
	struct http_request q = { .method = "HEAD" };
	struct http_reply a;
	int rc = registry_send_again(u->r, u->h, path, &q, &a, err);
	if (rc == 0)
		rc = a.status == 200 ? 0 : a.status == 404 ? 1 : registry_explain(u->r, &a, u->what, err);
	http_reply_done(&a);
	return rc;
}

/* Opens a session; with `from` the registry may do without. 0: a session; 1: mounted; -1 + err. */
static int open_session(struct upload *u, const char *from, struct err *err)
{
	AUTO_FREE char *from_q = http_escape(from ? from : "");
	AUTO_FREE char *path = from ? xasprintf("/v2/%s/blobs/uploads/?mount=%s&from=%s", u->r->repository, u->digest, from_q) :
		xasprintf("/v2/%s/blobs/uploads/", u->r->repository);
	struct http_request q = { .method = "POST" };
	struct http_reply a;
	int rc = registry_send_again(u->r, u->h, path, &q, &a, err);
	u->done = 0;
	if (rc == 0 && from && a.status == 201)
		rc = 1;
	else if (rc == 0 && a.status != 202)
		rc = registry_explain(u->r, &a, u->what, err);
	else if (rc == 0 && !take_session(u, &a))
		rc = err_set(err, ERR_INVALID, "%s: %s opens an upload without saying where", u->what, u->r->name);
	http_reply_done(&a);
	return rc;
}

static void drop_session(struct upload *u)
{
	struct http_request q = { .method = "DELETE" };
	struct http_reply a;
	struct err ignored;
	if (u->url)
		registry_send(u->r, u->h, u->url, &q, &a, &ignored);
	if (u->url)
		http_reply_done(&a);
	free(TAKE_PTR(u->url));
}

/* ---- sending ---- */

/* One step: the next chunk, or what is left and the end. 0: it was taken; 1: all of it is there; -1 + err, *ret_again: worth asking
 * where we are. A session that is not known any more may be one that we ended, unheard: libcurl itself repeats what a kept connection
 * swallowed. */
static int send_step(struct upload *u, int64_t *ret_wait, bool *ret_again, struct err *err)
{
	uint64_t n = MIN(u->size - u->done, u->chunk);
	bool last = u->done + n == u->size;
	AUTO_FREE char *digest_q = http_escape(u->digest);
	AUTO_FREE char *url = last ? xasprintf("%s%cdigest=%s", u->url, strchr(u->url, '?') ? '&' : '?', digest_q) : xstrdup(u->url);
	AUTO_FREE char *range = xasprintf("%llu-%llu", (unsigned long long)u->done, (unsigned long long)(u->done + n - 1));
	struct http_request q = {
		.method = last ? "PUT" : "PATCH", .content_type = "application/octet-stream", .body_bytes = n,
		.source = n ? read_from_done : NULL, .source_arg = u, .content_range = n && !(last && u->done == 0) ? range : NULL,
	};
	struct http_reply a;
	int rc = registry_send(u->r, u->h, url, &q, &a, err);
	int64_t stands;
	*ret_wait = a.retry_after_s;
	*ret_again = rc < 0 ? a.transient : registry_is_transient(a.status) || ((a.status == 416 || a.status == 404) && u->tries < FORGOTTEN_TRIES);
	stands = parse_range(a.range);
	if (rc == 0 && last && (a.status == 201 || a.status == 204)) {
		u->done = u->size;
		rc = 1;
	} else if (rc == 0 && !last && (a.status == 202 || a.status == 201 || a.status == 204)) {
		if (stands > (int64_t)(u->done + n)) {
			rc = err_set(err, ERR_INVALID, "%s: %s has more of it than was sent", u->what, u->r->name);
		} else {
			u->done = stands > (int64_t)u->done ? (uint64_t)stands : u->done + n;
			take_session(u, &a);
		}
	} else if (rc == 0) {
		rc = registry_explain(u->r, &a, u->what, err);
	}
	http_reply_done(&a);
	return rc;
}

/* After a break: where the session stands, or a new one. 0: go on; 1: the blob is there; -1 + err. */
static int find_place(struct upload *u, struct err *err)
{
	struct http_request q = { .method = "GET" };
	struct http_reply a;
	int rc = look(u, err); /* the end may have been heard though its answer was not */
	int64_t stands;
	bool known;
	if (rc <= 0)
		return rc < 0 ? -1 : 1;
	rc = registry_send(u->r, u->h, u->url, &q, &a, err);
	stands = parse_range(a.range);
	known = rc == 0 && (a.status == 204 || a.status == 200 || a.status == 202) && stands >= 0 && (uint64_t)stands <= u->size;
	if (known) {
		u->done = (uint64_t)stands;
		take_session(u, &a);
	}
	http_reply_done(&a);
	return known ? 0 : open_session(u, NULL, err) < 0 ? -1 : 0;
}

static int send_all(struct upload *u, struct err *err)
{
	for (u->tries = 1;;) {
		int64_t wait = 0;
		bool again = false;
		int rc = send_step(u, &wait, &again, err);
		if (u->done >= u->best + REGISTRY_PROGRESS || (rc >= 0 && u->done > u->best)) {
			u->best = u->done;
			u->tries = 1;
		}
		if (rc == 1)
			return 0;
		if (rc == 0) /* a new session may first catch up with what an earlier one had */
			continue;
		if (!again || u->tries == REGISTRY_MAX_TRIES)
			return -1;
		registry_pause(u->tries++, wait);
		rc = find_place(u, err);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
}

static bool may_mount(const struct registry *r, const char *from)
{
	return strv_has(&r->sources, from) && strcmp(from, r->repository) != 0;
}

static int put_blob(struct upload *u, char *const *from, enum registry_put *ret, struct err *err)
{
	int rc = look(u, err);
	if (rc <= 0) {
		*ret = REGISTRY_EXISTS;
		return rc;
	}
	for (size_t i = 0, n = 0; from && from[i] && n < MAX_MOUNTS; i++) {
		if (!may_mount(u->r, from[i]))
			continue;
		if (n++)
			drop_session(u);
		rc = open_session(u, from[i], err);
		if (rc == 1) {
			*ret = REGISTRY_MOUNTED;
			return 0;
		}
		if (rc < 0 && err->code != ERR_DENIED && err->code != ERR_NOT_FOUND)
			return -1;
	}
	if (!u->url && open_session(u, NULL, err) < 0)
		return -1;
	*ret = REGISTRY_SENT;
	return send_all(u, err);
}

int registry_put_blob(struct registry *r, struct http *h, const char *digest, uint64_t size, char *const *from, http_source_fn *source, void *arg,
	enum registry_put *ret, struct err *err)
{
	struct upload u = {
		.r = r, .h = h, .digest = digest, .size = size, .source = source, .arg = arg, .chunk = CHUNK_BYTES,
		.what = xasprintf("%s: blob %.19s…", r->repository, digest),
	};
	int rc = put_blob(&u, from, ret, err);
	free(u.what);
	free(u.url);
	return rc;
}

int registry_put_manifest(struct registry *r, struct http *h, const char *ref, const char *type, const char *digest, const char *text, size_t n,
	enum registry_put *ret, struct err *err)
{
	AUTO_FREE char *path = xasprintf("/v2/%s/manifests/%s", r->repository, ref);
	AUTO_FREE char *what = xasprintf("%s%s%s", r->repository, strchr(ref, ':') ? "@" : ":", ref);
	struct http_request head = { .method = "HEAD", .accept = type };
	struct http_request put = { .method = "PUT", .content_type = type, .body = text, .body_bytes = n };
	struct http_reply a;
	int rc = registry_send_again(r, h, path, &head, &a, err);
	bool same = rc == 0 && a.status == 200 && str_eq(a.digest, digest);
	if (rc == 0 && a.status != 200 && a.status != 404)
		rc = registry_explain(r, &a, what, err);
	http_reply_done(&a);
	*ret = same ? REGISTRY_EXISTS : REGISTRY_SENT;
	if (rc < 0 || same)
		return rc;
	rc = registry_send_again(r, h, path, &put, &a, err);
	if (rc == 0 && a.status != 201 && a.status != 200)
		rc = registry_explain(r, &a, what, err);
	http_reply_done(&a);
	return rc;
}
