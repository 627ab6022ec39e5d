/* SPDX-License-Identifier: Apache-2.0 */
/* `extends`: a service takes another one, of the same file or of another, as its base. Chains are followed base first;
 * each service is extended once and kept. Cycles are found by the chain of (file, service) that led here. */
#include "spec/compose_file.h"
#include "spec/merge.h"
#include "spec/paths.h"

struct chain {
	const struct chain *up;
	const char *file, *service;
	struct pos pos;
	unsigned depth;
};

/* The services among which a name is looked up, and what their file wants reset. */
struct scope {
	const struct file_context *ctx;
	const char *file;
	struct node *services;
	const struct reset_list *reset;
	bool *cycle;                 /* one was reported: the other services on it need not say so again */
};

static int extend_service(const struct scope *s, const char *name, const struct chain *up);

/* "a -> b -> a": the way from `first` to name, at its end once more. */
static void report_cycle(struct diags *ds, const struct chain *first, const struct chain *last, const char *name, struct pos pos, const char *path)
{
	AUTO_STR struct str way = { 0 };
	str_add(&way, name);
	for (const struct chain *at = last;; at = at->up) {
		AUTO_FREE char *rest = str_take(&way);
		str_addf(&way, "%s -> %s", at->service, rest);
		if (at == first)
			break;
	}
	diag_note(ds, diag_error(ds, pos, path, "extends cycle: %s", str_get(&way)), last->pos, "%s extends %s here", last->service, name);
}

static bool is_cycle(const struct scope *s, const char *name, struct pos pos, const char *path, const struct chain *up)
{
	struct diags *ds = s->ctx->fl->ds;
	for (const struct chain *at = up; at; at = at->up)
		if (strcmp(at->service, name) == 0 && strcmp(at->file, s->file) == 0) {
			if (!*s->cycle)
				report_cycle(ds, at, up, name, pos, path);
			*s->cycle = true;
			return true;
		}
	if (up && up->depth >= FILE_MAX_NESTING) {
		diag_error(ds, pos, path, "extends is nested deeper than %d levels", FILE_MAX_NESTING);
		return true;
	}
	return false;
}

static void report_unknown(struct diags *ds, const struct node *services, const char *ref, struct pos pos, const char *path, const char *file)
{
	struct diag *d = diag_error(ds, pos, path, "service \"%s\" is not in %s", diag_quote(ds, ref), file);
	const char **names, *nearest;
	if (!d)
		return; /* one of very many: it is not shown */
	names = arena_alloc(ds->arena, (services->n + 1) * sizeof(*names));
	for (size_t i = 0; i < services->n; i++)
		names[i] = services->entries[i].key;
	nearest = diag_nearest(ref, names, services->n);
	if (nearest)
		diag_hint(ds, d, "did you mean \"%s\"?", nearest);
	if (services->pos.src != pos.src)
		diag_note(ds, d, services->pos, "its services are here");
}

/* A file that was extended from, kept because many services often share one base file. */
struct extended_file {
	struct node *services;
	struct reset_list reset;
};

/* Loads the file that extends names and makes its services the scope. */
static int open_file(const struct scope *s, const struct node *file, const char *path, struct scope *ret)
{
	const struct file_context *ctx = s->ctx;
	struct file_loader *fl = ctx->fl;
	struct extended_file *ef;
	const char *local, *key;
	struct node *doc;
	if (path_is_remote(file->text)) {
		diag_error(fl->ds, file->pos, path, "files from a registry or repository are not supported yet: \"%s\"", diag_quote(fl->ds, file->text));
		return -1;
	}
	local = *file->text == '/' ? file->text : path_join(fl->a, ctx->dir, file->text);
	key = arena_printf(fl->a, "%u:%s", ctx->id, local);
	ef = map_get(&fl->extended, key);
	if (!ef) {
		ef = arena_alloc(fl->a, sizeof(*ef));
		doc = file_load_extended(ctx, local, file->pos, path, &ef->reset);
		if (!doc)
			return -1;
		ef->services = node_get(doc, "services");
		if (!node_is(ef->services, NODE_MAP)) {
			diag_note(fl->ds, diag_error(fl->ds, file->pos, path, "%s has no services", local), doc->pos, "it begins here");
			return -1;
		}
		if (paths_resolve(doc, path_relative(fl->a, ctx->dir, path_dir(fl->a, local)), fl->home, fl->ds) < 0)
			return -1;
		map_put(&fl->extended, key, ef);
	}
	*ret = (struct scope){ .ctx = ctx, .file = local, .services = ef->services, .reset = &ef->reset, .cycle = s->cycle };
	return 0;
}

