/* SPDX-License-Identifier: Apache-2.0 */
/* pull and push, of services and of images by name. */
#include <stdio.h>

#include "base/clock.h"
#include "compose/image_client.h"
#include "compose/pulls.h"
#include "spec/imageref.h"

int cmd_image_pull(struct app *app)
{
	const struct cli_args *a = app->args;
	struct pulls list = {0};
	const char *platform = cli_str(a, "platform");
	if (cmd_paths(app, true))
		return 1;
	for (size_t i = 0; i < a->args.n; i++)
		pulls_add(app, &list, a->args.v[i], *platform ? platform : NULL, NULL);
	for (size_t i = 0; app->dry_run && i < list.n; i++)
		cmd_dry_run(app, "Image", list.v[i].ref, "Pulling");
	if (app->dry_run)
		return pulls_done(&list), 0;
	return pulls_run(app, &list, cli_bool(a, "quiet"), false) ? 1 : 0;
}

/* A tag that is expected to move: an image that is here is asked for all the same when the user says `pull`. */
static bool is_latest(struct app *app, const char *name)
{
	struct imageref ref;
	return imageref_parse(name, app->arena, &ref, NULL) == 0 && (ref.tag ? strcmp(ref.tag, "latest") == 0 : !ref.digest);
}

/* Only what is not here is pulled by this service's policy; one with an age is due whenever the user says `pull`. */
static bool is_missing_only(const json_t *service, const char *policy)
{
	if (strcmp(policy, "refresh") == 0)
		return !json_get_str(service, "pull_refresh_after", NULL);
	return strcmp(policy, "missing") == 0 || strcmp(policy, "if_not_present") == 0;
}

/* Why `pull` leaves a service alone; NULL: it does not. */
static const char *skip_reason(struct app *app, const json_t *service)
{
	const char *ref = json_get_str(service, "image", NULL), *own = json_get_str(service, "pull_policy", "");
	const char *policy = cli_str(app->args, "policy");
	if (!ref)
		return "No image to be pulled";
	if (!*policy && (strcmp(own, "never") == 0 || strcmp(own, "build") == 0))
		return "";
	if (is_missing_only(service, *policy ? policy : own) && !is_latest(app, ref) && pulls_have(app, ref))
		return "Image is already present locally";
	return json_object_get(service, "build") && cli_bool(app->args, "ignore-buildable") ? "Image can be built" : NULL;
}

int cmd_pull(struct app *app)
{
	const struct cli_args *a = app->args;
	AUTO_STRV struct strv names = {0};
	bool ignore = cli_bool(a, "ignore-pull-failures"), quiet = cli_bool(a, "quiet");
	struct pulls list = {0};
	struct progress *screen;
	struct project p;
	int failed = 0;
	if (cmd_paths(app, !app->dry_run) || project_load(app, &a->args, 0, &p))
		return 1;
	project_requested(&p, cli_bool(app->args, "include-deps"), &names);
	screen = progress_new(quiet ? PROGRESS_QUIET : app->progress, 2, app->colour_err, app->dry_run);
	for (size_t i = 0; i < names.n; i++) {
		const json_t *service = load_service(&p.load, names.v[i]);
		const char *ref = json_get_str(service, "image", NULL), *reason = skip_reason(app, service);
		AUTO_FREE char *who = xasprintf("service %s", names.v[i]);
		if (reason)
			progress_event(screen, ref ? "image" : "service", ref ? ref : names.v[i], "Skipped", reason, clock_mono_ns());
		else
			pulls_add(app, &list, ref, json_get_str(service, "platform", NULL), who);
	}
	for (size_t i = 0; app->dry_run && i < list.n; i++)
		progress_event(screen, "image", list.v[i].ref, "Pulling", "", clock_mono_ns());
	progress_free(screen);
	if (!app->dry_run)
		failed = pulls_run(app, &list, quiet, ignore);
	pulls_done(&list);
	project_done(&p);
	return failed && !ignore;
}

/* ---- push ---- */

