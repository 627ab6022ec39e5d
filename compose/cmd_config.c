/* SPDX-License-Identifier: Apache-2.0 */
/* config, version, completion: what needs neither rights nor state. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "compose/pin.h"
#include "spec/canon.h"
#include "spec/explain.h"
#include "spec/yaml_out.h"

static bool flag(const struct cli_args *a, const char *name)
{
	return cli_has(a, name) && cli_bool(a, name);
}

static void add_lines(const struct strv *lines, struct str *ret)
{
	for (size_t i = 0; i < lines->n; i++)
		str_addf(ret, "%s\n", lines->v[i]);
}

static void add_json(const json_t *j, size_t indent, struct str *ret)
{
	AUTO_FREE char *text = json_dumps(j, JSON_INDENT(indent));
	str_addf(ret, "%s\n", text);
}

/* The names of --hash; "*" adds none, which means all. */
static void hash_names(const struct app *app, struct strv *ret)
{
	AUTO_FREE char *names = xstrdup(cli_str(app->args, "hash"));
	char *save;
	for (char *w = strtok_r(names, ",", &save); w; w = strtok_r(NULL, ",", &save))
		if (strcmp(w, "*") != 0)
			strv_push(ret, w);
}

static int hash_output(const struct app *app, const struct project *p, struct str *ret)
{
	AUTO_STRV struct strv lines = {0}, which = {0};
	struct err err;
	hash_names(app, &which);
	if (canon_hash(&p->load, (const char *const *)which.v, &lines, &err) < 0)
		return cmd_fail(app, &err);
	add_lines(&lines, ret);
	return 0;
}

static int variables_output(const struct app *app, const struct project *p, struct str *ret)
{
	const char *format = cli_str(app->args, "format");
	AUTO_JSON json_t *list = NULL;
	if (!*format) {
		canon_variables(&p->load, ret);
		return 0;
	}
	list = canon_variables_json(&p->load, strcmp(format, "yaml") == 0);
	if (strcmp(format, "json") == 0)
		add_json(list, 4, ret);
	else
		yaml_out(list, false, ret);
	return 0;
}

/* The lists that can be asked for instead of the model, the first one wins; what each needs from the loader is docker compose's rule: a name needs
 * no env file, and a missing variable is no reason not to list the variables. */
static const struct listing {
	const char *option;
	void (*names)(const struct load_result *, struct strv *);
	int (*print)(const struct app *app, const struct project *p, struct str *ret);
	bool no_env_resolution, no_interpolate;
} listings[] = {
	{ "services", .names = canon_services, .no_env_resolution = true },
	{ "volumes", .names = canon_volumes, .no_env_resolution = true },
	{ "networks", .names = canon_networks, .no_env_resolution = true },
	{ "models", .names = canon_models, .no_env_resolution = true },
	{ "hash", .print = hash_output },
	{ "profiles", .names = canon_profiles },
	{ "images", .names = canon_images },
	{ "variables", .print = variables_output, .no_env_resolution = true, .no_interpolate = true },
	{ "environment", .names = canon_environment },
};

/* The list that was asked for, NULL for the model. */
static const struct listing *wanted_list(const struct app *app)
{
	for (size_t i = 0; i < ARRAY_SIZE(listings); i++) {
		const char *option = listings[i].option;
		if (cli_has(app->args, option) && (str_eq(option, "hash") ? cli_is_set(app->args, option) : cli_bool(app->args, option)))
			return &listings[i];
	}
	return NULL;
}

static int list_output(const struct app *app, const struct project *p, const struct listing *list, struct str *ret)
{
	AUTO_STRV struct strv lines = {0};
	if (list->print)
		return list->print(app, p, ret);
	list->names(&p->load, &lines);
	add_lines(&lines, ret);
	return 0;
}

static int write_output(const struct app *app, const struct str *text)
{
	const char *path = cli_str(app->args, "output");
	AUTO_CLOSE int fd = -1;
	struct err err;
	if (!*path)
		return cmd_print(app, text);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return cmd_failf(app, "write %s: %s", path, strerror(errno));
	if (fs_write_all(fd, str_get(text), text->len, &err) < 0) {
		err_wrap(&err, "write %s", path);
		return cmd_fail(app, &err);
	}
	return 0;
}

/* --quiet --format json: what is wrong, for editors. */
static int diagnostics_output(const struct app *app, struct project *p, struct str *ret)
{
	AUTO_JSON json_t *list = NULL;
	diags_sort(&p->diags);
	list = diags_json(&p->diags);
	add_json(list, 2, ret);
	return write_output(app, ret);
}

