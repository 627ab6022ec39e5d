/* SPDX-License-Identifier: Apache-2.0 */
/* The printer of log lines. Output is collected and written in large pieces; a line is never split over two writes unless it is
 * larger than the buffer. Prefixes are as wide as the longest label so far. */
#include "compose/attach.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fs.h"
#include "compose/table.h"

enum { BUFFER_BYTES = 1 << 18 };

struct label {
	char *text;            /* NULL: no such number */
	const char *colour;
};

struct attach_printer {
	bool colour, prefix, timestamps, gone, split;
	int fd;                /* of what is in out */
	struct label *labels;
	size_t n, cap, width, n_named;
	struct str out;
};

struct attach_printer *attach_printer_new(bool colour, bool prefix, bool timestamps)
{
	struct attach_printer *p = xcalloc(1, sizeof(*p));
	*p = (struct attach_printer){ .colour = colour, .prefix = prefix, .timestamps = timestamps, .fd = 1 };
	return p;
}

void attach_printer_split(struct attach_printer *p)
{
	p->split = true;
}

struct attach_printer *attach_printer_free(struct attach_printer *p)
{
	if (!p)
		return NULL;
	attach_printer_flush(p);
	for (size_t i = 0; i < p->n; i++)
		free(p->labels[i].text);
	free(p->labels);
	str_done(&p->out);
	free(p);
	return NULL;
}

void attach_printer_add(struct attach_printer *p, int container, const char *label)
{
	static const char *const colours[] = { "\033[36m", "\033[33m", "\033[32m", "\033[35m", "\033[34m",
					       "\033[96m", "\033[93m", "\033[92m", "\033[95m", "\033[94m" };
	const char *colour = colours[p->n_named++ % ARRAY_SIZE(colours)];
	if (container < 0)
		return;
	while (p->n <= (size_t)container) {
		p->labels = vec_grow(p->labels, p->n, &p->cap, sizeof(*p->labels));
		p->labels[p->n++] = (struct label){0};
	}
	free(p->labels[container].text);
	p->labels[container] = (struct label){ xstrdup(label), colour };
	p->width = MAX(p->width, table_width(label));
}

void attach_printer_expect(struct attach_printer *p, const char *label)
{
	p->width = MAX(p->width, table_width(label));
}

static const struct label *find_label(const struct attach_printer *p, int container)
{
	static const struct label unknown = { (char *)(uintptr_t) "", "" };
	return container >= 0 && (size_t)container < p->n && p->labels[container].text ? &p->labels[container] : &unknown;
}

bool attach_printer_flush(struct attach_printer *p)
{
	struct err ignored;
	if (p->out.len && !p->gone && fs_write_all(p->fd, str_get(&p->out), p->out.len, &ignored) < 0)
		p->gone = true;
	str_clear(&p->out);
	return !p->gone;
}

/* What follows goes to this descriptor; what is for the other goes out before, so that a terminal shows them in order. */
static void turn_to(struct attach_printer *p, int fd)
{
	if (p->fd != fd)
		attach_printer_flush(p);
	p->fd = fd;
}

int attach_print_line(void *arg, const struct logs_line *line)
{
	struct attach_printer *p = arg;
	size_t len = line->len;
	turn_to(p, p->split && line->stream == LOGS_STDERR ? 2 : 1);
	if (p->prefix) {
		const struct label *l = find_label(p, line->container);
		str_add(&p->out, p->colour ? l->colour : "");
		str_add(&p->out, l->text);
		for (size_t i = table_width(l->text); i < p->width + 1; i++)
			str_addc(&p->out, ' ');
		str_add(&p->out, p->colour ? " | \033[0m" : " | ");
	}
	if (p->timestamps) {
		char time[40];
		str_addf(&p->out, "%s ", clock_rfc3339(line->time_ns, time));
	}
	if (len && line->text[len - 1] == '\r')
		len--; /* a terminal's line end */
	str_addn(&p->out, line->text, len);
	if (line->complete || p->prefix)
		str_addc(&p->out, '\n');
	if (p->out.len >= BUFFER_BYTES)
		return attach_printer_flush(p) ? 0 : 1;
	return 0;
}

void attach_print_text(struct attach_printer *p, int container, const char *fmt, ...)
{
	const struct label *l = find_label(p, container);
	AUTO_FREE char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	turn_to(p, 1);
	str_addf(&p->out, "%s%s%s\n", p->colour ? l->colour : "", text, p->colour ? "\033[0m" : "");
}

char *attach_label(const char *project, const char *name)
{
	size_t n = strlen(project);
	bool ours = str_starts(name, project) && (name[n] == '-' || name[n] == '_') && name[n + 1];
	return xstrdup(ours ? name + n + 1 : name);
}
