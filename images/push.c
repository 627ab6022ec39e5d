/* SPDX-License-Identifier: Apache-2.0 */
/* Each lane has a hand of images/crew.h, which packs a layer when it has to and sends it; the manifest goes last, when everything it
 * names is there. A layer that several images share has one blob: the manifests of all images of the store say
 * which. Packed layers are checked against their diffID: the directory of a layer that was pulled, but whose blob is lost, gives
 * another archive than the one it came from, and must not go out under the old name. */
#include "images/push.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "images/crew.h"
#include "images/manifest.h"
#include "spec/imageref.h"

enum { MAX_SOURCES = 8 };

struct push {
	const struct work *w;
	enum pack_codec codec;
	struct lane *lanes;
	size_t n_lanes;
	struct arena *arena;
	struct imageref ref;
	struct image img;
	struct image *images;             /* all of the store: whose blobs and repositories may help */
	size_t n_images;
	struct str config, manifest;
	char manifest_type[128], manifest_hex[65];
	struct descriptor layers[IMAGE_MAX_LAYERS];
	bool known[IMAGE_MAX_LAYERS];     /* the layout has a blob for it: layers[i] is filled */
	int *layer_fds;                   /* of the directories, opened while the image was surely there */
	size_t n_layers;
	struct crew crew;
};

struct layer_job {
	struct push *p;
	size_t i;
	struct lane *lane;
	int fd;                           /* of the blob that is being sent */
	uint64_t size, packed;
};

static void tell(const struct push *p, size_t i, enum work_layer_state state, uint64_t done, uint64_t total)
{
	const struct work_listener *to = p->w->listener;
	char digits[13];
	snprintf(digits, sizeof(digits), "%.12s", p->img.diff_ids.v[i]);
	to->layer(to->arg, digits, state, done, total);
}

/* ---- what the layout has ---- */

/* The layers' descriptors as the manifest of another (or this) image has them. */
static void learn_from(struct push *p, const struct image *other)
{
	AUTO_STR struct str text = {0};
	AUTO_FREE struct manifest *m = xcalloc(1, sizeof(*m));
	struct platform want = {0};
	struct descriptor ignored;
	snprintf(want.architecture, sizeof(want.architecture), "%s", other->architecture);
	if (store_manifest(p->w->store, other->id, &text, NULL, (char[128]){ 0 }, NULL) != 0 ||
	    manifest_parse(str_get(&text), text.len, &want, m, &ignored, NULL) != 0 || m->n_layers != other->diff_ids.n)
		return;
	for (size_t i = 0; i < p->n_layers; i++)
		for (size_t k = 0; k < m->n_layers && !p->known[i]; k++) {
			uint64_t bytes;
			const char *hex = manifest_digest_hex(m->layers[k].digest);
			if (strcmp(other->diff_ids.v[k], p->img.diff_ids.v[i]) != 0 || !hex ||
			    !oci_has(store_oci(p->w->store), hex, &bytes) || bytes != m->layers[k].size)
				continue;
			p->layers[i] = m->layers[k];
			p->known[i] = true;
		}
}

