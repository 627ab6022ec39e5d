/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the store, its lock, its index, and what removes from it. The order of every change is chosen so that a kill leaves
 * either the old state or the new one plus garbage that store_sweep() recognises: first layers, then the configuration (now the
 * image exists), then the references; backwards when something goes. An index that names an image without a configuration can
 * only come from a damaged disk. */
#include "images/store.h"

#include <stdio.h>
#include <sys/file.h>
#include <time.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "images/store_impl.h"
#include "spec/imageref.h"

enum { STORE_SCHEMA = 1, MIN_PREFIX = 2, MAX_STALE = 256, STORE_GRACE_S = 24 * 3600 };

/* Opens a folder of the store, making it when missing; never looks at the directory it is in, which a jail may forbid. */
static int open_folder(int dir, const char *name, struct err *err)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
			return err_sys(err, errno, "create %s", name);
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	return fd < 0 ? err_sys(err, errno, "open %s", name) : fd;
}

int store_open(int root_fd, struct store **ret, struct err *err)
{
	struct store *s = xcalloc(1, sizeof(*s));
	*s = (struct store){ .images_fd = -1, .config_fd = -1, .layers_fd = -1, .pins_fd = -1 };
	s->images_fd = open_folder(root_fd, "images", err);
	if (s->images_fd >= 0)
		s->config_fd = open_folder(s->images_fd, "config", err);
	if (s->config_fd >= 0)
		s->pins_fd = open_folder(s->images_fd, "pins", err);
	if (s->pins_fd >= 0)
		s->layers_fd = open_folder(root_fd, "layers", err);
	if (s->layers_fd < 0 || oci_open(s->images_fd, &s->oci, err) < 0) {
		store_close(s);
		return err_wrap(err, "image store");
	}
	*ret = s;
	return 0;
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	util_close(&s->images_fd);
	util_close(&s->config_fd);
	util_close(&s->layers_fd);
	util_close(&s->pins_fd);
	oci_close(s->oci);
	free(s);
	return NULL;
}

void store_close_p(struct store **s)
{
	*s = store_close(*s);
}

