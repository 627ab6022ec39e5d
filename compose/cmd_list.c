/* SPDX-License-Identifier: Apache-2.0 */
/* image, debug, and how lists are printed: what lies below a state root. Removing asks first who uses a thing: every container's record of
 * every project counts, running or not. */
#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "compose/desired.h"
#include "compose/image_client.h"
#include "compose/image_rows.h"
#include "compose/oci_dir.h"
#include "compose/project.h"
#include "compose/table.h"
#include "compose/table_template.h"
#include "volumes/volume.h"

/* Prints rows as --format wants: the table of `fields` under `headings`, or json or a template. */
int cmd_print_rows(const struct app *app, const json_t *rows, const char *const *headings, const char *const *fields, size_t n, size_t min)
{
	const char *format = cli_str(app->args, "format");
	AUTO_STR struct str out = {0};
	struct table t;
	struct err err;
	if (strcmp(format, "table") != 0) {
		if (table_template_format(format, rows, NULL, &out, &err) < 0)
			return cmd_fail(app, &err);
		return cmd_print(app, &out);
	}
	table_init(&t, n, min, 3);
	for (size_t i = 0; i < n; i++)
		table_cell(&t, headings[i]);
	for (size_t r = 0; r < json_array_size(rows); r++)
		for (size_t i = 0; i < n; i++)
			table_cell(&t, json_get_str(json_array_get(rows, r), fields[i], ""));
	table_render(&t, &out);
	table_done(&t);
	return cmd_print(app, &out);
}

int cmd_print_field(const struct app *app, const json_t *rows, const char *field)
{
	AUTO_STR struct str out = {0};
	for (size_t i = 0; i < json_array_size(rows); i++)
		str_addf(&out, "%s\n", json_get_str(json_array_get(rows, i), field, ""));
	return cmd_print(app, &out);
}

int cmd_format_inspect(const char *format, const json_t *rows, struct str *ret, struct err *err)
{
	AUTO_FREE char *text = NULL;
	if (*format && strcmp(format, "json") != 0)
		return table_template_format(format, rows, NULL, ret, err);
	text = json_dumps(rows, *format ? JSON_COMPACT : JSON_INDENT(4));
	str_addf(ret, "%s\n", text ? text : "[]");
	return 0;
}

/* Calls fn for every container of every project; stops when it returns true. */
static bool each_container(const struct app *app, bool (*fn)(void *arg, const struct record *r), void *arg)
{
	AUTO_STRV struct strv projects = {0};
	bool found = false;
	observe_projects(&app->paths, &projects, NULL);
	for (size_t i = 0; i < projects.n && !found; i++) {
		struct observed o = {0};
		if (observe_project(&app->paths, projects.v[i], &o, NULL) < 0)
			continue;
		for (size_t k = 0; k < o.n && !found; k++)
			found = fn(arg, o.containers[k]);
		observe_done(&o);
	}
	return found;
}

struct use {
	const char *what;   /* image id or volume name */
	char *by;           /* room for 64 */
};

static bool uses_image(void *arg, const struct record *r)
{
	struct use *u = arg;
	const char *id = json_get_str(r->image, "id", "");
	if (strcmp(str_starts(id, "sha256:") ? id + 7 : id, u->what) != 0)
		return false;
	snprintf(u->by, 64, "container %.40s", r->name);
	return true;
}

bool cmd_image_in_use(void *arg, const char *id, char by[static 64])
{
	struct use u = { id, by };
	return each_container(arg, uses_image, &u);
}

static void image_event(void *arg, const struct image_event *ev)
{
	const struct app *app = arg;
	if (ev->kind == IMAGE_WARNING)
		cmd_warn(app, "%s", ev->text);
	else if (ev->kind == IMAGE_LOADED && !(cli_has(app->args, "quiet") && cli_bool(app->args, "quiet")))
		printf(ev->ref ? "Loaded image: %s\n" : "Loaded image ID: sha256:%s\n", ev->ref ? ev->ref : ev->id);
}

/* Opens FILE, "-" or "" being standard input. */
static int open_input(const struct app *app, const char *path)
{
	int fd = strcmp(path, "-") == 0 || !*path ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		cmd_failf(app, "open %s: %s", path, strerror(errno));
	return fd;
}

