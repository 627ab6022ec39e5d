/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stack of layers. A level of the walk holds a descriptor for each layer that has the directory, top first, as far down as an opaque
 * directory, a whiteout or a file lets it be seen; so a lookup asks only those. Most levels have one or two. */
#include "images/build/view.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/map.h"
#include "images/tree.h"

enum { MAX_LINKS = 40, MAX_DEPTH = 2048, DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

static bool is_whiteout(const struct view *v, const struct stat *st)
{
	return !v->raw && tree_is_whiteout(st);
}

static bool is_opaque(const struct view *v, int fd)
{
	char value[2];
	return !v->raw && fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

static void level_done(struct view_level *l)
{
	for (size_t i = 0; i < l->n; i++)
		close(l->fds[i]);
	free(l->fds);
	free(l->name);
	*l = (struct view_level){0};
}

static struct view_level *push(struct view_walk *w, const char *name)
{
	struct view_level *l;
	w->levels = vec_grow(w->levels, w->n, &w->cap, sizeof(*w->levels));
	l = &w->levels[w->n++];
	*l = (struct view_level){ .name = name ? xstrdup(name) : NULL };
	return l;
}

int view_walk_init(struct view_walk *w, const struct view *view, struct err *err)
{
	struct view_level *l;
	*w = (struct view_walk){ .view = view };
	l = push(w, NULL);
	l->fds = xcalloc(view->n + 1, sizeof(*l->fds));
	for (size_t i = view->n; i-- > 0;) {
		int fd = openat(view->fds[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0) {
			err_sys(err, errno, "open a layer");
			view_walk_done(w);
			return -1;
		}
		l->fds[l->n++] = fd;
		if (is_opaque(view, fd))
			break;
	}
	l->upper = view->writable;
	return 0;
}

void view_walk_done(struct view_walk *w)
{
	while (w->n > 0)
		level_done(&w->levels[--w->n]);
	free(w->levels);
	*w = (struct view_walk){0};
}

static const struct view_level *top(const struct view_walk *w)
{
	return &w->levels[w->n - 1];
}

/* The index of the descriptor in which name is found; -1: not there; -2 + err. */
static int find(const struct view_walk *w, const char *name, struct stat *ret_st, struct err *err)
{
	const struct view_level *l = top(w);
	for (size_t i = 0; i < l->n; i++) {
		if (fstatat(l->fds[i], name, ret_st, AT_SYMLINK_NOFOLLOW) == 0)
			return is_whiteout(w->view, ret_st) ? -1 : (int)i;
		if (errno == ENAMETOOLONG)
			return -1;
		if (errno != ENOENT) {
			err_sys(err, errno, "look up %s", name);
			return -2;
		}
	}
	return -1;
}

int view_find(const struct view_walk *w, const char *name, struct stat *ret_st, struct err *err)
{
	int at = find(w, name, ret_st, err);
	return at == -2 ? -1 : at < 0;
}

int view_holder(const struct view_walk *w, const char *name)
{
	struct stat st;
	int at = find(w, name, &st, NULL);
	return at < 0 ? -1 : top(w)->fds[at];
}

int view_down(struct view_walk *w, const char *name, struct err *err)
{
	const struct view_level above = *top(w); /* its descriptors stay where they are when the levels move */
	struct view_level *l;
	if (w->n >= MAX_DEPTH)
		return err_sys(err, ELOOP, "directory %s", name);
	l = push(w, name);
	l->fds = xcalloc(above.n + 1, sizeof(*l->fds));
	for (size_t i = 0; i < above.n; i++) {
		struct stat st;
		int fd = openat(above.fds[i], name, DIR_FLAGS);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 && l->n > 0 && (errno == ENOTDIR || errno == ELOOP))
			break; /* a file or a whiteout hides what is below */
		if (fd < 0) {
			int e = errno;
			view_up(w);
			return err_sys(err, e, "open directory %s", name);
		}
		if (fstat(fd, &st) < 0) {
			close(fd);
			break;
		}
		l->upper |= i == 0 && above.upper;
		l->fds[l->n++] = fd;
		if (is_opaque(w->view, fd))
			break;
	}
	if (l->n > 0)
		return 0;
	view_up(w);
	return err_sys(err, ENOENT, "open directory %s", name);
}

void view_up(struct view_walk *w)
{
	if (w->n > 1)
		level_done(&w->levels[--w->n]);
}

void view_rewind(struct view_walk *w)
{
	while (w->n > 1)
		view_up(w);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds what one directory has and no directory above it. */
static int list_one(const struct view_walk *w, int fd, bool alone, struct map *seen, struct strv *ret, struct err *err)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	if (!d) {
		util_close(&copy);
		return err_sys(err, errno, "read a directory");
	}
	while (errno = 0, (e = readdir(d))) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || (!alone && map_get(seen, e->d_name)))
			continue;
		if (!alone)
			map_put(seen, e->d_name, seen);
		if (!w->view->raw && (e->d_type == DT_CHR || e->d_type == DT_UNKNOWN) &&
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && tree_is_whiteout(&st))
			continue;
		strv_push(ret, e->d_name);
	}
	if (errno) {
		int rc = err_sys(err, errno, "read a directory");
		closedir(d);
		return rc;
	}
	closedir(d);
	return 0;
}

int view_list(const struct view_walk *w, struct strv *ret, struct err *err)
{
	AUTO_MAP struct map seen = {0};
	const struct view_level *l = top(w);
	for (size_t i = 0; i < l->n; i++)
		if (list_one(w, l->fds[i], l->n == 1, &seen, ret, err) < 0)
			return -1;
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_text);
	return 0;
}

