/* SPDX-License-Identifier: Apache-2.0 */
/* One pass over the archive: decompress, unpack; one over what came of it, for its diffID; then the configuration is made around that and
 * both are committed together. */
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

/* The layer is what we make of it, not the archive that came: so it can be packed again at any time, and the same tree is the same layer
 * however it was archived. */
static int seal(struct store_new_layer *layer, int lock_fd, struct err *err)
{
	char tmp_name[sizeof(layer->tmp_name)];
	memcpy(tmp_name, layer->tmp_name, sizeof(tmp_name));
	return work_seal(tmp_name, lock_fd, NULL, layer, err) < 0 ? err_wrap(err, "import") : 0;
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
	struct work_layer in = { .src = { .read = stream_read_fd, .arg = &fd, .wait_fd = fd } };
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
	if (work_unpack(&work, &in, &layer, &lock_fd, err) < 0)
		return err_wrap(err, "import");
	rc = seal(&layer, lock_fd, err);
	config = make_config(layer.diff_id, in.newest_mtime_s, message);
	if (rc == 0)
		rc = apply_changes(config, changes, err);
	if (rc == 0)
		rc = commit(w, config, &layer, ref, ret_id, err);
	if (rc < 0)
		store_abandon_layer(w->store, layer.tmp_name);
	return rc;
}
