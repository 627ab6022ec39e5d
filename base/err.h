/* SPDX-License-Identifier: Apache-2.0 */
/* Caller-owned errors of fixed size, so that a child process can send one over a pipe as it is.
 * An error is created where it is detected; each layer that knows a new noun adds one clause in front
 * ("service web: mount /data: Permission denied"). Only compose/ prints. Functions return 0 on success and
 * a negative value (-1, or what they were passed) with *err set on failure; a positive value is a documented outcome. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/util.h"

enum err_code {
	ERR_NONE,
	ERR_SYS,         /* a system call failed: sys holds errno */
	ERR_INVALID,     /* what came in is malformed or contradicts itself */
	ERR_NOT_FOUND,
	ERR_EXISTS,
	ERR_CONFLICT,    /* held by somebody else: a port, a name, a subnet */
	ERR_UNSUPPORTED, /* valid, but not supported yet or not by this kernel */
	ERR_DENIED,
	ERR_TIMEOUT,
	ERR_CORRUPT,     /* a file of ours or a digest that does not hold */
	ERR_NO_COMMAND,  /* command not found in the image: exit code 127 */
	ERR_NOT_EXEC,    /* command found but cannot be executed: exit code 126 */
	ERR_N_,
};

struct err {
	enum err_code code;
	int sys;           /* errno when a system call was the cause, else 0 */
	char origin[40];   /* file:line of our source */
	char msg[512];     /* lower case, no full stop, NUL-terminated */
};

/* Sets *err and returns -1. err may be NULL. */
int err_set_at(struct err *err, const char *file, int line, enum err_code code, int sys, const char *fmt, ...) PRINTF(6, 7);
#define err_set(err, code, ...) err_set_at(err, __FILE__, __LINE__, code, 0, __VA_ARGS__)
/* The same for a failed system call: ": <strerror(e)>" is appended. e is a positive errno. */
#define err_sys(err, e, ...) err_set_at(err, __FILE__, __LINE__, ERR_SYS, e, __VA_ARGS__)

/* Puts "clause: " in front of the message; returns -1. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

/* Copies s to buf, outside text made safe to print: control bytes and invalid UTF-8 as \xNN, cut at the end with "…". Returns buf. */
char *err_quote(char *buf, size_t size, const char *s);

#endif
