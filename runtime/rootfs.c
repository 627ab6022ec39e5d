/* SPDX-License-Identifier: Apache-2.0 */
/* Order of one build: overlay on top of the host's root; /proc /dev /dev/pts /dev/shm /dev/mqueue /sys /sys/fs/cgroup; files and
 * volumes, outer ones first; console; masked and read-only paths; pivot_root. Every place is a descriptor below root_fd. /dev is a
 * fresh tmpfs before anything is made in it, /proc and /sys must be real directories of the image (CVE-2025-52565, CVE-2019-19921),
 * and what masks a file is the host's /dev/null opened before the image was there (CVE-2025-31133). The lists are docker's. */
#include "runtime/rootfs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/failpoint.h"
#include "base/fs.h"
#include "runtime/cgroup_host.h"
#include "runtime/console.h"
#include "runtime/overlay.h"

enum { HARDENED = MS_NOSUID | MS_NOEXEC | MS_NODEV };

static const char *const file_targets[] = { "/etc/hostname", "/etc/hosts", "/etc/resolv.conf" };

static const char *const masked_proc[] = {
	"acpi",
	"asound",
	"interrupts",
	"kcore",
	"keys",
	"latency_stats",
	"sched_debug",
	"scsi",
	"timer_list",
	"timer_stats",
};
static const char *const masked_sys[] = { "firmware", "devices/virtual/powercap" };
static const char *const read_only_proc[] = { "bus", "fs", "irq", "sys", "sysrq-trigger" };

static const struct {
	const char *name;
	unsigned minor, major;
} nodes[] = {
	{ "null", 3, 1 },
	{ "zero", 5, 1 },
	{ "full", 7, 1 },
	{ "random", 8, 1 },
	{ "urandom", 9, 1 },
	{ "tty", 0, 5 },
};
/* What BuildKit gives an insecure step on top. */
static const struct {
	const char *name;
	unsigned major, minor;
} privileged_nodes[] = {
	{ "kmsg", 1, 11 },
	{ "cuse", 10, 203 },
	{ "fuse", 10, 229 },
	{ "kvm", 10, 232 },
	{ "net/tun", 10, 200 },
	{ "loop-control", 10, 237 },
};
static const struct {
	const char *name, *to;
} links[] = {
	{ "fd", "/proc/self/fd" },
	{ "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" },
	{ "ptmx", "pts/ptmx" },
	{ "core", "/proc/kcore" },
};

static int open_null(struct err *err)
{
	AUTO_CLOSE int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0)
		return err_sys(err, errno, "open /dev/null");
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return err_set(err, ERR_DENIED, "the host's /dev/null is not the null device");
	return TAKE_FD(fd);
}

int rootfs_prepare(struct rootfs *r, const struct container_spec *spec, struct err *err)
{
	const int files[] = { spec->hostname_fd, spec->hosts_fd, spec->resolv_fd };
	struct overlay o = { spec->layer_fds, spec->n_layers, spec->upper_fd, spec->work_fd, spec->volatile_upper };
	memset(r, 0, sizeof(*r));
	r->spec = spec;
	r->root_fd = r->console_master = r->console_slave = -1;
	r->null_fd = -1;
	r->root_fd = spec->root_fd >= 0 ? fcntl(spec->root_fd, F_DUPFD_CLOEXEC, 3) : overlay_new(&o, err);
	if (r->root_fd == -1)
		return spec->root_fd >= 0 ? err_sys(err, errno, "duplicate a descriptor") : -1;
	r->sources = xcalloc(spec->n_mounts + 1, sizeof(*r->sources));
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct container_mount *m = &spec->mounts[i];
		r->sources[i] = (struct mounts_source){
			.fd = m->source_fd, .recursive = m->recursive, .read_only = m->read_only, .foreign = true, .tree = -1
		};
		if (m->kind == CONTAINER_MOUNT_BIND && !m->source_path && mounts_source_prepare(&r->sources[i], err) < 0)
			return err_wrap(err, "mount %s", m->target);
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		r->files[i] = (struct mounts_source){ .fd = files[i], .foreign = true, .tree = -1 };
		if (files[i] >= 0 && mounts_source_prepare(&r->files[i], err) < 0)
			return err_wrap(err, "mount %s", file_targets[i]);
	}
	return 0;
}

