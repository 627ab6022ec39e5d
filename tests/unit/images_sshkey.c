/* SPDX-License-Identifier: Apache-2.0 */
/* A private key in OpenSSH's format is read and signs; cut off anywhere, or with a length that lies, it is an error and never a crash. */
#include "images/sshkey.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "images/sshwire.h"
#include "tests/unit/check.h"

/* The file whose private part is this. */
static char *file_of(const struct str *private)
{
	AUTO_STR struct str whole = {0};
	AUTO_FREE char *base64 = NULL;
	str_addn(&whole, "openssh-key-v1", 15);
	sshwire_put_string(&whole, "none", 4);
	sshwire_put_string(&whole, "none", 4);
	sshwire_put_string(&whole, "", 0);
	sshwire_put32(&whole, 1);
	sshwire_put_string(&whole, "", 0);
	sshwire_put_string(&whole, private->p, private->len);
	base64 = xcalloc(whole.len / 3 + 2, 4);
	EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)whole.p, (int)whole.len);
	return xasprintf("-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n-----END OPENSSH PRIVATE KEY-----\n", base64);
}

static void put_head(struct str *s, const char *type)
{
	sshwire_put32(s, 7);
	sshwire_put32(s, 7);
	sshwire_put_string(s, type, strlen(type));
}

static void put_rsa(struct str *s)
{
	static const char *const names[] = { OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
		OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2 };
	EVP_PKEY *key = EVP_RSA_gen(1024);
	CHECK(key, "no RSA key");
	put_head(s, "ssh-rsa");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		unsigned char bytes[256];
		BIGNUM *v = NULL;
		CHECK(EVP_PKEY_get_bn_param(key, names[i], &v) == 1, "no %s", names[i]);
		sshwire_put_mpint(s, bytes, (size_t)BN_bn2bin(v, bytes));
		BN_free(v);
	}
	EVP_PKEY_free(key);
}

static void put_ed25519(struct str *s)
{
	unsigned char seed[64] = {1};
	put_head(s, "ssh-ed25519");
	sshwire_put_string(s, seed + 32, 32);
	sshwire_put_string(s, seed, 64);
}

static int parse(const struct str *private, struct sshkey *key)
{
	AUTO_FREE char *text = file_of(private);
	struct err err = {0};
	return sshkey_parse(text, strlen(text), key, &err);
}

static void check(const char *type, void (*put)(struct str *))
{
	AUTO_STR struct str private = {0}, sig = {0};
	struct sshkey key;
	size_t whole;
	put(&private);
	whole = private.len;
	CHECK(parse(&private, &key) == 0 && strcmp(key.type, type) == 0, "%s: not read", type);
	CHECK(sshkey_sign(&key, "x", 1, AGENT_RSA_SHA2_256, &sig) == 0 && sig.len > 64, "%s: does not sign", type);
	sshkey_done(&key);
	for (private.len = 0; private.len < whole; private.len++)
		CHECK(parse(&private, &key) < 0, "%s: read although only %zu of %zu bytes are there", type, private.len, whole);
	for (size_t i = 8; i < whole; i++) {
		private.p[i] ^= (char)0x80;
		if (parse(&private, &key) == 0)
			sshkey_done(&key);
		private.p[i] ^= (char)0x80;
	}
}

int main(void)
{
	check("ssh-rsa", put_rsa);
	check("ssh-ed25519", put_ed25519);
	return 0;
}
