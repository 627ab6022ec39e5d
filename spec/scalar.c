/* SPDX-License-Identifier: Apache-2.0 */
/* Resolution of plain scalars and Go's number syntax. Floats go through strtod/printf in the C locale that a program has
 * unless it calls setlocale(), which muster never does; the shortest text is found by trying precisions upwards, as it is
 * rare. Times are accepted in the four layouts of go-yaml and printed in UTC or with their offset, like time.Time's String. */
#include "spec/scalar.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>

bool scalar_parse_int(const char *s, int base, int64_t *ret)
{
	bool negative = *s == '-';
	uint64_t v = 0, limit = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
	if (*s == '-' || *s == '+')
		s++;
	if (base == 0) {
		base = 10;
		if (s[0] == '0' && s[1]) {
			char c = (char)tolower((unsigned char)s[1]);
			base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
			s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
		}
	}
	if (!*s)
		return false;
	for (; *s; s++) {
		int c = tolower((unsigned char)*s), digit = isdigit(c) ? c - '0' : c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
		if (digit >= base || v > (limit - (unsigned)digit) / (unsigned)base)
			return false;
		v = v * (unsigned)base + (unsigned)digit;
	}
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

/* [-+]? ( .digits | digits [ . digits* ] ) ( [eE] [-+]? digits )? */
static bool is_float_text(const char *s)
{
	const char *digits;
	if (*s == '-' || *s == '+')
		s++;
	digits = s;
	while (isdigit((unsigned char)*s))
		s++;
	if (*s == '.') {
		const char *dot = s++;
		while (isdigit((unsigned char)*s))
			s++;
		if (dot == digits && s == dot + 1)
			return false;
	} else if (s == digits) {
		return false;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '-' || *s == '+')
			s++;
		if (!isdigit((unsigned char)*s))
			return false;
		while (isdigit((unsigned char)*s))
			s++;
	}
	return *s == '\0';
}

bool scalar_parse_float(const char *s, double *ret)
{
	double d;
	if (strlen(s) > 400 || !is_float_text(s))
		return false;
	d = strtod(s, NULL);
	if (!isfinite(d))
		return false;
	*ret = d;
	return true;
}

static void shortest(double d, bool single, char buf[static 40])
{
	for (int precision = 0; precision < 18; precision++) {
		snprintf(buf, 40, "%.*e", precision, d);
		if (single ? strtof(buf, NULL) == (float)d : strtod(buf, NULL) == d)
			return;
	}
}

