/* SPDX-License-Identifier: Apache-2.0 */
/* volume create, ls, rm, inspect, prune, and `volumes`. A volume that a container's record names, running or not, stays. */
#include <stdio.h>

#include "base/clock.h"
#include "compose/prune.h"
#include "compose/table.h"
#include "volumes/volume.h"

/* --filter name=, label=, driver=, dangling=. -1 + err: there is no such filter. */
static int matches(const struct app *app, const struct volume *v, const struct strv *filters, struct err *err)
{
	bool ok = true;
	char by[64];
	for (size_t i = 0; i < filters->n; i++) {
		const char *f = filters->v[i];
		if (str_starts(f, "name="))
			ok &= strstr(v->name, f + 5) != NULL;
		else if (str_starts(f, "label="))
			ok &= cmd_has_label(v->labels, f + 6);
		else if (str_starts(f, "label!="))
			ok &= !cmd_has_label(v->labels, f + 7);
		else if (str_starts(f, "driver="))
			ok &= strcmp(f + 7, v->driver) == 0;
		else if (str_starts(f, "dangling="))
			ok &= cmd_volume_in_use(app, v->name, by) != (strcmp(f + 9, "true") == 0 || strcmp(f + 9, "1") == 0);
		else if (strcmp(f, "all=true") != 0 && strcmp(f, "all=1") != 0)
			return err_set(err, ERR_INVALID, "invalid filter \"%.60s\"", f);
	}
	return ok;
}

static char *mountpoint(const struct app *app, const char *name)
{
	return xasprintf("%s/volumes/%s/_data", app->paths.root, name);
}

int cmd_volume_ls(struct app *app)
{
	static const char *const headings[] = { "DRIVER", "VOLUME NAME" };
	static const char *const fields[] = { "Driver", "Name" };
	AUTO_JSON json_t *rows = json_array();
	struct volume *v = NULL;
	struct err err = {0};
	size_t n = 0;
	int rc = 0;
	if (cmd_paths(app, false))
		return 1;
	if (app->paths.root_fd >= 0 && volume_list(app->paths.root_fd, &v, &n, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < n && rc >= 0; i++) {
		AUTO_FREE char *labels = cmd_labels_text(v[i].labels), *where = mountpoint(app, v[i].name);
		char created[40];
		rc = matches(app, &v[i], cli_list(app->args, "filter"), &err);
		if (rc > 0)
			json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Driver", v[i].driver, "Name", v[i].name, "Labels", labels,
				"Scope", "local", "Mountpoint", where, "Project", json_get_str(v[i].labels, "com.docker.compose.project", ""), "CreatedAt",
				clock_rfc3339(v[i].created_ns, created)));
	}
	volume_list_free(v, n);
	if (rc < 0)
		return cmd_fail(app, &err);
	if (cli_bool(app->args, "quiet"))
		return cmd_print_field(app, rows, "Name");
	return cmd_print_rows(app, rows, headings, fields, ARRAY_SIZE(fields), 10);
}

int cmd_volume_create(struct app *app)
{
	const char *driver = cli_str(app->args, "driver"), *name = app->args->args.n ? app->args->args.v[0] : NULL;
	AUTO_JSON json_t *labels = cmd_given_labels(app);
	AUTO_FREE char *made = NULL;
	AUTO_STR struct str out = {0};
	char quoted[128];
	struct err err = {0};
	if (strcmp(driver, "local") != 0)
		return cmd_failf(app, "volume create: driver \"%s\" is not supported: local is", err_quote(quoted, sizeof(quoted), driver));
	if (cmd_paths(app, true))
		return 1;
	if (!app->dry_run && volume_create(app->paths.root_fd, name, labels, &made, &err) < 0)
		return cmd_fail(app, &err);
	str_addf(&out, "%s\n", made ? made : name ? name : "");
	return cmd_print(app, &out);
}

/* 0: the volume is there; 1: it is not; -1 + err: its name is none. */
static int missing_volume(const struct app *app, const char *name, struct err *err)
{
	struct volume v = {0};
	int rc = volume_lookup(app->paths.root_fd, name, &v, err);
	volume_done(&v);
	return rc;
}

int cmd_volume_rm(struct app *app)
{
	const struct strv *names = &app->args->args;
	struct err err;
	int rc = 0;
	if (cmd_paths(app, true))
		return 1;
	for (size_t i = 0; i < names->n; i++) {
		char by[64], quoted[128];
		int gone;
		if (cmd_volume_in_use(app, names->v[i], by)) {
			rc = cmd_failf(app, "volume %s is in use by %s", err_quote(quoted, sizeof(quoted), names->v[i]), by);
			continue;
		}
		gone = app->dry_run ? missing_volume(app, names->v[i], &err) : volume_remove(app->paths.root_fd, names->v[i], &err);
		if (gone < 0)
			rc = cmd_fail(app, &err);
		else if (gone > 0 && !cli_bool(app->args, "force"))
			rc = cmd_failf(app, "no such volume: %s", err_quote(quoted, sizeof(quoted), names->v[i]));
		else if (app->dry_run)
			cmd_dry_run(app, "Volume", names->v[i], "Remove");
		else
			printf("%s\n", names->v[i]);
	}
	return fflush(stdout) ? 1 : rc;
}

