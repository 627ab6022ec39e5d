/* SPDX-License-Identifier: Apache-2.0 */
/* Index, manifest and configuration come over the first lane; then each lane has a hand of images/crew.h for the layers. The first error
 * stops the others at their next read. A layer whose bytes are wrong is fetched once more, as a cache on the way may have been at
 * fault. */
#include "images/pull.h"

#include <stdio.h>

#include "base/failpoint.h"
#include "base/str.h"
#include "images/crew.h"
#include "images/manifest.h"
#include "spec/imageref.h"

enum { MAX_MANIFEST_BYTES = 4 << 20, MAX_DEPTH = 3, MAX_COMMITS = 3, LAYER_TRIES = 2 };

struct pull {
	const struct work *w;
	struct lane *lanes;
	size_t n_lanes;
	struct imageref ref;
	struct platform platform;
	struct manifest manifest;
	struct image img;
	struct str text, config;           /* the manifest's and the configuration's bytes */
	char top_digest[80], digest[80];   /* what the name leads to; the manifest of the image */
	/* layers */
	struct store_new_layer layers[IMAGE_MAX_LAYERS];
	int lock_fds[IMAGE_MAX_LAYERS];    /* -1: not unpacked by us */
	struct crew crew;
};

/* ---- small documents ---- */

/* A question's whole answer, of at most max bytes; its digest to ret_digest. */
static int ask_text(struct lane *l, json_t *question, size_t max, struct str *ret, char ret_digest[static 80], struct err *err)
{
	AUTO_JSON json_t *q = question;
	char hex[65];
	ssize_t n;
	str_clear(ret);
	if (lane_ask(l, q, err) < 0)
		return -1;
	while ((n = lane_read(l, str_reserve(ret, 16384), 16384, err)) > 0) {
		ret->len += (size_t)n;
		if (ret->len > max)
			return err_set(err, ERR_INVALID, "larger than the %zu bytes allowed", max);
	}
	if (n < 0)
		return -1;
	sha256_hex(str_get(ret), ret->len, hex);
	snprintf(ret_digest, 80, "sha256:%s", hex);
	return 0;
}

/* from: how many of its bytes are here already. */
static json_t *ask_for_blob(const struct descriptor *d, uint64_t from)
{
	json_t *q = json_object();
	json_put_str(q, "op", "blob");
	json_put_str(q, "digest", d->digest);
	json_put_int(q, "size", (int64_t)d->size);
	if (from)
		json_put_int(q, "from", (int64_t)from);
	return q;
}

static int get_manifest(struct pull *p, const char *ref, struct str *ret, char ret_digest[static 80], struct err *err)
{
	json_t *q = json_object();
	char shown[120];
	json_put_str(q, "op", "manifest");
	json_put_str(q, "ref", ref);
	if (ask_text(&p->lanes[0], q, MAX_MANIFEST_BYTES, ret, ret_digest, err) < 0)
		return -1;
	if (strchr(ref, ':') && strcmp(ref, ret_digest) != 0)
		return err_set(err, ERR_CORRUPT, "manifest %s: what came has digest %s", err_quote(shown, sizeof(shown), ref), ret_digest);
	return 0;
}

/* From the name to the manifest of this platform's image. */
static int resolve(struct pull *p, struct err *err)
{
	struct descriptor choice;
	char ref[160];
	snprintf(ref, sizeof(ref), "%s", p->ref.digest ? p->ref.digest : p->ref.tag ? p->ref.tag : "latest");
	if (p->ref.digest && !manifest_digest_hex(p->ref.digest))
		return err_set(err, ERR_UNSUPPORTED, "digest %.20s…: only sha256 is supported", p->ref.digest);
	for (int depth = 0; depth < MAX_DEPTH; depth++) {
		int rc;
		if (get_manifest(p, ref, &p->text, p->digest, err) < 0)
			return -1;
		if (depth == 0)
			memcpy(p->top_digest, p->digest, sizeof(p->top_digest));
		rc = manifest_parse(str_get(&p->text), p->text.len, &p->platform, &p->manifest, &choice, err);
		if (rc <= 0)
			return rc;
		snprintf(ref, sizeof(ref), "%s", choice.digest);
	}
	return err_set(err, ERR_INVALID, "indexes within indexes, too deep");
}

