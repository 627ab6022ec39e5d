/* SPDX-License-Identifier: Apache-2.0 */
/* Stages of the jail, one function each, in the order of confine_enter(). Descriptors of the outer mounts are replaced by ones
 * of detached clones of just the store's folders: ".." from them ends at their root. Capabilities that stay: those that give
 * files their owner, mode, device numbers and file capabilities, and CAP_SYS_ADMIN, without which the kernel takes no
 * trusted.overlay.opaque; what else that one allows is cut off by seccomp. */
#include "images/confine.h"

#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "images/confine_impl.h"

enum { MAX_DIRS = 4 };

struct jail {
	const char *const *dirs;
	int root_fd;
	int tree_fds[MAX_DIRS]; /* detached clones of dirs[] */
	size_t n;
	int *extra;             /* directories from elsewhere, to be read only: replaced by descriptors inside the new root */
	size_t n_extra;
};

static int make_dirs(struct jail *j, struct err *err)
{
	for (; j->dirs[j->n]; j->n++) {
		AUTO_CLOSE int fd = -1;
		assert(j->n < MAX_DIRS);
		fd = fs_make_dir(j->root_fd, j->dirs[j->n], 0700, err);
		if (fd < 0)
			return -1;
	}
	return 0;
}

int confine_mount_tmpfs(void)
{
	AUTO_CLOSE int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	AUTO_CLOSE int mnt = -1;
	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mnt < 0 || syscall(SYS_move_mount, mnt, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -1;
	return TAKE_FD(mnt);
}

int confine_become_root(int mnt_fd)
{
	if (fchdir(mnt_fd) < 0)
		return -1;
	if (syscall(SYS_pivot_root, ".", ".") == 0)
		return umount2(".", MNT_DETACH) < 0 ? -1 : chdir("/");
	/* the root is the initial ramfs, which cannot be pivoted away */
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return -1;
	return chdir("/");
}

/* An older kernel's answer, or that of a filter around us: Landlock has to do, then. */
static bool refused(int e)
{
	return e == ENOSYS || e == EPERM;
}

/* Detached clones of the folders, without set-uid, devices and execution. Returns 0; 1 when this process may not mount; -1 + err. */
static int clone_folders(struct jail *j, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
	for (size_t i = 0; i < j->n; i++) {
		j->tree_fds[i] = (int)syscall(SYS_open_tree, j->root_fd, j->dirs[i],
			OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
		if (j->tree_fds[i] < 0)
			return refused(errno) ? 1 : err_sys(err, errno, "jail: clone the mount of %s", j->dirs[i]);
		if (syscall(SYS_mount_setattr, j->tree_fds[i], "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
			return refused(errno) ? 1 : err_sys(err, errno, "jail: restrict the mount of %s", j->dirs[i]);
	}
	return 0;
}

/* Clones of directories from elsewhere, with what is mounted below them, for reading only. As clone_folders(). */
static int clone_extra(struct jail *j, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY };
	for (size_t i = 0; i < j->n_extra; i++) {
		int fd = (int)syscall(SYS_open_tree, j->extra[i], "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
		if (fd < 0)
			return refused(errno) ? 1 : err_sys(err, errno, "jail: clone the mount of a directory");
		close(j->extra[i]);
		j->extra[i] = fd;
		if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
			return refused(errno) ? 1 : err_sys(err, errno, "jail: restrict the mount of a directory");
	}
	return 0;
}

/* Puts them into the new root mnt, as directories with numbers for names. */
static int move_extra(struct jail *j, int mnt, struct err *err)
{
	for (size_t i = 0; i < j->n_extra; i++) {
		char name[24];
		snprintf(name, sizeof(name), "%zu", i);
		if (mkdirat(mnt, name, 0700) < 0 || syscall(SYS_move_mount, j->extra[i], "", mnt, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return err_sys(err, errno, "jail: mount a directory");
	}
	return 0;
}

/* From inside, so that ".." ends at the new root. */
static int reopen_extra(struct jail *j, struct err *err)
{
	for (size_t i = 0; i < j->n_extra; i++) {
		char name[24];
		int fd;
		snprintf(name, sizeof(name), "%zu", i);
		fd = fs_open_dir(j->root_fd, name, err);
		if (fd < 0)
			return -1;
		close(j->extra[i]);
		j->extra[i] = fd;
	}
	return 0;
}

int confine_unshare_mounts(struct err *err)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, errno, "jail: mount namespace");
	return 0;
}

/* Returns 0 with j->root_fd replaced; 1 when this process may not mount; -1 + err. */
static int enter_mounts(struct jail *j, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	AUTO_CLOSE int mnt = -1;
	int rc = clone_folders(j, err);
	if (rc == 0)
		rc = clone_extra(j, err);
	if (rc != 0)
		return rc;
	if (confine_unshare_mounts(err) < 0)
		return -1;
	mnt = confine_mount_tmpfs();
	if (mnt < 0)
		return refused(errno) ? 1 : err_sys(err, errno, "jail: mount an empty root");
	for (size_t i = 0; i < j->n; i++) {
		if (mkdirat(mnt, j->dirs[i], 0700) < 0 ||
		    syscall(SYS_move_mount, j->tree_fds[i], "", mnt, j->dirs[i], MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return err_sys(err, errno, "jail: mount %s", j->dirs[i]);
		util_close(&j->tree_fds[i]);
	}
	if (move_extra(j, mnt, err) < 0)
		return -1;
	if (syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return err_sys(err, errno, "jail: make the root read-only");
	if (confine_become_root(mnt) < 0)
		return err_sys(err, errno, "jail: change the root");
	util_close(&j->root_fd);
	j->root_fd = fs_open_dir(AT_FDCWD, "/", err);
	return j->root_fd < 0 ? -1 : reopen_extra(j, err);
}

/* Every file access right that this version of Landlock knows. */
static uint64_t landlock_rights(int abi)
{
	uint64_t fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	if (abi >= 2)
		fs |= 1ULL << 13; /* LANDLOCK_ACCESS_FS_REFER: rename and link between directories */
	if (abi >= 3)
		fs |= 1ULL << 14; /* LANDLOCK_ACCESS_FS_TRUNCATE */
	if (abi >= 5)
		fs |= 1ULL << 15; /* LANDLOCK_ACCESS_FS_IOCTL_DEV */
	return fs;
}

/* The kernel's struct landlock_ruleset_attr as of version 6; older ones take a shorter one. */
struct ruleset {
	uint64_t fs, net, scoped;
};

/* Returns 0; 1 when the kernel has no Landlock or its first version only (which forbids every rename between directories); -1 + err. */
static int enter_landlock(struct jail *j, struct err *err)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset attr = {0};
	AUTO_CLOSE int fd = -1;
	if (abi < 2)
		return 1;
	attr.fs = landlock_rights(abi);
	attr.net = abi >= 4 ? 3 : 0;    /* bind and connect TCP */
	attr.scoped = abi >= 6 ? 3 : 0; /* abstract sockets, signals */
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
	if (fd < 0)
		return err_sys(err, errno, "jail: Landlock");
	for (size_t i = 0; i < j->n; i++) {
		AUTO_CLOSE int dir = openat(j->root_fd, j->dirs[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct landlock_path_beneath_attr rule = { .allowed_access = attr.fs, .parent_fd = dir };
		if (dir < 0 || syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
			return err_sys(err, errno, "jail: Landlock rule for %s", j->dirs[i]);
	}
	for (size_t i = 0; i < j->n_extra; i++) {
		struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
			.parent_fd = j->extra[i] };
		if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
			return err_sys(err, errno, "jail: Landlock rule for a directory");
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_sys(err, errno, "jail: Landlock");
	return 0;
}

int confine_drop_capabilities(const int *keep, size_t n, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {0};
	struct __user_cap_data_struct now[2] = {0};
	if (syscall(SYS_capget, &head, now) < 0)
		return err_sys(err, errno, "jail: capabilities");
	for (size_t i = 0; i < n; i++)
		data[keep[i] / 32].permitted |= (1U << keep[i] % 32) & now[keep[i] / 32].permitted;
	for (size_t i = 0; i < 2; i++)
		data[i].effective = data[i].permitted;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, data) < 0 ? err_sys(err, errno, "jail: capabilities") : 0;
}

static int allow_list(scmp_filter_ctx f, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return -1;
	return 0;
}

int confine_allow_common(scmp_filter_ctx f)
{
	static const int calls[] = {
		SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(pwrite64), SCMP_SYS(writev),
		SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(lstat),
		SCMP_SYS(stat), SCMP_SYS(fcntl), SCMP_SYS(fadvise64), SCMP_SYS(dup), SCMP_SYS(poll), SCMP_SYS(ppoll),
		SCMP_SYS(munmap), SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(madvise),
		SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
		SCMP_SYS(sched_getaffinity), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
		SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(umask), SCMP_SYS(uname), SCMP_SYS(getpid),
		SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
		SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
		SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
	};
	/* threads, not processes; memory, but none that can be executed; abort() */
	if (allow_list(f, calls, ARRAY_SIZE(calls)) < 0 ||
	    seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) < 0 ||
	    seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) < 0 ||
	    seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) < 0 ||
	    seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) < 0 ||
	    seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0)) < 0)
		return -1;
	return 0;
}

int confine_allow_files(scmp_filter_ctx f)
{
	static const int calls[] = {
		SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(getdents64), SCMP_SYS(readlinkat), SCMP_SYS(mkdirat),
		SCMP_SYS(mknodat), SCMP_SYS(linkat), SCMP_SYS(symlinkat), SCMP_SYS(unlinkat), SCMP_SYS(renameat),
		SCMP_SYS(renameat2), SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
		SCMP_SYS(fsetxattr), SCMP_SYS(fgetxattr), SCMP_SYS(flistxattr), SCMP_SYS(copy_file_range),
		SCMP_SYS(utimensat), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
		SCMP_SYS(flock), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(syncfs), SCMP_SYS(sync_file_range),
	};
	return confine_allow_common(f) < 0 || allow_list(f, calls, ARRAY_SIZE(calls)) < 0 ? -1 : 0;
}

/* What unpacking needs, and death for the network: this process has no business there. */
static int allow_unpacking(scmp_filter_ctx f)
{
	static const int death[] = {
		SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(sendmsg), SCMP_SYS(sendto),
	};
	if (confine_allow_files(f) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(death); i++)
		if (seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, death[i], 0) < 0)
			return -1;
	return 0;
}

/* Nothing of ours or of our libraries ever calls these. */
static int kill_on_calls(scmp_filter_ctx f)
{
	static const int calls[] = {
		SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
		SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_open),
		SCMP_SYS(kcmp), SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
		SCMP_SYS(chroot), SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(open_tree),
		SCMP_SYS(move_mount), SCMP_SYS(mount_setattr), SCMP_SYS(unshare), SCMP_SYS(setns),
		SCMP_SYS(open_by_handle_at), SCMP_SYS(name_to_handle_at), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
		SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module),
		SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load),
		SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(quotactl),
		SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(sethostname), SCMP_SYS(setdomainname),
		SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(io_uring_setup), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(capset),
	};
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, calls[i], 0) < 0)
			return -1;
	return 0;
}

