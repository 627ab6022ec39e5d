/* SPDX-License-Identifier: Apache-2.0 */
/* desired.json → structs. The JSON comes from our own loader through a socket or a file, so a misfit is ERR_CORRUPT,
 * but it is checked all the same: the file may be torn. */
#include "compose/desired.h"

/* The array of strings at key as a NULL-terminated list in the arena; NULL when it is no array. */
static const char **read_list(const json_t *obj, const char *key, struct arena *a)
{
	json_t *list = json_object_get(obj, key), *item;
	const char **v;
	size_t i, n = 0;
	if (!json_is_array(list))
		return NULL;
	v = arena_alloc(a, (json_array_size(list) + 1) * sizeof(*v));
	json_array_foreach(list, i, item)
		if (json_is_string(item))
			v[n++] = json_string_value(item);
	return v;
}

static const char **list_or_empty(const char **v, struct arena *a)
{
	return v ? v : arena_alloc(a, sizeof(*v));
}

void desired_read_image(const json_t *json, struct arena *a, struct desired_image *ret)
{
	*ret = (struct desired_image){
		.id = json_get_str(json, "id", ""),
		.ref = json_get_str(json, "ref", ""),
		.user = json_get_str(json, "user", ""),
		.working_dir = json_get_str(json, "working_dir", ""),
		.stop_signal = json_get_str(json, "stop_signal", ""),
		.layers = list_or_empty(read_list(json, "layers", a), a),
		.entrypoint = read_list(json, "entrypoint", a),
		.cmd = read_list(json, "cmd", a),
		.env = list_or_empty(read_list(json, "env", a), a),
		.volumes = list_or_empty(read_list(json, "volumes", a), a),
		.exposed_ports = list_or_empty(read_list(json, "exposed_ports", a), a),
	};
}

static int compare_service(const void *a, const void *b)
{
	return strcmp(((const struct desired_service *)a)->name, ((const struct desired_service *)b)->name);
}

static int read_services(struct desired *d, struct err *err)
{
	json_t *services = json_object_get(d->json, "services"), *s;
	const char *name;
	d->services = arena_alloc(d->arena, (json_object_size(services) + 1) * sizeof(*d->services));
	json_object_foreach(services, name, s) {
		struct desired_service *out = &d->services[d->n_services++];
		out->name = name;
		out->hash = json_get_str(s, "hash", "");
		out->config = json_object_get(s, "config");
		out->image_json = json_object_get(s, "image");
		if (!json_is_object(out->image_json))
			out->image_json = NULL;
		if (!json_is_object(out->config))
			return err_set(err, ERR_CORRUPT, "desired state: service %s has no config", name);
		if (model_read_service(name, out->config, d->arena, &out->model, err) < 0)
			return -1;
		if (out->image_json)
			desired_read_image(out->image_json, d->arena, &out->image);
		out->replicas = out->model.replicas;
	}
	qsort(d->services, d->n_services, sizeof(*d->services), compare_service);
	return 0;
}

static void read_resources(struct desired *d)
{
	json_t *networks = json_object_get(d->json, "networks"), *volumes = json_object_get(d->json, "volumes"), *v;
	const char *key;
	d->networks = arena_alloc(d->arena, (json_object_size(networks) + 1) * sizeof(*d->networks));
	json_object_foreach(networks, key, v)
		d->networks[d->n_networks++] = (struct desired_network){
			.key = key, .name = json_get_str(v, "name", key), .internal = json_get_bool(v, "internal", false),
			.external = json_get_bool(v, "external", false), .labels = json_object_get(v, "labels"), .json = v,
		};
	d->volumes = arena_alloc(d->arena, (json_object_size(volumes) + 1) * sizeof(*d->volumes));
	json_object_foreach(volumes, key, v)
		d->volumes[d->n_volumes++] = (struct desired_volume){
			.key = key, .name = json_get_str(v, "name", key), .external = json_get_bool(v, "external", false),
			.labels = json_object_get(v, "labels"),
		};
}

int desired_parse(json_t *json, struct desired *ret, struct err *err)
{
	struct desired d = { .arena = arena_new(), .json = json_incref(json) };
	d.project = json_get_str(json, "project", NULL);
	d.separator = json_get_str(json, "separator", "-");
	d.working_dir = json_get_str(json, "working_dir", "");
	d.config_files = list_or_empty(read_list(json, "config_files", d.arena), d.arena);
	d.environment_files = list_or_empty(read_list(json, "environment_files", d.arena), d.arena);
	d.disabled = list_or_empty(read_list(json, "disabled", d.arena), d.arena);
	if (json_get_int(json, "schema", 0) != DESIRED_SCHEMA || !d.project) {
		err_set(err, ERR_CORRUPT, "desired state: schema %d expected", DESIRED_SCHEMA);
		goto fail;
	}
	if (read_services(&d, err) < 0)
		goto fail;
	read_resources(&d);
	*ret = d;
	return 0;
fail:
	desired_done(&d);
	return -1;
}

void desired_done(struct desired *d)
{
	if (!d)
		return;
	arena_free(d->arena);
	json_decref(d->json);
	*d = (struct desired){0};
}

const struct desired_service *desired_service(const struct desired *d, const char *name)
{
	for (size_t i = 0; d && i < d->n_services; i++)
		if (strcmp(d->services[i].name, name) == 0)
			return &d->services[i];
	return NULL;
}

const struct desired_network *desired_network(const struct desired *d, const char *key)
{
	for (size_t i = 0; d && i < d->n_networks; i++)
		if (strcmp(d->networks[i].key, key) == 0)
			return &d->networks[i];
	return NULL;
}

const struct desired_volume *desired_volume(const struct desired *d, const char *key)
{
	for (size_t i = 0; d && i < d->n_volumes; i++)
		if (strcmp(d->volumes[i].key, key) == 0)
			return &d->volumes[i];
	return NULL;
}
