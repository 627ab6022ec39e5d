/* SPDX-License-Identifier: Apache-2.0 */
/* The typed service from its canonical JSON. The same JSON comes from the loader, from desired.json and from container
 * records, which another release may have written: everything is checked, and what does not fit is an error that names its key,
 * never a guess. Durations become milliseconds, sizes bytes, port ranges pairs of numbers. */
#include "spec/model.h"

#include "base/proc.h"
#include "spec/bytes.h"
#include "spec/duration.h"

struct reader {
	struct arena *a;
	struct err *err;
	const char *service;
};

static int corrupt(const struct reader *r, const char *key)
{
	return err_set(r->err, ERR_CORRUPT, "service %s: %s does not fit the model", r->service, key);
}

static int read_string(const struct reader *r, const json_t *obj, const char *key, const char **ret)
{
	const json_t *j = json_object_get(obj, key);
	*ret = NULL;
	if (!j || json_is_null(j))
		return 0;
	if (!json_is_string(j))
		return corrupt(r, key);
	*ret = arena_strdup(r->a, json_string_value(j));
	return 0;
}

static int read_bool(const struct reader *r, const json_t *obj, const char *key, bool def, bool *ret)
{
	const json_t *j = json_object_get(obj, key);
	*ret = def;
	if (!j || json_is_null(j))
		return 0;
	if (!json_is_boolean(j))
		return corrupt(r, key);
	*ret = json_is_true(j);
	return 0;
}

/* An array of strings, NULL-terminated; absent or null is NULL. */
static int read_strings(const struct reader *r, const json_t *obj, const char *key, const char ***ret)
{
	const json_t *j = json_object_get(obj, key);
	size_t n = json_array_size(j);
	*ret = NULL;
	if (!j || json_is_null(j))
		return 0;
	if (!json_is_array(j))
		return corrupt(r, key);
	*ret = arena_alloc(r->a, (n + 1) * sizeof(**ret));
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(j, i);
		if (!json_is_string(item))
			return corrupt(r, key);
		(*ret)[i] = arena_strdup(r->a, json_string_value(item));
	}
	return 0;
}

static int read_map(const struct reader *r, const json_t *obj, const char *key, bool nulls, struct model_kv **ret, size_t *ret_n)
{
	json_t *j = json_object_get(obj, key), *value;
	const char *name;
	*ret = NULL;
	*ret_n = 0;
	if (!j || json_is_null(j))
		return 0;
	if (!json_is_object(j))
		return corrupt(r, key);
	*ret = arena_alloc(r->a, (json_object_size(j) + 1) * sizeof(**ret));
	json_object_foreach(j, name, value) {
		if (!json_is_string(value) && !(nulls && json_is_null(value)))
			return corrupt(r, key);
		(*ret)[(*ret_n)++] = (struct model_kv){ .key = arena_strdup(r->a, name),
			.value = json_is_string(value) ? arena_strdup(r->a, json_string_value(value)) : NULL };
	}
	return 0;
}

static int read_integer(const struct reader *r, const json_t *obj, const char *key, int64_t min, int64_t max, int64_t def, int64_t *ret)
{
	const json_t *j = json_object_get(obj, key);
	*ret = def;
	if (!j || json_is_null(j))
		return 0;
	if (!json_is_integer(j) || json_integer_value(j) < min || json_integer_value(j) > max)
		return corrupt(r, key);
	*ret = json_integer_value(j);
	return 0;
}

static int read_bytes(const struct reader *r, const json_t *obj, const char *key, uint64_t *ret)
{
	const char *text;
	int64_t v = 0;
	if (read_string(r, obj, key, &text) < 0)
		return -1;
	if (text && !bytes_parse(text, &v))
		return corrupt(r, key);
	*ret = v > 0 ? (uint64_t)v : 0;
	return 0;
}

