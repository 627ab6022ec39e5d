/* SPDX-License-Identifier: Apache-2.0 */
/* COPY's second half: writing what was selected into the layer. Everything is created anew under its final name in the upper directory, owner
 * before mode (a change of owner clears set-id bits), xattrs after the owner, times last; a directory gets its time when it is left. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/fs.h"
#include "base/map.h"
#include "images/build/copy.h"
#include "images/build/unpack.h"

enum { BUFFER = 256 << 10, SMALL = 128 << 10 };

struct copier {
	const struct copy_source *src;
	const struct copy_options *o;
	struct view_walk w;       /* in the destination */
	const char *top;          /* of a file that is named itself: its name there; NULL: the walk is in the directory for the contents */
	bool contents;            /* the match is a directory whose contents go into the directory of the walk */
	bool keep_top;            /* that one keeps its own metadata */
	struct map links;         /* "dev:ino" -> path in the upper layer */
	bool unsure;
};

static void owner_of(const struct copier *c, const struct stat *st, uid_t *uid, gid_t *gid)
{
	*uid = c->o->chown ? c->o->uid : c->src->reset_owner ? 0 : st->st_uid;
	*gid = c->o->chown ? c->o->gid : c->src->reset_owner ? 0 : st->st_gid;
}

static int mode_of(const struct copier *c, const struct stat *st, mode_t *ret, struct err *err)
{
	*ret = st->st_mode & 07777;
	return *c->o->chmod ? copy_chmod(c->o->chmod, st->st_mode, S_ISDIR(st->st_mode), ret, err) : 0;
}

/* Owner, mode, xattrs of an open file or directory; from_fd -1: no xattrs. */
static int put_metadata(const struct copier *c, int fd, int from_fd, const struct stat *st, struct err *err)
{
	uid_t uid;
	gid_t gid;
	mode_t mode;
	owner_of(c, st, &uid, &gid);
	if (mode_of(c, st, &mode, err) < 0)
		return -1;
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
		return err_sys(err, errno, "set owner and mode");
	return from_fd < 0 ? 0 : view_copy_xattrs(from_fd, fd, err);
}

