/* SPDX-License-Identifier: Apache-2.0 */
/* See block.h. How many rows a block takes depends on the present width: a terminal that became narrower has broken its long lines. */
#include "compose/block.h"

#include "base/fs.h"
#include "compose/table.h"
#include "compose/tty.h"

static void write_out(int fd, const struct str *s)
{
	struct err ignored;
	fs_write_all(fd, str_get(s), s->len, &ignored); /* nobody to tell when standard error is gone */
}

/* Screen lines that a frame takes at this width. */
static unsigned frame_rows(const char *frame, unsigned columns)
{
	unsigned rows = 0;
	while (*frame) {
		AUTO_STR struct str line = {0};
		for (; *frame && *frame != '\n'; frame++) {
			if (*frame == '\033') {
				frame += strcspn(frame, "m");
				if (!*frame)
					return rows;
				continue;
			}
			str_addc(&line, *frame);
		}
		frame += *frame == '\n';
		rows += MAX(1u, ((unsigned)table_width(str_get(&line)) + columns - 1) / columns);
	}
	return rows;
}

/* Goes to the first line of the block on the screen. */
static void add_rewind(const struct block *b, struct str *ret)
{
	unsigned columns = MAX(tty_columns(b->fd), 1u);
	if (b->drawn.len)
		str_addf(ret, "\r\033[%uA", frame_rows(str_get(&b->drawn), columns));
}

void block_show(struct block *b, struct str *frame)
{
	AUTO_STR struct str out = {0};
	add_rewind(b, &out);
	for (const char *s = str_get(frame); *s;) {
		size_t n = strcspn(s, "\n");
		str_add(&out, "\033[2K");
		str_addn(&out, s, n + (s[n] == '\n'));
		s += n + (s[n] == '\n');
	}
	str_add(&out, "\033[J");
	write_out(b->fd, &out);
	str_done(&b->drawn);
	b->drawn = *frame;
	*frame = (struct str){0};
}

void block_write(struct block *b, const struct str *text)
{
	AUTO_STR struct str out = {0};
	add_rewind(b, &out);
	if (b->drawn.len)
		str_add(&out, "\033[J");
	str_addn(&out, str_get(text), text->len);
	write_out(b->fd, &out);
	str_clear(&b->drawn);
}

void block_leave(struct block *b)
{
	str_done(&b->drawn);
	b->drawn = (struct str){0};
}

void block_add_safe(struct str *ret, const char *s)
{
	size_t size = strlen(s) * 4 + 16;
	AUTO_FREE char *buf = xcalloc(size, 1);
	str_add(ret, err_quote(buf, size, s));
}
