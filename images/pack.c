/* SPDX-License-Identifier: Apache-2.0 */
/* The walk. A frame for each directory between the root and where we are: its descriptors in every layer that has a share in it, topmost
 * first, and its names, sorted. Names come from the topmost layer that has them; whether lower ones go on below a directory is
 * decided when it is entered. The stack is on the heap and its depth is bounded by the length of a name, so a deep tree costs
 * descriptors, not our stack. */
#include "images/pack.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/map.h"
#include "images/pack_impl.h"
#include "images/tar.h"

enum { MAX_XATTR_BYTES = 64 << 10, MAX_XATTR_LIST = 64 << 10 };

struct name {
	char *text;
	unsigned layer;      /* index into the frame's descriptors */
	bool hidden;         /* a whiteout: emitted as one (single layer), or hides what is below (merged) */
};

struct frame {
	int *fds;            /* topmost first */
	size_t n_fds;
	struct name *names;
	size_t n, cap, next;
	size_t path_len;     /* of this directory with its "/", "" for the root */
};

/* A file with several names, by its inode. */
struct link {
	dev_t dev;
	ino_t ino;
	char *path;
};

struct packer {
	struct pack_out *out;
	const struct pack_options *options;
	bool merged;
	struct frame *frames;
	size_t n_frames, frames_cap;
	struct link *links;  /* open addressing, a power of two */
	size_t n_links, links_cap;
	struct pack_result result;
	struct str records;  /* of the entry at hand */
	char path[TAR_PATH_BYTES + 8];
};

