/* SPDX-License-Identifier: Apache-2.0 */
/* Both forms come down to the same thing, an image_plan: a configuration and, bottom to top, a member and what it must hash to.
 * manifest.json is looked at first, as archives of newer docker versions hold both forms and their names are in it. Platforms:
 * of an index, the manifest for this machine; an index or archive without one is an error, never a silent choice. */
#include "images/load.h"

#include <stdio.h>

#include "images/bundle.h"
#include "spec/imageref.h"

enum { MAX_JSON_BYTES = 8 << 20, MAX_IMAGES = 1000, MAX_REFS = 1000, MAX_DEPTH = 4, MAX_TRIES = 3 };

struct loader {
	const struct work *w;
	struct bundle bundle;
	size_t n_loaded, n_other_platform;
	uint64_t layer_bytes;        /* of the layers that are done, for progress */
};

struct layer_plan {
	const struct member *member;
	char digest[65];             /* of the blob; "" when the archive does not say */
};

struct image_plan {
	struct str config;
	struct strv refs;            /* canonical */
	struct layer_plan layers[IMAGE_MAX_LAYERS];
	size_t n_layers;
};

static void plan_done(struct image_plan *p)
{
	str_done(&p->config);
	strv_done(&p->refs);
	free(p);
}

static json_t *parse_json(const struct str *text, const char *what, struct err *err)
{
	json_error_t je;
	json_t *j = json_loadb(str_get(text), text->len, JSON_REJECT_DUPLICATES, &je);
	if (!j)
		err_set(err, ERR_CORRUPT, "%s: not JSON (line %d)", what, je.line);
	return j;
}

/* The digits of "sha256:<64 digits>" or NULL. */
static const char *digest_hex(const char *digest)
{
	const char *hex = digest && str_starts(digest, "sha256:") ? digest + strlen("sha256:") : NULL;
	return hex && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64 ? hex : NULL;
}

/* The digest that a name promises: "blobs/sha256/<hex>", "<hex>.json", "<hex>.tar". "" when it promises none. */
static void digest_of_name(const char *name, char ret[static 65])
{
	const char *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	size_t n = strspn(base, "0123456789abcdef");
	ret[0] = '\0';
	if (n == 64 && ((base[n] == '\0' && str_starts(name, "blobs/sha256/")) || strcmp(base + n, ".json") == 0))
		snprintf(ret, 65, "%.64s", base);
}

static int check_digest(const struct str *text, const char *hex, struct err *err)
{
	char got[65];
	sha256_hex(str_get(text), text->len, got);
	if (strcmp(got, hex) != 0)
		return err_set(err, ERR_CORRUPT, "digest is sha256:%.16s…, not sha256:%.16s…", got, hex);
	return 0;
}

static int add_ref(struct image_plan *p, const char *name, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref = {0};
	if (p->refs.n == MAX_REFS)
		return err_set(err, ERR_INVALID, "more than the %d names allowed", MAX_REFS);
	if (imageref_parse(name, a, &ref, err) < 0)
		return -1;
	if (!ref.digest && !strv_has(&p->refs, imageref_full(&ref, a)))
		strv_push(&p->refs, imageref_full(&ref, a));
	return 0;
}

/* ---- committing a plan ---- */

struct unpacked {
	struct store_new_layer layers[IMAGE_MAX_LAYERS];
	int lock_fds[IMAGE_MAX_LAYERS];
	size_t n;
};

static bool is_unpacked(const struct unpacked *u, const char *diff_id)
{
	for (size_t i = 0; i < u->n; i++)
		if (strcmp(u->layers[i].diff_id, diff_id) == 0)
			return true;
	return false;
}

