/* SPDX-License-Identifier: Apache-2.0 */
/* A repository at a registry, as the distribution specification defines its API: who may see credentials, which redirects are
 * followed, what is tried again. Rules:
 *  - HTTPS; plain HTTP only to the loopback of this machine, when it does not answer with TLS, and to a registry that the user's
 *    configuration calls insecure, whose certificate is not checked either; those of other hosts that it names are.
 *  - User name, password and identity token go to the registry's own host (Basic) or to the token server that the registry's own
 *    challenge names: over HTTPS, or on loopback for a registry on loopback, or on the same host for an insecure one. Tokens go to the
 *    registry's host only. A redirect to elsewhere, and an upload elsewhere, carries neither, nor our certificate, and one that leads back
 *    from there does not either; a challenge that comes from elsewhere is not answered.
 *  - 408, 429, 500, 502, 503, 504, stalls and broken connections are tried again, the token server's too: 1, 2, 4, 8, 16 seconds apart, give or take, or as
 *    Retry-After says; a broken download goes on where it was, and what moves it on noticeably counts as a fresh start. */
#ifndef IMAGES_REGISTRY_H
#define IMAGES_REGISTRY_H

#include <pthread.h>

#include "images/auth.h"
#include "images/http.h"

struct registry {
	/* what it is made from; texts are owned */
	char *name;            /* "docker.io", as in references */
	char *host;            /* "registry-1.docker.io", "localhost:5000" */
	char *repository;      /* "library/busybox"; "": none, only registry_check() */
	char *username, *password, *identity_token; /* NULL = none */
	bool push;             /* ask for the right to push too */
	bool mirror;           /* somebody else stands behind it: give up sooner */
	bool insecure;         /* plain HTTP and any certificate will do */
	struct strv sources;   /* other repositories here that blobs may be mounted from */
	char *proxy, *plain_proxy, *no_proxy; /* as of struct http_options; NULL = none */
	struct http_options http;
	struct str ca, cert, key;
	/* what is learnt, under the lock */
	pthread_mutex_t lock;
	char base[300];        /* "https://host"; "" before the first contact */
	char *authorization;   /* header's value; NULL: none needed so far */
	uint64_t expires_ns;   /* monotonic; 0: never */
	unsigned generation;   /* of authorization */
};

/* Reads the description that muster writes: {"name", "host", "repository", "username", "password", "identity_token", "push", "mirror",
 * "insecure", "sources": […], "proxy", "plain_proxy", "no_proxy", "ca_files": […], "cert_file", "key_file"}, and the certificates. *ret must stay where it
 * is. 0 or -1 + err. */
int registry_open(const json_t *description, struct registry *ret, struct err *err);
void registry_done(struct registry *r);

/* Asks whether the registry takes the credentials. 0 or -1 + err (ERR_DENIED: it does not). */
int registry_check(struct registry *r, struct http *h, struct err *err);

/* GET of "manifests/<tag or digest>": text and media type to the reply. 0 or -1 + err: ERR_NOT_FOUND, ERR_DENIED (with what to run),
 * ERR_SYS … */
int registry_get_manifest(struct registry *r, struct http *h, const char *ref, struct http_reply *ret, struct err *err);

/* GET of a blob of exactly `size` bytes into the sink, from *done on (what comes before is there already), resumed as often as needed;
 * *done moves on. 0 or -1 + err: ERR_CORRUPT when it is longer or shorter. *ret_sink_failed: the error is the sink's own. */
int registry_get_blob(struct registry *r, struct http *h, const char *digest, uint64_t size, uint64_t *done, http_sink_fn *sink, void *arg,
	bool *ret_sink_failed, struct err *err);

enum registry_put { REGISTRY_SENT, REGISTRY_EXISTS, REGISTRY_MOUNTED };

/* Brings a blob there: nothing when the repository has it; mounted when one of from[] (NULL-terminated, may be NULL; each one of r->sources) has it;
 * else sent in chunks, after a break from where the registry says it was. 0 with *ret; -1 + err. */
int registry_put_blob(struct registry *r, struct http *h, const char *digest, uint64_t size, char *const *from, http_source_fn *source, void *arg,
	enum registry_put *ret, struct err *err);
/* PUT of a manifest under a tag or its digest, unless that is what is there. 0 with *ret; -1 + err. */
int registry_put_manifest(struct registry *r, struct http *h, const char *ref, const char *type, const char *digest, const char *text, size_t n,
	enum registry_put *ret, struct err *err);

#endif