static int read_published(const struct reader *r, const char *text, struct model_port *p)
{
	const char *dash = strchr(text, '-');
	const char *first = arena_strndup(r->a, text, dash ? (size_t)(dash - text) : strlen(text));
	uint64_t lo, hi;
	if (!*text)
		return 0;
	if (!parse_u64(first, 0, 65535, &lo))
		return corrupt(r, "ports.published");
	hi = lo;
	if (dash && !parse_u64(dash + 1, lo, 65535, &hi))
		return corrupt(r, "ports.published");
	p->published_lo = (uint16_t)lo;
	p->published_hi = (uint16_t)hi;
	return 0;
}

static int read_port(const struct reader *r, const json_t *j, struct model_port *p)
{
	const char *published, *protocol, *ip;
	int64_t target;
	if (read_integer(r, j, "target", 1, 65535, 0, &target) < 0 || read_string(r, j, "published", &published) < 0 ||
	    read_string(r, j, "protocol", &protocol) < 0 || read_string(r, j, "host_ip", &ip) < 0)
		return -1;
	if (!target)
		return corrupt(r, "ports.target");
	if (protocol && strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0)
		return err_set(r->err, ERR_UNSUPPORTED, "service %s: ports: protocol %s is not supported yet", r->service, protocol);
	*p = (struct model_port){ .host_ip = ip ? ip : "", .target = (uint16_t)target,
		.protocol = protocol && strcmp(protocol, "udp") == 0 ? PORT_UDP : PORT_TCP };
	return published ? read_published(r, published, p) : 0;
}

static int read_mount(const struct reader *r, const json_t *j, struct model_mount *m)
{
	static const char *const kinds[] = { [MOUNT_VOLUME] = "volume", [MOUNT_BIND] = "bind", [MOUNT_TMPFS] = "tmpfs" };
	const json_t *bind = json_object_get(j, "bind");
	const char *type;
	static_assert(ARRAY_SIZE(kinds) == MOUNT_KIND_N_, "a word for each kind");
	*m = (struct model_mount){ .kind = MOUNT_KIND_N_ };
	if (read_string(r, j, "type", &type) < 0 || read_string(r, j, "source", &m->source) < 0 || read_string(r, j, "target", &m->target) < 0 ||
	    read_bool(r, j, "read_only", false, &m->read_only) < 0 || read_bool(r, bind, "create_host_path", bind != NULL, &m->create_host_path) < 0 ||
	    read_bool(r, json_object_get(j, "volume"), "nocopy", false, &m->nocopy) < 0)
		return -1;
	for (int k = 0; type && k < MOUNT_KIND_N_; k++)
		if (strcmp(type, kinds[k]) == 0)
			m->kind = (enum mount_kind)k;
	if (m->kind == MOUNT_KIND_N_)
		return err_set(r->err, ERR_UNSUPPORTED, "service %s: volumes: type %s is not supported yet", r->service, type ? type : "(none)");
	if (!m->target || *m->target != '/')
		return err_set(r->err, ERR_INVALID, "service %s: volumes: the target \"%s\" is not an absolute path", r->service, m->target ? m->target : "");
	if (m->kind == MOUNT_BIND && (!m->source || *m->source != '/'))
		return corrupt(r, "volumes.source");
	return 0;
}

static int read_ports(const struct reader *r, const json_t *config, struct model_service *s)
{
	const json_t *list = json_object_get(config, "ports");
	s->ports = arena_alloc(r->a, (json_array_size(list) + 1) * sizeof(*s->ports));
	for (size_t i = 0; i < json_array_size(list); i++)
		if (read_port(r, json_array_get(list, i), &s->ports[s->n_ports++]) < 0)
			return -1;
	return 0;
}

static int read_mounts(const struct reader *r, const json_t *config, struct model_service *s)
{
	const json_t *list = json_object_get(config, "volumes");
	s->mounts = arena_alloc(r->a, (json_array_size(list) + 1) * sizeof(*s->mounts));
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_get_str(json_array_get(list, i), "type", ""), "tmpfs") != 0 && /* compose/service_options.h */
		    read_mount(r, json_array_get(list, i), &s->mounts[s->n_mounts++]) < 0)
			return -1;
	return 0;
}

struct ranked {
	struct model_attachment attachment;
	int64_t priority;
};

