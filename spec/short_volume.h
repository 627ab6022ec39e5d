/* SPDX-License-Identifier: Apache-2.0 */
/* The short form of a mount: [SOURCE:]TARGET[:OPTIONS]. */
#ifndef SPEC_SHORT_VOLUME_H
#define SPEC_SHORT_VOLUME_H

#include "base/arena.h"

struct short_volume {
	bool bind;                 /* the source is a path: type bind; else type volume */
	bool bare;                 /* too short for a source: no options object of its type */
	const char *source;        /* NULL: anonymous volume */
	const char *target;        /* as written */
	bool read_only, nocopy;
	bool bind_options;         /* propagation or selinux were given */
	const char *propagation;   /* NULL: none */
	const char *selinux;       /* "z", "Z" or NULL */
	const char *unknown;       /* the first option that means nothing, NULL: none */
};

/* Parses s without regard to whether variables in it were replaced. False with *ret_why on a malformed one. Texts are in the arena. */
bool short_volume_parse(const char *s, struct arena *a, struct short_volume *ret, const char **ret_why);

#endif
