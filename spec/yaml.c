/* SPDX-License-Identifier: Apache-2.0 */
/* The composer. It walks libyaml's events with its own stack, keeps where each node began, and resolves what YAML leaves
 * to the reader: tags, anchors, merge keys. It goes on after a duplicate or odd key (several problems in one run) and
 * stops at the first syntax error, because what follows one is noise. An anchor is known by name while and after its
 * node is read; an alias to one that is still open would make the tree a graph and is reported as a cycle. */
#include "spec/yaml.h"

#include <yaml.h>

#include "base/map.h"
#include "spec/scalar.h"

struct anchor {
	struct node *node;
	struct pos pos;
	size_t size;      /* nodes and keys below and with it */
	bool open;
};

struct frame {
	struct node *node;          /* NODE_SEQ or NODE_MAP */
	struct anchor *anchor;      /* to be closed with it, may be NULL */
	size_t count_before;
	bool have_key;
	bool key_is_merge;
	bool key_is_bad;            /* reported: read its value and forget it */
	const char *key;
	struct pos key_pos;
	struct node *merges;        /* NODE_SEQ of the values of <<, NULL: none */
};

struct composer {
	yaml_parser_t parser;
	const struct source *src;
	struct diags *ds;
	struct arena *a;
	struct map anchors;
	struct frame stack[YAML_MAX_DEPTH];
	size_t depth;
	struct node *root;
	size_t n_written, n_total, n_copied; /* values in the text; with keys and copies; copies alone */
};

static struct pos pos_of(const struct composer *c, yaml_mark_t mark)
{
	return (struct pos){ .src = c->src, .line = (int)mark.line + 1, .column = (int)mark.column + 1 };
}

/* A position from a byte offset: for reader errors, which have no mark. */
static struct pos pos_at_offset(const struct source *src, size_t offset)
{
	size_t line = 0;
	while (line + 1 < src->n_lines && src->lines[line + 1] <= offset)
		line++;
	return (struct pos){ .src = src, .line = (int)line + 1, .column = (int)(offset - MIN(offset, src->lines[line])) + 1 };
}

static int report_syntax(struct composer *c)
{
	const yaml_parser_t *p = &c->parser;
	const char *problem = p->problem ? p->problem : "cannot be read";
	struct pos pos = pos_of(c, p->problem_mark);
	struct diag *d;
	size_t len;
	const char *line;
	if (p->error == YAML_MEMORY_ERROR)
		util_oom();
	if (p->error == YAML_READER_ERROR) {
		diag_error(c->ds, pos_at_offset(c->src, p->problem_offset), "", "not valid YAML: %s", problem);
		return -1;
	}
	d = diag_error(c->ds, pos, "", "not valid YAML: %s", problem);
	line = source_line(c->src, pos.line, &len);
	if (memchr(line, '\t', MIN(len, strspn(line, " \t") + 1)))
		diag_hint(c->ds, d, "YAML does not allow tabs for indentation: use spaces");
	else if (strstr(problem, "mapping values are not allowed"))
		diag_hint(c->ds, d, "quote a value that contains \": \", and check the indentation");
	else if (strstr(problem, "did not find expected key") || strstr(problem, "did not find expected '-' indicator"))
		diag_hint(c->ds, d, "check the indentation here: keys of one mapping start in the same column");
	else if (strstr(problem, "cannot start any token"))
		diag_hint(c->ds, d, "quote the value: it starts with a character that YAML reserves");
	if (d && p->context && p->context_mark.line != p->problem_mark.line)
		diag_note(c->ds, d, pos_of(c, p->context_mark), "%s", p->context);
	return -1;
}

/* True while the document stays within bounds; go-yaml's rule for copies: 99 % of 400 000 nodes at most. */
static bool within_bounds(struct composer *c, struct pos pos)
{
	if (c->n_written > YAML_MAX_NODES) {
		diag_error(c->ds, pos, "", "more than %d values in one document", YAML_MAX_NODES);
		return false;
	}
	if (c->n_total > YAML_MAX_TOTAL || (c->n_copied > 100 && c->n_total > 1000 && (double)c->n_copied > 0.99 * (double)c->n_total)) {
		struct diag *d = diag_error(c->ds, pos, "", "aliases multiply this document beyond reason");
		diag_hint(c->ds, d, "an alias copies all that its anchor holds; aliases of aliases grow exponentially");
		return false;
	}
	return true;
}

static int frame_set_key(struct composer *c, struct frame *f, const struct node *key)
{
	struct pos pos = key->pos;
	f->have_key = true;
	f->key_is_merge = key->kind == NODE_STRING && !key->quoted && strcmp(key->text, "<<") == 0;
	f->key_is_bad = false;
	f->key = key->text;
	f->key_pos = pos;
	c->n_written--;
	if (key->kind != NODE_STRING) {
		struct diag *d = diag_error(c->ds, pos, "", "this key is %s, but keys must be strings", node_kind_name(key->kind));
		if (key->kind != NODE_SEQ && key->kind != NODE_MAP)
			diag_hint(c->ds, d, "put it in quotes: \"%s\"", *key->text ? diag_quote(c->ds, key->text) : "null");
		f->key_is_bad = true;
	}
	return 0;
}

