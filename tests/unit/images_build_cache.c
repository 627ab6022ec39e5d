/* SPDX-License-Identifier: Apache-2.0 */
/* The records of the build cache. Invariants: a record comes back as it was written, and only while its layer is there; one that is torn, empty, of
 * another schema, a link or too long is as good as none and never an error; a lock excludes, and one that a killed build left is swept; pruning
 * takes what was used longest ago, counts a layer once however many records share it, and lets go of a layer with its last record. */
#include "images/build/cache.h"

#include <sys/file.h>

#include "base/clock.h"
#include "base/map.h"
#include "tests/unit/images_rig.h"

struct rig {
	struct scratch s;
	struct store *store;
	struct cache *cache;
};

static void setup(struct rig *r)
{
	struct err err = {0};
	scratch_init(&r->s);
	NEED(mkdirat(r->s.fd, "buildcache", 0700) == 0);
	NEED(store_open(r->s.fd, &r->store, &err) == 0);
	NEED(cache_open(r->s.fd, r->store, &r->cache, &err) == 0);
}

static void teardown(struct rig *r)
{
	cache_close(r->cache);
	store_close(r->store);
	scratch_done(&r->s);
}

static const char *key_of(char c)
{
	static char buf[8][65];
	static int next;
	char *to = buf[next++ % 8];
	memset(to, c, 64);
	return to;
}

/* An empty layer in place under this name. */
static void make_layer(struct rig *r, const char *diff_id, uint64_t size)
{
	struct store_new_layer l = { .size_bytes = size };
	struct err err = {0};
	AUTO_CLOSE int fd = store_begin_layer(r->store, l.tmp_name, &err);
	NEED(fd >= 0);
	snprintf(l.diff_id, sizeof(l.diff_id), "%s", diff_id);
	EXPECT(store_commit_layers(r->store, &l, 1, &err) == 0, "%s", err.msg);
}

static void put(struct rig *r, const char *key, const char *diff_id, uint64_t size)
{
	struct cache_record record = { .size_bytes = size, .text = (char []){ "RUN true" }, .created = "2026-01-02T03:04:05Z" };
	snprintf(record.diff_id, sizeof(record.diff_id), "%s", diff_id);
	snprintf(record.content, sizeof(record.content), "%s", diff_id);
	cache_put(r->cache, key, &record);
}

static bool has(struct rig *r, const char *key)
{
	struct cache_record got = {0};
	const bool found = cache_get(r->cache, key, &got) == 0;
	cache_record_done(&got);
	return found;
}

static void test_records(void)
{
	struct rig r;
	struct cache_record got = {0};
	char memo[65];
	setup(&r);
	put(&r, key_of('a'), key_of('1'), 7);
	EXPECT(!has(&r, key_of('a')), "a record without its layer");
	make_layer(&r, key_of('1'), 7);
	EXPECT(cache_get(r.cache, key_of('a'), &got) == 0, "no record");
	EXPECT(strcmp(got.diff_id, key_of('1')) == 0 && strcmp(got.content, key_of('1')) == 0 && strcmp(got.created, "2026-01-02T03:04:05Z") == 0 &&
		got.size_bytes == 7 && strcmp(got.text, "RUN true") == 0, "%s %s %s", got.diff_id, got.created, got.text);
	cache_record_done(&got);
	EXPECT(!has(&r, key_of('b')), "a record that nobody wrote");
	EXPECT(cache_get_memo(r.cache, key_of('a'), memo, sizeof(memo)) == 1, "a memo that nobody wrote");
	cache_put_memo(r.cache, key_of('a'), "text");
	EXPECT(cache_get_memo(r.cache, key_of('a'), memo, sizeof(memo)) == 0 && strcmp(memo, "text") == 0, "%s", memo);
	EXPECT(cache_get_memo(r.cache, key_of('a'), memo, 4) == 1, "a memo that does not fit");
	teardown(&r);
}

static void test_torn(void)
{
	static const char *const texts[] = { "", "{", "[]", "{}", "{\"schema\":2,\"diff_id\":\"\"}", "{\"schema\":1,\"diff_id\":\"../../x\",\"content\":\"x\"}",
		"{\"schema\":1,\"diff_id\":5}x", "null" };
	AUTO_FREE char *path = xasprintf("buildcache/records/cc/%s", key_of('c')), *lead = xasprintf("buildcache/records/dd/%s", key_of('d'));
	AUTO_FREE char *big = xcalloc(1, 20000);
	AUTO_CLOSE int dir = -1;
	struct cache_usage usage;
	struct err err = {0};
	struct rig r;
	setup(&r);
	NEED(mkdirat(r.s.fd, "buildcache/records/cc", 0700) == 0 && mkdirat(r.s.fd, "buildcache/records/dd", 0700) == 0);
	dir = openat(r.s.fd, "buildcache/records/cc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		NEED(fs_write_volatile(dir, key_of('c'), texts[i], strlen(texts[i]), 0600, NULL) == 0);
		EXPECT(!has(&r, key_of('c')), "\"%s\" is a record", texts[i]);
	}
	memset(big, ' ', 20000);
	NEED(fs_write_volatile(dir, key_of('c'), big, 20000, 0600, NULL) == 0);
	EXPECT(!has(&r, key_of('c')), "a record of 20000 bytes");
	NEED(symlinkat("/etc/passwd", r.s.fd, lead) == 0);
	EXPECT(!has(&r, key_of('d')), "a link");
	EXPECT(cache_prune(r.cache, UINT64_MAX, 0, NULL, false, &usage, &err) == 0 && usage.n_records == 0, "%llu records",
		(unsigned long long)usage.n_records);
	EXPECT(faccessat(r.s.fd, path, F_OK, 0) < 0, "what is torn goes with the next pruning");
	teardown(&r);
}