/* The base service, extended itself; *ret NULL when it is null. */
static int find_base(const struct scope *s, const char *name, const struct node *extends, const char *path, const struct chain *up, struct node **ret)
{
	struct diags *ds = s->ctx->fl->ds;
	const struct node *ref = extends->kind == NODE_MAP ? node_get(extends, "service") : extends, *file = node_get(extends, "file");
	struct chain here = { .up = up, .file = s->file, .service = name, .pos = extends->pos, .depth = up ? up->depth + 1 : 0 };
	struct scope scope = *s;
	struct node *base;
	if (!node_is(ref, NODE_STRING)) {
		diag_hint(ds, diag_error(ds, extends->pos, path, "the name of the service is missing"), "service: is the name of the base");
		return -1;
	}
	if (file && file->kind != NODE_STRING && file->kind != NODE_NULL) {
		diag_error(ds, file->pos, path, "file must be a string, not %s", node_kind_name(file->kind));
		return -1;
	}
	if (node_is(file, NODE_STRING) && open_file(s, file, path, &scope) < 0)
		return -1;
	base = node_get(scope.services, ref->text);
	if (!base) {
		report_unknown(ds, scope.services, ref->text, ref->pos, path, scope.file == s->file ? "this file" : scope.file);
		return -1;
	}
	if (extend_service(&scope, ref->text, &here) < 0)
		return -1;
	*ret = node_get(scope.services, ref->text);
	return 0;
}

static int extend_service(const struct scope *s, const char *name, const struct chain *up)
{
	struct file_loader *fl = s->ctx->fl;
	struct node_entry *entry = node_entry(s->services, name);
	struct node *service = entry->value, *extends = node_get(service, "extends"), *base = NULL;
	const char *path, *prefix[] = { "services", name };
	if (service->kind != NODE_MAP && service->kind != NODE_NULL) {
		diag_error(fl->ds, service->pos, arena_printf(fl->a, "services.%s", name), "must be a mapping, not %s", node_kind_name(service->kind));
		return -1;
	}
	if (!extends)
		return 0;
	path = arena_printf(fl->a, "services.%s.extends", name);
	if (is_cycle(s, name, extends->pos, path, up) || find_base(s, name, extends, path, up, &base) < 0)
		return -1;
	if (base->kind != NODE_MAP)
		return 0; /* nothing to take over: the reference shows the key then */
	if (file_charge(fl, node_count(base), extends->pos, path) < 0)
		return -1;
	base = node_copy(fl->a, base);
	trace_extends(fl->ds->trace, base, extends->pos, arena_printf(fl->a, "services.%s", name),
		arena_printf(fl->a, "services.%s", extends->kind == NODE_MAP ? node_str(extends, "service", "") : extends->text));
	reset_apply_member(s->reset, base, prefix, fl->ds);
	service = merge_member(base, service, prefix, ARRAY_SIZE(prefix), fl->ds);
	node_del(service, "extends");
	node_entry(s->services, name)->value = service;
	return 0;
}

int extends_apply(const struct file_context *ctx, struct node *doc, const char *file, const struct reset_list *reset)
{
	struct node *services = node_get(doc, "services");
	bool cycle = false;
	struct scope s = { .ctx = ctx, .file = file, .services = services, .reset = reset, .cycle = &cycle };
	size_t errors = ctx->fl->ds->n_errors;
	if (!services || services->kind == NODE_NULL)
		return 0;
	if (services->kind != NODE_MAP) {
		diag_error(ctx->fl->ds, services->pos, "services", "must be a mapping, not %s", node_kind_name(services->kind));
		return -1;
	}
	for (size_t i = 0; i < services->n && ctx->fl->n_nodes <= FILE_MAX_NODES && !ctx->fl->ds->too_large; i++)
		extend_service(&s, services->entries[i].key, NULL);
	return ctx->fl->ds->n_errors > errors ? -1 : 0;
}
