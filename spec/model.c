/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical JSON → struct model_service. The loader has validated and normalised; what does not fit here is a torn record or a
 * contradiction between the two, so one error that names the key is enough. */
#include "spec/model.h"

#include <math.h>

#include "base/proc.h"
#include "spec/bytes.h"
#include "spec/duration.h"

static int misfit(struct err *err, const char *key)
{
	return err_set(err, ERR_CORRUPT, "%s: not in canonical form", key);
}

/* A string member, copied; NULL when absent, null or empty. */
static const char *read_text(const json_t *config, const char *key, struct arena *a)
{
	const char *s = json_get_str(config, key, "");
	return *s ? arena_strdup(a, s) : NULL;
}

/* The list of strings at key: NULL when absent or null. */
static const char **read_list(const json_t *config, const char *key, struct arena *a)
{
	json_t *list = json_object_get(config, key), *item;
	const char **v;
	size_t i, n = 0;
	if (!json_is_array(list))
		return NULL;
	v = arena_alloc(a, (json_array_size(list) + 1) * sizeof(*v));
	json_array_foreach(list, i, item)
		if (json_is_string(item))
			v[n++] = arena_strdup(a, json_string_value(item));
	return v;
}

static struct model_kv *read_map(const json_t *config, const char *key, struct arena *a, size_t *ret_n)
{
	json_t *map = json_object_get(config, key), *v;
	struct model_kv *kv = arena_alloc(a, (json_object_size(map) + 1) * sizeof(*kv));
	const char *k;
	*ret_n = 0;
	json_object_foreach(map, k, v) {
		kv[*ret_n].key = arena_strdup(a, k);
		kv[(*ret_n)++].value = json_is_string(v) ? arena_strdup(a, json_string_value(v)) : NULL;
	}
	return kv;
}

/* "" , "80" or "8000-8010" → bounds. */
static bool read_published(const char *s, struct model_port *p)
{
	const char *dash = strchr(s, '-');
	char lo[8];
	uint64_t a, b;
	if (!*s)
		return true;
	if (dash && (size_t)(dash - s) >= sizeof(lo))
		return false;
	memcpy(lo, s, dash ? (size_t)(dash - s) : MIN(strlen(s) + 1, sizeof(lo)));
	lo[dash ? (size_t)(dash - s) : sizeof(lo) - 1] = '\0';
	if (!parse_u64(lo, 0, 65535, &a) || !parse_u64(dash ? dash + 1 : lo, a, 65535, &b))
		return false;
	p->published_lo = (uint16_t)a;
	p->published_hi = (uint16_t)b;
	return true;
}

static int read_ports(const json_t *config, struct arena *a, struct model_service *s, struct err *err)
{
	json_t *list = json_object_get(config, "ports"), *j;
	size_t i;
	s->ports = arena_alloc(a, (json_array_size(list) + 1) * sizeof(*s->ports));
	json_array_foreach(list, i, j) {
		struct model_port *p = &s->ports[s->n_ports++];
		const char *protocol = json_get_str(j, "protocol", "tcp");
		int64_t target = json_get_int(j, "target", 0);
		p->host_ip = arena_strdup(a, json_get_str(j, "host_ip", ""));
		p->protocol = strcmp(protocol, "udp") == 0 ? PORT_UDP : PORT_TCP;
		if (target < 1 || target > 65535 || (strcmp(protocol, "udp") != 0 && strcmp(protocol, "tcp") != 0) ||
		    !read_published(json_get_str(j, "published", ""), p))
			return misfit(err, "ports");
		p->target = (uint16_t)target;
	}
	return 0;
}

