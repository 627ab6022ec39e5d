/* SPDX-License-Identifier: Apache-2.0 */
/* Packs, https://git-scm.com/docs/gitformat-pack : read from a mapped file. All of it is inflated once to find where objects begin and to name those
 * that are stored whole; then the deltas are resolved from their bases downwards, each base held while its children are made, so that nothing
 * is computed twice. Nothing in the pack is believed: sizes are capped and compared, copies of a delta stay in their base, an object is found by
 * the name that its content has. */
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

#include "images/git_impl.h"

enum { TRAILER = 20, PACK_HEADER = 12, MAX_CHAIN = 10000 };

void git_hex(const unsigned char oid[static GIT_RAW], char ret[static GIT_HEX + 1])
{
	for (size_t i = 0; i < GIT_RAW; i++)
		snprintf(ret + 2 * i, 3, "%02x", oid[i]);
}

int git_unhex(const char *hex, unsigned char ret[static GIT_RAW])
{
	if (!giturl_is_commit(hex))
		return -1;
	for (size_t i = 0; i < GIT_RAW; i++) {
		unsigned v = 0;
		if (sscanf(hex + 2 * i, "%2x", &v) != 1)
			return -1;
		ret[i] = (unsigned char)v;
	}
	return 0;
}

void git_sha1(const char *type, const void *p, size_t n, unsigned char ret[static GIT_RAW])
{
	static _Thread_local EVP_MD_CTX *ctx;
	char head[40];
	if (!ctx)
		ctx = EVP_MD_CTX_new();
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) != 1)
		util_oom();
	if (type)
		EVP_DigestUpdate(ctx, head, (size_t)snprintf(head, sizeof(head), "%s %zu", type, n) + 1);
	EVP_DigestUpdate(ctx, p, n);
	EVP_DigestFinal_ex(ctx, ret, NULL);
}

static void name_object(struct git_object *o, const void *p, size_t n)
{
	static const char *const types[] = { [GIT_COMMIT] = "commit", [GIT_TREE] = "tree", [GIT_BLOB] = "blob", [GIT_TAG] = "tag" };
	git_sha1(types[o->real], p, n, o->oid);
}

static int corrupt(struct err *err, const char *what)
{
	return err_set(err, ERR_CORRUPT, "the pack is damaged: %s", what);
}

/* ---- one entry ---- */

/* Inflates what is at p into out, which has exactly n bytes. Returns how many bytes it was; -1 when it is not that. */
static ssize_t inflate_at(const unsigned char *p, size_t avail, unsigned char *out, size_t n)
{
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)p, .avail_in = (uInt)MIN(avail, (size_t)1 << 30) };
	unsigned char one;
	int rc;
	ssize_t used;
	if (inflateInit(&z) != Z_OK)
		util_oom();
	z.next_out = n ? out : &one;
	z.avail_out = n ? (uInt)n : 1;
	rc = inflate(&z, Z_FINISH);
	if (rc == Z_BUF_ERROR && z.avail_out == 0) { /* all bytes are there, the end mark may not have been looked at */
		z.next_out = &one;
		z.avail_out = 1;
		rc = inflate(&z, Z_FINISH);
		if (z.avail_out == 0)
			rc = Z_DATA_ERROR;
	}
	used = rc == Z_STREAM_END && z.total_out == n ? (ssize_t)z.total_in : -1;
	inflateEnd(&z);
	return used;
}

