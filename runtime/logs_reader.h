/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the logs of any number of containers, merged by time, line by line; may follow them. For the command line.
 *
 * A line's time is that of the chunk in which it begins. What is there is given out sorted by time; lines of one container
 * keep their order (that of the index, across its two streams). While following, a line without its end waits until the end
 * comes or logs_reader_flush() is called, and holds up nobody else. */
#ifndef RUNTIME_LOGS_READER_H
#define RUNTIME_LOGS_READER_H

#include "runtime/logs.h"

enum { LOGS_TAIL_ALL = -1, LOGS_MAX_LINE = 1 << 20 /* a longer one is given out in pieces of so many bytes, each like a line */ };

struct logs_range {
	int64_t tail;       /* at most so many last lines of the past (of those in [since, until)); LOGS_TAIL_ALL; 0: only what is new */
	uint64_t since_ns;  /* real clock; 0: from the beginning */
	uint64_t until_ns;  /* lines at or after it are left out; 0: no end */
};

struct logs_line {
	int container;            /* what logs_reader_add() returned */
	enum logs_stream stream;
	uint64_t time_ns;
	const char *text;         /* len bytes without the newline, any byte may be in it (a '\r' at the end too); valid during the call */
	size_t len;
	bool complete;            /* false: no newline came (the log ends here) */
};

/* Returns 0 to go on; anything else stops the reading and is returned by logs_reader_read(), the next call of which goes on
 * behind this line. Must not add or remove containers. */
typedef int logs_line_fn(void *arg, const struct logs_line *line);

struct logs_reader;

/* follow: false: one logs_reader_read() gives everything, incomplete last lines included. */
struct logs_reader *logs_reader_new(bool follow);
struct logs_reader *logs_reader_free(struct logs_reader *r); /* takes NULL; returns NULL */

/* Adds the log directory of one container (log_dirfd is duplicated); while following too. An empty directory is an empty log.
 * Returns the number that lines will carry (0, 1, 2 …, never used again), or -1 + err. */
int logs_reader_add(struct logs_reader *r, int log_dirfd, const struct logs_range *range, struct err *err);
/* Stops reading that container. */
void logs_reader_remove(struct logs_reader *r, int container);

/* Gives out all lines that are there now, merged. Does not wait. Returns 0, what fn returned, or -1 + err. */
int logs_reader_read(struct logs_reader *r, logs_line_fn *fn, void *arg, struct err *err);
/* A descriptor that is readable when there may be more (for epoll or poll; logs_reader_read() empties it). -1 when not
 * following. */
int logs_reader_fd(const struct logs_reader *r);
/* The container has ended (and was drained): its incomplete lines are given out by the next logs_reader_read(). It is still
 * followed. */
void logs_reader_flush(struct logs_reader *r, int container);
/* True when every container has reached its range's `until` (so that following more is useless). */
bool logs_reader_past_until(const struct logs_reader *r);

/* A point in time as people write it: RFC 3339 (seconds, fraction and zone may be missing: then 0, local time; a date alone
 * too), Unix seconds with an optional fraction, or a Go duration (`10m`, `1h30m`, `1.5h`) before now_ns. The forms of `docker
 * logs --since`. 0 or -1 + err (ERR_INVALID). */
int logs_reader_parse_time(const char *text, uint64_t now_ns, uint64_t *ret_ns, struct err *err);

#endif
