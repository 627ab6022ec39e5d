/* SPDX-License-Identifier: Apache-2.0 */
/* An archive is unpacked beside the layer first, by the same code that unpacks the layers of pulled images, with its rules about names, links and
 * sizes; then it is copied into the view as any directory is, files by a link. So symlinks of the image are met by the copying alone. */
#include "images/build/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "images/layer.h"
#include "images/stream.h"

static const struct stream_limits limits = { .max_out_bytes = 64ULL << 30, .max_ratio = 1000 };

/* Does a block look like the header of a tar archive: its checksum holds, and it has a name? */
static bool is_header(const unsigned char *block)
{
	unsigned sum = 0, expected = 0;
	size_t i = 148;
	for (size_t k = 0; k < 512; k++)
		sum += k >= 148 && k < 156 ? ' ' : block[k];
	while (i < 156 && block[i] == ' ')
		i++;
	for (; i < 156 && block[i] >= '0' && block[i] <= '7'; i++)
		expected = expected * 8 + (block[i] - '0');
	return block[0] && sum == expected;
}

int unpack_is_archive(int fd, struct err *err)
{
	const struct stream_source src = { .read = stream_read_fd, .arg = &fd, .wait_fd = -1 };
	AUTO_STREAM struct stream *s = NULL;
	unsigned char block[512];
	size_t have = 0;
	const void *p;
	ssize_t n;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(err, errno, "archive");
	if (stream_open(&src, &limits, &s, err) < 0)
		return -1;
	while (have < sizeof(block)) {
		n = stream_next(s, &p, NULL);
		if (n <= 0)
			return 0; /* short, or not what its first bytes promise: a file like any other */
		n = MIN(n, (ssize_t)(sizeof(block) - have));
		memcpy(block + have, p, (size_t)n);
		have += (size_t)n;
	}
	return is_header(block);
}

int unpack_context(int fd, int dir_fd, struct err *err)
{
	const struct stream_source src = { .read = stream_read_fd, .arg = &fd, .wait_fd = fd };
	AUTO_STREAM struct stream *s = NULL;
	struct layer_result result;
	struct stream_result digests;
	if (stream_open(&src, &limits, &s, err) < 0 || layer_unpack(s, dir_fd, &layer_default_limits, NULL, NULL, &result, err) < 0)
		return -1;
	return stream_finish(s, &digests, err);
}

static int place(int fd, const struct copy_options *o, const struct view *dest, const struct ignore *excludes, struct err *err)
{
	AUTO_CLOSE int dir_fd = -1;
	AUTO_FREE char *into = xasprintf("%s%s", o->dest, str_ends(o->dest, "/") ? "" : "/");
	struct copy_options plain = *o;
	struct copy_match match = { .path = (char []){ "/" }, .base = (char []){ "" } };
	const struct copy_matches matches = { .v = &match, .n = 1 };
	const struct view view = { .fds = &dir_fd, .n = 1 };
	struct copy_source src = { .view = &view, .move = true };
	bool unsure;
	int rc;
	assert(o->tmp_fd >= 0);
	if (mkdirat(o->tmp_fd, "unpack", 0755) < 0)
		return err_sys(err, errno, "create a temporary directory");
	dir_fd = fs_open_dir(o->tmp_fd, "unpack", err);
	rc = dir_fd < 0 ? -1 : 0;
	if (rc == 0 && lseek(fd, 0, SEEK_SET) < 0)
		rc = err_sys(err, errno, "archive");
	if (rc == 0)
		rc = unpack_context(fd, dir_fd, err);
	plain.dest = into;
	plain.unpack = false;
	plain.replace = true;
	plain.excludes = excludes;
	src.stat = statcache_open(-1, "");
	if (rc == 0)
		rc = copy_apply(&src, &matches, &plain, dest, &unsure, err);
	statcache_close(src.stat);
	if (fs_remove_tree(o->tmp_fd, "unpack", rc == 0 ? err : NULL) < 0)
		rc = -1;
	return rc;
}

int unpack_into(int fd, const struct copy_options *o, const struct view *dest, struct err *err)
{
	int rc = unpack_is_archive(fd, err);
	if (rc <= 0)
		return rc < 0 ? -1 : 1;
	return place(fd, o, dest, NULL, err);
}

int unpack_tree(int fd, const struct copy_options *o, const struct view *dest, struct err *err)
{
	return place(fd, o, dest, o->excludes, err);
}
