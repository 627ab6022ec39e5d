/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of compose/build_client*.c. */
#ifndef COMPOSE_BUILD_CLIENT_IMPL_H
#define COMPOSE_BUILD_CLIENT_IMPL_H

#include <sys/types.h>

#include "compose/build_client.h"

struct build_client;

struct build_job {             /* a child of ours that answers a "need" */
	struct build_job *next;
	struct build *build;
	pid_t pid;
	int fd;
	struct loop_source source;
	int64_t need, step;
	char *what;
	struct str text;
};

struct build {                 /* one image on its way */
	struct build_client *client;
	struct build_spec *spec;
	char *shown;               /* how progress calls it: its name, and of several its platform */
	size_t index;
	bool begun, ended, said;   /* said: it has told its end */
	pid_t builder_pid, exec_pid;
	struct chan builder, exec;
	int builder_fd, exec_fd;   /* of the channels */
	int wanted_fd;             /* the executor's end, until it is wanted */
	struct loop_source wanted;
	struct build_job *jobs;
	pid_t agents[16];          /* for key files */
	size_t n_agents;
	pid_t *fetchers;           /* processes that talk to registries for the builder: they end with it */
	size_t n_fetchers, cap_fetchers;
};

struct build_client {
	struct app *app;
	struct loop loop;
	struct build *builds;
	size_t n, n_ended;
	struct build_progress *progress;
	int signal_fd;
	struct loop_source signals;
	unsigned n_signals;
};

/* build_client_start.c. Both die when they are not wanted any more: the builder with us, the executor when its channels end. */
int build_start_builder(struct build *b, struct err *err);
int build_start_executor(struct build *b, struct err *err);
/* Removes what a killed executor has left. */
void build_sweep(struct app *app);

/* build_client_serve.c */
void build_client_serve(struct build *b, const json_t *need, int *fds, size_t n_fds);
void build_jobs_done(struct build *b);
/* build_client_cache.c: children that write into a directory that cache_to names. */
_Noreturn void build_cache_file(const struct build *b, const json_t *need, const int *fds, size_t n_fds, int fd);
_Noreturn void build_cache_index(const struct build *b, const json_t *need, const int *fds, size_t n_fds, int fd);
void build_job_tell(int fd, json_t *j); /* a child's line; takes j over */
/* The description for images/download.h and images/git.h: certificates and proxies are those that a registry at the same place would get; no
 * credentials. New reference. */
json_t *build_client_describe(const char *url, int64_t max_bytes);
/* Runs `muster-image WHAT` with the description and these files (-1: none); waits. 0 and its last line in *ret, -1 + err. */
int build_client_run_fetcher(const char *what, const json_t *conf, int out_fd, int second_fd, int agent_fd, json_t **ret, struct err *err);

/* build_client_agent.c: an agent for each id that has key files; they end with the build. 0 or -1 + err. */
int build_agents_start(struct build *b, struct err *err);
void build_agents_stop(struct build *b);

/* build_client_git.c: answers a "need" of git; in a child, waits. 0, the reply's fields in *ret (new reference), a warning to be
 * free()d or NULL; -1 + err. */
int build_client_git(const struct build *b, const json_t *need, const int *fds, size_t n_fds, json_t **ret, char **ret_warning, struct err *err);

#endif
