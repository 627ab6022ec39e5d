/* SPDX-License-Identifier: Apache-2.0 */
/* A running container's cgroup that somebody else has removed. That takes emptying it first, so its processes are somewhere else by then:
 * they are known by their pid namespace, and go back by pid (which is slow on v1, and rare). */
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fs.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_host.h"

int cgroup_watch(struct cgroup_host *h, const char *path, int inotify_fd, struct err *err)
{
	int n = 0;
	for (size_t i = 0; i < h->n; i++) {
		char at[CGROUP_PATH_MAX + 32], link[32];
		snprintf(at, sizeof(at), "%s/%s", fs_fd_path(h->hierarchies[i].dirfd, link), path);
		if (inotify_add_watch(inotify_fd, at, IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR) >= 0)
			n++;
		else if (errno != ENOENT)
			return err_sys(err, errno, "watch cgroup %s", path);
	}
	return n;
}

struct move {
	const struct cgroup_hierarchy *h;
	const char *path, *ns;
};

static bool in_namespace(const char *pid, const char *ns)
{
	char path[64], target[64];
	ssize_t n;
	snprintf(path, sizeof(path), "/proc/%.16s/ns/pid", pid);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	return strcmp(target, ns) == 0;
}

static int move_one(void *arg, const char *name)
{
	const struct move *m = arg;
	if (name[0] >= '0' && name[0] <= '9' && in_namespace(name, m->ns))
		cgroup_file_write(m->h, m->path, "cgroup.procs", name); /* one that has just ended is no loss */
	return 0;
}

int cgroup_mend(struct cgroup_host *h, const char *path, pid_t first, const struct cgroup_limits *limits, struct cgroup **ret, struct err *err)
{
	AUTO_FREE bool *lacks = xcalloc(h->n, sizeof(*lacks));
	char link[64], ns[64];
	bool any = false;
	ssize_t n;
	for (size_t i = 0; i < h->n; i++)
		any |= lacks[i] = faccessat(h->hierarchies[i].dirfd, path, F_OK, 0) < 0;
	if (!any)
		return 0;
	snprintf(link, sizeof(link), "/proc/%d/ns/pid", (int)first);
	n = readlink(link, ns, sizeof(ns) - 1);
	if (n <= 0)
		return 0; /* it is ending itself */
	ns[n] = '\0';
	if (cgroup_create(h, path, limits, true, ret, err) < 0)
		return -1;
	for (size_t i = 0; i < h->n; i++) {
		struct move m = { .h = &h->hierarchies[i], .path = path, .ns = ns };
		if (lacks[i] && fs_each(AT_FDCWD, "/proc", move_one, &m, err) < 0)
			return err_wrap(err, "cgroup %s", path);
	}
	return 1;
}