static int get_config(struct pull *p, struct err *err)
{
	char digest[80];
	if (ask_text(&p->lanes[0], ask_for_blob(&p->manifest.config, 0), IMAGE_MAX_CONFIG_BYTES, &p->config, digest, err) < 0)
		return err_wrap(err, "configuration");
	if (strcmp(digest, p->manifest.config.digest) != 0)
		return err_set(err, ERR_CORRUPT, "configuration: digest is %.23s…, not %.23s…", digest, p->manifest.config.digest);
	if (image_config_parse(str_get(&p->config), p->config.len, &p->img, err) < 0)
		return -1;
	if (p->img.diff_ids.n != p->manifest.n_layers)
		return err_set(err, ERR_CORRUPT, "the configuration lists %zu layers, the manifest %zu", p->img.diff_ids.n, p->manifest.n_layers);
	if (strcmp(p->img.architecture, p->platform.architecture) != 0)
		return err_set(err, ERR_NOT_FOUND, "no image for linux/%s; there is: linux/%.30s", p->platform.architecture, p->img.architecture);
	return 0;
}

/* ---- layers ---- */

struct layer_job {
	struct pull *p;
	size_t i;
	struct lane *lane;
	bool direct;               /* no mirrors: what came from them was wrong */
	uint64_t from;    /* the bytes that the part had */
	uint64_t got;     /* those that came since */
	bool asked;       /* the lane has the question, or no byte is missing */
};

static void tell_layer(const struct pull *p, size_t i, enum work_layer_state state, uint64_t done)
{
	const struct work_listener *to = p->w->listener;
	char digits[13];
	snprintf(digits, sizeof(digits), "%.12s", manifest_digest_hex(p->manifest.layers[i].digest));
	to->layer(to->arg, digits, state, done, p->manifest.layers[i].size);
}

static void layer_progress(void *arg, uint64_t done, uint64_t total)
{
	const struct layer_job *j = arg;
	(void)total;
	tell_layer(j->p, j->i, WORK_LAYER_PULLING, done);
}

static void layer_warning(void *arg, const char *text)
{
	const struct layer_job *j = arg;
	j->p->w->listener->warning(j->p->w->listener->arg, text);
}

/* The question is asked when the first byte is wanted that is not here. */
static ssize_t read_lane(void *arg, void *buf, size_t n, struct err *err)
{
	struct layer_job *j = arg;
	ssize_t got;
	if (crew_failed(&j->p->crew))
		return err_set(err, ERR_SYS, "given up, as another layer failed");
	if (failpoint_err("pull.read", err) < 0)
		return -1;
	if (!j->asked) {
		AUTO_JSON json_t *q = ask_for_blob(&j->p->manifest.layers[j->i], j->from);
		j->asked = true;
		json_object_set_new(q, "direct", json_boolean(j->direct));
		j->got = 0;
		if (lane_ask(j->lane, q, err) < 0)
			return -1;
	}
	got = lane_read(j->lane, buf, n, err);
	j->got += got > 0 ? (uint64_t)got : 0;
	tell_layer(j->p, j->i, WORK_LAYER_PULLING, j->from + j->got);
	return got;
}

/* Unpacks, unless the layer is here, and keeps. part: NULL: nothing is kept, as the blob is here and l->src reads it. */
static int take_layer(struct layer_job *j, struct work_layer *l, bool have, struct err *err)
{
	struct pull *p = j->p;
	const struct work_listener listener = { .arg = j, .progress = layer_progress, .warning = layer_warning };
	const struct work w = { .store = p->w->store, .listener = &listener, .input_fd = -1, .max_in_bytes = p->manifest.layers[j->i].size };
	l->expect_diff_id = p->img.diff_ids.v[j->i];
	l->expect_digest = manifest_digest_hex(p->manifest.layers[j->i].digest);
	return have ? work_keep(&w, l, err) : work_unpack(&w, l, &p->layers[j->i], &p->lock_fds[j->i], err);
}

