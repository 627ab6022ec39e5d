/* SPDX-License-Identifier: Apache-2.0 */
/* The short volume syntax. Sections are separated by colons, but not inside of ${…} and not after a single letter, which
 * is a Windows drive. */
#include "spec/short_volume.h"

#include <ctype.h>

static size_t rune_len(const char *p)
{
	size_t n = 1;
	while (((unsigned char)p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* The section is one letter: with a colon after it, a drive. */
static bool is_drive(const char *start, const char *end)
{
	return end > start && rune_len(start) == (size_t)(end - start) && (isalpha((unsigned char)*start) || (unsigned char)*start >= 0x80);
}

static bool is_path(const char *source)
{
	if (!source)
		return false;
	if (strchr("./~", *source) || str_starts(source, "\\\\"))
		return true;
	return source[rune_len(source)] == ':' && is_drive(source, source + rune_len(source));
}

static void take_option(struct short_volume *v, struct arena *a, const char *s, size_t n)
{
	static const char *const propagations[] = { "rprivate", "private", "rshared", "shared", "rslave", "slave" };
	const char *option = arena_strndup(a, s, n);
	if (str_eq(option, "ro")) {
		v->read_only = true;
	} else if (str_eq(option, "rw")) {
		v->read_only = false;
	} else if (str_eq(option, "nocopy")) {
		v->nocopy = true;
	} else if (str_eq(option, "z") || str_eq(option, "Z")) {
		v->selinux = option;
		v->bind_options = true;
	} else {
		for (size_t i = 0; i < ARRAY_SIZE(propagations); i++) {
			if (str_eq(option, propagations[i])) {
				v->propagation = option;
				v->bind_options = true;
				return;
			}
		}
		if (!v->unknown)
			v->unknown = option;
	}
}

static const char *take_section(struct short_volume *v, struct arena *a, const char *s, const char *end)
{
	size_t n = (size_t)(end - s);
	if (n == 0)
		return "a part between the colons is empty";
	if (!v->source && !*end) {
		v->target = arena_strndup(a, s, n);
		return NULL;
	}
	if (!v->source) {
		v->source = arena_strndup(a, s, n);
		return NULL;
	}
	if (!v->target) {
		v->target = arena_strndup(a, s, n);
		return NULL;
	}
	if (*end == ':')
		return "there are too many colons";
	while (s <= end) {
		size_t len = 0;
		while (s + len < end && s[len] != ',')
			len++;
		take_option(v, a, s, len);
		s += len + 1;
	}
	return NULL;
}

bool short_volume_parse(const char *s, struct arena *a, struct short_volume *ret, const char **ret_why)
{
	const char *start = s;
	unsigned in_variable = 0;
	*ret = (struct short_volume){ 0 };
	*ret_why = "it is empty";
	if (!*s)
		return false;
	if (strlen(s) <= 2) {
		ret->target = arena_strdup(a, s);
		ret->bare = true;
		return true;
	}
	for (const char *p = s; ; p++) {
		if (p[0] == '$' && p[1] == '{') {
			in_variable++;
		} else if (*p == '}' && in_variable) {
			in_variable--;
		} else if ((*p == ':' && !in_variable && !is_drive(start, p)) || !*p) {
			if (!*p && in_variable)
				break; /* an open ${ swallows the rest */
			*ret_why = take_section(ret, a, start, p);
			if (*ret_why)
				return false;
			start = p + 1;
		}
		if (!*p)
			break;
	}
	ret->bind = is_path(ret->source);
	return true;
}
