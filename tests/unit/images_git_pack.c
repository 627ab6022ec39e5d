/* SPDX-License-Identifier: Apache-2.0 */
/* A pack of one blob and deltas that stand on each other is read; what they take in memory at once is bounded, however small the pack. */
#include <sys/mman.h>
#include <zlib.h>

#include "base/fs.h"
#include "images/git_impl.h"
#include "tests/unit/check.h"

enum { BLOB_BYTES = 1 << 20, DELTAS = 6 };

static void put_compressed(struct str *s, const void *p, size_t n)
{
	uLongf len = compressBound(n);
	AUTO_FREE unsigned char *out = xcalloc(1, len);
	CHECK(compress(out, &len, p, n) == Z_OK, "compress");
	str_addn(s, out, len);
}

static void put_size(struct str *s, uint64_t n)
{
	for (; n > 0x7f; n >>= 7)
		str_addc(s, (char)(0x80 | (n & 0x7f)));
	str_addc(s, (char)n);
}

static void put_head(struct str *s, unsigned type, uint64_t n)
{
	str_addc(s, (char)((n > 15 ? 0x80 : 0) | type << 4 | (n & 15)));
	if (n > 15)
		put_size(s, n >> 4);
}

/* The blob but its last byte, and another one in its place. */
static void put_delta(struct str *s, size_t back, char last)
{
	AUTO_STR struct str delta = {0};
	const unsigned n = BLOB_BYTES - 1;
	put_size(&delta, BLOB_BYTES);
	put_size(&delta, BLOB_BYTES);
	str_addn(&delta, (const unsigned char[]){ 0xf0, n & 0xff, n >> 8 & 0xff, n >> 16 }, 4);
	str_addn(&delta, (const char[]){ 1, last }, 2);
	put_head(s, GIT_OFS_DELTA, delta.len);
	CHECK(back < 128, "an entry of %zu bytes", back);
	str_addc(s, (char)back);
	put_compressed(s, delta.p, delta.len);
}

/* Each delta stands on the one before, so that all are held at once. */
static int make_pack(void)
{
	AUTO_STR struct str s = {0};
	AUTO_FREE char *zeros = xcalloc(1, BLOB_BYTES);
	unsigned char sum[GIT_RAW];
	size_t before = 0, first;
	int fd = memfd_create("pack", MFD_CLOEXEC);
	str_addn(&s, "PACK\0\0\0\2\0\0\0", 11);
	str_addc(&s, DELTAS + 1);
	first = s.len;
	put_head(&s, GIT_BLOB, BLOB_BYTES);
	put_compressed(&s, zeros, BLOB_BYTES);
	for (int i = 0; i < DELTAS; i++) {
		size_t at = s.len;
		if (i == 0) { /* far: the distance in two bytes */
			AUTO_STR struct str far = {0};
			put_delta(&far, 1, 'a');
			at = s.len;
			str_addc(&s, far.p[0]);
			str_addc(&s, (char)(0x80 | (((at - first) >> 7) - 1)));
			str_addc(&s, (char)((at - first) & 0x7f));
			str_addn(&s, far.p + 2, far.len - 2);
		} else {
			put_delta(&s, at - before, (char)('a' + i));
		}
		before = at;
	}
	git_sha1(NULL, s.p, s.len, sum);
	str_addn(&s, sum, sizeof(sum));
	CHECK(fd >= 0 && fs_write_all(fd, s.p, s.len, NULL) == 0, "write the pack");
	return fd;
}

int main(void)
{
	AUTO_CLOSE int fd = make_pack();
	AUTO_FREE char *text = NULL;
	unsigned char oid[GIT_RAW];
	struct git_pack pack;
	struct err err = {0};
	size_t n;
	CHECK(git_pack_open(fd, 0, (DELTAS + 1) * (uint64_t)BLOB_BYTES, &pack, &err) == 0, "%s", err.msg);
	CHECK(pack.n_sorted == DELTAS + 1, "%zu objects", pack.n_sorted);
	memcpy(oid, pack.objects[DELTAS].oid, sizeof(oid));
	CHECK(git_pack_read(&pack, oid, GIT_BLOB, &text, &n, &err) == 0, "%s", err.msg);
	CHECK(n == BLOB_BYTES && text[n - 1] == 'a' + DELTAS - 1, "another content");
	git_pack_done(&pack);
	CHECK(git_pack_open(fd, 0, (DELTAS + 1) * (uint64_t)BLOB_BYTES - 1, &pack, &err) < 0 && err.code == ERR_INVALID, "more is held than may be");
	git_pack_done(&pack);
	return 0;
}
