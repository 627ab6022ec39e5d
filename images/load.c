/* SPDX-License-Identifier: Apache-2.0 */
/* Both forms come down to the same thing, an image_plan: a configuration and, bottom to top, a member and what it must hash to.
 * manifest.json is looked at first, as archives of newer docker versions hold both forms and their names are in it. Platforms:
 * of an index, the manifest for this machine; an index or archive without one is an error, never a silent choice. The layers of an
 * image are read side by side, as a plain archive can be read anywhere. */
#include "images/load.h"

#include <pthread.h>
#include <stdio.h>

#include "images/bundle.h"
#include "images/crew.h"
#include "images/decode.h"
#include "images/manifest.h"
#include "spec/imageref.h"

enum { MAX_JSON_BYTES = 8 << 20, MAX_IMAGES = 1000, MAX_REFS = 1000, MAX_DEPTH = 4, MAX_TRIES = 3, LOAD_HANDS = 6 };

struct loader {
	const struct work *w;
	struct bundle bundle;
	struct platform platform;    /* that is wanted */
	size_t n_loaded, n_other_platform;
	pthread_mutex_t lock;        /* of layer_bytes, and so that what is told of it never goes back */
	uint64_t layer_bytes;        /* read of all layers so far, for progress */
};

struct layer_plan {
	const struct member *member;
	char digest[65];             /* of the blob; "" when the archive does not say */
	char kept[65];               /* of the blob that is in the layout now; "" when it was not to be kept */
	uint64_t kept_bytes;
	const char *kept_type;
};

struct image_plan {
	struct str config;
	struct strv refs;            /* canonical */
	struct layer_plan layers[IMAGE_MAX_LAYERS];
	size_t n_layers;
	struct str manifest;         /* as the archive has it; empty: it has none, then one is made of what was kept */
	const char *manifest_type;
	bool keep;                   /* the image has no manifest in the store yet */
};

static void plan_done(struct image_plan *p)
{
	str_done(&p->config);
	strv_done(&p->refs);
	str_done(&p->manifest);
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
	struct store_new_layer layers[IMAGE_MAX_LAYERS]; /* without a name: not unpacked by us */
	int lock_fds[IMAGE_MAX_LAYERS];
};

/* An image that is being loaded, and the layer that one hand is at. */
struct load_job {
	struct loader *l;
	struct image_plan *p;
	const struct image *img;
	struct unpacked *u;
	struct crew crew;
};

struct layer_job {
	struct load_job *load;
	size_t i;
	uint64_t told;               /* bytes of it that are in the loader's sum */
};

/* The first layer of the image that is the same one. */
static size_t first_of(const struct image *img, size_t i)
{
	size_t k = 0;
	while (strcmp(img->diff_ids.v[k], img->diff_ids.v[i]) != 0)
		k++;
	return k;
}

static void layer_progress(void *arg, uint64_t done, uint64_t total)
{
	struct layer_job *j = arg;
	struct loader *l = j->load->l;
	const struct work_listener *to = l->w->listener;
	pthread_mutex_lock(&l->lock);
	l->layer_bytes += done - j->told;
	j->told = done;
	to->progress(to->arg, l->bundle.spooled + l->layer_bytes, total);
	pthread_mutex_unlock(&l->lock);
}

static void layer_warning(void *arg, const char *text)
{
	const struct layer_job *j = arg;
	const struct work_listener *to = j->load->l->w->listener;
	pthread_mutex_lock(&j->load->l->lock);
	to->warning(to->arg, text);
	pthread_mutex_unlock(&j->load->l->lock);
}

/* A member as a stream. What registries do not take (xz, bzip2) is decompressed before it is kept. */
struct member_source {
	struct bundle_cursor cursor;
	struct stream_source plain;
	const struct crew *crew;     /* whose failure ends the reading; NULL: none */
	struct decode *decode;
	enum decode_kind kind;
};

