/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels and filters that refuse what is new: with each call answered by ENOSYS, or by EPERM as old container engines do, a container
 * still starts with the same view, mounts and protections, and an exec still joins it. Needs root. */
#include "tests/unit/runtime_rig_run.h"

#include <seccomp.h>
#include <sys/syscall.h>

#include "runtime/exec.h"

static const struct {
	const char *name;
	int calls[10];
} shims[] = {
	{ "nothing", { 0 } },
	{ "openat2", { SYS_openat2 } },
	{ "clone3", { SYS_clone3 } },
	{ "close_range", { SYS_close_range } },
	{ "fsopen", { SYS_fsopen } },
	{ "mount_setattr", { SYS_mount_setattr } },
	{ "open_tree", { SYS_open_tree } },
	{ "move_mount and what comes with it",
		{ SYS_open_tree, SYS_move_mount, SYS_mount_setattr, SYS_fsopen, SYS_fsconfig, SYS_fsmount } },
	{ "everything",
		{ SYS_openat2, SYS_clone3, SYS_close_range, SYS_open_tree, SYS_move_mount, SYS_mount_setattr, SYS_fsopen, SYS_fsconfig,
			SYS_fsmount, SYS_execveat } },
};

static void refuse(const int *calls, size_t n, int error)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	for (size_t i = 0; i < n && calls[i]; i++)
		CHECK(seccomp_rule_add(ctx, SCMP_ACT_ERRNO((unsigned)error), calls[i], 0) == 0, "filter");
	CHECK(seccomp_load(ctx) == 0, "load the filter");
	seccomp_release(ctx);
}

static void exec_in(const struct container_proc *target)
{
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
		(char *)(uintptr_t) "[ $(hostname) = rig ] && [ -d /vol ] && exit 6", NULL };
	static const int stdio[3] = { -1, -1, -1 };
	struct exec_spec s = { .pid = target->pid, .start_ticks = target->start_ticks, .argv = argv, .caps = CONTAINER_DEFAULT_CAPS };
	struct exec_proc p;
	struct err err = { 0 };
	int status, rc;
	CHECK(exec_start(&s, stdio, NULL, NULL, &p, &err) == 0, "%s", err.msg);
	do {
		struct pollfd pfd = { .fd = p.sync_fd, .events = POLLIN };
		CHECK(poll(&pfd, 1, 20000) == 1, "exec hangs");
		rc = exec_progress(&p, &err);
		CHECK(rc >= 0, "%s (%s)", err.msg, err.origin);
	} while (rc != EXEC_STARTED);
	waitpid(p.pid, &status, 0);
	CHECK(proc_exit_code(status) == 6, "exec: %d", proc_exit_code(status));
	exec_proc_done(&p);
}

/* Runs in a child that has the shim. */
static void start_under(struct rig *r)
{
	struct container_mount m[] = {
		{ .kind = CONTAINER_MOUNT_BIND,
			.target = "/vol",
			.read_only = true,
			.source_fd = openat(r->dirfd, "vol", O_PATH | O_CLOEXEC) },
		{ .kind = CONTAINER_MOUNT_BIND, .target = "/vol/rw", .source_fd = openat(r->dirfd, "rw", O_PATH | O_CLOEXEC) },
		{ .kind = CONTAINER_MOUNT_TMPFS, .target = "/t", .source_fd = -1 },
	};
	static const char *const script =
		"cat /vol/file /etc/hosts; touch /vol/x; touch /vol/rw/y /t/z /upper && echo writable; echo 1 > /proc/sys/kernel/panic;"
		"cat /proc/timer_list | wc -c; ls /proc/self/fd | wc -l; mkdir /sys/x; readlink "
		"/proc/self/exe; mount | grep -c ' /dev/pts '";
	char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t) "while :; do sleep 0.1; done",
		NULL };
	struct container_spec s;
	struct container_proc p;
	struct err err = { 0 };
	int status;
	rig_spec(r, &s);
	s.mounts = m;
	s.n_mounts = ARRAY_SIZE(m);
	s.hosts_fd = openat(r->dirfd, "hosts", O_PATH | O_CLOEXEC);
	CHECK(rig_sh(r, &s, script) == 0, "%s", str_get(&r->out));
	CHECK(strstr(r->out.p, "in the volume\nthe hosts\ntouch: /vol/x: Read-only file system\nwritable\n") &&
			strstr(r->out.p, "/proc/sys/kernel/panic: Read-only") && strstr(r->out.p, "\n0\n4\n") &&
			strstr(r->out.p, "'/sys/x': Read-only") && strstr(r->out.p, "\n1\n"),
		"%s", r->out.p);
	s.argv = argv;
	CHECK(container_spawn(&s, &p, &err) == 0 && container_go(&p, &err) == 0 && rig_wait_started(&p, &err) == 0, "%s", err.msg);
	exec_in(&p);
	kill(p.pid, SIGKILL);
	waitpid(p.pid, &status, 0);
	container_proc_done(&p);
}

int main(void)
{
	struct rig r;
	int status;
	rig_init(&r);
	mkdirat(r.dirfd, "vol", 0755);
	mkdirat(r.dirfd, "vol/rw", 0755);
	mkdirat(r.dirfd, "rw", 0755);
	rig_file(r.dirfd, "vol/file", "in the volume\n", 0644);
	rig_file(r.dirfd, "hosts", "the hosts\n", 0644);
	for (size_t i = 0; i < ARRAY_SIZE(shims) * 2; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			*rig_dir = '\0';
			refuse(shims[i / 2].calls, ARRAY_SIZE(shims[i / 2].calls), i % 2 ? EPERM : ENOSYS);
			start_under(&r);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		CHECK(status == 0, "without %s (%s)", shims[i / 2].name, i % 2 ? "EPERM" : "ENOSYS");
	}
	rig_done(&r);
	return 0;
}
