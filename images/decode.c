/* SPDX-License-Identifier: Apache-2.0 */
/* Decoders, one table row each. A decoder ends only at the end of its source: a gzip member or zstd frame that is cut off is an
 * error, one that is followed by another goes on, and zero bytes after the last gzip member (tape padding) are passed over as
 * gzip does. */
#include "images/decode.h"

#include <archive.h>
#include <zstd.h>

#include "images/gunzip.h"

enum { IN_BYTES = 256 << 10 };

struct decode {
	enum decode_kind kind;
	struct stream_source src;
	unsigned char in[IN_BYTES];
	size_t in_at, in_len;
	bool in_end;           /* the source is at its end */
	bool between;          /* between two members: an end is fine here */
	struct err src_err;    /* of the source, when it failed inside libarchive */
	struct gunzip *gunzip;
	bool begun;            /* a gzip member has been seen */
	ZSTD_DCtx *zstd;
	struct archive *raw;   /* xz, bzip2 */
};

/* Sees to it that input is there. Returns 1, 0 at the source's end, -1 + err. */
static int fill(struct decode *d, struct err *err)
{
	ssize_t n;
	if (d->in_at < d->in_len)
		return 1;
	if (d->in_end)
		return 0;
	n = d->src.read(d->src.arg, d->in, sizeof(d->in), err);
	if (n < 0)
		return -1;
	d->in_at = 0;
	d->in_len = (size_t)n;
	d->in_end = n == 0;
	return n > 0;
}

static ssize_t none_read(struct decode *d, void *buf, size_t n, struct err *err)
{
	return d->src.read(d->src.arg, buf, n, err);
}

static int gzip_open(struct decode *d, struct err *err)
{
	(void)err;
	d->gunzip = gunzip_new();
	d->between = true;
	return 0;
}

/* After a member: passes over zero bytes. Returns 1 when another member begins, 0 at the end, -1 + err. */
static int gzip_next_member(struct decode *d, struct err *err)
{
	for (;;) {
		int rc = fill(d, err);
		if (rc <= 0)
			return rc;
		while (d->in_at < d->in_len && d->in[d->in_at] == 0)
			d->in_at++;
		if (d->in_at < d->in_len)
			break;
	}
	if (d->in[d->in_at] != 0x1f)
		return err_set(err, ERR_CORRUPT, "gzip: garbage after the end of the data");
	gunzip_reset(d->gunzip);
	return 1;
}

static ssize_t gzip_read(struct decode *d, void *buf, size_t n, struct err *err)
{
	size_t made = 0;
	while (made == 0) {
		const unsigned char *in;
		const char *why = "";
		size_t left, before;
		int rc = d->between && d->begun ? gzip_next_member(d, err) : fill(d, err);
		if (rc < 0)
			return -1;
		if (rc == 0 && d->between)
			return 0;
		in = d->in + d->in_at;
		left = before = d->in_len - d->in_at;
		d->between = false;
		d->begun = true;
		switch (gunzip_some(d->gunzip, &in, &left, buf, n, &made, &why)) {
		case 1:
			d->between = true;
			break;
		case 0:
			if (made == 0 && left == before) /* some may come even without input: of what the decoder holds back */
				return err_set(err, ERR_CORRUPT, rc == 0 ? "gzip: the data is cut off" : "gzip: damaged data");
			break;
		default:
			return err_set(err, ERR_CORRUPT, "gzip: %s", why);
		}
		d->in_at = d->in_len - left;
	}
	return (ssize_t)made;
}

static void gzip_close(struct decode *d)
{
	gunzip_free(d->gunzip);
}

static int zstd_open(struct decode *d, struct err *err)
{
	d->zstd = ZSTD_createDCtx();
	if (!d->zstd)
		return err_set(err, ERR_SYS, "zstd: cannot start");
	d->between = true;
	return 0;
}

static ssize_t zstd_read(struct decode *d, void *buf, size_t n, struct err *err)
{
	ZSTD_outBuffer out = { .dst = buf, .size = n };
	while (out.pos == 0) {
		ZSTD_inBuffer in;
		size_t left;
		int rc = fill(d, err);
		if (rc < 0)
			return -1;
		if (rc == 0 && d->between)
			return 0;
		in = (ZSTD_inBuffer){ .src = d->in, .size = d->in_len, .pos = d->in_at };
		left = ZSTD_decompressStream(d->zstd, &out, &in);
		if (ZSTD_isError(left))
			return err_set(err, ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(left));
		if (rc == 0 && out.pos == 0)
			return err_set(err, ERR_CORRUPT, "zstd: the data is cut off");
		d->in_at = in.pos;
		d->between = left == 0;
	}
	return (ssize_t)out.pos;
}

