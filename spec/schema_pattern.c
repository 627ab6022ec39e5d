/* SPDX-License-Identifier: Apache-2.0 */
/* A small backtracking matcher for the schema's own patterns. It reads the pattern's text as it goes: the patterns are a dozen
 * bytes long and there is nothing to compile, cache or free. What comes after a group is kept as a list of `rest`s on the stack.
 * POSIX expressions would do but for "." and "$", which differ from the reference's at a newline, and for the state to keep.
 * schema/compile.c links this file to check every pattern when muster is built. */
#include <stdint.h>
#include <string.h>

#include "spec/schema_pattern.h"

/* What must match after the text so far: the pattern from re to end, then next. again is a group that may be matched once more first. */
struct rest {
	const char *re, *end;
	const struct rest *next;
	const char *again;       /* its "("; NULL: no loop */
	const char *from;        /* where the last round began: an empty round does not loop */
};

static bool match_sequence(const char *start, const char *re, const char *end, const char *s, const struct rest *rest);

/* One past the atom at re: a set, a group, an escape or a character; NULL when it does not end before `end`. */
static const char *atom_end(const char *re, const char *end)
{
	if (*re == '[') {
		const char *p = re + 1 + (re + 1 < end && re[1] == '^');
		if (p < end && *p == ']')
			p++;
		while (p < end && *p != ']')
			p++;
		return p < end ? p + 1 : NULL;
	}
	if (*re == '(') {
		const char *p = re + 1;
		while (p < end && *p != ')') {
			p = atom_end(p, end);
			if (!p)
				return NULL;
		}
		return p < end ? p + 1 : NULL;
	}
	if (*re == '\\')
		return re + 1 < end ? re + 2 : NULL;
	return re + 1;
}

/* The end of the alternative that begins at re: its "|" or `end`. */
static const char *alternative_end(const char *re, const char *end)
{
	while (re && re < end && *re != '|')
		re = atom_end(re, end);
	return re;
}

static bool set_has(const char *set, const char *end, unsigned char c)
{
	bool negated = set[1] == '^', found = false;
	for (const char *p = set + 1 + negated; p < end - 1 && !found; p++) {
		unsigned char lo = (unsigned char)*p, hi = lo;
		if (p + 2 < end - 1 && p[1] == '-') {
			hi = (unsigned char)p[2];
			p += 2;
		}
		found = c >= lo && c <= hi;
	}
	return found != negated;
}

static bool atom_takes(const char *atom, const char *end, char c)
{
	if (c == '\0')
		return false;
	switch (*atom) {
	case '[':
		return set_has(atom, end, (unsigned char)c);
	case '.':
		return c != '\n';
	case '\\':
		return c == atom[1];
	default:
		return c == *atom;
	}
}

static bool match_rest(const char *start, const char *s, const struct rest *rest);

static bool match_alternatives(const char *start, const char *re, const char *end, const char *s, const struct rest *rest)
{
	for (;;) {
		const char *stop = alternative_end(re, end);
		if (match_sequence(start, re, stop, s, rest))
			return true;
		if (stop == end)
			return false;
		re = stop + 1;
	}
}

static bool match_group(const char *start, const char *group, const char *after, const char *end, const char *s, const struct rest *rest)
{
	char quantifier = after < end ? *after : '\0';
	bool loop = quantifier == '+' || quantifier == '*';
	const struct rest then = {
		.re = loop || quantifier == '?' ? after + 1 : after, .end = end, .next = rest, .again = loop ? group : NULL, .from = s,
	};
	if ((quantifier == '*' || quantifier == '?') && match_sequence(start, then.re, end, s, rest))
		return true;
	return match_alternatives(start, group + 1, after - 1, s, &then);
}

static bool match_rest(const char *start, const char *s, const struct rest *rest)
{
	if (!rest)
		return true;
	if (match_sequence(start, rest->re, rest->end, s, rest->next))
		return true;
	if (!rest->again || s == rest->from)
		return false;
	struct rest round = *rest;
	round.from = s;
	return match_alternatives(start, rest->again + 1, atom_end(rest->again, rest->end) - 1, s, &round);
}

static bool match_sequence(const char *start, const char *re, const char *end, const char *s, const struct rest *rest)
{
	while (re < end) {
		if (*re == '^' || *re == '$') {
			if (*re == '^' ? s != start : *s != '\0')
				return false;
			re++;
			continue;
		}
		const char *after = atom_end(re, end);
		if (*re == '(')
			return match_group(start, re, after, end, s, rest);
		char quantifier = after < end ? *after : '\0';
		bool many = quantifier == '+' || quantifier == '*', optional = quantifier == '*' || quantifier == '?';
		size_t n = 0, most = many ? SIZE_MAX : 1, least = optional ? 0 : 1;
		while (n < most && atom_takes(re, after, s[n]))
			n++;
		if (n < least)
			return false;
		re = many || optional ? after + 1 : after;
		for (; n > least; n--)
			if (match_sequence(start, re, end, s + n, rest))
				return true;
		s += n;
	}
	return match_rest(start, s, rest);
}

bool schema_pattern_match(const char *pattern, const char *text)
{
	const char *end = pattern + strlen(pattern);
	bool anchored = *pattern == '^' && alternative_end(pattern, end) == end;
	for (const char *s = text;; s++) {
		if (match_alternatives(text, pattern, end, s, NULL))
			return true;
		if (anchored || *s == '\0')
			return false;
	}
}

bool schema_pattern_valid(const char *pattern)
{
	const char *end = pattern + strlen(pattern);
	bool atom = false;
	int depth = 0;
	for (const char *p = pattern; p < end;) {
		if (*p == '+' || *p == '*' || *p == '?') {
			if (!atom)
				return false;
			atom = false;
			p++;
		} else if (*p == '(' || *p == '|' || *p == ')') {
			depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
			atom = *p == ')';
			if (depth < 0)
				return false;
			p++;
		} else if (*p == '{') {
			return false;
		} else {
			atom = *p != '^' && *p != '$';
			p = atom_end(p, end);
			if (!p)
				return false;
		}
	}
	return depth == 0;
}
