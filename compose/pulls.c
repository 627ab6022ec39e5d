/* SPDX-License-Identifier: Apache-2.0 */
/* pull, push, and what up, create and run pull on their way. An image that several services share is pulled once. */
#include "compose/pulls.h"

#include <stdio.h>

#include "base/clock.h"
#include "compose/image_client.h"
#include "compose/pull_screen.h"
#include "compose/registries.h"
#include "spec/duration.h"
#include "spec/imageref.h"

enum { PARALLEL = 3, MAX_SOURCES = 8 };

static const char *familiar(struct app *app, const char *name)
{
	struct imageref ref;
	return imageref_parse(name, app->arena, &ref, NULL) == 0 ? imageref_familiar(&ref, app->arena) : name;
}

static void add(struct app *app, struct pulls *list, const struct image_pull *p)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i].ref, p->ref) == 0 && str_eq(list->v[i].platform, p->platform))
			return;
	list->v = vec_grow(list->v, list->n, &list->cap, sizeof(*list->v));
	list->v[list->n++] = (struct image_pull){
		.ref = arena_strdup(app->arena, p->ref), .platform = p->platform ? arena_strdup(app->arena, p->platform) : NULL,
		.push = p->push, .user = p->user ? arena_strdup(app->arena, p->user) : NULL,
	};
}

void pulls_add(struct app *app, struct pulls *list, const char *ref, const char *platform, const char *who)
{
	add(app, list, &(struct image_pull){ .ref = ref, .platform = platform, .user = (void *)(uintptr_t)who });
}

void pulls_add_push(struct app *app, struct pulls *list, const char *ref, const char *codec, const char *who)
{
	add(app, list, &(struct image_pull){ .ref = ref, .push = codec, .user = (void *)(uintptr_t)who });
}

static void print_failure(struct app *app, struct image_pull *p, bool ignore)
{
	const char *who = p->user;
	err_wrap(&p->err, "image \"%s\"", familiar(app, p->ref));
	if (who)
		err_wrap(&p->err, "%s", who);
	if (ignore)
		cmd_warn(app, "%s", p->err.msg);
	else
		cmd_fail(app, &p->err);
}

