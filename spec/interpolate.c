/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over a document and the table of casts. Positions of messages point at the variable itself where the text of
 * the scalar stands in the source as it is, which is nearly always. */
#include "spec/interpolate.h"

#include <stdio.h>

#include "spec/pattern.h"
#include "spec/scalar.h"
#include "spec/template.h"

enum cast { CAST_BOOL, CAST_INT, CAST_FLOAT };

static const struct {
	const char *pattern;
	enum cast cast;
} casts[] = {
	{ "services.*.cpu_count", CAST_INT },
	{ "services.*.cpu_percent", CAST_FLOAT },
	{ "services.*.cpu_period", CAST_INT },
	{ "services.*.cpu_quota", CAST_INT },
	{ "services.*.cpu_rt_period", CAST_INT },
	{ "services.*.cpu_rt_runtime", CAST_INT },
	{ "services.*.cpus", CAST_FLOAT },
	{ "services.*.cpu_shares", CAST_INT },
	{ "services.*.init", CAST_BOOL },
	{ "services.*.depends_on.*.required", CAST_BOOL },
	{ "services.*.depends_on.*.restart", CAST_BOOL },
	{ "services.*.deploy.replicas", CAST_INT },
	{ "services.*.deploy.update_config.parallelism", CAST_INT },
	{ "services.*.deploy.update_config.max_failure_ratio", CAST_FLOAT },
	{ "services.*.deploy.rollback_config.parallelism", CAST_INT },
	{ "services.*.deploy.rollback_config.max_failure_ratio", CAST_FLOAT },
	{ "services.*.deploy.restart_policy.max_attempts", CAST_INT },
	{ "services.*.deploy.placement.max_replicas_per_node", CAST_INT },
	{ "services.*.healthcheck.retries", CAST_INT },
	{ "services.*.healthcheck.disable", CAST_BOOL },
	{ "services.*.oom_kill_disable", CAST_BOOL },
	{ "services.*.oom_score_adj", CAST_INT },
	{ "services.*.pids_limit", CAST_INT },
	{ "services.*.ports.[].target", CAST_INT },
	{ "services.*.privileged", CAST_BOOL },
	{ "services.*.read_only", CAST_BOOL },
	{ "services.*.scale", CAST_INT },
	{ "services.*.stdin_open", CAST_BOOL },
	{ "services.*.tty", CAST_BOOL },
	{ "services.*.ulimits.*", CAST_INT },
	{ "services.*.ulimits.*.hard", CAST_INT },
	{ "services.*.ulimits.*.soft", CAST_INT },
	{ "services.*.volumes.[].read_only", CAST_BOOL },
	{ "services.*.volumes.[].volume.nocopy", CAST_BOOL },
	{ "networks.*.external", CAST_BOOL },
	{ "networks.*.internal", CAST_BOOL },
	{ "networks.*.attachable", CAST_BOOL },
	{ "networks.*.enable_ipv4", CAST_BOOL },
	{ "networks.*.enable_ipv6", CAST_BOOL },
	{ "volumes.*.external", CAST_BOOL },
	{ "secrets.*.external", CAST_BOOL },
	{ "configs.*.external", CAST_BOOL },
};

struct walk {
	struct diags *ds;
	const struct env *env;
	struct map *warned;
	struct pattern_set set;
	/* the string at hand, for the callbacks */
	const struct node *node;
	const struct node_path *path;
};

int interpolate_bool(const char *text, bool *ret_legacy)
{
	static const struct {
		const char *word;
		int value;
		bool legacy;
	} words[] = {
		{ "true", 1, false }, { "false", 0, false }, { "y", 1, true }, { "yes", 1, true }, { "on", 1, true },
		{ "n", 0, true }, { "no", 0, true }, { "off", 0, true },
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcasecmp(text, words[i].word) == 0) {
			*ret_legacy = words[i].legacy;
			return words[i].value;
		}
	}
	return -1;
}

