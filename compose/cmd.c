/* SPDX-License-Identifier: Apache-2.0 */
/* Printing and look-ups that the commands share. Errors go to standard error as "muster: …", once, where the command ends. */
#include "compose/cmd.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "compose/desired.h"
#include "compose/project.h"
#include "spec/diag.h"

enum say { SAY_ERROR, SAY_WARNING, SAY_HINT };

/* A message on standard error; with --progress json an object a line, the error as docker compose has it (errorAsJSON), the others as its logger has
 * them. */
static void say(const struct app *app, enum say what, const char *text)
{
	static const char *const words[] = { "", "warning", "hint" };
	static const char *const colours[] = { "", "\033[33m", "\033[36m" }, *const levels[] = { "", "warning", "info" };
	AUTO_JSON json_t *j = NULL;
	AUTO_FREE char *line = NULL;
	char now[40];
	if (app->progress != PROGRESS_JSON && what == SAY_ERROR) {
		fprintf(stderr, "%s: %s\n", app->prog, text);
		return;
	}
	if (app->progress != PROGRESS_JSON) {
		fprintf(stderr, "%s%s:%s %s\n", app->colour_err ? colours[what] : "", words[what], app->colour_err ? "\033[0m" : "", text);
		return;
	}
	j = what == SAY_ERROR ? json_pack("{s:b, s:o}", "error", 1, "message", json_text(text)) :
		json_pack("{s:s, s:o, s:s}", "level", levels[what], "msg", json_text(text), "time", clock_rfc3339(clock_real_ns(), now));
	line = json_dumps(j, JSON_COMPACT);
	fprintf(stderr, "%s\n", line ? line : "{}");
}

int cmd_fail(const struct app *app, const struct err *err)
{
	say(app, SAY_ERROR, err->msg);
	if (app->verbose && app->progress != PROGRESS_JSON)
		fprintf(stderr, "  at %s\n", err->origin);
	return 1;
}

int cmd_failf(const struct app *app, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	say(app, SAY_ERROR, text);
	return 1;
}

void cmd_hint(const struct app *app, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	say(app, SAY_HINT, text);
}

void cmd_warn(const struct app *app, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	say(app, SAY_WARNING, text);
}

int cmd_dry_run(const struct app *app, const char *kind, const char *name, const char *what)
{
	(void)app;
	fprintf(stderr, " DRY-RUN MODE -  %s %s  %s\n", kind, name, what);
	return 0;
}

int cmd_print(const struct app *app, const struct str *text)
{
	struct err err;
	if (fs_write_all(1, str_get(text), text->len, &err) == 0)
		return 0;
	if (err.sys == EPIPE)
		return 1;
	err_wrap(&err, "standard output");
	return cmd_fail(app, &err);
}

int cmd_paths(struct app *app, bool create)
{
	struct err err;
	const char *root = cli_str(app->args, "root"), *run = cli_str(app->args, "run-root");
	if (app->paths.root && (app->paths.held || !create))
		return 0;
	paths_done(&app->paths);
	if (paths_open(*root ? root : NULL, *run ? run : NULL, create, &app->paths, &err) < 0)
		return cmd_fail(app, &err);
	if (!str_eq(app->args->command->name, "debug"))
		failpoint_open(app->paths.run_fd);
	return 0;
}

int cmd_observe(struct app *app, const char **ret_name, struct observed *ret)
{
	struct err err;
	int rc = cmd_paths(app, false);
	if (rc == 0)
		rc = project_name(app, ret_name, NULL);
	if (rc == 0 && observe_project(&app->paths, *ret_name, ret, &err) < 0)
		rc = cmd_fail(app, &err);
	for (size_t i = 0; rc == 0 && i < ret->torn.n; i++)
		cmd_warn(app, "container %s: its record is damaged", ret->torn.v[i]);
	return rc;
}

int cmd_check_names(const struct app *app, const struct strv *names, const struct strv *known, const char *what)
{
	for (size_t i = 0; i < names->n; i++) {
		const char *near;
		char quoted[128];
		if (strv_has(known, names->v[i]))
			continue;
		cmd_failf(app, "no such %s: %s", what, err_quote(quoted, sizeof(quoted), names->v[i]));
		near = diag_nearest(names->v[i], (const char *const *)known->v, known->n);
		if (near)
			cmd_hint(app, "did you mean \"%s\"?", near);
		return 1;
	}
	return 0;
}

/* Services of the desired state that was applied last. */
static void add_desired_services(const struct app *app, const char *project, struct strv *ret)
{
	AUTO_JSON json_t *j = NULL;
	AUTO_CLOSE int fd = paths_project(&app->paths, project, false, NULL);
	const char *name;
	json_t *value;
	if (fd < 0 || json_read_file(fd, "desired.json", &j, NULL) != 0)
		return;
	json_object_foreach(json_object_get(j, "services"), name, value)
		strv_push(ret, name);
	json_get_strv(j, "disabled", ret);
}

int cmd_check_services(struct app *app, const struct observed *o, const struct strv *names)
{
	AUTO_STRV struct strv known = {0};
	bool missing = false;
	for (size_t i = 0; i < o->n; i++)
		strv_push(&known, o->containers[i]->service);
	add_desired_services(app, o->project, &known);
	for (size_t i = 0; i < names->n; i++)
		missing = missing || !strv_has(&known, names->v[i]);
	if (missing) {
		struct project p;
		if (project_load(app, NULL, PROJECT_QUIET, &p) == 0) {
			project_services(&p, &known);
			for (size_t i = 0; i < p.load.disabled.n; i++)
				strv_push(&known, p.load.disabled.v[i]);
			project_done(&p);
		}
	}
	return cmd_check_names(app, names, &known, "service");
}

/* ---- labels ---- */

bool cmd_has_label(const json_t *labels, const char *want)
{
	const size_t n = strcspn(want, "=");
	AUTO_FREE char *key = xstrndup(want, n);
	const char *value = json_get_str(labels, key, NULL);
	return value && (!want[n] || strcmp(value, want + n + 1) == 0);
}

json_t *cmd_given_labels(const struct app *app)
{
	const struct strv *list = cli_list(app->args, "label");
	json_t *labels = json_object();
	for (size_t i = 0; i < list->n; i++) {
		const size_t n = strcspn(list->v[i], "=");
		AUTO_FREE char *key = xstrndup(list->v[i], n);
		json_put_str(labels, key, list->v[i][n] ? list->v[i] + n + 1 : "");
	}
	return labels;
}

char *cmd_labels_text(const json_t *labels)
{
	struct str text = {0};
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
		str_addf(&text, "%s%s=%s", text.len ? "," : "", key, json_string_value(value) ? json_string_value(value) : "");
	return text.p ? str_take(&text) : xstrdup("");
}
