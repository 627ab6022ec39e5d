/* SPDX-License-Identifier: Apache-2.0 */
/* From files to the desired state. The whole project is loaded, not only the services that were named: the supervisor must tell
 * a service that was not named from one that is gone. A service named on the command line that profiles switch off gets its
 * own profiles activated, as the Compose Specification says; since that needs its definition, the files are then loaded again. */
#include "compose/project.h"

#include <stdio.h>

#include "compose/builds.h"
#include "compose/desired.h"
#include "compose/image_client.h"
#include "compose/project_networks.h"
#include "compose/pulls.h"
#include "compose/service_options.h"
#include "images/store.h"
#include "spec/canon.h"
#include "spec/honoured.h"
#include "spec/imageref.h"

extern char **environ;

void project_options(const struct app *app, struct load_options *ret)
{
	const struct cli_args *a = app->args;
	const char *dir = cli_global(a, "project-directory"), *old = cli_global(a, "workdir"), *name = cli_global(a, "project-name");
	*ret = (struct load_options){
		.files = (const char *const *)cli_list(a, "file")->v,
		.project_directory = *dir ? dir : *old ? old : NULL,
		.project_name = *name ? name : NULL,
		.profiles = (const char *const *)cli_list(a, "profile")->v,
		.env_files = (const char *const *)cli_list(a, "env-file")->v,
		.environ = (const char *const *)environ,
		.all_resources = cli_bool(a, "all-resources"),
		.compatibility = cli_bool(a, "compatibility"),
	};
}

static void print_diags(const struct app *app, struct diags *ds)
{
	AUTO_STR struct str text = {0};
	AUTO_FREE char *cwd = getcwd(NULL, 0);
	if (ds->n == 0)
		return;
	diags_render(ds, cwd, app->colour_err && app->progress != PROGRESS_JSON, &text);
	if (app->progress != PROGRESS_JSON) {
		fwrite(str_get(&text), 1, text.len, stderr);
		return;
	}
	while (text.len && text.p[text.len - 1] == '\n')
		text.p[--text.len] = '\0';
	if (ds->n_errors)
		cmd_failf(app, "%s", str_get(&text));
	else
		cmd_warn(app, "%s", str_get(&text));
}

int project_print_diags(const struct app *app, struct project *p)
{
	diags_sort(&p->diags);
	print_diags(app, &p->diags);
	return p->diags.n_errors ? 1 : 0;
}

int project_load_with(struct app *app, const struct load_options *opts, unsigned flags, struct project *ret)
{
	int rc;
	*ret = (struct project){0};
	diags_init(&ret->diags, app->arena);
	rc = load_project(opts, &ret->load, &ret->diags);
	if (rc == 0)
		app->separator = ret->load.separator;
	if (!(flags & PROJECT_QUIET))
		print_diags(app, &ret->diags);
	return rc < 0 ? 1 : 0;
}

void project_services(const struct project *p, struct strv *ret)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(p->load.config, "services"), name, value)
		strv_push(ret, name);
}

void project_requested(const struct project *p, bool deps, struct strv *ret)
{
	if (p->selected.n == 0) {
		project_services(p, ret);
		return;
	}
	for (size_t i = 0; i < p->selected.n; i++)
		strv_push(ret, p->selected.v[i]);
	for (size_t i = 0; deps && i < ret->n; i++) {
		const char *name;
		json_t *value;
		json_object_foreach(json_object_get(load_service(&p->load, ret->v[i]), "depends_on"), name, value)
			if (!strv_has(ret, name) && load_service(&p->load, name))
				strv_push(ret, name);
	}
}

void project_done(struct project *p)
{
	load_result_done(&p->load);
	strv_done(&p->selected);
	free(p->pulls);
	*p = (struct project){0};
}