/* The place of byte `offset` of a scalar's text, when the source has the text verbatim; else the scalar's. */
static struct pos pos_inside(const struct node *n, size_t offset)
{
	struct pos pos = n->pos;
	size_t len, at = 0, chars = 0;
	const char *line = source_line(pos.src, pos.line, &len);
	for (int c = 1; c < pos.column && at < len; c++)
		do
			at++;
		while (at < len && ((unsigned char)line[at] & 0xc0) == 0x80);
	if (n->quoted && at < len && (line[at] == '"' || line[at] == '\''))
		at++, chars++;
	if (at + strlen(n->text) > len || memcmp(line + at, n->text, strlen(n->text)) != 0)
		return pos;
	for (size_t i = 0; i < offset; i++)
		chars += ((unsigned char)n->text[i] & 0xc0) != 0x80;
	pos.column += (int)chars;
	return pos;
}

static const char *lookup(void *arg, const char *name)
{
	const struct walk *w = arg;
	const char *value = env_get(w->env, name);
	struct pos from = env_pos(w->env, name);
	if (from.src && value)
		diag_set_by(w->ds, w->node->pos, from, name);
	trace_add(w->ds->trace, TRACE_VARIABLE, w->node->pos, from, NULL, name, value);
	return value;
}

static void unset(void *arg, const char *name, size_t offset)
{
	struct walk *w = arg;
	const char *text = w->node->text;
	struct diag *d;
	if (w->warned && map_get(w->warned, name))
		return;
	if (w->warned)
		map_put(w->warned, name, w->warned);
	if (w->ds->n_warnings > DIAG_MAX) {
		w->ds->n_warnings++; /* it would not be shown: spare the search for its place */
		return;
	}
	d = diag_warning(w->ds, pos_inside(w->node, offset), node_path_text(w->ds->arena, w->path),
		"the variable \"%s\" is not set: an empty string takes its place", name);
	if (offset > 0 && text[offset + 1] != '{' && (unsigned char)text[offset - 1] > ' ' && !strchr("/:@=,-.\"'", text[offset - 1]))
		diag_hint(w->ds, d, "if the $ belongs to the value (a password, say), write $$%s", name);
	else
		diag_hint(w->ds, d, "set it, or give a default: ${%s:-value}", name);
}

static void report(struct walk *w, const struct template_error *e)
{
	struct diags *ds = w->ds;
	const char *path = node_path_text(ds->arena, w->path);
	struct pos pos = pos_inside(w->node, e->offset);
	struct diag *d;
	switch (e->kind) {
	case TEMPLATE_REQUIRED:
		d = diag_error(ds, pos, path, "required variable %s is missing a value%s%s", e->variable, *e->message ? ": " : "", e->message);
		diag_hint(ds, d, "set %s in the environment, in .env, or in a file given with --env-file", e->variable);
		break;
	case TEMPLATE_TOO_DEEP:
		diag_error(ds, pos, path, "variables are nested deeper than %d levels", TEMPLATE_MAX_DEPTH);
		break;
	case TEMPLATE_TOO_LONG:
		diag_error(ds, pos, path, "the value is longer than %d bytes", TEMPLATE_MAX_BYTES);
		break;
	default:
		d = diag_error(ds, pos, path, "invalid interpolation: \"%s\"", diag_quote(ds, w->node->text + e->offset));
		diag_hint(ds, d, "valid are ${NAME}, ${NAME:-default}, ${NAME:?message}, ${NAME:+other}; write $$ for a literal $");
	}
}

/* Replaces the variables of a string node. 0, or -1 with the error reported. */
static int substitute(struct walk *w, struct node *n)
{
	struct template_vars vars = { .arena = w->ds->arena, .lookup = lookup, .unset = unset, .arg = w };
	struct template_error e;
	AUTO_STR struct str text = { 0 };
	if (!strchr(n->text, '$'))
		return 0;
	if (w->ds->too_large)
		return -1; /* said already */
	w->node = n;
	if (template_substitute(&vars, n->text, &text, &e) < 0) {
		report(w, &e);
		return -1;
	}
	n->text = arena_strdup(w->ds->arena, str_get(&text));
	if (diag_too_large(w->ds, n->pos, ""))
		return -1;
	for (const char *c = n->text; *c; c++)
		if ((unsigned char)*c >= 0x80)
			return diag_check_utf8(w->ds, n->pos, node_path_text(w->ds->arena, w->path), n->text) ? 0 : -1;
	return 0;
}

