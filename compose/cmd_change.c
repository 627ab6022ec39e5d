/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that change what runs, but for run and exec: each reads its flags, makes one request of compose/control.h and shows
 * what comes of it. up is in cmd_up.c. */
#include <stdio.h>

#include "base/proc.h"
#include "compose/cmd_request.h"
#include "compose/cmd_up.h"
#include "compose/control.h"
#include "compose/image_client.h"
#include "compose/project.h"
#include "volumes/volume.h"

/* Sends the request, or prints its plan with --dry-run. Takes json over. */
static int send_request(struct app *app, const char *project, json_t *json)
{
	struct request r;
	int rc;
	if (request_dry_run(app, project, json, &rc)) {
		json_decref(json);
		return rc;
	}
	request_init(&r, app, project, json);
	return request_run(&r);
}

/* The observed project with the services of the command line checked. Returns 0; 1 after a message; 2 when there is nothing. */
static int target(struct app *app, const char **ret_project, struct observed *ret)
{
	int rc = cmd_observe(app, ret_project, ret);
	if (rc == 0)
		rc = cmd_check_services(app, ret, &app->args->args);
	if (rc == 0 && ret->n == 0)
		rc = 2;
	return rc;
}

static int put_timeout(const struct app *app, json_t *json, const char *key)
{
	int64_t n = cli_int(app->args, "timeout");
	if (!cli_is_set(app->args, "timeout"))
		return 0;
	if (n < -1)
		return cmd_failf(app, "--timeout: %lld is no number of seconds", (long long)n);
	json_put_int(json, key, n < 0 ? INT32_MAX : n);
	return 0;
}

static int simple(struct app *app, const char *op, int (*fill)(struct app *, const struct observed *, json_t *))
{
	struct observed o = {0};
	const char *project;
	json_t *json;
	int rc = target(app, &project, &o);
	if (rc == 0) {
		json = request_new(app, op, &app->args->args);
		rc = fill ? fill(app, &o, json) : 0;
		if (rc == 0)
			rc = send_request(app, project, json);
		else
			json_decref(json);
	} else if (rc == 2) {
		rc = strcmp(op, "start") == 0 || strcmp(op, "restart") == 0
			     ? cmd_failf(app, "project %s has no containers; \"%s up\" makes them", project, app->prog)
			     : 0;
	}
	observe_done(&o);
	return rc;
}

static int fill_stop(struct app *app, const struct observed *o, json_t *json)
{
	(void)o;
	return put_timeout(app, json, "timeout_s");
}

int cmd_stop(struct app *app)
{
	return simple(app, "stop", fill_stop);
}

static int fill_start(struct app *app, const struct observed *o, json_t *json)
{
	int64_t timeout = cli_int(app->args, "wait-timeout");
	json_t *options = json_object();
	(void)o;
	if (timeout < 0)
		return json_decref(options), cmd_failf(app, "--wait-timeout: %lld is no number of seconds", (long long)timeout);
	json_object_set_new(json, "wait", json_boolean(cli_bool(app->args, "wait")));
	json_object_set_new(options, "wait", json_boolean(cli_bool(app->args, "wait")));
	if (timeout > 0)
		json_put_int(options, "wait_timeout_s", timeout);
	json_object_set_new(json, "options", options);
	return 0;
}

int cmd_start(struct app *app)
{
	return simple(app, "start", fill_start);
}

static int fill_restart(struct app *app, const struct observed *o, json_t *json)
{
	(void)o;
	json_object_set_new(json, "no_deps", json_boolean(cli_bool(app->args, "no-deps")));
	return put_timeout(app, json, "timeout_s");
}

int cmd_restart(struct app *app)
{
	return simple(app, "restart", fill_restart);
}

/* The services of the file, for orphans; absent when the file cannot be read. */
static void put_known(struct app *app, json_t *json)
{
	AUTO_STRV struct strv known = {0};
	struct project p;
	if (project_load(app, NULL, PROJECT_QUIET, &p) != 0)
		return;
	project_services(&p, &known);
	for (size_t i = 0; i < p.load.disabled.n; i++)
		strv_push(&known, p.load.disabled.v[i]);
	json_object_set_new(json, "known", json_from_strv(known.v));
	project_done(&p);
}

