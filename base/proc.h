/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: identity that survives pid reuse (pid + start time + boot id), pidfds, a clean state for what we start. */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <sys/types.h>

#include "base/err.h"

/* Field 22 of /proc/PID/stat (clock ticks since boot). Returns 0; 1 when there is no such process; a zombie still counts. */
int proc_start_time(pid_t pid, uint64_t *ret_ticks);
/* True when pid lives (zombies do not) and started at `ticks`. */
bool proc_is(pid_t pid, uint64_t ticks);
/* The status, as waitpid(2), of one that has exited and that nobody has reaped yet, whoever its parent is (root only). False: it is no such. */
bool proc_zombie_status(pid_t pid, uint64_t ticks, int *ret_wstatus);
/* Pid of the parent; 0 when there is no such process. */
pid_t proc_parent(pid_t pid);
/* The boot id, 36 characters and NUL; "" when /proc has none. */
void proc_boot_id(char buf[static 40]);

int proc_pidfd_open(pid_t pid); /* -1 + errno */
int proc_pidfd_signal(int pidfd, int sig); /* 0, or -1 + errno */

/* Marks every descriptor >= first close-on-exec (close_range(2), walking /proc/self/fd where the kernel lacks it). */
void proc_cloexec_from(int first);
/* Closes every descriptor >= first but the n in keep[] (any order). */
void proc_close_from(int first, const int *keep, size_t n);
/* Default disposition for every signal and an empty mask: right before exec, always (CLONE_CLEAR_SIGHAND does not do this). */
void proc_reset_signals(void);

/* A sealed memfd with the bytes of the file at path, ready for fexecve/execveat(AT_EMPTY_PATH): what runs from it cannot be
 * overwritten from inside a container (CVE-2019-5736). Returns the descriptor or -1 + err. */
int proc_seal_binary(const char *path, struct err *err);

/* waitid status → exit code as shells print it: the code, or 128 + signal. */
int proc_exit_code(int wstatus);
/* Signal number of "SIGTERM", "TERM", "15", "rtmin+3" (any case); -1 when unknown. */
int proc_signal_parse(const char *s);
const char *proc_signal_name(int sig); /* "SIGTERM"; "SIG?" when unknown */

#endif
