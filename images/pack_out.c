/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on their way out: a buffer, the digest of what is plain, the compressor, the digest of what it makes, the sink. Compressed
 * output is the same for the same input on every machine with the same library: no names, no times, one thread's order. gzip only stores a
 * buffer that would not become smaller. */
#include <openssl/evp.h>
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#include "images/noise.h"
#include "images/pack_impl.h"

enum { BUF_BYTES = 256 << 10 };

struct pack_out {
	enum pack_codec codec;
	pack_sink_fn *sink;
	void *arg;
	EVP_MD_CTX *tar_md, *blob_md; /* blob_md NULL: plain */
	z_stream z;
	int level;                    /* of gzip */
	bool storing;                 /* gzip is at level 0 for now */
	struct noise *noise;          /* gzip */
	ZSTD_CCtx *zstd;
	char *buf, *packed;           /* BUF_BYTES each */
	size_t len;                   /* in buf */
	uint64_t tar_bytes, blob_bytes;
};

static EVP_MD_CTX *digest_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		util_oom();
	return ctx;
}

static void digest_hex(EVP_MD_CTX *ctx, char ret[static 65])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	EVP_DigestFinal_ex(ctx, raw, &n);
	for (unsigned i = 0; i < 32 && i < n; i++)
		snprintf(ret + 2 * i, 3, "%02x", raw[i]);
}