int cmd_image_import(struct app *app)
{
	const struct strv *args = &app->args->args;
	AUTO_CLOSE int fd = -1;
	char id[65];
	struct err err;
	if (strcmp(args->v[0], "-") == 0 && isatty(0))
		return cmd_failf(app, "image import: standard input is a terminal: redirect an archive to it");
	fd = open_input(app, args->v[0]);
	if (fd < 0 || cmd_paths(app, true))
		return 1;
	if (app->dry_run)
		return cmd_dry_run(app, "Image", args->v[1], "Import");
	if (image_client_import(app->paths.root_fd, fd, args->v[1], (const char *const *)cli_list(app->args, "change")->v, NULL, image_event, app,
				id, &err) < 0)
		return cmd_fail(app, &err);
	printf("sha256:%s\n", id);
	return fflush(stdout) ? 1 : 0;
}

int cmd_image_load(struct app *app)
{
	const char *path = cli_str(app->args, "input");
	AUTO_CLOSE int fd = -1;
	pid_t writer = 0;
	int rc;
	struct err err;
	if (!*path && isatty(0))
		return cmd_failf(app, "image load: standard input is a terminal: redirect an archive to it or use --input FILE");
	fd = open_input(app, path);
	if (fd < 0 || cmd_paths(app, true))
		return 1;
	if (app->dry_run)
		return cmd_dry_run(app, "Archive", *path ? path : "-", "Load");
	if (oci_dir_read(&fd, &writer, &err) < 0)
		return cmd_fail(app, &err);
	rc = image_client_load(app->paths.root_fd, fd, cli_str(app->args, "platform"), image_event, app, &err);
	util_close(&fd); /* a writer that nobody reads from any more ends */
	fflush(stdout);
	if (oci_dir_end(writer, rc < 0 ? NULL : &err) < 0)
		rc = -1;
	return rc < 0 ? cmd_fail(app, &err) : 0;
}

/* The digest that goes with a reference: of the same repository, when the image has one. */
static const char *digest_beside(const struct image *img, const char *ref)
{
	const char *colon = strrchr(ref, ':');
	size_t n = colon ? (size_t)(colon - ref) : strlen(ref);
	for (size_t i = 0; i < img->digests.n; i++)
		if (strncmp(img->digests.v[i], ref, n) == 0 && img->digests.v[i][n] == '@')
			return img->digests.v[i] + n + 1;
	return NULL;
}

static void add_image_rows(struct app *app, const struct image_filter *f, const struct image *img, json_t *rows)
{
	bool no_trunc = cli_bool(app->args, "no-trunc");
	if (!image_filter_match(f, img))
		return;
	for (size_t k = 0; k < img->refs.n; k++)
		if (image_filter_match_ref(f, img->refs.v[k]))
			json_array_append_new(rows, image_row(app, img, img->refs.v[k], digest_beside(img, img->refs.v[k]), no_trunc));
	for (size_t k = 0; k < img->digests.n && img->refs.n == 0; k++)
		if (image_filter_match_ref(f, img->digests.v[k]))
			json_array_append_new(rows, image_row(app, img, img->digests.v[k], NULL, no_trunc));
	if (img->refs.n == 0 && img->digests.n == 0 && image_filter_match_ref(f, NULL))
		json_array_append_new(rows, image_row(app, img, NULL, NULL, no_trunc));
}

/* `image ls [REPOSITORY[:TAG]]`: the argument is a reference filter. */
static int parse_image_filter(struct app *app, struct store *s, struct image_filter *ret, struct err *err)
{
	int rc = image_filter_parse(cli_list(app->args, "filter"), "before dangling label reference since until", s, ret, err);
	if (rc == 0 && app->args->args.n)
		strv_push(&ret->references, app->args->args.v[0]);
	return rc;
}

