/* SPDX-License-Identifier: Apache-2.0 */
/* Three rings around http_send(): registry_send() answers challenges and follows redirects, registry_send_again() tries again, and the
 * functions of the header know what an answer means; those that send are in upload.c. Several threads share one struct registry: whoever
 * meets a 401 first fetches the token, the others wait and take it. */
#include "images/registry_impl.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/sock.h"

enum {
	MAX_REDIRECTS = 5, MAX_WAIT_S = 120, MAX_MANIFEST_BYTES = 4 << 20, MAX_CA_BYTES = 8 << 20, MAX_CA_FILES = 64,
	MAX_SOURCES = 8, TOKEN_MARGIN_S = 10, MAX_TOKEN_TEXT = 256 << 10,
};

static const char manifest_types[] =
	"application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/* ---- the description ---- */

static char *take_text(const json_t *j, const char *key)
{
	const char *v = json_get_str(j, key, NULL);
	return v && *v ? xstrdup(v) : NULL;
}

static int read_certificates(const json_t *description, struct registry *r, struct err *err)
{
	AUTO_STRV struct strv files = {0};
	json_get_strv(description, "ca_files", &files);
	for (size_t i = 0; i < files.n && i < MAX_CA_FILES; i++) {
		AUTO_STR struct str text = {0};
		if (fs_read(AT_FDCWD, files.v[i], MAX_CA_BYTES, &text, err) < 0)
			return err_wrap(err, "certificates");
		str_addn(&r->ca, str_get(&text), text.len);
		str_addc(&r->ca, '\n');
	}
	return 0;
}

/* Our own certificate and its key, when there is one. */
static int read_identity(const json_t *description, struct registry *r, struct err *err)
{
	const char *cert = json_get_str(description, "cert_file", NULL), *key = json_get_str(description, "key_file", NULL);
	if (!cert || !key)
		return 0;
	if (fs_read(AT_FDCWD, cert, MAX_CA_BYTES, &r->cert, err) < 0 || fs_read(AT_FDCWD, key, MAX_CA_BYTES, &r->key, err) < 0)
		return err_wrap(err, "certificate for %s", r->name);
	r->http.cert_pem = str_get(&r->cert);
	r->http.cert_bytes = r->cert.len;
	r->http.key_pem = str_get(&r->key);
	r->http.key_bytes = r->key.len;
	return 0;
}

int registry_open(const json_t *description, struct registry *ret, struct err *err)
{
	*ret = (struct registry){
		.name = take_text(description, "name"), .host = take_text(description, "host"),
		.repository = xstrdup(json_get_str(description, "repository", "")), .username = take_text(description, "username"),
		.password = take_text(description, "password"), .identity_token = take_text(description, "identity_token"),
		.push = json_get_bool(description, "push", false), .mirror = json_get_bool(description, "mirror", false),
		.insecure = json_get_bool(description, "insecure", false), .proxy = take_text(description, "proxy"),
		.plain_proxy = take_text(description, "plain_proxy"), .no_proxy = take_text(description, "no_proxy"),
	};
	pthread_mutex_init(&ret->lock, NULL);
	json_get_strv(description, "sources", &ret->sources);
	if (!ret->name || !ret->host || strlen(ret->host) > 256)
		return err_set(err, ERR_INVALID, "the registry's description is incomplete");
	if (read_certificates(description, ret, err) < 0)
		return -1;
	ret->http = (struct http_options){
		.trust = http_trust_new(str_get(&ret->ca), ret->ca.len), .user_agent = "muster/" MUSTER_VERSION,
		.proxy = ret->proxy, .plain_proxy = ret->plain_proxy, .no_proxy = ret->no_proxy,
	};
	if (!sock_is_loopback(ret->host) && !ret->insecure)
		snprintf(ret->base, sizeof(ret->base), "https://%s", ret->host);
	return read_identity(description, ret, err);
}

