/* SPDX-License-Identifier: Apache-2.0 */
/* One thread and one libcurl handle for each lane. What a question may hold is checked as if a stranger asked, since the asker
 * unpacks what strangers wrote: with it, nothing but this repository's manifests and blobs can be had. */
#include "images/fetch.h"

#include <ctype.h>

#include "base/fs.h"
#include "images/confine.h"
#include "images/registry.h"

enum { MAX_CONF_BYTES = 1 << 20, MAX_ENDPOINTS = 8, MAX_MANIFEST_BYTES = 4 << 20, DIRECT_BYTES = 64 << 10 };

struct places {
	struct registry v[MAX_ENDPOINTS]; /* mirrors in the order to try, then the registry itself */
	size_t n;
};

struct server {
	struct places *places;
	struct http *http[MAX_ENDPOINTS];  /* a connection each */
	struct lane lane;
	char *window;                      /* bytes wanted last, LANE_MAX_WANT: for a transport that takes them in small pieces */
	uint64_t window_at, window_n;
	uint64_t sending;                  /* size of what is being sent */
	pthread_t thread;
	bool started;
};

static struct registry *own(struct server *s)
{
	return &s->places->v[s->places->n - 1];
}

static struct http *own_http(struct server *s)
{
	return s->http[s->places->n - 1];
}

/* A tag or a digest and nothing that could lead elsewhere in a URL. */
static bool is_reference(const char *s)
{
	size_t n = 0;
	while (isalnum((unsigned char)s[n]) || (n && (s[n] == '_' || s[n] == '.' || s[n] == '-' || s[n] == ':')) || s[n] == '_')
		n++;
	return n > 0 && n <= 200 && !s[n];
}

static int to_lane(void *arg, const void *p, size_t n, struct err *err)
{
	return lane_send(arg, p, n, err);
}

static int serve_manifest(struct server *s, const json_t *question, struct err *err)
{
	const char *ref = json_get_str(question, "ref", "");
	struct http_reply a = {0};
	json_t *end;
	int rc = -1;
	if (!is_reference(ref))
		return err_set(err, ERR_INVALID, "lane: not a reference");
	for (size_t i = 0; i < s->places->n && rc < 0; i++) {
		http_reply_done(&a);
		rc = registry_get_manifest(&s->places->v[i], s->http[i], ref, &a, err);
	}
	if (rc == 0)
		rc = lane_send(&s->lane, str_get(&a.text), a.text.len, err);
	if (rc == 0) {
		end = json_object();
		if (a.content_type && str_utf8_len((const unsigned char *)a.content_type))
			json_object_set_new(end, "type", json_text(a.content_type));
		rc = lane_end(&s->lane, end, err);
	}
	http_reply_done(&a);
	return rc;
}

static int serve_blob(struct server *s, const json_t *question, struct err *err)
{
	const char *digest = json_get_str(question, "digest", "");
	int64_t size = json_get_int(question, "size", -1), from = json_get_int(question, "from", 0);
	size_t first = json_get_bool(question, "direct", false) ? s->places->n - 1 : 0;
	uint64_t done = (uint64_t)from;
	bool gone = false;
	int rc = -1;
	if (!is_reference(digest) || !strchr(digest, ':') || size < 0 || from < 0 || from > size)
		return err_set(err, ERR_INVALID, "lane: not a blob");
	for (size_t i = first; i < s->places->n && rc < 0 && !gone; i++)
		rc = registry_get_blob(&s->places->v[i], s->http[i], digest, (uint64_t)size, &done, to_lane, &s->lane, &gone, err);
	return rc < 0 ? -1 : lane_end(&s->lane, NULL, err);
}

static int serve_check(struct server *s, const json_t *question, struct err *err)
{
	(void)question;
	return registry_check(own(s), own_http(s), err) < 0 ? -1 : lane_end(&s->lane, NULL, err);
}

/* ---- sending ---- */

static ssize_t from_lane(void *arg, uint64_t offset, void *buf, size_t n, struct err *err)
{
	struct server *s = arg;
	size_t skip;
	if (offset >= s->sending)
		return err_set(err, ERR_INVALID, "lane: beyond the end");
	if (n >= DIRECT_BYTES) {
		n = (size_t)MIN((uint64_t)MIN(n, (size_t)LANE_MAX_WANT), s->sending - offset);
		return lane_want(&s->lane, offset, buf, n, err) < 0 ? -1 : (ssize_t)n;
	}
	if (offset < s->window_at || offset >= s->window_at + s->window_n) {
		s->window_n = 0;
		s->window_at = offset;
		if (lane_want(&s->lane, offset, s->window, (size_t)MIN(s->sending - offset, (uint64_t)LANE_MAX_WANT), err) < 0)
			return -1;
		s->window_n = MIN(s->sending - offset, (uint64_t)LANE_MAX_WANT);
	}
	skip = (size_t)(offset - s->window_at);
	n = MIN(n, (size_t)s->window_n - skip);
	memcpy(buf, s->window + skip, n);
	return (ssize_t)n;
}

