/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a request's options. What is absent has the value that the verb has without any flag. */
#include "compose/plan_request.h"

struct lists {
	struct strv services, known, ids, networks, network_keys;
};

static void lists_done(struct lists *l)
{
	strv_done(&l->services);
	strv_done(&l->known);
	strv_done(&l->ids);
	strv_done(&l->networks);
	strv_done(&l->network_keys);
}

/* {"p_default": "default"}: names of networks and their keys. */
static void read_networks(const json_t *request, struct lists *l)
{
	const char *name;
	json_t *key;
	json_object_foreach(json_object_get(request, "networks"), name, key) {
		strv_push(&l->networks, name);
		strv_push(&l->network_keys, json_is_string(key) ? json_string_value(key) : name);
	}
}

static void read_options(const json_t *request, struct lists *l, struct plan_options *opt)
{
	static const char *const none[] = { NULL };
	const json_t *o = json_object_get(request, "options");
	const char *recreate = json_get_str(o, "recreate", "diverged");
	json_get_strv(request, "services", &l->services);
	json_get_strv(request, "known", &l->known);
	json_get_strv(request, "containers", &l->ids);
	opt->services = (const char *const *)l->services.v;
	opt->recreate = str_eq(recreate, "force") ? PLAN_FORCE : str_eq(recreate, "never") ? PLAN_NEVER : PLAN_DIVERGED;
	opt->always_recreate_deps = json_get_bool(o, "always_recreate_deps", false);
	opt->no_deps = json_get_bool(o, "no_deps", json_get_bool(request, "no_deps", false));
	opt->no_start = json_get_bool(o, "no_start", false);
	opt->remove_orphans = json_get_bool(o, "remove_orphans", json_get_bool(request, "remove_orphans", false));
	opt->renew_anon_volumes = json_get_bool(o, "renew_anon_volumes", false);
	opt->remove_volumes = json_get_bool(request, "volumes", false);
	opt->stop_first = json_get_bool(request, "stop", false);
	opt->known = json_object_get(request, "known") ? (const char *const *)l->known.v : NULL;
	opt->ids = l->ids.n ? (const char *const *)l->ids.v : json_object_get(request, "containers") ? none : NULL;
	read_networks(request, l);
	opt->networks = (const char *const *)l->networks.v;
	opt->network_keys = (const char *const *)l->network_keys.v;
}

int plan_request_scale(const json_t *request, struct desired *d, struct err *err)
{
	json_t *scale = json_object_get(json_object_get(request, "options"), "scale"), *n;
	const char *name;
	json_object_foreach(scale, name, n) {
		struct desired_service *s = NULL;
		for (size_t i = 0; i < d->n_services; i++)
			if (strcmp(d->services[i].name, name) == 0)
				s = &d->services[i];
		if (!s)
			return err_set(err, ERR_NOT_FOUND, "no such service: %s", name);
		s->replicas = (unsigned)json_integer_value(n);
	}
	return 0;
}

int plan_request(const json_t *request, const struct desired *d, const struct observed *o, const struct plan_existing *existing, uint64_t generation,
		 struct plan *ret, struct err *err)
{
	static const struct {
		const char *op;
		int (*fn)(const struct observed *, const struct plan_options *, struct plan *, struct err *);
	} verbs[] = {
		{ "stop", plan_stop }, { "start", plan_start }, { "restart", plan_restart }, { "kill", plan_kill }, { "rm", plan_remove },
	};
	struct plan_options opt = { .generation = generation };
	const char *op = json_get_str(request, "op", "");
	struct lists l = {0};
	int rc = 1;
	plan_use_existing(&opt, existing);
	read_options(request, &l, &opt);
	if (strcmp(op, "up") == 0)
		rc = plan_up(d, o, &opt, ret, err);
	else if (strcmp(op, "down") == 0)
		rc = plan_down(o, d, &opt, ret, err);
	for (size_t i = 0; i < ARRAY_SIZE(verbs) && rc == 1; i++)
		if (strcmp(op, verbs[i].op) == 0)
			rc = verbs[i].fn(o, &opt, ret, err);
	lists_done(&l);
	return rc == 1 ? err_set(err, ERR_UNSUPPORTED, "unknown request %s", op) : rc;
}
