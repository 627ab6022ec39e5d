/* SPDX-License-Identifier: Apache-2.0 */
/* The store is not locked while it is read: something that is removed meanwhile is no fault, so what is missing counts only when the image that
 * needs it is still there afterwards. */
#include "images/verify.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/manifest.h"
#include "images/store_impl.h"

struct verify {
	const struct work *w;
	struct store *s;
	bool repair;
	void (*found)(void *arg, const char *text);
	void *arg;
	struct verify_result r;
	struct map blob_of;      /* diff_id -> digits of a blob that it came as, malloc'd */
	struct map seen;         /* layers that were looked at */
};

static void bad(struct verify *v, bool repaired, const char *fmt, ...) PRINTF(3, 4);
static void bad(struct verify *v, bool repaired, const char *fmt, ...)
{
	va_list ap;
	char text[400];
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->r.n_bad++;
	v->r.n_repaired += repaired;
	v->found(v->arg, text);
}

/* ---- blobs ---- */

static bool blob_is_right(struct oci *oci, const char *hex)
{
	AUTO_CLOSE int fd = oci_open_blob(oci, hex, NULL, NULL);
	char got[65];
	return fd >= 0 && pack_hash_fd(fd, got, NULL) == 0 && strcmp(got, hex) == 0;
}

static int verify_blobs(struct verify *v, struct err *err)
{
	struct oci *oci = store_oci(v->s);
	AUTO_STRV struct strv all = {0};
	if (oci_list(oci, &all, err) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++) {
		bool gone;
		v->r.n_blobs++;
		if (blob_is_right(oci, all.v[i]) || !oci_has(oci, all.v[i], NULL))
			continue;
		gone = v->repair && oci_remove(oci, all.v[i], NULL) == 0;
		bad(v, gone, "blob sha256:%s is damaged%s", all.v[i], gone ? ": removed" : "");
	}
	return 0;
}

/* ---- layers ---- */