int confine_seccomp(int (*allow)(scmp_filter_ctx f), struct err *err)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = 0;
	if (!f)
		util_oom();
	if (seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 || allow(f) < 0 || kill_on_calls(f) < 0)
		rc = err_set(err, ERR_UNSUPPORTED, "jail: seccomp rules");
	if (rc == 0 && seccomp_load(f) < 0)
		rc = err_set(err, ERR_UNSUPPORTED, "jail: load the seccomp filter");
	seccomp_release(f);
	return rc;
}

int confine_no_privileges(struct err *err)
{
	const struct rlimit no_core = {0};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
		return err_sys(err, errno, "jail: no new privileges");
	return 0;
}

static int enter_all(struct jail *j, int (*allow)(scmp_filter_ctx f), struct err *err)
{
	static const int keep[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP, CAP_SYS_ADMIN };
	int mounts, landlock;
	if (make_dirs(j, err) < 0 || confine_no_privileges(err) < 0)
		return -1;
	mounts = enter_mounts(j, err);
	if (mounts < 0)
		return -1;
	landlock = enter_landlock(j, err);
	if (landlock < 0)
		return -1;
	if (mounts == 1 && landlock == 1)
		return err_set(err, ERR_UNSUPPORTED,
			"jail: neither a mount namespace nor Landlock is to be had, refusing to read foreign archives");
	if (confine_drop_capabilities(keep, ARRAY_SIZE(keep), err) < 0)
		return -1;
	return confine_seccomp(allow, err);
}

int confine_enter_with(int root_fd, const char *const *dirs, int *extra_fds, size_t n_extra, int (*allow)(scmp_filter_ctx f), struct err *err)
{
	struct jail j = { .dirs = dirs, .root_fd = root_fd, .tree_fds = { -1, -1, -1, -1 }, .extra = extra_fds, .n_extra = n_extra };
	int rc = enter_all(&j, allow, err);
	for (size_t i = 0; i < MAX_DIRS; i++)
		util_close(&j.tree_fds[i]);
	if (rc < 0)
		util_close(&j.root_fd);
	return j.root_fd;
}

int confine_enter(int root_fd, const char *const *dirs, struct err *err)
{
	return confine_enter_with(root_fd, dirs, NULL, 0, allow_unpacking, err);
}

int confine_enter_reading(int root_fd, const char *const *dirs, int *read_fd, struct err *err)
{
	return confine_enter_with(root_fd, dirs, read_fd, 1, allow_unpacking, err);
}