/* Type, size and base of the entry at offset; its number of header bytes, -1 when it makes no sense. */
static int read_header(const struct git_pack *k, uint64_t offset, struct git_object *o)
{
	const unsigned char *p = k->p + offset, *end = k->p + k->len - TRAILER;
	unsigned shift = 4;
	uint64_t back = 0;
	*o = (struct git_object){ .offset = offset };
	if (p >= end)
		return -1;
	o->type = *p >> 4 & 7;
	o->size = *p & 15;
	while (*p++ & 0x80) {
		if (p >= end || shift > 53)
			return -1;
		o->size |= (uint64_t)(*p & 0x7f) << shift;
		shift += 7;
	}
	if (o->type == GIT_OFS_DELTA) {
		if (p >= end)
			return -1;
		back = *p & 0x7f;
		while (*p++ & 0x80) {
			if (p >= end || back > (1ULL << 54))
				return -1;
			back = (back + 1) << 7 | (*p & 0x7f);
		}
		if (back == 0 || back > offset)
			return -1;
		o->base = offset - back;
	} else if (o->type == GIT_REF_DELTA) {
		if (end - p < GIT_RAW)
			return -1;
		p += GIT_RAW;
	} else if (o->type < GIT_COMMIT || o->type > GIT_TAG) {
		return -1;
	}
	o->header = (uint8_t)(p - (k->p + offset));
	return o->header;
}

static const unsigned char *base_name(const struct git_pack *k, const struct git_object *o)
{
	return k->p + o->offset + o->header - GIT_RAW;
}

/* Its bytes as stored: free() them. NULL + err. */
static unsigned char *stored(const struct git_pack *k, const struct git_object *o, struct err *err)
{
	unsigned char *out = xcalloc(1, o->size + 1);
	if (inflate_at(k->p + o->offset + o->header, k->len - TRAILER - o->offset - o->header, out, o->size) >= 0)
		return out;
	free(out);
	corrupt(err, "an object cannot be decompressed");
	return NULL;
}

/* ---- deltas ---- */

static int delta_size(const unsigned char **p, const unsigned char *end, uint64_t *ret)
{
	unsigned shift = 0;
	*ret = 0;
	do {
		if (*p >= end || shift > 56)
			return -1;
		*ret |= (uint64_t)(**p & 0x7f) << shift;
		shift += 7;
	} while (*(*p)++ & 0x80);
	return 0;
}

/* One copy: offset and size from the bits of the command. */
static int delta_copy(const unsigned char **p, const unsigned char *end, unsigned char cmd, uint64_t *at, uint64_t *n)
{
	*at = *n = 0;
	for (unsigned i = 0; i < 7; i++) {
		if (!(cmd & 1U << i))
			continue;
		if (*p >= end)
			return -1;
		if (i < 4)
			*at |= (uint64_t)*(*p)++ << 8 * i;
		else
			*n |= (uint64_t)*(*p)++ << 8 * (i - 4);
	}
	if (*n == 0)
		*n = 0x10000;
	return 0;
}

/* free() the result; NULL: the delta makes no sense, or it would be one too many. */
static unsigned char *apply(struct git_pack *k, const unsigned char *base, size_t n_base, const unsigned char *delta, size_t n_delta, size_t *ret_n)
{
	const unsigned char *p = delta, *end = delta + n_delta;
	uint64_t from, size, at, n;
	AUTO_FREE unsigned char *out = NULL;
	size_t len = 0;
	if (delta_size(&p, end, &from) < 0 || delta_size(&p, end, &size) < 0 || from != n_base || size > GIT_MAX_OBJECT_BYTES)
		return NULL;
	k->made_bytes += size;
	if (k->made_bytes > GIT_MAX_MADE_BYTES)
		return NULL;
	out = xcalloc(1, size + 1);
	while (p < end) {
		unsigned char cmd = *p++;
		if (cmd & 0x80) {
			if (delta_copy(&p, end, cmd, &at, &n) < 0 || at > n_base || n > n_base - at || n > size - len)
				return NULL;
			memcpy(out + len, base + at, n);
		} else {
			n = cmd;
			if (n == 0 || n > (uint64_t)(end - p) || n > size - len)
				return NULL;
			memcpy(out + len, p, n);
			p += n;
		}
		len += n;
	}
	if (len != size)
		return NULL;
	*ret_n = len;
	return TAKE_PTR(out);
}

/* ---- the first pass ---- */

