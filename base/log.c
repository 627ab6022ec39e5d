/* SPDX-License-Identifier: Apache-2.0 */
/* The log of the long-lived processes. One write(2) a line, so lines of several processes never mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"

static struct {
	const char *name;
	int fd;
} target = { "muster", 2 };

void log_init(const char *name, int fd)
{
	target.name = name;
	target.fd = fd;
}

static void log_line(const char *level, const char *fmt, va_list ap)
{
	char line[1024], when[40];
	int n = snprintf(line, sizeof(line), "%s %s[%d]: %s", clock_rfc3339(clock_real_ns(), when), target.name, (int)getpid(), level);
	int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	size_t len = MIN((size_t)n + (size_t)MAX(m, 0), sizeof(line) - 2);
	ssize_t ignored;
	line[len] = '\n';
	ignored = write(target.fd, line, len + 1);
	(void)ignored;
}

void log_warn(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_line("warning: ", fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_line("", fmt, ap);
	va_end(ap);
}
