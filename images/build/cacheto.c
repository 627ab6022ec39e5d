/* SPDX-License-Identifier: Apache-2.0 */
/* Layers first, then the document, then the manifest that names them: a broken export leaves blobs that nobody names and the manifest that was
 * there. A directory is written by muster, which is told names and given descriptors: nothing outside the store can be written from the jail. */
#include "images/build/cacheto.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "images/build/cachefile.h"
#include "images/build/cachefrom.h"
#include "images/manifest.h"
#include "images/pack.h"
#include "spec/imageref.h"

#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"

struct note {
	const struct build_stage *st;
	size_t at;                 /* its layer is the stage's at-th */
	struct layer *layer;
	bool own_layer;
	char op[65], created[40];
};

struct cacheto {
	struct build *b;
	struct note *notes;
	size_t n, cap;
};

/* One destination. */
struct target {
	struct build *b;
	const json_t *how;
	const char *ref;           /* registry; NULL: a directory */
	struct lane lanes[LANE_MAX_LANES];
	enum pack_codec codec;
	int level;
};

struct cacheto *cacheto_new(struct build *b)
{
	struct cacheto *c = xcalloc(1, sizeof(*c));
	c->b = b;
	return c;
}

void cacheto_free(struct cacheto *c)
{
	if (!c)
		return;
	free(c->notes);
	free(c);
}

void cacheto_note(struct cacheto *c, const struct build_step *s, const char *op)
{
	const struct build_state *state = &s->st->state;
	struct note *n;
	pthread_mutex_lock(&c->b->lock);
	c->notes = vec_grow(c->notes, c->n, &c->cap, sizeof(*c->notes));
	n = &c->notes[c->n++];
	*n = (struct note){ .st = s->st, .at = state->n - 1, .layer = state->layers[state->n - 1], .own_layer = s->own_layer };
	snprintf(n->op, sizeof(n->op), "%s", op);
	snprintf(n->created, sizeof(n->created), "%s", state->created);
	pthread_mutex_unlock(&c->b->lock);
}

/* ---- what goes into it ---- */

