/* SPDX-License-Identifier: Apache-2.0 */
/* The reading thread and its ring. The thread owns the decoder and both digests; the two sides share the ring's counters and the
 * error, under one mutex. A chunk belongs to the reader until it asks for the next one. Plain input is hashed once: both digests
 * are the same then. Of compressed input the last piece waits in the decoder's buffer to be hashed beside the chunk that it became. */
#include "images/stream.h"

#include <iconv.h>
#include <locale.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "images/decode.h"
#include "images/sha256.h"

enum { CHUNK_BYTES = 256 << 10, N_CHUNKS = 8, RATIO_FLOOR_SHIFT = 30 };

struct chunk {
	unsigned char *p;
	size_t len;
};

struct stream {
	struct stream_source src;
	struct stream_limits limits;
	struct decode *decode;
	struct sha256 *in_md, *out_md;       /* out_md NULL: plain input */
	const void *unhashed;                /* the last piece of the input, not in in_md yet */
	size_t n_unhashed;
	unsigned char head[DECODE_PEEK];     /* read to sniff, given to the decoder first */
	size_t head_at, head_len;
	_Atomic uint64_t in_bytes;
	uint64_t out_bytes;
	struct stream_result result;         /* set by the thread at its end */
	struct chunk ring[N_CHUNKS];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t put, taken;                 /* chunks filled and given back so far */
	bool end, held;                      /* thread done; the reader holds chunk `taken` */
	bool started;                        /* there is a thread to join */
	_Atomic bool stop;                   /* closing */
	struct err err;                      /* code ERR_NONE: fine */
	pthread_t thread;
};

ssize_t stream_read_fd(void *arg, void *buf, size_t n, struct err *err)
{
	for (;;) {
		ssize_t got = read(*(int *)arg, buf, n);
		if (got >= 0)
			return got;
		if (errno != EINTR)
			return err_sys(err, errno, "read the archive");
	}
}

void stream_prepare(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	iconv_t cd;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n;
	setlocale(LC_CTYPE, "C.UTF-8");
	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1)
		EVP_DigestFinal_ex(ctx, digest, &n);
	EVP_MD_CTX_free(ctx);
	cd = iconv_open("UTF-8", "UTF-8");
	if (cd != (iconv_t)-1)
		iconv_close(cd);
}

/* Waits until the source has something, or the stream is being closed. */
static void wait_for_source(struct stream *s)
{
	struct pollfd p = { .fd = s->src.wait_fd, .events = POLLIN };
	while (p.fd >= 0 && !s->stop && poll(&p, 1, 100) == 0)
		;
}

/* One read of the source; counted and bounded. */
static ssize_t read_source(struct stream *s, void *buf, size_t n, struct err *err)
{
	ssize_t got;
	uint64_t total;
	wait_for_source(s);
	if (s->stop)
		return err_set(err, ERR_SYS, "closed");
	got = s->src.read(s->src.arg, buf, n, err);
	if (got <= 0)
		return got;
	total = atomic_fetch_add(&s->in_bytes, (uint64_t)got) + (uint64_t)got;
	if (s->limits.max_in_bytes && total > s->limits.max_in_bytes)
		return err_set(err, ERR_INVALID, "larger than the %llu bytes allowed", (unsigned long long)s->limits.max_in_bytes);
	return got;
}

/* What the decoder reads: the peeked bytes, then the source, as much of it as fits, since short pieces could not be hashed beside whole
 * chunks. buf stays as it is until the next call. */
