/* SPDX-License-Identifier: Apache-2.0 */
/* The anchor: one process per project that outlives the supervisor, the log process and the DNS process. It is their parent and only restarter,
 * the subreaper that orphaned containers fall to, and it keeps descriptors for whoever comes next.
 *
 * Descriptors that its children inherit, always with these numbers: */
#ifndef COMPOSE_ANCHOR_H
#define COMPOSE_ANCHOR_H

#include <sys/types.h>

#include "base/err.h"

enum anchor_fd {
	ANCHOR_FD_BINARY = 3, /* the sealed memfd that everything of ours runs from */
	ANCHOR_FD_ROOT,       /* <root> */
	ANCHOR_FD_RUN,        /* <run> */
	ANCHOR_FD_STORE,      /* supervisor only: its end of the socket to the anchor */
	ANCHOR_FD_LOGS,       /* supervisor: its end towards the log process; the log process: the other end */
	ANCHOR_FD_DNS,        /* the same for the DNS process */
	ANCHOR_FD_READY,      /* the first supervisor: a pipe for 'r' once the control socket listens, or 'e' and why it cannot; else no pipe */
	ANCHOR_FD_N_,
};

enum { ANCHOR_KEY_BYTES = 48, ANCHOR_ORIGIN_BYTES = 96 };

/* ORIGIN of an anchor that takes its predecessor's place: as the lock file says. */
#define ANCHOR_SAME_ORIGIN "-"
enum { ANCHOR_GIVE_UP = 2 }; /* exit code of a first supervisor that cannot start: the anchor ends, too */

/* Packets between supervisor and anchor (SOCK_SEQPACKET). */
enum anchor_op {
	ANCHOR_PUT,   /* supervisor → anchor: keep this descriptor under key (replacing it) */
	ANCHOR_DROP,  /* close what is kept under key; a key that ends in '*' drops all with that beginning */
	ANCHOR_LIST,  /* send everything back as ANCHOR_ENTRY packets, then ANCHOR_END */
	ANCHOR_SYNC,  /* answer ANCHOR_END: what came before is done */
	ANCHOR_ENTRY, /* anchor → supervisor */
	ANCHOR_END,
	ANCHOR_RENEW, /* supervisor → anchor: everything goes on from this binary of another build; all of ours end, the anchor's process stays */
	ANCHOR_EXIT,  /* anchor → supervisor: an orphan has exited; exit holds what the notes file holds too */
};

/* One line of <run>/<project>/exits. */
struct anchor_exit {
	int64_t pid;
	uint64_t pid_ticks;  /* start time */
	uint64_t time_ns;    /* real clock */
	int64_t wstatus;     /* as waitpid(2) */
};

/* What a supervisor that takes its dead anchor's place hands to itself: descriptor READY is then a memory file of these. */
struct anchor_handover {
	int fd;
	char key[ANCHOR_KEY_BYTES];
};

struct anchor_packet {
	uint32_t op;
	char key[ANCHOR_KEY_BYTES];
	union {
		struct anchor_exit exit;
		char origin[ANCHOR_ORIGIN_BYTES]; /* ANCHOR_RENEW */
	};
};

/* The last note about that process in <run>/<project>/exits. */
bool anchor_find_exit(int run_project_fd, pid_t pid, uint64_t pid_ticks, struct anchor_exit *ret);

/* Makes <run_fd>/<project> and takes its anchor.lock, waiting for an ending anchor. ready_fd: a pipe's write end; once its reader has gone
 * (the caller found another anchor) this gives up; without one (-1) after half a second. 0 with both descriptors set, 1 when it gave up, -1 + err. */
int anchor_lock(int run_fd, const char *project, int ready_fd, int *ret_project_run_fd, int *ret_lock_fd, struct err *err);

/* The sealed binary that the project's anchor runs from, when that was made from the muster-run that is installed now; else a new sealed
 * copy (3 MB, some milliseconds). Returns a descriptor for fexecve or -1 + err. */
struct paths;
int anchor_binary(const struct paths *p, const char *project, struct err *err);

/* The project's anchor runs from another build than the one installed. False too when there is none. */
bool anchor_outdated(const struct paths *p, const char *project);
/* A sealed copy of the installed one and what the lock file will say of it. Descriptor or -1 + err. */
int anchor_newer(char ret_origin[static ANCHOR_ORIGIN_BYTES], struct err *err);

/* `muster-run anchor PROJECT ROOTID ORIGIN`: never returns to the caller's loop; the value is the exit code. ready_fd: handed to the first supervisor. */
int anchor_main(const char *project, const char *rootid, const char *origin);

/* Starts the anchor of a project as a daemon and waits until its supervisor listens, or another's does. 0, or -1 + err. */
int anchor_start(const struct paths *p, const char *project, struct err *err);

#endif
