/* SPDX-License-Identifier: Apache-2.0 */
/* A block of lines at the end of a terminal that is replaced in place: goes up as many rows as it has taken and writes the new lines over the
 * old ones in one write, each cleared to its end. No flicker, no mode of the terminal is changed, and a process that dies leaves a readable
 * screen with the cursor below. */
#ifndef COMPOSE_BLOCK_H
#define COMPOSE_BLOCK_H

#include "base/str.h"

struct block {
	int fd;               /* not owned */
	struct str drawn;     /* what is on the screen, "" when nothing is */
};

/* Puts frame (lines that end with \n, fewer than the screen has) in the place of what was there; takes its text over. */
void block_show(struct block *b, struct str *frame);
/* Writes text above the block, which is gone from the screen then: show it again. */
void block_write(struct block *b, const struct str *text);
/* The block stays where it is; what comes next is written below it. */
void block_leave(struct block *b);
/* Text as it may be shown: control bytes and what is no UTF-8 escaped. */
void block_add_safe(struct str *ret, const char *s);

#endif
