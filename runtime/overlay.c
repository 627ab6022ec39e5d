/* SPDX-License-Identifier: Apache-2.0 */
/* Layers are named /proc/self/fd/N, so that neither the length of a state root nor the number of layers meets a limit: fsconfig takes
 * strings of 255 bytes, mount(2) one page of options (with the working directory at /proc/self/fd that is more than 500 layers). */
#include "runtime/overlay.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/sock.h"
#include "runtime/mounts.h"

#define OVERLAY_OPTIONS "index=off,metacopy=off,redirect_dir=off,xino=off"

static int set_string(int fs, const char *key, const char *value)
{
	return fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0);
}

static int set_fd(int fs, const char *key, int fd)
{
	char path[32];
	return set_string(fs, key, fs_fd_path(fd, path));
}

/* The last thing that the kernel said about this file system context, "e overlay: …" without its prefix; "" when nothing. */
static void read_log(int fs, char *buf, size_t size)
{
	ssize_t n;
	buf[0] = '\0';
	while ((n = read(fs, buf, size - 1)) > 0)
		buf[n - (buf[n - 1] == '\n')] = '\0';
}

/* Layers without those that come again higher up: an image may hold one twice (two steps that changed nothing), which the kernel refuses with
 * ELOOP. All that the lower one says the higher one says as well. Returns their number. */
static size_t distinct_layers(const struct overlay *o, int *ret)
{
	AUTO_FREE struct stat *st = xcalloc(o->n_layers + 1, sizeof(*st));
	size_t n = 0;
	for (size_t i = 0; i < o->n_layers; i++)
		if (fstat(o->layer_fds[i], &st[i]) < 0)
			st[i].st_ino = 0;
	for (size_t i = 0; i < o->n_layers; i++) {
		bool again = false;
		for (size_t k = i + 1; k < o->n_layers && !again; k++)
			again = st[i].st_ino && st[i].st_ino == st[k].st_ino && st[i].st_dev == st[k].st_dev;
		if (!again)
			ret[n++] = o->layer_fds[i];
	}
	return n;
}

static int configure(int fs, const struct overlay *o)
{
	AUTO_FREE int *layers = xcalloc(o->n_layers + 1, sizeof(*layers));
	static const char *const off[] = { "index", "metacopy", "redirect_dir", "xino" };
	set_string(fs, "source", "overlay");
	for (size_t i = distinct_layers(o, layers); i > 0; i--)
		if (set_fd(fs, "lowerdir+", layers[i - 1]) < 0)
			return -1;
	for (size_t i = 0; i < ARRAY_SIZE(off); i++)
		if (set_string(fs, off[i], "off") < 0)
			return -1;
	if (o->is_volatile && fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0)
		return -1;
	if (o->upper_fd >= 0 && (set_fd(fs, "upperdir", o->upper_fd) < 0 || set_fd(fs, "workdir", o->work_fd) < 0))
		return -1;
	return fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

int overlay_new(const struct overlay *o, struct err *err)
{
	AUTO_CLOSE int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	char log[256], quoted[256];
	int fd, e;
	if (fs < 0)
		return errno == ENOSYS || errno == EPERM ? OVERLAY_OLD : err_sys(err, errno, "overlay");
	/* what is made must also be attached, and without move_mount a descriptor can't be; asked with nonsense, it answers ENOENT */
	if (move_mount(-1, "", -1, "", 0) < 0 && (errno == ENOSYS || errno == EPERM))
		return OVERLAY_OLD;
	/* before 6.5 any key is taken and only the mount fails, with a line in the kernel's log each time: a senseless key tells them
	 * apart */
	if (set_string(fs, "muster", "probe") == 0)
		return OVERLAY_OLD;
	read_log(fs, log, sizeof(log)); /* what it said to that is nobody's concern */
	if (configure(fs, o) < 0) {
		e = errno;
		if (e == ENOSYS || e == EPERM || e == EINVAL)
			return OVERLAY_OLD;
		read_log(fs, log, sizeof(log));
		return err_sys(err, e, "mount the overlay%s%s", *log ? ": " : "", err_quote(quoted, sizeof(quoted), log));
	}
	fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (fd < 0)
		return errno == ENOSYS || errno == EPERM ? OVERLAY_OLD : err_sys(err, errno, "mount the overlay");
	return fd;
}

int overlay_mount_here(const struct overlay *o, const char *target, struct err *err)
{
	AUTO_STR struct str options = { 0 };
	AUTO_FREE int *fds = xcalloc(o->n_layers + 2, sizeof(*fds)), *layers = xcalloc(o->n_layers + 1, sizeof(*layers));
	size_t n = 0;
	int rc = 0;
	str_add(&options, OVERLAY_OPTIONS);
	for (size_t i = distinct_layers(o, layers); rc == 0 && i > 0; i--, n++) {
		fds[n] = mounts_reopen(layers[i - 1], err);
		rc = fds[n] < 0 ? -1 : 0;
		str_addf(&options, "%s%d", n ? ":" : ",lowerdir=", fds[n]);
	}
	for (int i = 0; o->upper_fd >= 0 && rc == 0 && i < 2; i++, n++) {
		fds[n] = mounts_reopen(i ? o->work_fd : o->upper_fd, err);
		rc = fds[n] < 0 ? -1 : 0;
		str_addf(&options, "%s%d", i ? ",workdir=" : ",upperdir=", fds[n]);
	}
	if (o->is_volatile)
		str_add(&options, ",volatile");
	if (rc == 0 && chdir("/proc/self/fd") < 0)
		rc = err_sys(err, errno, "change to /proc/self/fd");
	if (rc == 0 && mount("overlay", target, "overlay", 0, options.p) < 0)
		rc = err_sys(err, errno, "mount the overlay");
	while (n > 0)
		util_close(&fds[--n]);
	return chdir("/") < 0 ? err_sys(err, errno, "change to /") : rc;
}

/* The child's part: mounts it where nobody sees it and sends a detached clone, or its struct err. */
static void send_clone(const struct overlay *o, int sock)
{
	struct err err = { 0 }, unsent;
	AUTO_CLOSE int tree = -1;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		err_sys(&err, errno, "make a mount namespace");
	else if (overlay_mount_here(o, "/dev", &err) == 0) {
		tree = open_tree(AT_FDCWD, "/dev", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (tree < 0)
			err_sys(&err, errno, "clone the overlay");
	}
	sock_send(sock, &err, sizeof(err), &tree, tree >= 0, &unsent);
}

int overlay_detached(const struct overlay *o, struct err *err)
{
	int fd = overlay_new(o, err), pair[2];
	struct err theirs;
	size_t n = 1;
	ssize_t got;
	pid_t pid;
	if (fd != OVERLAY_OLD)
		return fd;
	if (sock_pair(SOCK_SEQPACKET, pair, err) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		send_clone(o, pair[1]);
		_exit(0);
	}
	close(pair[1]);
	fd = -1;
	got = pid < 0 ? -1 : sock_recv(pair[0], &theirs, sizeof(theirs), &fd, &n, err);
	close(pair[0]);
	if (pid < 0)
		return err_sys(err, errno, "fork");
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (got == (ssize_t)sizeof(theirs) && n == 1)
		return fd;
	if (got == (ssize_t)sizeof(theirs) && err)
		*err = theirs;
	else
		err_set(err, ERR_SYS, "mount the overlay: the process that does it has failed");
	return -1;
}
