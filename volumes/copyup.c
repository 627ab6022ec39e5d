/* SPDX-License-Identifier: Apache-2.0 */
/* The copy runs under a flock of the volume's directory, so that two containers starting at once fill it once. It is depth
 * first; a file with several names is copied at the first and linked at the others. Data goes by reflink where the file system
 * can, else by copy_file_range, else by read and write; holes stay holes. What is moved into _data last makes the volume
 * non-empty, which is what "filled" means. */
#include "volumes/copyup.h"

#include <dirent.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/map.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

enum { MAX_DEPTH = 200, BUFFER_BYTES = 256 << 10, MAX_XATTR_LIST = 64 << 10, MAX_XATTR_BYTES = 64 << 10 };

#define FILL_PREFIX ".fill-"
#define FILLED ".filled"

struct copy {
	int fill_fd;         /* root of the copy */
	struct map links;    /* "dev:ino" -> path below fill_fd, of files with several names */
	struct str path;     /* of the directory being copied, "" or "a/b/" */
	int depth;
	bool named;          /* the error says already where it happened */
	char *buffer;        /* BUFFER_BYTES, made when needed */
};

/* ---- metadata ---- */

static bool xattr_wanted(const char *name)
{
	return strcmp(name, "security.capability") == 0 || str_starts(name, "user.") || str_starts(name, "system.posix_acl_");
}

static int copy_xattrs(int from, int to, struct err *err)
{
	char list[MAX_XATTR_LIST], value[MAX_XATTR_BYTES], shown[80];
	ssize_t n = flistxattr(from, list, sizeof(list));
	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : err_sys(err, errno, "list xattrs");
	for (const char *name = list; name < list + n; name += strlen(name) + 1) {
		ssize_t size;
		if (!xattr_wanted(name))
			continue;
		size = fgetxattr(from, name, value, sizeof(value));
		if (size < 0 || (fsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != EOPNOTSUPP))
			return err_sys(err, errno, "copy xattr \"%s\"", err_quote(shown, sizeof(shown), name));
	}
	return 0;
}

/* Owner, mode, xattrs, times of an open file or directory: in the order in which none undoes another. */
static int copy_meta(int from, const struct stat *st, int to, struct err *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return err_sys(err, errno, "set owner and mode");
	if (copy_xattrs(from, to, err) < 0)
		return -1;
	return futimens(to, times) < 0 ? err_sys(err, errno, "set times") : 0;
}

static int copy_meta_at(const struct stat *st, int dir, const char *name, struct err *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	if (fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 || utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "set owner and times");
	return 0;
}

/* ---- data ---- */

/* True for errors of copy_file_range() that only mean "not between these two". */
static bool needs_other_way(int e)
{
	return e == EXDEV || e == EINVAL || e == EOPNOTSUPP || e == ENOSYS || e == EPERM;
}

/* Copies [at, end) by read and write. */
static int copy_plain(struct copy *c, int from, int to, off_t at, off_t end, struct err *err)
{
	if (!c->buffer)
		c->buffer = xcalloc(1, BUFFER_BYTES);
	if (lseek(to, at, SEEK_SET) < 0)
		return err_sys(err, errno, "seek");
	while (at < end) {
		ssize_t n = pread(from, c->buffer, (size_t)MIN((off_t)BUFFER_BYTES, end - at), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read");
		if (n == 0)
			return 0;
		if (fs_write_all(to, c->buffer, (size_t)n, err) < 0)
			return -1;
		at += n;
	}
	return 0;
}

static int copy_range(struct copy *c, int from, int to, off_t at, off_t end, struct err *err)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && needs_other_way(errno))
			return copy_plain(c, from, to, at, end, err);
		if (n < 0)
			return err_sys(err, errno, "copy");
		if (n == 0)
			return 0;
		at += n;
	}
	return 0;
}

static int copy_data(struct copy *c, int from, int to, off_t size, struct err *err)
{
	off_t at = 0;
	if (size == 0 || ioctl(to, FICLONE, from) == 0)
		return 0;
	while (at < size) {
		off_t data = lseek(from, at, SEEK_DATA), end;
		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		data = data < 0 ? at : data;
		end = lseek(from, data, SEEK_HOLE);
		end = end < 0 || end > size ? size : end;
		if (copy_range(c, from, to, data, end, err) < 0)
			return -1;
		at = MAX(end, data + 1);
	}
	return ftruncate(to, size) < 0 ? err_sys(err, errno, "extend") : 0;
}

/* ---- entries ---- */

static int copy_tree(struct copy *c, int from, int to, struct err *err);

/* Links name to the copy of the same inode when there is one. Returns 1 when linked, 0 when it is to be copied (and noted), -1 + err. */
static int link_again(struct copy *c, const struct stat *st, int to, const char *name, struct err *err)
{
	char key[48];
	const char *first;
	if (st->st_nlink < 2)
		return 0;
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
	first = map_get(&c->links, key);
	if (!first) {
		map_put(&c->links, key, xasprintf("%s%s", str_get(&c->path), name));
		return 0;
	}
	return linkat(c->fill_fd, first, to, name, 0) < 0 ? err_sys(err, errno, "link") : 1;
}