static size_t add_source(const struct mounts_source *s, int *ret, size_t n)
{
	if (s->fd >= 0)
		ret[n++] = s->fd;
	if (s->tree >= 0)
		ret[n++] = s->tree;
	return n;
}

size_t rootfs_descriptors(const struct rootfs *r, int *ret, size_t n)
{
	const struct container_spec *s = r->spec;
	if (r->root_fd >= 0)
		ret[n++] = r->root_fd;
	for (size_t i = 0; r->root_fd < 0 && i < s->n_layers; i++)
		ret[n++] = s->layer_fds[i];
	if (r->root_fd < 0) {
		ret[n++] = s->upper_fd;
		ret[n++] = s->work_fd;
	}
	for (size_t i = 0; i < s->n_mounts; i++) {
		n = add_source(&r->sources[i], ret, n);
		if (s->mounts[i].fill)
			ret[n++] = s->mounts[i].fill_fd;
		if (s->mounts[i].fill && s->mounts[i].fill_path)
			ret[n++] = s->mounts[i].fill_root_fd;
	}
	for (size_t i = 0; i < ARRAY_SIZE(r->files); i++)
		n = add_source(&r->files[i], ret, n);
	for (size_t i = 0; s->cgroup && i < s->cgroup->host->n; i++)
		ret[n++] = s->cgroup->host->hierarchies[i].dirfd;
	return n;
}