static int unpack_layers(struct loader *l, const struct image_plan *p, const struct image *img, struct unpacked *u, struct err *err)
{
	for (size_t i = 0; i < p->n_layers; i++) {
		const struct layer_plan *layer = &p->layers[i];
		const char *diff_id = img->diff_ids.v[i];
		struct bundle_cursor cursor;
		struct stream_source src;
		struct work w = *l->w;
		int64_t ignored;
		if (store_has_layer(w.store, diff_id) || is_unpacked(u, diff_id))
			continue;
		if (!layer->member)
			return err_set(err, ERR_NOT_FOUND, "layer %zu (sha256:%.16s…) is not in the archive", i + 1, diff_id);
		src = bundle_source(&l->bundle, layer->member, &cursor);
		w.done_before = l->bundle.spooled + l->layer_bytes;
		w.total_bytes = l->bundle.spooled + l->bundle.bytes;
		l->layer_bytes += layer->member->size;
		if (work_unpack(&w, &src, diff_id, layer->digest[0] ? layer->digest : NULL, &u->layers[u->n], &u->lock_fds[u->n],
			&ignored, err) < 0)
			return err_wrap(err, "layer %zu", i + 1);
		u->n++;
	}
	return 0;
}

/* Unpacks what is missing and commits. Returns as store_commit_image(). */
static int try_load(struct loader *l, const struct image_plan *p, const struct image *img, struct err *err)
{
	struct unpacked *u = xcalloc(1, sizeof(*u));
	char id[65];
	int rc = unpack_layers(l, p, img, u, err);
	if (rc == 0)
		rc = store_commit_image(l->w->store, str_get(&p->config), p->config.len, u->layers, u->n, p->refs.v, p->refs.n, id, err);
	for (size_t i = 0; i < u->n; i++) {
		if (rc < 0)
			store_abandon_layer(l->w->store, u->layers[i].tmp_name);
		close(u->lock_fds[i]);
	}
	free(u);
	return rc;
}

static void tell_loaded(struct loader *l, const struct image_plan *p, const char *id)
{
	const struct work_listener *to = l->w->listener;
	AUTO_ARENA struct arena *a = arena_new();
	for (size_t i = 0; i < p->refs.n; i++) {
		struct imageref ref = {0};
		bool ok = imageref_parse(p->refs.v[i], a, &ref, NULL) == 0;
		to->loaded(to->arg, ok ? imageref_familiar(&ref, a) : p->refs.v[i], id);
	}
	if (p->refs.n == 0)
		to->loaded(to->arg, NULL, id);
}

static int load_plan(struct loader *l, const struct image_plan *p, struct err *err)
{
	AUTO_IMAGE struct image img = {0};
	int rc = -1;
	if (image_config_parse(str_get(&p->config), p->config.len, &img, err) < 0)
		return -1;
	if (img.diff_ids.n != p->n_layers)
		return err_set(err, ERR_CORRUPT, "the configuration lists %zu layers, the manifest %zu", img.diff_ids.n, p->n_layers);
	for (int tries = 0; rc < 0 && tries < MAX_TRIES; tries++) {
		rc = try_load(l, p, &img, err);
		if (rc < 0 && err->code != ERR_CONFLICT)
			return -1;
	}
	if (rc < 0)
		return -1;
	l->n_loaded++;
	tell_loaded(l, p, img.id);
	return 0;
}

/* ---- docker-archive ---- */

static int docker_config(struct loader *l, const json_t *item, struct image_plan *p, struct err *err)
{
	const char *name = json_get_str(item, "Config", "");
	const struct member *m = bundle_find(&l->bundle, name);
	char hex[65];
	if (!m)
		return err_set(err, ERR_CORRUPT, "the configuration that manifest.json names is not in the archive");
	if (bundle_read(&l->bundle, m, IMAGE_MAX_CONFIG_BYTES, &p->config, err) < 0)
		return err_wrap(err, "configuration");
	digest_of_name(name, hex);
	return hex[0] && check_digest(&p->config, hex, err) < 0 ? err_wrap(err, "configuration") : 0;
}

static int docker_image(struct loader *l, json_t *item, struct image_plan *p, struct err *err)
{
	json_t *layers = json_object_get(item, "Layers"), *tags = json_object_get(item, "RepoTags"), *v;
	size_t i;
	if (docker_config(l, item, p, err) < 0)
		return -1;
	if (json_array_size(layers) > IMAGE_MAX_LAYERS)
		return err_set(err, ERR_INVALID, "more than the %d layers allowed", IMAGE_MAX_LAYERS);
	json_array_foreach(layers, i, v) {
		const char *name = json_is_string(v) ? json_string_value(v) : "";
		p->layers[i].member = bundle_find(&l->bundle, name);
		digest_of_name(name, p->layers[i].digest);
	}
	p->n_layers = json_array_size(layers);
	json_array_foreach(tags, i, v)
		if (!json_is_string(v) || add_ref(p, json_string_value(v), err) < 0)
			return err_wrap(err, "RepoTags");
	return load_plan(l, p, err);
}

