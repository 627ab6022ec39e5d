/* SPDX-License-Identifier: Apache-2.0 */
/* Stages that both fences share: the one around who unpacks (confine.c) and the one around who talks to registries
 * (confine_net.c). Nobody else includes this. */
#ifndef IMAGES_CONFINE_IMPL_H
#define IMAGES_CONFINE_IMPL_H

#include <seccomp.h>

#include "base/err.h"

/* No new privileges, no core dump, not to be traced. 0 or -1 + err. */
int confine_no_privileges(struct err *err);
/* An own mount namespace that sends nothing back. -1 + err; err->sys is EPERM when this process may not have one. */
int confine_unshare_mounts(struct err *err);
/* An empty tmpfs over the root of our own mount namespace: its descriptor, -1 + errno. */
int confine_mount_tmpfs(void);
/* Makes mnt_fd the root and drops everything else. -1 + errno. */
int confine_become_root(int mnt_fd);
/* Keeps, of the capabilities we have, only these. 0 or -1 + err. */
int confine_drop_capabilities(const int *keep, size_t n, struct err *err);
/* Calls that are harmless to everybody: reading and writing open descriptors, memory, threads, time. 0 or -1. */
int confine_allow_common(scmp_filter_ctx f);
/* Loads the filter: what allow() adds may be called, what neither ours nor a library ever calls is death, the rest is EPERM.
 * allow returns 0 or -1. */
int confine_seccomp(int (*allow)(scmp_filter_ctx f), struct err *err);

#endif
