/* SPDX-License-Identifier: Apache-2.0 */
/* The upper directory is packed to an unnamed file and unpacked from there to a layer of its own, so that the container may go on
 * writing to its own without changing an image. */
#include "images/commit.h"

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "spec/imageref.h"

static int to_spool(void *arg, const void *p, size_t n, struct err *err)
{
	return failpoint_err("archive.export", err) < 0 ? -1 : fs_write_all(*(int *)arg, p, n, err);
}

/* Copies the upper directory to a new private layer. */
static int copy_layer(const struct work *w, int upper_fd, struct store_new_layer *ret, int *ret_lock_fd, struct err *err)
{
	AUTO_CLOSE int spool = store_open_spool(w->store, err);
	struct pack_result r;
	int in = spool;
	struct work_layer l = { .src = { .read = stream_read_fd, .arg = &in, .wait_fd = -1 } };
	if (spool < 0 || pack_layer(upper_fd, NULL, to_spool, &in, &r, err) < 0)
		return -1;
	if (lseek(spool, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "seek");
	l.expect_diff_id = r.diff_id;
	if (work_unpack(w, &l, ret, ret_lock_fd, err) < 0)
		return -1;
	ret->tar_bytes = r.tar_bytes;
	return 0;
}

/* The image's configuration with one more layer. */
static json_t *make_config(const struct image *base, const char *diff_id, const struct commit_options *o)
{
	json_t *j = json_deep_copy(base->json), *config, *history, *entry = json_object(), *value;
	AUTO_FREE char *digest = xasprintf("sha256:%s", diff_id);
	const char *key;
	char now[40];
	clock_rfc3339(clock_real_ns(), now);
	if (!json_is_object(json_object_get(j, "config")))
		json_object_set_new(j, "config", json_object());
	config = json_object_get(j, "config");
	json_object_foreach((json_t *)(uintptr_t)o->config, key, value)
		json_object_set(config, key, value);
	json_put_str(j, "created", now);
	json_put_str(j, "author", o->author);
	json_array_append_new(json_object_get(json_object_get(j, "rootfs"), "diff_ids"), json_string(digest));
	json_put_str(entry, "created", now);
	json_put_str(entry, "author", o->author);
	json_put_str(entry, "created_by", o->created_by ? o->created_by : "");
	json_put_str(entry, "comment", o->message);
	history = json_object_get(j, "history");
	if (!json_is_array(history)) {
		history = json_array();
		json_object_set_new(j, "history", history);
	}
	json_array_append_new(history, entry);
	return j;
}

static int apply_changes(json_t *config, const char *const *changes, struct err *err)
{
	for (; changes && *changes; changes++)
		if (image_config_change(config, *changes, err) < 0)
			return -1;
	return 0;
}

int commit_container(const struct work *w, const char *base_id, int upper_fd, const struct commit_options *options, char ret_id[static 65],
	struct err *err)
{
	AUTO_IMAGE struct image base = {0};
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_JSON json_t *config = NULL;
	AUTO_FREE char *text = NULL;
	AUTO_CLOSE int lock_fd = -1;
	struct store_new_layer layer = {0};
	struct imageref ref = {0};
	char *full = NULL;
	int rc;
	if (options->name && imageref_parse(options->name, a, &ref, err) < 0)
		return -1;
	if (ref.digest)
		return err_set(err, ERR_INVALID, "image name \"%s\": a digest cannot be given to a commit", options->name);
	full = options->name ? imageref_full(&ref, a) : NULL;
	if (store_lookup(w->store, base_id, &base, err) < 0)
		return -1;
	if (base.diff_ids.n == IMAGE_MAX_LAYERS)
		return err_set(err, ERR_INVALID, "the image has %d layers already, more are not allowed", IMAGE_MAX_LAYERS);
	if (copy_layer(w, upper_fd, &layer, &lock_fd, err) < 0)
		return err_wrap(err, "commit");
	config = make_config(&base, layer.diff_id, options);
	rc = apply_changes(config, options->changes, err);
	text = json_canonical(config);
	if (rc == 0)
		rc = store_commit_image(w->store, text, strlen(text), &layer, 1, &full, full ? 1 : 0, ret_id, err);
	if (rc < 0)
		store_abandon_layer(w->store, layer.tmp_name);
	return rc < 0 ? -1 : 0;
}
