/* SPDX-License-Identifier: Apache-2.0 */
/* A commit's files as a tar archive, https://git-scm.com/docs/git-fsck#_fsck_messages for what trees must not be. Directories are 0755, files 0644
 * or 0755, all of them root's, with the time of the commit: the same commit gives the same archive. */
#include <stdio.h>

#include "base/fs.h"
#include "images/git_attr.h"
#include "images/git_impl.h"
#include "images/pack_impl.h"

enum { MAX_PATH = 4095, MAX_NAME = 255, MAX_GITMODULES = 1 << 20, MODE_TREE = 040000, MODE_LINK = 0120000, MODE_MODULE = 0160000 };

/* ---- the archive ---- */

int git_archive_add(struct git_archive *a, char type, const char *path, mode_t mode, const void *p, size_t n, struct err *err)
{
	static const char zeros[512];
	AUTO_FREE char *target = type == PACK_SYMLINK ? xstrndup(p, n) : NULL, *dir = type == PACK_DIR ? xasprintf("%s/", path) : NULL;
	const struct pack_entry e = {
		.type = type, .path = dir ? dir : path, .link = target, .mode = mode, .size = type == PACK_REG ? n : 0, .mtime_s = a->mtime_s,
	};
	str_clear(&a->head);
	pack_header_text(&a->head, &e);
	if (a->max_bytes < a->bytes || a->max_bytes - a->bytes < a->head.len + e.size + 512)
		return err_set(err, ERR_INVALID, "its files are larger than the bytes allowed");
	if (++a->n > GIT_MAX_ENTRIES)
		return err_set(err, ERR_INVALID, "more than %d files and directories", GIT_MAX_ENTRIES);
	a->bytes += a->head.len + e.size + (-e.size & 511);
	if (fs_write_all(a->fd, a->head.p, a->head.len, err) < 0 || (e.size && fs_write_all(a->fd, p, n, err) < 0))
		return -1;
	return fs_write_all(a->fd, zeros, -e.size & 511, err);
}

int git_archive_end(struct git_archive *a, struct err *err)
{
	static const char zeros[1024];
	str_done(&a->head);
	return fs_write_all(a->fd, zeros, sizeof(zeros), err);
}

/* ---- trees ---- */

struct tree_entry {
	const char *name;
	uint32_t mode;
	unsigned char oid[GIT_RAW];
};

/* One entry at *at: 1; 0 at the end; -1 + err. */
static int next_entry(const char *p, size_t n, size_t *at, struct tree_entry *e, struct err *err)
{
	const char *end;
	e->mode = 0;
	if (*at == n)
		return 0;
	while (*at < n && p[*at] >= '0' && p[*at] <= '7' && e->mode < 1U << 20)
		e->mode = e->mode << 3 | (uint32_t)(p[(*at)++] - '0');
	if (*at >= n || p[(*at)++] != ' ' || !(end = memchr(p + *at, '\0', n - *at)) || n - (size_t)(end - p) - 1 < GIT_RAW)
		return err_set(err, ERR_CORRUPT, "a tree makes no sense");
	e->name = p + *at;
	memcpy(e->oid, end + 1, GIT_RAW);
	*at = (size_t)(end - p) + 1 + GIT_RAW;
	return 1;
}

/* What git itself would not write into a work tree. */
static bool is_name(const char *s)
{
	return *s && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 && strcasecmp(s, ".git") != 0 && !strchr(s, '/') && strlen(s) <= MAX_NAME;
}

static void add_index(struct git_checkout *c, const char *path, const struct tree_entry *e, size_t size)
{
	if (!c->keep)
		return;
	c->index = vec_grow(c->index, c->n_index, &c->cap_index, sizeof(*c->index));
	c->index[c->n_index] = (struct git_index_entry){ .path = xstrdup(path), .mode = e->mode, .size = (uint32_t)size };
	memcpy(c->index[c->n_index++].oid, e->oid, GIT_RAW);
}

/* What git-lfs keeps in the repository for a large file: git leaves it as it is where it has no such filter, and so does BuildKit. */
static bool is_pointer(const char *bytes, size_t n)
{
	static const char begin[] = "version https://git-lfs.github.com/spec/v1\n";
	return n > sizeof(begin) && n < 1024 && memcmp(bytes, begin, sizeof(begin) - 1) == 0 && strstr(bytes, "\noid sha256:");
}

