/* SPDX-License-Identifier: Apache-2.0 */
/* `include`: each entry is a project of its own, with its own directory and env files, whose services, volumes, networks,
 * secrets, configs and models become ours. What is defined on both sides is merged, the including file having the last
 * word. Paths of an included project come back relative to our directory and are resolved with ours. */
#include <sys/stat.h>

#include "spec/compose_file.h"
#include "spec/merge.h"
#include "spec/paths.h"

struct entry {
	struct strv paths;
	struct strv env_files;
	const char *project_directory;  /* NULL: the directory of the first path */
	struct pos pos;
	const char *model_path;         /* "include[0]" */
};

static void entry_done(struct entry *e)
{
	strv_done(&e->paths);
	strv_done(&e->env_files);
}

static void push_strings(const struct node *n, struct strv *ret)
{
	if (!n)
		return;
	if (n->kind == NODE_STRING)
		strv_push(ret, n->text);
	for (size_t i = 0; n->kind == NODE_SEQ && i < n->n; i++)
		if (n->items[i]->kind == NODE_STRING)
			strv_push(ret, n->items[i]->text);
}

static int entry_read(const struct file_context *ctx, const struct node *n, size_t index, struct entry *ret)
{
	struct diags *ds = ctx->fl->ds;
	*ret = (struct entry){ .pos = n->pos, .model_path = arena_printf(ctx->fl->a, "include[%zu]", index) };
	if (n->kind == NODE_STRING) {
		strv_push(&ret->paths, n->text);
	} else if (n->kind == NODE_MAP) {
		push_strings(node_get(n, "path"), &ret->paths);
		push_strings(node_get(n, "env_file"), &ret->env_files);
		ret->project_directory = node_str(n, "project_directory", NULL);
		if (ret->project_directory && !*ret->project_directory)
			ret->project_directory = NULL;
	}
	if (!ret->paths.n) {
		diag_hint(ds, diag_error(ds, n->pos, ret->model_path, "no path to include"), "write the path of a compose file");
		return -1;
	}
	for (size_t i = 0; i < ret->paths.n; i++) {
		if (path_is_remote(ret->paths.v[i])) {
			diag_error(ds, n->pos, ret->model_path, "files from a registry or repository are not supported yet: \"%s\"",
				diag_quote(ds, ret->paths.v[i]));
			return -1;
		}
	}
	return 0;
}

static const char *absolute(const struct file_context *ctx, const char *p)
{
	return *p == '/' ? p : path_join(ctx->fl->a, ctx->dir, p);
}

/* True when path is being read; reports the way there. */
static bool is_cycle(const struct file_context *ctx, const struct entry *e, const char *path)
{
	AUTO_STR struct str way = { 0 };
	unsigned depth = 0;
	bool cycle = false;
	for (const struct file_including *at = ctx->including; at; at = at->up, depth++) {
		AUTO_FREE char *rest = str_take(&way);
		str_addf(&way, "%s includes %s", at->path, *rest ? rest : path);
		if (strcmp(at->path, path) == 0) {
			cycle = true;
			break;
		}
	}
	if (cycle)
		diag_error(ctx->fl->ds, e->pos, e->model_path, "include cycle: %s", str_get(&way));
	else if (depth >= FILE_MAX_NESTING)
		diag_error(ctx->fl->ds, e->pos, e->model_path, "includes are nested deeper than %d levels", FILE_MAX_NESTING);
	return cycle || depth >= FILE_MAX_NESTING;
}

/* The variables of the included project: ours first, then its env files, or the .env of its directory. */
static int entry_env(const struct file_context *ctx, const struct entry *e, const char *project_dir, struct env *ret)
{
	struct file_loader *fl = ctx->fl;
	struct env files;
	struct stat st;
	int r = 0;
	env_init(ret, fl->a);
	env_init(&files, fl->a);
	env_merge(ret, ctx->env);
	if (!e->env_files.n) {
		const char *dotenv = path_join(fl->a, project_dir, ".env");
		if (stat(dotenv, &st) == 0 && !S_ISDIR(st.st_mode))
			r = file_load_env(fl, dotenv, ctx->env, &files, e->pos, e->model_path);
	}
	for (size_t i = 0; i < e->env_files.n && r == 0; i++)
		if (strcmp(e->env_files.v[i], "/dev/null") != 0)
			r = file_load_env(fl, absolute(ctx, e->env_files.v[i]), ctx->env, &files, e->pos, e->model_path);
	env_merge(ret, &files);
	env_done(&files);
	return r;
}

