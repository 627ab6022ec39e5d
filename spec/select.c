/* SPDX-License-Identifier: Apache-2.0 */
/* Which services take part: by profile, by name on the command line, by dependency; and which resources they need. */
#include <fnmatch.h>

#include "spec/project.h"

static struct node *services_of(const struct node *doc)
{
	return node_get(doc, "services");
}

static bool is_active(const struct node *service, const struct strv *profiles)
{
	const struct node *own = node_get(service, "profiles");
	if (!node_is(own, NODE_SEQ) || own->n == 0)
		return true;
	if (strv_has(profiles, "*"))
		return true;
	for (size_t i = 0; i < own->n; i++)
		if (strv_has(profiles, own->items[i]->text))
			return true;
	return false;
}

void project_apply_profiles(struct node *doc, const struct strv *profiles, const char *const *names, struct arena *a,
	struct node **ret_disabled, struct strv *ret_profiles)
{
	struct node *services = services_of(doc), *active = node_new(a, NODE_MAP, services->pos);
	struct node *disabled = node_new(a, NODE_MAP, services->pos);
	for (size_t i = 0; i < profiles->n; i++)
		if (!strv_has(ret_profiles, profiles->v[i]))
			strv_push(ret_profiles, profiles->v[i]);
	for (; names && *names; names++) {
		const struct node *service = node_get(services, *names), *own = node_get(service, "profiles");
		if (!service || is_active(service, profiles))
			continue;
		for (size_t i = 0; i < own->n; i++)
			if (!strv_has(ret_profiles, own->items[i]->text))
				strv_push(ret_profiles, own->items[i]->text);
	}
	for (size_t i = 0; i < services->n; i++) {
		const struct node_entry *e = &services->entries[i];
		node_put(a, is_active(e->value, ret_profiles) ? active : disabled, e->key, e->key_pos, e->value);
	}
	node_entry(doc, "services")->value = active;
	*ret_disabled = disabled;
}

static void report_unknown(struct diags *ds, const struct node *services, const struct node *disabled, const char *name)
{
	const char **names = arena_alloc(ds->arena, (services->n + disabled->n + 1) * sizeof(*names));
	const char *nearest;
	size_t n = 0;
	struct diag *d;
	for (size_t i = 0; i < services->n; i++)
		names[n++] = services->entries[i].key;
	for (size_t i = 0; i < disabled->n; i++)
		names[n++] = disabled->entries[i].key;
	d = diag_error(ds, (struct pos){ 0 }, "", "no such service: %s", diag_quote(ds, name));
	nearest = diag_nearest(name, names, n);
	if (nearest)
		diag_hint(ds, d, "did you mean \"%s\"?", nearest);
}

struct selection {
	const struct node *services;
	struct map chosen;
	bool no_deps;
};

/* Marks a service and what it depends on; iterative, so that a long chain is no deep recursion. */
static void choose(struct selection *s, const char *name)
{
	AUTO_STRV struct strv todo = { 0 };
	strv_push(&todo, name);
	while (todo.n) {
		AUTO_FREE char *at = todo.v[--todo.n];
		const struct node *service = node_get(s->services, at), *deps;
		todo.v[todo.n] = NULL;
		if (!service || map_get(&s->chosen, at))
			continue;
		map_put(&s->chosen, at, s);
		deps = s->no_deps ? NULL : node_get(service, "depends_on");
		for (size_t i = 0; deps && i < deps->n; i++)
			strv_push(&todo, deps->entries[i].key);
	}
}

static bool is_chosen(void *arg, const struct node_entry *e)
{
	return map_get(arg, e->key) != NULL;
}

static void drop_dependencies(struct map *chosen, struct node *service)
{
	struct node *deps = node_get(service, "depends_on");
	if (!deps)
		return;
	node_keep(deps, is_chosen, chosen);
	if (!deps->n)
		node_del(service, "depends_on");
}

int project_select(struct node *doc, const char *const *names, bool no_deps, const struct node *disabled, struct diags *ds)
{
	struct node *services = services_of(doc), *kept = node_new(ds->arena, NODE_MAP, services->pos);
	struct selection s = { .services = services, .no_deps = no_deps };
	int r = 0;
	for (; names && *names; names++) {
		bool found = false;
		for (size_t i = 0; i < services->n; i++) {
			if (fnmatch(*names, services->entries[i].key, FNM_PATHNAME) == 0) {
				choose(&s, services->entries[i].key);
				found = true;
			}
		}
		if (!found) {
			report_unknown(ds, services, disabled, *names);
			r = -1;
		}
	}
	for (size_t i = 0; r == 0 && i < services->n; i++) {
		const struct node_entry *e = &services->entries[i];
		if (!map_get(&s.chosen, e->key))
			continue;
		drop_dependencies(&s.chosen, e->value);
		node_put(ds->arena, kept, e->key, e->key_pos, e->value);
	}
	if (r == 0)
		node_entry(doc, "services")->value = kept;
	map_done(&s.chosen);
	return r;
}

struct used {
	struct map networks, volumes, secrets, configs, models;
};

static void use_sources(struct map *m, const struct node *list)
{
	for (size_t i = 0; node_is(list, NODE_SEQ) && i < list->n; i++)
		map_put(m, node_str(list->items[i], "source", ""), m);
}

static void use_service(struct used *u, const struct node *service)
{
	const struct node *networks = node_get(service, "networks"), *models = node_get(service, "models"), *volumes = node_get(service, "volumes");
	for (size_t i = 0; networks && i < networks->n; i++)
		map_put(&u->networks, networks->entries[i].key, u);
	for (size_t i = 0; models && i < models->n; i++)
		map_put(&u->models, models->entries[i].key, u);
	for (size_t i = 0; volumes && i < volumes->n; i++)
		if (str_eq(node_str(volumes->items[i], "type", ""), "volume"))
			map_put(&u->volumes, node_str(volumes->items[i], "source", ""), u);
	use_sources(&u->secrets, node_get(service, "secrets"));
	use_sources(&u->secrets, node_at(service, "build", "secrets", NULL));
	use_sources(&u->configs, node_get(service, "configs"));
}

static void keep_used(struct node *doc, const char *section, struct map *used)
{
	struct node *map = node_get(doc, section);
	if (map) {
		node_keep(map, is_chosen, used);
		if (!map->n)
			node_del(doc, section);
	}
	map_done(used);
}

void project_prune(struct node *doc)
{
	const struct node *services = services_of(doc);
	struct used u = { 0 };
	for (size_t i = 0; i < services->n; i++)
		use_service(&u, services->entries[i].value);
	keep_used(doc, "networks", &u.networks);
	keep_used(doc, "volumes", &u.volumes);
	keep_used(doc, "secrets", &u.secrets);
	keep_used(doc, "configs", &u.configs);
	keep_used(doc, "models", &u.models);
}
