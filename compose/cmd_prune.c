/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the way on the disk, and how it goes: image prune, image verify, system df. What a container uses, running or not, always stays. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "compose/cmd.h"
#include "compose/image_client.h"
#include "compose/image_rows.h"
#include "compose/prune.h"
#include "compose/table.h"
#include "compose/table_template.h"
#include "volumes/volume.h"

bool prune_confirm(const char *warning)
{
	char line[16];
	fprintf(stderr, "WARNING! %s\nAre you sure you want to continue? [y/N] ", warning);
	return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

/* ---- images ---- */

static int prune_image(struct app *app, struct store *s, const struct image *img, struct pruned *ret)
{
	struct store_removed removed = {0};
	struct err err;
	int rc = (app->dry_run ? store_preview_remove : store_remove)(s, img->id, true, cmd_image_in_use, app, &removed, &err);
	if (rc < 0 && err.code != ERR_NOT_FOUND && err.code != ERR_CONFLICT)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < removed.untagged.n; i++)
		strv_pushf(&ret->lines, "untagged: %s", removed.untagged.v[i]);
	for (size_t i = 0; i < removed.deleted.n; i++)
		strv_pushf(&ret->lines, "deleted: %s", removed.deleted.v[i]);
	ret->bytes += removed.bytes;
	store_removed_done(&removed);
	return 0;
}

int prune_images(struct app *app, struct store *s, bool all, const struct image_filter *f, struct pruned *ret)
{
	struct image *images = NULL;
	struct err err;
	size_t n = 0;
	int rc = 0;
	if (store_list(s, &images, &n, &err) < 0)
		return cmd_fail(app, &err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		char by[64];
		bool dangling = images[i].refs.n == 0 && images[i].digests.n == 0;
		if ((all || dangling) && image_filter_match(f, &images[i]) && !cmd_image_in_use(app, images[i].id, by))
			rc = prune_image(app, s, &images[i], ret);
	}
	store_list_free(images, n);
	if (rc == 0 && !app->dry_run && store_collect(s, 0, &ret->bytes, &err) < 0)
		rc = cmd_fail(app, &err);
	return rc;
}

static int print_pruned(const struct app *app, const char *heading, const struct pruned *p)
{
	AUTO_STR struct str out = {0};
	char size[24];
	if (p->lines.n && heading)
		str_addf(&out, "%s\n", heading);
	for (size_t i = 0; i < p->lines.n; i++)
		str_addf(&out, "%s\n", p->lines.v[i]);
	str_addf(&out, "%sTotal reclaimed space: %s\n", p->lines.n ? "\n" : "", table_human_bytes(p->bytes, size));
	return cmd_print(app, &out);
}

int cmd_image_prune(struct app *app)
{
	bool all = cli_bool(app->args, "all");
	AUTO_STORE struct store *s = NULL;
	struct image_filter f;
	struct pruned p = {0};
	struct err err;
	int rc;
	if (cmd_paths(app, true))
		return 1;
	if (store_open(app->paths.root_fd, &s, &err) < 0 || image_filter_parse(cli_list(app->args, "filter"), "dangling label until", s, &f, &err) < 0)
		return cmd_fail(app, &err);
	if (f.dangling == 0)
		all = true;
	f.dangling = -1;
	if (!cli_bool(app->args, "force") && !app->dry_run &&
	    !prune_confirm(all ? "This will remove all images without at least one container associated to them." : "This will remove all dangling images.")) {
		image_filter_done(&f);
		return 0;
	}
	rc = prune_images(app, s, all, &f, &p);
	if (rc == 0)
		rc = print_pruned(app, "Deleted Images:", &p);
	strv_done(&p.lines);
	image_filter_done(&f);
	return rc;
}

static void tell_fault(void *arg, const struct image_event *ev)
{
	(void)arg;
	if (ev->kind == IMAGE_WARNING)
		printf("%s\n", ev->text);
}

int cmd_image_verify(struct app *app)
{
	char *argv[] = { (char *)(uintptr_t)"muster-image", (char *)(uintptr_t)"verify", NULL, NULL };
	struct err err;
	int rc, fd;
	if (cmd_paths(app, true))
		return 1;
	if (cli_bool(app->args, "repair") && !app->dry_run)
		argv[2] = (char *)(uintptr_t)"--repair";
	fd = dup(1);
	rc = image_client_run(app->paths.root_fd, fd, -1, argv, tell_fault, app, NULL, &err);
	close(fd);
	if (fflush(stdout))
		return 1;
	return rc < 0 ? cmd_fail(app, &err) : 0;
}

/* ---- what it all takes ---- */

