/* SPDX-License-Identifier: Apache-2.0 */
/* up, create, plan: from flags to the one request "up". In the foreground attach.c takes over once it is made. */
#include "compose/cmd_up.h"

#include <stdio.h>

#include "compose/attach.h"
#include "compose/project.h"
#include "spec/model.h"

static bool flag(const struct cli_args *a, const char *name)
{
	return cli_has(a, name) && cli_bool(a, name);
}

static bool environment_true(const char *name)
{
	const char *v = getenv(name);
	return v && (strcmp(v, "1") == 0 || strcasecmp(v, "true") == 0);
}

static int put_seconds(struct app *app, json_t *options, const char *name, const char *key, int64_t min)
{
	int64_t n;
	if (!cli_has(app->args, name) || !cli_is_set(app->args, name))
		return 0;
	n = cli_int(app->args, name);
	if (n < min)
		return cmd_failf(app, "--%s: %lld is no number of seconds", name, (long long)n);
	json_put_int(options, key, n < 0 ? INT32_MAX : n);
	return 0;
}

/* The options of the request; 0, or 1 after a message. */
static int up_options(struct app *app, json_t *o)
{
	static const struct {
		const char *option, *key;
	} flags[] = {
		{ "always-recreate-deps", "always_recreate_deps" }, { "no-deps", "no_deps" }, { "no-start", "no_start" },
		{ "renew-anon-volumes", "renew_anon_volumes" },     { "wait", "wait" },
	};
	const struct cli_args *a = app->args;
	bool create = strcmp(a->command->name, "create") == 0;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flag(a, flags[i].option))
			json_object_set_new(o, flags[i].key, json_true());
	if (create)
		json_object_set_new(o, "no_start", json_true());
	if (flag(a, "remove-orphans") && environment_true("COMPOSE_IGNORE_ORPHANS"))
		return cmd_failf(app, "COMPOSE_IGNORE_ORPHANS and --remove-orphans cannot be used together");
	if (flag(a, "remove-orphans") || environment_true("COMPOSE_REMOVE_ORPHANS"))
		json_object_set_new(o, "remove_orphans", json_true());
	json_put_str(o, "recreate", flag(a, "force-recreate") ? "force" : flag(a, "no-recreate") ? "never" : "diverged");
	if (cmd_up_scale(app, o) || put_seconds(app, o, "timeout", "timeout_s", -1) || put_seconds(app, o, "wait-timeout", "wait_timeout_s", 0))
		return 1;
	return 0;
}

/* The request of this command line, new reference in *ret; p is filled. pull: PROJECT_PULL or 0. 0, or 1 after messages. */
static int up_request(struct app *app, unsigned pull, struct project *p, json_t **ret)
{
	AUTO_JSON json_t *options = json_object();
	json_t *desired = NULL, *json;
	unsigned flags = pull | (flag(app->args, "no-deps") ? PROJECT_NO_DEPS : 0);
	int rc = up_options(app, options);
	if (rc || cmd_paths(app, false) || project_load(app, &app->args->args, flags, p))
		return 1;
	rc = project_desired(app, p, flags, &desired);
	if (rc) {
		project_done(p);
		return rc;
	}
	json = request_new(app, "up", &app->args->args);
	json_object_set(json, "options", options);
	json_object_set_new(json, "desired", desired);
	*ret = json;
	return 0;
}

int cmd_plan(struct app *app)
{
	struct project p;
	json_t *json;
	int rc = up_request(app, 0, &p, &json);
	if (rc)
		return rc;
	rc = request_plan(app, p.load.name, json, strcmp(cli_str(app->args, "format"), "json") == 0);
	json_decref(json);
	project_done(&p);
	return rc;
}

/* Services of the selection and, unless --no-deps, of what it depends on. */
static void selection(const struct project *p, bool no_deps, struct strv *ret)
{
	project_services(p, ret);
	if (p->selected.n == 0)
		return;
	strv_done(ret);
	for (size_t i = 0; i < p->selected.n; i++)
		strv_push(ret, p->selected.v[i]);
	for (size_t i = 0; !no_deps && i < ret->n; i++) {
		json_t *deps = json_object_get(load_service(&p->load, ret->v[i]), "depends_on"), *value;
		const char *name;
		json_object_foreach(deps, name, value)
			if (!strv_has(ret, name))
				strv_push(ret, name);
	}
}

