/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of the spec for each platform, without its tags; they are given at the end, when all of them are there. A copy has descriptors of its own:
 * files are read from where their offset is. */
#include "compose/build_platforms.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/config.h"
#include "images/store.h"
#include "spec/imageref.h"

static size_t n_platforms(const struct build_spec *s)
{
	size_t n = json_array_size(json_object_get(s->request, "platforms"));
	return n > 1 && !json_object_get(s->request, "check") ? n : 1;
}

/* The same file, opened again; -1 + err. */
static int again(int fd, struct err *err)
{
	char path[32];
	int copy;
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	else
		copy = open(fs_fd_path(fd, path), (fcntl(fd, F_GETFL) & O_ACCMODE) | O_CLOEXEC);
	return copy < 0 ? err_sys(err, errno, "open once more") : copy;
}

static int copy_secrets(struct build_secret *to, size_t *to_n, const struct build_secret *from, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		int fd = again(from[i].fd, err);
		if (fd < 0)
			return -1;
		to[(*to_n)++] = (struct build_secret){ .id = xstrdup(from[i].id), .fd = fd, .keys = from[i].keys };
	}
	return 0;
}

static int copy_spec(const struct build_spec *s, const char *platform, struct build_spec *ret, struct err *err)
{
	build_spec_init(ret);
	json_decref(ret->request);
	ret->request = json_deep_copy(s->request);
	json_object_del(ret->request, "platforms");
	json_object_del(ret->request, "tags");
	json_object_set_new(ret->request, "platform", json_text(platform));
	ret->name = xstrdup(s->name);
	ret->platform = xstrdup(platform);
	ret->dockerfile = s->dockerfile ? xstrdup(s->dockerfile) : NULL;
	ret->insecure = s->insecure;
	ret->host_network = s->host_network;
	for (size_t i = 0; i < s->after.n; i++)
		strv_push(&ret->after, s->after.v[i]);
	for (size_t i = 0; i < s->n_fds; i++) {
		int fd = again(s->fds[i], err);
		if (fd < 0)
			return -1;
		ret->fds[ret->n_fds++] = fd;
	}
	if (json_array_size(json_object_get(s->request, "cache_to")) > 0)
		return err_set(err, ERR_UNSUPPORTED, "cache_to: the caches of several platforms cannot be exported at once: build one at a time");
	return copy_secrets(ret->secrets, &ret->n_secrets, s->secrets, s->n_secrets, err) < 0 ||
		       copy_secrets(ret->agents, &ret->n_agents, s->agents, s->n_agents, err) < 0 ? -1 : 0;
}

/* The names mean all of the images from now on. */
static int give_names(const struct app *app, struct build_spec *s, const struct build_spec *all, size_t n, struct err *err)
{
	AUTO_FREE char *host = xasprintf("linux/%s", image_config_host_arch());
	AUTO_STRV struct strv platforms = { 0 }, ids = { 0 };
	AUTO_STORE struct store *store = NULL;
	json_t *tag;
	size_t first = 0, i;
	for (size_t k = 0; k < n; k++) {
		strv_push(&platforms, all[k].platform);
		strv_push(&ids, all[k].id);
		if (strcmp(all[k].platform, host) == 0)
			first = k;
	}
	memcpy(s->id, all[first].id, sizeof(s->id));
	if (store_open(app->paths.root_fd, &store, err) < 0)
		return -1;
	json_array_foreach(json_object_get(s->request, "tags"), i, tag) {
		AUTO_ARENA struct arena *a = arena_new();
		struct imageref ref;
		if (imageref_parse(json_string_value(tag), a, &ref, err) < 0 ||
			store_set_platforms(store, json_string_value(tag), &platforms, &ids, first, err) < 0)
			return -1;
		strv_push(&s->tags, imageref_full(&ref, a));
	}
	return 0;
}

/* One outcome of several. */
static void collect(const struct app *app, struct build_spec *s, struct build_spec *all, size_t n)
{
	s->rc = 0;
	for (size_t i = 0; i < n; i++) {
		s->cancelled = s->cancelled || all[i].cancelled;
		if (all[i].rc == 0 || s->rc < 0)
			continue;
		s->rc = all[i].rc;
		s->told = all[i].told;
		s->err = all[i].err;
		s->failure = all[i].failure;
		all[i].failure = (struct str){ 0 };
		err_wrap(&s->err, "%s", all[i].platform);
	}
	if (s->rc == 0)
		s->rc = give_names(app, s, all, n, &s->err);
}

size_t build_platforms_run(struct app *app, struct build_spec *list, size_t n, struct build_progress *p)
{
	size_t total = 0, at = 0, failed = 0;
	struct build_spec *all;
	struct err err = { 0 };
	int rc = 0;
	for (size_t i = 0; i < n; i++)
		total += n_platforms(&list[i]);
	if (total == n)
		return build_client_run(app, list, n, p);
	all = xcalloc(total, sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		const size_t k = n_platforms(&list[i]);
		const json_t *platforms = json_object_get(list[i].request, "platforms");
		for (size_t m = 0; m < k && rc == 0; m++)
			rc = k == 1 ? (all[at + m] = list[i], 0) : copy_spec(&list[i], json_string_value(json_array_get(platforms, m)), &all[at + m], &err);
		if (rc < 0 && list[i].rc == 1) {
			list[i].rc = -1;
			list[i].err = err;
			failed++;
		}
		at += k;
	}
	if (rc == 0)
		build_client_run(app, all, total, p);
	at = 0;
	for (size_t i = 0; i < n; i++) {
		const size_t k = n_platforms(&list[i]);
		if (k == 1 && rc == 0)
			list[i] = all[at];
		else if (k > 1 && rc == 0)
			collect(app, &list[i], &all[at], k);
		for (size_t m = 0; m < k && k > 1; m++)
			build_spec_done(&all[at + m]);
		failed += rc == 0 && list[i].rc != 0;
		at += k;
	}
	free(all);
	return failed;
}
