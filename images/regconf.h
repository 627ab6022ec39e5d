/* SPDX-License-Identifier: Apache-2.0 */
/* registries.conf(5), version 2, as far as muster honours it: [aliases] for short names, and per [[registry]] prefix, location,
 * insecure, blocked, mirror-by-digest-only and its mirrors (location, insecure, pull-from-mirror). Search lists are not followed: a
 * short name without an alias is docker.io's, whatever unqualified-search-registries says. Pure: texts in, places out. */
#ifndef IMAGES_REGCONF_H
#define IMAGES_REGCONF_H

#include "base/json.h"

enum { REGCONF_MAX_BYTES = 1 << 20, REGCONF_MAX_PLACES = 8 };

/* Adds a file's text (text[n] is NUL) to *conf (NULL at first, owned by the caller): a registry of the same prefix and an alias of the same name
 * are replaced; an alias for "" is forgotten. 0; -1 + ERR_INVALID, *conf as before. */
int regconf_add(json_t **conf, const char *text, size_t n, struct err *err);

struct place {
	char registry[256], repository[256]; /* "mirror.example:5000", "hub/library/busybox" */
	bool insecure, mirror;
};

/* Where the image that a person calls `name` is to be had, in the order to try; the last one is the registry itself. push: only that
 * one. Returns 0 with ret[0..*ret_n); -1 + err (ERR_DENIED: blocked; ERR_INVALID: no reference, or a place that is none). conf may be NULL. */
int regconf_resolve(const json_t *conf, const char *name, bool push, struct place ret[static REGCONF_MAX_PLACES], size_t *ret_n,
	struct err *err);

#endif
