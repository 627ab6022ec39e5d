/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation: what the reference adds to every model. It works on the canonical tree before types are fixed; nodes
 * that nobody wrote are marked as implied and stand at the place that implied them. */
#include "spec/project.h"

#include "spec/interpolate.h"
#include "spec/paths.h"

struct normalize {
	struct diags *ds;
	struct arena *a;
	const struct env *env;
	const char *project;
};

static struct node *implied(struct node *n)
{
	n->implied = true;
	return n;
}

/* Bare names in a list of NAME=VALUE get their value from the environment; those that have none stay, or go. */
static void resolve_list(struct diags *ds, struct node *list, const struct env *env, bool keep)
{
	size_t kept = 0;
	for (size_t i = 0; i < list->n; i++) {
		struct node *item = list->items[i];
		const char *value = NULL;
		bool bare = item->kind == NODE_STRING && !strchr(item->text, '=');
		if (bare)
			value = env_get(env, item->text);
		if (bare)
			trace_add(ds->trace, TRACE_VARIABLE, item->pos, env_pos(env, item->text), NULL, item->text, value);
		if (value && diag_check_utf8(ds, item->pos, NULL, value))
			item->text = arena_printf(ds->arena, "%s=%s", item->text, value);
		if (!bare || value || keep)
			list->items[kept++] = item;
	}
	list->n = kept;
}

static bool has_value(void *arg, const struct node_entry *e)
{
	(void)arg;
	return e->value->kind != NODE_NULL;
}

static void resolve_map(struct diags *ds, struct node *map, const struct env *env, bool keep)
{
	for (size_t i = 0; i < map->n; i++) {
		struct node_entry *e = &map->entries[i];
		const char *value;
		if (e->value->kind != NODE_NULL)
			continue;
		value = env_get(env, e->key);
		trace_add(ds->trace, TRACE_VARIABLE, e->key_pos, env_pos(env, e->key), NULL, e->key, value);
		if (value && diag_check_utf8(ds, e->key_pos, NULL, value))
			node_set_string(ds->arena, e->value, value);
	}
	if (!keep)
		node_keep(map, has_value, NULL);
}

static void resolve(struct diags *ds, struct node *n, const struct env *env, bool keep)
{
	if (node_is(n, NODE_SEQ))
		resolve_list(ds, n, env, keep);
	else if (node_is(n, NODE_MAP))
		resolve_map(ds, n, env, keep);
}

void project_resolve_environment(struct node *doc, const struct env *env, struct diags *ds)
{
	const struct node *services = node_get(doc, "services");
	for (size_t i = 0; node_is(services, NODE_MAP) && i < services->n; i++) {
		struct node *list = node_get(services->entries[i].value, "environment");
		if (node_is(list, NODE_SEQ))
			resolve_list(ds, list, env, true);
	}
}

/* Services without networks join `default`, which then exists. */
static void normalize_networks(struct normalize *nz, struct node *doc)
{
	const struct node *services = node_get(doc, "services");
	struct node *networks = node_get(doc, "networks");
	bool uses_default = false;
	for (size_t i = 0; node_is(services, NODE_MAP) && i < services->n; i++) {
		struct node *service = services->entries[i].value, *own = node_get(service, "networks");
		if (service->kind != NODE_MAP || node_get(service, "provider") || node_get(service, "network_mode"))
			continue;
		if (!own || own->kind == NODE_NULL || own->n == 0) {
			own = implied(node_new(nz->a, NODE_MAP, service->pos));
			node_put(nz->a, own, "default", service->pos, implied(node_new(nz->a, NODE_NULL, service->pos)));
			node_put(nz->a, service, "networks", service->pos, own);
			uses_default = true;
		} else if (node_get(own, "default")) {
			uses_default = true;
		}
	}
	if (!uses_default || node_get(networks, "default"))
		return;
	if (!node_is(networks, NODE_MAP)) {
		networks = implied(node_new(nz->a, NODE_MAP, doc->pos));
		node_put(nz->a, doc, "networks", doc->pos, networks);
	}
	node_put(nz->a, networks, "default", doc->pos, implied(node_new(nz->a, NODE_NULL, doc->pos)));
}

static void depend_on(struct normalize *nz, struct node *service, const char *name, bool restart, struct pos pos)
{
	struct node *all = node_get(service, "depends_on"), *one;
	if (node_get(all, name))
		return;
	if (!node_is(all, NODE_MAP)) {
		all = implied(node_new(nz->a, NODE_MAP, pos));
		node_put(nz->a, service, "depends_on", pos, all);
	}
	one = implied(node_new(nz->a, NODE_MAP, pos));
	node_put(nz->a, one, "condition", pos, implied(node_new_string(nz->a, pos, "service_started")));
	node_put(nz->a, one, "restart", pos, implied(node_new_bool(nz->a, pos, restart)));
	node_put(nz->a, one, "required", pos, implied(node_new_bool(nz->a, pos, true)));
	node_put(nz->a, all, name, pos, one);
}