/* "d.ddde±xx" → plain digits for exponents from -4 to 5 (fmt) or from -6 to 20 (JSON), else Go's exponent form. */
static void format_float(double d, bool single, bool json, char buf[static 40])
{
	char e[40], digits[18], *at = buf;
	int exponent, n = 0;
	if (d == 0) {
		strcpy(buf, signbit(d) ? "-0" : "0");
		return;
	}
	shortest(d, single, e);
	exponent = atoi(strchr(e, 'e') + 1);
	for (char *p = e; *p != 'e'; p++)
		if (isdigit((unsigned char)*p) && n < (int)sizeof(digits) - 1)
			digits[n++] = *p;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	if (d < 0)
		*at++ = '-';
	if (exponent < (json ? -6 : -4) || exponent >= (json ? 21 : 6)) {
		at += sprintf(at, n > 1 ? "%c.%s" : "%c", digits[0], digits + 1);
		sprintf(at, json && abs(exponent) < 10 ? "e%c%d" : "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
	} else if (exponent < 0) {
		sprintf(at, "0.%.*s%.17s", MIN(-exponent - 1, 5), "00000", digits);
	} else if (n <= exponent + 1) {
		sprintf(at, "%.17s%.*s", digits, MIN(exponent + 1 - n, 20), "00000000000000000000");
	} else {
		sprintf(at, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
	}
}

void scalar_format_float(double d, bool single, char buf[static 40])
{
	format_float(d, single, false, buf);
}

void scalar_format_json(double d, bool single, char buf[static 40])
{
	format_float(d, single, true, buf);
}

const char *scalar_text(const struct node *n)
{
	return n->kind == NODE_NULL ? "<nil>" : n->text;
}

struct when {
	int year, month, day, hour, minute, second;
	char fraction[10];  /* digits after the point, trailing zeros removed */
	int offset_minutes;
	bool utc;
};

/* One number of at least one and at most max digits in [lo, hi]; advances *p. */
static bool take_number(const char **p, int max, int lo, int hi, int *ret)
{
	int n = 0;
	*ret = 0;
	while (n < max && isdigit((unsigned char)**p)) {
		*ret = *ret * 10 + (*(*p)++ - '0');
		n++;
	}
	return n > 0 && *ret >= lo && *ret <= hi;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static bool take_zone(const char **p, struct when *w)
{
	int hours, minutes, sign;
	if (take_char(p, 'Z'))
		return true;
	sign = **p == '-' ? -1 : 1;
	if (**p != '-' && **p != '+')
		return false;
	(*p)++;
	if (!isdigit((unsigned char)(*p)[0]) || !isdigit((unsigned char)(*p)[1]) || !take_number(p, 2, 0, 24, &hours) || !take_char(p, ':') ||
	    !isdigit((unsigned char)(*p)[0]) || !isdigit((unsigned char)(*p)[1]) || !take_number(p, 2, 0, 59, &minutes))
		return false;
	w->offset_minutes = sign * (hours * 60 + minutes);
	w->utc = w->offset_minutes == 0;
	return true;
}

static bool take_clock(const char **p, struct when *w)
{
	size_t n = 0;
	if (!take_number(p, 2, 0, 23, &w->hour) || !take_char(p, ':') || !take_number(p, 2, 0, 59, &w->minute) || !take_char(p, ':') ||
	    !take_number(p, 2, 0, 59, &w->second))
		return false;
	if (**p != '.' && **p != ',')
		return true;
	if (!isdigit((unsigned char)(*p)[1]))
		return false;
	for ((*p)++; isdigit((unsigned char)**p); (*p)++)
		if (n < sizeof(w->fraction) - 1)
			w->fraction[n++] = **p;
	while (n && w->fraction[n - 1] == '0')
		n--;
	w->fraction[n] = '\0';
	return true;
}

static bool when_parse(const char *s, struct when *w)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int last;
	*w = (struct when){ .utc = true };
	if (strspn(s, "0123456789") != 4 || s[4] != '-' || !take_number(&s, 4, 0, 9999, &w->year) || !take_char(&s, '-') ||
	    !take_number(&s, 2, 1, 12, &w->month) || !take_char(&s, '-') || !take_number(&s, 2, 1, 31, &w->day))
		return false;
	last = days[w->month - 1] + (w->month == 2 && w->year % 4 == 0 && (w->year % 100 != 0 || w->year % 400 == 0));
	if (w->day > last)
		return false;
	if (*s == 'T' || *s == 't') {
		s++;
		return take_clock(&s, w) && take_zone(&s, w) && !*s;
	}
	if (*s == ' ') {
		s++;
		return take_clock(&s, w) && !*s;
	}
	return !*s;
}

static const char *when_text(struct arena *a, const struct when *w)
{
	char zone[24] = "+0000 UTC";
	if (!w->utc) {
		int m = abs(w->offset_minutes);
		char c = w->offset_minutes < 0 ? '-' : '+';
		snprintf(zone, sizeof(zone), "%c%02d%02d %c%02d%02d", c, m / 60 % 100, m % 60, c, m / 60 % 100, m % 60);
	}
	return arena_printf(a, "%04d-%02d-%02d %02d:%02d:%02d%s%s %s", w->year, w->month, w->day, w->hour, w->minute, w->second,
		*w->fraction ? "." : "", w->fraction, zone);
}

static bool in_list(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(s, *list) == 0)
			return true;
	return false;
}

static void set_float(struct arena *a, struct node *n, double d)
{
	char buf[40];
	scalar_format_float(d, false, buf);
	n->kind = NODE_FLOAT;
	n->number = d;
	n->text = arena_strdup(a, buf);
}

static void set_int(struct arena *a, struct node *n, int64_t i)
{
	n->kind = NODE_INT;
	n->integer = i;
	n->number = (double)i;
	n->text = arena_printf(a, "%lld", (long long)i);
}

/* Numbers and times: what starts with a digit or a sign. */
static bool resolve_number(struct arena *a, struct node *n, const char *text)
{
	char plain[420];
	size_t len = 0;
	struct when w;
	int64_t i;
	uint64_t u;
	double d;
	if (when_parse(text, &w)) {
		n->text = when_text(a, &w);
		return true;
	}
	for (const char *p = text; *p; p++) {
		if (len + 1 >= sizeof(plain))
			return false;
		if (*p != '_')
			plain[len++] = *p;
	}
	plain[len] = '\0';
	if (scalar_parse_int(plain, 0, &i)) {
		set_int(a, n, i);
		return true;
	}
	if (parse_u64(plain, 0, UINT64_MAX, &u) && plain[0] != '0') {
		set_float(a, n, (double)u);
		n->text = arena_strdup(a, plain);
		return true;
	}
	if (scalar_parse_float(plain, &d)) {
		set_float(a, n, d);
		return true;
	}
	return false;
}

bool scalar_resolve(struct arena *a, struct node *n, const char *text)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };
	static const char *const infinite[] = { ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
		"-.inf", "-.Inf", "-.INF", NULL };
	double d;
	n->kind = NODE_STRING;
	n->text = arena_strdup(a, text);
	if (*text && !strchr("~nNtTfF.+-0123456789", *text))
		return true;
	if (in_list(text, nulls)) {
		n->kind = NODE_NULL;
		n->text = "";
	} else if (in_list(text, trues) || in_list(text, falses)) {
		n->kind = NODE_BOOL;
		n->boolean = in_list(text, trues);
		n->text = n->boolean ? "true" : "false";
	} else if (in_list(text, infinite)) {
		return false;
	} else if (strcmp(text, "-0") == 0 || strcmp(text, "-0.0") == 0) {
		set_float(a, n, -0.0);
	} else if (*text == '.') {
		if (scalar_parse_float(text, &d))
			set_float(a, n, d);
	} else if (isdigit((unsigned char)*text) || *text == '-' || *text == '+') {
		resolve_number(a, n, text);
	}
	return true;
}
