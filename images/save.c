/* SPDX-License-Identifier: Apache-2.0 */
/* First everything is found out that a tar header or an index has to say before the bytes: of each layer its digest and length, for which
 * what has to be compressed or decompressed is written to an unnamed file. Then all is written in one pass, and what is written is
 * hashed: a blob or a directory that is not what it was ends the archive with an error. The store is not locked meanwhile; a
 * removal cannot take from us what is open, and what it took before is an error. */
#include "images/save.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "images/decode.h"
#include "images/manifest.h"
#include "images/pack_impl.h"
#include "spec/imageref.h"

#define OCI_INDEX "application/vnd.oci.image.index.v1+json"

enum { COPY_BYTES = 256 << 10, MAX_SAVED = 1000 };

struct saved_layer {
	char diff_id[65];
	struct descriptor d;    /* as it stands in the archive */
	int fd;                 /* its bytes; -1: packed from the directory */
};

struct saved_image {
	struct image img;
	struct strv names;      /* canonical references that go along, sorted as given */
	struct str config, manifest;
	char manifest_hex[65];
	const char *manifest_type;
	struct saved_layer *layers;
	bool asked;             /* false: only an index needs it */
};

/* A name of images of several platforms. */
struct saved_index {
	char *name;             /* canonical */
	struct strv platforms, ids;
};

struct saver {
	struct store *s;
	const struct save_options *options;
	int out_fd;
	uint64_t at;            /* bytes written */
	struct saved_image *images;
	size_t n, cap;
	struct saved_index *indexes;
	size_t n_indexes, indexes_cap;
	struct map written;     /* names of members that are in the archive already */
};

/* ---- which images ---- */

static struct saved_image *add_image(struct saver *v, struct image *img)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->images[i].img.id, img->id) == 0) {
			image_done(img);
			return &v->images[i];
		}
	v->images = vec_grow(v->images, v->n, &v->cap, sizeof(*v->images));
	v->images[v->n] = (struct saved_image){ .img = *img, .layers = xcalloc(img->diff_ids.n, sizeof(struct saved_layer)) };
	for (size_t i = 0; i < img->diff_ids.n; i++)
		v->images[v->n].layers[i].fd = -1;
	return &v->images[v->n++];
}

static struct saved_index *find_index(const struct saver *v, const char *name)
{
	for (size_t i = 0; i < v->n_indexes; i++)
		if (strcmp(v->indexes[i].name, name) == 0)
			return &v->indexes[i];
	return NULL;
}

/* When the name means images of several platforms: all of them go along. */
static int add_platforms(struct saver *v, const char *full, struct err *err)
{
	AUTO_STRV struct strv platforms = {0}, ids = {0};
	AUTO_FREE char *warning = NULL;
	if (find_index(v, full))
		return 0;
	if (!strchr(full, '@') && store_platforms(v->s, full, &platforms, &ids, err) < 0)
		return -1;
	if (ids.n == 0)
		return 0;
	if (v->options->format == SAVE_DOCKER) {
		warning = xasprintf("%s: this format holds one platform: the image of this machine's is saved, of %zu", full, ids.n);
		if (v->options->listener && v->options->listener->warning)
			v->options->listener->warning(v->options->listener->arg, warning);
		return 0;
	}
	for (size_t i = 0; i < ids.n; i++) {
		struct image img = {0};
		if (store_lookup(v->s, ids.v[i], &img, err) < 0)
			return err_wrap(err, "%s", platforms.v[i]);
		add_image(v, &img);
	}
	v->indexes = vec_grow(v->indexes, v->n_indexes, &v->indexes_cap, sizeof(*v->indexes));
	v->indexes[v->n_indexes++] = (struct saved_index){ .name = xstrdup(full), .platforms = platforms, .ids = ids };
	platforms = ids = (struct strv){0};
	return 0;
}

static int add_named(struct saver *v, const char *name, const char *full, struct err *err)
{
	struct image img = {0};
	struct saved_image *si;
	if (store_lookup(v->s, name, &img, err) < 0)
		return -1;
	si = add_image(v, &img);
	si->asked = true;
	if (full && strv_has(&si->img.refs, full)) {
		if (!strv_has(&si->names, full))
			strv_push(&si->names, full);
		if (add_platforms(v, full, err) < 0) /* si may have moved */
			return -1;
	}
	return v->n <= MAX_SAVED ? 0 : err_set(err, ERR_INVALID, "more than the %d images allowed in one archive", MAX_SAVED);
}

