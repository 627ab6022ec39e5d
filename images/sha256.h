/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 of two streams at once. A layer has two digests, of its bytes as they come and as they are unpacked, and hashing is the largest part
 * of what a pull costs; but a processor's SHA instructions wait for one another within a stream: two streams in turns take hardly
 * longer than one. Where there are no such instructions libcrypto does the work. */
#ifndef IMAGES_SHA256_H
#define IMAGES_SHA256_H

#include "base/util.h"

struct sha256;

/* Never NULL. */
struct sha256 *sha256_new(void);
/* The same by libcrypto even where there are instructions, so that both ways can be tested on one machine. */
struct sha256 *sha256_new_libcrypto(void);
struct sha256 *sha256_free(struct sha256 *s); /* takes NULL; returns NULL */

void sha256_add(struct sha256 *s, const void *p, size_t n);
/* The same for two different streams, whichever way each is done; either n may be 0. */
void sha256_add_both(struct sha256 *a, const void *p, size_t n, struct sha256 *b, const void *q, size_t m);
/* The digest as 64 digits; nothing may be added after it. */
void sha256_end(struct sha256 *s, char ret_hex[static 65]);

#endif