static int by_place(const void *a, const void *b)
{
	const struct note *x = a, *y = b;
	if (x->st != y->st)
		return x->st->index < y->st->index ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static bool is_of(const struct build_state *target, const struct layer *l)
{
	for (size_t i = 0; i < target->n; i++)
		if (target->layers[i] == l)
			return true;
	return false;
}

/* The steps whose layers are the target's, or all of them, in the Dockerfile's order. 0 or -1 + err. */
static int collect(struct cacheto *c, const struct build_state *target, bool all, struct cachefile *f, struct err *err)
{
	if (c->n)
		qsort(c->notes, c->n, sizeof(*c->notes), by_place);
	for (size_t i = 0; i < c->n; i++) {
		const struct note *n = &c->notes[i];
		const struct build_state below = { .layers = n->st->state.layers, .n = n->at };
		char content[65] = "";
		if (!all && !is_of(target, n->layer))
			continue;
		if (layers_sealed(n->layer, err) < 0 || (!n->own_layer && build_state_content(&below, content, err) < 0))
			return -1;
		cachefile_add(f, n->op, content, n->created, cachefile_layer_of(f, n->layer->diff_id));
	}
	return 0;
}

int cacheto_inline(struct cacheto *c, const struct build_state *target, json_t *doc, struct err *err)
{
	AUTO_CACHEFILE struct cachefile f = {0};
	AUTO_FREE char *text = NULL;
	if (!json_get_bool(c->b->request, "inline_cache", false))
		return 0;
	for (size_t i = 0; i < target->n; i++) { /* layers are counted as the image has them, a repeated one by its first place */
		f.layers = vec_grow(f.layers, f.n_layers, &f.cap_layers, sizeof(*f.layers));
		f.layers[f.n_layers] = (struct cachefile_layer){0};
		snprintf(f.layers[f.n_layers++].diff_id, sizeof(f.layers->diff_id), "%s", target->layers[i]->diff_id);
	}
	if (collect(c, target, false, &f, err) < 0)
		return -1;
	text = cachefile_make_inline(&f);
	if (text)
		json_put_str(doc, CACHEFILE_INLINE, text);
	return 0;
}

/* ---- a layer as a blob ---- */

/* One blob on its way: its text, or a layer, packed when its bytes are wanted. */
struct blob {
	struct target *t;
	char digest[65];
	uint64_t size;
	const char *text;
	const char *diff_id;
	int fd;
};

static int write_spool(void *arg, const void *p, size_t n, struct err *err)
{
	const struct blob *blob = arg;
	if (blob->t->b->cancelled)
		return err_set(err, ERR_TIMEOUT, "cancelled");
	return failpoint_err("cacheto.pack", err) < 0 ? -1 : fs_write_all(blob->fd, p, n, err);
}

static int pack(struct blob *blob, struct pack_result *ret, struct err *err)
{
	struct build *b = blob->t->b;
	AUTO_FREE char *path = store_layer_path(blob->diff_id);
	AUTO_CLOSE int dir = openat(b->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct pack_options options = { .codec = blob->t->codec, .level = blob->t->level };
	struct store_layer_info info;
	if (dir < 0)
		return err_sys(err, errno, "open its directory");
	store_layer_info(b->store, blob->diff_id, &info);
	options.clamp = info.clamp;
	options.latest_s = info.latest_s;
	blob->fd = store_open_spool(b->store, err);
	if (blob->fd < 0 || pack_layer(dir, &options, write_spool, blob, ret, err) < 0)
		return -1;
	return strcmp(ret->diff_id, blob->diff_id) == 0 ? 0 : err_set(err, ERR_CORRUPT, "its directory is not what it was");
}

/* Digest and size, remembered from an earlier export or by packing it. */
static int describe(struct blob *blob, struct err *err)
{
	AUTO_FREE char *text = NULL, *how = xasprintf("%d %d", (int)blob->t->codec, blob->t->level);
	struct cache *cache = blob->t->b->cache;
	struct pack_result packed;
	char key[65], memo[120];
	unsigned long long size;
	build_hash(key, (const char *const []){ "blob", blob->diff_id, how }, 3);
	if (cache_get_memo(cache, key, memo, sizeof(memo)) == 0 && sscanf(memo, "%64[0-9a-f] %llu", blob->digest, &size) == 2 && strlen(blob->digest) == 64) {
		blob->size = size;
		return 0;
	}
	if (pack(blob, &packed, err) < 0)
		return -1;
	memcpy(blob->digest, packed.digest, sizeof(blob->digest));
	blob->size = packed.blob_bytes;
	text = xasprintf("%s %llu", packed.digest, (unsigned long long)packed.blob_bytes);
	cache_put_memo(cache, key, text);
	return 0;
}

/* Its bytes, when somebody wants them. */
static int have_bytes(struct blob *blob, struct err *err)
{
	struct pack_result packed;
	if (blob->text || blob->fd >= 0)
		return 0;
	if (pack(blob, &packed, err) < 0)
		return -1;
	return strcmp(packed.digest, blob->digest) == 0 ? 0 : err_set(err, ERR_CORRUPT, "it is packed differently than it was");
}

static int give_bytes(void *arg, uint64_t offset, void *buf, size_t n, struct err *err)
{
	struct blob *blob = arg;
	if (blob->t->b->cancelled)
		return err_set(err, ERR_TIMEOUT, "cancelled");
	if (have_bytes(blob, err) < 0)
		return -1;
	if (offset > blob->size || n > blob->size - offset)
		return err_set(err, ERR_CORRUPT, "more is wanted than there is");
	if (blob->text) {
		memcpy(buf, blob->text + offset, n);
		return 0;
	}
	for (size_t got = 0; got < n;) {
		const ssize_t r = pread(blob->fd, (char *)buf + got, n - got, (off_t)(offset + got));
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_sys(err, r < 0 ? errno : EIO, "read the blob");
		got += (size_t)r;
	}
	return 0;
}

/* ---- sending ---- */

static int send_by_lane(struct target *t, const char *op, const char *ref, const char *type, struct blob *blob, struct err *err)
{
	AUTO_JSON json_t *q = json_object();
	AUTO_FREE char *digest = xasprintf("sha256:%s", blob->digest);
	json_put_str(q, "op", op);
	json_put_str(q, "digest", digest);
	json_put_int(q, "size", (int64_t)blob->size);
	json_put_str(q, "ref", ref);
	json_put_str(q, "type", type);
	return lane_ask(&t->lanes[0], q, err) < 0 ? -1 : lane_serve(&t->lanes[0], give_bytes, blob, err);
}

/* muster writes a file of the directory: 0 or -1 + err. fd -1: only asks. *ret_exists. */
static int ask_file(struct target *t, const char *name, uint64_t size, int fd, bool *ret_exists, struct err *err)
{
	json_t *j = json_object(), *answer = NULL;
	json_put_str(j, "need", "cache_file");
	json_object_set(j, "dest", json_object_get(t->how, "dest"));
	json_put_str(j, "name", name);
	json_put_int(j, "size", (int64_t)size);
	if (peers_ask(t->b->peers, j, &fd, fd >= 0 ? 1 : 0, &answer, err) < 0)
		return -1;
	*ret_exists = json_get_bool(answer, "exists", false);
	json_decref(answer);
	return 0;
}

static int send_file(struct target *t, const char *name, struct blob *blob, struct err *err)
{
	bool exists = false;
	if (ask_file(t, name, blob->size, -1, &exists, err) < 0 || exists)
		return exists ? 0 : -1;
	if (have_bytes(blob, err) < 0)
		return -1;
	if (blob->text) {
		blob->fd = store_open_spool(t->b->store, err);
		if (blob->fd < 0 || fs_write_all(blob->fd, blob->text, blob->size, err) < 0)
			return -1;
	}
	if (lseek(blob->fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "read the blob");
	return ask_file(t, name, blob->size, blob->fd, &exists, err);
}

static int send_blob(struct target *t, struct blob *blob, struct err *err)
{
	AUTO_FREE char *name = xasprintf("blobs/sha256/%s", blob->digest);
	if (failpoint_err("cacheto.blob", err) < 0)
		return -1;
	return t->ref ? send_by_lane(t, "send_blob", NULL, NULL, blob, err) : send_file(t, name, blob, err);
}

static struct blob text_blob(struct target *t, const char *text)
{
	struct blob blob = { .t = t, .text = text, .size = strlen(text), .fd = -1 };
	sha256_hex(text, strlen(text), blob.digest);
	return blob;
}

static int send_text(struct target *t, const char *text, char ret_digest[static 65], struct err *err)
{
	struct blob blob = text_blob(t, text);
	int rc = send_blob(t, &blob, err);
	memcpy(ret_digest, blob.digest, sizeof(blob.digest));
	util_close(&blob.fd);
	return rc;
}

static int send_layer(struct target *t, struct cachefile_layer *l, struct err *err)
{
	struct blob blob = { .t = t, .diff_id = l->diff_id, .fd = -1 };
	const bool oci = json_get_bool(t->how, "oci", true);
	int rc = describe(&blob, err);
	if (rc == 0)
		rc = send_blob(t, &blob, err);
	util_close(&blob.fd);
	if (rc < 0)
		return err_wrap(err, "layer %.12s", l->diff_id);
	memcpy(l->digest, blob.digest, sizeof(l->digest));
	l->blob_bytes = blob.size;
	snprintf(l->type, sizeof(l->type), "%s", oci ? pack_media_type(t->codec) : DOCKER_LAYER);
	return 0;
}

/* ---- the documents ---- */

static json_t *descriptor(const char *type, const char *hex, uint64_t size)
{
	AUTO_FREE char *digest = xasprintf("sha256:%s", hex);
	json_t *j = json_object();
	json_put_str(j, "mediaType", type);
	json_put_str(j, "digest", digest);
	json_put_int(j, "size", (int64_t)size);
	return j;
}

/* An image manifest whose configuration is the document, or an index that has the document among the layers, as BuildKit wrote it first. */
static char *make_manifest(const struct target *t, const struct cachefile *f, json_t *document, const char **ret_type)
{
	AUTO_JSON json_t *j = json_object();
	const bool image = json_get_bool(t->how, "image_manifest", true);
	json_t *list = json_array();
	*ret_type = image ? OCI_MANIFEST : json_get_bool(t->how, "oci", true) ? OCI_INDEX : DOCKER_INDEX;
	for (size_t i = 0; i < f->n_layers; i++) {
		const struct cachefile_layer *l = &f->layers[i];
		AUTO_FREE char *diff_id = xasprintf("sha256:%s", l->diff_id);
		json_t *d = descriptor(l->type, l->digest, l->blob_bytes), *notes = json_object();
		json_put_str(notes, "containerd.io/uncompressed", diff_id);
		json_object_set_new(d, "annotations", notes);
		json_array_append_new(list, d);
	}
	json_put_int(j, "schemaVersion", 2);
	json_put_str(j, "mediaType", *ret_type);
	if (image)
		json_object_set_new(j, "config", document);
	else
		json_array_append_new(list, document);
	json_object_set_new(j, image ? "layers" : "manifests", list);
	return json_canonical(j);
}

/* The directory's index gets the manifest under its tag. */
static int send_index(struct target *t, const char *type, const char *hex, uint64_t size, struct err *err)
{
	struct blob layout = text_blob(t, "{\"imageLayoutVersion\":\"1.0.0\"}");
	json_t *j = json_object(), *answer = NULL;
	int rc = send_file(t, "oci-layout", &layout, err);
	util_close(&layout.fd);
	if (rc < 0) {
		json_decref(j);
		return -1;
	}
	json_put_str(j, "need", "cache_index");
	json_object_set(j, "dest", json_object_get(t->how, "dest"));
	json_put_str(j, "tag", json_get_str(t->how, "tag", "latest"));
	json_object_set_new(j, "descriptor", descriptor(type, hex, size));
	if (peers_ask(t->b->peers, j, NULL, 0, &answer, err) < 0)
		return -1;
	json_decref(answer);
	return 0;
}

static int send_manifest(struct target *t, const struct cachefile *f, json_t *document, struct err *err)
{
	AUTO_ARENA struct arena *arena = arena_new();
	const char *type;
	AUTO_FREE char *text = make_manifest(t, f, document, &type);
	struct blob blob = text_blob(t, text);
	struct imageref ref;
	if (failpoint_err("cacheto.manifest", err) < 0)
		return -1;
	if (!t->ref)
		return send_text(t, text, blob.digest, err) < 0 ? -1 : send_index(t, type, blob.digest, blob.size, err);
	if (imageref_parse(t->ref, arena, &ref, err) < 0)
		return -1;
	if (ref.digest)
		return err_set(err, ERR_INVALID, "a digest cannot be written to, a tag can");
	return send_by_lane(t, "send_manifest", ref.tag ? ref.tag : "latest", type, &blob, err);
}

static int send_all(struct target *t, struct cachefile *f, struct err *err)
{
	AUTO_FREE char *text = NULL;
	char hex[65];
	for (size_t i = 0; i < f->n_layers; i++)
		if (send_layer(t, &f->layers[i], err) < 0)
			return -1;
	text = cachefile_make(f);
	if (send_text(t, text, hex, err) < 0)
		return err_wrap(err, "the cache's document");
	return send_manifest(t, f, descriptor(CACHEFILE_TYPE, hex, strlen(text)), err);
}

static int export(struct cacheto *c, struct target *t, const struct build_state *state, struct err *err)
{
	AUTO_CACHEFILE struct cachefile f = {0};
	int rc;
	t->codec = PACK_GZIP;
	t->level = (int)json_get_int(t->how, "level", 0);
	if (!pack_codec_parse(json_get_str(t->how, "compression", "gzip"), &t->codec))
		return err_set(err, ERR_INVALID, "compression: not understood");
	if (collect(c, state, strcmp(json_get_str(t->how, "mode", "min"), "max") == 0, &f, err) < 0)
		return -1;
	if (t->ref && cachefrom_connect(c->b, t->ref, true, t->lanes, err) < 0)
		return -1;
	rc = send_all(t, &f, err);
	if (t->ref)
		cachefrom_disconnect(c->b, t->lanes);
	return rc;
}

int cacheto_export(struct cacheto *c, const struct build_state *state, struct err *err)
{
	const json_t *list = json_object_get(c->b->request, "cache_to"), *item;
	size_t i;
	json_array_foreach(list, i, item) {
		struct target t = { .b = c->b, .how = item, .ref = json_get_str(item, "ref", NULL) };
		AUTO_FREE char *text = xasprintf("exporting cache to %s", json_get_str(item, "name", ""));
		const int64_t id = cachefrom_tell(c->b, 0, "started", text);
		int rc = export(c, &t, state, err);
		cachefrom_tell(c->b, id, rc == 0 ? "done" : "error", text);
		if (rc == 0)
			continue;
		err_wrap(err, "cache export to %s", json_get_str(item, "name", ""));
		if (!json_get_bool(item, "ignore_error", false) || c->b->cancelled)
			return -1;
		cachefrom_warn(c->b, err->msg);
	}
	return 0;
}
