/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes, cut at the first NUL byte, as the value of WWW-Authenticate and, what follows, as a token server's answer: nothing crashes;
 * every challenge is of a known kind and ends inside its fields; a token can go into a header. */
#include "images/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = strnlen((const char *)data, size), rest = size > n ? size - n - 1 : 0;
	AUTO_FREE char *header = xstrndup((const char *)data, n), *text = xcalloc(rest + 1, 1), *basic = NULL;
	struct auth_challenge c[AUTH_MAX_CHALLENGES];
	struct auth_token token = {0};
	size_t found = auth_parse(header, c, AUTH_MAX_CHALLENGES);
	if (found > AUTH_MAX_CHALLENGES)
		abort();
	for (size_t i = 0; i < found; i++)
		if ((c[i].scheme != AUTH_BASIC && c[i].scheme != AUTH_BEARER) || strnlen(c[i].realm, sizeof(c[i].realm)) == sizeof(c[i].realm) ||
		    strpbrk(c[i].realm, "\r\n") || strnlen(c[i].scope, sizeof(c[i].scope)) == sizeof(c[i].scope))
			abort();
	if (rest)
		memcpy(text, data + n + 1, rest);
	if (auth_parse_token(text, rest, &token, NULL) == 0 && (!*token.token || strpbrk(token.token, " \r\n") || token.lifetime_s < 60))
		abort();
	free(token.token);
	basic = auth_basic(header, text);
	if (!str_starts(basic, "Basic ") || strpbrk(basic, "\r\n") || (strlen(basic) - 6) % 4)
		abort();
	return 0;
}
