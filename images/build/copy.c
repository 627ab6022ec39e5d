/* SPDX-License-Identifier: Apache-2.0 */
/* Selecting what COPY and ADD name, walking it, digesting it. Digest and copy are two visitors of the same walk, so that they can't disagree about
 * which files there are. */
#include "images/build/copy.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "images/build/pattern.h"

enum { MAX_DEPTH = 1000, MAX_MATCHES = 1 << 20 };

void copy_matches_done(struct copy_matches *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].path);
		free(m->v[i].base);
		free(m->v[i].rel);
	}
	free(m->v);
	*m = (struct copy_matches){0};
}

static int add_match(struct copy_matches *m, const char *path, const char *base, const char *rel, bool wildcard, struct err *err)
{
	if (m->n >= MAX_MATCHES)
		return err_set(err, ERR_INVALID, "more than %d files match", MAX_MATCHES);
	m->v = vec_grow(m->v, m->n, &m->cap, sizeof(*m->v));
	m->v[m->n++] = (struct copy_match){ xstrdup(path), xstrdup(base), rel ? xstrdup(rel) : NULL, wildcard };
	return 0;
}

/* Is something below the directory rel not left out? An exception of .dockerignore may name what is not there. */
static bool holds_kept(const struct copy_source *src, const char *rel)
{
	AUTO_WALK struct view_walk w = {0};
	AUTO_STRV struct strv names = {0};
	AUTO_FREE char *copy = xstrdup(rel);
	if (view_walk_init(&w, src->view, NULL) < 0)
		return true;
	for (char *save, *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (view_down(&w, part, NULL) < 0)
			return true;
	}
	if (view_list(&w, &names, NULL) < 0)
		return true;
	for (size_t i = 0; i < names.n; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", rel, names.v[i]);
		struct stat st;
		if (!ignore_match(src->ignore, path))
			return true;
		if (view_find(&w, names.v[i], &st, NULL) == 0 && S_ISDIR(st.st_mode) && ignore_may_hold_exceptions(src->ignore, path) &&
		    holds_kept(src, path))
			return true;
	}
	return false;
}

/* Is the path, absolute in the view, left out by .dockerignore with all that is below it? */
static bool is_ignored(const struct copy_source *src, const char *path, bool directory)
{
	const char *rel = path + strspn(path, "/");
	if (!src->ignore || !*rel || !ignore_match(src->ignore, rel))
		return false;
	return !directory || !ignore_may_hold_exceptions(src->ignore, rel) || !holds_kept(src, rel);
}

/* ---- selection ---- */

static int not_found(const char *word, struct err *err)
{
	char shown[300];
	return err_set(err, ERR_NOT_FOUND, "\"%s%s\": not found", word[0] == '/' ? "" : "/", err_quote(shown, sizeof(shown), word));
}

