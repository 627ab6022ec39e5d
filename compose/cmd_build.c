/* SPDX-License-Identifier: Apache-2.0 */
/* build: the images of services. --print shows what would be built as a file for docker's bake, as docker compose does. */
#include <stdio.h>

#include "compose/build_request.h"
#include "compose/builds.h"
#include "compose/pulls.h"

/* Options that only make sense with another builder. */
static int refuse(struct app *app)
{
	static const char *const attestations[] = { "provenance", "sbom" };
	const char *builder = cli_str(app->args, "builder");
	if (*builder && strcmp(builder, "default") != 0)
		return cmd_failf(app, "build --builder: there is one builder, muster's own; leave the option out");
	for (size_t i = 0; i < ARRAY_SIZE(attestations); i++) {
		const char *v = cli_str(app->args, attestations[i]);
		if (*v && strcmp(v, "false") != 0)
			return cmd_failf(app, "build --%s: attestations are not supported", attestations[i]);
	}
	return 0;
}

/* One target of a bake file. */
static json_t *bake_target(struct app *app, struct project *p, const char *name)
{
	static const char *const same[] = { "context", "dockerfile", "labels", "target", "platforms", "ssh", "entitlements" };
	static const char *const renamed[][2] = { { "additional_contexts", "contexts" }, { "cache_from", "cache-from" }, { "cache_to", "cache-to" },
		{ "dockerfile_inline", "dockerfile-inline" }, { "no_cache_filter", "no-cache-filter" }, { "no_cache", "no-cache" }, { "pull", "pull" },
		{ "network", "networks" }, { "shm_size", "shm-size" } };
	const json_t *build = json_object_get(load_service(&p->load, name), "build");
	json_t *t = json_object(), *args = json_object_get(build, "args"), *tags = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		if (json_object_get(build, same[i]))
			json_object_set(t, same[i], json_object_get(build, same[i]));
	for (size_t i = 0; i < ARRAY_SIZE(renamed); i++)
		if (json_object_get(build, renamed[i][0]))
			json_object_set(t, renamed[i][1], json_object_get(build, renamed[i][0]));
	args = args ? json_copy(args) : json_object();
	for (size_t i = 0; i < cli_list(app->args, "build-arg")->n; i++) {
		const char *arg = cli_list(app->args, "build-arg")->v[i], *eq = strchr(arg, '=');
		AUTO_FREE char *key = xstrndup(arg, eq ? (size_t)(eq - arg) : strlen(arg));
		const char *value = eq ? eq + 1 : getenv(arg);
		if (value)
			json_object_set_new(args, key, json_text(value));
	}
	json_object_set_new(t, "args", args);
	json_array_append_new(tags, json_text(project_image(app, p, name)));
	json_array_extend(tags, json_object_get(build, "tags"));
	json_object_set_new(t, "tags", tags);
	if (cli_bool(app->args, "no-cache"))
		json_object_set_new(t, "no-cache", json_true());
	if (cli_bool(app->args, "pull"))
		json_object_set_new(t, "pull", json_true());
	json_object_set_new(t, "output", json_pack("[s]", cli_bool(app->args, "push") ? "type=image,push=true" : "type=docker"));
	return t;
}

static int print_bake(struct app *app, struct project *p, const struct strv *names)
{
	AUTO_STRV struct strv order = {0};
	AUTO_STR struct str out = {0};
	AUTO_JSON json_t *targets = json_object(), *list = json_array(), *file = NULL;
	AUTO_FREE char *text = NULL;
	if (builds_select(app, p, names, &order))
		return 1;
	for (size_t i = 0; i < order.n; i++) {
		json_object_set_new(targets, order.v[i], bake_target(app, p, order.v[i]));
		json_array_append_new(list, json_text(order.v[i]));
	}
	file = json_pack("{s:{s:{s:O}},s:O}", "group", "default", "targets", list, "target", targets);
	text = json_dumps(file, JSON_INDENT(2));
	str_addf(&out, "%s\n", text ? text : "{}");
	return cmd_print(app, &out);
}

static int push_all(struct app *app, struct project *p, const struct strv *names)
{
	struct pulls list = {0};
	for (size_t i = 0; i < names->n; i++)
		if (json_get_str(load_service(&p->load, names->v[i]), "image", NULL) && json_object_get(load_service(&p->load, names->v[i]), "build"))
			pulls_add_push(app, &list, json_get_str(load_service(&p->load, names->v[i]), "image", NULL), "gzip", NULL);
	return pulls_run(app, &list, cli_bool(app->args, "quiet"), false) ? 1 : 0;
}

int cmd_build(struct app *app)
{
	AUTO_STRV struct strv names = {0};
	struct project p;
	unsigned flags = (cli_bool(app->args, "quiet") ? BUILDS_QUIET : 0) | (cli_bool(app->args, "check") ? BUILDS_CHECK : 0);
	int rc;
	if (refuse(app) || cmd_paths(app, false) || project_load(app, &app->args->args, 0, &p))
		return 1;
	project_requested(&p, cli_bool(app->args, "with-dependencies"), &names);
	rc = cli_bool(app->args, "print") ? print_bake(app, &p, &names) : builds_run(app, &p, &names, flags);
	if (rc == 0 && cli_bool(app->args, "push") && !cli_bool(app->args, "print") && !app->dry_run && !(flags & BUILDS_CHECK))
		rc = push_all(app, &p, &names);
	project_done(&p);
	return rc;
}