/* Services that others wait for to complete. */
static void collect_jobs(const struct project *p, struct strv *ret)
{
	const char *name, *dep;
	json_t *service, *value;
	json_object_foreach(json_object_get(p->load.config, "services"), name, service)
		json_object_foreach(json_object_get(service, "depends_on"), dep, value)
			if (str_eq(json_get_str(value, "condition", ""), "service_completed_successfully") && !strv_has(ret, dep))
				strv_push(ret, dep);
}

/* Whose lines are shown: --attach; else what was named (with --attach-dependencies also what that needs); else all that do not say
 * `attach: false`; always without --no-attach. */
static void collect_attached(const struct app *app, const struct project *p, const struct strv *all, struct strv *ret)
{
	const struct strv *only = cli_list(app->args, "attach"), *without = cli_list(app->args, "no-attach");
	bool deps = cli_bool(app->args, "attach-dependencies");
	for (size_t i = 0; i < all->n; i++) {
		const char *s = all->v[i];
		bool named = p->selected.n == 0 || strv_has(&p->selected, s) || deps;
		bool wanted = only->n ? strv_has(only, s) : named && json_get_bool(load_service(&p->load, s), "attach", true);
		if (wanted && !strv_has(without, s))
			strv_push(ret, s);
	}
}

/* What the containers of these services will be called: "web-1", "web-2" … */
static void collect_labels(struct app *app, const struct project *p, const json_t *options, const struct strv *names, struct strv *ret)
{
	for (size_t i = 0; i < names->n; i++) {
		const json_t *scaled = json_object_get(json_object_get(options, "scale"), names->v[i]);
		struct model_service m;
		unsigned n;
		if (model_read_service(names->v[i], load_service(&p->load, names->v[i]), app->arena, &m, NULL) < 0)
			continue;
		n = scaled ? (unsigned)json_integer_value(scaled) : m.replicas;
		if (m.container_name)
			strv_take(ret, attach_label(p->load.name, m.container_name));
		for (unsigned k = 1; !m.container_name && k <= MIN(n, 1000u); k++)
			strv_pushf(ret, "%s%c%u", m.name, app->separator, k);
	}
}

static int check_service_flags(struct app *app, const struct project *p)
{
	AUTO_STRV struct strv known = {0}, one = {0};
	const char *from = cli_str(app->args, "exit-code-from");
	project_services(p, &known);
	if (*from)
		strv_push(&one, from);
	if (cmd_check_names(app, cli_list(app->args, "attach"), &known, "service") || cmd_check_names(app, cli_list(app->args, "no-attach"), &known, "service"))
		return 1;
	return cmd_check_names(app, &one, &known, "service");
}

static int up_attached(struct app *app, const struct project *p, json_t *json)
{
	const struct cli_args *a = app->args;
	const char *from = cli_str(a, "exit-code-from");
	struct attach_options opt = {
		.prefix = !cli_bool(a, "no-log-prefix"),
		.timestamps = cli_bool(a, "timestamps"),
		.colour = app->colour_out && !cli_bool(a, "no-color"),
		.abort_on_exit = cli_bool(a, "abort-on-container-exit") || *from,
		.abort_on_failure = cli_bool(a, "abort-on-container-failure"),
		.exit_code_from = *from ? from : NULL,
		.timeout_s = cli_is_set(a, "timeout") ? cli_int(a, "timeout") : -1,
	};
	int rc;
	selection(p, cli_bool(a, "no-deps"), &opt.services);
	collect_attached(app, p, &opt.services, &opt.attached);
	collect_jobs(p, &opt.jobs);
	collect_labels(app, p, json_object_get(json, "options"), &opt.attached, &opt.labels);
	rc = attach_up(app, p->load.name, json, &opt);
	strv_done(&opt.services);
	strv_done(&opt.attached);
	strv_done(&opt.jobs);
	strv_done(&opt.labels);
	return rc;
}

/* True when the command ends once everything was started. */
static bool detached(const struct cli_args *a)
{
	return flag(a, "detach") || flag(a, "wait") || flag(a, "no-start") || strcmp(a->command->name, "create") == 0;
}

int cmd_up(struct app *app)
{
	struct project p;
	struct request r;
	json_t *json;
	int rc = up_request(app, PROJECT_PULL, &p, &json);
	if (rc)
		return rc;
	if (strcmp(app->args->command->name, "up") == 0)
		rc = check_service_flags(app, &p);
	if (rc || request_dry_run(app, p.load.name, json, &rc)) {
		json_decref(json);
	} else if (detached(app->args)) {
		request_init(&r, app, p.load.name, json);
		rc = request_run(&r);
	} else {
		rc = up_attached(app, &p, json);
	}
	project_done(&p);
	return rc;
}

int cmd_create(struct app *app)
{
	return cmd_up(app);
}
