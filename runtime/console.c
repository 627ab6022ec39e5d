/* SPDX-License-Identifier: Apache-2.0 */
/* Pty helpers. What is opened inside a container is checked to be what it claims: ptmx must be the master clone device of a devpts,
 * the slave a unix98 pty, because a container's root can put anything at those names. */
#include "runtime/console.h"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

int console_open(int dev_dirfd, uint16_t rows, uint16_t cols, int *ret_master, int *ret_slave, struct err *err)
{
	AUTO_CLOSE int pts = openat(dev_dirfd, "pts", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO_CLOSE int master = -1, slave = -1;
	struct statfs fs;
	struct stat st;
	int unlocked = 0;
	if (pts < 0)
		return err_sys(err, errno, "open /dev/pts");
	if (fstatfs(pts, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(err, ERR_DENIED, "/dev/pts is not a devpts");
	master = openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (master < 0)
		return err_sys(err, errno, "open /dev/pts/ptmx");
	if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
		return err_sys(err, errno, "unlock a pty");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_sys(err, errno, "open the slave of a pty");
	if (fstat(slave, &st) < 0 || !S_ISCHR(st.st_mode) || major(st.st_rdev) < 136 || major(st.st_rdev) > 143)
		return err_set(err, ERR_DENIED, "the slave of a pty is not a terminal");
	if ((rows || cols) && console_resize(master, rows, cols, err) < 0)
		return -1;
	*ret_master = TAKE_FD(master);
	*ret_slave = TAKE_FD(slave);
	return 0;
}

int console_adopt(int slave, struct err *err)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return err_sys(err, errno, "make the pty the controlling terminal");
	for (int fd = 0; fd < 3; fd++)
		if (dup2(slave, fd) < 0)
			return err_sys(err, errno, "make the pty descriptor %d", fd);
	return 0;
}

int console_resize(int fd, uint16_t rows, uint16_t cols, struct err *err)
{
	struct winsize ws = { .ws_row = rows, .ws_col = cols };
	if (ioctl(fd, TIOCSWINSZ, &ws) < 0)
		return err_sys(err, errno, "set the window size");
	return 0;
}
