/* SPDX-License-Identifier: Apache-2.0 */
/* One small file a record: found by one open, replaced by one rename, nothing to compact and nothing that two builds could tear. */
#include "images/build/cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/fs.h"
#include "base/map.h"

enum { MAX_RECORD = 8192, TOUCH_AFTER_S = 600 };

struct cache {
	struct store *store;
	int records_fd, memo_fd, locks_fd, stat_fd;
};

void cache_record_done(struct cache_record *r)
{
	free(r->text);
	*r = (struct cache_record){0};
}

/* A lock that nobody holds: a killed build left it. */
static int sweep_lock(void *arg, const char *name)
{
	const struct cache *c = arg;
	AUTO_CLOSE int fd = openat(c->locks_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	struct stat mine, now;
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &mine) == 0 &&
	    fstatat(c->locks_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == now.st_ino)
		unlinkat(c->locks_fd, name, 0);
	return 0;
}

int cache_open(int root_fd, struct store *s, struct cache **ret, struct err *err)
{
	struct cache *c = xcalloc(1, sizeof(*c));
	AUTO_CLOSE int fd = fs_open_dir(root_fd, "buildcache", err); /* the jail has made it; its root itself cannot be read */
	c->store = s;
	c->records_fd = fd < 0 ? -1 : fs_make_dir(fd, "records", 0700, err);
	c->memo_fd = c->records_fd < 0 ? -1 : fs_make_dir(fd, "memo", 0700, err);
	c->locks_fd = c->memo_fd < 0 ? -1 : fs_make_dir(fd, "locks", 0700, err);
	c->stat_fd = c->locks_fd < 0 ? -1 : fs_make_dir(fd, "stat", 0700, err);
	if (c->stat_fd < 0) {
		cache_close(c);
		return -1;
	}
	fs_each(c->locks_fd, ".", sweep_lock, c, NULL);
	*ret = c;
	return 0;
}

void cache_close(struct cache *c)
{
	if (!c)
		return;
	util_close(&c->records_fd);
	util_close(&c->memo_fd);
	util_close(&c->locks_fd);
	util_close(&c->stat_fd);
	free(c);
}

int cache_stat_fd(const struct cache *c)
{
	return c->stat_fd;
}

static char *path_of(const char *key)
{
	return xasprintf("%.2s/%s", key, key);
}