static void report_duplicate(struct composer *c, const struct frame *f, struct pos first)
{
	struct diag *d = diag_error(c->ds, f->key_pos, "", "key \"%s\" is already defined at line %d", diag_quote(c->ds, f->key), first.line);
	diag_note(c->ds, d, first, "the first one is here");
}

/* Puts a finished value where it belongs: the root, a list, a key or the value of a key. */
static int place(struct composer *c, struct node *value)
{
	struct frame *f = c->depth ? &c->stack[c->depth - 1] : NULL;
	struct node_entry *old;
	if (!f) {
		c->root = value;
		return 0;
	}
	if (f->node->kind == NODE_SEQ) {
		node_push(c->a, f->node, value);
		return 0;
	}
	if (!f->have_key)
		return frame_set_key(c, f, value);
	f->have_key = false;
	if (f->key_is_bad)
		return 0;
	if (f->key_is_merge) {
		if (f->merges) {
			report_duplicate(c, f, f->merges->pos);
			return 0;
		}
		f->merges = node_new(c->a, NODE_SEQ, f->key_pos);
		node_push(c->a, f->merges, value);
		return 0;
	}
	old = node_entry(f->node, f->key);
	if (old)
		report_duplicate(c, f, old->key_pos);
	else
		node_put(c->a, f->node, f->key, f->key_pos, value);
	return 0;
}

static struct anchor *anchor_new(struct composer *c, const yaml_char_t *name, struct node *node)
{
	struct anchor *an;
	if (!name)
		return NULL;
	an = arena_alloc(c->a, sizeof(*an));
	*an = (struct anchor){ .node = node, .pos = node->pos, .size = 1 };
	map_put(&c->anchors, (const char *)name, an);
	return an;
}

static enum node_tag special_tag(const yaml_char_t *tag)
{
	if (tag && strcmp((const char *)tag, "!reset") == 0)
		return NODE_TAG_RESET;
	if (tag && strcmp((const char *)tag, "!override") == 0)
		return NODE_TAG_OVERRIDE;
	return NODE_TAG_NONE;
}

/* Standard tags on a scalar: !!str keeps the text, the others must fit what the text is. */
static int apply_scalar_tag(struct composer *c, struct node *n, const char *tag, const char *text)
{
	static const struct {
		const char *tag;
		enum node_kind kind;
	} known[] = {
		{ YAML_INT_TAG, NODE_INT }, { YAML_FLOAT_TAG, NODE_FLOAT }, { YAML_BOOL_TAG, NODE_BOOL }, { YAML_NULL_TAG, NODE_NULL },
	};
	if (strcmp(tag, YAML_STR_TAG) == 0 || strncmp(tag, "tag:yaml.org,2002:", 18) != 0) {
		n->kind = NODE_STRING;
		n->text = arena_strdup(c->a, text);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(tag, known[i].tag) != 0)
			continue;
		if (!scalar_resolve(c->a, n, text) || (n->kind != known[i].kind && !(n->kind == NODE_INT && known[i].kind == NODE_FLOAT))) {
			diag_error(c->ds, n->pos, "", "\"%s\" does not fit its tag !!%s", diag_quote(c->ds, text), tag + 18);
			return -1;
		}
		if (known[i].kind == NODE_FLOAT)
			n->kind = NODE_FLOAT;
		return 0;
	}
	return 0;
}

static int on_scalar(struct composer *c, const yaml_event_t *ev)
{
	struct node *n = node_new(c->a, NODE_STRING, pos_of(c, ev->start_mark));
	const char *text = (const char *)ev->data.scalar.value, *tag = (const char *)ev->data.scalar.tag;
	c->n_total++;
	c->n_written++;
	if (memchr(text, '\0', ev->data.scalar.length)) {
		diag_error(c->ds, n->pos, "", "a NUL character in a string");
		return -1;
	}
	n->tag = special_tag(ev->data.scalar.tag);
	n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (n->quoted)
		n->text = arena_strdup(c->a, text);
	if (tag && !n->tag && strcmp(tag, "!") != 0) {
		if (apply_scalar_tag(c, n, tag, text) < 0)
			return -1;
	} else if (tag && strcmp(tag, "!") == 0) {
		n->text = arena_strdup(c->a, text);
	} else if (!n->quoted && !scalar_resolve(c->a, n, text)) {
		diag_error(c->ds, n->pos, "", "%s is not a finite number", diag_quote(c->ds, text));
		return -1;
	}
	anchor_new(c, ev->data.scalar.anchor, n);
	return place(c, n);
}

