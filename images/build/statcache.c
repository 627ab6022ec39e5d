/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table with open addressing over fixed records, read and written as one block: 100 000 files are 8 MB and a few milliseconds. */
#include "images/build/statcache.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/clock.h"
#include "base/fs.h"

enum { MAX_RECORDS = 4 << 20, BUFFER = 256 << 10, MARGIN_NS = 100000000, USED = 1, REMEMBER = 2 };

struct record {
	uint64_t dev, ino, size;
	int64_t mtime_ns, ctime_ns;
	unsigned char digest[STATCACHE_DIGEST];
	uint32_t flags; /* USED: asked for in this process; REMEMBER: goes into the file. 0: a free slot */
	uint32_t check; /* of the record, in the file */
};

struct statcache {
	pthread_mutex_t lock;
	struct record *slots;
	size_t n_slots, n; /* a power of two */
	int dir_fd;
	bool changed;
	char name[80];
};

static uint64_t hash_of(const struct record *r)
{
	uint64_t h = (r->ino + r->dev * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 29;
}

static uint32_t check_of(const struct record *r)
{
	return (uint32_t)hash_bytes(HASH_SEED, r, offsetof(struct record, flags));
}

/* The slot of the file: taken or free. */
static struct record *slot_of(struct record *slots, size_t n_slots, const struct record *key)
{
	size_t i = hash_of(key) & (n_slots - 1);
	while (slots[i].flags && (slots[i].ino != key->ino || slots[i].dev != key->dev))
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

static void resize(struct statcache *c, size_t n_slots)
{
	struct record *slots = xcalloc(n_slots, sizeof(*slots));
	for (size_t i = 0; i < c->n_slots; i++)
		if (c->slots[i].flags)
			*slot_of(slots, n_slots, &c->slots[i]) = c->slots[i];
	free(c->slots);
	c->slots = slots;
	c->n_slots = n_slots;
}

static void load(struct statcache *c)
{
	AUTO_STR struct str text = {0};
	size_t n, n_slots = 1024;
	if (fs_read(c->dir_fd, c->name, (size_t)MAX_RECORDS * sizeof(struct record), &text, NULL) != 0)
		return;
	n = text.len / sizeof(struct record);
	while (n_slots < n * 2)
		n_slots *= 2;
	resize(c, n_slots);
	for (size_t i = 0; i < n; i++) {
		struct record r, *slot;
		memcpy(&r, text.p + i * sizeof(r), sizeof(r));
		if (r.check != check_of(&r))
			continue;
		r.flags = REMEMBER;
		slot = slot_of(c->slots, c->n_slots, &r);
		c->n += !slot->flags;
		*slot = r;
	}
}

struct statcache *statcache_open(int dir_fd, const char *name)
{
	struct statcache *c = xcalloc(1, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	c->dir_fd = dir_fd;
	snprintf(c->name, sizeof(c->name), "%s", name);
	resize(c, 1024);
	if (dir_fd >= 0)
		load(c);
	return c;
}

static void save(struct statcache *c)
{
	struct record *out = xcalloc(c->n + 1, sizeof(*out));
	size_t n = 0;
	for (size_t i = 0; i < c->n_slots; i++) {
		if ((c->slots[i].flags & (USED | REMEMBER)) != (USED | REMEMBER))
			continue;
		out[n] = c->slots[i];
		out[n].flags = 0;
		out[n].check = check_of(&out[n]);
		n++;
	}
	fs_write_volatile(c->dir_fd, c->name, out, n * sizeof(*out), 0600, NULL);
	free(out);
}

void statcache_close(struct statcache *c)
{
	if (!c)
		return;
	if (c->dir_fd >= 0 && c->changed)
		save(c);
	pthread_mutex_destroy(&c->lock);
	free(c->slots);
	free(c);
}

static void fill(struct record *r, const struct stat *st)
{
	*r = (struct record){
		.dev = st->st_dev, .ino = st->st_ino, .size = (uint64_t)st->st_size,
		.mtime_ns = st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec,
		.ctime_ns = st->st_ctim.tv_sec * 1000000000LL + st->st_ctim.tv_nsec,
	};
}

static bool same_state(const struct record *a, const struct record *b)
{
	return a->flags && a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

int statcache_find(struct statcache *c, const struct stat *st, unsigned char ret[static STATCACHE_DIGEST])
{
	struct record key, *slot;
	int rc = 1;
	fill(&key, st);
	pthread_mutex_lock(&c->lock);
	slot = slot_of(c->slots, c->n_slots, &key);
	if (same_state(slot, &key)) {
		memcpy(ret, slot->digest, STATCACHE_DIGEST);
		slot->flags |= USED;
		rc = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

bool statcache_knows(struct statcache *c, const struct stat *st)
{
	unsigned char digest[STATCACHE_DIGEST];
	return statcache_find(c, st, digest) == 0;
}

static void add(struct statcache *c, const struct stat *st, bool remember, const unsigned char *digest)
{
	struct record key, *slot;
	fill(&key, st);
	key.flags = USED | (remember ? REMEMBER : 0);
	memcpy(key.digest, digest, STATCACHE_DIGEST);
	pthread_mutex_lock(&c->lock);
	if (c->n * 2 >= c->n_slots)
		resize(c, c->n_slots * 2);
	slot = slot_of(c->slots, c->n_slots, &key);
	c->n += !slot->flags;
	*slot = key;
	c->changed |= remember;
	pthread_mutex_unlock(&c->lock);
}

static int hash_file(EVP_MD_CTX *ctx, int fd, struct err *err)
{
	static _Thread_local char *buf;
	ssize_t n;
	off_t at = 0;
	if (!buf)
		buf = xcalloc(BUFFER, 1);
	while ((n = pread(fd, buf, BUFFER, at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read");
		EVP_DigestUpdate(ctx, buf, (size_t)n);
		at += n;
	}
	return 0;
}

/* What a layer keeps of a file's extended attributes counts like its content: a change shows in the ctime, too. */
static void hash_xattrs(EVP_MD_CTX *ctx, int fd)
{
	char names[4096], value[65536];
	const ssize_t n = flistxattr(fd, names, sizeof(names));
	for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		ssize_t len;
		if (strcmp(name, "security.capability") != 0 && !str_starts(name, "user."))
			continue;
		len = fgetxattr(fd, name, value, sizeof(value));
		if (len < 0)
			continue;
		EVP_DigestUpdate(ctx, name, strlen(name) + 1);
		EVP_DigestUpdate(ctx, &len, sizeof(len));
		EVP_DigestUpdate(ctx, value, (size_t)len);
	}
}

int statcache_digest(struct statcache *c, int fd, const struct stat *st, unsigned char ret[static STATCACHE_DIGEST], struct err *err)
{
	const int64_t changed = st->st_ctim.tv_sec * 1000000000LL + st->st_ctim.tv_nsec;
	const int64_t now = (int64_t)clock_real_ns();
	EVP_MD_CTX *ctx;
	struct stat after;
	int rc;
	if (statcache_find(c, st, ret) == 0)
		return 0;
	ctx = EVP_MD_CTX_new();
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		util_oom();
	rc = hash_file(ctx, fd, err);
	hash_xattrs(ctx, fd);
	EVP_DigestFinal_ex(ctx, ret, NULL);
	EVP_MD_CTX_free(ctx);
	if (rc == 0 && fstat(fd, &after) < 0)
		rc = err_sys(err, errno, "stat");
	if (rc < 0)
		return -1;
	/* one that changed while it was read is not known under any state */
	if (after.st_size == st->st_size && memcmp(&after.st_mtim, &st->st_mtim, sizeof(after.st_mtim)) == 0 &&
	    memcmp(&after.st_ctim, &st->st_ctim, sizeof(after.st_ctim)) == 0)
		add(c, st, changed + MARGIN_NS < now, ret);
	return 0;
}
