/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine knows about a registry: where it is, who we are there, whose certificates count. Read by muster itself, since
 * the jailed processes cannot; handed only to the one that talks to this registry.
 * Credentials: $DOCKER_AUTH_CONFIG (the text of such a file), $DOCKER_CONFIG/config.json or ~/.docker/config.json, then $REGISTRY_AUTH_FILE or
 * $XDG_RUNTIME_DIR/containers/auth.json, /run/containers/<uid>/auth.json, ~/.config/containers/auth.json; in each file first the credential helper that
 * it names for the registry, then "auths". Places: registries.conf ($CONTAINERS_REGISTRIES_CONF, else ~/.config/containers/registries.conf, else
 * /etc/containers/registries.conf), then registries.conf.d/ in /etc/containers and ~/.config/containers. Certificates: $SSL_CERT_FILE or
 * the system's, and per host *.crt, and NAME.cert with NAME.key as our own, below /etc/docker/certs.d, /etc/containers/certs.d and
 * ~/.config/containers/certs.d. */
#ifndef COMPOSE_REGISTRIES_H
#define COMPOSE_REGISTRIES_H

#include "base/map.h"
#include "images/authfile.h"

/* What one command has found out already: registries.conf is read once, and a credential helper is asked once for each registry. Zeroed =
 * nothing. */
struct registries {
	json_t *conf;
	bool conf_read;
	struct map answers;   /* "helper registry" -> struct helper_answer */
};
void registries_done(struct registries *r);

/* The account for this registry ("docker.io", "localhost:5000") and repository. 0; 1 when there is none; 2 + err when there is none but a credential
 * helper that is named for it failed, so that nobody knows; -1 + err (a file that is damaged). *ret_warning (free() it, NULL: none): a helper failed, but
 * a file has an account. */
int registry_find_account(struct registries *r, const char *registry, const char *repository, struct account *ret, char **ret_warning,
	struct err *err);

/* "https://index.docker.io/v1/", "localhost:5000/x" → "docker.io", "localhost:5000". free() *ret. 0 or -1 + ERR_INVALID. */
int registry_parse_name(const char *text, char **ret, struct err *err);

/* Keeps user name and password for this registry: in the helper that docker's file names for it, else in that file (mode 0600, replaced as
 * a whole, its other keys as they were); with username NULL removes what is there. 0; 1 when there was nothing to remove; -1 + err. */
int registry_keep_account(const char *registry, const char *username, const char *password, struct err *err);

/* The description for images/fetch.h of where the image that `ref` names is; push: ask for the right to push. sources: repositories of the
 * same registry that blobs may be mounted from, NULL: none. New reference in *ret; *ret_warning as above, and a mirror's account that is not known. 0;
 * 2 + err when the registry's own account is not known (see above), -1 + err. */
int registry_describe(struct registries *r, const char *ref, bool push, const struct strv *sources, json_t **ret, char **ret_warning,
	struct err *err);
/* The description of HOST[:PORT] for a download: proxy and certificates, and no account. New reference. */
json_t *registry_describe_host(const char *host);
/* The description of a registry without a repository, to try these credentials. */
int registry_describe_login(const char *registry, const char *username, const char *password, json_t **ret, struct err *err);

#endif
