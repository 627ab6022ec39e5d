/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl as a transport: every option that would act on its own is off. No time limit for a whole blob, but one for a stall:
 * 30 seconds below 1 KB/s; five minutes for anything small. "localhost" is pinned to the loopback addresses, since plain HTTP is spoken to
 * that name. Compression by the transport is never asked for: digests are of the bytes as they are stored. */
#include "images/http.h"
#include "base/sock.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_S = 15, STALL_BYTES_S = 1024, STALL_S = 30, MAX_HEADERS = 256, MAX_HEADER_BYTES = 128 << 10, MAX_CHALLENGES = 8, MAX_DROPPED = 1 << 20,
	TEXT_TIMEOUT_S = 300, MAX_RETRY_AFTER_S = 3600 };

struct http {
	CURL *easy;
	const struct http_options *opt; /* outlives us */
};

struct exchange {
	struct http *h;
	struct http_request *q;
	struct http_reply *r;
	size_t n_headers;
	struct err sink_err;       /* the sink's or the source's, or ours about the answer */
	uint64_t sent;             /* of a body from a source */
	size_t header_bytes;
	uint64_t dropped;          /* bytes of an error's text beyond what is kept */
	bool enough;               /* its end is not waited for */
};

int http_prepare(struct err *err)
{
	SSL_CTX *ctx;
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return err_set(err, ERR_UNSUPPORTED, "libcurl does not start");
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		return err_set(err, ERR_UNSUPPORTED, "OpenSSL does not start");
	SSL_CTX_free(ctx);
	return 0;
}

/* ---- trust ---- */

struct http_trust {
	const char *pem;
	size_t n;
	pthread_mutex_t lock;
	X509_STORE *store;      /* NULL: not needed yet, or nothing could be read */
};

struct http_trust *http_trust_new(const char *pem, size_t n)
{
	struct http_trust *t = xcalloc(1, sizeof(*t));
	*t = (struct http_trust){ .pem = pem, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER };
	return t;
}

