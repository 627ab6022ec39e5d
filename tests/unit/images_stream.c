/* SPDX-License-Identifier: Apache-2.0 */
/* One pass gives the content and both digests, whatever the compression and however the bytes arrive; damage, a cut or too much
 * of it is an error before the end is reported, never a short success. */
#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/unit/images_rig.h"

/* Text that compresses, larger than the ring of chunks. */
static void make_text(struct str *out, size_t n)
{
	while (out->len < n)
		str_addf(out, "line %zu of a text that repeats itself\n", out->len % 7919);
}

static void gzip_member(struct str *out, const void *p, size_t n)
{
	z_stream z = {0};
	NEED(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (void *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.avail_out = (uInt)deflateBound(&z, n);
	z.next_out = (void *)str_reserve(out, z.avail_out);
	NEED(deflate(&z, Z_FINISH) == Z_STREAM_END);
	out->len += z.total_out;
	deflateEnd(&z);
}

static void zstd_frame(struct str *out, const void *p, size_t n)
{
	size_t room = ZSTD_compressBound(n), got = ZSTD_compress(str_reserve(out, room), room, p, n, 3);
	NEED(!ZSTD_isError(got));
	out->len += got;
}

static void filtered(struct str *out, const struct str *text, int filter)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	size_t room = text->len + 4096, used = 0;
	archive_write_set_format_raw(a);
	NEED(archive_write_add_filter(a, filter) == ARCHIVE_OK);
	NEED(archive_write_open_memory(a, str_reserve(out, room), room, &used) == ARCHIVE_OK);
	archive_entry_set_filetype(e, AE_IFREG);
	NEED(archive_write_header(a, e) == ARCHIVE_OK && archive_write_data(a, text->p, text->len) == (la_ssize_t)text->len);
	NEED(archive_write_close(a) == ARCHIVE_OK);
	archive_entry_free(e);
	archive_write_free(a);
	out->len += used;
}

/* Reads all of it. Returns what stream_finish() or the first failing call returns. */
static int read_all(const struct str *in, size_t step, const struct stream_limits *limits, struct str *out, struct stream_result *result,
	struct err *err)
{
	struct memory m = { .p = str_get(in), .n = in->len, .step = step };
	const struct stream_source src = memory_source(&m);
	AUTO_STREAM struct stream *s = NULL;
	const void *p;
	ssize_t n;
	*err = (struct err){0};
	if (stream_open(&src, limits, &s, err) < 0)
		return -1;
	while ((n = stream_next(s, &p, err)) > 0)
		str_addn(out, p, (size_t)n);
	return n < 0 ? -1 : stream_finish(s, result, err);
}

static void check(const char *what, const struct str *in, const struct str *text, size_t step)
{
	const struct stream_limits none = {0};
	AUTO_STR struct str out = {0};
	struct stream_result r = {0};
	struct err err;
	char in_hex[65], out_hex[65];
	sha256_hex(str_get(in), in->len, in_hex);
	sha256_hex(str_get(text), text->len, out_hex);
	EXPECT(read_all(in, step, &none, &out, &r, &err) == 0, "%s, step %zu: %s", what, step, err.msg);
	EXPECT(out.len == text->len && memcmp(str_get(&out), str_get(text), out.len) == 0, "%s, step %zu: %zu bytes", what, step, out.len);
	EXPECT(strcmp(r.in_sha256, in_hex) == 0 && strcmp(r.out_sha256, out_hex) == 0, "%s, step %zu: digests", what, step);
	EXPECT(r.in_bytes == in->len && r.out_bytes == text->len, "%s, step %zu: counts", what, step);
}

static void test_kinds(void)
{
	AUTO_STR struct str text = {0}, gz = {0}, gz2 = {0}, zst = {0}, zst2 = {0}, xz = {0}, bz = {0}, empty = {0}, gz0 = {0}, zst0 = {0};
	static const char zeros[1000], skippable[] = "\x5a\x2a\x4d\x18\x04\x00\x00\x00must";
	const size_t steps[] = { 0, 1000, 61 };
	make_text(&text, 5 << 19);
	gzip_member(&gz, text.p, text.len);
	gzip_member(&gz2, text.p, 100000);
	gzip_member(&gz2, text.p + 100000, text.len - 100000);
	str_addn(&gz2, zeros, sizeof(zeros));
	zstd_frame(&zst, text.p, text.len);
	str_addn(&zst2, skippable, sizeof(skippable) - 1);
	zstd_frame(&zst2, text.p, 5);
	zstd_frame(&zst2, text.p + 5, text.len - 5);
	filtered(&xz, &text, ARCHIVE_FILTER_XZ);
	filtered(&bz, &text, ARCHIVE_FILTER_BZIP2);
	gzip_member(&gz0, "", 0);
	zstd_frame(&zst0, "", 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		check("plain", &text, &text, steps[i]);
		check("gzip", &gz, &text, steps[i]);
		check("gzip, two members and padding", &gz2, &text, steps[i]);
		check("zstd", &zst, &text, steps[i]);
		check("zstd, skippable frame and two more", &zst2, &text, steps[i]);
		check("xz", &xz, &text, steps[i]);
		check("bzip2", &bz, &text, steps[i]);
		check("empty", &empty, &empty, steps[i]);
		check("empty gzip", &gz0, &empty, steps[i]);
		check("empty zstd", &zst0, &empty, steps[i]);
	}
}

/* Whatever byte is missing at the end or wrong in the middle. */
static void test_damage(void)
{
	AUTO_STR struct str text = {0};
	struct { const char *name; struct str data; } kinds[4] = { { .name = "gzip" }, { .name = "zstd" }, { .name = "xz" }, { .name = "bzip2" } };
	const struct stream_limits none = {0};
	struct stream_result r;
	struct err err;
	make_text(&text, 300000);
	gzip_member(&kinds[0].data, text.p, text.len);
	zstd_frame(&kinds[1].data, text.p, text.len);
	filtered(&kinds[2].data, &text, ARCHIVE_FILTER_XZ);
	filtered(&kinds[3].data, &text, ARCHIVE_FILTER_BZIP2);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct str *d = &kinds[k].data;
		for (size_t cut = 1; cut + 8 < d->len; cut += d->len / 9 + 1) {
			struct str part = { .p = d->p, .len = d->len - cut };
			AUTO_STR struct str out = {0};
			EXPECT(read_all(&part, 0, &none, &out, &r, &err) < 0 && err.code == ERR_CORRUPT, "%s without %zu bytes: %s",
				kinds[k].name, cut, err.msg);
		}
		if (k != 1) { /* zstd frames of this making carry no checksum */
			AUTO_STR struct str out = {0};
			d->p[d->len / 2] ^= 0x10;
			EXPECT(read_all(d, 0, &none, &out, &r, &err) < 0 && err.code == ERR_CORRUPT, "%s with a wrong bit", kinds[k].name);
			d->p[d->len / 2] ^= 0x10;
		}
		if (k == 0) {
			AUTO_STR struct str out = {0};
			str_add(d, "garbage");
			EXPECT(read_all(d, 0, &none, &out, &r, &err) < 0 && err.code == ERR_CORRUPT, "%s with garbage behind", kinds[k].name);
		}
		str_done(d);
	}
}

