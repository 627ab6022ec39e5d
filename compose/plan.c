/* SPDX-License-Identifier: Apache-2.0 */
/* plan_up(): what makes the project as the file says. For each selected service, in the order of their names, its containers are sorted into
 * kept, updated in place, recreated, removed and missing; edges then say what waits for what: a create for its networks and volumes, a
 * start for its create and for the conditions of depends_on. Creates do not wait for other services, so that everything that can be
 * prepared is ready when the first condition is met. */
#include "compose/plan.h"

#include <stdarg.h>
#include <stdio.h>

#include "compose/plan_build.h"
#include "compose/plan_diff.h"

enum { MAX_REPLICAS = 10000 };

/* One service of the selection while the plan is made. */
struct unit {
	const struct desired_service *s;
	bool wanted, named;        /* part of this plan; named by the user (or everything is) */
	bool recreated;            /* a container of it is replaced */
	size_t *ready;             /* actions after which it counts as started */
	size_t n_ready, cap_ready;
	size_t *stops;             /* STOP actions of it */
	size_t n_stops, cap_stops;
	size_t *starts;
	size_t n_starts, cap_starts;
	size_t wait;               /* WAIT action + 1 for completed/healthy, 0: none */
};

struct build {
	const struct desired *d;
	const struct observed *o;
	const struct plan_options *opt;
	struct plan *p;
	struct unit *units;        /* parallel to d->services */
	struct map created;        /* network and volume names → action index + 1 */
};

void plan_init(struct plan *p)
{
	*p = (struct plan){ .arena = arena_new() };
}

static size_t add_action(struct plan *p, enum action_kind kind, const char *name, const char *fmt, va_list ap)
{
	char reason[512];
	struct action *a;
	vsnprintf(reason, sizeof(reason), fmt, ap);
	p->actions = vec_grow(p->actions, p->n, &p->cap, sizeof(*p->actions));
	a = &p->actions[p->n];
	*a = (struct action){ .kind = kind, .name = arena_strdup(p->arena, name), .reason = arena_strdup(p->arena, reason) };
	return p->n++;
}

size_t plan_add(struct plan *p, enum action_kind kind, const char *name, const char *reason_fmt, ...)
{
	va_list ap;
	size_t i;
	va_start(ap, reason_fmt);
	i = add_action(p, kind, name, reason_fmt, ap);
	va_end(ap);
	return i;
}

size_t plan_add_on(struct plan *p, enum action_kind kind, const struct record *r, const char *reason_fmt, ...)
{
	va_list ap;
	size_t i;
	va_start(ap, reason_fmt);
	i = add_action(p, kind, r->name, reason_fmt, ap);
	va_end(ap);
	p->actions[i].service = arena_strdup(p->arena, r->service);
	p->actions[i].number = r->number;
	p->actions[i].id = arena_strdup(p->arena, r->id);
	return i;
}

void plan_after(struct plan *p, size_t index, size_t before)
{
	struct action *a = &p->actions[index];
	for (size_t i = 0; i < a->n_after; i++)
		if (a->after[i] == before)
			return;
	a->after = arena_grow(p->arena, a->after, a->n_after, &a->cap_after, sizeof(*a->after));
	a->after[a->n_after++] = before;
}

bool plan_selected(const char *const *list, const char *s, bool all_if_empty)
{
	if (!list || !list[0])
		return all_if_empty;
	for (; *list; list++)
		if (strcmp(*list, s) == 0)
			return true;
	return false;
}

bool plan_record_depends(const struct record *r, const char *service)
{
	return json_object_get(json_object_get(r->config, "depends_on"), service) != NULL;
}

void plan_done(struct plan *p)
{
	if (!p)
		return;
	free(p->actions);
	arena_free(p->arena);
	strv_done(&p->warnings);
	*p = (struct plan){0};
}

static struct unit *find_unit(const struct build *b, const char *service)
{
	const struct desired_service *s = desired_service(b->d, service);
	return s ? &b->units[s - b->d->services] : NULL;
}

static int want_unit(struct build *b, struct unit *u, struct err *err)
{
	if (u->wanted)
		return 0;
	u->wanted = true;
	for (size_t i = 0; !b->opt->no_deps && i < u->s->model.n_depends_on; i++) {
		const struct model_depend *dep = &u->s->model.depends_on[i];
		struct unit *v = find_unit(b, dep->service);
		if (v && want_unit(b, v, err) < 0)
			return -1;
		if (!v && dep->required)
			return err_set(err, ERR_INVALID, "service %s depends on %s, which is not part of this project", u->s->name, dep->service);
	}
	return 0;
}

