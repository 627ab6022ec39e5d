/* SPDX-License-Identifier: Apache-2.0 */
/* A further process in a running container: `muster exec`, health checks, hooks. exec_start() forks it from the caller: its cgroup
 * first, then the namespaces by one setns(pidfd), then the same rights and filter as the container, then exec. The pty of a terminal
 * is made inside the container's devpts: the host's terminal never gets in.
 *
 * For the CLI, which is another program, `muster-run exec` is exec_main(3): descriptor 3 is a SOCK_STREAM socket with frames of JSON
 * (base/sock.h), descriptors 0-2 are the command's (unused with tty). In: one frame, the specification (exec_spec_to_json). Out:
 *   {"type":"console"} + the master's descriptor, before the command runs
 *   {"type":"started","pid":N}         host pid, for signals
 *   {"type":"exit","code":N}           not with detach; also muster-run's own exit code
 *   {"type":"error","code":N,"sys":N,"message":"…"}   enum err_code; muster-run's exit code is 127, 126 or 1
 * SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 to muster-run are passed on to the command. It has a session of its own: a Ctrl+C
 * at the CLI reaches it only when the CLI sends it. When the socket closes, the command goes on. With detach it exits 0 after
 * "started" (or with the error's code) and leaves a process behind that reaps the command. */
#ifndef RUNTIME_EXEC_H
#define RUNTIME_EXEC_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/json.h"

struct cgroup;
struct seccomp_program;

struct exec_spec {
	pid_t pid;                                  /* the container's first process */
	uint64_t start_ticks;                       /* and its start time: another process of that number is refused */
	const char *cgroup;                         /* path as given to cgroup_create(); NULL: the caller's own */
	char *const *argv;                          /* argv[0] is looked up in the container's PATH */
	char *const *envp;                          /* the whole environment; PATH, TERM (with tty) and HOME are added when absent */
	const char *user;                           /* as in container_spec */
	const char *cwd;                            /* NULL: "/"; must exist */
	bool tty, detach, no_new_privs, privileged; /* privileged: every capability, no filter */
	uint16_t tty_rows, tty_cols;
	uint64_t caps;             /* as the container's */
	const char *seccomp_cache; /* the directory for seccomp_default(), absolute; NULL or "" = no cache. Used by exec_main only */
	bool unconfined;           /* no filter */
};

struct exec_proc {
	pid_t pid;
	int pidfd;
	int sync_fd;     /* readable: call exec_progress() */
	int console_fd;  /* tty: the master, once exec_progress returned EXEC_CONSOLE; the caller takes it */
	bool exec, gone; /* inside: what was reported so far */
};

enum exec_progress { EXEC_STARTED, EXEC_WAITING, EXEC_CONSOLE };

void exec_proc_init(struct exec_proc *p);

/* Forks the process, a child of the caller (waitid on pidfd). stdio: three descriptors, -1 = /dev/null; ignored with tty. cg: NULL =
 * the caller's own; spec->cgroup, seccomp_cache and unconfined are not looked at. program: the filter, NULL = none. Never blocks.
 * Makes the caller non-dumpable for good. ERR_NOT_FOUND when the container is gone. */
int exec_start(const struct exec_spec *spec, const int stdio[3], struct cgroup *cg, const struct seccomp_program *program,
	struct exec_proc *ret, struct err *err);
/* As container_progress(): an enum exec_progress, or -1 + err. */
int exec_progress(struct exec_proc *p, struct err *err);
void exec_proc_done(struct exec_proc *p); /* closes the descriptors */

/* New reference / strings in the arena. exec_spec_from_json: -1 + ERR_INVALID for what does not fit. */
json_t *exec_spec_to_json(const struct exec_spec *spec);
int exec_spec_from_json(const json_t *j, struct arena *a, struct exec_spec *ret, struct err *err);

/* The whole of `muster-run exec`: returns the exit code. */
int exec_main(int control_fd);

#endif