static void test_limits(void)
{
	AUTO_STR struct str text = {0}, gz = {0};
	struct stream_result r;
	struct err err;
	const struct {
		struct stream_limits limits;
		bool fine;
	} cases[] = {
		{ { .max_out_bytes = 2 << 20 }, false }, { { .max_out_bytes = 4 << 20 }, true },
		{ { .max_in_bytes = 100 }, false }, { { .max_in_bytes = 4 << 20 }, true },
		{ { .max_ratio = 2 }, true }, /* only beyond the first GiB */
	};
	make_text(&text, 3 << 20);
	gzip_member(&gz, text.p, text.len);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_STR struct str out = {0};
		EXPECT((read_all(&gz, 0, &cases[i].limits, &out, &r, &err) == 0) == cases[i].fine, "case %zu: %s", i, err.msg);
	}
}

/* A bomb: gzip members of zeros without end stop at the ratio, having cost no more memory than the ring. */
struct bomb {
	struct str member;
	size_t at;
};

static ssize_t bomb_read(void *arg, void *buf, size_t n, struct err *err)
{
	struct bomb *b = arg;
	(void)err;
	n = MIN(n, b->member.len - b->at);
	memcpy(buf, b->member.p + b->at, n);
	b->at = (b->at + n) % b->member.len;
	return (ssize_t)n;
}

static void test_bomb(void)
{
	const struct stream_limits limits = { .max_ratio = 500 };
	AUTO_FREE char *zeros = xcalloc(1, 8 << 20);
	struct bomb b = {0};
	const struct stream_source src = { .read = bomb_read, .arg = &b, .wait_fd = -1 };
	AUTO_STREAM struct stream *s = NULL;
	struct stream_result r;
	struct err err = {0};
	gzip_member(&b.member, zeros, 8 << 20);
	NEED(stream_open(&src, &limits, &s, &err) == 0);
	EXPECT(stream_finish(s, &r, &err) < 0 && strstr(err.msg, "times its size"), "%s", err.msg);
	s = stream_close(s);
	str_done(&b.member);
}

/* A reader that gives up does not wait for a source that never says anything. */
static void test_close_early(void)
{
	int fds[2], fd;
	struct stream_source src = { .read = stream_read_fd, .arg = &fd };
	const struct stream_limits none = {0};
	struct stream *s = NULL;
	struct err err;
	NEED(pipe2(fds, O_CLOEXEC) == 0 && write(fds[1], "0123456789", 10) == 10);
	fd = src.wait_fd = fds[0];
	NEED(stream_open(&src, &none, &s, &err) == 0);
	alarm(10);
	stream_close(s);
	alarm(0);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	stream_prepare();
	test_kinds();
	test_damage();
	test_limits();
	test_bomb();
	test_close_early();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