static int scan(struct git_pack *k, struct err *err)
{
	uint64_t offset = PACK_HEADER;
	for (size_t i = 0; i < k->n; i++) {
		struct git_object *o = &k->objects[i];
		AUTO_FREE unsigned char *bytes = NULL;
		ssize_t used;
		if (read_header(k, offset, o) < 0 || o->size > GIT_MAX_OBJECT_BYTES)
			return corrupt(err, "an object's header makes no sense");
		/* deflate cannot do better than 1032 to 1: a larger claim is a lie, and not worth the memory */
		if (o->size / 1032 > k->len - offset)
			return corrupt(err, "an object's size makes no sense");
		bytes = xcalloc(1, o->size + 1);
		used = inflate_at(k->p + offset + o->header, k->len - TRAILER - offset - o->header, bytes, o->size);
		if (used < 0)
			return corrupt(err, "an object cannot be decompressed");
		o->crc = (uint32_t)crc32(0, k->p + offset, (uInt)(o->header + (size_t)used));
		if (o->type <= GIT_TAG) {
			o->real = o->type;
			name_object(o, bytes, o->size);
		}
		offset += o->header + (uint64_t)used;
	}
	return offset == k->len - TRAILER ? 0 : corrupt(err, "something follows the last object");
}

/* ---- the second pass ---- */

/* Deltas by what they stand on. */
struct children {
	struct git_pack *k;
	uint32_t *by_offset, *by_name;
	size_t n_offset, n_name;
	uint64_t max_held;
};

static int compare_offset(const void *a, const void *b, void *arg)
{
	const struct git_pack *k = arg;
	const struct git_object *x = &k->objects[*(const uint32_t *)a], *y = &k->objects[*(const uint32_t *)b];
	return x->base < y->base ? -1 : x->base > y->base;
}

static int compare_name(const void *a, const void *b, void *arg)
{
	const struct git_pack *k = arg;
	return memcmp(base_name(k, &k->objects[*(const uint32_t *)a]), base_name(k, &k->objects[*(const uint32_t *)b]), GIT_RAW);
}

static int compare_oid(const void *a, const void *b, void *arg)
{
	const struct git_pack *k = arg;
	const struct git_object *x = &k->objects[*(const uint32_t *)a], *y = &k->objects[*(const uint32_t *)b];
	int c = memcmp(x->oid, y->oid, GIT_RAW);
	return c ? c : x->type != y->type ? (int)x->type - (int)y->type : x->offset < y->offset ? -1 : 1;
}

static void find_children(struct children *c)
{
	const struct git_pack *k = c->k;
	c->by_offset = xcalloc(k->n + 1, sizeof(*c->by_offset));
	c->by_name = xcalloc(k->n + 1, sizeof(*c->by_name));
	for (size_t i = 0; i < k->n; i++) {
		if (k->objects[i].type == GIT_OFS_DELTA)
			c->by_offset[c->n_offset++] = (uint32_t)i;
		else if (k->objects[i].type == GIT_REF_DELTA)
			c->by_name[c->n_name++] = (uint32_t)i;
	}
	qsort_r(c->by_offset, c->n_offset, sizeof(*c->by_offset), compare_offset, (void *)(uintptr_t)k);
	qsort_r(c->by_name, c->n_name, sizeof(*c->by_name), compare_name, (void *)(uintptr_t)k);
}