struct http_trust *http_trust_free(struct http_trust *t)
{
	if (!t)
		return NULL;
	X509_STORE_free(t->store);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

/* What libcurl would make of the same text: certificates and lists of revoked ones; a chain may end at any certificate that is trusted. */
static X509_STORE *read_store(const char *pem, size_t n)
{
	X509_STORE *store = X509_STORE_new();
	BIO *in = n <= INT_MAX ? BIO_new_mem_buf(pem, (int)n) : NULL;
	STACK_OF(X509_INFO) *all = in ? PEM_X509_INFO_read_bio(in, NULL, NULL, NULL) : NULL;
	int count = 0;
	for (int i = 0; store && all && i < sk_X509_INFO_num(all); i++) {
		const X509_INFO *one = sk_X509_INFO_value(all, i);
		count += one->x509 && X509_STORE_add_cert(store, one->x509) == 1;
		if (one->crl)
			X509_STORE_add_crl(store, one->crl);
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(in);
	if (count == 0) {
		X509_STORE_free(store);
		return NULL;
	}
	X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	return store;
}

/* libcurl is about to connect by TLS. */
static CURLcode on_tls(CURL *easy, void *ctx, void *arg)
{
	struct http_trust *t = arg;
	X509_STORE *store;
	(void)easy;
	pthread_mutex_lock(&t->lock);
	if (!t->store && t->n)
		t->store = read_store(t->pem, t->n);
	store = t->store;
	pthread_mutex_unlock(&t->lock);
	if (store)
		SSL_CTX_set1_cert_store(ctx, store);
	return store || !t->n ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

static void set(struct http *h, CURLoption o, long v)
{
	curl_easy_setopt(h->easy, o, v);
}

struct http *http_new(const struct http_options *opt)
{
	struct http *h = xcalloc(1, sizeof(*h));
	h->opt = opt;
	h->easy = curl_easy_init();
	if (!h->easy)
		util_oom();
	set(h, CURLOPT_NOSIGNAL, 1);
	set(h, CURLOPT_FOLLOWLOCATION, 0);
	set(h, CURLOPT_NETRC, CURL_NETRC_IGNORED);
	set(h, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	set(h, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_S);
	set(h, CURLOPT_LOW_SPEED_TIME, STALL_S);
	set(h, CURLOPT_TCP_KEEPALIVE, 1);
	set(h, CURLOPT_BUFFERSIZE, 256 << 10);
	set(h, CURLOPT_HEADEROPT, CURLHEADER_SEPARATE); /* a proxy that only tunnels sees none of our headers */
	set(h, CURLOPT_UPLOAD_BUFFERSIZE, 256 << 10);
	set(h, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(h->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(h->easy, CURLOPT_USERAGENT, opt->user_agent);
	curl_easy_setopt(h->easy, CURLOPT_NOPROXY, opt->no_proxy ? opt->no_proxy : "");
	curl_easy_setopt(h->easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(h->easy, CURLOPT_CAINFO, NULL);
	return h;
}

struct http *http_free(struct http *h)
{
	if (!h)
		return NULL;
	curl_easy_cleanup(h->easy);
	free(h);
	return NULL;
}

/* "Name: value\r\n" → the value when the name matches, free() it; NULL otherwise. */
static char *header_value(const char *p, size_t n, const char *name)
{
	size_t len = strlen(name);
	if (n <= len || strncasecmp(p, name, len) != 0 || p[len] != ':')
		return NULL;
	for (p += len + 1, n -= len + 1; n && (*p == ' ' || *p == '\t'); p++, n--)
		;
	while (n && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' '))
		n--;
	return xstrndup(p, n);
}

static void keep(char **to, char *value)
{
	free(*to);
	*to = value;
}

static void reply_reset(struct http_reply *r)
{
	bool transient = r->transient;
	http_reply_done(r);
	*r = (struct http_reply){ .transient = transient };
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct http_reply *r = x->r;
	char *v;
	(void)size;
	x->header_bytes += n;
	if (++x->n_headers > MAX_HEADERS || x->header_bytes > MAX_HEADER_BYTES) {
		err_set(&x->sink_err, ERR_INVALID, "the answer has too many headers");
		return 0;
	}
	if (n >= 5 && strncmp(p, "HTTP/", 5) == 0) { /* a proxy's or an interim answer came before */
		reply_reset(r);
		return n;
	}
	if ((v = header_value(p, n, "location")))
		keep(&r->location, v);
	else if ((v = header_value(p, n, "content-type")))
		keep(&r->content_type, v);
	else if ((v = header_value(p, n, "docker-content-digest")))
		keep(&r->digest, v);
	else if ((v = header_value(p, n, "last-modified")))
		keep(&r->modified, v);
	else if ((v = header_value(p, n, "etag")))
		keep(&r->etag, v);
	else if ((v = header_value(p, n, "content-disposition")))
		keep(&r->disposition, v);
	else if ((v = header_value(p, n, "range")))
		keep(&r->range, v);
	else if ((v = header_value(p, n, "oci-chunk-min-length")))
		keep(&r->chunk_min, v);
	else if ((v = header_value(p, n, "www-authenticate"))) {
		if (r->challenges.n < MAX_CHALLENGES)
			strv_push(&r->challenges, v);
		free(v);
	} else if ((v = header_value(p, n, "content-range"))) {
		unsigned long long from;
		r->has_range = sscanf(v, "bytes %llu-", &from) == 1;
		r->range_start = r->has_range ? from : 0;
		free(v);
	}
	return n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	(void)size;
	curl_easy_getinfo(x->h->easy, CURLINFO_RESPONSE_CODE, &x->r->status);
	if (x->q->sink && (x->r->status == 200 || x->r->status == 206))
		return x->q->sink(x->q->arg, p, n, &x->sink_err) < 0 ? 0 : n;
	size_t max = x->q->max_text ? x->q->max_text : HTTP_MAX_TEXT;
	if (x->r->text.len + n > max) {
		if (x->r->status >= 300) { /* of an error the beginning will do */
			x->dropped += n - (max - x->r->text.len);
			str_addn(&x->r->text, p, max - x->r->text.len);
			x->enough = x->dropped > MAX_DROPPED;
			return x->enough ? 0 : n;
		}
		err_set(&x->sink_err, ERR_INVALID, "the answer is larger than the %zu bytes allowed", max);
		return 0;
	}
	str_addn(&x->r->text, p, n);
	return n;
}

static struct curl_slist *header_list(const struct http_request *q)
{
	AUTO_FREE char *auth = q->authorization ? xasprintf("Authorization: %s", q->authorization) : NULL;
	AUTO_FREE char *accept = xasprintf("Accept: %s", q->accept ? q->accept : "*/*");
	AUTO_FREE char *type = q->content_type ? xasprintf("Content-Type: %s", q->content_type) : xstrdup("Content-Type:");
	AUTO_FREE char *range = q->content_range ? xasprintf("Content-Range: %s", q->content_range) : NULL;
	AUTO_FREE char *git = q->git_protocol ? xasprintf("Git-Protocol: %s", q->git_protocol) : NULL;
	struct curl_slist *l = curl_slist_append(NULL, accept);
	l = curl_slist_append(l, type);
	l = curl_slist_append(l, "Expect:");
	if (range)
		l = curl_slist_append(l, range);
	if (git)
		l = curl_slist_append(l, git);
	return auth ? curl_slist_append(l, auth) : l;
}

static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	ssize_t got;
	n = (size_t)MIN((uint64_t)n * size, x->q->body_bytes - x->sent);
	if (n == 0)
		return 0;
	got = x->q->source(x->q->source_arg, x->sent, p, n, &x->sink_err);
	if (got <= 0)
		return CURL_READFUNC_ABORT;
	x->sent += (uint64_t)got;
	return (size_t)got;
}

/* libcurl sends once more what a connection that was just closed did not take. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct exchange *x = arg;
	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > x->q->body_bytes)
		return CURL_SEEKFUNC_FAIL;
	x->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* A certificate of ours for this request, or none: it is not shown to who the registry redirects to. */
static void set_certificate(struct http *h, bool identify)
{
	const struct http_options *o = h->opt;
	struct curl_blob cert = { .data = (void *)(uintptr_t)o->cert_pem, .len = o->cert_bytes, .flags = CURL_BLOB_COPY };
	struct curl_blob key = { .data = (void *)(uintptr_t)o->key_pem, .len = o->key_bytes, .flags = CURL_BLOB_COPY };
	if (!o->cert_pem)
		return;
	curl_easy_setopt(h->easy, CURLOPT_SSLCERTTYPE, "PEM");
	curl_easy_setopt(h->easy, CURLOPT_SSLKEYTYPE, "PEM");
	curl_easy_setopt(h->easy, CURLOPT_SSLCERT_BLOB, identify ? &cert : NULL);
	curl_easy_setopt(h->easy, CURLOPT_SSLKEY_BLOB, identify ? &key : NULL);
}

/* Whom this request believes. */
static void set_trust(struct http *h, const struct http_request *q)
{
	const bool checked = !q->insecure && !q->probe;
	set(h, CURLOPT_SSL_VERIFYPEER, checked ? 1 : 0);
	set(h, CURLOPT_SSL_VERIFYHOST, checked ? 2 : 0);
	set(h, CURLOPT_FORBID_REUSE, q->probe ? 1 : 0);
	curl_easy_setopt(h->easy, CURLOPT_SSL_CTX_FUNCTION, checked ? on_tls : NULL);
	curl_easy_setopt(h->easy, CURLOPT_SSL_CTX_DATA, h->opt->trust);
}

static char *url_part(const char *url, CURLUPart part);

static void set_proxy(struct http *h, const char *url)
{
	AUTO_FREE char *scheme = url_part(url, CURLUPART_SCHEME), *host = url_part(url, CURLUPART_HOST);
	const char *proxy = str_eq(scheme, "https") ? h->opt->proxy : h->opt->plain_proxy;
	curl_easy_setopt(h->easy, CURLOPT_PROXY, proxy && host && !sock_is_loopback(host) ? proxy : ""); /* "": not what the environment says either */
}

static void set_body(struct exchange *x)
{
	struct http_request *q = x->q;
	CURL *e = x->h->easy;
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_POSTFIELDS, q->source ? NULL : q->body ? q->body : "");
	curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_bytes);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(e, CURLOPT_READDATA, x);
	curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(e, CURLOPT_SEEKDATA, x);
}

static void set_up(struct exchange *x, struct curl_slist *headers, char *errbuf)
{
	struct http_request *q = x->q;
	CURL *e = x->h->easy;
	char range[32];
	curl_easy_setopt(e, CURLOPT_URL, q->url);
	curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(e, CURLOPT_NOBODY, strcmp(q->method, "HEAD") == 0 ? 1L : 0L);
	set_proxy(x->h, q->url);
	set_trust(x->h, q);
	set_certificate(x->h, q->identify);
	if (strcmp(q->method, "POST") == 0 || strcmp(q->method, "PUT") == 0 || strcmp(q->method, "PATCH") == 0)
		set_body(x);
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, strcmp(q->method, "HEAD") == 0 ? NULL : q->method);
	snprintf(range, sizeof(range), "%llu-", (unsigned long long)q->range_from);
	curl_easy_setopt(e, CURLOPT_RANGE, q->range_from ? range : NULL);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, errbuf);
	curl_easy_setopt(e, CURLOPT_TIMEOUT, q->sink || q->source ? 0L : (long)TEXT_TIMEOUT_S);
}

/* A TLS alert (a certificate of ours is missing, say) is said again next time, though it comes as a read that failed; only the text tells. */
static bool is_transient(CURLcode c, const char *detail)
{
	static const CURLcode codes[] = {
		CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_GOT_NOTHING, CURLE_OPERATION_TIMEDOUT, CURLE_HTTP2,
		CURLE_HTTP2_STREAM,
	};
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i] == c)
			return !strstr(detail, "SSL") || !strstr(detail, " alert ");
	return false;
}

