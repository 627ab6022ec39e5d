/* SPDX-License-Identifier: Apache-2.0 */
/* A source is a manifest that leads to a document (images/build/cachefile.h), and blobs by digest: files below a directory, or what comes over a
 * lane from the process that talks to the registry (images/lane.h). Sources are read one after the other, once, under the lock; layers come over
 * as many lanes as there are, the steps of several stages side by side. A source that has failed a layer is not asked for that layer again.
 * A cache is there to make a build faster: a registry that does not give its documents within PATIENCE_S, or a layer more slowly than MIN_RATE
 * after as long, is not asked again by this build. */
#include "images/build/cachefrom.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/map.h"
#include "images/build/cachefile.h"
#include "images/layer.h"
#include "images/manifest.h"
#include "images/work.h"
#include "spec/imageref.h"

enum { MAX_SOURCES = 32, MAX_MANIFEST_BYTES = 4 << 20, MAX_DEPTH = 3, PATIENCE_S = 15,
	MIN_RATE = 32 << 10 /* bytes a second */ };
#define NS_PER_S 1000000000ULL

struct cache_source {
	struct cachefrom *from;
	char *name;                     /* as messages have it */
	const char *ref;                /* registry; NULL: a directory */
	int fd;                         /* directory; -1 */
	const char *tag, *digest;       /* of a directory's index */
	const char *missing;            /* why muster could not open it; NULL */
	bool connected, usable;
	struct lane lanes[LANE_MAX_LANES];
	bool busy[LANE_MAX_LANES];
	struct cachefile file;
	struct map ops, entries;        /* "op", "op below" -> index of an entry + 1 */
};

struct cachefrom {
	struct build *b;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool loaded;
	struct cache_source v[MAX_SOURCES];
	size_t n;
	pthread_mutex_t fds_lock;      /* held for moments */
	struct map fds;                /* of all lanes that are open: "fd" */
	bool interrupted;
};

struct cachefrom *cachefrom_new(struct build *b, const int *fds)
{
	struct cachefrom *c = xcalloc(1, sizeof(*c));
	const json_t *list = json_object_get(b->request, "cache_from"), *item;
	size_t i;
	c->b = b;
	pthread_mutex_init(&c->lock, NULL);
	pthread_mutex_init(&c->fds_lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	json_array_foreach(list, i, item) {
		struct cache_source *s = &c->v[c->n];
		const int64_t fd = json_get_int(item, "fd", -1);
		if (c->n == MAX_SOURCES) {
			cachefrom_warn(b, "cache_from: more than 32 sources, the rest is passed over");
			break;
		}
		c->n++;
		*s = (struct cache_source){ .from = c, .ref = json_get_str(item, "ref", NULL), .fd = fd >= 0 && fd < MESSAGE_MAX_FDS ? fds[fd] : -1,
			.name = xstrdup(json_get_str(item, "name", "")), .tag = json_get_str(item, "tag", "latest"),
			.digest = json_get_str(item, "digest", NULL), .missing = json_get_str(item, "missing", NULL) };
	}
	return c;
}

void cachefrom_free(struct cachefrom *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].connected)
			cachefrom_disconnect(c->b, c->v[i].lanes);
		cachefile_done(&c->v[i].file);
		map_done(&c->v[i].ops);
		map_done(&c->v[i].entries);
		free(c->v[i].name);
	}
	map_done(&c->fds);
	pthread_mutex_destroy(&c->fds_lock);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->changed);
	free(c);
}

void cachefrom_warn(struct build *b, const char *text)
{
	json_t *j = json_object();
	json_put_str(j, "event", "warning");
	json_object_set_new(j, "text", json_text(text));
	peers_tell(b->peers, j);
}

int64_t cachefrom_tell(struct build *b, int64_t id, const char *state, const char *text)
{
	json_t *j = json_object();
	if (id == 0) {
		pthread_mutex_lock(&b->lock);
		id = ++b->next_step;
		pthread_mutex_unlock(&b->lock);
	}
	json_put_str(j, "event", "step");
	json_put_int(j, "id", id);
	json_put_str(j, "state", state);
	json_object_set_new(j, "text", json_text(text));
	peers_tell(b->peers, j);
	return id;
}

