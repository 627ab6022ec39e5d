/* SPDX-License-Identifier: Apache-2.0 */
/* The overlay of a container's layers, with the options that make its upper directory the layer diff of OCI: no index, no metacopy, no
 * redirects. */
#ifndef RUNTIME_OVERLAY_H
#define RUNTIME_OVERLAY_H

#include "base/err.h"

enum { OVERLAY_LAYERS_MAX = 500 };

struct overlay {
	const int *layer_fds; /* bottom to top */
	size_t n_layers;
	int upper_fd, work_fd; /* -1: read-only, and at least two layers */
	bool is_volatile;
};

/* A detached mount of it; works across namespaces because nothing is looked up by path later. Returns the descriptor; -1 + err; or
 * OVERLAY_OLD when this kernel (before 6.5) or a filter refuses: then use overlay_mount_here() in the new namespace. */
enum { OVERLAY_OLD = -2 };
int overlay_new(const struct overlay *o, struct err *err);
/* mount(2) of it upon the directory `target` of the present, private mount namespace. */
int overlay_mount_here(const struct overlay *o, const char *target, struct err *err);
/* A detached mount of it on any kernel since 5.2: where overlay_new() cannot, a child mounts it in a namespace of its own and sends a clone.
 * Attach it at most once; what looks into it by the descriptor may go on after that. -1 + err. */
int overlay_detached(const struct overlay *o, struct err *err);

#endif