static int select_units(struct build *b, struct err *err)
{
	const char *const *names = b->opt->services;
	for (size_t i = 0; i < b->d->n_services; i++)
		b->units[i].s = &b->d->services[i];
	for (; names && *names; names++) {
		struct unit *u = find_unit(b, *names);
		if (!u)
			return err_set(err, ERR_NOT_FOUND, "no such service: %s", *names);
		u->named = true;
	}
	for (size_t i = 0; i < b->d->n_services; i++) {
		if (!b->opt->services || !b->opt->services[0])
			b->units[i].named = true;
		if (b->units[i].named && want_unit(b, &b->units[i], err) < 0)
			return -1;
	}
	return 0;
}

/* What can be refused from the file alone, before anything starts. */
static int check_unit(const struct unit *u, struct err *err)
{
	const struct model_service *m = &u->s->model;
	if (u->s->replicas > MAX_REPLICAS)
		return err_set(err, ERR_INVALID, "service %s: %u replicas; at most %d are possible", m->name, u->s->replicas, MAX_REPLICAS);
	if (m->container_name && u->s->replicas > 1)
		return err_set(err, ERR_INVALID, "service %s: %u replicas cannot share the container_name %s; remove container_name to scale it", m->name,
			       u->s->replicas, m->container_name);
	for (size_t i = 0; i < m->n_ports; i++) {
		const struct model_port *p = &m->ports[i];
		unsigned room = p->published_lo ? p->published_hi - p->published_lo + 1u : UINT32_MAX;
		if (u->s->replicas > room)
			return err_set(err, ERR_CONFLICT,
				       "service %s: %u replicas cannot share host port %u%s; "
				       "publish a range (\"%u-%u:%u\") or leave the host port to the system (\"%u\")",
				       m->name, u->s->replicas, p->published_lo, room > 1 ? " and the few after it" : "", p->published_lo,
				       p->published_lo + u->s->replicas - 1, p->target, p->target);
	}
	return 0;
}

/* A network of that name is there, and not the project's. */
static int shared_network(struct build *b, const char *key, const char *name, bool external, struct err *err)
{
	AUTO_FREE char *text = xasprintf("a network with name %s exists but was not created for project \"%s\".\n"
					 "Set `external: true` to use an existing network", name, b->d->project);
	if (external || strv_has(&b->p->warnings, text))
		return 0;
	if (plan_selected(b->opt->bare_networks, name, false))
		return err_set(err, ERR_CONFLICT, "network %s was found but has incorrect label com.docker.compose.network set to \"\" (expected: \"%s\")",
			       name, key);
	strv_push(&b->p->warnings, text);
	return 0;
}

void plan_existing_done(struct plan_existing *e)
{
	strv_done(&e->networks);
	strv_done(&e->shared);
	strv_done(&e->bare);
	strv_done(&e->busy);
	strv_done(&e->volumes);
}

void plan_use_existing(struct plan_options *opt, const struct plan_existing *e)
{
	opt->existing_networks = (const char *const *)e->networks.v;
	opt->existing_volumes = (const char *const *)e->volumes.v;
	opt->shared_networks = (const char *const *)e->shared.v;
	opt->bare_networks = (const char *const *)e->bare.v;
	opt->busy_networks = (const char *const *)e->busy.v;
}

/* Index + 1 of the action that makes the network or volume; 0 when it is there. */
static size_t resource_action(struct build *b, bool network, const char *key, const char *name, bool external, struct err *err)
{
	AUTO_FREE char *id = xasprintf("%c%s", network ? 'n' : 'v', name);
	size_t known = (size_t)(uintptr_t)map_get(&b->created, id), i;
	if (known || plan_selected(network ? b->opt->existing_networks : b->opt->existing_volumes, name, false))
		return known;
	if (network && plan_selected(b->opt->shared_networks, name, false))
		return shared_network(b, key, name, external, err) < 0 ? SIZE_MAX : 0;
	if (external) {
		err_set(err, ERR_NOT_FOUND, network ? "network %s declared as external, but could not be found" : "external volume \"%s\" not found", name);
		return SIZE_MAX;
	}
	i = plan_add(b->p, network ? ACTION_NETWORK_CREATE : ACTION_VOLUME_CREATE, name, "does not exist");
	b->p->actions[i].key = key;
	map_put(&b->created, id, (void *)(uintptr_t)(i + 1));
	return i + 1;
}

