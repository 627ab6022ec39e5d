/* SPDX-License-Identifier: Apache-2.0 */
/* A walk down the upper directory with, at each step, the directories of the same path in the layers below, topmost first, as far as overlayfs
 * would look: an opaque directory or something that is no directory ends the list. */
#include "images/changes.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "images/tree.h"

enum { MAX_DEPTH = 2048 };

struct changes {
	changes_fn *fn;
	void *arg;
	struct str path;
	int depth;
};

struct place {
	int upper;
	int *lower;      /* topmost first */
	size_t n;
};

static void place_done(struct place *p)
{
	util_close(&p->upper);
	for (size_t i = 0; i < p->n; i++)
		util_close(&p->lower[i]);
	free(p->lower);
}

static bool is_opaque(int fd)
{
	char v = '\0';
	return fgetxattr(fd, "trusted.overlay.opaque", &v, 1) == 1 && v == 'y';
}

/* What the layers below show under this name. Returns false when there is nothing. */
static bool find_lower(const struct place *p, const char *name, struct stat *ret)
{
	for (size_t i = 0; i < p->n; i++)
		if (fstatat(p->lower[i], name, ret, AT_SYMLINK_NOFOLLOW) == 0)
			return !tree_is_whiteout(ret);
	return false;
}

static int open_place(const struct place *p, const char *name, struct place *ret, struct err *err)
{
	*ret = (struct place){ .upper = openat(p->upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) };
	if (ret->upper < 0)
		return err_sys(err, errno, "open directory");
	ret->lower = xcalloc(p->n, sizeof(*ret->lower));
	if (is_opaque(ret->upper))
		return 0;
	for (size_t i = 0; i < p->n; i++) {
		struct stat st;
		int fd;
		if (fstatat(p->lower[i], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISDIR(st.st_mode))
			break;
		fd = openat(p->lower[i], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return err_sys(err, errno, "open directory");
		ret->lower[ret->n++] = fd;
		if (is_opaque(fd))
			break;
	}
	return 0;
}

static int add_name(void *arg, const char *name)
{
	strv_push(arg, name);
	return 0;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int walk(struct changes *c, const struct place *p, struct err *err);

static int enter(struct changes *c, const struct place *p, const char *name, struct err *err)
{
	struct place inner;
	int rc = ++c->depth > MAX_DEPTH ? err_set(err, ERR_INVALID, "directories within directories, too deep") : open_place(p, name, &inner, err);
	if (rc == 0)
		rc = walk(c, &inner, err);
	if (c->depth <= MAX_DEPTH)
		place_done(&inner);
	c->depth--;
	return rc;
}

static int tell(struct changes *c, const struct place *p, const char *name, struct err *err)
{
	struct stat st, old;
	bool had = find_lower(p, name, &old);
	int rc;
	if (fstatat(p->upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "stat");
	if (tree_is_whiteout(&st))
		return had ? c->fn(c->arg, 'D', str_get(&c->path), err) : 0;
	rc = c->fn(c->arg, had ? 'C' : 'A', str_get(&c->path), err);
	return rc == 0 && S_ISDIR(st.st_mode) ? enter(c, p, name, err) : rc;
}

static int walk(struct changes *c, const struct place *p, struct err *err)
{
	AUTO_STRV struct strv names = {0};
	const size_t len = c->path.len;
	int rc = fs_each(p->upper, ".", add_name, &names, err);
	if (names.n > 1)
		qsort(names.v, names.n, sizeof(*names.v), compare_text);
	for (size_t i = 0; i < names.n && rc == 0; i++) {
		str_addf(&c->path, "/%s", names.v[i]);
		rc = tell(c, p, names.v[i], err);
		c->path.len = len;
		c->path.p[len] = '\0';
	}
	return rc;
}

int changes_list(const int *lower_fds, size_t n, int upper_fd, changes_fn *fn, void *arg, struct err *err)
{
	struct changes c = { .fn = fn, .arg = arg };
	struct place root = { .upper = openat(upper_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), .lower = xcalloc(n, sizeof(int)) };
	int rc = root.upper < 0 ? err_sys(err, errno, "open the upper directory") : 0;
	for (size_t i = n; i-- > 0 && rc == 0; root.n += rc == 0) {
		root.lower[root.n] = openat(lower_fds[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = root.lower[root.n] < 0 ? err_sys(err, errno, "open a layer") : 0;
	}
	if (rc == 0)
		rc = walk(&c, &root, err);
	place_done(&root);
	str_done(&c.path);
	return rc;
}