/* The blob is in the layout: nothing is asked of the registry. */
static int take_local(struct layer_job *j, const char *hex, struct err *err)
{
	struct oci *oci = store_oci(j->p->w->store);
	AUTO_CLOSE int fd = oci_open_blob(oci, hex, NULL, err);
	int in = fd;
	struct work_layer l = { .src = { .read = stream_read_fd, .arg = &in, .wait_fd = -1 } };
	int rc;
	if (fd < 0)
		return -1;
	rc = take_layer(j, &l, false, err);
	if (rc < 0 && err->code == ERR_CORRUPT)
		oci_remove(oci, hex, NULL); /* it was damaged here; the next try fetches it */
	return rc;
}

/* The part goes on where an earlier pull stopped; bytes that are wrong are thrown away, others wait for the next pull. */
static int take_remote(struct layer_job *j, const char *hex, struct oci_part *part, bool have, struct err *err)
{
	struct oci *oci = store_oci(j->p->w->store);
	struct work_layer l = { .src = { .read = read_lane, .arg = j, .wait_fd = -1 }, .keep = part };
	if (part->have > j->p->manifest.layers[j->i].size && oci_restart(part, err) < 0) {
		oci_discard(oci, part);
		return -1;
	}
	j->asked = part->have == j->p->manifest.layers[j->i].size;
	j->from = part->have;
	if (take_layer(j, &l, have, err) == 0)
		return oci_commit(oci, part, hex, err) < 0 ? -1 : failpoint_err("pull.kept", err);
	if (err->code == ERR_CORRUPT || err->code == ERR_INVALID)
		oci_discard(oci, part);
	else
		oci_suspend(oci, part);
	return -1;
}

/* True when an earlier layer of the image is the same one: overlayfs needs it once in the store. */
static bool is_repeated(const struct pull *p, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(p->img.diff_ids.v[k], p->img.diff_ids.v[i]) == 0)
			return true;
	return false;
}

static int get_layer_once(struct layer_job *j, bool *ret_existed, struct err *err)
{
	struct pull *p = j->p;
	const char *hex = manifest_digest_hex(p->manifest.layers[j->i].digest);
	bool have = store_has_layer(p->w->store, p->img.diff_ids.v[j->i]) || is_repeated(p, j->i);
	struct oci_part part = { .fd = -1 };
	int rc = failpoint_err("pull.layer", err) < 0 ? -1 : oci_begin(store_oci(p->w->store), hex, &part, err);
	*ret_existed = rc == 1 && have;
	if (rc == 1)
		return have ? 0 : take_local(j, hex, err);
	return rc < 0 ? -1 : take_remote(j, hex, &part, have, err);
}

static int get_layer(struct layer_job *j, struct err *err)
{
	struct pull *p = j->p;
	bool existed = false;
	int rc = -1;
	if (store_has_layer(p->w->store, p->img.diff_ids.v[j->i]) &&
	    oci_has(store_oci(p->w->store), manifest_digest_hex(p->manifest.layers[j->i].digest), NULL)) {
		tell_layer(p, j->i, WORK_LAYER_EXISTS, 0);
		return 0;
	}
	for (int tries = 0; tries < LAYER_TRIES && rc < 0; tries++) {
		tell_layer(p, j->i, WORK_LAYER_PULLING, 0);
		j->direct = tries > 0;
		rc = get_layer_once(j, &existed, err);
		if (rc < 0 && err->code != ERR_CORRUPT)
			break;
	}
	if (rc < 0)
		return err_wrap(err, "layer %zu (%.19s…)", j->i + 1, p->manifest.layers[j->i].digest);
	tell_layer(p, j->i, existed ? WORK_LAYER_EXISTS : WORK_LAYER_DONE, existed ? 0 : p->manifest.layers[j->i].size);
	return 0;
}

static int layer_work(void *arg, size_t hand, size_t i, struct err *err)
{
	struct pull *p = arg;
	struct layer_job j = { .p = p, .i = i, .lane = &p->lanes[hand] };
	return get_layer(&j, err);
}

