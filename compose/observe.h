/* SPDX-License-Identifier: Apache-2.0 */
/* What there is: records on disk, checked against the kernel (pid + start time + boot id, the anchor's exit notes).
 * Needs no supervisor and takes no lock, so `ps`, `ls`, `port`, `logs` work and are fast whatever else goes on. */
#ifndef COMPOSE_OBSERVE_H
#define COMPOSE_OBSERVE_H

#include "compose/state.h"

struct observed {
	char *project;
	struct record **containers; /* sorted by service, one-offs last, number, name */
	size_t n;
	char *working_dir;          /* of the last applied desired.json; "" when none */
	struct strv config_files;
	struct strv torn;           /* ids whose record could not be read */
	bool supervised;            /* an anchor holds the project's lock right now */
};

/* 0 (an unknown project has no containers) or -1 + err. */
int observe_project(const struct paths *p, const char *project, struct observed *ret, struct err *err);
void observe_done(struct observed *o);
/* The order in which containers are listed everywhere. */
void observe_sort(struct observed *o);

/* Does an anchor hold the project's lock right now? */
bool observe_supervised(const struct paths *p, const char *project);

/* Names of all projects that have a directory under <root>/projects, sorted. */
int observe_projects(const struct paths *p, struct strv *ret, struct err *err);

/* One container by service and index (1…; 0 = lowest number that runs, else lowest). NULL when there is none. One-offs do not count. */
struct record *observe_find(const struct observed *o, const char *service, unsigned index);

#endif
