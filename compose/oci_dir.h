/* SPDX-License-Identifier: Apache-2.0 */
/* An OCI layout that is a directory, as the archive that muster-image reads: its jail lets no directory of somebody else's in. */
#ifndef COMPOSE_OCI_DIR_H
#define COMPOSE_OCI_DIR_H

#include <sys/types.h>

#include "base/err.h"

/* When *fd is a directory, it is replaced by the read end of a pipe that a child of ours fills with the layout as a tar archive; *ret_pid is
 * the child, else 0. Returns 0 or -1 + err. */
int oci_dir_read(int *fd, pid_t *ret_pid, struct err *err);
/* The same with this text in place of index.json, of a descriptor that is a directory; a manifest.json does not go along. */
int oci_dir_read_as(int *fd, const char *index, pid_t *ret_pid, struct err *err);
/* Waits for the child (0: none). Returns 0, or -1 + err when it could not read everything; err NULL: its outcome does not matter. */
int oci_dir_end(pid_t pid, struct err *err);

#endif
