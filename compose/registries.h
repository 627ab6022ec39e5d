/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine knows about a registry: where it is, who we are there, whose certificates count. Read by muster itself, since
 * the jailed processes cannot; handed only to the one that talks to this registry.
 * Credentials: $DOCKER_CONFIG/config.json or ~/.docker/config.json ("auths"), then $REGISTRY_AUTH_FILE or
 * $XDG_RUNTIME_DIR/containers/auth.json, /run/containers/<uid>/auth.json, ~/.config/containers/auth.json, where the longest
 * matching "host/path" wins. Certificates: $SSL_CERT_FILE or the system's, and *.crt below /etc/docker/certs.d/<host> and
 * /etc/containers/certs.d/<host>. */
#ifndef COMPOSE_REGISTRIES_H
#define COMPOSE_REGISTRIES_H

#include "base/json.h"

struct registry_account {
	char *username, *password, *identity_token; /* NULL: none */
	char *helper;          /* a credential helper that would know more, and that muster does not run; NULL: none */
};
void registry_account_done(struct registry_account *a);

/* The account for this registry ("docker.io", "localhost:5000") and repository. 0; 1 when there is none (helper may be set);
 * -1 + err (a file that is damaged). */
int registry_find_account(const char *registry, const char *repository, struct registry_account *ret, struct err *err);

/* "https://index.docker.io/v1/", "localhost:5000/x" → "docker.io", "localhost:5000". free() *ret. 0 or -1 + ERR_INVALID. */
int registry_parse_name(const char *text, char **ret, struct err *err);

/* Keeps user name and password for this registry in docker's file (mode 0600, replaced as a whole), or with username NULL removes what
 * is there. 0; 1 when there was nothing to remove; -1 + err. */
int registry_keep_account(const char *registry, const char *username, const char *password, struct err *err);

/* The description for images/registry.h of the repository that `ref` names; push: ask for the right to push. New reference in *ret;
 * *ret_helper (free() it) as in struct registry_account. 0 or -1 + err. */
int registry_describe(const char *ref, bool push, json_t **ret, char **ret_helper, struct err *err);

#endif
