/* SPDX-License-Identifier: Apache-2.0 */
/* Only what belongs to a layout goes along: oci-layout, index.json, manifest.json when there is one, and files of blobs/sha256 with names that
 * digests can have; no link is followed. */
#include "compose/oci_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "images/pack_impl.h"

enum { COPY_BYTES = 128 << 10 };

struct writer {
	int dir_fd, out_fd;
	const char *index;        /* in place of index.json; NULL: as it is */
	struct err err;
};

static int put_file(struct writer *w, int dir_fd, const char *name, const char *shown)
{
	AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO_FREE char *buf = xcalloc(1, COPY_BYTES);
	AUTO_STR struct str head = {0};
	struct pack_entry e = { .type = PACK_REG, .path = shown, .mode = 0644 };
	struct stat st;
	uint64_t left;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_sys(&w->err, fd < 0 ? errno : EINVAL, "%s", shown);
	e.size = left = (uint64_t)st.st_size;
	pack_header_text(&head, &e);
	if (fs_write_all(w->out_fd, head.p, head.len, &w->err) < 0)
		return -1;
	while (left) {
		ssize_t n = read(fd, buf, (size_t)MIN(left, (uint64_t)COPY_BYTES));
		if (n <= 0)
			return err_sys(&w->err, n < 0 ? errno : EIO, "%s", shown);
		if (fs_write_all(w->out_fd, buf, (size_t)n, &w->err) < 0)
			return -1;
		left -= (uint64_t)n;
	}
	memset(buf, 0, 512);
	return fs_write_all(w->out_fd, buf, (size_t)(-e.size & 511), &w->err);
}

static int put_text(struct writer *w, const char *name, const char *text)
{
	static const char zeros[512];
	AUTO_STR struct str out = {0};
	const struct pack_entry e = { .type = PACK_REG, .path = name, .mode = 0644, .size = strlen(text) };
	pack_header_text(&out, &e);
	str_add(&out, text);
	str_addn(&out, zeros, -e.size & 511);
	return fs_write_all(w->out_fd, out.p, out.len, &w->err);
}

struct blobs {
	struct writer *w;
	int fd;
};

static int put_blob(void *arg, const char *name)
{
	struct blobs *b = arg;
	AUTO_FREE char *shown = xasprintf("blobs/sha256/%s", name);
	if (strlen(name) != 64 || strspn(name, "0123456789abcdef") != 64)
		return 0;
	return put_file(b->w, b->fd, name, shown);
}

static int put_layout(struct writer *w)
{
	static const char end[1024];
	AUTO_CLOSE int blobs = openat(w->dir_fd, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct blobs b = { .w = w, .fd = blobs };
	struct stat st;
	if (blobs < 0)
		return err_sys(&w->err, errno, "not an OCI layout: blobs/sha256");
	if (!w->index && fstatat(w->dir_fd, "manifest.json", &st, AT_SYMLINK_NOFOLLOW) == 0 && put_file(w, w->dir_fd, "manifest.json", "manifest.json") < 0)
		return -1;
	if (put_file(w, w->dir_fd, "oci-layout", "oci-layout") < 0 ||
	    (w->index ? put_text(w, "index.json", w->index) : put_file(w, w->dir_fd, "index.json", "index.json")) < 0 ||
	    fs_each(blobs, ".", put_blob, &b, &w->err) < 0)
		return -1;
	return fs_write_all(w->out_fd, end, sizeof(end), &w->err);
}

/* What failed comes back as the exit code of the child: an errno. */
int oci_dir_read_as(int *fd, const char *index, pid_t *ret_pid, struct err *err)
{
	int fds[2];
	*ret_pid = 0;
	if (faccessat(*fd, "oci-layout", F_OK, 0) < 0 || faccessat(*fd, "index.json", F_OK, 0) < 0 || faccessat(*fd, "blobs/sha256", F_OK, 0) < 0)
		return err_set(err, ERR_INVALID, "load: the directory is no OCI layout (oci-layout, index.json, blobs/sha256)");
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, errno, "pipe");
	*ret_pid = fork();
	if (*ret_pid == 0) {
		struct writer w = { .dir_fd = *fd, .out_fd = fds[1], .index = index };
		close(fds[0]);
		_exit(put_layout(&w) < 0 ? MAX(MIN(w.err.sys, 255), 1) : 0);
	}
	close(fds[1]);
	if (*ret_pid < 0) {
		close(fds[0]);
		return err_sys(err, errno, "fork");
	}
	close(*fd);
	*fd = fds[0];
	return 0;
}

int oci_dir_read(int *fd, pid_t *ret_pid, struct err *err)
{
	struct stat st;
	*ret_pid = 0;
	if (fstat(*fd, &st) < 0)
		return err_sys(err, errno, "archive");
	return S_ISDIR(st.st_mode) ? oci_dir_read_as(fd, NULL, ret_pid, err) : 0;
}

int oci_dir_end(pid_t pid, struct err *err)
{
	int status = 0;
	if (pid <= 0)
		return 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!err || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return 0;
	return err_sys(err, WIFEXITED(status) ? WEXITSTATUS(status) : EIO, "load: read the directory");
}
