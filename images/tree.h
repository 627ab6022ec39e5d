/* SPDX-License-Identifier: Apache-2.0 */
/* Where an entry of a layer goes: the parent directory of a name, resolved inside the layer's root as after a chroot, made where
 * it is missing. Archives walk a directory at a time, so the last parent is kept open and 17 000 entries cost next to no
 * lookups. */
#ifndef IMAGES_TREE_H
#define IMAGES_TREE_H

#include <sys/stat.h>

#include "base/err.h"

struct tree {
	int root_fd;        /* borrowed: the layer's root */
	int dir_fd;         /* the parent found last, O_PATH; -1 = none */
	char dir[4096];     /* its name as the archive writes it */
	struct strv made;   /* directories that nobody mentioned, by their real paths */
};

void tree_init(struct tree *t, int root_fd);
void tree_done(struct tree *t);

/* The directory `dir` (clean, "" = the root), made with its parents (0755, ours) where missing; also where a dangling symlink
 * leads. Returns an O_PATH descriptor that stays the tree's, valid until the next call; -1 + err. */
int tree_dir(struct tree *t, const char *dir, struct err *err);
/* The parent of `path` (clean, not ""), as tree_dir(); *ret_base is its last component, inside path. */
int tree_parent(struct tree *t, const char *path, const char **ret_base, struct err *err);
/* True when st is a whiteout in overlayfs form: a character device 0:0. */
bool tree_is_whiteout(const struct stat *st);
/* Marks the directory base in dir_fd ("." = itself) opaque. Returns 0 or -1 + err. */
int tree_set_opaque(int dir_fd, const char *base, struct err *err);

#endif