static int copy_file(struct copy *c, int from_dir, int to_dir, const char *name, struct err *err)
{
	AUTO_CLOSE int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO_CLOSE int to = -1;
	struct stat st;
	int rc;
	if (from < 0 || fstat(from, &st) < 0)
		return err_sys(err, errno, "open");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_CONFLICT, "it changed while it was being copied");
	rc = link_again(c, &st, to_dir, name, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return err_sys(err, errno, "create");
	return copy_data(c, from, to, st.st_size, err) < 0 ? -1 : copy_meta(from, &st, to, err);
}

static int copy_dir(struct copy *c, int from_dir, int to_dir, const char *name, struct err *err)
{
	AUTO_CLOSE int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int to = -1;
	size_t len = c->path.len;
	struct stat st;
	int rc;
	if (from < 0 || fstat(from, &st) < 0)
		return err_sys(err, errno, "open directory");
	if (c->depth == MAX_DEPTH)
		return err_set(err, ERR_INVALID, "directories nested more than %d deep", MAX_DEPTH);
	if (mkdirat(to_dir, name, 0700) < 0)
		return err_sys(err, errno, "create directory");
	to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return err_sys(err, errno, "open directory");
	str_addf(&c->path, "%s/", name);
	c->depth++;
	rc = copy_tree(c, from, to, err);
	c->depth--;
	c->path.len = len;
	c->path.p[len] = '\0';
	return rc < 0 ? -1 : copy_meta(from, &st, to, err);
}

static int copy_symlink(int from_dir, int to_dir, const char *name, const struct stat *st, struct err *err)
{
	char target[4096];
	ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);
	if (n < 0)
		return err_sys(err, errno, "read symlink");
	target[n] = '\0';
	if (symlinkat(target, to_dir, name) < 0)
		return err_sys(err, errno, "create symlink");
	return copy_meta_at(st, to_dir, name, err);
}

static int copy_node(struct copy *c, int to_dir, const char *name, const struct stat *st, struct err *err)
{
	int rc = link_again(c, st, to_dir, name, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (mknodat(to_dir, name, st->st_mode & ~(mode_t)07777, st->st_rdev) < 0 || fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)
		return err_sys(err, errno, "create a special file");
	return copy_meta_at(st, to_dir, name, err);
}

/* True when something is mounted on the entry: that is not the image's. */
static bool is_mount_point(int dir, const char *name)
{
	struct statx stx;
	return statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &stx) == 0 && (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int copy_entry(struct copy *c, int from, int to, const char *name, struct err *err)
{
	struct stat st;
	if (is_mount_point(from, name))
		return 0;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "stat");
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return copy_file(c, from, to, name, err);
	case S_IFDIR:
		return copy_dir(c, from, to, name, err);
	case S_IFLNK:
		return copy_symlink(from, to, name, &st, err);
	default:
		return copy_node(c, to, name, &st, err);
	}
}

/* Copies what is in `from` to `to`, not the directory's own metadata. */
static int copy_tree(struct copy *c, int from, int to, struct err *err)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	char shown[128];
	if (!d) {
		util_close(&fd);
		return err_sys(err, errno, "read directory");
	}
	while (rc == 0 && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		rc = copy_entry(c, from, to, e->d_name, err);
		if (rc < 0 && !c->named) {
			AUTO_FREE char *path = xasprintf("%s%s", str_get(&c->path), e->d_name);
			err_wrap(err, "%s", err_quote(shown, sizeof(shown), path));
			c->named = true;
		}
	}
	closedir(d);
	return rc;
}

/* ---- the volume ---- */

static int lock_volume(int volume_fd, struct err *err)
{
	AUTO_CLOSE int fd = openat(volume_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "open the volume");
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "lock the volume");
	return TAKE_FD(fd);
}

static int found_entry(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 1;
}

/* 1 when the directory has no entries, 0 when it has, -1 + err. */
static int is_empty(int dir, struct err *err)
{
	int rc = fs_each(dir, ".", found_entry, NULL, err);
	return rc < 0 ? -1 : rc == 0;
}

struct move {
	int from, to;
	struct err *err;
};

static int move_entry(void *arg, const char *name)
{
	const struct move *m = arg;
	/* an entry of that name came meanwhile: it is newer, ours goes with .filled */
	if (renameat2(m->from, name, m->to, name, RENAME_NOREPLACE) < 0 && errno != EEXIST)
		return err_sys(m->err, errno, "move the copied data into place");
	return 0;
}

