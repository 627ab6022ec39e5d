/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as people read it (aligned lines and a summary) and as programs read it (JSON). A recreate is four actions and is shown so:
 * what is printed is what is carried out. */
#include "compose/plan.h"

static const char *const verbs[ACTION_N_] = {
	[ACTION_NETWORK_CREATE] = "create", [ACTION_NETWORK_REMOVE] = "remove", [ACTION_VOLUME_CREATE] = "create", [ACTION_VOLUME_REMOVE] = "remove",
	[ACTION_CREATE] = "create", [ACTION_START] = "start", [ACTION_WAIT] = "wait", [ACTION_STOP] = "stop", [ACTION_KILL] = "kill",
	[ACTION_REMOVE] = "remove", [ACTION_UPDATE] = "update", [ACTION_KEEP] = "keep",
};
static_assert(ARRAY_SIZE(verbs) == ACTION_N_, "a verb for each");

static const char *object_of(enum action_kind k)
{
	switch (k) {
	case ACTION_NETWORK_CREATE:
	case ACTION_NETWORK_REMOVE:
		return "network";
	case ACTION_VOLUME_CREATE:
	case ACTION_VOLUME_REMOVE:
		return "volume";
	case ACTION_WAIT:
		return "service";
	default:
		return "container";
	}
}

bool plan_has_changes(const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->actions[i].kind != ACTION_KEEP && p->actions[i].kind != ACTION_WAIT)
			return true;
	return false;
}

static void add_count(struct str *s, size_t n, const char *what)
{
	if (n)
		str_addf(s, "%s%zu to %s", s->len ? ", " : "", n, what);
}

static void render_summary(const struct plan *p, struct str *ret)
{
	AUTO_STR struct str s = {0};
	size_t n[ACTION_N_] = {0}, recreate = 0, restart = 0, create;
	for (size_t i = 0; i < p->n; i++) {
		const struct action *a = &p->actions[i];
		if (a->recreate)
			recreate += a->kind == ACTION_CREATE;
		else if (a->restart)
			restart += a->kind == ACTION_START;
		else if (!(a->kind == ACTION_START && a->create))
			n[a->kind]++;
	}
	create = n[ACTION_CREATE] + n[ACTION_NETWORK_CREATE] + n[ACTION_VOLUME_CREATE];
	if (!plan_has_changes(p)) {
		str_addf(ret, "No changes: %zu container%s as wanted.\n", n[ACTION_KEEP], n[ACTION_KEEP] == 1 ? " is" : "s are");
		return;
	}
	add_count(&s, create, "create");
	add_count(&s, recreate, "recreate");
	add_count(&s, n[ACTION_UPDATE], "update in place");
	add_count(&s, n[ACTION_START], "start");
	add_count(&s, restart, "restart");
	add_count(&s, n[ACTION_KILL], "kill");
	add_count(&s, n[ACTION_STOP], "stop");
	add_count(&s, n[ACTION_REMOVE] + n[ACTION_NETWORK_REMOVE] + n[ACTION_VOLUME_REMOVE], "remove");
	add_count(&s, n[ACTION_KEEP], "keep");
	str_addf(ret, "Plan: %s.\n", str_get(&s));
}

void plan_render(const struct plan *p, struct str *ret)
{
	size_t width = 0;
	for (size_t i = 0; i < p->n; i++)
		width = MAX(width, strlen(p->actions[i].name));
	for (size_t i = 0; i < p->n; i++) {
		const struct action *a = &p->actions[i];
		str_addf(ret, "%-6s  %-9s  %-*s  %s\n", verbs[a->kind], object_of(a->kind), (int)width, a->name, a->reason);
	}
	for (size_t i = 0; i < p->warnings.n; i++)
		str_addf(ret, "warning: %s\n", p->warnings.v[i]);
	render_summary(p, ret);
}

json_t *plan_json(const struct plan *p)
{
	json_t *actions = json_array(), *warnings = json_from_strv(p->warnings.v);
	for (size_t i = 0; i < p->n; i++) {
		const struct action *a = &p->actions[i];
		json_t *after = json_array(), *j;
		for (size_t k = 0; k < a->n_after; k++)
			json_array_append_new(after, json_integer((json_int_t)a->after[k]));
		j = json_pack("{s:i,s:s,s:s,s:s,s:s,s:o,s:b,s:b}", "n", (int)i, "action", verbs[a->kind], "object", object_of(a->kind), "name", a->name,
			      "reason", a->reason, "after", after, "recreate", a->recreate, "restart", a->restart);
		if (a->service)
			json_put_str(j, "service", a->service);
		if (a->id)
			json_put_str(j, "id", a->id);
		json_array_append_new(actions, j);
	}
	return json_pack("{s:b,s:o,s:o}", "changes", plan_has_changes(p), "actions", actions, "warnings", warnings);
}
