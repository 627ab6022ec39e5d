/* SPDX-License-Identifier: Apache-2.0 */
/* Building and wrapping of struct err; see err.h for the rules. Nothing here allocates. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

int err_set_at(struct err *err, const char *file, int line, enum err_code code, int sys, const char *fmt, ...)
{
	va_list ap;
	size_t n;
	if (!err)
		return -1;
	err->code = code;
	err->sys = sys;
	snprintf(err->origin, sizeof(err->origin), "%s:%d", file, line);
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	if (code == ERR_SYS && sys) {
		n = strlen(err->msg);
		snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", strerror(sys));
	}
	return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	va_list ap;
	size_t n;
	if (!err)
		return -1;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	n = strlen(err->msg);
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", old);
	return -1;
}

char *err_quote(char *buf, size_t size, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t at = 0;
	assert(size >= 8);
	while (*p) {
		size_t n = str_utf8_len(p);
		if (at + 8 > size) {
			memcpy(buf + at, "…", sizeof("…"));
			return buf;
		}
		if (n == 0 || *p < 0x20 || *p == 0x7f || (n == 2 && *p == 0xc2 && p[1] < 0xa0)) { /* C0, DEL, C1 */
			at += (size_t)snprintf(buf + at, size - at, "\\x%02x", *p);
			p++;
		} else {
			memcpy(buf + at, p, n);
			at += n;
			p += n;
		}
	}
	buf[at] = '\0';
	return buf;
}