static ssize_t read_member(void *arg, void *buf, size_t n, struct err *err)
{
	struct member_source *m = arg;
	if (m->crew && crew_failed(m->crew))
		return err_set(err, ERR_SYS, "given up, as another layer failed");
	return m->plain.read(m->plain.arg, buf, n, err);
}

static ssize_t read_decoded(void *arg, void *buf, size_t n, struct err *err)
{
	struct member_source *m = arg;
	return decode_read(m->decode, buf, n, err);
}

static int open_member(struct loader *l, const struct member *member, struct member_source *m, struct stream_source *ret, struct err *err)
{
	unsigned char head[DECODE_PEEK];
	ssize_t n;
	m->plain = bundle_source(&l->bundle, member, &m->cursor);
	n = m->plain.read(m->plain.arg, head, sizeof(head), err);
	if (n < 0)
		return -1;
	m->plain = bundle_source(&l->bundle, member, &m->cursor);
	*ret = (struct stream_source){ .read = read_member, .arg = m, .wait_fd = -1 };
	m->kind = decode_sniff(head, (size_t)n);
	if (m->kind != DECODE_XZ && m->kind != DECODE_BZIP2)
		return 0;
	if (decode_new(m->kind, ret, &m->decode, err) < 0)
		return -1;
	m->kind = DECODE_NONE;
	*ret = (struct stream_source){ .read = read_decoded, .arg = m, .wait_fd = -1 };
	return 0;
}

static const char *layer_type(enum decode_kind kind)
{
	return pack_media_type(kind == DECODE_GZIP ? PACK_GZIP : kind == DECODE_ZSTD ? PACK_ZSTD : PACK_PLAIN);
}

/* Unpacks, unless the layer is there, and keeps, when part is not NULL. */
static int take_layer(struct layer_job *j, struct oci_part *part, bool have, struct work_layer *ret, struct err *err)
{
	struct loader *l = j->load->l;
	const struct layer_plan *layer = &j->load->p->layers[j->i];
	const struct work_listener listener = { .arg = j, .progress = layer_progress, .warning = layer_warning };
	struct member_source m = { .crew = &j->load->crew };
	struct unpacked *u = j->load->u;
	struct work w = { .store = l->w->store, .listener = &listener, .input_fd = -1, .total_bytes = l->bundle.spooled + l->bundle.bytes };
	int rc;
	*ret = (struct work_layer){ .expect_diff_id = j->load->img->diff_ids.v[j->i], .keep = part };
	if (open_member(l, layer->member, &m, &ret->src, err) < 0)
		return -1;
	if (layer->digest[0] && !m.decode)
		ret->expect_digest = layer->digest;
	rc = have ? work_keep(&w, ret, err) : work_unpack(&w, ret, &u->layers[j->i], &u->lock_fds[j->i], err);
	decode_free(m.decode);
	return rc;
}

/* What the layout has now in place of the member. */
static void note_kept(struct loader *l, struct layer_plan *layer, const char *hex)
{
	struct member_source m = {0};
	struct stream_source ignored;
	snprintf(layer->kept, sizeof(layer->kept), "%s", hex);
	oci_has(store_oci(l->w->store), hex, &layer->kept_bytes);
	layer->kept_type = open_member(l, layer->member, &m, &ignored, NULL) < 0 ? "" : layer_type(m.kind);
	decode_free(m.decode);
}

