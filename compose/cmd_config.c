/* SPDX-License-Identifier: Apache-2.0 */
/* config, version, completion: what needs neither rights nor state. */
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "compose/pin.h"
#include "spec/canon.h"
#include "spec/explain.h"

static bool flag(const struct cli_args *a, const char *name)
{
	return cli_has(a, name) && cli_bool(a, name);
}

static void add_lines(const struct strv *lines, struct str *ret)
{
	for (size_t i = 0; i < lines->n; i++)
		str_addf(ret, "%s\n", lines->v[i]);
}

/* --services and the like: one list, as docker the first that was asked for. Returns false when none was. */
static bool list_output(const struct app *app, const struct project *p, struct str *ret)
{
	static const struct {
		const char *option;
		void (*fn)(const struct load_result *, struct strv *);
	} lists[] = {
		{ "services", canon_services }, { "volumes", canon_volumes }, { "networks", canon_networks },       { "models", canon_models },
		{ "profiles", canon_profiles }, { "images", canon_images },   { "environment", canon_environment },
	};
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		AUTO_STRV struct strv lines = {0};
		if (!cli_has(app->args, lists[i].option) || !cli_bool(app->args, lists[i].option))
			continue;
		lists[i].fn(&p->load, &lines);
		add_lines(&lines, ret);
		return true;
	}
	if (cli_has(app->args, "variables") && cli_bool(app->args, "variables")) {
		canon_variables(&p->load, ret);
		return true;
	}
	return false;
}

static int hash_output(const struct app *app, const struct project *p, struct str *ret)
{
	AUTO_STRV struct strv lines = {0}, which = {0};
	AUTO_FREE char *names = xstrdup(cli_str(app->args, "hash"));
	struct err err;
	char *save;
	for (char *w = strtok_r(names, ",", &save); w; w = strtok_r(NULL, ",", &save))
		if (strcmp(w, "*") != 0)
			strv_push(&which, w);
	if (canon_hash(&p->load, (const char *const *)which.v, &lines, &err) < 0)
		return cmd_fail(app, &err);
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
	AUTO_FREE char *text = NULL;
	diags_sort(&p->diags);
	list = diags_json(&p->diags);
	text = json_dumps(list, JSON_INDENT(2));
	str_addf(ret, "%s\n", text);
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
	else {
		AUTO_FREE char *text = json_dumps(list, JSON_INDENT(2));
		str_addf(ret, "%s\n", text);
	}
	return 0;
}

static int model_output(struct app *app, struct project *p, bool json, struct str *ret)
{
	struct err err;
	int rc = 0;
	if (flag(app->args, "lock-image-digests") || flag(app->args, "resolve-image-digests"))
		rc = pin_images(app, p);
	if (rc)
		return rc;
	if (flag(app->args, "lock-image-digests")) {
		pin_lock_file(p, json, ret);
		return 0;
	}
	if ((json ? canon_json : canon_yaml)(&p->load, ret, &err) < 0)
		return cmd_fail(app, &err);
	if (json)
		str_addc(ret, '\n');
	return 0;
}

int cmd_config(struct app *app)
{
	const struct cli_args *a = app->args;
	bool json = strcmp(cli_str(a, "format"), "json") == 0, quiet = cli_bool(a, "quiet");
	bool explain = cli_has(a, "explain") && cli_is_set(a, "explain");
	AUTO_STR struct str out = {0};
	struct load_options opts;
	struct project p;
	int rc;
	project_options(app, &opts);
	opts.services = (const char *const *)a->args.v;
	opts.no_interpolate = flag(a, "no-interpolate");
	opts.no_normalize = flag(a, "no-normalize");
	opts.no_path_resolution = flag(a, "no-path-resolution");
	opts.no_consistency = flag(a, "no-consistency");
	opts.no_env_resolution = flag(a, "no-env-resolution");
	opts.tree_only = quiet || (!json && !cli_is_set(a, "hash"));
	opts.trace = explain;
	rc = project_load_with(app, &opts, quiet && json ? PROJECT_QUIET : 0, &p);
	if (quiet && json)
		rc = diagnostics_output(app, &p, &out) ? 1 : rc;
	if (rc || quiet)
		;
	else if (explain)
		rc = explain_output(app, &p, json, &out);
	else if (cli_is_set(a, "hash"))
		rc = hash_output(app, &p, &out);
	else if (list_output(app, &p, &out))
		rc = 0;
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
