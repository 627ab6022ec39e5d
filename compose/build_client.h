/* SPDX-License-Identifier: Apache-2.0 */
/* muster's part of a build: starts the builder (muster-image build) and, when it asks for something to be run, the executor (muster-run build),
 * gives both what only muster may know or do (secrets, agents, pulls, downloads), and shows what happens. Several images are built side by
 * side in one loop; one that needs another's result waits for it. */
#ifndef COMPOSE_BUILD_CLIENT_H
#define COMPOSE_BUILD_CLIENT_H

#include "compose/build_progress.h"
#include "compose/cmd.h"
#include "images/build/channel.h"

enum { BUILD_MAX_PLATFORMS = 16, BUILD_MAX_FDS = 14, BUILD_MAX_SECRETS = 256 };

struct build_secret {
	char *id;
	int fd;                    /* a memfd with the secret; an O_PATH descriptor of an agent's socket */
	bool keys;                 /* of an agent: fd is a memfd with {"keys":[{"name","text"}…]}, for which one is started */
};

/* One image to build. Zeroed + build_spec_init(). */
struct build_spec {
	char *name;                /* the service's; "" when there is only one without name */
	char *platform;            /* of several that are built side by side: this one's; NULL: it is the only one */
	char *dockerfile;          /* as messages name it */
	json_t *request;           /* "build" of images/build/channel.h; "fd" numbers count fds[] */
	int fds[BUILD_MAX_FDS];
	size_t n_fds;
	struct build_secret secrets[BUILD_MAX_SECRETS], agents[BUILD_MAX_SECRETS];
	size_t n_secrets, n_agents;
	struct strv cache_dirs;    /* cache_to of type local: absolute paths, "dest" of the request is an index */
	bool insecure, host_network; /* what its steps may have */
	struct strv after;         /* names of specs that must have been built; their ids take the place of "service" in contexts */
	/* filled in */
	int rc;                    /* 0, -1 + err; 1: not tried, because of another one */
	bool cancelled, check_failed;
	char id[65];
	struct strv tags;          /* familiar, as given */
	struct str failure;        /* to be shown before the error: output, excerpt, diagnostics; "" */
	bool told;                 /* failure says all: err is not to be printed */
	struct err err;
};

void build_spec_init(struct build_spec *s);
void build_spec_done(struct build_spec *s);
/* Adds a descriptor that goes to the builder; taken over. Its number for the request; -1 + err. */
int build_spec_fd(struct build_spec *s, int fd, struct err *err);

/* Builds them all, side by side up to app->parallel (of several platforms each counts). Returns the number of those that failed; their errors are
 * not printed. Signals: the first one cancels, the second one kills. */
size_t build_client_run(struct app *app, struct build_spec *list, size_t n, struct build_progress *p);
/* Fetches a URL (http, https) into a file; waits for it. 0 or -1 + err. */
int build_client_fetch(const char *url, int out_fd, uint64_t max_bytes, struct err *err);
/* Prints what went wrong, as `docker build` words it. */
void build_client_report(const struct app *app, const struct build_spec *s);

#endif