static int read_mounts(const json_t *config, struct arena *a, struct model_service *s, struct err *err)
{
	json_t *list = json_object_get(config, "volumes"), *j;
	size_t i;
	s->mounts = arena_alloc(a, (json_array_size(list) + 1) * sizeof(*s->mounts));
	json_array_foreach(list, i, j) {
		struct model_mount *m = &s->mounts[s->n_mounts++];
		const char *type = json_get_str(j, "type", "");
		m->kind = strcmp(type, "volume") == 0 ? MOUNT_VOLUME : strcmp(type, "bind") == 0 ? MOUNT_BIND : strcmp(type, "tmpfs") == 0 ? MOUNT_TMPFS : MOUNT_KIND_N_;
		m->source = read_text(j, "source", a);
		m->target = read_text(j, "target", a);
		m->read_only = json_get_bool(j, "read_only", false);
		m->create_host_path = json_get_bool(json_object_get(j, "bind"), "create_host_path", false);
		m->nocopy = json_get_bool(json_object_get(j, "volume"), "nocopy", false);
		if (m->kind == MOUNT_KIND_N_ || !m->target || (m->kind == MOUNT_BIND && !m->source))
			return misfit(err, "volumes");
	}
	return 0;
}

struct ranked {
	struct model_attachment a;
	double priority;
};

static int compare_ranked(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	return strcmp(a->a.network, b->a.network);
}

static void read_networks(const json_t *config, struct arena *a, struct model_service *s)
{
	json_t *map = json_object_get(config, "networks"), *v;
	struct ranked *r = arena_alloc(a, (json_object_size(map) + 1) * sizeof(*r));
	const char *key;
	json_object_foreach(map, key, v) {
		struct ranked *out = &r[s->n_networks++];
		out->a.network = arena_strdup(a, key);
		out->a.aliases = read_list(v, "aliases", a);
		out->priority = json_get_num(v, "priority", 0);
	}
	qsort(r, s->n_networks, sizeof(*r), compare_ranked);
	s->networks = arena_alloc(a, (s->n_networks + 1) * sizeof(*s->networks));
	for (size_t i = 0; i < s->n_networks; i++)
		s->networks[i] = r[i].a;
}

static int read_depends(const json_t *config, struct arena *a, struct model_service *s, struct err *err)
{
	static const char *const names[DEPEND_N_] = {
		[DEPEND_STARTED] = "service_started", [DEPEND_HEALTHY] = "service_healthy", [DEPEND_COMPLETED] = "service_completed_successfully",
	};
	json_t *map = json_object_get(config, "depends_on"), *v;
	const char *key;
	s->depends_on = arena_alloc(a, (json_object_size(map) + 1) * sizeof(*s->depends_on));
	json_object_foreach(map, key, v) {
		struct model_depend *d = &s->depends_on[s->n_depends_on++];
		const char *condition = json_get_str(v, "condition", "service_started");
		d->service = arena_strdup(a, key);
		d->restart = json_get_bool(v, "restart", false);
		d->required = json_get_bool(v, "required", true);
		d->condition = DEPEND_N_;
		for (int c = 0; c < DEPEND_N_; c++)
			if (strcmp(names[c], condition) == 0)
				d->condition = (enum depend_condition)c;
		if (d->condition == DEPEND_N_)
			return misfit(err, "depends_on");
	}
	return 0;
}

static int read_restart(const json_t *config, struct model_service *s, struct err *err)
{
	const char *text = json_get_str(config, "restart", "no");
	uint64_t n;
	if (strcmp(text, "no") == 0 || !*text) {
		s->restart = RESTART_NO;
	} else if (strcmp(text, "always") == 0) {
		s->restart = RESTART_ALWAYS;
	} else if (strcmp(text, "unless-stopped") == 0) {
		s->restart = RESTART_UNLESS_STOPPED;
	} else if (strcmp(text, "on-failure") == 0) {
		s->restart = RESTART_ON_FAILURE;
	} else if (str_starts(text, "on-failure:") && parse_u64(text + 11, 0, 1000000, &n)) {
		s->restart = RESTART_ON_FAILURE;
		s->restart_max = (unsigned)n;
	} else {
		return err_set(err, ERR_INVALID, "restart: \"%.40s\" is none of no, always, on-failure[:n], unless-stopped", text);
	}
	return 0;
}