static void test_locks(void)
{
	struct cache *again = NULL;
	struct err err = {0};
	struct rig r;
	int fd, other;
	setup(&r);
	fd = cache_lock(r.cache, key_of('e'));
	NEED(fd >= 0);
	AUTO_FREE char *path = xasprintf("buildcache/locks/%s", key_of('e'));
	other = openat(r.s.fd, path, O_RDWR | O_CLOEXEC);
	EXPECT(flock(other, LOCK_EX | LOCK_NB) < 0, "two have the lock");
	close(other);
	EXPECT(cache_open(r.s.fd, r.store, &again, &err) == 0 && faccessat(r.s.fd, path, F_OK, 0) == 0, "a lock that is held is swept");
	cache_close(again);
	close(fd); /* as a kill does */
	EXPECT(faccessat(r.s.fd, path, F_OK, 0) == 0, "the file of a killed build");
	EXPECT(cache_open(r.s.fd, r.store, &again, &err) == 0 && faccessat(r.s.fd, path, F_OK, 0) < 0, "what a killed build left stays");
	cache_close(again);
	fd = cache_lock(r.cache, key_of('e'));
	cache_unlock(r.cache, key_of('e'), fd);
	EXPECT(faccessat(r.s.fd, path, F_OK, 0) < 0, "a lock that was given back stays");
	cache_unlock(r.cache, key_of('e'), -1);
	teardown(&r);
}

/* The record's last use, `days` ago. */
static void age(struct rig *r, const char *key, int days)
{
	AUTO_FREE char *path = xasprintf("buildcache/records/%.2s/%s", key, key);
	const struct timespec at = { .tv_sec = (time_t)(clock_real_ns() / 1000000000) - days * 86400 };
	NEED(utimensat(r->s.fd, path, (struct timespec[2]){ at, at }, 0) == 0);
}

/* Looking one up would mark it as used. */
static bool there(struct rig *r, const char *key)
{
	AUTO_FREE char *path = xasprintf("buildcache/records/%.2s/%s", key, key);
	return faccessat(r->s.fd, path, F_OK, 0) == 0;
}

static void test_prune(void)
{
	AUTO_MAP struct map keep = {0};
	struct cache_usage u;
	struct err err = {0};
	struct rig r;
	setup(&r);
	for (int i = 0; i < 3; i++) {
		make_layer(&r, key_of((char)('1' + i)), 100);
		put(&r, key_of((char)('a' + i)), key_of((char)('1' + i)), 100);
		age(&r, key_of((char)('a' + i)), 3 - i);
	}
	put(&r, key_of('d'), key_of('1'), 100); /* a second record of the oldest one's layer, used today */
	EXPECT(cache_prune(r.cache, 250, 0, NULL, true, &u, &err) == 0 && u.n_records == 4 && u.n_layers == 3 && u.size_bytes == 300,
		"%llu records, %llu bytes",
		(unsigned long long)u.n_records, (unsigned long long)u.size_bytes);
	EXPECT(u.n_removed == 2 && u.removed_bytes == 100 && there(&r, key_of('a')), "a dry run: %llu removed", (unsigned long long)u.n_removed);
	EXPECT(cache_prune(r.cache, 250, 0, NULL, false, &u, &err) == 0 && !there(&r, key_of('a')) && !there(&r, key_of('b')) && there(&r,
		key_of('c')) && there(&r, key_of('d')),
		"the oldest ones, until it fits");
	EXPECT(cache_prune(r.cache, UINT64_MAX, 36 * 3600, NULL, false, &u, &err) == 0 && there(&r, key_of('c')), "%llu are too old",
		(unsigned long long)u.n_removed);
	EXPECT(has(&r, key_of('c')) && cache_prune(r.cache, UINT64_MAX, 12 * 3600, NULL, false, &u, &err) == 0 && there(&r, key_of('c')),
		"a use makes it young");
	age(&r, key_of('c'), 1);
	EXPECT(cache_prune(r.cache, UINT64_MAX, 12 * 3600, NULL, false, &u, &err) == 0 && !there(&r, key_of('c')) && there(&r, key_of('d')),
		"the bound of age");
	map_put(&keep, key_of('1'), &r);
	EXPECT(cache_prune(r.cache, 0, 0, &keep, false, &u, &err) == 0 && there(&r, key_of('d')), "a layer that somebody needs");
	EXPECT(cache_prune(r.cache, 0, 0, NULL, false, &u, &err) == 0 && !there(&r, key_of('d')), "everything");
	store_sweep(r.store, &err);
	EXPECT(!store_has_layer(r.store, key_of('1')) && !store_has_layer(r.store, key_of('3')), "layers that nobody pins are swept");
	teardown(&r);
}

int main(void)
{
	test_records();
	test_torn();
	test_locks();
	test_prune();
	return failures != 0;
}