static bool is_digest(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* Reads the record at path. 0; 1: none, or not to be believed. */
static int read_record(struct cache *c, const char *path, struct cache_record *ret, struct stat *ret_st)
{
	AUTO_CLOSE int fd = openat(c->records_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *j = NULL;
	const char *diff_id, *content;
	if (fd < 0 || fstat(fd, ret_st) < 0 || fs_read_fd(fd, MAX_RECORD, &text, NULL) < 0)
		return 1;
	j = json_loadb(str_get(&text), text.len, 0, NULL);
	diff_id = json_get_str(j, "diff_id", "");
	content = json_get_str(j, "content", "");
	if (json_get_int(j, "schema", 0) != 1 || (*diff_id && (!is_digest(diff_id) || !is_digest(content))))
		return 1;
	*ret = (struct cache_record){ .size_bytes = (uint64_t)MAX(json_get_int(j, "size", 0), 0) };
	snprintf(ret->diff_id, sizeof(ret->diff_id), "%s", diff_id);
	snprintf(ret->content, sizeof(ret->content), "%s", content);
	snprintf(ret->created, sizeof(ret->created), "%s", json_get_str(j, "created", ""));
	ret->text = xstrdup(json_get_str(j, "text", ""));
	return 0;
}

int cache_get(struct cache *c, const char *key, struct cache_record *ret)
{
	AUTO_FREE char *path = path_of(key);
	struct stat st;
	if (read_record(c, path, ret, &st) != 0)
		return 1;
	if (ret->diff_id[0] && !store_has_layer(c->store, ret->diff_id)) {
		cache_record_done(ret);
		return 1;
	}
	if (st.st_mtim.tv_sec + TOUCH_AFTER_S < (time_t)(clock_real_ns() / 1000000000))
		utimensat(c->records_fd, path, NULL, AT_SYMLINK_NOFOLLOW);
	return 0;
}

/* Replaces dir/xx/key; a failure leaves what was there. */
static void put(int dir_fd, const char *key, const char *text)
{
	char sub[3] = { key[0], key[1], '\0' };
	AUTO_CLOSE int fd = fs_make_dir(dir_fd, sub, 0700, NULL);
	if (fd < 0 || failpoint("cache.put") < 0)
		return;
	fs_write_volatile(fd, key, text, strlen(text), 0600, NULL);
	failpoint("cache.put.done");
}

void cache_put(struct cache *c, const char *key, const struct cache_record *r)
{
	AUTO_JSON json_t *j = json_object();
	AUTO_FREE char *text = NULL;
	json_put_int(j, "schema", 1);
	json_put_str(j, "diff_id", r->diff_id);
	json_put_str(j, "content", r->content);
	json_put_str(j, "created", r->created);
	json_put_int(j, "size", (int64_t)r->size_bytes);
	if (r->text) {
		AUTO_FREE char *shown = xstrndup(r->text, 500);
		json_object_set_new(j, "text", json_text(shown));
	}
	text = json_canonical(j);
	put(c->records_fd, key, text);
}

int cache_get_memo(struct cache *c, const char *key, char *ret, size_t size)
{
	AUTO_FREE char *path = path_of(key);
	AUTO_STR struct str text = {0};
	if (fs_read(c->memo_fd, path, 200, &text, NULL) != 0 || text.len == 0 || text.len >= size)
		return 1;
	memcpy(ret, text.p, text.len + 1);
	return 0;
}

void cache_put_memo(struct cache *c, const char *key, const char *text)
{
	put(c->memo_fd, key, text);
}

int cache_lock(struct cache *c, const char *key)
{
	for (;;) {
		AUTO_CLOSE int fd = openat(c->locks_fd, key, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		struct stat mine, now;
		if (fd < 0)
			return -1;
		while (flock(fd, LOCK_EX) < 0)
			if (errno != EINTR)
				return -1;
		if (fstat(fd, &mine) == 0 && fstatat(c->locks_fd, key, &now, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == now.st_ino) {
			failpoint("cache.locked");
			return TAKE_FD(fd);
		}
	}
}

void cache_unlock(struct cache *c, const char *key, int fd)
{
	if (fd < 0)
		return;
	unlinkat(c->locks_fd, key, 0);
	close(fd);
}

/* ---- pruning ---- */

struct entry {
	char *path;
	char diff_id[65];
	uint64_t size_bytes;
	time_t used;
	bool gone;
};

struct entries {
	struct cache *c;
	struct entry *v;
	size_t n, cap;
	const char *folder;
};

static int add_entry(void *arg, const char *name)
{
	struct entries *es = arg;
	AUTO_FREE char *path = xasprintf("%s/%s", es->folder, name);
	struct cache_record r = {0};
	struct stat st;
	es->v = vec_grow(es->v, es->n, &es->cap, sizeof(*es->v));
	if (read_record(es->c, path, &r, &st) != 0) {
		unlinkat(es->c->records_fd, path, 0); /* torn, or of another schema */
		return 0;
	}
	es->v[es->n] = (struct entry){ .path = xstrdup(path), .size_bytes = r.size_bytes, .used = st.st_mtim.tv_sec };
	memcpy(es->v[es->n++].diff_id, r.diff_id, sizeof(r.diff_id));
	cache_record_done(&r);
	return 0;
}

static int add_folder(void *arg, const char *name)
{
	struct entries *es = arg;
	es->folder = name;
	return fs_each(es->c->records_fd, name, add_entry, es, NULL) < 0 ? 0 : 0;
}

static int by_use(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->used < y->used ? -1 : x->used > y->used;
}

/* The records that use a layer are counted in `users`; true when this was the last one. */
static bool release(struct map *users, const char *diff_id)
{
	size_t left = (size_t)map_get(users, diff_id);
	map_put(users, diff_id, (void *)(left - 1)); /* NOLINT: a counter */
	return left == 1;
}

static void count_all(struct entries *es, struct map *users, struct cache_usage *u)
{
	for (size_t i = 0; i < es->n; i++) {
		size_t n;
		u->n_records++;
		if (!es->v[i].diff_id[0])
			continue;
		n = (size_t)map_get(users, es->v[i].diff_id);
		map_put(users, es->v[i].diff_id, (void *)(n + 1));
		if (n > 0)
			continue;
		u->n_layers++;
		u->size_bytes += es->v[i].size_bytes;
	}
}

int cache_prune(struct cache *c, uint64_t max_bytes, uint64_t max_age_s, const struct map *keep, bool dry, struct cache_usage *ret, struct err *err)
{
	struct entries es = { .c = c };
	AUTO_MAP struct map users = {0};
	const time_t now = (time_t)(clock_real_ns() / 1000000000);
	uint64_t left;
	int rc = 0;
	*ret = (struct cache_usage){0};
	if (fs_each(c->records_fd, ".", add_folder, &es, err) < 0)
		rc = -1;
	if (es.n)
		qsort(es.v, es.n, sizeof(*es.v), by_use);
	count_all(&es, &users, ret);
	left = ret->size_bytes;
	for (size_t i = 0; rc == 0 && i < es.n; i++) {
		struct entry *e = &es.v[i];
		const bool old = max_age_s && e->used + (time_t)max_age_s < now;
		if ((!old && left <= max_bytes && !(max_bytes == 0)) || (keep && map_get(keep, e->diff_id)))
			continue;
		ret->n_removed++;
		if (!dry)
			unlinkat(c->records_fd, e->path, 0);
		if (!e->diff_id[0] || !release(&users, e->diff_id))
			continue;
		left -= MIN(left, e->size_bytes);
		ret->removed_bytes += e->size_bytes;
		if (!dry)
			rc = store_unpin_layer(c->store, e->diff_id, err);
	}
	for (size_t i = 0; i < es.n; i++)
		free(es.v[i].path);
	free(es.v);
	return rc;
}
