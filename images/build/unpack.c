/* SPDX-License-Identifier: Apache-2.0 */
/* An archive is unpacked beside the layer first, by the same code that unpacks the layers of pulled images, with its rules about names, links and
 * sizes; then it is copied into the view as any directory is, files by a link. So symlinks of the image are met by the copying alone. */
#include "images/build/unpack.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/map.h"
#include "images/layer.h"
#include "images/stream.h"
#include "images/tree.h"

static const struct stream_limits limits = { .max_out_bytes = 64ULL << 30, .max_ratio = 1000 };

/* Does a block look like the header of a tar archive? Its checksum tells; a name may be empty. */
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
	return sum == expected;
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

static int unpack_all(int fd, int dir_fd, struct strv *ret_implied, struct err *err)
{
	const struct stream_source src = { .read = stream_read_fd, .arg = &fd, .wait_fd = fd };
	AUTO_STREAM struct stream *s = NULL;
	struct layer_result result;
	struct stream_result digests;
	if (stream_open(&src, &limits, &s, err) < 0 || layer_unpack_archive(s, dir_fd, ret_implied, &result, err) < 0)
		return -1;
	return stream_finish(s, &digests, err);
}

int unpack_context(int fd, int dir_fd, struct err *err)
{
	AUTO_STRV struct strv implied = {0};
	return unpack_all(fd, dir_fd, &implied, err);
}

/* ---- directories that the archive does not mention: where the image has a symlink of that name, they are where it leads ---- */

static int list(int dir_fd, struct strv *ret, struct err *err)
{
	const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	if (!dir)
		return err_sys(err, errno, "archive: list a directory");
	while ((e = readdir(dir))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			strv_push(ret, e->d_name);
	}
	closedir(dir);
	return 0;
}

