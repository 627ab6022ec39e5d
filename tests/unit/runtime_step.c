/* SPDX-License-Identifier: Apache-2.0 */
/* What build steps ask of the runtime on top of containers: a root made by the caller, files in memory, mount points that leave no trace,
 * a command that dies with its caller, privileges. Each function names the invariant that it protects. */
#include "tests/unit/runtime_rig_run.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "runtime/overlay.h"
#include "runtime/mountpoints.h"

static bool says(const struct rig *r, const char *text)
{
	return strstr(str_get(&r->out), text) != NULL;
}

static int detached(struct rig *r)
{
	struct overlay o = { .layer_fds = &r->layer_fd, .n_layers = 1, .upper_fd = r->upper_fd, .work_fd = r->work_fd };
	struct err err = { 0 };
	int fd = overlay_detached(&o, &err);
	CHECK(fd >= 0, "%s", err.msg);
	return fd;
}

static bool there(struct rig *r, const char *path)
{
	struct stat st;
	return fstatat(r->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A root that the caller has mounted is looked into before, during and after the step; what the step writes is in the upper directory; a file
 * in memory has the content, owner and mode asked for, and is in no layer. */
static void test_root_and_files(struct rig *r)
{
	struct container_mount m[2] = {
		{ .kind = CONTAINER_MOUNT_FILE, .target = "/run/secrets/key", .read_only = true, .mode = 0400, .uid = 1000, .gid = 7, .fill_fd = -1 },
		{ .kind = CONTAINER_MOUNT_TMPFS, .target = "/scratch", .source_fd = -1, .fill_fd = -1, .exec = true },
	};
	struct container_spec s;
	struct mountpoints points = { 0 };
	struct err err = { 0 };
	struct stat st;
	int root = detached(r), made;
	rig_spec(r, &s);
	s.layer_fds = NULL;
	s.n_layers = 0;
	s.upper_fd = s.work_fd = -1;
	s.root_fd = root;
	m[0].source_fd = memfd_create("key", MFD_CLOEXEC);
	CHECK(write(m[0].source_fd, "swordfish", 9) == 9, "memfd");
	s.mounts = m;
	s.n_mounts = 2;
	CHECK(mountpoints_make(&points, root, "/run/secrets/key", false, &err) == 0 && mountpoints_make(&points, root, "/scratch", true, &err) == 0 &&
			mountpoints_make(&points, root, "/proc", true, &err) == 0 && mountpoints_make(&points, root, "/bin", true, &err) == 0,
		"%s", err.msg);
	CHECK(points.n == 5, "run, secrets, key, scratch, proc: %zu were noted", points.n);
	CHECK(rig_sh(r, &s, "stat -c '%u:%g %a' /run/secrets/key; cat /run/secrets/key; echo; "
			    "echo x >>/run/secrets/key && echo WRITTEN; cp /bin/busybox /scratch/true; /bin/busybox cp /bin/busybox /scratch/true; "
			    "/scratch/true && echo RUNS; echo hello >/made; echo kept >/run/kept") == 0,
		"%s", str_get(&r->out));
	CHECK(says(r, "1000:7 400\nswordfish\n") && !says(r, "WRITTEN") && says(r, "RUNS"), "%s", str_get(&r->out));
	made = openat(root, "made", O_RDONLY | O_CLOEXEC);
	CHECK(made >= 0 && fstat(made, &st) == 0 && st.st_size == 6, "the caller's descriptor does not see what the step made");
	close(made);
	mountpoints_remove(&points);
	mountpoints_done(&points);
	CHECK(there(r, "upper/made") && there(r, "upper/run/kept") && !there(r, "upper/run/secrets") && !there(r, "upper/scratch") &&
			!there(r, "upper/proc") && there(r, "layer/bin"),
		"mount points stay, or more than they go");
	close(m[0].source_fd);
	close(root);
}

/* A mount point that was replaced, filled or moved behind a link by the step is not ours any more: nothing else is deleted in its place
 * (CVE-2024-23652). The directory's time is as it was before. */
static void test_mountpoints(struct rig *r)
{
	struct mountpoints points = { 0 };
	struct err err = { 0 };
	struct timespec old[2] = { { 1000000000, 0 }, { 1000000000, 123 } };
	struct stat st;
	AUTO_CLOSE int dir = -1;
	fs_remove_tree(r->dirfd, "tree", NULL);
	mkdirat(r->dirfd, "tree", 0755);
	mkdirat(r->dirfd, "tree/etc", 0755);
	mkdirat(r->dirfd, "tree/precious", 0755);
	rig_file(r->dirfd, "tree/precious/data", "", 0644);
	utimensat(r->dirfd, "tree/etc", old, 0);
	dir = openat(r->dirfd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(mountpoints_make(&points, dir, "/etc/hosts", false, &err) == 0 && mountpoints_make(&points, dir, "/etc/resolv.conf", false, &err) == 0 &&
			mountpoints_make(&points, dir, "/cache/data", true, &err) == 0 && mountpoints_make(&points, dir, "/filled", false, &err) == 0 &&
			mountpoints_make(&points, dir, "/replaced", false, &err) == 0,
		"%s", err.msg);
	/* the step: /cache becomes a link to what the image has, others are filled or replaced */
	CHECK(renameat(r->dirfd, "tree/cache", r->dirfd, "tree/moved") == 0 && symlinkat("precious", r->dirfd, "tree/cache") == 0, "rename");
	rig_file(r->dirfd, "tree/filled", "x", 0644);
	unlinkat(r->dirfd, "tree/replaced", 0);
	rig_file(r->dirfd, "tree/precious/other", "", 0644);
	CHECK(linkat(r->dirfd, "tree/precious/other", r->dirfd, "tree/replaced", 0) == 0, "link");
	mountpoints_remove(&points);
	mountpoints_done(&points);
	CHECK(there(r, "tree/precious/data") && there(r, "tree/replaced") && there(r, "tree/filled") && there(r, "tree/cache"),
		"something that the step made was deleted");
	CHECK(!there(r, "tree/etc/hosts") && !there(r, "tree/etc/resolv.conf") && !there(r, "tree/moved/data"), "a mount point stays");
	CHECK(fstatat(r->dirfd, "tree/etc", &st, 0) == 0 && st.st_mtim.tv_sec == 1000000000 && st.st_mtim.tv_nsec == 123, "the time of /etc is another");
}

/* With `bound` the command dies with its caller, after any number of execs; without it lives on. */
static void test_bound(struct rig *r)
{
	for (int bound = 0; bound < 2; bound++) {
		struct container_spec s;
		char *const argv[] = { (char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
			(char *)(uintptr_t) "exec /bin/sh -c 'exec sleep 100'", NULL };
		struct { pid_t pid; int pidfd; } got = { 0, -1 };
		int pipe_fds[2];
		pid_t caller;
		fs_remove_tree(r->dirfd, "upper", NULL);
		mkdirat(r->dirfd, "upper", 0755);
		close(r->upper_fd);
		r->upper_fd = openat(r->dirfd, "upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
		CHECK(pipe(pipe_fds) == 0, "pipe");
		rig_spec(r, &s);
		s.argv = argv;
		s.bound = bound;
		caller = fork();
		if (caller == 0) {
			struct container_proc p;
			struct err err = { 0 };
			CHECK(container_spawn(&s, &p, &err) == 0 && container_go(&p, &err) == 0 && rig_wait_started(&p, &err) == 0, "%s", err.msg);
			usleep(30000);
			CHECK(write(pipe_fds[1], &p.pid, sizeof(p.pid)) == sizeof(p.pid), "pipe");
			pause();
		}
		CHECK(read(pipe_fds[0], &got.pid, sizeof(got.pid)) == sizeof(got.pid), "no start");
		got.pidfd = proc_pidfd_open(got.pid);
		CHECK(got.pidfd >= 0, "it has ended already");
		kill(caller, SIGKILL);
		waitpid(caller, NULL, 0);
		{
			struct pollfd pfd = { .fd = got.pidfd, .events = POLLIN };
			int gone = poll(&pfd, 1, bound ? 10000 : 100);
			CHECK(gone == bound, bound ? "the command outlives its caller" : "the command dies with its caller, unasked");
		}
		proc_pidfd_signal(got.pidfd, SIGKILL);
		close(got.pidfd);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
	}
}

/* A privileged step has what an insecure one has in BuildKit: every capability, nothing masked, writable /proc/sys and /sys, its devices. */
static void test_privileged(struct rig *r)
{
	struct container_spec s;
	rig_spec(r, &s);
	s.privileged = true;
	s.caps = UINT64_MAX;
	CHECK(rig_sh(r, &s, "grep CapEff /proc/self/status; mount -t tmpfs x /tmp && echo MOUNTED; ls /dev/fuse /dev/net/tun /dev/loop-control; "
			    "echo 5 >/proc/sys/net/ipv4/tcp_retries1 && echo SYSCTL; grep ' /proc/kcore ' /proc/self/mountinfo; "
			    "grep ' /sys ' /proc/self/mountinfo") == 0,
		"%s", str_get(&r->out));
	CHECK(says(r, "MOUNTED") && says(r, "/dev/fuse\n") && says(r, "SYSCTL") && says(r, "CapEff:\t000001ff"), "%s", str_get(&r->out));
	CHECK(!says(r, "/proc/kcore") && says(r, "/sys rw"), "%s", str_get(&r->out));
}

/* A layer may be there twice, as in an image with two steps that changed nothing: the higher one counts. */
static void test_layer_twice(struct rig *r)
{
	int layers[4];
	struct container_spec s;
	mkdirat(r->dirfd, "middle", 0755);
	mkdirat(r->dirfd, "same", 0755);
	rig_file(r->dirfd, "middle/which", "middle\n", 0644);
	rig_file(r->dirfd, "same/which", "same\n", 0644);
	layers[0] = r->layer_fd;
	layers[1] = layers[3] = openat(r->dirfd, "same", O_PATH | O_CLOEXEC);
	layers[2] = openat(r->dirfd, "middle", O_PATH | O_CLOEXEC);
	rig_spec(r, &s);
	s.layer_fds = layers;
	s.n_layers = 4;
	CHECK(rig_sh(r, &s, "cat /which") == 0 && says(r, "same\n"), "%s", str_get(&r->out));
	close(layers[1]);
	close(layers[2]);
}

int main(void)
{
	struct rig r;
	rig_init(&r);
	test_root_and_files(&r);
	test_mountpoints(&r);
	test_bound(&r);
	test_privileged(&r);
	test_layer_twice(&r);
	rig_done(&r);
	return 0;
}
