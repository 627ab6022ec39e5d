/* SPDX-License-Identifier: Apache-2.0 */
/* The network process holds credentials and parses what servers say; it must not read or write anything of this machine. Its
 * root is a tmpfs with copies of the files that getaddrinfo() reads, made before the jail closes: a snapshot for the seconds that
 * this process lives. nsswitch.conf is ours (files, dns), since no module could be loaded. Without the right to mount, Landlock
 * alone holds it to the same files. */
#include <linux/landlock.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "images/confine.h"
#include "images/confine_impl.h"

enum { MAX_ETC_BYTES = 1 << 20 };

static const char *const etc_files[] = { "resolv.conf", "hosts", "host.conf", "gai.conf", "services" };

struct etc_copy {
	struct str text[ARRAY_SIZE(etc_files)];
	bool there[ARRAY_SIZE(etc_files)];
};

static void read_etc(struct etc_copy *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(etc_files); i++) {
		AUTO_FREE char *path = xasprintf("/etc/%s", etc_files[i]);
		c->there[i] = fs_read(AT_FDCWD, path, MAX_ETC_BYTES, &c->text[i], NULL) == 0;
	}
}

static int write_file(int dir, const char *name, const char *text, size_t n, struct err *err)
{
	AUTO_CLOSE int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(err, errno, "jail: write %s", name);
	return fs_write_all(fd, text, n, err);
}

static int fill_etc(int mnt, const struct etc_copy *c, struct err *err)
{
	static const char nsswitch[] = "hosts: files dns\nservices: files\n";
	AUTO_CLOSE int dir = -1;
	if (mkdirat(mnt, "etc", 0755) < 0)
		return err_sys(err, errno, "jail: make etc");
	dir = fs_open_dir(mnt, "etc", err);
	if (dir < 0 || write_file(dir, "nsswitch.conf", nsswitch, sizeof(nsswitch) - 1, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(etc_files); i++)
		if (c->there[i] && write_file(dir, etc_files[i], str_get(&c->text[i]), c->text[i].len, err) < 0)
			return -1;
	return 0;
}

/* Returns 0; 1 when this process may not mount; -1 + err. */
static int enter_root(const struct etc_copy *c, struct err *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	AUTO_CLOSE int mnt = -1;
	if (confine_unshare_mounts(err) < 0)
		return err && err->sys == EPERM ? 1 : -1;
	mnt = confine_mount_tmpfs();
	if (mnt < 0)
		return err_sys(err, errno, "jail: mount an empty root");
	if (fill_etc(mnt, c, err) < 0)
		return -1;
	if (syscall(SYS_mount_setattr, mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return err_sys(err, errno, "jail: make the root read-only");
	return confine_become_root(mnt) < 0 ? err_sys(err, errno, "jail: change the root") : 0;
}

/* Read rights on the files of etc_files, no other right on any file. Returns 0; 1 without Landlock; -1 + err. */
static int enter_landlock(struct err *err)
{
	const uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	struct landlock_ruleset_attr attr = { .handled_access_fs = all };
	AUTO_CLOSE int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (fd < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 1 : err_sys(err, errno, "jail: Landlock");
	for (size_t i = 0; i < ARRAY_SIZE(etc_files) + 1; i++) {
		AUTO_FREE char *path = xasprintf("/etc/%s", i < ARRAY_SIZE(etc_files) ? etc_files[i] : "nsswitch.conf");
		AUTO_CLOSE int file = open(path, O_PATH | O_CLOEXEC);
		struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = file };
		if (file >= 0 && syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
			return err_sys(err, errno, "jail: Landlock rule for %s", path);
	}
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? err_sys(err, errno, "jail: Landlock") : 0;
}

static int allow_network(scmp_filter_ctx f)
{
	static const int calls[] = {
		SCMP_SYS(connect), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
		SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(shutdown),
		SCMP_SYS(pipe2), SCMP_SYS(eventfd2), SCMP_SYS(ioctl),
	};
	static const int families[] = { AF_INET, AF_INET6 };
	if (confine_allow_common(f) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return -1;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0)) < 0)
			return -1;
	/* libcurl wakes itself by a pair; files are for reading */
	if (seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0)) < 0 ||
	    seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY)) < 0)
		return -1;
	return 0;
}

int confine_enter_net(struct err *err)
{
	struct etc_copy copy = {0};
	int mounts = -1, landlock = -1;
	if (confine_no_privileges(err) < 0)
		return -1;
	read_etc(&copy);
	mounts = enter_root(&copy, err);
	for (size_t i = 0; i < ARRAY_SIZE(etc_files); i++)
		str_done(&copy.text[i]);
	if (mounts < 0 || (landlock = enter_landlock(err)) < 0)
		return -1;
	if (mounts == 1 && landlock == 1)
		return err_set(err, ERR_UNSUPPORTED,
			"jail: neither a mount namespace nor Landlock is to be had, refusing to talk to registries");
	return confine_drop_capabilities(NULL, 0, err) < 0 ? -1 : confine_seccomp(allow_network, err);
}