static int explain(struct exchange *x, CURLcode rc, const char *detail, struct err *err)
{
	char shown[CURL_ERROR_SIZE];
	const char *text = *detail ? detail : curl_easy_strerror(rc);
	long proxy = 0;
	if (x->sink_err.code != ERR_NONE) {
		if (err)
			*err = x->sink_err;
		return -1;
	}
	curl_easy_getinfo(x->h->easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
	x->r->transient = is_transient(rc, detail) && (proxy < 300 || proxy == 429 || (proxy >= 502 && proxy <= 504));
	x->r->no_tls = rc == CURLE_SSL_CONNECT_ERROR;
	x->r->no_connection = rc == CURLE_COULDNT_CONNECT || proxy >= 300; /* which does not connect us, then */
	return err_set(err, rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_SYS, "%s", err_quote(shown, sizeof(shown), text));
}

int http_send(struct http *h, struct http_request *q, struct http_reply *ret, struct err *err)
{
	struct exchange x = { .h = h, .q = q, .r = ret };
	struct curl_slist *headers = header_list(q), *pin = NULL;
	char detail[CURL_ERROR_SIZE] = "", *host = NULL, *port = NULL;
	CURLU *u = curl_url();
	CURLcode rc;
	curl_off_t wait = 0;
	*ret = (struct http_reply){0};
	q->reply = ret;
	set_up(&x, headers, detail);
	if (u && curl_url_set(u, CURLUPART_URL, q->url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    strcasecmp(host, "localhost") == 0 && curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
		AUTO_FREE char *entry = xasprintf("localhost:%s:127.0.0.1,[::1]", port);
		pin = curl_slist_append(NULL, entry);
	}
	curl_easy_setopt(h->easy, CURLOPT_RESOLVE, pin);
	rc = curl_easy_perform(h->easy);
	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &ret->status);
	if (curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK)
		ret->retry_after_s = MAX(0, MIN((int64_t)wait, MAX_RETRY_AFTER_S));
	curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(h->easy, CURLOPT_RESOLVE, NULL);
	curl_easy_setopt(h->easy, CURLOPT_ERRORBUFFER, NULL);
	curl_slist_free_all(headers);
	curl_slist_free_all(pin);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return rc == CURLE_OK || x.enough ? 0 : explain(&x, rc, detail, err);
}

void http_reply_done(struct http_reply *r)
{
	str_done(&r->text);
	free(r->location);
	free(r->content_type);
	free(r->digest);
	free(r->modified);
	free(r->etag);
	free(r->disposition);
	free(r->range);
	free(r->chunk_min);
	strv_done(&r->challenges);
	r->modified = r->etag = r->disposition = NULL;
	r->location = r->content_type = r->digest = r->range = r->chunk_min = NULL;
}

/* ---- URLs ---- */

static char *url_part(const char *url, CURLUPart part)
{
	CURLU *u = curl_url();
	char *text = NULL, *out = NULL;
	if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK)
		out = xstrdup(text);
	curl_free(text);
	curl_url_cleanup(u);
	return out;
}