/* ---- the registry ---- */

/* Notes a lane, or forgets it and closes it. */
static void note_lane(struct cachefrom *c, struct lane *l, bool add)
{
	char name[16];
	snprintf(name, sizeof(name), "%d", l->fd);
	pthread_mutex_lock(&c->fds_lock);
	if (add) {
		map_put(&c->fds, name, c);
		if (c->interrupted)
			shutdown(l->fd, SHUT_RDWR);
	} else if (l->fd >= 0) {
		map_del(&c->fds, name);
		util_close(&l->fd);
	}
	pthread_mutex_unlock(&c->fds_lock);
}

void cachefrom_interrupt(void *arg)
{
	struct cachefrom *c = arg;
	pthread_mutex_lock(&c->fds_lock);
	c->interrupted = true;
	for (struct map_entry *e = map_next(&c->fds, NULL); e; e = map_next(&c->fds, e))
		shutdown(atoi(e->key), SHUT_RDWR);
	pthread_mutex_unlock(&c->fds_lock);
}

int cachefrom_connect(struct build *b, const char *ref, bool push, struct lane lanes[static LANE_MAX_LANES], struct err *err)
{
	json_t *j = json_object(), *answer = NULL;
	int fds[LANE_MAX_LANES];
	size_t n = 0;
	json_put_str(j, "need", "registry");
	json_object_set_new(j, "ref", json_text(ref));
	json_object_set_new(j, "push", json_boolean(push));
	if (peers_ask_for(b->peers, j, NULL, 0, &answer, fds, LANE_MAX_LANES, &n, err) < 0)
		return -1;
	json_decref(answer);
	if (n != LANE_MAX_LANES) {
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		return err_set(err, ERR_SYS, "no way to the registry");
	}
	for (size_t i = 0; i < n; i++)
		lane_init(&lanes[i], fds[i]);
	for (size_t i = 0; i < n; i++)
		note_lane(b->from, &lanes[i], true);
	return 0;
}

void cachefrom_disconnect(struct build *b, struct lane lanes[static LANE_MAX_LANES])
{
	for (size_t i = 0; i < LANE_MAX_LANES; i++) {
		note_lane(b->from, &lanes[i], false);
		lane_done(&lanes[i]);
	}
}

/* A lane that nobody has; -1: the source has become unusable. */
static int take_lane(struct cache_source *s)
{
	int got = -1;
	pthread_mutex_lock(&s->from->lock);
	while (got < 0 && s->usable) {
		for (int i = 0; i < LANE_MAX_LANES && got < 0; i++)
			if (!s->busy[i])
				got = i;
		if (got < 0)
			pthread_cond_wait(&s->from->changed, &s->from->lock);
	}
	if (got >= 0)
		s->busy[got] = true;
	pthread_mutex_unlock(&s->from->lock);
	return got;
}

/* late: what it was asked for has not come in time, and would be in the way of the next answer. */
static void give_lane(struct cache_source *s, int i, bool late)
{
	pthread_mutex_lock(&s->from->lock);
	s->busy[i] = false;
	s->usable = s->usable && !late;
	pthread_cond_broadcast(&s->from->changed);
	pthread_mutex_unlock(&s->from->lock);
}

static int ask(struct lane *l, const char *op, const char *ref_or_digest, uint64_t size, struct err *err)
{
	AUTO_JSON json_t *q = json_object();
	json_put_str(q, "op", op);
	json_put_str(q, strcmp(op, "manifest") == 0 ? "ref" : "digest", ref_or_digest);
	json_put_int(q, "size", (int64_t)size);
	return lane_ask(l, q, err);
}

/* ---- small documents, at the time of loading: the first lane is ours ---- */

