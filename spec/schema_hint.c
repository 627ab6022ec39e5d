/* SPDX-License-Identifier: Apache-2.0 */
/* Hints. For a key that is unknown here, in this order: a name that other tools use for it; one that is a single slip away; the same
 * name elsewhere in the schema, below this mapping first and then below each mapping around it; a name that is a few slips away; the
 * list of what is known here when it is short. For a value of the wrong type: what is usually meant by it, else the schema's example. */
#include "spec/schema_hint.h"

#include "base/str.h"

enum { SEARCH_DEPTH = 5, MAX_PLACES = 3, SHORT_LIST = 9 };

/* Names of the command line, other tools and common sense for what is here: told apart by what the mapping has. */
static const struct {
	const char *word;
	const char *beside;  /* a key of the mapping that the word stands in */
	const char *hint;
} foreign[] = {
	{ "env", "environment", "did you mean \"environment\"?" },
	{ "envs", "environment", "did you mean \"environment\"?" },
	{ "env_vars", "environment", "did you mean \"environment\"?" },
	{ "cmd", "command", "did you mean \"command\"?" },
	{ "args", "command", "arguments go into \"command\" (of a container) or \"build.args\" (of a build)" },
	{ "name", "container_name", "did you mean \"container_name\"? the service's name is its key" },
	{ "volume", "volumes", "did you mean \"volumes\"?" },
	{ "mounts", "volumes", "did you mean \"volumes\"?" },
	{ "mount", "volumes", "did you mean \"volumes\"?" },
	{ "publish", "ports", "did you mean \"ports\"?" },
	{ "net", "network_mode", "did you mean \"network_mode\" or \"networks\"?" },
	{ "network", "network_mode", "did you mean \"networks\"?" },
	{ "alias", "networks", "aliases belong to a network: networks: {default: {aliases: [NAME]}}" },
	{ "aliases", "networks", "aliases belong to a network: networks: {default: {aliases: [NAME]}}" },
	{ "memory", "mem_limit", "did you mean \"mem_limit\"? or put it under deploy.resources.limits" },
	{ "mem", "mem_limit", "did you mean \"mem_limit\"?" },
	{ "cpu", "cpus", "did you mean \"cpus\"?" },
	{ "workdir", "working_dir", "did you mean \"working_dir\"?" },
	{ "cwd", "working_dir", "did you mean \"working_dir\"?" },
	{ "health", "healthcheck", "did you mean \"healthcheck\"?" },
	{ "log_driver", "logging", "it is \"driver\" under \"logging\"" },
	{ "log_opt", "logging", "they are \"options\" under \"logging\"" },
	{ "volume_driver", "volumes", "a driver belongs to the top-level volume: volumes.NAME.driver" },
	{ "device", "devices", "did you mean \"devices\"?" },
	{ "host", "hostname", "did you mean \"hostname\" or \"extra_hosts\"?" },
	{ "hosts", "extra_hosts", "did you mean \"extra_hosts\"?" },
	{ "add_host", "extra_hosts", "did you mean \"extra_hosts\"?" },
	{ "interactive", "stdin_open", "did you mean \"stdin_open\"?" },
	{ "sysctl", "sysctls", "did you mean \"sysctls\"?" },
	{ "autorestart", "restart", "did you mean \"restart\"?" },
	{ "requires", "depends_on", "did you mean \"depends_on\"?" },
	{ "after", "depends_on", "did you mean \"depends_on\"?" },
	{ "cmd", "test", "did you mean \"test\"?" },
	{ "command", "test", "did you mean \"test\"?" },
	{ "file", "format", "did you mean \"path\"?" },
	{ "file", "dockerfile", "did you mean \"dockerfile\"?" },
	{ "path", "context", "did you mean \"context\"?" },
	{ "host", "host_ip", "did you mean \"host_ip\" (an address) or \"published\" (a port)?" },
	{ "host_port", "published", "did you mean \"published\"?" },
	{ "container_port", "published", "did you mean \"target\"?" },
	{ "container", "published", "did you mean \"target\"?" },
	{ "destination", "target", "did you mean \"target\"?" },
	{ "dst", "target", "did you mean \"target\"?" },
	{ "src", "source", "did you mean \"source\"?" },
	{ "readonly", "read_only", "did you mean \"read_only\"?" },
	{ "ro", "read_only", "did you mean \"read_only\"?" },
};

const char *schema_place_text(struct arena *a, const struct schema_place *at)
{
	return at->up ? node_path_text(a, &at->step) : "";
}

