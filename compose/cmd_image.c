/* SPDX-License-Identifier: Apache-2.0 */
/* image inspect and image tag. inspect's fields have docker's names, so that scripts written for it work; what docker derives from
 * its own storage (Parent, GraphDriver) is left out. */
#include <stdio.h>

#include "compose/cmd.h"
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
	if (!app->dry_run && store_tag(store, img.id, args->v[1], &err) < 0)
		return cmd_fail(app, &err);
	return 0;
}