static int import_section(const struct file_context *ctx, struct node *from, struct node *doc, const char *section, const struct reset_list *reset)
{
	struct node *source = node_get(from, section), *target = node_get(doc, section);
	struct diags *ds = ctx->fl->ds;
	if (!node_is(source, NODE_MAP))
		return 0;
	if (!target || target->kind == NODE_NULL) {
		node_put(ctx->fl->a, doc, section, source->pos, source);
		return 0;
	}
	if (target->kind != NODE_MAP) {
		diag_error(ds, target->pos, section, "must be a mapping, not %s", node_kind_name(target->kind));
		return -1;
	}
	for (size_t i = 0; i < source->n; i++) {
		struct node_entry *e = &source->entries[i], *old = node_entry(target, e->key);
		const char *path[] = { section, e->key };
		if (!old) {
			node_put(ctx->fl->a, target, e->key, e->key_pos, e->value);
			continue;
		}
		reset_apply_member(reset, e->value, path, ds);
		old->value = merge_member(e->value, old->value, path, ARRAY_SIZE(path), ds);
	}
	return 0;
}

static int include_entry(const struct file_context *ctx, struct node *doc, struct entry *e, const struct reset_list *reset)
{
	static const char *const sections[] = { "services", "volumes", "networks", "secrets", "configs", "models" };
	struct file_loader *fl = ctx->fl;
	struct file_context inner = *ctx;
	const char **paths = arena_alloc(fl->a, e->paths.n * sizeof(*paths));
	struct node *imported;
	struct env env;
	size_t errors = fl->ds->n_errors;
	for (size_t i = 0; i < e->paths.n; i++)
		paths[i] = absolute(ctx, e->paths.v[i]);
	if (is_cycle(ctx, e, paths[0]))
		return -1;
	for (size_t i = 0; i < e->paths.n; i++)
		trace_add(fl->ds->trace, TRACE_INCLUDE, e->pos, e->pos, NULL, paths[i], NULL);
	inner.dir = e->project_directory ? absolute(ctx, e->project_directory) : path_dir(fl->a, paths[0]);
	inner.base = e->project_directory && *e->project_directory == '/' ? inner.dir : path_relative(fl->a, ctx->dir, inner.dir);
	inner.resolve_paths = true;
	inner.id = ++fl->n_contexts;
	if (entry_env(ctx, e, inner.dir, &env) < 0) {
		env_done(&env);
		return -1;
	}
	inner.env = &env;
	imported = file_load_all(&inner, paths, e->paths.n, e->pos, e->model_path);
	env_done(&env);
	if (!imported)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		if (import_section(ctx, imported, doc, sections[i], reset) < 0)
			return -1;
	return fl->ds->n_errors > errors ? -1 : 0;
}

int include_apply(const struct file_context *ctx, struct node *doc, const struct reset_list *reset)
{
	struct node *list = node_get(doc, "include");
	struct diags *ds = ctx->fl->ds;
	int r = 0;
	if (!list)
		return 0;
	if (list->kind != NODE_SEQ && list->kind != NODE_NULL) {
		diag_hint(ds, diag_error(ds, list->pos, "include", "must be a list, not %s", node_kind_name(list->kind)), "write \"- \" before each path");
		return -1;
	}
	for (size_t i = 0; list->kind == NODE_SEQ && i < list->n; i++) {
		struct entry e;
		r = entry_read(ctx, list->items[i], i, &e);
		if (r == 0)
			r = include_entry(ctx, doc, &e, reset);
		entry_done(&e);
		if (r < 0)
			return -1;
	}
	node_del(doc, "include");
	return 0;
}