/* All tags of a repository. Returns how many there are, -1 + err. */
static int add_repository(struct saver *v, const char *prefix, struct err *err)
{
	AUTO_STRV struct strv refs = {0};
	struct image *list = NULL;
	size_t n = 0;
	if (store_list(v->s, &list, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < list[i].refs.n; k++)
			if (str_starts(list[i].refs.v[k], prefix) && !strchr(list[i].refs.v[k] + strlen(prefix), '/'))
				strv_push(&refs, list[i].refs.v[k]);
	store_list_free(list, n);
	for (size_t i = 0; i < refs.n; i++)
		if (add_named(v, refs.v[i], refs.v[i], err) < 0)
			return -1;
	return (int)refs.n;
}

static int add_name(struct saver *v, const char *name, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref = {0};
	AUTO_FREE char *prefix = NULL;
	char *colon;
	int got;
	if (imageref_parse(name, a, &ref, NULL) < 0)
		return add_named(v, name, NULL, err);
	if (ref.tag || ref.digest)
		return add_named(v, name, imageref_full(&ref, a), err);
	ref.tag = "latest";
	prefix = xstrdup(imageref_full(&ref, a));
	colon = strrchr(prefix, ':');
	colon[1] = '\0';
	got = add_repository(v, prefix, err);
	return got > 0 ? 0 : got < 0 ? -1 : add_named(v, name, NULL, err);
}

/* ---- what their layers are in the archive ---- */

static int to_spool(void *arg, const void *p, size_t n, struct err *err)
{
	return fs_write_all(*(int *)arg, p, n, err);
}

static int check_diff_id(const struct saved_layer *l, const char *got, struct err *err)
{
	if (strcmp(l->diff_id, got) == 0)
		return 0;
	return err_set(err, ERR_CORRUPT, "layer %.12s: its directory has been changed, or it was unpacked by an older version: pull or load the image again",
		l->diff_id);
}

static void set_descriptor(struct saved_layer *l, const char *hex, uint64_t size, const char *type)
{
	snprintf(l->d.digest, sizeof(l->d.digest), "sha256:%s", hex);
	snprintf(l->d.type, sizeof(l->d.type), "%s", type);
	l->d.size = size;
}

static int open_dir(struct saver *v, const char *diff_id, struct err *err)
{
	struct image one = { .diff_ids = { .v = (char *[]){ (char *)(uintptr_t)diff_id, NULL }, .n = 1 } };
	int *fds, fd;
	size_t n;
	snprintf(one.id, sizeof(one.id), "%s", diff_id);
	if (store_open_layers(v->s, &one, &fds, &n, err) < 0)
		return -1;
	fd = fds[0];
	free(fds);
	return fd;
}

/* Packs the directory: into an unnamed file when it has to be compressed, or its length is not on record; else later. */
static int prepare_packed(struct saver *v, struct saved_layer *l, enum pack_codec codec, struct err *err)
{
	struct store_layer_info info;
	struct pack_options o = { .codec = codec };
	struct pack_result r;
	AUTO_CLOSE int dir = -1;
	store_layer_info(v->s, l->diff_id, &info);
	if (codec == PACK_PLAIN && info.tar_bytes) {
		set_descriptor(l, l->diff_id, info.tar_bytes, pack_media_type(PACK_PLAIN));
		return 0;
	}
	o.clamp = info.clamp;
	o.latest_s = info.latest_s;
	dir = open_dir(v, l->diff_id, err);
	if (dir < 0 || (l->fd = store_open_spool(v->s, err)) < 0 || pack_layer(dir, &o, to_spool, &l->fd, &r, err) < 0)
		return -1;
	set_descriptor(l, r.digest, r.blob_bytes, pack_media_type(codec));
	return check_diff_id(l, r.diff_id, err);
}

/* The blob fd in another codec, in an unnamed file. */
static int prepare_recoded(struct saver *v, struct saved_layer *l, int blob, enum pack_codec codec, struct err *err)
{
	const struct stream_source src = { .read = stream_read_fd, .arg = &blob, .wait_fd = -1 };
	AUTO_STREAM struct stream *s = NULL;
	struct pack_out *out;
	struct pack_result r = {0};
	const void *p;
	ssize_t n;
	int rc;
	l->fd = store_open_spool(v->s, err);
	if (l->fd < 0 || stream_open(&src, &work_stream_limits, &s, err) < 0)
		return -1;
	out = pack_out_new(codec, 0, to_spool, &l->fd);
	rc = 0;
	while (rc == 0 && (n = stream_next(s, &p, err)) != 0)
		rc = n < 0 ? -1 : pack_out_write(out, p, (size_t)n, err);
	if (rc == 0)
		rc = pack_out_end(out, &r, err);
	pack_out_free(out);
	if (rc < 0)
		return -1;
	set_descriptor(l, r.digest, r.blob_bytes, pack_media_type(codec));
	return strcmp(r.diff_id, l->diff_id) == 0 ? 0 : err_set(err, ERR_CORRUPT, "layer %.12s: its blob is damaged", l->diff_id);
}

static enum pack_codec codec_of(int fd)
{
	unsigned char head[DECODE_PEEK];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	enum decode_kind kind = n > 0 ? decode_sniff(head, (size_t)n) : DECODE_NONE;
	return kind == DECODE_GZIP ? PACK_GZIP : kind == DECODE_ZSTD ? PACK_ZSTD : PACK_PLAIN;
}

static int prepare_layer(struct saver *v, struct saved_layer *l, const struct descriptor *kept, struct err *err)
{
	const struct save_options *o = v->options;
	enum pack_codec have, want = o->recompress ? o->codec : PACK_PLAIN;
	AUTO_CLOSE int blob = -1;
	uint64_t size;
	if (!kept)
		return prepare_packed(v, l, want, err);
	blob = oci_open_blob(store_oci(v->s), manifest_digest_hex(kept->digest), &size, err);
	if (blob < 0)
		return -1;
	have = codec_of(blob);
	if (!o->recompress)
		want = have == PACK_ZSTD && o->format != SAVE_OCI ? PACK_PLAIN : have;
	if (want != have)
		return prepare_recoded(v, l, blob, want, err);
	l->d = *kept;
	l->fd = TAKE_FD(blob);
	return size == l->d.size ? 0 : err_set(err, ERR_CORRUPT, "blob %.19s… has not the size its manifest gives", l->d.digest);
}

/* The blob of a layer that another image brought along: what was built on a pulled image has no manifest of its own, and the directory of a
 * pulled layer does not make the archive again that it came from. */
static bool find_blob(struct saver *v, const struct image *all, size_t n, const char *diff_id, struct descriptor *ret)
{
	static const struct platform any;
	AUTO_FREE struct manifest *m = xcalloc(1, sizeof(*m));
	for (size_t i = 0; i < n; i++) {
		AUTO_STR struct str text = {0};
		struct descriptor ignored;
		uint64_t bytes;
		if (!strv_has(&all[i].diff_ids, diff_id) || store_manifest(v->s, all[i].id, &text, NULL, NULL, NULL) != 0 ||
		    manifest_parse(str_get(&text), text.len, &any, m, &ignored, NULL) != 0 || m->n_layers != all[i].diff_ids.n)
			continue;
		for (size_t k = 0; k < m->n_layers; k++) {
			const char *hex = manifest_digest_hex(m->layers[k].digest);
			if (strcmp(all[i].diff_ids.v[k], diff_id) != 0 || !hex || !oci_has(store_oci(v->s), hex, &bytes) || bytes != m->layers[k].size)
				continue;
			*ret = m->layers[k];
			return true;
		}
	}
	return false;
}

static int prepare_layers(struct saver *v, struct saved_image *si, const struct manifest *kept, struct err *err)
{
	struct image *all = NULL;
	size_t n = 0;
	int rc = kept ? 0 : store_list(v->s, &all, &n, err);
	for (size_t i = 0; rc == 0 && i < si->img.diff_ids.n; i++) {
		struct saved_layer *l = &si->layers[i];
		struct descriptor found;
		const struct descriptor *d = kept ? &kept->layers[i] : NULL;
		snprintf(l->diff_id, sizeof(l->diff_id), "%s", si->img.diff_ids.v[i]);
		if (!d && find_blob(v, all, n, l->diff_id, &found))
			d = &found;
		rc = prepare_layer(v, l, d, err);
	}
	store_list_free(all, n);
	return rc;
}

/* The manifest as it was pulled, when nothing in it changes, else a new one. */
static void choose_manifest(struct saved_image *si, const struct manifest *kept, struct str *kept_text)
{
	struct descriptor config = { .type = "application/vnd.oci.image.config.v1+json", .size = si->config.len };
	const size_t n = si->img.diff_ids.n;
	struct descriptor *layers = xcalloc(n, sizeof(*layers));
	bool same = kept != NULL;
	AUTO_FREE char *text = NULL;
	for (size_t i = 0; i < n; i++) {
		layers[i] = si->layers[i].d;
		same = same && strcmp(layers[i].digest, kept->layers[i].digest) == 0;
	}
	snprintf(config.digest, sizeof(config.digest), "sha256:%s", si->img.id);
	if (same) {
		si->manifest = *kept_text;
		*kept_text = (struct str){0};
		si->manifest_type = strcmp(kept->type, DOCKER_MANIFEST) == 0 ? DOCKER_MANIFEST : OCI_MANIFEST;
	} else {
		text = manifest_make(&config, layers, n);
		str_add(&si->manifest, text);
		si->manifest_type = OCI_MANIFEST;
	}
	free(layers);
	sha256_hex(str_get(&si->manifest), si->manifest.len, si->manifest_hex);
}

static int prepare_image(struct saver *v, struct saved_image *si, struct manifest *m, struct err *err)
{
	static const struct platform any;
	AUTO_STR struct str text = {0};
	struct descriptor ignored;
	const struct manifest *kept = NULL;
	int rc = store_manifest(v->s, si->img.id, &text, NULL, NULL, err);
	if (rc < 0 || store_read_config(v->s, si->img.id, &si->config, err) < 0)
		return -1;
	if (rc == 0) {
		if (manifest_parse(str_get(&text), text.len, &any, m, &ignored, err) != 0 || m->n_layers != si->img.diff_ids.n)
			return err_set(err, ERR_CORRUPT, "its manifest does not fit its configuration");
		kept = m;
	}
	if (prepare_layers(v, si, kept, err) < 0)
		return -1;
	choose_manifest(si, kept, &text);
	return 0;
}

/* ---- writing ---- */

static int put(struct saver *v, const void *p, size_t n, struct err *err)
{
	v->at += n;
	if (failpoint_err("archive.write", err) < 0)
		return -1;
	return fs_write_all(v->out_fd, p, n, err) < 0 ? err_wrap(err, "write the archive") : 0;
}

static int put_padding(struct saver *v, struct err *err)
{
	static const char zeros[512];
	return put(v, zeros, (size_t)(-v->at & 511), err);
}

/* True when the member is in the archive already; else it will be. */
static bool is_written(struct saver *v, const char *name)
{
	if (map_get(&v->written, name))
		return true;
	map_put(&v->written, name, v);
	return false;
}

static int put_header(struct saver *v, char type, const char *name, uint64_t size, struct err *err)
{
	const struct pack_entry e = { .type = type, .path = name, .mode = type == PACK_DIR ? 0755 : 0644, .size = size };
	AUTO_STR struct str text = {0};
	pack_header_text(&text, &e);
	return put(v, text.p, text.len, err);
}

static int put_text(struct saver *v, const char *name, const char *text, size_t n, struct err *err)
{
	if (is_written(v, name))
		return 0;
	return put_header(v, PACK_REG, name, n, err) < 0 || put(v, text, n, err) < 0 ? -1 : put_padding(v, err);
}

static int copy_blob(struct saver *v, const struct saved_layer *l, struct err *err)
{
	AUTO_FREE char *buf = xcalloc(1, COPY_BYTES);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char raw[EVP_MAX_MD_SIZE];
	char hex[EVP_MAX_MD_SIZE * 2 + 1];
	uint64_t done = 0;
	unsigned n_raw = 0;
	ssize_t n = 0;
	int rc = 0;
	if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		util_oom();
	while (rc == 0 && done < l->d.size && (n = pread(l->fd, buf, (size_t)MIN((uint64_t)COPY_BYTES, l->d.size - done), (off_t)done)) > 0) {
		EVP_DigestUpdate(md, buf, (size_t)n);
		rc = put(v, buf, (size_t)n, err);
		done += (uint64_t)n;
	}
	EVP_DigestFinal_ex(md, raw, &n_raw);
	EVP_MD_CTX_free(md);
	for (unsigned i = 0; i < n_raw; i++)
		snprintf(hex + (size_t)2 * i, 3, "%02x", raw[i]);
	if (rc == 0 && (n < 0 || strcmp(hex, manifest_digest_hex(l->d.digest)) != 0))
		return n < 0 ? err_sys(err, errno, "read a blob") : err_set(err, ERR_CORRUPT, "blob %.19s… is damaged", l->d.digest);
	return rc;
}

static int to_archive(void *arg, const void *p, size_t n, struct err *err)
{
	return put(arg, p, n, err);
}

static int put_layer(struct saver *v, const struct saved_layer *l, const char *name, struct err *err)
{
	struct store_layer_info info;
	struct pack_options o = {0};
	struct pack_result r;
	AUTO_CLOSE int dir = -1;
	if (is_written(v, name))
		return 0;
	if (put_header(v, PACK_REG, name, l->d.size, err) < 0)
		return -1;
	if (l->fd >= 0)
		return copy_blob(v, l, err) < 0 ? -1 : put_padding(v, err);
	store_layer_info(v->s, l->diff_id, &info);
	o.clamp = info.clamp;
	o.latest_s = info.latest_s;
	dir = open_dir(v, l->diff_id, err);
	if (dir < 0 || pack_layer(dir, &o, to_archive, v, &r, err) < 0)
		return -1;
	return check_diff_id(l, r.diff_id, err) < 0 ? -1 : put_padding(v, err);
}

/* The name of a blob in the archive; docker's own old form has names of its own. */
static char *blob_name(const struct saver *v, const char *digest, const char *suffix)
{
	const char *hex = manifest_digest_hex(digest);
	return v->options->format == SAVE_DOCKER ? xasprintf("%s%s", hex, suffix) : xasprintf("blobs/sha256/%s", hex);
}

static int put_image(struct saver *v, struct saved_image *si, struct err *err)
{
	AUTO_FREE char *id = xasprintf("sha256:%s", si->img.id), *config = blob_name(v, id, ".json"), *manifest = NULL;
	for (size_t i = 0; i < si->img.diff_ids.n; i++) {
		AUTO_FREE char *name = blob_name(v, si->layers[i].d.digest, ".tar");
		if (put_layer(v, &si->layers[i], name, err) < 0)
			return -1;
		util_close(&si->layers[i].fd);
	}
	if (put_text(v, config, str_get(&si->config), si->config.len, err) < 0)
		return -1;
	manifest = xasprintf("blobs/sha256/%s", si->manifest_hex);
	return v->options->format == SAVE_DOCKER ? 0 : put_text(v, manifest, str_get(&si->manifest), si->manifest.len, err);
}

static json_t *descriptor(const char *type, const char *hex, size_t n)
{
	AUTO_FREE char *digest = xasprintf("sha256:%s", hex);
	json_t *j = json_object();
	json_put_str(j, "mediaType", type);
	json_put_str(j, "digest", digest);
	json_put_int(j, "size", (int64_t)n);
	return j;
}

/* The name of an entry of index.json; takes the entry over. */
static json_t *named(json_t *j, const char *full)
{
	AUTO_ARENA struct arena *a = arena_new();
	json_t *notes = json_object();
	struct imageref ref = {0};
	json_put_str(notes, "io.containerd.image.name", full);
	if (imageref_parse(full, a, &ref, NULL) == 0 && ref.tag)
		json_put_str(notes, "org.opencontainers.image.ref.name", ref.tag);
	json_object_set_new(j, "annotations", notes);
	return j;
}

static const struct saved_image *find_image(const struct saver *v, const char *id)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->images[i].img.id, id) == 0)
			return &v->images[i];
	return NULL;
}