static int read_remote(struct cache_source *s, bool manifest, const char *what, uint64_t size, size_t max, struct str *ret, struct err *err)
{
	struct lane *l = &s->lanes[0];
	ssize_t n;
	if (ask(l, manifest ? "manifest" : "blob", what, size, err) < 0)
		return -1;
	while ((n = lane_read(l, str_reserve(ret, 16384), 16384, err)) > 0) {
		ret->len += (size_t)n;
		if (ret->len > max)
			return err_set(err, ERR_CORRUPT, "larger than the %zu bytes allowed", max);
	}
	return n < 0 ? -1 : 0;
}

/* A regular file of the directory, never waiting. */
static int open_file(const struct cache_source *s, const char *path, struct err *err)
{
	int fd = openat(s->fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return err_set(err, ERR_CORRUPT, "%s is no file", path);
}

static int open_local(const struct cache_source *s, const char *hex, struct err *err)
{
	AUTO_FREE char *path = xasprintf("blobs/sha256/%s", hex);
	return open_file(s, path, err);
}

/* What has this digest, checked; size: as its descriptor says (manifests are asked for without one). */
static int read_document(struct cache_source *s, bool manifest, const char *digest, uint64_t size, struct str *ret, struct err *err)
{
	const size_t max = manifest ? MAX_MANIFEST_BYTES : CACHEFILE_MAX_BYTES;
	const char *hex = manifest_digest_hex(digest);
	char got[65];
	str_clear(ret);
	if (!hex || (!manifest && size > max))
		return err_set(err, ERR_CORRUPT, "a descriptor that makes no sense");
	if (s->ref) {
		if (read_remote(s, manifest, digest, size, max, ret, err) < 0)
			return -1;
	} else {
		AUTO_CLOSE int fd = open_local(s, hex, err);
		if (fd < 0 || fs_read_fd(fd, max, ret, err) < 0)
			return -1;
	}
	sha256_hex(str_get(ret), ret->len, got);
	return strcmp(got, hex) == 0 ? 0 : err_set(err, ERR_CORRUPT, "%.19s… has another content", digest);
}

/* ---- from the name to the document ---- */

static const json_t *find_by_type(const json_t *list, const char *type)
{
	const json_t *item;
	size_t i;
	json_array_foreach(list, i, item)
		if (strcmp(json_get_str(item, "mediaType", ""), type) == 0)
			return item;
	return NULL;
}

static int load_document(struct cache_source *s, const json_t *descriptor, struct err *err)
{
	AUTO_STR struct str text = {0};
	const char *digest = json_get_str(descriptor, "digest", "");
	if (read_document(s, false, digest, (uint64_t)MAX(json_get_int(descriptor, "size", 0), 0), &text, err) < 0)
		return -1;
	return cachefile_parse(str_get(&text), text.len, &s->file, err);
}

/* The layers of an image, with what its manifest says of their blobs (NULL: it is here, and they are). */
static int load_image(struct cache_source *s, const struct image *img, const struct manifest *m, struct err *err)
{
	struct cachefile *f = &s->file;
	int rc;
	for (size_t i = 0; i < img->diff_ids.n; i++) {
		struct cachefile_layer *l;
		f->layers = vec_grow(f->layers, f->n_layers, &f->cap_layers, sizeof(*f->layers));
		l = &f->layers[f->n_layers++];
		*l = (struct cachefile_layer){0};
		snprintf(l->diff_id, sizeof(l->diff_id), "%s", img->diff_ids.v[i]);
		if (!m)
			continue;
		snprintf(l->digest, sizeof(l->digest), "%s", manifest_digest_hex(m->layers[i].digest));
		l->blob_bytes = m->layers[i].size;
	}
	rc = cachefile_parse_inline(img->json, f, err);
	return rc == 1 ? err_set(err, ERR_NOT_FOUND, "the image has no cache record (it was built without type=inline)") : rc;
}

/* The text of a manifest: an index with a document in it, an image that is one, an image, an index of images. */
static int load_manifest(struct cache_source *s, struct str *text, struct err *err)
{
	AUTO_FREE struct manifest *m = xcalloc(1, sizeof(*m));
	struct descriptor choice;
	struct platform want;
	if (manifest_parse_platform(NULL, &want, err) < 0)
		return -1;
	snprintf(want.architecture, sizeof(want.architecture), "%s", s->from->b->expand.target.arch);
	snprintf(want.variant, sizeof(want.variant), "%s", s->from->b->expand.target.variant);
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		AUTO_JSON json_t *j = json_loadb(str_get(text), text->len, 0, NULL);
		const json_t *config = json_object_get(j, "config"), *document = find_by_type(json_object_get(j, "manifests"), CACHEFILE_TYPE);
		AUTO_IMAGE struct image img = {0};
		int rc;
		if (strcmp(json_get_str(config, "mediaType", ""), CACHEFILE_TYPE) == 0)
			document = config;
		if (document)
			return load_document(s, document, err);
		rc = manifest_parse(str_get(text), text->len, &want, m, &choice, err);
		if (rc < 0 || read_document(s, rc == 1, rc == 1 ? choice.digest : m->config.digest, rc == 1 ? 0 : m->config.size, text, err) < 0)
			return -1;
		if (rc == 1)
			continue;
		if (image_config_parse(str_get(text), text->len, &img, err) < 0)
			return -1;
		return img.diff_ids.n == m->n_layers ? load_image(s, &img, m, err) :
			err_set(err, ERR_CORRUPT, "the configuration lists %zu layers, the manifest %zu", img.diff_ids.n, m->n_layers);
	}
	return err_set(err, ERR_CORRUPT, "indexes within indexes, too deep");
}

