/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as the index of an archive: the first byte says which of manifest.json and index.json the rest is (or a manifest that index.json
 * leads to), beside a configuration and a layer that are good. Nothing crashes; whatever is loaded has its layers, and the layout of the store
 * holds every blob that it names. */
#include <fcntl.h>
#include <sys/mman.h>
#include <stdio.h>

#include "base/fs.h"
#include "images/load.h"
#include "images/manifest.h"
#include "images/pack_impl.h"

static const char layer_text[1024 + 1024];

static void put(struct str *tar, const char *name, const void *p, size_t n)
{
	static const char zeros[512];
	const struct pack_entry e = { .type = PACK_REG, .path = name, .mode = 0644, .size = n };
	pack_header_text(tar, &e);
	str_addn(tar, p, n);
	str_addn(tar, zeros, -n & 511);
}

static void ignore_progress(void *arg, uint64_t done, uint64_t total)
{
	(void)arg, (void)done, (void)total;
}

static void ignore_warning(void *arg, const char *text)
{
	(void)arg, (void)text;
}

static void ignore_loaded(void *arg, const char *ref, const char *id)
{
	(void)arg, (void)ref, (void)id;
}

/* manifest.json, index.json, or index.json that leads to the text as a manifest; everything that a good one would name is there. */
static void build(struct str *tar, const uint8_t *data, size_t size)
{
	AUTO_STR struct str config = {0}, index = {0};
	AUTO_FREE char *name = NULL;
	char hex[65], layer_hex[65];
	sha256_hex(layer_text, sizeof(layer_text), layer_hex);
	str_addf(&config, "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}", layer_hex);
	put(tar, "c.json", config.p, config.len);
	put(tar, "l.tar", layer_text, sizeof(layer_text));
	sha256_hex(config.p, config.len, hex);
	name = xasprintf("blobs/sha256/%s", hex);
	put(tar, name, config.p, config.len);
	free(name);
	name = xasprintf("blobs/sha256/%s", layer_hex);
	put(tar, name, layer_text, sizeof(layer_text));
	if (data[0] % 3 == 0) {
		put(tar, "manifest.json", data + 1, size - 1);
	} else if (data[0] % 3 == 1) {
		put(tar, "index.json", data + 1, size - 1);
	} else {
		sha256_hex(data + 1, size - 1, hex);
		free(name);
		name = xasprintf("blobs/sha256/%s", hex);
		put(tar, name, data + 1, size - 1);
		str_addf(&index, "{\"manifests\":[{\"digest\":\"sha256:%s\",\"size\":%zu,"
			"\"annotations\":{\"io.containerd.image.name\":\"a/b:c\"}}]}", hex, size - 1);
		put(tar, "index.json", index.p, index.len);
	}
	str_addn(tar, layer_text, 1024);
}

static void check(struct store *s)
{
	struct image *list = NULL;
	size_t n = 0;
	if (store_list(s, &list, &n, NULL) < 0)
		abort();
	for (size_t i = 0; i < n; i++) {
		struct map blobs = {0};
		for (size_t k = 0; k < list[i].diff_ids.n; k++)
			if (!store_has_layer(s, list[i].diff_ids.v[k]))
				abort();
		if (store_image_blobs(s, list[i].id, &blobs) < 0)
			abort();
		for (struct map_entry *e = map_next(&blobs, NULL); e; e = map_next(&blobs, e))
			if (!oci_has(store_oci(s), e->key, NULL))
				abort();
		map_done(&blobs);
	}
	store_list_free(list, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct work_listener quiet = { .progress = ignore_progress, .warning = ignore_warning, .loaded = ignore_loaded };
	char path[] = "/dev/shm/muster-fuzz-XXXXXX";
	AUTO_STR struct str tar = {0};
	AUTO_CLOSE int fd = memfd_create("archive", MFD_CLOEXEC), root = -1;
	struct work w = { .listener = &quiet, .input_fd = fd };
	struct err err = {0};
	if (size == 0)
		return 0;
	if (!mkdtemp(path) || (root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || store_open(root, &w.store, &err) < 0)
		abort();
	build(&tar, data, size);
	if (fs_write_all(fd, tar.p, tar.len, NULL) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	if (load_archive(&w, &err) < 0 && !err.msg[0])
		abort();
	check(w.store);
	store_close(w.store);
	if (fs_remove_tree(AT_FDCWD, path, &err) < 0)
		abort();
	return 0;
}
