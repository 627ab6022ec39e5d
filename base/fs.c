/* SPDX-License-Identifier: Apache-2.0 */
/* File helpers over directory descriptors. fs_write_atomic is the only way a record of ours reaches the disk;
 * fs_open_in_root is the only way a path inside an image or container is opened (CVE-2021-30465, CVE-2024-45310). */
#include "base/fs.h"

#include "base/clock.h"
#include "base/failpoint.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

int fs_open_dir(int dirfd, const char *path, struct err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "open directory %s", path);
	return fd;
}

int fs_make_dir(int dirfd, const char *path, mode_t mode, struct err *err)
{
	AUTO_FREE char *copy = xstrdup(path);
	AUTO_CLOSE int at = -1;
	char *save = NULL;
	at = openat(dirfd, path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* "." is dirfd itself */
	if (at < 0)
		return err_sys(err, errno, "open directory %s", path[0] == '/' ? "/" : ".");
	for (char *part = strtok_r(copy, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0 && errno == ENOENT) {
			if (mkdirat(at, part, mode) < 0 && errno != EEXIST)
				return err_sys(err, errno, "create directory %s (%s)", path, part);
			next = openat(at, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		}
		if (next < 0)
			return err_sys(err, errno, "open directory %s (%s)", path, part);
		util_close(&at);
		at = next;
	}
	return TAKE_FD(at);
}

int fs_read_fd(int fd, size_t max_bytes, struct str *ret, struct err *err)
{
	str_clear(ret);
	for (;;) {
		char *at = str_reserve(ret, 4096);
		ssize_t n = read(fd, at, ret->cap - ret->len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "read");
		if (n == 0)
			break;
		ret->len += (size_t)n;
		if (ret->len > max_bytes)
			return err_set(err, ERR_INVALID, "larger than %zu bytes", max_bytes);
	}
	str_reserve(ret, 0)[0] = '\0';
	return 0;
}

int fs_read(int dirfd, const char *path, size_t max_bytes, struct str *ret, struct err *err)
{
	AUTO_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	if (fd < 0)
		return errno == ENOENT ? 1 : err_sys(err, errno, "open %s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "stat %s", path);
	if (S_ISDIR(st.st_mode))
		return err_sys(err, EISDIR, "read %s", path);
	if (fs_read_fd(fd, max_bytes, ret, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}

int fs_write_all(int fd, const void *p, size_t n, struct err *err)
{
	const char *c = p;
	while (n) {
		ssize_t w = write(fd, c, fd > 2 ? failpoint_short("fs.short", n) : n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_sys(err, errno, "write");
		c += w;
		n -= (size_t)w;
	}
	return 0;
}

int fs_seal(int memfd)
{
	const uint64_t deadline = clock_mono_ns() + 5000000000;
	int rc;
	while ((rc = fcntl(memfd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)) < 0 && errno == EBUSY && clock_mono_ns() < deadline)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	return rc;
}

static int write_replacing(int dirfd, const char *name, const void *p, size_t n, mode_t mode, bool durable, struct err *err)
{
	AUTO_FREE char *tmp = xasprintf(".%s.tmp", name);
	AUTO_CLOSE int fd = failpoint("fs.create") < 0 ? -1 : openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_sys(err, errno, "create %s", tmp);
	if (fchmod(fd, mode) < 0 || failpoint("fs.write") < 0 || fs_write_all(fd, p, n, err) < 0 ||
	    (durable && (failpoint("fs.sync") < 0 || fsync(fd) < 0))) {
		err_sys(err, errno, "write %s", tmp);
		goto fail;
	}
	if (failpoint("fs.rename") < 0 || renameat(dirfd, tmp, dirfd, name) < 0) {
		err_sys(err, errno, "rename %s", tmp);
		goto fail;
	}
	if (durable) {
		AUTO_CLOSE int d = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (d < 0 || failpoint("fs.renamed") < 0 || fsync(d) < 0)
			return err_sys(err, errno, "sync the directory of %s", name);
	}
	return 0;
fail:
	unlinkat(dirfd, tmp, 0);
	return -1;
}

int fs_write_atomic(int dirfd, const char *name, const void *p, size_t n, mode_t mode, struct err *err)
{
	return write_replacing(dirfd, name, p, n, mode, true, err);
}

int fs_write_volatile(int dirfd, const char *name, const void *p, size_t n, mode_t mode, struct err *err)
{
	return write_replacing(dirfd, name, p, n, mode, false, err);
}

enum { REMOVE_DEPTH = 32 };

/* A removal: a directory that lies deeper than REMOVE_DEPTH is first moved up to the top, so a tree of any depth costs a bounded number
 * of descriptors and frames. */
struct removal {
	int top_fd;
	dev_t dev;        /* stay on this device */
	unsigned moved;
};

static int remove_children(struct removal *r, int fd, int depth, struct err *err);

/* Removes the directory `name` of dirfd. */
static int remove_subdir(struct removal *r, int dirfd_, const char *name, int depth, struct err *err)
{
	AUTO_CLOSE int sub = openat(dirfd_, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (sub < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "remove %s", name);
	if (fstat(sub, &st) < 0 || st.st_dev != r->dev)
		return err_set(err, ERR_CONFLICT, "remove %s: something is mounted there", name);
	while (depth == REMOVE_DEPTH) {
		char moved[40];
		snprintf(moved, sizeof(moved), ".removed-%u", r->moved++);
		if (renameat2(dirfd_, name, r->top_fd, moved, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return err_sys(err, errno, "remove %s", name);
	}
	if (remove_children(r, TAKE_FD(sub), depth + 1, err) < 0)
		return -1;
	if (unlinkat(dirfd_, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove %s", name);
	return 0;
}

/* Removes everything in the directory `fd`, which this call closes. */
static int remove_children(struct removal *r, int fd, int depth, struct err *err)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	unsigned before;
	int rc = 0;
	if (!d) {
		close(fd);
		return err_sys(err, errno, "read directory");
	}
	do {
		before = r->moved;
		rewinddir(d);
		while (rc == 0 && (e = readdir(d))) {
			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			if (e->d_type != DT_DIR && unlinkat(dirfd(d), e->d_name, 0) == 0)
				continue;
			rc = remove_subdir(r, dirfd(d), e->d_name, depth, err);
		}
	} while (rc == 0 && depth == 0 && r->moved != before);
	closedir(d);
	return rc;
}

int fs_remove_tree(int dirfd, const char *path, struct err *err)
{
	struct removal r = {0};
	struct stat st;
	int fd;
	if (failpoint_err("fs.remove", err) < 0)
		return -1;
	if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
		return 0;
	fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "remove %s", path);
	if (fstat(fd, &st) < 0) {
		close(fd);
		return err_sys(err, errno, "remove %s", path);
	}
	r.top_fd = fd;
	r.dev = st.st_dev;
	if (remove_children(&r, fd, 0, err) < 0)
		return err_wrap(err, "%s", path);
	if (unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove %s", path);
	return 0;
}

/* The fallback of fs_open_in_root: one component at a time, symlinks expanded by hand against the root, at most 40 of them.
 * Between two steps nothing is looked up by more than one name, so ".." and links cannot leave the root. */
static int open_by_components(int root_fd, const char *path, int flags, mode_t mode)
{
	AUTO_STR struct str rest = {0};
	int stack[64], depth = 0, links = 0, rc = -ENOENT;
	bool last, slash;
	if (!*path)
		return -ENOENT;
	str_add(&rest, path);
	stack[0] = fcntl(root_fd, F_DUPFD_CLOEXEC, 3);
	if (stack[0] < 0)
		return -errno;
	for (;;) {
		char name[256], link[4096];
		const char *p = rest.p + strspn(rest.p, "/");
		size_t n = strcspn(p, "/");
		ssize_t got;
		if (n >= sizeof(name)) {
			rc = -ENAMETOOLONG;
			break;
		}
		memcpy(name, p, n);
		name[n] = '\0';
		last = p[n + strspn(p + n, "/")] == '\0';
		slash = p[n] == '/';
		memmove(rest.p, p + n, strlen(p + n) + 1);
		if (n == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
			if (name[0] == '.' && name[1] == '.' && depth > 0)
				close(stack[depth--]);
			if (!last && n)
				continue;
			rc = openat(stack[depth], ".", (flags & ~(O_CREAT | O_EXCL)) | O_CLOEXEC);
			rc = rc < 0 ? -errno : rc;
			break;
		}
		got = readlinkat(stack[depth], name, link, sizeof(link) - 1);
		if (got >= 0 && last && !slash && (flags & O_CREAT) && (flags & O_EXCL)) {
			rc = -EEXIST;
			break;
		}
		if (got >= 0 && !(last && !slash && (flags & O_NOFOLLOW))) {
			AUTO_FREE char *tail = xstrdup(rest.p);
			if (++links > 40) {
				rc = -ELOOP;
				break;
			}
			link[got] = '\0';
			while (link[0] == '/' && depth > 0)
				close(stack[depth--]);
			str_clear(&rest);
			str_addf(&rest, "%s%s", link, tail); /* the tail is empty or begins with a slash */
			continue;
		}
		if (last) {
			rc = slash && (flags & O_CREAT) ? -EISDIR
				: openat(stack[depth], name, flags | (slash ? O_DIRECTORY : 0) | O_NOFOLLOW | O_CLOEXEC, mode);
			rc = rc == -1 ? -errno : rc;
			break;
		}
		if (depth + 1 == (int)ARRAY_SIZE(stack)) {
			rc = -ENAMETOOLONG;
			break;
		}
		stack[depth + 1] = openat(stack[depth], name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (stack[depth + 1] < 0) {
			rc = -errno;
			break;
		}
		depth++;
	}
	while (depth >= 0)
		close(stack[depth--]);
	return rc;
}

int fs_open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0, /* O_TMPFILE has the bit of O_DIRECTORY */
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	for (int tries = 0; tries < 16; tries++) {
		long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno == ENOSYS || errno == EPERM)
			return open_by_components(root_fd, path, flags, mode);
		if (errno != EAGAIN)
			break;
	}
	return -errno;
}

int fs_each(int dirfd_, const char *path, int (*fn)(void *arg, const char *name), void *arg, struct err *err)
{
	int fd = fs_open_dir(dirfd_, path, err), rc = 0;
	struct dirent *e;
	DIR *d;
	if (fd < 0)
		return -1;
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return err_sys(err, errno, "read directory %s", path);
	}
	while (rc == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = fn(arg, e->d_name);
	closedir(d);
	return rc;
}

int fs_each_if_any(int dirfd_, const char *path, int (*fn)(void *arg, const char *name), void *arg, struct err *err)
{
	AUTO_CLOSE int fd = openat(dirfd_, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "open directory %s", path);
	return fs_each(fd, ".", fn, arg, err);
}

char *fs_fd_path(int fd, char buf[static 32])
{
	snprintf(buf, 32, "/proc/self/fd/%d", fd);
	return buf;
}
