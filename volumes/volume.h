/* SPDX-License-Identifier: Apache-2.0 */
/* Named and anonymous volumes below a state root: volumes/<name>/{_data/,meta.json}. A volume exists exactly when volumes/<name>
 * does: it is made whole as .new-*, synced and renamed; removed by a rename to .gone-* first. Both steps run under
 * volumes/.lock, so that leftovers of a killed process are told apart from work in progress. Nothing in here knows containers:
 * whether a volume is in use is its caller's question. _data keeps its inode for life (copy-up moves content into it), so a
 * mounted volume is never replaced. */
#ifndef VOLUMES_VOLUME_H
#define VOLUMES_VOLUME_H

#include "base/json.h"

struct volume {
	char *name;          /* docker's rule: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 255 bytes */
	char *driver;        /* "local" */
	json_t *labels;      /* object of strings, never NULL; com.docker.compose.project among them for a project's volume */
	uint64_t created_ns; /* real clock */
	bool anonymous;      /* 64 hexadecimal digits as a name, made for a VOLUME of an image; one whose name the caller chose has docker's label for it */
};

/* Makes the volume, durably. labels: an object of strings, borrowed, may be NULL. name NULL or "": an anonymous one, its
 * 64-digit name comes back in *ret_name (free() it; ret_name may be NULL otherwise, else it gets a copy of name). Returns 0; 1
 * when a volume of that name was there (it is left as it is); -1 + err (ERR_INVALID: not a volume name). */
int volume_create(int root_fd, const char *name, const json_t *labels, char **ret_name, struct err *err);

/* Reads the volume. Returns 0 and fills *ret (volume_done() it); 1 when there is none; -1 + err. A volume whose meta.json is
 * missing or torn is still a volume: driver local, no labels. */
int volume_lookup(int root_fd, const char *name, struct volume *ret, struct err *err);

/* All volumes, sorted by name. *ret is an array of *ret_n, free it by volume_list_free(). Returns 0 or -1 + err. */
int volume_list(int root_fd, struct volume **ret, size_t *ret_n, struct err *err);
void volume_list_free(struct volume *volumes, size_t n);
void volume_done(struct volume *v);

/* Opens volumes/<name> for copyup_fill() and volume_open_data(). Returns the descriptor; -1 + err (ERR_NOT_FOUND). */
int volume_open(int root_fd, const char *name, struct err *err);
/* Opens the directory to mount, finishing an interrupted copy-up first. volume_fd: of volume_open(). Returns a descriptor, -1 + err. */
int volume_open_data(int volume_fd, struct err *err);

/* Removes the volume with its data. The caller has made sure that nothing uses it. Returns 0; 1 when there was none; -1 + err.
 * Once it returned 0, or was killed after the rename, the volume is gone; what is left of its files goes with the next volume_*
 * change. */
int volume_remove(int root_fd, const char *name, struct err *err);

#endif
