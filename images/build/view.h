/* SPDX-License-Identifier: Apache-2.0 */
/* A stack of layer directories as overlayfs would show it, read and written without a mount: the builder copies between such views. A view is
 * walked by descriptors, one component after the other, each opened without following links; symlinks are resolved here, inside the view, as
 * after a chroot. So neither a link in a context or an image nor one that is changed meanwhile leads anywhere else.
 * The top of a writable view takes the changes, in overlayfs form: a directory that is only below is copied up (its mode, owner, times and
 * xattrs) when something in it changes. */
#ifndef IMAGES_BUILD_VIEW_H
#define IMAGES_BUILD_VIEW_H

#include <sys/stat.h>

#include "base/err.h"
#include "base/str.h"

struct view {
	const int *fds;  /* directories, bottom to top; borrowed */
	size_t n;
	bool raw;        /* one plain directory: character devices 0:0 mean nothing */
	bool writable;   /* the last one takes changes */
};

/* One directory of the view: what the layers contribute to it. */
struct view_level {
	int *fds;        /* top first */
	size_t n;
	bool upper;      /* fds[0] belongs to the layer that takes changes */
	char *name;      /* in the level above; NULL: the root */
};

/* A way from the root down to a directory. */
struct view_walk {
	const struct view *view;
	struct view_level *levels; /* [0] is the root */
	size_t n, cap;
};

int view_walk_init(struct view_walk *w, const struct view *view, struct err *err);
void view_walk_done(struct view_walk *w); /* takes a zeroed one, may be called twice */
#define AUTO_WALK CLEANUP(view_walk_done)

/* Looks name up in the directory where the walk is. Returns 0, with *ret_st; 1 when it is not there; -1 + err. */
int view_find(const struct view_walk *w, const char *name, struct stat *ret_st, struct err *err);
/* Down into the directory name (found before), up again (not above the root), up to the root. */
int view_down(struct view_walk *w, const char *name, struct err *err);
void view_up(struct view_walk *w);
void view_rewind(struct view_walk *w);
/* The names in the directory, sorted by bytes. */
int view_list(const struct view_walk *w, struct strv *ret, struct err *err);
/* The path of the directory: "/", "/usr/bin". free() it. */
char *view_path(const struct view_walk *w);
/* Opens the file name: regular files only, for reading, never waiting. *ret_st: of what was opened. The descriptor, -1 + err. */
int view_open(const struct view_walk *w, const char *name, struct stat *ret_st, struct err *err);
/* An O_PATH-like descriptor of the topmost directory that makes up this one, for *at() calls that only read; the walk's own. */
int view_dir_fd(const struct view_walk *w);
/* The descriptor of the directory in which name is found, the walk's own; -1: nowhere. */
int view_holder(const struct view_walk *w, const char *name);
/* The target of the symlink name. 0 or -1 + err. */
int view_readlink(const struct view_walk *w, const char *name, char buf[static 4096], struct err *err);

enum { VIEW_FOLLOW = 1 /* a symlink at the end, too */ };
/* From the root along path (clean or not, absolute or not) to the directory that holds its last component; base gets that component, "" when
 * path is the root or ends with "..": then the walk is in it. Returns 0: it is there, with *ret_st; 1: it is not, the directory is; 2: nor is
 * the directory, or something on the way is none (base and place are then of no use); -1 + err. */
int view_resolve(struct view_walk *w, const char *path, unsigned flags, char base[static 256], struct stat *ret_st, struct err *err);

/* Whom and when new directories belong to. */
struct view_owner {
	uid_t uid;
	gid_t gid;
	mode_t mode;     /* of directories that are made */
	bool has_time;
	struct timespec time; /* their modification time; else now */
};
/* From the root into the directory path, made with its parents where missing. *ret_made (may be NULL): how many were made. 0 or -1 + err. */
int view_make_dirs(struct view_walk *w, const char *path, const struct view_owner *owner, unsigned *ret_made, struct err *err);
/* The descriptor of the directory in the layer that takes changes, copied up when it is not there yet; the walk's own. -1 + err. */
int view_upper(struct view_walk *w, struct err *err);
/* Makes the directory name where nothing is. 0 or -1 + err. */
int view_mkdir(struct view_walk *w, const char *name, const struct view_owner *owner, struct err *err);
/* Makes room for something else at name: what is there goes, an empty directory too, with `all` one with something in it. Returns the descriptor of
 * view_upper(), -1 + err (ENOTEMPTY: a directory with something in it). */
int view_clear(struct view_walk *w, const char *name, bool all, struct err *err);
/* Copies the extended attributes that layers may have (security.capability, user.*) from one open file to another. 0 or -1 + err. */
int view_copy_xattrs(int from_fd, int to_fd, struct err *err);

#endif
