/* SPDX-License-Identifier: Apache-2.0 */
/* Consistency of the typed model: references that must lead somewhere, keys that contradict each other, cycles. Every
 * check runs for every active service, so that one run shows all that is wrong; each message stands at the reference. */
#include <stdio.h>

#include "spec/bytes.h"
#include "spec/project.h"

struct check {
	struct diags *ds;
	struct arena *a;
	const struct node *doc, *services, *disabled;
	const char *name;            /* of the service at hand */
	const struct node *service;
};

static const char *path_of(const struct check *c, const char *rest)
{
	return arena_printf(c->a, "services.%s%s%s", c->name, *rest ? "." : "", rest);
}

static struct diag *fail(const struct check *c, struct pos pos, const char *rest, const char *text)
{
	return diag_error(c->ds, pos, path_of(c, rest), "%s", text);
}

static const struct node *member(const struct check *c, const char *key)
{
	return node_get(c->service, key);
}

/* "did you mean" among the keys of map, or where to define it. */
static void hint_names(const struct check *c, struct diag *d, const struct node *map, const char *name, const char *section)
{
	size_t n = map ? map->n : 0;
	const char **names, *nearest;
	if (!d)
		return; /* it is not shown: 30 000 of them would make 30 000 lists */
	names = arena_alloc(c->a, (n + 1) * sizeof(*names));
	for (size_t i = 0; i < n; i++)
		names[i] = map->entries[i].key;
	nearest = diag_nearest(name, names, n);
	if (nearest)
		diag_hint(c->ds, d, "did you mean \"%s\"?", nearest);
	else if (strcmp(section, "services") == 0)
		diag_hint(c->ds, d, "define it under services:, or remove what asks for it");
	else
		diag_hint(c->ds, d, "define it under the top-level key %s:", section);
}

static void undefined(const struct check *c, struct pos pos, const char *rest, const char *what, const char *section, const char *name)
{
	struct diag *d = fail(c, pos, rest, arena_printf(c->a, "undefined %s \"%s\"", what, diag_quote(c->ds, name)));
	hint_names(c, d, node_get(c->doc, section), name, section);
	diag_note_dropped(c->ds, d, section, name);
}

/* Often a misspelled name in an override file: then the service that was meant is told. */
static void no_image(const struct check *c)
{
	struct diag *d = fail(c, c->service->pos, "", "neither an image nor a build context is given");
	const char **names, *nearest;
	const struct node *other;
	size_t n = 0;
	diag_hint(c->ds, d, "add image: NAME or build: DIRECTORY");
	if (!d)
		return;
	names = arena_alloc(c->a, c->services->n * sizeof(*names));
	for (size_t i = 0; i < c->services->n; i++)
		if (c->services->entries[i].value->pos.src != c->service->pos.src)
			names[n++] = c->services->entries[i].key;
	nearest = diag_nearest(c->name, names, n);
	other = nearest ? node_get(c->services, nearest) : NULL;
	if (other)
		diag_note(c->ds, d, other->pos, "is \"%s\" meant? it is here", diag_quote(c->ds, nearest));
}

static void check_build(const struct check *c)
{
	const struct node *build = member(c, "build"), *contexts = node_get(build, "additional_contexts"), *platforms = node_get(build, "platforms");
	const struct node *platform = member(c, "platform"), *file = node_get(build, "dockerfile"), *text = node_get(build, "dockerfile_inline");
	bool found = false;
	if (!build) {
		if (!member(c, "image") && !member(c, "provider"))
			no_image(c);
		return;
	}
	if (file && text)
		diag_note(c->ds, fail(c, text->pos, "build", "dockerfile and dockerfile_inline exclude each other"), file->pos, "dockerfile is here");
	for (size_t i = 0; contexts && i < contexts->n; i++) {
		const struct node *v = contexts->entries[i].value, *other;
		if (!str_starts(v->text, "service:"))
			continue;
		other = node_get(c->services, v->text + strlen("service:"));
		if (!other)
			fail(c, v->pos, "build.additional_contexts", arena_printf(c->a, "unknown service \"%s\"", v->text + strlen("service:")));
		else if (!node_get(other, "build"))
			diag_note(c->ds, fail(c, v->pos, "build.additional_contexts",
				arena_printf(c->a, "service \"%s\" has no build", v->text + strlen("service:"))), other->pos, "the service is here");
	}
	for (size_t i = 0; platforms && i < platforms->n; i++)
		found |= platform && str_eq(platforms->items[i]->text, platform->text);
	if (platforms && platforms->n && platform && !found)
		diag_note(c->ds, fail(c, platforms->pos, "build.platforms", arena_printf(c->a, "does not name the service's platform \"%s\"", platform->text)),
			platform->pos, "the platform is here");
}

