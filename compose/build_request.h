/* SPDX-License-Identifier: Apache-2.0 */
/* From what the user wrote, a service's `build:` or the flags of `muster image build`, to what the builder is told (images/build/channel.h).
 * Paths are opened here, secrets read, environments looked up: the builder sees descriptors and names only. */
#ifndef COMPOSE_BUILD_REQUEST_H
#define COMPOSE_BUILD_REQUEST_H

#include "compose/build_client.h"
#include "compose/project.h"

/* A service's build with what the command line adds (build-arg, no-cache, pull, ssh, memory, check; those that the command has). All of the keys of
 * `build:` are honoured or refused. *ret is initialised. 0 or -1 + err, which names the key. */
int build_request_service(struct app *app, struct project *p, const char *service, struct build_spec *ret, struct err *err);

/* `muster image build`: everything from the command line. 0 or -1 + err. */
int build_request_command(struct app *app, struct build_spec *ret, struct err *err);

/* --- shared by the two; they fill the request. name: as contexts are called there; "" = the build context */
int build_request_context(struct build_spec *s, const char *name, const char *value, struct err *err);
/* dockerfile relative to context_dir (or absolute); NULL or "": Dockerfile. */
int build_request_dockerfile(struct build_spec *s, const char *context_dir, const char *dockerfile, struct err *err);
int build_request_text(struct build_spec *s, const char *name, const char *text, size_t n, struct err *err);
/* build_request_cache.c: "type=local,src=DIR", "type=registry,ref=R", "R", "type=inline" with their attributes. to: cache_to. */
int build_request_cache(struct build_spec *s, const char *entry, bool to, struct err *err);
/* "default" (the agent of SSH_AUTH_SOCK), "id=path", "id: path": the path of an agent's socket, or those of key files with commas between. */
int build_request_ssh(struct build_spec *s, const char *entry, struct err *err);
/* path NULL: the environment's variable env; both NULL: the file or variable called id. */
int build_request_secret(struct build_spec *s, const char *id, const char *path, const char *env, struct err *err);
int build_request_network(struct build_spec *s, const char *network, struct err *err);
int build_request_entitlement(struct build_spec *s, const char *name, struct err *err);
/* "name=address", "name:address" */
int build_request_host(struct build_spec *s, const char *entry, struct err *err);
/* "linux/arm64", "arm64", several with commas between; called more than once they add up. */
int build_request_platform(struct build_spec *s, const char *platform, struct err *err);
/* Of several platforms only this machine's stays, or the first. */
void build_request_one_platform(struct build_spec *s);
/* "K=V", or "K": from the environment, or left out. */
void build_request_arg(struct build_spec *s, const char *arg);
json_t *build_request_options(struct build_spec *s); /* the member "run", borrowed */
/* A git repository, as docker tells it from a path. */
bool build_request_is_git(const char *text);
/* An http or https URL that is no git repository's. */
bool build_request_is_download(const char *text);
/* The context is what is in fd (a file, taken over, from its start): an archive with `dockerfile` in it, or a Dockerfile without a context. */
int build_request_stream(struct build_spec *s, int fd, const char *dockerfile, struct err *err);
/* The Dockerfile (NULL or "": Dockerfile) is a file of the context. */
void build_request_dockerfile_inside(struct build_spec *s, const char *dockerfile);
/* The same, fetched first, into an unnamed file below root_fd. */
int build_request_url(struct build_spec *s, int root_fd, const char *url, const char *dockerfile, struct err *err);

#endif
