/* SPDX-License-Identifier: Apache-2.0 */
/* Our own cgroup: entered before anything else is started, left right before the anchor's end so that the directories can go. */
#include "compose/own.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "base/log.h"
#include "compose/paths.h"
#include "runtime/cgroup.h"

enum { LEAVE_TRIES = 1000, LEAVE_US = 2000 };

static void own_path(char *buf, size_t size, const char *rootid, const char *project)
{
	snprintf(buf, size, "muster-%s/%s/own", rootid, project);
}

int own_join(const char *rootid, const char *project, struct err *err)
{
	struct cgroup_host *host = NULL;
	struct cgroup *cg = NULL;
	char path[512];
	int rc = -1;
	own_path(path, sizeof(path), rootid, project);
	if (cgroup_host_open(&host, err) == 0 && cgroup_create(host, path, NULL, false, &cg, err) == 0)
		rc = cgroup_enter(cg, false, err);
	cgroup_free(cg);
	cgroup_host_close(host);
	return rc < 0 ? err_wrap(err, "cgroup %s", path) : 0;
}

static int is_other(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, PATHS_MADE_BY_US) != 0;
}

int own_hold_run(int run_fd, struct err *err)
{
	AUTO_CLOSE int fd = openat(run_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "open the run directory");
	while (flock(fd, LOCK_SH) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "lock the run directory");
	return dup3(fd, run_fd, O_CLOEXEC) < 0 ? err_sys(err, errno, "dup3") : 0;
}

/* A run directory that paths_open() has made goes with its last project and its last command: whoever holds it last removes it. Somebody else may
 * look at it just now, with the lock: that takes microseconds. */
void own_leave_run(int run_fd)
{
	char link[32], path[4096];
	int tries = 0;
	ssize_t n = readlink(fs_fd_path(run_fd, link), path, sizeof(path) - 1);
	AUTO_CLOSE int fd = openat(run_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (n <= 0 || fd < 0 || faccessat(fd, PATHS_MADE_BY_US, F_OK, 0) < 0 || fs_each(fd, ".", is_other, NULL, NULL) != 0)
		return;
	path[n] = '\0';
	flock(run_fd, LOCK_UN);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0)
		if (errno == EINTR || ++tries > 10 || usleep(1000) < 0)
			return;
	if (unlinkat(fd, PATHS_MADE_BY_US, 0) < 0) /* another one was faster: what has this path now is not this directory */
		return;
	if (rmdir(path) < 0) {
		AUTO_CLOSE int mark = openat(fd, PATHS_MADE_BY_US, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		(void)mark;
	}
}

void own_leave(const char *rootid, const char *project, bool keep)
{
	struct cgroup_host *host = NULL;
	struct err err = {0};
	char path[512], containers[512];
	own_path(path, sizeof(path), rootid, project);
	snprintf(containers, sizeof(containers), "muster-%s/%s/c", rootid, project);
	if (cgroup_host_open(&host, &err) == 0) {
		if (cgroup_leave(host, &err) < 0)
			log_warn("leaving cgroup %s: %s", path, err.msg);
		for (int tries = 0; cgroup_remove(host, path, &err) == 1 && !keep && tries < LEAVE_TRIES; tries++)
			usleep(LEAVE_US);
		failpoint("anchor.cgroup.left");
		cgroup_remove(host, containers, &err);
		cgroup_remove_parents(host, path);
	}
	cgroup_host_close(host);
}
