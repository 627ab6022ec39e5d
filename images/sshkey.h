/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys of ssh in files: ed25519, RSA, ECDSA of the three curves; OpenSSH's own format and PEM (PKCS#1, SEC1, PKCS#8), without a passphrase. */
#ifndef IMAGES_SSHKEY_H
#define IMAGES_SSHKEY_H

#include "base/err.h"
#include "base/str.h"

struct sshkey {
	void *key;          /* EVP_PKEY */
	struct str blob;    /* the public key as the protocol has it */
	char type[24];      /* "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256" … */
};

/* Reads one. 0; -1 + err (ERR_UNSUPPORTED: it has a passphrase, or is of another kind; ERR_INVALID: it is no key). sshkey_done() it. */
int sshkey_parse(const char *text, size_t n, struct sshkey *ret, struct err *err);
/* The signature as the protocol has it: algorithm and bytes. flags: AGENT_RSA_*. 0 or -1. */
int sshkey_sign(const struct sshkey *k, const void *data, size_t n, unsigned flags, struct str *ret);
void sshkey_done(struct sshkey *k); /* takes a zeroed one, may be called twice */

#endif
