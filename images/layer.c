/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of a layer, one handler for each type. Nothing else changes the directory meanwhile, so what was just created under a
 * parent descriptor is what the next call on it sees; still every file is created exclusively and every directory opened without
 * following links.
 * Order of a file's metadata: owner (which clears set-uid), mode, xattrs (which an owner change would clear), times. */
#include "images/layer.h"

#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/map.h"
#include "images/tar.h"
#include "images/tree.h"

enum { TICK_ENTRIES = 64, MAX_XATTR_BYTES = 64 << 10, WRITEBACK_BYTES = 1 << 20 };

#define WH_PREFIX ".wh."
#define WH_META ".wh..wh."
#define WH_OPAQUE ".wh..wh..opq"

const struct layer_limits layer_default_limits = {
	.max_entries = 10000000, .max_bytes = 64ULL << 30, .max_dir_bytes = 256 << 20,
};

struct dir_time {
	char *path;
	struct timespec mtime;
};

struct unpack {
	struct tar tar;
	struct tree tree;
	const struct layer_limits *limits;
	struct layer_result result;
	struct dir_time *dirs;      /* times to set when everything is in place */
	size_t n_dirs, dirs_cap;
	uint64_t dir_bytes;
	struct strv *implied;       /* any archive: the directories that it does not mention go here; NULL: a layer */
};

/* What the entry says about its inode, checked. */
struct meta {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
};

static int read_meta(struct unpack *u, struct archive_entry *e, struct meta *ret, struct err *err)
{
	int64_t uid = archive_entry_uid(e), gid = archive_entry_gid(e), sec = archive_entry_mtime(e);
	long nsec = archive_entry_mtime_nsec(e);
	if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
		return err_set(err, ERR_INVALID, "owner %lld:%lld is out of range", (long long)uid, (long long)gid);
	sec = MAX(MIN(sec, 253402300799), 0);
	*ret = (struct meta){
		.mode = archive_entry_perm(e) & 07777,
		.uid = (uid_t)uid,
		.gid = (gid_t)gid,
		.mtime = { .tv_sec = sec, .tv_nsec = nsec >= 0 && nsec < 1000000000 ? nsec : 0 },
	};
	u->result.newest_mtime_s = MAX(u->result.newest_mtime_s, sec);
	return 0;
}

/* Removes what is at base, so that something of another kind can take its place. */
static int clear_way(int dir_fd, const char *base, struct err *err)
{
	return fs_remove_tree(dir_fd, base, err);
}

/* True for attributes that a layer may set; overlayfs' own and those of security modules are not a foreign archive's to give. */
static bool xattr_allowed(const char *name)
{
	return strcmp(name, "security.capability") == 0 || (str_starts(name, "user.") && !str_starts(name, "user.overlay."));
}

static int set_xattrs(struct unpack *u, int fd, struct archive_entry *e, struct err *err)
{
	const char *name;
	const void *value;
	size_t size;
	char shown[80];
	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
		if (!name || !xattr_allowed(name)) {
			u->result.n_left_out++;
			continue;
		}
		if (strlen(name) > 255 || size > MAX_XATTR_BYTES)
			return err_set(err, ERR_INVALID, "xattr \"%s\" is too large", err_quote(shown, sizeof(shown), name));
		if (fsetxattr(fd, name, value, size, 0) == 0)
			continue;
		if (errno == EOPNOTSUPP && str_starts(name, "user."))
			u->result.n_no_xattr++;
		else
			return err_sys(err, errno, "set xattr \"%s\"", err_quote(shown, sizeof(shown), name));
	}
	return 0;
}

static int set_meta(struct unpack *u, int fd, struct archive_entry *e, const struct meta *m, struct err *err)
{
	if (fchown(fd, m->uid, m->gid) < 0)
		return err_sys(err, errno, "change the owner");
	if (fchmod(fd, m->mode) < 0)
		return err_sys(err, errno, "change the mode");
	return set_xattrs(u, fd, e, err);
}

