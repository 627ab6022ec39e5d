/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's goldens: each tests/plan/NAME.json holds a desired state, the containers that there are, options and a verb; NAME.txt what
 * the plan reads like, edges included ("after" names actions by number). They pin the class of each field, each reason and each order.
 * Invariants beside the texts: a plan has no cycle, and it names only actions that exist. MUSTER_UPDATE=1 writes the goldens. */
#include <dirent.h>
#include <stdio.h>

#include "base/fs.h"
#include "compose/plan.h"

static int failures;

static struct record *make_record(const json_t *j, const struct desired *d)
{
	struct record *r = record_new();
	const char *service = json_get_str(j, "service", "web");
	const struct desired_service *s = desired_service(d, service);
	json_t *config = json_object_get(j, "config");
	unsigned number = (unsigned)json_get_int(j, "number", 1);
	const char *status = json_get_str(j, "status", "running");
	snprintf(r->id, sizeof(r->id), "%-63s%u", service, number % 10);
	for (char *p = r->id; *p; p++)
		if (*p == ' ')
			*p = '0';
	r->service = xstrdup(service);
	r->project = xstrdup(d->project);
	r->number = number;
	r->name = xasprintf("%s-%s-%u", d->project, service, number);
	r->oneoff = json_get_bool(j, "oneoff", false);
	r->config = json_deep_copy(s ? s->config : json_object_get(j, "config"));
	if (!r->config)
		r->config = json_object();
	if (config && s)
		json_object_update(r->config, config);
	if (s && !json_object_get(j, "image"))
		r->image = json_incref((json_t *)(uintptr_t)s->image_json);
	else
		r->image = json_pack("{s:s}", "id", json_get_str(j, "image", "x"));
	r->exit_code = (int)json_get_int(j, "exit", 0);
	r->started_generation = (uint64_t)json_get_int(j, "started_generation", 0);
	for (int i = 0; i < STATUS_N_; i++)
		if (strcmp(status_names[i], status) == 0)
			r->status = (enum status)i;
	r->want = json_get_bool(j, "half_removed", false) ? WANT_REMOVED : WANT_RUNNING;
	return r;
}

/* Invariant: the edges make no cycle and stay inside the plan. */
static bool acyclic(const struct plan *p)
{
	size_t *pending = xcalloc(p->n, sizeof(*pending)), done = 0;
	bool *gone = xcalloc(p->n, sizeof(*gone)), again = true;
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->actions[i].n_after; k++)
			if (p->actions[i].after[k] >= p->n)
				done = SIZE_MAX;
	while (again && done != SIZE_MAX) {
		again = false;
		for (size_t i = 0; i < p->n; i++) {
			size_t open = 0;
			for (size_t k = 0; k < p->actions[i].n_after; k++)
				open += !gone[p->actions[i].after[k]];
			if (!gone[i] && !open) {
				gone[i] = again = true;
				done++;
			}
		}
	}
	free(pending);
	free(gone);
	return done == p->n;
}

static void render(const struct plan *p, struct str *out)
{
	AUTO_STR struct str text = {0};
	const char *line;
	plan_render(p, &text);
	line = str_get(&text);
	for (size_t i = 0; i < p->n; i++) {
		const char *end = strchr(line, '\n');
		str_addf(out, "%2zu  %.*s", i, (int)(end - line), line);
		for (size_t k = 0; k < p->actions[i].n_after; k++)
			str_addf(out, "%s%zu", k ? "," : "  <- ", p->actions[i].after[k]);
		str_addc(out, '\n');
		line = end + 1;
	}
	str_add(out, line);
}

static int run_verb(const json_t *j, const struct desired *d, const struct observed *o, struct plan_options *opt, struct plan *p, struct err *err)
{
	const char *verb = json_get_str(j, "verb", "up");
	if (strcmp(verb, "down") == 0)
		return plan_down(o, d, opt, p, err);
	if (strcmp(verb, "stop") == 0)
		return plan_stop(o, opt, p, err);
	if (strcmp(verb, "start") == 0)
		return plan_start(o, opt, p, err);
	if (strcmp(verb, "restart") == 0)
		return plan_restart(o, opt, p, err);
	if (strcmp(verb, "rm") == 0)
		return plan_remove(o, opt, p, err);
	return plan_up(d, o, opt, p, err);
}

