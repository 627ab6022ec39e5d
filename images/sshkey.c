/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSH's format is in its PROTOCOL.key; PEM is OpenSSL's business. Whatever the file says of the public key, it is computed from the private one. */
#include "images/sshkey.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include "images/sshwire.h"

#define BEGIN_OPENSSH "-----BEGIN OPENSSH PRIVATE KEY-----"
#define END_OPENSSH "-----END OPENSSH PRIVATE KEY-----"

static const struct {
	const char *type, *curve, *group; /* of ssh, in its blobs, OpenSSL's name */
} curves[] = {
	{ "ecdsa-sha2-nistp256", "nistp256", "prime256v1" },
	{ "ecdsa-sha2-nistp384", "nistp384", "secp384r1" },
	{ "ecdsa-sha2-nistp521", "nistp521", "secp521r1" },
};

void sshkey_done(struct sshkey *k)
{
	EVP_PKEY_free(k->key);
	str_done(&k->blob);
	*k = (struct sshkey){0};
}

static BIGNUM *number(struct sshwire_reader r)
{
	return BN_bin2bn(r.p, (int)MIN(r.n, (size_t)4096), NULL);
}

/* The key of these parameters, which are freed. NULL: they make none. */
static EVP_PKEY *make_key(const char *kind, OSSL_PARAM_BLD *b)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
	EVP_PKEY *key = NULL;
	if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	return key;
}

/* n, e, d, 1/q, p, q */
static EVP_PKEY *read_rsa(struct sshwire_reader *r)
{
	static const char *const names[] = { OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
		OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2 };
	BIGNUM *v[8] = {0}, *one = BN_new();
	BN_CTX *ctx = BN_CTX_new();
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	struct sshwire_reader part;
	EVP_PKEY *key = NULL;
	bool good = ctx && one && b;
	for (size_t i = 0; good && i < ARRAY_SIZE(names); i++) {
		good = sshwire_get_string(r, &part) == 0 && (v[i] = number(part)) != NULL;
		if (good)
			BN_set_flags(v[i], BN_FLG_CONSTTIME);
	}
	/* the exponents modulo p-1 and q-1, which the format leaves out */
	for (size_t i = 0; good && i < 2; i++) {
		v[6 + i] = BN_dup(v[4 + i]);
		good = v[6 + i] && BN_sub_word(v[6 + i], 1) && BN_nnmod(one, v[2], v[6 + i], ctx) && BN_copy(v[6 + i], one);
	}
	for (size_t i = 0; good && i < ARRAY_SIZE(names); i++)
		good = OSSL_PARAM_BLD_push_BN(b, names[i], v[i]);
	if (good && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT1, v[6]) && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_EXPONENT2, v[7]))
		key = make_key("RSA", b);
	else
		OSSL_PARAM_BLD_free(b);
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		BN_clear_free(v[i]);
	BN_clear_free(one);
	BN_CTX_free(ctx);
	return key;
}

/* curve, point, number */
static EVP_PKEY *read_ecdsa(struct sshwire_reader *r, const char *group)
{
	struct sshwire_reader curve, point, private;
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	BIGNUM *d = NULL;
	EVP_PKEY *key = NULL;
	bool good = b && sshwire_get_string(r, &curve) == 0 && sshwire_get_string(r, &point) == 0 && sshwire_get_string(r, &private) == 0 &&
		    (d = number(private)) && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
		    OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n) &&
		    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d);
	if (good)
		key = make_key("EC", b);
	else
		OSSL_PARAM_BLD_free(b);
	BN_clear_free(d);
	return key;
}

static EVP_PKEY *read_ed25519(struct sshwire_reader *r)
{
	struct sshwire_reader public, private;
	if (sshwire_get_string(r, &public) < 0 || sshwire_get_string(r, &private) < 0 || private.n != 64)
		return NULL;
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private.p, 32);
}

static bool is_text(struct sshwire_reader r, const char *text)
{
	return r.n == strlen(text) && memcmp(r.p, text, r.n) == 0;
}

