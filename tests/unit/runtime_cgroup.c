/* SPDX-License-Identifier: Apache-2.0 */
/* Cgroups: the layout is read right on every kind of host, limits bind and change in place, killing leaves nobody, removing leaves
 * nothing. The v2 parts run on the unified hierarchy of a hybrid host, which has no controllers but all of the mechanics. Needs root. */
#include "tests/unit/runtime_rig_run.h"

#include <sched.h>
#include <sys/mount.h>

#include "runtime/cgroup_host.h"

static bool says(const struct rig *r, const char *text)
{
	return strstr(str_get(&r->out), text) != NULL;
}

static struct cgroup_host *read_layout(const char *text)
{
	AUTO_FREE char *copy = xstrdup(text);
	struct cgroup_host *h = NULL;
	struct err err = { 0 };
	CHECK(cgroup_host_read(copy, &h, &err) == 0, "%s", err.msg);
	return h;
}

/* A controller belongs to the hierarchy that mounts it, whatever else is mounted; mount points are unescaped. */
static void test_layout(struct rig *r)
{
	AUTO_STR struct str text = { 0 };
	AUTO_FREE char *copy = NULL;
	struct cgroup_host *h;
	struct err err = { 0 };
	mkdirat(r->dirfd, "with space", 0755);
	str_addf(&text,
		"32 31 0:29 / %s/with\\040space rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
		"33 31 0:30 / %s rw,relatime shared:9 - cgroup cgroup rw,memory\n"
		"34 31 0:31 / /no/such/place rw - cgroup cgroup rw,pids\n"
		"35 31 0:31 / %s rw - cgroup cgroup rw,xattr,name=systemd\n"
		"36 31 0:31 / %s rw - tmpfs tmpfs rw\n"
		"garbage\n37 - cgroup\n - \n",
		r->dir, r->dir, r->dir, r->dir);
	h = read_layout(text.p);
	CHECK(h->n == 2 && h->v2 < 0 && h->by_controller[CGROUP_CPU] == 0 && h->by_controller[CGROUP_CPUACCT] == 0 &&
			h->by_controller[CGROUP_MEMORY] == 1,
		"v1");
	CHECK(h->by_controller[CGROUP_PIDS] == -1 && strcmp(h->hierarchies[0].options, "cpu,cpuacct") == 0, "v1 options: %s",
		h->hierarchies[0].options);
	CHECK(strcmp(cgroup_host_describe(h), "v1") == 0, "describe");
	cgroup_host_close(h);
	copy = xstrdup("36 31 0:31 / / rw - tmpfs tmpfs rw\n");
	CHECK(cgroup_host_read(copy, &h, &err) == -1 && err.code == ERR_UNSUPPORTED && strstr(err.msg, "no cgroup file system is mounted"),
		"%s", err.msg);
}

static bool exists(const struct cgroup_host *h, const char *path)
{
	for (size_t i = 0; i < h->n; i++)
		if (faccessat(h->hierarchies[i].dirfd, path, F_OK, 0) == 0)
			return true;
	return false;
}

static void remove_soon(struct rig *r, struct cgroup_host *h, const char *path)
{
	struct err err = { 0 };
	int rc = 1;
	for (int i = 0; i < 500 && (rc = cgroup_remove(h, path, &err)) == 1; i++)
		usleep(10000);
	CHECK(rc == 0, "remove %s: %d %s", path, rc, err.msg);
	cgroup_remove_parents(h, path);
	CHECK(!exists(h, r->base), "%s is left", r->base);
}

/* Limits are read back from the kernel, change in both directions and back to none, and bad ones say what they were. */
static void test_limits(struct rig *r)
{
	static const struct cgroup_limits steps[] = {
		{ 64 << 20, 0.5, 100 },
		{ 256 << 20, 1.5, 1000 },
		{ 32 << 20, 0.01, 10 },
		{ 0, 0, 0 },
		{ 48 << 20, 0, -1 },
		{ 0, 2, 0 },
	};
	struct cgroup *cg, *again;
	struct cgroup_usage usage;
	struct err err = { 0 };
	char path[96];
	snprintf(path, sizeof(path), "%s/c/limits", r->base);
	CHECK(cgroup_open(r->host, path, &cg, &err) == 1, "it is not there yet");
	CHECK(cgroup_create(r->host, path, &steps[0], false, &cg, &err) == 0, "%s", err.msg);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		CHECK(cgroup_set_limits(cg, &steps[i], &err) == 0, "step %zu: %s", i, err.msg);
		cgroup_read_usage(cg, &usage);
		CHECK(usage.memory_limit_bytes == steps[i].memory_bytes, "step %zu: memory limit %llu", i,
			(unsigned long long)usage.memory_limit_bytes);
	}
	CHECK(cgroup_open(r->host, path, &again, &err) == 0, "adoption: %s", err.msg);
	cgroup_free(again);
	CHECK(cgroup_create(r->host, path, NULL, true, &again, &err) == 0, "taking over: %s", err.msg);
	cgroup_free(again);
	CHECK(cgroup_create(r->host, "../escape", NULL, false, &again, &err) == -1 &&
			cgroup_create(r->host, "/abs", NULL, false, &again, &err) == -1 &&
			cgroup_create(r->host, "", NULL, false, &again, &err) == -1,
		"paths that lead elsewhere");
	cg = cgroup_free(cg);
	remove_soon(r, r->host, path);
	CHECK(cgroup_remove(r->host, path, &err) == 0, "removing what is gone");
}

