/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as people write them. A Go duration is tried first, then Unix seconds, then a date: no text is more than one
 * of these, but "90" alone, which is Unix seconds as for docker. */
#include <ctype.h>
#include <time.h>

#include "runtime/logs_reader.h"

struct unit {
	const char *name;
	uint64_t ns;
};

/* longer names first where one begins another */
static const struct unit units[] = {
	{ "ns", 1 }, { "us", 1000 }, { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 }, { "ms", 1000000 }, { "s", 1000000000ULL },
	{ "m", 60 * 1000000000ULL }, { "h", 3600 * 1000000000ULL },
};

/* Reads at most max digits; returns how many there were. */
static unsigned read_digits(const char **p, unsigned max, uint64_t *ret)
{
	unsigned n = 0;
	for (*ret = 0; n < max && isdigit((unsigned char)**p); n++)
		*ret = *ret * 10 + (uint64_t)(*(*p)++ - '0');
	return n;
}

/* Digits after a point as billionths. */
static bool read_fraction(const char **p, uint64_t *ret_billionths)
{
	uint64_t scale = 100000000;
	if (!isdigit((unsigned char)**p))
		return false;
	for (*ret_billionths = 0; isdigit((unsigned char)**p); (*p)++, scale /= 10)
		*ret_billionths += (uint64_t)(**p - '0') * scale;
	return true;
}

/* "1h30m", "1.5h", "0": nanoseconds. */
static bool parse_duration(const char *p, uint64_t *ret_ns)
{
	uint64_t total = 0;
	do {
		uint64_t whole, part = 0;
		const struct unit *u = units;
		bool digits = read_digits(&p, 10, &whole) > 0;
		if (*p == '.') {
			p++;
			if (!read_fraction(&p, &part) && !digits)
				return false;
		} else if (!digits) {
			return false;
		}
		while (u < units + ARRAY_SIZE(units) && !str_starts(p, u->name))
			u++;
		if (u == units + ARRAY_SIZE(units) || whole > UINT64_MAX / 4 / u->ns)
			return false;
		p += strlen(u->name);
		total += whole * u->ns + (uint64_t)((double)part * (double)u->ns / 1e9);
		if (total > UINT64_MAX / 2)
			return false;
	} while (*p);
	*ret_ns = total;
	return true;
}

/* "1136073600", "1136073600.000000001" */
static bool parse_unix(const char *p, uint64_t *ret_ns)
{
	uint64_t s, part = 0;
	if (read_digits(&p, 10, &s) == 0)
		return false;
	if (*p == '.') {
		p++;
		if (!read_fraction(&p, &part))
			return false;
	}
	*ret_ns = s * 1000000000 + part;
	return *p == '\0';
}

static bool read_field(const char **p, unsigned digits, uint64_t lo, uint64_t hi, int *ret)
{
	uint64_t v;
	if (read_digits(p, digits, &v) != digits || v < lo || v > hi)
		return false;
	*ret = (int)v;
	return true;
}

/* "15", "15:04", "15:04:05", "15:04:05.999" */
static bool read_clock(const char **p, struct tm *tm, uint64_t *part)
{
	if (!read_field(p, 2, 0, 23, &tm->tm_hour))
		return false;
	if (**p != ':')
		return true;
	++*p;
	if (!read_field(p, 2, 0, 59, &tm->tm_min))
		return false;
	if (**p != ':')
		return true;
	++*p;
	if (!read_field(p, 2, 0, 60, &tm->tm_sec))
		return false;
	if (**p != '.')
		return true;
	++*p;
	return read_fraction(p, part);
}

/* "Z", "+02:00", "-0700" as seconds east. */
static bool read_zone(const char **p, long *ret_s)
{
	int sign = **p == '-' ? -1 : 1, h, m;
	*ret_s = 0;
	if (**p == 'Z' || **p == 'z') {
		++*p;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	++*p;
	if (!read_field(p, 2, 0, 23, &h))
		return false;
	if (**p == ':')
		++*p;
	if (!read_field(p, 2, 0, 59, &m))
		return false;
	*ret_s = sign * (h * 3600L + m * 60L);
	return true;
}

static bool parse_date(const char *p, uint64_t *ret_ns)
{
	struct tm tm = { .tm_isdst = -1 };
	uint64_t part = 0;
	long east = 0;
	bool zone = false;
	time_t t;
	int day;
	if (!read_field(&p, 4, 1970, 2261, &tm.tm_year) || *p++ != '-' || !read_field(&p, 2, 1, 12, &tm.tm_mon) || *p++ != '-' ||
	    !read_field(&p, 2, 1, 31, &tm.tm_mday))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (*p == 'T' || *p == 't' || *p == ' ') {
		p++;
		if (!read_clock(&p, &tm, &part))
			return false;
	}
	if (*p) {
		zone = true;
		if (!read_zone(&p, &east) || *p)
			return false;
	}

	day = tm.tm_mday;
	t = zone ? timegm(&tm) - east : mktime(&tm);
	if (t < 0 || tm.tm_mday != day)
		return false;
	*ret_ns = (uint64_t)t * 1000000000 + part;
	return true;
}

int logs_reader_parse_time(const char *text, uint64_t now_ns, uint64_t *ret_ns, struct err *err)
{
	uint64_t v;
	char quoted[80];
	if (parse_duration(text, &v)) {
		*ret_ns = v < now_ns ? now_ns - v : 1;
		return 0;
	}
	if (text[0] == '-' && parse_duration(text + 1, &v)) { /* Go durations may be negative: in the future */
		*ret_ns = now_ns + v;
		return 0;
	}
	if (parse_unix(text, &v) || parse_date(text, &v)) {
		*ret_ns = MAX(v, 1); /* 0 means "no bound" in a range */
		return 0;
	}
	return err_set(err, ERR_INVALID, "\"%s\" is not a time: write 2006-01-02T15:04:05Z, Unix seconds, or a duration like 10m",
		       err_quote(quoted, sizeof(quoted), text));
}