/* Adds the profiles of the named services that are switched off. */
static int add_profiles(struct app *app, const struct load_options *opts, const struct strv *names, struct strv *profiles)
{
	static const char *const all[] = { "*", NULL };
	struct load_options every = *opts;
	struct project p;
	every.profiles = all;
	if (project_load_with(app, &every, PROJECT_QUIET, &p) != 0)
		return -1;
	for (size_t i = 0; i < names->n; i++)
		json_get_strv(load_service(&p.load, names->v[i]), "profiles", profiles);
	project_done(&p);
	return 0;
}

static bool any_disabled(const struct project *p, const struct strv *names)
{
	for (size_t i = 0; names && i < names->n; i++)
		if (strv_has(&p->load.disabled, names->v[i]))
			return true;
	return false;
}

int project_load(struct app *app, const struct strv *names, unsigned flags, struct project *ret)
{
	struct load_options opts;
	int rc;
	project_options(app, &opts);
	rc = project_load_with(app, &opts, flags | PROJECT_QUIET, ret);
	if (rc == 0 && any_disabled(ret, names)) {
		AUTO_STRV struct strv profiles = {0};
		for (size_t i = 0; i < ret->load.profiles.n; i++)
			strv_push(&profiles, ret->load.profiles.v[i]);
		add_profiles(app, &opts, names, &profiles);
		project_done(ret);
		opts.profiles = (const char *const *)profiles.v;
		rc = project_load_with(app, &opts, flags | PROJECT_QUIET, ret);
	}
	if (!(flags & PROJECT_QUIET))
		print_diags(app, &ret->diags);
	if (rc == 0 && names && names->n) {
		AUTO_STRV struct strv known = {0};
		project_services(ret, &known);
		for (size_t i = 0; i < names->n; i++)
			strv_push(&ret->selected, names->v[i]);
		rc = flags & PROJECT_QUIET ? 0 : cmd_check_names(app, names, &known, "service");
		if (rc)
			project_done(ret);
	}
	return rc;
}

int project_name(struct app *app, const char **ret_name, const char **ret_dir)
{
	struct load_options opts;
	struct diags ds;
	const char *dir;
	int rc;
	diags_init(&ds, app->arena);
	project_options(app, &opts);
	rc = load_identity(&opts, ret_name, ret_dir ? ret_dir : &dir, &ds);
	if (rc < 0)
		print_diags(app, &ds);
	return rc < 0 ? 1 : 0;
}

/* The selection and, unless no_deps, what it depends on; everything when nothing was named. */
static void closure(const struct project *p, bool no_deps, struct strv *ret)
{
	if (p->selected.n == 0) {
		project_services(p, ret);
		return;
	}
	for (size_t i = 0; i < p->selected.n; i++)
		if (!strv_has(ret, p->selected.v[i]))
			strv_push(ret, p->selected.v[i]);
	for (size_t i = 0; !no_deps && i < ret->n; i++) {
		const json_t *deps = json_object_get(load_service(&p->load, ret->v[i]), "depends_on");
		const char *name;
		json_t *value;
		json_object_foreach((json_t *)(uintptr_t)deps, name, value)
			if (!strv_has(ret, name) && load_service(&p->load, name))
				strv_push(ret, name);
	}
}

/* Keys that the runtime does not know yet, in the services that would run. */
static void check_honoured(struct app *app, struct project *p, const struct strv *names)
{
	AUTO_STRV struct strv all = {0};
	struct node *model = p->load.tree, *list;
	project_services(p, &all);
	if (names->n < all.n)
		model = node_copy(app->arena, model);
	list = node_get(model, "services");
	for (size_t i = 0; i < all.n; i++)
		if (!strv_has(names, all.v[i]))
			node_del(list, all.v[i]);
	honoured_check(model, &p->diags);
}

/* Values that no container could be started with. */
static void check_options(struct app *app, struct project *p, const struct strv *names)
{
	for (size_t i = 0; i < names->n; i++) {
		struct service_options o;
		struct pos pos = {0};
		struct err err = {0};
		const char *key, *path;
		if (service_options_read(load_service(&p->load, names->v[i]), app->arena, &o, &key, &err) == 0)
			continue;
		path = arena_printf(app->arena, "services.%s.%s", names->v[i], key);
		load_position(&p->load, path, &pos);
		diag_err(&p->diags, pos, path, &err);
	}
}

