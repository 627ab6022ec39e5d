/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and the words that docker uses for durations and sizes. Nothing here depends on the locale: a character's width comes
 * from its code point, so that a table looks the same in cron as on a desk. */
#include "compose/table.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

void table_init(struct table *t, size_t columns, size_t min_width, size_t gap)
{
	*t = (struct table){ .columns = columns, .min_width = min_width, .gap = gap };
}

void table_cell(struct table *t, const char *text)
{
	AUTO_FREE char *safe = NULL;
	size_t size;
	if (!text)
		text = "";
	size = strlen(text) * 4 + 16;
	safe = xcalloc(size, 1);
	strv_push(&t->cells, err_quote(safe, size, text));
}

void table_cellf(struct table *t, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	table_cell(t, text);
}

/* One character at s: its length in bytes, *ret_width its width. */
static size_t next_char(const char *s, size_t *ret_width)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 1;
	uint32_t c = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*ret_width = 1;
			return 1;
		}
		c = c << 6 | (p[i] & 0x3f);
	}
	*ret_width = 1;
	if ((c >= 0x300 && c < 0x370) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0x20d0 && c < 0x2100))
		*ret_width = 0;
	else if ((c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0 && c != 0x303f) || (c >= 0xac00 && c < 0xd7a4) ||
		 (c >= 0xf900 && c < 0xfb00) || (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61) || (c >= 0xffe0 && c < 0xffe7) ||
		 (c >= 0x1f300 && c < 0x1f650) || (c >= 0x1f900 && c < 0x1fa00) || (c >= 0x20000 && c < 0x3fffe))
		*ret_width = 2;
	return n;
}

size_t table_width(const char *s)
{
	size_t sum = 0, width;
	while (*s) {
		s += next_char(s, &width);
		sum += width;
	}
	return sum;
}

size_t table_add_cut(struct str *ret, const char *s, size_t width)
{
	size_t used = 0, one;
	if (table_width(s) <= width) {
		str_add(ret, s);
		return table_width(s);
	}
	if (width == 0)
		return 0;
	while (*s) {
		size_t n = next_char(s, &one);
		if (used + one > width - 1)
			break;
		str_addn(ret, s, n);
		used += one;
		s += n;
	}
	str_add(ret, "…");
	return used + 1;
}

void table_render(const struct table *t, struct str *ret)
{
	size_t rows = t->columns ? t->cells.n / t->columns : 0;
	AUTO_FREE size_t *widths = xcalloc(t->columns, sizeof(*widths));
	for (size_t i = 0; i < rows * t->columns; i++) {
		size_t c = i % t->columns;
		widths[c] = MAX(widths[c], MAX(table_width(t->cells.v[i]) + t->gap, t->min_width));
	}
	for (size_t r = 0; r < rows; r++) {
		for (size_t c = 0; c < t->columns; c++) {
			const char *cell = t->cells.v[r * t->columns + c];
			str_add(ret, cell);
			if (c + 1 < t->columns)
				str_addf(ret, "%*s", (int)(widths[c] - table_width(cell)), "");
		}
		str_addc(ret, '\n');
	}
}

void table_done(struct table *t)
{
	strv_done(&t->cells);
	*t = (struct table){0};
}

const char *table_human_duration(uint64_t seconds, char buf[static 40])
{
	uint64_t minutes = seconds / 60, hours = (seconds + 1800) / 3600;
	if (seconds < 1)
		return "Less than a second";
	if (seconds == 1)
		return "1 second";
	if (seconds < 60)
		snprintf(buf, 40, "%u seconds", (unsigned)seconds);
	else if (minutes == 1)
		return "About a minute";
	else if (minutes < 60)
		snprintf(buf, 40, "%u minutes", (unsigned)minutes);
	else if (hours == 1)
		return "About an hour";
	else if (hours < 48)
		snprintf(buf, 40, "%u hours", (unsigned)hours);
	else if (hours < 24 * 14)
		snprintf(buf, 40, "%u days", (unsigned)(hours / 24));
	else if (hours < 24 * 60)
		snprintf(buf, 40, "%u weeks", (unsigned)(hours / 24 / 7));
	else if (hours < 24 * 365 * 2)
		snprintf(buf, 40, "%u months", (unsigned)(hours / 24 / 30));
	else
		snprintf(buf, 40, "%llu years", (unsigned long long)(seconds / 3600 / 24 / 365));
	return buf;
}

const char *table_human_bytes(uint64_t bytes, char buf[static 24])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	size_t i = 0;
	while (v >= 1000 && i + 1 < ARRAY_SIZE(units)) {
		v /= 1000;
		i++;
	}
	snprintf(buf, 24, "%.3g%s", v, units[i]);
	return buf;
}
