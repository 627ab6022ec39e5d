/* SPDX-License-Identifier: Apache-2.0 */
/* Adding to the store. A layer is unpacked under a private name by whoever holds its flock; everything slow (unpacking, syncing)
 * happens before the store's lock is taken. Under the lock: rename the layers, sync their parent, write the configuration, write
 * the index; in between stands a mark (store_pending.c), so that an image is there with all that belongs to it, or not at all. */
#include <stdio.h>
#include <sys/file.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "images/store_impl.h"

int store_begin_layer(struct store *s, char ret_name[static 32], struct err *err)
{
	AUTO_CLOSE int lock = store_lock(s, STORE_SHARED, err); /* a sweeper must not see the directory before its flock */
	AUTO_CLOSE int fd = -1;
	char name[32] = ".tmp-";
	if (lock < 0)
		return -1;
	random_hex(name + strlen(name), 16);
	if (mkdirat(s->layers_fd, name, 0700) < 0)
		return err_sys(err, errno, "image store: create a directory for a layer");
	fd = openat(s->layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || mkdirat(fd, "diff", 0755) < 0 || fchmodat(fd, "diff", 0755, 0) < 0) {
		int e = errno;
		fs_remove_tree(s->layers_fd, name, NULL);
		return err_sys(err, e, "image store: prepare a directory for a layer");
	}
	memcpy(ret_name, name, sizeof(name));
	return TAKE_FD(fd);
}

void store_abandon_layer(struct store *s, const char *name)
{
	if (name[0])
		fs_remove_tree(s->layers_fd, name, NULL);
}

