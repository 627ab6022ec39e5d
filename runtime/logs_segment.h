/* SPDX-License-Identifier: Apache-2.0 */
/* A log in pieces. A stream's offsets run on for ever; `stdout.log` holds its end, and what was rotated away lies beside it as
 * `stdout.log.<end>`, <end> being the offset behind its last byte, 16 hexadecimal digits. So where a piece begins is its name less its size,
 * and where the current file begins is the last piece's name: nothing has to be written down that a kill could tear off. The last piece is
 * never removed but emptied, because its name says where the current file begins. */
#ifndef RUNTIME_LOGS_SEGMENT_H
#define RUNTIME_LOGS_SEGMENT_H

#include "runtime/logs.h"

enum { LOGS_SEGMENT_NAME = 40 };

struct logs_segment {
	uint64_t end, size;   /* holds [end - size, end) */
	uint64_t mtime_ns, inode;
};

/* The pieces of one stream, sorted. Zeroed = none. */
struct logs_segments {
	struct logs_segment *v;
	size_t n, cap;
};

char *logs_segment_name(enum logs_stream stream, uint64_t end, char buf[static LOGS_SEGMENT_NAME]);
/* Replaces *ret by what is there. 0 or -1 + err. */
int logs_segments_list(int dir_fd, enum logs_stream stream, struct logs_segments *ret, struct err *err);
void logs_segments_done(struct logs_segments *s);
/* Where the current file begins; the lowest offset that is still there (of an empty log: where it would go on). */
uint64_t logs_segments_end(const struct logs_segments *s);
uint64_t logs_segments_first(const struct logs_segments *s);

/* Opens the piece that holds offset `at` for reading, or the current file when none does; *ret_base is where it begins, *ret_current whether it is
 * the current one. While a rotation is under way it is tried again. Descriptor; -1 + err (ENOENT: no such file yet, or `at` is gone). */
int logs_segment_open(int dir_fd, enum logs_stream stream, uint64_t at, uint64_t *ret_base, bool *ret_current, struct err *err);

#endif
