/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP exchange over libcurl, and nothing clever: no redirects followed, no credentials of its own, no environment looked at.
 * images/registry.c decides all that. A struct http belongs to one thread and keeps its connection. */
#ifndef IMAGES_HTTP_H
#define IMAGES_HTTP_H

#include "base/err.h"
#include "base/str.h"

/* Certificates that are trusted, parsed (22 ms of processor time for a system's 144) when the first connection needs them, once for all
 * threads. pem must last as long as they do. */
struct http_trust;
struct http_trust *http_trust_new(const char *pem, size_t n);
struct http_trust *http_trust_free(struct http_trust *t); /* takes NULL; returns NULL */

struct http_options {
	struct http_trust *trust;
	const char *proxy, *plain_proxy; /* URLs, for https and for http; NULL = none. This machine's loopback is reached without */
	const char *no_proxy;  /* hosts without; NULL = none */
	const char *user_agent;
	const char *cert_pem, *key_pem; /* a certificate of ours, for requests that say so; NULL = none */
	size_t cert_bytes, key_bytes;
};

/* Body bytes as they come; 0, or -1 + err to end the exchange. Only called for status 200 and 206. */
typedef int http_sink_fn(void *arg, const void *p, size_t n, struct err *err);

/* Up to n bytes of the request's body from `offset` on: their count (> 0), or -1 + err. A body may be asked for more than once. */
typedef ssize_t http_source_fn(void *arg, uint64_t offset, void *buf, size_t n, struct err *err);

enum { HTTP_MAX_TEXT = 64 << 10 };

struct http_reply;

struct http_request {
	const char *method;        /* "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" */
	const char *url;
	const char *authorization; /* header's value, NULL = none */
	const char *accept;        /* NULL = anything */
	const char *content_type;  /* of the body */
	const char *body;          /* NULL = none */
	uint64_t body_bytes;
	http_source_fn *source;    /* in place of body: where body_bytes bytes come from */
	void *source_arg;
	const char *content_range; /* header's value, NULL = none */
	const char *git_protocol;  /* header's value, NULL = none */
	bool identify;             /* show our certificate to who asks for it */
	bool probe;                /* only to see whether TLS is spoken: nobody is trusted, so no secret may be in it; the connection is closed */
	bool insecure;             /* the server's certificate is not checked */
	uint64_t range_from;       /* > 0: ask for the bytes from there on */
	size_t max_text;           /* of a body kept in reply->text; 0: HTTP_MAX_TEXT */
	http_sink_fn *sink;        /* NULL: a body goes to reply->text */
	void *arg;
	const struct http_reply *reply; /* set by http_send(): the sink may look at status and range_start */
};

struct http_reply {
	long status;
	struct str text;           /* body without a sink, or of an error status: at most max_text bytes */
	char *location, *content_type, *digest; /* headers; NULL when absent */
	char *modified, *etag, *disposition; /* Last-Modified, ETag, Content-Disposition; NULL when absent */
	char *range, *chunk_min;   /* Range and OCI-Chunk-Min-Length of an upload; NULL when absent */
	struct strv challenges;    /* values of WWW-Authenticate */
	int64_t retry_after_s;     /* 0: none */
	bool has_range;            /* 206 with a Content-Range that begins at range_start */
	uint64_t range_start;
	bool transient;            /* after -1: worth another try */
	bool no_tls;               /* after -1: the server does not speak TLS on this port */
	bool no_connection;        /* after -1: nobody was reached */
};

struct http;
/* Before the jail, once a process: loads what libcurl and OpenSSL load. */
int http_prepare(struct err *err);
struct http *http_new(const struct http_options *opt);
struct http *http_free(struct http *h);

/* Returns 0 with *ret filled (any status), -1 + err when there was no whole answer (then transient and no_tls say more). In any
 * case http_reply_done() it. */
int http_send(struct http *h, struct http_request *q, struct http_reply *ret, struct err *err);
void http_reply_done(struct http_reply *r);

/* Joins a redirect's target to the URL it came from: free() it, NULL when it is no http(s) URL. */
char *http_join(const char *base, const char *location);
/* True when both have the same scheme, host and port. */
bool http_same_origin(const char *a, const char *b);
/* True for https; and for http when the host is this machine's loopback and plain_loopback. */
bool http_url_allowed(const char *url, bool plain_loopback);
/* True when both name the same host, whatever the scheme and the port. */
bool http_same_host(const char *a, const char *b);
/* Percent-encodes a query's value: free() it. */
char *http_escape(const char *text);

#endif