static void check_networks(const struct check *c)
{
	const struct node *mode = member(c, "network_mode"), *own = member(c, "networks"), *all = node_get(c->doc, "networks");
	if (mode && own && own->n)
		diag_note(c->ds, fail(c, mode->pos, "network_mode", "network_mode and networks exclude each other"), own->pos, "networks is here");
	for (size_t i = 0; own && i < own->n; i++) {
		const struct node_entry *e = &own->entries[i];
		if (str_starts(e->key, "x-"))
			diag_hint(c->ds, fail(c, e->key_pos, "networks", arena_printf(c->a, "\"%s\" is read as an extension, not as a network", e->key)),
				"names of networks that services use must not begin with x-");
		else if (!mode && !node_get(all, e->key))
			undefined(c, e->key_pos, "networks", "network", "networks", e->key);
	}
	if (mode && str_starts(mode->text, "service:") && !node_get(c->services, mode->text + strlen("service:")) &&
	    !node_get(member(c, "depends_on"), mode->text + strlen("service:")))
		fail(c, mode->pos, "network_mode", arena_printf(c->a, "undefined service \"%s\"", mode->text + strlen("service:")));
}

static void check_depends_on(const struct check *c)
{
	const struct node *deps = member(c, "depends_on");
	for (size_t i = 0; deps && i < deps->n; i++) {
		const struct node_entry *e = &deps->entries[i];
		const struct node *required = node_get(e->value, "required"), *off = node_get(c->disabled, e->key);
		struct diag *d;
		if (node_get(c->services, e->key))
			continue;
		if (off && !(node_is(required, NODE_BOOL) && required->boolean))
			continue;
		if (off) {
			const struct node *profiles = node_get(off, "profiles");
			const char *profile = profiles && profiles->n ? profiles->items[0]->text : "NAME";
			d = fail(c, e->key_pos, "depends_on", arena_printf(c->a, "service \"%s\" is not active", e->key));
			diag_hint(c->ds, d, "activate it with --profile %s, or write required: false", profile);
			diag_note(c->ds, d, profiles ? profiles->pos : off->pos, "its profiles are here");
			continue;
		}
		d = fail(c, e->key_pos, "depends_on", arena_printf(c->a, "undefined service \"%s\"", diag_quote(c->ds, e->key)));
		hint_names(c, d, c->services, e->key, "services");
		diag_note_dropped(c->ds, d, "services", e->key);
	}
}

static void check_sources(const struct check *c, const struct node *list, const char *rest, const char *what, const char *section)
{
	for (size_t i = 0; list && i < list->n; i++) {
		const struct node *source = node_get(list->items[i], "source");
		if (!node_get(node_get(c->doc, section), source ? source->text : ""))
			undefined(c, source ? source->pos : list->items[i]->pos, rest, what, section, source ? source->text : "");
	}
}

static void check_volumes(const struct check *c)
{
	const struct node *volumes = member(c, "volumes"), *tmpfs = member(c, "tmpfs");
	AUTO_MAP struct map mounts = { 0 };
	for (size_t i = 0; tmpfs && i < tmpfs->n; i++) {
		struct node *n = tmpfs->items[i], *old;
		const char *target = arena_strndup(c->a, n->text, strcspn(n->text, ":"));
		old = map_get(&mounts, target);
		if (old)
			diag_note(c->ds, fail(c, n->pos, arena_printf(c->a, "tmpfs[%zu]", i), arena_printf(c->a, "target %s is mounted twice", target)),
				old->pos, "the other one is here");
		map_put(&mounts, target, n);
	}
	for (size_t i = 0; volumes && i < volumes->n; i++) {
		struct node *v = volumes->items[i], *old;
		const struct node *source = node_get(v, "source");
		const char *target = node_str(v, "target", "");
		if (source && str_eq(node_str(v, "type", ""), "volume") && !node_get(node_get(c->doc, "volumes"), source->text))
			undefined(c, source->pos, arena_printf(c->a, "volumes[%zu]", i), "volume", "volumes", source->text);
		old = map_get(&mounts, target);
		if (old)
			diag_note(c->ds, fail(c, v->pos, arena_printf(c->a, "volumes[%zu]", i), arena_printf(c->a, "target %s is mounted twice", target)),
				old->pos, "the other one is here");
		map_put(&mounts, target, v);
	}
}

