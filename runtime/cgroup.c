/* SPDX-License-Identifier: Apache-2.0 */
/* Life of one cgroup over all hierarchies of the host: create, limit, enter, kill, look, remove. A handle is a path and one
 * descriptor; everything is addressed relative to the hierarchies' mount points, so that an adopted container needs no more than its
 * name. Limits are written before the first process enters. A controller that is missing is an error only for who asks for its limit. */
#include "runtime/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "runtime/cgroup_host.h"

enum { PERIOD_US = 100000, DEPTH_MAX = 16, KILL_ROUNDS = 8, MAKE_TRIES = 1000 };

static const struct cgroup_hierarchy *hierarchy_of(const struct cgroup_host *h, enum cgroup_controller c)
{
	return h->by_controller[c] < 0 ? NULL : &h->hierarchies[h->by_controller[c]];
}

/* Where the processes are listed and killed: v2 can kill a whole tree, else the freezer can hold it. */
static const struct cgroup_hierarchy *process_hierarchy(const struct cgroup_host *h)
{
	const struct cgroup_hierarchy *f = hierarchy_of(h, CGROUP_FREEZER);
	return h->v2 >= 0 ? &h->hierarchies[h->v2] : f ? f : &h->hierarchies[0];
}

static int check_path(const char *path, struct err *err)
{
	size_t n = strlen(path);
	if (n == 0 || n >= CGROUP_PATH_MAX - 64 || path[0] == '/' || path[n - 1] == '/' || strstr(path, "//") || strstr(path, ".."))
		return err_set(err, ERR_INVALID, "invalid cgroup path \"%s\"", path);
	return 0;
}

/* Enables the controllers of ours for the children of one v2 cgroup. Refusals show later, as a limit that cannot be set. */
static void enable_controllers(const struct cgroup_hierarchy *h, const char *path)
{
	static const enum cgroup_controller enabled[] = { CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS };
	for (size_t i = 0; i < ARRAY_SIZE(enabled); i++) {
		char text[32];
		if (!(h->controllers & 1U << enabled[i]))
			continue;
		snprintf(text, sizeof(text), "+%s", cgroup_controller_name(enabled[i]));
		cgroup_file_write(h, path, "cgroup.subtree_control", text);
	}
}

/* Makes the nodes above the leaf, enabling controllers on the way, and the leaf. */
static int make_chain(const struct cgroup_hierarchy *h, const char *path, struct err *err)
{
	AUTO_CLOSE int lock = cgroup_base_lock(h);
	char part[CGROUP_PATH_MAX];
	const char *slash = path;
	unsigned lost = 0;
	if (h->v2 && cgroup_base_clear(h))
		enable_controllers(h, "");
	for (;;) {
		slash = strchr(slash, '/');
		snprintf(part, sizeof(part), "%.*s", slash ? (int)(slash - path) : (int)strlen(path), path);
		if (mkdirat(h->dirfd, part, 0755) < 0 && errno != EEXIST) {
			if (errno != ENOENT || ++lost == MAKE_TRIES)
				return err_sys(err, errno, "create cgroup %s (%s)", part, h->v2 ? "v2" : h->options);
			slash = path; /* another project's end took a parent away: from the top again */
			continue;
		}
		if (!slash)
			return 0;
		if (h->v2)
			enable_controllers(h, part);
		slash++;
	}
}

/* Whether a v2 leaf has the files of the controllers that this host offers: not after a crash between mkdir and enabling. */
static bool has_controllers(const struct cgroup_hierarchy *h, const char *path)
{
	char list[256];
	if (cgroup_file_read(h, path, "cgroup.controllers", list, sizeof(list)) < 0)
		return false;
	return (!(h->controllers & 1U << CGROUP_MEMORY) || strstr(list, "memory")) &&
		(!(h->controllers & 1U << CGROUP_PIDS) || strstr(list, "pids")) &&
		(!(h->controllers & 1U << CGROUP_CPU) || strstr(list, "cpu"));
}

static struct cgroup *new_handle(struct cgroup_host *h, const char *path)
{
	struct cgroup *cg = xcalloc(1, sizeof(*cg));
	cg->host = h;
	cg->clone_fd = -1;
	snprintf(cg->path, sizeof(cg->path), "%s", path);
	return cg;
}

