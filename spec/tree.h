/* SPDX-License-Identifier: Apache-2.0 */
/* The document tree: what a YAML file says, with the place of every key and value. All phases of the loader work on
 * it in place (interpolation, merge, canonical form, defaults), so that a message about the final model still points
 * at the line that a person wrote. Nodes, keys and sources live in one arena and die with it; a node that a phase
 * makes takes over the position of what it was made from. No node is shared between two places of a tree: aliases
 * are copied. Maps keep the order of the text and have unique keys. */
#ifndef SPEC_TREE_H
#define SPEC_TREE_H

#include "base/arena.h"

/* A place: line and column from 1, columns count characters (not bytes). src NULL = nowhere. */
struct pos {
	const struct source *src;
	int line, column;
};

/* A text that positions point into: a file, standard input, or something that muster made up. */
struct source {
	const char *path;      /* as it is shown in messages; "-" = standard input */
	const char *text;      /* NUL-terminated; may hold NUL bytes before len */
	size_t len;
	size_t *lines;         /* offset of the first byte of each line */
	size_t n_lines;
	struct pos by;         /* where another file asks for this one; src NULL: nowhere */
	const char *by_what;   /* "included here" */
};

enum node_kind { NODE_NULL, NODE_BOOL, NODE_INT, NODE_FLOAT, NODE_STRING, NODE_SEQ, NODE_MAP, NODE_KIND_N_ };
enum node_tag { NODE_TAG_NONE, NODE_TAG_RESET, NODE_TAG_OVERRIDE };

struct node;
struct node_entry {
	const char *key;
	struct pos key_pos;
	struct node *value;    /* never NULL */
};

/* Small, since a file of a megabyte makes half a million: what only containers and only scalars have shares its room. */
struct node {
	enum node_kind kind : 8;
	enum node_tag tag : 8; /* !reset, !override */
	bool quoted : 1;       /* scalar: quoted or a block in the text */
	bool implied : 1;      /* nobody wrote it: a default that the loader filled in */
	bool boolean : 1;      /* NODE_BOOL */
	uint32_t n, cap;       /* children of NODE_SEQ, NODE_MAP; 0 for scalars */
	uint32_t n_slots;
	struct pos pos;        /* of the value */
	const char *text;      /* every scalar: the string, or the number as written; never NULL ("" for null) */
	union {
		int64_t integer;              /* NODE_INT */
		struct node **items;          /* NODE_SEQ */
		struct node_entry *entries;   /* NODE_MAP */
	};
	union {
		double number;                /* NODE_FLOAT, NODE_INT too */
		uint32_t *slots;              /* NODE_MAP: hash index, private to tree.c; may be NULL */
	};
};

/* A step of the way from the root to a node, kept on the stack of whoever walks; the root is NULL. */
struct node_path {
	const struct node_path *up;
	const char *key;       /* NULL: an index */
	size_t index;
};

/* Registers a text (copied). path is copied too. The text's size is the caller's to cap. */
struct source *source_new(struct arena *a, const char *path, const char *text, size_t len);
/* The line without its end, as bytes in src->text; *ret_len its length. line is from 1; "" outside. */
const char *source_line(const struct source *src, int line, size_t *ret_len);

/* New nodes. Texts are copied. */
struct node *node_new(struct arena *a, enum node_kind kind, struct pos pos);
struct node *node_new_string(struct arena *a, struct pos pos, const char *text);
struct node *node_new_bool(struct arena *a, struct pos pos, bool b);
struct node *node_new_int(struct arena *a, struct pos pos, int64_t i);
/* A deep copy; positions, tags and flags come along. */
struct node *node_copy(struct arena *a, const struct node *n);
/* Makes *n another scalar, a string, in place; position kept. */
void node_set_string(struct arena *a, struct node *n, const char *text);

/* The member of a map, NULL when it is absent or map is NULL or no map. O(1) for large maps. */
struct node *node_get(const struct node *map, const char *key);
struct node_entry *node_entry(const struct node *map, const char *key);
/* A descent by keys: node_at(doc, "services", "web", NULL). */
struct node *node_at(const struct node *n, ...) __attribute__((sentinel));
/* Adds or replaces (the position of the key is replaced as well). The key is copied. */
void node_put(struct arena *a, struct node *map, const char *key, struct pos key_pos, struct node *value);
/* Removes; true when it was there. Order of the rest is kept. */
bool node_del(struct node *map, const char *key);
/* Removes every member that `keep` returns false for, in one pass (node_del in a loop would cost the square). */
void node_keep(struct node *map, bool (*keep)(void *arg, const struct node_entry *e), void *arg);
void node_push(struct arena *a, struct node *seq, struct node *item);
/* Removes item i of a sequence. */
void node_del_item(struct node *seq, size_t i);

/* The text of a string member, or def when it is absent or no string. */
const char *node_str(const struct node *map, const char *key, const char *def);
bool node_is(const struct node *n, enum node_kind kind); /* NULL is false */
/* "a string", "a number", "a list", "a mapping", "null", "true or false": for messages. */
const char *node_kind_name(enum node_kind kind);
/* The node and all below it. */
size_t node_count(const struct node *n);
/* Same kind and value, recursively; maps unordered, positions ignored. */
bool node_equal(const struct node *a, const struct node *b);

/* "services.web.ports[0]" in the arena; "" for the root. */
const char *node_path_text(struct arena *a, const struct node_path *path);
/* The node at such a text, and in *ret_entry (may be NULL) the map entry that holds it. Keys may contain dots: the longest key that
 * fits is taken. NULL when there is none. */
struct node *node_find(const struct node *root, const char *path, const struct node_entry **ret_entry);

#endif
