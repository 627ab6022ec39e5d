/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the typed instructions share among themselves. */
#ifndef IMAGES_BUILD_INSTRUCTION_IMPL_H
#define IMAGES_BUILD_INSTRUCTION_IMPL_H

#include "images/build/instruction.h"

/* One instruction in the making. */
struct instruction_maker {
	struct arena *arena;
	struct diags *ds;
	const struct dockerfile_node *node;
	const char *name;        /* "RUN": of the instruction itself, not of an ONBUILD before it */
};

enum instruction_flag_type { FLAG_TEXT, FLAG_BOOL, FLAG_LIST };
/* A flag that an instruction knows. Exactly one of the three is set, by type; bools become 0 or 1 (-1 = not given is the caller's initial value). */
struct instruction_flag {
	const char *name;
	enum instruction_flag_type type;
	const char **text;
	int *truth;
	struct instruction_list *list;
};

/* Reads the node's flags into where spec says; each at most once but lists. 0, or -1 + errors. */
int instruction_read_flags(const struct instruction_maker *m, const struct instruction_flag *spec, size_t n);
/* The place of a flag's value: the i-th --NAME. */
struct pos instruction_flag_pos(const struct instruction_maker *m, const char *name, size_t index);

/* Fields of a comma-separated text: quotes hold commas, "" in them is one. False + why when quotes do not match. */
bool instruction_split_fields(struct arena *a, const char *text, struct instruction_list *ret, const char **ret_why);
/* Go's strconv.ParseBool: 1 t T TRUE true True 0 f F FALSE false False. */
bool instruction_parse_bool(const char *s, bool *ret);

/* The values of --mount: with env they are expanded; without, only what holds no variable is looked at, and `from` may hold none. 0, or -1. */
int instruction_read_mount(const struct instruction_maker *m, const char *text, struct pos pos, const struct expand_env *env,
			   struct expand_names *used, struct instruction_mount *ret);
int instruction_read_device(const struct instruction_maker *m, const char *text, struct pos pos, struct instruction_device *ret);

/* One word of EXPOSE, expanded: "80", "80/udp", "8000-8010/tcp", and with a finding "127.0.0.1:80:8080". Adds "PORT/PROTO" for each. 0, or -1. */
int instruction_expose(const struct instruction_maker *m, const char *word, struct pos pos, struct strv *ret);
/* A signal as STOPSIGNAL takes it: a number but 0, or a name with or without SIG. */
bool instruction_is_signal(const char *s);

struct diag *instruction_error(const struct instruction_maker *m, struct pos pos, const char *fmt, ...) PRINTF(3, 4);
void instruction_list_add(struct arena *a, struct instruction_list *l, size_t *cap, const char *s);
/* A copy of a list of strings in the arena. */
struct instruction_list instruction_list_of(struct arena *a, const struct strv *sv);

#endif