const char *schema_noun(struct arena *a, const struct schema_node *s)
{
	static const struct {
		unsigned bits;
		const char *noun;
	} nouns[] = {
		{ SCHEMA_STRING, "a string" }, { SCHEMA_NUMBER, "a number" }, { SCHEMA_INT, "a whole number" },
		{ SCHEMA_BOOL, "true or false" }, { SCHEMA_LIST, "a list" }, { SCHEMA_MAP, "a mapping" },
	};
	const char *found[ARRAY_SIZE(nouns)];
	AUTO_STR struct str text = { 0 };
	size_t n = 0;
	if (s->title)
		return s->title;
	for (size_t i = 0; i < ARRAY_SIZE(nouns); i++)
		if ((s->types & nouns[i].bits) && !(nouns[i].bits == SCHEMA_INT && (s->types & SCHEMA_NUMBER)))
			found[n++] = nouns[i].noun;
	for (size_t i = 0; i < n; i++)
		str_addf(&text, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", found[i]);
	return arena_strdup(a, str_get(&text));
}

/* At most one character inserted, left out, replaced or swapped with its neighbour, upper case, "-" and "_" aside. */
static bool is_one_slip(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), head = 0, tail = 0, shorter = MIN(na, nb);
	if (MAX(na, nb) - shorter > 1)
		return false;
	while (head < shorter && (a[head] == b[head] || (a[head] == '-' && b[head] == '_') || (a[head] | 0x20) == b[head]))
		head++;
	while (tail < shorter - head && a[na - 1 - tail] == b[nb - 1 - tail])
		tail++;
	if (head + tail + 1 >= MAX(na, nb))
		return true;
	return na == nb && head + tail + 2 == na && a[head] == b[head + 1] && a[head + 1] == b[head];
}

static bool has_prop(const struct schema_node *s, const char *key)
{
	for (size_t i = 0; i < s->n_props; i++)
		if (strcmp(s->props[i].name, key) == 0)
			return true;
	return false;
}

/* A search for mappings that know a key, nearest first. */
struct search {
	const char *key;
	struct strv places;  /* as paths from where the search began; "" is there */
	struct str path;
	size_t depth, limit;
};

static void search_below(struct search *f, const struct schema_node *s);

static void search_step(struct search *f, const char *step, uint16_t node, size_t cost)
{
	size_t len = f->path.len;
	if (f->depth + cost > f->limit)
		return;
	str_addf(&f->path, "%s%s", len && *step && *step != '[' ? "." : "", step);
	f->depth += cost;
	search_below(f, &schema_nodes[node]);
	f->depth -= cost;
	f->path.len = len;
	f->path.p[len] = '\0';
}

static void search_below(struct search *f, const struct schema_node *s)
{
	if (has_prop(s, f->key)) {
		if (f->depth == f->limit && f->places.n < MAX_PLACES && !strv_has(&f->places, str_get(&f->path)))
			strv_push(&f->places, str_get(&f->path));
		return;
	}
	for (size_t i = 0; i < s->n_props; i++)
		search_step(f, s->props[i].name, s->props[i].node, 1);
	for (size_t i = 0; i < s->n_patterns; i++)
		if (schema_nodes[s->patterns[i].node].types != SCHEMA_ANY)
			search_step(f, "NAME", s->patterns[i].node, 1);
	if (s->items != SCHEMA_NO_NODE)
		search_step(f, "[]", s->items, 0);
	for (const uint16_t *i = s->one_of; i && *i != SCHEMA_NO_NODE; i++)
		search_step(f, "", *i, 0);
}

/* Adds "KEY belongs under ..." when a mapping below s knows it, or s itself; base is the path of s. Not when more than `most` do:
 * a word such as "driver" means something in many places. */
static bool hint_below(struct diags *ds, struct diag *d, const struct schema_node *s, const char *base, const char *key, size_t most)
{
	struct search f = { .key = key };
	AUTO_STR struct str text = { 0 };
	bool found;
	for (f.limit = 0; f.limit < SEARCH_DEPTH && f.places.n == 0; f.limit++)
		search_below(&f, s);
	for (size_t i = 0; i < f.places.n; i++) {
		const char *place = f.places.v[i], *dot = *base && *place && *place != '[' ? "." : "";
		str_addf(&text, "%s%s%s%s", i == 0 ? "" : i + 1 == f.places.n ? " or " : ", ", base, dot, place);
	}
	found = f.places.n > 0 && f.places.n <= most;
	if (found && text.len > 0)
		diag_hint(ds, d, "\"%s\" belongs under %s", key, str_get(&text));
	else if (found)
		diag_hint(ds, d, "\"%s\" belongs at the top level", key);
	strv_done(&f.places);
	str_done(&f.path);
	return found;
}

static bool hint_elsewhere(struct diags *ds, struct diag *d, const struct schema_place *at, const char *key)
{
	if (hint_below(ds, d, at->schema, "", key, MAX_PLACES))
		return true;
	for (const struct schema_place *up = at->up; up; up = up->up)
		if (up->value->kind == NODE_MAP && hint_below(ds, d, up->schema, schema_place_text(ds->arena, up), key, 1))
			return true;
	return false;
}

static bool hint_foreign(struct diags *ds, struct diag *d, const struct schema_node *s, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		if (strcmp(foreign[i].word, key) == 0 && has_prop(s, foreign[i].beside)) {
			diag_hint(ds, d, "%s", foreign[i].hint);
			return true;
		}
	}
	return false;
}

