/* SPDX-License-Identifier: Apache-2.0 */
/* Mounting by descriptor. A target is first resolved inside the container's root to an O_PATH descriptor and then mounted upon, so
 * that no symlink of an image, however it races, leads outside (CVE-2021-30465, CVE-2024-45310). A source is cloned into a detached,
 * private tree while the child still is in the namespace that its descriptor belongs to. Where the kernel or a filter refuses the new
 * mount calls, mount(2) on /proc/self/fd/N does the same, by way of the source's path, checked by device and inode. */
#ifndef RUNTIME_MOUNTS_H
#define RUNTIME_MOUNTS_H

#include "base/err.h"

struct mounts_source {
	int fd; /* what to bind; borrowed */
	bool recursive;
	bool read_only;
	bool foreign; /* belongs to the mount namespace that the child will have left */
	int tree;     /* detached clone, -1: attach by mount(2) */
	bool plain;   /* the clone could not be given its attributes */
};

/* Fills tree; 0, also where there are no detached trees. */
int mounts_source_prepare(struct mounts_source *s, struct err *err);
/* Attaches it at target_fd, which is `path` below root_fd. */
int mounts_source_attach(struct mounts_source *s, int root_fd, const char *path, int target_fd, struct err *err);
void mounts_source_done(struct mounts_source *s);

/* O_PATH descriptor of an absolute path inside root_fd, symlinks resolved against it; what lacks is created (directories 0755, file
 * 0644). */
int mounts_target(int root_fd, const char *path, bool directory, struct err *err);
/* The same, and notes what had to be made (runtime/mountpoints.h; NULL: does not). */
struct mountpoints;
int mounts_target_noted(int root_fd, const char *path, bool directory, struct mountpoints *made, struct err *err);
/* Makes the mount namespace's own root our root. The supervisor may live in a chroot, which is no boundary: pivot_root would then move only
 * the chroot's mount aside and leave the host's tree above the container, within reach of CAP_SYS_CHROOT and of every later setns. Also,
 * what mounts_reopen() reads is a path from that root. */
int mounts_leave_chroot(struct err *err);
/* The same place opened in the present mount namespace by its path; refused when it is not the same file any more. */
int mounts_reopen(int fd, struct err *err);
/* mount(2) of a new file system upon target_fd. */
int mounts_fs(const char *type, int target_fd, unsigned long flags, const char *data, struct err *err);
/* Makes the mount at path below root_fd read-only, keeping its other flags. */
int mounts_make_read_only(int root_fd, const char *path, struct err *err);

#endif
