/* SPDX-License-Identifier: Apache-2.0 */
/* Go's duration syntax. Arithmetic is in integers, with overflow found before it happens, so the same text gives the
 * same nanoseconds as in the reference. */
#include "spec/duration.h"

#include <ctype.h>
#include <stdio.h>

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "µs", 1000 },
	{ "μs", 1000 },
	{ "ms", 1000000 },
	{ "s", 1000000000 },
	{ "m", 60ULL * 1000000000 },
	{ "h", 3600ULL * 1000000000 },
	{ "d", 24ULL * 3600 * 1000000000 },
	{ "w", 7ULL * 24 * 3600 * 1000000000 },
};

static uint64_t unit_ns(const char *s, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strlen(units[i].name) == len && memcmp(units[i].name, s, len) == 0)
			return units[i].ns;
	return 0;
}

/* One "digits [. digits] unit" at *p, added to *sum. */
static const char *take_part(const char **p, uint64_t *sum)
{
	const uint64_t limit = (uint64_t)1 << 63;
	const char *s = *p, *unit;
	uint64_t whole = 0, fraction = 0, ns;
	double scale = 1;
	bool digits = false;
	for (; isdigit((unsigned char)*s); s++, digits = true) {
		if (whole > (limit - 9) / 10)
			return "it is too long";
		whole = whole * 10 + (uint64_t)(*s - '0');
	}
	if (*s == '.') {
		for (s++; isdigit((unsigned char)*s); s++, digits = true) {
			if (fraction > (limit - 9) / 10)
				continue;
			fraction = fraction * 10 + (uint64_t)(*s - '0');
			scale *= 10;
		}
	}
	if (!digits)
		return "a number is missing";
	unit = s;
	while (*s && *s != '.' && !isdigit((unsigned char)*s))
		s++;
	if (s == unit)
		return "a unit is missing";
	ns = unit_ns(unit, (size_t)(s - unit));
	if (!ns)
		return "unknown unit";
	if (whole > limit / ns)
		return "it is too long";
	whole = whole * ns + (uint64_t)((double)fraction * ((double)ns / scale));
	if (whole > limit || *sum > limit - whole)
		return "it is too long";
	*sum += whole;
	*p = s;
	return NULL;
}

bool duration_parse(const char *s, int64_t *ret_ns, const char **ret_why)
{
	bool negative = *s == '-';
	uint64_t sum = 0;
	if (*s == '-' || *s == '+')
		s++;
	*ret_why = "it is empty";
	if (strcmp(s, "0") == 0) {
		*ret_ns = 0;
		return true;
	}
	if (!*s)
		return false;
	while (*s) {
		*ret_why = take_part(&s, &sum);
		if (*ret_why)
			return false;
	}
	if (sum > (uint64_t)INT64_MAX + negative) {
		*ret_why = "it is too long";
		return false;
	}
	*ret_ns = negative ? (int64_t)(0 - sum) : (int64_t)sum;
	return true;
}

/* "1.5" of v in units of `unit`, without trailing zeros. */
static int put_decimal(char *at, uint64_t v, uint64_t unit)
{
	int n = sprintf(at, "%llu", (unsigned long long)(v / unit)), digits = 0;
	uint64_t rest = v % unit;
	for (uint64_t u = unit; u > 1; u /= 10)
		digits++;
	if (!rest)
		return n;
	while (rest % 10 == 0) {
		rest /= 10;
		digits--;
	}
	return n + sprintf(at + n, ".%0*llu", digits, (unsigned long long)rest);
}

void duration_format(int64_t ns, char buf[static 40])
{
	uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t minutes = v / 60000000000ULL;
	char *at = buf;
	if (ns < 0)
		*at++ = '-';
	if (v == 0) {
		strcpy(at, "0s");
		return;
	}
	if (v < 1000000000) {
		uint64_t unit = v < 1000 ? 1 : v < 1000000 ? 1000 : 1000000;
		at += put_decimal(at, v, unit);
		strcpy(at, unit == 1 ? "ns" : unit == 1000 ? "µs" : "ms");
		return;
	}
	if (minutes >= 60)
		at += sprintf(at, "%lluh", (unsigned long long)(minutes / 60));
	if (minutes)
		at += sprintf(at, "%llum", (unsigned long long)(minutes % 60));
	at += put_decimal(at, v % 60000000000ULL, 1000000000);
	strcpy(at, "s");
}
