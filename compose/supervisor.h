/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the supervisor process: the state that its files share. One process per project, one event loop, no threads.
 *
 * supervisor.c  set-up, adoption of what runs, the end · server.c  control socket, clients, the queue of operations · apply.c  carries a plan out ·
 * unit_create.c  records of new containers · unit_start.c  start and wiring · unit_stop.c  stop, exit, restart policy, removal ·
 * unit_wire.c  its links and DNS sockets · unit_ports.c  its published ports · repair.c  mends what others do to them · repair_cgroup.c  and to its cgroup ·
 * unit_release.c  what an ended one gives back · unit_adopt.c  those of a dead predecessor ·
 * nets.c  networks and their records · shared.c  what projects share of one · worker.c  work that takes long, in forked children ·
 * op_run.c  one-off containers */
#ifndef COMPOSE_SUPERVISOR_H
#define COMPOSE_SUPERVISOR_H

#include "base/loop.h"
#include "base/map.h"
#include "compose/networks.h"
#include "compose/anchor.h"
#include "compose/op.h"
#include "compose/unit.h"
#include "network/bridge.h"
#include "network/dns_control.h"
#include "network/ipam.h"
#include "network/net.h"
#include "network/resolv.h"
#include "runtime/cgroup.h"
#include "runtime/logs.h"
#include "runtime/seccomp.h"


/* A network of the project that exists, or one of others that it uses. */
struct netw {
	char *key, *name;
	char *owner, *owner_key;           /* another project and its key there, or NETS_NOBODY and the name; NULL: ours */
	bool internal, removing;
	bool shared, watched;              /* shared.c: others use it, too; its directory is watched */
	struct bridge bridge;
	struct ipam ipam;
	json_t *labels;
	uint64_t created_ns;  /* real clock; 0: made by a version that did not record it */
	json_t *fixed;                     /* {subnet[, gateway][, range][, aux {NAME: ADDRESS}]}: asked for; NULL: whatever is free */
};

/* Who owns what `network create` makes; no project has such a name. */
#define NETS_NOBODY "@"

struct supervisor {
	struct loop loop;
	const char *project;
	char rootid[9];
	struct paths paths;                /* descriptors only */
	int project_fd, run_fd, store_fd;
	int binary_fd;
	struct net net;
	bool net_open;
	struct cgroup_host *cgroups;
	struct seccomp_program seccomp;
	bool seccomp_ready, overlay_probed, forward_told;
	struct resolv resolv;
	struct loop_source anchor_source, listen_source;
	struct loop_timer accept_timer;
	struct logs_control logs;
	struct dns_control dns;
	struct unit **units;
	size_t n_units, cap_units;
	struct netw **nets;
	size_t n_nets, cap_nets;
	json_t *nets_json;                 /* networks.json */
	struct desired desired;            /* last applied; arena NULL: none */
	struct err *load_err;              /* while the records are read */
	struct map layer_cache;            /* image id → struct layer_set */
	struct client *clients;
	struct op *current, *queue;
	struct map results;                /* request_id → json_t of its "done"; id of a one-off container → its exit code, when nobody was told it */
	uint64_t generation;               /* of the newest operation */
	uint64_t generation_trimmed;       /* the one after which memory was given back */
	size_t n_workers;
	size_t n_awaiting;                 /* units; no operation begins before their status is known */
	struct strv dying;                 /* cgroups that were still busy when they had to go */
	struct loop_timer dying_timer;
	unsigned dying_tries;
	struct strv left;                  /* ids of containers that have just ended, whose links are still to be looked for */
	struct loop_timer left_timer;
	bool trash_busy;                   /* a worker empties <root>/trash/<project> */
	unsigned trash_added, trash_started, trash_done; /* how many came in; of which the worker's or an earlier one's; gone */
	struct repair *repair;
	struct shared *shared;
	struct loop_source cgroups_source; /* inotify; fd 0: none yet */
	struct loop_timer cgroups_timer;
	bool cgroups_watched;
	struct loop_timer idle_timer;
	struct loop_timer renew_timer;
	int renew_fd;                      /* the binary of another build that is to take over; 0: none */
	char renew_origin[ANCHOR_ORIGIN_BYTES];
	bool finishing;
};

