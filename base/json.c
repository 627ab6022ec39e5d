/* SPDX-License-Identifier: Apache-2.0 */
/* jansson helpers. Depth and size are capped by jansson (2048 levels) and by json_read_file (64 MiB). */
#include "base/json.h"

#include "base/fs.h"

void json_decref_p(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}

const char *json_get_str(const json_t *obj, const char *key, const char *def)
{
	const json_t *v = json_object_get(obj, key);
	return json_is_string(v) ? json_string_value(v) : def;
}

int64_t json_get_int(const json_t *obj, const char *key, int64_t def)
{
	const json_t *v = json_object_get(obj, key);
	return json_is_integer(v) ? json_integer_value(v) : def;
}

bool json_get_bool(const json_t *obj, const char *key, bool def)
{
	const json_t *v = json_object_get(obj, key);
	return json_is_boolean(v) ? json_is_true(v) : def;
}

double json_get_num(const json_t *obj, const char *key, double def)
{
	const json_t *v = json_object_get(obj, key);
	return json_is_number(v) ? json_number_value(v) : def;
}

void json_get_strv(const json_t *obj, const char *key, struct strv *ret)
{
	json_t *list = json_object_get(obj, key), *item;
	size_t i;
	json_array_foreach(list, i, item)
		if (json_is_string(item))
			strv_push(ret, json_string_value(item));
}

json_t *json_text(const char *s)
{
	AUTO_STR struct str text = {0};
	json_t *j = json_string(s);
	if (j)
		return j;
	while (*s) {
		size_t n = str_utf8_len((const unsigned char *)s);
		if (n)
			str_addn(&text, s, n);
		else
			str_add(&text, "\xef\xbf\xbd");
		s += MAX(n, (size_t)1);
	}
	j = json_string_nocheck(str_get(&text));
	if (!j)
		util_oom();
	return j;
}

json_t *json_from_strv(char *const *v)
{
	json_t *list = json_array();
	for (; v && *v; v++)
		json_array_append_new(list, json_text(*v));
	return list;
}

void json_put_str(json_t *obj, const char *key, const char *s)
{
	if (s)
		json_object_set_new_nocheck(obj, key, json_text(s));
	else
		json_object_del(obj, key);
}

void json_put_int(json_t *obj, const char *key, int64_t v)
{
	json_object_set_new_nocheck(obj, key, json_integer(v));
}

int json_read_file(int dirfd, const char *name, json_t **ret, struct err *err)
{
	AUTO_STR struct str text = {0};
	json_error_t je;
	json_t *j;
	int rc = fs_read(dirfd, name, (size_t)64 << 20, &text, err);
	if (rc != 0)
		return rc;
	j = json_loadb(str_get(&text), text.len, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(j)) {
		json_decref(j);
		return err_set(err, ERR_CORRUPT, "%s: not a JSON object (%s, line %d)", name, j ? "wrong type" : je.text, j ? 1 : je.line);
	}
	*ret = j;
	return 0;
}

int json_write_file(int dirfd, const char *name, const json_t *j, bool durable, struct err *err)
{
	AUTO_FREE char *text = json_dumps(j, JSON_COMPACT);
	if (!text)
		util_oom();
	return durable ? fs_write_atomic(dirfd, name, text, strlen(text), 0600, err) : fs_write_volatile(dirfd, name, text, strlen(text), 0600, err);
}

char *json_canonical(const json_t *j)
{
	char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	if (!text)
		util_oom();
	return text;
}