static int on_alias(struct composer *c, const yaml_event_t *ev)
{
	const char *name = (const char *)ev->data.alias.anchor;
	struct anchor *an = map_get(&c->anchors, name);
	struct pos pos = pos_of(c, ev->start_mark);
	struct node *copy;
	c->n_written++;
	if (!an) {
		diag_error(c->ds, pos, "", "unknown alias *%s", diag_quote(c->ds, name));
		return -1;
	}
	if (an->open) {
		struct diag *d = diag_error(c->ds, pos, "", "cycle: alias *%s is inside of what its anchor names", diag_quote(c->ds, name));
		diag_note(c->ds, d, an->pos, "the anchor &%s is here", diag_quote(c->ds, name));
		return -1;
	}
	c->n_total += an->size;
	c->n_copied += an->size;
	if (!within_bounds(c, pos))
		return -1;
	copy = node_copy(c->a, an->node);
	copy->pos = pos;
	return place(c, copy);
}

static int on_open(struct composer *c, const yaml_event_t *ev, enum node_kind kind)
{
	const yaml_char_t *anchor = kind == NODE_SEQ ? ev->data.sequence_start.anchor : ev->data.mapping_start.anchor;
	const yaml_char_t *tag = kind == NODE_SEQ ? ev->data.sequence_start.tag : ev->data.mapping_start.tag;
	struct node *n = node_new(c->a, kind, pos_of(c, ev->start_mark));
	struct frame *f;
	if (c->depth == YAML_MAX_DEPTH) {
		diag_error(c->ds, n->pos, "", "nested deeper than %d levels", YAML_MAX_DEPTH);
		return -1;
	}
	n->tag = special_tag(tag);
	f = &c->stack[c->depth++];
	*f = (struct frame){ .node = n, .anchor = anchor_new(c, anchor, n), .count_before = c->n_total };
	if (f->anchor)
		f->anchor->open = true;
	c->n_total++;
	c->n_written++;
	return 0;
}

static int merge_one(struct composer *c, struct node *into, struct pos pos, const struct node *from)
{
	if (from->kind != NODE_MAP) {
		struct diag *d = diag_error(c->ds, from->pos, "", "<< merges a mapping or a list of mappings, not %s", node_kind_name(from->kind));
		diag_note(c->ds, d, pos, "merged here");
		return -1;
	}
	for (size_t i = 0; i < from->n; i++)
		if (!node_entry(into, from->entries[i].key))
			node_put(c->a, into, from->entries[i].key, from->entries[i].key_pos, from->entries[i].value);
	return 0;
}

/* What << brings in: keys that are written out win, then the first mapping that has one. */
static int apply_merges(struct composer *c, const struct frame *f)
{
	const struct node *value = f->merges->items[0];
	if (value->kind != NODE_SEQ)
		return merge_one(c, f->node, f->merges->pos, value);
	for (size_t i = 0; i < value->n; i++)
		if (merge_one(c, f->node, f->merges->pos, value->items[i]) < 0)
			return -1;
	return 0;
}

static int on_close(struct composer *c)
{
	struct frame *f = &c->stack[c->depth - 1];
	if (f->merges && apply_merges(c, f) < 0)
		return -1;
	if (f->anchor) {
		f->anchor->open = false;
		f->anchor->size = c->n_total - f->count_before;
	}
	c->depth--;
	return place(c, f->node);
}

/* One event. 1: the stream has ended. */
static int on_event(struct composer *c, const yaml_event_t *ev, struct node ***docs, size_t *n, size_t *cap)
{
	switch (ev->type) {
	case YAML_STREAM_END_EVENT:
		return 1;
	case YAML_DOCUMENT_START_EVENT:
		map_done(&c->anchors);
		c->anchors = (struct map){ 0 };
		c->root = NULL;
		c->n_written = c->n_total = c->n_copied = 0;
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		*docs = arena_grow(c->a, *docs, *n, cap, sizeof(**docs));
		(*docs)[(*n)++] = c->root;
		return 0;
	case YAML_ALIAS_EVENT:
		return on_alias(c, ev);
	case YAML_SCALAR_EVENT:
		return on_scalar(c, ev);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(c, ev, NODE_SEQ);
	case YAML_MAPPING_START_EVENT:
		return on_open(c, ev, NODE_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(c);
	default:
		return 0;
	}
}

int yaml_parse(const struct source *src, struct diags *ds, struct node ***ret_docs, size_t *ret_n)
{
	AUTO_FREE struct composer *c = xcalloc(1, sizeof(*c));
	struct node **docs = NULL;
	size_t n = 0, cap = 0, errors = ds->n_errors;
	int r = 0;
	c->src = src;
	c->ds = ds;
	c->a = ds->arena;
	if (!yaml_parser_initialize(&c->parser))
		util_oom();
	yaml_parser_set_input_string(&c->parser, (const unsigned char *)src->text, src->len);
	while (r == 0) {
		yaml_event_t ev;
		if (!yaml_parser_parse(&c->parser, &ev)) {
			r = report_syntax(c);
			break;
		}
		r = on_event(c, &ev, &docs, &n, &cap);
		if (r == 0 && !within_bounds(c, pos_of(c, ev.start_mark)))
			r = -1;
		yaml_event_delete(&ev);
	}
	yaml_parser_delete(&c->parser);
	map_done(&c->anchors);
	if (r < 0 || ds->n_errors > errors)
		return -1;
	*ret_docs = docs;
	*ret_n = n;
	return 0;
}
