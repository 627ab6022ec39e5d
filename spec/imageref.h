/* SPDX-License-Identifier: Apache-2.0 */
/* Image references, as the distribution project defines them: [registry/]repository[:tag][@digest].
 * "busybox" means docker.io/library/busybox:latest. */
#ifndef SPEC_IMAGEREF_H
#define SPEC_IMAGEREF_H

#include "base/arena.h"
#include "base/err.h"

struct imageref {
	const char *registry;     /* "docker.io", "localhost:5000", "[::1]:5000" */
	const char *repository;   /* "library/busybox" */
	const char *tag;          /* NULL: none was given; with a digest it may be NULL for good */
	const char *digest;       /* "sha256:…", NULL: none */
};

/* Parses what a person wrote. Texts are in the arena. The tag is left NULL when none is given (see imageref_full). -1 + ERR_INVALID. */
int imageref_parse(const char *text, struct arena *a, struct imageref *ret, struct err *err);
/* The full form, the key of the store: "docker.io/library/busybox:latest"; ":latest" is added when there is neither tag nor digest. */
char *imageref_full(const struct imageref *ref, struct arena *a);
/* The form people read: "busybox", "busybox:1.36", "alice/app", "ghcr.io/a/b:1"; no tag is added. */
char *imageref_familiar(const struct imageref *ref, struct arena *a);

#endif
