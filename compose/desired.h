/* SPDX-License-Identifier: Apache-2.0 */
/* The desired state of a project: what the CLI hands to the supervisor and the supervisor keeps in desired.json.
 *
 * JSON (schema 1):
 *   { "schema": 1, "project": "pets", "working_dir": "/…", ["separator": "_",] "config_files": ["/…/compose.yaml"], "environment_files": [],
 *     "networks": { KEY: {"name": "pets_default", "internal": false, "external": false, "labels": {K: V}[, "subnet": "10.1.0.0/16"
 *                         [, "gateway": "10.1.0.1"][, "range": "10.1.8.0/24"][, "aux": {NAME: ADDRESS}]]} },
 *     "volumes":  { KEY: {"name": "pets_pets-data", "external": false, "labels": {K: V}} },
 *     "services": { NAME: { "config": {canonical service as `config --format json`, environment resolved},
 *                           "hash": "<64 hex>",        the label com.docker.compose.config-hash
 *                           "image": null | IMAGE } }, null for services that were not selected and whose image is absent
 *     "disabled": ["services switched off by profiles"] }
 *   IMAGE = { "id": "sha256:<64 hex>", "ref": "busybox:latest", "layers": ["<diffid 64 hex>", … bottom first],
 *             "entrypoint": […]|null, "cmd": […]|null, "env": ["K=V"], "user": "", "working_dir": "", "volumes": ["/data"],
 *             "exposed_ports": ["80/tcp"], "stop_signal": "", "labels": {} }
 * Only networks and volumes that some service uses are listed. */
#ifndef COMPOSE_DESIRED_H
#define COMPOSE_DESIRED_H

#include "spec/model.h"

enum { DESIRED_SCHEMA = 1 };

struct desired_image {
	const char *id, *ref, *user, *working_dir, *stop_signal;
	const char **layers, **entrypoint, **cmd, **env, **volumes, **exposed_ports; /* NULL-terminated; entrypoint/cmd NULL when the image has none */
};

struct desired_network {
	const char *key, *name;
	bool internal, external;
	const json_t *labels;
	const json_t *json;            /* all of it: subnet, gateway, range, aux (see struct netw) */
};

struct desired_volume {
	const char *key, *name;
	bool external;
	const json_t *labels;
};

struct desired_service {
	const char *name, *hash;
	const json_t *config;          /* borrowed from the JSON */
	const json_t *image_json;      /* NULL when absent */
	struct model_service model;
	struct desired_image image;    /* zeroed when image_json is NULL */
	unsigned replicas;             /* model.replicas, or --scale */
};

struct desired {
	struct arena *arena;
	json_t *json;                  /* owned: everything points into it or into the arena */
	const char *project, *working_dir;
	const char *separator;         /* of a container's name: "-", "_" with --compatibility */
	const char **config_files, **environment_files, **disabled;
	struct desired_network *networks;
	size_t n_networks;
	struct desired_volume *volumes;
	size_t n_volumes;
	struct desired_service *services; /* sorted by name */
	size_t n_services;
};

/* Parses (takes a reference of its own). 0 or -1 + err. */
int desired_parse(json_t *json, struct desired *ret, struct err *err);
void desired_done(struct desired *d);

const struct desired_service *desired_service(const struct desired *d, const char *name);
const struct desired_network *desired_network(const struct desired *d, const char *key);
const struct desired_volume *desired_volume(const struct desired *d, const char *key);
/* Reads an IMAGE object. */
void desired_read_image(const json_t *json, struct arena *a, struct desired_image *ret);

#endif