/* Networks and volumes of a service; with `create` set to an action + 1 that action waits for them. */
static int need_resources(struct build *b, const struct unit *u, size_t create, struct err *err)
{
	const struct model_service *m = &u->s->model;
	for (size_t i = 0; i < m->n_networks + m->n_mounts; i++) {
		size_t made = 0;
		if (i < m->n_networks) {
			const struct desired_network *n = desired_network(b->d, m->networks[i].network);
			if (!n)
				return err_set(err, ERR_INVALID, "service %s refers to undefined network %s", m->name, m->networks[i].network);
			made = resource_action(b, true, n->key, n->name, n->external, err);
		} else if (m->mounts[i - m->n_networks].kind == MOUNT_VOLUME && m->mounts[i - m->n_networks].source) {
			const struct desired_volume *v = desired_volume(b->d, m->mounts[i - m->n_networks].source);
			if (!v)
				return err_set(err, ERR_INVALID, "service %s refers to undefined volume %s", m->name, m->mounts[i - m->n_networks].source);
			made = resource_action(b, false, v->key, v->name, v->external, err);
		}
		if (made == SIZE_MAX)
			return -1;
		if (made && create)
			plan_after(b->p, create - 1, made - 1);
	}
	return 0;
}

static void push_index(size_t **v, size_t *n, size_t *cap, size_t value, struct plan *p)
{
	*v = arena_grow(p->arena, *v, *n, cap, sizeof(**v));
	(*v)[(*n)++] = value;
}

static void note_start(struct build *b, struct unit *u, size_t index)
{
	push_index(&u->ready, &u->n_ready, &u->cap_ready, index, b->p);
	push_index(&u->starts, &u->n_starts, &u->cap_starts, index, b->p);
}

static char *container_name(const struct build *b, const struct unit *u, unsigned number)
{
	const struct model_service *m = &u->s->model;
	return m->container_name ? arena_strdup(b->p->arena, m->container_name) :
				   arena_printf(b->p->arena, "%s%s%s%s%u", b->d->project, b->d->separator, m->name, b->d->separator, number);
}

/* STOP when it runs, then REMOVE; returns the index of the removal. */
static size_t add_removal(struct build *b, struct unit *u, const struct record *r, bool recreate, const char *reason)
{
	size_t stop = SIZE_MAX, remove;
	if (r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING) {
		stop = plan_add_on(b->p, ACTION_STOP, r, "%s", reason);
		b->p->actions[stop].recreate = recreate;
		if (u)
			push_index(&u->stops, &u->n_stops, &u->cap_stops, stop, b->p);
	}
	remove = plan_add_on(b->p, ACTION_REMOVE, r, "%s", reason);
	b->p->actions[remove].recreate = recreate;
	if (stop != SIZE_MAX)
		plan_after(b->p, remove, stop);
	return remove;
}

/* CREATE and START of container `number`. With `old` it replaces that one: the new one is made first, so that a failure leaves the old one
 * running, then the old one is stopped and removed, then the new one starts. */
static int add_new(struct build *b, struct unit *u, unsigned number, const struct record *old, const char *reason, struct err *err)
{
	char *name = container_name(b, u, number);
	size_t c, s, removed = SIZE_MAX;
	if (!u->s->image_json)
		return err_set(err, ERR_NOT_FOUND, "service %s: image %s not found", u->s->name, u->s->model.image ? u->s->model.image : "(none)");
	c = plan_add(b->p, ACTION_CREATE, name, "%s", reason);
	b->p->actions[c].service = u->s->name;
	b->p->actions[c].number = number;
	b->p->actions[c].desired = u->s;
	if (need_resources(b, u, c + 1, err) < 0)
		return -1;
	if (old) {
		removed = add_removal(b, u, old, true, reason);
		plan_after(b->p, removed, c);
		b->p->actions[c].recreate = true;
		b->p->actions[c].inherit_volumes = !b->opt->renew_anon_volumes;
		b->p->actions[c].id_old = arena_strdup(b->p->arena, old->id);
	}
	if (b->opt->no_start)
		return 0;
	s = plan_add(b->p, ACTION_START, name, "%s", old ? "recreated" : "new");
	b->p->actions[s].service = u->s->name;
	b->p->actions[s].number = number;
	b->p->actions[s].desired = u->s;
	b->p->actions[s].create = c + 1;
	plan_after(b->p, s, old ? removed : c);
	note_start(b, u, s);
	return 0;
}