/* A layer that is the same as an earlier one must come when that one is done. */
static int load_layer(struct load_job *load, size_t i, struct err *err)
{
	struct loader *l = load->l;
	struct image_plan *p = load->p;
	struct layer_job j = { .load = load, .i = i };
	struct layer_plan *layer = &p->layers[i];
	const char *diff_id = load->img->diff_ids.v[i], *hex = layer->digest[0] ? layer->digest : NULL;
	struct oci *oci = store_oci(l->w->store);
	struct oci_part part = { .fd = -1 };
	struct work_layer taken;
	bool have = store_has_layer(l->w->store, diff_id) || first_of(load->img, i) != i;
	int rc = 1;
	if (have && (!p->keep || !layer->member))
		return 0;
	if (!layer->member)
		return err_set(err, ERR_NOT_FOUND, "layer %zu (sha256:%.16s…) is not in the archive", i + 1, diff_id);
	if (p->keep)
		rc = oci_begin(oci, hex, &part, err);
	if (rc == 0 && oci_restart(&part, err) < 0)
		rc = -1;
	if (rc == 1 && p->keep && hex)
		note_kept(l, layer, hex);
	if (rc == 1 && have)
		return 0;
	if (rc >= 0 && take_layer(&j, rc == 0 ? &part : NULL, have, &taken, err) < 0)
		rc = -1;
	if (rc >= 0)
		layer_progress(&j, layer->member->size, l->bundle.spooled + l->bundle.bytes);
	if (rc == 0 && (rc = oci_commit(oci, &part, taken.digest, err)) == 0)
		note_kept(l, layer, taken.digest);
	oci_discard(oci, &part);
	return rc < 0 ? -1 : 0;
}

static int load_job(void *arg, size_t hand, size_t i, struct err *err)
{
	struct load_job *load = arg;
	(void)hand;
	if (first_of(load->img, i) == i && load_layer(load, i, err) < 0)
		return err_wrap(err, "layer %zu", i + 1);
	return 0;
}

static int load_layers(struct load_job *load, struct err *err)
{
	uint64_t sizes[IMAGE_MAX_LAYERS];
	for (size_t i = 0; i < load->p->n_layers; i++)
		sizes[i] = load->p->layers[i].member ? load->p->layers[i].member->size : 0;
	if (crew_run(&load->crew, LOAD_HANDS, sizes, load->p->n_layers, load_job, load, err) < 0)
		return -1;
	for (size_t i = 0; i < load->p->n_layers; i++)
		if (first_of(load->img, i) != i && load_layer(load, i, err) < 0)
			return err_wrap(err, "layer %zu", i + 1);
	return 0;
}

/* A manifest of what was kept, when the archive has none and everything was. */
static void make_manifest(struct image_plan *p, const struct image *img)
{
	struct descriptor config = { .size = p->config.len, .type = "application/vnd.oci.image.config.v1+json" };
	struct descriptor *layers = xcalloc(p->n_layers, sizeof(*layers));
	AUTO_FREE char *text = NULL;
	size_t n = 0;
	snprintf(config.digest, sizeof(config.digest), "sha256:%s", img->id);
	while (n < p->n_layers && p->layers[n].kept[0]) {
		snprintf(layers[n].digest, sizeof(layers[n].digest), "sha256:%s", p->layers[n].kept);
		snprintf(layers[n].type, sizeof(layers[n].type), "%s", p->layers[n].kept_type);
		layers[n].size = p->layers[n].kept_bytes;
		n++;
	}
	if (n == p->n_layers) {
		text = manifest_make(&config, layers, n);
		str_add(&p->manifest, text);
		p->manifest_type = OCI_MANIFEST;
	}
	free(layers);
}

/* True when the image has a manifest in the layout and everything that it names. */
static bool is_complete(struct store *s, const char *id)
{
	AUTO_MAP struct map blobs = {0};
	if (store_image_blobs(s, id, &blobs) != 0)
		return false;
	for (struct map_entry *e = map_next(&blobs, NULL); e; e = map_next(&blobs, e))
		if (!oci_has(store_oci(s), e->key, NULL))
			return false;
	return true;
}