int store_lock(struct store *s, enum store_lock_kind kind, struct err *err)
{
	AUTO_CLOSE int fd = openat(s->images_fd, "store.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, errno, "image store: open store.lock");
	while (flock(fd, kind == STORE_SHARED ? LOCK_SH : LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "image store: lock");
	if (kind == STORE_EXCLUSIVE)
		store_recover(s);
	return TAKE_FD(fd);
}

bool store_is_id(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

int store_read_index(struct store *s, json_t **ret, struct err *err)
{
	json_t *index = NULL;
	int rc = json_read_file(s->images_fd, "index.json", &index, err);
	if (rc < 0)
		return err_wrap(err, "image store");
	if (rc == 1) {
		index = json_object();
		json_put_int(index, "schema", STORE_SCHEMA);
		json_object_set_new(index, "refs", json_object());
	}
	if (json_get_int(index, "schema", 0) > STORE_SCHEMA) {
		json_decref(index);
		return err_set(err, ERR_UNSUPPORTED, "image store: index.json was written by a newer muster");
	}
	if (!json_is_object(json_object_get(index, "refs"))) {
		json_decref(index);
		return err_set(err, ERR_CORRUPT, "image store: index.json has no \"refs\"");
	}
	*ret = index;
	return 0;
}

int store_write_index(struct store *s, const json_t *index, struct err *err)
{
	if (failpoint_err("image.index", err) < 0 || json_write_file(s->images_fd, "index.json", index, true, err) < 0)
		return err_wrap(err, "image store");
	return store_sync_layout(s, index, err);
}

/* The id that a reference of the index points at, "" when the entry is damaged. */
static const char *ref_id(const json_t *entry)
{
	const char *id = json_get_str(entry, "id", "");
	return store_is_id(id) ? id : "";
}

/* The part of the index that a canonical reference is in; NULL when there is none yet. */
static json_t *ref_section(const json_t *index, const char *ref)
{
	return json_object_get(index, strchr(ref, '@') ? "digests" : "refs");
}

void store_set_ref(json_t *index, const char *ref, const char *id, const char *digest, bool pulled)
{
	json_t *entry = json_object();
	char now[40];
	json_put_str(entry, "id", id);
	json_put_str(entry, "tagged", clock_rfc3339(clock_real_ns(), now));
	json_put_str(entry, "digest", digest);
	if (pulled)
		json_put_int(entry, "pulled", (int64_t)clock_real_ns());
	if (!ref_section(index, ref))
		json_object_set_new(index, "digests", json_object());
	json_object_set_new(ref_section(index, ref), ref, entry);
}

/* The full form of what a person wrote, without the tag beside a digest: 0, or -1 when it is not a reference. free() *ret. */
static int full_ref(const char *name, char **ret, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref = {0};
	if (imageref_parse(name, a, &ref, err) < 0)
		return -1;
	if (ref.digest)
		ref.tag = NULL;
	*ret = xstrdup(imageref_full(&ref, a));
	return 0;
}

int store_pulled_digest(struct store *s, const char *name, char **ret, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *ref = NULL;
	const char *digest;
	if (full_ref(name, &ref, err) < 0 || store_read_index(s, &index, err) < 0)
		return -1;
	digest = json_get_str(json_object_get(ref_section(index, ref), ref), "digest", NULL);
	*ret = digest ? xstrdup(digest) : NULL;
	return 0;
}

char *store_familiar(const char *full)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref = {0};
	return xstrdup(imageref_parse(full, a, &ref, NULL) == 0 ? imageref_familiar(&ref, a) : full);
}

int store_tag_time(struct store *s, const char *name, uint64_t *ret_real_ns, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *ref = NULL;
	const char *text, *rest;
	struct tm tm = {0};
	time_t t;
	if (full_ref(name, &ref, err) < 0 || store_read_index(s, &index, err) < 0)
		return -1;
	text = json_get_str(json_object_get(ref_section(index, ref), ref), "tagged", "");
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest || (t = timegm(&tm)) < 0)
		return 1;
	*ret_real_ns = (uint64_t)t * 1000000000ULL + (*rest == '.' ? (uint64_t)(strtod(rest, NULL) * 1e9) : 0);
	return 0;
}

int store_pull_time(struct store *s, const char *name, uint64_t *ret_real_ns, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *ref = NULL;
	int64_t at;
	if (full_ref(name, &ref, err) < 0 || store_read_index(s, &index, err) < 0)
		return -1;
	at = json_get_int(json_object_get(ref_section(index, ref), ref), "pulled", 0);
	if (at <= 0)
		return 1;
	*ret_real_ns = (uint64_t)at;
	return 0;
}

char *store_layer_path(const char *diff_id)
{
	return xasprintf("layers/%s/diff", diff_id);
}

void store_layer_info(struct store *s, const char *diff_id, struct store_layer_info *ret)
{
	AUTO_FREE char *path = xasprintf("%s/meta.json", diff_id);
	AUTO_JSON json_t *meta = NULL;
	*ret = (struct store_layer_info){0};
	if (json_read_file(s->layers_fd, path, &meta, NULL) != 0)
		return;
	ret->size_bytes = (uint64_t)MAX(json_get_int(meta, "size_bytes", 0), 0);
	ret->n_entries = (uint64_t)MAX(json_get_int(meta, "entries", 0), 0);
	ret->tar_bytes = (uint64_t)MAX(json_get_int(meta, "tar_bytes", 0), 0);
	ret->clamp = json_object_get(meta, "latest") != NULL;
	ret->latest_s = json_get_int(meta, "latest", 0);
}

static uint64_t layer_size(struct store *s, const char *diff_id)
{
	struct store_layer_info info;
	store_layer_info(s, diff_id, &info);
	return info.size_bytes;
}

/* The references of one section that lead to this image, sorted. */
static void collect_refs(const json_t *index, const char *section, const char *id, struct strv *ret)
{
	const char *ref;
	json_t *entry;
	json_object_foreach(json_object_get(index, section), ref, entry)
		if (strcmp(ref_id(entry), id) == 0)
			strv_push(ret, ref);
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), store_compare_text);
}

