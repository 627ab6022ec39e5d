/* SPDX-License-Identifier: Apache-2.0 */
/* `run`: a one-off container of a service. Its configuration is the service's with the command line's wishes on top; its dependencies are
 * brought up like in `up`. The operation ends when the command runs (so that others are not held up); a foreground client then stays
 * attached to the container and gets its exit code. */
#include "compose/supervisor.h"

#include <stdio.h>

#include "base/log.h"
#include "compose/plan_build.h"

static void put_list(json_t *config, const char *key, const json_t *list)
{
	if (json_is_array(list))
		json_object_set(config, key, (json_t *)(uintptr_t)list);
}

static void put_environment(json_t *config, const json_t *list)
{
	json_t *env = json_object_get(config, "environment"), *item;
	size_t i;
	if (!json_is_object(env)) {
		env = json_object();
		json_object_set_new(config, "environment", env);
	}
	json_array_foreach((json_t *)(uintptr_t)list, i, item) {
		const char *s = json_is_string(item) ? json_string_value(item) : "", *eq = strchr(s, '=');
		if (eq) {
			AUTO_FREE char *key = xstrndup(s, (size_t)(eq - s));
			json_put_str(env, key, eq + 1);
		}
	}
}

static void put_labels(json_t *config, const json_t *labels)
{
	json_t *all = json_object_get(config, "labels");
	if (!json_is_object(labels))
		return;
	if (!json_is_object(all)) {
		all = json_object();
		json_object_set_new(config, "labels", all);
	}
	json_object_update(all, (json_t *)(uintptr_t)labels);
}

static void extend(json_t *config, const char *key, const json_t *more)
{
	json_t *list = json_object_get(config, key);
	if (!json_is_array(more) || !json_array_size(more))
		return;
	if (!json_is_array(list)) {
		list = json_array();
		json_object_set_new(config, key, list);
	}
	json_array_extend(list, (json_t *)(uintptr_t)more);
}

/* What the command line adds, the service does not drop, and the other way round. */
static void put_capabilities(json_t *config, const char *key, const char *opposite, const json_t *list)
{
	json_t *others = json_object_get(config, opposite), *item;
	size_t i;
	json_array_foreach((json_t *)(uintptr_t)list, i, item)
		for (size_t k = json_array_size(others); k-- > 0;)
			if (json_equal(json_array_get(others, k), item))
				json_array_remove(others, k);
	extend(config, key, list);
}

/* The service's configuration with the wishes of the command line; new reference. */
static json_t *run_config(const struct desired_service *s, const json_t *run)
{
	static const char *const dropped[] = { "container_name", "deploy", "scale", "restart", "profiles", "healthcheck" };
	json_t *config = json_deep_copy(s->config), *command = json_object_get(run, "command"), *entrypoint = json_object_get(run, "entrypoint");
	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
		if (strcmp(dropped[i], "deploy") != 0 || !json_object_get(json_object_get(config, "deploy"), "resources"))
			json_object_del(config, dropped[i]);
	if (json_is_object(json_object_get(config, "deploy")))
		json_object_del(json_object_get(config, "deploy"), "replicas");
	put_list(config, "entrypoint", entrypoint);
	if (json_is_array(entrypoint) && !json_array_size(command))
		json_object_set_new(config, "command", json_array());
	if (json_array_size(command))
		put_list(config, "command", command);
	put_environment(config, json_object_get(run, "env"));
	put_labels(config, json_object_get(run, "labels"));
	if (json_get_str(run, "user", NULL))
		json_put_str(config, "user", json_get_str(run, "user", NULL));
	if (json_get_str(run, "working_dir", NULL))
		json_put_str(config, "working_dir", json_get_str(run, "working_dir", NULL));
	json_object_set_new(config, "tty", json_boolean(json_get_bool(run, "tty", false)));
	json_object_set_new(config, "stdin_open", json_boolean(json_get_bool(run, "stdin", false)));
	if (!json_get_bool(run, "service_ports", false))
		json_object_del(config, "ports");
	extend(config, "ports", json_object_get(run, "publish"));
	extend(config, "volumes", json_object_get(run, "volumes"));
	put_capabilities(config, "cap_add", "cap_drop", json_object_get(run, "cap_add"));
	put_capabilities(config, "cap_drop", "cap_add", json_object_get(run, "cap_drop"));
	return config;
}

