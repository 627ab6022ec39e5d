/* SPDX-License-Identifier: Apache-2.0 */
/* One thread and one libcurl handle for each lane. What a question may hold is checked as if a stranger asked, since the asker
 * unpacks what strangers wrote: with it, nothing but this repository's manifests and blobs can be had. */
#include "images/fetch.h"

#include <ctype.h>

#include "base/fs.h"
#include "images/confine.h"
#include "images/registry.h"

enum { MAX_CONF_BYTES = 1 << 20 };

struct server {
	struct registry *registry;
	struct lane lane;
	pthread_t thread;
	bool started;
};

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

static int serve_manifest(struct server *s, struct http *h, const json_t *question, struct err *err)
{
	const char *ref = json_get_str(question, "ref", "");
	struct http_reply a = {0};
	json_t *end;
	int rc;
	if (!is_reference(ref))
		return err_set(err, ERR_INVALID, "lane: not a reference");
	rc = registry_get_manifest(s->registry, h, ref, &a, err);
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

static int serve_blob(struct server *s, struct http *h, const json_t *question, struct err *err)
{
	const char *digest = json_get_str(question, "digest", "");
	int64_t size = json_get_int(question, "size", -1);
	if (!is_reference(digest) || !strchr(digest, ':') || size < 0)
		return err_set(err, ERR_INVALID, "lane: not a blob");
	if (registry_get_blob(s->registry, h, digest, (uint64_t)size, to_lane, &s->lane, err) < 0)
		return -1;
	return lane_end(&s->lane, NULL, err);
}

static int serve_check(struct server *s, struct http *h, const json_t *question, struct err *err)
{
	(void)question;
	return registry_check(s->registry, h, err) < 0 ? -1 : lane_end(&s->lane, NULL, err);
}

static const struct {
	const char *op;
	int (*serve)(struct server *s, struct http *h, const json_t *question, struct err *err);
} operations[] = {
	{ "manifest", serve_manifest },
	{ "blob", serve_blob },
	{ "check", serve_check },
};

static int serve_one(struct server *s, struct http *h, const json_t *question, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (strcmp(json_get_str(question, "op", ""), operations[i].op) == 0)
			return operations[i].serve(s, h, question, err);
	return err_set(err, ERR_INVALID, "lane: unknown question");
}

static void *server_main(void *arg)
{
	struct server *s = arg;
	struct http *h = http_new(&s->registry->http);
	for (;;) {
		AUTO_JSON json_t *question = NULL;
		struct err err = {0}, ignored;
		if (lane_next(&s->lane, &question, &err) != 0)
			break;
		if (serve_one(s, h, question, &err) < 0 && lane_fail(&s->lane, &err, &ignored) < 0)
			break;
	}
	http_free(h);
	return NULL;
}

static int set_up(int conf_fd, struct registry *r, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *conf = NULL;
	if (fs_read_fd(conf_fd, MAX_CONF_BYTES, &text, err) < 0)
		return -1;
	conf = json_loadb(str_get(&text), text.len, 0, NULL);
	if (!conf)
		return err_set(err, ERR_INVALID, "the registry's description is not understood");
	if (registry_open(conf, r, err) < 0 || http_prepare(err) < 0)
		return -1;
	close(conf_fd);
	return confine_enter_net(err);
}

int fetch_serve(int conf_fd, const int *lane_fds, size_t n, struct err *err)
{
	struct server servers[LANE_MAX_LANES] = {0};
	struct registry r = {0};
	int rc = set_up(conf_fd, &r, err);
	assert(n <= LANE_MAX_LANES);
	for (size_t i = 0; i < n; i++) {
		servers[i].registry = &r;
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