static void run_limited(struct rig *r, const struct cgroup_limits *limits, const char *script, int *ret_code, uint64_t *ret_oom)
{
	struct container_spec s;
	struct cgroup *cg;
	struct err err = { 0 };
	char path[96];
	snprintf(path, sizeof(path), "%s/c/run", r->base);
	CHECK(cgroup_create(r->host, path, limits, true, &cg, &err) == 0, "%s", err.msg);
	rig_spec(r, &s);
	s.cgroup = cg;
	*ret_code = rig_sh(r, &s, script);
	*ret_oom = cgroup_oom_kills(cg);
	cg = cgroup_free(cg);
	remove_soon(r, r->host, path);
}

/* The container, not the host, suffers: out of memory is counted and says 137, a fork bomb meets its limit. */
static void test_enforced(struct rig *r)
{
	uint64_t oom;
	int code;
	run_limited(
		r, &(struct cgroup_limits){ .memory_bytes = 16 << 20 }, "exec dd if=/dev/zero of=/dev/null bs=64M count=1", &code, &oom);
	CHECK(code == 137 && oom > 0, "out of memory: exit %d, %llu kills: %s", code, (unsigned long long)oom, str_get(&r->out));
	run_limited(r, &(struct cgroup_limits){ .pids = 8 }, "for i in $(seq 20); do sleep 1 & done; echo done", &code, &oom);
	CHECK(says(r, "can't fork") && oom == 0, "pids: %s", str_get(&r->out));
	run_limited(r, NULL, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; cat /proc/1/cgroup", &code, &oom);
	CHECK(!says(r, "muster"), "the host's path shows: %s", str_get(&r->out));
}

/* Everything in the cgroup dies, also what keeps forking, and nothing stays frozen. */
static void test_kill(struct rig *r, struct cgroup_host *h)
{
	struct container_spec s;
	struct container_proc p;
	struct cgroup *cg;
	AUTO_FREE pid_t *pids = NULL;
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
		(char *)(uintptr_t) "trap '' TERM; for i in 1 2 3 4 5; do (while :; do sleep 0.01; done) & done; wait", NULL };
	struct err err = { 0 };
	char path[96];
	size_t n = 0;
	int status;
	snprintf(path, sizeof(path), "%s/c/kill", r->base);
	CHECK(cgroup_create(h, path, NULL, true, &cg, &err) == 0, "%s", err.msg);
	rig_spec(r, &s);
	s.cgroup = cg;
	s.argv = argv;
	CHECK(container_spawn(&s, &p, &err) == 0 && container_go(&p, &err) == 0 && rig_wait_started(&p, &err) == 0, "%s", err.msg);
	usleep(100000);
	CHECK(cgroup_pids(cg, &pids, &n, &err) == 0 && n >= 6, "%zu processes", n);
	CHECK(cgroup_remove(h, path, &err) == 1, "a cgroup with processes was removed");
	CHECK(cgroup_kill(cg, &err) == 0, "%s", err.msg);
	CHECK(waitpid(p.pid, &status, 0) == p.pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %d", status);
	container_proc_done(&p);
	for (int i = 0; i < 100 && n > 0; i++) {
		free(TAKE_PTR(pids));
		CHECK(cgroup_pids(cg, &pids, &n, &err) == 0, "%s", err.msg);
		usleep(n ? 10000 : 0);
	}
	CHECK(n == 0, "%zu processes are left", n);
	CHECK(cgroup_kill(cg, &err) == 0, "killing nobody: %s", err.msg);
	cg = cgroup_free(cg);
	remove_soon(r, h, path);
}

/* v2 by itself: born in the cgroup, its root is /, the BPF device filter refuses the host's devices and admits the usual ones. */
static void test_v2(struct rig *r)
{
	struct cgroup_host *h = NULL;
	struct container_spec s;
	struct cgroup *cg;
	struct err err = { 0 };
	AUTO_STR struct str text = { 0 };
	char path[96], *line, *save = NULL;
	CHECK(fs_read(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, &err) == 0, "%s", err.msg);
	for (line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strstr(line, " - cgroup2 "))
			break;
	if (!line) {
		printf("no cgroup2 mount: the v2 part is not run\n");
		return;
	}
	h = read_layout(line);
	CHECK(h->v2 == 0 && h->n == 1 && strcmp(cgroup_host_describe(h), "v2") == 0, "layout");
	snprintf(path, sizeof(path), "%s/c/v2", r->base);
	if (h->by_controller[CGROUP_MEMORY] < 0)
		CHECK(cgroup_create(h, path, &(struct cgroup_limits){ .memory_bytes = 1 << 24 }, true, &cg, &err) == -1 &&
				err.code == ERR_UNSUPPORTED && strstr(err.msg, "no memory controller"),
			"%s", err.msg);
	CHECK(cgroup_create(h, path, NULL, true, &cg, &err) == 0, "%s", err.msg);
	CHECK(cgroup_clone_fd(cg) >= 0, "no descriptor for clone3");
	rig_spec(r, &s);
	s.cgroup = cg;
	CHECK(rig_sh(r, &s,
		      "grep 0:: /proc/1/cgroup; cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x; mknod "
		      "/tmp/d b 254 0; dd if=/tmp/d count=1;"
		      "head -c 3 /dev/urandom | wc -c; echo > /dev/null && echo null") == 0,
		"%s", str_get(&r->out));
	CHECK(says(r, "0::/\n1\n") && says(r, "Read-only file system") && says(r, "Operation not permitted") && says(r, "3\nnull\n"), "%s",
		str_get(&r->out));
	cg = cgroup_free(cg);
	remove_soon(r, h, path);
	test_kill(r, h);
	cgroup_host_close(h);
}

int main(void)
{
	struct rig r;
	rig_init(&r);
	test_layout(&r);
	test_limits(&r);
	test_enforced(&r);
	test_kill(&r, r.host);
	test_v2(&r);
	rig_done(&r);
	return 0;
}