/* Puts the overlay into our namespace, out of everybody's sight. */
static int attach_root(struct rootfs *r, struct err *err)
{
	const struct container_spec *s = r->spec;
	struct overlay o = { s->layer_fds, s->n_layers, s->upper_fd, s->work_fd, s->volatile_upper };
	if (r->root_fd >= 0) {
		if (move_mount(r->root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
			return err_sys(err, errno, "attach the root file system");
		return 0;
	}
	/* upon /dev, which every host has and which is not needed any more: what is mounted upon / cannot be opened by a path */
	if (overlay_mount_here(&o, "/dev", err) < 0)
		return -1;
	r->root_fd = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r->root_fd < 0 ? err_sys(err, errno, "open the root file system") : 0;
}

/* A directory right below dirfd, made when absent; a symlink is refused. */
static int own_directory(int dirfd, const char *name, struct err *err)
{
	int fd;
	if (mkdirat(dirfd, name, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "create %s", name);
	fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP ? err_set(err, ERR_INVALID, "/%s of the image is not a directory", name) :
							    err_sys(err, errno, "open %s", name);
	return fd;
}

/* Mounts a new file system at name below dirfd and returns its root. magic 0: not checked. */
static int mount_at(int dirfd, const char *name, const char *type, unsigned long flags, const char *data, long magic, struct err *err)
{
	AUTO_CLOSE int target = own_directory(dirfd, name, err);
	AUTO_CLOSE int fd = -1;
	struct statfs fs;
	if (target < 0 || mounts_fs(type, target, flags, data, err) < 0)
		return -1;
	fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(err, errno, "open %s", name);
	if (magic && fs.f_type != magic)
		return err_set(err, ERR_DENIED, "%s is not the %s that was just mounted", name, type);
	return TAKE_FD(fd);
}

static int make_privileged_nodes(int dev, struct err *err)
{
	if (mkdirat(dev, "net", 0755) < 0)
		return err_sys(err, errno, "create /dev/net");
	for (size_t i = 0; i < ARRAY_SIZE(privileged_nodes); i++)
		if (mknodat(dev, privileged_nodes[i].name, S_IFCHR | 0600, makedev(privileged_nodes[i].major, privileged_nodes[i].minor)) < 0)
			return err_sys(err, errno, "create /dev/%s", privileged_nodes[i].name);
	return 0;
}

static int make_dev(struct rootfs *r, int dev, struct err *err)
{
	AUTO_CLOSE int pts = -1, shm = -1, mqueue = -1;
	uint64_t shm_bytes = r->spec->shm_bytes ? r->spec->shm_bytes : 64 << 20;
	char data[64];
	umask(0);
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0)
			return err_sys(err, errno, "create /dev/%s", nodes[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlinkat(links[i].to, dev, links[i].name) < 0)
			return err_sys(err, errno, "create /dev/%s", links[i].name);
	umask(022);
	if (r->spec->privileged && make_privileged_nodes(dev, err) < 0)
		return -1;
	pts = mount_at(dev, "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5", DEVPTS_SUPER_MAGIC, err);
	if (pts < 0)
		return -1;
	snprintf(data, sizeof(data), "mode=1777,size=%llu", (unsigned long long)shm_bytes);
	shm = mount_at(dev, "shm", "tmpfs", HARDENED, data, TMPFS_MAGIC, err);
	if (shm < 0)
		return -1;
	mqueue = mount_at(dev, "mqueue", "mqueue", HARDENED, NULL, 0, err);
	return mqueue < 0 ? -1 : 0;
}

/* One v1 hierarchy below the container's /sys/fs/cgroup, with a link per controller when several share it. */
static int mount_v1(int dir, const struct cgroup_hierarchy *h, unsigned long flags, struct err *err)
{
	AUTO_CLOSE int fd = mount_at(dir, h->options, "cgroup", flags, h->options, CGROUP_SUPER_MAGIC, err);
	const char *p = h->options;
	char name[sizeof(h->options)];
	if (fd < 0)
		return -1;
	for (size_t n = strcspn(p, ","); strchr(h->options, ',') && *p; p += n + (p[n] == ','), n = strcspn(p, ",")) {
		snprintf(name, sizeof(name), "%.*s", (int)n, p);
		if (symlinkat(h->options, dir, name) < 0 && errno != EEXIST)
			return err_sys(err, errno, "create /sys/fs/cgroup/%s", name);
	}
	return 0;
}

/* The container's own cgroups as it sees them, read-only (CVE-2022-0492, CVE-2023-25809) unless it is privileged. */
static int mount_cgroups(struct rootfs *r, int sys, struct err *err)
{
	const struct cgroup_host *h = r->spec->cgroup ? r->spec->cgroup->host : NULL;
	AUTO_CLOSE int fs = openat(sys, "fs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int dir = -1;
	unsigned long flags = HARDENED | (r->spec->privileged ? 0UL : MS_RDONLY);
	if (!h || fs < 0)
		return 0;
	if (h->v2 >= 0 && h->n == 1) {
		dir = mount_at(fs, "cgroup", "cgroup2", flags, NULL, CGROUP2_SUPER_MAGIC, err);
		return dir < 0 ? -1 : 0;
	}
	dir = mount_at(fs, "cgroup", "tmpfs", HARDENED, "mode=755,size=65536", TMPFS_MAGIC, err);
	if (dir < 0)
		return -1;
	for (size_t i = 0; i < h->n; i++)
		if (!h->hierarchies[i].v2 && mount_v1(dir, &h->hierarchies[i], flags, err) < 0)
			return -1;
	return mounts_make_read_only(fs, "cgroup", err);
}

/* One mount of the specification. The target may be anywhere but at the root itself or inside /proc (CVE-2019-16884). */
static int mount_one(struct rootfs *r, const struct container_mount *m, struct mounts_source *s, struct err *err)
{
	AUTO_CLOSE int target = -1;
	struct stat st = { .st_mode = S_IFDIR }, root;
	struct statfs fs;
	char data[96];
	int at = 0;
	if (m->kind != CONTAINER_MOUNT_TMPFS && fstat(s->fd, &st) < 0)
		return err_sys(err, errno, "mount %s", m->target);
	target = mounts_target(r->root_fd, m->target, S_ISDIR(st.st_mode), err);
	if (target < 0)
		return -1;
	if (fstatfs(target, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC)
		return err_set(err, ERR_DENIED, "mount target %s is inside /proc", m->target);
	if (fstat(target, &st) < 0 || fstat(r->root_fd, &root) < 0 || (st.st_dev == root.st_dev && st.st_ino == root.st_ino))
		return err_set(err, ERR_INVALID, "mount target %s is the root itself", m->target);
	if (m->kind != CONTAINER_MOUNT_TMPFS)
		return mounts_source_attach(s, r->root_fd, m->target, target, err);
	at = snprintf(data, sizeof(data), "mode=%o", m->mode ? m->mode : 01777);
	if (m->size_bytes)
		snprintf(data + at, sizeof(data) - (size_t)at, ",size=%llu", (unsigned long long)m->size_bytes);
	if (mounts_fs("tmpfs", target, (m->exec ? (unsigned long)MS_NOSUID : HARDENED) | (m->read_only ? MS_RDONLY : 0UL), data, err) < 0)
		return err_wrap(err, "mount %s", m->target);
	return 0;
}

/* Number of components of a path. */
static unsigned depth(const char *path)
{
	unsigned n = 0;
	while (*path) {
		path += strspn(path, "/");
		n += *path != '\0';
		path += strcspn(path, "/");
	}
	return n;
}

/* Files and volumes: outer targets before what lies below them, otherwise in the order given. */
static int mount_all(struct rootfs *r, struct err *err)
{
	const struct container_spec *spec = r->spec;
	unsigned deepest = 0;
	for (size_t i = 0; i < ARRAY_SIZE(r->files); i++) {
		AUTO_CLOSE int target = -1;
		if (r->files[i].fd < 0)
			continue;
		target = mounts_target(r->root_fd, file_targets[i], false, err);
		if (target < 0 || mounts_source_attach(&r->files[i], r->root_fd, file_targets[i], target, err) < 0)
			return -1;
		mounts_source_done(&r->files[i]);
	}
	for (size_t i = 0; i < spec->n_mounts; i++)
		deepest = MAX(deepest, depth(spec->mounts[i].target));
	for (unsigned d = 0; d <= deepest; d++)
		for (size_t i = 0; i < spec->n_mounts; i++) {
			if (depth(spec->mounts[i].target) != d)
				continue;
			if (mount_one(r, &spec->mounts[i], &r->sources[i], err) < 0)
				return -1;
			mounts_source_done(&r->sources[i]);
		}
	return 0;
}

/* Covers name below dirfd, when it is there: a file by the null device, a directory by `empty`, a read-only tmpfs made with the first
 * one. */
static int mask(const struct rootfs *r, int dirfd, const char *name, int *empty, struct err *err)
{
	AUTO_CLOSE int target = fs_open_in_root(dirfd, name, O_PATH | O_NOFOLLOW, 0);
	struct mounts_source s = { .tree = -1 };
	struct stat st;
	int rc;
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0 || fstat(target, &st) < 0)
		return err_sys(err, target < 0 ? -target : errno, "mask %s", name);
	if (S_ISDIR(st.st_mode) && *empty < 0) {
		if (mounts_fs("tmpfs", target, HARDENED | MS_RDONLY, "mode=755,size=4096,nr_inodes=2", err) < 0)
			return err_wrap(err, "mask %s", name);
		*empty = fs_open_in_root(dirfd, name, O_PATH, 0);
		return *empty < 0 ? err_sys(err, -*empty, "mask %s", name) : 0;
	}
	s.fd = S_ISDIR(st.st_mode) ? *empty : r->null_fd;
	rc = mounts_source_prepare(&s, err);
	if (rc == 0)
		rc = mounts_source_attach(&s, dirfd, name, target, err);
	mounts_source_done(&s);
	return rc < 0 ? err_wrap(err, "mask %s", name) : 0;
}

static int protect(int dirfd, const char *name, struct err *err)
{
	AUTO_CLOSE int target = fs_open_in_root(dirfd, name, O_PATH | O_NOFOLLOW, 0);
	struct mounts_source s = { .fd = target, .recursive = true, .read_only = true, .tree = -1 };
	int rc;
	if (target == -ENOENT)
		return 0;
	if (target < 0)
		return err_sys(err, -target, "make %s read-only", name);
	rc = mounts_source_prepare(&s, err);
	if (rc == 0)
		rc = mounts_source_attach(&s, dirfd, name, target, err);
	mounts_source_done(&s);
	return rc < 0 ? err_wrap(err, "make %s read-only", name) : 0;
}

static int mask_all(const struct rootfs *r, int proc, int sys, struct err *err)
{
	AUTO_CLOSE int empty = -1;
	for (size_t i = 0; i < ARRAY_SIZE(masked_proc); i++)
		if (mask(r, proc, masked_proc[i], &empty, err) < 0)
			return err_wrap(err, "/proc");
	for (size_t i = 0; i < ARRAY_SIZE(masked_sys); i++)
		if (mask(r, sys, masked_sys[i], &empty, err) < 0)
			return err_wrap(err, "/sys");
	for (unsigned cpu = 0; cpu < 4096; cpu++) {
		char name[64];
		struct stat st;
		snprintf(name, sizeof(name), "devices/system/cpu/cpu%u/thermal_throttle", cpu);
		if (fstatat(sys, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			break;
		if (mask(r, sys, name, &empty, err) < 0)
			return err_wrap(err, "/sys");
	}
	for (size_t i = 0; i < ARRAY_SIZE(read_only_proc); i++)
		if (protect(proc, read_only_proc[i], err) < 0)
			return err_wrap(err, "/proc");
	return 0;
}

/* Written through the procfs that was just mounted and checked, before its sys/ becomes read-only (CVE-2025-52881). */
static int set_sysctls(const struct container_spec *s, bool own_net, int proc, struct err *err)
{
	static const char *const values[][2] = {
		{ "sys/net/ipv4/ip_unprivileged_port_start", "0" },
		{ "sys/net/ipv4/ping_group_range", "0 2147483647" },
	};
	for (size_t i = 0; own_net && i < ARRAY_SIZE(values); i++) {
		AUTO_CLOSE int fd = fs_open_in_root(proc, values[i][0], O_WRONLY | O_NOFOLLOW, 0);
		if (fd >= 0 && write(fd, values[i][1], strlen(values[i][1])) < 0)
			continue; /* a convenience of docker's, not a promise */
	}
	for (size_t i = 0; i < s->n_sysctls; i++) {
		AUTO_FREE char *path = xasprintf("sys/%s", s->sysctls[i].name);
		AUTO_CLOSE int fd = -1;
		for (char *p = path; *p; p++)
			*p = *p == '.' ? '/' : *p;
		fd = fs_open_in_root(proc, path, O_WRONLY | O_NOFOLLOW, 0);
		if (fd < 0 || write(fd, s->sysctls[i].value, strlen(s->sysctls[i].value)) < 0)
			return err_sys(err, fd < 0 ? -fd : errno, "sysctl %s = %s", s->sysctls[i].name, s->sysctls[i].value);
	}
	return 0;
}

/* The pty and, with the slave bound upon it, /dev/console. */
static int make_console(struct rootfs *r, int dev, struct err *err)
{
	struct mounts_source s = { .tree = -1 };
	AUTO_CLOSE int target = -1;
	int rc;
	if (console_open(dev, r->spec->tty_rows, r->spec->tty_cols, &r->console_master, &r->console_slave, err) < 0)
		return -1;
	target = openat(dev, "console", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (target < 0)
		return err_sys(err, errno, "create /dev/console");
	s.fd = r->console_slave;
	rc = mounts_source_prepare(&s, err);
	if (rc == 0)
		rc = mounts_source_attach(&s, dev, "console", target, err);
	mounts_source_done(&s);
	return rc;
}

static int pivot(struct rootfs *r, struct err *err)
{
	if (fchdir(r->root_fd) < 0)
		return err_sys(err, errno, "enter the root file system");
	if (syscall(SYS_pivot_root, ".", ".") < 0) {
		if (errno == EINVAL)
			return err_set(err, ERR_UNSUPPORTED,
				"pivot_root is refused: the host's root is an initramfs; switch_root to a tmpfs or disk first");
		return err_sys(err, errno, "pivot_root");
	}
	if (failpoint_err("child.pivot", err) < 0)
		return -1;
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(err, errno, "leave the host's file systems");
	return chdir("/") < 0 ? err_sys(err, errno, "change to /") : 0;
}

/* Volumes that take over what the image has in their place, while nothing covers the image yet. */
static int fill_volumes(struct rootfs *r, struct err *err)
{
	const struct container_spec *s = r->spec;
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct container_mount *m = &s->mounts[i];
		if (m->fill && m->fill(m->fill_path ? m->fill_root_fd : r->root_fd, m->fill_path ? m->fill_path : m->target, m->fill_fd, err) < 0)
			return err_wrap(err, "fill the volume at %s", m->target);
	}
	return 0;
}

/* Copies what the caller gave into a file of dir_fd and makes that the mount's source. */
static int make_memory_file(struct mounts_source *s, const struct container_mount *m, int dir_fd, const char *name, struct err *err)
{
	AUTO_CLOSE int to = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char buf[16384];
	ssize_t n;
	if (to < 0)
		return err_sys(err, errno, "create a file in memory");
	for (off_t at = 0; (n = pread(m->source_fd, buf, sizeof(buf), at)) > 0; at += n)
		if (fs_write_all(to, buf, (size_t)n, err) < 0)
			return -1;
	explicit_bzero(buf, sizeof(buf));
	if (n < 0)
		return err_sys(err, errno, "read what is to be mounted");
	if (fchown(to, m->uid, m->gid) < 0 || fchmod(to, m->mode & 07777) < 0)
		return err_sys(err, errno, "set owner and mode");
	s->foreign = false;
	s->fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return s->fd < 0 ? err_sys(err, errno, "open a file in memory") : mounts_source_prepare(s, err);
}

/* Attaches the detached mount that holds the source and makes source_path in it the mount's source: resolved once, by a descriptor from which
 * the clone is made (CVE-2024-23651). */
static int open_inside(struct mounts_source *s, const struct container_mount *m, int dir_fd, const char *name, struct err *err)
{
	AUTO_CLOSE int at = -1;
	int fd;
	if (mkdirat(dir_fd, name, 0700) < 0 || (at = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_sys(err, errno, "make a place to mount");
	if (move_mount(m->source_fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(err, errno, "attach the source");
	fd = fs_open_in_root(m->source_fd, m->source_path, O_PATH, 0);
	if (fd < 0)
		return err_sys(err, -fd, "open the source");
	s->foreign = false;
	s->fd = fd;
	return mounts_source_prepare(s, err);
}

/* Sources that are made in the container's own mount namespace: on a tmpfs upon /dev as the host has it, which is left behind with
 * everything of the host. */
static int make_sources(struct rootfs *r, struct err *err)
{
	const struct container_spec *spec = r->spec;
	AUTO_CLOSE int dir_fd = -1;
	unsigned long flags = HARDENED;
	char name[24];
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (spec->mounts[i].kind == CONTAINER_MOUNT_FILE && spec->mounts[i].mode & 0111)
			flags &= ~(unsigned long)MS_NOEXEC; /* a file that says it can be run must be */
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct container_mount *m = &spec->mounts[i];
		int rc;
		if (m->kind != CONTAINER_MOUNT_FILE && !m->source_path)
			continue;
		if (dir_fd < 0) {
			if (mount("tmpfs", "/dev", "tmpfs", flags, "mode=700,size=64m") < 0)
				return err_sys(err, errno, "mount a tmpfs");
			dir_fd = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (dir_fd < 0)
				return err_sys(err, errno, "open a tmpfs");
		}
		snprintf(name, sizeof(name), "%zu", i);
		rc = m->source_path ? open_inside(&r->sources[i], m, dir_fd, name, err) : make_memory_file(&r->sources[i], m, dir_fd, name, err);
		if (rc < 0)
			return err_wrap(err, "mount %s", m->target);
	}
	return 0;
}

int rootfs_build(struct rootfs *r, struct err *err)
{
	AUTO_CLOSE int proc = -1, dev = -1, sys = -1;
	bool own_net = !r->spec->host_network && r->spec->join_netns_fd < 0;
	if (mounts_leave_chroot(err) < 0)
		return -1;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, errno, "make the mounts private");
	r->null_fd = open_null(err);
	if (r->null_fd < 0 || failpoint_err("child.private", err) < 0 || make_sources(r, err) < 0 || attach_root(r, err) < 0 ||
	    failpoint_err("child.root", err) < 0 || fill_volumes(r, err) < 0 || failpoint_err("child.filled", err) < 0)
		return -1;
	proc = mount_at(r->root_fd, "proc", "proc", HARDENED, NULL, PROC_SUPER_MAGIC, err);
	if (proc < 0 || failpoint_err("child.proc", err) < 0)
		return -1;
	if (set_sysctls(r->spec, own_net, proc, err) < 0)
		return -1;
	dev = mount_at(r->root_fd, "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", TMPFS_MAGIC, err);
	if (dev < 0 || make_dev(r, dev, err) < 0 || failpoint_err("child.dev", err) < 0)
		return -1;
	sys = mount_at(r->root_fd, "sys", "sysfs", HARDENED | (r->spec->privileged ? 0UL : MS_RDONLY), NULL, SYSFS_MAGIC, err);
	if (sys < 0 || failpoint_err("child.sys", err) < 0 || mount_cgroups(r, sys, err) < 0 || failpoint_err("child.cgroupfs", err) < 0 ||
	    mount_all(r, err) < 0 || failpoint_err("child.mounts", err) < 0)
		return -1;
	if (r->spec->tty && make_console(r, dev, err) < 0)
		return -1;
	if ((!r->spec->privileged && mask_all(r, proc, sys, err) < 0) || failpoint_err("child.masks", err) < 0)
		return -1;
	if (r->spec->read_only_root && mounts_make_read_only(r->root_fd, "/", err) < 0)
		return -1;
	util_close(&r->null_fd);
	return pivot(r, err);
}