static enum plan_recreate policy(const struct build *b, const struct unit *u)
{
	if (u->named || b->opt->recreate == PLAN_NEVER || b->opt->always_recreate_deps)
		return b->opt->always_recreate_deps && !u->named ? PLAN_FORCE : b->opt->recreate;
	return PLAN_DIVERGED;
}

/* A container that stays: recreate, update, start or keep it. */
static int plan_existing(struct build *b, struct unit *u, const struct record *r, struct err *err)
{
	AUTO_STR struct str reason = {0};
	enum plan_recreate how = policy(b, u);
	enum diff_class diff = how == PLAN_NEVER ? DIFF_NONE : plan_diff(r, b->d, u->s, &reason);
	size_t i;
	if (how == PLAN_FORCE && b->opt->generation && r->generation >= b->opt->generation)
		how = PLAN_DIVERGED; /* made or started by this very operation, before it was interrupted */
	if (r->want == WANT_REMOVED || diff == DIFF_RECREATE || how == PLAN_FORCE) {
		const char *why = r->want == WANT_REMOVED ? "its removal was interrupted" :
				  diff == DIFF_RECREATE	  ? str_get(&reason) :
							    "recreation was asked for";
		u->recreated = true;
		return add_new(b, u, r->number, r, why, err);
	}
	if (diff == DIFF_IN_PLACE) {
		i = plan_add_on(b->p, ACTION_UPDATE, r, "%s", str_get(&reason));
		b->p->actions[i].desired = u->s;
	}
	if (need_resources(b, u, 0, err) < 0)
		return -1;
	if (r->status == STATUS_RUNNING || r->status == STATUS_RESTARTING || (b->opt->generation && r->started_generation >= b->opt->generation)) {
		i = plan_add_on(b->p, ACTION_KEEP, r, "up to date");
		push_index(&u->ready, &u->n_ready, &u->cap_ready, i, b->p);
	} else if (!b->opt->no_start) {
		if (r->status == STATUS_CREATED)
			i = plan_add_on(b->p, ACTION_START, r, "created, never started");
		else
			i = plan_add_on(b->p, ACTION_START, r, r->exit_code < 0 ? "exited, status unknown" : "exited (%d)", r->exit_code);
		for (size_t k = 0; k < u->s->model.n_networks; k++) {
			const struct desired_network *n = desired_network(b->d, u->s->model.networks[k].network);
			size_t made = n ? resource_action(b, true, n->key, n->name, n->external, err) : 0;
			if (made && made != SIZE_MAX)
				plan_after(b->p, i, made - 1);
		}
		note_start(b, u, i);
	}
	return 0;
}

struct candidate {
	const struct record *r;
	bool diverged;
	bool doubled;              /* what a recreation replaced, when that was interrupted */
	size_t removed;            /* REMOVE action + 1 */
};

static int compare_candidates(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;
	if (a->doubled != b->doubled)
		return a->doubled ? 1 : -1;
	if (a->diverged != b->diverged)
		return a->diverged ? 1 : -1;
	return a->r->number < b->r->number ? -1 : a->r->number > b->r->number;
}

/* Two containers with one number (they are neighbours): the one that was made last is to stay. */
static void find_doubled(struct candidate *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n && c[k].r->number == c[i].r->number; k++)
			c[c[k].r->created_ns > c[i].r->created_ns ? i : k].doubled = true;
}

/* A start under the same name waits until the other one is gone. */
static void after_doubled(struct build *b, const struct unit *u, size_t first_start, const struct candidate *c, size_t n, unsigned number)
{
	for (size_t i = 0; i < n; i++)
		for (size_t s = first_start; c[i].removed && c[i].r->number == number && s < u->n_starts; s++)
			plan_after(b->p, u->starts[s], c[i].removed - 1);
}

static bool number_taken(const struct candidate *c, size_t n, unsigned number)
{
	for (size_t i = 0; i < n; i++)
		if (c[i].r->number == number)
			return true;
	return false;
}