/* Where base in the directory of the walk is: "/a/b". */
static char *join(const struct view_walk *w, const char *base)
{
	AUTO_FREE char *dir = view_path(w);
	return *base ? xasprintf("%s%s%s", dir, dir[1] ? "/" : "", base) : xstrdup(dir);
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* A word without wildcards, "/a/b": must be there. rel as in struct copy_match. */
static int select_one(const struct copy_source *src, const char *word, const char *rel, struct copy_matches *ret, struct err *err)
{
	AUTO_WALK struct view_walk w = {0};
	AUTO_FREE char *path = NULL;
	char base[256], shown[300];
	struct stat st;
	int rc = view_walk_init(&w, src->view, err);
	if (rc == 0)
		rc = view_resolve(&w, word, VIEW_FOLLOW, base, &st, err);
	if (rc < 0)
		return -1;
	if (rc > 0)
		return not_found(word, err);
	path = join(&w, base);
	if (is_ignored(src, path, S_ISDIR(st.st_mode)))
		return err_set(err, ERR_NOT_FOUND, "\"%s\": not found: .dockerignore leaves it out", err_quote(shown, sizeof(shown), word));
	return add_match(ret, path, base_of(word), rel, false, err);
}

/* Goes on below the directory of the walk with the rest of a pattern; the first component of rest is a pattern or a name. */
static int expand(const struct copy_source *src, struct view_walk *w, const char *rest, struct copy_matches *ret, struct err *err)
{
	const size_t n = strcspn(rest, "/");
	AUTO_FREE char *component = xstrndup(rest, n);
	AUTO_STRV struct strv names = {0};
	const bool last = rest[n + strspn(rest + n, "/")] == '\0';
	if (view_list(w, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		AUTO_FREE char *path = NULL;
		struct stat st;
		int rc = pattern_match(component, names.v[i]);
		if (rc < 0)
			return err_set(err, ERR_INVALID, "malformed pattern \"%s\"", rest);
		if (rc == 0 || view_find(w, names.v[i], &st, NULL) != 0)
			continue;
		path = join(w, names.v[i]);
		if (is_ignored(src, path, S_ISDIR(st.st_mode)))
			continue;
		if (!last) {
			if (!S_ISDIR(st.st_mode) || w->n > MAX_DEPTH)
				continue;
			if (view_down(w, names.v[i], err) < 0)
				return -1;
			rc = expand(src, w, rest + n + strspn(rest + n, "/"), ret, err);
			view_up(w);
			if (rc < 0)
				return -1;
		} else if (S_ISLNK(st.st_mode)) {
			size_t before = ret->n;
			if (select_one(src, path, NULL, ret, err) < 0)
				return -1;
			ret->v[before].wildcard = true;
		} else if (add_match(ret, path, names.v[i], NULL, true, err) < 0) {
			return -1;
		}
	}
	return 0;
}

/* The leading components without wildcards are a path, in which symlinks are followed; what comes then is matched name by name. */
static int select_pattern(const struct copy_source *src, const char *word, struct copy_matches *ret, struct err *err)
{
	AUTO_WALK struct view_walk w = {0};
	AUTO_STR struct str prefix = {0};
	const char *rest = word;
	char base[256];
	struct stat st;
	int rc;
	for (;;) {
		AUTO_FREE char *component = NULL, *plain = NULL;
		rest += strspn(rest, "/");
		component = xstrndup(rest, strcspn(rest, "/"));
		if (pattern_has_wildcard(component) || !*component)
			break;
		plain = pattern_unescape(component);
		str_addf(&prefix, "/%s", plain);
		rest += strlen(component);
	}
	str_add(&prefix, "/.");
	if (view_walk_init(&w, src->view, err) < 0)
		return -1;
	rc = view_resolve(&w, str_get(&prefix), VIEW_FOLLOW, base, &st, err);
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (*base && (!S_ISDIR(st.st_mode) || view_down(&w, base, err) < 0))
		return S_ISDIR(st.st_mode) ? -1 : 0;
	return expand(src, &w, rest, ret, err);
}

/* --parents with wildcards: everything below the pivot whose path matches; below a match no further ones. */
static int expand_parents(const struct copy_source *src, struct view_walk *w, const char *pattern, struct str *rel, struct copy_matches *ret,
	struct err *err)
{
	AUTO_STRV struct strv names = {0};
	const size_t len = rel->len;
	int rc = view_list(w, &names, err);
	for (size_t i = 0; rc == 0 && i < names.n; i++) {
		AUTO_FREE char *path = join(w, names.v[i]);
		struct stat st;
		rel->len = len;
		str_addf(rel, "%s%s", len ? "/" : "", names.v[i]);
		if (view_find(w, names.v[i], &st, NULL) != 0 || is_ignored(src, path, S_ISDIR(st.st_mode)))
			continue;
		if (pattern_match_path(pattern, rel->p, true) == 1) {
			rc = add_match(ret, path, names.v[i], rel->p, true, err);
		} else if (S_ISDIR(st.st_mode) && w->n < MAX_DEPTH && pattern_may_match_below(pattern, rel->p, true)) {
			rc = view_down(w, names.v[i], err);
			if (rc == 0)
				rc = expand_parents(src, w, pattern, rel, ret, err);
			if (rc == 0)
				view_up(w);
		}
	}
	rel->len = len;
	if (rel->p)
		rel->p[len] = '\0';
	return rc;
}

/* A clean path without slashes at its ends: "./x//y/" is "x/y", "../a" is "a". free() it. */
static char *clean(const char *path)
{
	AUTO_STRV struct strv parts = {0};
	struct str out = {0};
	while (*(path += strspn(path, "/"))) {
		const size_t n = strcspn(path, "/");
		AUTO_FREE char *part = xstrndup(path, n);
		path += n;
		if (strcmp(part, "..") == 0 && parts.n > 0) {
			free(parts.v[--parts.n]);
			parts.v[parts.n] = NULL;
		} else if (strcmp(part, ".") != 0 && strcmp(part, "..") != 0) {
			strv_push(&parts, part);
		}
	}
	for (size_t i = 0; i < parts.n; i++)
		str_addf(&out, "%s%s", i ? "/" : "", parts.v[i]);
	return str_take(&out);
}

/* --parents below one directory, the pivot's. */
static int select_below(const struct copy_source *src, const char *root, const char *rel, struct copy_matches *ret, struct err *err)
{
	AUTO_WALK struct view_walk w = {0};
	AUTO_STR struct str at = {0};
	char base[256];
	struct stat st;
	int rc = view_walk_init(&w, src->view, err);
	if (rc == 0)
		rc = view_resolve(&w, root, VIEW_FOLLOW, base, &st, err);
	if (rc != 0)
		return rc < 0 ? -1 : not_found(root, err);
	if (*base && view_down(&w, base, err) < 0)
		return -1;
	ret->makes_dest = true;
	if (!*rel)
		return select_one(src, root, rel, ret, err);
	return expand_parents(src, &w, rel, &at, ret, err);
}

/* --parents with wildcards in front of the pivot: below each directory that matches. */
static int select_roots(const struct copy_source *src, const char *root, const char *rel, struct copy_matches *ret, struct err *err)
{
	struct copy_matches roots = {0};
	int rc = select_pattern(src, root, &roots, err);
	for (size_t i = 0; rc == 0 && i < roots.n; i++) {
		AUTO_WALK struct view_walk w = {0};
		char base[256];
		struct stat st;
		rc = view_walk_init(&w, src->view, err);
		if (rc == 0)
			rc = view_resolve(&w, roots.v[i].path, 0, base, &st, err);
		if (rc == 0 && S_ISDIR(st.st_mode))
			rc = select_below(src, roots.v[i].path, rel, ret, err);
		else if (rc == 0) /* a file has nothing below it: it is taken itself */
			rc = add_match(ret, roots.v[i].path, roots.v[i].base, NULL, true, err);
	}
	copy_matches_done(&roots);
	return rc < 0 ? -1 : 0;
}

static int select_parents(const struct copy_source *src, const char *word, struct copy_matches *ret, struct err *err)
{
	const char *pivot = strstr(word, "/./");
	AUTO_FREE char *before = pivot ? xstrndup(word, (size_t)(pivot - word)) : xstrdup("");
	AUTO_FREE char *root = clean(before), *rel = clean(pivot ? pivot + 3 : word), *path = NULL;
	if (pattern_has_wildcard(root))
		return select_roots(src, root, rel, ret, err);
	if (!pattern_has_wildcard(rel)) {
		AUTO_FREE char *plain = pattern_unescape(rel);
		path = xasprintf("/%s%s%s", root, *root && *plain ? "/" : "", plain);
		return select_one(src, path, plain, ret, err);
	}
	path = xasprintf("/%s", root);
	return select_below(src, path, rel, ret, err);
}

int copy_select(const struct copy_source *src, const char *word, const struct copy_options *o, struct copy_matches *ret, struct err *err)
{
	AUTO_FREE char *path = NULL, *plain = NULL, *absolute = NULL;
	if (o->parents)
		return select_parents(src, word, ret, err);
	path = clean(word);
	if (pattern_has_wildcard(path))
		return select_pattern(src, path, ret, err);
	plain = pattern_unescape(path);
	absolute = xasprintf("/%s", plain);
	return select_one(src, absolute, NULL, ret, err);
}

/* ---- the walk ---- */

struct pending {
	size_t level;    /* in the walk: the directory itself */
	char *rel;
	struct stat st;
	bool entered;
};

struct visit {
	const struct copy_source *src;
	const struct copy_options *o;
	const struct copy_visitor *v;
	struct view_walk w;
	struct str rel, path; /* below the match; in the view, without a slash in front */
	struct pending *dirs;
	size_t n_dirs, cap_dirs;
};

/* What decides about one entry: the states of the directory that holds it. */
struct filters {
	struct ignore_dir ignore, exclude;
};

static int enter_dirs(struct visit *v, struct err *err)
{
	for (size_t i = 0; i < v->n_dirs; i++) {
		struct pending *p = &v->dirs[i];
		if (p->entered)
			continue;
		p->entered = true;
		if (v->v->enter(v->v->arg, v->w.levels[p->level].fds[0], v->w.levels[p->level].name, p->rel, &p->st, err) < 0)
			return -1;
	}
	return 0;
}

/* With what is not excluded of a directory: *ret_out says that it is itself. 1: nothing below can be taken. */
static int filter(struct visit *v, const struct filters *above, bool directory, struct filters *ret, bool *ret_out)
{
	const struct ignore *g = v->src->ignore, *x = v->o->excludes;
	bool out = false, closed = false;
	if (g && v->path.len && ignore_match_entry(g, &above->ignore, v->path.p, directory ? &ret->ignore : NULL)) {
		out = true;
		closed = !ignore_may_hold_exceptions(g, v->path.p);
	}
	if (x && v->rel.len && ignore_match_entry(x, &above->exclude, v->rel.p, directory ? &ret->exclude : NULL)) {
		out = true;
		closed = closed || !ignore_may_hold_exceptions(x, v->rel.p);
	}
	*ret_out = out;
	return closed;
}

static int visit_entry(struct visit *v, const char *name, const struct stat *st, const struct filters *above, struct err *err);

static int visit_names(struct visit *v, const struct filters *here, struct err *err)
{
	AUTO_STRV struct strv names = {0};
	const size_t rel = v->rel.len, path = v->path.len;
	if (view_list(&v->w, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++) {
		struct stat st;
		int rc = view_find(&v->w, names.v[i], &st, err);
		if (rc < 0)
			return -1;
		if (rc > 0)
			continue; /* it has just gone */
		v->rel.len = rel;
		v->path.len = path;
		str_addf(&v->rel, "%s%s", rel ? "/" : "", names.v[i]);
		str_addf(&v->path, "%s%s", path ? "/" : "", names.v[i]);
		if (visit_entry(v, names.v[i], &st, here, err) < 0)
			return -1;
	}
	v->rel.len = rel;
	v->path.len = path;
	return 0;
}

/* name "": the directory where the walk is, the root of the view. */
static int visit_dir(struct visit *v, const char *name, const struct stat *st, const struct filters *here, bool out, struct err *err)
{
	const size_t at = v->n_dirs;
	AUTO_FREE char *rel = xstrndup(str_get(&v->rel), v->rel.len);
	int rc;
	if (v->w.n > MAX_DEPTH)
		return err_sys(err, ENAMETOOLONG, "%s", rel);
	if (v->o->cancelled && *v->o->cancelled)
		return err_set(err, ERR_TIMEOUT, "cancelled");
	if (*name && view_down(&v->w, name, err) < 0)
		return -1;
	v->dirs = vec_grow(v->dirs, v->n_dirs, &v->cap_dirs, sizeof(*v->dirs));
	v->dirs[v->n_dirs++] = (struct pending){ .level = v->w.n - 1, .rel = rel, .st = *st };
	rc = out ? 0 : enter_dirs(v, err);
	if (rc == 0)
		rc = visit_names(v, here, err);
	if (rc == 0 && v->dirs[at].entered)
		rc = v->v->leave(v->v->arg, rel, st, err);
	v->n_dirs = at;
	if (rc == 0 && *name)
		view_up(&v->w);
	return rc;
}

static int visit_entry(struct visit *v, const char *name, const struct stat *st, const struct filters *above, struct err *err)
{
	struct filters here = {0};
	bool out;
	const bool directory = S_ISDIR(st->st_mode);
	const int closed = filter(v, above, directory, &here, &out);
	int rc = 0;
	if (!directory && !out && !S_ISSOCK(st->st_mode)) {
		AUTO_FREE char *rel = xstrndup(str_get(&v->rel), v->rel.len);
		rc = enter_dirs(v, err);
		if (rc == 0)
			rc = v->v->file(v->v->arg, &v->w, name, rel, st, err);
		if (rc < 0)
			err_wrap(err, "%s", *rel ? rel : name);
	} else if (directory && !closed) {
		rc = visit_dir(v, name, st, &here, out, err);
	}
	ignore_dir_done(&here.ignore);
	ignore_dir_done(&here.exclude);
	return rc;
}

/* The state of .dockerignore for the directory that holds path ("a/b/c"). */
static void ignore_state(const struct ignore *g, const char *path, struct ignore_dir *ret)
{
	for (const char *p = strchr(path, '/'); g && p; p = strchr(p + 1, '/')) {
		AUTO_FREE char *dir = xstrndup(path, (size_t)(p - path));
		struct ignore_dir next = {0};
		ignore_match_entry(g, ret, dir, &next);
		ignore_dir_done(ret);
		*ret = next;
	}
}

/* A file that is named itself: --exclude sees its name. */
static bool excluded_itself(const struct copy_match *m, const struct copy_options *o)
{
	return o->excludes && (ignore_match(o->excludes, m->base) || ignore_match(o->excludes, m->path + strspn(m->path, "/")) ||
			       (m->rel && *m->rel && ignore_match(o->excludes, m->rel)));
}

int copy_visit(const struct copy_source *src, const struct copy_match *m, const struct copy_options *o, const struct copy_visitor *visitor,
	struct err *err)
{
	struct visit v = { .src = src, .o = o, .v = visitor };
	struct filters above = {0};
	char base[256];
	struct stat st;
	int rc = view_walk_init(&v.w, src->view, err);
	if (rc == 0)
		rc = view_resolve(&v.w, m->path, 0, base, &st, err);
	if (rc > 0)
		rc = not_found(m->path, err);
	if (rc == 0 && !(excluded_itself(m, o) && (m->wildcard || m->rel || !S_ISDIR(st.st_mode)))) {
		str_add(&v.path, m->path + strspn(m->path, "/"));
		ignore_state(src->ignore, str_get(&v.path), &above.ignore);
		rc = visit_entry(&v, base, &st, &above, err);
	}
	ignore_dir_done(&above.ignore);
	view_walk_done(&v.w);
	str_done(&v.rel);
	str_done(&v.path);
	free(v.dirs);
	return rc;
}

/* ---- the digest ---- */

struct digester {
	const struct copy_source *src;
	const struct copy_options *o;
	EVP_MD_CTX *ctx;
};

static void feed(struct digester *d, const void *p, size_t n)
{
	if (EVP_DigestUpdate(d->ctx, p, n) != 1)
		util_oom();
}

/* One line for an entry: no part of it can hold the byte that ends the part. */
static void feed_header(struct digester *d, char type, const char *rel, const struct stat *st, uint64_t number)
{
	const bool owner = !d->o->chown && !d->src->reset_owner;
	char head[128];
	int n = snprintf(head, sizeof(head), "%c %o %u %u %llu ", type, S_ISLNK(st->st_mode) ? 0 : (unsigned)st->st_mode & 07777,
		owner ? (unsigned)st->st_uid : 0, owner ? (unsigned)st->st_gid : 0, (unsigned long long)number);
	feed(d, head, (size_t)n);
	feed(d, rel, strlen(rel) + 1);
}

static int digest_enter(void *arg, int fd, const char *name, const char *rel, const struct stat *st, struct err *err)
{
	struct digester *d = arg;
	char names[4096];
	ssize_t n = flistxattr(fd, names, sizeof(names));
	(void)name;
	(void)err;
	if (!*rel && !d->o->parents)
		return 0; /* its contents are copied, not itself */
	feed_header(d, 'd', rel, st, 0);
	for (char *x = names; n > 0 && x < names + n; x += strlen(x) + 1) {
		char value[4096];
		ssize_t len = str_starts(x, "user.") && !str_starts(x, "user.overlay.") ? fgetxattr(fd, x, value, sizeof(value)) : -1;
		if (len < 0)
			continue;
		feed(d, x, strlen(x) + 1);
		feed(d, &len, sizeof(len));
		feed(d, value, (size_t)len);
	}
	return 0;
}

static int digest_leave(void *arg, const char *rel, const struct stat *st, struct err *err)
{
	(void)rel;
	(void)st;
	(void)err;
	feed(arg, "l\n", 2);
	return 0;
}

static int digest_file(void *arg, struct view_walk *w, const char *name, const char *rel, const struct stat *st, struct err *err)
{
	struct digester *d = arg;
	unsigned char content[STATCACHE_DIGEST];
	char target[4096];
	if (S_ISREG(st->st_mode)) {
		struct stat now = *st;
		if (statcache_find(d->src->stat, st, content) != 0) {
			AUTO_CLOSE int fd = view_open(w, name, &now, err);
			if (fd < 0 || statcache_digest(d->src->stat, fd, &now, content, err) < 0)
				return -1;
		}
		feed_header(d, 'f', rel, &now, (uint64_t)now.st_size);
		feed(d, content, sizeof(content));
		return 0;
	}
	feed_header(d, S_ISLNK(st->st_mode) ? 's' : S_ISCHR(st->st_mode) ? 'c' : S_ISBLK(st->st_mode) ? 'b' : 'p', rel, st, st->st_rdev);
	if (S_ISLNK(st->st_mode)) {
		if (view_readlink(w, name, target, err) < 0)
			return -1;
		feed(d, target, strlen(target) + 1);
	}
	return 0;
}

int copy_digest(const struct copy_source *src, const struct copy_matches *m, const struct copy_options *o, char ret[static 65], struct err *err)
{
	struct digester d = { .src = src, .o = o, .ctx = EVP_MD_CTX_new() };
	const struct copy_visitor visitor = { &d, digest_enter, digest_leave, digest_file };
	unsigned char out[32];
	int rc = 0;
	if (!d.ctx || EVP_DigestInit_ex(d.ctx, EVP_sha256(), NULL) != 1)
		util_oom();
	if (m->makes_dest)
		feed(&d, "dest ", 5);
	for (size_t i = 0; rc == 0 && i < m->n; i++) {
		const char *where = m->v[i].rel ? m->v[i].rel : m->v[i].base;
		feed(&d, "match ", 6);
		feed(&d, where, strlen(where) + 1);
		rc = copy_visit(src, &m->v[i], o, &visitor, err);
	}
	EVP_DigestFinal_ex(d.ctx, out, NULL);
	EVP_MD_CTX_free(d.ctx);
	for (size_t i = 0; i < sizeof(out); i++)
		snprintf(ret + 2 * i, 3, "%02x", out[i]);
	return rc;
}
