/* SPDX-License-Identifier: Apache-2.0 */
/* images: what the project's containers were made from, screen and JSON as docker compose has them. A container's image is the one in its
 * record, whatever its name means by now; CREATED is when the image was made, LastTagTime when its name came to mean it. */
#include "compose/cmd.h"

#include <stdio.h>

#include "base/clock.h"
#include "compose/image_rows.h"
#include "compose/table.h"
#include "images/store.h"
#include "spec/imageref.h"

static json_t *used_image(struct app *app, struct store *store, const struct record *r)
{
	const char *id = json_get_str(r->image, "id", ""), *ref = json_get_str(r->image, "ref", "");
	AUTO_IMAGE struct image img = {0};
	AUTO_FREE char *platform = NULL;
	struct imageref parsed = {0}, name;
	uint64_t tagged = 0;
	char when[40];
	bool known = store && store_lookup(store, id, &img, NULL) == 0;
	json_t *row = json_object();
	if (imageref_parse(ref, app->arena, &parsed, NULL) == 0) {
		name = parsed;
		name.tag = name.digest = NULL;
		json_put_str(row, "Repository", imageref_familiar(&name, app->arena));
	} else {
		json_put_str(row, "Repository", "");
	}
	platform = known ? xasprintf("%s/%s%s%s", img.os, img.architecture, *img.variant ? "/" : "", img.variant) : xstrdup("");
	json_put_str(row, "ID", id);
	json_put_str(row, "ContainerName", r->name);
	json_put_str(row, "Tag", parsed.tag ? parsed.tag : parsed.repository && !parsed.digest ? "latest" : "");
	json_put_str(row, "Platform", platform);
	json_put_int(row, "Size", known ? (int64_t)img.size_bytes : 0);
	if (known && image_created_ns(img.created))
		json_put_str(row, "Created", img.created);
	if (store && store_tag_time(store, ref, &tagged, NULL) == 0)
		json_put_str(row, "LastTagTime", clock_rfc3339(tagged, when));
	return row;
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(json_get_str(*(json_t *const *)a, "ContainerName", ""), json_get_str(*(json_t *const *)b, "ContainerName", ""));
}

static void render_ids(json_t *const *rows, size_t n, struct str *ret)
{
	AUTO_STRV struct strv seen = {0};
	for (size_t i = 0; i < n; i++) {
		const char *id = json_get_str(rows[i], "ID", "");
		id = str_starts(id, "sha256:") ? id + 7 : id;
		if (strv_has(&seen, id))
			continue;
		strv_push(&seen, id);
		str_addf(ret, "%s\n", id);
	}
}

/* Docker compose's order of fields. */
static void render_json(json_t *const *rows, size_t n, struct str *ret)
{
	static const char *const fields[] = { "ID", "ContainerName", "Repository", "Tag", "Platform", "Size", "Created", "LastTagTime" };
	AUTO_JSON json_t *list = json_array();
	AUTO_FREE char *text = NULL;
	for (size_t i = 0; i < n; i++) {
		json_t *row = json_object();
		for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
			if (json_object_get(rows[i], fields[k]))
				json_object_set(row, fields[k], json_object_get(rows[i], fields[k]));
		json_array_append_new(list, row);
	}
	text = json_dumps(list, JSON_COMPACT);
	if (!text)
		util_oom();
	str_addf(ret, "%s\n", text);
}

static const char *or_none(const char *text)
{
	return *text ? text : "<none>";
}

static void render_table(json_t *const *rows, size_t n, struct str *ret)
{
	static const char *const headings[] = { "CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED" };
	const uint64_t now = clock_real_ns();
	struct table t;
	table_init(&t, ARRAY_SIZE(headings), 20, 3);
	for (size_t i = 0; i < ARRAY_SIZE(headings); i++)
		table_cell(&t, headings[i]);
	for (size_t i = 0; i < n; i++) {
		const char *id = json_get_str(rows[i], "ID", ""), *repository = json_get_str(rows[i], "Repository", "");
		const char *tag = json_get_str(rows[i], "Tag", "");
		const uint64_t created = image_created_ns(json_get_str(rows[i], "Created", ""));
		char size[24], age[40];
		table_cell(&t, json_get_str(rows[i], "ContainerName", ""));
		table_cell(&t, or_none(repository));
		table_cell(&t, or_none(tag));
		table_cell(&t, json_get_str(rows[i], "Platform", ""));
		table_cellf(&t, "%.12s", str_starts(id, "sha256:") ? id + 7 : id);
		table_cell(&t, table_human_bytes((uint64_t)json_get_int(rows[i], "Size", 0), size));
		if (created)
			table_cellf(&t, "%s ago", table_human_duration(now > created ? (now - created) / 1000000000 : 0, age));
		else
			table_cell(&t, "N/A");
	}
	table_render(&t, ret);
	table_done(&t);
}

int cmd_images(struct app *app)
{
	const struct cli_args *a = app->args;
	const char *format = cli_str(a, "format"), *project;
	AUTO_STORE struct store *store = NULL;
	AUTO_STR struct str out = {0};
	struct observed o = {0};
	json_t **rows = NULL;
	struct err err;
	char quoted[80];
	size_t n = 0;
	int rc;
	if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0)
		return cmd_failf(app, "images: format \"%s\": table or json", err_quote(quoted, sizeof(quoted), format));
	rc = cmd_observe(app, &project, &o);
	if (rc == 0)
		rc = cmd_check_services(app, &o, &a->args);
	if (rc == 0 && app->paths.root_fd >= 0 && store_open(app->paths.root_fd, &store, &err) < 0)
		rc = cmd_fail(app, &err);
	if (rc == 0)
		rows = xcalloc(o.n, sizeof(*rows)); /* NOLINT: an array of pointers */
	for (size_t i = 0; rc == 0 && i < o.n; i++)
		if (a->args.n == 0 || strv_has(&a->args, o.containers[i]->service))
			rows[n++] = used_image(app, store, o.containers[i]);
	if (n > 1)
		qsort(rows, n, sizeof(*rows), compare_rows); /* NOLINT: an array of pointers */
	if (rc == 0 && cli_bool(a, "quiet"))
		render_ids(rows, n, &out);
	else if (rc == 0 && strcmp(format, "json") == 0)
		render_json(rows, n, &out);
	else if (rc == 0)
		render_table(rows, n, &out);
	if (rc == 0)
		rc = cmd_print(app, &out);
	for (size_t i = 0; i < n; i++)
		json_decref(rows[i]);
	free(rows);
	observe_done(&o);
	return rc;
}
