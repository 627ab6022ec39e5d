/* SPDX-License-Identifier: Apache-2.0 */
/* The system call filter of containers: docker's default profile (runtime/seccomp_profile.c), compiled by libseccomp for every
 * architecture the kernel runs here (10-16 ms) and cached as a BPF program, so that a start only loads it (0.1-0.3 ms). */
#ifndef RUNTIME_SECCOMP_H
#define RUNTIME_SECCOMP_H

#include "base/err.h"

struct sock_filter;

struct seccomp_program {
	struct sock_filter *filter; /* freed by seccomp_done() */
	uint16_t n;                 /* instructions */
};

/* The default profile for a container with these capabilities. cache_dirfd: the directory <root>/cache/seccomp, where the program is looked
 * up and stored by the SHA-256 of all that it depends on (profile, capabilities, architectures, libseccomp's version); a torn file there is
 * compiled anew; -1 = no cache. The cache is trusted: it must be writable by root only. 0 or -1 + err. */
int seccomp_default(int cache_dirfd, uint64_t caps, struct seccomp_program *ret, struct err *err);
void seccomp_done(struct seccomp_program *p); /* zeroed ones are fine */

/* Loads it into the calling process; needs CAP_SYS_ADMIN or no_new_privs. */
int seccomp_load_program(const struct seccomp_program *p, struct err *err);

#endif
