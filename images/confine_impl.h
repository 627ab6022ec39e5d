/* SPDX-License-Identifier: Apache-2.0 */
/* Stages that both fences share: the one around who unpacks (confine.c) and the one around who talks to registries
 * (confine_net.c), and the one around the builder (build/jail.c). Nobody else includes this. */
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
/* The same, and what files and directories below open ones need. 0 or -1. */
int confine_allow_files(scmp_filter_ctx f);
/* confine_enter() with directories from elsewhere, which may be read only: extra_fds[] are replaced by descriptors of them inside. */
int confine_enter_with(int root_fd, const char *const *dirs, int *extra_fds, size_t n_extra, int (*allow)(scmp_filter_ctx f), struct err *err);
/* Loads the filter: what allow() adds may be called, what neither ours nor a library ever calls is death, the rest is EPERM.
 * allow returns 0 or -1. */
int confine_seccomp(int (*allow)(scmp_filter_ctx f), struct err *err);

#endif
