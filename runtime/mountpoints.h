/* SPDX-License-Identifier: Apache-2.0 */
/* Mount points that had to be made for a build step and must not get into its layer: noted when they are made, taken away after the step's
 * last process. Each is held by a descriptor of the directory it was made in and by its inode, and no path is looked up again: what the
 * step put in its place, wherever its links lead now, is not ours to delete (CVE-2024-23652). The directory gets the time back that it had,
 * unless the step has changed it as well. */
#ifndef RUNTIME_MOUNTPOINTS_H
#define RUNTIME_MOUNTPOINTS_H

#include <sys/stat.h>

#include "base/err.h"

enum { MOUNTPOINTS_MAX = 1024 };

struct mountpoint {
	int parent_fd, fd; /* held open, so that its inode number cannot be given to another */
	char *name, *parent;   /* parent: where it is in the tree, for mountpoints_tidy() */
	struct stat before;    /* of the parent */
	dev_t dev;
	ino_t ino;
	bool directory;
	struct timespec made;  /* the parent's mtime after */
};

struct mountpoints {
	struct mountpoint *v;
	size_t n, cap;
};

/* Makes path inside root_fd be a mount point, as mounts_target() does, and notes what had to be made. 0 or -1 + err. */
int mountpoints_make(struct mountpoints *s, int root_fd, const char *path, bool directory, struct err *err);
/* `name` was just made in parent_fd, whose state was `before`. s NULL: nothing is noted. */
void mountpoints_note(struct mountpoints *s, int parent_fd, const char *name, const struct stat *before);
/* Removes what is still there, empty and the same; nobody may work in the tree any more. Keeps no descriptor of it. Takes a zeroed one. */
void mountpoints_remove(struct mountpoints *s);
/* After that, when the tree is an overlay and unmounted: the directories that making mount points has copied to its upper directory, which was
 * empty before the step, go from there again when nothing else is in them and they are as they were. Frees. */
void mountpoints_tidy(struct mountpoints *s, int upper_fd);
/* Frees, and leaves everything where it is. */
void mountpoints_done(struct mountpoints *s);

#endif
