/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of `muster config`: names of things, images, digests of services, variables. */
#include "spec/canon.h"

#include <stdio.h>

#include "base/map.h"

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort(struct strv *sv)
{
	if (sv->n)
		qsort(sv->v, sv->n, sizeof(*sv->v), compare_strings);
}

static void section_names(const struct load_result *r, const char *section, struct strv *ret)
{
	const struct node *map = node_get(r->tree, section);
	for (size_t i = 0; node_is(map, NODE_MAP) && i < map->n; i++)
		strv_push(ret, map->entries[i].key);
	sort(ret);
}

/* A service after those that it depends on; cycles (possible without the consistency check) are cut. */
static void push_service(const struct node *services, const char *name, struct map *seen, struct strv *ret)
{
	const struct node *deps = node_get(node_get(services, name), "depends_on");
	AUTO_STRV struct strv names = { 0 };
	if (!node_get(services, name) || map_get(seen, name))
		return;
	map_put(seen, name, seen);
	for (size_t i = 0; node_is(deps, NODE_MAP) && i < deps->n; i++)
		strv_push(&names, deps->entries[i].key);
	sort(&names);
	for (size_t i = 0; i < names.n; i++)
		push_service(services, names.v[i], seen, ret);
	strv_push(ret, name);
}

void canon_services(const struct load_result *r, struct strv *ret)
{
	AUTO_STRV struct strv names = { 0 };
	AUTO_MAP struct map seen = { 0 };
	const struct node *services = node_get(r->tree, "services");
	section_names(r, "services", &names);
	for (size_t i = 0; i < names.n; i++)
		push_service(services, names.v[i], &seen, ret);
}

void canon_volumes(const struct load_result *r, struct strv *ret)
{
	section_names(r, "volumes", ret);
}

void canon_networks(const struct load_result *r, struct strv *ret)
{
	section_names(r, "networks", ret);
}

void canon_models(const struct load_result *r, struct strv *ret)
{
	const struct node *map = node_get(r->tree, "models");
	for (size_t i = 0; node_is(map, NODE_MAP) && i < map->n; i++)
		if (*node_str(map->entries[i].value, "model", ""))
			strv_push(ret, node_str(map->entries[i].value, "model", ""));
	sort(ret);
}

void canon_profiles(const struct load_result *r, struct strv *ret)
{
	for (size_t i = 0; i < r->all_profiles.n; i++)
		strv_push(ret, r->all_profiles.v[i]);
}

void canon_images(const struct load_result *r, struct strv *ret)
{
	AUTO_STRV struct strv names = { 0 };
	section_names(r, "services", &names);
	for (size_t i = 0; i < names.n; i++) {
		const struct node *service = node_at(r->tree, "services", names.v[i], NULL), *hooks = node_get(service, "pre_start");
		const char *image = node_str(service, "image", NULL);
		if (image)
			strv_push(ret, image);
		else
			strv_pushf(ret, "%s%c%s", r->name, r->separator, names.v[i]);
		for (size_t k = 0; node_is(hooks, NODE_SEQ) && k < hooks->n; k++) {
			const char *own = node_str(hooks->items[k], "image", "");
			if (*own && !str_eq(own, image))
				strv_push(ret, own);
		}
	}
}

void canon_environment(const struct load_result *r, struct strv *ret)
{
	for (size_t i = 0; i < r->environment.n; i++)
		strv_push(ret, r->environment.v[i]);
}

static void hash_service(const json_t *service, char ret[static 65])
{
	static const char *const mutable_keys[] = { "build", "pull_policy", "pull_refresh_after", "scale", "depends_on", "profiles" };
	json_t *copy = json_deep_copy(service), *deploy;
	AUTO_FREE char *text = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(mutable_keys); i++)
		json_object_del(copy, mutable_keys[i]);
	deploy = json_object_get(copy, "deploy");
	if (deploy)
		json_object_del(deploy, "replicas");
	text = json_canonical(copy);
	sha256_hex(text, strlen(text), ret);
	json_decref(copy);
}

int canon_hash(const struct load_result *r, const char *const *which, struct strv *ret, struct err *err)
{
	AUTO_STRV struct strv names = { 0 };
	if (!which || !*which)
		section_names(r, "services", &names);
	for (; which && *which; which++)
		strv_push(&names, *which);
	sort(&names);
	for (size_t i = 0; i < names.n; i++) {
		const json_t *service = load_service(r, names.v[i]);
		char digest[65];
		if (!service)
			return err_set(err, ERR_NOT_FOUND, "no such service: %s", names.v[i]);
		hash_service(service, digest);
		strv_pushf(ret, "%s %s", names.v[i], digest);
	}
	return 0;
}

void canon_variables(const struct load_result *r, struct str *ret)
{
	enum { GAP = 3, CELL_MIN = 20 };
	static const char *const heads[] = { "NAME", "REQUIRED", "DEFAULT VALUE" };
	int width[ARRAY_SIZE(heads)];
	for (size_t c = 0; c < ARRAY_SIZE(heads); c++)
		width[c] = CELL_MIN;
	for (size_t i = 0; i < r->n_variables; i++) {
		width[0] = MAX(width[0], (int)strlen(r->variables[i].name) + GAP);
		width[2] = MAX(width[2], (int)strlen(r->variables[i].def) + GAP);
	}
	str_addf(ret, "%-*s%-*s%-*sALTERNATE VALUE\n", width[0], heads[0], width[1], heads[1], width[2], heads[2]);
	for (size_t i = 0; i < r->n_variables; i++) {
		const struct load_variable *v = &r->variables[i];
		str_addf(ret, "%-*s%-*s%-*s%s\n", width[0], v->name, width[1], v->required ? "true" : "false", width[2], v->def, v->alternate);
	}
}

json_t *canon_variables_json(const struct load_result *r, bool yaml)
{
	json_t *all = json_object();
	for (size_t i = 0; i < r->n_variables; i++) {
		const struct load_variable *v = &r->variables[i];
		json_t *one = json_object();
		json_object_set_new(one, yaml ? "name" : "Name", json_text(v->name));
		json_object_set_new(one, yaml ? "defaultvalue" : "DefaultValue", json_text(v->def));
		json_object_set_new(one, yaml ? "presencevalue" : "PresenceValue", json_text(v->alternate));
		json_object_set_new(one, yaml ? "required" : "Required", json_boolean(v->required));
		json_object_set_new(all, v->name, one);
	}
	return all;
}
