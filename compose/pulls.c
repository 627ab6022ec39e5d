/* SPDX-License-Identifier: Apache-2.0 */
/* pull, image pull, and what up, create and run pull on their way. An image that several services share is pulled once. Layers are
 * shown on a terminal, with bytes; elsewhere only what begins and ends, so that a log stays readable. */
#include "compose/pulls.h"

#include <stdio.h>

#include "base/clock.h"
#include "compose/image_client.h"
#include "compose/registries.h"
#include "compose/table.h"
#include "spec/imageref.h"

enum { PARALLEL = 3 };

struct screen {
	struct app *app;
	struct progress *progress;
};

static const char *familiar(struct app *app, const char *name)
{
	struct imageref ref;
	return imageref_parse(name, app->arena, &ref, NULL) == 0 ? imageref_familiar(&ref, app->arena) : name;
}

void pulls_add(struct app *app, struct pulls *list, const char *ref, const char *platform, const char *who)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i].ref, ref) == 0 && str_eq(list->v[i].platform, platform))
			return;
	list->v = vec_grow(list->v, list->n, &list->cap, sizeof(*list->v));
	list->v[list->n++] = (struct image_pull){
		.ref = arena_strdup(app->arena, ref), .platform = platform ? arena_strdup(app->arena, platform) : NULL,
		.user = who ? arena_strdup(app->arena, who) : NULL,
	};
}

static void show_layer(struct screen *s, const struct image_event *ev, uint64_t now)
{
	char done[24], total[24], text[64] = "";
	bool pulling = strcmp(ev->state, "pulling") == 0;
	if (s->app->progress != PROGRESS_TTY && s->app->progress != PROGRESS_JSON)
		return;
	if (pulling)
		snprintf(text, sizeof(text), "%s/%s", table_human_bytes(ev->done_bytes, done), table_human_bytes(ev->total_bytes, total));
	progress_event(s->progress, "layer", ev->layer, pulling ? "Pulling" : strcmp(ev->state, "exists") == 0 ? "Already exists" : "Pulled",
		text, now);
}

static void show(void *arg, const struct image_event *ev)
{
	struct screen *s = arg;
	const uint64_t now = clock_mono_ns();
	const char *name = familiar(s->app, ev->pull->ref);
	if (ev->kind == IMAGE_STARTED)
		progress_event(s->progress, "image", name, "Pulling", "", now);
	else if (ev->kind == IMAGE_ENDED)
		progress_event(s->progress, "image", name, ev->pull->rc < 0 ? "Error" : "Pulled",
			ev->pull->rc == 0 && !ev->pull->is_new ? "(up to date)" : "", now);
	else if (ev->kind == IMAGE_LAYER)
		show_layer(s, ev, now);
	else if (ev->kind == IMAGE_WARNING)
		progress_note(s->progress, ev->text, now);
	progress_tick(s->progress, now);
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

/* Finds out about all registries. 0, or -1 + err (a file of credentials that is damaged, a name that is none). */
static int describe_all(struct app *app, struct pulls *list, struct err *err)
{
	for (size_t i = 0; i < list->n; i++) {
		AUTO_FREE char *warning = NULL;
		struct image_pull *p = &list->v[i];
		if (registry_describe(p->ref, false, NULL, &p->registry, &warning, err) < 0)
			return -1;
		if (warning)
			cmd_warn(app, "%s", warning);
	}
	return 0;
}

/* The work; results are in the list. Returns the number of failures, -1 after a message. */
static int pull_all(struct app *app, struct pulls *list, bool quiet)
{
	struct screen s = { .app = app };
	struct err err;
	int failed = list->n ? describe_all(app, list, &err) : 0;
	if (failed == 0 && list->n) {
		s.progress = progress_new(quiet ? PROGRESS_QUIET : app->progress, 2, app->colour_err, false);
		failed = image_client_pull(app->paths.root_fd, list->v, list->n, PARALLEL, show, &s, &err);
		progress_free(s.progress);
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
	int failed = pull_all(app, list, quiet);
	for (size_t i = 0; failed > 0 && i < list->n; i++)
		if (list->v[i].rc < 0)
			print_failure(app, &list->v[i], ignore_failures);
	free(list->v);
	*list = (struct pulls){0};
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

int pulls_for_services(struct app *app, struct project *p, const struct strv *names, const char *policy, bool quiet)
{
	struct pulls list = {0};
	int failed;
	for (size_t i = 0; i < names->n; i++) {
		const json_t *service = load_service(&p->load, names->v[i]);
		const char *ref = json_get_str(service, "image", NULL), *own = json_get_str(service, "pull_policy", "missing");
		const char *use = policy ? policy : own;
		if (!ref || strcmp(use, "never") == 0 || json_object_get(service, "build"))
			continue;
		if (strcmp(use, "always") == 0 || !pulls_have(app, ref))
			pulls_add(app, &list, ref, json_get_str(service, "platform", NULL), NULL);
	}
	if (list.n && app->paths.root_fd < 0) {
		paths_done(&app->paths);
		if (cmd_paths(app, true))
			return free(list.v), 1;
	}
	failed = pull_all(app, &list, quiet);
	p->pulls = list.v;
	p->n_pulls = list.n;
	return failed < 0;
}
