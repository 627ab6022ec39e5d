/* SPDX-License-Identifier: Apache-2.0 */
/* system prune, in docker's order: stopped containers, networks that nothing is on, anonymous volumes (--volumes), images, build cache. Only our
 * own things are looked at: containers and networks go through the supervisor of their project, which decides again what is unused when its
 * turn has come, so a container that another command starts meanwhile keeps what it needs. A network that a stopped container is to come
 * back to is in use, too: it only goes when a filter does not keep that container. */
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fs.h"
#include "compose/prune.h"
#include "compose/table.h"
#include "images/build/cache.h"
#include "volumes/volume.h"

enum { NS_PER_S = 1000000000 };

struct sweep {
	struct app *app;
	struct image_filter filter;
	bool all, volumes;
	struct strv busy;       /* networks that a running container of any project is on */
	struct strv containers, networks, volume_names;
	struct pruned images;   /* and all bytes */
	size_t n_cache;         /* records of the build cache that went */
};

static bool labels_match(const struct image_filter *f, const json_t *labels)
{
	for (size_t i = 0; i < f->labels.n; i++)
		if (!cmd_has_label(labels, f->labels.v[i]))
			return false;
	for (size_t i = 0; i < f->no_labels.n; i++)
		if (cmd_has_label(labels, f->no_labels.v[i]))
			return false;
	return true;
}

static bool matches(const struct image_filter *f, const json_t *labels, uint64_t created_ns)
{
	return labels_match(f, labels) && (!f->before_ns || (created_ns && created_ns < f->before_ns));
}

/* ---- containers and networks ---- */

static bool is_alive(const struct record *r)
{
	return r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING;
}

static void note_busy(struct sweep *w, const struct observed *o)
{
	for (size_t i = 0; i < o->n; i++)
		for (size_t k = 0; is_alive(o->containers[i]) && k < o->containers[i]->n_endpoints; k++)
			strv_push(&w->busy, o->containers[i]->endpoints[k].network_name);
}

/* Ids of the containers that go; their names and bytes are noted. */
static void choose_containers(struct sweep *w, const struct observed *o, struct strv *ret_ids)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct record *r = o->containers[i];
		AUTO_FREE char *path = xasprintf("projects/%s/c/%.12s/upper", r->project, r->id);
		if ((r->status != STATUS_CREATED && r->status != STATUS_EXITED) || !matches(&w->filter, r->labels, r->created_ns))
			continue;
		w->images.bytes += prune_tree_bytes(w->app->paths.root_fd, path, 0, 0);
		strv_push(ret_ids, r->id);
		strv_push(&w->containers, r->id);
	}
}

/* A container that stays names it in its configuration. */
static bool is_wanted(const struct observed *o, const struct strv *ids, const char *key)
{
	for (size_t i = 0; i < o->n; i++)
		if (!strv_has(ids, o->containers[i]->id) && json_object_get(json_object_get(o->containers[i]->config, "networks"), key))
			return true;
	return false;
}

/* {NAME: KEY} of the project's networks that go. */
static json_t *choose_networks(struct sweep *w, const char *project, const struct observed *o, const struct strv *ids)
{
	AUTO_CLOSE int fd = paths_project(&w->app->paths, project, false, NULL);
	AUTO_JSON json_t *known = NULL;
	json_t *chosen = json_object(), *j;
	const char *name;
	if (fd < 0 || json_read_file(fd, "networks.json", &known, NULL) != 0)
		return chosen;
	json_object_foreach(known, name, j) {
		const char *key = json_get_str(j, "key", name);
		if (json_object_get(j, "owner") || !if_nametoindex(json_get_str(j, "bridge", "-")) || strv_has(&w->busy, name) || is_wanted(o, ids, key) ||
		    !matches(&w->filter, json_object_get(j, "labels"), (uint64_t)json_get_int(j, "created_ns", 0)))
			continue;
		json_object_set_new(chosen, name, json_text(key));
		strv_push(&w->networks, name);
	}
	return chosen;
}

static int prune_project(struct sweep *w, const char *project)
{
	AUTO_STRV struct strv ids = {0};
	struct observed o = {0};
	json_t *networks;
	if (observe_project(&w->app->paths, project, &o, NULL) < 0)
		return 0;
	choose_containers(w, &o, &ids);
	networks = choose_networks(w, project, &o, &ids);
	observe_done(&o);
	if ((ids.n || json_object_size(networks)) && !w->app->dry_run)
		return cmd_remove_unused(w->app, project, &ids, networks);
	json_decref(networks);
	return 0;
}

static int prune_projects(struct sweep *w)
{
	AUTO_STRV struct strv projects = {0};
	struct err err;
	int rc = 0;
	if (observe_projects(&w->app->paths, &projects, &err) < 0)
		return cmd_fail(w->app, &err);
	for (size_t i = 0; i < projects.n; i++) {
		struct observed o = {0};
		if (observe_project(&w->app->paths, projects.v[i], &o, NULL) == 0)
			note_busy(w, &o);
		observe_done(&o);
	}
	for (size_t i = 0; i < projects.n && rc == 0; i++)
		rc = prune_project(w, projects.v[i]);
	return rc;
}

/* ---- volumes, build cache ---- */

