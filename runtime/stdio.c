/* SPDX-License-Identifier: Apache-2.0 */
/* Used by starts and execs, in the child. Regular files and sockets keep their owner: they belong to whoever passed them in. */
#include "runtime/stdio.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "runtime/console.h"

int stdio_connect(const int fds[3], uid_t uid, struct err *err)
{
	int from[3];
	struct stat st;
	for (int i = 0; i < 3; i++) { /* first out of the way of 0-2, then into place */
		from[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (from[i] < 0)
			return err_sys(err, errno, "duplicate descriptor %d", i);
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(from[i], i) < 0)
			return err_sys(err, errno, "set descriptor %d", i);
		close(from[i]);
		if (fstat(i, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_uid != uid && fchown(i, uid, (gid_t)-1) < 0 && errno != EPERM &&
			errno != EROFS)
			return err_sys(err, errno, "give descriptor %d to the user", i);
	}
	return 0;
}

int stdio_connect_tty(int slave, uid_t uid, struct err *err)
{
	if (fchown(slave, uid, (gid_t)-1) < 0)
		return err_sys(err, errno, "give the pty to the user");
	return console_adopt(slave, err);
}