/* The index of a name of several platforms, a blob like any other; its entry for index.json goes to the list. */
static int put_platforms(struct saver *v, const struct saved_index *x, json_t *list, struct err *err)
{
	AUTO_JSON json_t *j = json_pack("{s:i,s:s,s:[]}", "schemaVersion", 2, "mediaType", OCI_INDEX, "manifests");
	AUTO_FREE char *text = NULL, *name = NULL;
	char hex[65];
	for (size_t i = 0; i < x->ids.n; i++) {
		const struct saved_image *si = find_image(v, x->ids.v[i]);
		json_t *d = descriptor(si->manifest_type, si->manifest_hex, si->manifest.len);
		json_object_set_new(d, "platform", manifest_platform_json(x->platforms.v[i]));
		json_array_append_new(json_object_get(j, "manifests"), d);
	}
	text = json_canonical(j);
	sha256_hex(text, strlen(text), hex);
	name = xasprintf("blobs/sha256/%s", hex);
	json_array_append_new(list, named(descriptor(OCI_INDEX, hex, strlen(text)), x->name));
	return put_text(v, name, text, strlen(text), err);
}

static int put_oci_index(struct saver *v, struct err *err)
{
	AUTO_JSON json_t *j = json_object();
	AUTO_FREE char *text = NULL;
	json_t *list = json_array();
	int rc = 0;
	json_put_int(j, "schemaVersion", 2);
	json_put_str(j, "mediaType", OCI_INDEX);
	json_object_set_new(j, "manifests", list);
	for (size_t i = 0; i < v->n; i++) {
		const struct saved_image *si = &v->images[i];
		for (size_t k = 0; k < si->names.n; k++)
			if (!find_index(v, si->names.v[k]))
				json_array_append_new(list, named(descriptor(si->manifest_type, si->manifest_hex, si->manifest.len), si->names.v[k]));
		if (si->names.n == 0 && si->asked)
			json_array_append_new(list, descriptor(si->manifest_type, si->manifest_hex, si->manifest.len));
	}
	for (size_t i = 0; rc == 0 && i < v->n_indexes; i++)
		rc = put_platforms(v, &v->indexes[i], list, err);
	text = json_canonical(j);
	return rc < 0 ? -1 : put_text(v, "index.json", text, strlen(text), err);
}