static int prune_volumes(struct sweep *w)
{
	const int root_fd = w->app->paths.root_fd;
	struct volume *v = NULL;
	struct err err;
	size_t n = 0;
	int rc = 0;
	if (volume_list(root_fd, &v, &n, &err) < 0)
		return cmd_fail(w->app, &err);
	for (size_t i = 0; i < n && rc == 0; i++) {
		AUTO_FREE char *path = xasprintf("volumes/%s/_data", v[i].name);
		char by[64];
		if (!v[i].anonymous || !labels_match(&w->filter, v[i].labels) || cmd_volume_in_use(w->app, v[i].name, by))
			continue;
		w->images.bytes += prune_tree_bytes(root_fd, path, 0, 0);
		if (!w->app->dry_run && volume_remove(root_fd, v[i].name, &err) < 0)
			rc = cmd_fail(w->app, &err);
		else
			strv_push(&w->volume_names, v[i].name);
	}
	volume_list_free(v, n);
	return rc;
}

/* Layers that an image is made of: what the cache knows of them is in use. */
static int used_layers(struct store *s, struct map *ret, struct err *err)
{
	struct image *images = NULL;
	size_t n = 0;
	if (store_list(s, &images, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < images[i].diff_ids.n; k++)
			map_put(ret, images[i].diff_ids.v[k], ret);
	store_list_free(images, n);
	return 0;
}

/* Records have an age and no labels: a filter that asks for a label means none of them. */
static int prune_cache(struct sweep *w, struct store *s)
{
	const uint64_t now = clock_real_ns(), before = w->filter.before_ns;
	const uint64_t age_s = before && before < now ? MAX((now - before) / NS_PER_S, 1U) : 0;
	AUTO_MAP struct map used = {0};
	struct cache_usage usage = {0};
	struct cache *cache = NULL;
	struct err err;
	int rc;
	if (w->filter.labels.n || faccessat(w->app->paths.root_fd, "buildcache", F_OK, 0) < 0)
		return 0;
	if (used_layers(s, &used, &err) < 0 || cache_open(w->app->paths.root_fd, s, &cache, &err) < 0)
		return cmd_fail(w->app, &err);
	rc = cache_prune(cache, before ? UINT64_MAX : 0, age_s, w->all ? NULL : &used, w->app->dry_run, &usage, &err);
	cache_close(cache);
	if (rc == 0 && w->app->dry_run)
		w->images.bytes += usage.removed_bytes;
	else if (rc == 0)
		rc = store_collect(s, 0, &w->images.bytes, &err);
	if (rc < 0)
		return cmd_fail(w->app, &err);
	if (w->all && !before && !w->app->dry_run) {
		uint64_t mounts = prune_tree_bytes(w->app->paths.root_fd, "buildcache/mounts", 0, 0);
		builder_drop_mounts(w->app);
		w->images.bytes += mounts - MIN(mounts, prune_tree_bytes(w->app->paths.root_fd, "buildcache/mounts", 0, 0));
	}
	w->n_cache = usage.n_removed;
	return 0;
}

/* ---- the command ---- */

static bool ask(const struct sweep *w)
{
	const struct strv *filters = cli_list(w->app->args, "filter");
	AUTO_STR struct str text = {0};
	str_add(&text, "This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n");
	str_addf(&text, "%s  - all %s\n  - %s build cache\n",
		w->volumes ? "  - all anonymous volumes not used by at least one container\n" : "",
		w->all ? "images without at least one container associated to them" : "dangling images", w->all ? "all" : "unused");
	for (size_t i = 0; i < filters->n; i++)
		str_addf(&text, "%s  - %s\n", i ? "" : "\n  Items to be pruned will be filtered with:\n", filters->v[i]);
	return prune_confirm(str_get(&text));
}

static void add_section(struct str *out, const char *heading, const struct strv *lines)
{
	if (lines->n)
		str_addf(out, "%s\n", heading);
	for (size_t i = 0; i < lines->n; i++)
		str_addf(out, "%s\n", lines->v[i]);
	if (lines->n)
		str_addc(out, '\n');
}

static int print_sweep(const struct sweep *w)
{
	AUTO_STR struct str out = {0};
	char size[24];
	add_section(&out, "Deleted Containers:", &w->containers);
	add_section(&out, "Deleted Networks:", &w->networks);
	add_section(&out, "Deleted Volumes:", &w->volume_names);
	add_section(&out, "Deleted Images:", &w->images.lines);
	if (w->n_cache)
		str_addf(&out, "Deleted build cache objects: %zu\n\n", w->n_cache);
	str_addf(&out, "Total reclaimed space: %s\n", table_human_bytes(w->images.bytes, size));
	return cmd_print(w->app, &out);
}

static int sweep_all(struct sweep *w, struct store *s)
{
	int rc = prune_projects(w);
	if (rc == 0 && w->volumes)
		rc = prune_volumes(w);
	if (rc == 0)
		rc = prune_images(w->app, s, w->all, &w->filter, &w->images);
	if (rc == 0)
		rc = prune_cache(w, s);
	return rc ? rc : print_sweep(w);
}

int cmd_system_prune(struct app *app)
{
	struct sweep w = { .app = app, .all = cli_bool(app->args, "all"), .volumes = cli_bool(app->args, "volumes") };
	AUTO_STORE struct store *s = NULL;
	struct err err;
	int rc = 0;
	if (cmd_paths(app, true))
		return 1;
	if (store_open(app->paths.root_fd, &s, &err) < 0 ||
	    image_filter_parse(cli_list(app->args, "filter"), "label until", s, &w.filter, &err) < 0)
		return cmd_fail(app, &err);
	if (w.volumes && w.filter.before_ns)
		rc = cmd_failf(app, "system prune: volumes have no age: the filter \"until\" and --volumes exclude each other");
	else if (cli_bool(app->args, "force") || app->dry_run || ask(&w))
		rc = sweep_all(&w, s);
	image_filter_done(&w.filter);
	strv_done(&w.busy);
	strv_done(&w.containers);
	strv_done(&w.networks);
	strv_done(&w.volume_names);
	strv_done(&w.images.lines);
	return rc;
}
