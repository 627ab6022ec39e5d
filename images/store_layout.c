/* SPDX-License-Identifier: Apache-2.0 */
/* The store and its OCI layout: which manifest belongs to which image is in the store's own index; the layout's index.json follows
 * from that, so it is never read here, only written again whenever it says something else. */
#include <stdio.h>

#include "images/manifest.h"
#include "images/store_impl.h"

enum { MAX_MANIFEST_BYTES = 4 << 20 };

struct oci *store_oci(struct store *s)
{
	return s->oci;
}

const json_t *store_manifest_record(const json_t *index, const char *id, const char **ret_hex)
{
	const json_t *record = json_object_get(json_object_get(index, "manifests"), id);
	*ret_hex = manifest_digest_hex(json_get_str(record, "digest", NULL));
	return *ret_hex ? record : NULL;
}

static void add_entries(struct oci_entry *entries, size_t *n, struct strv *names, const struct oci_entry *base, const struct strv *refs)
{
	for (size_t i = 0; i < refs->n; i++) {
		strv_take(names, store_familiar(refs->v[i]));
		entries[*n] = *base;
		entries[*n].name = names->v[names->n - 1];
		entries[(*n)++].full_name = refs->v[i];
	}
}

/* Which references lead where: id -> list of canonical references, those of digests after the others. */
static void collect_names(const json_t *index, struct map *ret)
{
	static const char *const sections[] = { "refs", "digests" };
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		const char *ref;
		json_t *entry;
		json_object_foreach(json_object_get(index, sections[i]), ref, entry) {
			const char *id = json_get_str(entry, "id", "");
			struct strv *list = map_get(ret, id);
			if (!list) {
				list = xcalloc(1, sizeof(*list));
				map_put(ret, id, list);
			}
			if (i == 0 || list->n == 0 || strchr(list->v[0], '@')) /* an image with tags is not listed by digests, too */
				strv_push(list, ref);
		}
	}
}

static int compare_entries(const void *a, const void *b)
{
	const struct oci_entry *x = a, *y = b;
	int c = strcmp(x->full_name ? x->full_name : "", y->full_name ? y->full_name : "");
	return c ? c : strcmp(x->id, y->id);
}

int store_sync_layout(struct store *s, const json_t *index, struct err *err)
{
	static const struct strv none;
	AUTO_MAP struct map names = {0};
	AUTO_STRV struct strv familiar = {0};
	struct oci_entry *entries;
	json_t *manifests = json_object_get(index, "manifests"), *record;
	size_t n = 0, room = json_object_size(manifests);
	const char *id;
	int rc;
	collect_names(index, &names);
	for (struct map_entry *e = map_next(&names, NULL); e; e = map_next(&names, e))
		room += ((struct strv *)e->value)->n;
	entries = xcalloc(room, sizeof(*entries));
	json_object_foreach(manifests, id, record) {
		const struct strv *refs = map_get(&names, id);
		struct oci_entry base = { .id = id, .type = json_get_str(record, "type", ""), .size_bytes = (uint64_t)json_get_int(record, "size", 0) };
		if (!store_manifest_record(index, id, &base.digest_hex))
			continue;
		add_entries(entries, &n, &familiar, &base, refs ? refs : &none);
		if (!refs)
			entries[n++] = base;
	}
	if (n > 1)
		qsort(entries, n, sizeof(*entries), compare_entries);
	rc = oci_write_index(s->oci, entries, n, err);
	free(entries);
	for (struct map_entry *e = map_next(&names, NULL); e; e = map_next(&names, e)) {
		strv_done(e->value);
		free(e->value);
	}
	return rc < 0 ? err_wrap(err, "image store") : 0;
}

int store_manifest(struct store *s, const char *id, struct str *ret_text, char *ret_hex, char *ret_type, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	const json_t *record;
	const char *hex;
	if (store_read_index(s, &index, err) < 0)
		return -1;
	record = store_manifest_record(index, id, &hex);
	if (!record)
		return 1;
	if (oci_read_blob(s->oci, hex, MAX_MANIFEST_BYTES, ret_text, err) < 0)
		return err_wrap(err, "image %.12s: manifest", id);
	if (ret_hex)
		memcpy(ret_hex, hex, 65);
	if (ret_type)
		snprintf(ret_type, 128, "%s", json_get_str(record, "type", ""));
	return 0;
}

int store_manifest_blobs(struct store *s, const char *hex, struct map *ret, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *doc = NULL;
	const char *digest;
	json_t *layer;
	size_t i;
	if (oci_read_blob(s->oci, hex, MAX_MANIFEST_BYTES, &text, err) < 0)
		return -1;
	doc = json_loadb(str_get(&text), text.len, 0, NULL);
	digest = manifest_digest_hex(json_get_str(json_object_get(doc, "config"), "digest", NULL));
	if (!digest)
		return err_set(err, ERR_CORRUPT, "manifest sha256:%.12s… names no configuration", hex);
	map_put(ret, hex, ret);
	map_put(ret, digest, ret);
	json_array_foreach(json_object_get(doc, "layers"), i, layer) {
		digest = manifest_digest_hex(json_get_str(layer, "digest", NULL));
		if (!digest)
			return err_set(err, ERR_CORRUPT, "manifest sha256:%.12s…: layer %zu has no sha256 digest", hex, i + 1);
		map_put(ret, digest, ret);
	}
	return 0;
}

int store_image_blobs(struct store *s, const char *id, struct map *ret)
{
	AUTO_JSON json_t *index = NULL;
	const char *hex;
	if (store_read_index(s, &index, NULL) < 0)
		return -1;
	return store_manifest_record(index, id, &hex) ? store_manifest_blobs(s, hex, ret, NULL) : 1;
}

int store_needed_blobs(struct store *s, const json_t *index, struct map *ret)
{
	json_t *record;
	const char *id, *hex;
	int rc = 0;
	json_object_foreach(json_object_get(index, "manifests"), id, record)
		if (store_manifest_record(index, id, &hex) && store_manifest_blobs(s, hex, ret, NULL) < 0)
			rc = 1;
	return rc;
}