int cgroup_create(
	struct cgroup_host *h, const char *path, const struct cgroup_limits *limits, bool devices, struct cgroup **ret, struct err *err)
{
	AUTO_CGROUP struct cgroup *cg = NULL;
	if (check_path(path, err) < 0)
		return -1;
	cg = new_handle(h, path);
	for (size_t i = 0; i < h->n; i++) {
		const struct cgroup_hierarchy *hi = &h->hierarchies[i];
		bool made = mkdirat(hi->dirfd, path, 0755) == 0;
		if (!made && errno != EEXIST && errno != ENOENT)
			return err_sys(err, errno, "create cgroup %s (%s)", path, hi->v2 ? "v2" : hi->options);
		if (made && !hi->v2)
			continue;
		if ((faccessat(hi->dirfd, path, F_OK, 0) < 0 || (hi->v2 && !has_controllers(hi, path))) &&
			make_chain(hi, path, err) < 0)
			return -1;
	}
	if (limits && (limits->memory_bytes || limits->cpus > 0 || limits->pids > 0) && cgroup_set_limits(cg, limits, err) < 0)
		return -1;
	if (devices && cgroup_devices_restrict(h, path, err) < 0)
		return -1;
	*ret = TAKE_PTR(cg);
	return 0;
}

int cgroup_open(struct cgroup_host *h, const char *path, struct cgroup **ret, struct err *err)
{
	if (check_path(path, err) < 0)
		return -1;
	for (size_t i = 0; i < h->n; i++)
		if (faccessat(h->hierarchies[i].dirfd, path, F_OK, 0) == 0) {
			*ret = new_handle(h, path);
			return 0;
		}
	return 1;
}

struct cgroup *cgroup_free(struct cgroup *cg)
{
	if (cg)
		util_close(&cg->clone_fd);
	free(cg);
	return NULL;
}

void cgroup_free_p(struct cgroup **cg)
{
	*cg = cgroup_free(*cg);
}

/* Writes one limit; `wanted`: somebody asked for it, so that a missing controller is an error. */
static int write_limit(struct cgroup *cg, enum cgroup_controller c, bool wanted, const char *file, const char *text, struct err *err)
{
	const struct cgroup_hierarchy *h = hierarchy_of(cg->host, c);
	int rc = h ? cgroup_file_write(h, cg->path, file, text) : -ENOENT;
	if (rc == -ENOENT && !wanted)
		return 0;
	if (rc == -ENOENT)
		return err_set(err, ERR_UNSUPPORTED, "cgroup %s: this host offers no %s controller%s", cg->path, cgroup_controller_name(c),
			h && h->v2 ? " here (see cgroup.subtree_control of the parents)" : "");
	if (rc < 0)
		return err_sys(err, -rc, "cgroup %s: set %s to %s", cg->path, file, text);
	return 0;
}

/* v1 keeps memory <= memory+swap at every moment: the order depends on the direction. Swap accounting may be off. */
static int set_memory_v1(struct cgroup *cg, const struct cgroup_hierarchy *h, uint64_t bytes, struct err *err)
{
	char limit[32] = "-1", with_swap[32] = "-1";
	int rc;
	if (bytes) {
		snprintf(limit, sizeof(limit), "%llu", (unsigned long long)bytes);
		snprintf(with_swap, sizeof(with_swap), "%llu", (unsigned long long)(bytes > INT64_MAX / 2 ? INT64_MAX : bytes * 2));
	}
	if (cgroup_file_write(h, cg->path, "memory.limit_in_bytes", limit) == -EINVAL || !bytes) {
		rc = cgroup_file_write(h, cg->path, "memory.memsw.limit_in_bytes", with_swap);
		if (rc < 0 && rc != -ENOENT)
			return err_sys(err, -rc, "cgroup %s: set memory.memsw.limit_in_bytes to %s", cg->path, with_swap);
		return write_limit(cg, CGROUP_MEMORY, bytes > 0, "memory.limit_in_bytes", limit, err);
	}
	if (write_limit(cg, CGROUP_MEMORY, true, "memory.limit_in_bytes", limit, err) < 0)
		return -1;
	rc = cgroup_file_write(h, cg->path, "memory.memsw.limit_in_bytes", with_swap);
	return rc < 0 && rc != -ENOENT ? err_sys(err, -rc, "cgroup %s: set memory.memsw.limit_in_bytes to %s", cg->path, with_swap) : 0;
}