int cmd_volume_inspect(struct app *app)
{
	AUTO_JSON json_t *rows = json_array();
	AUTO_STR struct str out = {0};
	struct err err = {0};
	int rc = 0;
	if (cmd_paths(app, false))
		return 1;
	for (size_t i = 0; i < app->args->args.n; i++) {
		AUTO_FREE char *where = mountpoint(app, app->args->args.v[i]);
		struct volume v = {0};
		char quoted[128], created[40];
		int found = app->paths.root_fd < 0 ? 1 : volume_lookup(app->paths.root_fd, app->args->args.v[i], &v, &err);
		if (found < 0)
			rc = cmd_fail(app, &err);
		else if (found > 0)
			rc = cmd_failf(app, "no such volume: %s", err_quote(quoted, sizeof(quoted), app->args->args.v[i]));
		else
			json_array_append_new(rows, json_pack("{s:s, s:s, s:O, s:s, s:s, s:{}, s:s}", "CreatedAt", clock_rfc3339(v.created_ns, created),
				"Driver", v.driver, "Labels", v.labels, "Mountpoint", where, "Name", v.name, "Options", "Scope", "local"));
		if (found == 0)
			volume_done(&v);
	}
	if (cmd_format_inspect(cli_str(app->args, "format"), rows, &out, &err) < 0)
		return cmd_fail(app, &err);
	return cmd_print(app, &out) || rc;
}

int cmd_volume_prune(struct app *app)
{
	const struct strv *filters = cli_list(app->args, "filter");
	bool all = cli_bool(app->args, "all") || strv_has(filters, "all=true") || strv_has(filters, "all=1");
	AUTO_STR struct str out = {0};
	struct volume *v = NULL;
	struct err err = {0};
	uint64_t bytes = 0;
	char by[64], size[24];
	size_t n = 0;
	int rc = 0;
	if (cmd_paths(app, true))
		return 1;
	if (!cli_bool(app->args, "force") && !app->dry_run &&
	    !prune_confirm(all ? "This will remove all local volumes not used by at least one container." :
			       "This will remove anonymous local volumes not used by at least one container."))
		return 0;
	if (volume_list(app->paths.root_fd, &v, &n, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		int match = matches(app, &v[i], filters, &err);
		if (match < 0)
			rc = cmd_fail(app, &err);
		if (match <= 0 || (!all && !v[i].anonymous) || cmd_volume_in_use(app, v[i].name, by))
			continue;
		bytes += cmd_volume_bytes(app, v[i].name);
		if (!app->dry_run && volume_remove(app->paths.root_fd, v[i].name, &err) < 0)
			rc = cmd_fail(app, &err);
		else
			str_addf(&out, "%s%s\n", out.len ? "" : "Deleted Volumes:\n", v[i].name);
	}
	volume_list_free(v, n);
	str_addf(&out, "%sTotal reclaimed space: %s\n", out.len ? "\n" : "", table_human_bytes(bytes, size));
	return rc ? rc : cmd_print(app, &out);
}

static bool uses(const struct record *r, const char *name)
{
	for (size_t i = 0; i < r->n_mounts; i++)
		if (r->mounts[i].kind == MOUNT_VOLUME && str_eq(r->mounts[i].source, name))
			return true;
	return false;
}

/* Of the project, or of the services named: volumes that their containers use. */
int cmd_volumes(struct app *app)
{
	static const char *const headings[] = { "DRIVER", "VOLUME NAME" };
	static const char *const fields[] = { "Driver", "Name" };
	const struct strv *services = &app->args->args;
	AUTO_JSON json_t *rows = json_array();
	struct observed o = {0};
	struct volume *v = NULL;
	struct err err = {0};
	const char *project;
	size_t n = 0;
	int rc = cmd_observe(app, &project, &o);
	if (rc)
		return rc;
	rc = cmd_check_services(app, &o, services);
	if (rc == 0 && app->paths.root_fd >= 0 && volume_list(app->paths.root_fd, &v, &n, &err) < 0)
		rc = cmd_fail(app, &err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		AUTO_FREE char *labels = cmd_labels_text(v[i].labels), *where = mountpoint(app, v[i].name);
		size_t links = 0;
		bool ours = !services->n && str_eq(json_get_str(v[i].labels, "com.docker.compose.project", ""), project);
		for (size_t k = 0; k < o.n; k++)
			links += uses(o.containers[k], v[i].name) && (!services->n || strv_has(services, o.containers[k]->service));
		if (!links && !ours)
			continue;
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "Availability", "N/A", "Driver", v[i].driver,
			"Group", "N/A", "Labels", labels, "Links", "N/A", "Mountpoint", where, "Name", v[i].name, "Scope", "local", "Size", "N/A",
			"Status", "N/A"));
	}
	volume_list_free(v, n);
	observe_done(&o);
	if (rc)
		return rc;
	if (cli_bool(app->args, "quiet"))
		return cmd_print_field(app, rows, "Name");
	return cmd_print_rows(app, rows, headings, fields, ARRAY_SIZE(fields), 10);
}
