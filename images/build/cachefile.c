/* SPDX-License-Identifier: Apache-2.0 */
/* Both directions of the document. Reading believes no index and no digest before it has looked at it; writing is in one order, so that the same
 * cache is the same blob. */
#include "images/build/cachefile.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/map.h"
#include "images/manifest.h"

enum { MAX_RECORDS = 65536 };

void cachefile_done(struct cachefile *f)
{
	free(f->layers);
	free(f->entries);
	*f = (struct cachefile){0};
}

size_t cachefile_layer_of(struct cachefile *f, const char *diff_id)
{
	for (size_t i = 0; i < f->n_layers; i++)
		if (strcmp(f->layers[i].diff_id, diff_id) == 0)
			return i;
	f->layers = vec_grow(f->layers, f->n_layers, &f->cap_layers, sizeof(*f->layers));
	f->layers[f->n_layers] = (struct cachefile_layer){0};
	snprintf(f->layers[f->n_layers].diff_id, sizeof(f->layers->diff_id), "%s", diff_id);
	return f->n_layers++;
}

void cachefile_add(struct cachefile *f, const char *op, const char *below, const char *created, size_t layer)
{
	struct cachefile_entry *e;
	for (size_t i = 0; i < f->n_entries; i++)
		if (strcmp(f->entries[i].op, op) == 0 && strcmp(f->entries[i].below, below) == 0)
			return;
	f->entries = vec_grow(f->entries, f->n_entries, &f->cap_entries, sizeof(*f->entries));
	e = &f->entries[f->n_entries++];
	*e = (struct cachefile_entry){ .layer = layer };
	snprintf(e->op, sizeof(e->op), "%s", op);
	snprintf(e->below, sizeof(e->below), "%s", below);
	snprintf(e->created, sizeof(e->created), "%s", created);
}

/* ---- reading ---- */

/* A time as it may stand in a configuration: digits and what RFC 3339 has between them. */
static void copy_time(char to[static 40], const char *from)
{
	const size_t n = strspn(from, "0123456789-+:.TZ");
	to[0] = '\0';
	if (n >= 20 && n < 40 && !from[n])
		memcpy(to, from, n + 1);
}

static bool read_layer(const json_t *j, struct cachefile_layer *ret)
{
	const json_t *notes = json_object_get(j, "annotations");
	const char *blob = manifest_digest_hex(json_get_str(j, "blob", "")), *diff_id = manifest_digest_hex(json_get_str(notes, "diffID", ""));
	*ret = (struct cachefile_layer){ .blob_bytes = (uint64_t)MAX(json_get_int(notes, "size", 0), 0) };
	if (!blob || !diff_id)
		return false;
	memcpy(ret->digest, blob, sizeof(ret->digest));
	memcpy(ret->diff_id, diff_id, sizeof(ret->diff_id));
	snprintf(ret->type, sizeof(ret->type), "%.127s", json_get_str(notes, "mediaType", ""));
	copy_time(ret->created, json_get_str(notes, "createdAt", ""));
	return true;
}

static int read_layers(const json_t *list, struct cachefile *f, struct err *err)
{
	const json_t *item;
	size_t i;
	if (json_array_size(list) > CACHEFILE_MAX_LAYERS)
		return err_set(err, ERR_CORRUPT, "more than %d layers", CACHEFILE_MAX_LAYERS);
	json_array_foreach(list, i, item) {
		f->layers = vec_grow(f->layers, f->n_layers, &f->cap_layers, sizeof(*f->layers));
		read_layer(item, &f->layers[f->n_layers]); /* one that says too little stays, so that the others keep their places */
		f->n_layers++;
	}
	return 0;
}

/* The layer of a record: the first one, when it has a diffID. */
static bool record_layer(const struct cachefile *f, const json_t *record, size_t *ret_layer, const char **ret_created)
{
	const json_t *one = json_array_get(json_object_get(record, "layers"), 0);
	const int64_t i = json_get_int(one, "layer", json_is_object(one) ? 0 : -1);
	if (i < 0 || (uint64_t)i >= f->n_layers || !f->layers[i].diff_id[0])
		return false;
	*ret_layer = (size_t)i;
	*ret_created = json_get_str(one, "createdAt", "");
	return true;
}

static void take_entry(struct cachefile *f, const char *op, const char *below, const char *created, size_t layer)
{
	char when[40];
	if (f->n_entries >= CACHEFILE_MAX_ENTRIES)
		return;
	copy_time(when, created);
	f->entries = vec_grow(f->entries, f->n_entries, &f->cap_entries, sizeof(*f->entries));
	f->entries[f->n_entries] = (struct cachefile_entry){ .layer = layer };
	memcpy(f->entries[f->n_entries].op, op, strlen(op) + 1);
	memcpy(f->entries[f->n_entries].below, below, strlen(below) + 1);
	memcpy(f->entries[f->n_entries++].created, when, sizeof(when));
}

/* The digest that an input leads to: a record without inputs. NULL: it is none of ours. */
static const char *linked(const json_t *records, const json_t *link)
{
	const int64_t i = json_get_int(link, "link", json_is_object(link) ? 0 : -1);
	const json_t *to = i < 0 ? NULL : json_array_get(records, (size_t)i);
	if (*json_get_str(link, "selector", "") || json_array_size(json_object_get(to, "inputs")) > 0)
		return NULL;
	return manifest_digest_hex(json_get_str(to, "digest", ""));
}