static int write_blob(struct git_checkout *c, const char *path, const char *out, struct tree_entry *e, struct err *err)
{
	AUTO_FREE char *bytes = NULL;
	const bool link = e->mode == MODE_LINK;
	char hex[GIT_HEX + 1];
	bool encoded = false;
	size_t n;
	if (git_pack_read(c->pack, e->oid, GIT_BLOB, &bytes, &n, err) < 0)
		return -1;
	if (link && (n == 0 || n > MAX_PATH || memchr(bytes, '\0', n)))
		return err_set(err, ERR_CORRUPT, "a symlink makes no sense");
	if (!link)
		e->mode = e->mode & 0100 ? 0100755 : 0100644; /* old repositories have others */
	c->archive->n_pointers += !link && is_pointer(bytes, n);
	if (!link && strcmp(path, ".gitmodules") == 0 && n <= MAX_GITMODULES && !memchr(bytes, '\0', n))
		c->gitmodules = xstrndup(bytes, n);
	git_hex(e->oid, hex);
	if (!link && git_attr_apply(c->attrs, path, hex, &bytes, &n, &encoded, err) < 0)
		return -1;
	c->archive->n_encoded += encoded;
	add_index(c, path, e, n);
	return git_archive_add(c->archive, link ? PACK_SYMLINK : PACK_REG, out, link ? 0777 : e->mode & 0777, bytes, n, err);
}

static void add_submodule(struct git_checkout *c, const char *path, const char *out, const struct tree_entry *e)
{
	struct git_submodule *m = xcalloc(1, sizeof(*m));
	m->path = xstrdup(path);
	m->out = xstrdup(out);
	memcpy(m->oid, e->oid, GIT_RAW);
	*c->next = m;
	c->next = &m->next;
	add_index(c, path, e, 0);
}

static int write_tree(struct git_checkout *c, const unsigned char *oid, const char *path, const char *out, int depth, struct err *err);

/* path: in the repository; out: in the archive. */
static int write_entry(struct git_checkout *c, struct tree_entry *e, const char *path, const char *out, int depth, struct err *err)
{
	AUTO_FREE char *below = xasprintf("%s%s%s", path, *path ? "/" : "", e->name), *to = xasprintf("%s%s%s", out, *out ? "/" : "", e->name);
	char quoted[200];
	int rc;
	if (strlen(to) > MAX_PATH - 2)
		return err_set(err, ERR_INVALID, "a path is longer than %d bytes", MAX_PATH);
	if ((e->mode & 0170000) == MODE_TREE)
		return write_tree(c, e->oid, below, to, depth + 1, err);
	if (e->mode == MODE_MODULE) {
		add_submodule(c, below, to, e);
		return git_archive_add(c->archive, PACK_DIR, to, 0755, NULL, 0, err);
	}
	rc = e->mode == MODE_LINK || (e->mode & 0170000) == 0100000 ? write_blob(c, below, to, e, err) :
								      err_set(err, ERR_CORRUPT, "mode %o is none of git's", e->mode);
	return rc < 0 ? err_wrap(err, "\"%s\"", err_quote(quoted, sizeof(quoted), below)) : 0;
}

/* The attributes that the tree of the directory gives come on top. */
static void push_attributes(struct git_checkout *c, const char *tree, size_t tree_n, const char *dir)
{
	AUTO_FREE char *text = NULL;
	struct tree_entry e;
	size_t n = 0, at = 0;
	while (next_entry(tree, tree_n, &at, &e, NULL) == 1)
		if (strcmp(e.name, ".gitattributes") == 0) {
			if ((e.mode & 0170000) != 0100000 || git_pack_read(c->pack, e.oid, GIT_BLOB, &text, &n, NULL) < 0)
				text = NULL;
			break;
		}
	c->attrs = git_attr_push(c->attrs, dir, text, n);
}

static int write_tree(struct git_checkout *c, const unsigned char *oid, const char *path, const char *out, int depth, struct err *err)
{
	AUTO_FREE char *bytes = NULL;
	AUTO_MAP struct map names = {0};
	struct tree_entry e;
	size_t n, at = 0;
	char quoted[200];
	int rc;
	if (depth > GIT_MAX_DEPTH)
		return err_set(err, ERR_INVALID, "more than %d directories deep", GIT_MAX_DEPTH);
	if (git_pack_read(c->pack, oid, GIT_TREE, &bytes, &n, err) < 0)
		return -1;
	if (depth > 0 && git_archive_add(c->archive, PACK_DIR, out, 0755, NULL, 0, err) < 0)
		return -1;
	push_attributes(c, bytes, n, path);
	while ((rc = next_entry(bytes, n, &at, &e, err)) == 1) {
		if (!is_name(e.name) || map_get(&names, e.name))
			return err_set(err, ERR_CORRUPT, "the name \"%s\" cannot be in a repository%s", err_quote(quoted, sizeof(quoted), e.name),
				is_name(e.name) ? " twice" : "");
		map_put(&names, e.name, &names);
		if (write_entry(c, &e, path, out, depth, err) < 0)
			return -1; /* what is on the stack goes with the checkout */
	}
	c->attrs = git_attr_pop(c->attrs);
	return rc;
}