static json_t *image_json(struct app *app, const struct image *img, const char *ref)
{
	AUTO_FREE char *id = xasprintf("sha256:%s", img->id);
	struct imageref parsed;
	json_t *j = json_object(), *labels = json_object();
	json_put_str(j, "id", id);
	if (imageref_parse(ref, app->arena, &parsed, NULL) == 0) {
		if (!parsed.tag && !parsed.digest)
			parsed.tag = "latest";
		ref = imageref_familiar(&parsed, app->arena);
	}
	json_put_str(j, "ref", ref);
	json_object_set_new(j, "layers", json_from_strv(img->diff_ids.v));
	json_object_set_new(j, "entrypoint", img->entrypoint.n ? json_from_strv(img->entrypoint.v) : json_null());
	json_object_set_new(j, "cmd", img->cmd.n ? json_from_strv(img->cmd.v) : json_null());
	json_object_set_new(j, "env", json_from_strv(img->env.v));
	json_put_str(j, "user", img->user);
	json_put_str(j, "working_dir", img->working_dir);
	json_object_set_new(j, "volumes", json_from_strv(img->volumes.v));
	json_object_set_new(j, "exposed_ports", json_from_strv(img->exposed_ports.v));
	json_put_str(j, "stop_signal", img->stop_signal);
	for (size_t i = 0; i < img->label_keys.n; i++)
		json_object_set_new_nocheck(labels, img->label_keys.v[i], json_string_nocheck(img->label_values.v[i]));
	json_object_set_new(j, "labels", labels);
	return j;
}

const char *project_image(const struct app *app, const struct project *p, const char *service)
{
	const char *image = json_get_str(load_service(&p->load, service), "image", NULL);
	return image && *image ? image : arena_printf(app->arena, "%s%c%s", p->load.name, app->separator, service);
}

/* Why the image could not be pulled; NULL: it could, or nobody tried. */
static const struct err *pull_error(const struct project *p, const char *ref)
{
	for (size_t i = 0; ref && i < p->n_pulls; i++)
		if (strcmp(p->pulls[i].ref, ref) == 0)
			return p->pulls[i].rc < 0 ? &p->pulls[i].err : NULL;
	return NULL;
}

/* The image of a service: an object, or null when it is not there. One that would run must be there: a diagnostic. */
static json_t *find_image(struct app *app, struct project *p, struct store *store, const char *service, bool needed)
{
	const json_t *config = load_service(&p->load, service);
	const bool built = json_object_get(config, "build") != NULL;
	const char *ref = built ? project_image(app, p, service) : json_get_str(config, "image", NULL);
	AUTO_FREE char *path = xasprintf("services.%s.%s", service, built && !json_object_get(config, "image") ? "build" : "image");
	AUTO_IMAGE struct image img = {0};
	struct pos pos = {0};
	struct err err = {0};
	const struct err *failed = needed ? pull_error(p, ref) : NULL;
	struct diag *d;
	if (ref && !failed && store && store_lookup(store, ref, &img, &err) == 0)
		return image_json(app, &img, ref);
	if (!needed)
		return json_null();
	load_position(&p->load, path, &pos);
	if (failed) {
		err = *failed;
		err_wrap(&err, "image \"%s\"", diag_quote(&p->diags, ref));
	} else if (err.code == ERR_NONE)
		err_set(&err, ERR_NOT_FOUND, "image \"%s\" not found locally", diag_quote(&p->diags, ref ? ref : ""));
	d = diag_err(&p->diags, pos, path, &err);
	if (built)
		diag_hint(&p->diags, d, "\"%s build %s\" makes it", app->prog, service);
	else if (failed || err.code == ERR_NOT_FOUND)
		diag_hint(&p->diags, d, "an image can also be made from a root file system with \"%s image import FILE %s\", or loaded "
			  "from an archive with \"%s image load -i FILE\"", app->prog, diag_quote(&p->diags, ref), app->prog);
	return json_null();
}