uint64_t prune_tree_bytes(int dir_fd, const char *name, dev_t dev, int depth)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;
	uint64_t sum = 0;
	if (!d) {
		util_close(&fd);
		return 0;
	}
	if (fstat(fd, &st) == 0 && (dev == 0 || st.st_dev == dev))
		while ((e = readdir(d))) {
			struct stat in;
			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || fstatat(fd, e->d_name, &in, AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			if (S_ISREG(in.st_mode))
				sum += (uint64_t)in.st_size / MAX((uint64_t)in.st_nlink, 1);
			else if (S_ISDIR(in.st_mode) && depth < 1000)
				sum += prune_tree_bytes(fd, e->d_name, st.st_dev, depth + 1);
		}
	closedir(d);
	return sum;
}

uint64_t cmd_volume_bytes(const struct app *app, const char *name)
{
	AUTO_FREE char *path = xasprintf("volumes/%s/_data", name);
	return prune_tree_bytes(app->paths.root_fd, path, 0, 0);
}

struct usage {
	const char *type;
	size_t total, active;
	uint64_t bytes, reclaimable;
	json_t *rows;              /* --verbose */
};

/* Layers that are shared count once; those that only unused images need can be had back. Blobs of the layout likewise. */
static int use_images(struct app *app, struct usage *u, struct err *err)
{
	AUTO_STORE struct store *s = NULL;
	AUTO_MAP struct map all = {0}, needed = {0};
	struct image *images = NULL;
	size_t n = 0;
	if (store_open(app->paths.root_fd, &s, err) < 0 || store_list(s, &images, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		char by[64];
		bool used = cmd_image_in_use(app, images[i].id, by);
		u->total++;
		u->active += used;
		for (size_t k = 0; k < images[i].diff_ids.n; k++) {
			map_put(&all, images[i].diff_ids.v[k], &all);
			if (used)
				map_put(&needed, images[i].diff_ids.v[k], &needed);
		}
		if (store_image_blobs(s, images[i].id, &all) == 0 && used)
			store_image_blobs(s, images[i].id, &needed);
		json_array_append_new(u->rows, image_row(app, &images[i], images[i].refs.n ? images[i].refs.v[0] : NULL, NULL, false));
	}
	store_list_free(images, n);
	for (struct map_entry *e = map_next(&all, NULL); e; e = map_next(&all, e)) {
		struct store_layer_info info;
		uint64_t blob = 0;
		store_layer_info(s, e->key, &info);
		oci_has(store_oci(s), e->key, &blob);
		u->bytes += info.size_bytes + blob;
		u->reclaimable += map_get(&needed, e->key) ? 0 : info.size_bytes + blob;
	}
	return 0;
}

static void use_container(struct app *app, const struct record *r, struct usage *u)
{
	AUTO_FREE char *path = xasprintf("projects/%s/c/%.12s/upper", r->project, r->id);
	uint64_t bytes = prune_tree_bytes(app->paths.root_fd, path, 0, 0);
	bool alive = r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING;
	char size[24];
	u->total++;
	u->active += alive;
	u->bytes += bytes;
	u->reclaimable += alive ? 0 : bytes;
	json_array_append_new(u->rows, json_pack("{s:s#, s:s, s:s, s:s, s:s}", "ID", r->id, 12, "Name", r->name, "Image",
						 json_get_str(r->image, "ref", ""), "Status", status_names[r->status], "Size", table_human_bytes(bytes, size)));
}

static int each_record(struct app *app, void (*fn)(struct app *app, const struct record *r, struct usage *u), struct usage *u, struct err *err)
{
	AUTO_STRV struct strv projects = {0};
	if (observe_projects(&app->paths, &projects, err) < 0)
		return -1;
	for (size_t i = 0; i < projects.n; i++) {
		struct observed o = {0};
		if (observe_project(&app->paths, projects.v[i], &o, NULL) < 0)
			continue;
		for (size_t k = 0; k < o.n; k++)
			fn(app, o.containers[k], u);
		observe_done(&o);
	}
	return 0;
}

static int use_volumes(struct app *app, struct usage *u, struct err *err)
{
	struct volume *v = NULL;
	size_t n = 0;
	if (volume_list(app->paths.root_fd, &v, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = cmd_volume_bytes(app, v[i].name);
		char by[64], size[24];
		bool used = cmd_volume_in_use(app, v[i].name, by);
		u->total++;
		u->active += used;
		u->bytes += bytes;
		u->reclaimable += used ? 0 : bytes;
		json_array_append_new(u->rows, json_pack("{s:s, s:i, s:s}", "Name", v[i].name, "Links", used ? 1 : 0, "Size", table_human_bytes(bytes, size)));
	}
	volume_list_free(v, n);
	return 0;
}

/* Layers that are pinned and in no image, and the builder's own files. */
static int use_cache(struct app *app, struct usage *u, struct err *err)
{
	AUTO_STORE struct store *s = NULL;
	AUTO_STRV struct strv pins = {0};
	if (store_open(app->paths.root_fd, &s, err) < 0 || store_cached_layers(s, &pins, err) < 0)
		return -1;
	for (size_t i = 0; i < pins.n; i++) {
		struct store_layer_info info;
		store_layer_info(s, pins.v[i], &info);
		u->bytes += info.size_bytes;
	}
	u->total = pins.n;
	u->bytes += prune_tree_bytes(app->paths.root_fd, "buildcache", 0, 0);
	u->reclaimable = u->bytes;
	return 0;
}

static int measure(struct app *app, struct usage *u, struct err *err)
{
	if (use_images(app, &u[0], err) < 0 || each_record(app, use_container, &u[1], err) < 0 || use_volumes(app, &u[2], err) < 0)
		return -1;
	return use_cache(app, &u[3], err);
}

static json_t *usage_row(const struct usage *u)
{
	char size[24], back[24];
	AUTO_FREE char *reclaimable = xasprintf("%s (%llu%%)", table_human_bytes(u->reclaimable, back),
		(unsigned long long)(u->bytes ? 100 * u->reclaimable / u->bytes : 0));
	AUTO_FREE char *total = xasprintf("%zu", u->total), *active = xasprintf("%zu", u->active);
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "Type", u->type, "TotalCount", total, "Active", active, "Size", table_human_bytes(u->bytes, size),
		"Reclaimable", u->bytes ? reclaimable : "0B");
}

static void add_table(struct str *out, const json_t *rows, const char *const *headings, const char *const *fields, size_t n)
{
	struct table t;
	table_init(&t, n, 10, 3);
	for (size_t i = 0; i < n; i++)
		table_cell(&t, headings[i]);
	for (size_t r = 0; r < json_array_size(rows); r++)
		for (size_t i = 0; i < n; i++) {
			const json_t *v = json_object_get(json_array_get(rows, r), fields[i]);
			if (json_is_integer(v))
				table_cellf(&t, "%lld", (long long)json_integer_value(v));
			else
				table_cell(&t, json_is_string(v) ? json_string_value(v) : "");
		}
	table_render(&t, out);
	table_done(&t);
}

static void add_verbose(struct str *out, const struct usage *u)
{
	static const char *const image_headings[] = { "REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE" };
	static const char *const image_fields[] = { "Repository", "Tag", "ID", "CreatedSince", "Size" };
	static const char *const container_headings[] = { "CONTAINER ID", "IMAGE", "SIZE", "STATUS", "NAMES" };
	static const char *const container_fields[] = { "ID", "Image", "Size", "Status", "Name" };
	static const char *const volume_headings[] = { "VOLUME NAME", "LINKS", "SIZE" };
	static const char *const volume_fields[] = { "Name", "Links", "Size" };
	char size[24];
	str_add(out, "Images space usage:\n\n");
	add_table(out, u[0].rows, image_headings, image_fields, ARRAY_SIZE(image_fields));
	str_add(out, "\nContainers space usage:\n\n");
	add_table(out, u[1].rows, container_headings, container_fields, ARRAY_SIZE(container_fields));
	str_add(out, "\nLocal Volumes space usage:\n\n");
	add_table(out, u[2].rows, volume_headings, volume_fields, ARRAY_SIZE(volume_fields));
	str_addf(out, "\nBuild cache usage: %s\n", table_human_bytes(u[3].bytes, size));
}

int cmd_system_df(struct app *app)
{
	static const char *const headings[] = { "TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE" };
	static const char *const fields[] = { "Type", "TotalCount", "Active", "Size", "Reclaimable" };
	struct usage u[] = { { .type = "Images" }, { .type = "Containers" }, { .type = "Local Volumes" }, { .type = "Build Cache" } };
	const char *format = cli_str(app->args, "format");
	AUTO_JSON json_t *rows = json_array();
	AUTO_STR struct str out = {0};
	struct err err;
	int rc;
	if (cmd_paths(app, true))
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(u); i++)
		u[i].rows = json_array();
	rc = measure(app, u, &err);
	for (size_t i = 0; i < ARRAY_SIZE(u); i++)
		json_array_append_new(rows, usage_row(&u[i]));
	if (rc == 0 && strcmp(format, "table") != 0)
		rc = table_template_format(format, rows, NULL, &out, &err);
	else if (rc == 0 && cli_bool(app->args, "verbose"))
		add_verbose(&out, u);
	else if (rc == 0)
		add_table(&out, rows, headings, fields, ARRAY_SIZE(fields));
	for (size_t i = 0; i < ARRAY_SIZE(u); i++)
		json_decref(u[i].rows);
	return rc < 0 ? cmd_fail(app, &err) : cmd_print(app, &out);
}