static int put_docker_index(struct saver *v, struct err *err)
{
	AUTO_JSON json_t *list = json_array();
	AUTO_FREE char *text = NULL;
	for (size_t i = 0; i < v->n; i++) {
		const struct saved_image *si = &v->images[i];
		AUTO_FREE char *id = xasprintf("sha256:%s", si->img.id), *config = blob_name(v, id, ".json");
		json_t *item, *layers, *tags;
		if (!si->asked)
			continue;
		item = json_object();
		layers = json_array();
		tags = json_array();
		for (size_t k = 0; k < si->names.n; k++) {
			AUTO_ARENA struct arena *a = arena_new();
			struct imageref ref = {0};
			imageref_parse(si->names.v[k], a, &ref, NULL);
			json_array_append_new(tags, json_text(imageref_familiar(&ref, a)));
		}
		for (size_t k = 0; k < si->img.diff_ids.n; k++) {
			AUTO_FREE char *name = blob_name(v, si->layers[k].d.digest, ".tar");
			json_array_append_new(layers, json_string(name));
		}
		json_put_str(item, "Config", config);
		json_object_set_new(item, "RepoTags", json_array_size(tags) ? tags : json_null());
		if (!json_array_size(tags))
			json_decref(tags);
		json_object_set_new(item, "Layers", layers);
		json_array_append_new(list, item);
	}
	text = json_canonical(list);
	return put_text(v, "manifest.json", text, strlen(text), err);
}