static int set_memory(struct cgroup *cg, uint64_t bytes, struct err *err)
{
	const struct cgroup_hierarchy *h = hierarchy_of(cg->host, CGROUP_MEMORY);
	char text[32] = "max";
	if (h && !h->v2)
		return set_memory_v1(cg, h, bytes, err);
	if (bytes)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	if (write_limit(cg, CGROUP_MEMORY, bytes > 0, "memory.max", text, err) < 0)
		return -1;
	return write_limit(cg, CGROUP_MEMORY, false, "memory.swap.max", text, err);
}

static int set_cpus(struct cgroup *cg, double cpus, struct err *err)
{
	const struct cgroup_hierarchy *h = hierarchy_of(cg->host, CGROUP_CPU);
	char text[64];
	long long quota = -1;
	if (cpus > 0)
		quota = cpus > 100000 ? 100000LL * PERIOD_US : MAX((long long)(cpus * PERIOD_US + 0.5), 1000LL);
	if (h && !h->v2) {
		snprintf(text, sizeof(text), "%d", PERIOD_US);
		if (write_limit(cg, CGROUP_CPU, quota > 0, "cpu.cfs_period_us", text, err) < 0)
			return -1;
		snprintf(text, sizeof(text), "%lld", quota);
		return write_limit(cg, CGROUP_CPU, quota > 0, "cpu.cfs_quota_us", text, err);
	}
	if (quota > 0)
		snprintf(text, sizeof(text), "%lld %d", quota, PERIOD_US);
	else
		snprintf(text, sizeof(text), "max %d", PERIOD_US);
	return write_limit(cg, CGROUP_CPU, quota > 0, "cpu.max", text, err);
}

int cgroup_set_limits(struct cgroup *cg, const struct cgroup_limits *limits, struct err *err)
{
	char pids[32] = "max";
	if (limits->pids > 0)
		snprintf(pids, sizeof(pids), "%lld", (long long)limits->pids);
	if (set_memory(cg, limits->memory_bytes, err) < 0 || set_cpus(cg, limits->cpus, err) < 0)
		return -1;
	return write_limit(cg, CGROUP_PIDS, limits->pids > 0, "pids.max", pids, err);
}

int cgroup_enter(struct cgroup *cg, bool cloned, struct err *err)
{
	for (size_t i = 0; i < cg->host->n; i++) {
		const struct cgroup_hierarchy *h = &cg->host->hierarchies[i];
		int rc = h->v2 && cloned ? 0 : cgroup_file_write(h, cg->path, h->v2 ? "cgroup.procs" : "tasks", "0");
		if (rc < 0)
			return err_sys(err, -rc, "enter cgroup %s (%s)", cg->path, h->v2 ? "v2" : h->options);
	}
	return 0;
}