static int cast_fail(const struct walk *w, const struct node *n, const char *what)
{
	struct diag *d = diag_error(w->ds, n->pos, node_path_text(w->ds->arena, w->path), "\"%s\" is not %s", diag_quote(w->ds, n->text), what);
	if (!*n->text)
		diag_hint(w->ds, d, "the value is empty: is a variable in it unset?");
	return -1;
}

static int apply_cast(struct walk *w, struct node *n, enum cast cast)
{
	struct arena *a = w->ds->arena;
	struct node *as;
	bool legacy;
	int64_t i;
	double d;
	int b;
	switch (cast) {
	case CAST_BOOL:
		b = interpolate_bool(n->text, &legacy);
		if (b < 0)
			return cast_fail(w, n, "true or false");
		if (legacy)
			diag_warning(w->ds, n->pos, node_path_text(a, w->path), "\"%s\" is no boolean in YAML 1.2: write %s", n->text, b ? "true" : "false");
		as = node_new_bool(a, n->pos, b);
		break;
	case CAST_INT:
		if (!scalar_parse_int(n->text, 10, &i))
			return cast_fail(w, n, "a whole number");
		as = node_new_int(a, n->pos, i);
		break;
	default:
		if (!scalar_parse_float(n->text, &d))
			return cast_fail(w, n, "a number");
		as = node_new(a, NODE_FLOAT, n->pos);
		as->number = d;
		as->text = n->text;
	}
	as->tag = n->tag;
	*n = *as;
	return 0;
}

static int walk_node(struct walk *w, struct node *n, uint64_t live, size_t depth, const struct node_path *path)
{
	int r = 0, hit;
	switch (n->kind) {
	case NODE_MAP:
		for (size_t i = 0; i < n->n; i++) {
			struct node_path step = { .up = path, .key = n->entries[i].key };
			uint64_t next = live ? pattern_step(&w->set, live, depth, step.key) : 0;
			r |= walk_node(w, n->entries[i].value, next, depth + 1, &step);
		}
		return r;
	case NODE_SEQ:
		for (size_t i = 0; i < n->n; i++) {
			struct node_path step = { .up = path, .index = i };
			uint64_t next = live ? pattern_step(&w->set, live, depth, NULL) : 0;
			r |= walk_node(w, n->items[i], next, depth + 1, &step);
		}
		return r;
	case NODE_STRING:
		w->path = path;
		if (substitute(w, n) < 0)
			return -1;
		hit = live ? pattern_hit(&w->set, live, depth) : -1;
		return hit >= 0 ? apply_cast(w, n, casts[hit].cast) : 0;
	default:
		return 0;
	}
}

int interpolate_document(struct node *doc, const struct env *env, struct map *warned, struct diags *ds)
{
	struct walk w = { .ds = ds, .env = env, .warned = warned };
	const char *patterns[ARRAY_SIZE(casts)];
	for (size_t i = 0; i < ARRAY_SIZE(casts); i++)
		patterns[i] = casts[i].pattern;
	pattern_set_init(&w.set, patterns, ARRAY_SIZE(casts));
	return walk_node(&w, doc, pattern_start(&w.set), 0, NULL) ? -1 : 0;
}

const char *interpolate_string(const struct node *value, const char *path, const struct env *env, struct map *warned, struct diags *ds)
{
	struct node_path step = { .key = path };
	struct walk w = { .ds = ds, .env = env, .warned = warned, .path = &step };
	struct node copy = *value;
	return substitute(&w, &copy) < 0 ? NULL : copy.text;
}