/* Moves a complete copy into _data; repeatable at any point. Under the lock. */
static int finish(int volume_fd, struct err *err)
{
	AUTO_CLOSE int filled = openat(volume_fd, FILLED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int data = -1;
	struct move m;
	struct stat st;
	if (filled < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "open the copied data");
	data = fs_open_dir(volume_fd, "_data", err);
	if (data < 0)
		return -1;
	if (fstat(filled, &st) < 0)
		return err_sys(err, errno, "stat the copied data");
	m = (struct move){ .from = filled, .to = data, .err = err };
	if (fs_each(filled, ".", move_entry, &m, err) < 0)
		return -1;
	if (copy_meta(filled, &st, data, err) < 0)
		return -1;
	if (fsync(data) < 0 || fsync(filled) < 0)
		return err_sys(err, errno, "sync the volume");
	if (fs_remove_tree(volume_fd, FILLED, err) < 0)
		return -1;
	return fsync(volume_fd) < 0 ? err_sys(err, errno, "sync the volume") : 0;
}

static int drop_unfinished(void *arg, const char *name)
{
	if (str_starts(name, FILL_PREFIX))
		strv_push(arg, name);
	return 0;
}

/* What copyup_recover() does, under the lock. */
static int recover(int volume_fd, struct err *err)
{
	AUTO_STRV struct strv leftovers = {0};
	if (fs_each(volume_fd, ".", drop_unfinished, &leftovers, err) < 0)
		return -1;
	for (size_t i = 0; i < leftovers.n; i++)
		if (fs_remove_tree(volume_fd, leftovers.v[i], err) < 0)
			return -1;
	return finish(volume_fd, err);
}

int copyup_recover(int volume_fd, struct err *err)
{
	AUTO_CLOSE int lock = lock_volume(volume_fd, err);
	return lock < 0 || recover(volume_fd, err) < 0 ? err_wrap(err, "volume") : 0;
}

/* Copies to .fill-*, syncs, renames to .filled. */
static int prepare(int source, int volume_fd, struct err *err)
{
	char name[32] = FILL_PREFIX;
	struct copy c = { .fill_fd = -1 };
	struct stat st;
	int rc = -1;
	random_hex(name + strlen(name), 12);
	if (mkdirat(volume_fd, name, 0700) < 0)
		return err_sys(err, errno, "create %s", name);
	c.fill_fd = fs_open_dir(volume_fd, name, err);
	if (c.fill_fd >= 0)
		rc = copy_tree(&c, source, c.fill_fd, err);
	if (rc == 0 && fstat(source, &st) < 0)
		rc = err_sys(err, errno, "stat");
	if (rc == 0)
		rc = copy_meta(source, &st, c.fill_fd, err);
	if (rc == 0 && syncfs(c.fill_fd) < 0)
		rc = err_sys(err, errno, "sync");
	if (rc == 0 && renameat(volume_fd, name, volume_fd, FILLED) < 0)
		rc = err_sys(err, errno, "rename %s", name);
	if (rc == 0 && fsync(volume_fd) < 0)
		rc = err_sys(err, errno, "sync");
	if (rc < 0)
		fs_remove_tree(volume_fd, name, NULL);
	for (struct map_entry *e = map_next(&c.links, NULL); e; e = map_next(&c.links, e))
		free(e->value);
	map_done(&c.links);
	str_done(&c.path);
	free(c.buffer);
	util_close(&c.fill_fd);
	return rc;
}

/* Under the lock, nothing unfinished around. Returns as copyup_fill(). */
static int fill(int source, int volume_fd, struct err *err)
{
	AUTO_CLOSE int data = fs_open_dir(volume_fd, "_data", err);
	struct stat st;
	int empty = data < 0 ? -1 : is_empty(data, err);
	if (empty <= 0)
		return empty < 0 ? -1 : 1;
	empty = is_empty(source, err);
	if (empty < 0)
		return -1;
	if (empty) { /* nothing to move: only what the directory itself is like */
		if (fstat(source, &st) < 0)
			return err_sys(err, errno, "stat");
		return copy_meta(source, &st, data, err);
	}
	return prepare(source, volume_fd, err) < 0 ? -1 : finish(volume_fd, err);
}

int copyup_fill(int source_root_fd, const char *path_in_root, int volume_fd, struct err *err)
{
	AUTO_CLOSE int source = fs_open_in_root(source_root_fd, path_in_root, O_RDONLY | O_DIRECTORY, 0);
	AUTO_CLOSE int lock = -1;
	char shown[128];
	mode_t mask;
	int rc;
	err_quote(shown, sizeof(shown), path_in_root);
	if (source == -ENOENT || source == -ENOTDIR)
		return 1;
	if (source < 0)
		return err_sys(err, -source, "fill the volume from %s", shown);
	lock = lock_volume(volume_fd, err);
	if (lock < 0)
		return -1;
	mask = umask(0);
	rc = recover(volume_fd, err);
	if (rc == 0)
		rc = fill(source, volume_fd, err);
	umask(mask);
	return rc < 0 ? err_wrap(err, "fill the volume from %s", shown) : rc;
}
