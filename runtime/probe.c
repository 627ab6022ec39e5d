/* SPDX-License-Identifier: Apache-2.0 */
/* An overlay whose upper directory is on overlayfs, NFS, FUSE or an old XFS fails with a bare EINVAL at the first start; here it is
 * found once, by trying, and named. Trying leaves nothing: a detached mount dies with its descriptor, the old way happens in a child's
 * own namespace. */
#include "runtime/probe.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/proc.h"
#include "runtime/mounts.h"
#include "runtime/overlay.h"

static const struct {
	unsigned magic;
	const char *name;
} file_systems[] = {
	{ 0x794c7630, "overlay" },
	{ 0x6969, "nfs" },
	{ 0x65735546, "fuse" },
	{ 0x58465342, "xfs" },
	{ 0xff534d42, "cifs" },
	{ 0xfe534d42, "smb2" },
	{ 0x4d44, "vfat" },
	{ 0x2011bab0, "exfat" },
	{ 0xf15f, "ecryptfs" },
	{ 0x01021997, "9p" },
	{ 0x00c36400, "ceph" },
	{ 0xef53, "ext4" },
	{ 0x9123683e, "btrfs" },
	{ 0x01021994, "tmpfs" },
	{ 0x2fc12fc1, "zfs" },
	{ 0x858458f6, "ramfs" },
};

static const char *file_system_name(int dirfd)
{
	struct statfs fs;
	if (fstatfs(dirfd, &fs) == 0)
		for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
			if ((unsigned)fs.f_type == file_systems[i].magic)
				return file_systems[i].name;
	return "a file system of unknown type";
}

/* The old way, in a child that takes its namespace with it. */
static int try_in_child(const struct overlay *o, struct err *err)
{
	int status = 0;
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "fork");
	if (pid == 0) {
		struct err e = { 0 };
		if (unshare(CLONE_NEWNS) < 0 || mounts_leave_chroot(&e) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(errno & 0xff);
		_exit(overlay_mount_here(o, "/dev", &e) == 0 ? 0 : e.sys ? e.sys & 0xff : EIO);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_sys(err, WIFEXITED(status) ? WEXITSTATUS(status) : EIO, "mount the overlay");
}

static int try_overlay(int dir, struct err *err)
{
	static const char *const names[] = { "lower", "upper", "work" };
	int fds[3] = { -1, -1, -1 }, rc = 0, mounted;
	struct overlay o;
	for (int i = 0; rc == 0 && i < 3; i++) {
		fds[i] = fs_make_dir(dir, names[i], 0700, err);
		rc = fds[i] < 0 ? -1 : 0;
	}
	if (rc == 0) {
		o = (struct overlay){ fds, 1, fds[1], fds[2], false };
		mounted = overlay_new(&o, err);
		rc = mounted == OVERLAY_OLD ? try_in_child(&o, err) : mounted < 0 ? -1 : 0;
		util_close(&mounted);
	}
	for (int i = 0; i < 3; i++)
		util_close(&fds[i]);
	return rc;
}

int probe_overlay(int dirfd, struct err *err)
{
	char name[32] = ".probe-", path[32], at[4096];
	AUTO_CLOSE int dir = -1;
	struct err inner = { 0 };
	ssize_t n;
	int rc;
	random_hex(name + 7, 8);
	dir = fs_make_dir(dirfd, name, 0700, err);
	if (dir < 0)
		return -1;
	rc = try_overlay(dir, &inner);
	fs_remove_tree(dirfd, name, NULL);
	if (rc == 0)
		return 0;
	n = readlink(fs_fd_path(dirfd, path), at, sizeof(at) - 1);
	at[n > 0 ? n : 0] = '\0';
	if (inner.sys == ENODEV)
		return err_set(err, ERR_UNSUPPORTED, "this kernel has no overlay file system (CONFIG_OVERLAY_FS)");
	if (inner.sys != EINVAL && inner.sys != EOPNOTSUPP && inner.sys != EREMOTE)
		return err_set(err, ERR_UNSUPPORTED, "%s (%s): %s", at, file_system_name(dirfd), inner.msg);
	return err_set(err, ERR_UNSUPPORTED,
		"%s is on %s, which cannot hold the layers of running containers: use --root on ext4, xfs (ftype=1), btrfs or tmpfs", at,
		file_system_name(dirfd));
}

int probe_kernel(struct err *err)
{
	static const char *const namespaces[] = { "pid", "mnt", "uts", "ipc", "net", "cgroup" };
	unsigned action = SECCOMP_RET_ERRNO;
	AUTO_CLOSE int pidfd = proc_pidfd_open(getpid());
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		char path[40];
		snprintf(path, sizeof(path), "/proc/self/ns/%s", namespaces[i]);
		if (access(path, F_OK) < 0)
			return err_set(err, ERR_UNSUPPORTED, "this kernel has no %s namespaces, or /proc is not mounted", namespaces[i]);
	}
	if (pidfd < 0)
		return err_set(err, ERR_UNSUPPORTED, "this kernel has no pidfds: Linux 5.10 or newer is needed");
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
		return err_set(err, ERR_UNSUPPORTED, "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)");
	return 0;
}