static int copy_plain(int from, int to, struct err *err)
{
	static _Thread_local char *buf;
	ssize_t n;
	off_t at = 0;
	if (!buf)
		buf = xcalloc(BUFFER, 1);
	while ((n = pread(from, buf, BUFFER, at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read");
		if (fs_write_all(to, buf, (size_t)n, err) < 0)
			return -1;
		at += n;
	}
	return 0;
}

/* A clone where the file system can, a copy inside the kernel where it can, a copy by hand else. */
static int copy_data(int from, int to, off_t size, struct err *err)
{
	loff_t in = 0, out = 0;
	if (size <= SMALL)
		return copy_plain(from, to, err);
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	while (in < size) {
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(size - in), 0);
		if (n > 0 || (n < 0 && errno == EINTR))
			continue;
		if (n == 0)
			return 0;
		if (in > 0)
			return err_sys(err, errno, "copy");
		return copy_plain(from, to, err);
	}
	return 0;
}

/* A name of the same file that is in the layer already becomes its other name. 1: done; 0: it is the first; -1 + err. */
static int try_link(struct copier *c, int upper, const char *name, const struct stat *st, struct err *err)
{
	char key[64];
	const char *first;
	AUTO_FREE char *dir = NULL;
	if (st->st_nlink < 2)
		return 0;
	snprintf(key, sizeof(key), "%llu:%llu", (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
	first = map_get(&c->links, key);
	if (first)
		return linkat(c->w.levels[0].fds[0], first, upper, name, 0) < 0 ? err_sys(err, errno, "link %s", name) : 1;
	dir = view_path(&c->w);
	map_put(&c->links, key, xasprintf("%s%s%s", dir + 1, dir[1] ? "/" : "", name));
	return 0;
}

static int copy_regular(struct copier *c, struct view_walk *from, const char *source, const char *name, struct err *err)
{
	struct stat st;
	AUTO_CLOSE int in = view_open(from, source, &st, err), out = -1;
	const int upper = in < 0 ? -1 : view_clear(&c->w, name, c->o->replace, err);
	int rc = upper < 0 ? -1 : try_link(c, upper, name, &st, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (c->src->move && linkat(view_holder(from, source), source, upper, name, 0) == 0)
		return put_metadata(c, in, -1, &st, err);
	out = openat(upper, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return err_sys(err, errno, "create %s", name);
	if (copy_data(in, out, st.st_size, err) < 0 || put_metadata(c, out, in, &st, err) < 0)
		return -1;
	c->unsure |= !statcache_knows(c->src->stat, &st);
	return futimens(out, (struct timespec[2]){ st.st_atim, st.st_mtim }) < 0 ? err_sys(err, errno, "set the time of %s", name) : 0;
}

static int copy_special(struct copier *c, struct view_walk *from, const char *source, const char *name, const struct stat *st, struct err *err)
{
	const int upper = view_clear(&c->w, name, c->o->replace, err);
	char target[4096];
	uid_t uid;
	gid_t gid;
	mode_t mode;
	if (upper < 0 || mode_of(c, st, &mode, err) < 0)
		return -1;
	owner_of(c, st, &uid, &gid);
	if (S_ISLNK(st->st_mode)) {
		if (view_readlink(from, source, target, err) < 0)
			return -1;
		if (symlinkat(target, upper, name) < 0)
			return err_sys(err, errno, "create link %s", name);
	} else {
		if (S_ISCHR(st->st_mode) && st->st_rdev == 0)
			return err_set(err, ERR_INVALID, "%s: a character device 0:0 cannot be in a layer", name);
		if (mknodat(upper, name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) < 0)
			return err_sys(err, errno, "create device %s", name);
	}
	if (fchownat(upper, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISLNK(st->st_mode) && fchmodat(upper, name, mode, 0) < 0) ||
	    utimensat(upper, name, (struct timespec[2]){ st->st_atim, st->st_mtim }, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "set owner and mode of %s", name);
	return 0;
}

/* ---- the visitor ---- */

/* A directory that the archive does not mention: what is there stays as it is, else it is root's. */
static bool is_implied(const struct copier *c, const char *rel)
{
	return c->o->implied && map_get(c->o->implied, rel);
}

static int apply_enter(void *arg, int fd, const char *name, const char *rel, const struct stat *st, struct err *err)
{
	struct copier *c = arg;
	const bool is_top = !*rel;
	const char *to = is_top ? c->top : name;
	struct stat there;
	if (!is_top || c->top) {
		int found = view_find(&c->w, to, &there, err);
		const struct view_owner plain = { .mode = 0755 };
		if (found < 0)
			return -1;
		if (found == 0 && !S_ISDIR(there.st_mode) && c->o->replace) {
			if (view_clear(&c->w, to, true, err) < 0)
				return -1;
			found = 1;
		}
		if (found == 0 && !S_ISDIR(there.st_mode)) {
			AUTO_FREE char *dir = view_path(&c->w);
			return err_set(err, ERR_INVALID, "cannot copy to non-directory: %s%s%s", dir, dir[1] ? "/" : "", to);
		}
		if (found == 1 && view_mkdir(&c->w, to, &plain, err) < 0)
			return -1;
		if (view_down(&c->w, to, err) < 0)
			return -1;
	}
	if ((is_top && c->keep_top) || is_implied(c, rel))
		return 0;
	int upper = view_upper(&c->w, err);
	return upper < 0 ? -1 : put_metadata(c, upper, fd, st, err);
}

static int apply_leave(void *arg, const char *rel, const struct stat *st, struct err *err)
{
	struct copier *c = arg;
	if (!(!*rel && c->keep_top) && !is_implied(c, rel)) {
		const int upper = view_upper(&c->w, err);
		if (upper < 0)
			return -1;
		if (futimens(upper, (struct timespec[2]){ st->st_atim, st->st_mtim }) < 0)
			return err_sys(err, errno, "set the time of a directory");
	}
	if (*rel || c->top) {
		view_up(&c->w);
	}
	return 0;
}

static int apply_file(void *arg, struct view_walk *from, const char *name, const char *rel, const struct stat *st, struct err *err)
{
	struct copier *c = arg;
	const char *to = *rel ? name : c->top;
	if (S_ISREG(st->st_mode))
		return copy_regular(c, from, name, to, err);
	return copy_special(c, from, name, to, st, err);
}

/* ---- where it goes ---- */

static struct view_owner parents_owner(const struct copy_options *o)
{
	return (struct view_owner){ .uid = o->chown ? o->uid : 0, .gid = o->chown ? o->gid : 0, .mode = 0755 };
}

/* The directory part of dest: all of it when it ends with a slash. free() it. */
static char *dest_parent(const char *dest)
{
	const char *slash = strrchr(dest, '/');
	return xstrndup(dest, (size_t)(slash - dest) + 1);
}

/* dest is a symlink to a name in a directory that is not there: makes that. 0 or -1 + err. */
static int make_target_dir(struct view_walk *w, const char *dest, const struct view_owner *owner, struct err *err)
{
	AUTO_FREE char *path = xstrdup(dest);
	for (int links = 0; links < 8; links++) {
		AUTO_FREE char *dir = NULL, *parent = NULL;
		char target[4096], base[256];
		struct stat st;
		int rc = view_resolve(w, path, 0, base, &st, err);
		if (rc < 0)
			return -1;
		if (rc == 1 || (rc == 0 && !S_ISLNK(st.st_mode)))
			return 0;
		if (rc == 0 && view_readlink(w, base, target, err) < 0)
			return -1;
		if (rc == 0) {
			dir = view_path(w);
			free(path);
			path = target[0] == '/' ? xstrdup(target) : xasprintf("%s/%s", dir, target);
		}
		parent = dest_parent(path);
		if (view_make_dirs(w, parent, owner, NULL, err) < 0)
			return -1;
	}
	return 0;
}

/* Brings the walk to the place for a file called base; its name there in ret. */
static int place_file(struct view_walk *w, const char *dest, const char *base, const struct copy_options *o, char ret[static 256], struct err *err)
{
	const struct view_owner owner = parents_owner(o);
	AUTO_FREE char *parent = dest_parent(dest);
	struct stat st;
	int rc;
	if (view_make_dirs(w, parent, &owner, NULL, err) < 0)
		return -1;
	rc = view_resolve(w, dest, VIEW_FOLLOW, ret, &st, err);
	if (rc == 2 && make_target_dir(w, dest, &owner, err) == 0)
		rc = view_resolve(w, dest, VIEW_FOLLOW, ret, &st, err);
	if (rc < 0)
		return -1;
	if (rc == 2)
		return err_set(err, ERR_NOT_FOUND, "%s: no such directory", dest);
	if (rc == 0 && S_ISDIR(st.st_mode)) {
		if (*ret && view_down(w, ret, err) < 0)
			return -1;
		snprintf(ret, 256, "%s", base);
	}
	return *ret ? 0 : err_set(err, ERR_INVALID, "%s: not a name for a file", dest);
}

/* Brings the walk into the directory dest. *ret_made: it was not there. */
static int place_dir(struct view_walk *w, const char *dest, const struct copy_options *o, struct err *err)
{
	const struct view_owner owner = parents_owner(o);
	char base[256];
	struct stat st;
	int rc = view_resolve(w, dest, VIEW_FOLLOW, base, &st, err);
	if (rc < 0)
		return -1;
	if (rc == 0 && !S_ISDIR(st.st_mode))
		return err_set(err, ERR_INVALID, "cannot copy to non-directory: %s", dest);
	return view_make_dirs(w, dest, &owner, NULL, err);
}

/* --parents: the directories above rel, each like the source's. */
static int place_parents(struct copier *c, const struct copy_match *m, char ret[static 256], struct err *err)
{
	const size_t n_root = strlen(m->path) >= strlen(m->rel) ? strlen(m->path) - strlen(m->rel) : 0;
	AUTO_WALK struct view_walk from = {0};
	const char *rel = m->rel;
	if (place_dir(&c->w, c->o->dest, c->o, err) < 0 || view_walk_init(&from, c->src->view, err) < 0)
		return -1;
	for (const char *slash; (slash = strchr(rel, '/')); rel = slash + 1) {
		AUTO_FREE char *name = xstrndup(rel, (size_t)(slash - rel));
		AUTO_FREE char *source = xasprintf("%.*s%.*s", (int)n_root, m->path, (int)(slash - m->rel), m->rel);
		struct stat st, there;
		char base[256];
		int found = view_find(&c->w, name, &there, err), upper;
		if (found < 0)
			return -1;
		if (found == 0 && !S_ISDIR(there.st_mode))
			return err_set(err, ERR_INVALID, "cannot copy to non-directory: %s", name);
		if (found == 1 && view_mkdir(&c->w, name, &(struct view_owner){ .mode = 0755 }, err) < 0)
			return -1;
		if (view_down(&c->w, name, err) < 0)
			return -1;
		if (view_resolve(&from, source, VIEW_FOLLOW, base, &st, err) != 0 || !S_ISDIR(st.st_mode))
			continue; /* a symlink led there: the directory is ours */
		upper = view_upper(&c->w, err);
		if (upper < 0 || put_metadata(c, upper, -1, &st, err) < 0)
			return -1;
	}
	snprintf(ret, 256, "%s", rel);
	return 0;
}

static int apply_match(struct copier *c, const struct copy_match *m, struct err *err)
{
	const struct copy_visitor visitor = { c, apply_enter, apply_leave, apply_file };
	AUTO_WALK struct view_walk from = {0};
	char base[256], name[256];
	struct stat st;
	int rc = view_walk_init(&from, c->src->view, err);
	if (rc == 0)
		rc = view_resolve(&from, m->path, 0, base, &st, err);
	if (rc != 0)
		return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "%s: gone since it was looked at", m->path);
	c->top = NULL;
	c->keep_top = false;
	if (m->rel && *m->rel) {
		if (place_parents(c, m, name, err) < 0)
			return -1;
		c->top = name;
	} else if (S_ISDIR(st.st_mode)) {
		if (place_dir(&c->w, c->o->dest, c->o, err) < 0)
			return -1;
		c->keep_top = true;
	} else {
		if (c->o->unpack && S_ISREG(st.st_mode)) {
			AUTO_CLOSE int fd = view_open(&from, base, &st, err);
			rc = fd < 0 ? -1 : unpack_into(fd, c->o, c->w.view, err);
			if (rc <= 0)
				return rc;
		}
		if (place_file(&c->w, c->o->dest, m->base, c->o, name, err) < 0)
			return -1;
		c->top = name;
	}
	rc = copy_visit(c->src, m, c->o, &visitor, err);
	view_rewind(&c->w);
	return rc;
}

int copy_apply(const struct copy_source *src, const struct copy_matches *m, const struct copy_options *o, const struct view *dest, bool *ret_unsure,
	struct err *err)
{
	struct copier c = { .src = src, .o = o };
	int rc = view_walk_init(&c.w, dest, err);
	if (rc == 0 && m->makes_dest) {
		rc = place_dir(&c.w, o->dest, o, err);
		view_rewind(&c.w);
	}
	for (size_t i = 0; rc == 0 && i < m->n; i++)
		rc = apply_match(&c, &m->v[i], err);
	for (struct map_entry *e = map_next(&c.links, NULL); e; e = map_next(&c.links, e))
		free(e->value);
	map_done(&c.links);
	view_walk_done(&c.w);
	*ret_unsure = c.unsure;
	return rc;
}

int copy_write(const char *name, const void *data, size_t n, int fd, mode_t mode, const struct timespec *mtime, const struct copy_options *o,
	const struct view *dest, struct err *err)
{
	const struct copy_source src = { .reset_owner = true };
	struct copier c = { .src = &src, .o = o };
	struct stat st = { .st_mode = S_IFREG | mode };
	AUTO_CLOSE int out = -1;
	char to[256];
	int upper, rc = view_walk_init(&c.w, dest, err);
	if (rc == 0)
		rc = place_file(&c.w, o->dest, name, o, to, err);
	upper = rc < 0 ? -1 : view_clear(&c.w, to, o->replace, err);
	if (upper >= 0)
		out = openat(upper, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (upper >= 0 && out < 0)
		err_sys(err, errno, "create %s", to);
	view_walk_done(&c.w);
	if (out < 0)
		return -1;
	if ((fd < 0 ? fs_write_all(out, data, n, err) : copy_plain(fd, out, err)) < 0 || put_metadata(&c, out, -1, &st, err) < 0)
		return -1;
	if (mtime && futimens(out, (struct timespec[2]){ *mtime, *mtime }) < 0)
		return err_sys(err, errno, "set the time of %s", name);
	return 0;
}
