/* SPDX-License-Identifier: Apache-2.0 */
/* See download.h. A redirect may lead anywhere but from https to http: what the user wanted protected stays so. */
#include "images/download.h"

#include <curl/curl.h>

#include "base/fs.h"
#include "images/confine.h"
#include "images/registry.h"

enum { MAX_CONF = 16 << 20, MAX_REDIRECTS = 10, MAX_URL = 8192 };

struct download {
	int fd;
	uint64_t size, max_bytes;
};

static int take(void *arg, const void *p, size_t n, struct err *err)
{
	struct download *d = arg;
	if (n > d->max_bytes - d->size)
		return err_set(err, ERR_INVALID, "larger than %llu bytes", (unsigned long long)d->max_bytes);
	d->size += n;
	return fs_write_all(d->fd, p, n, err);
}

/* filename="x" of Content-Disposition, without directories; free() it. NULL: none. */
static char *file_name(const char *disposition)
{
	const char *at = disposition ? strcasestr(disposition, "filename=") : NULL, *slash;
	AUTO_FREE char *name = NULL;
	if (!at)
		return NULL;
	at += strlen("filename=");
	name = *at == '"' ? xstrndup(at + 1, strcspn(at + 1, "\"")) : xstrndup(at, strcspn(at, "; \t"));
	slash = strrchr(name, '/');
	return xstrdup(slash ? slash + 1 : name);
}

static json_t *describe(const struct download *d, const struct http_reply *r)
{
	AUTO_FREE char *name = file_name(r->disposition);
	const time_t modified = r->modified ? curl_getdate(r->modified, NULL) : 0;
	json_t *j = json_object();
	json_put_int(j, "size", (int64_t)d->size);
	json_object_set_new(j, "name", json_text(name ? name : ""));
	json_put_int(j, "modified", modified > 0 ? (int64_t)modified : 0);
	json_object_set_new(j, "etag", json_text(r->etag ? r->etag : ""));
	return j;
}

/* One exchange: 0 with *ret; 1 and the next URL in *url; -1 + err. */
static int one(struct http *h, struct download *d, char **url, json_t **ret, struct err *err)
{
	struct http_request q = { .method = "GET", .url = *url, .sink = take, .arg = d };
	struct http_reply r = {0};
	char *next = NULL, quoted[200];
	int rc = http_send(h, &q, &r, err);
	if (rc == 0 && r.status == 200) {
		*ret = describe(d, &r);
	} else if (rc == 0 && r.status >= 300 && r.status < 400 && r.location && (next = http_join(*url, r.location)) && strlen(next) < MAX_URL) {
		rc = str_starts(*url, "https:") && !str_starts(next, "https:") ?
			     err_set(err, ERR_DENIED, "is redirected from https to %s", err_quote(quoted, sizeof(quoted), next)) : 1;
	} else if (rc == 0) {
		rc = err_set(err, r.status == 404 ? ERR_NOT_FOUND : ERR_INVALID, "invalid response status %ld", r.status);
	}
	if (rc == 1) {
		free(*url);
		*url = TAKE_PTR(next);
	}
	free(next);
	http_reply_done(&r);
	return rc;
}

int download_run(int conf_fd, int out_fd, json_t **ret, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *conf = NULL;
	AUTO_FREE char *url = NULL;
	struct download d = { .fd = out_fd };
	struct registry registry;
	struct http *h;
	int rc = 1;
	if (fs_read_fd(conf_fd, MAX_CONF, &text, err) < 0)
		return -1;
	conf = json_loadb(str_get(&text), text.len, 0, NULL);
	url = xstrdup(json_get_str(conf, "url", ""));
	d.max_bytes = (uint64_t)MAX(json_get_int(conf, "max_bytes", 0), 0);
	if (!*url || strlen(url) >= MAX_URL)
		return err_set(err, ERR_INVALID, "the download's description is not understood");
	rc = registry_open(json_array_get(json_object_get(conf, "endpoints"), 0), &registry, err);
	if (rc < 0 || http_prepare(err) < 0 || confine_enter_net(err) < 0)
		return -1;
	h = http_new(&registry.http);
	rc = 1;
	for (int i = 0; rc == 1 && i <= MAX_REDIRECTS; i++)
		rc = one(h, &d, &url, ret, err);
	http_free(h);
	registry_done(&registry);
	return rc == 1 ? err_set(err, ERR_INVALID, "more than %d redirects", MAX_REDIRECTS) : rc;
}
