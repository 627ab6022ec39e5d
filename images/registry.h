/* SPDX-License-Identifier: Apache-2.0 */
/* A repository at a registry, as the distribution specification defines its API: who may see credentials, which redirects are
 * followed, what is tried again. Rules:
 *  - HTTPS; plain HTTP only to the loopback of this machine, when it does not answer with TLS.
 *  - User name, password and identity token go to the registry's own host (Basic) or to the token server that the registry's own
 *    challenge names: over HTTPS, or on loopback for a registry on loopback. Tokens go to the registry's host only. A redirect to
 *    elsewhere carries neither, and a challenge that comes from elsewhere is not answered.
 *  - 408, 429, 500, 502, 503, 504, stalls and broken connections are tried again: 1, 2, 4, 8, 16 seconds apart, give or take, or as
 *    Retry-After says; a broken download goes on where it was, and any byte that comes counts as a fresh start. */
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
	struct http_options http;
	struct str ca;
	/* what is learnt, under the lock */
	pthread_mutex_t lock;
	char base[300];        /* "https://host"; "" before the first contact */
	char *authorization;   /* header's value; NULL: none needed so far */
	uint64_t expires_ns;   /* monotonic; 0: never */
	unsigned generation;   /* of authorization */
};

/* Reads the description that muster writes: {"name", "host", "repository", "username", "password", "identity_token", "push",
 * "proxy", "no_proxy", "ca_files": […]}, and the certificates. 0 or -1 + err. */
int registry_open(const json_t *description, struct registry *ret, struct err *err);
void registry_done(struct registry *r);

/* Asks whether the registry takes the credentials. 0 or -1 + err (ERR_DENIED: it does not). */
int registry_check(struct registry *r, struct http *h, struct err *err);

/* GET of "manifests/<tag or digest>": text and media type to the reply. 0 or -1 + err: ERR_NOT_FOUND, ERR_DENIED (with what to run),
 * ERR_SYS … */
int registry_get_manifest(struct registry *r, struct http *h, const char *ref, struct http_reply *ret, struct err *err);

/* GET of a blob of exactly `size` bytes into the sink, resumed as often as needed. 0 or -1 + err: ERR_CORRUPT when it is longer or
 * shorter. */
int registry_get_blob(struct registry *r, struct http *h, const char *digest, uint64_t size, http_sink_fn *sink, void *arg, struct err *err);

#endif