static int load_docker(struct loader *l, const struct member *manifest, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *doc = NULL;
	json_t *item;
	size_t i;
	if (bundle_read(&l->bundle, manifest, MAX_JSON_BYTES, &text, err) < 0 || !(doc = parse_json(&text, "manifest.json", err)))
		return -1;
	if (!json_is_array(doc) || json_array_size(doc) > MAX_IMAGES)
		return err_set(err, ERR_CORRUPT, "manifest.json: not a list of at most %d images", MAX_IMAGES);
	json_array_foreach(doc, i, item) {
		struct image_plan *p = xcalloc(1, sizeof(*p));
		int rc = docker_image(l, item, p, err);
		plan_done(p);
		if (rc < 0)
			return err_wrap(err, "image %zu of the archive", i + 1);
	}
	return 0;
}

/* ---- OCI archive ---- */

/* The blob of a descriptor: its digest's digits to ret_hex, its member to *ret (NULL when it is not in the archive). */
static int oci_member(struct loader *l, const json_t *desc, char ret_hex[static 65], const struct member **ret, struct err *err)
{
	const char *hex = digest_hex(json_get_str(desc, "digest", NULL));
	char name[96];
	if (!hex)
		return err_set(err, ERR_UNSUPPORTED, "a descriptor without a sha256 digest");
	snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
	snprintf(ret_hex, 65, "%s", hex);
	*ret = bundle_find(&l->bundle, name);
	if (*ret && json_get_int(desc, "size", -1) != (int64_t)(*ret)->size)
		return err_set(err, ERR_CORRUPT, "blob sha256:%.16s… has not the size its descriptor gives", hex);
	return 0;
}

/* Reads and checks a small blob. */
static int oci_read(struct loader *l, const json_t *desc, struct str *ret, struct err *err)
{
	const struct member *m = NULL;
	char hex[65];
	if (oci_member(l, desc, hex, &m, err) < 0)
		return -1;
	if (!m)
		return err_set(err, ERR_CORRUPT, "blob sha256:%.16s… is not in the archive", hex);
	if (bundle_read(&l->bundle, m, MAX_JSON_BYTES, ret, err) < 0 || check_digest(ret, hex, err) < 0)
		return err_wrap(err, "blob sha256:%.16s…", hex);
	return 0;
}

/* True when the descriptor is for this machine, or does not say. */
static bool oci_fits(const json_t *desc)
{
	const json_t *platform = json_object_get(desc, "platform"), *notes = json_object_get(desc, "annotations");
	if (json_object_get(notes, "vnd.docker.reference.type"))
		return false; /* an attestation about another manifest */
	return !platform || (strcmp(json_get_str(platform, "os", "linux"), "linux") == 0 &&
		strcmp(json_get_str(platform, "architecture", ""), image_config_host_arch()) == 0);
}

/* The name that an index.json entry carries: containerd's is complete; the common one may be a bare tag, which names nothing. */
static int oci_names(struct image_plan *p, const json_t *desc, struct err *err)
{
	const json_t *notes = json_object_get(desc, "annotations");
	const char *full = json_get_str(notes, "io.containerd.image.name", NULL);
	const char *name = json_get_str(notes, "org.opencontainers.image.ref.name", NULL);
	if (full)
		return add_ref(p, full, err);
	return name && strpbrk(name, ":/") ? add_ref(p, name, err) : 0;
}

static int oci_layers(struct loader *l, json_t *layers, struct image_plan *p, struct err *err)
{
	json_t *desc;
	size_t i;
	if (!json_is_array(layers) || json_array_size(layers) > IMAGE_MAX_LAYERS)
		return err_set(err, ERR_INVALID, "manifest: \"layers\" is not a list of at most %d", IMAGE_MAX_LAYERS);
	json_array_foreach(layers, i, desc) {
		const char *type = json_get_str(desc, "mediaType", "");
		if (!strstr(type, ".tar") || strstr(type, "encrypted"))
			return err_set(err, ERR_UNSUPPORTED, "manifest: layer %zu is of a type that is not supported", i + 1);
		if (oci_member(l, desc, p->layers[i].digest, &p->layers[i].member, err) < 0)
			return err_wrap(err, "layer %zu", i + 1);
	}
	p->n_layers = i;
	return 0;
}

