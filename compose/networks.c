/* SPDX-License-Identifier: Apache-2.0 */
/* Networks on record: who has one of a name. A network of a project exists from its record's making to its removal, whether its bridge is in the
 * kernel (before a reboot) or not (after it): whoever needs it then makes the bridge again. A name that somebody else's network has is looked for
 * only where it can be meant: an external network, or one with a name of its own; `<project>_<key>` is the project's. */
#include "compose/networks.h"

#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"
#include "compose/supervisor.h"

enum { LOCK_MS = 5000, YOUNG_S = 10 };

bool nets_partial(const json_t *record)
{
	return json_get_bool(record, "creating", false) || json_get_bool(record, "removing", false) || !*json_get_str(record, "subnet", "");
}

static int read_record(int dir_fd, const char *file, json_t **ret, struct err *err)
{
	int rc = json_read_file(dir_fd, file, ret, err);
	if (rc < 0 && err->code == ERR_CORRUPT) { /* torn by a power cut: the network is made again, so it is no record */
		*err = (struct err){0};
		return 1;
	}
	return rc;
}

/* A network of a project by its name. 0, 1: none. */
static int in_project(const struct paths *p, const char *project, const char *name, json_t **ret, struct err *err)
{
	AUTO_CLOSE int fd = paths_project(p, project, false, NULL);
	AUTO_JSON json_t *all = NULL;
	json_t *one;
	int rc = fd < 0 ? 1 : read_record(fd, "networks.json", &all, err);
	if (rc != 0)
		return rc;
	one = json_object_get(all, name);
	if (!one || json_object_get(one, "owner") || nets_partial(one))
		return 1;
	*ret = json_incref(one);
	return 0;
}

int nets_lookup(const struct paths *p, const char *project, const char *name, char **ret_owner, json_t **ret_record, struct err *err)
{
	AUTO_FREE char *file = xasprintf("networks/%s.json", name);
	AUTO_STRV struct strv projects = {0};
	int rc;
	if (p->root_fd < 0 || strchr(name, '/') || name[0] == '.')
		return 1;
	rc = read_record(p->root_fd, file, ret_record, err);
	if (rc == 0 && nets_partial(*ret_record)) {
		json_decref(*ret_record);
		*ret_record = NULL;
	} else if (rc <= 0) {
		*ret_owner = rc == 0 ? xstrdup(NETS_NOBODY) : NULL;
		return rc;
	}
	if (observe_projects(p, &projects, err) < 0)
		return -1;
	for (size_t i = 0; i < projects.n; i++) {
		if (project && strcmp(projects.v[i], project) == 0)
			continue;
		rc = in_project(p, projects.v[i], name, ret_record, err);
		if (rc < 0)
			return -1;
		if (rc == 0) {
			*ret_owner = xstrdup(projects.v[i]);
			return 0;
		}
	}
	return 1;
}

int nets_missing(const char *name, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "network %s declared as external, but could not be found", name);
}

int nets_shared(const struct paths *p, const char *project, const struct desired *d, struct plan_existing *existing, struct err *err)
{
	for (size_t i = 0; d && i < d->n_networks; i++) {
		const struct desired_network *n = &d->networks[i];
		AUTO_FREE char *own = xasprintf("%s_%s", project, n->key);
		AUTO_FREE char *owner = NULL;
		AUTO_JSON json_t *record = NULL;
		int rc;
		if (strv_has(&existing->networks, n->name) || (!n->external && strcmp(n->name, own) == 0))
			continue;
		rc = nets_lookup(p, project, n->name, &owner, &record, err);
		if (rc < 0)
			return -1;
		if (rc == 0)
			strv_push(&existing->shared, n->name);
		if (rc == 0 && strcmp(owner, NETS_NOBODY) == 0)
			strv_push(&existing->bare, n->name);
	}
	return 0;
}

int nets_existing(const struct paths *p, const char *project, const struct desired *d, struct plan_existing *ret, struct err *err)
{
	AUTO_CLOSE int fd = paths_project(p, project, false, NULL);
	AUTO_JSON json_t *all = NULL;
	const char *name;
	json_t *j;
	if (fd >= 0 && read_record(fd, "networks.json", &all, err) < 0)
		return -1;
	json_object_foreach(all, name, j) {
		const char *bridge = json_get_str(j, "bridge", "-");
		if (json_object_get(j, "owner") || !if_nametoindex(bridge))
			continue;
		strv_push(&ret->networks, name);
		if (shared_busy(p, bridge, project))
			strv_push(&ret->busy, name);
	}
	return nets_shared(p, project, d, ret, err);
}

/* ---- what projects share ---- */