int cmd_image_ls(struct app *app)
{
	static const char *const headings[] = { "REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE" };
	static const char *const fields[] = { "Repository", "Tag", "ID", "CreatedSince", "Size" };
	static const char *const digest_headings[] = { "REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE" };
	static const char *const digest_fields[] = { "Repository", "Tag", "Digest", "ID", "CreatedSince", "Size" };
	AUTO_STORE struct store *store = NULL;
	AUTO_JSON json_t *rows = json_array();
	struct image_filter filter = {0};
	struct image *images = NULL;
	struct err err;
	size_t n = 0;
	if (cmd_paths(app, false))
		return 1;
	if (app->paths.root_fd >= 0 && (store_open(app->paths.root_fd, &store, &err) < 0 || parse_image_filter(app, store, &filter, &err) < 0 ||
					store_list(store, &images, &n, &err) < 0))
		return cmd_fail(app, &err);
	for (size_t i = 0; i < n; i++)
		add_image_rows(app, &filter, &images[i], rows);
	image_filter_done(&filter);
	store_list_free(images, n);
	if (cli_bool(app->args, "quiet"))
		return cmd_print_field(app, rows, "ID");
	if (cli_bool(app->args, "digests"))
		return cmd_print_rows(app, rows, digest_headings, digest_fields, ARRAY_SIZE(digest_fields), 10);
	return cmd_print_rows(app, rows, headings, fields, ARRAY_SIZE(fields), 10);
}

int cmd_image_rm(struct app *app)
{
	const struct strv *names = &app->args->args;
	const char *dry = app->dry_run ? "DRY-RUN MODE - " : "";
	struct err err;
	int rc = 0;
	if (cmd_paths(app, true))
		return 1;
	for (size_t i = 0; i < names->n; i++) {
		struct store_removed removed = {0};
		if (image_client_remove(app->paths.root_fd, names->v[i], cli_bool(app->args, "force"), app->dry_run, cmd_image_in_use, app, &removed, &err) < 0)
			rc = cmd_fail(app, &err);
		for (size_t k = 0; k < removed.untagged.n; k++)
			printf("%sUntagged: %s\n", dry, removed.untagged.v[k]);
		for (size_t k = 0; k < removed.deleted.n; k++)
			printf("%sDeleted: %s\n", dry, removed.deleted.v[k]);
		store_removed_done(&removed);
	}
	return fflush(stdout) ? 1 : rc;
}

static bool uses_volume(void *arg, const struct record *r)
{
	struct use *u = arg;
	for (size_t i = 0; i < r->n_mounts; i++)
		if (r->mounts[i].kind == MOUNT_VOLUME && str_eq(r->mounts[i].source, u->what)) {
			snprintf(u->by, 64, "container %.40s", r->name);
			return true;
		}
	return false;
}

bool cmd_volume_in_use(const struct app *app, const char *name, char by[static 64])
{
	struct use u = { name, by };
	return each_container(app, uses_volume, &u);
}

static bool debug_container(void *arg, const struct record *r)
{
	struct str *out = arg;
	str_addf(out, "container %s %.12s %s pid %d generation %llu/%llu restarts %u%s%s\n", r->name, r->id, status_names[r->status], (int)r->pid,
		 (unsigned long long)r->started_generation, (unsigned long long)r->generation, r->restarts, r->error ? " error: " : "",
		 r->error ? r->error : "");
	return false;
}

int cmd_debug_report(struct app *app)
{
	AUTO_STR struct str out = {0};
	AUTO_STRV struct strv projects = {0};
	static const char *const binaries[] = { "muster-run", "muster-image" };
	if (cmd_paths(app, false))
		return 1;
	str_addf(&out, "version %s\nroot %s\nrun root %s\nrootid %s\n", MUSTER_VERSION, app->paths.root, app->paths.run, app->paths.rootid);
	for (size_t i = 0; i < ARRAY_SIZE(binaries); i++) {
		struct err err;
		AUTO_FREE char *path = paths_binary(binaries[i], &err);
		str_addf(&out, "%s %s\n", binaries[i], path ? path : err.msg);
	}
	observe_projects(&app->paths, &projects, NULL);
	for (size_t i = 0; i < projects.n; i++) {
		struct observed o = {0};
		if (observe_project(&app->paths, projects.v[i], &o, NULL) == 0)
			str_addf(&out, "project %s: %zu containers, %ssupervised, %zu damaged records, in %s\n", projects.v[i], o.n,
				 o.supervised ? "" : "not ", o.torn.n, o.working_dir ? o.working_dir : "");
		observe_done(&o);
	}
	each_container(app, debug_container, &out);
	return cmd_print(app, &out);
}