static int write_all(struct saver *v, struct err *err)
{
	static const char end[1024], layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	const enum save_format f = v->options->format;
	if (f != SAVE_DOCKER && (put_header(v, PACK_DIR, "blobs/", 0, err) < 0 || put_header(v, PACK_DIR, "blobs/sha256/", 0, err) < 0))
		return -1;
	for (size_t i = 0; i < v->n; i++)
		if (put_image(v, &v->images[i], err) < 0)
			return err_wrap(err, "image %.12s", v->images[i].img.id);
	if (f != SAVE_DOCKER && put_oci_index(v, err) < 0)
		return -1;
	if (f != SAVE_OCI && put_docker_index(v, err) < 0)
		return -1;
	if (f != SAVE_DOCKER && put_text(v, "oci-layout", layout, strlen(layout), err) < 0)
		return -1;
	return put(v, end, sizeof(end), err);
}

static void saver_done(struct saver *v)
{
	for (size_t i = 0; i < v->n; i++) {
		struct saved_image *si = &v->images[i];
		for (size_t k = 0; k < si->img.diff_ids.n; k++)
			util_close(&si->layers[k].fd);
		free(si->layers);
		image_done(&si->img);
		strv_done(&si->names);
		str_done(&si->config);
		str_done(&si->manifest);
	}
	for (size_t i = 0; i < v->n_indexes; i++) {
		free(v->indexes[i].name);
		strv_done(&v->indexes[i].platforms);
		strv_done(&v->indexes[i].ids);
	}
	free(v->images);
	free(v->indexes);
	map_done(&v->written);
}

int save_images(struct store *s, const char *const *names, size_t n, const struct save_options *options, int out_fd, struct err *err)
{
	struct saver v = { .s = s, .options = options, .out_fd = out_fd };
	struct manifest *m = xcalloc(1, sizeof(*m));
	int rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = add_name(&v, names[i], err);
	for (size_t i = 0; i < v.n && rc == 0; i++) {
		rc = prepare_image(&v, &v.images[i], m, err);
		if (rc < 0)
			err_wrap(err, "image %.12s", v.images[i].img.id);
	}
	if (rc == 0)
		rc = write_all(&v, err);
	saver_done(&v);
	free(m);
	return rc;
}