static int fill_kill(struct app *app, const struct observed *o, json_t *json)
{
	const char *text = cli_str(app->args, "signal");
	int sig = proc_signal_parse(text);
	char quoted[64];
	(void)o;
	if (sig < 1)
		return cmd_failf(app, "kill: invalid signal: %s", err_quote(quoted, sizeof(quoted), text));
	json_put_int(json, "signal", sig);
	put_known(app, json);
	json_object_set_new(json, "remove_orphans", json_boolean(cli_bool(app->args, "remove-orphans")));
	return 0;
}

int cmd_kill(struct app *app)
{
	return simple(app, "kill", fill_kill);
}

/* Asks on the terminal; false at anything but yes. */
static bool confirm(const char *names)
{
	char answer[16] = "";
	fprintf(stderr, "Going to remove %s\nAre you sure? [yN] ", names);
	if (!fgets(answer, sizeof(answer), stdin))
		fputc('\n', stderr);
	return answer[0] == 'y' || answer[0] == 'Y';
}

int cmd_rm(struct app *app)
{
	const struct cli_args *a = app->args;
	AUTO_STR struct str names = {0};
	struct observed o = {0};
	const char *project;
	json_t *json;
	bool stop = cli_bool(a, "stop");
	int rc = target(app, &project, &o);
	for (size_t i = 0; rc == 0 && i < o.n; i++) {
		const struct record *r = o.containers[i];
		bool alive = r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING;
		if ((!alive || (stop && !r->oneoff)) && (a->args.n == 0 || strv_has(&a->args, r->service)))
			str_addf(&names, "%s%s", names.len ? ", " : "", r->name);
	}
	observe_done(&o);
	if (rc == 1)
		return 1;
	if (!names.len) {
		fprintf(stderr, "No stopped containers\n");
		return 0;
	}
	if (!app->dry_run && !cli_bool(a, "force") && !confirm(str_get(&names)))
		return 0;
	json = request_new(app, "rm", &a->args);
	json_object_set_new(json, "stop", json_boolean(stop));
	json_object_set_new(json, "volumes", json_boolean(cli_bool(a, "volumes")));
	return send_request(app, project, json);
}

int cmd_remove_unused(struct app *app, const char *project, const struct strv *ids, json_t *networks)
{
	static const struct strv all;
	json_t *json = request_new(app, "rm", &all);
	json_object_set_new(json, "stop", json_false());
	json_object_set_new(json, "volumes", json_false());
	json_object_set_new(json, "containers", json_from_strv(ids->v));
	json_object_set_new(json, "networks", networks);
	return send_request(app, project, json);
}

static bool environment_true(const char *name)
{
	const char *v = getenv(name);
	return v && (strcmp(v, "1") == 0 || strcasecmp(v, "true") == 0);
}

/* Images of the project's containers and services, for --rmi all; with `local` those only that a build has named. */
static void collect_images(struct app *app, const struct observed *o, bool local, struct strv *ret)
{
	struct project p;
	const char *name;
	json_t *service;
	for (size_t i = 0; !local && i < o->n; i++) {
		const char *ref = json_get_str(o->containers[i]->image, "ref", NULL);
		if (ref && !strv_has(ret, ref))
			strv_push(ret, ref);
	}
	if (project_load(app, NULL, PROJECT_QUIET, &p) != 0)
		return;
	json_object_foreach(json_object_get(p.load.config, "services"), name, service) {
		const bool built = json_object_get(service, "build") && !json_object_get(service, "image");
		const char *ref = built ? project_image(app, &p, name) : json_get_str(service, "image", NULL);
		if (ref && (built || !local) && !strv_has(ret, ref))
			strv_push(ret, ref);
	}
	project_done(&p);
}

static int remove_images(struct app *app, const struct strv *refs)
{
	int rc = 0;
	for (size_t i = 0; i < refs->n; i++) {
		struct store_removed removed = {0};
		struct err err = {0};
		if (image_client_remove(app->paths.root_fd, refs->v[i], false, false, cmd_image_in_use, app, &removed, &err) == 0)
			fprintf(stderr, " Image %s  Removed\n", refs->v[i]);
		else if (err.code == ERR_CONFLICT)
			cmd_warn(app, "image %s is kept: %s", refs->v[i], err.msg);
		else if (err.code != ERR_NOT_FOUND)
			rc = cmd_fail(app, &err);
		store_removed_done(&removed);
	}
	return rc;
}