/* All tags of the repository that `name` (without a tag) names. 0; 1 after a message. */
static int add_all_tags(struct app *app, const char *name, const char *codec, struct pulls *list)
{
	AUTO_STORE struct store *store = NULL;
	struct image *images = NULL;
	struct imageref want, ref;
	struct err err;
	size_t n = 0;
	if (imageref_parse(name, app->arena, &want, &err) < 0 || store_open(app->paths.root_fd, &store, &err) < 0 ||
	    store_list(store, &images, &n, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < images[i].refs.n; k++)
			if (imageref_parse(images[i].refs.v[k], app->arena, &ref, NULL) == 0 && strcmp(ref.registry, want.registry) == 0 &&
			    strcmp(ref.repository, want.repository) == 0)
				pulls_add_push(app, list, images[i].refs.v[k], codec, NULL);
	store_list_free(images, n);
	if (want.tag || want.digest)
		return cmd_failf(app, "push: --all-tags wants a name without a tag");
	return list->n ? 0 : cmd_failf(app, "push: there is no image \"%s\"", name);
}

/* What docker push prints last: the tag and what it now means. */
static void print_pushed(struct app *app, const struct image_pull *p, bool quiet)
{
	struct imageref ref;
	if (p->rc < 0 || imageref_parse(p->ref, app->arena, &ref, NULL) < 0)
		return;
	if (quiet)
		printf("%s\n", imageref_full(&ref, app->arena));
	else
		printf("%s: digest: %s size: %llu\n", ref.tag ? ref.tag : "latest", p->digest, (unsigned long long)p->manifest_bytes);
}

int cmd_image_push(struct app *app)
{
	const struct cli_args *a = app->args;
	const char *codec = cli_str(a, "compression"), *name = a->args.v[0];
	bool quiet = cli_bool(a, "quiet");
	struct pulls list = {0};
	int failed = 0;
	if (cmd_paths(app, true))
		return 1;
	if (!cli_bool(a, "all-tags"))
		pulls_add_push(app, &list, name, codec, NULL);
	else if (add_all_tags(app, name, codec, &list))
		return pulls_done(&list), 1;
	for (size_t i = 0; app->dry_run && i < list.n; i++)
		cmd_dry_run(app, "Image", list.v[i].ref, "Pushed");
	if (!app->dry_run)
		failed = pulls_work(app, &list, quiet, false);
	for (size_t i = 0; i < list.n && !app->dry_run; i++)
		print_pushed(app, &list.v[i], quiet);
	pulls_done(&list);
	return fflush(stdout) || failed ? 1 : 0;
}

/* The image of one service, when it is one that is built here, and its further tags. */
static void add_service(struct app *app, struct progress *screen, const char *name, const json_t *service, struct pulls *list)
{
	AUTO_FREE char *who = xasprintf("service %s", name);
	AUTO_STRV struct strv tags = {0};
	const char *ref = json_get_str(service, "image", NULL);
	if (!json_object_get(service, "build") || !ref) {
		progress_event(screen, "service", name, "Skipped", "", clock_mono_ns());
		return;
	}
	json_get_strv(json_object_get(service, "build"), "tags", &tags);
	pulls_add_push(app, list, ref, "gzip", who);
	for (size_t i = 0; i < tags.n; i++)
		pulls_add_push(app, list, tags.v[i], "gzip", who);
}

int cmd_push(struct app *app)
{
	const struct cli_args *a = app->args;
	AUTO_STRV struct strv names = {0};
	bool ignore = cli_bool(a, "ignore-push-failures");
	bool quiet = cli_bool(a, "quiet");
	struct pulls list = {0};
	struct progress *screen;
	struct project p;
	int failed = 0;
	if (cmd_paths(app, !app->dry_run) || project_load(app, &a->args, 0, &p))
		return 1;
	project_requested(&p, cli_bool(app->args, "include-deps"), &names);
	screen = progress_new(quiet ? PROGRESS_QUIET : app->progress, 2, app->colour_err, app->dry_run);
	for (size_t i = 0; i < names.n; i++)
		add_service(app, screen, names.v[i], load_service(&p.load, names.v[i]), &list);
	for (size_t i = 0; app->dry_run && i < list.n; i++)
		progress_event(screen, app->progress == PROGRESS_JSON ? "service" : "image", list.v[i].ref, "Pushed", "", clock_mono_ns());
	progress_free(screen);
	if (!app->dry_run)
		failed = pulls_work(app, &list, quiet, ignore);
	pulls_done(&list);
	project_done(&p);
	return failed && !ignore;
}
