/* SPDX-License-Identifier: Apache-2.0 */
/* Bind sources. The descriptor is O_PATH: opening a FIFO or a device for real would block or act. A directory that is made takes
 * the owner of the nearest parent that was there, so that a project below somebody's home does not grow root's directories. */
#include "volumes/bind.h"

#include <stdio.h>

#include "base/fs.h"

static int bind_error(const char *path, int e, struct err *err)
{
	char shown[256];
	err_quote(shown, sizeof(shown), path);
	if (e == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "bind source \"%s\" does not exist", shown);
	return err_sys(err, e, "bind source \"%s\"", shown);
}

/* Makes what is missing of path. Returns 0 or a positive errno. */
static int make_missing(const char *path)
{
	AUTO_FREE char *copy = xstrdup(path);
	AUTO_CLOSE int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *save = NULL;
	struct stat owner;
	if (at < 0)
		return errno;
	for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		int next = openat(at, part, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (next < 0 && errno == ENOENT) {
			if (fstat(at, &owner) < 0)
				return errno;
			if (mkdirat(at, part, 0755) < 0 && errno != EEXIST)
				return errno;
			next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (next >= 0 && (fchown(next, owner.st_uid, owner.st_gid) < 0 || fchmod(next, 0755) < 0)) {
				int e = errno;
				close(next);
				return e;
			}
		}
		if (next < 0)
			return errno;
		util_close(&at);
		at = next;
	}
	return 0;
}

int bind_open(const char *path, bool create, struct bind_source *ret, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	char shown[256];
	struct stat st;
	bool created = false;
	if (path[0] != '/')
		return err_set(err, ERR_INVALID, "bind source \"%s\" is not an absolute path", err_quote(shown, sizeof(shown), path));
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && create) {
		int e = make_missing(path);
		if (e != 0)
			return bind_error(path, e == ENOENT ? ENOTDIR : e, err);
		created = true;
		fd = open(path, O_PATH | O_CLOEXEC);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return bind_error(path, errno, err);
	*ret = (struct bind_source){ .fd = TAKE_FD(fd), .is_dir = S_ISDIR(st.st_mode), .created = created };
	return 0;
}
