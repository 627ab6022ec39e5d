/* SPDX-License-Identifier: Apache-2.0 */
/* image inspect, history and tag. inspect's fields have docker's names, so that scripts written for it work; what docker derives from
 * its own storage (Parent, GraphDriver) is left out. */
#include <stdio.h>

#include "base/clock.h"
#include "compose/image_rows.h"
#include "compose/table.h"
#include "compose/table_template.h"
#include "images/store.h"
#include "spec/imageref.h"

static json_t *familiar_list(struct app *app, const struct strv *refs)
{
	json_t *list = json_array();
	for (size_t i = 0; i < refs->n; i++) {
		struct imageref ref;
		bool ok = imageref_parse(refs->v[i], app->arena, &ref, NULL) == 0;
		json_array_append_new(list, json_text(ok ? imageref_familiar(&ref, app->arena) : refs->v[i]));
	}
	return list;
}

static json_t *root_fs(const struct image *img)
{
	json_t *layers = json_array();
	for (size_t i = 0; i < img->diff_ids.n; i++) {
		AUTO_FREE char *id = xasprintf("sha256:%s", img->diff_ids.v[i]);
		json_array_append_new(layers, json_string(id));
	}
	return json_pack("{s:s, s:o}", "Type", "layers", "Layers", layers);
}

static json_t *describe(struct app *app, const struct image *img)
{
	AUTO_FREE char *id = xasprintf("sha256:%s", img->id);
	json_t *config = json_object_get(img->json, "config"), *j = json_object();
	json_put_str(j, "Id", id);
	json_object_set_new(j, "RepoTags", familiar_list(app, &img->refs));
	json_object_set_new(j, "RepoDigests", familiar_list(app, &img->digests));
	json_object_set_new(j, "Comment", json_text(json_get_str(img->json, "comment", "")));
	json_object_set_new(j, "Created", json_text(img->created));
	json_object_set_new(j, "Author", json_text(json_get_str(img->json, "author", "")));
	json_object_set_new(j, "Architecture", json_text(img->architecture));
	if (*img->variant)
		json_object_set_new(j, "Variant", json_text(img->variant));
	json_object_set_new(j, "Os", json_text(img->os));
	json_object_set_new(j, "Config", json_is_object(config) ? json_incref(config) : json_object());
	json_put_int(j, "Size", (int64_t)img->size_bytes);
	json_object_set_new(j, "RootFS", root_fs(img));
	return j;
}