/* Reads the image with this full id, checking its configuration against it. Returns 0; 1 when there is none; -1 + err. */
int store_read_image(struct store *s, const json_t *index, const char *id, struct image *ret, struct err *err)
{
	AUTO_FREE char *file = xasprintf("%s.json", id);
	AUTO_STR struct str text = {0};
	struct image img = {0};
	int rc = fs_read(s->config_fd, file, IMAGE_MAX_CONFIG_BYTES, &text, err);
	if (rc != 0)
		return rc;
	if (image_config_parse(str_get(&text), text.len, &img, err) < 0 || strcmp(img.id, id) != 0) {
		image_done(&img);
		return err_set(err, ERR_CORRUPT, "image %.12s is damaged: its configuration does not match its id (remove it by its id)",
			id);
	}
	collect_refs(index, "refs", id, &img.refs);
	store_platform_refs(index, id, &img.refs);
	collect_refs(index, "digests", id, &img.digests);
	for (size_t i = 0; i < img.diff_ids.n; i++)
		img.size_bytes += layer_size(s, img.diff_ids.v[i]);
	*ret = img;
	return 0;
}

int store_read_config(struct store *s, const char *id, struct str *ret, struct err *err)
{
	AUTO_FREE char *file = xasprintf("%.64s.json", id);
	char hex[65];
	int rc = fs_read(s->config_fd, file, IMAGE_MAX_CONFIG_BYTES, ret, err);
	if (rc != 0)
		return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "image %.12s: its configuration is missing from the store", id);
	sha256_hex(str_get(ret), ret->len, hex);
	return strcmp(hex, id) == 0 ? 0 : err_set(err, ERR_CORRUPT, "image %.12s is damaged: its configuration does not match its id", id);
}

int store_compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_id(void *arg, const char *name)
{
	char id[65];
	if (strlen(name) == 69 && str_ends(name, ".json")) {
		snprintf(id, sizeof(id), "%.64s", name);
		if (store_is_id(id))
			strv_push(arg, id);
	}
	return 0;
}

int store_ids(struct store *s, const json_t *index, struct strv *ret, struct err *err)
{
	AUTO_STRV struct strv all = {0}, marked = {0};
	if (fs_each(s->config_fd, ".", store_add_marked, &marked, err) < 0 || fs_each(s->config_fd, ".", add_id, &all, err) < 0)
		return err_wrap(err, "image store");
	for (size_t i = 0; i < all.n; i++)
		if (!strv_has(&marked, all.v[i]) || store_is_known(index, all.v[i]))
			strv_push(ret, all.v[i]);
	if (ret->n > 1)
		qsort(ret->v, ret->n, sizeof(*ret->v), store_compare_text);
	return 0;
}

/* Which image `name` means. Returns 0 with the id, and the canonical reference in *ret_ref when it was one (else NULL; free()
 * it); -1 + err. */
static int resolve(struct store *s, const json_t *index, const char *name, char ret_id[static 65], char **ret_ref, struct err *err)
{
	AUTO_STRV struct strv ids = {0};
	AUTO_FREE char *ref = NULL;
	const char *hex = str_starts(name, "sha256:") ? name + strlen("sha256:") : name, *found = NULL;
	struct err ref_err = {0};
	char shown[160];
	bool is_hex = strlen(hex) >= MIN_PREFIX && strlen(hex) <= 64 && strspn(hex, "0123456789abcdef") == strlen(hex);
	if (full_ref(name, &ref, &ref_err) == 0) {
		const char *id = ref_id(json_object_get(ref_section(index, ref), ref));
		if (*id) {
			memcpy(ret_id, id, 65);
			*ret_ref = TAKE_PTR(ref);
			return 0;
		}
	} else if (!is_hex) {
		*err = ref_err;
		return -1;
	}
	if (is_hex && store_ids(s, index, &ids, err) < 0)
		return -1;
	err_quote(shown, sizeof(shown), name);
	for (size_t i = 0; i < ids.n; i++) {
		if (!str_starts(ids.v[i], hex))
			continue;
		if (found)
			return err_set(err, ERR_CONFLICT, "image id \"%s\" is not unique: %.16s, %.16s", shown, found, ids.v[i]);
		found = ids.v[i];
	}
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "image \"%s\" not found locally", shown);
	memcpy(ret_id, found, 65);
	*ret_ref = NULL;
	return 0;
}