char *http_join(const char *base, const char *location)
{
	CURLU *u = curl_url();
	char *text = NULL, *out = NULL, *user = NULL;
	if (u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK && curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER && curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK && (str_starts(text, "http://") || str_starts(text, "https://")))
		out = xstrdup(text);
	curl_free(text);
	curl_free(user);
	curl_url_cleanup(u);
	return out;
}

bool http_same_origin(const char *a, const char *b)
{
	static const CURLUPart parts[] = { CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT };
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		AUTO_FREE char *x = url_part(a, parts[i]), *y = url_part(b, parts[i]);
		if (!x || !y || strcasecmp(x, y) != 0)
			return false;
	}
	return true;
}

bool http_same_host(const char *a, const char *b)
{
	AUTO_FREE char *x = url_part(a, CURLUPART_HOST), *y = url_part(b, CURLUPART_HOST);
	return x && y && strcasecmp(x, y) == 0;
}

bool http_url_allowed(const char *url, bool plain_loopback)
{
	AUTO_FREE char *scheme = url_part(url, CURLUPART_SCHEME), *host = url_part(url, CURLUPART_HOST);
	if (!scheme || !host)
		return false;
	return strcmp(scheme, "https") == 0 || (plain_loopback && strcmp(scheme, "http") == 0 && sock_is_loopback(host));
}

char *http_escape(const char *text)
{
	char *e = curl_easy_escape(NULL, text, 0), *out;
	if (!e)
		util_oom();
	out = xstrdup(e);
	curl_free(e);
	return out;
}
