/* SPDX-License-Identifier: Apache-2.0 */
/* docker's unit syntax (go-units, RAMInBytes and FromHumanSize): a number, at most one space, then b or one of k m g t p with an optional
 * b or ib. */
#include "spec/bytes.h"

#include <ctype.h>

#include "spec/scalar.h"

static bool parse(const char *s, double kilo, int64_t *ret)
{
	static const char prefixes[] = "kmgtp";
	size_t len = strlen(s), sep = len;
	char number[64], suffix[4] = "";
	const char *prefix;
	double size;
	if (scalar_parse_int(s, 10, ret))
		return true;
	while (sep > 0 && !isdigit((unsigned char)s[sep - 1]) && s[sep - 1] != '.' && s[sep - 1] != ' ')
		sep--;
	if (sep == 0 || len - sep > 3 || sep >= sizeof(number))
		return false;
	memcpy(number, s, sep);
	number[sep - (s[sep - 1] == ' ')] = '\0';
	for (size_t i = 0; sep + i < len; i++)
		suffix[i] = (char)tolower((unsigned char)s[sep + i]);
	if (!scalar_parse_float(number, &size) || size < 0)
		return false;
	if (*suffix && strcmp(suffix, "b") != 0) {
		prefix = strchr(prefixes, *suffix);
		if (!prefix || (suffix[1] && strcmp(suffix + 1, "b") != 0 && strcmp(suffix + 1, "ib") != 0))
			return false;
		for (const char *p = prefixes; p <= prefix; p++)
			size *= kilo;
	}
	if (size >= 9223372036854775808.0)
		return false;
	*ret = (int64_t)size;
	return true;
}

bool bytes_parse(const char *s, int64_t *ret)
{
	return parse(s, 1024, ret);
}

bool bytes_parse_decimal(const char *s, int64_t *ret)
{
	return parse(s, 1000, ret);
}