struct pack_out *pack_out_new(enum pack_codec codec, int level, pack_sink_fn *sink, void *arg)
{
	struct pack_out *o = xcalloc(1, sizeof(*o));
	*o = (struct pack_out){ .codec = sink ? codec : PACK_PLAIN, .sink = sink, .arg = arg };
	o->tar_md = digest_new();
	o->buf = xcalloc(1, BUF_BYTES);
	if (o->codec == PACK_PLAIN)
		return o;
	o->blob_md = digest_new();
	o->packed = xcalloc(1, BUF_BYTES);
	if (o->codec == PACK_GZIP) {
		o->level = level ? level : Z_DEFAULT_COMPRESSION;
		o->noise = noise_new();
		if (deflateInit2(&o->z, o->level, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
			util_oom();
	} else {
		o->zstd = ZSTD_createCCtx();
		if (!o->zstd)
			util_oom();
		ZSTD_CCtx_setParameter(o->zstd, ZSTD_c_compressionLevel, level ? level : ZSTD_CLEVEL_DEFAULT);
		ZSTD_CCtx_setParameter(o->zstd, ZSTD_c_checksumFlag, 1);
	}
	return o;
}

struct pack_out *pack_out_free(struct pack_out *o)
{
	if (!o)
		return NULL;
	if (o->codec == PACK_GZIP)
		deflateEnd(&o->z);
	noise_free(o->noise);
	ZSTD_freeCCtx(o->zstd);
	EVP_MD_CTX_free(o->tar_md);
	EVP_MD_CTX_free(o->blob_md);
	free(o->buf);
	free(o->packed);
	free(o);
	return NULL;
}

static int to_sink(struct pack_out *o, const char *p, size_t n, struct err *err)
{
	if (n == 0)
		return 0;
	o->blob_bytes += n;
	if (o->blob_md)
		EVP_DigestUpdate(o->blob_md, p, n);
	return o->sink ? o->sink(o->arg, p, n, err) : 0;
}

static int deflate_some(struct pack_out *o, const char *p, size_t n, bool end, struct err *err)
{
	int rc;
	o->z.next_in = (Bytef *)(uintptr_t)p;
	o->z.avail_in = (uInt)n;
	do {
		o->z.next_out = (Bytef *)o->packed;
		o->z.avail_out = BUF_BYTES;
		rc = deflate(&o->z, end ? Z_FINISH : Z_NO_FLUSH);
		if (rc == Z_STREAM_ERROR)
			return err_set(err, ERR_SYS, "gzip: cannot compress");
		if (to_sink(o, o->packed, BUF_BYTES - o->z.avail_out, err) < 0)
			return -1;
	} while (o->z.avail_out == 0 || (end && rc != Z_STREAM_END));
	return 0;
}

/* A buffer for gzip, each with the level that suits it. */
static int deflate_buffer(struct pack_out *o, size_t n, bool end, struct err *err)
{
	bool store = noise_is(o->noise, o->buf, n);
	int rc = store == o->storing ? Z_OK : Z_BUF_ERROR;
	o->z.avail_in = 0;
	while (rc == Z_BUF_ERROR) { /* what it still holds comes out first */
		o->z.next_out = (Bytef *)o->packed;
		o->z.avail_out = BUF_BYTES;
		rc = deflateParams(&o->z, store ? Z_NO_COMPRESSION : o->level, Z_DEFAULT_STRATEGY);
		if (to_sink(o, o->packed, BUF_BYTES - o->z.avail_out, err) < 0)
			return -1;
	}
	if (rc != Z_OK)
		return err_set(err, ERR_SYS, "gzip: cannot compress");
	o->storing = store;
	return deflate_some(o, o->buf, n, end, err);
}

static int zstd_some(struct pack_out *o, const char *p, size_t n, bool end, struct err *err)
{
	ZSTD_inBuffer in = { .src = p, .size = n };
	size_t left;
	do {
		ZSTD_outBuffer out = { .dst = o->packed, .size = BUF_BYTES };
		left = ZSTD_compressStream2(o->zstd, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return err_set(err, ERR_SYS, "zstd: %s", ZSTD_getErrorName(left));
		if (to_sink(o, o->packed, out.pos, err) < 0)
			return -1;
	} while (in.pos < in.size || (end && left));
	return 0;
}

static int flush(struct pack_out *o, bool end, struct err *err)
{
	const size_t n = o->len;
	o->len = 0;
	EVP_DigestUpdate(o->tar_md, o->buf, n);
	if (o->codec == PACK_GZIP)
		return deflate_buffer(o, n, end, err);
	if (o->codec == PACK_ZSTD)
		return zstd_some(o, o->buf, n, end, err);
	return to_sink(o, o->buf, n, err);
}

ssize_t pack_out_room(struct pack_out *o, char **ret_p, struct err *err)
{
	if (o->len == BUF_BYTES && flush(o, false, err) < 0)
		return -1;
	*ret_p = o->buf + o->len;
	return (ssize_t)(BUF_BYTES - o->len);
}

void pack_out_filled(struct pack_out *o, size_t n)
{
	o->len += n;
	o->tar_bytes += n;
}

int pack_out_write(struct pack_out *o, const void *p, size_t n, struct err *err)
{
	while (n) {
		char *to;
		ssize_t room = pack_out_room(o, &to, err);
		size_t now = MIN(n, (size_t)MAX(room, 0));
		if (room < 0)
			return -1;
		memcpy(to, p, now);
		pack_out_filled(o, now);
		p = (const char *)p + now;
		n -= now;
	}
	return 0;
}

int pack_out_align(struct pack_out *o, struct err *err)
{
	static const char zeros[512];
	return pack_out_write(o, zeros, (size_t)(-o->tar_bytes & 511), err);
}

int pack_header(struct pack_out *o, const struct pack_entry *e, struct err *err)
{
	AUTO_STR struct str text = {0};
	pack_header_text(&text, e);
	return pack_out_write(o, text.p, text.len, err);
}

int pack_out_end(struct pack_out *o, struct pack_result *ret, struct err *err)
{
	if (flush(o, true, err) < 0)
		return -1;
	digest_hex(o->tar_md, ret->diff_id);
	if (o->blob_md)
		digest_hex(o->blob_md, ret->digest);
	else
		memcpy(ret->digest, ret->diff_id, sizeof(ret->digest));
	ret->tar_bytes = o->tar_bytes;
	ret->blob_bytes = o->blob_bytes;
	return 0;
}

int pack_hash_fd(int fd, char ret_hex[static 65], struct err *err)
{
	EVP_MD_CTX *md = digest_new();
	AUTO_FREE char *buf = xcalloc(1, BUF_BYTES);
	ssize_t n;
	while ((n = read(fd, buf, BUF_BYTES)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			EVP_DigestUpdate(md, buf, (size_t)n);
	if (n < 0)
		err_sys(err, errno, "read");
	digest_hex(md, ret_hex);
	EVP_MD_CTX_free(md);
	return n < 0 ? -1 : 0;
}

const char *pack_media_type(enum pack_codec codec)
{
	static const char *const types[] = {
		"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip",
		"application/vnd.oci.image.layer.v1.tar+zstd",
	};
	static_assert(ARRAY_SIZE(types) == PACK_N_, "one type for each");
	return types[codec];
}

bool pack_codec_parse(const char *text, enum pack_codec *ret)
{
	static const char *const names[] = { "none", "gzip", "zstd" };
	static_assert(ARRAY_SIZE(names) == PACK_N_, "one name for each");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], text) == 0) {
			*ret = (enum pack_codec)i;
			return true;
		}
	return false;
}
