/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of the verbs that work on what is there: down, stop, start, restart, kill, rm. The order comes from the depends_on that each
 * container was made with, so none of them needs the file. A stop waits only for the stops of what depends on it: everything that
 * nobody needs any more is signalled at once, so `down` takes the longest grace period, not the sum. */
#include "compose/plan.h"
#include "compose/plan_build.h"

struct verb {
	const struct observed *o;
	const struct plan_options *opt;
	struct plan *p;
	size_t *stop;   /* per container: its STOP (or KILL) + 1 */
	size_t *remove; /* per container: its REMOVE + 1 */
	size_t *start;
};

static bool alive(const struct record *r)
{
	return r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING;
}

static bool chosen(const struct verb *v, const struct record *r)
{
	if (v->opt->ids && !plan_selected(v->opt->ids, r->id, false))
		return false;
	return plan_selected(v->opt->services, r->service, true);
}

/* Containers of services that the file no longer has are orphans; they go only with --remove-orphans. */
static bool is_orphan(const struct verb *v, const struct record *r)
{
	return v->opt->known && !plan_selected(v->opt->known, r->service, false);
}

/* Carried on after a crash: this operation has started it before. */
static bool done_already(const struct verb *v, const struct record *r)
{
	return v->opt->generation && r->started_generation >= v->opt->generation;
}

static void verb_init(struct verb *v, const struct observed *o, const struct plan_options *opt, struct plan *p)
{
	plan_init(p);
	*v = (struct verb){ .o = o, .opt = opt, .p = p };
	v->stop = arena_alloc(p->arena, (o->n + 1) * sizeof(size_t));
	v->remove = arena_alloc(p->arena, (o->n + 1) * sizeof(size_t));
	v->start = arena_alloc(p->arena, (o->n + 1) * sizeof(size_t));
}

/* A STOP waits for the STOPs of containers whose service depends on it. */
static void order_stops(struct verb *v)
{
	for (size_t i = 0; i < v->o->n; i++)
		for (size_t k = 0; v->stop[i] && k < v->o->n; k++)
			if (v->stop[k] && i != k && plan_record_depends(v->o->containers[k], v->o->containers[i]->service))
				plan_after(v->p, v->stop[i] - 1, v->stop[k] - 1);
}

/* The WAIT for the completion of a service, one for all its dependents; 0 when there is nothing to wait for (it has no container, or only one
 * that was made and never started: nobody but `up` brings dependencies up). Else its index + 1. */
static size_t wait_completed(struct verb *v, const char *service, bool required)
{
	bool any = false;
	size_t w;
	for (size_t i = 0; i < v->p->n; i++)
		if (v->p->actions[i].kind == ACTION_WAIT && strcmp(v->p->actions[i].service, service) == 0) {
			v->p->actions[i].optional &= !required;
			return i + 1;
		}
	for (size_t k = 0; k < v->o->n; k++)
		if (!v->o->containers[k]->oneoff && strcmp(v->o->containers[k]->service, service) == 0) {
			if (!v->start[k] && v->o->containers[k]->status == STATUS_CREATED)
				return 0;
			any = true;
		}
	if (!any)
		return 0;
	service = arena_strdup(v->p->arena, service);
	w = plan_add(v->p, ACTION_WAIT, service, "has to complete");
	v->p->actions[w].service = service;
	v->p->actions[w].condition = DEPEND_COMPLETED;
	v->p->actions[w].optional = !required;
	for (size_t k = 0; k < v->o->n; k++)
		if (v->start[k] && strcmp(v->o->containers[k]->service, service) == 0)
			plan_after(v->p, w, v->start[k] - 1);
	return w + 1;
}

