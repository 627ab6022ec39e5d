/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime's tests share: a busybox layer in a temporary directory, containers of it that run a shell script, their output and
 * status. */
#ifndef TESTS_RUNTIME_RIG_H
#define TESTS_RUNTIME_RIG_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/proc.h"
#include "runtime/cgroup.h"
#include "tests/unit/check.h"

struct rig {
	char dir[64];
	int dirfd, layer_fd, upper_fd, work_fd, null_fd;
	struct cgroup_host *host;
	char base[64]; /* cgroup of this test */
	unsigned n;
	struct str out; /* of the last run */
};

static inline void rig_file(int dirfd, const char *path, const char *text, mode_t mode)
{
	AUTO_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	CHECK(fd >= 0 && fs_write_all(fd, text, strlen(text), NULL) == 0 && fchmod(fd, mode) == 0, "write %s", path);
}

static inline void rig_link(int dirfd, const char *to, const char *path)
{
	CHECK(symlinkat(to, dirfd, path) == 0, "link %s", path);
}

static char rig_dir[64];

/* Also after a failed check nothing stays behind: children of ours are containers, which die with their first process. */
static inline void rig_remove(void)
{
	AUTO_STR struct str children = { 0 };
	struct cgroup_host *host = NULL;
	char path[64], *save = NULL;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if (fs_read(AT_FDCWD, path, 4096, &children, NULL) == 0)
		for (char *c = strtok_r(children.p, " ", &save); c; c = strtok_r(NULL, " ", &save))
			kill(atoi(c), SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	snprintf(path, sizeof(path), "muster-test-%d", (int)getpid());
	if (cgroup_host_open(&host, NULL) == 0)
		cgroup_remove(host, path, NULL);
	cgroup_host_close(host);
	if (*rig_dir)
		fs_remove_tree(AT_FDCWD, rig_dir, NULL);
}

static inline void rig_init(struct rig *r)
{
	static const char *const dirs[] = { "layer", "upper", "work", "layer/bin", "layer/etc", "layer/tmp", "layer/root", "layer/home" };
	static const char *const names[] = { "sh", "cat", "ls", "id", "mount", "sleep", "echo", "true", "false", "stat", "readlink", "grep",
		"touch", "kill", "env", "pwd", "ps", "hostname", "mkdir", "dd", "stty", "head", "tail", "sort", "wc", "mknod", "seq",
		"chmod", "rm", "tty", "test", "unshare", "ulimit" };
	AUTO_CLOSE int from = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int to = -1;
	struct err err = { 0 };
	off_t at = 0;
	if (geteuid() != 0 || from < 0) {
		printf("needs root and a static /bin/busybox (busybox-static)\n");
		exit(77);
	}
	memset(r, 0, sizeof(*r));
	strcpy(r->dir, "/tmp/muster-rig-XXXXXX");
	CHECK(mkdtemp(r->dir), "mkdtemp");
	chmod(r->dir, 0755);
	strcpy(rig_dir, r->dir);
	atexit(rig_remove);
	r->dirfd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		mkdirat(r->dirfd, dirs[i], 0755);
	to = openat(r->dirfd, "layer/bin/busybox", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	while (sendfile(to, from, &at, 1 << 20) > 0)
		;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];
		snprintf(path, sizeof(path), "layer/bin/%s", names[i]);
		rig_link(r->dirfd, "busybox", path);
	}
	rig_file(r->dirfd, "layer/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home:/bin/sh\nbad:x:zero:0::/:/bin/sh\n",
		0644);
	rig_file(r->dirfd, "layer/etc/group", "root:x:0:\nweb:x:1001:\nvideo:x:44:web\naudio:x:29:web,root\n", 0644);
	r->layer_fd = openat(r->dirfd, "layer", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r->upper_fd = openat(r->dirfd, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r->work_fd = openat(r->dirfd, "work", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(cgroup_host_open(&r->host, &err) == 0, "%s", err.msg);
	snprintf(r->base, sizeof(r->base), "muster-test-%d", (int)getpid());
}

static inline void rig_done(struct rig *r)
{
	struct err err;
	cgroup_host_close(r->host);
	CHECK(fs_remove_tree(AT_FDCWD, r->dir, &err) == 0, "%s", err.msg);
	str_done(&r->out);
}

#endif
