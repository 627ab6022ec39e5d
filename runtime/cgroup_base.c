/* SPDX-License-Identifier: Apache-2.0 */
/* The v2 cgroup that is the base of all of ours, when it is not the kernel's real root: the delegated cgroup of a service, or what a nested
 * host sees as its root. There the kernel's rule bites that a cgroup with controllers enabled for its children holds no processes.
 * Enabling cpu or pids in spite of processes is even worse than a refusal: the children become threaded and nothing can enter them. So the
 * base is emptied first, into a leaf beside our own nodes, as Docker's and systemd's documentation advise for delegated trees; and
 * when our last node has gone, controllers and processes are put back and the leaf goes too. A lock on the base keeps one project's
 * start from another's end. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "runtime/cgroup_host.h"

#define OURS "muster-"
static const char leaf[] = OURS "leaf"; /* no root id is called so: they are hexadecimal */
enum { MOVE_ROUNDS = 16 };              /* who forks while being moved is moved in the next round */

int cgroup_base_lock(const struct cgroup_hierarchy *h)
{
	int fd = h->delegated ? openat(h->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0 && flock(fd, LOCK_EX) < 0)
		util_close(&fd);
	return fd;
}

/* Moves the processes of one cgroup into another. Whether none is left: those of another pid namespace read as 0 and cannot be moved. */
static bool move_all(const struct cgroup_hierarchy *h, const char *from, const char *to)
{
	char path[64];
	snprintf(path, sizeof(path), "%s%scgroup.procs", from, *from ? "/" : "");
	for (int round = 0; round < MOVE_ROUNDS; round++) {
		AUTO_STR struct str text = { 0 };
		char *save = NULL;
		size_t moved = 0;
		if (fs_read(h->dirfd, path, 16 << 20, &text, NULL) != 0)
			return false;
		if (text.len == 0)
			return true;
		for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			if (strcmp(line, "0") != 0)
				moved += cgroup_file_write(h, to, "cgroup.procs", line) == 0;
		if (!moved)
			return false;
	}
	return false;
}

bool cgroup_base_clear(const struct cgroup_hierarchy *h)
{
	char procs[16] = "";
	if (!h->delegated || cgroup_file_read(h, "", "cgroup.procs", procs, sizeof(procs)) == 0)
		return true;
	if (mkdirat(h->dirfd, leaf, 0755) < 0 && errno != EEXIST)
		return false;
	if (move_all(h, "", leaf))
		return true;
	move_all(h, leaf, "");
	unlinkat(h->dirfd, leaf, AT_REMOVEDIR);
	return false;
}

static int is_ours(void *arg, const char *name)
{
	(void)arg;
	return str_starts(name, OURS) && strcmp(name, leaf) != 0;
}

void cgroup_base_restore(const struct cgroup_hierarchy *h)
{
	static const enum cgroup_controller enabled[] = { CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS };
	AUTO_CLOSE int lock = cgroup_base_lock(h);
	if (!h->delegated || faccessat(h->dirfd, leaf, F_OK, 0) < 0 || fs_each(h->dirfd, ".", is_ours, NULL, NULL) != 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(enabled); i++) {
		char text[32];
		snprintf(text, sizeof(text), "-%s", cgroup_controller_name(enabled[i]));
		cgroup_file_write(h, "", "cgroup.subtree_control", text);
	}
	move_all(h, leaf, "");
	unlinkat(h->dirfd, leaf, AT_REMOVEDIR);
}

/* Into the cgroup of our parent process, which is sure to exist and to hold processes. */
static int enter_parents(const struct cgroup_host *host)
{
	char path[CGROUP_PATH_MAX];
	AUTO_FREE char *procs = NULL;
	AUTO_CLOSE int fd = -1;
	cgroup_path_of(getppid(), path, sizeof(path));
	procs = xasprintf("%s%s/cgroup.procs", host->v2_mount, path);
	fd = open(procs, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 || write(fd, "0", 1) < 0 ? -errno : 0;
}

int cgroup_leave(struct cgroup_host *host, struct err *err)
{
	for (size_t i = 0; i < host->n; i++) {
		const struct cgroup_hierarchy *h = &host->hierarchies[i];
		int rc = cgroup_file_write(h, "", h->v2 ? "cgroup.procs" : "tasks", "0");
		if (rc < 0 && h->v2 && cgroup_file_write(h, leaf, "cgroup.procs", "0") == 0)
			rc = 0;
		if (rc < 0 && h->v2 && enter_parents(host) == 0)
			rc = 0;
		if (rc < 0)
			return err_sys(err, -rc, "enter the topmost cgroup (%s)", h->v2 ? "v2" : h->options);
	}
	return 0;
}