/* supervisor.c */
int supervisor_main(const char *project, const char *rootid);
void supervisor_anchor_put(struct supervisor *sv, const char *key, int fd);  /* keeps a copy of fd under key */
void supervisor_anchor_drop(struct supervisor *sv, const char *key);
bool supervisor_anchor_sync(struct supervisor *sv);                          /* waits until it has done what it was told; false: it does not answer */
struct unit *supervisor_add_unit(struct supervisor *sv, struct record *rec);
void supervisor_remove_unit(struct supervisor *sv, struct unit *u);          /* frees it */
struct unit *supervisor_find(struct supervisor *sv, const char *id);
void supervisor_observed(struct supervisor *sv, struct observed *ret);       /* borrowed records; free(ret->containers) */
void supervisor_maybe_finish(struct supervisor *sv);                         /* quits when nothing is left to supervise */

/* nets.c */
int nets_load(struct supervisor *sv, struct err *err);
struct netw *nets_find(struct supervisor *sv, const char *name);
int nets_create(struct supervisor *sv, const struct desired_network *n, struct err *err);
/* Takes part in those networks of others that d names and that are in `names`. */
int nets_join_all(struct supervisor *sv, const struct strv *names, const struct desired *d, struct err *err);
/* The network that a service knows by this key; made again when it is only on record (after a boot). NULL + err. */
struct netw *nets_need(struct supervisor *sv, const char *key, struct err *err);
/* Another's network, still there, and the same one? Forgets it when not. */
bool nets_still(struct supervisor *sv, struct netw *n);
/* Locks the bridge of another's network, which is then on record until nets_unlock() of *ret_fd; of ours there is nothing to lock: *ret_fd is -1.
 * 0; 1: it is on record no more; -1 + err. */
int nets_hold(struct supervisor *sv, const struct netw *n, int *ret_fd, struct err *err);
void nets_remove_start(struct op *op, size_t action, const char *name);
int nets_rules(struct supervisor *sv, const struct netw *n, bool add, struct err *err); /* its elements of the packet rules */

/* shared.c: addresses and names on networks that several projects use */
int shared_lease(struct supervisor *sv, struct netw *n, const char *id, const char *fixed, uint32_t *ret_ip, struct err *err);
void shared_give_back(struct supervisor *sv, struct netw *n, const char *id, const char *address);
bool shared_sweep(struct supervisor *sv, const char *bridge);                /* leases of containers that are no more; were there any? */
int shared_watch(struct supervisor *sv, struct netw *n, bool mark, struct err *err); /* mark: it is shared from now on */
void shared_publish(struct unit *u, const struct netw *n, const char *address, const char *const *names, size_t n_names);
void shared_withdraw(struct unit *u);
void shared_tell_dns(struct supervisor *sv);                                 /* all that others have published */
void shared_forget(struct supervisor *sv, const struct netw *n, bool gone);  /* gone: the network is; else we only leave it */
void shared_gone(struct supervisor *sv, const char *bridge);                   /* what projects shared of a bridge that is no more goes */
void shared_done(struct supervisor *sv);                                     /* removes the directories when they are empty */

/* repair.c: looks after what others change */
int repair_open(struct supervisor *sv, struct err *err);
/* repair_cgroup.c: the same for the cgroups of what runs. The first looks soon at what has happened while nobody watched; the second watches,
 * once there is one to watch. */
void repair_cgroups_open(struct supervisor *sv);
void repair_cgroups(struct supervisor *sv);

/* worker.c: runs fn in a forked child; done(arg, err or NULL) is called in the loop when it has ended. fn returns 0 or -1 + err. */
int worker_run(struct supervisor *sv, int (*fn)(struct supervisor *sv, const char *text, struct err *err), const char *text,
	       void (*done)(struct supervisor *sv, void *arg, size_t n, const struct err *failure), void *arg, size_t n, struct err *err);
void worker_empty_trash(struct supervisor *sv);

#endif
