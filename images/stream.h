/* SPDX-License-Identifier: Apache-2.0 */
/* A source of bytes read by its own thread: input -> SHA-256 -> decompress (none, gzip, zstd, xz, bzip2: told by the first
 * bytes) -> SHA-256 -> a ring of buffers, from which the caller takes chunks. So the hashing and inflating of a layer go on
 * beside its unpacking, and one pass yields both digests. Errors are sticky: once a stage fails, the reader gets that error and
 * nothing after it. */
#ifndef IMAGES_STREAM_H
#define IMAGES_STREAM_H

#include "base/err.h"

/* Reads up to n bytes into buf; returns the count, 0 at the end, -1 + err. Called from the stream's thread only. */
typedef ssize_t stream_read_fn(void *arg, void *buf, size_t n, struct err *err);

struct stream_source {
	stream_read_fn *read;
	void *arg;
	int wait_fd; /* what read() may wait for, a silent pipe for instance: then closing need not wait with it; -1: it never waits */
};

struct stream_limits {
	uint64_t max_in_bytes;   /* compressed; 0 = no bound */
	uint64_t max_out_bytes;  /* decompressed; 0 = no bound */
	unsigned max_ratio;      /* decompressed : compressed, looked at beyond the first GiB; 0 = no bound */
};

struct stream_result {
	uint64_t in_bytes, out_bytes;
	char in_sha256[65];      /* of what came in: a blob's digest */
	char out_sha256[65];     /* decompressed: a layer's diffID */
};

struct stream;

/* The read function for a descriptor; arg is an int *, which must outlive the stream. */
stream_read_fn stream_read_fd;

/* Whatever libraries load lazily from files (digest providers, converters, locale), loaded now: call it before a jail closes. */
void stream_prepare(void);

/* Starts the thread. Returns 0, or -1 + err. */
int stream_open(const struct stream_source *src, const struct stream_limits *limits, struct stream **ret, struct err *err);
/* The next chunk: its length, and where it is in *ret_buf until the next call; 0 at the end; -1 + err. */
ssize_t stream_next(struct stream *s, const void **ret_buf, struct err *err);
/* Bytes taken from the source so far; any thread. */
uint64_t stream_in_bytes(const struct stream *s);
/* Reads on to the end (what nobody looked at belongs to the digests too) and fills *ret. Returns 0 or -1 + err. */
int stream_finish(struct stream *s, struct stream_result *ret, struct err *err);
/* Stops the thread and frees; takes NULL; returns NULL. */
struct stream *stream_close(struct stream *s);
void stream_close_p(struct stream **s);
#define AUTO_STREAM CLEANUP(stream_close_p)

#endif