static void zstd_close(struct decode *d)
{
	ZSTD_freeDCtx(d->zstd);
}

static la_ssize_t raw_source(struct archive *a, void *arg, const void **buf)
{
	struct decode *d = arg;
	ssize_t n = d->src.read(d->src.arg, d->in, sizeof(d->in), &d->src_err);
	(void)a;
	*buf = d->in;
	return n;
}

/* The source's own error when there is one, else libarchive's words. */
static ssize_t raw_error(struct decode *d, struct err *err)
{
	if (d->src_err.code != ERR_NONE) {
		*err = d->src_err;
		return -1;
	}
	return err_set(err, ERR_CORRUPT, "%s: %s", decode_name(d->kind),
		archive_error_string(d->raw) ? archive_error_string(d->raw) : "damaged data");
}

static int raw_open(struct decode *d, struct err *err)
{
	struct archive_entry *entry;
	d->raw = archive_read_new();
	if (!d->raw)
		util_oom();
	if (d->kind == DECODE_XZ)
		archive_read_support_filter_xz(d->raw);
	else
		archive_read_support_filter_bzip2(d->raw);
	archive_read_support_format_raw(d->raw);
	if (archive_read_open2(d->raw, d, NULL, raw_source, NULL, NULL) != ARCHIVE_OK)
		return (int)raw_error(d, err);
	if (archive_filter_code(d->raw, 0) == ARCHIVE_FILTER_NONE)
		return err_set(err, ERR_CORRUPT, "%s: damaged header", decode_name(d->kind));
	d->between = false;
	switch (archive_read_next_header(d->raw, &entry)) {
	case ARCHIVE_OK:
		return 0;
	case ARCHIVE_EOF:
		d->in_end = true;
		return 0;
	default:
		return (int)raw_error(d, err);
	}
}

static ssize_t raw_read(struct decode *d, void *buf, size_t n, struct err *err)
{
	la_ssize_t got;
	if (d->in_end)
		return 0;
	got = archive_read_data(d->raw, buf, n);
	if (got < 0)
		return raw_error(d, err);
	d->in_end = got == 0;
	return got;
}

static void raw_close(struct decode *d)
{
	archive_read_free(d->raw);
}

static const struct {
	const char *name;
	const char *magic;
	size_t n_magic;
	int (*open)(struct decode *d, struct err *err);
	ssize_t (*read)(struct decode *d, void *buf, size_t n, struct err *err);
	void (*close)(struct decode *d);
} kinds[] = {
	[DECODE_NONE] = { "plain", "", 0, NULL, none_read, NULL },
	[DECODE_GZIP] = { "gzip", "\x1f\x8b\x08", 3, gzip_open, gzip_read, gzip_close },
	[DECODE_ZSTD] = { "zstd", "\x28\xb5\x2f\xfd", 4, zstd_open, zstd_read, zstd_close },
	[DECODE_XZ] = { "xz", "\xfd" "7zXZ", 5, raw_open, raw_read, raw_close },
	[DECODE_BZIP2] = { "bzip2", "BZh", 3, raw_open, raw_read, raw_close },
};
static_assert(ARRAY_SIZE(kinds) == DECODE_N_, "one row for each kind");

enum decode_kind decode_sniff(const unsigned char *head, size_t n)
{
	/* a zstd stream may begin with a skippable frame: 0x184d2a50 to …5f, little endian */
	if (n >= 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18)
		return DECODE_ZSTD;
	for (int k = DECODE_NONE + 1; k < DECODE_N_; k++)
		if (n >= kinds[k].n_magic && memcmp(head, kinds[k].magic, kinds[k].n_magic) == 0)
			return (enum decode_kind)k;
	return DECODE_NONE;
}

const char *decode_name(enum decode_kind kind)
{
	return kinds[kind].name;
}

int decode_new(enum decode_kind kind, const struct stream_source *src, struct decode **ret, struct err *err)
{
	struct decode *d = xcalloc(1, sizeof(*d));
	d->kind = kind;
	d->src = *src;
	if (kinds[kind].open && kinds[kind].open(d, err) < 0) {
		decode_free(d);
		return -1;
	}
	*ret = d;
	return 0;
}

ssize_t decode_read(struct decode *d, void *buf, size_t n, struct err *err)
{
	return kinds[d->kind].read(d, buf, n, err);
}

struct decode *decode_free(struct decode *d)
{
	if (d && kinds[d->kind].close)
		kinds[d->kind].close(d);
	free(d);
	return NULL;
}