static void run_case(const json_t *j, struct str *out)
{
	AUTO_STRV struct strv services = {0}, known = {0}, unused = {0}, unused_keys = {0};
	CLEANUP(plan_existing_done) struct plan_existing there = {0};
	struct plan_options opt = {0};
	struct observed o = { .project = xstrdup("p"), .working_dir = xstrdup("") };
	json_t *options = json_object_get(j, "options"), *c;
	struct desired d;
	struct plan p = {0};
	struct err err = {0};
	const char *recreate = json_get_str(options, "recreate", "");
	size_t i;
	if (desired_parse(json_object_get(j, "desired"), &d, &err) < 0) {
		str_addf(out, "bad case: %s\n", err.msg);
		observe_done(&o);
		return;
	}
	o.containers = xcalloc(json_array_size(json_object_get(j, "containers")), sizeof(*o.containers));
	json_array_foreach(json_object_get(j, "containers"), i, c)
		o.containers[o.n++] = make_record(c, &d);
	observe_sort(&o);
	json_get_strv(options, "services", &services);
	json_get_strv(options, "networks", &there.networks);
	json_get_strv(options, "shared", &there.shared);
	json_get_strv(options, "bare", &there.bare);
	json_get_strv(options, "busy", &there.busy);
	json_get_strv(options, "volumes", &there.volumes);
	json_get_strv(options, "known", &known);
	opt.services = (const char *const *)services.v;
	plan_use_existing(&opt, &there);
	json_get_strv(options, "unused_networks", &unused);
	json_get_strv(options, "unused_keys", &unused_keys);
	opt.networks = (const char *const *)unused.v;
	opt.network_keys = (const char *const *)unused_keys.v;
	opt.known = known.n ? (const char *const *)known.v : NULL;
	opt.recreate = strcmp(recreate, "force") == 0 ? PLAN_FORCE : strcmp(recreate, "never") == 0 ? PLAN_NEVER : PLAN_DIVERGED;
	opt.no_deps = json_get_bool(options, "no_deps", false);
	opt.no_start = json_get_bool(options, "no_start", false);
	opt.remove_orphans = json_get_bool(options, "remove_orphans", false);
	opt.remove_volumes = json_get_bool(options, "remove_volumes", false);
	opt.stop_first = json_get_bool(options, "stop_first", false);
	opt.generation = (uint64_t)json_get_int(options, "generation", 0);
	if (run_verb(j, &d, &o, &opt, &p, &err) < 0) {
		str_addf(out, "error: %s\n", err.msg);
	} else {
		render(&p, out);
		if (!acyclic(&p))
			str_add(out, "CYCLE\n");
		plan_done(&p);
	}
	observe_done(&o);
	desired_done(&d);
}

static int one_file(void *arg, const char *name)
{
	int dir = *(int *)arg;
	AUTO_STR struct str got = {0}, want = {0};
	AUTO_JSON json_t *j = NULL;
	AUTO_FREE char *golden = xstrdup(name);
	struct err err = {0};
	if (!str_ends(name, ".json"))
		return 0;
	strcpy(golden + strlen(golden) - 5, ".txt");
	if (json_read_file(dir, name, &j, &err) != 0) {
		printf("not ok %s: %s\n", name, err.msg);
		failures++;
		return 0;
	}
	run_case(j, &got);
	if (getenv("MUSTER_UPDATE"))
		fs_write_volatile(dir, golden, str_get(&got), got.len, 0644, NULL);
	if (fs_read(dir, golden, 1 << 20, &want, &err) != 0 || strcmp(str_get(&got), str_get(&want)) != 0) {
		printf("not ok %s\n--- want\n%s--- got\n%s", name, str_get(&want), str_get(&got));
		failures++;
	}
	return 0;
}

int main(void)
{
	AUTO_CLOSE int dir = open("tests/plan", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = {0};
	if (dir < 0 || fs_each(dir, ".", one_file, &dir, &err) < 0) {
		printf("tests/plan: not found\n");
		return 1;
	}
	return failures ? 1 : 0;
}