static int get_layers(struct pull *p, struct err *err)
{
	uint64_t sizes[IMAGE_MAX_LAYERS];
	for (size_t i = 0; i < p->manifest.n_layers; i++)
		sizes[i] = p->manifest.layers[i].size;
	return crew_run(&p->crew, p->n_lanes, sizes, p->manifest.n_layers, layer_work, p, err);
}

/* ---- the image ---- */

static void drop_layers(struct pull *p, bool abandon)
{
	for (size_t i = 0; i < IMAGE_MAX_LAYERS; i++) {
		if (p->lock_fds[i] >= 0 && abandon)
			store_abandon_layer(p->w->store, p->layers[i].tmp_name);
		util_close(&p->lock_fds[i]);
		p->layers[i] = (struct store_new_layer){0};
	}
}

/* The names under which the image is found: as it was asked for, and by the digests. */
static void collect_names(const struct pull *p, struct arena *a, struct strv *ret)
{
	struct imageref ref = p->ref;
	if (!ref.digest) {
		ref.tag = ref.tag ? ref.tag : "latest";
		strv_push(ret, imageref_full(&ref, a));
	}
	ref.tag = NULL;
	ref.digest = p->top_digest;
	strv_push(ret, imageref_full(&ref, a));
	ref.digest = p->digest;
	if (strcmp(p->top_digest, p->digest) != 0)
		strv_push(ret, imageref_full(&ref, a));
}

static int commit(struct pull *p, const struct strv *names, char ret_id[static 65], struct err *err)
{
	const struct store_commit c = {
		.config = str_get(&p->config), .n_config = p->config.len, .layers = p->layers, .n_layers = p->manifest.n_layers,
		.refs = names->v, .n_refs = names->n, .manifest = str_get(&p->text), .n_manifest = p->text.len,
		.manifest_type = p->manifest.type, .pulled = true,
	};
	return store_commit(p->w->store, &c, ret_id, err);
}

static int get_image(struct pull *p, struct arena *a, struct pull_result *ret, struct err *err)
{
	AUTO_STRV struct strv names = {0};
	AUTO_CLOSE int turn = -1;
	int rc = -1;
	if (resolve(p, err) < 0 || failpoint_err("pull.manifest", err) < 0 || get_config(p, err) < 0 || failpoint_err("pull.config", err) < 0)
		return -1;
	turn = store_lock_pull(p->w->store, p->img.id, err);
	if (turn < 0)
		return -1;
	collect_names(p, a, &names);
	for (int tries = 0; tries < MAX_COMMITS && rc < 0; tries++) {
		rc = get_layers(p, err);
		if (rc == 0)
			rc = failpoint_err("pull.commit", err);
		if (rc == 0)
			rc = commit(p, &names, ret->id, err);
		drop_layers(p, rc < 0);
		if (rc < 0 && err->code != ERR_CONFLICT)
			break;
	}
	store_unlock_pull(p->w->store, p->img.id, TAKE_FD(turn));
	if (rc < 0 || failpoint_err("pull.done", err) < 0)
		return -1;
	ret->is_new = rc == 0;
	memcpy(ret->digest, p->top_digest, sizeof(ret->digest));
	return 0;
}

int pull_image(const struct work *w, const char *name, const char *platform, struct lane *lanes, size_t n_lanes, struct pull_result *ret,
	struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct pull *p = xcalloc(1, sizeof(*p));
	int rc;
	*ret = (struct pull_result){0};
	p->w = w;
	p->lanes = lanes;
	p->n_lanes = MIN(n_lanes, (size_t)LANE_MAX_LANES);
	for (size_t i = 0; i < IMAGE_MAX_LAYERS; i++)
		p->lock_fds[i] = -1;
	rc = imageref_parse(name, a, &p->ref, err);
	if (rc == 0)
		rc = manifest_parse_platform(platform, &p->platform, err);
	if (rc == 0)
		rc = get_image(p, a, ret, err);
	image_done(&p->img);
	str_done(&p->config);
	str_done(&p->text);
	free(p);
	return rc;
}