int cgroup_clone_fd(struct cgroup *cg)
{
	if (cg->clone_fd < 0 && cg->host->v2 >= 0)
		cg->clone_fd = openat(cg->host->hierarchies[cg->host->v2].dirfd, cg->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cg->clone_fd;
}

struct pid_list {
	pid_t *v;
	size_t n, cap;
	int dirfd;
	int depth;
};

static int collect_child(void *arg, const char *name);

/* Adds the pids of the cgroup that is the directory l->dirfd and of those below it. */
static int collect(struct pid_list *l)
{
	AUTO_STR struct str text = { 0 };
	AUTO_CLOSE int fd = openat(l->dirfd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char *save = NULL;
	struct stat st;
	if (fd < 0 || fs_read_fd(fd, 16 << 20, &text, NULL) < 0)
		return 0; /* removed in between: nobody is inside */
	for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint64_t pid;
		if (!parse_u64(line, 1, INT32_MAX, &pid)) /* 0: outside of our pid namespace */
			continue;
		l->v = vec_grow(l->v, l->n, &l->cap, sizeof(*l->v));
		l->v[l->n++] = (pid_t)pid;
	}
	if (fstat(l->dirfd, &st) == 0 && st.st_nlink > 2 && l->depth < DEPTH_MAX)
		return fs_each(l->dirfd, ".", collect_child, l, NULL);
	return 0;
}

static int collect_child(void *arg, const char *name)
{
	struct pid_list *l = arg;
	int parent = l->dirfd;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	l->dirfd = fd;
	l->depth++;
	collect(l);
	l->depth--;
	l->dirfd = parent;
	close(fd);
	return 0;
}

int cgroup_pids(struct cgroup *cg, pid_t **ret, size_t *ret_n, struct err *err)
{
	const struct cgroup_hierarchy *h = process_hierarchy(cg->host);
	AUTO_CLOSE int fd = openat(h->dirfd, cg->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct pid_list l = { .dirfd = fd };
	*ret = NULL;
	*ret_n = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "open cgroup %s", cg->path);
	collect(&l);
	*ret = l.v;
	*ret_n = l.n;
	return 0;
}

static int freeze(struct cgroup *cg, bool on)
{
	const struct cgroup_hierarchy *h = hierarchy_of(cg->host, CGROUP_FREEZER);
	if (!h)
		return -ENOENT;
	return h->v2 ? cgroup_file_write(h, cg->path, "cgroup.freeze", on ? "1" : "0") :
		       cgroup_file_write(h, cg->path, "freezer.state", on ? "FROZEN" : "THAWED");
}

static bool is_frozen(struct cgroup *cg, const struct cgroup_hierarchy *h)
{
	char buf[256];
	if (cgroup_file_read(h, cg->path, h->v2 ? "cgroup.events" : "freezer.state", buf, sizeof(buf)) < 0)
		return false;
	return strstr(buf, h->v2 ? "frozen 1" : "FROZEN") != NULL;
}

int cgroup_freeze(struct cgroup *cg, bool on, struct err *err)
{
	const struct cgroup_hierarchy *h = hierarchy_of(cg->host, CGROUP_FREEZER);
	int rc = freeze(cg, on);
	if (!h || rc == -ENOENT)
		return err_set(err, ERR_UNSUPPORTED, "cgroup %s: this host has no freezer", cg->path);
	if (rc < 0)
		return err_sys(err, -rc, "cgroup %s: %s", cg->path, on ? "freeze" : "thaw");
	for (int tries = 0; on && tries < 1000 && !is_frozen(cg, h); tries++)
		usleep(1000);
	return 0;
}

/* Without cgroup.kill: nobody forks while frozen; the rounds catch who did before the freeze took hold. Always thawed again. */
static int kill_frozen(struct cgroup *cg, struct err *err)
{
	size_t before = 0;
	int rc = 0;
	freeze(cg, true);
	for (int round = 0; round < KILL_ROUNDS; round++) {
		AUTO_FREE pid_t *pids = NULL;
		size_t n;
		rc = cgroup_pids(cg, &pids, &n, err);
		if (rc < 0 || n == 0)
			break;
		for (size_t i = 0; i < n; i++)
			if (kill(pids[i], SIGKILL) < 0 && errno != ESRCH)
				rc = err_sys(err, errno, "cgroup %s: kill %d", cg->path, (int)pids[i]);
		if (rc < 0 || n == before)
			break;
		before = n;
	}
	freeze(cg, false);
	return rc;
}

int cgroup_kill(struct cgroup *cg, struct err *err)
{
	const struct cgroup_hierarchy *h = process_hierarchy(cg->host);
	if (h->v2) {
		int rc = cgroup_file_write(h, cg->path, "cgroup.kill", "1");
		if (rc == 0 || (rc == -ENOENT && faccessat(h->dirfd, cg->path, F_OK, 0) < 0))
			return 0;
		if (rc != -ENOENT && rc != -EOPNOTSUPP)
			return err_sys(err, -rc, "cgroup %s: kill", cg->path);
	}
	return kill_frozen(cg, err);
}

void cgroup_thaw(struct cgroup *cg)
{
	if (hierarchy_of(cg->host, CGROUP_FREEZER) && !hierarchy_of(cg->host, CGROUP_FREEZER)->v2)
		freeze(cg, false);
}

/* The number after "key " at the start of a line of the file; 0 when absent. */
static uint64_t keyed_value(const struct cgroup_hierarchy *h, const char *path, const char *file, const char *key)
{
	char buf[8192];
	size_t n = strlen(key);
	if (!h || cgroup_file_read(h, path, file, buf, sizeof(buf)) < 0)
		return 0;
	for (char *line = buf; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, key, n) == 0 && line[n] == ' ')
			return strtoull(line + n + 1, NULL, 10);
	return 0;
}

