/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the machine once, so that a start fails with one clear sentence and not with a bare EINVAL. */
#ifndef RUNTIME_PROBE_H
#define RUNTIME_PROBE_H

#include "base/err.h"

/* Whether directories below dirfd can be an overlay's upper and work directories: mounts one in a child's own mount namespace, in a
 * temporary directory that is gone afterwards. -1 + ERR_UNSUPPORTED naming the file system (overlay, nfs, fuse, xfs without ftype …)
 * and what to do. 2 ms. */
int probe_overlay(int dirfd, struct err *err);
/* Whether this kernel has what cannot be replaced: namespaces, pidfds, seccomp filters, overlay. -1 + ERR_UNSUPPORTED naming the first
 * that lacks. */
int probe_kernel(struct err *err);

#endif
