/* SPDX-License-Identifier: Apache-2.0 */
/* Where state lives. <root> (default /var/lib/muster) outlives the boot: images, layers, volumes, projects/<p>/{desired.json, c/<id12>/record.json …}.
 * <run> (default /run/muster, 0700) dies with it: <p>/{control, anchor.lock, muster.log, exits, c/<id12>/{state.json, out, err, …}}.
 * rootid tells two pairs of roots on one kernel apart: it is in the name of every bridge, table and cgroup. */
#ifndef COMPOSE_PATHS_H
#define COMPOSE_PATHS_H

#include "base/err.h"

/* In a run directory that we have made ourselves: the last project takes the directory with it. */
#define PATHS_MADE_BY_US ".made-by-muster"

struct paths {
	char *root, *run;   /* absolute, resolved */
	int root_fd, run_fd; /* directories; -1 when opened without `create` and absent */
	char rootid[9];     /* 8 hexadecimal digits */
	bool held;          /* opened with `create`: the run directory stays as long as run_fd (or a copy) is open */
};

/* root/run NULL: MUSTER_ROOT / MUSTER_RUN_ROOT, else the defaults. create: make them (0700 for run, 0711 for root). */
int paths_open(const char *root, const char *run, bool create, struct paths *ret, struct err *err);
void paths_done(struct paths *p);

/* Directory descriptors: <root>/projects/<project>, <run>/<project>. create makes them. -1 + err; err->sys == ENOENT when absent. */
int paths_project(const struct paths *p, const char *project, bool create, struct err *err);
int paths_run(const struct paths *p, const char *project, bool create, struct err *err);

/* The path of a binary of ours ("muster-run", "muster-image"): beside this executable, else in MUSTER_LIBEXEC. free() it. NULL + err. */
char *paths_binary(const char *name, struct err *err);

#endif