/* The model's volumes as the supervisor wants them. */
static json_t *volumes(const struct project *p)
{
	json_t *out = json_object(), *value;
	const char *key;
	json_object_foreach(json_object_get(p->load.config, "volumes"), key, value) {
		AUTO_FREE char *def = xasprintf("%s_%s", p->load.name, key);
		json_t *one = json_object(), *labels = json_object_get(value, "labels");
		json_put_str(one, "name", json_get_str(value, "name", def));
		json_object_set_new(one, "external", json_boolean(json_get_bool(value, "external", false)));
		json_object_set_new(one, "labels", json_is_object(labels) ? json_incref(labels) : json_object());
		json_object_set_new(out, key, one);
	}
	return out;
}

static json_t *services(struct app *app, struct project *p, struct store *store, const struct strv *names)
{
	AUTO_STRV struct strv all = {0}, hashes = {0};
	json_t *out = json_object();
	struct err err;
	project_services(p, &all);
	if (canon_hash(&p->load, NULL, &hashes, &err) < 0)
		diag_err(&p->diags, (struct pos){0}, NULL, &err);
	for (size_t i = 0; i < all.n; i++) {
		const char *name = all.v[i];
		json_t *one = json_object();
		json_object_set(one, "config", (json_t *)(uintptr_t)load_service(&p->load, name));
		for (size_t k = 0; k < hashes.n; k++)
			if (str_starts(hashes.v[k], name) && hashes.v[k][strlen(name)] == ' ')
				json_put_str(one, "hash", hashes.v[k] + strlen(name) + 1);
		json_object_set_new(one, "image", find_image(app, p, store, name, strv_has(names, name)));
		json_object_set_new(out, name, one);
	}
	return out;
}

/* What the flags of up, create and run ask for. */
static int pull_first(struct app *app, struct project *p, const struct strv *names)
{
	const struct cli_args *a = app->args;
	const char *policy = cli_has(a, "pull") && cli_is_set(a, "pull") ? cli_str(a, "pull") : NULL;
	bool quiet = (cli_has(a, "quiet-pull") && cli_bool(a, "quiet-pull")) || (cli_has(a, "quiet") && cli_bool(a, "quiet"));
	return pulls_for_services(app, p, names, str_eq(policy, "policy") ? NULL : policy, quiet);
}

int project_desired(struct app *app, struct project *p, unsigned flags, json_t **ret)
{
	AUTO_STRV struct strv names = {0};
	AUTO_STORE struct store *store = NULL;
	AUTO_JSON json_t *j = json_object();
	struct err err;
	diags_init(&p->diags, app->arena); /* what loading found is printed already */
	closure(p, flags & PROJECT_NO_DEPS, &names);
	check_honoured(app, p, &names);
	check_options(app, p, &names);
	if ((flags & PROJECT_PULL) && p->diags.n_errors == 0 && !app->dry_run &&
	    (pull_first(app, p, &names) || builds_for_services(app, p, &names)))
		return 1;
	if (app->paths.root_fd >= 0 && store_open(app->paths.root_fd, &store, &err) < 0)
		return cmd_fail(app, &err);
	json_put_int(j, "schema", DESIRED_SCHEMA);
	json_put_str(j, "project", p->load.name);
	if (app->separator != '-')
		json_put_str(j, "separator", "_");
	json_put_str(j, "working_dir", p->load.working_dir);
	json_object_set_new(j, "config_files", json_from_strv(p->load.files.v));
	json_object_set_new(j, "environment_files", json_from_strv(p->load.env_files.v));
	json_object_set_new(j, "networks", project_networks(p));
	json_object_set_new(j, "volumes", volumes(p));
	json_object_set_new(j, "services", services(app, p, store, &names));
	json_object_set_new(j, "disabled", json_from_strv(p->load.disabled.v));
	if (p->diags.n_errors) {
		diags_sort(&p->diags);
		print_diags(app, &p->diags);
		return 1;
	}
	*ret = TAKE_PTR(j);
	return 0;
}
