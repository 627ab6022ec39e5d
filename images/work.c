/* SPDX-License-Identifier: Apache-2.0 */
/* One layer from a source into the store: the same steps for an imported root file system and for a layer of a loaded image. */
#include "images/work.h"

#include <stdio.h>

#include "base/fs.h"

const struct stream_limits work_stream_limits = { .max_out_bytes = 64ULL << 30, .max_ratio = 1000 };

struct ticker {
	const struct work *w;
	const struct stream *s;
};

static void tick(void *arg)
{
	const struct ticker *t = arg;
	t->w->listener->progress(t->w->listener->arg, t->w->done_before + stream_in_bytes(t->s), t->w->total_bytes);
}

static void warn_about(const struct work *w, const struct layer_result *r)
{
	char text[160];
	if (r->n_left_out) {
		snprintf(text, sizeof(text), "left out %llu entries or attributes that a layer may not set",
			(unsigned long long)r->n_left_out);
		w->listener->warning(w->listener->arg, text);
	}
	if (r->n_no_xattr) {
		snprintf(text, sizeof(text), "left out %llu user attributes: this file system cannot hold them",
			(unsigned long long)r->n_no_xattr);
		w->listener->warning(w->listener->arg, text);
	}
}

/* ---- a source whose bytes are kept ---- */

struct tee {
	struct stream_source src;
	struct oci_part *part;
	uint64_t at, had; /* replayed so far of what the part had */
};

static ssize_t tee_read(void *arg, void *buf, size_t n, struct err *err)
{
	struct tee *t = arg;
	ssize_t got;
	if (t->at < t->had) {
		got = oci_part_read(t->part, t->at, buf, n, err);
		if (got == 0)
			return err_set(err, ERR_CORRUPT, "a blob became shorter");
		t->at += (uint64_t)MAX(got, 0);
		return got;
	}
	got = t->src.read(t->src.arg, buf, n, err);
	if (got > 0 && oci_append(t->part, buf, (size_t)got, err) < 0)
		return -1;
	return got;
}

static int open_stream(const struct work *w, struct work_layer *l, struct tee *tee, struct stream **ret, struct err *err)
{
	struct stream_limits limits = work_stream_limits;
	struct stream_source src = l->src;
	limits.max_in_bytes = w->max_in_bytes;
	if (l->keep) {
		*tee = (struct tee){ .src = l->src, .part = l->keep, .had = l->keep->have };
		src.read = tee_read;
		src.arg = tee;
	}
	return stream_open(&src, &limits, ret, err);
}

static int check_digests(struct work_layer *l, const struct stream_result *digests, struct err *err)
{
	if (l->expect_digest && strcmp(l->expect_digest, digests->in_sha256) != 0)
		return err_set(err, ERR_CORRUPT, "digest is sha256:%.16s…, not sha256:%.16s…", digests->in_sha256, l->expect_digest);
	if (l->expect_diff_id && strcmp(l->expect_diff_id, digests->out_sha256) != 0)
		return err_set(err, ERR_CORRUPT, "diff_id is sha256:%.16s…, not sha256:%.16s…", digests->out_sha256, l->expect_diff_id);
	memcpy(l->diff_id, digests->out_sha256, sizeof(l->diff_id));
	memcpy(l->digest, digests->in_sha256, sizeof(l->digest));
	l->in_bytes = digests->in_bytes;
	return 0;
}

int work_keep(const struct work *w, struct work_layer *l, struct err *err)
{
	struct tee tee; /* before the stream: its thread reads from it until it is closed */
	AUTO_STREAM struct stream *s = NULL;
	struct stream_result digests;
	struct ticker t = { .w = w };
	const void *p;
	ssize_t n;
	if (open_stream(w, l, &tee, &s, err) < 0)
		return -1;
	t.s = s;
	while ((n = stream_next(s, &p, err)) > 0)
		tick(&t);
	return n < 0 || stream_finish(s, &digests, err) < 0 ? -1 : check_digests(l, &digests, err);
}

/* Unpacks into diff_fd and compares both digests. */
static int unpack_stream(const struct work *w, struct work_layer *l, int diff_fd, struct store_new_layer *layer, struct err *err)
{
	struct tee tee;
	AUTO_STREAM struct stream *s = NULL;
	struct layer_result result = {0};
	struct stream_result digests;
	if (open_stream(w, l, &tee, &s, err) < 0)
		return -1;
	struct ticker t = { .w = w, .s = s };
	if (layer_unpack(s, diff_fd, &layer_default_limits, tick, &t, &result, err) < 0 || stream_finish(s, &digests, err) < 0)
		return -1;
	tick(&t);
	if (check_digests(l, &digests, err) < 0)
		return -1;
	warn_about(w, &result);
	memcpy(layer->diff_id, l->diff_id, sizeof(layer->diff_id));
	layer->size_bytes = result.size_bytes;
	layer->n_entries = result.n_entries;
	l->newest_mtime_s = result.newest_mtime_s;
	return 0;
}

int work_unpack(const struct work *w, struct work_layer *l, struct store_new_layer *ret_layer, int *ret_lock_fd, struct err *err)
{
	struct store_new_layer layer = {0};
	AUTO_CLOSE int fd = store_begin_layer(w->store, layer.tmp_name, err);
	AUTO_CLOSE int diff_fd = -1;
	if (fd < 0)
		return -1;
	diff_fd = fs_open_dir(fd, "diff", err);
	if (diff_fd < 0 || unpack_stream(w, l, diff_fd, &layer, err) < 0) {
		store_abandon_layer(w->store, layer.tmp_name);
		return -1;
	}
	*ret_layer = layer;
	*ret_lock_fd = TAKE_FD(fd);
	return 0;
}

int work_seal(const char *tmp_name, int lock_fd, const struct pack_options *options, struct store_new_layer *ret_layer, struct err *err)
{
	struct store_new_layer layer = {0};
	struct pack_result r;
	AUTO_CLOSE int diff_fd = -1;
	if (fs_remove_tree(lock_fd, "work", err) < 0)
		return -1;
	diff_fd = fs_open_dir(lock_fd, "diff", err);
	if (diff_fd < 0 || pack_layer(diff_fd, options, NULL, NULL, &r, err) < 0)
		return -1;
	snprintf(layer.tmp_name, sizeof(layer.tmp_name), "%s", tmp_name);
	memcpy(layer.diff_id, r.diff_id, sizeof(layer.diff_id));
	layer.size_bytes = r.size_bytes;
	layer.n_entries = r.n_entries;
	layer.tar_bytes = r.tar_bytes;
	layer.clamp = options && options->clamp;
	layer.latest_s = options ? options->latest_s : 0;
	*ret_layer = layer;
	return 0;
}