static int pack_named(struct verify *v, const char *diff_id, const struct store_layer_info *info, char ret[static 65], struct err *err)
{
	const struct pack_options o = { .clamp = info->clamp, .latest_s = info->latest_s };
	AUTO_FREE char *path = xasprintf("%s/diff", diff_id);
	AUTO_CLOSE int fd = openat(v->s->layers_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct pack_result r;
	if (fd < 0)
		return err_sys(err, errno, "open layer %.12s", diff_id);
	if (pack_layer(fd, &o, NULL, NULL, &r, err) < 0)
		return -1;
	memcpy(ret, r.diff_id, 65);
	return 0;
}

/* An unpacking that tells nobody anything. */
static void ignore_progress(void *arg, uint64_t done, uint64_t total)
{
	(void)arg, (void)done, (void)total;
}

static void ignore_warning(void *arg, const char *text)
{
	(void)arg, (void)text;
}

static const struct work_listener nobody = { .progress = ignore_progress, .warning = ignore_warning };

/* What the blob packs to when it is unpacked. Returns 0; -1 + err. */
static int pack_of_blob(struct verify *v, const char *hex, const char *diff_id, char ret[static 65], struct err *err)
{
	AUTO_CLOSE int fd = oci_open_blob(store_oci(v->s), hex, NULL, err);
	AUTO_CLOSE int lock = -1, diff = -1;
	int in = fd, rc;
	struct work_layer l = { .src = { .read = stream_read_fd, .arg = &in, .wait_fd = -1 }, .expect_diff_id = diff_id, .expect_digest = hex };
	const struct work w = { .store = v->s, .listener = &nobody, .input_fd = -1 };
	struct store_new_layer copy;
	struct pack_result r;
	if (fd < 0 || work_unpack(&w, &l, &copy, &lock, err) < 0)
		return -1;
	diff = fs_open_dir(lock, "diff", err);
	rc = diff < 0 ? -1 : pack_layer(diff, NULL, NULL, NULL, &r, err);
	store_abandon_layer(v->s, copy.tmp_name);
	if (rc == 0)
		memcpy(ret, r.diff_id, 65);
	return rc;
}

static int remove_layer(struct verify *v, const char *diff_id)
{
	char trash[32] = ".tmp-";
	AUTO_CLOSE int lock = store_lock(v->s, STORE_EXCLUSIVE, NULL);
	random_hex(trash + strlen(trash), 16);
	if (lock < 0 || renameat(v->s->layers_fd, diff_id, v->s->layers_fd, trash) < 0)
		return -1;
	return fs_remove_tree(v->s->layers_fd, trash, NULL);
}

static void verify_layer(struct verify *v, const char *diff_id)
{
	struct store_layer_info info;
	char is[65] = "", want[65];
	const char *hex = map_get(&v->blob_of, diff_id);
	struct err err = {0};
	bool gone;
	store_layer_info(v->s, diff_id, &info);
	if (map_get(&v->seen, diff_id) || !store_has_layer(v->s, diff_id))
		return;
	map_put(&v->seen, diff_id, v);
	v->r.n_layers++;
	snprintf(want, sizeof(want), "%s", diff_id);
	if (!info.tar_bytes && (!hex || !oci_has(store_oci(v->s), hex, NULL)))
		return; /* unpacked from a blob that is not kept: nothing to hold it against */
	if (!info.tar_bytes && pack_of_blob(v, hex, diff_id, want, &err) < 0) {
		bad(v, false, "layer sha256:%s: %s", diff_id, err.msg);
		return;
	}
	if (pack_named(v, diff_id, &info, is, &err) == 0 && strcmp(is, want) == 0)
		return;
	gone = v->repair && remove_layer(v, diff_id) == 0;
	bad(v, gone, "layer sha256:%s is damaged%s%s%s", diff_id, err.code ? ": " : "", err.msg, gone ? ": removed" : "");
}

/* ---- images ---- */

/* Notes which blob each layer of the image came as; what the manifest names has to be there. */
static void note_blobs(struct verify *v, const struct image *img, struct manifest *m)
{
	static const struct platform any;
	AUTO_STR struct str text = {0};
	struct descriptor ignored;
	struct err err = {0};
	int rc = store_manifest(v->s, img->id, &text, NULL, NULL, &err);
	if (rc == 1)
		return;
	if (rc == 0)
		rc = manifest_parse(str_get(&text), text.len, &any, m, &ignored, &err);
	if (rc == 0 && (m->n_layers != img->diff_ids.n || !str_eq(manifest_digest_hex(m->config.digest), img->id)))
		rc = err_set(&err, ERR_CORRUPT, "its manifest does not fit its configuration");
	if (rc != 0) {
		bad(v, false, "image %.12s: %s", img->id, err.msg);
		return;
	}
	for (size_t i = 0; i < m->n_layers; i++) {
		const char *hex = manifest_digest_hex(m->layers[i].digest);
		if (!oci_has(store_oci(v->s), hex, NULL))
			bad(v, false, "image %.12s: blob sha256:%.12s of layer %zu is missing: pull or load it again", img->id, hex, i + 1);
		else if (!map_get(&v->blob_of, img->diff_ids.v[i]))
			map_put(&v->blob_of, img->diff_ids.v[i], xstrdup(hex));
	}
}

static int verify_images(struct verify *v, struct err *err)
{
	AUTO_JSON json_t *index = NULL;
	AUTO_STRV struct strv ids = {0};
	struct manifest *m = xcalloc(1, sizeof(*m));
	int rc = store_read_index(v->s, &index, err);
	if (rc == 0)
		rc = store_ids(v->s, index, &ids, err);
	for (size_t i = 0; i < ids.n && rc == 0; i++) {
		AUTO_IMAGE struct image img = {0};
		struct err own = {0};
		int got = store_read_image(v->s, index, ids.v[i], &img, &own);
		v->r.n_images += got != 1;
		if (got < 0) {
			struct store_removed removed = {0};
			bool gone = v->repair && store_remove(v->s, ids.v[i], true, NULL, NULL, &removed, NULL) == 0;
			store_removed_done(&removed);
			bad(v, gone, "%s%s", own.msg, gone ? ": removed" : "");
			continue;
		}
		if (got == 1)
			continue;
		note_blobs(v, &img, m);
		for (size_t k = 0; k < img.diff_ids.n; k++) {
			if (!store_has_layer(v->s, img.diff_ids.v[k]))
				bad(v, false, "image %.12s: layer %zu (%.12s) is missing: pull or load it again", img.id, k + 1, img.diff_ids.v[k]);
			verify_layer(v, img.diff_ids.v[k]);
		}
	}
	free(m);
	return rc;
}

int verify_store(const struct work *w, bool repair, void (*found)(void *arg, const char *text), void *arg, struct verify_result *ret,
	struct err *err)
{
	struct verify v = { .w = w, .s = w->store, .repair = repair, .found = found, .arg = arg };
	int rc = verify_blobs(&v, err);
	if (rc == 0)
		rc = verify_images(&v, err);
	for (struct map_entry *e = map_next(&v.blob_of, NULL); e; e = map_next(&v.blob_of, e))
		free(e->value);
	map_done(&v.blob_of);
	map_done(&v.seen);
	*ret = v.r;
	return rc;
}