/* Copies the entry's data; holes stay holes. */
static int write_data(struct unpack *u, int fd, int64_t size, struct err *err)
{
	int64_t at = 0, offset = 0;
	const void *p = NULL;
	size_t n = 0;
	int rc;
	while ((rc = tar_data(&u->tar, &p, &n, &offset, err)) > 0) {
		if (offset < at || (int64_t)n > size - offset)
			return err_set(err, ERR_CORRUPT, "data beyond the end of the file");
		u->result.size_bytes += n;
		if (u->result.size_bytes > u->limits->max_bytes)
			return err_set(err, ERR_INVALID, "the layer holds more than the %llu bytes allowed",
				(unsigned long long)u->limits->max_bytes);
		if (offset > at && lseek(fd, offset, SEEK_SET) < 0)
			return err_sys(err, errno, "seek");
		if (fs_write_all(fd, p, n, err) < 0)
			return -1;
		at = offset + (int64_t)n;
	}
	if (rc < 0)
		return -1;
	if (at < size && ftruncate(fd, size) < 0)
		return err_sys(err, errno, "extend");
	if (size >= WRITEBACK_BYTES)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* starts it now, so that the sync at the end finds little to do */
	return 0;
}

static int place_file(struct unpack *u, int dir_fd, const char *base, struct archive_entry *e, const struct meta *m, struct err *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	const int64_t size = archive_entry_size(e);
	const struct timespec times[2] = { m->mtime, m->mtime };
	AUTO_CLOSE int fd = -1;
	if (size < 0 || (uint64_t)size > u->limits->max_bytes)
		return err_set(err, ERR_INVALID, "size %lld is more than the %llu bytes allowed", (long long)size,
			(unsigned long long)u->limits->max_bytes);
	fd = openat(dir_fd, base, flags, 0600);
	if (fd < 0 && errno == EEXIST) {
		if (clear_way(dir_fd, base, err) < 0)
			return -1;
		fd = openat(dir_fd, base, flags, 0600);
	}
	if (fd < 0)
		return err_sys(err, errno, "create");
	if (write_data(u, fd, size, err) < 0 || set_meta(u, fd, e, m, err) < 0)
		return -1;
	return futimens(fd, times) < 0 ? err_sys(err, errno, "set the time") : 0;
}

static int remember_time(struct unpack *u, const char *path, const struct meta *m, struct err *err)
{
	u->dir_bytes += strlen(path) + sizeof(*u->dirs) + 2 * sizeof(void *);
	if (u->dir_bytes > u->limits->max_dir_bytes)
		return err_set(err, ERR_INVALID, "more directories, or longer names of them, than allowed");
	u->dirs = vec_grow(u->dirs, u->n_dirs, &u->dirs_cap, sizeof(*u->dirs));
	u->dirs[u->n_dirs++] = (struct dir_time){ .path = xstrdup(path[0] ? path : "."), .mtime = m->mtime };
	return 0;
}

/* A directory stays what it holds when there is one; a whiteout under its name means that it hides the lower one: opaque. */
static int place_dir(struct unpack *u, int dir_fd, const char *base, const char *path, struct archive_entry *e, const struct meta *m,
	struct err *err)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;
	bool opaque = false;
	if (mkdirat(dir_fd, base, 0700) < 0) {
		if (errno != EEXIST || fstatat(dir_fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, errno, "create directory");
		opaque = tree_is_whiteout(&st);
		if (!S_ISDIR(st.st_mode) && (clear_way(dir_fd, base, err) < 0 || mkdirat(dir_fd, base, 0700) < 0))
			return err_sys(err, errno, "replace by a directory");
	}
	fd = openat(dir_fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "open directory");
	if (opaque && tree_set_opaque(fd, ".", err) < 0)
		return -1;
	return set_meta(u, fd, e, m, err) < 0 ? -1 : remember_time(u, path, m, err);
}

static int place_root(struct unpack *u, struct archive_entry *e, const struct meta *m, struct err *err)
{
	if (archive_entry_filetype(e) != AE_IFDIR || archive_entry_hardlink(e))
		return err_set(err, ERR_INVALID, "the root of a layer must be a directory");
	return set_meta(u, u->tree.root_fd, e, m, err) < 0 ? -1 : remember_time(u, "", m, err);
}

