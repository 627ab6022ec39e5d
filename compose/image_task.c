/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments come from muster itself; they are checked all the same, as what they hold was written by people. */
#include "compose/image_task.h"

#include <stdio.h>

#include "base/fs.h"
#include "images/changes.h"
#include "images/commit.h"
#include "images/save.h"
#include "images/verify.h"

enum { OUTPUT_FD = 0 };

static int unexpected(const char *task, struct err *err)
{
	return err_set(err, ERR_INVALID, "muster-image %s: unexpected argument", task);
}

static int task_save(const struct work *w, int argc, char **argv, char *ret_id, struct err *err)
{
	static const char *const formats[] = { "combined", "docker-archive", "oci-archive" };
	struct save_options o = { .listener = w->listener };
	int i = 1;
	(void)ret_id;
	for (; i + 1 < argc && str_starts(argv[i], "--"); i += 2) {
		bool known = false;
		if (strcmp(argv[i], "--compression") == 0)
			known = o.recompress = pack_codec_parse(argv[i + 1], &o.codec);
		for (size_t k = 0; strcmp(argv[i], "--format") == 0 && k < ARRAY_SIZE(formats); k++)
			if (strcmp(argv[i + 1], formats[k]) == 0) {
				o.format = (enum save_format)k;
				known = true;
			}
		if (!known)
			return unexpected("save", err);
	}
	return save_images(w->store, (const char *const *)argv + i, (size_t)(argc - i), &o, OUTPUT_FD, err);
}

static void tell_fault(void *arg, const char *text)
{
	const struct work *w = arg;
	w->listener->warning(w->listener->arg, text);
}

static int task_verify(const struct work *w, int argc, char **argv, char *ret_id, struct err *err)
{
	struct verify_result r = {0};
	bool repair = argc == 2 && strcmp(argv[1], "--repair") == 0;
	(void)ret_id;
	if (argc > 1 && !repair)
		return unexpected("verify", err);
	if (verify_store(w, repair, tell_fault, (void *)(uintptr_t)w, &r, err) < 0)
		return -1;
	if (dprintf(OUTPUT_FD, "%zu images, %zu blobs and %zu layers looked at: %zu faults, %zu of them removed\n", r.n_images, r.n_blobs, r.n_layers,
		    r.n_bad, r.n_repaired) < 0)
		return err_sys(err, errno, "write");
	return r.n_bad ? err_set(err, ERR_CORRUPT, "the store is damaged: %zu faults", r.n_bad) : 0;
}

/* The layers of an image by its full id, and the upper directory after them; close all n, free(). */
static int open_stack(const struct work *w, const char *id, int **ret_fds, size_t *ret_n, struct err *err)
{
	AUTO_IMAGE struct image img = {0};
	if (store_lookup(w->store, id, &img, err) < 0 || store_open_layers(w->store, &img, ret_fds, ret_n, err) < 0)
		return -1;
	*ret_fds = xrealloc(*ret_fds, *ret_n + 1, sizeof(**ret_fds));
	(*ret_fds)[*ret_n] = w->tree_fd;
	++*ret_n;
	return 0;
}

static int to_output(void *arg, const void *p, size_t n, struct err *err)
{
	(void)arg;
	return fs_write_all(OUTPUT_FD, p, n, err);
}

static int task_export(const struct work *w, int argc, char **argv, char *ret_id, struct err *err)
{
	struct pack_result r;
	int *fds, rc;
	size_t n;
	(void)ret_id;
	if (argc != 2)
		return unexpected("export", err);
	if (open_stack(w, argv[1], &fds, &n, err) < 0)
		return -1;
	rc = pack_merged(fds, n, NULL, to_output, NULL, &r, err);
	free(fds);
	return rc;
}

static int put_change(void *arg, char kind, const char *path, struct err *err)
{
	str_addf(arg, "%c %s\n", kind, path);
	if (((struct str *)arg)->len < 65536)
		return 0;
	if (fs_write_all(OUTPUT_FD, str_get(arg), ((struct str *)arg)->len, err) < 0)
		return -1;
	str_clear(arg);
	return 0;
}

static int task_diff(const struct work *w, int argc, char **argv, char *ret_id, struct err *err)
{
	AUTO_STR struct str out = {0};
	int *fds, rc;
	size_t n;
	(void)ret_id;
	if (argc != 2)
		return unexpected("diff", err);
	if (open_stack(w, argv[1], &fds, &n, err) < 0)
		return -1;
	rc = changes_list(fds, n - 1, w->tree_fd, put_change, &out, err);
	if (rc == 0)
		rc = fs_write_all(OUTPUT_FD, str_get(&out), out.len, err);
	free(fds);
	return rc;
}

static int task_commit(const struct work *w, int argc, char **argv, char *ret_id, struct err *err)
{
	struct commit_options o = {0};
	AUTO_STRV struct strv changes = {0};
	AUTO_JSON json_t *config = NULL;
	if (argc < 2 || argc % 2)
		return unexpected("commit", err);
	for (int i = 2; i < argc; i += 2) {
		const char *value = argv[i + 1];
		if (strcmp(argv[i], "--name") == 0)
			o.name = value;
		else if (strcmp(argv[i], "--author") == 0)
			o.author = value;
		else if (strcmp(argv[i], "--message") == 0)
			o.message = value;
		else if (strcmp(argv[i], "--created-by") == 0)
			o.created_by = value;
		else if (strcmp(argv[i], "--change") == 0)
			strv_push(&changes, value);
		else if (strcmp(argv[i], "--config") == 0 && !config)
			config = json_loads(value, 0, NULL);
		else
			return unexpected("commit", err);
	}
	o.changes = (const char *const *)changes.v;
	o.config = config;
	return commit_container(w, argv[1], w->tree_fd, &o, ret_id, err);
}

static const struct {
	const char *name;
	int (*run)(const struct work *w, int argc, char **argv, char *ret_id, struct err *err);
} tasks[] = {
	{ "save", task_save }, { "verify", task_verify }, { "export", task_export }, { "diff", task_diff }, { "commit", task_commit },
};

int image_task_run(const struct work *w, int argc, char **argv, char ret_id[static 65], struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(tasks); i++)
		if (strcmp(argv[0], tasks[i].name) == 0)
			return tasks[i].run(w, argc, argv, ret_id, err);
	return unexpected(argv[0], err);
}
