/* SPDX-License-Identifier: Apache-2.0 */
/* A reference to images of several platforms: its entry in the index has one of them as "id", which is what the name means on this machine, and all
 * of them as "platforms":{"linux/arm64": id, …}. The others are images of their own that have the same name; they go with it. Whatever
 * points the name at something else forgets them. */
#include "images/store_impl.h"
#include "spec/imageref.h"

static int full_ref(const char *name, char **ret, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref = {0};
	if (imageref_parse(name, a, &ref, err) < 0)
		return -1;
	if (ref.digest)
		return err_set(err, ERR_INVALID, "a digest is no name that can be given");
	*ret = xstrdup(imageref_full(&ref, a));
	return 0;
}

int store_set_platforms(struct store *s, const char *name, const struct strv *platforms, const struct strv *ids, size_t first, struct err *err)
{
	AUTO_CLOSE int lock = -1;
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *ref = NULL;
	json_t *all = json_object();
	int rc = full_ref(name, &ref, err);
	if (rc == 0)
		lock = store_lock(s, STORE_EXCLUSIVE, err);
	rc = lock < 0 ? -1 : store_read_index(s, &index, err);
	for (size_t i = 0; rc == 0 && i < ids->n; i++) {
		AUTO_IMAGE struct image img = {0};
		rc = store_read_image(s, index, ids->v[i], &img, err);
		if (rc == 1)
			rc = err_set(err, ERR_CONFLICT, "image %.12s has been removed meanwhile", ids->v[i]);
		json_put_str(all, platforms->v[i], ids->v[i]);
	}
	if (rc < 0) {
		json_decref(all);
		return -1;
	}
	store_set_ref(index, ref, ids->v[first], NULL, false);
	json_object_set_new(json_object_get(json_object_get(index, "refs"), ref), "platforms", all);
	return store_write_index(s, index, err);
}

int store_platforms(struct store *s, const char *name, struct strv *ret_platforms, struct strv *ret_ids, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *ref = NULL;
	const char *platform;
	json_t *id;
	if (full_ref(name, &ref, err) < 0 || store_read_index(s, &index, err) < 0)
		return -1;
	json_object_foreach(json_object_get(json_object_get(json_object_get(index, "refs"), ref), "platforms"), platform, id) {
		if (!json_is_string(id) || !store_is_id(json_string_value(id)))
			continue;
		strv_push(ret_platforms, platform);
		strv_push(ret_ids, json_string_value(id));
	}
	return 0;
}

void store_platform_refs(const json_t *index, const char *id, struct strv *ret)
{
	const char *ref, *platform;
	json_t *entry, *other;
	json_object_foreach(json_object_get(index, "refs"), ref, entry)
		json_object_foreach(json_object_get(entry, "platforms"), platform, other)
			if (str_eq(json_string_value(other), id) && !strv_has(ret, ref))
				strv_push(ret, ref);
}

void store_platform_ids(const json_t *entry, struct strv *ret)
{
	const char *platform;
	json_t *id;
	json_object_foreach(json_object_get(entry, "platforms"), platform, id)
		if (json_is_string(id) && store_is_id(json_string_value(id)) && !strv_has(ret, json_string_value(id)))
			strv_push(ret, json_string_value(id));
}

bool store_forget_platform(json_t *index, const char *id)
{
	const char *ref, *platform;
	json_t *entry, *other;
	bool found = false;
	void *next;
	json_object_foreach(json_object_get(index, "refs"), ref, entry)
		json_object_foreach_safe(json_object_get(entry, "platforms"), next, platform, other)
			if (str_eq(json_string_value(other), id)) {
				json_object_del(json_object_get(entry, "platforms"), platform);
				found = true;
			}
	return found;
}