void op_run_record(const struct op *op, struct record *r)
{
	r->oneoff = true;
	r->remove_on_exit = json_get_bool(json_object_get(op->request, "run"), "rm", false);
	r->use_aliases = json_get_bool(json_object_get(op->request, "run"), "use_aliases", false);
	json_put_str(r->labels, "com.docker.compose.oneoff", "True");
	json_put_str(r->labels, "com.docker.compose.slug", r->id);
}

bool op_run_waits(const struct op *op)
{
	return str_eq(op->kind, "run") && !json_get_bool(json_object_get(op->request, "run"), "detach", false);
}

int op_run_wanted(const struct op *op, struct err *err)
{
	return op_run_waits(op) && !op->client ? err_set(err, ERR_TIMEOUT, "nobody waits for the command any more: it is not started") : 0;
}

void op_run_created(struct op *op, struct unit *u)
{
	const json_t *run = json_object_get(op->request, "run");
	u->run_op = op;
	snprintf(op->run_id, sizeof(op->run_id), "%s", u->rec->id);
	if (!json_get_bool(run, "detach", false) && op->client) {
		u->attached = op->client;
		op->client->attached = u;
	}
}

void op_run_ended(struct op *op)
{
	struct supervisor *sv = op->sv;
	for (size_t i = 0; i < sv->n_units; i++) {
		struct unit *u = sv->units[i];
		if (u->run_op != op)
			continue;
		u->run_op = NULL;
		if (u->attached)
			u->attached->attached = NULL;
		u->attached = NULL;
		unit_discard(u);
		return;
	}
}

/* Carried on after a crash: 1 when the container of this very operation has been started, which happens once; one that was only made goes. */
static int find_begun(struct op *op, struct err *err)
{
	for (size_t i = 0; i < op->sv->n_units; i++) {
		struct unit *u = op->sv->units[i];
		if (!u->rec->oneoff || u->rec->generation != op->generation)
			continue;
		if (u->phase == UNIT_IDLE && u->rec->started_generation < op->generation)
			return unit_remove(u, true, err);
		snprintf(op->run_id, sizeof(op->run_id), "%s", u->rec->id);
		return 1;
	}
	return 0;
}

int op_run_begin(struct op *op, struct err *err)
{
	CLEANUP(plan_existing_done) struct plan_existing existing = {0};
	struct supervisor *sv = op->sv;
	const json_t *run = json_object_get(op->request, "run");
	const char *service = json_get_str(op->request, "service", ""), *name = json_get_str(run, "name", "");
	struct plan_options opt = { .no_deps = json_get_bool(run, "no_deps", false), .generation = op->generation };
	const struct desired_service *s;
	struct desired_service *one;
	struct observed o;
	int rc = op_run_wanted(op, err) < 0 ? -1 : find_begun(op, err);
	if (rc == 1)
		plan_init(&op->plan);
	if (rc != 0)
		return rc < 0 ? -1 : apply_plan(op);
	if (apply_take_desired(op, err) < 0)
		return -1;
	s = desired_service(&op->desired, service);
	if (!s)
		return err_set(err, ERR_NOT_FOUND, "no such service: %s", service);
	if (!*name)
		return err_set(err, ERR_INVALID, "run: the request names no container");
	for (size_t i = 0; i < sv->n_units; i++)
		if (strcmp(sv->units[i]->rec->name, name) == 0)
			return err_set(err, ERR_CONFLICT, "the name %s is in use by container %.12s", name, sv->units[i]->rec->id);
	one = arena_alloc(op->desired.arena, sizeof(*one));
	*one = *s;
	one->config = run_config(s, run);
	json_object_set_new(op->request, "run_config", (json_t *)(uintptr_t)one->config);
	if (model_read_service(s->name, one->config, op->desired.arena, &one->model, err) < 0)
		return -1;
	one->replicas = 1;
	op->oneoff = one;
	if (apply_existing(sv, &op->desired, &existing, err) < 0)
		return -1;
	plan_use_existing(&opt, &existing);
	supervisor_observed(sv, &o);
	rc = plan_run(&op->desired, &o, &opt, one, name, &op->plan, err);
	free(o.containers);
	if (rc < 0 || nets_join_all(sv, &existing.shared, &op->desired, err) < 0 || apply_keep_desired(op, err) < 0)
		return -1;
	return apply_plan(op);
}
