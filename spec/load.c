/* SPDX-License-Identifier: Apache-2.0 */
/* The loader's main line. Each step is a function of another file; this one says in which order, and where to stop when
 * something is wrong: after the files (nothing fits together before that), after the types, after the checks. */
#include "spec/load.h"

#include "spec/discover.h"
#include "spec/project.h"
#include "spec/shape.h"
#include "spec/template.h"

struct load {
	const struct load_options *opts;
	struct file_loader fl;
	struct env env;
	struct discovery found;
	struct node *doc, *disabled;
};

void load_result_done(struct load_result *r)
{
	if (!r)
		return;
	json_decref(r->config);
	strv_done(&r->files);
	strv_done(&r->env_files);
	strv_done(&r->environment);
	strv_done(&r->profiles);
	strv_done(&r->all_profiles);
	strv_done(&r->disabled);
	*r = (struct load_result){ 0 };
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort(struct strv *sv)
{
	if (sv->n)
		qsort(sv->v, sv->n, sizeof(*sv->v), compare_strings);
}

static void collect_profiles(const struct node *services, struct strv *ret)
{
	AUTO_MAP struct map seen = { 0 };
	for (size_t i = 0; node_is(services, NODE_MAP) && i < services->n; i++) {
		const struct node *own = node_get(services->entries[i].value, "profiles");
		for (size_t k = 0; node_is(own, NODE_SEQ) && k < own->n; k++) {
			if (!map_get(&seen, own->items[k]->text))
				strv_push(ret, own->items[k]->text);
			map_put(&seen, own->items[k]->text, ret);
		}
	}
}

struct variables {
	struct arena *a;
	struct map seen;
	struct load_variable *v;
	size_t n, cap;
};

static void add_variable(void *arg, const struct template_variable *tv)
{
	struct variables *vs = arg;
	uintptr_t at = (uintptr_t)map_get(&vs->seen, tv->name);
	struct load_variable v = { .name = tv->name, .def = tv->def, .alternate = tv->alternate, .required = tv->required };
	if (at) {
		if (!*vs->v[at - 1].def && !vs->v[at - 1].required)
			vs->v[at - 1] = v;
		return;
	}
	vs->v = arena_grow(vs->a, vs->v, vs->n, &vs->cap, sizeof(*vs->v));
	vs->v[vs->n++] = v;
	map_put(&vs->seen, tv->name, (void *)(uintptr_t)vs->n);
}

static void collect_variables(struct variables *vs, const struct node *n)
{
	if (n->kind == NODE_STRING && strchr(n->text, '$'))
		template_each(vs->a, n->text, add_variable, vs);
	for (size_t i = 0; i < n->n; i++)
		collect_variables(vs, n->kind == NODE_MAP ? n->entries[i].value : n->items[i]);
}

static int compare_variables(const void *a, const void *b)
{
	return strcmp(((const struct load_variable *)a)->name, ((const struct load_variable *)b)->name);
}

/* Only a model with its variables still in it can tell. */
static void take_variables(struct load *l, struct load_result *r)
{
	struct variables vs = { .a = l->fl.a };
	collect_variables(&vs, l->doc);
	if (vs.n)
		qsort(vs.v, vs.n, sizeof(*vs.v), compare_variables);
	map_done(&vs.seen);
	r->variables = vs.v;
	r->n_variables = vs.n;
}

/* Types, profiles, checks, selection: what turns a document into a project. */
static int finish_model(struct load *l, struct load_result *r)
{
	const struct load_options *o = l->opts;
	struct diags *ds = l->fl.ds;
	struct arena *a = l->fl.a;
	bool chosen = o->services && *o->services;
	struct node *services = node_get(l->doc, "services");
	if (!node_is(services, NODE_MAP))
		node_put(a, l->doc, "services", l->doc->pos, node_new(a, NODE_MAP, l->doc->pos));
	if (typed_convert(l->doc, ds) < 0)
		return -1;
	collect_profiles(node_get(l->doc, "services"), &r->all_profiles);
	project_apply_profiles(l->doc, &l->found.profiles, o->services, a, &l->disabled, &r->profiles);
	if (!o->no_consistency && project_check(l->doc, l->disabled, ds) < 0)
		return -1;
	if (chosen && project_select(l->doc, o->services, o->no_deps, l->disabled, ds) < 0)
		return -1;
	if (!o->all_resources)
		project_prune(l->doc);
	if (!o->no_env_resolution && project_load_env_files(&l->fl, l->doc, &l->env) < 0)
		return -1;
	if (project_load_label_files(&l->fl, l->doc) < 0)
		return -1;
	for (size_t i = 0; i < l->disabled->n; i++)
		strv_push(&r->disabled, l->disabled->entries[i].key);
	sort(&r->disabled);
	return 0;
}

static int load_files(struct load *l)
{
	const struct load_options *o = l->opts;
	struct diags *ds = l->fl.ds;
	struct file_context ctx = { .fl = &l->fl, .env = &l->env, .dir = l->found.dir, .base = l->found.dir, .resolve_paths = !o->no_path_resolution };
	struct pos top;
	if (discover_files(&l->fl, o, true, &l->env, &l->found) < 0 || discover_name(&l->fl, o, &l->env, &l->found) < 0)
		return -1;
	if (!*l->found.name) {
		struct diag *d = diag_error(ds, (struct pos){ 0 }, "", "the project has no name");
		diag_hint(ds, d, "give one with -p NAME or with name: at the top of the file");
		return -1;
	}
	ctx.dir = ctx.base = l->found.dir;
	l->doc = file_load_all(&ctx, (const char *const *)l->found.files.v, l->found.files.n, (struct pos){ 0 }, "");
	if (!l->doc)
		return -1;
	top = l->doc->pos;
	if (!o->no_normalize || !o->no_interpolate) {
		const struct node_entry *e = node_entry(l->doc, "name");
		node_put(l->fl.a, l->doc, "name", e ? e->key_pos : top, node_new_string(l->fl.a, e ? e->value->pos : top, l->found.name));
	}
	if (!o->no_normalize)
		project_normalize(l->doc, l->found.name, &l->env, ds);
	return 0;
}

static struct strv take_list(struct strv *sv)
{
	struct strv taken = *sv;
	*sv = (struct strv){ 0 };
	return taken;
}

static void fill_result(struct load *l, struct load_result *r)
{
	r->arena = l->fl.a;
	r->tree = l->doc;
	r->no_interpolate = l->opts->no_interpolate;
	r->separator = l->opts->compatibility || env_is_true(env_get(&l->env, "COMPOSE_COMPATIBILITY"), NULL) ? '_' : '-';
	r->name = l->found.name;
	r->name_origin = l->found.name_origin;
	r->name_pos = l->found.name_pos;
	r->working_dir = l->found.dir;
	r->files = take_list(&l->found.files);
	r->env_files = take_list(&l->found.env_files);
	env_list(&l->env, &r->environment);
	sort(&r->all_profiles);
	r->trace = l->fl.ds->trace;
	if (!l->opts->tree_only)
		r->config = shape_json(l->doc, l->opts->no_interpolate ? NULL : &shape_project, false);
}

int load_project(const struct load_options *opts, struct load_result *ret, struct diags *ds)
{
	struct load l = { .opts = opts };
	struct load_result result = { 0 };
	size_t errors = ds->n_errors;
	int r;
	l.fl.ds = ds;
	l.fl.a = ds->arena;
	l.fl.no_interpolate = opts->no_interpolate;
	l.fl.no_path_resolution = opts->no_path_resolution;
	if (opts->trace)
		ds->trace = trace_new(ds->arena);
	env_init(&l.env, ds->arena);
	env_add_list(&l.env, opts->environ);
	l.fl.home = env_get(&l.env, "HOME");
	r = load_files(&l);
	if (r == 0 && opts->no_interpolate) {
		take_variables(&l, &result);
		collect_profiles(node_get(l.doc, "services"), &result.all_profiles);
	} else if (r == 0) {
		r = finish_model(&l, &result);
	}
	if (r == 0 && ds->n_errors == errors) {
		fill_result(&l, &result);
		*ret = result;
	} else {
		load_result_done(&result);
		r = -1;
	}
	discovery_done(&l.found);
	env_done(&l.env);
	file_loader_done(&l.fl);
	return r;
}

int load_identity(const struct load_options *opts, const char **ret_name, const char **ret_dir, struct diags *ds)
{
	struct load l = { .opts = opts };
	bool named = opts->project_name && *opts->project_name;
	int r;
	l.fl.ds = ds;
	l.fl.a = ds->arena;
	env_init(&l.env, ds->arena);
	env_add_list(&l.env, opts->environ);
	named |= env_get(&l.env, "COMPOSE_PROJECT_NAME") && *env_get(&l.env, "COMPOSE_PROJECT_NAME");
	r = discover_files(&l.fl, opts, !named, &l.env, &l.found);
	if (r == 0) {
		if (named && !(opts->files && *opts->files))
			strv_done(&l.found.files); /* the name is known: do not look into files that may be broken */
		r = discover_name(&l.fl, opts, &l.env, &l.found);
	}
	if (r == 0) {
		*ret_name = l.found.name;
		*ret_dir = l.found.dir;
	}
	discovery_done(&l.found);
	env_done(&l.env);
	file_loader_done(&l.fl);
	return r;
}

bool load_position(const struct load_result *r, const char *path, struct pos *ret)
{
	AUTO_FREE char *copy = xstrdup(path);
	for (;;) {
		const struct node_entry *entry = NULL;
		const struct node *n = node_find(r->tree, copy, &entry);
		size_t len = strlen(copy);
		if (n) {
			*ret = entry && entry->key_pos.src ? entry->key_pos : n->pos;
			if (ret->src)
				return true;
		}
		if (!len)
			return false;
		while (len && copy[len - 1] != '.' && copy[len - 1] != '[')
			len--;
		copy[len ? len - 1 : 0] = '\0';
	}
}

const json_t *load_service(const struct load_result *r, const char *service)
{
	return json_object_get(json_object_get(r->config, "services"), service);
}
