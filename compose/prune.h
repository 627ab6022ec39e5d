/* SPDX-License-Identifier: Apache-2.0 */
/* What the prune commands share: `image prune`, `builder prune` and `system prune`, which does all of it. */
#ifndef COMPOSE_PRUNE_H
#define COMPOSE_PRUNE_H

#include "compose/cmd.h"
#include "compose/image_rows.h"

/* What went, as it is printed, and the bytes that this gave back. */
struct pruned {
	struct strv lines;
	uint64_t bytes;
};

/* Asks on the terminal; true for yes. */
bool prune_confirm(const char *warning);
/* Removes images that no container uses and the filter means: with all any of them, else those without a name; and what interrupted pulls have
 * left. Adds to *ret; 0, or 1 after a message. */
int prune_images(struct app *app, struct store *s, bool all, const struct image_filter *f, struct pruned *ret);
/* Bytes of the files below dir_fd/name, hard links once each time they are met; dev: the only file system entered, 0: that of the top. depth: 0. */
uint64_t prune_tree_bytes(int dir_fd, const char *name, dev_t dev, int depth);
/* Removes the directories of RUN --mount=type=cache that no step has locked. */
void builder_drop_mounts(const struct app *app);

#endif