/* Unpacks what is missing and commits. Returns as store_commit(). */
static int try_load(struct loader *l, struct image_plan *p, const struct image *img, struct err *err)
{
	struct unpacked *u = xcalloc(1, sizeof(*u));
	struct load_job load = { .l = l, .p = p, .img = img, .u = u };
	struct store_commit c = { .config = str_get(&p->config), .n_config = p->config.len, .layers = u->layers, .refs = p->refs.v, .n_refs = p->refs.n };
	char id[65];
	int rc;
	for (size_t i = 0; i < p->n_layers; i++)
		u->lock_fds[i] = -1;
	p->keep = !is_complete(l->w->store, img->id);
	rc = load_layers(&load, err);
	if (rc == 0 && p->keep && !p->manifest.len)
		make_manifest(p, img);
	if (p->keep && p->manifest.len) {
		c.manifest = str_get(&p->manifest);
		c.n_manifest = p->manifest.len;
		c.manifest_type = p->manifest_type;
	}
	c.n_layers = p->n_layers;
	if (rc == 0)
		rc = store_commit(l->w->store, &c, id, err);
	for (size_t i = 0; i < p->n_layers; i++) {
		if (rc < 0)
			store_abandon_layer(l->w->store, u->layers[i].tmp_name);
		util_close(&u->lock_fds[i]);
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

static int load_plan(struct loader *l, struct image_plan *p, struct err *err)
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

/* ---- blobs of an archive ---- */

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

/* Keeps the manifest as it is, so that its digest is what it was; one that no registry would take is made anew. */
static void take_manifest(struct image_plan *p, struct str *text)
{
	static const struct platform any;
	struct manifest *m = xcalloc(1, sizeof(*m));
	struct descriptor ignored;
	if (manifest_parse(str_get(text), text->len, &any, m, &ignored, NULL) == 0) {
		p->manifest = *text;
		*text = (struct str){0};
		p->manifest_type = strcmp(m->type, DOCKER_MANIFEST) == 0 ? DOCKER_MANIFEST : OCI_MANIFEST;
	}
	free(m);
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

/* An archive that holds both forms: the manifest of this image, when its index names it and it says the same as manifest.json does. */
static void docker_manifest(struct loader *l, struct image_plan *p)
{
	const struct member *index = bundle_find(&l->bundle, "index.json");
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *doc = NULL;
	json_t *desc;
	size_t i;
	char id[65];
	sha256_hex(str_get(&p->config), p->config.len, id);
	if (!index || bundle_read(&l->bundle, index, MAX_JSON_BYTES, &text, NULL) < 0)
		return;
	doc = json_loadb(str_get(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
	json_array_foreach(json_object_get(doc, "manifests"), i, desc) {
		AUTO_STR struct str m = {0};
		AUTO_JSON json_t *manifest = NULL;
		json_t *config, *layers;
		size_t n = 0;
		if (i == MAX_IMAGES || oci_read(l, desc, &m, NULL) < 0)
			return;
		manifest = json_loadb(str_get(&m), m.len, JSON_REJECT_DUPLICATES, NULL);
		config = json_object_get(manifest, "config");
		layers = json_object_get(manifest, "layers");
		if (!str_eq(manifest_digest_hex(json_get_str(config, "digest", NULL)), id) || json_array_size(layers) != p->n_layers)
			continue;
		while (n < p->n_layers && str_eq(manifest_digest_hex(json_get_str(json_array_get(layers, n), "digest", NULL)), p->layers[n].digest))
			n++;
		if (n == p->n_layers)
			take_manifest(p, &m);
		return;
	}
}

static int docker_image(struct loader *l, json_t *item, struct image_plan *p, struct err *err)
{
	json_t *layers = json_object_get(item, "Layers"), *tags = json_object_get(item, "RepoTags"), *v;
	size_t i;
	if (docker_config(l, item, p, err) < 0)
		return -1;
	if (l->w->platform && *l->w->platform) {
		AUTO_IMAGE struct image img = {0};
		if (image_config_parse(str_get(&p->config), p->config.len, &img, err) < 0)
			return -1;
		if (strcmp(img.architecture, l->platform.architecture) != 0) {
			l->n_other_platform++;
			return 0;
		}
	}
	if (json_array_size(layers) > IMAGE_MAX_LAYERS)
		return err_set(err, ERR_INVALID, "more than the %d layers allowed", IMAGE_MAX_LAYERS);
	json_array_foreach(layers, i, v) {
		const char *name = json_is_string(v) ? json_string_value(v) : "";
		p->layers[i].member = bundle_find(&l->bundle, name);
		digest_of_name(name, p->layers[i].digest);
	}
	p->n_layers = json_array_size(layers);
	docker_manifest(l, p);
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

/* True when the descriptor is for the platform that is wanted, or does not say. */
static bool oci_fits(const struct loader *l, const json_t *desc)
{
	const json_t *platform = json_object_get(desc, "platform"), *notes = json_object_get(desc, "annotations");
	if (json_object_get(notes, "vnd.docker.reference.type"))
		return false; /* an attestation about another manifest */
	return !platform || (strcmp(json_get_str(platform, "os", "linux"), "linux") == 0 &&
		strcmp(json_get_str(platform, "architecture", ""), l->platform.architecture) == 0 &&
		(!*l->platform.variant || !*json_get_str(platform, "variant", "") ||
			strcmp(json_get_str(platform, "variant", ""), l->platform.variant) == 0));
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

/* text: of the manifest, taken over. */
static int oci_manifest(struct loader *l, const json_t *manifest, struct str *text, const json_t *top, struct err *err)
{
	const json_t *config = json_object_get(manifest, "config");
	const char *type = json_get_str(config, "mediaType", "");
	struct image_plan *p;
	int rc;
	if (strcmp(type, "application/vnd.oci.image.config.v1+json") != 0 &&
	    strcmp(type, "application/vnd.docker.container.image.v1+json") != 0)
		return err_set(err, ERR_UNSUPPORTED, "the archive holds something other than an image");
	p = xcalloc(1, sizeof(*p));
	take_manifest(p, text);
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
	if (!oci_fits(l, desc)) {
		l->n_other_platform++;
		return 0;
	}
	if (depth == MAX_DEPTH)
		return err_set(err, ERR_INVALID, "indexes within indexes, too deep");
	if (oci_read(l, desc, &text, err) < 0 || !(doc = parse_json(&text, "manifest", err)))
		return -1;
	list = json_object_get(doc, "manifests");
	if (!list)
		return oci_manifest(l, doc, &text, top, err);
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
	struct loader l = { .w = w, .lock = PTHREAD_MUTEX_INITIALIZER };
	const struct member *m;
	int rc = manifest_parse_platform(w->platform, &l.platform, err);
	if (rc == 0)
		rc = bundle_open(w, &l.bundle, err);
	/* manifest.json knows no platforms: of several it has one */
	if (rc == 0 && w->platform && *w->platform && (m = bundle_find(&l.bundle, "index.json")))
		rc = load_oci(&l, m, err);
	else if (rc == 0 && (m = bundle_find(&l.bundle, "manifest.json")))
		rc = load_docker(&l, m, err);
	else if (rc == 0 && (m = bundle_find(&l.bundle, "index.json")))
		rc = load_oci(&l, m, err);
	else if (rc == 0)
		rc = err_set(err, ERR_INVALID, "neither a docker-archive nor an OCI archive: no manifest.json and no index.json in it"
			" (a root file system is for import)");
	if (rc == 0 && l.n_loaded == 0 && l.n_other_platform)
		rc = err_set(err, ERR_NOT_FOUND, "the archive has no image for linux/%s", l.platform.architecture);
	else if (rc == 0 && l.n_loaded == 0)
		rc = err_set(err, ERR_INVALID, "the archive holds no image");
	bundle_done(&l.bundle);
	pthread_mutex_destroy(&l.lock);
	return rc < 0 ? err_wrap(err, "load") : 0;
}