int cmd_image_inspect(struct app *app)
{
	const char *format = cli_str(app->args, "format");
	const struct strv *names = &app->args->args;
	AUTO_STORE struct store *store = NULL;
	AUTO_JSON json_t *rows = json_array();
	AUTO_STR struct str out = {0};
	struct err err;
	int rc = 0;
	if (cmd_paths(app, true))
		return 1;
	if (store_open(app->paths.root_fd, &store, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < names->n; i++) {
		AUTO_IMAGE struct image img = {0};
		if (store_lookup(store, names->v[i], &img, &err) < 0)
			rc = cmd_fail(app, &err);
		else
			json_array_append_new(rows, describe(app, &img));
	}
	if (*format) {
		if (table_template_format(format, rows, NULL, &out, &err) < 0)
			return cmd_fail(app, &err);
	} else {
		AUTO_FREE char *text = json_dumps(rows, JSON_INDENT(4));
		str_addf(&out, "%s\n", text ? text : "[]");
	}
	return cmd_print(app, &out) || rc;
}

/* ---- history ---- */

static json_t *history_row(const struct app *app, const struct image *img, const json_t *entry, bool top, uint64_t size)
{
	const bool no_trunc = cli_bool(app->args, "no-trunc"), human = cli_bool(app->args, "human");
	const char *created = json_get_str(entry, "created", ""), *by = json_get_str(entry, "created_by", "");
	uint64_t at = image_created_ns(created), now = clock_real_ns();
	AUTO_FREE char *id = !top ? xstrdup("<missing>") : no_trunc ? xasprintf("sha256:%s", img->id) : xasprintf("%.12s", img->id);
	AUTO_FREE char *bytes = xasprintf("%llu", (unsigned long long)size), *since = NULL;
	AUTO_STR struct str command = {0};
	char age[40], shown[24];
	json_t *row = json_object();
	since = at ? xasprintf("%s ago", table_human_duration(now > at ? (now - at) / 1000000000 : 0, age)) : xstrdup("N/A");
	if (no_trunc)
		str_add(&command, by);
	else
		table_add_cut(&command, by, 45);
	json_put_str(row, "ID", id);
	json_put_str(row, "CreatedAt", created);
	json_put_str(row, "CreatedSince", human ? since : created);
	json_object_set_new(row, "CreatedBy", json_text(str_get(&command)));
	json_put_str(row, "Size", human ? table_human_bytes(size, shown) : bytes);
	json_object_set_new(row, "Comment", json_text(json_get_str(entry, "comment", "")));
	return row;
}

/* Newest first. Entries of the configuration's history that made a layer take the sizes of the layers in their order. */
static json_t *history_rows(const struct app *app, struct store *s, const struct image *img)
{
	json_t *rows = json_array(), *history = json_object_get(img->json, "history");
	const size_t n = json_array_size(history);
	size_t layer = 0;
	for (size_t i = 0; i < n; i++) {
		const json_t *entry = json_array_get(history, i);
		struct store_layer_info info = {0};
		if (!json_get_bool(entry, "empty_layer", false) && layer < img->diff_ids.n)
			store_layer_info(s, img->diff_ids.v[layer++], &info);
		json_array_insert_new(rows, 0, history_row(app, img, entry, i + 1 == n, info.size_bytes));
	}
	return rows;
}

int cmd_image_history(struct app *app)
{
	static const char *const headings[] = { "IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT" };
	static const char *const fields[] = { "ID", "CreatedSince", "CreatedBy", "Size", "Comment" };
	const char *format = cli_str(app->args, "format");
	AUTO_STORE struct store *store = NULL;
	AUTO_IMAGE struct image img = {0};
	AUTO_JSON json_t *rows = NULL;
	AUTO_STR struct str out = {0};
	struct table t;
	struct err err;
	if (cmd_paths(app, true))
		return 1;
	if (store_open(app->paths.root_fd, &store, &err) < 0 || store_lookup(store, app->args->args.v[0], &img, &err) < 0)
		return cmd_fail(app, &err);
	rows = history_rows(app, store, &img);
	if (!cli_bool(app->args, "quiet") && strcmp(format, "table") != 0) {
		if (table_template_format(format, rows, NULL, &out, &err) < 0)
			return cmd_fail(app, &err);
		return cmd_print(app, &out);
	}
	table_init(&t, ARRAY_SIZE(fields), 10, 3);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		table_cell(&t, headings[i]);
	for (size_t r = 0; r < json_array_size(rows); r++)
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			table_cell(&t, json_get_str(json_array_get(rows, r), fields[i], ""));
	if (cli_bool(app->args, "quiet"))
		for (size_t r = 0; r < json_array_size(rows); r++)
			str_addf(&out, "%s\n", json_get_str(json_array_get(rows, r), "ID", ""));
	else
		table_render(&t, &out);
	table_done(&t);
	return cmd_print(app, &out);
}

/* What the old name means, the new one means, too: of several platforms all. */
static int tag(struct store *store, const struct image *img, const char *from, const char *to, struct err *err)
{
	AUTO_STRV struct strv platforms = {0}, ids = {0};
	size_t i = 0;
	if (store_platforms(store, from, &platforms, &ids, NULL) < 0) /* an id */
		return store_tag(store, img->id, to, err);
	while (i < ids.n && strcmp(ids.v[i], img->id) != 0)
		i++;
	return i == ids.n ? store_tag(store, img->id, to, err) : store_set_platforms(store, to, &platforms, &ids, i, err);
}

int cmd_image_tag(struct app *app)
{
	const struct strv *args = &app->args->args;
	AUTO_STORE struct store *store = NULL;
	AUTO_IMAGE struct image img = {0};
	struct imageref ref;
	struct err err;
	if (imageref_parse(args->v[1], app->arena, &ref, &err) < 0)
		return cmd_fail(app, &err);
	if (ref.digest)
		return cmd_failf(app, "image tag: a digest is no name that can be given");
	if (cmd_paths(app, true))
		return 1;
	if (store_open(app->paths.root_fd, &store, &err) < 0 || store_lookup(store, args->v[0], &img, &err) < 0)
		return cmd_fail(app, &err);
	if (app->dry_run)
		return cmd_dry_run(app, "Image", args->v[1], "Tag");
	if (tag(store, &img, args->v[0], args->v[1], &err) < 0)
		return cmd_fail(app, &err);
	return 0;
}
