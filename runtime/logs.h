/* SPDX-License-Identifier: Apache-2.0 */
/* The log process and the supervisor's way to talk to it.
 *
 * A container writes into two FIFOs; the log process moves the bytes with splice(2) to the end of stdout.log and stderr.log in
 * the container's log directory and appends one fixed record to `index` for each chunk. Bytes leave the pipe only when they
 * are in the file, so killing the process at any point loses nothing and doubles nothing; at worst the time of the last chunk
 * is missing, and the next process writes it from the file's mtime. While nobody reads, the FIFOs hold up to 1 MiB and then
 * the writer waits.
 *
 * A pipe lives as long as somebody has it open. The container has, the anchor has a copy; when the anchor and the supervisor die at
 * once, the log process goes on alone, so that what a container has written before its end is not gone with it. Its successor, which has
 * the pipes open too, finds the logs locked and says so (BUSY), the supervisor tells the old one to end, and the lock changes hands.
 *
 * The process holds no truth: after each start it says HELLO and is told about all containers again: reset, add …, sync. What
 * was known before a reset and is not added again goes with the sync. A new supervisor does the same without waiting for a
 * HELLO. Nothing here blocks. */
#ifndef RUNTIME_LOGS_H
#define RUNTIME_LOGS_H

#include <sys/types.h>

#include "base/chan.h"
#include "base/map.h"

enum logs_stream { LOGS_STDOUT, LOGS_STDERR, LOGS_STREAM_N_ };

enum { LOGS_PIPE_BYTES = 1 << 20, LOGS_MAX_ID = 128 };

/* File names inside a container's log directory. */
#define LOGS_INDEX "index"
extern const char *const logs_stream_files[LOGS_STREAM_N_];

/* One record of `index`, little endian. Records of one stream are contiguous; an offset below the end of the one before means
 * that the file was emptied in between (what came earlier is gone). */
struct logs_record {
	uint64_t time_ns;  /* CLOCK_REALTIME when the chunk was read */
	uint64_t offset;   /* in the stream's file */
	uint32_t len;
	uint8_t stream;    /* enum logs_stream */
	uint8_t pad[3];
};
static_assert(sizeof(struct logs_record) == 24, "the index is a file format");

/* What is kept of one container's output. */
struct logs_limits {
	uint64_t bytes;    /* its two files together are rotated when they have so many; 0: never */
	uint32_t files;    /* with those that were rotated away; 0 is 1 */
	bool none;         /* nothing is kept */
};

/* Runs `muster-run logs`. When the channel on control_fd is closed for good, it goes on alone until no process has any of its pipes open for
 * writing; SIGTERM ends it at once, after what the pipes hold. Any other end, kill -9 at any point included, loses nothing as long as
 * somebody else has the pipes open. Every directory and FIFO comes as a descriptor; it needs 0-2 and control_fd, default signals, and
 * jails itself (files only). run_fd: <run>/<project>, where it notes itself (runtime/logs_holder.h). Returns the exit code: 0, or 1 after one line
 * on descriptor 2. */
int logs_main(int control_fd, int run_fd);

/* Makes the FIFO `name` in dirfd when it is absent (mode 0622: whoever runs in the container may open /dev/stdout; owner
 * uid:gid as seen from the host), asks for LOGS_PIPE_BYTES and opens it O_RDWR | O_NONBLOCK. Returns the descriptor to keep
 * and to hand to the log process, or -1 + err. Something else under that name is an error. */
int logs_fifo_open(int dirfd, const char *name, uid_t uid, gid_t gid, struct err *err);
/* A blocking O_RDWR descriptor of the same FIFO with a file description of its own: the container's 1 or 2. -1 + err. */
int logs_fifo_writer(int dirfd, const char *name, struct err *err);

enum logs_op {
	LOGS_OP_NONE,
	LOGS_OP_HELLO,   /* server: started, knows nothing */
	LOGS_OP_ACK,     /* server: everything up to sync `number` is in force */
	LOGS_OP_DRAINED, /* server: id, after a drain */
	LOGS_OP_BUSY,    /* server: another process has a log that it needs; again and again until it has it */
	LOGS_OP_RESET,
	LOGS_OP_SYNC,    /* number */
	LOGS_OP_ADD,     /* id; fds: log directory, out, err or (flag tty) the pty's master; then, as flags say, run directory, pidfd */
	LOGS_OP_REMOVE,  /* id */
	LOGS_OP_DRAIN,   /* id */
	LOGS_OP_N_,
};

/* The supervisor's end. */
struct logs_control {
	struct chan chan;
	uint32_t serial;     /* of the last sync */
	uint32_t epoch;      /* of the last drain; begins at random: receipts for a predecessor are not ours */
	struct map draining; /* id → the drain's number: receipts for an earlier one are none; asked again by itself after a HELLO */
	/* LOGS_OP_HELLO: send everything (reset, add …, sync). LOGS_OP_ACK: `serial` is in force. LOGS_OP_DRAINED: id. LOGS_OP_BUSY.
	 * LOGS_OP_NONE: the channel is closed. id is "" where there is none. */
	void (*fn)(struct logs_control *c, enum logs_op op, uint32_t serial, const char *id);
};

/* Starts to use fd (one end of the pair, not owned). 0 or -1 + err. */
int logs_control_open(struct logs_control *c, struct loop *l, int fd,
		      void (*fn)(struct logs_control *, enum logs_op, uint32_t, const char *), struct err *err);
/* Leaves the loop, drops what was not sent; takes a zeroed one. */
void logs_control_done(struct logs_control *c);

/* Begins a new full set (what was queued here is forgotten), and ends it; an ACK with the returned number follows. */
void logs_control_reset(struct logs_control *c);
uint32_t logs_control_sync(struct logs_control *c);

/* A container as the log process gets it. All descriptors stay the caller's; the log process gets reading ends of its own and sees when nobody
 * writes any more. */
struct logs_container {
	int log_dirfd;
	int run_dirfd;      /* where it counts what a full disk made it lose, as long as that is not told; -1: only in memory */
	int out_fd, err_fd; /* its FIFOs */
	int tty_fd;         /* -1, or the master of its pty, pumped through the FIFO `out` (err_fd may then be -1: one stream) */
	int first_pidfd;    /* with tty_fd: of its first process, tells one that is alone when nothing more can come; -1: the hang-up does */
	struct logs_limits limits;
};

/* A known id is drained and replaced: do it again when a new start brought a new pty. */
void logs_control_add(struct logs_control *c, const char *id, const struct logs_container *k);
/* Drains what is there and lets go of everything. */
void logs_control_remove(struct logs_control *c, const char *id);
/* After the container's exit: DRAINED follows when all that it wrote is in the files (at once for an unknown id). */
void logs_control_drain(struct logs_control *c, const char *id);

/* One packet on the wire, for both sides. */
enum { LOGS_MAX_PACKET = 24 + LOGS_MAX_ID };
struct logs_message {
	uint8_t op;       /* enum logs_op */
	bool tty, run, first; /* add: which descriptors come */
	struct logs_limits limits; /* add */
	uint32_t number;  /* sync: its serial; drain: what DRAINED has to repeat */
	char id[LOGS_MAX_ID + 1];
};
/* Reads one packet. 0, or -1 + err (ERR_CORRUPT). */
int logs_control_decode(const void *p, size_t n, struct logs_message *ret, struct err *err);
/* Writes one to buf (LOGS_MAX_PACKET bytes); returns its length. */
size_t logs_control_encode(const struct logs_message *m, void *buf);

#endif