char *view_path(const struct view_walk *w)
{
	struct str path = {0};
	for (size_t i = 1; i < w->n; i++) {
		str_addc(&path, '/');
		str_add(&path, w->levels[i].name);
	}
	if (w->n <= 1)
		str_addc(&path, '/');
	return str_take(&path);
}

int view_open(const struct view_walk *w, const char *name, struct stat *ret_st, struct err *err)
{
	const int at = find(w, name, ret_st, err);
	AUTO_CLOSE int fd = -1;
	if (at < 0)
		return at == -2 ? -1 : err_sys(err, ENOENT, "open %s", name);
	if (!S_ISREG(ret_st->st_mode))
		return err_set(err, ERR_INVALID, "open %s: not a regular file", name);
	fd = openat(top(w)->fds[at], name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, ret_st) < 0)
		return err_sys(err, errno, "open %s", name);
	if (!S_ISREG(ret_st->st_mode))
		return err_set(err, ERR_INVALID, "open %s: not a regular file", name);
	return TAKE_FD(fd);
}

int view_dir_fd(const struct view_walk *w)
{
	return top(w)->fds[0];
}

int view_readlink(const struct view_walk *w, const char *name, char buf[static 4096], struct err *err)
{
	const int fd = view_holder(w, name);
	ssize_t n = fd < 0 ? -1 : readlinkat(fd, name, buf, 4095);
	if (n < 0)
		return err_sys(err, fd < 0 ? ENOENT : errno, "read link %s", name);
	buf[n] = '\0';
	return 0;
}

/* ---- paths ---- */

struct route {
	struct view_walk *w;
	struct str todo;      /* what is left of the path */
	size_t at;
	unsigned links;
};

/* The next component in comp; false at the end. *ret_last: nothing but slashes follows. -1 when it is too long to be one. */
static int next(struct route *r, char comp[static 256], bool *ret_last)
{
	const char *p = str_get(&r->todo) + r->at;
	size_t n;
	p += strspn(p, "/");
	n = strcspn(p, "/");
	if (n == 0)
		return 0;
	if (n > 255)
		return -1;
	memcpy(comp, p, n);
	comp[n] = '\0';
	p += n;
	*ret_last = p[strspn(p, "/")] == '\0';
	r->at = (size_t)(p - str_get(&r->todo));
	return 1;
}

/* Replaces the symlink name, just taken from the route, by what it says. */
static int follow(struct route *r, const char *name, struct err *err)
{
	char target[4096];
	struct str todo = {0};
	if (++r->links > MAX_LINKS)
		return err_sys(err, ELOOP, "resolve %s", name);
	if (view_readlink(r->w, name, target, err) < 0)
		return -1;
	if (target[0] == '/')
		view_rewind(r->w);
	str_addf(&todo, "%s/%s", target, str_get(&r->todo) + r->at);
	str_done(&r->todo);
	r->todo = todo;
	r->at = 0;
	return r->todo.len > PATH_MAX * 4 ? err_sys(err, ENAMETOOLONG, "resolve %s", name) : 0;
}

/* make NULL: as view_resolve() says. Else every component becomes a directory and the walk ends in the last one. */
static int go(struct route *r, unsigned flags, const struct view_owner *make, unsigned *made, char base[static 256], struct stat *ret_st,
	struct err *err)
{
	char comp[256];
	bool last = false;
	int rc;
	while ((rc = next(r, comp, &last)) == 1) {
		int found;
		if (strcmp(comp, ".") == 0)
			continue;
		if (strcmp(comp, "..") == 0) {
			view_up(r->w);
			continue;
		}
		found = view_find(r->w, comp, ret_st, err);
		if (found < 0)
			return -1;
		if (found == 0 && S_ISLNK(ret_st->st_mode) && (!last || make || (flags & VIEW_FOLLOW))) {
			if (follow(r, comp, err) < 0)
				return -1;
			continue;
		}
		if (last && !make) {
			snprintf(base, 256, "%s", comp);
			return found;
		}
		if (found == 1 && make) {
			if (view_mkdir(r->w, comp, make, err) < 0)
				return -1;
			*made += 1;
		} else if (found == 1 || (!S_ISDIR(ret_st->st_mode) && !make)) {
			return 2;
		} else if (!S_ISDIR(ret_st->st_mode)) {
			return err_sys(err, ENOTDIR, "create directory %s", comp);
		}
		if (view_down(r->w, comp, err) < 0)
			return -1;
	}
	base[0] = '\0';
	if (rc < 0)
		return make ? err_sys(err, ENAMETOOLONG, "create a directory") : 2;
	return fstat(view_dir_fd(r->w), ret_st) < 0 ? err_sys(err, errno, "look at a directory") : 0;
}

int view_resolve(struct view_walk *w, const char *path, unsigned flags, char base[static 256], struct stat *ret_st, struct err *err)
{
	struct route r = { .w = w };
	int rc;
	view_rewind(w);
	str_add(&r.todo, path);
	rc = go(&r, flags, NULL, NULL, base, ret_st, err);
	str_done(&r.todo);
	return rc;
}

int view_make_dirs(struct view_walk *w, const char *path, const struct view_owner *owner, unsigned *ret_made, struct err *err)
{
	struct route r = { .w = w };
	unsigned made = 0;
	char base[256];
	struct stat st;
	int rc;
	view_rewind(w);
	str_add(&r.todo, path);
	rc = go(&r, VIEW_FOLLOW, owner, &made, base, &st, err);
	str_done(&r.todo);
	if (ret_made)
		*ret_made = made;
	return rc < 0 ? -1 : 0;
}
