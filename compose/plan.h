/* SPDX-License-Identifier: Apache-2.0 */
/* The planner: desired + observed → actions. Pure: no system calls, no clock; the same object is printed by `plan` and `--dry-run`
 * and carried out by the supervisor, there is no other way to change anything.
 *
 * An action starts when all actions that it names in `after` are done. Each has a reason that a person can read. */
#ifndef COMPOSE_PLAN_H
#define COMPOSE_PLAN_H

#include "base/map.h"
#include "base/str.h"
#include "compose/desired.h"
#include "compose/observe.h"

enum action_kind {
	ACTION_NETWORK_CREATE, ACTION_NETWORK_REMOVE, ACTION_VOLUME_CREATE, ACTION_VOLUME_REMOVE,
	ACTION_CREATE, ACTION_START, ACTION_WAIT, ACTION_STOP, ACTION_KILL, ACTION_REMOVE, ACTION_UPDATE, ACTION_KEEP, ACTION_N_,
};

struct action {
	enum action_kind kind;
	const char *name;               /* what people see: container, network or volume name */
	const char *service;            /* containers; ACTION_WAIT: whose condition */
	unsigned number;
	const char *id;                 /* existing container; NULL for one that is created by `create` */
	const struct desired_service *desired; /* CREATE, UPDATE */
	const char *key;                /* networks, volumes: key in the file */
	enum depend_condition condition; /* WAIT */
	bool optional;                  /* WAIT: a failure is only warned of (required: false) */
	bool recreate;                  /* part of a recreate (CREATE, STOP, REMOVE): shown as Recreate/Recreated */
	bool restart;                   /* part of a restart (STOP, START): shown as Restarting/Started */
	bool inherit_volumes;           /* CREATE: anonymous volumes of `id_old` are taken over */
	const char *id_old;
	const char *reason;
	size_t create;                  /* START of a new container: index of its CREATE + 1, else 0 */
	size_t *after;                  /* indexes of actions */
	size_t n_after, cap_after;
};

struct plan {
	struct arena *arena;
	struct action *actions;
	size_t n, cap;
	struct strv warnings;
};

enum plan_recreate { PLAN_DIVERGED, PLAN_FORCE, PLAN_NEVER };

struct plan_options {
	const char *const *services;    /* NULL-terminated selection; NULL or empty = all */
	enum plan_recreate recreate;
	bool always_recreate_deps, no_deps, no_start, remove_orphans, renew_anon_volumes;
	bool remove_volumes;            /* down -v, rm -v */
	bool stop_first;                /* rm -s */
	const char *const *known;       /* down/kill: service names in the file; NULL = every container counts */
	const char *const *existing_networks, *const *existing_volumes; /* names that exist now, NULL-terminated; the networks: the project's own */
	const char *const *shared_networks; /* others' networks that the desired state names and that exist */
	const char *const *bare_networks;   /* of these, those that no project made */
	const char *const *busy_networks;   /* own ones with other projects' containers on them */
	uint64_t generation;            /* of the operation, when it is carried on after a crash: what it had started stays; 0 = none */
	const char *const *ids;         /* rm: only these containers, NULL = by services */
	const char *const *networks, *const *network_keys; /* rm: these go too when nothing that stays is on them: names, and their keys in the file */
};

/* The same as lists; zeroed = nothing. plan_existing_done() empties them, plan_use_existing() points opt at them. */
struct plan_existing {
	struct strv networks, shared, bare, busy, volumes;
};
void plan_existing_done(struct plan_existing *e);
void plan_use_existing(struct plan_options *opt, const struct plan_existing *e);

/* What `up` (and create, scale, run's dependencies) does. -1 + err: the wish cannot be met (fixed port and replicas, missing image, unknown service). */
int plan_up(const struct desired *d, const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err);
/* `run`: the dependencies of `run` (a service of d, with changes) as plan_up() would, then one container of it named `name`. */
int plan_run(const struct desired *d, const struct observed *o, const struct plan_options *opt, const struct desired_service *run, const char *name,
	     struct plan *ret, struct err *err);
/* d: the last applied one, may be NULL. */
int plan_down(const struct observed *o, const struct desired *d, const struct plan_options *opt, struct plan *ret, struct err *err);
int plan_stop(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err);
int plan_start(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err);
int plan_restart(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err);
int plan_kill(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err);
int plan_remove(const struct observed *o, const struct plan_options *opt, struct plan *ret, struct err *err); /* rm: stopped ones (all with stop_first) */
void plan_done(struct plan *p);

/* True when something would change (ACTION_KEEP, and WAITs alone, do not count). */
bool plan_has_changes(const struct plan *p);
/* Text and JSON of a plan; the text ends with a summary line "Plan: 2 to create, …" or "No changes." */
void plan_render(const struct plan *p, struct str *ret);
json_t *plan_json(const struct plan *p);

#endif