static uint64_t single_value(const struct cgroup_hierarchy *h, const char *path, const char *file)
{
	char buf[64];
	if (!h || cgroup_file_read(h, path, file, buf, sizeof(buf)) < 0)
		return 0;
	return strtoull(buf, NULL, 10);
}

uint64_t cgroup_oom_kills(struct cgroup *cg)
{
	const struct cgroup_hierarchy *h = hierarchy_of(cg->host, CGROUP_MEMORY);
	return h ? keyed_value(h, cg->path, h->v2 ? "memory.events" : "memory.oom_control", "oom_kill") : 0;
}

void cgroup_read_usage(struct cgroup *cg, struct cgroup_usage *ret)
{
	const struct cgroup_hierarchy *mem = hierarchy_of(cg->host, CGROUP_MEMORY), *cpu = hierarchy_of(cg->host, CGROUP_CPUACCT);
	uint64_t cache;
	memset(ret, 0, sizeof(*ret));
	if (mem) {
		ret->memory_bytes = single_value(mem, cg->path, mem->v2 ? "memory.current" : "memory.usage_in_bytes");
		cache = keyed_value(mem, cg->path, "memory.stat", mem->v2 ? "inactive_file" : "total_inactive_file");
		ret->memory_bytes -= MIN(cache, ret->memory_bytes); /* what docker stats shows */
		ret->memory_limit_bytes = single_value(mem, cg->path, mem->v2 ? "memory.max" : "memory.limit_in_bytes");
		if (ret->memory_limit_bytes >= INT64_MAX / 4096 * 4096)
			ret->memory_limit_bytes = 0;
	}
	if (cpu)
		ret->cpu_ns = cpu->v2 ? keyed_value(cpu, cg->path, "cpu.stat", "usage_usec") * 1000 :
					single_value(cpu, cg->path, "cpuacct.usage");
	ret->pids = single_value(hierarchy_of(cg->host, CGROUP_PIDS), cg->path, "pids.current");
}

struct removal {
	int dirfd;
	int depth;
};

/* Removes the empty cgroups below a directory: left-overs of what ran inside. */
static int remove_below(void *arg, const char *name)
{
	struct removal *r = arg, inner = { .depth = r->depth + 1 };
	inner.dirfd = openat(r->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (inner.dirfd < 0)
		return 0;
	if (inner.depth < DEPTH_MAX)
		fs_each(inner.dirfd, ".", remove_below, &inner, NULL);
	close(inner.dirfd);
	unlinkat(r->dirfd, name, AT_REMOVEDIR);
	return 0;
}

static int remove_one(const struct cgroup_hierarchy *h, const char *path)
{
	struct removal r = { .dirfd = -1 };
	if (unlinkat(h->dirfd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY)
		return -errno;
	r.dirfd = openat(h->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dirfd >= 0) {
		fs_each(r.dirfd, ".", remove_below, &r, NULL);
		close(r.dirfd);
	}
	return unlinkat(h->dirfd, path, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int cgroup_remove(struct cgroup_host *h, const char *path, struct err *err)
{
	bool busy = false;
	if (check_path(path, err) < 0)
		return -1;
	for (size_t i = 0; i < h->n; i++) {
		int rc = remove_one(&h->hierarchies[i], path);
		if (rc < 0 && rc != -EBUSY)
			return err_sys(err, -rc, "remove cgroup %s", path);
		busy = busy || rc == -EBUSY;
	}
	return busy;
}

void cgroup_remove_parents(struct cgroup_host *h, const char *path)
{
	char part[CGROUP_PATH_MAX];
	if (check_path(path, NULL) < 0)
		return;
	for (size_t i = 0; i < h->n; i++) {
		char *slash;
		snprintf(part, sizeof(part), "%s", path);
		while ((slash = strrchr(part, '/'))) {
			*slash = '\0';
			if (unlinkat(h->hierarchies[i].dirfd, part, AT_REMOVEDIR) < 0 && errno != ENOENT)
				break;
		}
		if (h->hierarchies[i].v2)
			cgroup_base_restore(&h->hierarchies[i]);
	}
}