/* An image of ours with a record is nearer than the registry's. 0; 1: there is none. */
static int load_own_image(struct cache_source *s)
{
	AUTO_IMAGE struct image img = {0};
	struct err ignored;
	if (store_lookup(s->from->b->store, s->ref, &img, &ignored) < 0)
		return 1;
	if (load_image(s, &img, NULL, &ignored) == 0)
		return 0;
	cachefile_done(&s->file);
	return 1;
}

static int load_remote(struct cache_source *s, struct err *err)
{
	AUTO_ARENA struct arena *arena = arena_new();
	AUTO_STR struct str text = {0};
	struct imageref ref;
	char digest[80];
	if (imageref_parse(s->ref, arena, &ref, err) < 0 || cachefrom_connect(s->from->b, s->ref, false, s->lanes, err) < 0)
		return -1;
	s->connected = true;
	s->lanes[0].deadline_ns = clock_mono_ns() + PATIENCE_S * NS_PER_S;
	if (ref.digest) {
		snprintf(digest, sizeof(digest), "%.79s", ref.digest);
		return read_document(s, true, digest, 0, &text, err) < 0 ? -1 : load_manifest(s, &text, err);
	}
	if (read_remote(s, true, ref.tag ? ref.tag : "latest", 0, MAX_MANIFEST_BYTES, &text, err) < 0)
		return -1;
	return load_manifest(s, &text, err);
}

static int load_directory(struct cache_source *s, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *index = NULL;
	AUTO_CLOSE int fd = -1;
	const json_t *item, *found = NULL;
	size_t i;
	if (s->digest)
		return read_document(s, true, s->digest, 0, &text, err) < 0 ? -1 : load_manifest(s, &text, err);
	fd = open_file(s, "index.json", err);
	if (fd < 0 || fs_read_fd(fd, MAX_MANIFEST_BYTES, &text, err) < 0)
		return -1;
	index = json_loadb(str_get(&text), text.len, 0, NULL);
	json_array_foreach(json_object_get(index, "manifests"), i, item)
		if (strcmp(json_get_str(json_object_get(item, "annotations"), "org.opencontainers.image.ref.name", ""), s->tag) == 0)
			found = item;
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "its index.json has no \"%.100s\"", s->tag);
	return read_document(s, true, json_get_str(found, "digest", ""), 0, &text, err) < 0 ? -1 : load_manifest(s, &text, err);
}

static void fill_maps(struct cache_source *s)
{
	for (size_t i = 0; i < s->file.n_entries; i++) {
		const struct cachefile_entry *e = &s->file.entries[i];
		AUTO_FREE char *both = xasprintf("%s %s", e->op, e->below);
		map_put(&s->ops, e->op, (void *)(i + 1));   /* NOLINT: a number */
		map_put(&s->entries, both, (void *)(i + 1)); /* NOLINT: a number */
	}
}