static int place_symlink(int dir_fd, const char *base, struct archive_entry *e, const struct meta *m, struct err *err)
{
	const char *target = archive_entry_symlink(e);
	const struct timespec times[2] = { m->mtime, m->mtime };
	if (!target || !*target || strlen(target) >= TAR_PATH_BYTES)
		return err_set(err, ERR_INVALID, "a symlink with no target, or one that is too long");
	if (symlinkat(target, dir_fd, base) < 0) {
		if (errno != EEXIST)
			return err_sys(err, errno, "create symlink");
		if (clear_way(dir_fd, base, err) < 0)
			return -1;
		if (symlinkat(target, dir_fd, base) < 0)
			return err_sys(err, errno, "create symlink");
	}
	if (fchownat(dir_fd, base, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0 || utimensat(dir_fd, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "set owner and time of a symlink");
	return 0;
}

static int place_node(struct unpack *u, int dir_fd, const char *base, struct archive_entry *e, const struct meta *m, struct err *err)
{
	const mode_t type = (mode_t)archive_entry_filetype(e);
	const dev_t dev = type == AE_IFCHR || type == AE_IFBLK ? makedev(archive_entry_rdevmajor(e), archive_entry_rdevminor(e)) : 0;
	const struct timespec times[2] = { m->mtime, m->mtime };
	if (type == AE_IFCHR && dev == makedev(0, 0)) {
		u->result.n_left_out++; /* a whiteout that is not one of ours */
		return 0;
	}
	if (mknodat(dir_fd, base, type | m->mode, dev) < 0) {
		if (errno != EEXIST)
			return err_sys(err, errno, "create a special file");
		if (clear_way(dir_fd, base, err) < 0)
			return -1;
		if (mknodat(dir_fd, base, type | m->mode, dev) < 0)
			return err_sys(err, errno, "create a special file");
	}
	if (fchownat(dir_fd, base, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0 || utimensat(dir_fd, base, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "set owner and time of a special file");
	return 0;
}

/* A name in an archive, clean: in a layer ".." is refused, in any other archive it leads up, as far as the root. */
static int clean_name(const struct unpack *u, const char *name, char buf[static TAR_PATH_BYTES], struct err *err)
{
	AUTO_STRV struct strv parts = {0};
	AUTO_STR struct str inside = {0};
	if (!u->implied || !name)
		return tar_clean_path(name, buf, err);
	for (const char *p = name; *p; p += *p == '/') {
		const size_t n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			if (parts.n > 0)
				free(parts.v[--parts.n]);
			if (parts.v)
				parts.v[parts.n] = NULL;
		} else if (n > 0) {
			strv_pushf(&parts, "%.*s", (int)MIN(n, 4096U), p);
		}
		p += n;
	}
	for (size_t i = 0; i < parts.n; i++)
		str_addf(&inside, "%s/", parts.v[i]);
	return tar_clean_path(str_get(&inside), buf, err);
}

/* docker's rule for archives: what the header of a link says of owner, mode and time counts for the file. */
static int set_link_meta(int dir_fd, const char *base, const struct stat *to, const struct meta *m, struct err *err)
{
	const struct timespec times[2] = { m->mtime, m->mtime };
	if (fchownat(dir_fd, base, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "change the owner");
	if (!S_ISLNK(to->st_mode) && (fchmodat(dir_fd, base, m->mode, 0) < 0 || utimensat(dir_fd, base, times, AT_SYMLINK_NOFOLLOW) < 0))
		return err_sys(err, errno, "change the mode");
	return 0;
}

/* The target's name is resolved in the root as the entry's own; absolute ones (kaniko writes them) mean the layer's root. */
static int place_hardlink(struct unpack *u, const char *path, const char *target_name, const struct meta *m, struct err *err)
{
	char target[TAR_PATH_BYTES], shown[128];
	const char *base, *target_base;
	AUTO_CLOSE int target_fd = -1;
	struct stat to, from;
	int dir_fd;
	if (clean_name(u, target_name, target, err) < 0)
		return -1;
	err_quote(shown, sizeof(shown), target);
	target_base = strrchr(target, '/');
	if (target_base) {
		target[target_base - target] = '\0';
		target_base++;
	}
	target_fd = fs_open_in_root(u->tree.root_fd, target_base ? target : ".", O_PATH | O_DIRECTORY, 0);
	target_base = target_base ? target_base : target;
	if (target_fd < 0 || !target_base[0] || fstatat(target_fd, target_base, &to, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_INVALID, "hard link to \"%s\", which is not in this layer", shown);
	if (S_ISDIR(to.st_mode) || tree_is_whiteout(&to))
		return err_set(err, ERR_INVALID, "hard link to \"%s\", which is not a file", shown);
	dir_fd = tree_parent(&u->tree, path, &base, err);
	if (dir_fd < 0)
		return -1;
	if (fstatat(dir_fd, base, &from, AT_SYMLINK_NOFOLLOW) == 0) {
		if (from.st_dev == to.st_dev && from.st_ino == to.st_ino)
			return 0;
		if (clear_way(dir_fd, base, err) < 0)
			return -1;
	}
	if (linkat(target_fd, target_base, dir_fd, base, 0) < 0)
		return err_sys(err, errno, "hard link to \"%s\"", shown);
	return u->implied ? set_link_meta(dir_fd, base, &to, m, err) : 0;
}

/* base begins with ".wh.". What the same layer has under that name already stays: whiteouts are about the layers below. */
static int place_whiteout(int dir_fd, const char *base, const char *path, struct err *err)
{
	const char *hidden = base + strlen(WH_PREFIX);
	struct stat st;
	if (strcmp(base, WH_OPAQUE) == 0) {
		if (!strchr(path, '/'))
			return err_set(err, ERR_UNSUPPORTED, "an opaque mark on the root of a layer is not supported");
		return tree_set_opaque(dir_fd, ".", err);
	}
	if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return err_set(err, ERR_INVALID, "a whiteout of nothing");
	if (fstatat(dir_fd, hidden, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? tree_set_opaque(dir_fd, hidden, err) : 0;
	if (mknodat(dir_fd, hidden, S_IFCHR, makedev(0, 0)) < 0)
		return err_sys(err, errno, "create a whiteout");
	return 0;
}

/* True when a component of path is aufs' own (".wh..wh.plnk/…"), which means nothing here; the opaque mark is not meant. */
static bool is_aufs_meta(const char *path)
{
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (str_starts(p, WH_META) && strcmp(p, WH_OPAQUE) != 0)
			return true;
	}
	return false;
}

static int place_typed(struct unpack *u, int dir_fd, const char *base, const char *path, struct archive_entry *e, const struct meta *m,
	struct err *err)
{
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return place_file(u, dir_fd, base, e, m, err);
	case AE_IFDIR:
		return place_dir(u, dir_fd, base, path, e, m, err);
	case AE_IFLNK:
		return place_symlink(dir_fd, base, e, m, err);
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
	case AE_IFSOCK:
		return place_node(u, dir_fd, base, e, m, err);
	default:
		return err_set(err, ERR_INVALID, "an entry of an unknown type");
	}
}

static int place_entry(struct unpack *u, struct archive_entry *e, struct err *err)
{
	char path[TAR_PATH_BYTES];
	const char *base;
	struct meta m;
	int dir_fd;
	if (clean_name(u, archive_entry_pathname(e), path, err) < 0 || read_meta(u, e, &m, err) < 0)
		return -1;
	if (!path[0])
		return u->implied ? 0 : place_root(u, e, &m, err);
	if (!u->implied && is_aufs_meta(path)) {
		u->result.n_left_out++;
		return 0;
	}
	if (archive_entry_hardlink(e))
		return place_hardlink(u, path, archive_entry_hardlink(e), &m, err);
	dir_fd = tree_parent(&u->tree, path, &base, err);
	if (dir_fd < 0)
		return -1;
	if (u->implied && str_starts(base, WH_PREFIX)) {
		u->result.n_left_out++;
		return 0;
	}
	if (str_starts(base, WH_PREFIX))
		return place_whiteout(dir_fd, base, path, err);
	return place_typed(u, dir_fd, base, path, e, &m, err);
}

/* In the archive's order, so that the last of several entries for one directory wins; before them those that no entry mentions, which must
 * not tell when this was unpacked. */
static int set_dir_times(struct unpack *u, struct err *err)
{
	const struct timespec newest = { .tv_sec = u->result.newest_mtime_s };
	for (size_t i = 0; i < u->tree.made.n; i++) {
		const struct timespec times[2] = { newest, newest };
		AUTO_CLOSE int fd = fs_open_in_root(u->tree.root_fd, u->tree.made.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd >= 0 && futimens(fd, times) < 0)
			return err_sys(err, errno, "set the time of a directory");
	}
	for (size_t i = 0; i < u->n_dirs; i++) {
		const struct timespec times[2] = { u->dirs[i].mtime, u->dirs[i].mtime };
		AUTO_CLOSE int fd = fs_open_in_root(u->tree.root_fd, u->dirs[i].path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd >= 0 && futimens(fd, times) < 0)
			return err_sys(err, errno, "set the time of a directory");
	}
	return 0;
}

static int unpack_entries(struct unpack *u, layer_tick_fn *tick, void *tick_arg, struct err *err)
{
	struct archive_entry *e;
	char shown[160];
	int rc;
	while ((rc = tar_next(&u->tar, &e, err)) > 0) {
		if (++u->result.n_entries > u->limits->max_entries)
			return err_set(err, ERR_INVALID, "more than the %llu entries allowed", (unsigned long long)u->limits->max_entries);
		if (place_entry(u, e, err) < 0) {
			const char *name = archive_entry_pathname(e);
			return err_wrap(err, "entry \"%s\"", err_quote(shown, sizeof(shown), name ? name : "?"));
		}
		if (tick && u->result.n_entries % TICK_ENTRIES == 0)
			tick(tick_arg);
	}
	return rc < 0 ? -1 : set_dir_times(u, err);
}

static void tell_implied(const struct unpack *u)
{
	struct map mentioned = {0};
	for (size_t i = 0; i < u->n_dirs; i++)
		map_put(&mentioned, u->dirs[i].path, u->dirs);
	for (size_t i = 0; i < u->tree.made.n; i++) {
		if (!map_get(&mentioned, u->tree.made.v[i]))
			strv_push(u->implied, u->tree.made.v[i]);
	}
	map_done(&mentioned);
}

static int unpack(struct unpack *u, struct stream *s, int dir_fd, layer_tick_fn *tick, void *tick_arg, struct layer_result *ret, struct err *err)
{
	int rc;
	umask(0);
	tree_init(&u->tree, dir_fd);
	rc = tar_open(&u->tar, s, err);
	if (rc == 0)
		rc = unpack_entries(u, tick, tick_arg, err);
	tar_close(&u->tar);
	if (rc == 0 && u->implied)
		tell_implied(u);
	tree_done(&u->tree);
	for (size_t i = 0; i < u->n_dirs; i++)
		free(u->dirs[i].path);
	free(u->dirs);
	if (rc == 0)
		*ret = u->result;
	return rc;
}

int layer_unpack(struct stream *s, int diff_fd, const struct layer_limits *limits, layer_tick_fn *tick, void *tick_arg,
	struct layer_result *ret, struct err *err)
{
	struct unpack u = { .limits = limits };
	return unpack(&u, s, diff_fd, tick, tick_arg, ret, err);
}

int layer_unpack_archive(struct stream *s, int dir_fd, struct strv *ret_implied, struct layer_result *ret, struct err *err)
{
	struct unpack u = { .limits = &layer_default_limits, .implied = ret_implied };
	return unpack(&u, s, dir_fd, NULL, NULL, ret, err);
}
