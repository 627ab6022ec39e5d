/* SPDX-License-Identifier: Apache-2.0 */
/* env_file and label_file. Files in order, later ones win, and what the service itself says wins over all of them. In an env
 * file a variable is looked for in the project's environment, then in the service's, then in the files so far; in a label
 * file only in the label files. */
#include <sys/stat.h>

#include "spec/dotenv.h"
#include "spec/project.h"

struct lookup {
	const struct env *project;
	const struct node *own;    /* environment of the service */
};

static const char *lookup(void *arg, const char *name)
{
	const struct lookup *l = arg;
	const char *value = env_get(l->project, name);
	const struct node *n;
	if (value)
		return value;
	n = node_get(l->own, name);
	return node_is(n, NODE_STRING) ? n->text : NULL;
}

static struct pos place(void *arg, const char *name)
{
	const struct lookup *l = arg;
	const struct node *n;
	if (env_get(l->project, name))
		return env_pos(l->project, name);
	n = node_get(l->own, name);
	return node_is(n, NODE_STRING) ? n->pos : (struct pos){ 0 };
}

static void report_missing(struct diags *ds, const struct node *file, const char *path, const char *what)
{
	char shown[400];
	err_quote(shown, sizeof(shown), file->text);
	diag_error(ds, file->pos, path, "%s %s: %s", what, shown, strerror(errno));
}

static int load_file(struct file_loader *fl, const struct node *entry, struct lookup *l, struct env *out, const char *path)
{
	const struct node *file = node_get(entry, "path"), *required = node_get(entry, "required");
	const char *format = node_str(entry, "format", "");
	struct dotenv_vars vars = { .lookup = lookup, .place = place, .arg = l, .warned = &fl->warned };
	const struct source *src;
	struct stat st;
	bool raw = strcmp(format, "raw") == 0;
	if (!node_is(file, NODE_STRING)) {
		diag_error(fl->ds, entry->pos, path, "the path is missing");
		return -1;
	}
	if (*format && !raw) {
		diag_hint(fl->ds, diag_error(fl->ds, node_get(entry, "format")->pos, path, "unknown format \"%s\"", diag_quote(fl->ds, format)),
			"the one format is raw; leave it out for the usual one");
		return -1;
	}
	if (stat(file->text, &st) < 0 && errno == ENOENT) {
		if (node_is(required, NODE_BOOL) && !required->boolean)
			return 0;
		report_missing(fl->ds, file, path, "env file");
		return -1;
	}
	src = file_read(fl, file->text, file->pos, path);
	if (!src)
		return -1;
	trace_add(fl->ds->trace, TRACE_ENV_FILE, file->pos, file->pos, path, src->path, NULL);
	return raw ? dotenv_parse_raw(src, &vars, out, fl->ds) : dotenv_parse(src, &vars, out, fl->ds);
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct map_entry *)a)->key, ((const struct map_entry *)b)->key);
}

static struct pos or_pos(struct pos pos, struct pos otherwise)
{
	return pos.src ? pos : otherwise;
}

/* Adds what is not in map yet, sorted by name. pos: of the key that lists the files. */
static void add_missing(struct diags *ds, struct node *map, const struct env *vars, struct pos pos, const char *service)
{
	struct arena *a = ds->arena;
	size_t n = 0;
	struct map_entry *sorted = arena_alloc(a, (vars->vars.n + 1) * sizeof(*sorted));
	for (struct map_entry *m = map_next(&vars->vars, NULL); m; m = map_next(&vars->vars, m))
		sorted[n++] = *m;
	qsort(sorted, n, sizeof(*sorted), compare_entries);
	for (size_t i = 0; i < n && !diag_too_large(ds, pos, NULL); i++) {
		const struct env_var *v = sorted[i].value;
		const struct node_entry *own = node_entry(map, sorted[i].key);
		if (own && v->pos.src)
			trace_add(ds->trace, TRACE_REPLACES, own->value->pos, v->pos, arena_printf(a, "services.%s", service), sorted[i].key, NULL);
		else if (!own && diag_check_utf8(ds, or_pos(v->pos, pos), NULL, sorted[i].key) && diag_check_utf8(ds, or_pos(v->pos, pos), NULL, v->value))
			node_put(a, map, sorted[i].key, or_pos(v->pos, pos), node_new_string(a, or_pos(v->pos, pos), v->value));
	}
}