/* ---- names ---- */

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int compare_names(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	if (x->hidden != y->hidden)
		return x->hidden ? -1 : 1;
	return strcmp(x->text, y->text);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void frame_done(struct frame *f)
{
	for (size_t i = 0; i < f->n_fds; i++)
		util_close(&f->fds[i]);
	for (size_t i = 0; i < f->n; i++)
		free(f->names[i].text);
	free(f->names);
	free(f->fds);
	*f = (struct frame){0};
}

static void add_name(struct frame *f, const char *text, unsigned layer, bool hidden)
{
	f->names = vec_grow(f->names, f->n, &f->cap, sizeof(*f->names));
	f->names[f->n++] = (struct name){ .text = xstrdup(text), .layer = layer, .hidden = hidden };
}

/* Reads the names of one layer; `seen` has those of the layers above (NULL: there is one layer only). */
static int read_layer(struct frame *f, unsigned layer, struct map *seen, struct err *err)
{
	int fd = openat(f->fds[layer], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	if (!d) {
		int e2 = errno;
		util_close(&fd);
		return err_sys(err, e2, "open directory");
	}
	while (errno = 0, (e = readdir(d))) {
		struct stat st;
		bool hidden = false;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || (seen && map_get(seen, e->d_name)))
			continue;
		if (e->d_type == DT_CHR || e->d_type == DT_UNKNOWN)
			hidden = fstatat(f->fds[layer], e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_whiteout(&st);
		if (seen)
			map_put(seen, e->d_name, f);
		if (!seen || !hidden)
			add_name(f, e->d_name, layer, hidden);
	}
	if (errno) {
		err_sys(err, errno, "read directory");
		closedir(d);
		return -1;
	}
	closedir(d);
	return 0;
}

static int read_names(struct frame *f, struct err *err)
{
	AUTO_MAP struct map seen = {0};
	for (size_t i = 0; i < f->n_fds; i++)
		if (read_layer(f, (unsigned)i, f->n_fds > 1 ? &seen : NULL, err) < 0)
			return -1;
	if (f->n > 1)
		qsort(f->names, f->n, sizeof(*f->names), compare_names);
	return 0;
}

/* ---- hard links ---- */

static size_t link_slot(const struct packer *p, const struct stat *st)
{
	size_t at = (size_t)hash_bytes(HASH_SEED, &st->st_ino, sizeof(st->st_ino)) & (p->links_cap - 1);
	while (p->links[at].path && (p->links[at].ino != st->st_ino || p->links[at].dev != st->st_dev))
		at = (at + 1) & (p->links_cap - 1);
	return at;
}

static void grow_links(struct packer *p)
{
	struct link *old = p->links;
	size_t n = p->links_cap;
	p->links_cap = n ? 2 * n : 256;
	p->links = xcalloc(p->links_cap, sizeof(*p->links));
	for (size_t i = 0; i < n; i++)
		if (old[i].path) {
			const struct stat st = { .st_dev = old[i].dev, .st_ino = old[i].ino };
			p->links[link_slot(p, &st)] = old[i];
		}
	free(old);
}

/* The name under which this file has been packed already; NULL when this is the first, which is remembered. */
static const char *first_name(struct packer *p, const struct stat *st)
{
	size_t at;
	if (st->st_nlink < 2)
		return NULL;
	if (2 * p->n_links >= p->links_cap)
		grow_links(p);
	at = link_slot(p, st);
	if (p->links[at].path)
		return p->links[at].path;
	p->links[at] = (struct link){ .dev = st->st_dev, .ino = st->st_ino, .path = xstrdup(p->path) };
	p->n_links++;
	return NULL;
}

/* ---- entries ---- */

static int64_t entry_time(struct packer *p, const struct stat *st)
{
	int64_t s = st->st_mtim.tv_sec;
	if (p->options->clamp && s > p->options->latest_s)
		s = p->options->latest_s;
	p->result.newest_mtime_s = MAX(p->result.newest_mtime_s, s);
	return s;
}

static bool xattr_kept(const char *name)
{
	return strcmp(name, "security.capability") == 0 || (str_starts(name, "user.") && !str_starts(name, "user.overlay."));
}

/* The xattrs of fd that go along, sorted, as PAX records. */
static int read_xattrs(struct packer *p, int fd, struct err *err)
{
	AUTO_STRV struct strv kept = {0};
	char list[4096];
	AUTO_FREE char *big = NULL;
	char *names = list;
	ssize_t n = flistxattr(fd, list, sizeof(list));
	str_clear(&p->records);
	if (n < 0 && errno == ERANGE) {
		names = big = xcalloc(1, MAX_XATTR_LIST);
		n = flistxattr(fd, big, MAX_XATTR_LIST);
	}
	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : err_sys(err, errno, "list xattrs");
	for (const char *name = names; name < names + n; name += strlen(name) + 1)
		if (xattr_kept(name))
			strv_push(&kept, name);
	if (kept.n == 0)
		return 0;
	qsort(kept.v, kept.n, sizeof(*kept.v), compare_text);
	for (size_t i = 0; i < kept.n; i++) {
		AUTO_FREE char *key = xasprintf("SCHILY.xattr.%s", kept.v[i]);
		AUTO_FREE char *value = xcalloc(1, MAX_XATTR_BYTES);
		ssize_t len = fgetxattr(fd, kept.v[i], value, MAX_XATTR_BYTES);
		if (len < 0)
			return err_sys(err, errno, "read xattr");
		pack_record(&p->records, key, value, (size_t)len);
	}
	return 0;
}

static int put_entry(struct packer *p, char type, const struct stat *st, const char *link, const char *path, struct err *err)
{
	const struct pack_entry e = {
		.type = type, .path = path, .link = link, .mode = st->st_mode & 07777, .uid = st->st_uid, .gid = st->st_gid,
		.size = type == PACK_REG ? (uint64_t)st->st_size : 0, .mtime_s = entry_time(p, st),
		.major = major(st->st_rdev), .minor = minor(st->st_rdev),
		.records = type == PACK_REG || type == PACK_DIR ? &p->records : NULL,
	};
	p->result.n_entries++;
	return pack_header(p->out, &e, err);
}

static int open_file(int dir_fd, const char *name, int flags)
{
	int fd = openat(dir_fd, name, flags | O_NOATIME);
	return fd < 0 && errno == EPERM ? openat(dir_fd, name, flags) : fd;
}

/* Exactly size bytes of fd; what is missing is zeros. */
static int put_data(struct packer *p, int fd, uint64_t size, struct err *err)
{
	bool end = false;
	while (size) {
		char *to;
		ssize_t n = 0, room = pack_out_room(p->out, &to, err);
		if (room < 0)
			return -1;
		room = (ssize_t)MIN((uint64_t)room, size);
		if (!end)
			n = read(fd, to, (size_t)room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read");
		end = n == 0;
		if (end) {
			memset(to, 0, (size_t)room);
			n = room;
		}
		pack_out_filled(p->out, (size_t)n);
		size -= (uint64_t)n;
	}
	return pack_out_align(p->out, err);
}

static int put_file(struct packer *p, int dir_fd, const char *name, const struct stat *st, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	const char *first = first_name(p, st);
	struct stat now;
	if (first)
		return put_entry(p, PACK_LINK, st, first, p->path, err);
	fd = open_file(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &now) < 0)
		return err_sys(err, errno, "open");
	if (!S_ISREG(now.st_mode))
		return err_set(err, ERR_CONFLICT, "has changed while it was read");
	if (read_xattrs(p, fd, err) < 0 || put_entry(p, PACK_REG, &now, NULL, p->path, err) < 0)
		return -1;
	p->result.size_bytes += (uint64_t)now.st_size;
	return put_data(p, fd, (uint64_t)now.st_size, err);
}

static int put_symlink(struct packer *p, int dir_fd, const char *name, const struct stat *st, struct err *err)
{
	char target[TAR_PATH_BYTES + 1];
	const char *first = first_name(p, st);
	ssize_t n;
	if (first)
		return put_entry(p, PACK_LINK, st, first, p->path, err);
	n = readlinkat(dir_fd, name, target, sizeof(target) - 1);
	if (n < 0)
		return err_sys(err, errno, "read symlink");
	target[n] = '\0';
	return put_entry(p, PACK_SYMLINK, st, target, p->path, err);
}

static int put_node(struct packer *p, char type, const struct stat *st, struct err *err)
{
	const char *first = first_name(p, st);
	return put_entry(p, first ? PACK_LINK : type, st, first, p->path, err);
}

/* An empty file that says what is not there any more, without a time, as the kernel or the unpacking made it; dir_len: of the directory it
 * is in, name: NULL for the opaque mark. */
static int put_mark(struct packer *p, size_t dir_len, const char *name, struct err *err)
{
	const struct stat mark = { .st_mode = S_IFREG };
	char path[TAR_PATH_BYTES + 16];
	snprintf(path, sizeof(path), "%.*s.wh.%s", (int)dir_len, p->path, name ? name : ".wh..opq");
	str_clear(&p->records);
	return put_entry(p, PACK_REG, &mark, NULL, path, err);
}

/* ---- directories ---- */

static bool is_opaque(int fd)
{
	char v = '\0';
	return (fgetxattr(fd, "trusted.overlay.opaque", &v, 1) == 1 || fgetxattr(fd, "user.overlay.opaque", &v, 1) == 1) && v == 'y';
}

/* What the layers below the one that shows `name` add to it. */
static int open_shares(const struct frame *f, const struct name *name, struct frame *ret, struct err *err)
{
	ret->fds = xcalloc(f->n_fds - name->layer, sizeof(*ret->fds));
	for (size_t i = name->layer; i < f->n_fds; i++) {
		struct stat st;
		int fd;
		if (i > name->layer && (fstatat(f->fds[i], name->text, &st, AT_SYMLINK_NOFOLLOW) < 0))
			continue;
		if (i > name->layer && !S_ISDIR(st.st_mode))
			break;
		fd = openat(f->fds[i], name->text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return err_sys(err, errno, "open directory");
		ret->fds[ret->n_fds++] = fd;
		if (is_opaque(fd))
			break;
	}
	return 0;
}

static int enter(struct packer *p, struct frame *f, struct err *err)
{
	if (read_names(f, err) < 0) {
		frame_done(f);
		return -1;
	}
	p->frames = vec_grow(p->frames, p->n_frames, &p->frames_cap, sizeof(*p->frames));
	p->frames[p->n_frames++] = *f;
	return 0;
}

static int put_dir(struct packer *p, const struct frame *f, const struct name *name, const struct stat *st, struct err *err)
{
	struct frame inner = {0};
	int rc = open_shares(f, name, &inner, err);
	strcat(p->path, "/");
	inner.path_len = strlen(p->path);
	if (rc == 0)
		rc = read_xattrs(p, inner.fds[0], err);
	if (rc == 0)
		rc = put_entry(p, PACK_DIR, st, NULL, p->path, err);
	if (rc == 0 && !p->merged && is_opaque(inner.fds[0]))
		rc = put_mark(p, inner.path_len, NULL, err);
	if (rc < 0) {
		frame_done(&inner);
		return -1;
	}
	return enter(p, &inner, err); /* moves the frames */
}

static int put_name(struct packer *p, const struct frame *f, const struct name *name, struct err *err)
{
	const int dir_fd = f->fds[name->layer];
	struct stat st;
	if (f->path_len + strlen(name->text) + 6 > TAR_PATH_BYTES)
		return err_set(err, ERR_INVALID, "the name is too long");
	strcpy(p->path + f->path_len, name->text);
	if (fstatat(dir_fd, name->text, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "stat");
	if (is_whiteout(&st))
		return p->merged ? 0 : put_mark(p, f->path_len, name->text, err);
	if (!p->merged && str_starts(name->text, ".wh.")) /* would hide something when it is unpacked */
		return err_set(err, ERR_INVALID, "a name that begins with .wh. cannot be in a layer");
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return put_file(p, dir_fd, name->text, &st, err);
	case S_IFDIR:
		return put_dir(p, f, name, &st, err);
	case S_IFLNK:
		return put_symlink(p, dir_fd, name->text, &st, err);
	case S_IFCHR:
		return put_node(p, PACK_CHR, &st, err);
	case S_IFBLK:
		return put_node(p, PACK_BLK, &st, err);
	case S_IFIFO:
		return put_node(p, PACK_FIFO, &st, err);
	default:
		return 0; /* a socket */
	}
}

static int put_root(struct packer *p, int fd, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "stat");
	if ((st.st_mode & 07777) == 0755 && st.st_uid == 0 && st.st_gid == 0)
		return 0;
	return read_xattrs(p, fd, err) < 0 ? -1 : put_entry(p, PACK_DIR, &st, NULL, "./", err);
}

static int walk(struct packer *p, struct frame *root, struct err *err)
{
	static const char end[1024];
	char shown[160];
	if (put_root(p, root->fds[0], err) < 0) {
		frame_done(root);
		return -1;
	}
	if (enter(p, root, err) < 0)
		return -1;
	while (p->n_frames) {
		struct frame *f = &p->frames[p->n_frames - 1];
		if (f->next == f->n) {
			frame_done(f);
			p->n_frames--;
			continue;
		}
		if (put_name(p, f, &f->names[f->next++], err) < 0)
			return err_wrap(err, "\"%s\"", err_quote(shown, sizeof(shown), p->path));
	}
	return pack_out_write(p->out, end, sizeof(end), err);
}

static int pack(const int *dir_fds, size_t n, bool merged, const struct pack_options *options, pack_sink_fn *sink, void *arg,
	struct pack_result *ret, struct err *err)
{
	static const struct pack_options plain;
	struct packer *p = xcalloc(1, sizeof(*p));
	struct frame root = { .fds = xcalloc(n, sizeof(int)) };
	int rc = 0;
	p->options = options ? options : &plain;
	p->merged = merged;
	p->out = pack_out_new(p->options->codec, p->options->level, sink, arg);
	for (size_t i = n; i-- > 0 && rc == 0;) {
		root.fds[root.n_fds] = openat(dir_fds[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = root.fds[root.n_fds] < 0 ? err_sys(err, errno, "open a layer") : 0;
		root.n_fds += rc == 0;
	}
	if (rc == 0 && n)
		rc = walk(p, &root, err);
	else
		frame_done(&root);
	if (rc == 0)
		rc = pack_out_end(p->out, &p->result, err);
	if (rc == 0)
		*ret = p->result;
	while (p->n_frames)
		frame_done(&p->frames[--p->n_frames]);
	for (size_t i = 0; i < p->links_cap; i++)
		free(p->links[i].path);
	pack_out_free(p->out);
	str_done(&p->records);
	free(p->links);
	free(p->frames);
	free(p);
	return rc < 0 ? err_wrap(err, "pack") : 0;
}

int pack_layer(int dir_fd, const struct pack_options *options, pack_sink_fn *sink, void *arg, struct pack_result *ret, struct err *err)
{
	return pack(&dir_fd, 1, false, options, sink, arg, ret, err);
}

int pack_merged(const int *dir_fds, size_t n, const struct pack_options *options, pack_sink_fn *sink, void *arg, struct pack_result *ret,
	struct err *err)
{
	assert(n > 0);
	return pack(dir_fds, n, true, options, sink, arg, ret, err);
}