static ssize_t counted_read(void *arg, void *buf, size_t n, struct err *err)
{
	struct stream *s = arg;
	size_t len = 0;
	if (s->head_at < s->head_len) {
		len = MIN(n, s->head_len - s->head_at);
		memcpy(buf, s->head + s->head_at, len);
		s->head_at += len;
		return (ssize_t)len;
	}
	sha256_add(s->in_md, s->unhashed, s->n_unhashed);
	s->n_unhashed = 0;
	while (len < n) {
		ssize_t got = read_source(s, (char *)buf + len, n - len, err);
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	s->unhashed = buf;
	s->n_unhashed = len;
	return (ssize_t)len;
}

static int check_size(struct stream *s, struct err *err)
{
	uint64_t in = atomic_load(&s->in_bytes);
	if (s->limits.max_out_bytes && s->out_bytes > s->limits.max_out_bytes)
		return err_set(err, ERR_INVALID, "decompresses to more than the %llu bytes allowed",
			(unsigned long long)s->limits.max_out_bytes);
	if (s->limits.max_ratio && s->out_bytes >> RATIO_FLOOR_SHIFT && s->out_bytes / s->limits.max_ratio > in)
		return err_set(err, ERR_INVALID, "decompresses to more than %u times its size", s->limits.max_ratio);
	return 0;
}

/* Fills one chunk. Returns its length, 0 at the end, -1 + err. */
static ssize_t produce(struct stream *s, struct chunk *c, struct err *err)
{
	c->len = 0;
	while (c->len < CHUNK_BYTES) {
		ssize_t n = decode_read(s->decode, c->p + c->len, CHUNK_BYTES - c->len, err);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		c->len += (size_t)n;
	}
	s->out_bytes += c->len;
	if (check_size(s, err) < 0)
		return -1;
	if (s->out_md)
		sha256_add_both(s->in_md, s->unhashed, s->n_unhashed, s->out_md, c->p, c->len);
	else
		sha256_add(s->in_md, s->unhashed, s->n_unhashed);
	s->n_unhashed = 0;
	return (ssize_t)c->len;
}

static void publish_result(struct stream *s)
{
	s->result.in_bytes = atomic_load(&s->in_bytes);
	s->result.out_bytes = s->out_bytes;
	sha256_end(s->in_md, s->result.in_sha256);
	if (s->out_md)
		sha256_end(s->out_md, s->result.out_sha256);
	else
		memcpy(s->result.out_sha256, s->result.in_sha256, sizeof(s->result.in_sha256));
}

static void *stream_main(void *arg)
{
	struct stream *s = arg;
	for (;;) {
		struct err err = {0};
		ssize_t n;
		pthread_mutex_lock(&s->lock);
		while (!s->stop && s->put - s->taken == N_CHUNKS)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->stop) {
			pthread_mutex_unlock(&s->lock);
			return NULL;
		}
		pthread_mutex_unlock(&s->lock);
		n = produce(s, &s->ring[s->put % N_CHUNKS], &err);
		pthread_mutex_lock(&s->lock);
		if (n > 0) {
			s->put++;
		} else {
			if (n < 0)
				s->err = err;
			else
				publish_result(s);
			s->end = true;
		}
		pthread_cond_signal(&s->changed);
		pthread_mutex_unlock(&s->lock);
		if (n <= 0)
			return NULL;
	}
}

/* Reads the first bytes and chooses the decoder. */
static int sniff(struct stream *s, struct err *err)
{
	const struct stream_source src = { .read = counted_read, .arg = s, .wait_fd = -1 };
	enum decode_kind kind;
	size_t len = 0;
	while (len < sizeof(s->head)) {
		ssize_t n = read_source(s, s->head + len, sizeof(s->head) - len, err);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	s->head_len = len;
	sha256_add(s->in_md, s->head, len);
	kind = decode_sniff(s->head, len);
	if (kind != DECODE_NONE)
		s->out_md = sha256_new();
	return decode_new(kind, &src, &s->decode, err);
}

int stream_open(const struct stream_source *src, const struct stream_limits *limits, struct stream **ret, struct err *err)
{
	struct stream *s = xcalloc(1, sizeof(*s));
	int rc;
	s->src = *src;
	s->limits = *limits;
	s->in_md = sha256_new();
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	for (size_t i = 0; i < N_CHUNKS; i++)
		s->ring[i].p = xcalloc(1, CHUNK_BYTES);
	if (sniff(s, err) < 0) {
		stream_close(s);
		return -1;
	}
	rc = pthread_create(&s->thread, NULL, stream_main, s);
	s->started = rc == 0;
	if (!s->started) {
		stream_close(s);
		return err_sys(err, rc, "start a thread");
	}
	*ret = s;
	return 0;
}

ssize_t stream_next(struct stream *s, const void **ret_buf, struct err *err)
{
	ssize_t n = 0;
	pthread_mutex_lock(&s->lock);
	if (s->held) {
		s->held = false;
		s->taken++;
		pthread_cond_signal(&s->changed);
	}
	while (s->put == s->taken && !s->end)
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->put != s->taken) {
		const struct chunk *c = &s->ring[s->taken % N_CHUNKS];
		s->held = true;
		*ret_buf = c->p;
		n = (ssize_t)c->len;
	} else if (s->err.code != ERR_NONE) {
		if (err)
			*err = s->err;
		n = -1;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

uint64_t stream_in_bytes(const struct stream *s)
{
	return atomic_load(&s->in_bytes);
}

int stream_finish(struct stream *s, struct stream_result *ret, struct err *err)
{
	const void *ignored;
	ssize_t n;
	while ((n = stream_next(s, &ignored, err)) > 0)
		;
	if (n < 0)
		return -1;
	*ret = s->result;
	return 0;
}

struct stream *stream_close(struct stream *s)
{
	if (!s)
		return NULL;
	if (s->started) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->changed);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	decode_free(s->decode);
	sha256_free(s->in_md);
	sha256_free(s->out_md);
	for (size_t i = 0; i < N_CHUNKS; i++)
		free(s->ring[i].p);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

void stream_close_p(struct stream **s)
{
	*s = stream_close(*s);
}
