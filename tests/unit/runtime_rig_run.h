/* SPDX-License-Identifier: Apache-2.0 */
/* Running containers of the rig to their end. Separate from runtime_rig.h for those tests that only need files. */
#ifndef TESTS_RUNTIME_RIG_RUN_H
#define TESTS_RUNTIME_RIG_RUN_H

#include "runtime/container.h"
#include "runtime/init.h"
#include "tests/unit/runtime_rig.h"

static inline void rig_spec(struct rig *r, struct container_spec *s)
{
	container_spec_init(s);
	s->hostname = "rig";
	s->layer_fds = &r->layer_fd;
	s->n_layers = 1;
	s->upper_fd = r->upper_fd;
	s->work_fd = r->work_fd;
}

/* Polls until the start is decided; 0 or -1 + err, and the process is reaped on -1. */
static inline int rig_wait_started(struct container_proc *p, struct err *err)
{
	for (;;) {
		struct pollfd pfd = { .fd = p->sync_fd, .events = POLLIN };
		int rc;
		CHECK(poll(&pfd, 1, 20000) == 1, "the start takes more than 20 s");
		rc = container_progress(p, err);
		if (rc == CONTAINER_STARTED)
			return 0;
		if (rc < 0) {
			container_discard(p);
			return -1;
		}
	}
}

/* Runs the specification to its end; output (1 and 2) goes to r->out. Returns the exit code as a shell shows it, or -1 + err when it
 * did not start. */
static inline int rig_run(struct rig *r, struct container_spec *s, struct err *err)
{
	struct container_proc p;
	int fds[2], status = 0;
	CHECK(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	s->stdio[1] = s->stdio[2] = fds[1];
	status = container_spawn(s, &p, err);
	close(fds[1]);
	s->stdio[1] = s->stdio[2] = -1;
	if (status == 0 && ((status = container_go(&p, err)) < 0 || (status = rig_wait_started(&p, err)) < 0))
		container_proc_done(&p);
	if (status == 0)
		fs_read_fd(fds[0], 1 << 24, &r->out, NULL);
	close(fds[0]);
	if (status < 0)
		return -1;
	waitpid(p.pid, &status, 0);
	container_proc_done(&p);
	return proc_exit_code(status);
}

/* Runs a shell script with the rest of the specification as given. */
static inline int rig_sh(struct rig *r, struct container_spec *s, const char *script)
{
	char *const argv[] = { (char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script, NULL };
	struct err err = { 0 };
	int rc;
	s->argv = argv;
	rc = rig_run(r, s, &err);
	CHECK(rc >= 0, "%s (%s)", err.msg, err.origin);
	return rc;
}

#endif