static int parse_openssh(struct sshwire_reader r, struct sshkey *k, struct err *err)
{
	static const char magic[] = "openssh-key-v1";
	struct sshwire_reader cipher, kdf, options, public, private, type;
	uint32_t n, a, b;
	if (r.n < sizeof(magic) || memcmp(r.p, magic, sizeof(magic)) != 0)
		return err_set(err, ERR_INVALID, "it is no private key");
	r.p += sizeof(magic);
	r.n -= sizeof(magic);
	if (sshwire_get_string(&r, &cipher) < 0 || sshwire_get_string(&r, &kdf) < 0 || sshwire_get_string(&r, &options) < 0 || sshwire_get32(&r, &n) < 0 ||
	    n != 1 || sshwire_get_string(&r, &public) < 0 || sshwire_get_string(&r, &private) < 0)
		return err_set(err, ERR_INVALID, "the private key is damaged");
	if (!is_text(cipher, "none"))
		return err_set(err, ERR_UNSUPPORTED, "it has a passphrase; add the key to an agent (ssh-add) and use that");
	if (sshwire_get32(&private, &a) < 0 || sshwire_get32(&private, &b) < 0 || a != b || sshwire_get_string(&private, &type) < 0)
		return err_set(err, ERR_INVALID, "the private key is damaged");
	if (is_text(type, "ssh-ed25519"))
		k->key = read_ed25519(&private);
	else if (is_text(type, "ssh-rsa"))
		k->key = read_rsa(&private);
	else {
		size_t i = 0;
		while (i < ARRAY_SIZE(curves) && !is_text(type, curves[i].type))
			i++;
		if (i == ARRAY_SIZE(curves))
			return err_set(err, ERR_UNSUPPORTED, "it is of a kind that is not supported; ed25519, RSA and ECDSA are");
		k->key = read_ecdsa(&private, curves[i].group);
	}
	return k->key ? 0 : err_set(err, ERR_INVALID, "the private key is damaged");
}

/* Nobody is asked. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)arg = true;
	return -1;
}

static int parse_pem(const char *text, size_t n, struct sshkey *k, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(text, (int)MIN(n, (size_t)1 << 20));
	bool asked = false;
	if (!bio)
		util_oom();
	k->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	BIO_free(bio);
	if (k->key)
		return 0;
	return asked ? err_set(err, ERR_UNSUPPORTED, "it has a passphrase; add the key to an agent (ssh-add) and use that") :
		       err_set(err, ERR_INVALID, "it is no private key");
}

/* The number `name` of the key, as an mpint. */
static int put_number(struct str *s, const EVP_PKEY *key, const char *name)
{
	BIGNUM *v = NULL;
	unsigned char bytes[2048];
	int n;
	if (EVP_PKEY_get_bn_param(key, name, &v) != 1 || BN_num_bytes(v) > (int)sizeof(bytes)) {
		BN_free(v);
		return -1;
	}
	n = BN_bn2bin(v, bytes);
	sshwire_put_mpint(s, bytes, (size_t)n);
	BN_free(v);
	return 0;
}

