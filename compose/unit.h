/* SPDX-License-Identifier: Apache-2.0 */
/* A container in the supervisor: from its record to its process and back. See compose/supervisor.h for which file does what. */
#ifndef COMPOSE_UNIT_H
#define COMPOSE_UNIT_H

#include "base/loop.h"
#include "compose/anchor.h"
#include "compose/plan.h"
#include "compose/state.h"
#include "network/attach.h"
#include "network/nft.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"

struct supervisor;
struct op;
struct client;

enum unit_phase {
	UNIT_IDLE,        /* no process */
	UNIT_STARTING,    /* spawned, not exec'd yet */
	UNIT_RUNNING,
	UNIT_ENDING,      /* exited; its log is being drained */
	UNIT_BACKOFF,     /* waits for its next start */
};

/* What an action waits to do when the unit has ended. */
enum unit_then { UNIT_THEN_NOTHING, UNIT_THEN_START, UNIT_THEN_REMOVE, UNIT_THEN_REMOVE_ALL /* its anonymous volumes, too */ };

/* A container of the project. */
struct unit {
	struct supervisor *sv;
	struct record *rec;                /* owned */
	enum unit_phase phase;
	bool adopted;                      /* not our child: the anchor reaps it */
	bool stopping;                     /* by a wish: no restart */
	bool kept, fifos_kept;             /* adopted: the anchor still had descriptors of it, its FIFOs' among them */
	size_t n_ports_kept;               /* adopted: how many of them were ports' */
	bool awaiting;                     /* adopted and dead, but its status is not known yet */
	bool unconfirmed;                  /* adopted: nobody saw whether its command was exec'd */
	bool again;                        /* ended, and its restart policy wants it back */
	bool ports_held;                   /* the anchor keeps the sockets of rec->ports */
	bool keep_ports;                   /* it is stopped only to be started again */
	enum unit_then then;               /* with op: once it has ended */
	struct container_proc proc;
	struct loop_source sync, exit;
	struct loop_timer timer;           /* grace, back-off, or the wait for its log */
	struct loop_timer note_timer;      /* the wait for an exit note */
	struct cgroup *cgroup;
	uint64_t oom_before, backoff_ms, exec_mono_ns;
	unsigned exit_tries;
	int dns_udp, dns_tcp;              /* -1: none */
	int *relay_fds;                    /* per port of the record: its socket on IPv6, -1 = none */
	size_t n_relay_fds;
	int console_fd;                    /* pty master of a tty container, until handed over */
	struct op *op;                     /* in-flight action on it */
	size_t action;
	struct client *attached;           /* `run` in the foreground */
	struct op *run_op;                 /* `run`: its operation until the start is decided */
};

/* unit_create.c */
struct unit *unit_create(struct op *op, const struct action *a, struct err *err);
int unit_save(struct unit *u, bool durable, struct err *err);
void unit_put_labels(struct record *r, const struct desired *d, const struct desired_service *s);

/* unit_start.c */
#define UNIT_MARK "ran"                                                     /* in the run directory; not empty: the command was exec'd */
int unit_start(struct unit *u, struct err *err);                             /* then unit_started() or unit_start_failed() follow */
void unit_tell_logs(struct unit *u);
void unit_tell_dns(struct unit *u);

/* unit_wire.c */
int unit_wire(void *unit, int ret_dns[CONTAINER_NETWORK_FDS], struct err *err); /* in the new child: its network namespace, links, DNS sockets (UDP, TCP) */
int unit_take_dns(struct unit *u, struct err *err);                          /* the child has sent them */
size_t unit_links(const struct unit *u, struct attach_link links[static ATTACH_MAX_LINKS]);

/* unit_ports.c */
int unit_reserve_ports(struct unit *u, const struct model_service *m, struct err *err); /* a restart has them still */
void unit_hold_ports(struct unit *u);                                        /* again, for one that runs */
int unit_publish(struct unit *u, struct err *err);                           /* its ports into the packet rules */
size_t unit_ports(const struct unit *u, struct nft_port *ports);             /* what they are there: n_ports at most */
void unit_tell_relay(struct unit *u);                                        /* those on IPv6 */
void unit_take_relay(struct unit *u, size_t port, int fd);                   /* takes fd */
void unit_end_relay(struct unit *u);                                         /* nobody listens any more */
void unit_close_relay(struct unit *u);                                       /* only our descriptors */

/* unit_stop.c */
int unit_stop(struct unit *u, int64_t timeout_ms, struct err *err);          /* 1: nothing to stop; 0: apply_action_done() follows */
void unit_kill(struct unit *u, int sig);
void unit_watch_exit(struct unit *u);
void unit_ended(struct unit *u, int exit_code, uint64_t time_ns);            /* -1: unknown */
void unit_log_drained(struct unit *u);
void unit_schedule_restart(struct unit *u);
void unit_settled(struct unit *u);                                           /* it has no process: does what waited for that; u may be gone */
int unit_remove(struct unit *u, bool volumes, struct err *err);              /* frees u */
void unit_discard(struct unit *u);                                           /* the same for a one-off that has ended; tried again until it works */

/* unit_release.c */
void unit_release(struct unit *u, bool keep_ports);                          /* keep_ports: they stay reserved for the next start */
void unit_bury(struct supervisor *sv, const char *cgroup);                   /* removes it now, or as soon as it can be */
bool unit_dying(struct supervisor *sv, const char *cgroup, bool forget);     /* is that one of the cgroups that wait for their removal */
void unit_await_links(struct supervisor *sv);                                /* nothing lives any more: until no link is left */
void unit_key(const struct unit *u, const char *what, char buf[ANCHOR_KEY_BYTES]);

/* unit_adopt.c */
int unit_adopt(struct unit *u, struct err *err);
void unit_await_status(struct unit *u);                                      /* an adopted one has ended: unit_ended() follows */
void unit_stop_awaiting(struct unit *u);
void unit_anchor_exit(struct supervisor *sv, const struct anchor_exit *e);

#endif
