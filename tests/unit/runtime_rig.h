/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime's tests share: a busybox layer in a temporary directory, containers of it that run a shell script, their output and status. */
#ifndef TESTS_RUNTIME_RIG_H
#define TESTS_RUNTIME_RIG_H

#include <poll.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/proc.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/init.h"

struct rig {
	char dir[64];
	int dirfd, layer_fd, upper_fd, work_fd, null_fd;
	struct cgroup_host *host;
	char base[64]; /* cgroup of this test */
	unsigned n;
	struct str out; /* of the last run */
};

#define CHECK(cond, ...) \
	do { if (!(cond)) { fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); fprintf(stderr, __VA_ARGS__); fputc('\n', stderr); exit(1); } } while (0)

static inline void rig_file(int dirfd, const char *path, const char *text, mode_t mode)
{
	AUTO_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	CHECK(fd >= 0 && fs_write_all(fd, text, strlen(text), NULL) == 0 && fchmod(fd, mode) == 0, "write %s", path);
}

static inline void rig_init(struct rig *r)
{
	static const char *const dirs[] = { "layer", "upper", "work", "layer/bin", "layer/etc", "layer/tmp", "layer/root", "layer/home" };
	static const char *const names[] = { "sh", "cat", "ls", "id", "mount", "sleep", "echo", "true", "false", "stat", "readlink", "grep", "touch", "kill", "env", "pwd",
					     "ps", "hostname", "mkdir", "dd", "stty", "head", "tail", "sort", "wc", "mknod", "seq", "chmod", "rm", "tty", "test", "unshare", "ulimit" };
	AUTO_CLOSE int from = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int to = -1;
	struct err err = {0};
	off_t at = 0;
	if (geteuid() != 0 || from < 0) {
		printf("needs root and a static /bin/busybox (busybox-static)\n");
		exit(77);
	}
	memset(r, 0, sizeof(*r));
	strcpy(r->dir, "/tmp/muster-rig-XXXXXX");
	CHECK(mkdtemp(r->dir), "mkdtemp");
	chmod(r->dir, 0755);
	r->dirfd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		mkdirat(r->dirfd, dirs[i], 0755);
	to = openat(r->dirfd, "layer/bin/busybox", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	while (sendfile(to, from, &at, 1 << 20) > 0)
		;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];
		snprintf(path, sizeof(path), "layer/bin/%s", names[i]);
		symlinkat("busybox", r->dirfd, path);
	}
	rig_file(r->dirfd, "layer/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home:/bin/sh\nbad:x:zero:0::/:/bin/sh\n", 0644);
	rig_file(r->dirfd, "layer/etc/group", "root:x:0:\nweb:x:1001:\nvideo:x:44:web\naudio:x:29:web,root\n", 0644);
	r->layer_fd = openat(r->dirfd, "layer", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r->upper_fd = openat(r->dirfd, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r->work_fd = openat(r->dirfd, "work", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(cgroup_host_open(&r->host, &err) == 0, "%s", err.msg);
	snprintf(r->base, sizeof(r->base), "muster-test-%d", (int)getpid());
}

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

/* Runs the specification to its end; output (1 and 2) goes to r->out. Returns the exit code as a shell shows it, or -1 + err when it did not start. */
static inline int rig_run(struct rig *r, struct container_spec *s, struct err *err)
{
	struct container_proc p;
	int fds[2], status = 0;
	CHECK(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	if (!s->tty)
		s->stdio[1] = s->stdio[2] = fds[1];
	if (container_spawn(s, &p, err) < 0 || container_go(&p, err) < 0 || (close(fds[1]), rig_wait_started(&p, err)) < 0) {
		close(fds[0]);
		return -1;
	}
	fs_read_fd(fds[0], 1 << 24, &r->out, NULL);
	close(fds[0]);
	waitpid(p.pid, &status, 0);
	container_proc_done(&p);
	return proc_exit_code(status);
}

/* Runs a shell script with the rest of the specification as given. */
static inline int rig_sh(struct rig *r, struct container_spec *s, const char *script)
{
	char *const argv[] = { (char *)(uintptr_t)"/bin/sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)script, NULL };
	struct err err = {0};
	int rc;
	s->argv = argv;
	rc = rig_run(r, s, &err);
	CHECK(rc >= 0, "%s (%s)", err.msg, err.origin);
	return rc;
}

static inline void rig_done(struct rig *r)
{
	struct err err;
	cgroup_host_close(r->host);
	CHECK(fs_remove_tree(AT_FDCWD, r->dir, &err) == 0, "%s", err.msg);
	str_done(&r->out);
}

#endif