/* Moves what is in the directory from into the directory to; directories that both have become one. */
static int merge(int from_fd, int to_fd, unsigned depth, struct err *err)
{
	AUTO_STRV struct strv names = {0};
	if (depth > 1000)
		return err_sys(err, ENAMETOOLONG, "archive");
	if (list(from_fd, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		const char *name = names.v[i];
		AUTO_CLOSE int a = openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		AUTO_CLOSE int b = openat(to_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (a >= 0 && b >= 0) {
			if (merge(a, b, depth + 1, err) < 0)
				return -1;
			if (unlinkat(from_fd, name, AT_REMOVEDIR) < 0)
				return err_sys(err, errno, "archive: remove %s", name);
			continue;
		}
		if ((a >= 0) != (b >= 0) && fs_remove_tree(to_fd, name, err) < 0)
			return -1;
		if (renameat(from_fd, name, to_fd, name) < 0)
			return err_sys(err, errno, "archive: move %s", name);
	}
	return 0;
}

/* The directory `path` of the unpacked archive becomes, or becomes part of, the directory `to`. */
static int move_dir(int root_fd, const char *path, const char *to, struct strv *made, struct err *err)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *to_base;
	AUTO_FREE char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
	AUTO_CLOSE int from = fs_open_in_root(root_fd, parent, O_PATH | O_DIRECTORY, 0);
	struct tree t;
	int fd, rc = -1;
	if (from < 0)
		return err_sys(err, -from, "archive: open %s", parent);
	tree_init(&t, root_fd);
	fd = *to ? tree_parent(&t, to, &to_base, err) : -1;
	if (fd >= 0)
		rc = renameat2(from, base, fd, to_base, RENAME_NOREPLACE) == 0 ? 0 : errno == EEXIST ? 1 : err_sys(err, errno, "archive: move %s", path);
	if (rc == 1 || !*to) {
		AUTO_CLOSE int a = openat(from, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		AUTO_CLOSE int b = fs_open_in_root(root_fd, *to ? to : ".", O_RDONLY | O_DIRECTORY, 0);
		if (a < 0 || b < 0)
			rc = err_sys(err, a < 0 ? errno : -b, "archive: open %s", a < 0 ? path : to);
		else
			rc = merge(a, b, 0, err);
		if (rc == 0 && unlinkat(from, base, AT_REMOVEDIR) < 0)
			rc = err_sys(err, errno, "archive: remove %s", path);
	}
	for (size_t i = 0; rc == 0 && i < t.made.n; i++)
		strv_push(made, t.made.v[i]);
	tree_done(&t);
	return rc;
}

/* Where the symlink at into + path leads, relative to into: NULL when that is no directory, nothing, or elsewhere. free() it. */
static char *link_target(const struct view *dest, const char *into, const char *path)
{
	AUTO_WALK struct view_walk w = {0};
	AUTO_FREE char *at = xasprintf("%s%s", into, path), *dir = NULL, *real = NULL;
	char base[256];
	struct stat st;
	if (view_walk_init(&w, dest, NULL) < 0 || view_resolve(&w, at, 0, base, &st, NULL) != 0 || !S_ISLNK(st.st_mode) ||
	    view_resolve(&w, at, VIEW_FOLLOW, base, &st, NULL) != 0 || !S_ISDIR(st.st_mode))
		return NULL;
	dir = view_path(&w);
	real = xasprintf("%s%s%s%s", dir, dir[1] ? "/" : "", base, *base ? "/" : "");
	if (!str_starts(real, into))
		return NULL;
	real[strlen(real) - (strlen(real) > 1)] = '\0';
	return xstrdup(strlen(real) > strlen(into) ? real + strlen(into) : "");
}

/* Does the archive itself have the directory `path`? */
static bool mentions(int dir_fd, const struct strv *implied, const char *path)
{
	AUTO_CLOSE int fd = *path ? fs_open_in_root(dir_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0) : -1;
	for (size_t i = 0; fd >= 0 && i < implied->n; i++)
		if (strcmp(implied->v[i], path) == 0)
			return false;
	return fd >= 0;
}

/* The names of the implied directories at and below path when that becomes `to`; what the archive mentions there is none any more. */
static void rename_implied(int dir_fd, const char *path, const char *to, struct strv *implied)
{
	const size_t n = strlen(path), before = implied->n;
	AUTO_STRV struct strv now = {0};
	for (size_t k = 0; k < before; k++) {
		const char *old = implied->v[k];
		AUTO_FREE char *name = NULL;
		if (strncmp(old, path, n) != 0 || (old[n] && old[n] != '/')) {
			strv_push(&now, old);
			continue;
		}
		name = xasprintf("%s%s", to, *to ? old + n : old + n + (old[n] == '/'));
		if (!mentions(dir_fd, implied, name))
			strv_push(&now, name);
	}
	strv_done(implied);
	*implied = now;
	now = (struct strv){0};
}

static int follow_links(int dir_fd, const struct view *dest, const char *into, struct strv *implied, struct err *err)
{
	for (size_t i = 0; i < implied->n;) {
		AUTO_FREE char *path = xstrdup(implied->v[i]), *to = link_target(dest, into, path);
		if (!to || strcmp(to, path) == 0) {
			i++;
			continue;
		}
		rename_implied(dir_fd, path, to, implied);
		if (move_dir(dir_fd, path, to, implied, err) < 0)
			return -1; /* the next one to look at is at i now: parents come first, and what `to` leads through is no link */
	}
	return 0;
}

/* archive: what it does not mention stays as it is, modes are its own; else it is a directory like any other, of which --exclude takes away. */
static int place(int fd, const struct copy_options *o, const struct view *dest, bool archive, struct err *err)
{
	AUTO_CLOSE int dir_fd = -1;
	AUTO_FREE char *into = xasprintf("%s%s", o->dest, str_ends(o->dest, "/") ? "" : "/");
	AUTO_STRV struct strv implied = {0};
	AUTO_MAP struct map known = {0};
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
		rc = unpack_all(fd, dir_fd, &implied, err);
	if (rc == 0)
		rc = archive ? follow_links(dir_fd, dest, into, &implied, err) : 0;
	for (size_t i = 0; i < implied.n; i++)
		map_put(&known, implied.v[i], implied.v[i]);
	plain.dest = into;
	plain.unpack = false;
	plain.replace = true;
	plain.excludes = archive ? NULL : o->excludes;
	plain.chmod = archive ? "" : o->chmod;
	plain.implied = archive ? &known : NULL;
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
	return place(fd, o, dest, true, err);
}

int unpack_tree(int fd, const struct copy_options *o, const struct view *dest, struct err *err)
{
	return place(fd, o, dest, false, err);
}