/* Bytes as the canonical form has them: a number or a decimal string. */
static uint64_t read_bytes(const json_t *obj, const char *key)
{
	const json_t *v = json_object_get(obj, key);
	uint64_t n = 0;
	if (json_is_integer(v) && json_integer_value(v) > 0)
		return (uint64_t)json_integer_value(v);
	if (json_is_string(v) && parse_u64(json_string_value(v), 0, INT64_MAX, &n))
		return n;
	return 0;
}

static double read_number(const json_t *obj, const char *key)
{
	const json_t *v = json_object_get(obj, key);
	double d = json_is_number(v) ? json_number_value(v) : json_is_string(v) ? strtod(json_string_value(v), NULL) : 0;
	return isfinite(d) && d > 0 ? d : 0;
}

static int read_limits(const json_t *config, struct model_service *s, struct err *err)
{
	const json_t *deploy = json_object_get(config, "deploy"), *limits = json_object_get(json_object_get(deploy, "resources"), "limits");
	int64_t replicas = json_get_int(deploy, "replicas", json_get_int(config, "scale", 1));
	if (replicas < 0 || replicas > 1000000)
		return misfit(err, "deploy.replicas");
	s->replicas = (unsigned)replicas;
	s->memory_bytes = read_bytes(limits, "memory");
	if (!s->memory_bytes)
		s->memory_bytes = read_bytes(config, "mem_limit");
	s->cpus = read_number(limits, "cpus");
	if (s->cpus == 0)
		s->cpus = read_number(config, "cpus");
	s->pids = json_get_int(limits, "pids", 0);
	if (!s->pids)
		s->pids = json_get_int(config, "pids_limit", 0);
	return 0;
}

static int read_stop(const json_t *config, struct model_service *s, struct err *err)
{
	const char *signal_text = json_get_str(config, "stop_signal", NULL), *grace = json_get_str(config, "stop_grace_period", NULL);
	const char *why;
	int64_t ns;
	s->stop_grace_ms = 10000;
	if (signal_text && *signal_text) {
		s->stop_signal = proc_signal_parse(signal_text);
		if (s->stop_signal < 0)
			return err_set(err, ERR_INVALID, "stop_signal: \"%.40s\" is no signal", signal_text);
	}
	if (grace) {
		if (!duration_parse(grace, &ns, &why))
			return err_set(err, ERR_INVALID, "stop_grace_period: %s", why);
		s->stop_grace_ms = ns > 0 ? (uint64_t)ns / 1000000 : 0;
		s->has_stop_grace = true;
	}
	return 0;
}

int model_read_service(const char *name, const json_t *config, struct arena *a, struct model_service *ret, struct err *err)
{
	struct model_service s = { .name = arena_strdup(a, name) };
	if (!json_is_object(config))
		return err_set(err, ERR_CORRUPT, "service %s: not in canonical form", name);
	s.image = read_text(config, "image", a);
	s.container_name = read_text(config, "container_name", a);
	s.hostname = read_text(config, "hostname", a);
	s.user = read_text(config, "user", a);
	s.working_dir = read_text(config, "working_dir", a);
	s.command = read_list(config, "command", a);
	s.entrypoint = read_list(config, "entrypoint", a);
	s.environment = read_map(config, "environment", a, &s.n_environment);
	s.labels = read_map(config, "labels", a, &s.n_labels);
	s.init = json_get_bool(config, "init", false);
	s.tty = json_get_bool(config, "tty", false);
	s.stdin_open = json_get_bool(config, "stdin_open", false);
	read_networks(config, a, &s);
	if (read_ports(config, a, &s, err) < 0 || read_mounts(config, a, &s, err) < 0 || read_depends(config, a, &s, err) < 0 ||
	    read_restart(config, &s, err) < 0 || read_limits(config, &s, err) < 0 || read_stop(config, &s, err) < 0)
		return err_wrap(err, "service %s", name);
	*ret = s;
	return 0;
}
