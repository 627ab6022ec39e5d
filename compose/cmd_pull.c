/* SPDX-License-Identifier: Apache-2.0 */
/* pull and image pull. */
#include <stdio.h>

#include "compose/image_client.h"
#include "compose/pulls.h"

int cmd_image_pull(struct app *app)
{
	const struct cli_args *a = app->args;
	struct pulls list = {0};
	const char *platform = cli_str(a, "platform");
	if (cmd_paths(app, true))
		return 1;
	for (size_t i = 0; i < a->args.n; i++)
		pulls_add(app, &list, a->args.v[i], *platform ? platform : NULL, NULL);
	return pulls_run(app, &list, cli_bool(a, "quiet"), false) ? 1 : 0;
}

/* The named services and, with --include-deps, what they depend on. */
static void select_services(const struct app *app, const struct project *p, struct strv *ret)
{
	if (p->selected.n == 0) {
		project_services(p, ret);
		return;
	}
	for (size_t i = 0; i < p->selected.n; i++)
		strv_push(ret, p->selected.v[i]);
	for (size_t i = 0; cli_bool(app->args, "include-deps") && i < ret->n; i++) {
		const char *name;
		json_t *value;
		json_object_foreach(json_object_get(load_service(&p->load, ret->v[i]), "depends_on"), name, value)
			if (!strv_has(ret, name) && load_service(&p->load, name))
				strv_push(ret, name);
	}
}

int cmd_pull(struct app *app)
{
	const struct cli_args *a = app->args;
	AUTO_STRV struct strv names = {0};
	const char *policy = cli_str(a, "policy");
	bool ignore = cli_bool(a, "ignore-pull-failures"), missing_only = strcmp(policy, "missing") == 0;
	struct pulls list = {0};
	struct project p;
	int failed;
	if (cmd_paths(app, !app->dry_run) || project_load(app, &a->args, 0, &p))
		return 1;
	select_services(app, &p, &names);
	for (size_t i = 0; i < names.n; i++) {
		const json_t *service = load_service(&p.load, names.v[i]);
		const char *ref = json_get_str(service, "image", NULL), *own = json_get_str(service, "pull_policy", "");
		AUTO_FREE char *who = xasprintf("service %s", names.v[i]);
		if (!ref || (json_object_get(service, "build") && cli_bool(a, "ignore-buildable")))
			continue;
		if (*policy ? missing_only && pulls_have(app, ref) :
			strcmp(own, "never") == 0 || ((strcmp(own, "missing") == 0 || strcmp(own, "if_not_present") == 0) && pulls_have(app, ref)))
			continue;
		pulls_add(app, &list, ref, json_get_str(service, "platform", NULL), who);
	}
	if (app->dry_run) {
		for (size_t i = 0; i < list.n; i++)
			fprintf(stderr, " DRY-RUN MODE -  Image %s  Pulling\n", list.v[i].ref);
		free(list.v);
		failed = 0;
	} else {
		failed = pulls_run(app, &list, cli_bool(a, "quiet"), ignore);
	}
	project_done(&p);
	return failed && !ignore;
}