int store_open_spool(struct store *s, struct err *err)
{
	char name[32] = ".spool-";
	int fd = openat(s->layers_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	random_hex(name + strlen(name), 16); /* a file system without unnamed files */
	fd = openat(s->layers_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || unlinkat(s->layers_fd, name, 0) < 0) {
		int e = errno;
		util_close(&fd);
		return err_sys(err, e, "image store: create a temporary file");
	}
	return fd;
}

int store_lock_pull(struct store *s, const char *id, struct err *err)
{
	AUTO_FREE char *name = xasprintf("pull-%.64s.lock", id);
	for (;;) {
		AUTO_CLOSE int fd = openat(s->images_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		struct stat mine, now;
		if (fd < 0)
			return err_sys(err, errno, "image store: open %s", name);
		while (flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				return err_sys(err, errno, "image store: lock %s", name);
		if (fstat(fd, &mine) == 0 && fstatat(s->images_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == now.st_ino)
			return TAKE_FD(fd);
	}
}

void store_unlock_pull(struct store *s, const char *id, int fd)
{
	AUTO_FREE char *name = xasprintf("pull-%.64s.lock", id);
	unlinkat(s->images_fd, name, 0);
	close(fd);
}

/* Writes the layers' records and brings everything to the disk: one syncfs for all of them. */
static int sync_layers(struct store *s, const struct store_new_layer *layers, size_t n, struct err *err)
{
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON json_t *meta = json_object();
		AUTO_FREE char *path = xasprintf("%s/meta.json", layers[i].tmp_name);
		AUTO_FREE char *text = NULL;
		AUTO_CLOSE int fd = -1;
		if (!layers[i].tmp_name[0])
			continue;
		json_put_int(meta, "schema", 1);
		json_put_int(meta, "size_bytes", (int64_t)layers[i].size_bytes);
		json_put_int(meta, "entries", (int64_t)layers[i].n_entries);
		if (layers[i].tar_bytes)
			json_put_int(meta, "tar_bytes", (int64_t)layers[i].tar_bytes);
		if (layers[i].clamp)
			json_put_int(meta, "latest", layers[i].latest_s);
		text = json_canonical(meta);
		fd = openat(s->layers_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return err_sys(err, errno, "image store: write a layer's record");
		if (fs_write_all(fd, text, strlen(text), err) < 0)
			return -1;
		any = true;
	}
	if (any && (failpoint("image.sync") < 0 || syncfs(s->layers_fd) < 0))
		return err_sys(err, errno, "image store: sync");
	return 0;
}

/* Under the exclusive lock. A layer that came meanwhile stays, ours is left for the caller to drop. */
static int rename_layers(struct store *s, const struct store_new_layer *layers, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (!layers[i].tmp_name[0] || store_has_layer(s, layers[i].diff_id))
			continue;
		if (failpoint("image.layer") < 0 || renameat(s->layers_fd, layers[i].tmp_name, s->layers_fd, layers[i].diff_id) < 0)
			return err_sys(err, errno, "image store: put a layer into place");
	}
	return fsync(s->layers_fd) < 0 ? err_sys(err, errno, "image store: sync") : 0;
}

/* The digest of the first reference that has one: what the names beside it led to. */
static const char *first_digest(char *const *refs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strchr(refs[i], '@'))
			return strchr(refs[i], '@') + 1;
	return NULL;
}

/* What a commit needs beside the layers, made before the lock is taken: the two small blobs. */
struct prepared {
	char manifest_hex[65];
	struct map blobs;      /* all that must be in the layout */
};

static int prepare_manifest(struct store *s, const struct store_commit *c, struct prepared *ret, struct err *err)
{
	char config_hex[65];
	if (!c->manifest)
		return 0;
	if (oci_put(s->oci, c->config, c->n_config, config_hex, err) < 0 || oci_put(s->oci, c->manifest, c->n_manifest, ret->manifest_hex, err) < 0)
		return err_wrap(err, "image store");
	return store_manifest_blobs(s, ret->manifest_hex, &ret->blobs, err);
}

static void set_manifest(json_t *index, const char *id, const char *hex, size_t n, const char *type)
{
	AUTO_FREE char *digest = xasprintf("sha256:%s", hex);
	json_t *record = json_object();
	json_put_str(record, "digest", digest);
	json_put_int(record, "size", (int64_t)n);
	json_put_str(record, "type", type);
	if (!json_object_get(index, "manifests"))
		json_object_set_new(index, "manifests", json_object());
	json_object_set_new(json_object_get(index, "manifests"), id, record);
}

static int check_present(struct store *s, const struct image *img, const struct prepared *p, struct err *err)
{
	for (size_t i = 0; i < img->diff_ids.n; i++)
		if (!store_has_layer(s, img->diff_ids.v[i]))
			return err_set(err, ERR_CONFLICT, "image %.12s: layer %.12s has been removed meanwhile", img->id, img->diff_ids.v[i]);
	for (struct map_entry *e = map_next(&p->blobs, NULL); e; e = map_next(&p->blobs, e))
		if (!oci_has(s->oci, e->key, NULL))
			return err_set(err, ERR_CONFLICT, "image %.12s: blob %.12s has been removed meanwhile", img->id, e->key);
	return 0;
}

static int commit_locked(struct store *s, const struct image *img, const struct store_commit *c, const struct prepared *p, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_FREE char *file = xasprintf("%s.json", img->id);
	struct image old = {0};
	bool was_there;
	if (store_read_index(s, &index, err) < 0 || rename_layers(s, c->layers, c->n_layers, err) < 0 || check_present(s, img, p, err) < 0)
		return -1;
	if (failpoint_err("image.layers", err) < 0)
		return -1;
	was_there = store_read_image(s, index, img->id, &old, NULL) == 0;
	image_done(&old);
	if (!was_there && (c->n_refs || c->manifest) && store_mark(s, img->id, err) < 0)
		return -1;
	if (failpoint_err("image.marked", err) < 0)
		return -1;
	if (!was_there && fs_write_atomic(s->config_fd, file, c->config, c->n_config, 0600, err) < 0)
		return err_wrap(err, "image store");
	if (failpoint_err("image.config", err) < 0)
		return -1;
	for (size_t i = 0; i < c->n_refs; i++)
		store_set_ref(index, c->refs[i], img->id, strchr(c->refs[i], '@') ? NULL : first_digest(c->refs, c->n_refs), c->pulled);
	if (c->manifest)
		set_manifest(index, img->id, p->manifest_hex, c->n_manifest, c->manifest_type);
	if ((c->n_refs || c->manifest) && store_write_index(s, index, err) < 0)
		return -1;
	if (failpoint_err("image.recorded", err) < 0)
		return -1;
	if (!was_there)
		store_unmark(s, img->id);
	return was_there;
}

int store_commit(struct store *s, const struct store_commit *c, char ret_id[static 65], struct err *err)
{
	AUTO_IMAGE struct image img = {0};
	AUTO_CLOSE int lock = -1;
	struct prepared p = {0};
	int rc;
	if (image_config_parse(c->config, c->n_config, &img, err) < 0 || sync_layers(s, c->layers, c->n_layers, err) < 0)
		return -1;
	rc = prepare_manifest(s, c, &p, err);
	if (rc == 0) {
		lock = store_lock(s, STORE_EXCLUSIVE, err);
		rc = lock < 0 ? -1 : commit_locked(s, &img, c, &p, err);
		if (rc < 0 && lock >= 0)
			store_recover(s);
		util_close(&lock);
	}
	map_done(&p.blobs);
	for (size_t i = 0; rc >= 0 && i < c->n_layers; i++)
		store_abandon_layer(s, c->layers[i].tmp_name); /* only what a simultaneous writer made superfluous is still there */
	if (rc >= 0)
		memcpy(ret_id, img.id, sizeof(img.id));
	return rc;
}

int store_commit_image(struct store *s, const char *config, size_t n, const struct store_new_layer *layers, size_t n_layers,
	char *const *refs, size_t n_refs, char ret_id[static 65], struct err *err)
{
	const struct store_commit c = {
		.config = config, .n_config = n, .layers = layers, .n_layers = n_layers, .refs = refs, .n_refs = n_refs,
	};
	return store_commit(s, &c, ret_id, err);
}

int store_set_manifest(struct store *s, const char *id, const char *text, size_t n, const char *type, struct err *err)
{
	AUTO_IMAGE struct image img = {0};
	AUTO_JSON json_t *index = NULL;
	AUTO_MAP struct map blobs = {0};
	AUTO_CLOSE int lock = -1;
	char hex[65];
	int rc;
	if (oci_put(s->oci, text, n, hex, err) < 0 || store_manifest_blobs(s, hex, &blobs, err) < 0)
		return -1;
	lock = store_lock(s, STORE_EXCLUSIVE, err);
	if (lock < 0 || store_read_index(s, &index, err) < 0)
		return -1;
	rc = store_read_image(s, index, id, &img, err);
	if (rc != 0)
		return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "image %.12s has been removed meanwhile", id);
	if (check_present(s, &img, &(struct prepared){ .blobs = blobs }, err) < 0)
		return -1;
	set_manifest(index, id, hex, n, type);
	return store_write_index(s, index, err);
}

/* ---- layers without an image ---- */

static int write_pin(struct store *s, const char *diff_id, struct err *err)
{
	AUTO_CLOSE int fd = openat(s->pins_fd, diff_id, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(err, errno, "image store: pin layer %.12s", diff_id) : 0;
}

int store_pin_layer(struct store *s, const char *diff_id, struct err *err)
{
	AUTO_CLOSE int lock = -1;
	if (!store_is_id(diff_id))
		return err_set(err, ERR_INVALID, "image store: not a layer's digest");
	lock = store_lock(s, STORE_EXCLUSIVE, err);
	if (lock < 0)
		return -1;
	if (!store_has_layer(s, diff_id))
		return err_set(err, ERR_CONFLICT, "image store: layer %.12s has been removed", diff_id);
	return write_pin(s, diff_id, err);
}

int store_unpin_layer(struct store *s, const char *diff_id, struct err *err)
{
	if (!store_is_id(diff_id) || (unlinkat(s->pins_fd, diff_id, 0) < 0 && errno != ENOENT))
		return err_set(err, ERR_INVALID, "image store: unpin layer %.12s", diff_id);
	return 0;
}

int store_commit_layers(struct store *s, const struct store_new_layer *layers, size_t n, struct err *err)
{
	AUTO_CLOSE int lock = -1;
	int rc = 0;
	if (sync_layers(s, layers, n, err) < 0)
		return -1;
	lock = store_lock(s, STORE_EXCLUSIVE, err);
	if (lock < 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < n; i++) /* first, so that no sweep finds the layer alone */
		rc = write_pin(s, layers[i].diff_id, err);
	if (rc < 0 || rename_layers(s, layers, n, err) < 0)
		return -1;
	util_close(&lock);
	for (size_t i = 0; i < n; i++)
		store_abandon_layer(s, layers[i].tmp_name);
	return 0;
}