static int make_blob(struct sshkey *k)
{
	unsigned char bytes[256];
	char group[64];
	size_t n = sizeof(bytes), i = 0;
	int id = EVP_PKEY_get_base_id(k->key);
	if (id == EVP_PKEY_ED25519 && EVP_PKEY_get_raw_public_key(k->key, bytes, &n) == 1) {
		strcpy(k->type, "ssh-ed25519");
		sshwire_put_string(&k->blob, k->type, strlen(k->type));
		sshwire_put_string(&k->blob, bytes, n);
		return 0;
	}
	if (id == EVP_PKEY_RSA) {
		strcpy(k->type, "ssh-rsa");
		sshwire_put_string(&k->blob, k->type, strlen(k->type));
		return put_number(&k->blob, k->key, OSSL_PKEY_PARAM_RSA_E) < 0 || put_number(&k->blob, k->key, OSSL_PKEY_PARAM_RSA_N) < 0 ? -1 : 0;
	}
	if (id != EVP_PKEY_EC || EVP_PKEY_get_group_name(k->key, group, sizeof(group), NULL) != 1)
		return -1;
	while (i < ARRAY_SIZE(curves) && strcmp(group, curves[i].group) != 0)
		i++;
	EVP_PKEY_set_utf8_string_param(k->key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed");
	if (i == ARRAY_SIZE(curves) || EVP_PKEY_get_octet_string_param(k->key, OSSL_PKEY_PARAM_PUB_KEY, bytes, sizeof(bytes), &n) != 1)
		return -1;
	strcpy(k->type, curves[i].type);
	sshwire_put_string(&k->blob, k->type, strlen(k->type));
	sshwire_put_string(&k->blob, curves[i].curve, strlen(curves[i].curve));
	sshwire_put_string(&k->blob, bytes, n);
	return 0;
}

int sshkey_parse(const char *text, size_t n, struct sshkey *ret, struct err *err)
{
	const char *begin = memmem(text, n, BEGIN_OPENSSH, strlen(BEGIN_OPENSSH)), *end;
	int rc;
	*ret = (struct sshkey){0};
	if (begin) {
		size_t len;
		AUTO_FREE unsigned char *bytes = NULL;
		EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
		int a = 0, b = 0;
		begin += strlen(BEGIN_OPENSSH);
		end = memmem(begin, n - (size_t)(begin - text), END_OPENSSH, strlen(END_OPENSSH));
		len = end ? (size_t)(end - begin) : 0;
		bytes = xcalloc(1, len + 4);
		EVP_DecodeInit(ctx);
		if (len > 1 << 20 || EVP_DecodeUpdate(ctx, bytes, &a, (const unsigned char *)begin, (int)len) < 0 || EVP_DecodeFinal(ctx, bytes + a, &b) < 0)
			a = b = 0;
		EVP_ENCODE_CTX_free(ctx);
		rc = parse_openssh((struct sshwire_reader){ bytes, (size_t)(a + b) }, ret, err);
		explicit_bzero(bytes, len + 4);
	} else {
		rc = parse_pem(text, n, ret, err);
	}
	if (rc == 0 && make_blob(ret) < 0)
		rc = err_set(err, ERR_UNSUPPORTED, "it is of a kind that is not supported; ed25519, RSA and ECDSA are");
	if (rc < 0)
		sshkey_done(ret);
	return rc;
}

/* ---- signing ---- */

static int put_ecdsa(struct str *s, const unsigned char *der, size_t n)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	AUTO_STR struct str both = {0};
	unsigned char bytes[128];
	const BIGNUM *v[2];
	if (!sig)
		return -1;
	ECDSA_SIG_get0(sig, &v[0], &v[1]);
	for (size_t i = 0; i < 2; i++)
		sshwire_put_mpint(&both, bytes, (size_t)BN_bn2bin(v[i], bytes));
	ECDSA_SIG_free(sig);
	sshwire_put_string(s, both.p, both.len);
	return 0;
}

int sshkey_sign(const struct sshkey *k, const void *data, size_t n, unsigned flags, struct str *ret)
{
	const char *name = k->type;
	const EVP_MD *md = NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	AUTO_FREE unsigned char *sig = NULL;
	size_t len = 0;
	int rc = -1;
	if (!ctx)
		util_oom();
	if (strcmp(name, "ssh-rsa") == 0) {
		md = flags & AGENT_RSA_SHA2_512 ? EVP_sha512() : flags & AGENT_RSA_SHA2_256 ? EVP_sha256() : EVP_sha1();
		name = flags & AGENT_RSA_SHA2_512 ? "rsa-sha2-512" : flags & AGENT_RSA_SHA2_256 ? "rsa-sha2-256" : name;
	} else if (str_starts(name, "ecdsa-")) {
		md = str_ends(name, "256") ? EVP_sha256() : str_ends(name, "384") ? EVP_sha384() : EVP_sha512();
	}
	if (EVP_DigestSignInit(ctx, NULL, md, NULL, k->key) == 1 && EVP_DigestSign(ctx, NULL, &len, data, n) == 1) {
		sig = xcalloc(1, len);
		rc = EVP_DigestSign(ctx, sig, &len, data, n) == 1 ? 0 : -1;
	}
	EVP_MD_CTX_free(ctx);
	if (rc < 0)
		return -1;
	sshwire_put_string(ret, name, strlen(name));
	if (str_starts(name, "ecdsa-"))
		return put_ecdsa(ret, sig, len);
	sshwire_put_string(ret, sig, len);
	return 0;
}