/* Links, shared namespaces and volumes_from need the other service to be there. */
static void implied_dependencies(struct normalize *nz, struct node *service)
{
	static const char *const namespaces[] = { "network_mode", "ipc", "pid", "uts", "cgroup" };
	const struct node *links = node_get(service, "links"), *from = node_get(service, "volumes_from");
	for (size_t i = 0; node_is(links, NODE_SEQ) && i < links->n; i++) {
		const struct node *item = links->items[i];
		const char *colon = strchr(item->text, ':');
		bool pair = colon && !strchr(colon + 1, ':');
		depend_on(nz, service, pair ? arena_strndup(nz->a, item->text, (size_t)(colon - item->text)) : item->text, true, item->pos);
	}
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		const struct node *n = node_get(service, namespaces[i]);
		if (node_is(n, NODE_STRING) && str_starts(n->text, "service:"))
			depend_on(nz, service, n->text + strlen("service:"), true, n->pos);
	}
	for (size_t i = 0; node_is(from, NODE_SEQ) && i < from->n; i++) {
		const struct node *item = from->items[i];
		if (item->kind == NODE_STRING && !str_starts(item->text, "container:"))
			depend_on(nz, service, arena_strndup(nz->a, item->text, strcspn(item->text, ":")), false, item->pos);
	}
}

static void normalize_build(struct normalize *nz, struct node *build)
{
	if (!node_get(build, "context"))
		node_put(nz->a, build, "context", build->pos, implied(node_new_string(nz->a, build->pos, ".")));
	if (!node_get(build, "dockerfile") && !node_get(build, "dockerfile_inline"))
		node_put(nz->a, build, "dockerfile", build->pos, implied(node_new_string(nz->a, build->pos, "Dockerfile")));
	resolve(nz->ds, node_get(build, "args"), nz->env, false);
}

static void normalize_service(struct normalize *nz, struct node *service)
{
	struct node *policy = node_get(service, "pull_policy"), *build = node_get(service, "build");
	struct node *volumes = node_get(service, "volumes"), *hooks = node_get(service, "pre_start"), *image = node_get(service, "image");
	if (node_is(policy, NODE_STRING) && strcmp(policy->text, "if_not_present") == 0)
		node_set_string(nz->a, policy, "missing");
	if (node_is(build, NODE_MAP))
		normalize_build(nz, build);
	resolve(nz->ds, node_get(service, "environment"), nz->env, true);
	for (size_t i = 0; node_is(volumes, NODE_SEQ) && i < volumes->n; i++) {
		struct node *target = node_get(volumes->items[i], "target");
		if (node_is(target, NODE_STRING))
			target->text = path_clean(nz->a, target->text);
	}
	implied_dependencies(nz, service);
	for (size_t i = 0; node_is(image, NODE_STRING) && *image->text && node_is(hooks, NODE_SEQ) && i < hooks->n; i++)
		if (hooks->items[i]->kind == NODE_MAP && !node_get(hooks->items[i], "image"))
			node_put(nz->a, hooks->items[i], "image", image->pos, implied(node_new_string(nz->a, image->pos, image->text)));
}

static bool is_external(const struct node *resource)
{
	const struct node *n = node_get(resource, "external");
	bool legacy;
	if (node_is(n, NODE_BOOL))
		return n->boolean;
	return node_is(n, NODE_STRING) && interpolate_bool(n->text, &legacy) == 1;
}

static void name_resources(struct normalize *nz, struct node *doc)
{
	static const char *const sections[] = { "networks", "volumes", "configs", "secrets" };
	for (size_t s = 0; s < ARRAY_SIZE(sections); s++) {
		struct node *section = node_get(doc, sections[s]);
		for (size_t i = 0; node_is(section, NODE_MAP) && i < section->n; i++) {
			struct node_entry *e = &section->entries[i];
			const struct node *old = node_get(e->value, "name");
			const char *name;
			if (e->value->kind == NODE_NULL)
				e->value->kind = NODE_MAP;
			if (e->value->kind != NODE_MAP || (old && old->kind != NODE_NULL))
				continue;
			name = is_external(e->value) ? e->key : arena_printf(nz->a, "%s_%s", nz->project, e->key);
			node_put(nz->a, e->value, "name", e->key_pos, implied(node_new_string(nz->a, e->key_pos, name)));
		}
	}
}

void project_normalize(struct node *doc, const char *name, const struct env *env, struct diags *ds)
{
	struct normalize nz = { .ds = ds, .a = ds->arena, .env = env, .project = name };
	const struct node *services = node_get(doc, "services");
	normalize_networks(&nz, doc);
	for (size_t i = 0; node_is(services, NODE_MAP) && i < services->n; i++)
		if (services->entries[i].value->kind == NODE_MAP)
			normalize_service(&nz, services->entries[i].value);
	name_resources(&nz, doc);
}
