/* SPDX-License-Identifier: Apache-2.0 */
/* What muster-image can still do once it reads foreign bytes: read its input, write below two folders of the store, compute. In
 * this order:
 * no new privileges; an own mount namespace whose root is an empty read-only tmpfs with nothing but the store's folders in it
 * (with CAP_SYS_ADMIN); Landlock over the same folders, no TCP (where the kernel has it); at least one of these two must work;
 * capabilities down to what unpacking needs; seccomp: an allow-list, with sudden death for what only an attacker would call. */
#ifndef IMAGES_CONFINE_H
#define IMAGES_CONFINE_H

#include "base/err.h"

/* Enters the jail. root_fd: the state root; its folders dirs[] (NULL-terminated, single names) are made when missing and are all
 * that stays.
 * Returns a descriptor of the new root that holds them (root_fd is closed), -1 + err. Afterwards the process may start threads,
 * not processes.
 * The caller holds no other descriptor of a directory, and has loaded what it needs from files. */
int confine_enter(int root_fd, const char *const *dirs, struct err *err);

/* The same with one more directory, below which files can be read: *read_fd is replaced by a descriptor of it inside. */
int confine_enter_reading(int root_fd, const char *const *dirs, int *read_fd, struct err *err);

/* The fence around the process that talks to registries: it never sees the store or what is unpacked; it has sockets and the
 * pipes it was given. An empty read-only root with copies of the few files that name resolution reads; Landlock over the same
 * files where there is one; no capabilities; seccomp: sockets to the Internet only, files are opened for reading only. What
 * libraries load must be loaded. */
int confine_enter_net(struct err *err);

#endif
