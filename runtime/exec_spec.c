/* SPDX-License-Identifier: Apache-2.0 */
/* The specification of an exec as JSON, both directions; the keys are the fields of struct exec_spec. What comes in is checked for
 * type and size, not for sense: exec_start() does that. */
#include "runtime/exec.h"

enum { STRINGS_MAX = 65536 };

json_t *exec_spec_to_json(const struct exec_spec *s)
{
	json_t *j = json_object();
	json_put_int(j, "pid", s->pid);
	json_put_int(j, "start_ticks", (int64_t)s->start_ticks);
	json_put_str(j, "cgroup", s->cgroup);
	json_object_set_new(j, "argv", json_from_strv(s->argv));
	json_object_set_new(j, "envp", json_from_strv(s->envp));
	json_put_str(j, "user", s->user);
	json_put_str(j, "cwd", s->cwd);
	json_object_set_new(j, "tty", json_boolean(s->tty));
	json_object_set_new(j, "detach", json_boolean(s->detach));
	json_object_set_new(j, "no_new_privs", json_boolean(s->no_new_privs));
	json_object_set_new(j, "privileged", json_boolean(s->privileged));
	json_object_set_new(j, "unconfined", json_boolean(s->unconfined));
	json_put_int(j, "tty_rows", s->tty_rows);
	json_put_int(j, "tty_cols", s->tty_cols);
	json_put_int(j, "caps", (int64_t)s->caps);
	json_put_str(j, "seccomp_cache", s->seccomp_cache);
	return j;
}

static const char *get_str(const json_t *j, const char *key, struct arena *a)
{
	const char *s = json_get_str(j, key, NULL);
	return s ? arena_strdup(a, s) : NULL;
}

/* A NULL-terminated list in the arena; -1 + err when it is not a list of strings. */
static int get_list(const json_t *j, const char *key, struct arena *a, char *const **ret, struct err *err)
{
	const json_t *list = json_object_get(j, key), *item;
	size_t n = json_array_size(list), i;
	char **v;
	if (n > STRINGS_MAX || (list && !json_is_array(list) && !json_is_null(list)))
		return err_set(err, ERR_INVALID, "exec: %s is not a list", key);
	v = arena_alloc(a, (n + 1) * sizeof(*v));
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return err_set(err, ERR_INVALID, "exec: %s[%zu] is not a string", key, i);
		v[i] = arena_strdup(a, json_string_value(item));
	}
	*ret = v;
	return 0;
}

int exec_spec_from_json(const json_t *j, struct arena *a, struct exec_spec *ret, struct err *err)
{
	struct exec_spec s = { 0 };
	int64_t pid = json_get_int(j, "pid", 0), rows = json_get_int(j, "tty_rows", 0), cols = json_get_int(j, "tty_cols", 0);
	if (!json_is_object(j) || pid <= 0 || pid > INT32_MAX || rows < 0 || rows > UINT16_MAX || cols < 0 || cols > UINT16_MAX)
		return err_set(err, ERR_INVALID, "exec: malformed specification");
	if (get_list(j, "argv", a, &s.argv, err) < 0 || get_list(j, "envp", a, &s.envp, err) < 0)
		return -1;
	s.pid = (pid_t)pid;
	s.start_ticks = (uint64_t)json_get_int(j, "start_ticks", 0);
	s.cgroup = get_str(j, "cgroup", a);
	s.user = get_str(j, "user", a);
	s.cwd = get_str(j, "cwd", a);
	s.tty = json_get_bool(j, "tty", false);
	s.detach = json_get_bool(j, "detach", false);
	s.no_new_privs = json_get_bool(j, "no_new_privs", false);
	s.privileged = json_get_bool(j, "privileged", false);
	s.unconfined = json_get_bool(j, "unconfined", false);
	s.tty_rows = (uint16_t)rows;
	s.tty_cols = (uint16_t)cols;
	s.caps = (uint64_t)json_get_int(j, "caps", 0);
	s.seccomp_cache = get_str(j, "seccomp_cache", a);
	*ret = s;
	return 0;
}
