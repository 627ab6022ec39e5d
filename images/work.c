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

/* Unpacks into diff_fd and compares both digests. */
static int unpack_stream(const struct work *w, const struct stream_source *src, int diff_fd, const char *expect_diff_id,
	const char *expect_digest, struct store_new_layer *layer, int64_t *ret_newest, struct err *err)
{
	AUTO_STREAM struct stream *s = NULL;
	struct layer_result result = {0};
	struct stream_limits limits = work_stream_limits;
	struct stream_result digests;
	limits.max_in_bytes = w->max_in_bytes;
	if (stream_open(src, &limits, &s, err) < 0)
		return -1;
	struct ticker t = { .w = w, .s = s };
	if (layer_unpack(s, diff_fd, &layer_default_limits, tick, &t, &result, err) < 0 || stream_finish(s, &digests, err) < 0)
		return -1;
	tick(&t);
	if (expect_digest && strcmp(expect_digest, digests.in_sha256) != 0)
		return err_set(err, ERR_CORRUPT, "digest is sha256:%.16s…, not sha256:%.16s…", digests.in_sha256, expect_digest);
	if (expect_diff_id && strcmp(expect_diff_id, digests.out_sha256) != 0)
		return err_set(err, ERR_CORRUPT, "diff_id is sha256:%.16s…, not sha256:%.16s…", digests.out_sha256, expect_diff_id);
	warn_about(w, &result);
	memcpy(layer->diff_id, digests.out_sha256, sizeof(layer->diff_id));
	layer->size_bytes = result.size_bytes;
	layer->n_entries = result.n_entries;
	*ret_newest = result.newest_mtime_s;
	return 0;
}

int work_unpack(const struct work *w, const struct stream_source *src, const char *expect_diff_id, const char *expect_digest,
	struct store_new_layer *ret_layer, int *ret_lock_fd, int64_t *ret_newest_mtime_s, struct err *err)
{
	struct store_new_layer layer = {0};
	AUTO_CLOSE int fd = store_begin_layer(w->store, layer.tmp_name, err);
	AUTO_CLOSE int diff_fd = -1;
	if (fd < 0)
		return -1;
	diff_fd = fs_open_dir(fd, "diff", err);
	if (diff_fd < 0 ||
	    unpack_stream(w, src, diff_fd, expect_diff_id, expect_digest, &layer, ret_newest_mtime_s, err) < 0) {
		store_abandon_layer(w->store, layer.tmp_name);
		return -1;
	}
	*ret_layer = layer;
	*ret_lock_fd = TAKE_FD(fd);
	return 0;
}