int store_lookup(struct store *s, const char *name, struct image *ret, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *ref = NULL;
	char id[65], shown[160];
	struct err own;
	int rc;
	err = err ? err : &own;
	if (store_read_index(s, &index, err) < 0 || resolve(s, index, name, id, &ref, err) < 0)
		return -1;
	rc = store_read_image(s, index, id, ret, err);
	if (rc == 1)
		return err_set(err, ERR_CORRUPT, "image \"%s\": its configuration is missing from the store",
			err_quote(shown, sizeof(shown), name));
	return rc;
}

static int compare_newest(const void *a, const void *b)
{
	const struct image *x = a, *y = b;
	int c = strcmp(y->created, x->created);
	return c ? c : strcmp(x->id, y->id);
}

int store_list(struct store *s, struct image **ret_images, size_t *ret_n, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_STRV struct strv ids = {0};
	struct image *images;
	size_t n = 0;
	int rc = 0;
	if (store_read_index(s, &index, err) < 0 || store_ids(s, index, &ids, err) < 0)
		return -1;
	images = xcalloc(ids.n, sizeof(*images));
	for (size_t i = 0; i < ids.n && rc >= 0; i++) {
		rc = store_read_image(s, index, ids.v[i], &images[n], err);
		n += rc == 0; /* 1: removed while we were reading */
	}
	if (rc < 0) {
		store_list_free(images, n);
		return -1;
	}
	qsort(images, n, sizeof(*images), compare_newest);
	*ret_images = images;
	*ret_n = n;
	return 0;
}

void store_list_free(struct image *images, size_t n)
{
	for (size_t i = 0; i < n; i++)
		image_done(&images[i]);
	free(images);
}