/* Other repositories of the registry that images with a layer of this one came from or went to: blobs may be mounted from there. */
static void find_sources(struct app *app, const char *name, struct strv *ret)
{
	AUTO_STORE struct store *store = NULL;
	AUTO_IMAGE struct image img = {0};
	struct image *all = NULL;
	struct imageref ref;
	size_t n = 0;
	if (imageref_parse(name, app->arena, &ref, NULL) < 0 || store_open(app->paths.root_fd, &store, NULL) < 0 ||
	    store_lookup(store, name, &img, NULL) < 0 || store_list(store, &all, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		bool related = false;
		for (size_t k = 0; k < all[i].diff_ids.n && !related; k++)
			related = strv_has(&img.diff_ids, all[i].diff_ids.v[k]);
		for (size_t k = 0; related && k < all[i].digests.n && ret->n < MAX_SOURCES; k++) {
			struct imageref other;
			if (imageref_parse(all[i].digests.v[k], app->arena, &other, NULL) == 0 && strcmp(other.registry, ref.registry) == 0 &&
			    strcmp(other.repository, ref.repository) != 0 && !strv_has(ret, other.repository))
				strv_push(ret, other.repository);
		}
	}
	store_list_free(all, n);
}

/* Finds out about all registries. An image whose credential helper fails has failed: going without credentials would at best end in a message about
 * something else. 0, or -1 + err (a file of credentials that is damaged, a name that is none). */
static int describe_all(struct app *app, struct pulls *list, struct registries *known, struct err *err)
{
	for (size_t i = 0; i < list->n; i++) {
		AUTO_FREE char *warning = NULL;
		AUTO_STRV struct strv sources = {0};
		struct image_pull *p = &list->v[i];
		int rc;
		if (p->push)
			find_sources(app, p->ref, &sources);
		rc = registry_describe(known, p->ref, p->push, &sources, &p->registry, &warning, &p->err);
		if (rc < 0) {
			*err = p->err;
			return -1;
		}
		p->rc = rc ? -1 : 0;
		if (warning)
			cmd_warn(app, "%s", warning);
	}
	return 0;
}

/* The work; results are in the list. Returns the number of failures, -1 after a message. */
static int pull_all(struct app *app, struct pulls *list, bool quiet, bool ignore_failures)
{
	struct registries known = {0};
	struct pull_screen s;
	struct err err;
	int failed = list->n ? describe_all(app, list, &known, &err) : 0;
	registries_done(&known);
	if (failed == 0 && list->n) {
		pull_screen_init(&s, app->arena, quiet ? PROGRESS_QUIET : app->progress, app->colour_err);
		s.ignore_failures = ignore_failures;
		failed = image_client_pull(app->paths.root_fd, list->v, list->n, app->parallel ? app->parallel : PARALLEL, pull_screen_event, &s, &err);
		pull_screen_done(&s);
	}
	for (size_t i = 0; i < list->n; i++) {
		json_decref(list->v[i].registry);
		list->v[i].registry = NULL;
	}
	if (failed < 0)
		cmd_fail(app, &err);
	return failed;
}

int pulls_run(struct app *app, struct pulls *list, bool quiet, bool ignore_failures)
{
	int failed = pulls_work(app, list, quiet, ignore_failures);
	pulls_done(list);
	return failed;
}

void pulls_done(struct pulls *list)
{
	free(list->v);
	*list = (struct pulls){0};
}

int pulls_work(struct app *app, struct pulls *list, bool quiet, bool ignore_failures)
{
	int failed = pull_all(app, list, quiet, ignore_failures);
	for (size_t i = 0; failed > 0 && i < list->n; i++)
		if (list->v[i].rc < 0)
			print_failure(app, &list->v[i], ignore_failures);
	return failed < 0 ? 1 : failed;
}

bool pulls_have(struct app *app, const char *ref)
{
	AUTO_STORE struct store *store = NULL;
	AUTO_IMAGE struct image img = {0};
	struct err err;
	if (app->paths.root_fd < 0)
		return false;
	if (store_open(app->paths.root_fd, &store, &err) < 0)
		return true; /* whoever needs the store says so */
	return store_lookup(store, ref, &img, &err) == 0 || err.code != ERR_NOT_FOUND;
}

/* True when the image is here and was pulled less than max_age_ns ago. */
static bool is_fresh(struct app *app, const char *ref, uint64_t max_age_ns)
{
	AUTO_STORE struct store *store = NULL;
	uint64_t pulled = 0, now = clock_real_ns();
	if (app->paths.root_fd < 0 || !pulls_have(app, ref) || store_open(app->paths.root_fd, &store, NULL) < 0 ||
	    store_pull_time(store, ref, &pulled, NULL) != 0)
		return false;
	return pulled <= now && now - pulled < max_age_ns; /* a clock that went back does not keep an old image for ever */
}

/* How old an image may get by this policy, in nanoseconds. 0; 1 when age does not matter to it (a refresh that no pull_refresh_after bounds is
 * "missing", as in docker compose); -1 when its duration is none. */
static int max_age(const json_t *service, const char *policy, uint64_t *ret_ns)
{
	const char *text = strcmp(policy, "daily") == 0 ? "24h" : strcmp(policy, "weekly") == 0 ? "168h" :
		str_starts(policy, "every_") ? policy + strlen("every_") :
		strcmp(policy, "refresh") == 0 ? json_get_str(service, "pull_refresh_after", NULL) : NULL;
	const char *why;
	int64_t ns;
	if (!text)
		return 1;
	if (!duration_parse(text, &ns, &why) || ns < 0)
		return -1;
	*ret_ns = (uint64_t)ns;
	return 0;
}

/* 1: pull it; 0: do not; -1 after a message. */
static int is_due(struct app *app, const char *name, const json_t *service, const char *policy)
{
	const char *ref = json_get_str(service, "image", NULL);
	uint64_t age = 0;
	int rc;
	if (!ref || strcmp(policy, "never") == 0 || strcmp(policy, "build") == 0)
		return 0;
	if (strcmp(policy, "always") == 0)
		return 1;
	rc = max_age(service, policy, &age);
	if (rc < 0)
		return cmd_failf(app, "service %s: pull_policy %s: not a duration", name, policy), -1;
	return rc == 0 ? !is_fresh(app, ref, age) : !pulls_have(app, ref);
}

int pulls_for_services(struct app *app, struct project *p, const struct strv *names, const char *policy, bool quiet)
{
	struct pulls list = {0};
	int failed;
	for (size_t i = 0; i < names->n; i++) {
		const json_t *service = load_service(&p->load, names->v[i]);
		const char *own = json_get_str(service, "pull_policy", json_object_get(service, "build") ? "build" : "missing");
		int due = is_due(app, names->v[i], service, policy ? policy : own);
		if (due < 0)
			return free(list.v), 1;
		if (due)
			pulls_add(app, &list, json_get_str(service, "image", ""), json_get_str(service, "platform", NULL), NULL);
	}
	if (list.n && app->paths.root_fd < 0) {
		paths_done(&app->paths);
		if (cmd_paths(app, true))
			return free(list.v), 1;
	}
	failed = pull_all(app, &list, quiet, false);
	for (size_t i = 0; i < names->n; i++) { /* what cannot be pulled is built */
		const json_t *service = load_service(&p->load, names->v[i]);
		for (size_t k = 0; json_object_get(service, "build") && k < list.n; k++)
			if (str_eq(list.v[k].ref, json_get_str(service, "image", NULL)))
				list.v[k].rc = 0;
	}
	p->pulls = list.v;
	p->n_pulls = list.n;
	return failed < 0;
}
