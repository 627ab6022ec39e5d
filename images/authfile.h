/* SPDX-License-Identifier: Apache-2.0 */
/* Files of credentials: docker's config.json and containers' auth.json. Only the documents; who reads, writes and asks helpers is
 * compose/registries.c. Keys of "auths" are written in many ways ("https://index.docker.io/v1/", "ghcr.io", "host:5000/v2/",
 * "quay.io/team"): they are compared without scheme, and with their path in containers' file only, where the longest match wins.
 * docker.io is also index.docker.io and registry-1.docker.io. Hostile input as far as anybody else can write the file. */
#ifndef IMAGES_AUTHFILE_H
#define IMAGES_AUTHFILE_H

#include "base/json.h"

struct account {
	char *username, *password, *identity_token; /* NULL: none */
};
void account_done(struct account *a);

bool authfile_is_hub(const char *host);
/* How the registry is called towards credential helpers and in docker's file: docker.io is a URL there. */
const char *authfile_server(const char *registry);
/* True when the key or URL is about this registry as a whole. */
bool authfile_names(const char *key, const char *registry);

/* The account of this registry ("docker.io", "localhost:5000") and repository. paths: "host/path" keys count for a part of the registry. 0; 1 when
 * there is none. */
int authfile_find(const json_t *doc, const char *registry, const char *repository, bool paths, struct account *ret);
/* The credential helper for this registry: of "credHelpers" ("" there: none, whatever "credsStore" says), else "credsStore"; NULL: none. The name is as
 * it is written: authfile_is_helper() first. */
const char *authfile_helper(const json_t *doc, const char *registry);
/* True when a program docker-credential-NAME can have this name: [a-z0-9._-]+, at most 64 bytes, no dot at its beginning. */
bool authfile_is_helper(const char *name);

/* Sets the account in doc, or with username NULL an entry that only says that a helper has it; other keys stay. */
void authfile_set(json_t *doc, const char *registry, const char *username, const char *password);
/* Removes what is about this registry as a whole. True when there was something. */
bool authfile_drop(json_t *doc, const char *registry);

/* A helper's answer to "get": 0; 1 when both are empty, which says that there is no account; -1 + ERR_INVALID. The user name "<token>" says that the
 * secret is an identity token. */
int authfile_parse_answer(const char *text, size_t n, struct account *ret, struct err *err);

#endif