/* A question that sends: its size and digest, when this process may send at all. */
static int begin_sending(struct server *s, const json_t *question, const char **ret_digest, struct err *err)
{
	int64_t size = json_get_int(question, "size", -1);
	*ret_digest = json_get_str(question, "digest", "");
	if (!own(s)->push || size < 0 || !is_reference(*ret_digest) || !strchr(*ret_digest, ':'))
		return err_set(err, ERR_INVALID, "lane: not to be sent");
	s->sending = (uint64_t)size;
	s->window_n = 0;
	if (!s->window)
		s->window = xcalloc(1, LANE_MAX_WANT);
	return 0;
}

static int end_sending(struct server *s, enum registry_put put, struct err *err)
{
	static const char *const states[] = { "sent", "exists", "mounted" };
	json_t *end = json_object();
	json_put_str(end, "state", states[put]);
	return lane_end(&s->lane, end, err);
}

static int serve_send_blob(struct server *s, const json_t *question, struct err *err)
{
	AUTO_STRV struct strv from = {0};
	const char *digest;
	enum registry_put put;
	json_get_strv(question, "from", &from);
	if (begin_sending(s, question, &digest, err) < 0 ||
	    registry_put_blob(own(s), own_http(s), digest, s->sending, from.v, from_lane, s, &put, err) < 0)
		return -1;
	return end_sending(s, put, err);
}

static bool is_media_type(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/.+-_");
	return n > 0 && n < 128 && !s[n];
}

static int serve_send_manifest(struct server *s, const json_t *question, struct err *err)
{
	const char *digest, *ref = json_get_str(question, "ref", ""), *type = json_get_str(question, "type", "");
	AUTO_STR struct str text = {0};
	enum registry_put put;
	if (begin_sending(s, question, &digest, err) < 0)
		return -1;
	if (!is_reference(ref) || !is_media_type(type) || s->sending == 0 || s->sending > MAX_MANIFEST_BYTES)
		return err_set(err, ERR_INVALID, "lane: not a manifest");
	while (text.len < s->sending) {
		ssize_t n = from_lane(s, text.len, str_reserve(&text, 65536), 65536, err);
		if (n <= 0)
			return -1;
		text.len += (size_t)n;
	}
	if (registry_put_manifest(own(s), own_http(s), ref, type, digest, str_get(&text), text.len, &put, err) < 0)
		return -1;
	return end_sending(s, put, err);
}

static const struct {
	const char *op;
	int (*serve)(struct server *s, const json_t *question, struct err *err);
} operations[] = {
	{ "manifest", serve_manifest },
	{ "blob", serve_blob },
	{ "check", serve_check },
	{ "send_blob", serve_send_blob },
	{ "send_manifest", serve_send_manifest },
};

static int serve_one(struct server *s, const json_t *question, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (strcmp(json_get_str(question, "op", ""), operations[i].op) == 0)
			return operations[i].serve(s, question, err);
	return err_set(err, ERR_INVALID, "lane: unknown question");
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	for (size_t i = 0; i < s->places->n; i++)
		s->http[i] = http_new(&s->places->v[i].http);
	for (;;) {
		AUTO_JSON json_t *question = NULL;
		struct err err = {0}, ignored;
		if (lane_next(&s->lane, &question, &err) != 0)
			break;
		if (serve_one(s, question, &err) < 0 && lane_fail(&s->lane, &err, &ignored) < 0)
			break;
	}
	for (size_t i = 0; i < s->places->n; i++)
		http_free(s->http[i]);
	free(s->window);
	return NULL;
}

static int set_up(int conf_fd, struct places *places, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *conf = NULL;
	json_t *one;
	size_t i;
	if (fs_read_fd(conf_fd, MAX_CONF_BYTES, &text, err) < 0)
		return -1;
	conf = json_loadb(str_get(&text), text.len, 0, NULL);
	explicit_bzero(text.p, text.len);
	json_array_foreach(json_object_get(conf, "endpoints"), i, one)
		if (places->n < MAX_ENDPOINTS && registry_open(one, &places->v[places->n++], err) < 0)
			return -1;
	if (places->n == 0)
		return err_set(err, ERR_INVALID, "the registry's description is not understood");
	if (http_prepare(err) < 0)
		return -1;
	close(conf_fd);
	return confine_enter_net(err);
}

int fetch_serve(int conf_fd, const int *lane_fds, size_t n, struct err *err)
{
	struct server servers[LANE_MAX_LANES] = {0};
	struct places places = {0};
	int rc = set_up(conf_fd, &places, err);
	assert(n <= LANE_MAX_LANES);
	for (size_t i = 0; i < n; i++) {
		servers[i].places = &places;
		lane_init(&servers[i].lane, lane_fds[i]);
		if (rc < 0) {
			struct err ignored;
			lane_fail(&servers[i].lane, err, &ignored);
			continue;
		}
		servers[i].started = pthread_create(&servers[i].thread, NULL, server_main, &servers[i]) == 0;
	}
	for (size_t i = 0; i < n; i++)
		if (servers[i].started)
			pthread_join(servers[i].thread, NULL);
	return rc;
}
