/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and strings as ssh and its agents write them (RFC 4251 section 5): four bytes, the most significant first; a length and bytes. */
#ifndef IMAGES_SSHWIRE_H
#define IMAGES_SSHWIRE_H

#include "base/str.h"

/* The agent protocol, draft-ietf-sshm-ssh-agent: the messages that are used here, and the flags of a question for a signature. */
enum { AGENT_FAILURE = 5, AGENT_LIST = 11, AGENT_KEYS = 12, AGENT_SIGN = 13, AGENT_SIGNATURE = 14, AGENT_MAX_FRAME = 256 << 10 };
enum { AGENT_RSA_SHA2_256 = 2, AGENT_RSA_SHA2_512 = 4 };

void sshwire_put32(struct str *s, uint64_t n);
void sshwire_put_string(struct str *s, const void *p, size_t n);
/* A number that is not negative, from its bytes: leading zeros go, one comes when the first bit would make it negative. */
void sshwire_put_mpint(struct str *s, const unsigned char *p, size_t n);

struct sshwire_reader {
	const unsigned char *p;
	size_t n;
};
/* What comes next, taken off. 0; -1: there is less. */
int sshwire_get32(struct sshwire_reader *r, uint32_t *ret);
int sshwire_get_string(struct sshwire_reader *r, struct sshwire_reader *ret);

#endif
