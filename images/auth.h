/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate and token answers as registries write them: RFC 9110 section 11, and the distribution project's token
 * specification (https://distribution.github.io/distribution/spec/auth/token/). Only parsing; hostile input. */
#ifndef IMAGES_AUTH_H
#define IMAGES_AUTH_H

#include "base/json.h"

enum auth_scheme { AUTH_NONE, AUTH_BASIC, AUTH_BEARER };

struct auth_challenge {
	enum auth_scheme scheme;
	char realm[1024], service[256], scope[512], error[64]; /* "" when not given */
};

enum { AUTH_MAX_CHALLENGES = 8 };

/* All challenges of one header's value that are Basic or Bearer, into ret[0..max): the number. What is malformed or too long
 * ends the list. */
size_t auth_parse(const char *header, struct auth_challenge *ret, size_t max);

struct auth_token {
	char *token;             /* free() it */
	int64_t lifetime_s;      /* at least 60, as the specification says */
};
/* A token server's answer. 0 or -1 + ERR_INVALID. */
int auth_parse_token(const char *text, size_t n, struct auth_token *ret, struct err *err);

/* Value of an Authorization header: "Basic …"; free() it. */
char *auth_basic(const char *username, const char *password);

#endif
