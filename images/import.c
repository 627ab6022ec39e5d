/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the archive: decompress, hash, unpack; then the configuration is made around the diffID and both are committed
 * together. */
#include "images/import.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "spec/imageref.h"

/* The canonical reference of name, free() it. */
static int import_ref(const char *name, char **ret, struct err *err)
{
	AUTO_ARENA struct arena *a = arena_new();
	struct imageref ref = {0};
	if (imageref_parse(name, a, &ref, err) < 0)
		return -1;
	if (ref.digest)
		return err_set(err, ERR_INVALID, "image name \"%s\": a digest cannot be given to an import", name);
	*ret = xstrdup(imageref_full(&ref, a));
	return 0;
}

/* Adds everything but the layer and the time. Also run once before reading, to find what is wrong with the changes. */
static int apply_changes(json_t *config, const char *const *changes, struct err *err)
{
	for (; changes && *changes; changes++)
		if (image_config_change(config, *changes, err) < 0)
			return -1;
	return 0;
}

static json_t *make_config(const char *diff_id, int64_t newest_s, const char *message)
{
	const uint64_t now = clock_real_ns(), newest = (uint64_t)newest_s;
	char created[40];
	return image_config_new(diff_id, clock_rfc3339(newest > now / 1000000000 ? now : newest * 1000000000, created), message);
}

static int commit(const struct work *w, json_t *config, const struct store_new_layer *layer, char *ref, char ret_id[static 65],
	struct err *err)
{
	AUTO_FREE char *text = json_canonical(config);
	return store_commit_image(w->store, text, strlen(text), layer, 1, &ref, ref ? 1 : 0, ret_id, err);
}

int import_rootfs(const struct work *w, const char *name, const char *const *changes, const char *message, char ret_id[static 65],
	struct err *err)
{
	AUTO_FREE char *ref = NULL;
	AUTO_JSON json_t *trial = image_config_new("", "", NULL);
	AUTO_JSON json_t *trial_message = json_string(message), *config = NULL;
	AUTO_CLOSE int lock_fd = -1;
	struct store_new_layer layer = {0};
	struct work work = *w;
	int fd = w->input_fd, rc;
	const struct stream_source src = { .read = stream_read_fd, .arg = &fd, .wait_fd = fd };
	int64_t newest = 0;
	struct stat st;
	if (message && !json_is_string(trial_message))
		return err_set(err, ERR_INVALID, "the message is not UTF-8");
	if ((name && import_ref(name, &ref, err) < 0) || apply_changes(trial, changes, err) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "archive");
	if (S_ISDIR(st.st_mode))
		return err_sys(err, EISDIR, "archive");
	work.total_bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	if (work_unpack(&work, &src, NULL, NULL, &layer, &lock_fd, &newest, err) < 0)
		return err_wrap(err, "import");
	config = make_config(layer.diff_id, newest, message);
	rc = apply_changes(config, changes, err);
	if (rc == 0)
		rc = commit(w, config, &layer, ref, ret_id, err);
	if (rc < 0)
		store_abandon_layer(w->store, layer.tmp_name);
	return rc;
}