static int plan_unit(struct build *b, struct unit *u, struct err *err)
{
	struct candidate *c = arena_alloc(b->p->arena, (b->o->n + 1) * sizeof(*c));
	size_t n = 0, keep;
	char reason[96];
	for (size_t i = 0; i < b->o->n; i++) {
		const struct record *r = b->o->containers[i];
		AUTO_STR struct str ignored = {0};
		if (r->oneoff || strcmp(r->service, u->s->name) != 0)
			continue;
		c[n++] = (struct candidate){ .r = r, .diverged = plan_diff(r, b->d, u->s, &ignored) == DIFF_RECREATE };
	}
	find_doubled(c, n);
	qsort(c, n, sizeof(*c), compare_candidates);
	for (keep = 0; keep < n && keep < u->s->replicas && !c[keep].doubled;)
		keep++;
	for (size_t i = keep; i < n; i++) {
		if (c[i].doubled)
			snprintf(reason, sizeof(reason), "its recreation was interrupted");
		else
			snprintf(reason, sizeof(reason), "service %s wants %u of %zu containers", u->s->name, u->s->replicas, n);
		c[i].removed = add_removal(b, u, c[i].r, false, reason) + 1;
	}
	for (size_t i = 0; i < keep; i++) {
		size_t first = u->n_starts;
		if (plan_existing(b, u, c[i].r, err) < 0)
			return -1;
		after_doubled(b, u, first, &c[keep], n - keep, c[i].r->number);
	}
	snprintf(reason, sizeof(reason), "service %s has %zu of %u containers", u->s->name, keep, u->s->replicas);
	for (unsigned number = 1, have = (unsigned)keep; have < u->s->replicas; number++) {
		if (number_taken(c, keep, number))
			continue;
		if (add_new(b, u, number, NULL, reason, err) < 0)
			return -1;
		have++;
	}
	return 0;
}

/* Running containers of services that depend (restart: true) on a recreated one go down before it and come up after it. */
static void restart_dependents(struct build *b, struct unit *u)
{
	for (size_t i = 0; i < u->s->model.n_depends_on; i++) {
		const struct model_depend *dep = &u->s->model.depends_on[i];
		struct unit *v = find_unit(b, dep->service);
		if (!dep->restart || !v || !v->recreated || b->opt->no_start)
			continue;
		for (size_t k = 0; k < u->n_ready; k++) {
			size_t keep = u->ready[k], stop, start;
			if (b->p->actions[keep].kind != ACTION_KEEP)
				continue;
			b->p->actions[keep].kind = ACTION_STOP;
			b->p->actions[keep].restart = true;
			b->p->actions[keep].reason = arena_printf(b->p->arena, "%s is recreated and depends_on says restart", dep->service);
			stop = keep;
			for (size_t j = 0; j < v->n_stops; j++)
				plan_after(b->p, v->stops[j], stop);
			start = plan_add(b->p, ACTION_START, b->p->actions[stop].name, "%s", b->p->actions[stop].reason);
			b->p->actions[start].service = b->p->actions[stop].service;
			b->p->actions[start].number = b->p->actions[stop].number;
			b->p->actions[start].id = b->p->actions[stop].id;
			b->p->actions[start].restart = true;
			plan_after(b->p, start, stop);
			u->ready[k] = start;
			push_index(&u->starts, &u->n_starts, &u->cap_starts, start, b->p);
		}
	}
}

/* The WAIT for a condition of dependency v: one for all its dependents. */
static size_t wait_action(struct build *b, struct unit *v, const struct model_depend *dep)
{
	size_t i;
	if (v->wait)
		return v->wait - 1;
	i = plan_add(b->p, ACTION_WAIT, v->s->name, dep->condition == DEPEND_COMPLETED ? "has to complete" : "has to be healthy");
	b->p->actions[i].service = v->s->name;
	b->p->actions[i].condition = dep->condition;
	b->p->actions[i].optional = !dep->required;
	for (size_t k = 0; k < v->n_ready; k++)
		plan_after(b->p, i, v->ready[k]);
	v->wait = i + 1;
	return i;
}

static void order_starts(struct build *b, struct unit *u)
{
	for (size_t i = 0; i < u->s->model.n_depends_on && u->n_starts; i++) {
		const struct model_depend *dep = &u->s->model.depends_on[i];
		struct unit *v = find_unit(b, dep->service);
		if (!v || !v->wanted || b->opt->no_deps)
			continue;
		for (size_t s = 0; s < u->n_starts; s++) {
			if (dep->condition != DEPEND_STARTED)
				plan_after(b->p, u->starts[s], wait_action(b, v, dep));
			else
				for (size_t k = 0; k < v->n_ready; k++)
					plan_after(b->p, u->starts[s], v->ready[k]);
		}
	}
}

