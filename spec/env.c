/* SPDX-License-Identifier: Apache-2.0 */
/* Environment variables in a map. The process environment is only ever seen here as the list that the caller passes in:
 * the loader itself never calls getenv(). */
#include "spec/env.h"

void env_init(struct env *e, struct arena *a)
{
	*e = (struct env){ .arena = a };
}

void env_done(struct env *e)
{
	map_done(&e->vars);
	e->vars = (struct map){ 0 };
}

void env_put_at(struct env *e, const char *name, const char *value, struct pos pos)
{
	struct env_var *v = arena_alloc(e->arena, sizeof(*v));
	*v = (struct env_var){ .value = arena_strdup(e->arena, value), .pos = pos };
	map_put(&e->vars, name, v);
}

void env_put(struct env *e, const char *name, const char *value)
{
	env_put_at(e, name, value, (struct pos){ 0 });
}

void env_add_list(struct env *e, const char *const *list)
{
	for (; list && *list; list++) {
		const char *eq = strchr(*list, '=');
		if (eq && eq != *list)
			env_put(e, arena_strndup(e->arena, *list, (size_t)(eq - *list)), eq + 1);
	}
}

void env_merge(struct env *e, const struct env *other)
{
	for (struct map_entry *m = map_next(&other->vars, NULL); m; m = map_next(&other->vars, m))
		if (!map_get(&e->vars, m->key))
			map_put(&e->vars, m->key, m->value);
}

const char *env_get(const struct env *e, const char *name)
{
	const struct env_var *v = e ? map_get(&e->vars, name) : NULL;
	return v ? v->value : NULL;
}

struct pos env_pos(const struct env *e, const char *name)
{
	const struct env_var *v = e ? map_get(&e->vars, name) : NULL;
	return v ? v->pos : (struct pos){ 0 };
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void env_list(const struct env *e, struct strv *ret)
{
	for (struct map_entry *m = map_next(&e->vars, NULL); m; m = map_next(&e->vars, m))
		strv_pushf(ret, "%s=%s", m->key, ((const struct env_var *)m->value)->value);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_strings);
}

bool env_is_true(const char *value, bool *ret_valid)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	bool is_no = false;
	for (size_t i = 0; value && i < ARRAY_SIZE(yes); i++) {
		if (strcmp(value, yes[i]) == 0) {
			if (ret_valid)
				*ret_valid = true;
			return true;
		}
		is_no |= strcmp(value, no[i]) == 0;
	}
	if (ret_valid)
		*ret_valid = is_no;
	return false;
}
