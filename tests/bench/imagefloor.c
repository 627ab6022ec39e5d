/* SPDX-License-Identifier: Apache-2.0 */
/* The least that getting an image costs: imagefloor N FILE... reads each blob, hashes it, decompresses it (gzip or zstd, by its first bytes),
 * hashes what comes out, and throws it away; N files side by side. Prints the seconds that it took and the two totals. */
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

enum { IN = 128 << 10, OUT = 256 << 10 };

static char **files;
static int n_files;
static atomic_int next;
static _Atomic unsigned long long total_in, total_out;

static void put(EVP_MD_CTX *md, const void *p, size_t n)
{
	EVP_DigestUpdate(md, p, n);
	total_out += n;
}

static void gunzip(FILE *f, EVP_MD_CTX *in_md, EVP_MD_CTX *out_md, unsigned char *in, unsigned char *out)
{
	z_stream z = { 0 };
	size_t n;
	inflateInit2(&z, 16 + MAX_WBITS);
	while ((n = fread(in, 1, IN, f)) > 0) {
		EVP_DigestUpdate(in_md, in, n);
		total_in += n;
		z.next_in = in;
		z.avail_in = (unsigned)n;
		do {
			z.next_out = out;
			z.avail_out = OUT;
			if (inflate(&z, Z_NO_FLUSH) == Z_STREAM_END)
				inflateReset(&z);
			put(out_md, out, OUT - z.avail_out);
		} while (z.avail_out == 0 || z.avail_in);
	}
	inflateEnd(&z);
}

static void unzstd(FILE *f, EVP_MD_CTX *in_md, EVP_MD_CTX *out_md, unsigned char *in, unsigned char *out)
{
	ZSTD_DCtx *d = ZSTD_createDCtx();
	size_t n;
	while ((n = fread(in, 1, IN, f)) > 0) {
		ZSTD_inBuffer from = { in, n, 0 };
		EVP_DigestUpdate(in_md, in, n);
		total_in += n;
		while (from.pos < from.size) {
			ZSTD_outBuffer to = { out, OUT, 0 };
			if (ZSTD_isError(ZSTD_decompressStream(d, &to, &from)))
				exit(1);
			put(out_md, out, to.pos);
		}
	}
	ZSTD_freeDCtx(d);
}

static void *work(void *arg)
{
	unsigned char *in = malloc(IN), *out = malloc(OUT);
	int i;
	while ((i = next++) < n_files) {
		EVP_MD_CTX *in_md = EVP_MD_CTX_new(), *out_md = EVP_MD_CTX_new();
		FILE *f = fopen(files[i], "rb");
		int head = f ? getc(f) : EOF;
		if (!f)
			exit(1);
		rewind(f);
		EVP_DigestInit_ex(in_md, EVP_sha256(), NULL);
		EVP_DigestInit_ex(out_md, EVP_sha256(), NULL);
		(head == 0x1f ? gunzip : unzstd)(f, in_md, out_md, in, out);
		fclose(f);
		EVP_MD_CTX_free(in_md);
		EVP_MD_CTX_free(out_md);
	}
	free(in);
	free(out);
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t threads[16];
	int n = argc > 2 ? atoi(argv[1]) : 0;
	struct timespec a, b;
	if (n < 1 || n > 16)
		return 2;
	files = argv + 2;
	n_files = argc - 2;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%.3f %llu %llu\n", (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9, total_in, total_out);
	return 0;
}