bool store_has_layer(struct store *s, const char *diff_id)
{
	AUTO_FREE char *path = xasprintf("%s/diff", diff_id);
	struct stat st;
	return fstatat(s->layers_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int store_open_layers(struct store *s, const struct image *img, int **ret_fds, size_t *ret_n, struct err *err)
{
	int *fds = xcalloc(img->diff_ids.n, sizeof(*fds));
	for (size_t i = 0; i < img->diff_ids.n; i++) {
		AUTO_FREE char *path = xasprintf("%s/diff", img->diff_ids.v[i]);
		fds[i] = openat(s->layers_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fds[i] < 0) {
			int e = errno;
			while (i-- > 0)
				close(fds[i]);
			free(fds);
			if (e == ENOENT)
				return err_set(err, ERR_CORRUPT, "image %.12s: a layer is missing from the store", img->id);
			return err_sys(err, e, "image %.12s: open a layer", img->id);
		}
	}
	*ret_fds = fds;
	*ret_n = img->diff_ids.n;
	return 0;
}

void store_removed_done(struct store_removed *r)
{
	strv_done(&r->untagged);
	strv_done(&r->deleted);
}

int store_tag(struct store *s, const char *id, const char *name, struct err *err)
{
	AUTO_CLOSE int lock = -1;
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *ref = NULL;
	struct image img = {0};
	int rc;
	if (full_ref(name, &ref, err) < 0)
		return -1;
	lock = store_lock(s, STORE_EXCLUSIVE, err);
	if (lock < 0 || store_read_index(s, &index, err) < 0)
		return -1;
	rc = store_read_image(s, index, id, &img, err);
	image_done(&img);
	if (rc != 0)
		return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "image \"%.64s\" not found locally", id);
	store_set_ref(index, ref, id, NULL, false);
	return store_write_index(s, index, err);
}

int store_set_pushed(struct store *s, const char *id, const char *name, const char *digest, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_CLOSE int lock = store_lock(s, STORE_EXCLUSIVE, err);
	AUTO_JSON json_t *index = NULL;
	AUTO_IMAGE struct image img = {0};
	struct imageref ref = {0};
	json_t *entry;
	int rc;
	if (lock < 0 || imageref_parse(name, a, &ref, err) < 0 || store_read_index(s, &index, err) < 0)
		return -1;
	rc = store_read_image(s, index, id, &img, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0; /* removed meanwhile: there is nothing to know */
	entry = json_object_get(json_object_get(index, "refs"), imageref_full(&ref, a));
	if (strcmp(ref_id(entry), id) == 0) /* else it has another meaning here by now */
		json_put_str(entry, "digest", digest);
	ref.tag = NULL;
	ref.digest = digest;
	store_set_ref(index, imageref_full(&ref, a), id, digest, false);
	return store_write_index(s, index, err);
}

/* ---- removal ---- */

static int add_pin(void *arg, const char *name)
{
	map_put(arg, name, arg);
	return 0;
}

/* The layers that images other than `but` need, and those that are pinned. Returns 0; 1 when some configuration cannot be read, so that not all are known;
 * -1 + err. */
static int needed_layers(struct store *s, const json_t *index, const char *but, struct map *ret, struct err *err)
{
	AUTO_STRV struct strv ids = {0};
	int rc = 0;
	if (store_ids(s, index, &ids, err) < 0 || fs_each(s->pins_fd, ".", add_pin, ret, err) < 0)
		return -1;
	for (size_t i = 0; i < ids.n; i++) {
		struct image img = {0};
		int got;
		if (str_eq(ids.v[i], but))
			continue;
		got = store_read_image(s, index, ids.v[i], &img, NULL);
		for (size_t l = 0; l < img.diff_ids.n; l++)
			map_put(ret, img.diff_ids.v[l], ret);
		image_done(&img);
		if (got < 0)
			rc = 1;
	}
	return rc;
}

static int add_pinned(void *arg, const char *name)
{
	strv_push(arg, name);
	return 0;
}

int store_cached_layers(struct store *s, struct strv *ret, struct err *err)
{
	AUTO_STRV struct strv pins = {0};
	AUTO_MAP struct map needed = {0};
	struct image *images = NULL;
	size_t n = 0;
	if (fs_each(s->pins_fd, ".", add_pinned, &pins, err) < 0 || store_list(s, &images, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < images[i].diff_ids.n; k++)
			map_put(&needed, images[i].diff_ids.v[k], s);
	store_list_free(images, n);
	for (size_t i = 0; i < pins.n; i++)
		if (!map_get(&needed, pins.v[i]))
			strv_push(ret, pins.v[i]);
	return 0;
}

struct garbage {
	struct store *s;
	const struct map *needed;  /* NULL: layers are not looked at */
	struct strv names;         /* below layers/, flock'd by us */
	uint64_t *bytes;           /* of the layers among them are added here; NULL: nobody asks */
	int fds[MAX_STALE];
};

/* Locks a directory nobody is making any more; a needless layer gets a name under which nobody finds it. */
static int collect_garbage(void *arg, const char *name)
{
	struct garbage *g = arg;
	AUTO_CLOSE int fd = -1;
	char trash[32] = ".tmp-", *to = trash + strlen(trash);
	bool is_tmp = str_starts(name, ".tmp-");
	if (g->names.n == MAX_STALE || (!is_tmp && (!g->needed || !store_is_id(name) || map_get(g->needed, name))))
		return 0;
	fd = openat(g->s->layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	if (!is_tmp) {
		if (g->bytes)
			*g->bytes += layer_size(g->s, name);
		random_hex(to, 16);
		if (renameat(g->s->layers_fd, name, g->s->layers_fd, trash) < 0)
			return 0;
		name = trash;
	}
	g->fds[g->names.n] = TAKE_FD(fd);
	strv_push(&g->names, name);
	return 0;
}

/* Empties what was collected; to be called without the store's lock, as large trees take their time. */
static int drop_garbage(struct garbage *g, struct err *err)
{
	int rc = g->names.n ? failpoint_err("image.garbage", err) : 0;
	for (size_t i = 0; i < g->names.n; i++) {
		if (rc < 0 || fs_remove_tree(g->s->layers_fd, g->names.v[i], err) < 0)
			rc = -1;
		close(g->fds[i]);
	}
	strv_done(&g->names);
	return rc;
}

int store_sweep(struct store *s, struct err *err)
{
	return store_collect(s, STORE_GRACE_S, NULL, err);
}

int store_collect(struct store *s, uint64_t grace_s, uint64_t *ret_bytes, struct err *err)
{
	AUTO_MAP struct map needed = {0}, blobs = {0};
	AUTO_JSON json_t *index = NULL;
	struct garbage g = { .s = s };
	int lock = store_lock(s, STORE_EXCLUSIVE, err), rc;
	if (lock < 0)
		return -1;
	rc = store_read_index(s, &index, err);
	if (rc == 0)
		rc = store_sync_layout(s, index, err);
	if (rc == 0)
		rc = oci_sweep(s->oci, store_needed_blobs(s, index, &blobs) == 0 ? &blobs : NULL, grace_s, ret_bytes, NULL, err);
	if (rc == 0)
		rc = needed_layers(s, index, NULL, &needed, err);
	if (rc >= 0) {
		g.needed = rc == 0 ? &needed : NULL;
		g.bytes = ret_bytes;
		rc = fs_each(s->layers_fd, ".", collect_garbage, &g, err);
	}
	close(lock);
	return drop_garbage(&g, err) < 0 || rc < 0 ? -1 : 0;
}

/* What a removal is about to do, decided before anything changes. */
struct removal {
	char id[65];
	struct strv refs;     /* canonical, to be dropped */
	struct strv others;   /* images of other platforms that may go with the references */
	bool delete_image;
};

/* Drops the references. Images of other platforms that have lost their last name with them, and are not in use, stay in r->others. */
static void drop_refs(json_t *index, struct removal *r, store_in_use_fn *in_use, void *arg)
{
	AUTO_STRV struct strv others = {0};
	for (size_t i = 0; i < r->refs.n; i++) {
		store_platform_ids(json_object_get(ref_section(index, r->refs.v[i]), r->refs.v[i]), &others);
		json_object_del(ref_section(index, r->refs.v[i]), r->refs.v[i]);
	}
	for (size_t i = 0; i < others.n; i++) {
		AUTO_STRV struct strv names = {0};
		char by[64];
		collect_refs(index, "refs", others.v[i], &names);
		store_platform_refs(index, others.v[i], &names);
		if (strcmp(others.v[i], r->id) != 0 && names.n == 0 && !(in_use && in_use(arg, others.v[i], by)))
			strv_push(&r->others, others.v[i]);
	}
}

static int plan_removal(struct store *s, const json_t *index, const char *name, bool force, store_in_use_fn *in_use, void *arg,
	struct removal *ret, struct err *err)
{
	AUTO_FREE char *ref = NULL;
	AUTO_STRV struct strv all = {0}, digests = {0};
	char by[64] = "", shown[160];
	bool last;
	if (resolve(s, index, name, ret->id, &ref, err) < 0)
		return -1;
	collect_refs(index, "refs", ret->id, &all);
	collect_refs(index, "digests", ret->id, &digests);
	err_quote(shown, sizeof(shown), name);
	if (!ref && all.n > 1 && !force)
		return err_set(err, ERR_CONFLICT, "image \"%s\" has %zu names: remove them one by one, or use force", shown, all.n);
	last = !ref || (strchr(ref, '@') ? all.n == 0 && digests.n <= 1 : all.n <= 1);
	ret->delete_image = last;
	if (last && in_use && in_use(arg, ret->id, by)) {
		if (!force)
			return err_set(err, ERR_CONFLICT, "image \"%s\" is in use by %s", shown, by);
		ret->delete_image = false;
	}
	if (ref)
		strv_push(&ret->refs, ref);
	for (size_t i = 0; !ref && i < all.n; i++)
		strv_push(&ret->refs, all.v[i]);
	for (size_t i = 0; last && i < digests.n; i++) /* a digest does not keep an image that has lost its last name */
		if (!str_eq(ref, digests.v[i]))
			strv_push(&ret->refs, digests.v[i]);
	return 0;
}

/* Removes the blobs of an image that has lost its manifest record; another image may need some of them, too. */
static void delete_blobs(struct store *s, const json_t *index, struct map *blobs, struct store_removed *ret)
{
	AUTO_MAP struct map needed = {0};
	uint64_t bytes;
	if (store_needed_blobs(s, index, &needed) != 0)
		return;
	for (struct map_entry *e = map_next(blobs, NULL); e; e = map_next(blobs, e)) {
		if (map_get(&needed, e->key) || !oci_has(s->oci, e->key, &bytes) || oci_remove(s->oci, e->key, NULL) < 0)
			continue;
		ret->bytes += bytes;
	}
}

/* Removes the image's configuration and gathers its layers; under the lock, after the index was written. */
static int delete_image(struct store *s, const json_t *index, const char *id, struct garbage *g, struct store_removed *ret, struct err *err)
{
	AUTO_MAP struct map needed = {0};
	AUTO_FREE char *file = xasprintf("%s.json", id);
	struct image img = {0};
	int known = needed_layers(s, index, id, &needed, err);
	if (known < 0)
		return -1;
	if (store_read_image(s, index, id, &img, NULL) < 0)
		img = (struct image){0};
	if (unlinkat(s->config_fd, file, 0) < 0 && errno != ENOENT) {
		image_done(&img);
		return err_sys(err, errno, "image store: remove %s", file);
	}
	fsync(s->config_fd);
	if (failpoint_err("image.deleted", err) < 0)
		return image_done(&img), -1;
	strv_pushf(&ret->deleted, "sha256:%s", id);
	g->needed = &needed;
	for (size_t i = 0; known == 0 && i < img.diff_ids.n; i++) {
		size_t before = g->names.n;
		collect_garbage(g, img.diff_ids.v[i]);
		if (g->names.n > before)
			strv_pushf(&ret->deleted, "sha256:%s", img.diff_ids.v[i]);
	}
	g->needed = NULL;
	image_done(&img);
	return 0;
}

/* The layers and blobs of an image that nothing needs without it, counted. */
static int preview_image(struct store *s, json_t *index, const char *id, struct store_removed *ret, struct err *err)
{
	AUTO_MAP struct map layers = {0}, blobs = {0}, needed = {0};
	AUTO_IMAGE struct image img = {0};
	const char *hex;
	uint64_t bytes;
	int known = needed_layers(s, index, id, &layers, err);
	if (known < 0)
		return -1;
	strv_pushf(&ret->deleted, "sha256:%s", id);
	if (store_read_image(s, index, id, &img, NULL) < 0)
		img = (struct image){0};
	for (size_t i = 0; known == 0 && i < img.diff_ids.n; i++) {
		struct store_layer_info info;
		if (map_get(&layers, img.diff_ids.v[i]) || !store_has_layer(s, img.diff_ids.v[i]))
			continue;
		store_layer_info(s, img.diff_ids.v[i], &info);
		strv_pushf(&ret->deleted, "sha256:%s", img.diff_ids.v[i]);
		ret->bytes += info.size_bytes;
		map_put(&layers, img.diff_ids.v[i], s); /* one that the image has twice goes once */
	}
	if (!store_manifest_record(index, id, &hex))
		return 0;
	store_manifest_blobs(s, hex, &blobs, NULL);
	json_object_del(json_object_get(index, "manifests"), id);
	if (store_needed_blobs(s, index, &needed) != 0)
		return 0;
	for (struct map_entry *e = map_next(&blobs, NULL); e; e = map_next(&blobs, e))
		ret->bytes += !map_get(&needed, e->key) && oci_has(s->oci, e->key, &bytes) ? bytes : 0;
	return 0;
}

int store_preview_remove(struct store *s, const char *name, bool force, store_in_use_fn *in_use, void *arg, struct store_removed *ret,
	struct err *err)
{
	AUTO_CLOSE int lock = store_lock(s, STORE_SHARED, err);
	AUTO_JSON json_t *index = NULL;
	struct removal r = {0};
	int rc;
	if (lock < 0 || store_read_index(s, &index, err) < 0)
		return -1;
	rc = plan_removal(s, index, name, force, in_use, arg, &r, err);
	for (size_t i = 0; rc == 0 && i < r.refs.n; i++)
		strv_take(&ret->untagged, store_familiar(r.refs.v[i]));
	if (rc == 0)
		drop_refs(index, &r, in_use, arg);
	if (rc == 0 && r.delete_image)
		strv_push(&r.others, r.id);
	for (size_t i = 0; rc == 0 && i < r.others.n; i++)
		rc = preview_image(s, index, r.others.v[i], ret, err);
	strv_done(&r.refs);
	strv_done(&r.others);
	return rc;
}

int store_remove(struct store *s, const char *name, bool force, store_in_use_fn *in_use, void *arg, struct store_removed *ret,
	struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_MAP struct map blobs = {0};
	struct garbage g = { .s = s, .bytes = &ret->bytes };
	struct removal r = {0};
	struct err own;
	const char *hex;
	bool changed = false;
	int lock, rc;
	err = err ? err : &own;
	lock = store_lock(s, STORE_EXCLUSIVE, err);
	if (lock < 0)
		return -1;
	rc = store_read_index(s, &index, err);
	if (rc == 0)
		rc = plan_removal(s, index, name, force, in_use, arg, &r, err);
	if (rc == 0) {
		drop_refs(index, &r, in_use, arg);
		if (r.delete_image)
			strv_push(&r.others, r.id);
	}
	for (size_t i = 0; rc == 0 && i < r.others.n; i++) {
		store_mark(s, r.others.v[i], NULL); /* on a full disk it goes without */
		changed |= store_forget_platform(index, r.others.v[i]);
		if (!store_manifest_record(index, r.others.v[i], &hex))
			continue;
		store_manifest_blobs(s, hex, &blobs, NULL);
		json_object_del(json_object_get(index, "manifests"), r.others.v[i]);
	}
	if (rc == 0 && (r.refs.n || blobs.n || changed))
		rc = store_write_index(s, index, err);
	for (size_t i = 0; rc == 0 && i < r.refs.n; i++)
		strv_take(&ret->untagged, store_familiar(r.refs.v[i]));
	rc = rc == 0 && r.others.n ? failpoint_err("image.unnamed", err) : rc;
	for (size_t i = 0; rc == 0 && i < r.others.n; i++)
		rc = delete_image(s, index, r.others.v[i], &g, ret, err);
	for (size_t i = 0; rc == 0 && i < r.others.n; i++)
		store_unmark(s, r.others.v[i]);
	if (rc < 0 && r.others.n)
		store_recover(s);
	if (rc == 0 && blobs.n)
		delete_blobs(s, index, &blobs, ret);
	close(lock);
	strv_done(&r.refs);
	strv_done(&r.others);
	if (drop_garbage(&g, NULL) < 0 && rc == 0)
		rc = 0; /* the image is gone; what could not be emptied goes with the next sweep */
	return rc;
}