static int oci_manifest(struct loader *l, const json_t *manifest, const json_t *top, struct err *err)
{
	const json_t *config = json_object_get(manifest, "config");
	const char *type = json_get_str(config, "mediaType", "");
	struct image_plan *p;
	int rc;
	if (strcmp(type, "application/vnd.oci.image.config.v1+json") != 0 &&
	    strcmp(type, "application/vnd.docker.container.image.v1+json") != 0)
		return err_set(err, ERR_UNSUPPORTED, "the archive holds something other than an image");
	p = xcalloc(1, sizeof(*p));
	rc = oci_read(l, config, &p->config, err);
	if (rc == 0)
		rc = oci_layers(l, json_object_get(manifest, "layers"), p, err);
	if (rc == 0)
		rc = oci_names(p, top, err);
	if (rc == 0)
		rc = load_plan(l, p, err);
	plan_done(p);
	return rc;
}

/* One descriptor of a manifest or an index; top: the entry of index.json, which has the name. */
static int oci_descriptor(struct loader *l, const json_t *desc, const json_t *top, int depth, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *doc = NULL;
	json_t *list, *child;
	size_t i;
	if (!oci_fits(desc)) {
		l->n_other_platform++;
		return 0;
	}
	if (depth == MAX_DEPTH)
		return err_set(err, ERR_INVALID, "indexes within indexes, too deep");
	if (oci_read(l, desc, &text, err) < 0 || !(doc = parse_json(&text, "manifest", err)))
		return -1;
	list = json_object_get(doc, "manifests");
	if (!list)
		return oci_manifest(l, doc, top, err);
	json_array_foreach(list, i, child) {
		size_t before = l->n_loaded;
		if (i == MAX_IMAGES)
			return err_set(err, ERR_INVALID, "more than the %d images allowed", MAX_IMAGES);
		if (oci_descriptor(l, child, top, depth + 1, err) < 0)
			return -1;
		if (l->n_loaded > before)
			break; /* an index is one image in several forms */
	}
	return 0;
}

static int load_oci(struct loader *l, const struct member *index, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *doc = NULL;
	json_t *list, *desc;
	size_t i;
	if (bundle_read(&l->bundle, index, MAX_JSON_BYTES, &text, err) < 0 || !(doc = parse_json(&text, "index.json", err)))
		return -1;
	list = json_object_get(doc, "manifests");
	if (!json_is_array(list) || json_array_size(list) > MAX_IMAGES)
		return err_set(err, ERR_CORRUPT, "index.json: no list of at most %d manifests", MAX_IMAGES);
	json_array_foreach(list, i, desc)
		if (oci_descriptor(l, desc, desc, 0, err) < 0)
			return err_wrap(err, "image %zu of the archive", i + 1);
	return 0;
}

int load_archive(const struct work *w, struct err *err)
{
	struct loader l = { .w = w };
	const struct member *m;
	int rc = bundle_open(w, &l.bundle, err);
	if (rc == 0 && (m = bundle_find(&l.bundle, "manifest.json")))
		rc = load_docker(&l, m, err);
	else if (rc == 0 && (m = bundle_find(&l.bundle, "index.json")))
		rc = load_oci(&l, m, err);
	else if (rc == 0)
		rc = err_set(err, ERR_INVALID, "neither a docker-archive nor an OCI archive: no manifest.json and no index.json in it"
			" (a root file system is for import)");
	if (rc == 0 && l.n_loaded == 0 && l.n_other_platform)
		rc = err_set(err, ERR_NOT_FOUND, "the archive has no image for linux/%s", image_config_host_arch());
	else if (rc == 0 && l.n_loaded == 0)
		rc = err_set(err, ERR_INVALID, "the archive holds no image");
	bundle_done(&l.bundle);
	return rc < 0 ? err_wrap(err, "load") : 0;
}
