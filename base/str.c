/* SPDX-License-Identifier: Apache-2.0 */
/* Growing strings. Capacity doubles; one byte beyond len is always the NUL. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

char *str_reserve(struct str *s, size_t n)
{
	if (s->len + n + 1 > s->cap) {
		s->cap = MAX(s->cap * 2, s->len + n + 1);
		s->cap = MAX(s->cap, (size_t)32);
		s->p = xrealloc(s->p, s->cap, 1);
	}
	s->p[s->len] = '\0';
	return s->p + s->len;
}

void str_addn(struct str *s, const void *bytes, size_t n)
{
	char *at = str_reserve(s, n);
	if (n)
		memcpy(at, bytes, n);
	at[n] = '\0';
	s->len += n;
}

void str_add(struct str *s, const char *text)
{
	str_addn(s, text, strlen(text));
}

void str_addc(struct str *s, char c)
{
	str_addn(s, &c, 1);
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;
	int n;
	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	str_reserve(s, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(s->p + s->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	s->len += (size_t)n;
}

void str_add_utf8(struct str *s, uint32_t c)
{
	if (c < 0x80) {
		str_addc(s, (char)c);
	} else if (c < 0x800) {
		str_addc(s, (char)(0xc0 | c >> 6));
		str_addc(s, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		str_addc(s, (char)(0xe0 | c >> 12));
		str_addc(s, (char)(0x80 | (c >> 6 & 0x3f)));
		str_addc(s, (char)(0x80 | (c & 0x3f)));
	} else {
		str_addc(s, (char)(0xf0 | c >> 18));
		str_addc(s, (char)(0x80 | (c >> 12 & 0x3f)));
		str_addc(s, (char)(0x80 | (c >> 6 & 0x3f)));
		str_addc(s, (char)(0x80 | (c & 0x3f)));
	}
}

const char *str_get(const struct str *s)
{
	return s->p ? s->p : "";
}

char *str_take(struct str *s)
{
	char *p = s->p ? s->p : xstrdup("");
	*s = (struct str){0};
	return p;
}

void str_clear(struct str *s)
{
	s->len = 0;
	if (s->p)
		s->p[0] = '\0';
}

size_t str_utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90))
		return 0; /* longer than it need be */
	if ((s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0; /* surrogates, beyond U+10FFFF */
	return n;
}

void str_done(struct str *s)
{
	if (!s)
		return;
	free(s->p);
	*s = (struct str){0};
}