static int compare_ranked(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return strcmp(x->attachment.network, y->attachment.network);
}

static int read_networks(const struct reader *r, const json_t *config, struct model_service *s)
{
	json_t *all = json_object_get(config, "networks"), *value;
	struct ranked *v = arena_alloc(r->a, (json_object_size(all) + 1) * sizeof(*v));
	const char *name;
	size_t n = 0;
	if (all && !json_is_null(all) && !json_is_object(all))
		return corrupt(r, "networks");
	json_object_foreach(all, name, value) {
		v[n].attachment.network = arena_strdup(r->a, name);
		if (*json_get_str(value, "ipv4_address", ""))
			v[n].attachment.address = arena_strdup(r->a, json_get_str(value, "ipv4_address", ""));
		if (read_strings(r, value, "aliases", &v[n].attachment.aliases) < 0 ||
		    read_integer(r, value, "priority", INT64_MIN, INT64_MAX, 0, &v[n].priority) < 0)
			return -1;
		n++;
	}
	qsort(v, n, sizeof(*v), compare_ranked);
	s->networks = arena_alloc(r->a, (n + 1) * sizeof(*s->networks));
	s->n_networks = n;
	for (size_t i = 0; i < n; i++)
		s->networks[i] = v[i].attachment;
	return 0;
}

static int read_depends_on(const struct reader *r, const json_t *config, struct model_service *s)
{
	static const char *const conditions[] = { [DEPEND_STARTED] = "service_started", [DEPEND_HEALTHY] = "service_healthy",
		[DEPEND_COMPLETED] = "service_completed_successfully" };
	json_t *all = json_object_get(config, "depends_on"), *value;
	const char *name;
	static_assert(ARRAY_SIZE(conditions) == DEPEND_N_, "a word for each condition");
	if (all && !json_is_null(all) && !json_is_object(all))
		return corrupt(r, "depends_on");
	s->depends_on = arena_alloc(r->a, (json_object_size(all) + 1) * sizeof(*s->depends_on));
	json_object_foreach(all, name, value) {
		struct model_depend *d = &s->depends_on[s->n_depends_on++];
		const char *condition;
		*d = (struct model_depend){ .service = arena_strdup(r->a, name), .condition = DEPEND_N_ };
		if (read_string(r, value, "condition", &condition) < 0 || read_bool(r, value, "restart", false, &d->restart) < 0 ||
		    read_bool(r, value, "required", true, &d->required) < 0)
			return -1;
		for (int i = 0; i < DEPEND_N_; i++)
			if (strcmp(condition ? condition : "service_started", conditions[i]) == 0)
				d->condition = (enum depend_condition)i;
		if (d->condition == DEPEND_N_)
			return corrupt(r, "depends_on.condition");
	}
	return 0;
}

static int read_limits(const struct reader *r, const json_t *config, struct model_service *s)
{
	const json_t *deploy = json_object_get(config, "deploy"), *limits = json_object_get(json_object_get(deploy, "resources"), "limits");
	const json_t *cpus = json_object_get(config, "cpus");
	int64_t replicas, scale;
	if (read_integer(r, deploy, "replicas", 0, 100000, 1, &replicas) < 0 || read_integer(r, config, "scale", 0, 100000, replicas, &scale) < 0)
		return -1;
	s->replicas = (unsigned)scale;
	if (read_bytes(r, config, "mem_limit", &s->memory_bytes) < 0)
		return -1;
	if (!s->memory_bytes && read_bytes(r, limits, "memory", &s->memory_bytes) < 0)
		return -1;
	if (!cpus)
		cpus = json_object_get(limits, "cpus");
	if (cpus && (!json_is_number(cpus) || json_number_value(cpus) < 0))
		return corrupt(r, "cpus");
	s->cpus = cpus ? json_number_value(cpus) : 0;
	if (read_integer(r, config, "pids_limit", -1, INT64_MAX, 0, &s->pids) < 0)
		return -1;
	return s->pids ? 0 : read_integer(r, limits, "pids", -1, INT64_MAX, 0, &s->pids);
}