/* A START waits for the STARTs of what it depends on, and for the completion that its depends_on asks for. */
static void order_starts(struct verb *v)
{
	for (size_t i = 0; i < v->o->n; i++) {
		json_t *deps = json_object_get(v->o->containers[i]->config, "depends_on"), *dep;
		const char *name;
		if (!v->start[i])
			continue;
		json_object_foreach(deps, name, dep) {
			size_t w = str_eq(json_get_str(dep, "condition", ""), "service_completed_successfully") ?
					   wait_completed(v, name, json_get_bool(dep, "required", true)) : 0;
			if (w)
				plan_after(v->p, v->start[i] - 1, w - 1);
		}
	}
	for (size_t i = 0; i < v->o->n; i++)
		for (size_t k = 0; v->start[i] && k < v->o->n; k++)
			if (v->start[k] && i != k && plan_record_depends(v->o->containers[i], v->o->containers[k]->service))
				plan_after(v->p, v->start[i] - 1, v->start[k] - 1);
}

static void add_stop(struct verb *v, size_t i, const char *reason)
{
	v->stop[i] = plan_add_on(v->p, ACTION_STOP, v->o->containers[i], "%s", reason) + 1;
}

static void add_remove(struct verb *v, size_t i, const char *reason)
{
	v->remove[i] = plan_add_on(v->p, ACTION_REMOVE, v->o->containers[i], "%s", reason) + 1;
	if (v->stop[i])
		plan_after(v->p, v->remove[i] - 1, v->stop[i] - 1);
}

/* Networks go when nothing of the project is left on them; volumes with -v. */
static void remove_resources(struct verb *v, const struct desired *d, bool containers_stay)
{
	const char *const *names = v->opt->existing_networks;
	for (; names && *names; names++) {
		size_t n;
		if (containers_stay || plan_selected(v->opt->busy_networks, *names, false)) {
			strv_pushf(&v->p->warnings, "Network %s: Resource is still in use", *names);
			continue;
		}
		n = plan_add(v->p, ACTION_NETWORK_REMOVE, *names, "the project goes down");
		for (size_t i = 0; i < v->o->n; i++)
			if (v->remove[i])
				plan_after(v->p, n, v->remove[i] - 1);
	}
	for (size_t i = 0; d && v->opt->remove_volumes && i < d->n_volumes; i++) {
		size_t n;
		if (d->volumes[i].external || !plan_selected(v->opt->existing_volumes, d->volumes[i].name, false))
			continue;
		n = plan_add(v->p, ACTION_VOLUME_REMOVE, d->volumes[i].name, "asked for by --volumes");
		for (size_t k = 0; k < v->o->n; k++)
			if (v->remove[k])
				plan_after(v->p, n, v->remove[k] - 1);
	}
}

int plan_down(const struct observed *o, const struct desired *d, const struct plan_options *opt, struct plan *ret, struct err *err)
{
	bool some = opt->services && opt->services[0], stay = some;
	struct verb v;
	(void)err;
	verb_init(&v, o, opt, ret);
	for (size_t i = 0; i < o->n; i++) {
		const struct record *r = o->containers[i];
		if (!chosen(&v, r) || (!some && is_orphan(&v, r) && !opt->remove_orphans)) {
			stay = true;
			continue;
		}
		if (alive(r))
			add_stop(&v, i, some ? "service goes down" : "the project goes down");
		add_remove(&v, i, some ? "service goes down" : "the project goes down");
	}
	order_stops(&v);
	if (!some)
		remove_resources(&v, d, stay);
	return 0;
}

int plan_stop(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err)
{
	struct verb v;
	(void)err;
	verb_init(&v, o, opt, ret);
	for (size_t i = 0; i < o->n; i++)
		if (alive(o->containers[i]) && !o->containers[i]->oneoff && chosen(&v, o->containers[i]))
			add_stop(&v, i, "asked for");
	order_stops(&v);
	return 0;
}

int plan_start(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err)
{
	struct verb v;
	verb_init(&v, o, opt, ret);
	for (const char *const *s = opt->services; s && *s; s++) {
		bool any = false;
		for (size_t i = 0; i < o->n; i++)
			any |= !o->containers[i]->oneoff && strcmp(o->containers[i]->service, *s) == 0;
		if (!any) {
			err_set(err, ERR_NOT_FOUND, "service \"%s\" has no container to start", *s);
			plan_done(ret);
			return -1;
		}
	}
	for (size_t i = 0; i < o->n; i++)
		if (!alive(o->containers[i]) && !o->containers[i]->oneoff && chosen(&v, o->containers[i]) && !done_already(&v, o->containers[i]))
			v.start[i] = plan_add_on(v.p, ACTION_START, o->containers[i], "asked for") + 1;
	order_starts(&v);
	return 0;
}