/* The bridge's directory, made where it is missing. -1 + errno, ENOENT: it went at the same time. */
static int lease_dir(const struct paths *p, const char *path)
{
	bool ok = mkdirat(p->run_fd, path, 0700) == 0 || errno == EEXIST;
	if (!ok && errno == ENOENT && (mkdirat(p->run_fd, ".leases", 0700) == 0 || errno == EEXIST))
		ok = mkdirat(p->run_fd, path, 0700) == 0 || errno == EEXIST;
	return ok ? openat(p->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

int nets_lock(const struct paths *p, const char *bridge, struct err *err)
{
	AUTO_FREE char *path = xasprintf(".leases/%s", bridge);
	uint64_t deadline_ns = clock_mono_ns() + (uint64_t)LOCK_MS * 1000000;
	do {
		AUTO_CLOSE int fd = lease_dir(p, path);
		struct stat st;
		if (fd < 0 && errno != ENOENT)
			return err_sys(err, errno, "lock bridge %s", bridge);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
			return TAKE_FD(fd);
		usleep(1000); /* held, or removed with its network */
	} while (clock_mono_ns() < deadline_ns);
	return err_set(err, ERR_TIMEOUT, "bridge %s is being changed by another process", bridge);
}

/* Forked children may have copies of the descriptor: not its closing alone gives the lock back. */
void nets_unlock(const struct paths *p, const char *bridge, int *fd)
{
	AUTO_FREE char *path = xasprintf(".leases/%s", bridge);
	if (*fd < 0)
		return;
	if (unlinkat(p->run_fd, path, AT_REMOVEDIR) == 0)
		unlinkat(p->run_fd, ".leases", AT_REMOVEDIR);
	flock(*fd, LOCK_UN);
	util_close(fd);
}

/* A lease is made before its container's process and the record of that. Clocks are set: one from the future is as young. */
static bool is_young(int dir_fd, const char *address)
{
	struct stat st;
	int64_t age_s;
	if (fstatat(dir_fd, address, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	age_s = (int64_t)(clock_real_ns() / 1000000000) - (int64_t)st.st_mtim.tv_sec;
	return age_s < YOUNG_S;
}

/* Are processes in its cgroup? True, too, when that cannot be told. */
static bool has_processes(const struct paths *p, const char *project, const char *id)
{
	AUTO_FREE char *path = xasprintf("muster-%s/%s/c/%.*s", p->rootid, project, SHORT_ID, id);
	AUTO_CGROUP struct cgroup *cg = NULL;
	struct cgroup_host *host = NULL;
	AUTO_FREE pid_t *pids = NULL;
	struct err err = {0};
	size_t n = 0;
	int rc = cgroup_host_open(&host, &err);
	if (rc == 0 && (rc = cgroup_open(host, path, &cg, &err)) == 0)
		rc = cgroup_pids(cg, &pids, &n, &err);
	cg = cgroup_free(cg);
	cgroup_host_close(host);
	return rc < 0 || n;
}

/* While its supervisor lives, that knows. Without one the process tells, which is on record as soon as it is there; without the record, its cgroup. */
bool shared_dead(const struct paths *p, const char *target, int dir_fd, const char *address)
{
	const char *slash = strchr(target, '/');
	AUTO_FREE char *project = slash ? xasprintf("%.*s", (int)(slash - target), target) : NULL;
	AUTO_FREE char *record = slash ? xasprintf("projects/%s/c/%.*s", project, SHORT_ID, slash + 1) : NULL;
	AUTO_FREE char *state = slash ? xasprintf("%s/c/%.*s/state.json", project, SHORT_ID, slash + 1) : NULL;
	AUTO_JSON json_t *j = NULL;
	char boot[40];
	int64_t pid;
	int rc;
	if (!slash || strlen(slash) <= SHORT_ID || faccessat(p->root_fd, record, F_OK, 0) < 0)
		return true;
	if (observe_supervised(p, project))
		return false;
	rc = json_read_file(p->run_fd, state, &j, NULL);
	pid = json_get_int(j, "pid", 0);
	proc_boot_id(boot);
	if (rc == 0 && !str_eq(json_get_str(j, "boot_id", ""), boot))
		return true;
	return pid ? !proc_is((pid_t)pid, (uint64_t)json_get_int(j, "pid_ticks", 0)) : !is_young(dir_fd, address) && !has_processes(p, project, slash + 1);
}

struct busy {
	const struct paths *paths;
	int dir_fd;
	const char *project;
};

/* A lease is the link ADDRESS -> PROJECT/ID (compose/shared.c). */
static int is_busy(void *arg, const char *address)
{
	struct busy *b = arg;
	char to[512];
	ssize_t n = readlinkat(b->dir_fd, address, to, sizeof(to) - 1);
	size_t len = b->project ? strlen(b->project) : 0;
	if (n <= 0)
		return 0;
	to[n] = '\0';
	if (len && strncmp(to, b->project, len) == 0 && to[len] == '/')
		return 0;
	return !shared_dead(b->paths, to, b->dir_fd, address);
}

bool shared_busy(const struct paths *p, const char *bridge, const char *project)
{
	AUTO_FREE char *path = xasprintf(".leases/%s", bridge);
	struct busy b = { .paths = p, .project = project };
	AUTO_CLOSE int fd = p->run_fd < 0 ? -1 : openat(p->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b.dir_fd = fd;
	return fd >= 0 && fs_each(fd, ".", is_busy, &b, NULL) > 0;
}
