/* SPDX-License-Identifier: Apache-2.0 */
/* See builds.h. */
#include "compose/builds.h"

#include <stdio.h>

#include "base/clock.h"
#include "compose/build_platforms.h"
#include "compose/build_request.h"
#include "compose/own.h"
#include "compose/pulls.h"

int builds_mode(struct app *app, bool quiet, enum build_progress_mode *ret)
{
	static const char *const names[] = { "tty", "plain", "json", "quiet", "rawjson" };
	static_assert(ARRAY_SIZE(names) == BUILD_PROGRESS_N_, "one name for each mode");
	static const enum build_progress_mode of[] = { BUILD_PROGRESS_TTY, BUILD_PROGRESS_PLAIN, BUILD_PROGRESS_JSON, BUILD_PROGRESS_QUIET };
	const char *given = cli_has(app->args, "progress") && cli_is_set(app->args, "progress") ? cli_str(app->args, "progress") : "auto";
	size_t i = 0;
	*ret = of[app->progress];
	if (quiet) {
		*ret = BUILD_PROGRESS_QUIET;
		return 0;
	}
	if (strcmp(given, "auto") == 0)
		return 0;
	while (i < ARRAY_SIZE(names) && strcmp(names[i], given) != 0)
		i++;
	if (i == ARRAY_SIZE(names))
		return cmd_failf(app, "--progress: \"%.40s\" is none of auto, tty, plain, json, rawjson, quiet", given);
	*ret = (enum build_progress_mode)i;
	return 0;
}

/* Depth first through additional_contexts. The loader has refused unknown services; a circle is refused here. */
static int visit(struct app *app, struct project *p, const char *name, struct strv *path, struct strv *ret)
{
	json_t *contexts = json_object_get(json_object_get(load_service(&p->load, name), "build"), "additional_contexts"), *v;
	const char *key;
	if (strv_has(ret, name))
		return 0;
	if (strv_has(path, name))
		return cmd_failf(app, "services.%s.build.additional_contexts: services that are built from each other", name);
	strv_push(path, name);
	json_object_foreach(contexts, key, v) {
		const char *other = json_is_string(v) ? json_string_value(v) : "";
		if (str_starts(other, "service:") && visit(app, p, other + strlen("service:"), path, ret))
			return 1;
	}
	strv_push(ret, name);
	return 0;
}

int builds_select(struct app *app, struct project *p, const struct strv *names, struct strv *ret)
{
	for (size_t i = 0; i < names->n; i++) {
		AUTO_STRV struct strv path = { 0 };
		if (json_object_get(load_service(&p->load, names->v[i]), "build") && visit(app, p, names->v[i], &path, ret))
			return 1;
	}
	return 0;
}

static void show_built(struct app *app, const struct build_spec *list, size_t n)
{
	struct progress *p = progress_new(app->progress, 2, app->colour_err, false);
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_array_get(json_object_get(list[i].request, "tags"), 0)); /* as it was asked for */
		if (list[i].rc == 0 && list[i].id[0])
			progress_event(p, "image", name ? name : list[i].id, "Built", "", clock_mono_ns());
	}
	progress_free(p);
}

int builds_all(struct app *app, struct build_spec *list, size_t n, enum build_progress_mode mode)
{
	struct build_progress *progress = build_progress_new(mode, 2, app->colour_err);
	size_t failed = build_platforms_run(app, list, n, progress);
	bool findings = false;
	build_progress_free(progress);
	for (size_t i = 0; i < n; i++) {
		if (list[i].rc < 0)
			build_client_report(app, &list[i]);
		findings = findings || list[i].check_failed;
	}
	if (mode != BUILD_PROGRESS_QUIET && mode != BUILD_PROGRESS_RAWJSON)
		show_built(app, list, n);
	return failed || findings;
}

static void specs_done(struct build_spec *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		build_spec_done(&list[i]);
	free(list);
}

int builds_run(struct app *app, struct project *p, const struct strv *names, unsigned flags)
{
	AUTO_STRV struct strv order = { 0 };
	struct build_spec *list;
	enum build_progress_mode mode;
	struct err err;
	size_t n = 0;
	int rc = 0;
	if (builds_select(app, p, names, &order) || builds_mode(app, flags & BUILDS_QUIET, &mode))
		return 1;
	if (!order.n)
		return 0;
	for (size_t i = 0; app->dry_run && i < order.n; i++)
		fprintf(stderr, " DRY-RUN MODE -  Image %s  Built\n", project_image(app, p, order.v[i]));
	if (app->dry_run)
		return 0;
	if (app->paths.root_fd < 0 || !app->paths.held) {
		paths_done(&app->paths);
		if (cmd_paths(app, true))
			return 1;
	}
	list = xcalloc(order.n, sizeof(*list));
	for (; rc == 0 && n < order.n; n++) {
		if (build_request_service(app, p, order.v[n], &list[n], &err) < 0)
			rc = cmd_fail(app, &err);
		if (flags & BUILDS_CHECK)
			json_put_str(list[n].request, "check", "text");
	}
	if (rc == 0)
		rc = builds_all(app, list, n, mode);
	specs_done(list, n);
	return rc;
}

int builds_for_services(struct app *app, struct project *p, const struct strv *names)
{
	const struct cli_args *a = app->args;
	const char *pull = cli_has(a, "pull") && cli_is_set(a, "pull") && strcmp(a->command->name, "build") != 0 ? cli_str(a, "pull") : "";
	bool all = (cli_has(a, "build") && cli_bool(a, "build")) || strcmp(pull, "build") == 0;
	bool quiet = (cli_has(a, "quiet-build") && cli_bool(a, "quiet-build")) || (cli_has(a, "quiet") && cli_bool(a, "quiet"));
	AUTO_STRV struct strv wanted = { 0 };
	if (cli_has(a, "no-build") && cli_bool(a, "no-build"))
		return all ? cmd_failf(app, "--build and --no-build exclude each other") : 0;
	for (size_t i = 0; i < names->n; i++) {
		const json_t *service = load_service(&p->load, names->v[i]);
		if (!json_object_get(service, "build"))
			continue;
		if (all || strcmp(json_get_str(service, "pull_policy", ""), "build") == 0 || !pulls_have(app, project_image(app, p, names->v[i])))
			strv_push(&wanted, names->v[i]);
	}
	return builds_run(app, p, &wanted, quiet ? BUILDS_QUIET : 0);
}