static int read_records(const json_t *records, struct cachefile *f, struct err *err)
{
	const json_t *record;
	size_t i, k;
	if (!json_is_array(records) || json_array_size(records) > MAX_RECORDS)
		return err_set(err, ERR_CORRUPT, "its records are no list, or too many");
	json_array_foreach(records, i, record) {
		const json_t *inputs = json_object_get(record, "inputs"), *link;
		const char *op = manifest_digest_hex(json_get_str(record, "digest", "")), *created = "";
		size_t layer = 0;
		if (!op || json_array_size(inputs) > 1 || !record_layer(f, record, &layer, &created))
			continue;
		if (json_array_size(inputs) == 0)
			take_entry(f, op, "", created, layer);
		json_array_foreach(json_array_get(inputs, 0), k, link) {
			const char *below = linked(records, link);
			if (below)
				take_entry(f, op, below, created, layer);
		}
	}
	return 0;
}

int cachefile_parse(const char *text, size_t n, struct cachefile *ret, struct err *err)
{
	AUTO_JSON json_t *j = json_loadb(text, n, 0, NULL);
	if (!json_is_object(j))
		return err_set(err, ERR_CORRUPT, "the cache's document is no JSON object");
	return read_layers(json_object_get(j, "layers"), ret, err) < 0 || read_records(json_object_get(j, "records"), ret, err) < 0 ? -1 : 0;
}

int cachefile_parse_inline(const json_t *config, struct cachefile *f, struct err *err)
{
	const char *text = json_get_str(config, CACHEFILE_INLINE, "");
	const size_t n = strlen(text);
	AUTO_FREE unsigned char *plain = NULL;
	AUTO_JSON json_t *records = NULL;
	int len;
	if (n == 0)
		return 1;
	if (n > CACHEFILE_MAX_BYTES)
		return err_set(err, ERR_CORRUPT, "the image's cache record is too long");
	plain = xcalloc(n / 4 + 1, 3);
	len = n % 4 ? -1 : EVP_DecodeBlock(plain, (const unsigned char *)text, (int)n);
	if (len < 0)
		return err_set(err, ERR_CORRUPT, "the image's cache record is no base64");
	len -= str_ends(text, "==") ? 2 : str_ends(text, "=") ? 1 : 0;
	records = json_loadb((const char *)plain, (size_t)len, 0, NULL);
	return read_records(records, f, err);
}

/* ---- writing ---- */

static json_t *digest_text(const char *hex)
{
	AUTO_FREE char *text = xasprintf("sha256:%s", hex);
	return json_string(text);
}

static json_t *make_layer(const struct cachefile_layer *l)
{
	json_t *j = json_object(), *notes = json_object();
	json_object_set_new(j, "blob", digest_text(l->digest));
	json_put_int(j, "parent", -1);
	json_put_str(notes, "mediaType", l->type);
	json_object_set_new(notes, "diffID", digest_text(l->diff_id));
	json_put_int(notes, "size", (int64_t)l->blob_bytes);
	if (*l->created)
		json_put_str(notes, "createdAt", l->created);
	json_object_set_new(j, "annotations", notes);
	return j;
}

/* The record's index in the list that stands for these contents, made when it is new. */
static size_t input_record(json_t *records, struct map *known, const char *below)
{
	const size_t i = (size_t)map_get(known, below);
	json_t *j;
	if (i)
		return i - 1;
	j = json_object();
	json_object_set_new(j, "digest", digest_text(below));
	json_array_append_new(records, j);
	map_put(known, below, (void *)json_array_size(records)); /* NOLINT: a number */
	return json_array_size(records) - 1;
}

static json_t *make_records(const struct cachefile *f)
{
	AUTO_MAP struct map known = {0};
	json_t *records = json_array();
	for (size_t i = 0; i < f->n_entries; i++) {
		const struct cachefile_entry *e = &f->entries[i];
		json_t *j = json_object(), *result = json_object();
		json_object_set_new(j, "digest", digest_text(e->op));
		if (*e->below)
			json_object_set_new(j, "inputs", json_pack("[[{s:I}]]", "link", (json_int_t)input_record(records, &known, e->below)));
		json_put_int(result, "layer", (int64_t)e->layer);
		if (*e->created)
			json_put_str(result, "createdAt", e->created);
		json_object_set_new(j, "layers", json_pack("[o]", result));
		json_array_append_new(records, j);
	}
	return records;
}

char *cachefile_make(const struct cachefile *f)
{
	AUTO_JSON json_t *j = json_object();
	json_t *layers = json_array();
	for (size_t i = 0; i < f->n_layers; i++)
		json_array_append_new(layers, make_layer(&f->layers[i]));
	json_object_set_new(j, "layers", layers);
	json_object_set_new(j, "records", make_records(f));
	return json_canonical(j);
}

char *cachefile_make_inline(const struct cachefile *f)
{
	AUTO_JSON json_t *records = f->n_entries ? make_records(f) : NULL;
	AUTO_FREE char *text = records ? json_canonical(records) : NULL;
	char *out;
	if (!text)
		return NULL;
	out = xcalloc(strlen(text) / 3 + 2, 4);
	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)strlen(text));
	return out;
}