static void check_models(const struct check *c)
{
	const struct node *models = member(c, "models");
	for (size_t i = 0; models && i < models->n; i++)
		if (!node_get(node_get(c->doc, "models"), models->entries[i].key))
			undefined(c, models->entries[i].key_pos, "models", "model", "models", models->entries[i].key);
}

static void check_healthcheck(const struct check *c)
{
	const struct node *test = node_at(c->service, "healthcheck", "test", NULL);
	const char *first = test && test->n ? test->items[0]->text : "NONE";
	if (strcmp(first, "CMD") != 0 && strcmp(first, "CMD-SHELL") != 0 && strcmp(first, "NONE") != 0)
		diag_hint(c->ds, fail(c, test->items[0]->pos, "healthcheck.test", "the list must begin with CMD, CMD-SHELL or NONE"),
			"[\"CMD\", \"program\", \"argument\"], or a plain string for the shell");
}

static bool number_of(const struct node *n, double *ret)
{
	int64_t i;
	if (!n)
		return false;
	if (n->kind == NODE_STRING && bytes_parse(n->text, &i))
		*ret = (double)i;
	else
		*ret = n->number;
	return true;
}

/* A short key and its twin under deploy must agree. */
static void check_twin(const struct check *c, const char *key, const struct node *parent, const char *parent_path, const char *twin)
{
	const struct node *mine = member(c, key), *other = node_get(parent, twin);
	double a = 0, b = 0;
	struct diag *d;
	if (!parent || !number_of(mine, &a) || a == 0)
		return;
	number_of(other, &b);
	if (a == b)
		return;
	d = fail(c, mine->pos, key, arena_printf(c->a, "%s and %s.%s differ", key, parent_path, twin));
	diag_note(c->ds, d, other ? other->pos : parent->pos, "the other value is here");
	diag_hint(c->ds, d, "write one of them only");
}

static void check_deploy(const struct check *c)
{
	const struct node *deploy = member(c, "deploy"), *scale = member(c, "scale"), *replicas = node_get(deploy, "replicas");
	const struct node *limits = node_at(deploy, "resources", "limits", NULL), *reserved = node_at(deploy, "resources", "reservations", NULL);
	const struct node *name = member(c, "container_name"), *count = scale ? scale : replicas;
	if (scale && replicas && scale->integer != replicas->integer)
		diag_note(c->ds, fail(c, scale->pos, "scale", "scale and deploy.replicas differ"), replicas->pos, "the other value is here");
	if (scale && scale->integer < 0)
		fail(c, scale->pos, "scale", "must not be negative");
	if (replicas && replicas->integer < 0)
		fail(c, replicas->pos, "deploy.replicas", "must not be negative");
	check_twin(c, "cpus", limits, "deploy.resources.limits", "cpus");
	check_twin(c, "mem_limit", limits, "deploy.resources.limits", "memory");
	check_twin(c, "mem_reservation", reserved, "deploy.resources.reservations", "memory");
	check_twin(c, "pids_limit", limits, "deploy.resources.limits", "pids");
	if (name && count && count->integer > 1)
		diag_note(c->ds, fail(c, name->pos, "container_name", "a container name is unique, but the service has more than one container"),
			count->pos, "the number is here");
}

static void check_secrets(const struct check *c)
{
	const struct node *secrets = node_get(c->doc, "secrets");
	for (size_t i = 0; secrets && i < secrets->n; i++) {
		const struct node_entry *e = &secrets->entries[i];
		if (!node_get(e->value, "external") && !node_get(e->value, "file") && !node_get(e->value, "environment"))
			diag_error(c->ds, e->key_pos, arena_printf(c->a, "secrets.%s", e->key), "neither file nor environment is given");
	}
}

/* container_name must be unique in the project. */
static void check_names(const struct check *c)
{
	AUTO_MAP struct map names = { 0 };
	for (size_t i = 0; i < c->services->n; i++) {
		const struct node_entry *e = &c->services->entries[i];
		struct node *name = node_get(e->value, "container_name"), *old;
		if (!name)
			continue;
		old = map_get(&names, name->text);
		if (old)
			diag_note(c->ds, diag_error(c->ds, name->pos, arena_printf(c->a, "services.%s.container_name", e->key),
				"the name \"%s\" is taken by another service", diag_quote(c->ds, name->text)), old->pos, "it is used here");
		map_put(&names, name->text, name);
	}
}

enum { WHITE, GREY, BLACK };