static int explain_output(const struct app *app, const struct project *p, bool json, struct str *ret)
{
	const char *path = cli_str(app->args, "explain");
	AUTO_FREE char *cwd = getcwd(NULL, 0);
	AUTO_JSON json_t *list = NULL;
	struct err err;
	if (!json)
		return explain_text(&p->load, path, cwd, ret, &err) < 0 ? cmd_fail(app, &err) : 0;
	if (explain_json(&p->load, path, &list, &err) < 0)
		return cmd_fail(app, &err);
	add_json(list, 2, ret);
	return 0;
}

static int model_output(struct app *app, struct project *p, bool json, struct str *ret)
{
	struct err err;
	int rc = 0;
	bool lock = flag(app->args, "lock-image-digests");
	if (lock || flag(app->args, "resolve-image-digests"))
		rc = pin_images(app, p, lock);
	if (rc)
		return rc;
	if (lock) {
		pin_lock_file(p, json, ret);
		return 0;
	}
	if ((json ? canon_json : canon_yaml)(&p->load, ret, &err) < 0)
		return cmd_fail(app, &err);
	if (json)
		str_addc(ret, '\n');
	return 0;
}

/* What the flags ask of the loader; which: the services of --hash, which must live as long as *ret. */
static void config_options_of(const struct app *app, const struct listing *list, const struct strv *which, struct load_options *ret)
{
	const struct cli_args *a = app->args;
	bool hash = list && list->print == hash_output;
	project_options(app, ret);
	ret->services = (const char *const *)(hash ? which->v : a->args.v);
	ret->no_deps = hash; /* another service's env file is no reason not to print a digest */
	ret->no_interpolate = flag(a, "no-interpolate") || (list && list->no_interpolate);
	ret->no_normalize = flag(a, "no-normalize");
	ret->no_path_resolution = flag(a, "no-path-resolution");
	ret->no_consistency = flag(a, "no-consistency");
	ret->no_env_resolution = flag(a, "no-env-resolution") || (list && list->no_env_resolution);
}

int cmd_config(struct app *app)
{
	const struct cli_args *a = app->args;
	bool json = strcmp(cli_str(a, "format"), "json") == 0, quiet = cli_bool(a, "quiet");
	bool explain = cli_has(a, "explain") && cli_is_set(a, "explain");
	const struct listing *list = quiet || explain ? NULL : wanted_list(app);
	AUTO_STR struct str out = {0};
	AUTO_STRV struct strv which = {0};
	struct load_options opts;
	struct project p;
	int rc;
	hash_names(app, &which);
	config_options_of(app, list, &which, &opts);
	opts.tree_only = quiet || (list ? list->print != hash_output : !json);
	opts.trace = explain;
	if (opts.no_interpolate && a->args.n)
		cmd_warn(app, "service filtering is not applied when --%s is set, %s", list && list->no_interpolate ? "variables" : "no-interpolate",
			list && list->no_interpolate ? "variables from the full model will be rendered" : "the full model will be rendered");
	rc = project_load_with(app, &opts, quiet && json ? PROJECT_QUIET : 0, &p);
	if (quiet && json)
		rc = diagnostics_output(app, &p, &out) ? 1 : rc;
	if (rc || quiet)
		;
	else if (explain)
		rc = explain_output(app, &p, json, &out);
	else if (list)
		rc = list_output(app, &p, list, &out);
	else
		rc = model_output(app, &p, json, &out);
	if (rc == 0 && !quiet)
		rc = write_output(app, &out);
	project_done(&p);
	return rc;
}

int cmd_version(struct app *app)
{
	AUTO_STR struct str out = {0};
	bool named = app->args->command != NULL;
	if (named && cli_bool(app->args, "short"))
		str_add(&out, MUSTER_VERSION "\n");
	else if (named && strcmp(cli_str(app->args, "format"), "json") == 0)
		str_add(&out, "{\"version\":\"" MUSTER_VERSION "\"}\n");
	else
		str_add(&out, "muster version " MUSTER_VERSION "\n");
	return cmd_print(app, &out);
}

int cmd_completion(struct app *app)
{
	AUTO_STR struct str out = {0};
	struct err err;
	if (cli_completion(app->prog, app->args->args.v[0], &out, &err) < 0)
		return cmd_fail(app, &err);
	return cmd_print(app, &out);
}