static bool is_orphan(const struct build *b, const struct record *r)
{
	if (r->oneoff)
		return r->status == STATUS_EXITED && !desired_service(b->d, r->service);
	return !desired_service(b->d, r->service) && !plan_selected(b->d->disabled, r->service, false);
}

static void plan_orphans(struct build *b)
{
	AUTO_STR struct str names = {0};
	for (size_t i = 0; i < b->o->n; i++) {
		const struct record *r = b->o->containers[i];
		if (!is_orphan(b, r))
			continue;
		if (b->opt->remove_orphans)
			add_removal(b, NULL, r, false, "its service is not in the file");
		else
			str_addf(&names, "%s%s", names.len ? " " : "", r->name);
	}
	if (names.len)
		strv_pushf(&b->p->warnings,
			   "Found orphan containers ([%s]) for this project. If you removed or renamed this service in your compose file, you can run this "
			   "command with the --remove-orphans flag to clean it up.", names.p);
}

int plan_up(const struct desired *d, const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err)
{
	struct plan p;
	struct build b = { .d = d, .o = o, .opt = opt, .p = &p };
	plan_init(&p);
	b.units = arena_alloc(p.arena, (d->n_services + 1) * sizeof(*b.units));
	if (select_units(&b, err) < 0)
		goto fail;
	for (size_t i = 0; i < d->n_services; i++) /* first what the containers stand on, also in the text */
		if (b.units[i].wanted && (check_unit(&b.units[i], err) < 0 || need_resources(&b, &b.units[i], 0, err) < 0))
			goto fail;
	for (size_t i = 0; i < d->n_services; i++)
		if (b.units[i].wanted && plan_unit(&b, &b.units[i], err) < 0)
			goto fail;
	for (size_t i = 0; i < d->n_services; i++)
		if (b.units[i].wanted)
			restart_dependents(&b, &b.units[i]);
	for (size_t i = 0; i < d->n_services; i++)
		if (b.units[i].wanted)
			order_starts(&b, &b.units[i]);
	plan_orphans(&b);
	map_done(&b.created);
	*ret = p;
	return 0;
fail:
	map_done(&b.created);
	plan_done(&p);
	return -1;
}

/* The one-off container itself: resources, CREATE, START behind its dependencies. */
static int add_oneoff(struct build *b, struct unit *u, const char *name, struct err *err)
{
	size_t c, s;
	if (!u->s->image_json)
		return err_set(err, ERR_NOT_FOUND, "service %s: image %s not found", u->s->name, u->s->model.image ? u->s->model.image : "(none)");
	c = plan_add(b->p, ACTION_CREATE, name, "asked for by run");
	b->p->actions[c].service = u->s->name;
	b->p->actions[c].number = 1;
	b->p->actions[c].desired = u->s;
	if (need_resources(b, u, c + 1, err) < 0)
		return -1;
	s = plan_add(b->p, ACTION_START, name, "new");
	b->p->actions[s].service = u->s->name;
	b->p->actions[s].number = 1;
	b->p->actions[s].desired = u->s;
	b->p->actions[s].create = c + 1;
	plan_after(b->p, s, c);
	note_start(b, u, s);
	return 0;
}

int plan_run(const struct desired *d, const struct observed *o, const struct plan_options *opt, const struct desired_service *run, const char *name,
	     struct plan *ret, struct err *err)
{
	struct plan p;
	struct build b = { .d = d, .o = o, .opt = opt, .p = &p };
	struct unit one = { .s = run };
	plan_init(&p);
	b.units = arena_alloc(p.arena, (d->n_services + 1) * sizeof(*b.units));
	for (size_t i = 0; i < d->n_services; i++)
		b.units[i].s = &d->services[i];
	if (want_unit(&b, &one, err) < 0)
		goto fail;
	for (size_t i = 0; i < d->n_services; i++)
		if (b.units[i].wanted && plan_unit(&b, &b.units[i], err) < 0)
			goto fail;
	for (size_t i = 0; i < d->n_services; i++)
		if (b.units[i].wanted)
			order_starts(&b, &b.units[i]);
	if (add_oneoff(&b, &one, name, err) < 0)
		goto fail;
	order_starts(&b, &one);
	map_done(&b.created);
	*ret = p;
	return 0;
fail:
	map_done(&b.created);
	plan_done(&p);
	return -1;
}