/* ---- a commit ---- */

int git_checkout_open(struct git_checkout *c, const char *commit, struct err *err)
{
	unsigned char oid[GIT_RAW];
	AUTO_FREE char *text = NULL;
	const char *line, *at;
	size_t n;
	long long t = 0;
	c->next = &c->submodules;
	if (git_unhex(commit, oid) < 0)
		return err_set(err, ERR_INVALID, "\"%.40s\" is no commit", commit);
	if (git_pack_read(c->pack, oid, GIT_COMMIT, &text, &n, err) < 0)
		return -1;
	if (!str_starts(text, "tree ") || n < 46 || text[45] != '\n')
		return err_set(err, ERR_CORRUPT, "the commit makes no sense");
	text[45] = '\0';
	if (git_unhex(text + 5, c->tree) < 0)
		return err_set(err, ERR_CORRUPT, "the commit makes no sense");
	line = strstr(text + 46, "committer ");
	at = line ? strstr(line, "> ") : NULL;
	if (at && sscanf(at, "> %lld", &t) == 1 && t >= 0 && t < 253402300800)
		c->time_s = t;
	return 0;
}

/* The tree of a directory below the commit's; the attributes of those above it are on the stack then. */
static int find_tree(struct git_checkout *c, const char *subdir, unsigned char oid[static GIT_RAW], struct err *err)
{
	AUTO_FREE char *copy = xstrdup(subdir);
	AUTO_STR struct str dir = {0};
	char quoted[200];
	memcpy(oid, c->tree, GIT_RAW);
	for (char *save = NULL, *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		AUTO_FREE char *bytes = NULL;
		struct tree_entry e;
		size_t n, at = 0;
		int rc;
		if (git_pack_read(c->pack, oid, GIT_TREE, &bytes, &n, err) < 0)
			return -1;
		while ((rc = next_entry(bytes, n, &at, &e, err)) == 1)
			if (strcmp(e.name, name) == 0)
				break;
		if (rc < 0)
			return -1;
		if (rc == 0 || (e.mode & 0170000) != MODE_TREE)
			return err_set(err, ERR_NOT_FOUND, "subdirectory \"%s\" is not in the repository", err_quote(quoted, sizeof(quoted), subdir));
		push_attributes(c, bytes, n, str_get(&dir));
		str_addf(&dir, "%s%s", dir.len ? "/" : "", name);
		memcpy(oid, e.oid, GIT_RAW);
	}
	return 0;
}

/* .gitmodules is in the root, whatever part of the repository is wanted. */
static void read_gitmodules(struct git_checkout *c)
{
	AUTO_FREE char *bytes = NULL, *text = NULL;
	struct tree_entry e;
	size_t n, at = 0, len;
	if (git_pack_read(c->pack, c->tree, GIT_TREE, &bytes, &n, NULL) < 0)
		return;
	while (next_entry(bytes, n, &at, &e, NULL) == 1)
		if (strcmp(e.name, ".gitmodules") == 0 && (e.mode & 0170000) == 0100000 &&
			git_pack_read(c->pack, e.oid, GIT_BLOB, &text, &len, NULL) == 0 && len <= MAX_GITMODULES && !memchr(text, '\0', len)) {
			free(c->gitmodules);
			c->gitmodules = TAKE_PTR(text);
			return;
		}
}

int git_checkout_write(struct git_checkout *c, const char *subdir, struct err *err)
{
	unsigned char oid[GIT_RAW];
	AUTO_FREE char *out = xstrdup(c->prefix);
	if (str_ends(out, "/"))
		out[strlen(out) - 1] = '\0';
	if (find_tree(c, subdir, oid, err) < 0)
		return -1;
	/* with a subdirectory, that is the root of what comes out; paths of submodules and of the index stay the repository's */
	if (write_tree(c, oid, subdir, out, 0, err) < 0)
		return -1;
	if (!c->gitmodules)
		read_gitmodules(c);
	return 0;
}

void git_checkout_done(struct git_checkout *c)
{
	while (c->submodules) {
		struct git_submodule *m = c->submodules;
		c->submodules = m->next;
		free(m->path);
		free(m->out);
		free(m);
	}
	for (size_t i = 0; i < c->n_index; i++)
		free(c->index[i].path);
	while (c->attrs)
		c->attrs = git_attr_pop(c->attrs);
	free(c->index);
	free(c->gitmodules);
	c->index = NULL;
	c->gitmodules = NULL;
	c->n_index = 0;
}