/* Volumes that the file names and an earlier `down` left behind, when no container of another project uses them. */
static int remove_volumes(struct app *app)
{
	struct project p;
	const char *key;
	json_t *value;
	int rc = 0;
	if (project_load(app, NULL, PROJECT_QUIET, &p) != 0 || app->paths.root_fd < 0)
		return 0;
	json_object_foreach(json_object_get(p.load.config, "volumes"), key, value) {
		AUTO_FREE char *def = xasprintf("%s_%s", p.load.name, key);
		const char *name = json_get_str(value, "name", def);
		char by[64];
		struct err err;
		int gone;
		if (json_get_bool(value, "external", false) || cmd_volume_in_use(app, name, by))
			continue;
		gone = volume_remove(app->paths.root_fd, name, &err);
		if (gone < 0)
			rc = cmd_fail(app, &err);
		else if (gone == 0)
			fprintf(stderr, " Volume %s  Removed\n", name);
	}
	project_done(&p);
	return rc;
}

/* True when nothing of the project is left on disk: then there is nobody to ask. */
static bool project_absent(struct app *app, const char *project)
{
	AUTO_CLOSE int fd = paths_project(&app->paths, project, false, NULL);
	AUTO_CLOSE int run_fd = paths_run(&app->paths, project, false, NULL);
	return fd < 0 && run_fd < 0;
}

int cmd_down(struct app *app)
{
	const struct cli_args *a = app->args;
	AUTO_STRV struct strv images = {0};
	struct observed o = {0};
	const char *project;
	json_t *json;
	int rc = target(app, &project, &o);
	if (rc == 1)
		return 1;
	if (cli_is_set(a, "rmi"))
		collect_images(app, &o, strcmp(cli_str(a, "rmi"), "local") == 0, &images);
	observe_done(&o);
	json = request_new(app, "down", &a->args);
	put_known(app, json);
	json_object_set_new(json, "volumes", json_boolean(cli_bool(a, "volumes")));
	json_object_set_new(json, "remove_orphans", json_boolean(cli_bool(a, "remove-orphans") || environment_true("COMPOSE_REMOVE_ORPHANS")));
	rc = put_timeout(app, json, "timeout_s");
	if (rc || project_absent(app, project))
		json_decref(json);
	else
		rc = send_request(app, project, json);
	if (rc == 0 && !app->dry_run && cli_bool(a, "volumes") && a->args.n == 0)
		rc = remove_volumes(app);
	if (rc == 0 && !app->dry_run)
		rc = remove_images(app, &images);
	return rc;
}

static int parse_scale(struct app *app, const struct strv *list, const char *what, json_t *ret)
{
	for (size_t i = 0; i < list->n; i++) {
		const char *eq = strrchr(list->v[i], '=');
		AUTO_FREE char *name = eq ? xstrndup(list->v[i], (size_t)(eq - list->v[i])) : NULL;
		char quoted[100];
		uint64_t n;
		if (!eq || !*name || !parse_u64(eq + 1, 0, 100000, &n))
			return cmd_failf(app, "invalid %s \"%s\": expected SERVICE=NUM", what, err_quote(quoted, sizeof(quoted), list->v[i]));
		json_object_set_new(ret, name, json_integer((json_int_t)n));
	}
	return 0;
}

int cmd_up_scale(struct app *app, json_t *options)
{
	json_t *scale = json_object();
	json_object_set_new(options, "scale", scale);
	return parse_scale(app, cli_list(app->args, "scale"), "--scale option", scale);
}

int cmd_scale(struct app *app)
{
	AUTO_STRV struct strv names = {0};
	json_t *scale = json_object(), *options = json_object(), *desired = NULL, *json, *n;
	struct project p;
	const char *name;
	int rc;
	json_object_set_new(options, "scale", scale);
	rc = parse_scale(app, &app->args->args, "argument", scale);
	json_object_foreach(scale, name, n)
		strv_push(&names, name);
	json_object_set_new(options, "no_deps", json_boolean(cli_bool(app->args, "no-deps")));
	if (rc == 0)
		rc = cmd_paths(app, false);
	if (rc == 0)
		rc = project_load(app, &names, cli_bool(app->args, "no-deps") ? PROJECT_NO_DEPS : 0, &p);
	if (rc) {
		json_decref(options);
		return rc;
	}
	rc = project_desired(app, &p, PROJECT_PULL | (cli_bool(app->args, "no-deps") ? PROJECT_NO_DEPS : 0), &desired);
	if (rc == 0) {
		json = request_new(app, "up", &names);
		json_object_set_new(json, "options", options);
		json_object_set_new(json, "desired", desired);
		rc = send_request(app, p.load.name, json);
	} else {
		json_decref(options);
	}
	project_done(&p);
	return rc;
}