/* A mapping at the top level that looks like a service. */
static bool looks_like_service(const struct schema_place *at, const struct node_entry *e)
{
	return !at->up && (node_get(e->value, "image") || node_get(e->value, "build"));
}

void schema_hint_unknown(struct diags *ds, struct diag *d, const struct schema_place *at, const struct node_entry *entry)
{
	const struct schema_node *s = at->schema;
	AUTO_FREE const char **names = xcalloc((size_t)s->n_props + 1, sizeof(*names));
	const char *near, *key = entry->key;
	if (!d)
		return;
	for (size_t i = 0; i < s->n_props; i++)
		names[i] = s->props[i].name;
	near = diag_nearest(key, names, s->n_props);
	if (looks_like_service(at, entry)) {
		diag_hint(ds, d, "services go under \"services:\", indented below it");
	} else if (str_starts(key, "x_") || str_starts(key, "X-")) {
		diag_hint(ds, d, "the names of extensions begin with \"x-\"");
	} else if (hint_foreign(ds, d, s, key)) {
		return;
	} else if (near && is_one_slip(key, near)) {
		diag_hint(ds, d, "did you mean \"%s\"?", near);
	} else if (hint_elsewhere(ds, d, at, key)) {
		return;
	} else if (near) {
		diag_hint(ds, d, "did you mean \"%s\"?", near);
	} else if (s->n_props <= SHORT_LIST) {
		AUTO_STR struct str list = { 0 };
		for (size_t i = 0; i < s->n_props; i++)
			str_addf(&list, "%s%s", i ? ", " : "", names[i]);
		diag_hint(ds, d, "known here: %s", str_get(&list));
	}
}

/* The one scalar member of a mapping that was meant as KEY=VALUE in a list, NULL when it is something else. */
static const struct node_entry *single_assignment(const struct schema_place *at)
{
	const struct node *v = at->value;
	bool one = at->up && at->up->value->kind == NODE_SEQ && v->kind == NODE_MAP && v->n == 1 && at->schema->types == SCHEMA_STRING;
	return one && v->entries[0].value->kind != NODE_MAP && v->entries[0].value->kind != NODE_SEQ ? &v->entries[0] : NULL;
}

/* A mapping where a list of mappings is due: its "- " is missing. */
static bool lacks_dash(const struct schema_place *at)
{
	const struct schema_node *list = schema_table_pick(at->schema, SCHEMA_LIST);
	return at->value->kind == NODE_MAP && list && (list->types & SCHEMA_LIST) && list->items != SCHEMA_NO_NODE &&
		(schema_nodes[list->items].types & SCHEMA_MAP);
}

/* A key of the member at the level of the members themselves: "services: {web: null, image: nginx}". */
static bool is_outdented(const struct schema_place *at)
{
	uint16_t node;
	bool pattern;
	if (!at->up || !at->step.key || !(at->schema->types & SCHEMA_MAP) || !has_prop(at->schema, at->step.key))
		return false;
	return schema_table_key(at->up->schema, at->step.key, &node, &pattern) && pattern;
}

void schema_hint_type(struct diags *ds, struct diag *d, const struct schema_place *at)
{
	const struct schema_node *s = at->schema;
	const struct node_entry *e = single_assignment(at);
	enum node_kind kind = at->value->kind;
	bool scalar = kind == NODE_BOOL || kind == NODE_INT || kind == NODE_FLOAT;
	if (!d)
		return;
	if (e && s->title && strchr(s->title, '='))
		diag_hint(ds, d, "write \"- %s=%s\", or leave out the \"- \"", diag_quote(ds, e->key), diag_quote(ds, e->value->text));
	else if (e)
		diag_hint(ds, d, "a colon followed by a space makes a mapping: write the string in quotes");
	else if (lacks_dash(at) && at->step.key)
		diag_hint(ds, d, "each entry of the list begins with \"- \"");
	else if (is_outdented(at))
		diag_hint(ds, d, "\"%s\" belongs to the entry above: indent it below its name", at->step.key);
	else if (scalar && (s->types & SCHEMA_STRING) && !(s->example && (s->title || kind == NODE_BOOL)))
		diag_hint(ds, d, "in quotes it is a string: \"%s\"", diag_quote(ds, at->value->text));
	else if (s->example && at->step.key)
		diag_hint(ds, d, "for example: %s: %s", diag_quote(ds, at->step.key), s->example);
	else if (s->example && at->up)
		diag_hint(ds, d, "for example: - %s", s->example);
}

void schema_hint_missing(struct diags *ds, struct diag *d, const struct schema_node *s, const char *key)
{
	uint16_t node;
	const struct schema_node *k;
	if (!d || !schema_table_key(s, key, &node, NULL))
		return;
	k = &schema_nodes[node];
	if (k->example)
		diag_hint(ds, d, "for example: %s: %s", key, k->example);
	else if (k->description)
		diag_hint(ds, d, "%s", k->description);
}
