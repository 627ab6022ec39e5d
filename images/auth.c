/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar: challenge = scheme [ SP ( token68 | #( name "=" ( token | quoted-string ) ) ) ], several in one header separated by
 * commas like the parameters are; a word that no "=" follows begins the next challenge. */
#include "images/auth.h"

#include <ctype.h>
#include <strings.h>

enum { MIN_LIFETIME_S = 60, MAX_LIFETIME_S = 86400, MAX_TOKEN_BYTES = 64 << 10 };

static bool is_token_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip(const char *p, bool commas)
{
	while (*p == ' ' || *p == '\t' || (commas && *p == ','))
		p++;
	return p;
}

/* A token or a quoted string into buf. Returns where it ends, NULL when malformed or too long. */
static const char *take_value(const char *p, char *buf, size_t size)
{
	size_t n = 0;
	bool quoted = *p == '"';
	p += quoted;
	while (quoted ? *p != '"' : is_token_char(*p) || *p == '/' || *p == ':' || *p == '=') {
		if (quoted && *p == '\\')
			p++;
		if ((unsigned char)*p < ' ' || *p == 0x7f || n + 1 >= size)
			return NULL;
		buf[n++] = *p++;
	}
	buf[n] = '\0';
	return p + quoted;
}

static void put_param(struct auth_challenge *c, const char *name, const char *value)
{
	const struct {
		const char *name;
		char *to;
		size_t size;
	} params[] = {
		{ "realm", c->realm, sizeof(c->realm) }, { "service", c->service, sizeof(c->service) },
		{ "scope", c->scope, sizeof(c->scope) }, { "error", c->error, sizeof(c->error) },
	};
	for (size_t i = 0; i < ARRAY_SIZE(params); i++)
		if (strcasecmp(name, params[i].name) == 0 && !params[i].to[0] && strlen(value) < params[i].size)
			memcpy(params[i].to, value, strlen(value) + 1);
}

/* The parameters of one challenge. Returns where they end, NULL when malformed. */
static const char *take_params(const char *p, struct auth_challenge *c)
{
	char name[64], value[1024];
	for (;;) {
		const char *start = p = skip(p, true);
		size_t n = 0;
		while (is_token_char(p[n]))
			n++;
		p = skip(p + n, false);
		if (n == 0 || *p != '=')
			return start;
		if (n >= sizeof(name))
			return NULL;
		memcpy(name, start, n);
		name[n] = '\0';
		p = take_value(skip(p + 1, false), value, sizeof(value));
		if (!p)
			return NULL;
		put_param(c, name, value);
	}
}

size_t auth_parse(const char *header, struct auth_challenge *ret, size_t max)
{
	size_t n = 0;
	const char *p = skip(header, true);
	while (*p && n < max) {
		struct auth_challenge c = {0};
		size_t len = 0;
		while (is_token_char(p[len]))
			len++;
		if (len == 0)
			break;
		c.scheme = len == 6 && strncasecmp(p, "bearer", 6) == 0 ? AUTH_BEARER : len == 5 && strncasecmp(p, "basic", 5) == 0 ? AUTH_BASIC : AUTH_NONE;
		p = take_params(p + len, &c);
		if (!p)
			break;
		if (c.scheme != AUTH_NONE)
			ret[n++] = c;
		p = skip(p, true);
	}
	return n;
}

int auth_parse_token(const char *text, size_t n, struct auth_token *ret, struct err *err)
{
	AUTO_JSON json_t *j = json_loadb(text, n, 0, NULL);
	const char *token = json_get_str(j, "token", NULL);
	int64_t lifetime = json_get_int(j, "expires_in", MIN_LIFETIME_S);
	if (!token || !*token)
		token = json_get_str(j, "access_token", NULL);
	if (!token || !*token || strlen(token) > MAX_TOKEN_BYTES)
		return err_set(err, ERR_INVALID, "the token server's answer has no token");
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return err_set(err, ERR_INVALID, "the token server's answer has a token that no header can carry");
	ret->token = xstrdup(token);
	ret->lifetime_s = MAX(MIN_LIFETIME_S, MIN(lifetime, MAX_LIFETIME_S));
	return 0;
}

char *auth_basic(const char *username, const char *password)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	AUTO_FREE char *plain = xasprintf("%s:%s", username, password);
	size_t n = strlen(plain), at = strlen("Basic ");
	const unsigned char *p = (const unsigned char *)plain;
	char *out = xcalloc(1, at + (n + 2) / 3 * 4 + 1);
	memcpy(out, "Basic ", at);
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		out[at++] = digits[v >> 18];
		out[at++] = digits[v >> 12 & 63];
		out[at++] = i + 1 < n ? digits[v >> 6 & 63] : '=';
		out[at++] = i + 2 < n ? digits[v & 63] : '=';
	}
	return out;
}