void registry_done(struct registry *r)
{
	char **texts[] = { &r->name, &r->host, &r->repository, &r->username, &r->password, &r->identity_token, &r->authorization, &r->proxy,
		&r->plain_proxy, &r->no_proxy };
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (*texts[i])
			explicit_bzero(*texts[i], strlen(*texts[i]));
		free(*texts[i]);
		*texts[i] = NULL;
	}
	r->http.trust = http_trust_free(r->http.trust);
	pthread_mutex_destroy(&r->lock);
	str_done(&r->ca);
	str_done(&r->cert);
	str_done(&r->key);
	strv_done(&r->sources);
}

/* ---- trying again ---- */

bool registry_is_transient(long status)
{
	static const long all[] = { 408, 429, 500, 502, 503, 504 };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (status == all[i])
			return true;
	return false;
}

void registry_pause(unsigned n, int64_t retry_after_s)
{
	char hex[5];
	uint64_t ms;
	struct timespec ts;
	random_hex(hex, 4);
	ms = (1000ULL << (n - 1)) / 2 + (1000ULL << (n - 1)) * strtoul(hex, NULL, 16) / 0xffff;
	if (retry_after_s > 0)
		ms = (uint64_t)MIN(retry_after_s, MAX_WAIT_S) * 1000;
	ts = (struct timespec){ .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* ---- what an error answer means ---- */

/* The server's own words, "" when it has none: "MANIFEST_UNKNOWN: manifest unknown". */
static void server_words(const struct http_reply *a, char *buf, size_t size)
{
	AUTO_JSON json_t *j = json_loadb(str_get(&a->text), a->text.len, 0, NULL);
	const json_t *first = json_array_get(json_object_get(j, "errors"), 0);
	const char *words = json_get_str(first, "message", json_get_str(first, "code", json_get_str(j, "details", "")));
	char shown[200];
	snprintf(buf, size, "%s%s", *words ? ": " : "", err_quote(shown, sizeof(shown), words));
}

int registry_explain(const struct registry *r, const struct http_reply *a, const char *what, struct err *err)
{
	char words[240];
	server_words(a, words, sizeof(words));
	if (a->status == 401 || a->status == 403)
		return r->username || r->identity_token ?
			err_set(err, ERR_DENIED, "%s: access denied by %s%s (other credentials: muster login %s)", what, r->name, words, r->name) :
			err_set(err, ERR_DENIED, "%s: access denied by %s%s (%s: muster login %s)", what, r->name, words,
				r->push ? "pushing needs" : "it does not exist, or needs", r->name);
	if (a->status == 404)
		return err_set(err, ERR_NOT_FOUND, "%s: not found at %s%s", what, r->name, words);
	if (a->status == 429)
		return err_set(err, ERR_DENIED, "%s: %s says that there are too many requests%s", what, r->name, words);
	return err_set(err, ERR_SYS, "%s: %s answers with status %ld%s", what, r->name, a->status, words);
}

/* ---- authorisation ---- */

/* What a token is asked for: what the challenge says; to push, the repository and those that blobs are mounted from. */
static void token_scopes(const struct registry *r, const struct auth_challenge *c, struct strv *ret)
{
	if (!r->repository[0])
		return;
	if (c->scope[0] && !r->push)
		strv_push(ret, c->scope);
	else
		strv_pushf(ret, "repository:%s:%s", r->repository, r->push ? "pull,push" : "pull");
	for (size_t i = 0; r->push && i < r->sources.n && i < MAX_SOURCES; i++)
		strv_pushf(ret, "repository:%s:pull", r->sources.v[i]);
}

/* An insecure registry's certificate is not checked; those of the hosts that it sends us to are. */
static bool is_lax(const struct registry *r, const char *url)
{
	return r->insecure && http_same_host(url, r->base);
}

/* True when credentials may go to this token server. */
static bool realm_allowed(const struct registry *r, const char *realm)
{
	AUTO_FREE char *whole = NULL;
	for (const char *p = realm; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '#' || *p == '\\')
			return false;
	whole = http_join("https://invalid/", realm); /* NULL: another scheme, or a user name in it */
	if (!whole || strcspn(realm, ":") > 5)
		return false;
	return http_url_allowed(realm, sock_is_loopback(r->host)) ||
		(r->insecure && str_starts(r->base, "http://") && http_same_host(realm, r->base));
}

/* True when what the registry sends us to may be asked at all. */
static bool target_allowed(const struct registry *r, const char *url)
{
	return http_url_allowed(url, sock_is_loopback(r->host)) ||
		(r->insecure && http_same_host(url, r->base) && str_starts(r->base, "http://"));
}

static bool is_redirect(const struct http_request *q, const struct http_reply *a)
{
	bool plain = strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0;
	if (!a->location)
		return false;
	return a->status == 307 || a->status == 308 || (plain && a->status >= 301 && a->status <= 303);
}

/* q to q->url and where that redirects to. What it carries of ours goes no further than the first host, nor comes back to it; a body is not sent on. */
static int send_and_follow(const struct registry *r, struct http *h, struct http_request *q, struct http_reply *a, struct err *err)
{
	AUTO_FREE char *first = xstrdup(q->url), *url = xstrdup(q->url);
	for (unsigned hops = 0; hops <= MAX_REDIRECTS; hops++) {
		char *next;
		q->url = url;
		q->insecure = is_lax(r, url);
		if (http_send(h, q, a, err) < 0)
			return -1;
		if (!is_redirect(q, a) || q->body)
			return 0;
		next = http_join(url, a->location);
		free(url);
		url = next;
		if (!next || !target_allowed(r, next))
			return err_set(err, ERR_DENIED, "redirects to where HTTPS does not lead");
		q->authorization = http_same_origin(next, first) ? q->authorization : NULL;
		q->identify = q->identify && http_same_origin(next, first);
		http_reply_done(a);
	}
	return err_set(err, ERR_SYS, "redirects more than %d times", MAX_REDIRECTS);
}

/* Asks the token server. r->lock is held. why: after -1 its transient and retry_after_s say whether it may help to begin again. */
static int fetch_token(struct registry *r, struct http *h, const struct auth_challenge *c, struct auth_token *ret, struct http_reply *why,
	struct err *err)
{
	AUTO_STRV struct strv scopes = {0};
	AUTO_STR struct str one = {0}, all = {0};
	AUTO_FREE char *service_q = http_escape(c->service);
	AUTO_FREE char *basic = r->username && r->password ? auth_basic(r->username, r->password) : NULL;
	AUTO_FREE char *url = NULL, *body = NULL;
	struct http_request q = { .method = "GET", .max_text = MAX_TOKEN_TEXT, .authorization = basic };
	struct http_reply a;
	int rc = 0;
	token_scopes(r, c, &scopes);
	for (size_t i = 0; i < scopes.n; i++) {
		AUTO_FREE char *scope_q = http_escape(scopes.v[i]);
		str_addf(&all, "&scope=%s", scope_q);
		str_addf(&one, "%s%s", i ? "%20" : "", scope_q);
	}
	if (r->identity_token) {
		AUTO_FREE char *token_q = http_escape(r->identity_token);
		body = xasprintf("grant_type=refresh_token&service=%s&scope=%s&client_id=muster&refresh_token=%s", service_q, str_get(&one), token_q);
		url = xstrdup(c->realm);
		q = (struct http_request){ .method = "POST", .max_text = MAX_TOKEN_TEXT, .body = body, .body_bytes = strlen(body),
			.content_type = "application/x-www-form-urlencoded" };
	} else {
		url = xasprintf("%s%cservice=%s%s", c->realm, strchr(c->realm, '?') ? '&' : '?', service_q, str_get(&all));
	}
	q.url = url;
	q.identify = http_same_origin(url, r->base);
	if (send_and_follow(r, h, &q, &a, err) < 0)
		rc = err_wrap(err, "the token server of %s", r->name);
	if (rc == 0 && a.status != 200)
		rc = a.status == 401 || a.status == 403 ? registry_explain(r, &a, r->repository[0] ? r->repository : "login", err) :
			err_set(err, ERR_SYS, "the token server of %s answers with status %ld", r->name, a.status);
	why->transient = rc < 0 && (a.transient || registry_is_transient(a.status));
	why->retry_after_s = a.retry_after_s;
	if (rc == 0)
		rc = auth_parse_token(str_get(&a.text), a.text.len, ret, err);
	http_reply_done(&a);
	return rc;
}

/* r->lock is held. 0: r->authorization is new; 1: there is no answer to this challenge; -1 + err, a->transient as of fetch_token(). */
static int answer_challenge(struct registry *r, struct http *h, struct http_reply *a, struct err *err)
{
	struct auth_challenge c[AUTH_MAX_CHALLENGES];
	struct auth_token token = {0};
	const struct auth_challenge *bearer = NULL, *basic = NULL;
	bool plain = str_starts(r->base, "http://");
	size_t n = 0;
	for (size_t i = 0; i < a->challenges.n && n < ARRAY_SIZE(c); i++)
		n += auth_parse(a->challenges.v[i], c + n, ARRAY_SIZE(c) - n);
	for (size_t i = 0; i < n; i++) {
		bearer = !bearer && c[i].scheme == AUTH_BEARER ? &c[i] : bearer;
		basic = !basic && c[i].scheme == AUTH_BASIC ? &c[i] : basic;
	}
	if (bearer) {
		if (!realm_allowed(r, bearer->realm))
			return err_set(err, ERR_DENIED, "%s names a token server that is not reached by HTTPS", r->name);
		if (fetch_token(r, h, bearer, &token, a, err) < 0)
			return -1;
		free(r->authorization);
		r->authorization = xasprintf("Bearer %s", token.token);
		r->expires_ns = clock_mono_ns() + (uint64_t)(token.lifetime_s - TOKEN_MARGIN_S) * 1000000000;
		free(token.token);
	} else if (basic && r->username && r->password && (!plain || sock_is_loopback(r->host) || r->insecure)) {
		free(r->authorization);
		r->authorization = auth_basic(r->username, r->password);
		r->expires_ns = 0;
	} else {
		return 1;
	}
	r->generation++;
	return 0;
}

/* A loopback or insecure registry is asked by HTTPS first, without believing it yet; one that may want to see our certificate as in
 * earnest, since it might not answer otherwise. Whatever it answers, a challenge or a redirect: only that it speaks TLS is learnt. r->lock is held;
 * why as of fetch_token(). */
static int find_scheme(struct registry *r, struct http *h, struct http_reply *why, struct err *err)
{
	AUTO_FREE char *url = xasprintf("https://%s/v2/", r->host);
	struct http_request q = {
		.method = "GET", .url = url, .identify = r->http.cert_pem, .probe = !r->http.cert_pem, .insecure = r->insecure,
	};
	struct http_reply a;
	int rc = http_send(h, &q, &a, err);
	if (rc == 0 || a.no_tls || (r->insecure && a.no_connection)) {
		snprintf(r->base, sizeof(r->base), "%s://%s", rc == 0 ? "https" : "http", r->host);
		rc = 0;
	}
	why->transient = rc < 0 && a.transient;
	http_reply_done(&a);
	return rc < 0 ? err_wrap(err, "registry %s", r->name) : 0;
}

/* What to send now: a copy of the header's value (NULL: nothing), and its generation. */
static int current_authorization(struct registry *r, struct http *h, char **ret, unsigned *ret_generation, struct http_reply *why, struct err *err)
{
	int rc = 0;
	pthread_mutex_lock(&r->lock);
	if (!r->base[0])
		rc = find_scheme(r, h, why, err);
	if (r->authorization && r->expires_ns && clock_mono_ns() > r->expires_ns) {
		free(r->authorization);
		r->authorization = NULL;
	}
	*ret = r->authorization ? xstrdup(r->authorization) : NULL;
	*ret_generation = r->generation;
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* After a 401 to what was sent with this generation: 0 = send again; 1 = it is no use; -1 + err. */
static int renew_authorization(struct registry *r, struct http *h, struct http_reply *a, unsigned generation, struct err *err)
{
	int rc = 0;
	pthread_mutex_lock(&r->lock);
	if (r->generation == generation)
		rc = answer_challenge(r, h, a, err);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

int registry_send(struct registry *r, struct http *h, const char *target, struct http_request *q, struct http_reply *a, struct err *err)
{
	AUTO_FREE char *url = NULL;
	unsigned renewed = 0;
	bool home = true; /* and once elsewhere, never again: who we were sent to does not choose what we ask the registry for, as ourselves */
	*a = (struct http_reply){0};
	for (unsigned hops = 0; hops <= MAX_REDIRECTS;) {
		AUTO_FREE char *authorization = NULL, *next = NULL;
		unsigned generation = 0;
		if (current_authorization(r, h, &authorization, &generation, a, err) < 0)
			return -1;
		if (!url)
			url = xasprintf("%s%s", target[0] == '/' ? r->base : "", target);
		if (!target_allowed(r, url))
			return err_set(err, ERR_DENIED, "registry %s: redirects to where HTTPS does not lead", r->name);
		home = home && http_same_origin(url, r->base);
		q->url = url;
		q->authorization = home ? authorization : NULL;
		q->identify = home;
		q->insecure = is_lax(r, url);
		if (http_send(h, q, a, err) < 0)
			return err_wrap(err, "registry %s", r->name);
		if (a->status == 401 && home && renewed < 2) {
			int rc = renew_authorization(r, h, a, generation, err);
			renewed++;
			if (rc != 0)
				return rc < 0 ? -1 : 0;
			http_reply_done(a);
			continue;
		}
		if (a->location)
			next = http_join(url, a->location);
		if (!is_redirect(q, a)) {
			free(a->location);
			a->location = TAKE_PTR(next);
			return 0;
		}
		if (!next)
			return err_set(err, ERR_DENIED, "registry %s: redirects to where HTTPS does not lead", r->name);
		free(url);
		url = TAKE_PTR(next);
		http_reply_done(a);
		hops++;
	}
	return err_set(err, ERR_SYS, "registry %s: more than %d redirects", r->name, MAX_REDIRECTS);
}

int registry_send_again(struct registry *r, struct http *h, const char *target, struct http_request *q, struct http_reply *a, struct err *err)
{
	const unsigned max = r->mirror ? REGISTRY_MIRROR_TRIES : REGISTRY_MAX_TRIES;
	for (unsigned tries = 1;; tries++) {
		int rc = registry_send(r, h, target, q, a, err);
		if (!(rc < 0 ? a->transient : registry_is_transient(a->status)) || tries == max)
			return rc;
		registry_pause(tries, a->retry_after_s);
		http_reply_done(a);
	}
}

int registry_check(struct registry *r, struct http *h, struct err *err)
{
	struct http_request q = { .method = "GET" };
	struct http_reply a = {0};
	int rc = registry_send(r, h, "/v2/", &q, &a, err);
	if (rc == 0 && a.status != 200)
		rc = registry_explain(r, &a, "login", err);
	http_reply_done(&a);
	return rc;
}

int registry_get_manifest(struct registry *r, struct http *h, const char *ref, struct http_reply *ret, struct err *err)
{
	AUTO_FREE char *path = xasprintf("/v2/%s/manifests/%s", r->repository, ref);
	AUTO_FREE char *what = xasprintf("%s%s%s", r->repository, strchr(ref, ':') ? "@" : ":", ref);
	struct http_request q = { .method = "GET", .accept = manifest_types, .max_text = MAX_MANIFEST_BYTES };
	if (registry_send_again(r, h, path, &q, ret, err) < 0)
		return -1;
	return ret->status == 200 ? 0 : registry_explain(r, ret, what, err);
}

/* ---- blobs ---- */

struct download {
	struct http_request *q;
	http_sink_fn *sink;
	void *arg;
	uint64_t size, done;     /* done: given to the sink */
	uint64_t skip;           /* bytes of this answer that the sink has already */
	bool begun, sink_failed;
	unsigned short_answers;  /* whole ones by their own account, and yet too short */
};

static int take_bytes(void *arg, const void *p, size_t n, struct err *err)
{
	struct download *d = arg;
	if (!d->begun) {
		bool part = d->q->reply->status == 206;
		d->begun = true;
		if (part && (!d->q->reply->has_range || d->q->reply->range_start != d->done))
			return err_set(err, ERR_CORRUPT, "the server resumes at the wrong place");
		d->skip = part ? 0 : d->done;
	}
	size_t drop = (size_t)MIN(d->skip, (uint64_t)n);
	d->skip -= drop;
	n -= drop;
	if (n == 0)
		return 0;
	if (n > d->size - d->done)
		return err_set(err, ERR_CORRUPT, "longer than the %llu bytes that the manifest says", (unsigned long long)d->size);
	d->done += n;
	if (d->sink(d->arg, (const char *)p + drop, n, err) < 0) {
		d->sink_failed = true;
		return -1;
	}
	return 0;
}

/* What one try came to. 0: all is there; -1 + err, *ret_again when another try may help. */
static int judge_download(const struct registry *r, struct download *d, int rc, const struct http_reply *a, const char *what, bool *ret_again,
	struct err *err)
{
	bool ok = rc == 0 && (a->status == 200 || a->status == 206);
	*ret_again = false;
	if (ok && d->done == d->size)
		return 0;
	*ret_again = !d->sink_failed && (ok ? ++d->short_answers < 2 : rc < 0 ? a->transient : registry_is_transient(a->status));
	if (ok)
		return err_set(err, ERR_SYS, "%s: ends after %llu of %llu bytes", what, (unsigned long long)d->done, (unsigned long long)d->size);
	return rc < 0 ? -1 : registry_explain(r, a, what, err);
}

int registry_get_blob(struct registry *r, struct http *h, const char *digest, uint64_t size, uint64_t *done, http_sink_fn *sink, void *arg,
	bool *ret_sink_failed, struct err *err)
{
	AUTO_FREE char *path = xasprintf("/v2/%s/blobs/%s", r->repository, digest);
	AUTO_FREE char *what = xasprintf("blob %.19s…", digest);
	struct download d = { .sink = sink, .arg = arg, .size = size, .done = *done };
	const unsigned max = r->mirror ? REGISTRY_MIRROR_TRIES : REGISTRY_MAX_TRIES;
	*ret_sink_failed = false;
	if (*done >= size)
		return *done == size ? 0 : err_set(err, ERR_CORRUPT, "%s: there is more of it than the manifest says", what);
	for (unsigned tries = 1;; tries++) {
		struct http_request q = { .method = "GET", .sink = take_bytes, .arg = &d, .range_from = d.done };
		struct http_reply a = {0};
		uint64_t before = d.done;
		int64_t wait;
		bool again;
		int rc;
		d.q = &q;
		d.begun = false;
		rc = registry_send(r, h, path, &q, &a, err);
		rc = judge_download(r, &d, rc, &a, what, &again, err);
		if (d.done - before >= REGISTRY_PROGRESS)
			tries = 1;
		wait = a.retry_after_s;
		http_reply_done(&a);
		*done = d.done;
		*ret_sink_failed = d.sink_failed;
		if (rc == 0 || !again || tries == max)
			return rc < 0 ? err_wrap(err, "%s", r->repository) : 0;
		registry_pause(tries, wait);
	}
}
