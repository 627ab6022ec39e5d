/* SPDX-License-Identifier: Apache-2.0 */
/* The container's view of the file system, in the child only and in two halves: rootfs_prepare() while the child still is in the
 * parent's mount namespace, where the descriptors of layers and volumes are valid; rootfs_build() in a mount namespace of its own. */
#ifndef RUNTIME_ROOTFS_H
#define RUNTIME_ROOTFS_H

#include "runtime/container.h"
#include "runtime/mounts.h"

struct rootfs {
	const struct container_spec *spec;
	int root_fd;                       /* the overlay: detached, then the container's / */
	int null_fd;                       /* the host's /dev/null, checked */
	struct mounts_source *sources;     /* one per mount of the specification */
	struct mounts_source files[3];     /* hostname, hosts, resolv.conf */
	int console_master, console_slave; /* -1 without tty */
};

/* Builds the overlay and clones what will be bound. */
int rootfs_prepare(struct rootfs *r, const struct container_spec *spec, struct err *err);
/* The descriptors that must stay open from here to rootfs_build(): appended to *ret, returns the new count. */
size_t rootfs_descriptors(const struct rootfs *r, int *ret, size_t n);
/* Mounts everything, makes the console, leaves the host's tree behind. Afterwards / is the container's. */
int rootfs_build(struct rootfs *r, struct err *err);

#endif
