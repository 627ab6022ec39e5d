/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a layer: compressed or not, tar or not. Nothing crashes, and nothing outside the folder it is unpacked to
 * changes: a guard beside it is looked at after every input. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "images/layer.h"

struct memory {
	const uint8_t *p;
	size_t n, at;
};

static ssize_t memory_read(void *arg, void *buf, size_t n, struct err *err)
{
	struct memory *m = arg;
	(void)err;
	n = n < m->n - m->at ? n : m->n - m->at;
	memcpy(buf, m->p + m->at, n);
	m->at += n;
	return (ssize_t)n;
}

static int count_name(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

/* The folder for all inputs of this process; on a tmpfs when there is one. */
static int open_scratch(void)
{
	char path[] = "/dev/shm/muster-fuzz-XXXXXX", other[] = "/tmp/muster-fuzz-XXXXXX";
	char *dir = mkdtemp(path);
	int fd;
	dir = dir ? dir : mkdtemp(other);
	fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0 || mkdirat(fd, "outside", 0700) < 0 || rmdir(dir) == 0)
		abort();
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As a layer, or as any other archive. */
static void unpack(const uint8_t *data, size_t size, int root, bool layer)
{
	static const struct layer_limits limits = { .max_entries = 1000, .max_bytes = 1 << 20, .max_dir_bytes = 100000 };
	const struct stream_limits stream_limits = { .max_out_bytes = 8 << 20 };
	struct memory m = { .p = data, .n = size };
	const struct stream_source src = { .read = memory_read, .arg = &m, .wait_fd = -1 };
	AUTO_STRV struct strv implied = {0};
	struct layer_result result;
	struct stream *s = NULL;
	struct err err;
	if (stream_open(&src, &stream_limits, &s, &err) == 0 && layer)
		layer_unpack(s, root, &limits, NULL, NULL, &result, &err);
	else if (s)
		layer_unpack_archive(s, root, &implied, &result, &err);
	stream_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *path = xcalloc(1, 4096);
	int scratch = open_scratch();
	struct stat st;
	char link[32];
	for (int layer = 0; layer < 2; layer++) {
		int root, n = 0;
		if (mkdirat(scratch, "root", 0755) < 0 || (root = fs_open_dir(scratch, "root", NULL)) < 0)
			abort();
		unpack(data, size, root, layer);
		close(root);
		if (fs_each(scratch, ".", count_name, &n, NULL) < 0 || n != 2 || fs_each(scratch, "outside", count_name, &n, NULL) < 0 || n != 2)
			abort();
		if (fstatat(scratch, "outside", &st, AT_SYMLINK_NOFOLLOW) < 0 || (st.st_mode & 07777) != 0700 || st.st_uid != geteuid())
			abort();
		if (fs_remove_tree(scratch, "root", NULL) < 0)
			abort();
	}
	if (readlink(fs_fd_path(scratch, link), path, 4095) < 0 || fs_remove_tree(AT_FDCWD, path, NULL) < 0)
		abort();
	close(scratch);
	return 0;
}
