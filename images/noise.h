/* SPDX-License-Identifier: Apache-2.0 */
/* Is it worth compressing? Layers are full of what is compressed already: packages, pictures, jars. gzip's usual level takes 20 ms for each
 * megabyte of it to save nothing; looking first takes 1.3. */
#ifndef IMAGES_NOISE_H
#define IMAGES_NOISE_H

#include "base/util.h"

struct noise;

struct noise *noise_new(void); /* never NULL */
struct noise *noise_free(struct noise *n); /* takes NULL; returns NULL */

/* True when deflate would make len bytes hardly any smaller. Depends on these bytes alone. */
bool noise_is(struct noise *n, const void *p, size_t len);

#endif