/* The image's own manifest, when it has one and all of its layers' blobs are there: then it goes out as it is. */
static int take_manifest(struct push *p, struct err *err)
{
	AUTO_FREE struct manifest *m = xcalloc(1, sizeof(*m));
	struct platform want = {0};
	struct descriptor ignored;
	int rc = store_manifest(p->w->store, p->img.id, &p->manifest, p->manifest_hex, p->manifest_type, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	snprintf(want.architecture, sizeof(want.architecture), "%s", p->img.architecture);
	if (manifest_parse(str_get(&p->manifest), p->manifest.len, &want, m, &ignored, err) != 0)
		return err_set(err, ERR_CORRUPT, "its manifest in the store is damaged");
	for (size_t i = 0; i < m->n_layers; i++)
		if (m->n_layers != p->n_layers || !oci_has(store_oci(p->w->store), manifest_digest_hex(m->layers[i].digest), NULL)) {
			str_clear(&p->manifest);
			return 0;
		}
	for (size_t i = 0; i < p->n_layers; i++) {
		p->layers[i] = m->layers[i];
		p->known[i] = true;
	}
	return 0;
}

/* Looks the image up and opens everything that must not vanish under our hands. */
static int find_image(struct push *p, const char *name, struct err *err)
{
	AUTO_CLOSE int lock = store_lock(p->w->store, STORE_SHARED, err);
	AUTO_FREE char *id = NULL;
	if (lock < 0 || store_lookup(p->w->store, name, &p->img, err) < 0)
		return -1;
	id = xasprintf("sha256:%s", p->img.id);
	if (store_open_layers(p->w->store, &p->img, &p->layer_fds, &p->n_layers, err) < 0 ||
	    store_read_config(p->w->store, p->img.id, &p->config, err) < 0 || store_list(p->w->store, &p->images, &p->n_images, err) < 0 ||
	    take_manifest(p, err) < 0)
		return -1;
	for (size_t i = 0; i < p->n_images && !p->manifest.len; i++)
		learn_from(p, &p->images[i]);
	return 0;
}

/* ---- packing ---- */

struct packing {
	struct layer_job *job;
	struct oci_part part;
};

static int take_packed(void *arg, const void *bytes, size_t n, struct err *err)
{
	struct packing *k = arg;
	if (crew_failed(&k->job->p->crew))
		return err_set(err, ERR_SYS, "given up, as another layer failed");
	k->job->packed += n;
	tell(k->job->p, k->job->i, WORK_LAYER_PREPARING, k->job->packed, 0);
	return failpoint_err("push.pack", err) < 0 ? -1 : oci_append(&k->part, bytes, n, err);
}

/* layers[i] from the layer's directory. */
static int pack(struct layer_job *j, struct err *err)
{
	struct push *p = j->p;
	struct oci *oci = store_oci(p->w->store);
	struct packing k = { .job = j };
	struct store_layer_info info;
	struct pack_options options = { .codec = p->codec };
	struct descriptor *d = &p->layers[j->i];
	struct pack_result packed;
	AUTO_CLOSE int dir = openat(p->layer_fds[j->i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;
	j->packed = 0;
	store_layer_info(p->w->store, p->img.diff_ids.v[j->i], &info);
	options.clamp = info.clamp;
	options.latest_s = info.latest_s;
	if (dir < 0)
		return err_sys(err, errno, "open its directory");
	if (oci_begin(oci, NULL, &k.part, err) < 0)
		return -1;
	rc = pack_layer(dir, &options, take_packed, &k, &packed, err);
	if (rc == 0 && strcmp(packed.diff_id, p->img.diff_ids.v[j->i]) != 0)
		rc = err_set(err, ERR_CORRUPT, "its directory has changed, or the blob it came from is lost: pull or build the image again");
	if (rc == 0)
		rc = failpoint_err("push.packed", err);
	if (rc < 0) {
		oci_discard(oci, &k.part);
		return -1;
	}
	*d = (struct descriptor){ .size = packed.blob_bytes };
	snprintf(d->digest, sizeof(d->digest), "sha256:%s", packed.digest);
	snprintf(d->type, sizeof(d->type), "%s", pack_media_type(p->codec));
	return oci_commit(oci, &k.part, packed.digest, err);
}

/* ---- sending ---- */

/* Other repositories of the same registry that have this layer. */
static json_t *sources_of(const struct push *p, const char *diff_id)
{
	json_t *list = json_array();
	for (size_t i = 0; i < p->n_images; i++) {
		if (!strv_has(&p->images[i].diff_ids, diff_id))
			continue;
		for (size_t k = 0; k < p->images[i].digests.n && json_array_size(list) < MAX_SOURCES; k++) {
			const char *full = p->images[i].digests.v[k];
			size_t host = strlen(p->ref.registry), n = strcspn(full, "@");
			if (str_starts(full, p->ref.registry) && full[host] == '/' && n > host + 1)
				json_array_append_new(list, json_stringn(full + host + 1, n - host - 1));
		}
	}
	return list;
}

static int read_blob(void *arg, uint64_t offset, void *buf, size_t n, struct err *err)
{
	struct layer_job *j = arg;
	if (crew_failed(&j->p->crew))
		return err_set(err, ERR_SYS, "given up, as another layer failed");
	if (failpoint_err("push.send", err) < 0)
		return -1;
	for (size_t got = 0; got < n;) {
		ssize_t r = pread(j->fd, (char *)buf + got, n - got, (off_t)(offset + got));
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 ? err_sys(err, errno, "read the blob") : err_set(err, ERR_CORRUPT, "the blob is shorter than it was");
		got += (size_t)r;
	}
	tell(j->p, j->i, WORK_LAYER_PUSHING, MIN(offset + n, j->size), j->size);
	return 0;
}

static json_t *question(const char *op, const char *digest, uint64_t size)
{
	json_t *q = json_object();
	json_put_str(q, "op", op);
	json_put_str(q, "digest", digest);
	json_put_int(q, "size", (int64_t)size);
	return q;
}

/* What the other side did with it. */
static enum work_layer_state answer_state(const struct lane *l)
{
	const char *state = json_get_str(l->end, "state", "");
	return strcmp(state, "exists") == 0 ? WORK_LAYER_EXISTS : strcmp(state, "mounted") == 0 ? WORK_LAYER_MOUNTED : WORK_LAYER_PUSHED;
}

static int send_layer(struct layer_job *j, struct err *err)
{
	const struct descriptor *d = &j->p->layers[j->i];
	AUTO_JSON json_t *q = question("send_blob", d->digest, d->size);
	int rc;
	json_object_set_new(q, "from", sources_of(j->p, j->p->img.diff_ids.v[j->i]));
	j->fd = oci_open_blob(store_oci(j->p->w->store), manifest_digest_hex(d->digest), &j->size, err);
	if (j->fd < 0)
		return -1;
	tell(j->p, j->i, WORK_LAYER_PUSHING, 0, j->size);
	rc = j->size != d->size ? err_set(err, ERR_CORRUPT, "the blob has another size than its manifest says") : lane_ask(j->lane, q, err);
	if (rc == 0)
		rc = lane_serve(j->lane, read_blob, j, err);
	util_close(&j->fd);
	if (rc == 0)
		tell(j->p, j->i, answer_state(j->lane), j->size, j->size);
	return rc;
}

static int put_layer(struct layer_job *j, struct err *err)
{
	struct push *p = j->p;
	if (!p->known[j->i] && pack(j, err) < 0)
		return err_wrap(err, "layer %zu (%.12s)", j->i + 1, p->img.diff_ids.v[j->i]);
	if (failpoint_err("push.layer", err) < 0 || send_layer(j, err) < 0)
		return err_wrap(err, "layer %zu (%.12s)", j->i + 1, p->img.diff_ids.v[j->i]);
	return 0;
}

/* The first layer of the image that is the same one. */
static size_t first_of(const struct push *p, size_t i)
{
	size_t k = 0;
	while (strcmp(p->img.diff_ids.v[k], p->img.diff_ids.v[i]) != 0)
		k++;
	return k;
}

static int layer_work(void *arg, size_t hand, size_t i, struct err *err)
{
	struct push *p = arg;
	struct layer_job j = { .p = p, .i = i, .lane = &p->lanes[hand], .fd = -1 };
	return first_of(p, i) == i ? put_layer(&j, err) : 0;
}

static int put_layers(struct push *p, struct err *err)
{
	uint64_t sizes[IMAGE_MAX_LAYERS];
	int rc;
	for (size_t i = 0; i < p->n_layers; i++) {
		struct store_layer_info info;
		store_layer_info(p->w->store, p->img.diff_ids.v[i], &info);
		sizes[i] = p->known[i] ? p->layers[i].size : info.size_bytes;
	}
	rc = crew_run(&p->crew, p->n_lanes, sizes, p->n_layers, layer_work, p, err);
	for (size_t i = 0; rc == 0 && i < p->n_layers; i++)
		p->layers[i] = p->layers[first_of(p, i)];
	return rc;
}

/* ---- the documents ---- */

/* Docker's name of a layer's type would not do in an OCI manifest. */
static const char *oci_type(const char *type)
{
	return str_starts(type, "application/vnd.docker.") ? pack_media_type(PACK_GZIP) : type;
}

static json_t *descriptor_json(const char *type, const char *digest, uint64_t size)
{
	json_t *d = json_object();
	json_put_str(d, "mediaType", type);
	json_put_str(d, "digest", digest);
	json_put_int(d, "size", (int64_t)size);
	return d;
}

/* An OCI manifest for what has none, kept in the layout. */
static int make_manifest(struct push *p, struct err *err)
{
	static const char type[] = "application/vnd.oci.image.manifest.v1+json";
	AUTO_JSON json_t *m = json_object();
	AUTO_FREE char *text = NULL, *config_digest = xasprintf("sha256:%s", p->img.id);
	json_t *layers = json_array();
	json_put_int(m, "schemaVersion", 2);
	json_put_str(m, "mediaType", type);
	json_object_set_new(m, "config", descriptor_json("application/vnd.oci.image.config.v1+json", config_digest, p->config.len));
	for (size_t i = 0; i < p->n_layers; i++)
		json_array_append_new(layers, descriptor_json(oci_type(p->layers[i].type), p->layers[i].digest, p->layers[i].size));
	json_object_set_new(m, "layers", layers);
	text = json_dumps(m, JSON_COMPACT);
	if (!text)
		util_oom();
	str_add(&p->manifest, text);
	snprintf(p->manifest_type, sizeof(p->manifest_type), "%s", type);
	sha256_hex(text, strlen(text), p->manifest_hex);
	if (failpoint_err("push.manifest", err) < 0 || oci_put(store_oci(p->w->store), str_get(&p->config), p->config.len, (char[65]){ 0 }, err) < 0)
		return -1;
	return store_set_manifest(p->w->store, p->img.id, str_get(&p->manifest), p->manifest.len, type, err);
}

static int read_text(void *arg, uint64_t offset, void *buf, size_t n, struct err *err)
{
	const struct str *text = arg;
	if (offset > text->len || n > text->len - offset)
		return err_set(err, ERR_CORRUPT, "more is wanted than there is");
	memcpy(buf, text->p + offset, n);
	return 0;
}

static int send_text(struct push *p, json_t *q_taken, struct str *text, struct err *err)
{
	AUTO_JSON json_t *q = q_taken;
	return lane_ask(&p->lanes[0], q, err) < 0 ? -1 : lane_serve(&p->lanes[0], read_text, text, err);
}

static int send_documents(struct push *p, struct push_result *ret, struct err *err)
{
	AUTO_FREE char *config_digest = xasprintf("sha256:%s", p->img.id);
	json_t *q;
	if (send_text(p, question("send_blob", config_digest, p->config.len), &p->config, err) < 0)
		return err_wrap(err, "configuration");
	snprintf(ret->digest, sizeof(ret->digest), "sha256:%s", p->manifest_hex);
	q = question("send_manifest", ret->digest, p->manifest.len);
	json_put_str(q, "ref", p->ref.tag ? p->ref.tag : ret->digest); /* one of several platforms has no tag of its own */
	json_put_str(q, "type", p->manifest_type);
	return send_text(p, q, &p->manifest, err);
}

static int push_one(struct push *p, const char *which, struct push_result *ret, struct err *err)
{
	if (find_image(p, which, err) < 0 || put_layers(p, err) < 0)
		return -1;
	if (!p->manifest.len && make_manifest(p, err) < 0)
		return -1;
	if (send_documents(p, ret, err) < 0 || failpoint_err("push.done", err) < 0)
		return -1;
	memcpy(ret->id, p->img.id, sizeof(ret->id));
	ret->manifest_bytes = p->manifest.len;
	return 0;
}

static void push_done(struct push *p)
{
	for (size_t i = 0; i < p->n_layers; i++)
		util_close(&p->layer_fds[i]);
	free(p->layer_fds);
	store_list_free(p->images, p->n_images);
	image_done(&p->img);
	str_done(&p->config);
	str_done(&p->manifest);
}

/* The index's entry for one platform. */
static json_t *index_entry(const struct push *p, const char *platform)
{
	AUTO_FREE char *digest = xasprintf("sha256:%s", p->manifest_hex);
	json_t *d = descriptor_json(p->manifest_type, digest, p->manifest.len);
	json_object_set_new(d, "platform", manifest_platform_json(platform));
	return d;
}

/* Each platform's image by its digest, then, when all are there, the index that names them. */
static int push_platforms(struct push *p, const char *name, const struct strv *platforms, const struct strv *ids, struct push_result *ret,
	struct err *err)
{
	static const char type[] = "application/vnd.oci.image.index.v1+json";
	AUTO_JSON json_t *index = json_pack("{s:i,s:s,s:[]}", "schemaVersion", 2, "mediaType", type, "manifests");
	AUTO_STR struct str text = {0};
	AUTO_IMAGE struct image main = {0};
	AUTO_FREE char *out = NULL;
	char hex[65];
	json_t *q;
	for (size_t i = 0; i < ids->n; i++) {
		struct push *one = xcalloc(1, sizeof(*one));
		struct push_result ignored;
		int rc;
		*one = (struct push){ .w = p->w, .codec = p->codec, .lanes = p->lanes, .n_lanes = p->n_lanes, .arena = p->arena, .ref = p->ref };
		one->ref.tag = NULL;
		rc = push_one(one, ids->v[i], &ignored, err);
		if (rc == 0)
			json_array_append_new(json_object_get(index, "manifests"), index_entry(one, platforms->v[i]));
		push_done(one);
		free(one);
		if (rc < 0)
			return err_wrap(err, "%s", platforms->v[i]);
	}
	out = json_canonical(index);
	str_add(&text, out);
	sha256_hex(out, strlen(out), hex);
	snprintf(ret->digest, sizeof(ret->digest), "sha256:%s", hex);
	q = question("send_manifest", ret->digest, text.len);
	json_put_str(q, "ref", p->ref.tag);
	json_put_str(q, "type", type);
	if (send_text(p, q, &text, err) < 0 || store_lookup(p->w->store, name, &main, err) < 0)
		return -1;
	memcpy(ret->id, main.id, sizeof(ret->id));
	ret->manifest_bytes = text.len;
	return store_set_pushed(p->w->store, main.id, name, ret->digest, err);
}

static int push_all(struct push *p, const char *name, struct push_result *ret, struct err *err)
{
	AUTO_STRV struct strv platforms = {0}, ids = {0};
	const char *full;
	if (imageref_parse(name, p->arena, &p->ref, err) < 0)
		return -1;
	if (p->ref.digest)
		return err_set(err, ERR_INVALID, "a digest cannot be pushed to, a tag can");
	p->ref.tag = p->ref.tag ? p->ref.tag : "latest";
	full = imageref_full(&p->ref, p->arena);
	if (store_platforms(p->w->store, full, &platforms, &ids, err) < 0)
		return -1;
	if (ids.n > 0)
		return push_platforms(p, full, &platforms, &ids, ret, err);
	if (push_one(p, full, ret, err) < 0)
		return -1;
	return store_set_pushed(p->w->store, p->img.id, name, ret->digest, err);
}

int push_image(const struct work *w, const char *name, enum pack_codec codec, struct lane *lanes, size_t n_lanes, struct push_result *ret,
	struct err *err)
{
	AUTO_ARENA struct arena *arena = arena_new();
	struct push *p = xcalloc(1, sizeof(*p));
	int rc;
	*ret = (struct push_result){0};
	*p = (struct push){ .w = w, .codec = codec, .lanes = lanes, .n_lanes = MIN(n_lanes, (size_t)LANE_MAX_LANES), .arena = arena };
	rc = push_all(p, name, ret, err);
	push_done(p);
	free(p);
	return rc;
}
