/* SPDX-License-Identifier: Apache-2.0 */
/* Text tables with left-aligned columns, as docker prints them: a column is as wide as its widest cell plus a gap, the
 * last column is not padded. Widths count characters, not bytes. Control characters in cells are escaped, so that a
 * container's name or command cannot write to somebody's terminal. */
#ifndef COMPOSE_TABLE_H
#define COMPOSE_TABLE_H

#include "base/str.h"

struct table {
	size_t columns;
	size_t min_width, gap;   /* a column's smallest width, gap included; blanks between columns */
	struct strv cells;       /* row by row */
};

/* ps, volumes: min_width 10, gap 3; ls, images: 20, 3. */
void table_init(struct table *t, size_t columns, size_t min_width, size_t gap);
/* Adds the next cell; rows fill from left to right. NULL counts as "". */
void table_cell(struct table *t, const char *text);
void table_cellf(struct table *t, const char *fmt, ...) PRINTF(2, 3);
void table_render(const struct table *t, struct str *ret);
void table_done(struct table *t);

/* Number of characters that a terminal shows for UTF-8 text; a broken byte counts as one, combining marks as none, wide ones as two. */
size_t table_width(const char *s);
/* Appends s cut to `width` characters, "…" in place of what is missing. Returns the width that was used. */
size_t table_add_cut(struct str *ret, const char *s, size_t width);

/* "5 seconds", "About a minute", "2 hours", "3 days": as docker words a duration. buf is returned. */
const char *table_human_duration(uint64_t seconds, char buf[static 40]);
/* "6.05MB": decimal, four significant digits at most, as docker words a size. */
const char *table_human_bytes(uint64_t bytes, char buf[static 24]);

#endif