/* With dependents: those whose depends_on says restart: true go along, unless no_deps. */
static bool restarts_along(const struct verb *v, const struct record *r)
{
	json_t *deps = json_object_get(r->config, "depends_on"), *dep;
	const char *name;
	if (v->opt->no_deps || !alive(r))
		return false;
	json_object_foreach(deps, name, dep)
		if (json_get_bool(dep, "restart", false) && plan_selected(v->opt->services, name, true))
			return true;
	return false;
}

int plan_restart(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err)
{
	struct verb v;
	(void)err;
	verb_init(&v, o, opt, ret);
	for (size_t i = 0; i < o->n; i++) {
		const struct record *r = o->containers[i];
		if (r->oneoff || done_already(&v, r) || !(chosen(&v, r) || restarts_along(&v, r)))
			continue;
		if (alive(r)) {
			add_stop(&v, i, "restart was asked for");
			v.p->actions[v.stop[i] - 1].restart = true;
		}
		v.start[i] = plan_add_on(v.p, ACTION_START, r, "restart was asked for") + 1;
		v.p->actions[v.start[i] - 1].restart = true;
		if (v.stop[i])
			plan_after(v.p, v.start[i] - 1, v.stop[i] - 1);
	}
	order_stops(&v);
	order_starts(&v);
	return 0;
}

int plan_kill(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err)
{
	struct verb v;
	(void)err;
	verb_init(&v, o, opt, ret);
	for (size_t i = 0; i < o->n; i++)
		if (o->containers[i]->status == STATUS_RUNNING && !o->containers[i]->oneoff && chosen(&v, o->containers[i]))
			plan_add_on(v.p, ACTION_KILL, o->containers[i], "asked for");
	if (opt->remove_orphans)
		for (size_t i = 0; i < o->n; i++)
			if (is_orphan(&v, o->containers[i]) && !o->containers[i]->oneoff) {
				if (alive(o->containers[i]))
					add_stop(&v, i, "its service is not in the file");
				add_remove(&v, i, "its service is not in the file");
			}
	return 0;
}

/* Some container that stays is on the network, or would be when it is started again. */
static bool needs_network(const struct verb *v, const char *name, const char *key)
{
	for (size_t i = 0; i < v->o->n; i++) {
		const struct record *r = v->o->containers[i];
		if (v->remove[i])
			continue;
		if (json_object_get(json_object_get(r->config, "networks"), key))
			return true;
		for (size_t k = 0; k < r->n_endpoints; k++)
			if (strcmp(r->endpoints[k].network_name, name) == 0)
				return true;
	}
	return false;
}

static void remove_unused_networks(struct verb *v)
{
	for (size_t i = 0; v->opt->networks && v->opt->networks[i]; i++) {
		const char *name = v->opt->networks[i];
		size_t n;
		if (!plan_selected(v->opt->existing_networks, name, false) || needs_network(v, name, v->opt->network_keys[i]))
			continue;
		n = plan_add(v->p, ACTION_NETWORK_REMOVE, name, "nothing is on it");
		for (size_t k = 0; k < v->o->n; k++)
			if (v->remove[k])
				plan_after(v->p, n, v->remove[k] - 1);
	}
}

int plan_remove(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err)
{
	struct verb v;
	(void)err;
	verb_init(&v, o, opt, ret);
	for (size_t i = 0; i < o->n; i++) {
		const struct record *r = o->containers[i];
		if (!chosen(&v, r) || (r->oneoff && alive(r)) || (alive(r) && !opt->stop_first))
			continue;
		if (alive(r))
			add_stop(&v, i, "asked for");
		add_remove(&v, i, "asked for");
	}
	order_stops(&v);
	remove_unused_networks(&v);
	return 0;
}