static void complain(struct cache_source *s, const char *what, const struct err *err)
{
	AUTO_FREE char *text = xasprintf("cache from %s: %s%s", s->name, what, err->msg);
	cachefrom_warn(s->from->b, text);
}

static void load(struct cache_source *s)
{
	AUTO_FREE char *text = xasprintf("importing cache manifest from %s", s->name);
	const int64_t id = cachefrom_tell(s->from->b, 0, "started", text);
	struct err err = {0};
	int rc;
	if (s->missing)
		rc = err_set(&err, ERR_NOT_FOUND, "%s", s->missing);
	else if (failpoint_err("cachefrom.load", &err) < 0)
		rc = -1;
	else if (s->ref)
		rc = load_own_image(s) == 0 ? 0 : load_remote(s, &err);
	else
		rc = s->fd < 0 ? err_set(&err, ERR_NOT_FOUND, "there is no such directory") : load_directory(s, &err);
	s->usable = rc == 0;
	if (rc == 0)
		fill_maps(s);
	cachefrom_tell(s->from->b, id, "done", text);
	if (rc < 0 && !s->from->b->cancelled)
		complain(s, "", &err);
}

/* ---- layers ---- */

struct fetching {
	struct cache_source *s;
	struct lane *lane;    /* NULL: from fd */
	int fd;
	uint64_t begun_ns, bytes;
};

static ssize_t read_blob(void *arg, void *buf, size_t n, struct err *err)
{
	struct fetching *f = arg;
	ssize_t got;
	if (f->s->from->b->cancelled)
		return err_set(err, ERR_TIMEOUT, "cancelled");
	if (failpoint_err("cachefrom.read", err) < 0)
		return -1;
	if (!f->lane)
		return stream_read_fd(&f->fd, buf, n, err);
	f->lane->deadline_ns = f->begun_ns + PATIENCE_S * NS_PER_S + f->bytes / MIN_RATE * NS_PER_S;
	got = lane_read(f->lane, buf, n, err);
	f->bytes += (uint64_t)MAX(got, (ssize_t)0);
	return got;
}

static int unpack(struct fetching *f, const struct cachefile_layer *want, struct layer *l, struct err *err)
{
	const struct stream_source src = { .read = read_blob, .arg = f, .wait_fd = -1 };
	struct stream_limits limits = work_stream_limits;
	AUTO_STREAM struct stream *s = NULL;
	struct layer_result result;
	struct stream_result digests;
	limits.max_in_bytes = want->blob_bytes;
	if (stream_open(&src, &limits, &s, err) < 0 || layer_unpack(s, l->fd, &layer_default_limits, NULL, NULL, &result, err) < 0 ||
	    stream_finish(s, &digests, err) < 0)
		return -1;
	if (strcmp(digests.in_sha256, want->digest) != 0)
		return err_set(err, ERR_CORRUPT, "its digest is sha256:%.16s…", digests.in_sha256);
	if (strcmp(digests.out_sha256, want->diff_id) != 0)
		return err_set(err, ERR_CORRUPT, "its diff_id is sha256:%.16s…, not sha256:%.16s…", digests.out_sha256, want->diff_id);
	return 0;
}

/* Brings the bytes. */
static int fetch(struct cache_source *s, const struct cachefile_layer *want, struct layer *l, struct err *err)
{
	struct fetching f = { .s = s, .fd = -1, .begun_ns = clock_mono_ns() };
	char digest[80];
	int rc = 0, lane = -1;
	snprintf(digest, sizeof(digest), "sha256:%s", want->digest);
	if (!want->digest[0] || (s->ref && !s->connected))
		return err_set(err, ERR_NOT_FOUND, "the layer is not here any more");
	if (!want->blob_bytes) /* nothing would bound what comes */
		return err_set(err, ERR_CORRUPT, "the layer has no size");
	if (s->ref) {
		lane = take_lane(s);
		if (lane < 0)
			return err_set(err, ERR_TIMEOUT, "the registry does not answer in time");
		f.begun_ns = clock_mono_ns();
		f.lane = &s->lanes[lane];
		f.lane->deadline_ns = f.begun_ns + PATIENCE_S * NS_PER_S;
		rc = ask(f.lane, "blob", digest, want->blob_bytes, err);
	} else {
		f.fd = open_local(s, want->digest, err);
		rc = f.fd < 0 ? -1 : 0;
	}
	if (rc == 0)
		rc = unpack(&f, want, l, err);
	util_close(&f.fd);
	if (lane >= 0)
		give_lane(s, lane, rc < 0 && err->code == ERR_TIMEOUT);
	return rc;
}