static struct node *own_map(struct arena *a, struct node *service, const char *key, struct pos pos)
{
	struct node *map = node_get(service, key);
	if (!map) {
		map = node_new(a, NODE_MAP, pos);
		node_put(a, service, key, pos, map);
	}
	return map;
}

static int load_service(struct file_loader *fl, const struct node_entry *service, const struct env *env)
{
	struct node *files = node_get(service->value, "env_file"), *own = node_get(service->value, "environment");
	struct lookup l = { .project = env, .own = own };
	struct env out;
	int r = 0;
	for (size_t i = 0; own && i < own->n; i++) {
		struct node_entry *e = &own->entries[i];
		const char *value = e->value->kind == NODE_NULL ? env_get(env, e->key) : NULL;
		if (value && diag_check_utf8(fl->ds, e->key_pos, NULL, value)) {
			trace_add(fl->ds->trace, TRACE_VARIABLE, e->key_pos, env_pos(env, e->key), NULL, e->key, value);
			node_set_string(fl->a, e->value, value);
		}
	}
	if (!files)
		return 0;
	env_init(&out, fl->a);
	for (size_t i = 0; own && i < own->n; i++)
		if (own->entries[i].value->kind == NODE_STRING)
			env_put(&out, own->entries[i].key, own->entries[i].value->text);
	for (size_t i = 0; i < files->n; i++)
		r |= load_file(fl, files->items[i], &l, &out, arena_printf(fl->a, "services.%s.env_file[%zu]", service->key, i));
	if (out.vars.n)
		add_missing(fl->ds, own_map(fl->a, service->value, "environment", files->pos), &out, files->pos, service->key);
	env_done(&out);
	node_del(service->value, "env_file");
	return fl->ds->too_large ? -1 : r;
}

int project_load_env_files(struct file_loader *fl, struct node *doc, const struct env *env)
{
	const struct node *services = node_get(doc, "services");
	int r = 0;
	for (size_t i = 0; i < services->n && !fl->ds->too_large; i++)
		r |= load_service(fl, &services->entries[i], env);
	return r;
}

static int load_labels(struct file_loader *fl, const struct node_entry *service, const struct node *files)
{
	struct env out;
	struct dotenv_vars vars = { .warned = &fl->warned };
	int r = 0;
	env_init(&out, fl->a);
	for (size_t i = 0; i < files->n; i++) {
		const char *path = arena_printf(fl->a, "services.%s.label_file[%zu]", service->key, i);
		const struct source *src;
		struct stat st;
		if (stat(files->items[i]->text, &st) < 0) {
			report_missing(fl->ds, files->items[i], path, "label file");
			r = -1;
			continue;
		}
		src = file_read(fl, files->items[i]->text, files->items[i]->pos, path);
		if (src)
			trace_add(fl->ds->trace, TRACE_ENV_FILE, files->items[i]->pos, files->items[i]->pos, path, src->path, NULL);
		r |= src ? dotenv_parse(src, &vars, &out, fl->ds) : -1;
	}
	if (out.vars.n)
		add_missing(fl->ds, own_map(fl->a, service->value, "labels", files->pos), &out, files->pos, service->key);
	env_done(&out);
	return r;
}

int project_load_label_files(struct file_loader *fl, struct node *doc)
{
	const struct node *services = node_get(doc, "services");
	int r = 0;
	for (size_t i = 0; i < services->n && !fl->ds->too_large; i++) {
		const struct node *files = node_get(services->entries[i].value, "label_file");
		if (!files)
			continue;
		r |= load_labels(fl, &services->entries[i], files);
		node_del(services->entries[i].value, "label_file");
	}
	return fl->ds->too_large ? -1 : r;
}
