/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind runtime/seccomp.c: what a container may call, by capability. */
#ifndef RUNTIME_SECCOMP_PROFILE_H
#define RUNTIME_SECCOMP_PROFILE_H

#include <stddef.h>
#include <stdint.h>

/* Names that are allowed without a condition when the container has one of `with` (0: always) and none of `without`. */
struct seccomp_group {
	const char *names; /* separated by blanks; those that libseccomp does not know are skipped */
	uint64_t with, without;
};

enum seccomp_compare { SECCOMP_EQUAL, SECCOMP_NOT_EQUAL, SECCOMP_MASK_CLEAR };

/* One name that is allowed when an argument fits; several rules of a name are alternatives. */
struct seccomp_condition {
	const char *name;
	unsigned argument;
	enum seccomp_compare compare;
	uint64_t value;
	uint64_t without;
};

extern const struct seccomp_group seccomp_profile_groups[];
extern const size_t seccomp_profile_n_groups;
extern const struct seccomp_condition seccomp_profile_conditions[];
extern const size_t seccomp_profile_n_conditions;

/* Everything that the table says, as text: part of the cache key. */
#define SECCOMP_PROFILE_VERSION "docker-default 2026-1"

#endif