static int read_restart(const struct reader *r, const json_t *config, struct model_service *s)
{
	static const char *const words[] = { [RESTART_NO] = "no", [RESTART_ALWAYS] = "always", [RESTART_ON_FAILURE] = "on-failure",
		[RESTART_UNLESS_STOPPED] = "unless-stopped" };
	const char *text, *colon;
	uint64_t max;
	static_assert(ARRAY_SIZE(words) == RESTART_N_, "a word for each policy");
	if (read_string(r, config, "restart", &text) < 0)
		return -1;
	s->restart = RESTART_NO;
	if (!text || !*text)
		return 0;
	colon = strchr(text, ':');
	for (int i = 0; i < RESTART_N_; i++) {
		size_t n = colon ? (size_t)(colon - text) : strlen(text);
		if (strlen(words[i]) != n || memcmp(words[i], text, n) != 0 || (colon && i != RESTART_ON_FAILURE))
			continue;
		s->restart = (enum restart_policy)i;
		if (colon && !parse_u64(colon + 1, 0, INT32_MAX, &max))
			break;
		s->restart_max = colon ? (unsigned)max : 0;
		return 0;
	}
	return err_set(r->err, ERR_INVALID, "service %s: restart: \"%s\" is none of no, always, on-failure[:n], unless-stopped", r->service, text);
}

static int read_stop(const struct reader *r, const json_t *config, struct model_service *s)
{
	const char *signal, *grace, *why;
	int64_t ns;
	if (read_string(r, config, "stop_signal", &signal) < 0 || read_string(r, config, "stop_grace_period", &grace) < 0)
		return -1;
	if (signal && *signal) {
		s->stop_signal = proc_signal_parse(signal);
		if (s->stop_signal <= 0)
			return err_set(r->err, ERR_INVALID, "service %s: stop_signal: unknown signal \"%s\"", r->service, signal);
	}
	s->stop_grace_ms = 10000;
	if (!grace)
		return 0;
	if (!duration_parse(grace, &ns, &why) || ns < 0)
		return corrupt(r, "stop_grace_period");
	s->stop_grace_ms = (uint64_t)(ns / 1000000);
	s->has_stop_grace = true;
	return 0;
}

static int read_plain(const struct reader *r, const json_t *config, struct model_service *s)
{
	if (read_string(r, config, "image", &s->image) < 0 || read_string(r, config, "container_name", &s->container_name) < 0 ||
	    read_string(r, config, "hostname", &s->hostname) < 0 || read_string(r, config, "user", &s->user) < 0 ||
	    read_string(r, config, "working_dir", &s->working_dir) < 0)
		return -1;
	if (read_strings(r, config, "command", &s->command) < 0 || read_strings(r, config, "entrypoint", &s->entrypoint) < 0)
		return -1;
	if (read_map(r, config, "environment", true, &s->environment, &s->n_environment) < 0 ||
	    read_map(r, config, "labels", false, &s->labels, &s->n_labels) < 0)
		return -1;
	return read_bool(r, config, "init", false, &s->init) < 0 || read_bool(r, config, "tty", false, &s->tty) < 0 ||
		read_bool(r, config, "stdin_open", false, &s->stdin_open) < 0 ? -1 : 0;
}

int model_read_service(const char *name, const json_t *config, struct arena *a, struct model_service *ret, struct err *err)
{
	struct reader r = { .a = a, .err = err, .service = name };
	struct model_service s = { .name = arena_strdup(a, name) };
	if (!json_is_object(config))
		return err_set(err, ERR_CORRUPT, "service %s: not an object", name);
	if (read_plain(&r, config, &s) < 0 || read_ports(&r, config, &s) < 0 || read_mounts(&r, config, &s) < 0 || read_networks(&r, config, &s) < 0 ||
	    read_depends_on(&r, config, &s) < 0 || read_limits(&r, config, &s) < 0 || read_restart(&r, config, &s) < 0 || read_stop(&r, config, &s) < 0 ||
	    (logging_read(config, &s.logging) < 0 && corrupt(&r, "logging") < 0))
		return -1;
	*ret = s;
	return 0;
}