struct cycle {
	const struct check *c;
	unsigned char *colour;     /* by index of service */
	size_t *stack, *next;      /* the way down, and the next dependency of each service to look at */
	size_t depth;
	struct map index;          /* name → index + 1 */
};

enum { WAY_HEAD = 8, WAY_TAIL = 3 };

static const struct node_entry *service_at(const struct cycle *cy, size_t i)
{
	return &cy->c->services->entries[cy->stack[i]];
}

static void report_cycle(const struct cycle *cy, size_t to, struct pos pos)
{
	AUTO_STR struct str way = { 0 };
	size_t from = cy->depth - 1;
	struct diag *d;
	while (cy->stack[from] != to)
		from--;
	for (size_t i = from; i < cy->depth; i++) {
		if (i == from + WAY_HEAD && i + WAY_TAIL < cy->depth) {
			str_addf(&way, "… (%zu more) … -> ", cy->depth - WAY_TAIL - i);
			i = cy->depth - WAY_TAIL;
		}
		str_addf(&way, "%s -> ", service_at(cy, i)->key);
	}
	str_add(&way, service_at(cy, from)->key);
	d = diag_error(cy->c->ds, pos, arena_printf(cy->c->a, "services.%s.depends_on", service_at(cy, cy->depth - 1)->key),
		"dependency cycle: %s", str_get(&way));
	for (size_t i = from; i + 1 < cy->depth; i++) { /* a link that another file made, else the first one */
		const struct node *deps = node_get(service_at(cy, i)->value, "depends_on");
		struct pos link = node_entry(deps, service_at(cy, i + 1)->key)->key_pos;
		if (i == from || link.src != pos.src)
			diag_note(cy->c->ds, d, link, "%s depends on %s here", service_at(cy, i)->key, service_at(cy, i + 1)->key);
		if (link.src != pos.src)
			break;
	}
}

/* Depth first without recursion; one report for the first cycle that is found. */
static bool find_cycle(struct cycle *cy, size_t start)
{
	cy->stack[0] = start;
	cy->depth = 1;
	cy->colour[start] = GREY;
	while (cy->depth) {
		size_t at = cy->stack[cy->depth - 1], to;
		const struct node *deps = node_get(cy->c->services->entries[at].value, "depends_on");
		if (!deps || cy->next[at] >= deps->n) {
			cy->colour[at] = BLACK;
			cy->depth--;
			continue;
		}
		to = (size_t)(uintptr_t)map_get(&cy->index, deps->entries[cy->next[at]].key);
		if (to-- && cy->colour[to] == GREY) {
			report_cycle(cy, to, deps->entries[cy->next[at]].key_pos);
			return true;
		}
		cy->next[at]++;
		if (to != SIZE_MAX && cy->colour[to] == WHITE) {
			cy->colour[to] = GREY;
			cy->stack[cy->depth++] = to;
		}
	}
	return false;
}

static void check_cycles(const struct check *c)
{
	size_t n = c->services->n;
	struct cycle cy = { .c = c };
	cy.colour = arena_alloc(c->a, n + 1);
	cy.stack = arena_alloc(c->a, (n + 1) * sizeof(*cy.stack));
	cy.next = arena_alloc(c->a, (n + 1) * sizeof(*cy.next));
	for (size_t i = 0; i < n; i++)
		map_put(&cy.index, c->services->entries[i].key, (void *)(uintptr_t)(i + 1));
	for (size_t i = 0; i < n; i++)
		if (cy.colour[i] == WHITE && find_cycle(&cy, i))
			break;
	map_done(&cy.index);
}

int project_check(const struct node *doc, const struct node *disabled, struct diags *ds)
{
	struct check c = { .ds = ds, .a = ds->arena, .doc = doc, .services = node_get(doc, "services"), .disabled = disabled };
	size_t errors = ds->n_errors;
	for (size_t i = 0; i < c.services->n; i++) {
		c.name = c.services->entries[i].key;
		c.service = c.services->entries[i].value;
		check_build(&c);
		check_networks(&c);
		check_healthcheck(&c);
		check_depends_on(&c);
		check_volumes(&c);
		check_sources(&c, node_at(c.service, "build", "secrets", NULL), "build.secrets", "secret", "secrets");
		check_sources(&c, node_get(c.service, "configs"), "configs", "config", "configs");
		check_sources(&c, node_get(c.service, "secrets"), "secrets", "secret", "secrets");
		check_models(&c);
		check_deploy(&c);
	}
	check_secrets(&c);
	check_names(&c);
	check_cycles(&c);
	return ds->n_errors > errors ? -1 : 0;
}