/* The layer, sealed; NULL + err. */
static struct layer *get_layer(struct cache_source *s, const struct cachefile_layer *want, struct err *err)
{
	struct build *b = s->from->b;
	struct layer *l;
	if (store_has_layer(b->store, want->diff_id) && (l = layers_open_sealing(b->layers, want->diff_id, NULL)))
		return l;
	l = layers_begin(b->layers, err);
	if (!l)
		return NULL;
	if (fetch(s, want, l, err) < 0) {
		layers_drop(l);
		return NULL;
	}
	fs_remove_tree(layers_dir_fd(l), "work", NULL);
	layers_fill(l);
	if (layers_sealed(l, err) < 0)
		return NULL;
	if (strcmp(l->diff_id, want->diff_id) == 0)
		return l;
	layers_drop(l);
	err_set(err, ERR_CORRUPT, "it is not packed as we pack layers");
	return NULL;
}

/* The entry, under the lock; NULL: none. */
static struct cachefile_entry *find(struct cache_source *s, const char *op, const char *below)
{
	AUTO_FREE char *both = xasprintf("%s %s", op, below);
	const size_t i = (size_t)map_get(&s->entries, both);
	return i ? &s->file.entries[i - 1] : NULL;
}

static bool knows_operation(struct cachefrom *c, const char *op)
{
	bool known = false;
	pthread_mutex_lock(&c->lock);
	if (!c->loaded) {
		for (size_t i = 0; i < c->n; i++)
			load(&c->v[i]);
		c->loaded = true;
	}
	for (size_t i = 0; i < c->n; i++)
		known = known || (c->v[i].usable && map_get(&c->v[i].ops, op));
	pthread_mutex_unlock(&c->lock);
	return known;
}

/* An entry has failed: others of the same source may do. */
static void forget(struct cache_source *s, const char *op, const char *below)
{
	AUTO_FREE char *both = xasprintf("%s %s", op, below);
	pthread_mutex_lock(&s->from->lock);
	map_del(&s->entries, both);
	pthread_mutex_unlock(&s->from->lock);
}

int cachefrom_take(struct cachefrom *c, struct build_step *step, const char *op, struct layer **ret_layer, char ret_created[static 40])
{
	char below[65] = "";
	if (c->n == 0 || !knows_operation(c, op) || (!step->own_layer && build_state_content(&step->st->state, below, NULL) < 0))
		return 1;
	for (size_t i = 0; i < c->n; i++) {
		struct cache_source *s = &c->v[i];
		const struct cachefile_entry *e;
		AUTO_FREE char *text = NULL;
		struct err err = {0};
		struct layer *l;
		int64_t id;
		pthread_mutex_lock(&c->lock);
		e = s->usable ? find(s, op, below) : NULL;
		pthread_mutex_unlock(&c->lock);
		if (!e)
			continue;
		text = xasprintf("importing layer %.12s from %s", s->file.layers[e->layer].diff_id, s->name);
		id = cachefrom_tell(c->b, 0, "started", text);
		l = get_layer(s, &s->file.layers[e->layer], &err);
		cachefrom_tell(c->b, id, !l && c->b->cancelled ? "cancelled" : "done", text);
		if (l) {
			*ret_layer = l;
			memcpy(ret_created, e->created, sizeof(e->created));
			return 0;
		}
		if (c->b->cancelled)
			return 1;
		forget(s, op, below);
		complain(s, "a layer cannot be used: ", &err);
	}
	return 1;
}