/* The first one in the list that stands on o; their end is where the next one does not. */
static size_t first_child(const struct children *c, const struct git_object *o, bool by_name)
{
	size_t low = 0, high = by_name ? c->n_name : c->n_offset;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct git_object *m = &c->k->objects[by_name ? c->by_name[mid] : c->by_offset[mid]];
		if (by_name ? memcmp(base_name(c->k, m), o->oid, GIT_RAW) < 0 : m->base < o->offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* A base on the way down, and which of its children is next. */
struct level {
	struct git_object *o;
	unsigned char *bytes;
	size_t n, offset_at, name_at;
};

/* The next delta that stands on the level's object; NULL: no more. */
static struct git_object *next_child(const struct children *c, struct level *l)
{
	const struct git_pack *k = c->k;
	if (l->offset_at < c->n_offset && k->objects[c->by_offset[l->offset_at]].base == l->o->offset)
		return &k->objects[c->by_offset[l->offset_at++]];
	if (l->name_at < c->n_name && memcmp(base_name(k, &k->objects[c->by_name[l->name_at]]), l->o->oid, GIT_RAW) == 0)
		return &k->objects[c->by_name[l->name_at++]];
	return NULL;
}

static struct level enter(const struct children *c, struct git_object *o, unsigned char *bytes, size_t n)
{
	return (struct level){ .o = o, .bytes = bytes, .n = n, .offset_at = first_child(c, o, false), .name_at = first_child(c, o, true) };
}

static bool has_children(const struct children *c, struct git_object *o)
{
	struct level l = enter(c, o, NULL, 0);
	return next_child(c, &l) != NULL;
}

/* Everything that stands on o, however deep. */
static int resolve_from(const struct children *c, struct git_object *root, struct err *err)
{
	struct level *stack = NULL;
	size_t n = 0, cap = 0;
	uint64_t held = root->size;
	int rc = 0;
	unsigned char *bytes = stored(c->k, root, err);
	if (!bytes)
		return -1;
	stack = vec_grow(stack, n, &cap, sizeof(*stack));
	stack[n++] = enter(c, root, bytes, root->size);
	while (n > 0) {
		struct level *l = &stack[n - 1];
		struct git_object *child = rc == 0 ? next_child(c, l) : NULL;
		AUTO_FREE unsigned char *delta = NULL;
		size_t size;
		if (!child) {
			held -= l->n;
			free(l->bytes);
			n--;
			continue;
		}
		delta = stored(c->k, child, err);
		bytes = delta && child->real == 0 && n < MAX_CHAIN ? apply(c->k, l->bytes, l->n, delta, child->size, &size) : NULL;
		if (!bytes) {
			rc = delta ? corrupt(err, "a delta makes no sense") : -1;
			continue;
		}
		child->real = l->o->real;
		name_object(child, bytes, size);
		stack = vec_grow(stack, n, &cap, sizeof(*stack));
		stack[n++] = enter(c, child, bytes, size);
		held += size;
		if (held > c->max_held) /* a delta of a few bytes can be of a gigabyte, and stand on another such */
			rc = err_set(err, ERR_INVALID, "the pack would need more than %llu bytes of memory", (unsigned long long)c->max_held);
	}
	free(stack);
	return rc;
}

static int resolve(struct git_pack *k, uint64_t max_held, struct err *err)
{
	struct children c = { .k = k, .max_held = max_held };
	int rc = 0;
	find_children(&c);
	for (size_t i = 0; rc == 0 && i < k->n; i++)
		if (k->objects[i].type <= GIT_TAG && has_children(&c, &k->objects[i]))
			rc = resolve_from(&c, &k->objects[i], err);
	free(c.by_offset);
	free(c.by_name);
	for (size_t i = 0; rc == 0 && i < k->n; i++)
		if (!k->objects[i].real)
			rc = corrupt(err, "a delta stands on an object that is not there");
	return rc;
}

/* ---- all of it ---- */

static int open_pack(struct git_pack *k, uint64_t max_held, struct err *err)
{
	unsigned char sum[GIT_RAW];
	uint32_t n;
	if (k->len < PACK_HEADER + TRAILER || memcmp(k->p, "PACK\0\0\0", 7) != 0 || (k->p[7] != 2 && k->p[7] != 3))
		return corrupt(err, "it is none");
	git_sha1(NULL, k->p, k->len - TRAILER, sum);
	if (memcmp(sum, k->p + k->len - TRAILER, TRAILER) != 0)
		return corrupt(err, "its checksum is wrong");
	n = (uint32_t)k->p[8] << 24 | (uint32_t)k->p[9] << 16 | (uint32_t)k->p[10] << 8 | k->p[11];
	if (n > GIT_MAX_OBJECTS || n > k->len)
		return corrupt(err, "it has too many objects");
	k->objects = xcalloc((size_t)n + 1, sizeof(*k->objects));
	k->n = n;
	if (scan(k, err) < 0 || resolve(k, max_held, err) < 0)
		return -1;
	k->sorted = xcalloc((size_t)n + 1, sizeof(*k->sorted));
	for (uint32_t i = 0; i < n; i++)
		k->sorted[i] = i;
	qsort_r(k->sorted, n, sizeof(*k->sorted), compare_oid, k);
	k->n_sorted = 0; /* of two with one name the one that is stored whole */
	for (uint32_t i = 0; i < n; i++)
		if (i == 0 || memcmp(k->objects[k->sorted[i]].oid, k->objects[k->sorted[k->n_sorted - 1]].oid, GIT_RAW) != 0)
			k->sorted[k->n_sorted++] = k->sorted[i];
	return 0;
}

int git_pack_open(int fd, uint64_t at, uint64_t max_held, struct git_pack *ret, struct err *err)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct stat st;
	void *p;
	*ret = (struct git_pack){ .at = at };
	if (at % page || fstat(fd, &st) < 0 || (uint64_t)st.st_size < at + PACK_HEADER)
		return corrupt(err, "it is none");
	p = mmap(NULL, (size_t)st.st_size - at, PROT_READ, MAP_PRIVATE, fd, (off_t)at);
	if (p == MAP_FAILED)
		return err_sys(err, errno, "map the pack");
	ret->p = p;
	ret->len = (size_t)((uint64_t)st.st_size - at);
	if (open_pack(ret, max_held, err) == 0)
		return 0;
	git_pack_done(ret);
	return -1;
}

void git_pack_done(struct git_pack *p)
{
	if (p->p)
		munmap((void *)(uintptr_t)p->p, p->len);
	free(p->objects);
	free(p->sorted);
	*p = (struct git_pack){0};
}

const struct git_object *git_pack_find(const struct git_pack *p, const unsigned char oid[static GIT_RAW])
{
	size_t low = 0, high = p->n_sorted;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct git_object *o = &p->objects[p->sorted[mid]];
		int c = memcmp(o->oid, oid, GIT_RAW);
		if (c == 0)
			return o;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static const struct git_object *at_offset(const struct git_pack *p, uint64_t offset)
{
	size_t low = 0, high = p->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (p->objects[mid].offset == offset)
			return &p->objects[mid];
		if (p->objects[mid].offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

int git_pack_read(struct git_pack *p, const unsigned char oid[static GIT_RAW], enum git_type type, char **ret, size_t *ret_n, struct err *err)
{
	const struct git_object *o = git_pack_find(p, oid), **chain = NULL;
	AUTO_FREE unsigned char *bytes = NULL;
	size_t n = 0, cap = 0, size;
	char hex[GIT_HEX + 1];
	git_hex(oid, hex);
	if (!o || o->real != type)
		return err_set(err, ERR_CORRUPT, "object %.12s is %s", hex, o ? "something else than it has to be" : "missing");
	for (; o && o->type > GIT_TAG && n <= MAX_CHAIN; o = o->type == GIT_OFS_DELTA ? at_offset(p, o->base) : git_pack_find(p, base_name(p, o))) {
		chain = vec_grow(chain, n, &cap, sizeof(const struct git_object *));
		chain[n++] = o;
	}
	o = o && o->type <= GIT_TAG ? o : NULL; /* with names twice a chain could go round and round */
	bytes = o ? stored(p, o, err) : NULL;
	size = o ? o->size : 0;
	while (bytes && n > 0) {
		AUTO_FREE unsigned char *delta = stored(p, chain[--n], err), *below = TAKE_PTR(bytes);
		if (delta)
			bytes = apply(p, below, size, delta, chain[n]->size, &size);
	}
	free(chain);
	if (!bytes)
		return corrupt(err, "an object cannot be made");
	*ret = (char *)TAKE_PTR(bytes);
	*ret_n = size;
	return 0;
}
