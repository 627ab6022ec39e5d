/* SPDX-License-Identifier: Apache-2.0 */
/* Sources of bind mounts: a path of the host, opened once and mounted from the descriptor, so that what was checked is what is
 * mounted. */
#ifndef VOLUMES_BIND_H
#define VOLUMES_BIND_H

#include "base/err.h"

struct bind_source {
	int fd;        /* O_PATH; owned by the caller */
	bool is_dir;   /* else a file, socket, FIFO or device: the target must not be a directory */
	bool created;  /* the directory was missing and has been made */
};

/* Opens the absolute host path (symlinks are followed, as mount does). create: a missing path becomes a directory, its missing
 * parents too, 0755, owned as the nearest parent that was there. Returns 0; -1 + err: ERR_NOT_FOUND `bind source "/x" does not
 * exist`, ERR_INVALID (not an absolute path), ERR_SYS (unreadable parent, a parent that is no directory, a symlink loop). */
int bind_open(const char *path, bool create, struct bind_source *ret, struct err *err);

#endif
